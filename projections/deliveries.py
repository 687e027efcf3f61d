"""What a projection was given, counted by ranges of positions, so that an audit can hold it against the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from projections.projection import Projection
from projections.reading import Readable, UndecodedEvent

__all__ = ["RANGE_POSITIONS", "Deliveries", "digest_of", "key_of"]

RANGE_POSITIONS = 65_536
"""How many positions are counted together: a row each, 1,500 of them for a hundred million events."""


def key_of(projection: Projection[Any], event: Readable) -> tuple[Any, ...]:
    """Return the key of an event that the projection takes, also of one that cannot be decoded."""
    return (event.stream_id,) if isinstance(event, UndecodedEvent) else projection.key_of(event)


def digest_of(event: Readable) -> int:
    """Return 64 bits that tell an event from others: BLAKE2b over position, stream and version."""
    told = b"%d/%b/%d" % (event.position, event.stream_id.bytes, event.version)
    return int.from_bytes(blake2b(told, digest_size=8).digest(), "big", signed=True)


class Deliveries:
    """How many events of each range were delivered, and the exclusive or of their digests.

    Args:
        after: Events up to this position are not counted.
    """

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self._ranges: dict[int, tuple[int, int]] = {}

    def add(self, events: Iterable[Readable]) -> None:
        """Count events."""
        ranges = self._ranges
        for event in events:
            if event.position > self._after:
                number = event.position // RANGE_POSITIONS
                count, digest = ranges.get(number, (0, 0))
                ranges[number] = (count + 1, digest ^ digest_of(event))

    @property
    def ranges(self) -> Mapping[int, tuple[int, int]]:
        """The number of events and their digest, by the number of the range."""
        return self._ranges

    @property
    def columns(self) -> tuple[list[int], list[int], list[int]]:
        """The ranges, counts and digests, as the statements take them."""
        return (
            list(self._ranges),
            [count for count, _ in self._ranges.values()],
            [digest for _, digest in self._ranges.values()],
        )
