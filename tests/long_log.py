"""A log that is long for a test: many orders and round trips of one portfolio, and a position with thousands of fills."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from tests.inspected_store import fold

if TYPE_CHECKING:
    from eventstore.store import EventStore

BEGAN_AT = datetime(2026, 3, 2, tzinfo=UTC)
ROUND_TRIPS = 600
FILLS = 2_000
"""The fills of the one position that has many."""

_AT_A_TIME = 200
D = Decimal


async def long_log(store: EventStore) -> Portfolio:
    """Trade, and fold everything into the read tables."""
    portfolio = Portfolio(name="Main", currency="USD", initial_capital=D(1_000_000), created_at=BEGAN_AT)
    orders, positions = [], [_market_maker(portfolio)]
    for number in range(ROUND_TRIPS):
        order = _order(portfolio, number)
        orders.append(order)
        positions.append(_round_trip(portfolio, order, number))
        portfolio.record_trade(
            f"E{number}", commission=D("0.5"), order_id=order.id, symbol=order.symbol, occurred_at=_at(number)
        )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    for begin in range(0, ROUND_TRIPS, _AT_A_TIME):
        async with store.unit_of_work() as uow:
            await uow.orders.save_many(orders[begin : begin + _AT_A_TIME])
            await uow.positions.save_many(positions[begin : begin + _AT_A_TIME])
    async with store.unit_of_work() as uow:
        await uow.positions.save_many(positions[ROUND_TRIPS:])
    await fold(store)
    return portfolio


def _at(number: int) -> datetime:
    return BEGAN_AT + timedelta(minutes=number)


def _order(portfolio: Portfolio, number: int) -> Order:
    order = Order.create_market_order(
        f"S{number % 5}",
        D(10),
        OrderSide.BUY,
        portfolio_id=portfolio.id,
        currency="USD",
        client_order_id=f"C{number}",
        occurred_at=_at(number),
    )
    order.submit(f"B{number}", occurred_at=_at(number))
    order.fill(D(10), D(100), f"E{number}", commission=D("0.5"), occurred_at=_at(number))
    return order


def _round_trip(portfolio: Portfolio, order: Order, number: int) -> Position:
    position = Position.open_by_fill(
        order.symbol,
        OrderSide.BUY,
        D(10),
        D(100),
        D("0.5"),
        execution_id=f"E{number}",
        order_id=order.id,
        portfolio_id=portfolio.id,
        currency="USD",
        occurred_at=_at(number),
    )
    for mark in range(4):
        position.mark(D(100 + mark), occurred_at=_at(number) + timedelta(seconds=mark))
    if number % 3:
        position.apply_fill(OrderSide.SELL, D(10), D(101), f"X{number}", occurred_at=_at(number + 1))
    return position


def _market_maker(portfolio: Portfolio) -> Position:
    position = Position.open_by_fill(
        "MM",
        OrderSide.BUY,
        D(2),
        D(100),
        execution_id="M",
        portfolio_id=portfolio.id,
        currency="USD",
        occurred_at=BEGAN_AT,
    )
    for side, number in _turns():
        at = BEGAN_AT + timedelta(seconds=number)
        position.apply_fill(side, D(1), D(100 + number % 7), f"M{number}", occurred_at=at)
    position.apply_fill(
        OrderSide.SELL, D(2), D(100), "M-last", occurred_at=BEGAN_AT + timedelta(seconds=FILLS)
    )
    return position


def _turns() -> Iterator[tuple[OrderSide, int]]:
    for number in range(FILLS):
        yield OrderSide.SELL if number % 2 else OrderSide.BUY, number
