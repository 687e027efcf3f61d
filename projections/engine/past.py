"""What a worker keeps besides its table, so that reads of the past are fast: state snapshots, and segments of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eventstore.core.entity_state import replica
from eventstore.replay.log_segments import LogSegments
from eventstore.replay.schema_hash import schema_hash
from eventstore.replay.state_snapshots import State, keep_states
from eventstore.repositories.read_tables import READ_TABLES
from projections.projection import EntityProjection, Projection

if TYPE_CHECKING:
    from eventstore.database.protocols import Connection
    from eventstore.log.event_log import EventLog
    from eventstore.log.unreadable import Readable


class PastKeeper:
    """Keeps the past of the read table that a worker folds; of any other table it keeps nothing.

    Args:
        log: The log.
        projection: The worker's projection.
        partition: The worker's partition. The worker of the first one makes the segments of all.
        snapshot_versions: The versions of a stream between two state snapshots.
        segment_events: About how many events a segment has.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[Any],
        *,
        partition: int,
        snapshot_versions: int,
        segment_events: int,
    ) -> None:
        self._every = 0
        self._states: list[State] = []
        self._segments: LogSegments | None = None
        if isinstance(projection, EntityProjection):
            kind: type[Any] = projection.entity
            table = READ_TABLES.get(kind)
            if table is not None and table.projection == projection.name == projection.table.name:
                self._every = snapshot_versions
                self._hash = schema_hash(kind, projection.version)
                if partition == 0:
                    self._segments = LogSegments(log, kind.category, events=segment_events)

    @property
    def is_behind(self) -> bool:
        """Whether there are more segments to make than one call makes."""
        return self._segments is not None and self._segments.is_behind

    def begin(self) -> None:
        """Forget states of a transaction that did not commit."""
        self._states.clear()

    def parts(self, events: Sequence[Readable]) -> Iterator[Sequence[Readable]]:
        """Yield the events of one stream in parts, so that each version to be kept ends one."""
        every = self._every
        if not every or events[-1].version // every == (events[0].version - 1) // every:
            yield events
            return
        begin = 0
        for place, event in enumerate(events, start=1):
            if event.version % every == 0 or place == len(events):
                yield events[begin:place]
                begin = place

    def note(self, row: Any, position: int) -> None:
        """Note the state after a part, if it is to be kept."""
        if self._every and row is not None and row.version % self._every == 0:
            self._states.append((replica(row), position))

    async def store_states(self, connection: Connection) -> None:
        """Store the states that were noted, in the open transaction of `connection`.

        Raises:
            Exception: Unmapped errors of asyncpg.
        """
        if self._states:
            await keep_states(connection, self._states, schema_hash=self._hash)
            self._states.clear()

    async def keep_segments(self, through: int, *, events: int = 0) -> None:
        """Make the segments that are due up to a position that is final, after so many events.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        if self._segments is not None:
            await self._segments.keep_up(through, events=events)
