"""The rules of a position: average cost, closing, the flip through zero, and what is refused."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-any-return"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

import decimal
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from eventstore.core.entity_state import mark_saved
from eventstore.domain.order import OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import (
    Position,
    PositionAmended,
    PositionFilled,
    PositionOpened,
)
from eventstore.errors import DomainError

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def position(quantity="100", price="150.50", commission="1.00", **details):
    return Position.open_position("AAPL", D(quantity), D(price), D(commission), occurred_at=NINE, **details)


def closed() -> Position:
    done = position(execution_id="E-1")
    done.close(D(151), execution_id="E-2", occurred_at=TEN)
    return done


def test_opening_keeps_the_exact_cost():
    """An open position has cost = quantity x price, its commission and its times."""
    opened = position(strategy="s", stop_loss_price=D(140), execution_id="E-1")
    assert (opened.quantity, opened.cost, opened.average_entry_price) == (100, D("15050.00"), D("150.50"))
    assert (opened.commission_paid, opened.realized_pnl, opened.execution_ids) == (1, 0, ("E-1",))
    assert (opened.opened_at, opened.last_updated, opened.closed_at) == (NINE, NINE, None)
    assert (opened.is_open, opened.is_long, opened.is_short) == (True, True, False)
    [pending] = opened.pending_events
    assert isinstance(pending.event, PositionOpened)


@pytest.mark.parametrize(("signed", "realized"), [("100", "200.00"), ("-100", "-200.00")])
def test_closing_realises_the_difference(signed, realized):
    """Closing realises exit - entry for a long, entry - exit for a short, before commission; nothing stays."""
    done = position(signed)
    assert done.close(D("152.50"), D("1.50"), occurred_at=TEN) == D(realized)
    assert (done.quantity, done.cost, done.average_entry_price) == (0, 0, None)
    assert (done.realized_pnl, done.commission_paid) == (D(realized), D("2.50"))
    assert (done.unrealized_pnl, done.total_pnl) == (0, D(realized) - D("2.50"))
    assert (done.closed_at, done.last_updated, done.is_open) == (TEN, TEN, False)
    last = done.pending_events[-1]
    assert isinstance(last.event, PositionFilled)
    assert done.realized_in(last.event_id) == D(realized)


def test_reducing_takes_a_share_of_the_cost():
    """The average entry price stays when a position is reduced, and changes when it grows."""
    held = position("100", "150")
    assert held.add(D(50), D(153), D("0.5"), occurred_at=TEN)
    assert (held.quantity, held.average_entry_price) == (150, 151)
    assert held.reduce(D(30), D(161), D("0.3"), occurred_at=TEN) == 300
    assert (held.quantity, held.average_entry_price, held.cost) == (120, 151, 18120)
    assert (held.realized_pnl, held.commission_paid) == (300, D("1.8"))
    last = held.pending_events[-1]
    assert isinstance(last.event, PositionFilled)
    assert (last.event.side, last.event.quantity, last.event.price) == (SELL, 30, 161)
    assert held.realized_in(last.event_id) == 300


def test_the_share_of_the_cost_is_rounded_once():
    """Cost x part / whole: multiplied first, so that only the division rounds, at the 24th decimal."""
    held = position("1", "4")
    held.add(D(2), D(3))
    realized = held.reduce(D(2), D(3))
    assert str(6 - realized) == "6.666666666666666666666667"
    assert str(held.cost) == "3.333333333333333333333333"


@pytest.mark.parametrize(
    ("price", "share"),
    [
        ("1E-30", "1.3333333333333333333333E-30"),
        ("0.0000000000000000000000000001", "0.00000000000000000000000000013333333333333333333333"),
        ("1000000000000000000000000000001", "1333333333333333333333333333334.667"),
    ],
)
def test_a_share_of_a_cost_has_the_digits_of_its_size(price, share):
    """What is far below a cent keeps 23 digits, and nothing has more than 34."""
    held = position("2", price)
    held.add(D(1), D(0))
    held.reduce(D(2), D(1))
    with localcontext(prec=100):
        assert held.cost + D(share) == 2 * D(price)


def test_results_of_positions_sum_up_exactly():
    """Average costs that do not come out even, of amounts of any usual size, lose nothing in the portfolio's sum."""
    portfolio = Portfolio(name="books", initial_capital=D(100_000))
    positions = []
    for number, price in enumerate(["0.07", "95", "4510.25", "61000.01", "-37.63"]):
        held = position("1", price, multiplier=D(50))
        held.add(D(6), D("1.01"))
        for part in range(6):
            name = f"E-{number}-{part}"
            held.reduce(D(1), D("17.3"), execution_id=name)
            portfolio.record_trade(name, realized_pnl=held.realized_by(name))
        positions.append(held)
    assert any(abs(held.realized_pnl.as_tuple().exponent) > 20 for held in positions)
    assert portfolio.total_realized_pnl == sum(Fraction(held.realized_pnl) for held in positions)
    assert portfolio.cash_balance == 100_000 + sum(Fraction(held.realized_pnl) for held in positions)


