"""The streams of a curve of equity: read as columns, and folded from their events where columns do not tell enough."""

from __future__ import annotations

import asyncio
from bisect import insort_right
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.event import RecordedEvent, UpcastEvents
from eventstore.database.access import reading
from eventstore.domain.average_cost import Open
from eventstore.domain.money import CurrencyAmount, RateTable
from eventstore.domain.portfolio import (
    Portfolio,
    PortfolioAmended,
    PortfolioCashMoved,
    PortfolioCreated,
    PortfolioTradeRecorded,
)
from eventstore.domain.portfolio_snapshot import booked
from eventstore.domain.position import Position, PositionFilled, PositionMarked, PositionOpened
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import Window
from eventstore.replay.bounds import find_range
from eventstore.replay.equity_fold import (
    NEVER_NS,
    NO_TIME,
    Columns,
    EquityFold,
    Held,
    NotInColumns,
    Points,
    Summands,
)
from eventstore.replay.past_fold import begin_before, creates, try_to_evolve
from eventstore.replay.replay import Replay
from eventstore.sql import load
from eventstore.tasks import retrieve

E = TypeVar("E", bound=Entity)

_ZERO = Decimal(0)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_NS = 946_684_800 * 10**9
_FIRST_PAGE_EVENTS = 2_500  # while it is folded, the server makes the next one, of twice as many events
_PAGE_EVENTS = 20_000
_FOLDED_AT_A_TIME = 2_000  # takes some milliseconds; then other tasks of the event loop may run
_IN_COLUMNS = (
    PositionOpened,
    PositionFilled,
    PositionMarked,
    PortfolioCreated,
    PortfolioTradeRecorded,
    PortfolioCashMoved,
)


class StreamFold(Generic[E]):
    """The state of one stream after those of its events that have come so far, in the order of versions."""

    def __init__(self, kind: type[E], created: RecordedEvent) -> None:
        self._kind = kind
        self._created = created
        self._events: list[RecordedEvent] = []
        self.entity: E | None = None

    def add(self, event: RecordedEvent) -> None:
        """Take an event in; one that is reported late goes before those that followed it."""
        insort_right(self._events, event, key=lambda one: one.version)
        if self.entity is not None and self._events[-1] is event:
            self.entity, _ = try_to_evolve(self._kind, self.entity, event)
            return
        is_early = self._events[0] is not self._created
        self.entity = begin_before(self._kind, self._created, self._events) if is_early else None
        for one in self._events:
            if self.entity is not None or creates(self._kind, one):
                self.entity, _ = try_to_evolve(self._kind, self.entity, one)


def unrealized(position: Position) -> CurrencyAmount | Decimal:
    """Return what closing a position would realise; a decimal is in the currency of its portfolio."""
    amount, currency = position.unrealized_pnl or _ZERO, position.currency
    return amount if currency is None else CurrencyAmount(currency=currency, amount=amount)


