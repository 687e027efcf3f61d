"""What becomes of a transaction when the connection breaks at each of its messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    DatabaseConnection,
    MigrationManager,
    PostgreSQLAdapter,
)
from eventstore.database.connecting import connect_arguments
from eventstore.log import EventLog
from eventstore.repositories import PostgreSQLOrderRepository, PostgreSQLUnitOfWorkFactory
from tests.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


async def values(adapter: PostgreSQLAdapter) -> list[int]:
    """What the table holds, in order, as another connection sees it."""
    return [row["i"] for row in await PostgreSQLAdapter(adapter.connection).fetch_all("TABLE t ORDER BY i")]


@pytest_asyncio.fixture
async def relayed(database_config: DatabaseConfig) -> AsyncIterator[tuple[Relay, PostgreSQLAdapter]]:
    """An adapter behind a relay that can lose messages, with the table `t`."""
    async with Relay(database_config) as relay:
        config = relay.config(min_pool_size=0, max_pool_size=2, command_timeout=1.0, connect_timeout=1.0)
        async with await ConnectionFactory.create_connection(config) as connection:
            adapter = PostgreSQLAdapter(connection)
            await adapter.execute("CREATE TABLE t (i int PRIMARY KEY)")
            yield relay, adapter


async def test_a_commit_whose_answer_is_lost_is_resolved(relayed: tuple[Relay, PostgreSQLAdapter]):
    """The server is asked what became of the transaction, and it was committed."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    relay.lose_after = b"COMMIT"
    await adapter.commit_transaction()
    assert relay.lost == 1
    assert await values(adapter) == [1]


async def test_a_commit_that_never_arrived_is_resolved(relayed: tuple[Relay, PostgreSQLAdapter]):
    """The server rolled it back, which is known and safe to retry."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    relay.lose_before = b"COMMIT"
    with pytest.raises(errors.ConnectionError) as caught:
        await adapter.commit_transaction()
    assert caught.value.retryable
    assert not isinstance(caught.value, errors.ConnectionLostError)
    assert relay.lost == 1
    assert await values(adapter) == []


async def test_a_commit_that_cannot_be_resolved_is_unknown(relayed: tuple[Relay, PostgreSQLAdapter]):
    """When the server cannot be asked in time the error says that the outcome is unknown: not retryable."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    relay.lose_after = b"COMMIT"
    relay.refuse = True
    with pytest.raises(errors.TransactionCommitError) as caught:
        await adapter.commit_transaction()
    assert caught.value.outcome == "unknown"
    assert not caught.value.retryable
    relay.refuse = False
    assert await values(adapter) == [1]


async def test_a_read_only_commit_that_is_lost_is_no_error(relayed: tuple[Relay, PostgreSQLAdapter]):
    """What has written nothing has nothing to lose."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    await adapter.fetch_value("SELECT 1")
    relay.lose_after = b"COMMIT"
    await adapter.commit_transaction()
    assert relay.lost == 1


async def test_a_connection_lost_before_the_commit_is_retryable(relayed: tuple[Relay, PostgreSQLAdapter]):
    """Nothing was applied, and that is known; the transaction is over."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    relay.lose_after = b"INSERT"
    with pytest.raises(errors.ConnectionError) as caught:
        await adapter.execute("INSERT INTO t VALUES (1)")
    assert caught.value.retryable
    assert not adapter.has_active_transaction
    with pytest.raises(errors.TransactionError, match="lost"):
        await adapter.execute("INSERT INTO t VALUES (2)")
    await adapter.rollback_transaction()
    assert await values(adapter) == []


async def test_a_connection_lost_outside_a_transaction_is_not_retryable(
    relayed: tuple[Relay, PostgreSQLAdapter],
):
    """The statement may have been applied, and here it was."""
    relay, adapter = relayed
    relay.lose_after = b"INSERT"
    with pytest.raises(errors.ConnectionLostError) as caught:
        await adapter.execute("INSERT INTO t VALUES (1)")
    assert not caught.value.retryable
    assert await values(adapter) == [1]


async def _get_in_unit_of_work(adapter: PostgreSQLAdapter) -> None:
    assert isinstance(adapter.connection, DatabaseConnection)
    async with PostgreSQLUnitOfWorkFactory(adapter.connection, workers=False).create_unit_of_work() as uow:
        await uow.orders.get_order_by_id(uuid4())


