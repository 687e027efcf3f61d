"""Histories, differences and curves through the store."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.domain.order import Order, OrderSide, OrderStatus
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError, DomainError, EntityNotFoundError, PortfolioNotFoundError
from eventstore.examples.order_engine import OrderEngine
from eventstore.examples.ticks import packaged_tape, read_ticks
from eventstore.replay import FieldChange
from eventstore.testing.strategies import EPOCH

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def saved(store: EventStore, order: Order, **metadata: Any) -> None:
    """Save an order."""
    async with store.unit_of_work(metadata=metadata) as uow:
        await uow.orders.save_order(order)


async def test_a_history_tells_who_did_what_when_and_what_changed(store: EventStore):
    """Each entry has version, event, times, actor and the changes; by entity, by class and id, and bare by id."""
    order = Order.create_market_order("A", Decimal(2), OrderSide.BUY, occurred_at=EPOCH)
    order.submit("B-1", occurred_at=EPOCH + timedelta(minutes=1))
    await saved(store, order, actor="desk")
    order.fill(Decimal(2), Decimal("1.50"), "E-1", occurred_at=EPOCH + timedelta(minutes=2))
    await saved(store, order)
    told = await store.history(order)
    assert [(one.version, one.type, one.actor) for one in told] == [
        (1, "OrderCreated", "desk"),
        (2, "OrderSubmitted", "desk"),
        (3, "OrderFilled", None),
    ]
    assert told[1].occurred_at == EPOCH + timedelta(minutes=1)
    assert told[0].recorded_at == told[1].recorded_at < told[2].recorded_at
    assert told[1].changes["status"] == FieldChange(OrderStatus.PENDING, OrderStatus.SUBMITTED)
    assert told[2].changes["filled_quantity"] == FieldChange(Decimal(0), Decimal(2))
    assert "symbol" not in told[1].changes
    assert told[2].state == order
    assert await store.history(Order, order.id) == told
    assert [one.recorded for one in told] == await store.history(order.id)
    assert await store.history(Order, uuid4()) == []
    with pytest.raises(ConfigurationError, match="it is not the id of a Position"):
        await store.history(Position, order.id)


async def test_a_difference_is_between_versions_or_points_in_time(store: EventStore):
    """Versions and points in time of recording may be mixed; what is not there is refused by name."""
    order = Order.create_market_order("A", Decimal(2), OrderSide.BUY)
    await saved(store, order)
    between = (await store.history(order))[0].recorded_at
    order.submit("B-1")
    await saved(store, order)
    submitted = await store.diff(order, 1, 2)
    assert submitted["broker_order_id"] == FieldChange(None, "B-1")
    assert await store.diff(order, between, 2) == submitted
    assert await store.diff(Order, 2, 1, id=order.id) == {
        name: FieldChange(change.new, change.old) for name, change in submitted.items()
    }
    assert await store.diff(order, 2, 2) == {}
    created = await store.diff(order, between - timedelta(seconds=1), between)
    assert created == (await store.history(order))[0].changes == await store.diff(order, 0, 1)
    with pytest.raises(ConfigurationError, match="has 2 versions, not 3"):
        await store.diff(order, 1, 3)
    with pytest.raises(ConfigurationError, match="pass the id of the Order"):
        await store.diff(Order, 1, 2)
    with pytest.raises(EntityNotFoundError):
        await store.diff(Order, 1, 2, id=uuid4())


@pytest.mark.parametrize("prints", [8_000, pytest.param(60_000, marks=pytest.mark.full)])
async def test_the_curve_of_the_demo_equals_the_strategies_own(store: EventStore, prints: int):
    """On the real tape, the curve from the log has at each mark the equity that the strategy computed while it traded."""
    tape = read_ticks(packaged_tape(), limit=prints)
    engine = OrderEngine(store, tape)
    await engine.run()
    # A print of the same time as a mark may trade after it; the curve has the last word of each point in time.
    prints_at = Counter(tick.at for tick in tape)
    marks = 0
    for strategy in engine.strategies:
        curve = await store.equity_curve(strategy.portfolio)
        sampled = curve.sample(at for at, _ in strategy.equity)
        assert [at for at, _ in sampled] == [at for at, _ in strategy.equity]
        # An average entry price may be a third, which has no last digit.
        for (at, equity), (_, known) in zip(sampled, strategy.equity, strict=True):
            if prints_at[at] == 1 or at in (tape[0].at, tape[-1].at):
                assert abs(equity - known) < Decimal("1E-20"), at
                marks += 1
        assert curve[0] == (strategy.portfolio.created_at, strategy.portfolio.initial_capital)
        async with store.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(strategy.portfolio.id)
        assert summary is not None
        assert curve[-1].equity == summary.equity
        assert curve.at(curve[0].at - timedelta(microseconds=1)) is None
        half = curve[len(curve) // 2].at
        assert list(await store.equity_curve(strategy.portfolio.id, after=half)) == [
            point for point in curve if point.at > half
        ]
    assert marks >= 3 * len(engine.strategies)  # the first, one in mid-session at least, and the last


async def test_a_curve_ends_where_the_log_is_said_to(store: EventStore):
    """`through` cuts by position; a deleted position counts for as long as it was open; nobody's curve is refused."""
    portfolio = Portfolio(name="P", initial_capital=Decimal(100), created_at=EPOCH)
    times = [EPOCH + timedelta(minutes=minute) for minute in range(1, 4)]
    position = Position.open_position(
        "A", Decimal(1), Decimal(10), portfolio_id=portfolio.id, occurred_at=times[0]
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
    position.mark(Decimal(13), occurred_at=times[1])
    async with store.unit_of_work() as marked:
        await marked.positions.save_position(position)
    position.delete(occurred_at=times[2])
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
    whole = [100, 100, 103, 100]
    assert [int(point.equity) for point in await store.equity_curve(portfolio)] == whole
    through = marked.last_position
    assert [int(point.equity) for point in await store.equity_curve(portfolio, through=through)] == whole[:3]
    with pytest.raises(PortfolioNotFoundError):
        await store.equity_curve(uuid4())
    with pytest.raises(ConfigurationError, match="clock"):
        await store.equity_curve(portfolio, clock="wall")  # type: ignore[arg-type]


async def test_a_curve_has_a_fill_that_happened_before_the_one_that_opened_its_position(store: EventStore):
    """From its own time on it is what is open, until the other one happened: then both are."""
    portfolio = Portfolio(name="P", initial_capital=Decimal(100), created_at=EPOCH)
    bought, marked, sold = (EPOCH + timedelta(minutes=minute) for minute in (5, 6, 9))
    position = Position.open_position(
        "A", Decimal(-3), Decimal(110), portfolio_id=portfolio.id, execution_id="E-2", occurred_at=sold
    )
    position.apply_fill(OrderSide.BUY, Decimal(1), Decimal(100), "E-1", occurred_at=bought)
    position.mark(Decimal(104), occurred_at=marked)
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
    curve = await store.equity_curve(portfolio)
    # bought 1 at 100, marked at 104; then 2 are short at 110, and what was bought is the portfolio's to record
    assert [point.at for point in curve] == [EPOCH, bought, marked, sold]
    assert [int(point.equity) for point in curve] == [100, 100, 104, 112]
    assert curve[-1].equity == 100 + (position.unrealized_pnl or 0)


async def test_a_history_in_the_order_in_which_things_happened(store: EventStore):
    """A late report takes its place, and what it changes is seen from there on; the other order is that of the reports."""
    position = Position.open_position("ES", Decimal(5), Decimal(100), execution_id="E1", occurred_at=EPOCH)
    position.apply_fill(
        OrderSide.BUY, Decimal(3), Decimal(101), "E3", occurred_at=EPOCH + timedelta(minutes=3)
    )
    position.apply_fill(
        OrderSide.SELL, Decimal(1), Decimal(102), "E2", occurred_at=EPOCH + timedelta(minutes=2)
    )
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
    reported = await store.history(Position, position.id)
    happened = await store.history(Position, position.id, order="occurred_at")
    assert [one.version for one in reported] == [1, 2, 3]
    assert [one.version for one in happened] == [1, 3, 2]
    assert [one.state and one.state.quantity for one in happened] == [5, 4, 7]
    with pytest.raises(ConfigurationError, match="order is 'version' or 'occurred_at'"):
        await store.history(position, order="position")  # type: ignore[call-overload]


async def test_a_curve_of_several_currencies_needs_rates(store: EventStore):
    """It has income and what is open at the rates given, and ends with the equity of the summary."""
    portfolio = Portfolio(name="P", currency="USD", initial_capital=Decimal(1_000), created_at=EPOCH)
    minutes = [EPOCH + timedelta(minutes=minute) for minute in range(5)]
    position = Position.open_position(
        "SAP", Decimal(1), Decimal(100), currency="EUR", portfolio_id=portfolio.id, occurred_at=minutes[1]
    )
    portfolio.record_trade("E-1", cash_flow=Decimal(-100), currency="EUR", occurred_at=minutes[1])
    position.mark(Decimal(110), occurred_at=minutes[2])
    portfolio.record_cash(CashKind.DIVIDEND, Decimal(5), currency="EUR", occurred_at=minutes[3])
    portfolio.record_cash(CashKind.ACCOUNT_FEE, Decimal(-2), occurred_at=minutes[4])
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
    with pytest.raises(DomainError, match="EUR") as refusal:
        await store.equity_curve(portfolio)
    assert refusal.value.rule == "money.rate"
    with pytest.raises(DomainError):
        await store.equity_curve(portfolio, rates={"EUR": 1.5})  # type: ignore[dict-item]
    rates = {"EUR": Decimal("1.5")}
    curve = await store.equity_curve(portfolio, rates=rates)
    assert [int(point.equity * 10) for point in curve] == [10_000, 10_000, 10_150, 10_225, 10_205]
    async with store.unit_of_work() as uow:
        summary = await uow.portfolios.get_portfolio_summary(portfolio, rates=rates)
    assert summary is not None
    assert curve[-1].equity == summary.equity
