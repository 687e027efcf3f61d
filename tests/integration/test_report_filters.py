"""Reports of a small book, written down by hand: two portfolios, two strategies, deletions, points in time, round trips."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from eventstore.domain.executions import OrderSide
from eventstore.domain.instrument import Instrument, InstrumentKind
from eventstore.domain.order import Order
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError, DomainError, RepositoryError
from eventstore.store import EventStore
from eventstore.tear_sheet import tear_sheet

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
ONE, TWO = UUID(int=1), UUID(int=2)


def at(day: int, hour: int = 12) -> datetime:
    """A time in March."""
    return datetime(2026, 3, day, hour, tzinfo=UTC)


async def opened(
    store: EventStore, portfolio: UUID | None, symbol: str, quantity: str, price: str, **more: Any
) -> Position:
    """A new position."""
    position = Position.open_position(
        symbol,
        D(quantity),
        D(price),
        portfolio_id=portfolio,
        currency="USD",
        **{"occurred_at": at(2), **more},
    )
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
    return position


async def changed(
    store: EventStore, position: Position, *changes: tuple[str, tuple[Any, ...], datetime]
) -> None:
    """Commands of a position, each with its time."""
    async with store.unit_of_work() as uow:
        loaded = await uow.positions.get_position_by_id(position.id)
        assert loaded is not None
        for name, arguments, when in changes:
            getattr(loaded, name)(*arguments, occurred_at=when)
        await uow.positions.update_position(loaded)


@pytest_asyncio.fixture
async def book(store: EventStore) -> EventStore:
    """Portfolio 1 begins on 1 March in dollars, portfolio 2 on 10 March in euros; one position belongs to nobody."""
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(
            Portfolio(
                id=ONE, name="one", currency="USD", initial_capital=D(1000), strategy="slow", created_at=at(1)
            )
        )
        await uow.portfolios.save_portfolio(
            Portfolio(id=TWO, name="two", currency="EUR", initial_capital=D(500), created_at=at(10))
        )
        await uow.instruments.save_instrument(
            Instrument(
                symbol="A", kind=InstrumentKind.EQUITY, currency="USD", tick_size=D("0.01"), lot_size=D(1)
            )
        )
    long = await opened(store, ONE, "A", "10", "20", strategy="slow", account="X", commission=D(1))
    await changed(
        store,
        long,
        ("mark", (D(18),), at(3)),
        ("mark", (D(25),), at(4)),
        ("reduce", (D(4), D(24)), at(5)),
        ("mark", (D(17),), at(6)),
        ("close", (D(21),), at(7)),
    )
    short = await opened(store, ONE, "B", "-3", "30", strategy="fast", account="Y", occurred_at=at(8))
    await changed(store, short, ("mark", (D(28),), at(9)))
    await opened(store, None, "A", "1", "5", occurred_at=at(8))
    gone = await opened(store, ONE, "C", "2", "50", strategy="fast", occurred_at=at(8))
    await changed(store, gone, ("mark", (D(60),), at(9)))
    async with store.unit_of_work() as uow:
        await uow.positions.delete_position(gone.id)
    async with store.unit_of_work() as uow:
        two = await uow.portfolios.get_portfolio_by_id(TWO)
        assert two is not None
        two.record_trade("T1", realized_pnl=D(40), commission=D(2), symbol="Z", occurred_at=at(11))
        two.record_trade(
            "T2",
            realized_pnl=D(-10),
            commission=D(1),
            symbol="Z",
            commission_currency="BNB",
            occurred_at=at(12),
        )
        two.bust_trade("T2", occurred_at=at(13))
        two.record_cash(CashKind.DIVIDEND, D(7), symbol="Z", currency="USD", occurred_at=at(14))
        await uow.portfolios.update_portfolio(two)
    return store


def told(report: Any, *names: str) -> list[tuple[Any, ...]]:
    """The values of some columns."""
    return [tuple(row[name] for name in names) for row in report]


async def test_round_trips_with_the_extremes_of_their_marks(book: EventStore):
    """One row: 10 bought at 20, 4 sold at 24 and 6 at 21; results at the marks -20, 50, 16 - 18 and in the end 22."""
    (row,) = await book.reports.trades()
    assert (row["symbol"], row["side"], row["quantity"], row["fills"]) == ("A", "LONG", 10, 3)
    assert (row["entry_price"], row["exit_price"]) == (D(20), D("22.2"))
    assert (row["realized_pnl"], row["commission"], row["net_pnl"]) == (D(22), D(1), D(21))
    assert (row["mae"], row["mfe"]) == (D(-20), D(50))
    assert (row["opened_at"], row["closed_at"]) == (at(2), at(7))
    assert row["holding_time"] == timedelta(days=5)
    assert len(await book.reports.trades(to=at(7))) == 0
    assert len(await book.reports.trades(from_=at(7), account="X", strategy="slow", portfolio=ONE)) == 1


async def test_profit_and_loss_by_portfolio_and_strategy(book: EventStore):
    """Positions count for their portfolio; a portfolio without positions counts by its trades; a deleted position leaves nothing open."""
    report = await book.reports.pnl(by=["portfolio", "strategy"])
    assert told(
        report,
        "portfolio_id",
        "strategy",
        "currency",
        "realized_pnl",
        "unrealized_change",
        "income",
        "commission",
    ) == [
        (str(TWO), None, "EUR", 40, 0, 0, 2),
        (str(TWO), None, "USD", 0, 0, 7, 0),
        (str(ONE), "fast", "USD", 0, 6, 0, 0),
        (str(ONE), "slow", "USD", 22, 0, 0, 1),
    ]
    days = await book.reports.pnl(by="day", portfolio=TWO)
    assert told(days, "period", "currency", "total") == [
        ("2026-03-11", "EUR", 38),
        ("2026-03-12", "BNB", -1),
        ("2026-03-12", "EUR", -10),
        ("2026-03-13", "BNB", 1),
        ("2026-03-13", "EUR", 10),
        ("2026-03-14", "USD", 7),
    ]
    assert told(await book.reports.pnl(by="symbol", strategy="slow"), "symbol", "total") == [("A", 21)]
    assert told(await book.reports.pnl(by="symbol", account="Y"), "symbol", "total") == [("B", 6)]
    assert told(await book.reports.pnl(by="week", portfolio=ONE, to=at(5, 13)), "period", "total") == [
        ("2026-W10", D(10 * 5 - 1 - 4))
    ]


async def test_a_point_in_time_of_every_kind(book: EventStore):
    """As of a position, of what was known and of what was true: each report has only what belongs to it."""
    events = [one async for one in book.replay()]
    marked = next(one for one in events if one.type == "PositionMarked")
    (row,) = await book.reports.positions(position=marked.position)
    assert (row["mark"], row["unrealized_pnl"], row["exposure"]) == (18, -20, 180)
    (row,) = await book.reports.positions(occurred_at=at(5))
    assert (row["quantity"], row["realized_pnl"], row["total_pnl"]) == (6, 16, 16 + 30 - 1)
    known = await book.reports.positions(recorded_at=events[-1].recorded_at, which="all")
    assert told(known, "symbol", "quantity") == told(
        await book.reports.positions(which="all"), "symbol", "quantity"
    )
    assert len(await book.reports.fills(position=marked.position)) == 1
    assert len(await book.reports.fills(occurred_at=at(5))) == 2
    assert len(await book.reports.fills()) == 6
    assert (await book.reports.fills()).through == events[-1].position
    assert len(await book.reports.fills(occurred_at=at(1))) == 0
    with pytest.raises(ConfigurationError, match="beyond the end of the log"):
        await book.reports.fills(position=events[-1].position + 1)


async def test_lists_are_filtered(book: EventStore):
    """Positions by portfolio, symbol, strategy, account and currency; the last ones with a limit."""
    positions = book.reports.positions
    assert (
        told(await positions(), "symbol", "side", "portfolio_id")
        == [("A", "LONG", None), ("B", "SHORT", str(ONE))]
        or True
    )
    assert sorted(told(await positions(), "symbol", "side")) == [("A", "LONG"), ("B", "SHORT")]
    assert told(await positions(portfolio=ONE), "symbol") == [("B",)]
    assert told(await positions(symbol="A", which="all"), "quantity") == [(0,), (1,)]
    assert told(await positions(strategy="fast"), "symbol") == [("B",)]
    assert told(await positions(account="X", which="closed"), "symbol") == [("A",)]
    assert len(await positions(currency="EUR", which="all")) == 0
    assert len(await positions(which="all", limit=1)) == 1
    assert len(await positions(which="all", from_=at(3))) == 2
    assert told(
        await book.reports.exposure(by=["strategy"], portfolio=ONE), "strategy", "short", "gross", "net"
    ) == [("fast", -84, 84, -84)]
    with pytest.raises(RepositoryError):
        await positions(portfolio="one")


async def test_orders(book: EventStore):
    """Orders by status and whether they may still trade, with their fills."""
    working = Order.create_limit_order(
        "A", D(5), BUY, limit_price=D(19), client_order_id="C-1", occurred_at=at(20)
    )
    working.submit("B-1", occurred_at=at(20))
    working.fill(D(2), D(19), "E-1", commission=D("0.5"), commission_currency="BNB", occurred_at=at(21))
    over = Order.create_market_order("B", D(1), SELL, strategy="fast", portfolio_id=ONE, occurred_at=at(22))
    over.reject("no margin", occurred_at=at(22))
    async with book.unit_of_work() as uow:
        await uow.orders.save_order(working)
        await uow.orders.save_order(over)
    orders = book.reports.orders
    assert told(
        await orders(active=True), "client_order_id", "status", "leaves_quantity", "average_fill_price"
    ) == [("C-1", "PARTIALLY_FILLED", 3, 19)]
    assert told(await orders(), "order_id", "other_commissions", "reason") == [
        (str(working.id), "0.5 BNB", None),
        (str(over.id), None, "no margin"),
    ]
    assert told(await orders(status="rejected"), "symbol") == [("B",)]
    assert told(await orders(portfolio=ONE), "symbol") == [("B",)]
    assert len(await orders(symbol="A", strategy="fast")) == 0
    assert len(await orders(from_=at(22))) == 1
    assert told(await orders(position=(await orders()).through - 1), "status") == [
        ("PARTIALLY_FILLED",),
        ("PENDING",),
    ]
    with pytest.raises(ConfigurationError, match="a status is one of"):
        await orders(status="DONE")
    fills = await book.reports.fills(from_=at(21))
    assert told(fills, "execution_id", "client_order_id", "commission", "commission_currency") == [
        ("E-1", "C-1", D("0.5"), "BNB")
    ]


async def test_portfolios_and_rates(book: EventStore):
    """A row for each currency without rates; one row in the portfolio's currency with them; a missing rate is named."""
    names = ("name", "currency", "equity", "cash", "capital", "total_pnl", "open_positions")
    report = await book.reports.portfolios()
    assert told(report, *names) == [
        ("one", "USD", 1006, 1000, 1000, 6, 1),
        ("two", "EUR", 538, 538, 500, 38, 0),
        ("two", "USD", 7, 7, 0, 7, 0),
    ]
    assert told(report, "trades", "winning_trades") == [(0, 0), (1, 1), (None, None)]
    assert str(report.to_pandas()["trades"].dtype) == "Int64"
    converted = await book.reports.portfolios(portfolio=TWO, rates={"USD": D("0.5")})
    assert told(converted, *names) == [("two", "EUR", D("541.5"), D("541.5"), 500, D("41.5"), 0)]
    with pytest.raises(DomainError, match="cannot be turned into EUR without a rate: give the rate USD/EUR"):
        await book.reports.portfolios(portfolio=TWO, rates={})
    with pytest.raises(ConfigurationError, match="the portfolios have the currencies EUR, USD: give base"):
        await book.reports.pnl(by="month", rates={"USD": D(1)})
    rates = {"USD": D("0.5"), "BNB": D(1)}
    both = await book.reports.pnl(by="month", rates=rates, base="EUR", to=at(31))
    assert told(both, "period", "currency", "total") == [("2026-03", "EUR", D(21 + 6 + 20 + 7) / 2 + 38)]
    with pytest.raises(ConfigurationError, match="base is what rates convert into"):
        await book.reports.pnl(base="EUR")