READS: dict[str, Callable[[PostgreSQLAdapter], Awaitable[Any]]] = {
    'FROM "public".schema_migrations': lambda adapter: MigrationManager(adapter).ensure_current(),
    "pg_backend_pid": lambda adapter: adapter.connection_info(),
    'JOIN "public".orders': lambda adapter: PostgreSQLOrderRepository(adapter).get_order_by_id(uuid4()),
    'LEFT JOIN "public".orders': _get_in_unit_of_work,
    'FROM "public".events': lambda adapter: EventLog(adapter.connection).read_stream(uuid4()),
}


@pytest.mark.parametrize("statement", READS)
async def test_a_lost_read_is_safe_to_retry(relayed: tuple[Relay, PostgreSQLAdapter], statement: str):
    """Our own statements that write nothing can be sent again, whatever became of them."""
    relay, migrated = relayed
    await MigrationManager(migrated).migrate_to_latest()
    # A statement that is known to the server would be sent without its text.
    config = relay.config(min_pool_size=0, max_pool_size=1, statement_cache_size=0)
    async with await ConnectionFactory.create_connection(config) as connection:
        adapter = PostgreSQLAdapter(connection)
        await READS[statement](adapter)
        relay.lose_after = statement.encode()
        with pytest.raises(errors.ConnectionError) as caught:
            await READS[statement](adapter)
        assert relay.lost == 1
        assert (type(caught.value), caught.value.retryable) == (errors.ConnectionError, True)
        await READS[statement](adapter)


async def test_a_lost_roll_back_says_so(relayed: tuple[Relay, PostgreSQLAdapter]):
    """And the block that fails raises its own error, not that of its roll-back."""
    relay, adapter = relayed
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    relay.lose_before = b"ROLLBACK"
    relay.times = 2
    with pytest.raises(errors.TransactionRollbackError):
        await adapter.rollback_transaction()
    assert not adapter.has_active_transaction

    async def fail() -> None:
        async with adapter.transaction():
            await adapter.execute("INSERT INTO t VALUES (2)")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert relay.lost == 2
    assert await values(adapter) == []


@pytest.mark.parametrize("how", ["lost", "silent"])
async def test_a_cancellation_in_a_savepoint_is_raised_whatever_becomes_of_the_roll_back(
    relayed: tuple[Relay, PostgreSQLAdapter], how: str
):
    """The connection is lost, or gives no answer: the cancellation is raised, and not a retryable error instead of it."""
    relay, adapter = relayed
    inside = asyncio.Event()

    async def work() -> None:
        async with adapter.transaction(), adapter.savepoint():
            await adapter.execute("INSERT INTO t VALUES (1)")
            relay.silent = how == "silent"
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.ensure_future(work())
    await inside.wait()
    if how == "lost":
        relay.lose_before = b"ROLLBACK TO"
    working.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await working
    relay.silent = False
    assert not adapter.has_active_transaction
    assert await values(adapter) == []


async def test_a_savepoint_that_could_not_be_rolled_back_to_ends_the_transaction(
    relayed: tuple[Relay, PostgreSQLAdapter],
):
    """Nobody knows whether its statements were undone, so the transaction cannot be committed with them."""
    relay, adapter = relayed

    async def fail() -> None:
        async with adapter.savepoint():
            await adapter.execute("INSERT INTO t VALUES (1)")
            relay.silent = True
            raise ZeroDivisionError

    await adapter.begin_transaction()
    with pytest.raises(errors.TimeoutError):
        await fail()
    relay.silent = False
    with pytest.raises(errors.TransactionCommitError) as caught:
        await adapter.commit_transaction()
    assert caught.value.outcome == "not_applied"
    assert await values(adapter) == []


async def test_a_connection_of_a_users_pool_that_is_lost_when_it_is_given_back_loses_no_answer(
    database_config: DatabaseConfig,
):
    """The statement was answered before, so the caller gets the answer, as with a pool of the library."""
    async with (
        Relay(database_config) as relay,
        asyncpg.create_pool(min_size=1, max_size=2, **connect_arguments(relay.config())) as pool,
    ):
        adapter = PostgreSQLAdapter(pool)
        await adapter.execute("CREATE TABLE t (i int PRIMARY KEY)")
        relay.lose_after = b"UNLISTEN"
        await adapter.execute("INSERT INTO t VALUES (1)")
        assert relay.lost == 1
        assert await values(adapter) == [1]
