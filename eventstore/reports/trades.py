"""The report of round trips: each position from its opening to its close."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.average_cost import in_place
from eventstore.domain.position import Position, PositionMarked
from eventstore.domain.position_memory import adopted, reported
from eventstore.replay.past_fold import creates, try_to_evolve
from eventstore.reports.columns import (
    Column,
    amounts,
    amounts_apart,
    averages,
    integers,
    quantities,
    texts,
    times,
)
from eventstore.reports.filters import Question, last
from eventstore.reports.money import ZERO, Converter, Rates, told
from eventstore.reports.reading import Moment, Reader, converter_of, has, text_of
from eventstore.reports.report import Report
from eventstore.time_slices import Slices, listed, ordered

COLUMNS = (
    *texts("position_id", "symbol", "side"),
    *quantities("quantity"),
    *averages("entry_price", "exit_price"),
    *times("opened_at", "closed_at"),
    Column("holding_time", "duration"),
    *amounts("realized_pnl", "commission"),
    *amounts_apart("other_commissions"),
    *amounts("net_pnl", "mae", "mfe"),
    *integers("fills"),
    *texts("currency", "portfolio_id", "strategy", "account", "venue"),
)
"""The columns of the report of round trips."""

_EVENTS_AT_ONCE = (
    1_000  # the row of a longer round trip is computed in a thread, and other tasks run meanwhile
)


class Trades:
    """The report of round trips, before it is read. See `Reports.trades`."""

    def __init__(
        self,
        filters: Mapping[str, Any],
        *,
        limit: int | None,
        rates: Rates | None,
        base: str | None,
    ) -> None:
        self.question = Question.of("trades", filters)
        self._limit, self._rates, self._base = limit, rates, base
        self._found = _RoundTrips()

    async def readers(self, moment: Moment) -> Sequence[Reader]:
        """Return what reads the positions."""
        if self.question.portfolio is not None:
            self._found.streams = await moment.positions_of(self.question.portfolio)
        return [self._found]

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        trips = self._found.by_position
        states = [one.state for one in trips.values() if one.state is not None]
        closed = await moment.with_currencies(await listed(states, lambda one: _belongs(self.question, one)))
        converter = await converter_of(
            moment, self._base, self._rates, {one.portfolio_id for one, _ in closed}
        )
        slices, rows = Slices(), []
        for state, currency in closed:
            trip = trips[state.id]
            if len(trip.events) <= _EVENTS_AT_ONCE:
                row = _row(trip, state, currency, converter)
            else:
                row = await asyncio.to_thread(_row, trip, state, currency, converter)
            if row is not None:
                rows.append(row)
            await slices.rest()
        rows = await ordered(rows, key=lambda row: (row[7], row[0]))
        return Report(
            "trades",
            COLUMNS,
            last(rows, self._limit),
            through=moment.through,
            display=await moment.display(),
        )


class _RoundTrips:
    """Folds positions in the order of report."""

    types = Position.event_classes()

    def __init__(self) -> None:
        self.streams: Collection[UUID] | None = None
        self.by_position: dict[UUID, _RoundTrip] = {}

    def take(self, part: RecordedEvent) -> None:
        """Take the next event of a position in."""
        trip = self.by_position.get(part.stream_id)
        if trip is None:
            trip = self.by_position[part.stream_id] = _RoundTrip()
        trip.take(part)


def _belongs(question: Question, state: Position) -> bool:
    return has(question, state) and state.closed_at is not None and question.has_time(state.closed_at)


@dataclass(slots=True)
class _RoundTrip:
    """A position, folded in the order of report.

    Attributes:
        state: Its state.
        events: Its events, without the marks.
        lowest: The lowest result at a mark, before commissions; None without a mark.
        highest: The highest.
    """

    state: Position | None = None
    events: list[Event] = field(default_factory=list)
    lowest: Decimal | None = None
    highest: Decimal | None = None

    def take(self, part: RecordedEvent) -> None:
        """Take the next event in."""
        if self.state is None and not creates(Position, part):
            return
        state, _ = try_to_evolve(Position, self.state, part)
        self.state = state
        if not isinstance(part.event, PositionMarked):
            self.events.append(part.event)
        elif state is not None and state.is_open:
            result = _result(state)
            self.lowest = result if self.lowest is None else min(self.lowest, result)
            self.highest = result if self.highest is None else max(self.highest, result)


@exact
def _result(position: Position) -> Decimal:
    return plain(position.realized_pnl + (position.unrealized_pnl or ZERO))


@exact
def _row(
    trip: _RoundTrip, state: Position, currency: str | None, converter: Converter
) -> tuple[Any, ...] | None:
    """Return the row of a round trip; None if nothing was ever held: each of its executions was taken back."""
    executions = [one for one in in_place(reported(trip.events)) if one.counts and one.side is not None]
    held = adopted(trip.events)
    if not executions and not held.quantity:
        return None
    entered = [(abs(held.quantity), abs(held.cost))] if held.quantity else []
    left: list[tuple[Decimal, Decimal]] = []
    first = held.quantity or next((one.side.sign for one in executions if one.side is not None), 1)
    sign = 1 if first > 0 else -1
    for one in executions:
        side = entered if one.side is not None and one.side.sign == sign else left
        side.append((one.quantity, one.cost))
    realized = state.realized_pnl
    commission, others = state.commission_paid, state.other_commissions

    def converted(amount: Decimal) -> Decimal:
        return converter.convert(amount, currency)

    if converter.table is not None:
        paid = (converter.convert(one.amount, one.currency) for one in others)
        commission, others = plain(sum(paid, converted(commission))), ()
    is_marked = trip.lowest is not None and trip.highest is not None
    assert state.closed_at is not None  # noqa: S101 - only closed positions are round trips
    return (
        str(state.id),
        state.symbol,
        "LONG" if sign > 0 else "SHORT",
        plain(sum((quantity for quantity, _ in entered), ZERO)),
        _average(entered),
        _average(left),
        state.opened_at,
        state.closed_at,
        max(state.closed_at - state.opened_at, timedelta(0)),
        converted(realized),
        commission,
        told(others),
        plain(converted(realized) - commission),
        converted(min(trip.lowest, realized, ZERO)) if is_marked and trip.lowest is not None else None,
        converted(max(trip.highest, realized, ZERO)) if is_marked and trip.highest is not None else None,
        len(executions),
        converter.currency(currency),
        text_of(state.portfolio_id),
        state.strategy,
        state.account,
        state.venue,
    )


def _average(parts: Sequence[tuple[Decimal, Decimal]]) -> Decimal | None:
    quantity = sum((one for one, _ in parts), ZERO)
    return plain(sum((cost for _, cost in parts), ZERO) / quantity) if quantity else None
