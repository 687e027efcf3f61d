"""What a worker keeps besides its table, so that reads of the past are fast: state snapshots, and segments of the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from eventstore.core.entity_state import replica
from eventstore.database.cancellation import end
from eventstore.errors import ConnectionClosedError, EventStoreError
from eventstore.replay.log_segments import LogSegments
from eventstore.replay.schema_hash import schema_hash
from eventstore.replay.state_snapshots import State, keep_states
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.tasks import started
from eventstore.waiting import Backoff
from projections.engine.progress import progress_of
from projections.projection import EntityProjection, Projection

if TYPE_CHECKING:
    from eventstore.database.protocols import Connection
    from eventstore.log.event_log import EventLog
    from eventstore.log.unreadable import Readable

_logger = logging.getLogger(__name__)

# A connection that waits for a lock is missing elsewhere.
_LOCK_WAIT_S = 0.2
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 30.0
# Somebody may have dropped the segments, and then each list of the past reads the log.
_LOOKED_FOR_EVERY_S = 60.0


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
        self._log = log
        self._name = projection.name
        self._every = 0
        self._states: list[State] = []
        self._due = asyncio.Event()
        self._segments: LogSegments | None = None
        self._looked_s = time.monotonic()
        if isinstance(projection, EntityProjection):
            kind: type[Any] = projection.entity
            table = READ_TABLES.get(kind)
            if table is not None and table.projection == projection.name == projection.table.name:
                self._every = snapshot_versions
                self._hash = schema_hash(kind, projection.version)
                if partition == 0:
                    self._segments = LogSegments(log, kind.category, events=segment_events)

    def begin(self) -> None:
        """Forget states of a transaction that did not commit."""
        self._states.clear()

    def keeps_any(self, events: Sequence[Readable]) -> bool:
        """Whether the state after one of these events of one stream is to be kept."""
        every = self._every
        return bool(every) and events[-1].version // every != (events[0].version - 1) // every

    def parts(self, events: Sequence[Readable]) -> Iterator[Sequence[Readable]]:
        """Yield the events of one stream in parts, so that each version to be kept ends one."""
        every = self._every
        begin = 0
        for place, event in enumerate(events, start=1):
            if event.version % every == 0 or place == len(events):
                yield events[begin:place]
                begin = place

    def note(self, row: Any, position: int) -> None:
        """Note the state after a part, if it is to be kept."""
        if row is not None and row.version % self._every == 0:
            self._states.append((replica(row), position))

    async def store_states(self, connection: Connection) -> None:
        """Store the states that were noted, in the open transaction of `connection`.

        Raises:
            Exception: Unmapped errors of asyncpg.
        """
        if self._states:
            await keep_states(connection, self._states, schema_hash=self._hash)
            self._states.clear()

    # ---- segments ----------------------------------------------------------------------------------------------

    def note_final(self, through: int, *, events: int = 0) -> None:
        """Note that everything up to a position is final, and how many events there were since the last call."""
        if self._segments is not None:
            self._segments.note(through, events=events)
            if time.monotonic() - self._looked_s > _LOOKED_FOR_EVERY_S:
                self._looked_s = time.monotonic()
                self._segments.look_again()
            if self._segments.is_due:
                self._due.set()

    async def keep_segments(self) -> None:
        """Make the segments that are due up to the noted position.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        if self._segments is not None:
            await self._segments.keep_up()

    @asynccontextmanager
    async def keeping_segments(self) -> AsyncIterator[None]:
        """Make the segments that are due in a task beside the block, from what is noted in it.

        What the block folds does not wait for segments, and no error of theirs ends it.
        """
        if self._segments is None:
            yield
            return
        self._segments.forget()
        self._due.clear()
        work = self._keep_segments(self._segments, self._log.server.generation)
        task = started(work, name=f"eventstore log segments {self._name}")
        try:
            yield
        finally:
            await end(task)

    async def _keep_segments(self, segments: LogSegments, generation: int) -> None:
        retry = Backoff(_RETRY_FIRST_S, _RETRY_MAX_S)
        storing = progress_of(self._log).storing_segments
        while True:
            await self._due.wait()
            self._due.clear()
            while segments.is_due:
                try:
                    # Whatever the number of projections, their segments take one connection of the pool.
                    async with storing:
                        with self._log.server.steady(generation):
                            await segments.keep_up(lock_wait_s=_LOCK_WAIT_S)
                except ConnectionClosedError:
                    return
                except EventStoreError as error:
                    retry_s = retry.next_s()
                    _logger.log(
                        logging.INFO if error.is_transient else logging.WARNING,
                        "storing segments of the log again later",
                        extra={"projection": self._name, "retry_in_s": retry_s},
                        exc_info=error,
                    )
                    await asyncio.sleep(retry_s)
                else:
                    retry.reset()
