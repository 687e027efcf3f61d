"""Keys whose events cannot be folded: list them, retry them after the code is repaired, or discard an event.

Each change locks the partitions of the projection for one short transaction, so no worker writes meanwhile. It
ends with the key folded as far as its partition, or still in quarantine. The log is read before the locks are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventstore.database.access import reading, writing
from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError, KeyNotQuarantinedError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.log.unreadable import Readable
from eventstore.sql import load
from projections.engine.batch import fold_into
from projections.engine.delivery_counts import key_of
from projections.engine.fold import FoldFailure
from projections.engine.progress import list_partitions
from projections.engine.reading import read_batch
from projections.engine.versions import require_version
from projections.keys import key_text, partition_of
from projections.projection import Projection
from projections.quarantine.skip_list import Discards, read_discards

_BATCH_EVENTS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class QuarantinedKey:
    """A key whose row is no longer updated.

    Attributes:
        projection: The projection.
        key: The key, as a JSON list.
        stream_id: The stream of the event that could not be folded.
        position: Its position.
        type: Its type.
        error: The error, in one line.
        traceback: The whole traceback.
        attempts: How often the event was tried.
        quarantined_at: Since when, by the database's clock.
    """

    projection: str
    key: str
    stream_id: UUID
    position: int
    type: str
    error: str
    traceback: str
    attempts: int
    quarantined_at: datetime


async def list_quarantined(log: EventLog, projection: str | None = None) -> list[QuarantinedKey]:
    """Return the keys in quarantine, those that entered first at the start.

    Args:
        log: The log.
        projection: Only of this projection; None for all.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
    """
    async with reading(log.connection) as connection:
        rows = await connection.fetch(load("projections/list_quarantine", connection), projection)
    return [QuarantinedKey(**dict(row)) for row in rows]


async def retry(log: EventLog, projection: Projection[Any], key: str) -> bool:
    """Fold the waiting events of a key, in order; return whether the key is up to date again.

    If an event fails again, the events before it stay folded, and the key stays in quarantine at that event.

    Args:
        log: The log.
        projection: The projection, with its code repaired.
        key: The key, as `list_quarantined` returns it.

    Raises:
        KeyNotQuarantinedError: The key is not in quarantine.
        ConnectionError, TimeoutError: Either nothing or everything was changed. Safe to run again.
    """
    return await _fold_again(log, projection, key, discard_position=None)


async def discard(
    log: EventLog, projection: Projection[Any], key: str, *, discarded_by: str, reason: str
) -> bool:
    """Leave the failed event out of the projection, permanently and on record, and continue as `retry` does.

    Args:
        log: The log.
        projection: The projection.
        key: The key, as `list_quarantined` returns it.
        discarded_by: Who decided it.
        reason: Why.

    Raises:
        KeyNotQuarantinedError: The key is not in quarantine.
        ConfigurationError: The person or the reason is missing.
        ConnectionError, TimeoutError: Either nothing or everything was changed. Safe to run again.
    """
    if not discarded_by.strip() or not reason.strip():
        raise ConfigurationError("a discard is recorded: pass who decided it and why")
    return await _fold_again(log, projection, key, discard_position=(discarded_by, reason))


async def _fold_again(
    log: EventLog, projection: Projection[Any], key: str, *, discard_position: tuple[str, str] | None
) -> bool:
    with log.server.steady():
        return await _fold_again_on(log, projection, key, discard_position=discard_position)


async def _fold_again_on(
    log: EventLog, projection: Projection[Any], key: str, *, discard_position: tuple[str, str] | None
) -> bool:
    waiting = await _Waiting.read(log, projection, key)
    async with writing(log.connection) as connection, connection.transaction():
        partitions = await connection.fetch(load("projections/pin_partitions", connection), projection.name)
        await require_version(connection, projection)
        held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
        entry = next((row for row in held if row["key"] == key), None)
        if entry is None:
            raise _not_held(projection, key)
        if discard_position is not None:
            await connection.execute(
                load("projections/discard_event", connection),
                projection.name,
                entry["position"],
                key,
                *discard_position,
            )
        discarded = await read_discards(connection, projection)
        await waiting.read_on(
            entry["position"],
            max((partition["position"] for partition in partitions), default=0),
            connection,
        )
        events = [
            event
            for event in waiting.events
            if event.position >= entry["position"]
            and _waits(projection, event, partitions=partitions, discarded=discarded)
        ]
        failed: list[FoldFailure] = []
        await fold_into(connection, projection, events, singly=True, on_error=failed)
        if failed:
            await failed[0].quarantine(connection, projection)
        else:
            await connection.execute(load("projections/release_key", connection), projection.name, key)
        return not failed


class _Waiting:
    """The events that wait for a key in quarantine.

    To find them, all of the log after the first one is read, before the partitions are locked; little is left to
    read after that.
    """

    def __init__(self, log: EventLog, projection: Projection[Any], key: str) -> None:
        self.events: list[Readable] = []
        self._log = log
        self._projection = projection
        self._key = key
        self._first = self._through = 0

    @classmethod
    async def read(cls, log: EventLog, projection: Projection[Any], key: str) -> _Waiting:
        held = await list_quarantined(log, projection.name)
        entry = next((one for one in held if one.key == key), None)
        if entry is None:
            raise _not_held(projection, key)
        waiting = cls(log, projection, key)
        partitions = await list_partitions(log, projection.name)
        await waiting.read_on(
            entry.position, max((partition["position"] for partition in partitions), default=0)
        )
        return waiting

    async def read_on(self, first: int, through: int, connection: Connection | None = None) -> None:
        """Read those events between two positions that have not been read yet."""
        if not self._first <= first <= self._through:  # a rebuild put the key back at another event
            self.events, self._first, self._through = [], first, first - 1
        size = PageSize(_BATCH_EVENTS_MAX)
        while self._through < through:
            batch = await read_batch(
                self._log,
                self._projection,
                after=self._through,
                through=through,
                size=size,
                connection=connection,
            )
            self._through = batch.through
            self.events += [
                event for event in batch.events if key_text(key_of(self._projection, event)) == self._key
            ]


def _not_held(projection: Projection[Any], key: str) -> KeyNotQuarantinedError:
    return KeyNotQuarantinedError.of(projection.name, key)


def _waits(
    projection: Projection[Any], event: Readable, *, partitions: list[Any], discarded: Discards
) -> bool:
    key = key_of(projection, event)
    folded: int = partitions[partition_of(key, len(partitions))]["position"]
    return event.position <= folded and not discarded.has(event.position, key)
