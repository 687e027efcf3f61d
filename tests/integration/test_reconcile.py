"""A broker's statement against the store: what agrees, what is missing where, what differs, and what is proposed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError, DomainError, PortfolioNotFoundError
from eventstore.reconciliation import (
    Difference,
    Reconciliation,
    StatedCash,
    StatedExecution,
    StatedPosition,
    Statement,
)
from eventstore.store import EventStore

BUY, SELL = OrderSide.BUY, OrderSide.SELL
CLOSE = datetime(2026, 1, 30, 21, 0, tzinfo=UTC)


def at(day: int, hour: int = 15) -> datetime:
    """An hour of January."""
    return datetime(2026, 1, day, hour, 0, tzinfo=UTC)


def execution(
    execution_id: str | None, side: OrderSide, quantity: int, price: str, day: int, **more: Any
) -> StatedExecution:
    """An execution of AAPL as a broker states it."""
    return StatedExecution(
        **{
            "execution_id": execution_id,
            "symbol": "AAPL",
            "side": side,
            "quantity": Decimal(quantity),
            "price": Decimal(price),
            "time": at(day),
            "commission": Decimal(1),
            **more,
        }
    )


BOUGHT = execution("e1", BUY, 100, "187.15", 5)
SOLD = execution("e2", SELL, 40, "190.00", 12)


@pytest_asyncio.fixture
async def portfolio(store: EventStore) -> Portfolio:
    """A portfolio in dollars that bought 100 AAPL by an order and sold 40, and has some euros."""
    portfolio = Portfolio(name="desk", currency="USD", initial_capital=Decimal(100000), created_at=at(1))
    order = Order.create_market_order(
        "AAPL",
        Decimal(100),
        BUY,
        portfolio_id=portfolio.id,
        account="U1",
        client_order_id="C-1",
        occurred_at=at(5),
    )
    order.submit("B-1", occurred_at=at(5))
    order.fill(Decimal(100), Decimal("187.15"), "e1", commission=Decimal(1), occurred_at=at(5))
    position = Position.open_position(
        "AAPL",
        Decimal(100),
        Decimal("187.15"),
        Decimal(1),
        execution_id="e1",
        order_id=order.id,
        portfolio_id=portfolio.id,
        account="U1",
        currency="USD",
        occurred_at=at(5),
    )
    position.apply_fill(SELL, Decimal(40), Decimal("190.00"), "e2", commission=Decimal(1), occurred_at=at(12))
    portfolio.record_trade("e1", cash_flow=Decimal(-18716), commission=Decimal(1), occurred_at=at(5))
    portfolio.record_trade(
        "e2", cash_flow=Decimal(7599), realized_pnl=Decimal(114), commission=Decimal(1), occurred_at=at(12)
    )
    portfolio.record_cash(CashKind.DEPOSIT, Decimal("12.345"), currency="EUR", occurred_at=at(13))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
        await uow.positions.save_position(position)
    return portfolio


def statement_of(portfolio: Portfolio, **values: Any) -> Statement:
    """What the broker says, which agrees with the store unless some values are given."""
    agreeing: dict[str, Any] = {
        "as_of": CLOSE,
        "portfolio_id": portfolio.id,
        "positions": (
            StatedPosition(
                symbol="AAPL",
                quantity=Decimal(60),
                price=Decimal("187.15"),
                cost=Decimal(11229),
                currency="USD",
            ),
        ),
        "cash": (
            StatedCash(currency="USD", amount=Decimal("88883.00")),
            StatedCash(currency="EUR", amount=Decimal("12.35")),
            StatedCash(currency="GBP", amount=Decimal(0)),
        ),
        "executions": (BOUGHT, SOLD),
        "since": at(1),
    }
    return Statement(**{**agreeing, **values})


async def test_a_statement_that_agrees(store: EventStore, portfolio: Portfolio) -> None:
    """Positions, cash and executions agree, as far as the statement shows digits; nothing is proposed."""
    result = await store.reconcile(statement_of(portfolio))

    assert result.agrees, str(result)
    assert result.executions is not None
    assert result.executions.agreeing == (BOUGHT, SOLD)
    proposed = result.proposed
    assert (proposed.executions, proposed.cash, proposed.remarks) == ((), (), ())
    assert str(result).splitlines()[1:] == [
        "positions: 1 agree, 0 missing here, 0 missing there, 0 differ",
        "cash: 3 agree, 0 missing here, 0 missing there, 0 differ",
        "executions: 2 agree, 0 missing here, 0 missing there, 0 differ",
    ]


async def test_the_store_is_read_as_of_the_time_of_the_statement(
    store: EventStore, portfolio: Portfolio
) -> None:
    """What occurred later is not compared, and what was reported late about that time is."""
    early = statement_of(
        portfolio,
        as_of=at(10),
        positions=(StatedPosition(symbol="AAPL", quantity=Decimal(100)),),
        cash=(StatedCash(amount=Decimal(81284)),),
        executions=(BOUGHT,),
    )

    assert (await store.reconcile(early)).agrees
    with pytest.raises(PortfolioNotFoundError):
        await store.reconcile(
            statement_of(portfolio, as_of=datetime(2025, 1, 1, tzinfo=UTC), executions=None, since=None)
        )


async def test_what_is_missing_and_what_differs(store: EventStore, portfolio: Portfolio) -> None:
    """Each side's own is missing on the other; what both have and say differently is shown with both values."""
    unknown = execution("e3", BUY, 5, "191.00", 13, client_order_id="C-2", account="U1")
    wrong = execution("e2", SELL, 40, "190.10", 12)
    result = await store.reconcile(
        statement_of(
            portfolio,
            positions=(
                StatedPosition(symbol="AAPL", quantity=Decimal(65)),
                StatedPosition(symbol="IBM", quantity=Decimal(-1)),
            ),
            executions=(wrong, unknown),
        )
    )

    positions, executions = result.positions, result.executions
    assert positions is not None
    assert executions is not None
    assert [one.symbol for one in positions.missing_here] == ["IBM"]
    assert [(one.fields, one.here.quantity) for one in positions.differing] == [(("quantity",), Decimal(60))]
    assert executions.missing_here == (unknown,)
    assert [one.execution_id for one in executions.missing_there] == ["e1"]
    (difference,) = executions.differing
    assert isinstance(difference, Difference)
    assert (difference.fields, difference.here.price, difference.there.price) == (
        ("price",),
        Decimal(190),
        Decimal("190.10"),
    )
    report = str(result)
    assert "  differs: AAPL: quantity 60 here, 65 there" in report
    assert "  missing here: -1 IBM" in report
    assert "  differs: e2 in AAPL: price 190.00 here, 190.10 there" in report
    assert "  missing there: e1 in AAPL: BUY 100 at 187.15, 2026-01-05T15:00:00+00:00" in report


