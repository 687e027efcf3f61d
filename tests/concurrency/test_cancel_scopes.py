"""A time limit around a commit gives what it promises, of asyncio and of anyio, on each way of committing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import anyio
import pytest

from eventstore.database import DatabaseConfig, PostgreSQLAdapter
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import TransactionError
from eventstore.repositories import PostgreSQLOrderRepository
from eventstore.store import EventStore
from tests.conftest import admin_connection
from tests.pools import assert_whole
from tests.waiting import until

LIMIT_S = 0.1
HELD_S = 0.3
"""For how long the server holds a commit up: the limit passes while the commit waits."""


def new_order() -> Order:
    return Order.create_market_order("ES", Decimal(1), OrderSide.BUY)


async def by_unit_of_work(store: EventStore, order: Order) -> None:
    """In one statement, with those of others where commits are grouped."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)


async def by_flush(store: EventStore, order: Order) -> None:
    """In a transaction that a flush opens."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.flush()


async def by_adapter(store: EventStore, order: Order) -> None:
    """By a repository that appends at each call."""
    await PostgreSQLOrderRepository(PostgreSQLAdapter(store.connection)).save_order(order)


async def by_adapters_transaction(store: EventStore, order: Order) -> None:
    """In a transaction of the user's."""
    adapter = PostgreSQLAdapter(store.connection)
    async with adapter.transaction():
        await PostgreSQLOrderRepository(adapter).save_order(order)


WAYS = [by_unit_of_work, by_flush, by_adapter, by_adapters_transaction]


@pytest.fixture(params=[True, False], ids=["group-commit", "each-alone"], name="opened")
async def opened_store(
    migrated_config: DatabaseConfig, request: pytest.FixtureRequest
) -> AsyncIterator[EventStore]:
    """A store whose commits are grouped, or are not."""
    async with EventStore.open(migrated_config.replace(group_commit=request.param), workers=False) as store:
        yield store
        # A connection whose statement was cancelled comes back once the server has answered, which is not at once.
        await until(lambda: store.connection.statistics().in_use == 0, limit_s=10)
        await assert_whole(store.connection)


@asynccontextmanager
async def held_up(config: DatabaseConfig) -> AsyncIterator[None]:
    """Let no commit through for a while."""
    admin = await admin_connection(config)
    await admin.execute("BEGIN; LOCK TABLE events IN EXCLUSIVE MODE")

    async def let_go() -> None:
        await asyncio.sleep(HELD_S)
        await admin.execute("ROLLBACK")

    task = asyncio.create_task(let_go())
    try:
        yield
    finally:
        await task
        await admin.close()


async def anyio_fail_after(work: Awaitable[Any]) -> bool:
    try:
        with anyio.fail_after(LIMIT_S):
            await work
    except TimeoutError:
        return True
    return False


async def anyio_move_on_after(work: Awaitable[Any]) -> bool:
    with anyio.move_on_after(LIMIT_S) as scope:
        await work
    return scope.cancelled_caught


async def anyio_task_group(work: Awaitable[Any]) -> bool:
    with anyio.move_on_after(LIMIT_S) as scope:
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await work

            group.start_soon(run)
    return scope.cancelled_caught


async def anyio_around_asyncio(work: Awaitable[Any]) -> bool:
    with anyio.move_on_after(LIMIT_S) as scope:
        async with asyncio.timeout(1.5 * LIMIT_S):
            await work
    return scope.cancelled_caught


async def asyncio_around_anyio(work: Awaitable[Any]) -> bool:
    try:
        async with asyncio.timeout(LIMIT_S):
            with anyio.move_on_after(1.5 * LIMIT_S):
                await work
    except TimeoutError:
        return True
    return False


async def asyncio_timeout(work: Awaitable[Any]) -> bool:
    try:
        async with asyncio.timeout(60), asyncio.timeout(LIMIT_S), asyncio.timeout(1.5 * LIMIT_S):
            await work
    except TimeoutError:
        return True
    return False


async def asyncio_wait_for(work: Awaitable[Any]) -> bool:
    try:
        await asyncio.wait_for(work, LIMIT_S)
    except TimeoutError:
        return True
    return False


LIMITS = [
    anyio_fail_after,
    anyio_move_on_after,
    anyio_task_group,
    anyio_around_asyncio,
    asyncio_around_anyio,
    asyncio_timeout,
    asyncio_wait_for,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_limit_that_passes_during_a_commit_ends_as_promised(
    opened: EventStore, migrated_config: DatabaseConfig, way: Callable[[EventStore, Order], Awaitable[None]]
):
    """It gives its own error, or is absorbed; the task has no cancellation left; the entity says what was written."""

    async def limited(limit: Callable[[Awaitable[Any]], Awaitable[bool]], order: Order) -> tuple[bool, int]:
        passed = await limit(way(opened, order))
        await asyncio.sleep(0)  # a cancellation that was left over would come here
        task = asyncio.current_task()
        assert task is not None
        return passed, task.cancelling()

    orders = [new_order() for _ in LIMITS]
    async with held_up(migrated_config):
        tasks = [asyncio.create_task(limited(*each)) for each in zip(LIMITS, orders, strict=True)]
        await asyncio.wait(tasks)
    told = {limit.__name__: task.result() for limit, task in zip(LIMITS, tasks, strict=True)}
    assert told == {limit.__name__: (True, 0) for limit in LIMITS}
    for order in orders:
        assert order.version == len(await opened.log.read_stream(order.id))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_scopes_that_end_at_any_moment_absorb_their_cancellation(
    opened: EventStore, way: Callable[[EventStore, Order], Awaitable[None]]
):
    """None escapes, none is lost, and no connection is."""

    async def one(number: int) -> Order:
        order = new_order()
        with anyio.move_on_after(0.0004 * (number % 12)) as scope:
            await way(opened, order)
        assert scope.cancelled_caught or order.version == 1
        return order

    for order in await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(60))):
        assert order.version == len(await opened.log.read_stream(order.id))


async def test_a_limit_around_a_rollback_ends_as_promised(opened: EventStore):
    """The roll-back is finished first, and the Unit of Work is over."""
    uow = opened.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(new_order())
    await uow.flush()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await uow.rollback()
    assert scope.cancelled_caught
    assert not uow.is_active


async def test_the_adapters_transaction_is_over_after_a_cancelled_commit(opened: EventStore):
    """A scope that ends before the commit is answered waits for the answer."""
    adapter = PostgreSQLAdapter(opened.connection)
    await adapter.begin_transaction()
    await adapter.execute("CREATE TEMPORARY TABLE noted (x int) ON COMMIT DROP")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await adapter.commit_transaction()
    assert scope.cancelled_caught
    with pytest.raises(TransactionError):
        await adapter.commit_transaction()
