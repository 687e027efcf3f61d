"""State snapshots: stored states of long streams, from which a read of the past continues.

A stream has one at every so many versions. They are made when its events are folded, and no answer depends on whether
they exist.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity_state import advance, replica
from eventstore.database.access import in_transaction, read_rows, reading, writing
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import EventStoreError
from eventstore.limits import check_count
from eventstore.log.page_size import PageSize
from eventstore.log.records import decode_page
from eventstore.progress import unreported
from eventstore.replay.log_segments import SEGMENT_EVENTS, LogSegments
from eventstore.replay.past_storage import NO_VERSIONS
from eventstore.replay.schema_hash import of_table, schema_hash
from eventstore.sql import load, planned_for, text_of

if TYPE_CHECKING:
    from eventstore.core.entity import Entity
    from eventstore.log.event_log import EventLog
    from eventstore.repositories.storage import ReadTable

SNAPSHOT_VERSIONS = 64
"""The versions of a stream between two state snapshots."""

_EVENTS_AT_A_TIME = 2_000
_STATEMENT_TIMEOUT_S = 600.0

State = tuple["Entity", int]
"""The state of a stream, and the position of the last event in it."""


async def keep_states(connection: Connection, states: Iterable[State], *, schema_hash: int) -> None:
    """Store states of streams; one that is stored already is replaced.

    Raises:
        Exception: Unmapped errors of asyncpg.
    """
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for entity, position in states:
        values = entity.id, entity.version, position, _encode(entity)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    if columns[0]:
        statement = planned_for(load("replay/keep_state_snapshots", connection), columns[2][-1])
        await connection.execute(statement, *columns, schema_hash)


def _encode(entity: Entity) -> bytes:
    return zlib.compress(entity.model_dump_json().encode(), level=1)


class StateSnapshots:
    """What makes reads of the past fast: state snapshots, and segments of the log. `store.state_snapshots` is one.

    Workers keep both while they fold. `make` adds what is missing for events that no worker has folded, such as those of
    a table that was rebuilt with another version of its projection.

    Args:
        log: The log, on the primary.
        tables: The read table of each class of entities.
        versions: The version of the code's projection of each table, by name; 1 by default.
    """

    def __init__(
        self,
        log: EventLog,
        tables: Mapping[type[Entity], ReadTable[Any]],
        *,
        versions: Mapping[str, int] = NO_VERSIONS,
    ) -> None:
        self._log = log
        self._tables = tables
        self._versions = versions

    async def make(
        self,
        *,
        snapshot_versions: int = SNAPSHOT_VERSIONS,
        segment_events: int = SEGMENT_EVENTS,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> int:
        """Make what is missing up to where the read tables are folded. Readers, writers and workers continue.

        A stream with an event that cannot be folded, or was discarded, is left as it is.

        Args:
            snapshot_versions: The versions of a stream from one state snapshot to the next.
            segment_events: About how many events a segment of the log has.
            on_progress: Called with a category, the number of its streams that are done, and of those to do.

        Returns:
            How many state snapshots were made.

        Raises:
            LimitError: A number is not a whole one of at least 1.
            ConnectionError, TimeoutError: Some were made. Safe to run again.
        """
        check_count("snapshot_versions", snapshot_versions)
        check_count("segment_events", segment_events)
        made = 0
        with self._log.server.steady():
            for kind, table in self._tables.items():
                version = self._versions.get(table.projection, 1)
                hash_now = schema_hash(kind, version)
                async with reading(self._log.connection) as connection:
                    folded = the_row(
                        await connection.fetchrow(
                            load("replay/folded", connection), table.projection, version
                        )
                    )
                segments = LogSegments(self._log, kind.category, events=segment_events)
                segments.note(folded["position"])
                while segments.is_due:
                    await segments.keep_up()
                left_out = {*folded["quarantined"], *folded["doubtful"]}
                streams = await self._streams_without(table, hash_now, every=snapshot_versions)
                for done, stream in enumerate(streams, start=1):
                    if stream["id"] not in left_out:
                        made += await self._make_states_of(kind, stream, hash_now, every=snapshot_versions)
                    (on_progress or unreported)(kind.category, done, len(streams))
        return made

    async def drop(self) -> int:
        """Drop all state snapshots and segments; return how many state snapshots there were.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with self._log.connection.acquire() as connection:
            with in_transaction(connection):
                async with connection.transaction():
                    await connection.execute(load("replay/lock_state_snapshots", connection))
                    dropped = await connection.execute(
                        load("replay/drop_state_snapshots", connection), timeout=_STATEMENT_TIMEOUT_S
                    )
                    await connection.execute(
                        load("replay/drop_log_segments", connection), timeout=_STATEMENT_TIMEOUT_S
                    )
        return int(dropped.split()[-1])

    async def _streams_without(self, table: ReadTable[Any], hash_now: int, *, every: int) -> Sequence[Any]:
        async with reading(self._log.connection) as connection:
            statement = text_of(of_table("replay/streams_without_states", table.projection), connection)
            return await connection.fetch(statement, every, hash_now, timeout=_STATEMENT_TIMEOUT_S)

    async def _make_states_of(self, kind: type[Entity], stream: Any, hash_now: int, *, every: int) -> int:
        stream_id, last = stream["id"], stream["version"]
        made, version = 0, 0
        state: Entity | None = None
        size = PageSize(_EVENTS_AT_A_TIME)
        while version < last:
            rows = await read_rows(
                self._log.connection, "log/read_stream", stream_id, version, size.events, size.bytes
            )
            size.is_full(rows)
            states: list[State] = []
            try:
                with decimal_arithmetic():
                    for event in decode_page(rows, classes=self._log.classes):
                        if event.version > last:
                            break
                        state = advance(kind, state, event)
                        if state is not None and event.version % every == 0:
                            states.append((replica(state), event.position))
            except EventStoreError:
                return made
            version = rows[-1]["version"]
            async with writing(self._log.connection) as connection:
                await keep_states(connection, states, schema_hash=hash_now)
            made += len(states)
        return made