async def test_missing_executions_are_proposed_and_cash_waits(
    store: EventStore, portfolio: Portfolio
) -> None:
    """An execution that the store lacks is proposed as a fill takes it; cash is not, before executions agree."""
    unknown = execution("e3", BUY, 5, "191.00", 13, client_order_id="C-2", account="U1", venue="XNAS")
    result = await store.reconcile(
        statement_of(portfolio, cash=(StatedCash(amount=Decimal(1)),), executions=(unknown, SOLD, BOUGHT))
    )

    (proposed,) = result.proposed.executions
    assert (proposed.client_order_id, proposed.account, proposed.symbol) == ("C-2", "U1", "AAPL")
    assert result.proposed.cash == ()
    assert result.proposed.remarks == (
        "the cash differs, and executions do: book those, then reconcile again",
    )
    order = Order.create_market_order("AAPL", Decimal(5), BUY)
    order.submit("B-2")
    assert order.fill(**proposed.arguments())
    assert (order.executions[-1].price, order.executions[-1].occurred_at) == (Decimal(191), at(13))


async def test_what_is_proposed_makes_the_store_agree(store: EventStore) -> None:
    """Reports booked as proposed bring order, position and cash to what the statement says; again, nothing changes."""
    portfolio = Portfolio(name="booked", currency="USD", initial_capital=Decimal(10000), created_at=at(1))
    order = Order.create_market_order(
        "AAPL", Decimal(10), BUY, portfolio_id=portfolio.id, currency="USD", occurred_at=at(2)
    )
    order.submit("B-7", occurred_at=at(2))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
        await uow.book(order).fill(Decimal(4), Decimal(100), "e1", occurred_at=at(3))
    statement = Statement(
        as_of=CLOSE,
        portfolio_id=portfolio.id,
        positions=(StatedPosition(symbol="AAPL", quantity=Decimal(10)),),
        cash=(StatedCash(currency="USD", amount=Decimal("8992.50")),),
        executions=(
            execution("e1", BUY, 4, "100", 3, commission=None),
            execution("e2", BUY, 5, "101", 4, commission=Decimal("1.50"), broker_order_id="B-7"),
            execution("e3", BUY, 1, "101", 5, broker_order_id="B-7"),
        ),
    )
    proposed = (await store.reconcile(statement)).proposed
    assert (len(proposed.executions), proposed.cash) == (2, ())
    for _ in range(2):
        async with store.unit_of_work() as uow:
            await uow.book_reports(reversed(proposed.reports))

    result = await store.reconcile(statement)

    assert result.positions is not None
    assert result.executions is not None
    assert result.positions.agrees
    assert result.executions.agrees
    assert [one.amount for one in result.proposed.cash] == [Decimal("1.00")]


