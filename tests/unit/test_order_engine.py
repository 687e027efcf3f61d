"""The demo's strategy: what holds of its books on a real tape, how it is filled, and that it is deterministic."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest

from eventstore.core.context import CONTEXT, use_ids
from eventstore.core.entity import Entity
from eventstore.core.entity_state import mark_saved
from eventstore.core.event import Event
from eventstore.domain.order import Order, OrderFilled, OrderSide, OrderStatus, OrderType
from eventstore.domain.portfolio import PortfolioTradeRecorded
from eventstore.domain.position import Position
from eventstore.examples.mean_reversion import E_MINI, PLANS, MeanReversion, Plan
from eventstore.examples.ticks import Tick, packaged_tape, read_ticks

CAPITAL = Decimal(100_000)
T0 = datetime(2013, 9, 2, 14, 30, tzinfo=UTC)
PLAN = Plan("test", 4, Decimal(2), target_ticks=2, stop_ticks=4, quantity=3, patience_prints=5)


@dataclass
class Books:
    """Everything a strategy has emitted, saved in memory as a store would."""

    strategy: MeanReversion
    entities: dict[UUID, Entity] = field(default_factory=dict)
    events: list[tuple[UUID, UUID, Event]] = field(default_factory=list)

    def play(self, tape: Iterable[Tick]) -> Books:
        """Let the strategy see a tape, and save after each print."""
        for tick in tape:
            if self.strategy.on_tick(tick):
                self._save()
        return self

    def _save(self) -> None:
        for entity in self.strategy.take_changes():
            pending = entity.pending_events or ()
            if not pending:
                entity.record_assignments()
                pending = entity.pending_events
            self.events += [(entity.id, one.event_id, one.event) for one in pending]
            mark_saved(entity, version=entity.version + len(pending), events=pending)
            self.entities[entity.id] = entity

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of a class."""
        return [event for _, _, event in self.events if isinstance(event, kind)]

    @property
    def orders(self) -> list[Order]:
        """The orders, first made first."""
        return [entity for entity in self.entities.values() if isinstance(entity, Order)]

    @property
    def positions(self) -> list[Position]:
        """The positions, first opened first."""
        return [entity for entity in self.entities.values() if isinstance(entity, Position)]


def played(tape: Sequence[Tick], plan: Plan) -> Books:
    return Books(MeanReversion(plan, E_MINI, CAPITAL, begins_at=tape[0].at)).play(tape)


def ticks(*prices: str | float, volume: int = 10, seconds: int = 1) -> list[Tick]:
    """A tape of these prices, a print each second."""
    return [
        Tick(row, T0 + timedelta(seconds=seconds * row), Decimal(str(price)), volume)
        for row, price in enumerate(prices, 1)
    ]


@pytest.fixture(scope="module")
def tape() -> list[Tick]:
    return read_ticks(packaged_tape(), limit=40_000)


@pytest.fixture(scope="module", params=PLANS, ids=lambda plan: plan.name)
def books(request: pytest.FixtureRequest, tape: list[Tick]) -> Books:
    return played(tape, request.param)


def check_books(books: Books, tape: Sequence[Tick]) -> None:
    """The identities of any books, from the fills alone."""
    fills = [(order, execution) for order in books.orders for execution in order.executions]
    signed = sum((order.side.sign * one.quantity for order, one in fills), Decimal(0))
    bought = sum((order.side.sign * one.quantity * one.price for order, one in fills), Decimal(0))
    commission = sum((one.commission for _, one in fills), Decimal(0))
    portfolio, position = books.strategy.portfolio, books.strategy.position
    open_quantity, open_cost = (position.quantity, position.cost) if position else (Decimal(0), Decimal(0))

    assert signed == open_quantity == sum((one.quantity for one in books.positions), Decimal(0))
    assert commission == portfolio.total_commission_paid
    assert commission == sum((one.commission_paid for one in books.positions), Decimal(0))
    assert commission == sum((one.quantity for _, one in fills), Decimal(0)) * E_MINI.commission
    # What was paid for what is sold again is lost or won; the rest is the cost of what is open.
    with localcontext(CONTEXT):  # to the last of its 34 digits
        realized = (open_cost - bought) * E_MINI.multiplier
        assert portfolio.total_realized_pnl == realized
        assert portfolio.total_realized_pnl == sum(one.realized_pnl for one in books.positions)
        assert portfolio.cash_balance == CAPITAL + realized - commission
        assert portfolio.cash_balance == sum(
            (one.cash_flow for one in books.of(PortfolioTradeRecorded)), CAPITAL
        )

    volumes = {tick.row: tick.volume for tick in tape}
    traded: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for order, one in fills:
        traded[str(order.strategy), int(str(one.execution_id).partition("@")[2])] += one.quantity
    assert all(quantity <= volumes[row] for (_, row), quantity in traded.items())
    ids = [one.execution_id for _, one in fills]
    assert len(set(ids)) == len(ids)


