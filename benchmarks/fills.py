"""Fills of a position that is never flat, as a market maker has it: the last ones beside the first ones."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.bench import Bench
from benchmarks.workload import Figure, Goal, Workload, in_turn
from eventstore import EventStore, Order, OrderSide, Portfolio, Position
from eventstore.domain import Settlement
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, ProjectionWorker

if TYPE_CHECKING:
    from eventstore.repositories import PostgreSQLUnitOfWork

__all__ = ["LoadLongPosition", "ManyFills"]

_FILLS_OF_AN_ORDER = 10
_FILLS_OF_A_COMMIT = 500
_BASE = Decimal(1_000_000)
_DATABASE = "fills"
_numbers = count(1)


class _Maker:
    """A market maker in one symbol: short orders of both sides, and one position that stays open."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.symbol = f"MADE{next(_numbers)}"
        self.portfolio_id = UUID(int=0)
        self.position_id = UUID(int=0)
        self._open: list[UUID] = []

    async def begin(self) -> None:
        """Save the portfolio, and buy what stays open."""
        portfolio = Portfolio(name=self.symbol, initial_capital=_BASE, settlement=Settlement.ON_MARGIN)
        self.portfolio_id = portfolio.id
        async with self.store.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)
            order = self._order(OrderSide.BUY, _BASE)
            booking = await uow.book(order).fill(_BASE, Decimal(100), str(next(_numbers)))
        self.position_id = booking.positions[0].id

    async def fill(self) -> None:
        """Load an order, and book one fill of it, in a separate Unit of Work."""
        if not self._open:
            await self._place()
        async with self.store.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(self._open.pop())
            if order is None:
                raise RuntimeError("what was saved is gone")
            await _fill(uow, order)

    async def fill_many(self, fills: int) -> None:
        """Book so many fills, many in one Unit of Work."""
        for begin in range(0, fills, _FILLS_OF_A_COMMIT):
            async with self.store.unit_of_work() as uow:
                for number in range(begin, min(begin + _FILLS_OF_A_COMMIT, fills)):
                    if number % _FILLS_OF_AN_ORDER == 0:
                        side = OrderSide.BUY if number // _FILLS_OF_AN_ORDER % 2 else OrderSide.SELL
                        order = self._order(side, Decimal(_FILLS_OF_AN_ORDER))
                    await _fill(uow, order)
            await self.fold()

    async def load(self) -> Position:
        """Load the position."""
        async with self.store.unit_of_work() as uow:
            position = await uow.positions.get_position_by_id(self.position_id)
        if position is None:
            raise RuntimeError("what was saved is gone")
        return position

    async def fold(self) -> None:
        """Bring the read tables up to the end of the log."""
        head = await self.store.log.head()
        for kind in (OrdersProjection, PositionsProjection, PortfoliosProjection):
            worker: ProjectionWorker[Any] = ProjectionWorker(self.store.log, kind())
            await worker.catch_up(head)

    def _order(self, side: OrderSide, quantity: Decimal) -> Order:
        order = Order.create_limit_order(
            self.symbol, quantity, side, limit_price=Decimal(100), portfolio_id=self.portfolio_id
        )
        order.submit(str(order.id))
        return order

    async def _place(self) -> None:
        orders = [self._order(side, Decimal(_FILLS_OF_AN_ORDER)) for side in OrderSide]
        async with self.store.unit_of_work() as uow:
            await uow.orders.save_many(orders)
        self._open = [order.id for order in orders for _ in range(_FILLS_OF_AN_ORDER)]


async def _fill(uow: PostgreSQLUnitOfWork, order: Order) -> None:
    number = next(_numbers)
    await uow.book(order).fill(Decimal(1), Decimal(100) + number % 7, str(number))


async def _long(bench: Bench) -> _Maker:
    """Return the maker with the long position; made at the first call."""
    store = await bench.database(_DATABASE)
    known = _makers.get(store)
    if known is None:
        known = _makers[store] = _Maker(store)
        await known.begin()
        await known.fill_many(bench.sizes.fills)
        await known.fold()
    return known


_makers: dict[EventStore, _Maker] = {}


class ManyFills(Workload):
    """What a fill costs a position that has had many, beside one that is new."""

    name = "many_fills"
    title = "one fill booked into order, position and portfolio, after 100,000 of them / the first ones"
    unit = "µs"
    goals = (Goal(1.2, "at_most"),)

    async def prepare(self, bench: Bench) -> None:
        """Make the long position."""
        await _long(bench)

    async def measure(self, bench: Bench) -> Figure:
        """Fill both in turn, while a worker in a second process folds, as in production."""
        long = await _long(bench)
        new = _Maker(long.store)
        await new.begin()
        async with bench.worker(_DATABASE, "orders", "positions", "portfolios"):
            last, first = await in_turn(bench.sizes.reads, long.fill, new.fill)
            await long.store.wait_for(
                await long.store.log.head(), projections=["orders", "positions", "portfolios"]
            )
        return Figure(1e6 * last, 1e6 * first)


class LoadLongPosition(Workload):
    """What it costs to load a position that has had many fills."""

    name = "load_long_position"
    title = "load a position of 100,000 fills / the goal itself"
    unit = "ms"
    goals = (Goal(1.0, "at_most", floor=2.0),)

    async def prepare(self, bench: Bench) -> None:
        """Make the long position."""
        await _long(bench)

    async def measure(self, bench: Bench) -> Figure:
        """Load it, again and again."""
        (took,) = await in_turn(bench.sizes.reads, (await _long(bench)).load)
        return Figure(1e3 * took, 2.0)