async def test_an_execution_that_names_no_order_is_remarked(store: EventStore, portfolio: Portfolio) -> None:
    """It cannot be booked by itself, so a person has to find its order."""
    stranger = execution("e9", BUY, 5, "191.00", 13)
    proposed = (await store.reconcile(statement_of(portfolio, executions=(BOUGHT, SOLD, stranger)))).proposed

    assert [one.execution_id for one in proposed.executions] == ["e9"]
    assert proposed.reports == ()
    assert "e9 in AAPL names no order" in proposed.remarks[0]


async def test_another_name_of_a_venue_is_a_difference(store: EventStore) -> None:
    """An execution that both sides have under one id is not missing because they call its venue differently."""
    portfolio = Portfolio(name="venues", initial_capital=Decimal(0), created_at=at(1))
    order = Order.create_market_order(
        "AAPL", Decimal(10), BUY, portfolio_id=portfolio.id, venue="XNAS", occurred_at=at(2)
    )
    order.submit("B-1", occurred_at=at(2))
    order.fill(Decimal(10), Decimal(10), "e", occurred_at=at(3))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
    stated = (execution("e", BUY, 10, "10", 3, commission=None, venue="NASDAQ"),)

    executions = (
        await store.reconcile(Statement(as_of=CLOSE, portfolio_id=portfolio.id, executions=stated))
    ).executions

    assert executions is not None
    assert [one.fields for one in executions.differing] == [("venue",)]
    assert "venue XNAS here, NASDAQ there" in str(executions.differing[0])
    assert (executions.missing_here, executions.missing_there) == ((), ())


async def test_cash_is_proposed_as_an_adjustment_that_counts_once(
    store: EventStore, portfolio: Portfolio
) -> None:
    """The difference of each currency is an adjustment; recorded, the statement agrees; again, nothing changes."""
    statement = statement_of(
        portfolio,
        cash=(
            StatedCash(amount=Decimal("88880.25")),
            StatedCash(currency="GBP", amount=Decimal(7)),
        ),
    )
    result = await store.reconcile(statement)
    assert [(one.currency, one.kind, one.amount) for one in result.proposed.cash] == [
        ("USD", CashKind.ADJUSTMENT, Decimal("-2.75")),
        ("GBP", CashKind.ADJUSTMENT, Decimal(7)),
        ("EUR", CashKind.ADJUSTMENT, Decimal("-12.345")),
    ]
    for _ in range(2):
        async with store.unit_of_work() as uow:
            stored = await uow.portfolios.get_portfolio_by_id(portfolio)
            assert stored is not None
            for one in result.proposed.cash:
                stored.record_cash(**one.arguments())
            await uow.portfolios.update_portfolio(stored)

    result = await store.reconcile(statement)
    assert result.agrees, str(result)