def test_what_an_execution_realised_is_read_from_its_event():
    """None where it closed nothing, the digits of the event where it did; a flip's other half realised nothing."""
    held = position("3", "1", execution_id="E-1")
    assert held.realized_by("E-1") is None
    held.apply_fill(OrderSide.BUY, D(4), D(2), "E-2")
    held.apply_fill(OrderSide.SELL, D(1), D(2), "E-3")
    assert (held.realized_by("E-2"), str(held.realized_by("E-3"))) == (None, "0.428571428571428571428571")
    opposite = held.apply_fill(OrderSide.SELL, D(8), D(2), "E-4")
    assert opposite is not None
    assert (str(held.realized_by("E-4")), opposite.realized_by("E-4")) == ("2.571428571428571428571429", None)


@pytest.mark.parametrize("execution_id", ["E-9", "E-1"])
def test_an_execution_that_is_saved_or_unknown_says_so(execution_id):
    """Neither is answered with a guess."""
    held = position(execution_id="E-1")
    mark_saved(held, version=1, events=held.pending_events)
    with pytest.raises(DomainError, match="between the fill and the commit") as refused:
        held.realized_by(execution_id)
    assert refused.value.rule == "position.execution_id"


def test_amounts_beyond_34_digits_keep_a_form_that_numeric_has():
    """Where the arithmetic must round above the point, the state has no positive exponent."""
    held = position("9E+33", "9.123456789E+33")
    held.add(D("9E+33"), D("9.123456789E+33"))
    assert held.cost == D("1.64222222202E+68")
    assert held.cost.as_tuple().exponent == 0


def test_reducing_by_all_closes():
    """Reducing by all that is open is closing, and the cost is 0 whatever was rounded on the way."""
    held = position("3", "10")
    held.add(D(4), D("11.1"))
    for _ in range(6):
        held.reduce(D(1), D(12))
    assert held.cost != 0
    held.reduce(D(1), D(12))
    assert (str(held.quantity), str(held.cost)) == ("0", "0")
    assert held.closed_at is not None


def test_the_multiplier_enters_every_amount():
    """E-mini: a point of one contract is 50 in currency."""
    held = Position.open_position("ES", D(-2), D("4500.25"), D("4.20"), multiplier=D(50))
    held.mark(D("4490.25"), occurred_at=TEN)
    assert (held.cost, held.cost_basis, held.market_value) == (D("-9000.50"), D(-450025), D(-449025))
    assert (held.unrealized_pnl, held.total_pnl) == (1000, D("995.80"))
    assert held.close() == 1000


def test_what_was_never_marked_has_no_open_result():
    """Without a current price the open result is unknown, not 0."""
    held = position()
    assert (held.unrealized_pnl, held.total_pnl, held.market_value) == (None, None, None)
    held.mark(D("152.50"), occurred_at=TEN)
    assert (held.unrealized_pnl, held.total_pnl, held.last_updated) == (200, 199, TEN)


@pytest.mark.parametrize(
    ("signed", "side", "quantity", "after"),
    [
        ("10", BUY, "5", 15),
        ("10", SELL, "5", 5),
        ("10", SELL, "10", 0),
        ("-10", SELL, "5", -15),
        ("-10", BUY, "5", -5),
        ("-10", BUY, "10", 0),
    ],
)
def test_a_fill_increases_reduces_or_closes(signed, side, quantity, after):
    """What a fill does follows from its side and size; its event is the fact, and none of these gives a new position."""
    held = position(signed)
    assert held.apply_fill(side, D(quantity), D(151), "E-1", occurred_at=TEN) is None
    assert held.quantity == after
    event = held.pending_events[-1].event
    assert isinstance(event, PositionFilled)
    assert (event.side, event.quantity, event.price, event.execution_id) == (side, D(quantity), 151, "E-1")
    assert held.execution_ids == ("E-1",)


