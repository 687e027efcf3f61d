"""Fills of a position as facts: repeats, busts, corrections, splits, marks, commissions in coins, and the ends of options."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-untyped-def, no-any-return"
# Decimals are compared with integers on purpose.

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.core.entity_state import mark_saved, replica
from eventstore.core.event import RecordedEvent
from eventstore.domain.executions import EXECUTIONS_KEPT_MAX, ExecutionStatus, Liquidity, OrderSide
from eventstore.domain.money import CurrencyAmount
from eventstore.domain.position import (
    FillKind,
    Position,
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionMarked,
    PositionOpened,
)
from eventstore.errors import DomainError

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)


def at(minutes: float) -> datetime:
    """So many minutes after nine."""
    return NINE + timedelta(minutes=minutes)


def a_position(quantity="3", price="100", **details) -> Position:
    """A position opened by the execution E1 at nine."""
    details = {"execution_id": "E1", **details}
    return Position.open_position("ES", D(quantity), D(price), occurred_at=NINE, **details)


def recorded(position: Position, chosen=None) -> list[RecordedEvent]:
    """The pending events, or those of the chosen places, as the log has them."""
    return [
        RecordedEvent(place + 1, position.id, place + 1, pending.event_id, pending.event, {}, NINE)
        for place, pending in enumerate(position.pending_events)
        if chosen is None or place in chosen
    ]


def loaded(position: Position, events=None) -> Position:
    """The saved position as another program loads it, with what its state holds."""
    folded = Position.fold(events or recorded(position))
    assert folded is not None
    return replica(folded)


def many(fills: int = EXECUTIONS_KEPT_MAX + 8) -> Position:
    """A position with more executions than its state holds: each buys one at 100, 101 ..."""
    position = a_position("1")
    for number in range(2, fills + 1):
        position.apply_fill(BUY, D(1), D(99 + number), f"E{number}", occurred_at=at(number))
    return position


def refused(command) -> str:
    with pytest.raises(DomainError) as error:
        command()
    return error.value.rule


# ---- what a fill says, and when it is a repeat -------------------------------------------------------------


def test_a_fill_says_all_that_the_venue_said():
    """The event of a fill has the facts of the fill and of its position."""
    position = a_position(
        account="U1", venue="CME", currency="USD", strategy="s", portfolio_id=TWO, multiplier=D(50)
    )
    position.apply_fill(
        SELL, D(1), D(101), "E2", commission=D("0.25"), order_id=ONE, venue="GLBX", transact_time_ns=7,
        liquidity=Liquidity.MAKER,
    )  # fmt: skip
    event = position.pending_events[-1].event
    assert isinstance(event, PositionFilled)
    assert (event.side, event.quantity, event.price, event.commission) == (SELL, 1, 101, D("0.25"))
    assert (event.execution_id, event.order_id, event.account, event.venue) == ("E2", ONE, "U1", "GLBX")
    assert (event.symbol, event.currency, event.strategy, event.portfolio_id) == ("ES", "USD", "s", TWO)
    assert (event.multiplier, event.transact_time_ns, event.liquidity) == (50, 7, "MAKER")
    assert event.kind is FillKind.TRADE
    assert b"realized" not in event.to_json()


def test_the_opening_execution_is_in_event_and_state():
    """The log finds the execution that opened a position, and the state holds it."""
    position = Position.open_by_fill(
        "ES", SELL, D(2), D(100), D(1), execution_id="E1", order_id=ONE, transact_time_ns=7
    )
    event = position.pending_events[0].event
    assert isinstance(event, PositionOpened)
    assert (event.execution_id, event.order_id, event.transact_time_ns) == ("E1", ONE, 7)
    [execution] = position.executions
    assert (execution.side, execution.quantity, execution.price, execution.commission) == (SELL, 2, 100, 1)
    assert (position.quantity, position.cost, execution.transact_time_ns) == (-2, -200, 7)


def test_an_id_of_another_order_venue_or_account_is_another_fill():
    """A venue counts its ids up for itself, and one trade may fill two orders of ours."""
    position = a_position(order_id=ONE, account="U1", venue="A")
    for facts in ({"order_id": TWO}, {"order_id": ONE, "venue": "B"}, {"order_id": ONE, "account": "U2"}):
        position.apply_fill(BUY, D(3), D(100), "E1", **facts)
    assert position.quantity == 12
    assert position.apply_fill(BUY, D(3), D(100), "E1", order_id=ONE) is None
    assert position.quantity == 12


def test_other_content_under_one_id_is_refused_with_both():
    """The error shows what was counted and what is reported."""
    position = a_position()
    with pytest.raises(DomainError, match=r"BUY 3 at 100, commission 0.*SELL 5 at 90") as error:
        position.apply_fill(SELL, D(5), D(90), "E1")
    assert error.value.rule == "position.execution_conflict"
    assert refused(lambda: position.close(D(101), execution_id="E1")) == "position.execution_conflict"
    assert refused(lambda: position.add(D(1), D(100), execution_id="E1")) == "position.execution_conflict"


@pytest.mark.parametrize("execution_id", ["0", None])
def test_an_execution_without_an_id_is_never_a_repeat(execution_id):
    """Venues give 0 to trades that have no id."""
    position = a_position(execution_id=execution_id)
    for _ in range(2):
        assert position.add(D(1), D(100), execution_id=execution_id)
    assert position.quantity == 5
    assert position.execution_ids == ()


def test_the_state_holds_the_last_executions_and_the_instance_knows_them_all():
    """The row stays small, and a repeat of an old execution is still one."""
    position = many()
    assert len(position.executions) == EXECUTIONS_KEPT_MAX
    assert position.apply_fill(BUY, D(1), D(101), "E2") is None
    assert position.quantity == EXECUTIONS_KEPT_MAX + 8


def test_a_loaded_position_asks_the_log_for_what_its_state_no_longer_holds():
    """What may be a repeat is asked before the append; a repeat is refused by name, a new fill is not."""
    position = many()
    events = recorded(position)
    again = loaded(position)
    again.apply_fill(BUY, D(1), D(101), "E2")
    again.apply_fill(BUY, D(1), D(101), "new")
    assert again._ids_to_ask() == ("E2", "new")
    again._recall(["new"], [])
    assert again._ids_to_ask() == ("E2",)
    assert refused(lambda: again._recall(["E2"], events[1:2])) == "position.execution_repeated"
    careful = loaded(position)
    careful._recall(["E2"], events[1:2])
    assert careful.apply_fill(BUY, D(1), D(101), "E2") is None
    assert refused(lambda: careful.apply_fill(BUY, D(2), D(101), "E2")) == "position.execution_conflict"
    assert careful._ids_to_ask() == ()


def test_what_was_saved_is_asked_no_more():
    """An instance keeps notes of its unsaved events alone."""
    again = loaded(many())
    again.apply_fill(BUY, D(1), D(1), "new")
    mark_saved(again, version=again.version + 1, events=again.pending_events)
    assert again._ids_to_ask() == ()
    again.apply_fill(BUY, D(1), D(1), "newer")
    assert again._ids_to_ask() == ("newer",)
    assert len(again._memory.outcomes) == 1


def test_realized_by_tells_orders_apart():
    """One trade that filled two orders has two results."""
    position = a_position("4")
    position.apply_fill(SELL, D(1), D(110), "E2", order_id=ONE)
    position.apply_fill(SELL, D(1), D(120), "E2", order_id=TWO)
    assert (position.realized_by("E2", ONE), position.realized_by("E2", TWO)) == (10, 20)
    assert refused(lambda: position.realized_by("E2")) == "position.execution_ambiguous"


def test_the_opposite_position_may_get_a_given_id():
    """So that an order can say where its execution went before it went there."""
    opposite = a_position().apply_fill(SELL, D(5), D(100), "E2", opposite_id=TWO, order_id=ONE)
    assert opposite is not None
    assert opposite.id == TWO
    [execution] = opposite.executions
    assert (execution.quantity, execution.whole_quantity, execution.order_id) == (2, 5, ONE)


def test_an_unknown_fact_is_refused_by_name():
    """A misspelt keyword does not get lost."""
    with pytest.raises(DomainError, match="extra keyword 'order'"):
        a_position().add(D(1), D(1), order=ONE)  # type: ignore[call-arg]
    with pytest.raises(DomainError, match="extra keyword"):
        Position.open_position("ES", D(1), D(1), transact_time_ns=7)  # type: ignore[call-arg]


# ---- the fold ----------------------------------------------------------------------------------------------


def test_a_flip_inside_one_stream_opens_at_the_price_of_the_fill():
    """Without one late buy, a sale goes through zero; the fold opens what is left of it, and closes it again."""
    position = a_position("1")
    position.apply_fill(BUY, D(3), D(101), "E2", occurred_at=at(3))
    position.apply_fill(SELL, D(3), D(102), "E3", occurred_at=at(2))
    without = loaded(position, recorded(position, {0, 2}))
    assert (without.quantity, without.cost, without.realized_pnl) == (-2, -204, 2)
    position.apply_fill(SELL, D(1), D(103), "E4", occurred_at=at(4))
    assert (position.quantity, position.closed_at) == (0, at(4))
    reopened = loaded(position, recorded(position, {0, 2, 3}))
    assert (reopened.quantity, reopened.cost, reopened.closed_at) == (-3, -307, None)


def test_a_late_fact_opens_a_closed_position_again():
    """Where the rest of a stream closes it and trades on, it is open, and its time of closing is gone."""
    position = a_position("1")
    position.apply_fill(BUY, D(1), D(101), "E2", occurred_at=at(3))
    position.apply_fill(SELL, D(1), D(102), "E3", occurred_at=at(1))
    position.apply_fill(SELL, D(1), D(103), "E4", occurred_at=at(2))
    closed = loaded(position, recorded(position, {0, 2}))
    assert (closed.quantity, closed.closed_at) == (0, at(1))
    again = loaded(position, recorded(position, {0, 2, 3}))
    assert (again.quantity, again.cost, again.closed_at) == (-1, -103, None)


def test_a_copy_remembers_for_itself():
    """What one of two copies counts, the other has not counted."""
    position = many()
    copied = position.model_copy()
    for number in range(100, 100 + EXECUTIONS_KEPT_MAX + 1):
        copied.apply_fill(BUY, D(1), D(1), f"E{number}")
    before = position.quantity
    position.apply_fill(BUY, D(1), D(1), "E100")
    assert position.quantity == before + 1
    assert position.bust_fill("E2")
    assert copied.bust_fill("E100")


def test_the_result_is_what_the_cost_and_the_facts_leave():
    """Realized = (cost - the sum of signed quantity x price) x multiplier, to the last digit."""
    position = a_position("3", "100.1", multiplier=D("0.7"))
    for number, (side, quantity, price) in enumerate(
        [(BUY, "4", "99.37"), (SELL, "1", "101.03"), (SELL, "5", "98.99"), (BUY, "7", "97.1")], 2
    ):
        position.apply_fill(side, D(quantity), D(price), f"E{number}")
    value = sum((one.side.sign * one.quantity * one.price for one in position.executions if one.side), D(0))
    assert position.realized_pnl == (position.cost - value) * position.multiplier


def test_a_late_mark_leaves_the_price():
    """The latest mark by its own time counts: the venue's if it is known."""
    position = a_position()
    position.mark(D(111), occurred_at=at(2))
    position.mark(D(105), occurred_at=at(1))
    assert (position.current_price, position.marked_at, position.last_updated) == (111, at(2), at(2))
    nanoseconds = int(at(3).timestamp()) * 10**9
    position.mark(D(113), transact_time_ns=nanoseconds + 2)
    position.mark(D(112), transact_time_ns=nanoseconds + 1)
    assert (position.current_price, position.marked_at_ns) == (113, nanoseconds + 2)
    assert isinstance(position.pending_events[-1].event, PositionMarked)