async def test_a_portfolio_without_a_currency(store: EventStore) -> None:
    """Its cash is compared with the one balance of the statement, whatever the currency is called there."""
    portfolio = Portfolio(name="plain", initial_capital=Decimal(100), created_at=at(1))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    cash = (StatedCash(currency="USD", amount=Decimal(90)),)
    statement = Statement(as_of=CLOSE, portfolio_id=portfolio.id, cash=cash)

    (proposed,) = (await store.reconcile(statement)).proposed.cash

    assert (proposed.currency, proposed.amount) == (None, Decimal(-10))


async def test_an_execution_that_was_taken_back(store: EventStore, portfolio: Portfolio) -> None:
    """An execution that is busted here and on the statement differs; a correction is compared as it is now."""
    async with store.unit_of_work() as uow:
        (position,) = await uow.positions.get_positions_by_portfolio(portfolio)
        position.bust_fill("e2", occurred_at=at(14))
        await uow.positions.update_position(position)
        (order,) = await uow.orders.get_orders_by_symbol("AAPL")
        order.correct_fill("e1", price=Decimal("187.00"), new_execution_id="e1-c", occurred_at=at(15))
        await uow.orders.update_order(order)
        position.correct_fill(
            "e1",
            price=Decimal("187.00"),
            new_execution_id="e1-c",
            order_id=order.id,
            account="U1",
            occurred_at=at(15),
        )
        await uow.positions.update_position(position)
    corrected = execution("e1-c", BUY, 100, "187.00", 5)

    executions = (await store.reconcile(statement_of(portfolio, executions=(corrected, SOLD)))).executions

    assert executions is not None
    assert executions.agreeing == (corrected,)
    assert [one.fields for one in executions.differing] == [("status",)]
    assert "taken back here, not there" in str(executions.differing[0])
    assert (executions.missing_here, executions.missing_there) == ((), ())


async def test_a_fill_through_zero_is_one_execution(store: EventStore) -> None:
    """Both positions have a part of the fill; the statement has the whole."""
    portfolio = Portfolio(name="flips", initial_capital=Decimal(0), created_at=at(1))
    position = Position.open_position(
        "AAPL", Decimal(10), Decimal(10), execution_id="e1", portfolio_id=portfolio.id, occurred_at=at(2)
    )
    opposite = position.apply_fill(
        SELL, Decimal(15), Decimal(11), "e2", commission=Decimal(3), occurred_at=at(3)
    )
    assert opposite is not None
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_many([position, opposite])

    result = await store.reconcile(
        Statement(
            as_of=CLOSE,
            portfolio_id=portfolio.id,
            positions=(StatedPosition(symbol="AAPL", quantity=Decimal(-5), price=Decimal(11)),),
            executions=(
                execution("e1", BUY, 10, "10", 2, commission=Decimal(0)),
                execution("e2", SELL, 15, "11", 3, commission=Decimal(3)),
            ),
        )
    )

    assert result.agrees, str(result)


async def test_an_execution_before_the_statement_is_not_missing(
    store: EventStore, portfolio: Portfolio
) -> None:
    """A statement of some days has the executions from `since` on, or from its first one."""
    for since in (at(11), None):
        result = await store.reconcile(statement_of(portfolio, executions=(SOLD,), since=since))
        assert result.agrees, str(result)


