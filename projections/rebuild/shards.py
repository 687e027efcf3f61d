"""Shards of a projection: its keys split by a stable hash, for what is done shard after shard or by several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from projections.keys import partition_of
from projections.projection import Projection


@dataclass(frozen=True, slots=True)
class Shard:
    """Some of a projection's keys.

    They are split as by partitions. If the key is the stream, the statements `rebuild/read_shard` and `rebuild/scan_window` read
    the events of the shard alone.

    Attributes:
        number: Which shard, from 0.
        of: How many there are; 1: it is all.
    """

    number: int
    of: int

    def has(self, key: Sequence[Any]) -> bool:
        """Whether a key, as `key_of` gives it, belongs to this shard."""
        return partition_of(key, self.of) == self.number

    def bounds(self, projection: Projection[Any]) -> tuple[int, int]:
        """The arguments `shards` and `shard` of the statements; those of the whole where they cannot tell whose an event is."""
        return (self.of, self.number) if projection.keyed_by_stream else (1, 0)


WHOLE = Shard(0, 1)
"""All keys."""