def test_a_commission_in_a_coin_is_apart():
    """It is added to its own sum, and never to that of the position's currency."""
    position = a_position(currency="USDT")
    position.apply_fill(BUY, D(1), D(100), "E2", commission=D("0.01"), commission_currency="BNB")
    position.apply_fill(BUY, D(1), D(100), "E3", commission=D("0.02"), commission_currency="BNB")
    position.apply_fill(BUY, D(1), D(100), "E4", commission=D("0.5"), commission_currency="USDT")
    assert position.commission_paid == D("0.5")
    assert position.other_commissions == (CurrencyAmount(currency="BNB", amount=D("0.03")),)
    position.bust_fill("E2")
    assert position.other_commissions == (CurrencyAmount(currency="BNB", amount=D("0.02")),)


# ---- busts and corrections ---------------------------------------------------------------------------------


def test_a_busted_fill_leaves_what_the_others_give():
    """Cost, result and commission are as if it had never been reported."""
    position = a_position("2", "100")
    position.apply_fill(BUY, D(2), D(120), "E2", commission=D(1))
    position.apply_fill(SELL, D(1), D(130), "E3")
    assert (position.cost, position.realized_pnl) == (330, 20)
    assert position.bust_fill("E2", reason="clearly erroneous", occurred_at=at(5))
    assert (position.quantity, position.cost, position.realized_pnl, position.commission_paid) == (
        1,
        100,
        30,
        0,
    )
    event = position.pending_events[-1].event
    assert isinstance(event, PositionFillBusted)
    assert (event.execution_id, event.busted.price, event.open_quantity, event.cost) == ("E2", 120, 1, 100)
    assert position.realized_in(position.pending_events[-1].event_id) == 10
    assert position.bust_fill("E2") is False
    assert [one.status for one in position.executions][1] is ExecutionStatus.BUSTED
    assert position.apply_fill(BUY, D(2), D(120), "E2", commission=D(1)) is None


