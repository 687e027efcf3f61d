"""Importing a history into the log through COPY.

The transaction takes ROW EXCLUSIVE on `events`, then draws its positions, then runs COPY. So it is
a writer like any other: the keys detect conflicts, readers in order wait for it, and triggers run.
An import is safe to run again, because it skips events that the log already has with all fields
equal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from eventstore.core.registry import EventRegistry
from eventstore.database.access import ConnectionSource
from eventstore.database.cancellation import end
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection, the_row
from eventstore.database.server import KnownServer
from eventstore.errors import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionError,
    ConnectionLostError,
    ConnectionRejectedError,
    ServerChangedError,
    TimeoutError,
    TransactionCommitError,
    TransactionConflictError,
)
from eventstore.limits import check_count
from eventstore.log.bulk_batches import ImportSource, batches_of
from eventstore.log.copy_rows import COPIED_COLUMNS, copied_rows
from eventstore.log.records import (
    AppendColumns,
)
from eventstore.log.statements import swallowed
from eventstore.log.wakeups import Wakeups
from eventstore.loop_stalls import Stopwatch, explained, now_s
from eventstore.sql import load, schema_of
from eventstore.waiting import Backoff

BATCH_EVENTS_MAX = 5_000
"""Default number of events per transaction.

Readers in order wait for the transaction, some hundredths of a second. While the server writes one
batch, the next is encoded.
"""

_IDLE_IN_TRANSACTION = "10s"
_RETRY_FIRST_DELAY_S = 0.05
_RETRY_DELAY_MAX_S = 2.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The progress of an import.

    Attributes:
        events: The number of events of the source that are in the log.
        repeated: How many of them the log had before.
        last_position: The highest position of these events; 0 if there are none.
    """

    events: int = 0
    repeated: int = 0
    last_position: int = 0


class BulkLoad:
    """One import. Each batch is one transaction, and the next batch is encoded meanwhile.

    Args:
        connection: The pool to import with.
        metadata: The metadata of the events of a `StreamAppend`; a `StagedEvent` has its own.
        batch_events_max: The maximum number of events per transaction.
        retry_within_s: How long a batch is retried after its connection was lost, in seconds.
        classes: The registry in which a reader of the log finds event classes.
    """

    def __init__(
        self,
        connection: ConnectionSource,
        metadata: Mapping[str, Any],
        batch_events_max: int,
        retry_within_s: float,
        classes: EventRegistry,
    ) -> None:
        check_count("batch_events_max", batch_events_max)
        self._connection = connection
        self._metadata = metadata
        self._batch_events_max = batch_events_max
        self._retry_within_s = retry_within_s
        self._classes = classes
        self._server = getattr(connection, "server", None) or KnownServer()
        self._generation = self._server.generation
        self._last: tuple[int, UUID] | None = (
            None  # the position and id of the last event known to be written
        )
        self._reached = False  # the import does not wait for a server that it has never reached
        # Set once the first version of a stream was taken. New streams are then looked up as well.
        self._looks_at_new = False

    async def run(
        self, source: ImportSource, on_batch: Callable[[ImportResult], object], wakeups: Wakeups
    ) -> ImportResult:
        """Import all events of the source.

        If an error is raised, the batches before the failed batch are in the log.

        Args:
            source: `StreamAppend`s or `StagedEvent`s, with the events of each stream in order. It
                is an iterable or an asynchronous iterable of any length, and is read slightly ahead
                of the writes.
            on_batch: Called with the progress of the import after each commit.
            wakeups: Notified after each commit.

        Returns:
            How many events there were, and how many of them the log had before.

        Raises:
            ConfigurationError: The versions of a stream are not consecutive, or an event or
                metadata cannot be written as JSON.
            ConcurrencyError: A stream does not have the version before these events, or has other
                events at their versions. Nothing of the batch was written.
            RepositoryError: PostgreSQL refuses a value, such as a number beyond its limits.
            ServerChangedError: Another server has taken over and lacks events of this import. Safe
                to run again.
            ConnectionError, TimeoutError: No answer to the batch arrived, or it was not written. Safe to run again.
            TransactionCommitError: `outcome="unknown"`: the answer to a batch was lost and the
                server did not come back in time. Safe to run again.
        """
        done = ImportResult()
        encoded = batches_of(source, self._metadata, self._batch_events_max, self._classes)
        async with aclosing(encoded) as batches:
            ahead = asyncio.ensure_future(anext(batches, None))
            try:
                while (batch := await ahead) is not None:
                    ahead = asyncio.ensure_future(anext(batches, None))
                    repeated, last_position = await self._load(batch)
                    done = ImportResult(
                        done.events + len(batch.versions),
                        done.repeated + repeated,
                        max(done.last_position, last_position),
                    )
                    wakeups.notify()
                    on_batch(done)
            finally:
                await end(ahead)
        return done

    # ---- one batch -------------------------------------------------------------------------------------------

    async def _load(self, batch: AppendColumns) -> tuple[int, int]:
        """Write a batch; return how many events the log had before, and the highest position."""
        taken = Stopwatch()
        backoff = Backoff(_RETRY_FIRST_DELAY_S, _RETRY_DELAY_MAX_S)
        lost: ConnectionLostError | None = None
        while True:
            sent_s = now_s()
            try:
                with mapped_errors():
                    return await self._send(batch)
            except (ConnectionClosedError, ConnectionRejectedError, ServerChangedError):
                raise
            except (ConnectionError, TimeoutError, TransactionConflictError, _VersionTakenError) as error:
                has_stalled = explained(sent_s)
                if isinstance(error, TimeoutError) and not has_stalled:
                    raise
                had_looked, self._looks_at_new = self._looks_at_new, True
                if isinstance(error, _VersionTakenError) and not had_looked:
                    continue
                if isinstance(error, ConnectionLostError):
                    lost = error
                elif not self._reached:
                    raise
                delay_s = backoff.next_s()
                if taken.elapsed_s + delay_s > self._retry_within_s:
                    raise _given_up(batch, error, lost) from error
                if not has_stalled:
                    _logger.info("retrying a batch of an import", exc_info=error)
            await asyncio.sleep(delay_s)

    async def _send(self, batch: AppendColumns) -> tuple[int, int]:
        async with self._connection.acquire() as connection:
            self._reached = True
            generation = self._server.generation
            with mapped_errors(own_statement=True, connection=connection):
                if generation != self._generation:
                    await self._look_for_last(connection)
                try:
                    async with connection.transaction():
                        await connection.execute(load("log/lock_for_import", connection))
                        written = await _write(connection, batch, looks_at_new=self._looks_at_new)
                    if self._server.is_left(connection):
                        raise ConnectionLostError("another server has taken over the address")
                    self._generation, self._last = generation, written.last
                    return written.repeated, written.last[0]
                except asyncpg.UniqueViolationError as error:
                    # A distributed table reports its constraints with a shard suffix.
                    if not str(error.constraint_name).startswith("events_pkey"):
                        raise
                    stream_id, expected = next(iter(batch.heads.items()))
                    raise _VersionTakenError(stream_id, expected=expected, actual=None) from error

    async def _look_for_last(self, connection: Connection) -> None:
        """Check that a new server has the last event that was written to the previous server.

        Raises:
            ServerChangedError: It lacks the event.
        """
        await self._server.check(connection)
        if self._last is None:
            return
        row = the_row(await connection.fetchrow(load("log/find_mark", connection), self._last[0]))
        if (row["position"], row["event_id"]) != self._last:
            raise ServerChangedError(
                "another server has taken over during the import and lacks imported events: run the same import "
                "again, which skips events that are in the log"
            )


