"""Delivery counts: the events that a projection was given, counted by ranges of positions, for the audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from eventstore.log.unreadable import Readable, UnreadableEvent
from projections.projection import Projection

RANGE_POSITIONS = 65_536
"""How many positions are counted together: one row each, so 1,500 rows for a hundred million events."""


def key_of(projection: Projection[Any], event: Readable) -> tuple[Any, ...]:
    """Return the key of an event that the projection takes, even if it could not be decoded."""
    return (event.stream_id,) if isinstance(event, UnreadableEvent) else projection.key_of(event)


class DeliveryCounts:
    """The number of delivered events in each range, and the exclusive or of their digests.

    The digest of an event is the BLAKE2b of its position, stream and version, in 64 bits.

    Args:
        after: Events up to this position are not counted.
    """

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self._ranges: dict[int, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, events: Iterable[Readable]) -> None:
        """Count events."""
        after, ranges, to_integer = self._after, self._ranges, int.from_bytes
        for event in events:
            position = event.position
            if position > after:
                told = b"%d/%b/%d" % (position, event.stream_id.bytes, event.version)
                counted = ranges[position // RANGE_POSITIONS]
                counted[0] += 1
                counted[1] ^= to_integer(blake2b(told, digest_size=8).digest(), "big", signed=True)

    @property
    def ranges(self) -> Mapping[int, tuple[int, int]]:
        """The number of events and their digest, by the number of the range."""
        return {number: (count, digest) for number, (count, digest) in self._ranges.items()}

    @property
    def columns(self) -> tuple[list[int], list[int], list[int]]:
        """The ranges, counts and digests, as arguments of the statements."""
        return (
            list(self._ranges),
            [count for count, _ in self._ranges.values()],
            [digest for _, digest in self._ranges.values()],
        )
