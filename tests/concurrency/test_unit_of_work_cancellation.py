"""Cancelling a Unit of Work at every await: nothing stays open, no connection is lost, memory agrees with the log."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.domain.order import Order, OrderSide
from eventstore.log import EventLog
from eventstore.repositories import PostgreSQLOrderRepository
from eventstore.store import EventStore
from tests.cancelling import cancelled_at
from tests.conftest import admin_connection
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from eventstore.database import DatabaseConfig

CANCELLED_AT_MAX = 200


@asynccontextmanager
async def opened(
    config: DatabaseConfig, *, group_commit: bool, connections: int = 1
) -> AsyncIterator[EventStore]:
    """A store with so many connections, with or without group commit."""
    connection = await ConnectionFactory.create_connection(
        config.replace(min_pool_size=0, max_pool_size=connections)
    )
    try:
        connection.attachments[EventLog] = EventLog(connection, group_commit=group_commit)
        yield EventStore.of(connection)
    finally:
        await connection.close(timeout_s=5)


async def assert_clean(store: EventStore, config: DatabaseConfig) -> None:
    """No transaction is open on the server, and every connection of the pool can be had at once."""
    admin = await admin_connection(config)
    try:

        async def quiet() -> bool:
            count: int = await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
            return count == 0

        await until(quiet, limit_s=5)
    finally:
        await admin.close()
    size = store.connection.config.max_pool_size
    barrier = asyncio.Barrier(size)

    async def use() -> None:
        async with store.connection.acquire(timeout_s=5) as one:
            assert not one.is_in_transaction()
            await barrier.wait()

    await asyncio.gather(*(use() for _ in range(size)))
    assert store.connection.statistics().in_use == 0


async def commit_at_once(store: EventStore, order: Order) -> None:
    """Stage, and commit in one statement."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)


async def flush_and_commit(store: EventStore, order: Order) -> None:
    """Send in an open transaction, twice, and commit."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.flush()
        order.submit("B")
        await uow.orders.update_order(order)
        await uow.flush()
        await uow.orders.get_active_orders()


async def read_change_and_delete(store: EventStore, order: Order) -> None:
    """Read, change, and read again inside the Unit of Work."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.orders.get_order_by_id(order.id)
        order.tags = ("x",)
        await uow.orders.get_orders_by_symbol("ES")
        await uow.orders.update_order(order)


async def save_through_the_adapter(store: EventStore, order: Order) -> None:
    """A call that appends by itself."""
    await PostgreSQLOrderRepository(PostgreSQLAdapter(store.connection)).save_order(order)


async def save_in_the_adapters_transaction(store: EventStore, order: Order) -> None:
    """Two calls inside the adapter's open transaction."""
    adapter = PostgreSQLAdapter(store.connection)
    orders = PostgreSQLOrderRepository(adapter)
    async with adapter.transaction():
        await orders.save_order(order)
        order.submit("B")
        await orders.update_order(order)


WAYS = [
    commit_at_once,
    flush_and_commit,
    read_change_and_delete,
    save_through_the_adapter,
    save_in_the_adapters_transaction,
]


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_cancelling_at_any_await_leaves_nothing_open(
    migrated_config: DatabaseConfig, way: Callable[[EventStore, Order], Awaitable[Any]], group_commit: bool
):
    """Wherever it is cancelled: no open transaction, no lost connection, the entity's version is the log's.

    What was not saved can be saved afterwards.
    """
    async with opened(migrated_config, group_commit=group_commit) as store:
        outcomes = set()
        for at in range(1, CANCELLED_AT_MAX):
            # With the connection made and its statements prepared the awaits are the same each time.
            await way(store, Order.create_market_order("ES", Decimal(10), OrderSide.BUY))
            order = Order.create_market_order("ES", Decimal(10), OrderSide.BUY)

            async def work(order: Order = order) -> None:
                await way(store, order)

            cancelled, suspended = await cancelled_at(at, work)
            stored = await store.log.read_stream(order.id)
            assert order.version == len(stored)
            await assert_clean(store, migrated_config)
            outcomes.add((cancelled, bool(stored)))
            await commit_at_once(store, order)
            stored = await store.log.read_stream(order.id)
            assert order.version == len(stored) >= 1
            assert Order.fold(stored) == order
            if suspended < at:
                break
        else:
            pytest.fail(f"it was still suspended after {CANCELLED_AT_MAX} steps")
        # It ended uncancelled, and was cancelled: once sent, a commit waits for its answer.
        assert {(False, True), (True, True)} <= outcomes
        assert way in (commit_at_once, save_through_the_adapter) or (True, False) in outcomes


async def test_cancelling_many_at_once_leaves_nothing_open(migrated_config: DatabaseConfig):
    """A hundred Units of Work share statements; every second one is cancelled after a few steps of the loop."""
    async with opened(migrated_config, group_commit=True, connections=3) as store:
        for loops in range(0, 24, 3):
            orders = [Order.create_market_order("ES", Decimal(10), OrderSide.BUY) for _ in range(40)]
            tasks = [asyncio.ensure_future(commit_at_once(store, order)) for order in orders]
            for _ in range(loops):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert not any(isinstance(outcome, Exception) for outcome in outcomes)
            assert not any(outcomes[1::2])
            for order in orders:
                assert order.version == len(await store.log.read_stream(order.id))
            assert all(order.version == 1 for order in orders[1::2])
        await assert_clean(store, migrated_config)