def test_the_books_balance(books: Books, tape: list[Tick]):
    """Cash is capital + realised - commissions; positions are the sum of fills; no print trades more than it has."""
    check_books(books, tape)


def test_everything_happens(tape: list[Tick]):
    """The tape has partial fills, increases, cancels, turns through zero, targets and stops that are hit."""
    every = [played(tape, plan) for plan in PLANS]
    orders = [order for books in every for order in books.orders]
    assert any(len(order.executions) > 1 for order in orders)
    filled = {order.tags[0] for order in orders if order.status is OrderStatus.FILLED}
    assert filled == {"entry", "target", "stop", "turn"}
    reasons = {order.reason for order in orders if order.status is OrderStatus.CANCELLED}
    assert reasons == {"patience", "position closed", "turned round"}
    turns = 0
    for books in every:
        closing = {one.execution_ids[-1] for one in books.positions if not one.is_open}
        turns += sum(one.execution_ids[0] in closing for one in books.positions)
    assert turns > 50
    assert all(order.multiplier == 50 for order in orders)


def test_what_rests_never_exceeds_what_is_open(tape: list[Tick]):
    """After each print the bracket's orders have just what the position has open, or are gone."""
    strategy = MeanReversion(PLANS[3], E_MINI, CAPITAL, begins_at=tape[0].at)
    seen = 0
    for tick in tape[:10_000]:
        if not strategy.on_tick(tick):
            continue
        for entity in strategy.take_changes():
            mark_saved(entity, version=entity.version + 1, events=entity.pending_events)
        for order in (strategy.target, strategy.stop):
            if order is not None:
                assert strategy.position is not None
                assert order.leaves_quantity == abs(strategy.position.quantity)
                assert order.side is (OrderSide.SELL if strategy.position.is_long else OrderSide.BUY)
                seen += 1
    assert seen > 100


def test_two_runs_are_equal(tape: list[Tick]):
    """The same tape and the same source of ids give the same events, id for id."""

    def run() -> list[tuple[UUID, UUID, Event]]:
        numbers = itertools.count(1)
        with use_ids(lambda: UUID(int=next(numbers))):
            return played(tape[:5_000], PLANS[2]).events

    assert run() == run()
    assert len(run()) > 100


def test_times_are_the_tapes(tape: list[Tick]):
    """Every event happened at the time of a print, none at the wall clock's."""
    times = {tick.at for tick in tape}
    assert all(event.occurred_at in times for _, _, event in played(tape[:5_000], PLANS[0]).events)


# ---- the market ----------------------------------------------------------------------------------------------


def warm(*prices: str | float, volume: int = 10) -> Books:
    """A strategy that has sold 3 at 101 by a limit order, which rests from the next print on."""
    return played(ticks(100, 100, 100, 101, *prices, volume=volume), PLAN)


def test_an_entry_rests_until_the_next_print():
    """A signal places a limit order at the print's price, which that print does not fill."""
    books = warm()
    (order,) = books.orders
    assert (order.side, order.order_type, order.limit_price) == (
        OrderSide.SELL,
        OrderType.LIMIT,
        Decimal(101),
    )
    assert (order.status, order.quantity, order.portfolio_id) == (
        OrderStatus.SUBMITTED,
        Decimal(3),
        books.strategy.portfolio.id,
    )


def test_a_limit_order_fills_at_its_limit():
    """A print through the limit fills at the limit, as one that rested in the book."""
    (fill,) = warm("101.5").of(OrderFilled)
    assert (fill.price, fill.quantity, fill.commission) == (101, 3, Decimal("6.15"))


def test_a_fill_takes_no_more_than_was_printed():
    """An order of 3 on prints of 1 fills in three, and its bracket comes with the last."""
    books = warm(101, 101, volume=1)
    assert [fill.quantity for fill in books.of(OrderFilled)] == [1, 1]
    assert len(books.orders) == 1
    books = warm(101, 101, 101, volume=1)
    assert [order.tags[0] for order in books.orders] == ["entry", "target", "stop"]
    target, stop = books.orders[1:]
    assert (target.limit_price, stop.stop_price) == (Decimal("100.50"), Decimal("102.00"))