def test_a_busted_opening_may_close_or_turn_the_position():
    """What is left of the facts is what is open: nothing, or the other side."""
    alone = a_position("2")
    assert alone.bust_fill("E1", occurred_at=at(1))
    assert (alone.quantity, alone.cost, alone.realized_pnl, alone.closed_at) == (0, 0, 0, at(1))
    turned = a_position("2")
    turned.apply_fill(SELL, D(1), D(110), "E2")
    turned.bust_fill("E1")
    assert (turned.quantity, turned.cost, turned.realized_pnl) == (-1, -110, 0)


def test_a_busted_close_opens_the_position_again():
    """It is as before the close, and can trade on."""
    position = a_position("2")
    position.close(D(110), execution_id="E2", occurred_at=at(1))
    position.bust_fill("E2")
    assert (position.quantity, position.cost, position.realized_pnl, position.closed_at) == (2, 200, 0, None)
    assert position.close(D(105), execution_id="E3") == 10


def test_a_bust_never_happened_before_its_fill():
    """So a time in the past has both, or the fill alone."""
    position = a_position()
    position.apply_fill(BUY, D(1), D(100), "E2", occurred_at=at(5))
    position.bust_fill("E2", occurred_at=at(3))
    assert position.pending_events[-1].event.occurred_at == at(5)


