"""The states of entities at the ends of periods, from events that may be reported late.

A state at a time is the fold of the events that had occurred by then, in the order of versions: as `as_of(occurred_at=)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Generic, TypeVar

from eventstore.core.entity import Entity
from eventstore.core.event import RecordedEvent
from eventstore.domain.position import PositionMarked
from eventstore.replay.past_fold import begin_before, creates, try_to_evolve
from eventstore.time_slices import Slices, ordered

E = TypeVar("E", bound=Entity)

BEFORE = datetime.min.replace(tzinfo=UTC)
"""The period of all that happened before the range that was asked for."""

_MICROSECOND_NS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stream(Generic[E]):
    """The events of one entity, each with the start of the period in which it occurred.

    Of the marks of a period that follow one another, only the latest is kept: the others cannot change the state at its end.
    """

    def __init__(self, kind: type[E]) -> None:
        self._kind = kind
        self._events: list[tuple[datetime, RecordedEvent]] = []
        self._marks: dict[datetime, int] = {}

    def add(self, start: datetime, event: RecordedEvent) -> None:
        """Take the next event in, in the order of versions."""
        if not isinstance(event.event, PositionMarked):
            self._marks.clear()
            self._events.append((start, event))
            return
        place = self._marks.get(start)
        if place is None:
            self._marks[start] = len(self._events)
            self._events.append((start, event))
        elif _moment(event) >= _moment(self._events[place][1]):
            self._events[place] = (start, event)

    async def states(self) -> AsyncIterator[tuple[datetime, E | None, E | None]]:
        """Yield the start of each period with events, in order, the state at its end, and the last one until then.

        The state is None if there is no entity; after a deletion the last one is that before it.
        """
        slices = Slices()
        in_order = await ordered(self._events, key=lambda one: one[1].version)
        if not in_order:
            return
        created = in_order[0][1]
        starts: dict[datetime, list[RecordedEvent]] = {}
        for start, event in in_order:
            starts.setdefault(start, []).append(event)
            await slices.rest()
        so_far: list[RecordedEvent] = []
        state: E | None = None
        last: E | None = None
        for start in sorted(starts):
            new = starts[start]
            if not so_far or new[0].version < so_far[-1].version:  # the first, or some were reported late
                so_far = await ordered([*so_far, *new], key=lambda one: one.version)
                last = state = None if so_far[0] is created else begin_before(self._kind, created, so_far)
                new = so_far
            else:
                so_far += new
            for event in new:
                state = self._evolved(state, event)
                last = last if state is None else state
                await slices.rest()
            yield start, state, last

    def _evolved(self, state: E | None, event: RecordedEvent) -> E | None:
        if state is None and not creates(self._kind, event):
            return None
        evolved, _ = try_to_evolve(self._kind, state, event)
        return evolved


def _moment(event: RecordedEvent) -> int:
    """Return the time of a mark in ns since the epoch: the venue's, if there is one."""
    assert isinstance(event.event, PositionMarked)  # noqa: S101 - the caller asks this first
    ns = event.event.transact_time_ns
    if ns is not None:
        return ns
    since = event.occurred_at - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * _MICROSECOND_NS