async def test_an_execution_of_order_and_position_counts_once(store: EventStore) -> None:
    """Also if the position was not told the order: both have the same id and content."""
    portfolio = Portfolio(name="twice", initial_capital=Decimal(0), created_at=at(1))
    order = Order.create_market_order("AAPL", Decimal(10), BUY, portfolio_id=portfolio.id, occurred_at=at(2))
    order.submit("B-1", occurred_at=at(2))
    order.fill(Decimal(10), Decimal(10), "e", occurred_at=at(3))
    position = Position.open_position(
        "AAPL", Decimal(10), Decimal(10), execution_id="e", portfolio_id=portfolio.id, occurred_at=at(3)
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
        await uow.positions.save_position(position)
    stated = (execution("e", BUY, 10, "10", 3, commission=None),)

    result = await store.reconcile(Statement(as_of=CLOSE, portfolio_id=portfolio.id, executions=stated))

    assert result.agrees, str(result)


async def test_one_trade_id_of_two_orders(store: EventStore) -> None:
    """A venue's trade id may fill two orders of ours: each is found by its order, client order id or content."""
    portfolio = Portfolio(name="cross", initial_capital=Decimal(0), created_at=at(1))
    orders = [
        Order.create_market_order(
            "AAPL",
            Decimal(10),
            side,
            portfolio_id=portfolio.id,
            client_order_id=f"C-{side}",
            occurred_at=at(2),
        )
        for side in (BUY, SELL)
    ]
    for order in orders:
        order.submit(f"B-{order.side}", occurred_at=at(2))
        order.fill(Decimal(10), Decimal(10), "e", occurred_at=at(3))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_many(orders)
    stated = (
        execution("e", SELL, 10, "10", 3, commission=None, client_order_id="C-SELL"),
        execution("e", BUY, 10, "10", 3, commission=None),
    )

    result = await store.reconcile(Statement(as_of=CLOSE, portfolio_id=portfolio.id, executions=stated))

    assert result.agrees, str(result)


async def test_an_execution_without_an_id_is_found_by_its_content(
    store: EventStore, portfolio: Portfolio
) -> None:
    """A statement without ids is compared by symbol, side, quantity and price, each execution once."""
    stated = (
        execution(None, BUY, 100, "187.15", 5),
        execution("0", SELL, 40, "190.00", 12),
        execution(None, SELL, 40, "190.00", 12),
    )

    executions = (await store.reconcile(statement_of(portfolio, executions=stated))).executions

    assert executions is not None
    assert executions.agreeing == stated[:2]
    assert executions.missing_here == stated[2:]


async def test_a_statement_of_an_account(store: EventStore, portfolio: Portfolio) -> None:
    """Without a portfolio the positions and executions of the account are compared, whatever portfolio they are of."""
    statement = statement_of(portfolio, portfolio_id=None, account="U1", cash=None, executions=(BOUGHT, SOLD))

    result = await store.reconcile(statement)

    assert result.agrees, str(result)
    assert result.cash is None
    other = await store.reconcile(statement.model_copy(update={"account": "U2"}))
    assert other.positions is not None
    assert len(other.positions.missing_here) == 1


async def test_what_is_no_statement_is_refused(store: EventStore) -> None:
    """A path is read first; a tolerance is a decimal of 0 or more; the portfolio must exist."""
    statement = Statement(as_of=CLOSE, portfolio_id=uuid4())
    with pytest.raises(ConfigurationError, match="reconcile takes a Statement, not str"):
        await store.reconcile("statement.csv")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="tolerance must be 0 or more"):
        await store.reconcile(statement, tolerance=Decimal(-1))
    with pytest.raises(DomainError):
        await store.reconcile(statement, tolerance=0.5)  # type: ignore[arg-type]
    with pytest.raises(PortfolioNotFoundError):
        await store.reconcile(statement)
    assert Reconciliation(statement).agrees


async def test_the_tolerance_is_for_cash_and_cost(store: EventStore, portfolio: Portfolio) -> None:
    """Cash within the tolerance agrees; a quantity never does unless it is equal."""
    cash = (StatedCash(amount=Decimal("88883.40")), StatedCash(currency="EUR", amount=Decimal("12.345")))
    assert (await store.reconcile(statement_of(portfolio, cash=cash), tolerance=Decimal("0.4"))).agrees
    assert not (await store.reconcile(statement_of(portfolio, cash=cash))).agrees
    positions = (StatedPosition(symbol="AAPL", quantity=Decimal("60.1")),)
    assert not (
        await store.reconcile(statement_of(portfolio, positions=positions), tolerance=Decimal(1))
    ).agrees