def test_a_correction_that_kept_the_id_is_known_when_it_no_longer_counts():
    """Reported again after a bust or after the next correction, it changes nothing; one that says more is refused."""
    for follow in (
        lambda one: one.bust_fill("E2"),
        lambda one: one.correct_fill("E2", price=D(105), new_execution_id="E2a"),
    ):
        position = a_position("2", "100")
        position.apply_fill(BUY, D(2), D(120), "E2")
        assert position.correct_fill("E2", price=D(110))
        assert position.correct_fill("E2", price=D(115))
        assert position.correct_fill("E2", price=D(110)) is False
        assert follow(position)
        assert position.correct_fill("E2", price=D(110)) is False
        assert refused(lambda one=position: one.correct_fill("E2", price=D(111))) in (
            "position.execution_busted",
            "position.execution_corrected",
        )


def test_a_corrected_fill_counts_where_the_first_report_was():
    """The average cost is as if it had been right the first time; the old id stays known."""
    position = a_position("2", "100")
    position.apply_fill(BUY, D(2), D(120), "E2")
    position.apply_fill(SELL, D(2), D(130), "E3")
    assert position.correct_fill("E2", price=D(110), new_execution_id="E2a", occurred_at=at(5))
    assert (position.quantity, position.cost, position.realized_pnl) == (2, 210, 50)
    event = position.pending_events[-1].event
    assert isinstance(event, PositionFillCorrected)
    assert (event.execution_id, event.new_execution_id, event.price, event.corrected.price) == (
        "E2",
        "E2a",
        110,
        120,
    )
    assert position.correct_fill("E2", price=D(110), new_execution_id="E2a") is False
    assert refused(lambda: position.correct_fill("E2", price=D(111))) == "position.execution_corrected"
    assert refused(lambda: position.bust_fill("E2")) == "position.execution_corrected"
    assert position.correct_fill("E2a", quantity=D(1))
    assert (position.quantity, position.cost, position.realized_pnl) == (
        1,
        D("103.333333333333333333333333"),
        D("53.333333333333333333333333"),
    )
    position.bust_fill("E2a")
    assert (position.quantity, position.realized_pnl) == (0, 60)
    assert refused(lambda: position.correct_fill("E2a", price=D(1))) == "position.execution_busted"


