"""Segments of the log: what a question about the past has to know of the events of a category in a range of positions.

With them, a point in time finds the streams that differ from the read table without reading what lies between it and
now. They are made from the log, in order, and no answer depends on whether they exist. Eight consecutive segments are
joined into one of the next level, and so on: so a few of them cover any distance.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import asyncpg

from eventstore.database.access import limit_lock_waits, writing
from eventstore.database.protocols import the_row
from eventstore.errors import TimeoutError
from eventstore.sql import load, planned_for

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

SEGMENT_EVENTS = 1_000
"""The events of a category in a segment. With fewer it costs more to make segments, with more it costs more to read."""

_POSITIONS_MAX_PER_EVENT = (
    10  # where a category has few events, a segment has at most so many positions for each of them
)
_SEGMENTS_AT_A_TIME = 20
SEGMENTS_JOINED = 8
"""The segments that are joined into one. With fewer there are more levels to make, with more there are more to read."""
_STREAMS_MAX = 1_000_000  # joining them takes a second


class LogSegments:
    """Makes the segments of one category.

    Args:
        log: The log.
        category: The category.
        events: About how many events of the category a segment has.
    """

    def __init__(self, log: EventLog, category: str, *, events: int = SEGMENT_EVENTS) -> None:
        self._log = log
        self._category = category
        self._events = events
        self._through = 0
        self._last = 0
        self._is_known = False
        self._is_behind = False
        self._counted = 0
        self._not_joined = 0
        self._positions_per_event = 1.0
        self._at_a_time = _SEGMENTS_AT_A_TIME

    def note(self, through: int, *, events: int = 0) -> None:
        """Note how far the log has gone.

        Args:
            through: Everything up to this position is final.
            events: The events of the category since the last call.
        """
        self._through = through
        self._counted += events
        if through < self._last:
            self._is_known = False  # of another server

    def forget(self) -> None:
        """Forget how far the log has gone: there may be another server now, with a shorter one."""
        self._through = self._counted = 0
        self._is_known = False

    def look_again(self) -> None:
        """Find out at the next call of `keep_up` which segments there are: somebody may have dropped them."""
        self._is_known = False

    @property
    def is_due(self) -> bool:
        """Whether there is a segment to make, as far as this object knows."""
        if not self._is_known or self._is_behind:
            return True
        positions = self._through - self._last
        return positions >= self._events and (
            self._counted >= self._events or positions >= self._events * _POSITIONS_MAX_PER_EVENT
        )

    async def keep_up(self, *, lock_wait_s: float | None = None) -> None:
        """Make the next segments up to the noted position, if one is due: as many as one statement makes.

        Args:
            lock_wait_s: The most seconds to wait for a lock; None to wait for as long as a statement may take.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        if not self.is_due:
            return
        through, counted = self._through, self._counted
        positions = through - self._last
        if counted and self._is_known and not self._is_behind:
            self._positions_per_event = positions / counted
        # As many positions as have about the wanted number of events.
        length = round(self._events * min(max(self._positions_per_event, 1.0), _POSITIONS_MAX_PER_EVENT))
        try:
            made = await self._store(
                "replay/keep_log_segments", through, length, self._at_a_time, lock_wait_s=lock_wait_s
            )
        except TimeoutError:
            self._at_a_time = max(1, self._at_a_time // 4)
            raise
        if made is None:
            return
        self._at_a_time = _SEGMENTS_AT_A_TIME
        self._not_joined = self._not_joined + made["segments"] if self._is_known else SEGMENTS_JOINED
        if made["segments"]:
            self._counted -= counted
            self._positions_per_event = made["segments"] * length / max(made["events"], 1)
        self._is_known, self._last = True, made["position"]
        self._is_behind = through - self._last >= length
        if self._not_joined >= SEGMENTS_JOINED:
            await self._join(lock_wait_s)
            self._not_joined = 0

    async def _join(self, lock_wait_s: float | None) -> None:
        """Join segments of each level as long as there are enough of them."""
        for level in count(1):
            while True:
                made = await self._store(
                    "replay/join_log_segments", level, SEGMENTS_JOINED, _STREAMS_MAX, lock_wait_s=lock_wait_s
                )
                if made is None or not made["segments"]:
                    break
            if made is None or not made["position"]:
                return

    async def _store(self, name: str, *arguments: int, lock_wait_s: float | None) -> Any:
        """Run a statement that stores segments; return None if another worker has stored them."""
        async with writing(self._log.connection) as connection:
            statement = planned_for(load(name, connection), self._through)
            try:
                async with connection.transaction():
                    if lock_wait_s is not None:
                        await limit_lock_waits(connection, lock_wait_s)
                    return the_row(await connection.fetchrow(statement, self._category, *arguments))
            except asyncpg.UniqueViolationError:
                return None
