"""A connection whose statement was cancelled: in step with the server again before anyone else has it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from eventstore.database import DatabaseConfig, DatabaseConnection, PostgreSQLAdapter
from tests.cancelling import cancelled_at
from tests.pools import assert_whole, opened, prepare_table, use

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _begin_by_block(one: Any) -> None:
    async with one.transaction(isolation="serializable"):
        await one.execute("SELECT 1")


async def _begin_by_hand(one: Any) -> None:
    await one.transaction(isolation="serializable").start()
    await one.execute("SELECT 1")


async def _begin_by_text(one: Any) -> None:
    await one.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    await one.execute("SELECT 1")


@pytest.mark.parametrize("begin", [_begin_by_block, _begin_by_hand, _begin_by_text])
async def test_a_cancellation_that_stays_in_the_block_leaves_nothing_open(
    database_config: DatabaseConfig, begin: Callable[[Any], Awaitable[None]]
):
    """A block that goes on after its statement was cancelled hands back a connection that is out of step.

    What the next user writes is kept, and its transaction has the isolation level that it asks for.
    """
    connection = await opened(database_config, min_pool_size=0, max_pool_size=1)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    try:
        await prepare_table(connection)

        async def work() -> None:
            async with connection.acquire() as one:
                with suppress(asyncio.CancelledError):
                    await begin(one)
                    await one.execute("COMMIT")

        for at in range(1, 20):
            await use(connection)  # so that the connection stands, and the steps are the same each time
            _, suspended = await cancelled_at(at, work)
            async with connection.acquire() as one:
                await one.execute("INSERT INTO t VALUES (1)")
            await cancelled_at(at, work)
            async with connection.acquire() as one, one.transaction(isolation="repeatable_read"):
                assert await one.fetchval("SHOW transaction_isolation") == "repeatable read"
                assert await one.fetchval("SELECT count(*) FROM t") == at  # one each time
            await cancelled_at(at, work)
            async with PostgreSQLAdapter(connection).transaction(isolation="serializable") as adapter:
                assert await adapter.fetch_value("SHOW transaction_isolation") == "serializable"
            if suspended < at:
                break
        assert at > 2
        assert complaints == []
        await assert_whole(connection)
    finally:
        await connection.close()


@pytest.mark.parametrize("transaction", [False, True], ids=["alone", "in-transaction"])
@pytest.mark.parametrize("statement", ["SELECT 1", "BEGIN", "SELECT 1/0"])
async def test_a_cancelled_statement_costs_no_connection(
    database_config: DatabaseConfig, statement: str, *, transaction: bool
):
    """The connection is brought into step with the server, and serves the next caller."""
    connection = await opened(database_config, min_pool_size=0, max_pool_size=1)
    try:

        async def work() -> None:
            async with connection.acquire() as one:
                if transaction:
                    await one.execute("BEGIN")
                with suppress(asyncpg.DivisionByZeroError):
                    await one.execute(statement)
                # Short, since a cancellation that overtakes its statement leaves it running.
                with suppress(asyncpg.InFailedSQLTransactionError):
                    await one.execute("SELECT 2")

        before = await _backend(connection)
        for at in (1, 2, 3) if transaction else (1, 2):
            was_cancelled, _ = await cancelled_at(at, work)
            assert was_cancelled
            assert await _backend(connection) == before
        await assert_whole(connection)
    finally:
        await connection.close()


async def _backend(connection: DatabaseConnection) -> int:
    async with connection.acquire() as one:
        pid: int = await one.fetchval("SELECT pg_backend_pid()")
        assert not one.is_in_transaction()
        return pid
