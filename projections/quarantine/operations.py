"""Keys whose events cannot be folded: list them, retry them after the code is repaired, or discard an event.

Each change locks the partitions of the projection for one short transaction, so no worker writes meanwhile. It
ends with the key folded as far as its partition, or still in quarantine. The log is read before the locks are taken.

A change is of the event that the key waits at when it is asked for. So it may be sent again if its answer is lost: what was
done already is found, and the event that the key waits at by then is another one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventstore.database.access import reading, writing
from eventstore.database.protocols import Connection
from eventstore.errors import (
    ConfigurationError,
    ConnectionClosedError,
    ConnectionError,
    ConnectionLostError,
    EventStoreError,
    KeyNotQuarantinedError,
    TransactionCommitError,
)
from eventstore.limits import check_position
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.log.unreadable import Readable
from eventstore.loop_stalls import Stopwatch
from eventstore.sql import load
from eventstore.waiting import Backoff
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
_RESOLVED_WITHIN_S = 15.0  # a server that was restarted is back by then
_RESEND_FIRST_S = 0.1
_RESEND_MAX_S = 1.0


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
        ConnectionError, TimeoutError: Nothing was changed. Safe to run again.
        TransactionCommitError: The answer was lost, and the server could not be asked again. Safe to run again too, and
            then perhaps `KeyNotQuarantinedError`.
    """
    return await _Change(log, projection, key).run()


async def discard(
    log: EventLog,
    projection: Projection[Any],
    key: str,
    *,
    discarded_by: str,
    reason: str,
    position: int | None = None,
) -> bool:
    """Leave the failed event out of the projection, permanently and on record, and continue as `retry` does.

    Args:
        log: The log.
        projection: The projection.
        key: The key, as `list_quarantined` returns it.
        discarded_by: Who decided it.
        reason: Why.
        position: The position of the event that was decided on, as `list_quarantined` returns it: no other event is
            left out, and the call may be repeated. None for the event that the key waits at now.

    Raises:
        ConfigurationError: The person or the reason is missing.
        LimitError: `position` is not a position.
        KeyNotQuarantinedError: The key is not in quarantine, or waits at an event at another position, and the one at
            `position` was not discarded.
        ConnectionError, TimeoutError: Nothing was changed. Safe to run again.
        TransactionCommitError: The answer was lost, and the server could not be asked again. Safe to run again with the
            position that the message names; without it the next event of the key may be left out.
    """
    if not discarded_by.strip() or not reason.strip():
        raise ConfigurationError("a discard is recorded: pass who decided it and why")
    if position is not None:
        check_position("position", position)
    return await _Change(log, projection, key, position, discarded=(discarded_by, reason)).run()


class _Change:
    """A retry of the event at a position for a key, or its discard.

    Args:
        log: The log.
        projection: The projection.
        key: The key.
        position: The position of the event that a discard is of; None for the one that the key waits at.
        discarded: Who discards it and why; None for a retry.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[Any],
        key: str,
        position: int | None = None,
        *,
        discarded: tuple[str, str] | None = None,
    ) -> None:
        self._log = log
        self._projection = projection
        self._key = key
        self._position = position
        self._discarded = discarded
        self._is_sent = False

    async def run(self) -> bool:
        """Run it, and again if its answer is lost; return whether the key is up to date."""
        taken: Stopwatch | None = None
        backoff = Backoff(_RESEND_FIRST_S, _RESEND_MAX_S)
        while True:
            try:
                with self._log.server.steady():
                    return await self._run()
            except EventStoreError as error:
                if not self._is_sent and isinstance(error, ConnectionLostError):
                    raise ConnectionError(
                        "the connection was lost, and with it the open transaction: nothing was changed"
                    ) from error
                is_closed = isinstance(error, ConnectionClosedError)
                if not self._is_sent or not (error.is_transient or is_closed):
                    raise
                taken = taken or Stopwatch()
                delay_s = backoff.next_s()
                if is_closed or taken.elapsed_s + delay_s > _RESOLVED_WITHIN_S:
                    raise self._unknown() from error
            await asyncio.sleep(delay_s)

    async def _run(self) -> bool:
        projection, key = self._projection, self._key
        waiting = await _Waiting.read(self._log, projection, key)
        if self._position is None:
            if waiting.position is None:
                raise _not_held(projection, key)
            self._position = waiting.position
        async with writing(self._log.connection) as connection, connection.transaction():
            partitions = await connection.fetch(
                load("projections/pin_partitions", connection), projection.name
            )
            await require_version(connection, projection)
            held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
            entry = next((row for row in held if row["key"] == key), None)
            discarded = await read_discards(connection, projection)
            if self._is_done(entry, discarded):
                return entry is None
            if entry is None:
                raise _not_held(projection, key)
            if self._discarded is not None:
                if entry["position"] != self._position:
                    raise KeyNotQuarantinedError.at(
                        projection.name, key, position=self._position, waits_at=entry["position"]
                    )
                await connection.execute(
                    load("projections/discard_event", connection),
                    projection.name,
                    entry["position"],
                    key,
                    *self._discarded,
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
            self._is_sent = True
        return not failed

    def _is_done(self, entry: Any, discarded: Discards) -> bool:
        """Whether it was done before: by this call, whose answer was lost, or by an earlier one."""
        if self._discarded is None:
            return self._is_sent and entry is None
        is_left = entry is not None and entry["position"] == self._position
        return not is_left and (self._position, self._key) in discarded.pairs

    def _unknown(self) -> TransactionCommitError:
        what = "retry" if self._discarded is None else "discard"
        again = "repeat it" if self._discarded is None else f"repeat it with position {self._position}"
        return TransactionCommitError(
            f"the answer to the {what} of key {self._key} of projection {self._projection.name} at position "
            f"{self._position} was lost, and the server could not be asked again in time: {again}",
            outcome="unknown",
        )


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
        self.position: int | None = None
        """Where the key waited before the locks were taken; None if it was not in quarantine."""

    @classmethod
    async def read(cls, log: EventLog, projection: Projection[Any], key: str) -> _Waiting:
        held = await list_quarantined(log, projection.name)
        entry = next((one for one in held if one.key == key), None)
        waiting = cls(log, projection, key)
        if entry is None:
            return waiting
        waiting.position = entry.position
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
