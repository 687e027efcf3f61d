"""How many events a statement reads at a time: `PageSize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BATCH_BYTES_MAX = 8_000_000
"""Maximum bytes of JSON in a page of events; a larger event gets its own page.

A thousand usual events have half a megabyte.
"""

BYTES_UNBOUNDED = 2**62
"""The limit in bytes for a caller that needs all events at once."""


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