@dataclass(frozen=True, slots=True)
class _Written:
    """The result of a batch.

    Attributes:
        repeated: How many of its events the log had before.
        last: The position and the id of its last event.
    """

    repeated: int
    last: tuple[int, UUID]


class _VersionTakenError(ConcurrencyError):
    """Another writer has committed a version of the batch after the heads were read.

    The caller reads the heads again.
    """


async def _write(connection: Connection, batch: AppendColumns, *, looks_at_new: bool) -> _Written:
    # New streams are not looked up: if such a stream exists, the primary key refuses version 1.
    expected = {stream_id: version for stream_id, version in batch.heads.items() if version or looks_at_new}
    moved = (
        await connection.fetch(
            load("log/find_moved_streams", connection), list(expected), list(expected.values())
        )
        if expected
        else ()
    )
    repeated: list[tuple[int, UUID]] = []
    if moved:
        repeated, batch = await _without_repeated(connection, batch, moved)
    size = len(batch.versions)
    if not size:
        return _Written(len(repeated), max(repeated))
    drawn = the_row(
        await connection.fetchrow(load("log/draw_positions", connection), size, _IDLE_IN_TRANSACTION)
    )
    copied = await connection.copy_to_table(
        "events",
        schema_name=schema_of(connection),
        source=copied_rows(batch, drawn["positions"], drawn["recorded_at"]),
        columns=COPIED_COLUMNS,
        format="binary",
    )
    if copied.removeprefix("COPY ") != str(size):
        raise swallowed(size, int(copied.rpartition(" ")[2]))
    return _Written(len(repeated), (drawn["positions"][-1], batch.event_ids[-1]))


async def _without_repeated(
    connection: Connection, batch: AppendColumns, moved: Sequence[Any]
) -> tuple[list[tuple[int, UUID]], AppendColumns]:
    """Return the positions and ids of the events that are in the log, and the batch without them.

    Raises:
        ConcurrencyError: A stream has fewer versions than expected, or other events at these
            versions.
    """
    for row in moved:
        if row["actual"] < row["expected"]:
            raise ConcurrencyError(row["stream_id"], expected=row["expected"], actual=row["actual"])
    actual = {row["stream_id"]: row["actual"] for row in moved}
    places = [
        place
        for place, (stream_id, version) in enumerate(zip(batch.stream_ids, batch.versions, strict=True))
        if version <= actual.get(stream_id, 0)
    ]
    known = _chosen(batch, places)
    rows = await connection.fetch(load("log/find_imported", connection), *known.per_event)
    for row, stream_id in zip(rows, known.stream_ids, strict=True):
        if row["position"] is None:
            raise ConcurrencyError(stream_id, expected=batch.heads[stream_id], actual=actual[stream_id])
    had = set(places)
    rest = _chosen(batch, [place for place in range(len(batch.versions)) if place not in had])
    found = [(row["position"], event_id) for row, event_id in zip(rows, known.event_ids, strict=True)]
    return found, rest


def _chosen(batch: AppendColumns, places: Sequence[int]) -> AppendColumns:
    return AppendColumns.of(batch.heads, ([column[place] for place in places] for column in batch.per_event))


def _given_up(batch: AppendColumns, error: Exception, lost: ConnectionLostError | None) -> Exception:
    if lost is None:
        return error
    return TransactionCommitError(
        f"the answer to a batch of {len(batch.versions)} events of an import was lost: run the same import again, "
        "which skips events that are in the log",
        outcome="unknown",
    )