class ColumnCurve:
    """The curve of a portfolio and its positions, from columns.

    Args:
        log: The log.
        portfolio_id: The portfolio.
        positions: The positions that it has or had.
        told: The first event of each position that opens it.
        by_recorded: Whether events count when they were recorded, and not when they occurred.
        rates: The rates.
        base: The currency of the curve; None for the portfolio's.

    Raises:
        NotInColumns: The event classes of the log are not the domain's.
    """

    def __init__(
        self,
        log: EventLog,
        portfolio_id: UUID,
        positions: set[UUID],
        told: Mapping[UUID, RecordedEvent],
        *,
        by_recorded: bool,
        rates: RateTable,
        base: str | None,
    ) -> None:
        for kind in _IN_COLUMNS:
            if log.classes.current.get((kind.category, kind.type, 1)) is not kind:
                raise NotInColumns
        self._log = log
        self._by_recorded = by_recorded
        self._rates = rates
        self._base = base
        self._told = told
        self._streams = [portfolio_id, *sorted(positions)]
        self._number_of = {one.bytes: number for number, one in enumerate(self._streams)}
        self._portfolio: Portfolio | None = None
        self._created: dict[int, RecordedEvent] = {}
        self._whole: set[int] = set()
        self._changes_currency = False

    async def points(self, through: int) -> Points:
        """Return the points of the curve up to a position of the log.

        Raises:
            NotInColumns: The columns do not tell all of it: fold all events.
            ConnectionError, TimeoutError: Safe to retry.
        """
        created = await self._log.read_stream(self._streams[0], limit=1)
        if not created or created[0].position > through or not creates(Portfolio, created[0]):
            raise NotInColumns
        self._find_first(created[0])
        end = (await find_range(self._log, 0, through)).through
        points = Points()
        fold = self._fold(points)
        rows: list[Any] = []
        is_straight = not self._whole
        async with aclosing(self._rows(end)) as pages:
            async for row in pages:
                rows.append(row)
                if not is_straight:
                    continue
                page, late = self._columns(row, points.last), set[int]()
                if not self._by_recorded and not page.is_in_order:
                    page = await _in_order_of_time(page, late)
                is_straight = not late and 0 not in page.kinds and page.begins_after(points.last)
                if is_straight:
                    await _fold_all(fold, page)
        return points if is_straight else await self._fold_by_time(rows, end)

    def _find_first(self, created: RecordedEvent) -> None:
        """Find how each stream begins, and which are folded from their events."""
        self._portfolio = None if isinstance(created, UpcastEvents) else evolve(Portfolio, None, created)
        if self._portfolio is None:
            raise NotInColumns
        self._created[0] = created
        for number, stream_id in enumerate(self._streams[1:], 1):
            first = self._told[stream_id]
            is_opening = (
                not isinstance(first, UpcastEvents) and creates(Position, first) and first.version == 1
            )
            if not is_opening or first.event.portfolio_id != self._streams[0]:  # type: ignore[attr-defined]
                self._whole.add(number)
            else:
                self._created[number] = first

    def _columns(self, row: Any, last: int) -> Columns:
        """Return a page that follows an event with the time `last`."""
        return Columns.of(row, self._number_of, since=last if self._by_recorded else None)

    async def _rows(self, end: int) -> AsyncGenerator[Any]:
        """Yield pages; while the reader uses one, the next one is fetched."""
        size = min(_FIRST_PAGE_EVENTS, _PAGE_EVENTS)

        def fetch(after: int) -> asyncio.Task[tuple[Any, int]]:
            task = asyncio.create_task(
                self._read(Window(after, end), after, size), name="eventstore equity, page ahead"
            )
            task.add_done_callback(retrieve)
            return task

        ahead: asyncio.Task[tuple[Any, int]] | None = fetch(0)
        try:
            while ahead is not None:
                row, reached = await ahead
                if row["events"] == size:
                    size = min(2 * size, _PAGE_EVENTS)
                ahead = fetch(reached) if reached < end else None
                if row["events"]:
                    yield row
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.wait({ahead})

    async def _read(self, window: Window, after: int, size: int) -> tuple[Any, int]:
        """Return a page of at most so many events, and the position that it reaches."""
        async with reading(self._log.connection) as connection:
            (row,) = await connection.fetch(
                load("replay/read_equity", connection),
                after,
                window.end,
                size,
                self._streams,
                self._by_recorded,
                None if self._portfolio is None else self._portfolio.currency,
            )
            if row["events"] == size:
                return row, row["reached"]
            return row, await window.passed(connection, row["events"])

    async def _fold_by_time(self, rows: Sequence[Any], end: int) -> Points:
        """Fold all pages in the order of time, and some streams from their events."""
        columns = Columns()
        for row in rows:
            page = self._columns(row, columns.times[-1] if columns.times else NO_TIME)
            self._whole |= {number for number, kind in zip(page.numbers, page.kinds, strict=True) if not kind}
            columns.add(page)
            await asyncio.sleep(0)
        if not self._by_recorded:
            columns = await _in_order_of_time(columns, self._whole)
        points = Points()
        await _fold_all(self._fold(points, await self._read_whole(end)), columns)
        return points

    async def _read_whole(self, end: int) -> dict[int, Callable[[], Summands | None]]:
        events: dict[int, list[RecordedEvent]] = {number: [] for number in self._whole}
        if events:
            streams = [self._streams[number] for number in events]
            async with aclosing(aiter(Replay(self._log, streams=streams, through=end))) as replayed:
                async for one in replayed:
                    if isinstance(one, UpcastEvents):
                        raise NotInColumns
                    events[self._number_of[one.stream_id.bytes]].append(one)
        results: dict[int, Callable[[], Summands | None]] = {}
        for number, of_stream in events.items():
            if number == 0 and any(map(_changes_currency, of_stream)):
                if self._has_currencies:
                    raise NotInColumns
                self._changes_currency = True
            created = of_stream[0]
            if not self._by_recorded:
                of_stream.sort(key=lambda one: (one.occurred_at, one.position))
            results[number] = self._of_events(number, created, iter(of_stream)).__next__
        return results

    def _of_events(
        self, number: int, created: RecordedEvent, events: Iterator[RecordedEvent]
    ) -> Iterator[Summands | None]:
        """Yield what a stream adds to the equity after each of its events."""
        if number == 0:
            portfolio = StreamFold(Portfolio, created)
            for event in events:
                portfolio.add(event)
                yield None if portfolio.entity is None else self._booked(portfolio.entity)
            return
        position = StreamFold(Position, created)
        for event in events:
            position.add(event)
            entity = position.entity
            if entity is None or entity.portfolio_id != self._streams[0] or not entity.is_open:
                yield (_ZERO,)
                continue
            if self._changes_currency and entity.currency is not None:
                raise NotInColumns
            amount = entity.unrealized_pnl or _ZERO
            rate = self._rate(entity.currency)
            yield (amount if rate is None else amount * rate,)

    @property
    def _has_currencies(self) -> bool:
        """Whether it matters which currency the portfolio has, as far as the openings of its positions say."""
        opened = (one.event for number, one in self._created.items() if number)
        return self._base is not None or any(one.currency is not None for one in opened)  # type: ignore[attr-defined]

    def _booked(self, portfolio: Portfolio) -> Summands:
        """Return what sums up to the equity of the portfolio without open results."""
        return booked(portfolio, self._rates, base=self._base)

    def _rate(self, currency: str | None) -> Decimal | None:
        """Return what one unit of a currency is worth; of None, the portfolio's; None if nothing is converted."""
        own = None if self._portfolio is None else self._portfolio.currency
        base = own if self._base is None else self._base
        currency = own if currency is None else currency
        if currency == base:
            return None
        rate = None if currency is None else self._rates.into(base).get(currency)
        if rate is None:
            raise NotInColumns
        return rate

    def _fold(
        self, points: Points, whole: Mapping[int, Callable[[], Summands | None]] | None = None
    ) -> EquityFold:
        held = {}
        for number, created in self._created.items():
            if number and number not in self._whole:
                position = evolve(Position, None, created)
                if position is None:
                    raise NotInColumns
                held[number] = Held(
                    Open(position.quantity, position.cost),
                    position.current_price,
                    _moment_ns(position),
                    position.multiplier,
                    self._rate(position.currency),
                )
        if self._portfolio is None:
            raise NotInColumns
        begin = self._booked(self._portfolio)
        return EquityFold(held, 0, begin, whole or {}, points, rate=self._rate(None))


def _changes_currency(one: RecordedEvent) -> bool:
    return isinstance(one.event, PortfolioAmended) and "currency" in one.event.changes


def _moment_ns(position: Position) -> int:
    if position.marked_at is None:
        return NEVER_NS
    if position.marked_at_ns is not None:
        return position.marked_at_ns - _EPOCH_NS
    return (position.marked_at - _EPOCH) // timedelta(microseconds=1) * 1000


async def _in_order_of_time(page: Columns, late: set[int]) -> Columns:
    ordered = Columns()
    for some in page.in_order_of_time(late):
        ordered.add(some)
        await asyncio.sleep(0)
    return ordered


async def _fold_all(fold: EquityFold, page: Columns) -> None:
    for start in range(0, len(page), _FOLDED_AT_A_TIME):
        fold.add(page, start, start + _FOLDED_AT_A_TIME)
        await asyncio.sleep(0)
