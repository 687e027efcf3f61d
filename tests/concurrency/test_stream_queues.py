"""Turns: retried operations of one process on one stream queue, and a turn that does not come holds up nobody for good."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from eventstore.domain.order import Order, OrderSide
from eventstore.repositories import PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory, stream_queues
from eventstore.testing import InMemoryUnitOfWorkFactory
from tests.rival_writers import elsewhere

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.repositories.interfaces import IUnitOfWork
    from eventstore.store import EventStore


async def amend(uow: IUnitOfWork, order_id: UUID, price: int, attempts: list[int]) -> None:
    """Set an order's price."""
    attempts.append(price)
    order = await uow.orders.get_order_by_id(order_id)
    assert order is not None
    order.limit_price = Decimal(price)
    await uow.orders.update_order(order)


async def saved(store: EventStore) -> Order:
    """An order."""
    order = Order.create_limit_order("A", Decimal(1), OrderSide.BUY, limit_price=Decimal(100_000))
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    return order


def manager_of(store: EventStore) -> PostgreSQLTransactionManager:
    """A manager of its own, as any part of a process may make one."""
    return PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))


async def test_rivals_of_one_process_meet_few_conflicts(store: EventStore):
    """Eight writers, twenty amendments each: all are in the stream, and few attempts were for nothing.

    Without turns each success costs the others an attempt, and several give up after three retries.
    """
    order = await saved(store)
    attempts: list[int] = []

    async def writer(number: int) -> None:
        manager = manager_of(store)
        for turn in range(20):
            await manager.execute_with_retry(
                partial(amend, order_id=order.id, price=1 + number * 20 + turn, attempts=attempts)
            )

    await asyncio.gather(*(writer(number) for number in range(8)))
    events = await store.log.read_stream(order.id)
    assert len(events) == 1 + 160
    assert len(attempts) <= 160 + 40
    assert not stream_queues._queues


async def test_two_streams_in_opposite_orders_end(store: EventStore, monkeypatch):
    """Operations that hold one stream and want the other's go on without a turn, and both succeed."""
    monkeypatch.setattr(stream_queues, "HOLD_TIMEOUT_S", 0.05)
    orders = [await saved(store) for _ in range(2)]

    async def both(uow: IUnitOfWork, first: Order, second: Order, price: int) -> None:
        for order in (first, second):
            await amend(uow, order.id, price, [])
            await asyncio.sleep(0)

    async def writer(number: int) -> None:
        manager = manager_of(store)
        first, second = orders if number % 2 else reversed(orders)
        for turn in range(5):
            operation = partial(both, first=first, second=second, price=1 + number * 5 + turn)
            await manager.execute_with_retry(operation, max_retries=100)

    async with asyncio.timeout(60):
        await asyncio.gather(*(writer(number) for number in range(4)))
    for order in orders:
        assert len(await store.log.read_stream(order.id)) == 1 + 20
    assert not stream_queues._queues


async def test_a_cancelled_operation_leaves_its_place(store: EventStore):
    """Of those who wait for their turn, one is cancelled: the others get theirs."""
    order = await saved(store)
    holder = stream_queues.StreamQueues()
    async with holder.attempt():
        assert await holder.take(order.id)
        waiting = [
            asyncio.ensure_future(
                manager_of(store).execute_with_retry(
                    partial(amend, order_id=order.id, price=price, attempts=[])
                )
            )
            for price in (1, 2, 3)
        ]
        await asyncio.sleep(0)
        waiting[1].cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
    assert len(await store.log.read_stream(order.id)) == 3
    assert not stream_queues._queues


async def test_a_long_line_moves_in_order_and_not_all_at_once(monkeypatch):
    """Four hundred operations on one order wait longer than a turn may last: each still needs few attempts."""
    monkeypatch.setattr(stream_queues, "HOLD_TIMEOUT_S", 0.1)
    factory = InMemoryUnitOfWorkFactory()
    order = Order.create_limit_order("A", Decimal(1), OrderSide.BUY, limit_price=Decimal(100_000))
    async with factory.create_unit_of_work() as uow:
        await uow.orders.save_order(order)
    attempts: list[int] = []

    async def slowly(uow: IUnitOfWork, price: int) -> None:
        await amend(uow, order.id, price, attempts)
        await asyncio.sleep(0.003)

    manager = PostgreSQLTransactionManager(factory)
    count = 400
    await asyncio.gather(
        *(
            manager.execute_with_retry(partial(slowly, price=1 + number), max_retries=10_000)
            for number in range(count)
        )
    )
    assert len(attempts) <= 2.5 * count
    assert not stream_queues._queues


async def test_one_that_takes_long_loses_its_turn(monkeypatch):
    """The others go on meanwhile; it meets a conflict, and succeeds in its next turn."""
    monkeypatch.setattr(stream_queues, "HOLD_TIMEOUT_S", 0.02)
    factory = InMemoryUnitOfWorkFactory()
    order = Order.create_limit_order("A", Decimal(1), OrderSide.BUY, limit_price=Decimal(100_000))
    async with factory.create_unit_of_work() as uow:
        await uow.orders.save_order(order)
    manager = PostgreSQLTransactionManager(factory)
    others_are_done = asyncio.Event()
    attempts: list[int] = []

    async def slow(uow: IUnitOfWork) -> None:
        await amend(uow, order.id, 1, attempts)
        await others_are_done.wait()

    async with stream_queues.StreamQueues().attempt():  # the stream is hot
        holder = stream_queues.StreamQueues()
        async with holder.attempt():
            assert await holder.take(order.id)
            slow_one = elsewhere(manager.execute_with_retry(slow))
            await asyncio.sleep(0)
            others = [
                elsewhere(
                    manager.execute_with_retry(
                        partial(amend, order_id=order.id, price=2 + number, attempts=[])
                    )
                )
                for number in range(5)
            ]
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await asyncio.gather(*others)
            others_are_done.set()
            await slow_one
    assert attempts == [1, 1]
    assert not stream_queues._queues


def test_the_cost_of_a_turn_does_not_grow_with_those_that_wait():
    """Four times as many take about four times as long."""

    async def take_turns(count: int) -> None:
        stream_id = uuid4()

        async def one() -> None:
            mine = stream_queues.StreamQueues()
            async with mine.attempt():
                assert await mine.take(stream_id)

        await asyncio.gather(*(one() for _ in range(count)))
        assert not stream_queues._queues

    def seconds(count: int) -> float:
        taken = []
        for _ in range(3):
            began = time.process_time()
            asyncio.run(take_turns(count))
            taken.append(time.process_time() - began)
        return min(taken)

    assert seconds(4_000) / seconds(1_000) < 9
