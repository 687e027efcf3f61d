"""The changes of a history compose to the state, and a curve of equity equals a computation of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings, strategies as st

from eventstore.core.context import exact, plain
from eventstore.core.entity import Entity
from eventstore.core.event import RecordedEvent
from eventstore.domain.order import OrderSide
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.replay.equity import Clock, EquityPoint, _in_order, _points
from eventstore.replay.history import changes, entries
from eventstore.testing.strategies import EPOCH, order_histories, portfolio_histories, position_histories
from tests.past_states import past_states
from tests.properties.recorded import digits, recorded
from tests.scale import examples

some = settings(max_examples=examples(60), deadline=None)

histories = st.one_of(order_histories(), position_histories(), portfolio_histories())


def composed(entity_class: type[Entity], steps: Sequence[Any]) -> dict[str, Any]:
    """What comes of the changes alone, each on top of the ones before."""
    names = [name for name in entity_class.model_fields if name not in ("id", "version")]
    state = dict.fromkeys(names)
    for step in steps:
        for name, change in step.items():
            assert repr(state[name]) == repr(change.old)
            state[name] = change.new
    return state


def fields(state: Entity) -> dict[str, Any]:
    """What a state holds, beside its envelope."""
    return {name: value for name, value in state.__dict__.items() if name not in ("id", "version")}


@some
@given(history=histories, deleted=st.booleans())
def test_the_changes_compose_to_the_state(history: Any, deleted: bool):
    """Each change begins with what the one before left, and all together give the state to the last digit."""
    for entity in history.play():
        if deleted:
            entity.delete()
        events = recorded(entity)
        told = list(entries(type(entity), events))
        assert [(one.version, one.type, one.event) for one in told] == [
            (one.version, one.type, one.event) for one in events
        ]
        for length, entry in enumerate(told, 1):
            state = type(entity).fold(events[:length])
            assert (entry.state is None) is (state is None)
            after = composed(type(entity), [one.changes for one in told[:length]])
            if state is None:
                assert set(after.values()) == {None}
            else:
                assert repr(after) == repr(fields(state))
                assert digits(entry.state) == digits(state)
            assert all(repr(change.old) != repr(change.new) for change in entry.changes.values())


@some
@given(history=histories, data=st.data())
def test_a_difference_is_the_composition_of_what_lies_between(history: Any, data: st.DataObject):
    """The fields that differ between two versions are those whose composed changes do, in either direction."""
    (entity, *_) = history.play()
    events = recorded(entity)
    a, b = (data.draw(st.integers(0, len(events))) for _ in range(2))
    first, second = (type(entity).fold(events[:version]) for version in (a, b))
    forth, back = changes(first, second), changes(second, first)
    assert {name: (one.old, one.new) for name, one in forth.items()} == {
        name: (one.new, one.old) for name, one in back.items()
    }
    told = [one.changes for one in entries(type(entity), events)]
    before, after = (composed(type(entity), told[:version]) for version in (a, b))
    assert {name: repr(one.new) for name, one in forth.items()} == {
        name: repr(after[name]) for name in after if repr(after[name]) != repr(before[name])
    }


# ---- equity ------------------------------------------------------------------------------------------------

MINUTES = st.integers(0, 20)
trades = st.lists(
    st.tuples(
        st.sampled_from(["fill", "fill", "mark", "deposit", "dividend"]),
        st.integers(0, 1),  # which instrument
        st.integers(-4, 4).filter(bool),  # its signed quantity, or the amount
        st.integers(95, 105),  # its price
        MINUTES,
    ),
    max_size=25,
)


class Desk:
    """A portfolio with positions in two instruments, and the same in plain numbers: cash, net quantities and marks."""

    def __init__(self) -> None:
        self.portfolio = Portfolio(name="P", initial_capital=Decimal(1000), created_at=EPOCH)
        self.portfolio.record_assignments()
        self.positions: list[Position] = []
        self.open: list[Position | None] = [None, None]
        self.cash = Decimal(1000)
        self.net = [0, 0]
        self.marks: list[int | None] = [None, None]
        self.trades = 0

    def deposit(self, _: int, amount: int, __: int, at: datetime) -> None:
        """Add cash."""
        self.portfolio.deposit(Decimal(abs(amount)), occurred_at=at)
        self.cash += abs(amount)

    def dividend(self, _: int, amount: int, __: int, at: datetime) -> None:
        """Get a dividend, or pay one."""
        self.portfolio.record_cash(CashKind.DIVIDEND, Decimal(amount), occurred_at=at)
        self.cash += amount

    def mark(self, which: int, _: int, price: int, at: datetime) -> None:
        """Value what is open."""
        if (position := self.open[which]) is not None:
            position.mark(Decimal(price), occurred_at=at)
            self.marks[which] = price

    def fill(self, which: int, amount: int, price: int, at: datetime) -> None:
        """Trade: open, enlarge, reduce, close or turn round, for a commission of 1."""
        realized, position = None, self.open[which]
        self.trades += 1
        if position is None:
            opened: Position | None = Position.open_position(
                f"S{which}", Decimal(amount), Decimal(price), portfolio_id=self.portfolio.id, occurred_at=at
            )
        else:
            side = OrderSide.BUY if amount > 0 else OrderSide.SELL
            before, name = position.realized_pnl, f"E{self.trades}"
            opened = position.apply_fill(side, Decimal(abs(amount)), Decimal(price), name, occurred_at=at)
            realized = position.realized_pnl - before
        if position is None or not position.is_open:
            self.open[which], self.marks[which] = opened, None
        if opened is not None:
            self.positions.append(opened)
        trade_id = f"T{self.trades}"
        self.portfolio.record_trade(trade_id, realized_pnl=realized, commission=Decimal(1), occurred_at=at)
        self.cash -= amount * price + 1
        self.net[which] += amount

    @property
    def equity(self) -> Decimal:
        """What was paid and got, and what is open at its mark, or at its cost where it has none."""
        value = self.cash
        for net, mark, position in zip(self.net, self.marks, self.open, strict=True):
            if position is not None:
                value += position.cost if mark is None else net * mark
        return value


@some
@given(steps=trades)
def test_equity_is_cash_and_what_is_open_at_its_mark(steps: list[Any]):
    """By either clock the curve equals a computation from the fills, the marks and the deposits alone."""
    desk = Desk()
    expected = {EPOCH: desk.equity}
    for kind, which, amount, price, minute in sorted(steps, key=lambda step: step[4]):
        at = EPOCH + timedelta(minutes=minute)
        getattr(desk, kind)(which, amount, price, at)
        expected[at] = desk.equity
    events = as_recorded([desk.portfolio, *desk.positions])
    for clock in ("occurred_at", "recorded_at"):
        points = list(_points(desk.portfolio.id, _in_order(events, clock)))
        assert [point.at for point in points] == sorted({point.at for point in points})
        for point, equity in expected.items():
            # An average of thirds has no last digit.
            assert abs(at_point(points, point) - equity) < Decimal("1E-20")


@some
@given(steps=trades)
def test_equity_of_late_reports_is_that_of_the_past_states(steps: list[Any]):
    """Whatever was reported late: at each time the curve is the equity as of that time, and at the end it is that of now."""
    desk = Desk()
    for kind, which, amount, price, minute in steps:
        getattr(desk, kind)(which, amount, price, EPOCH + timedelta(minutes=minute))
    events = in_order_of_reports([desk.portfolio, *desk.positions])
    points = list(_points(desk.portfolio.id, _in_order(events, "occurred_at")))
    for minute in range(22):
        at = EPOCH + timedelta(minutes=minute)
        (portfolio,) = past_states(events, Portfolio, occurred_at=at)
        assert at_point(points, at) == equity_of(portfolio, past_states(events, Position, occurred_at=at)), (
            minute
        )
    assert points[-1].equity == equity_of(desk.portfolio, desk.positions)


def in_order_of_reports(entities: Sequence[Entity]) -> list[RecordedEvent]:
    """Their events as a log has them: stream after stream, each in the order of its versions."""
    found = [one for entity in entities for one in recorded(entity)]
    return [
        RecordedEvent(
            position, one.stream_id, one.version, one.event_id, one.event, one.metadata, one.occurred_at
        )
        for position, one in enumerate(found, 1)
    ]


@exact
def equity_of(portfolio: Portfolio, positions: Sequence[Position]) -> Decimal:
    """Capital, deposits, income, what was realised and is open at its mark, less commissions."""
    unrealized = sum((one.unrealized_pnl or Decimal(0) for one in positions if one.is_open), Decimal(0))
    return plain(
        portfolio.initial_capital
        + portfolio.net_deposits
        + portfolio.total_realized_pnl
        + portfolio.total_income
        + unrealized
        - portfolio.total_commission_paid
    )


def as_recorded(entities: Sequence[Entity]) -> list[RecordedEvent]:
    """Their events with positions and times of recording in the order in which they occurred."""
    waiting = sorted(
        (one for entity in entities for one in recorded(entity)),
        key=lambda one: (one.occurred_at, one.version),
    )
    return [
        RecordedEvent(
            position, one.stream_id, one.version, one.event_id, one.event, one.metadata, one.occurred_at
        )
        for position, one in enumerate(waiting, 1)
    ]


def at_point(points: Sequence[EquityPoint], point: datetime) -> Decimal:
    """What the curve says of a point in time."""
    return points[bisect_right([point.at for point in points], point) - 1].equity


def test_a_fill_reported_late_counts_in_its_place_or_when_it_was_known():
    """By `occurred_at` a late report moves the past; by `recorded_at` it does not."""
    portfolio = Portfolio(name="P", initial_capital=Decimal(100), created_at=EPOCH)
    hours = [EPOCH + timedelta(hours=hour) for hour in range(4)]
    portfolio.record_trade("b", realized_pnl=Decimal(5), occurred_at=hours[2])
    portfolio.record_trade("late", realized_pnl=Decimal(-9), occurred_at=hours[1])
    events = [
        RecordedEvent(
            one.version, one.stream_id, one.version, one.event_id, one.event, {}, hours[one.version]
        )
        for one in recorded(portfolio)
    ]
    curves: dict[Clock, list[Decimal]] = defaultdict(list)
    for clock in ("occurred_at", "recorded_at"):
        curves[clock] = [point.equity for point in _points(portfolio.id, _in_order(events, clock))]
    assert curves == {
        "occurred_at": [Decimal(100), Decimal(91), Decimal(96)],
        "recorded_at": [Decimal(100), Decimal(105), Decimal(96)],
    }
