"""Rivals: retried operations of many tasks on one order, and a check of all that each of them sees.

The order's price counts the successes, so one that is lost, or counted twice, shows at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConcurrencyError
from eventstore.repositories import IUnitOfWork, PostgreSQLTransactionManager

if TYPE_CHECKING:
    from eventstore.repositories.interfaces import IUnitOfWorkFactory

__all__ = ["STEPS", "Rivals", "Step", "elsewhere", "new_order"]

Step = Literal["count", "count twice", "fail", "read", "flush", "commit", "list", "cancel", "stranger"]
STEPS: tuple[Step, ...] = (
    "count",
    "count twice",
    "fail",
    "read",
    "flush",
    "commit",
    "list",
    "cancel",
    "stranger",
)
"""What a task does next; `stranger`: it counts outside of any turn, as another process would."""

_RETRIES_MAX = 10_000
_COUNTS = {"read": 0, "count twice": 2}


def new_order() -> Order:
    """An order whose price is 0."""
    return Order.create_limit_order("A", Decimal(1), OrderSide.BUY, limit_price=Decimal(0))


def elsewhere(work: Any) -> asyncio.Task[Any]:
    """Run a coroutine in a task that holds none of the turns which this one holds."""
    return asyncio.create_task(work, context=Context())


class FailedOnPurposeError(Exception):
    """An operation of a test has failed after it saved."""


class Rivals:
    """What tasks do to one order.

    Args:
        factory: Makes their Units of Work.
        history: Returns the committed events of a stream.
        order_id: The order.
    """

    def __init__(
        self,
        factory: IUnitOfWorkFactory,
        history: Callable[[UUID], Awaitable[Sequence[RecordedEvent]]],
        order_id: UUID,
    ) -> None:
        self.counted = 0
        """How often the order was counted up, without what was cancelled: nobody knows of that."""
        self.cancelled = 0
        self._factory = factory
        self._history = history
        self._order_id = order_id

    async def run(self, steps: Sequence[Step], pause: int = 0) -> None:
        """Do one step after the other, with so many turns of the event loop between reading and writing."""
        manager = PostgreSQLTransactionManager(self._factory)
        for step in steps:
            if step == "stranger":
                await elsewhere(self._count_as_stranger(pause))
                self.counted += 1
                continue
            operation = partial(self._operation, step=step, pause=pause)
            running = elsewhere(
                manager.execute_with_retry(operation, max_retries=_RETRIES_MAX, backoff_factor=0.01)
            )
            if step == "cancel":
                await _turns_of_the_loop(2 * pause)
                running.cancel()
                await asyncio.wait([running])
                self.cancelled += 1
                continue
            try:
                await running
            except FailedOnPurposeError:
                continue
            self.counted += _COUNTS.get(step, 1)

    async def check(self) -> None:
        """Every success is in the stream, once, and nothing else is."""
        events = await self._history(self._order_id)
        order = Order.fold(events)
        assert order is not None
        assert order.limit_price is not None
        assert len(events) == order.version == 1 + int(order.limit_price)
        assert self.counted <= order.limit_price <= self.counted + self.cancelled

    async def _operation(self, uow: IUnitOfWork, step: Step, pause: int) -> None:
        order = await self._get(uow)
        await _turns_of_the_loop(pause)
        if step == "read":
            return
        if step == "list":
            (listed,) = await uow.orders.get_active_orders()
            assert listed is order
        await _count(uow, order)
        if step == "count twice":
            assert await uow.orders.get_order_by_id(order.id) is order
            await _count(uow, order)
        if step == "flush":
            await uow.flush()
        if step == "commit":
            await uow.commit()
        if step == "fail":
            raise FailedOnPurposeError

    async def _get(self, uow: IUnitOfWork) -> Order:
        """Load the order: all is seen that was committed before, and what is seen is what the log says."""
        committed = len(await self._history(self._order_id))
        order = await uow.orders.get_order_by_id(self._order_id)
        assert order is not None
        assert order.version >= committed
        assert not order.has_unsaved_changes
        events = await self._history(self._order_id)
        folded = Order.fold(events[: order.version])
        assert folded is not None
        assert order.__dict__ == folded.__dict__
        return order

    async def _count_as_stranger(self, pause: int) -> None:
        while True:
            try:
                async with await self._factory.create_unit_of_work_async() as uow:
                    order = await self._get(uow)
                    await _turns_of_the_loop(pause)
                    await _count(uow, order)
            except ConcurrencyError:
                continue
            return


async def _count(uow: IUnitOfWork, order: Order) -> None:
    assert order.limit_price is not None
    order.limit_price += 1
    await uow.orders.update_order(order)


async def _turns_of_the_loop(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
