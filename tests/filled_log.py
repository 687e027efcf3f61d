"""A log with events of every kind, to rebuild from."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from projections import (
    OrdersProjection,
    PortfoliosProjection,
    PositionsProjection,
    Projection,
    ProjectionWorker,
)

if TYPE_CHECKING:
    from eventstore.store import EventStore


D = Decimal


async def fill_the_log(store: EventStore) -> None:
    """Ten orders in various states, positions that flipped, a portfolio, some deleted."""
    portfolio = Portfolio(name="main", initial_capital=D(1000))
    for number in range(10):
        order = Order.create_market_order("ES", D(10), OrderSide.BUY)
        position = Position.open_position("ES", D(3), D("10.25"), D("0.10"))
        async with store.unit_of_work() as uow:
            order.submit(f"B-{number}")
            order.fill(D(number + 1), D("10.10"), "E-1")
            opposite = position.apply_fill(OrderSide.SELL, D(5), D("10.50"), "E-1", commission=D("0.30"))
            portfolio.record_trade(f"T-{number}", realized_pnl=D("0.75"), commission=D("0.10"))
            await uow.orders.save_order(order)
            await uow.positions.save_many([position, opposite] if opposite else [position])
            await uow.portfolios.save_portfolio(portfolio)
        if number % 4 == 0:
            async with store.unit_of_work() as uow:
                await uow.orders.delete_order(order.id)
                await uow.positions.delete_position(position.id)
    projections: list[Projection[Any]] = [OrdersProjection(), PositionsProjection(), PortfoliosProjection()]
    for projection in projections:
        worker = ProjectionWorker(store.log, projection, batch_events_max=3)
        while await worker.run_once():
            pass