def test_the_parts_of_a_flip_are_busted_each_in_its_position():
    """The old position opens again, and the opposite one closes."""
    long = a_position("2", "100")
    short = long.apply_fill(SELL, D(5), D(110), "E2", commission=D(5))
    assert short is not None
    assert long.bust_fill("E2")
    assert short.bust_fill("E2")
    assert (long.quantity, long.cost, long.realized_pnl, long.commission_paid) == (2, 200, 0, 0)
    assert (short.quantity, short.is_open, short.commission_paid) == (0, False, 0)


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (lambda p: p.bust_fill("E9"), "position.unknown_execution"),
        (lambda p: p.correct_fill("E9", price=D(1)), "position.unknown_execution"),
        (lambda p: p.correct_fill("E1", price=0.5), "position.price"),
        (lambda p: p.correct_fill("E1", quantity=D(0)), "position.quantity"),
        (lambda p: p.correct_fill("E1", price=D(1), new_execution_id="E2"), "position.execution_conflict"),
        (lambda p: p.bust_fill("E1", reason=7), "position.reason"),
        (lambda p: p.bust_fill("E1", occurred_at="soon"), "position.occurred_at"),
        (lambda p: p.correct_fill("E1", price=D(1), occurred_at="soon"), "position.occurred_at"),
        (lambda p: p.split(D(0)), "position.split"),
        (lambda p: p.split(D(1), D(-1)), "position.split"),
        (lambda p: p.change_symbol(""), "position.symbol"),
        (lambda p: p.expire(0.5), "position.price"),
    ],
)
def test_what_is_refused_changes_nothing(command, rule):
    """State and events stay as they were."""
    position = a_position()
    position.apply_fill(BUY, D(1), D(101), "E2")
    before = position.model_dump_json(), position.pending_events
    assert refused(lambda: command(position)) == rule
    assert (position.model_dump_json(), position.pending_events) == before


def test_a_bust_needs_all_executions():
    """An instance that does not know them all says what to do; with its whole stream it busts any of them."""
    position = many()
    events = recorded(position)
    again = loaded(position)
    for execution_id in ("E2", f"E{EXECUTIONS_KEPT_MAX + 8}"):
        assert refused(lambda: again.bust_fill(execution_id)) == "position.execution_not_loaded"  # noqa: B023
    again.recall_all(events)
    assert again.apply_fill(BUY, D(1), D(101), "E2") is None
    assert again._ids_to_ask() == ()
    assert again.bust_fill("E2")
    assert again.bust_fill("E2") is False
    assert position.bust_fill("E2"), "an instance that counted them itself knows them"
    assert (again.quantity, again.cost) == (position.quantity, position.cost)
    assert again.cost == sum(range(100, 140)) - 101
    assert refused(lambda: again.bust_fill("E99")) == "position.unknown_execution"


def test_an_adopted_position_is_busted_with_its_whole_stream():
    """What was open when it was adopted stays; without the stream it cannot be told."""
    position = Position(symbol="ES", quantity=D(4), average_entry_price=D(90), opened_at=NINE)  # type: ignore[call-arg]
    position.record_assignments()
    position.apply_fill(BUY, D(1), D(100), "E1")
    position.apply_fill(SELL, D(1), D(110), "E2")
    events = recorded(position)
    again = loaded(position)
    assert refused(lambda: again.bust_fill("E1")) == "position.execution_not_loaded"
    again.recall_all(events)
    assert again.bust_fill("E1")
    assert (again.quantity, again.cost, again.realized_pnl) == (3, 270, 20)


def test_a_bust_of_what_is_not_there_changes_nothing():
    """A part of the stream without the busted fill, or without the corrected one, is as it was."""
    position = a_position()
    position.apply_fill(BUY, D(1), D(101), "E2")
    position.bust_fill("E2")
    without = loaded(position, recorded(position, {0, 2}))
    assert (without.quantity, without.cost) == (3, 300)


def test_a_bust_keeps_its_average_price_where_other_fills_are_missing():
    """What is open then has the average price that the bust says."""
    position = a_position("2", "100")
    position.apply_fill(BUY, D(2), D(130), "E2")
    position.apply_fill(BUY, D(1), D(160), "E3")
    position.bust_fill("E3")
    without = loaded(position, recorded(position, {0, 2, 3}))
    assert (without.quantity, without.cost, without.realized_pnl) == (2, 230, 30)


