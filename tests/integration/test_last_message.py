"""The server's last message arrives before the end of the connection does: this is a lost connection, whatever is done next."""

from __future__ import annotations

import asyncio
import gc
import io
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from eventstore.database.access import reading, writing
from eventstore.errors import ConnectionError
from eventstore.repositories.backend import PostgreSQLTransaction
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionRunner
from projections.engine import batch
from projections.engine.batch import copy_rows
from tests.relay import Relay
from tests.relayed_connections import relay
from tests.rival_writers import new_order
from tests.running_workers import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


__all__ = ["relay"]


@pytest_asyncio.fixture
async def relayed(relay: Relay) -> AsyncIterator[EventStore]:
    """A store behind the relay, with a small pool."""
    async with EventStore.open(relay.config(min_pool_size=1, max_pool_size=2), workers=False) as opened:
        yield opened


@pytest.fixture
def end(store: EventStore, relay: Relay) -> Callable[[Any], Awaitable[None]]:
    """End the session of a connection, and let its last message arrive, but not its end."""

    async def ended(connection: Any) -> None:
        relay.keep_open = True
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        async with store.connection.acquire() as other:
            assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        await asyncio.sleep(0.05)
        relay.keep_open = False

    return ended


async def _copy(connection: Any) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"1\n"

    await connection.copy_to_table("orders", source=source(), columns=["version"])


async def _cursor(connection: Any) -> None:
    async for _ in connection.cursor("SELECT 1"):
        pass


OPERATIONS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "fetch": lambda connection: connection.fetch("SELECT 1"),
    "execute": lambda connection: connection.execute("SELECT 1"),
    "executemany": lambda connection: connection.executemany("SELECT $1::int", [(1,), (2,)]),
    "prepare": lambda connection: connection.prepare("SELECT 2"),
    "copy": _copy,
    "copy records": lambda connection: connection.copy_records_to_table(
        "orders", records=[(1,)], columns=["version"]
    ),
    "copy out": lambda connection: connection.copy_from_query("SELECT 1", output=io.BytesIO()),
    "cursor": _cursor,
}
WAYS: dict[str, Any] = {
    "reading": reading,
    "writing": writing,
    "lent": lambda source: source.acquire(),
}


@pytest.mark.parametrize("in_transaction", [True, False], ids=["transaction", "alone"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_operation_after_it(  # noqa: PLR0917 - fixtures and parameters
    relayed: EventStore,
    end: Callable[[Any], Awaitable[None]],
    operation: str,
    way: str,
    in_transaction: bool,
    caplog: pytest.LogCaptureFixture,
):
    """It is a lost connection, of which nothing else is reported; and each connection lent afterwards works."""

    async def operate() -> None:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(WAYS[way](relayed.connection))
            if in_transaction or operation == "cursor":
                await stack.enter_async_context(connection.transaction())
            await end(connection)
            await OPERATIONS[operation](connection)

    drivers = (asyncpg.InterfaceError, asyncpg.InternalClientError)
    with pytest.raises(drivers if way == "lent" else ConnectionError) as raised:
        await operate()
    if isinstance(raised.value, ConnectionError):
        assert raised.value.is_transient
    async with reading(relayed.connection) as first, reading(relayed.connection) as second:
        assert [await one.fetchval("SELECT 1") for one in (first, second)] == [1, 1]
    del raised
    gc.collect()
    assert not caplog.records


async def test_a_worker_goes_on(
    store: EventStore,
    relayed: EventStore,
    end: Callable[[Any], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
):
    """Its session ends between two statements of a batch, before it writes rows by COPY: it folds the batch again."""
    async with store.unit_of_work() as uow:
        for _ in range(100):
            await uow.orders.save_order(new_order())
    batches = 0

    async def copy(connection: Any, *arguments: Any, **options: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 1:
            await end(connection)
        await copy_rows(connection, *arguments, **options)

    monkeypatch.setattr(batch, "copy_rows", copy)
    assert uow.last_position is not None
    async with running(ProjectionRunner(relayed.log, OrdersProjection())):
        await relayed.wait_for(uow.last_position, projections=["orders"], timeout_s=20)
    assert batches == 2
    async with reading(store.connection) as connection:
        assert await connection.fetchval("SELECT count(*) FROM orders") == 100


async def test_a_flushed_unit_of_work(
    store: EventStore, relayed: EventStore, end: Callable[[Any], Awaitable[None]]
):
    """The session of its transaction has ended: the commit sends all of it again, once."""
    orders = [new_order(), new_order()]
    async with relayed.unit_of_work() as uow:
        await uow.orders.save_order(orders[0])
        await uow.flush()
        assert isinstance(uow._transaction, PostgreSQLTransaction)
        await end(uow._transaction._connection)
        await uow.orders.save_order(orders[1])
    assert [len(await store.history(order.id)) for order in orders] == [1, 1]
