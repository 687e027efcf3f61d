"""The inspector of a portfolio of several currencies: rates on the time slider, all currencies in the blotter."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import DomainError
from eventstore.testing.strategies import EPOCH
from eventstore.ui.rendering import moment
from tests.inspector_client import Page, browsing

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal
RATES = "EUR/USD=1.25, USD/JPY=160"


@pytest_asyncio.fixture
async def desk(store: EventStore) -> Portfolio:
    """A portfolio in dollars that holds euros, yen and a coin, with a position in yen."""
    portfolio = Portfolio(name="world", currency="USD", initial_capital=D(1000), created_at=EPOCH)
    portfolio.convert("USD", D(125), "EUR", D(100), occurred_at=EPOCH)
    portfolio.convert("USD", D(10), "JPY", D(1600), occurred_at=EPOCH)
    position = Position.open_position(
        "7203.T",
        D(1),
        D(1600),
        currency="JPY",
        portfolio_id=portfolio.id,
        commission=D("0.002"),
        commission_currency="BNB",
        occurred_at=EPOCH,
    )
    position.mark(D(1760), occurred_at=EPOCH)
    order = Order.create_market_order("7203.T", D(1), OrderSide.BUY, currency="JPY", occurred_at=EPOCH)
    order.submit("B-1", occurred_at=EPOCH)
    order.fill(D(1), D(1600), "E-1", commission=D("0.002"), commission_currency="BNB", occurred_at=EPOCH)
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
        await uow.orders.save_order(order)
    return portfolio


async def test_results_and_income_of_each_currency_are_beside_the_book(store: EventStore, desk: Portfolio):
    """The tiles add up: none leaves out what was earned in another currency."""
    desk.record_trade("E-2", realized_pnl=D("2.5"), currency="EUR", occurred_at=EPOCH)
    desk.record_cash(CashKind.DIVIDEND, D("0.75"), currency="JPY", occurred_at=EPOCH)
    async with store.unit_of_work() as uow:
        await uow.portfolios.update_portfolio(desk)
    async with browsing(store) as client:
        page = Page((await client.get("/time", params={"portfolio": str(desk.id)})).text)
    assert "2.50 EUR" in page.text
    assert "1 JPY" in page.text


async def test_the_slider_ends_with_what_occurred_last(store: EventStore, desk: Portfolio):
    """Also if a thousand events that occurred before it were recorded after it."""
    last = EPOCH + timedelta(days=1)
    desk.record_trade("E-2", realized_pnl=D(7), occurred_at=last)
    async with store.unit_of_work() as uow:
        await uow.portfolios.update_portfolio(desk)
    async with store.unit_of_work() as uow:
        for _ in range(1_001):
            await uow.orders.save_order(
                Order.create_market_order("ES", D(1), OrderSide.BUY, occurred_at=EPOCH)
            )
    async with browsing(store) as client:
        page = await client.get("/time", params={"portfolio": str(desk.id)})
    assert f'data-end="{moment(last)}"' in page.text


async def test_the_book_and_the_curve_are_at_the_rates(store: EventStore, desk: Portfolio):
    """1,000 dollars and what the yen made, 160 at 160; without a rate one line says which is missing."""
    of: dict[str, Any] = {"portfolio": desk.id}
    async with browsing(store) as client:
        page = Page((await client.get("/time", params={**of, "rates": RATES})).text)
        assert "1,001.00" in page.text
        assert "need a rate" not in page.text
        curve = (await client.get("/time/equity", params={**of, "rates": RATES})).json()
        assert (curve["equity"][-1], curve["why"]) == (1001.0, "")
        head = await store.log.head()
        book = await client.get("/time/book", params={**of, "clock": "position", "at": head, "rates": RATES})
        assert "1,001.00" in book.text
        page = Page((await client.get("/time", params=of)).text)
        assert "give the rate EUR/USD" in page.text or "give the rate JPY/USD" in page.text
        why = (await client.get("/time/equity", params=of)).json()["why"]
        assert "give the rate" in why
        refused = await client.get("/time", params={**of, "rates": "EUR=x"})
        assert refused.status_code == 400
        assert "is not a rate: write EUR=1.0842 or EUR/USD=1.0842" in Page(refused.text).text
    async with browsing(store, rates={"EUR/USD": D("1.25"), "USD/JPY": D(160)}) as client:
        page = Page((await client.get("/time", params=of)).text)
        assert "1,001.00" in page.text
        page = Page((await client.get("/time", params={**of, "rates": ""})).text)
        assert "give the rate" in page.text
    with pytest.raises(DomainError):
        async with browsing(store, rates={"EUR/": D(1)}):
            pass


async def test_the_blotter_has_all_currencies(store: EventStore, desk: Portfolio):
    """The commission of an order and of a position in the coin that it was paid in, the cash of a portfolio in each currency."""
    async with browsing(store) as client:
        assert "0.002 BNB" in Page((await client.get("/blotter/orders")).text).text
        positions = Page((await client.get("/blotter/positions")).text).text
        assert "0.002 BNB" in positions
        assert "160" in positions
        assert "160.00" not in positions
        assert "865.00; 100.00 EUR; 1,600 JPY" in Page((await client.get("/blotter/portfolios")).text).text
