"""Replay: the events of the log between two positions or times, decoded, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.errors import EventDecodingError, UnknownEventTypeError
from eventstore.limits import check_count
from eventstore.log.event_log import EventLog
from eventstore.log.records import decode_page
from eventstore.log.subscription import Mark
from eventstore.log.unreadable import OnUnreadable, Readable, UnreadableEvent, unreadable_handler
from eventstore.replay.bounds import Bound, Range, bound, find_range
from eventstore.replay.pages import PAGE_EVENTS_MAX, Pages, Selection
from eventstore.time_slices import EVENTS_AT_A_TIME


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """The progress of a replay.

    Attributes:
        position: Every selected event up to this position was yielded.
        target: The position at which it ends; None before it begins.
        events: The number of events that were yielded.
        elapsed_s: Seconds from the beginning to the last event or page that was yielded.
        unreadable: The number of events that could not be read and were left out by `on_unreadable`.
    """

    position: int
    target: int | None
    events: int
    elapsed_s: float
    unreadable: int = 0

    @property
    def events_per_s(self) -> float:
        """Events yielded per second; 0.0 before the first."""
        return self.events / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def is_done(self) -> bool:
        """Whether all events were yielded."""
        return self.target is not None and self.position >= self.target


OnProgress = Callable[[ReplayProgress], None]
"""A callback that receives the progress of a replay."""


class Replay:
    """Events of the log in the order of positions. `store.replay(...)` makes one; iterate over it, or over `pages()`.

    The end is fixed when the iteration begins. The replay waits for transactions that are in flight below
    that end, so it misses no event. Two or three pages are in memory at a time, however long the log is.
    Only one page is read ahead, so a slow reader is not overrun. No connection and no transaction is held
    between pages: the iteration may be left or cancelled at any point.

    Iterating again, after an error or a `break`, continues after `position`, to the same end.

    Args:
        log: The log.
        categories: Only these categories; None for all.
        types: Only these types, each a name or an event class, after upcasting; None for all.
        streams: Only these streams; None for all.
        after: Begin after this position, exclusive; or after this point in time, exclusive, by `recorded_at`.
        through: End with this position, inclusive; or with this point in time, inclusive, by `recorded_at`;
            None for the last event that exists when the iteration begins. A naive datetime means local time.
        page_events_max: The maximum number of events that one statement reads; at least 1.
        on_progress: Receives the progress after each page.
        on_unreadable: What to do with an event that cannot be read, after the events before it were yielded:
            stop with its error (`raise`), leave it out with a warning (`skip`), or call a function with the
            `UnreadableEvent`. The function may raise; if it returns, the replay goes on.

    Raises:
        ConfigurationError: A bound is negative or of another type, the size of a page is not positive, or
            `on_unreadable` is not one of these.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        categories: Collection[str] | None = None,
        types: Collection[str | type[Event]] | None = None,
        streams: Collection[UUID] | None = None,
        after: Bound = 0,
        through: Bound | None = None,
        page_events_max: int = PAGE_EVENTS_MAX,
        on_progress: OnProgress | None = None,
        on_unreadable: OnUnreadable = "raise",
    ) -> None:
        check_count("page_events_max", page_events_max)
        self._log = log
        self._types = None if types is None else Types(types, log.classes)
        self._selection = Selection(
            None if categories is None else list(categories),
            None if self._types is None else self._types.names,
            None if streams is None else list(streams),
        )
        self._after = bound("after", after)
        self._through = None if through is None else bound("through", through)
        self._page_events_max = page_events_max
        self._on_progress = on_progress
        self._handle_unreadable = unreadable_handler(on_unreadable)
        self._range: Range | None = None
        self._position = self._after if isinstance(self._after, int) else 0
        self._mark = Mark(self._position)
        self._events = self._unreadable = 0
        self._began_s = self._moved_s = 0.0

    @property
    def position(self) -> int:
        """The position up to which every selected event was yielded; another replay can continue after it."""
        return self._position

    @property
    def progress(self) -> ReplayProgress:
        """The progress so far."""
        target = None if self._range is None else self._range.through
        elapsed_s = self._moved_s - self._began_s
        return ReplayProgress(self._position, target, self._events, elapsed_s, self._unreadable)

    async def __aiter__(self) -> AsyncGenerator[RecordedEvent]:
        """Yield one event at a time; raises the same errors as `pages`."""
        async with aclosing(self._read_runs()) as runs:
            async for events, through in runs:
                number = 0
                try:
                    for number, event in enumerate(events, 1):  # noqa: B007 - also used if the loop is left early
                        self._reached(event)
                        yield event
                finally:
                    self._events += number
                self._reach(through)

    async def pages(self) -> AsyncGenerator[list[RecordedEvent]]:
        """Yield lists of events, never empty, one for the rows of each statement; shorter before an unreadable event.

        This is the fastest way: nothing is awaited between the events of a page.

        Raises:
            RestoredLogError: The log ends before what was yielded, or another server that lacks it has taken over.
            ConnectionError, TimeoutError: Safe to retry: iterate again.
            ConfigurationError: The server is a standby, which does not know the writers in flight.
            UnknownEventTypeError, EventDecodingError: An event cannot be read; the error has its position.
        """
        async with aclosing(self._read_runs()) as runs:
            async for events, through in runs:
                self._events += len(events)
                if events:
                    self._reached(events[-1])
                self._reach(through)
                if events:
                    yield events

    async def _read_runs(self) -> AsyncGenerator[tuple[list[RecordedEvent], int]]:
        """Yield runs of readable events, each with the position up to which nothing is missing."""
        async with aclosing(self._read()) as pages:
            async for events, through, is_whole in pages:
                if is_whole:
                    yield cast("list[RecordedEvent]", events), through
                    continue
                run: list[RecordedEvent] = []
                for event in events:
                    if not isinstance(event, UnreadableEvent):
                        run.append(event)
                        continue
                    yield run, event.position - 1
                    run = []
                    self._handle_unreadable(event)
                    self._unreadable += 1
                yield run, through

    async def _read(self) -> AsyncGenerator[tuple[list[Readable], int, bool]]:
        if self._range is None:
            self._began_s = self._moved_s = time.monotonic()
            self._range = await find_range(self._log, self._after, self._through)
            self._position = max(self._position, self._range.after)
            self._mark = Mark(self._position)
        elif self._range.generation != self._log.server.generation:
            self._range = await self._on_another_server(self._range)
        pages = Pages(
            self._log.connection,
            self._selection,
            after=self._position,
            through=self._range.through,
            page_events_max=self._page_events_max,
            generation=self._range.generation,
        )
        async with aclosing(pages.read()) as read:
            async for page in read:
                events, is_whole = await self._decode(page.rows, self._range)
                yield events, page.through, is_whole
        if self._position < self._range.through:  # no event was selected
            self._reach(self._range.through)

    async def _on_another_server(self, range_: Range) -> Range:
        """Return the range for a server that has taken over, and continue after the last event that was yielded."""
        with self._log.server.steady() as generation:
            if self._mark.event_id is not None:
                self._mark.require_kept(await self._log.read_mark(self._mark.position))
            await self._log.read_mark(range_.through)
            await self._log.high_water_mark.wait_until_final(range_.through)
        self._position = self._mark.position
        return replace(range_, generation=generation)

    def _reached(self, event: RecordedEvent) -> None:
        self._position = event.position
        self._mark = Mark(event.position, event.position, event.event_id)

    async def _decode(self, rows: list[Any], within: Range) -> tuple[list[Readable], bool]:
        """Return the events of rows, and whether all of them are readable."""
        if within.has_times:
            rows = list(filter(within.has, rows))
        classes, wanted = self._log.classes, self._types
        events: list[Readable] = []
        is_whole = True
        for begin in range(0, len(rows), EVENTS_AT_A_TIME):
            some = rows[begin : begin + EVENTS_AT_A_TIME]
            try:
                events += decode_page(some, classes=classes)
            except (UnknownEventTypeError, EventDecodingError):
                is_whole = False
                events += decode_page(some, classes=classes, keep_unreadable=True)
            await asyncio.sleep(0)
        return events if wanted is None else list(filter(wanted.has, events)), is_whole

    def _reach(self, position: int) -> None:
        self._position = position
        self._moved_s = time.monotonic()
        if self._on_progress is not None:
            self._on_progress(self.progress)


class Types:
    """Types by name, of any category, and event classes; an old event has the types that it is upcast to.

    Attributes:
        names: The names of all types that may be stored for them.
    """

    def __init__(self, types: Collection[str | type[Event]], classes: EventRegistry) -> None:
        self._names = {one for one in types if isinstance(one, str)}
        self._classes = {(one.category, one.type) for one in types if not isinstance(one, str)}
        stored = self._names | {name for _, name in self._classes}
        found = -1
        while found != len(stored):  # add the types that are upcast to them, repeatedly
            found = len(stored)
            stored |= {
                step.type for step in classes.upcasters.values() if not stored.isdisjoint(step.targets)
            }
        self.names = sorted(stored)

    def has(self, event: Readable) -> bool:
        """Whether an event is of one of the types, or may be."""
        # The types that an unreadable event would be upcast to are unknown.
        return isinstance(event, UnreadableEvent) or any(
            part.type in self._names or (part.category, part.type) in self._classes
            for part in event.upcast_events
        )
