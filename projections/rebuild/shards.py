"""Parts of a projection: its keys split by a stable hash, for what is done part after part or by several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from projections.keys import partition_of
from projections.projection import Projection

__all__ = ["WHOLE", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a projection's keys.

    Where the key is the stream, the statements `rebuild/read_part` and `rebuild/scan_window` read the part's events
    alone, by the same rule as `has`.

    Attributes:
        number: Which part, from 0.
        of: How many there are; 1: it is all.
    """

    number: int
    of: int

    def has(self, projection: Projection[Any], key: Sequence[Any]) -> bool:
        """Whether a key, as `key_of` gives it, belongs to this part."""
        if self.of == 1:
            return True
        if projection.keyed_by_stream:
            return int.from_bytes(key[0].bytes[14:], "big") % self.of == self.number
        return partition_of(key, self.of) == self.number

    def bounds(self, projection: Projection[Any]) -> tuple[int, int]:
        """The arguments `parts` and `part` of the statements; those of the whole where they cannot tell whose an event is."""
        return (self.of, self.number) if projection.keyed_by_stream else (1, 0)


WHOLE = Part(0, 1)
"""All keys."""
