"""Reports of what was taken back, recorded without a position, converted or deleted; each answer is written down by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from eventstore.domain.executions import OrderSide
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.store import EventStore

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
ONE = UUID(int=1)


def at(day: int, month: int = 6) -> datetime:
    """A time in June, or in another month."""
    return datetime(2026, month, day, 12, tzinfo=UTC)


@pytest_asyncio.fixture
async def book(store: EventStore) -> EventStore:
    """A portfolio of 1000 dollars that begins on 1 June."""
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(
            Portfolio(id=ONE, name="one", currency="USD", initial_capital=D(1000), created_at=at(1))
        )
    return store


async def trade(  # noqa: PLR0917 - the facts of a fill
    store: EventStore,
    side: OrderSide,
    quantity: int,
    price: int,
    execution_id: str,
    when: datetime,
    *,
    symbol: str = "A",
    currency: str = "USD",
    **more: Any,
) -> Order:
    """An order with one fill, booked."""
    order = Order.create_market_order(
        symbol, D(quantity), side, currency=currency, portfolio_id=ONE, occurred_at=when
    )
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.book(order).fill(D(quantity), D(price), execution_id, occurred_at=when, **more)
    return order


async def correct(store: EventStore, order: Order, execution_id: str, **values: Any) -> None:
    """A correction, booked."""
    async with store.unit_of_work() as uow:
        found = await uow.orders.get_order_by_id(order.id)
        assert found is not None
        await uow.book(found).correct(execution_id, **values)


async def bust(store: EventStore, order: Order, execution_id: str, when: datetime) -> None:
    """A bust, booked."""
    async with store.unit_of_work() as uow:
        found = await uow.orders.get_order_by_id(order.id)
        assert found is not None
        await uow.book(found).bust(execution_id, occurred_at=when)


async def in_portfolio(store: EventStore, command: str, *arguments: Any, **named: Any) -> None:
    """A command of the portfolio."""
    async with store.unit_of_work() as uow:
        found = await uow.portfolios.get_portfolio_by_id(ONE)
        assert found is not None
        getattr(found, command)(*arguments, **named)
        await uow.portfolios.update_portfolio(found)


def told(report: Any, *names: str) -> list[tuple[Any, ...]]:
    """The values of some columns."""
    return [tuple(row[name] for name in names) for row in report]


ROUND_TRIP = ("side", "quantity", "entry_price", "exit_price", "realized_pnl")


@pytest.mark.parametrize("new_id", [None, "A1c"])
async def test_a_correction_has_the_place_of_what_it_replaced(book: EventStore, new_id: str | None):
    """A purchase that is corrected after the close is still the entry, also at the second correction."""
    first = await trade(book, BUY, 2, 10, "A1", at(2))
    await trade(book, SELL, 2, 12, "A2", at(3))
    await correct(book, first, "A1", price=D(9), new_execution_id=new_id, occurred_at=at(4))
    assert told(await book.reports.trades(), *ROUND_TRIP) == [("LONG", 2, 9, 12, 6)]
    await correct(book, first, new_id or "A1", price=D(8), occurred_at=at(5))
    assert told(await book.reports.trades(), *ROUND_TRIP) == [("LONG", 2, 8, 12, 8)]


async def test_a_corrected_flip_is_the_exit_of_one_and_the_entry_of_the_next(book: EventStore):
    """2 bought at 10, 5 sold at 12, which is corrected to 13, and 3 bought at 11: one long and one short round trip."""
    await trade(book, BUY, 2, 10, "A1", at(2))
    flip = await trade(book, SELL, 5, 12, "A2", at(3))
    await trade(book, BUY, 3, 11, "A3", at(4))
    await correct(book, flip, "A2", price=D(13), new_execution_id="A2c", occurred_at=at(5))
    assert sorted(told(await book.reports.trades(), *ROUND_TRIP)) == [
        ("LONG", 2, 10, 13, 6),
        ("SHORT", 3, 13, 11, 6),
    ]


async def test_what_was_taken_back_is_no_round_trip(book: EventStore):
    """A position whose only fill was busted has no row; its neighbour has one."""
    order = await trade(book, BUY, 1, 10, "A1", at(2))
    await bust(book, order, "A1", at(3))
    await trade(book, BUY, 1, 10, "B1", at(4), symbol="B")
    await trade(book, SELL, 1, 11, "B2", at(5), symbol="B")
    assert len(await book.reports.positions(which="closed")) == 2
    assert told(await book.reports.trades(), "symbol", "quantity") == [("B", 1)]
