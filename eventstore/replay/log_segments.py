"""Segments of the log: what a question about the past has to know of the events of a category in a range of positions.

With them, a point in time finds the streams that differ from the read table without reading what lies between it and
now. They are made from the log, in order, and no answer depends on whether they exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from eventstore.database.access import writing
from eventstore.database.protocols import the_row
from eventstore.sql import load, planned_for

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

SEGMENT_EVENTS = 1_000
"""The events of a category in a segment. With fewer it costs more to make segments, with more it costs more to read."""

_POSITIONS_MAX_PER_EVENT = (
    10  # where a category has few events, a segment has at most so many positions for each of them
)
_SEGMENTS_AT_A_TIME = 20


class LogSegments:
    """Makes the segments of one category.

    Args:
        log: The log.
        category: The category.
        events: About how many events of the category a segment has.

    Attributes:
        is_behind: Whether there was more to do than one call does.
    """

    def __init__(self, log: EventLog, category: str, *, events: int = SEGMENT_EVENTS) -> None:
        self.is_behind = False
        self._log = log
        self._category = category
        self._events = events
        self._last = 0
        self._length_min = 0
        self._is_known = False
        self._counted = 0

    async def keep_up(self, through: int, *, events: int = 0) -> None:
        """Make the next segments up to a position, if one is due.

        Args:
            through: Everything up to this position is final.
            events: The events of the category since the last call.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        self._counted += events
        positions = through - self._last
        is_due = self._counted >= self._events or positions >= self._events * _POSITIONS_MAX_PER_EVENT
        if self._is_known and not self.is_behind and (not is_due or positions < self._length_min):
            return
        # As many positions as have about the wanted number of events.
        length = positions * self._events // max(self._counted, 1) if self._is_known else self._events
        length = min(max(length, self._events), self._events * _POSITIONS_MAX_PER_EVENT)
        async with writing(self._log.connection) as connection:
            try:
                made = the_row(
                    await connection.fetchrow(
                        planned_for(load("replay/keep_log_segments", connection), through),
                        self._category,
                        through,
                        length,
                        _SEGMENTS_AT_A_TIME,
                    )
                )
            except asyncpg.UniqueViolationError:
                return  # another worker has made it
        if made["position"] > self._last:
            self._counted = 0
        self._is_known, self._last, self._length_min = True, made["position"], made["length_min"]
        self.is_behind = through - self._last >= max(length, self._length_min)