def test_a_fill_through_zero_closes_and_opens_the_opposite():
    """The flip closes this position and returns the opposite one; the commission is split by quantity, exactly."""
    long = position("100", "150", "1", multiplier=D(2), strategy="s", tags=("a",), stop_loss_price=D(140))
    short = long.apply_fill(SELL, D(300), D(151), "E-1", commission=D("10.00"), occurred_at=TEN)
    assert short is not None
    assert (long.is_open, long.realized_pnl, long.closed_at) == (False, 200, TEN)
    assert (short.quantity, short.average_entry_price, short.multiplier) == (-200, 151, 2)
    assert (short.symbol, short.strategy, short.tags, short.stop_loss_price) == ("AAPL", "s", ("a",), None)
    assert (short.opened_at, short.execution_ids) == (TEN, ("E-1",))
    assert short.id != long.id
    assert long.commission_paid - 1 + short.commission_paid == 10
    assert str(long.commission_paid - 1) == "3.333333333333333333333333"
    for either in (long, short):
        assert either.apply_fill(SELL, D(300), D(151), "E-1", commission=D("10.00")) is None
    assert short.quantity == -200


@pytest.mark.parametrize(
    ("commission", "parts"), [("0", ("0", "0")), ("3", ("1", "2")), ("-0.30", ("-0.10", "-0.20"))]
)
def test_a_split_that_divides_is_exact(commission, parts):
    """Where the split comes out even, it has no more digits than it needs."""
    long = position("100", "150", "0")
    short = long.apply_fill(SELL, D(300), D(151), "E-1", commission=D(commission))
    assert short is not None
    assert (long.commission_paid, short.commission_paid) == (D(parts[0]), D(parts[1]))


def test_a_repeated_execution_counts_once():
    """An execution that was counted changes nothing, in every method that takes one."""
    held = position(execution_id="E-1")
    events = held.pending_events
    assert held.apply_fill(BUY, D(100), D("150.50"), "E-1", commission=D(1)) is None
    assert held.add(D(100), D("150.5"), D(1), execution_id="E-1") is False
    assert held.reduce(D(100), D("150.5"), D(1), execution_id="E-1") == 0
    assert held.close(D("150.5"), D(1), execution_id="E-1") == 0
    assert held.close(None, D(1), execution_id="E-1") == 0
    assert held.pending_events == events
    assert closed().apply_fill(SELL, D(100), D(151), "E-2") is None


ILLEGAL = [
    (closed, lambda p: p.add(D(1), D(1)), "position.closed"),
    (closed, lambda p: p.reduce(D(1), D(1)), "position.closed"),
    (closed, lambda p: p.close(D(1)), "position.closed"),
    (closed, lambda p: p.mark(D(1)), "position.closed"),
    (closed, lambda p: p.apply_fill(BUY, D(1), D(1), "E-9"), "position.closed"),
    (position, lambda p: p.reduce(D(101), D(1)), "position.over_reduce"),
    (position, lambda p: p.close(), "position.no_price"),
    (position, lambda p: p.close(1.5), "position.price"),
    (position, lambda p: p.add(D(0), D(1)), "position.quantity"),
    (position, lambda p: p.add(D(-1), D(1)), "position.quantity"),
    (position, lambda p: p.reduce(D(-1), D(1)), "position.quantity"),
    (position, lambda p: p.add(0.5, D(1)), "position.quantity"),
    (position, lambda p: p.add(D(1), D("NaN")), "position.price"),
    (position, lambda p: p.mark(1.5), "position.price"),
    (position, lambda p: p.apply_fill("HOLD", D(1), D(1), "E-9"), "position.side"),
    (position, lambda p: p.apply_fill(BUY, D(1), D(1), None), "position.execution_id"),
    (position, lambda p: p.apply_fill(BUY, D(1), D(1), ""), "position.execution_id"),
    (position, lambda p: p.apply_fill(SELL, D(101), 1.5, "E-9"), "position.price"),
    (position, lambda p: setattr(p, "quantity", D(0)), "position.cost"),
    (position, lambda p: setattr(p, "closed_at", TEN), "position.closed_at"),
    (position, lambda p: setattr(p, "current_price", 152.0), "position.current_price"),
    (position, lambda p: setattr(p, "average_entry_price", D(1)), "position.average_entry_price"),
    (position, lambda p: setattr(p, "unrealized_pnl", D(1)), "position.unrealized_pnl"),
]