def test_the_target_cancels_the_stop():
    """A short of 3 from 101 takes its profit at 100.50: 3 x 0.5 x 50 dollars, less commissions."""
    books = warm(101, "100.5")
    assert [order.status for order in books.orders] == ["FILLED", "FILLED", "CANCELLED"]
    assert books.strategy.position is None
    assert books.strategy.portfolio.cash_balance == CAPITAL + 75 - Decimal("12.30")
    assert books.strategy.portfolio.win_rate == 1


def test_the_stop_trades_at_the_print():
    """A stop is a market order once touched: it slips to the price of the print, and the target goes."""
    books = warm(101, "102.25")
    assert [order.status for order in books.orders[:3]] == ["FILLED", "CANCELLED", "FILLED"]
    assert books.orders[2].average_fill_price == Decimal("102.25")
    assert books.strategy.portfolio.losing_trades == 1


def test_a_stop_that_was_touched_goes_on():
    """Filled in part, it trades on at the market when the price has come back."""
    tape = ticks(100, 100, 100, 101, 101)
    tape += [Tick(6, T0 + timedelta(minutes=1), Decimal("102.25"), 1)]
    tape += [Tick(7, T0 + timedelta(minutes=2), Decimal("101.75"), 5)]
    books = played(tape, PLAN)
    assert [(fill.quantity, fill.price) for fill in books.of(OrderFilled)][1:] == [
        (1, Decimal("102.25")),
        (2, Decimal("101.75")),
    ]


def test_one_cancels_the_other_in_part():
    """When the target is filled in part, the stop is amended to what is still open."""
    tape = [*ticks(100, 100, 100, 101, 101), Tick(6, T0 + timedelta(minutes=1), Decimal("100.5"), 1)]
    books = played(tape, PLAN)
    target, stop = books.orders[1:]
    assert (target.status, target.leaves_quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal(2))
    assert (stop.quantity, stop.leaves_quantity) == (Decimal(2), Decimal(2))


def test_patience_ends():
    """An entry that is not filled within its prints is cancelled, with the reason."""
    books = warm(*["100.75"] * 5)
    assert books.orders[0].status is OrderStatus.CANCELLED
    assert books.orders[0].reason == "patience"


def test_patience_with_a_part_filled():
    """What was opened by then is protected by a bracket of its size."""
    tape = [*ticks(100, 100, 100, 101), Tick(5, T0 + timedelta(seconds=5), Decimal(101), 1)]
    tape += [Tick(row, T0 + timedelta(seconds=row), Decimal("100.75"), 1) for row in range(6, 10)]
    books = played(tape, PLAN)
    assert [(order.tags[0], order.quantity) for order in books.orders] == [
        ("entry", Decimal(3)),
        ("target", Decimal(1)),
        ("stop", Decimal(1)),
    ]


def test_a_signal_against_the_position_turns_it_round():
    """One market order of both sizes goes through zero: the short closes and a long of 3 opens."""
    plan = Plan("turn", 4, Decimal(2), target_ticks=20, stop_ticks=40, quantity=3, patience_prints=50)
    books = played(ticks(100, 100, 100, 101, 101, 100, 99, "98.5", "98.75", "98.75"), plan)
    turn = next(order for order in books.orders if order.tags == ("turn",))
    assert (turn.side, turn.order_type, turn.quantity, turn.status) == (
        OrderSide.BUY,
        OrderType.MARKET,
        Decimal(6),
        OrderStatus.FILLED,
    )
    short, long = books.positions
    assert (short.quantity, long.quantity) == (Decimal(0), Decimal(3))
    assert short.commission_paid + long.commission_paid == 9 * E_MINI.commission
    assert [order.status for order in books.orders if order.tags[0] in ("target", "stop")] == [
        "CANCELLED",
        "CANCELLED",
        "SUBMITTED",
        "SUBMITTED",
    ]


def test_an_order_of_the_day_expires_with_its_session():
    """After a break it is gone, at the time of the last print before; the next print does not fill it."""
    tape = ticks(100, 100, 100, 101)
    tape.append(Tick(5, T0 + timedelta(hours=6), Decimal(101), 10))
    (order, *_) = played(tape, PLAN).orders
    assert (order.status, order.expired_at) == (OrderStatus.EXPIRED, tape[3].at)
    assert order.filled_quantity == 0


@pytest.mark.full
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_whole_tape(plan: Plan):
    """The books balance over all 500,000 prints, and each strategy does its share of 20,000 orders."""
    whole = read_ticks(packaged_tape())
    books = played(whole, plan)
    check_books(books, whole)
    assert books.strategy.orders_count * len(PLANS) > 13_000
