"""How many events a statement reads at a time, `PageSize`, and through how many positions it looks, `Window`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore.database.protocols import Connection
from eventstore.sql import load

BATCH_BYTES_MAX = 8_000_000
"""Maximum bytes of JSON in a page of events; a larger event gets its own page.

A thousand usual events have half a megabyte.
"""

BYTES_UNBOUNDED = 2**62
"""The limit in bytes for a caller that needs all events at once."""


WINDOW_POSITIONS_MAX = 200_000
"""Maximum positions that a statement looks through: one that matches nothing ends within a second."""


async def gap_end(connection: Connection, after: int, through: int) -> int:
    """Return the position before the next event after `after`, so that a gap of any length is passed in one step.

    It is `through` if no event follows up to it.

    Raises:
        Exception: Unmapped errors of asyncpg.
    """
    return int(await connection.fetchval(load("log/gap_end", connection), after, through))


class Window:
    """The positions that a statement looks through, so that its time does not depend on what lies between two of its events.

    Args:
        after: It begins after this position.
        through: It ends with this position at the latest.
        positions_max: The maximum number of positions.

    Attributes:
        end: The last position.
    """

    def __init__(self, after: int, through: int, positions_max: int = WINDOW_POSITIONS_MAX) -> None:
        self._through = through
        self.end = min(through, after + positions_max)

    async def passed(self, connection: Connection, found: int) -> int:
        """Return the position up to which nothing is missing if a statement found so many events, which are no full page.

        If it found none, it is that before the next event.

        Raises:
            Exception: Unmapped errors of asyncpg.
        """
        if found or self.end == self._through:
            return self.end
        return await gap_end(connection, self.end, self._through)


class PageSize:
    """The limits of the next page: a number of events, and `BATCH_BYTES_MAX`.

    A statement measures every event up to the number of events, even events beyond the limit in
    bytes. So after a page that reached the limit in bytes, the next page asks for fewer events, and
    later pages for more again.

    Args:
        events_max: The maximum number of events per page.
    """

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self.events = events_max
        self.bytes = BATCH_BYTES_MAX

    def limit_to(self, events_max: int) -> None:
        """Set a new maximum number of events per page."""
        self._events_max = events_max
        self.events = min(self.events, events_max)

    def is_full(self, rows: Sequence[Any]) -> bool:
        """Whether more events may follow these rows; it also adapts the next page's size."""
        if not rows:
            return False
        if rows[-1]["is_full"]:
            self.events = min(2 * len(rows), self._events_max)
            return True
        is_full = len(rows) == self.events
        self.events = min(2 * self.events, self._events_max)
        return is_full
