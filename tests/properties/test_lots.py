"""Laws of lots, against an implementation of their definition in fractions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings, strategies as st

from eventstore.core import Event
from eventstore.domain.average_cost import SPLIT_REST
from eventstore.domain.executions import Execution, ExecutionStatus, OrderSide, SplitRatio
from eventstore.domain.lot_steps import LotsOfPosition
from eventstore.domain.lots import LotMethod, Lots, LotStep, fold_lots
from eventstore.domain.position import Position, PositionSplit
from eventstore.errors import DomainError
from eventstore.testing.strategies import trading_days
from projections import PositionLotsProjection
from projections.laws import check_laws
from tests.properties.recorded import recorded
from tests.scale import examples

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Piece:
    """What is open of one trade."""

    execution_id: str | None
    opened_at: datetime
    place: int
    signed: Fraction
    price: Fraction


def by_definition(
    steps: list[LotStep], method: LotMethod, chosen: dict[Any, list[str]]
) -> tuple[list[tuple[Any, ...]], dict[str | None, Fraction]]:
    """Return the closes, each as who opened, who closed, quantity and result, and the open quantities by execution."""
    pieces: list[Piece] = []
    closes = []
    place = 0
    for run in split_runs(steps):
        if isinstance(run, SplitRatio):
            ratio = Fraction(run.new, run.old)
            for piece in pieces:
                piece.signed *= ratio
                piece.price /= ratio
            continue
        for one in run:
            sign = 1 if one.side is OrderSide.BUY else -1
            rest, price = Fraction(one.quantity), Fraction(one.price)
            wishes = list(chosen.get(one.execution_id, [])) if method is LotMethod.BY_ID else []
            while rest and pieces and pieces[0].signed * sign < 0:
                piece = next_piece(pieces, method, wishes)
                part = min(rest, abs(piece.signed))
                closes.append(
                    (piece.execution_id, one.execution_id, part, -sign * part * (price - piece.price))
                )
                piece.signed += sign * part
                rest -= part
                pieces = [left for left in pieces if left.signed]
            if rest:
                pieces.append(Piece(one.execution_id, one.occurred_at, place, sign * rest, price))
                place += 1
    return closes, {piece.execution_id: piece.signed for piece in pieces}


def split_runs(steps: list[LotStep]) -> list[Any]:
    """The executions that count between the splits, in the order of their times, and the splits."""
    runs: list[Any] = [[]]
    for step in steps:
        if isinstance(step, SplitRatio):
            runs += [step, []]
        elif isinstance(step, Execution) and step.status is ExecutionStatus.COUNTED:
            runs[-1].append(step)
    return [
        run if isinstance(run, SplitRatio) else sorted(run, key=lambda one: one.occurred_at) for run in runs
    ]


def next_piece(pieces: list[Piece], method: LotMethod, wishes: list[str]) -> Piece:
    """The piece that a method closes next."""
    for wish in wishes:
        for piece in pieces:
            if piece.execution_id == wish:
                return piece
    first = min(pieces, key=lambda piece: (piece.opened_at, piece.place))
    if method is LotMethod.LIFO:
        return max(pieces, key=lambda piece: (piece.opened_at, piece.place))
    if method is LotMethod.HIGHEST_COST:
        is_long = first.signed > 0
        best = (max if is_long else min)(piece.price for piece in pieces)
        dearest = [piece for piece in pieces if piece.price == best]
        return min(dearest, key=lambda piece: (piece.opened_at, piece.place))
    return first


@st.composite
def streams(draw: st.DrawFn) -> list[LotStep]:
    """Executions in any order of time, some of them busted, and splits that divide evenly."""
    steps: list[LotStep] = []
    for number in range(draw(st.integers(1, 12))):
        if number and draw(st.integers(0, 7)) == 0:
            steps.append(SplitRatio(new=draw(st.sampled_from([2, 5, 10])), old=draw(st.sampled_from([1, 2]))))
            continue
        steps.append(
            Execution(
                execution_id=f"e{number}",
                side=draw(st.sampled_from(OrderSide)),
                quantity=draw(st.decimals("0.01", 50, places=2)),
                price=draw(st.decimals(-5, 50, places=2)),
                commission=draw(st.decimals(-1, 5, places=2)),
                occurred_at=BEGIN + timedelta(hours=draw(st.integers(0, 20))),
                status=draw(st.sampled_from([ExecutionStatus.COUNTED] * 5 + [ExecutionStatus.BUSTED])),
            )
        )
    return steps


choices = st.dictionaries(
    st.sampled_from([f"e{number}" for number in range(12)]),
    st.lists(st.sampled_from([f"e{number}" for number in range(12)]), max_size=3),
)


@settings(max_examples=examples(300), deadline=None)
@given(streams(), st.sampled_from(LotMethod), choices)
def test_lots_are_those_of_the_definition(steps, method, chosen):
    """Who closes whom, how much, what it realises and what stays open: all as the definition says, to the last digit."""
    is_chosen = method is LotMethod.BY_ID
    lots = fold_lots(steps, method=method, chosen=chosen if is_chosen else None)

    closes, still_open = by_definition(steps, method, chosen)
    assert [
        (match.lot.execution_id, match.execution_id, Fraction(match.quantity), Fraction(match.realized_pnl))
        for match in lots.matches
    ] == closes
    assert {lot.execution_id: Fraction(lot.quantity) for lot in lots.open} == still_open


@settings(max_examples=examples(300), deadline=None)
@given(streams(), st.sampled_from(LotMethod))
def test_nothing_is_lost(steps, method):
    """Quantities, costs and commissions of open and closed parts sum to those of the executions that count."""
    lots = fold_lots(steps, method=method)
    counted: list[Any] = [step for step in steps if isinstance(step, Execution) and step.counts]

    paid = sum(Fraction(match.lot.commission) + Fraction(match.closing_commission) for match in lots.matches)
    assert paid + sum(Fraction(lot.commission) for lot in lots.open) == sum(
        Fraction(one.commission) for one in counted
    )
    value = sum(-one.side.sign * Fraction(one.quantity) * Fraction(one.price) for one in counted)
    assert Fraction(lots.realized_pnl) - Fraction(lots.cost) == value


@settings(max_examples=examples(300), deadline=None)
@given(streams(), st.sampled_from(LotMethod), st.decimals(1, 50, places=2))
def test_a_closed_position_realises_the_same_by_every_method(steps, method, price):
    """Once all is closed, each method has realised what was received less what was paid."""
    left = fold_lots(steps).quantity
    if left:
        side = OrderSide.SELL if left > 0 else OrderSide.BUY
        late = BEGIN + timedelta(days=2)
        steps = [
            *steps,
            Execution(execution_id="last", side=side, quantity=abs(left), price=price, occurred_at=late),
        ]
    lots = fold_lots(steps, method=method, multiplier=Decimal("2.5"))

    counted: list[Any] = [step for step in steps if isinstance(step, Execution) and step.counts]
    value = sum(-one.side.sign * Fraction(one.quantity) * Fraction(one.price) for one in counted)
    assert lots.open == ()
    assert Fraction(lots.realized_pnl) == value * Fraction("2.5")


@settings(max_examples=examples(200), deadline=None)
@given(streams(), st.sampled_from(LotMethod), st.sampled_from([(1, 3), (7, 3), (21, 20)]))
def test_uneven_splits_leave_costs_and_whole_quantity(steps, method, split):
    """After a split with a remainder the lots sum to what the position has, and their costs are as before."""
    ratio = SplitRatio(new=split[0], old=split[1])
    before = fold_lots(steps, method=method)
    after = fold_lots([*steps, ratio], method=method)

    assert after.quantity == ratio.quantity(before.quantity)
    assert (after.cost, after.matches) == (before.cost, before.matches)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """A position with fills, busts, corrections and splits, which is closed in the end unless the last bust opened it."""
    quantity = draw(st.integers(-50, 50).filter(bool))
    position = Position.open_position(
        "X",
        Decimal(quantity),
        Decimal(10),
        Decimal(1),
        execution_id="e0",
        multiplier=Decimal(5),
        occurred_at=BEGIN,
    )
    for number in range(1, draw(st.integers(1, 10))):
        when = BEGIN + timedelta(hours=draw(st.integers(-5, 20)))
        ids = [one.execution_id for one in position.executions if one.counts and one.execution_id]
        kind = draw(st.sampled_from(["fill", "fill", "fill", "bust", "correct", "split"]))
        try:
            if kind == "fill":
                side, price = draw(st.sampled_from(OrderSide)), draw(st.decimals(1, 50, places=2))
                amount = Decimal(draw(st.integers(1, 40)))
                position.apply_fill(
                    side, amount, price, f"e{number}", commission=Decimal("0.3"), occurred_at=when
                )
            elif kind == "bust" and ids:
                position.bust_fill(draw(st.sampled_from(ids)), occurred_at=when)
            elif kind == "correct" and ids:
                position.correct_fill(
                    draw(st.sampled_from(ids)),
                    quantity=Decimal(draw(st.integers(1, 40))),
                    price=draw(st.decimals(1, 50, places=2)),
                    new_execution_id=draw(st.sampled_from([None, f"e{number}"])),
                    occurred_at=when,
                )
            elif kind == "split":
                position.split(*draw(st.sampled_from([(2, 1), (1, 2), (7, 3)])), occurred_at=when)
        except DomainError:
            continue
    if position.is_open:
        position.close(
            draw(st.decimals(1, 50, places=2)), execution_id="last", occurred_at=BEGIN + timedelta(days=9)
        )
    return position


def lots_of(position: Position, events: Iterable[Event], method: LotMethod) -> Lots:
    """The lots that some events of a position say."""
    of_position = LotsOfPosition(position.id)
    for event in events:
        of_position.take(event)
    return of_position.lots(method)


@settings(max_examples=examples(300), deadline=None)
@given(positions(), st.sampled_from(LotMethod))
def test_lots_and_average_cost_agree_on_a_position(position, method):
    """The lots have the quantity that is open; once nothing is, they have realised what average cost has."""
    events = [pending.event for pending in position.pending_events]
    lots = lots_of(position, events, method)

    assert abs(lots.quantity - position.quantity) <= SPLIT_REST
    if not position.is_open:
        assert abs(lots.realized_pnl - position.realized_pnl) <= SPLIT_REST * 1000
        if not any(isinstance(event, PositionSplit) for event in events):
            assert (lots.open, lots.realized_pnl) == ((), position.realized_pnl)


@settings(max_examples=examples(300), deadline=None)
@given(positions(), st.sampled_from(LotMethod), st.data())
def test_lots_fold_whatever_events_there_are(position, method, data):
    """Any events of a stream that begin with its opening give lots, also when one that another refers to is missing."""
    first, *others = recorded(position)
    kept = [first, *(event for event in others if data.draw(st.booleans()))]

    lots = lots_of(position, [one.event for one in kept], method)

    folded = Position.fold(kept)
    assert folded is not None
    assert abs(lots.quantity - folded.quantity) <= SPLIT_REST


def test_the_projection_keeps_the_laws(server_config):
    """Any batches, a rebuild and a restart give the same rows of lots."""
    days = trading_days().map(lambda day: day.log)
    check_laws(PositionLotsProjection, events=days, database=server_config, examples=examples(4))