@pytest.mark.parametrize(
    ("begin", "command", "rule"), ILLEGAL, ids=[f"{r}-{n}" for n, (_, _, r) in enumerate(ILLEGAL)]
)
def test_what_a_rule_forbids_changes_nothing(begin, command, rule):
    """Each illegal change raises the error of its rule; state, events and assignments stay as they were."""
    held = begin()
    before = held.model_dump_json(), held.pending_events, dict(held._assigned)
    with pytest.raises(DomainError) as refusal:
        command(held)
    assert refusal.value.rule == rule
    assert (held.model_dump_json(), held.pending_events, dict(held._assigned)) == before


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("ES", D(0), D(1)), "position.zero_quantity"),
        (("ES", 1.5, D(1)), "position.quantity"),
        (("ES", D(1), "x"), "position.entry_price"),
        (("ES", D(1), D(1), 0.1), "position.commission_paid"),
        (("", D(1), D(1)), "position.symbol"),
    ],
)
def test_opening_refuses_bad_values(arguments, rule):
    """A position that cannot be is not made."""
    with pytest.raises(DomainError) as refusal:
        Position.open_position(*arguments)
    assert refusal.value.rule == rule


def test_the_callers_decimal_context_lets_nothing_through():
    """105 rounds to 200 at one digit, and 106 are too many all the same."""
    held = position("105")
    with (
        decimal.localcontext(prec=1, rounding=decimal.ROUND_UP),
        pytest.raises(DomainError, match="over_reduce"),
    ):
        held.reduce(D(106), D(150))


def test_a_constructor_takes_the_average_price():
    """A row adopted from elsewhere has an average; it determines the exact cost."""
    adopted = Position(symbol="ES", quantity=D(-3), average_entry_price="1.5", opened_at=NINE)  # type: ignore[call-arg]
    assert (adopted.cost, adopted.average_entry_price) == (D("-4.5"), D("1.5"))
    adopted.record_assignments()
    assert adopted.pending_events[0].event.occurred_at == NINE
    with pytest.raises(DomainError, match=r"cost 2 is not quantity x average_entry_price = 4.5"):
        Position(symbol="ES", quantity=D(3), average_entry_price=D("1.5"), cost=D(2))  # type: ignore[call-arg]


def test_plain_assignments_become_one_event():
    """Assigned fields are one event of what changed, at the next save."""
    held = position()
    held.current_price = D("152.00")
    held.last_updated = datetime(2024, 1, 2, 12, 0)
    held.stop_loss_price = None
    held.record_assignments(occurred_at=TEN)
    event = held.pending_events[-1].event
    assert isinstance(event, PositionAmended)
    assert set(event.changes) == {"current_price", "last_updated"}
    assert held.unrealized_pnl == 150


def test_the_venues_nanoseconds_are_kept_wherever_they_are_given():
    """Of the fill that enlarges, reduces, closes or flips, and of the opposite position that a flip opens: unchanged, and to the microsecond as the time."""
    ns = 1774358190528999999
    when = datetime(2026, 3, 24, 13, 16, 30, 528999, tzinfo=UTC)
    position = Position.open_position("ES", Decimal(1), Decimal(4500), execution_id="E0", occurred_at=when)
    position.add(Decimal(1), Decimal(4500), execution_id="E1", transact_time_ns=ns)
    position.mark(Decimal(4501), transact_time_ns=ns)
    position.reduce(Decimal(1), Decimal(4501), execution_id="E2", transact_time_ns=ns)
    opposite = position.apply_fill(OrderSide.SELL, Decimal(3), Decimal(4501), "E3", transact_time_ns=ns)
    assert opposite is not None
    opposite.close(Decimal(4502), execution_id="E4", transact_time_ns=ns)
    events: list[Any] = [pending.event for one in (position, opposite) for pending in one.pending_events]
    assert len(events) == 7
    assert {(event.transact_time_ns, event.occurred_at) for event in events[1:]} == {(ns, when)}