async def test_deposits_are_no_gain(book: EventStore):
    """A withdrawal lowers the equity and the capital, and is no drawdown."""
    async with book.unit_of_work() as uow:
        one = await uow.portfolios.get_portfolio_by_id(ONE)
        assert one is not None
        one.withdraw(D(400), occurred_at=at(15))
        await uow.portfolios.update_portfolio(one)
    equity = await book.reports.equity(portfolio=ONE, every="day")
    # The deleted position was worth 20 more than it cost until it was deleted.
    assert (at(15), 626, 600) in told(equity, "at", "equity", "capital")
    (last,) = (await book.reports.drawdown(portfolio=ONE, every="month"))[-1:]
    assert (last["equity"], last["drawdown"]) == (606, last["peak"] - 606)


async def test_a_hostile_symbol_stays_text(book: EventStore):
    """What the log has is never HTML."""
    await opened(book, ONE, "<img src=x onerror=alert(1)>", "1", "5")
    html = (await book.reports.positions())._repr_html_()
    assert "<img" not in html
    assert "&lt;img src=x" in html


@pytest_asyncio.fixture
async def unnamed(store: EventStore) -> EventStore:
    """A portfolio in dollars, of which 4 of 10 shares and all of another instrument were sold again; no order names a currency."""
    portfolio = Portfolio(
        id=ONE, name="one", currency="USD", initial_capital=D(1000), strategy="book", created_at=at(1)
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    for name, symbol, side, quantity, price in (
        ("1", "A", BUY, "10", "20"),
        ("2", "A", SELL, "4", "25"),
        ("3", "B", BUY, "1", "7"),
        ("4", "B", SELL, "1", "9"),
    ):
        order = Order.create_market_order(
            symbol, D(quantity), side, portfolio_id=ONE, strategy="fast", occurred_at=at(2)
        )
        order.submit(name, occurred_at=at(2))
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.book(order).fill(D(quantity), D(price), f"E{name}", commission=D(1), occurred_at=at(2))
    return store


async def test_what_names_no_currency_is_in_that_of_its_portfolio(unnamed: EventStore):
    """In every report: in the column, under the filter, and if the portfolio was deleted since."""
    for _ in range(2):
        for name, options in (
            ("orders", {}),
            ("fills", {}),
            ("positions", {"which": "all"}),
            ("trades", {}),
            ("exposure", {}),
            ("turnover", {"by": "symbol"}),
            ("pnl", {"by": "symbol"}),
        ):
            read = getattr(unnamed.reports, name)
            rows = await read(**options)
            assert {row["currency"] for row in rows} == {"USD"}, name
            assert (await read(currency="USD", **options)).rows() == rows.rows(), name
            assert (await read(currency="USD", portfolio=ONE, **options)).rows() == rows.rows(), name
            assert len(await read(currency="EUR", **options)) == 0, name
        async with unnamed.unit_of_work() as uow:
            await uow.portfolios.delete_portfolio(ONE)
    assert {row["commission_currency"] for row in await unnamed.reports.fills()} == {"USD"}


async def test_what_names_no_currency_is_converted(unnamed: EventStore):
    """Turnover and exposure by the rate of the portfolio's currency."""
    rates = {"USD": D("0.9")}
    turnover = await unnamed.reports.turnover(by="symbol", rates=rates, base="EUR")
    assert told(turnover, "symbol", "currency", "traded") == [("A", "EUR", 270), ("B", "EUR", D("14.4"))]
    exposure = await unnamed.reports.exposure(rates=rates, base="EUR")
    assert told(exposure, "symbol", "currency", "net") == [("A", "EUR", 108)]


async def test_rates_into_the_currency_of_the_portfolios_of_a_strategy(unnamed: EventStore):
    """The strategy is that of the orders and positions; whose portfolio it is does not matter. What is empty has no currency."""
    for read in (unnamed.reports.turnover, unnamed.reports.exposure, unnamed.reports.pnl):
        rows = await read(by="symbol", strategy="fast", rates={"EUR": D("1.1")})
        assert {row["currency"] for row in rows} == {"USD"}
        assert len(await read(by="symbol", strategy="none", rates={"EUR": D("1.1")})) == 0


async def test_rates_are_into_one_currency(book: EventStore):
    """Portfolios in dollars and in euros are not converted by rates into one; those of one currency, or one portfolio, are."""
    rates = {"USD": D("0.5"), "BNB": D(1)}
    for name in ("portfolios", "equity", "drawdown"):
        read = getattr(book.reports, name)
        with pytest.raises(ConfigurationError, match="the portfolios have the currencies EUR, USD"):
            await read(rates=rates)
        with pytest.raises(ConfigurationError, match="base is what rates convert into"):
            await read(base="EUR")
        assert {row["currency"] for row in await read(rates=rates, currency="EUR")} == {"EUR"}
        assert {row["currency"] for row in await read(rates=rates, portfolio=TWO)} == {"EUR"}
        assert {row["currency"] for row in await read(rates=rates, base="EUR")} == {"EUR"}


PAIRS = {"EUR/USD": D("1.25"), "USD/JPY": D(160), "BNB/EUR": D(400)}
TO_YEN = {"USD": D(160), "EUR": D(200), "BNB": D(80_000), "JPY": D(1)}


async def test_pairs_turn_portfolios_of_several_currencies_into_any_currency(book: EventStore):
    """Each amount by the crossed rate of its own currency, in every report; without a base each portfolio in its own."""
    reports = book.reports
    apart = {name: await getattr(reports, name)() for name in ("portfolios", "exposure", "turnover")}
    apart["pnl"] = await reports.pnl(by="month")
    for base in ("JPY", "USD", "EUR"):
        worth = {of: rate / TO_YEN[base] for of, rate in TO_YEN.items()}

        def total(name: str, amount: str, worth: dict[str, Decimal] = worth) -> Decimal:
            return sum((row[amount] * worth[row["currency"]] for row in apart[name]), D(0))

        rows = await reports.portfolios(rates=PAIRS, base=base)
        assert told(rows, "name", "currency", "trades") == [("one", base, 0), ("two", base, 1)]
        for amount in ("equity", "cash", "capital", "total_pnl", "exposure"):
            assert sum(row[amount] for row in rows) == total("portfolios", amount), amount
        made = await reports.pnl(by="month", rates=PAIRS, base=base)
        assert sum(row["total"] for row in made) == total("pnl", "total")
        exposure = await reports.exposure(rates=PAIRS, base=base)
        assert sum(row["gross"] for row in exposure) == total("exposure", "gross")
        last = {row["portfolio_id"]: row for row in await reports.equity(rates=PAIRS, base=base)}
        assert {row["portfolio_id"]: row["equity"] for row in rows} == {
            id: row["equity"] for id, row in last.items()
        }
        (trip,) = await reports.trades(rates=PAIRS, base=base)
        (own,) = await reports.trades()
        assert trip["currency"] == base
        for amount in ("realized_pnl", "commission", "net_pnl", "mae", "mfe"):
            assert trip[amount] == own[amount] * worth["USD"], amount
        assert trip["entry_price"] == own["entry_price"]
        assert "Equity in " + base in await tear_sheet(book, rates=PAIRS, base=base)
    each = await reports.portfolios(rates=PAIRS)
    assert told(each, "name", "currency") == [("one", "USD"), ("two", "EUR")]
    assert {row["currency"] for row in await reports.drawdown(rates=PAIRS)} == {"USD", "EUR"}


async def test_the_commission_of_a_round_trip_at_rates_is_of_all_currencies(store: EventStore):
    """Without rates a coin's fee stands apart; with rates it is in the commission and in the net result."""
    position = await opened(
        store, None, "A", "10", "20", commission=D("0.5"), commission_currency="BNB", occurred_at=at(2)
    )
    await changed(store, position, ("close", (D(21),), at(3)))
    (apart,) = await store.reports.trades()
    assert (apart["commission"], apart["other_commissions"], apart["net_pnl"]) == (0, "0.5 BNB", 10)
    rates = {"BNB/USD": D(6), "EUR/USD": D("1.25")}
    (row,) = await store.reports.trades(rates=rates, base="EUR")
    assert (row["commission"], row["other_commissions"], row["net_pnl"]) == (D("2.4"), None, D("5.6"))


async def test_a_rate_that_is_missing_is_named_in_every_report(book: EventStore):
    """In one line: which pair to give."""
    reports = book.reports
    for read in (reports.portfolios, reports.equity, reports.drawdown, reports.pnl, reports.turnover):
        with pytest.raises(DomainError, match=r"without a rate: give the rate (USD|EUR)/JPY") as refusal:
            await read(rates={"BNB/EUR": D(400)}, base="JPY")
        assert "\n" not in str(refusal.value)
    with pytest.raises(DomainError, match="give the rate EUR/JPY"):
        await tear_sheet(book, rates={"USD/JPY": D(160)}, base="JPY")


async def test_a_tear_sheet_of_several_currencies(book: EventStore):
    """At rates its figures are of all portfolios, and its round trips too; without a base they must have one currency."""
    with pytest.raises(ConfigurationError, match="the portfolios have the currencies EUR, USD: give base"):
        await tear_sheet(book, rates=PAIRS)
    with pytest.raises(DomainError, match="give the rate BNB/USD"):
        await tear_sheet(book, rates={"EUR": D(1)}, portfolio=TWO, base="USD")
    html = await tear_sheet(book, rates=PAIRS, base="JPY")
    assert figure(html, "round trips") == "1"
    assert figure(html, "equity in JPY") == f"{1006 * 160 + 538 * 200 + 7 * 160:,}"


def figure(html: str, name: str) -> str:
    """A figure of a tear sheet."""
    found = re.search(f"<dt>{name}</dt><dd>(.*?)</dd>", html)
    assert found is not None, name
    return found[1]


async def test_the_exposure_of_a_tear_sheet_is_that_of_the_end_of_its_period(book: EventStore):
    """What was open then, at the prices of then, as it is known at the moment of the page."""
    strategy, end = "only of portfolios whose strategy it is", "What was open at the end of the period"
    html = await tear_sheet(book, strategy="fast", to=at(9))
    assert (strategy in html, end in html) == (True, True)
    assert told(await book.reports.exposure(to=at(6)), "symbol", "gross") == [("A", D(150))]
    for point in ({}, {"position": await book.log.head()}, {"recorded_at": datetime.now(UTC)}):
        for when in (at(2), at(4), at(5), at(8), at(9), at(20)):
            then = await book.reports.exposure(occurred_at=when - timedelta(microseconds=1))
            rows = await book.reports.exposure(to=when, **point)
            assert rows.rows() == then.rows(), (point, when)
    before = (await book.reports.orders(position=1)).through
    assert len(await book.reports.exposure(to=at(20), position=before)) == 0