# ---- splits, symbols, options ------------------------------------------------------------------------------


def test_a_split_keeps_the_cost_and_busts_are_right_afterwards():
    """100 at 700 and 50 at 707, 7 for 1: 1050 at the same cost; without the second, 700 at 70000."""
    position = a_position("100", "700", stop_loss_price=D(630), take_profit_price=D(770))
    position.apply_fill(BUY, D(50), D(707), "E2", occurred_at=at(1))
    position.mark(D(714), occurred_at=at(2))
    position.split(7, occurred_at=at(3))
    assert (position.quantity, position.cost, position.current_price) == (1050, 105350, 102)
    assert (position.stop_loss_price, position.take_profit_price) == (90, 110)
    assert position.apply_fill(BUY, D(50), D(707), "E2") is None, "a repeat says what it said"
    position.apply_fill(SELL, D(350), D(102), "E3", occurred_at=at(4))
    assert position.bust_fill("E2")
    assert (position.quantity, position.cost, position.realized_pnl) == (350, 35000, 700)
    assert position.bust_fill("E1")
    assert (position.quantity, position.cost, position.realized_pnl) == (-350, -35700, 0)


def test_a_split_that_is_not_even_leaves_no_dust():
    """100 become 33.33 ...; when every fill is busted, nothing is open."""
    position = a_position("50", "10")
    position.apply_fill(BUY, D(50), D(11), "E2")
    position.split(1, 3)
    assert position.cost == 1050
    assert position.quantity == D("33.333333333333333333333333")
    assert position.bust_fill("E1")
    assert position.cost == 550
    assert position.bust_fill("E2")
    assert (position.quantity, position.cost, position.realized_pnl, position.is_open) == (0, 0, 0, False)


def test_a_correction_after_a_split_is_in_the_shares_of_its_time():
    """The venue corrects what it reported: 40 at 700 and not 50, which are 280 of today."""
    position = a_position("100", "700")
    position.apply_fill(BUY, D(50), D(700), "E2")
    position.split(7)
    position.correct_fill("E2", quantity=D(40))
    assert (position.quantity, position.cost) == (980, 98000)
    assert position.executions[-1].quantity == 280


def test_a_correction_from_before_a_split_costs_the_same_as_of_before_it():
    """As of between the correction and the split, which was reported first: 90 at 700 are 63000, and nothing was realised."""
    position = a_position("100", "700")
    position.split(7)
    position.correct_fill("E1", quantity=D(90))
    before = loaded(position, recorded(position, [0, 2]))
    assert (before.quantity, before.cost, before.realized_pnl) == (90, 63_000, 0)
    assert (position.quantity, position.cost, position.realized_pnl) == (630, 63_000, 0)


def test_a_mark_from_before_a_split_changes_nothing():
    """Its price is of the old shares; one from after it stays if the split is reported late."""
    position = a_position()
    position.split(2, occurred_at=at(5))
    position.mark(D(100), occurred_at=at(4))
    assert position.current_price is None
    position.mark(D(51), occurred_at=at(6))
    position.split(3, occurred_at=at(5.5))
    assert position.current_price == 51


def test_a_symbol_changes_once():
    """The stream goes on under the new symbol."""
    position = a_position()
    assert position.change_symbol("MES")
    assert position.symbol == "MES"
    assert position.change_symbol("MES") is False


@pytest.mark.parametrize(
    ("quantity", "end", "kind", "realized"),
    [
        ("2", lambda p: p.expire(), FillKind.EXPIRY, -600),
        ("-2", lambda p: p.expire(), FillKind.EXPIRY, 600),
        ("2", lambda p: p.exercise(D(5)), FillKind.EXERCISE, 400),
        ("-2", lambda p: p.assign(D(5)), FillKind.ASSIGNMENT, -400),
    ],
)
def test_an_option_ends_at_its_final_value(quantity, end, kind, realized):
    """All that is open is closed, and realises the difference to what was paid or received for it."""
    position = a_position(quantity, "3", multiplier=D(100))
    assert end(position) == realized
    event = position.pending_events[-1].event
    assert isinstance(event, PositionFilled)
    assert (event.kind, event.quantity, event.execution_id) == (kind, 2, None)
    assert (position.is_open, position.realized_pnl) == (False, realized)
    assert refused(lambda: end(position)) == "position.closed"
