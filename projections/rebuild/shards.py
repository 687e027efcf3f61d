"""Shards of a projection: its keys split by a stable hash, for work in steps or in several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from projections.keys import partition_of
from projections.projection import Projection


@dataclass(frozen=True, slots=True)
class Shard:
    """Some of a projection's keys.

    Keys are split as for partitions. If the key is the stream, the statements `rebuild/read_shard` and
    `rebuild/scan_window` read only the events of the shard.

    Attributes:
        number: The number of the shard, from 0.
        of: The number of shards; 1 if this shard has all keys.
    """

    number: int
    of: int

    def has(self, key: Sequence[Any]) -> bool:
        """Whether a key, as `key_of` returns it, belongs to this shard."""
        return partition_of(key, self.of) == self.number

    def bounds(self, projection: Projection[Any]) -> tuple[int, int]:
        """The arguments `shards` and `shard` of the statements; (1, 0) if they cannot tell the shard of an event."""
        return (self.of, self.number) if projection.keyed_by_stream else (1, 0)


WHOLE = Shard(0, 1)
"""All keys."""
