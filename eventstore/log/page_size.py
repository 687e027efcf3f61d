"""How much a statement reads of the log at a time: `PageSize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BATCH_BYTES_MAX = 8_000_000
"""Bytes of JSON that a page of events ends at: a thousand usual events have half a megabyte. A larger event goes alone."""

BYTES_UNBOUNDED = 2**62
"""For a statement whose caller has asked for all of it."""


class PageSize:
    """The limits of the next page of events: so many events, and `BATCH_BYTES_MAX`.

    A statement looks at the size of each event that it is asked for, also of those that its bytes leave out. So after a page that
    ended by its bytes the next is asked for fewer events, and then for more again.

    Args:
        events_max: The most events of a page.
    """

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self.events = events_max
        self.bytes = BATCH_BYTES_MAX

    def limit_to(self, events_max: int) -> None:
        """Let a page have so many events at most from now on."""
        self._events_max = events_max
        self.events = min(self.events, events_max)

    def is_full(self, rows: Sequence[Any]) -> bool:
        """Whether there may be more after the rows of a page of this size; the next size is fitted to them."""
        if not rows:
            return False
        if rows[-1]["is_full"]:
            self.events = min(2 * len(rows), self._events_max)
            return True
        is_full = len(rows) == self.events
        self.events = min(2 * self.events, self._events_max)
        return is_full
