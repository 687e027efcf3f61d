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
from eventstore.domain.position import Position
from eventstore.errors import DomainError
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


EQUITY = ("currency", "equity", "capital", "pnl")


async def test_equity_after_a_busted_fee_in_a_coin(book: EventStore):
    """Once a fee was in a coin, each currency has its curve, also after the bust and as of any time; rates still lack the coin."""
    order = await trade(book, BUY, 1, 10, "A1", at(2), commission=D("0.01"), commission_currency="BNB")
    await bust(book, order, "A1", at(3))
    assert told((await book.reports.equity(every="month")), *EQUITY) == [
        ("USD", 1000, 1000, 0),
        ("BNB", 0, 0, 0),
    ]
    assert told(await book.reports.equity(occurred_at=at(2)), *EQUITY) == [
        ("USD", 1000, 1000, 0),
        ("BNB", D("-0.01"), 0, D("-0.01")),
    ]
    assert len(await book.reports.drawdown(every="month")) == 2
    with pytest.raises(DomainError, match="BNB"):
        await book.reports.equity(rates={})


async def test_equity_as_of_a_time_before_another_currency(book: EventStore):
    """The past of a portfolio that has a position in euros by now is in dollars alone."""
    await trade(book, BUY, 1, 10, "A1", at(2))
    await trade(book, SELL, 1, 15, "A2", at(3))
    await trade(book, BUY, 1, 10, "B1", at(5), symbol="B", currency="EUR", commission=D(1))
    for when in (at(2), at(4)):
        (row,) = await book.reports.equity(every="month", occurred_at=when)
        assert (row["currency"], row["pnl"]) == ("USD", 0 if when == at(2) else 5)
    assert told(await book.reports.equity(every="month"), *EQUITY) == [
        ("USD", 1005, 1000, 5),
        ("EUR", -1, 0, -1),
    ]


async def test_a_conversion_is_no_loss(book: EventStore):
    """Without rates, what was converted is capital of its currency: neither curve falls, and the results are those of `pnl`."""
    await in_portfolio(book, "record_trade", "T1", realized_pnl=D("34.5"), occurred_at=at(2))
    await in_portfolio(book, "convert", "USD", D(100), "EUR", D(90), occurred_at=at(3))
    assert told(await book.reports.equity(every="month"), *EQUITY) == [
        ("USD", D("934.5"), 900, D("34.5")),
        ("EUR", 90, 90, 0),
    ]
    assert told(await book.reports.drawdown(every="month"), "currency", "drawdown") == [
        ("USD", 0),
        ("EUR", 0),
    ]
    assert told(await book.reports.pnl(by="currency"), "currency", "total") == [("USD", D("34.5"))]
    (row,) = (await book.reports.equity(rates={"EUR": D("1.2")})).last(1)
    assert (row["equity"], row["capital"], row["pnl"]) == (D("1042.5"), 1000, D("42.5"))


async def test_a_recorded_trade_counts_unless_a_position_has_it(book: EventStore):
    """A trade of June that no position has stays when July brings a position, whose own trades count once, corrected ones too."""
    await in_portfolio(
        book, "record_trade", "T1", realized_pnl=D("12.5"), commission=D(1), symbol="Z", occurred_at=at(2)
    )
    june = [("2026-06", D("11.5"))]
    assert told(await book.reports.pnl(by="month"), "period", "total") == june
    order = await trade(book, BUY, 1, 10, "A1", at(1, 7), commission=D(2))
    july = [("2026-07", -2)]
    assert told(await book.reports.pnl(by="month"), "period", "total") == june + july
    await correct(
        book, order, "A1", price=D(9), new_execution_id="A1c", commission=D(3), occurred_at=at(2, 7)
    )
    await trade(book, SELL, 1, 11, "A2", at(3, 7))
    july = [("2026-07", -1)]
    assert told(await book.reports.pnl(by="month"), "period", "total") == june + july
    assert told(await book.reports.pnl(by="month", occurred_at=at(3)), "period", "total") == june
    assert told(await book.reports.pnl(by="symbol"), "symbol", "total") == [("A", -1), ("Z", D("11.5"))]


async def test_a_recorded_trade_of_the_same_id_elsewhere_counts(book: EventStore):
    """Ids repeat between orders, venues and symbols: only what both name decides whether a position has it."""
    order = await trade(book, BUY, 1, 10, "A1", at(2), venue="X")
    for named in ({"venue": "Y"}, {"symbol": "B"}, {"order_id": UUID(int=7)}):
        await in_portfolio(book, "record_trade", "A1", realized_pnl=D(5), occurred_at=at(3), **named)
    assert told(await book.reports.pnl(by=[]), "total") == [(15,)]
    assert order.id != UUID(int=7)


async def test_a_trade_that_has_the_id_of_an_event_of_a_position_counts_once(book: EventStore):
    """A close without an execution id may be recorded by the id of its event."""
    position = Position.open_position("A", D(1), D(10), portfolio_id=ONE, occurred_at=at(2))
    async with book.unit_of_work() as uow:
        await uow.positions.save_position(position)
    async with book.unit_of_work() as uow:
        found = await uow.positions.get_position_by_id(position.id)
        assert found is not None
        found.close(D(13), occurred_at=at(3))
        name = found.pending_events[-1].event_id
        await uow.positions.update_position(found)
    await in_portfolio(book, "record_trade", name, realized_pnl=D(3), occurred_at=at(3))
    assert told(await book.reports.pnl(by="symbol"), "symbol", "total") == [("A", 3)]


@pytest.mark.parametrize("by", [[], ["month"], ["day"]])
async def test_what_a_deleted_position_realised_stays(book: EventStore, by: list[Any]):
    """A deletion in the period of the close, or without periods, loses no result; what was only open is gone."""
    await trade(book, BUY, 2, 10, "A1", at(2), commission=D(1))
    await trade(book, SELL, 1, 15, "A2", at(3))
    await trade(book, BUY, 1, 10, "B1", at(3), symbol="B")
    (row,) = await book.reports.positions(symbol="A")
    async with book.unit_of_work() as uow:
        found = await uow.positions.get_position_by_id(UUID(row["position_id"]))
        assert found is not None
        found.mark(D(20), occurred_at=at(4))
        await uow.positions.update_position(found)
    async with book.unit_of_work() as uow:
        await uow.positions.delete_position(UUID(row["position_id"]))
    report = await book.reports.pnl(by=by)
    sums = {name: sum(one[name] for one in report) for name in ("realized_pnl", "unrealized_change", "total")}
    assert sums == {"realized_pnl": 5, "unrealized_change": 0, "total": 4}
