"""Folding final events into tables, exactly once.

    lease -> high-water mark -> read a batch -> | move the checkpoint, load rows, write rows | -> again
                                       |             one transaction                |

The transaction begins with the checkpoint's compare-and-set (position and epoch). A second worker waits there and
then finds that the checkpoint has moved. So an event counts exactly once, even if a process is killed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventstore.database.access import reading, writing
from eventstore.database.cancellation import cancelled_within, cancelling, end, finish
from eventstore.database.preconditions import Level, require_preconditions
from eventstore.database.protocols import Connection
from eventstore.database.server import Remembered
from eventstore.errors import (
    CheckpointMovedError,
    ConnectionError,
    EventStoreError,
    PreconditionError,
    ServerChangedError,
    TimeoutError,
)
from eventstore.limits import check_count, check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.high_water_mark import WINDOW_POSITIONS
from eventstore.log.page_size import PageSize
from eventstore.log.restored import require_whole
from eventstore.log.unreadable import Readable
from eventstore.log.wakeups import Listener, Wakeups
from eventstore.loop_stalls import explained, now_s
from eventstore.printable import printable
from eventstore.replay.log_segments import SEGMENT_EVENTS
from eventstore.replay.state_snapshots import SNAPSHOT_VERSIONS
from eventstore.sql import load
from eventstore.waiting import Backoff, wait_until_set
from projections.engine.batch import COPY_ERRORS, fold_into, is_of_row, quarantined_keys
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.fold import FoldFailure
from projections.engine.lease import LEASE_S, PartitionLease
from projections.engine.partitions import PARTITIONS_MAX
from projections.engine.past import PastKeeper
from projections.engine.progress import progress_of
from projections.engine.reading import Batch, BatchReader
from projections.engine.versions import require_version, version_differs
from projections.keys import key_text, partition_of
from projections.projection import Projection
from projections.table_shape import check_table

_logger = logging.getLogger(__name__)

R = TypeVar("R")

_BATCH_EVENTS_MAX = 2_000
# How many positions a batch reads at most for each of its events: its time does not depend on how many events of other
# categories lie between its own, and a batch that takes too long becomes shorter although it has few events.
_POSITIONS_PER_EVENT_MAX = 50
# Every batch costs a transaction, so several small appends share one. A batch begins at least this much later than the
# previous one, unless that was full; and `fold_delay_s` later if nobody waits for the table.
_BATCH_INTERVAL_S = 0.01
# A transaction may last half a lease; a batch that takes longer than this share of a lease is made smaller.
_BATCH_OF_LEASE = 0.125
# The share of a lease after which it is renewed.
_RENEWED_AFTER = 1 / 3
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 5.0
# An administrator may change the preconditions while the worker runs; at a gap they are checked anyway.
_CHECKED_EVERY_S = 10.0


@dataclass(slots=True)
class _Place:
    """The worker's place in the log of one server.

    Attributes:
        generation: The generation of the server.
        position: Every event up to this position is in the table; None if the checkpoint must be read.
        final: Every event up to this position is known to be final.
        ahead: The batch that was read while the previous one was written.
        epoch: The epoch of the checkpoint, which fences off other workers.
        partitions: The number of partitions of the projection.
        counted_after: Deliveries are counted after this position.
    """

    generation: int
    position: int | None = None
    final: int = 0
    ahead: Batch | None = None
    epoch: int = 0
    partitions: int = 1
    counted_after: int = 0


class ProjectionWorker(Generic[R]):
    """Keeps the table of one projection, or one of its partitions, up to date.

    Any number may `run`, in any number of processes: the one with the partition's lease works, the others stand by.
    An event that cannot be folded puts its key in quarantine; all other keys go on.

    Args:
        log: The log to fold.
        projection: The projection to fold it into.
        partition: The partition; 0 if the projection has only one.
        batch_events_max: The maximum number of events of one transaction.
        lease_s: Seconds after which another worker takes over from one that was killed.
        fold_delay_s: Seconds between two batches that are not full while no task of this process waits for the table.
        progressed: Wakes the tasks that wait for the checkpoint to move.
        snapshot_versions: The versions of a stream from one state snapshot to the next.
        segment_events: About how many events a segment of the log has.

    Raises:
        LimitError: `partition` is not 0 to 255, `batch_events_max` is below 1, `lease_s` is not above 0, or `fold_delay_s` is
            below 0 or infinite.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[R],
        *,
        partition: int = 0,
        batch_events_max: int = _BATCH_EVENTS_MAX,
        lease_s: float = LEASE_S,
        fold_delay_s: float = 0.0,
        progressed: Wakeups | None = None,
        snapshot_versions: int = SNAPSHOT_VERSIONS,
        segment_events: int = SEGMENT_EVENTS,
    ) -> None:
        check_count("batch_events_max", batch_events_max)
        self.log = log
        self.projection = projection
        self.partition = check_count("partition", partition, least=0, most=PARTITIONS_MAX - 1)
        self.progressed = progressed or Wakeups()
        self._lease = PartitionLease(
            log, projection.name, partition, lease_s=lease_s, version=projection.version
        )
        # 0 is a delay too.
        self._fold_delay_s = (
            check_seconds("fold_delay_s", fold_delay_s, is_finite=True) if fold_delay_s else 0.0
        )
        self._awaited = progress_of(log).awaited
        self._batch_events_max = batch_events_max
        self._batch_events = batch_events_max
        self._size = PageSize(batch_events_max)
        self._reader = BatchReader(log, projection)
        self._past = PastKeeper(
            log,
            projection,
            partition=self.partition,
            snapshot_versions=check_count("snapshot_versions", snapshot_versions),
            segment_events=check_count("segment_events", segment_events),
        )
        self._place = Remembered(log.server, lambda: _Place(log.server.generation))
        self._copies = True
        self._looks_on = False
        self._batch_had_events = False
        self._was_sound = False
        self._retry = Backoff(_RETRY_FIRST_S, _RETRY_MAX_S)
        self._sound_s = now_s()  # when it last knew that the lease was its own

    @property
    def position(self) -> int | None:
        """The position up to which every event is in the table; None before the first batch."""
        return self._place.value.position

    @property
    def is_active(self) -> bool:
        """Whether this worker holds the partition's lease, as far as it knows."""
        return self._lease.is_held

    async def run(self) -> None:
        """Fold batch after batch while it holds the lease, and stand by while another worker holds it, until cancelled.

        The worker waits and retries after a lost connection, a restart of the server or a lost lease. If a
        precondition fails while it runs, it logs that, stops folding, and continues once it is repaired.

        Raises:
            PreconditionError: A precondition does not hold at the start.
            ProjectionVersionError: The table was built by another version of the projection.
            RestoredLogError: A restore has lost events that were read.
            ConnectionClosedError: The program has closed the connection.
            ConfigurationError: The table does not fit the model of its rows; each difference is named.
            EventStoreError: An event cannot be decoded, so its key is unknown, or the schema is not the library's.
        """
        retry = self._retry
        cancelled_before = cancelling()
        try:
            with self.log.wakeups.listen(self.projection.categories) as listener:
                while True:
                    try:
                        await self._run_while_well(listener)
                    except EventStoreError as error:
                        if cancelling() > cancelled_before:
                            # An error of the clean-up is its context, unless it came from another task.
                            raise (cancelled_within(error) or asyncio.CancelledError)  # noqa: B904
                        # The checkpoint shows what was applied, so after a lost answer it only has to be read again.
                        is_repaired_elsewhere = self._was_sound and isinstance(error, PreconditionError)
                        if not (error.is_transient or is_repaired_elsewhere):
                            raise
                        retry_s = retry.next_s()
                        if self.log.metrics is not None:
                            self.log.metrics.retried("batch")
                        extra = {
                            "projection": self.projection.name,
                            "partition": self.partition,
                            "retry_in_s": retry_s,
                        }
                        if is_repaired_elsewhere:
                            _logger.exception(
                                "projection %s folds nothing until the database is repaired",
                                self.projection.name,
                                extra=extra,
                            )
                        elif explained(self._sound_s):
                            self._sound_s = now_s()  # the stall explains this error, and no later one
                        else:
                            _logger.warning("retrying batch", extra=extra, exc_info=error)
                        self._place.forget()
                        self._lease.epoch = 0
                        await asyncio.sleep(retry_s)
                    else:
                        retry.reset()
        finally:
            await finish(self._lease.release())

    async def _run_while_well(self, listener: Listener) -> None:
        """Take the lease, or wait for it briefly; then fold until there has been nothing to do for a while."""
        generation = self.log.server.generation
        await self._check_version()  # before the lease: a worker that must not fold should not block others
        if await self._lease.take() is None:
            await asyncio.sleep(self._lease.lease_s / 10)
            return
        self._sound_s = now_s()
        await check_table(self.log, self.projection)
        await self._check_database()
        self._place.forget()
        async with self._past.keeping_segments():
            await self._fold_while_well(listener, generation)

    async def _fold_while_well(self, listener: Listener, generation: int) -> None:
        """Fold batch after batch until the lease is lost or another server has taken the place of this one."""
        loop = asyncio.get_running_loop()
        renewed = checked = loop.time()
        while True:
            if self.log.server.generation != generation:
                self._lease.epoch = 0  # the lease belongs to a server that another one has replaced
            if not self._lease.is_held:
                return
            listener.begin()
            began = loop.time()
            if began - checked > _CHECKED_EVERY_S:
                await self._check_database()
                checked = loop.time()
            place = self._place.value
            with self.log.server.steady(place.generation):
                moved = await self._fold_next(place, wait=True)
            self._retry.reset()
            if moved:
                renewed, self._sound_s = loop.time(), now_s()
                if await self._collect(listener, began):
                    continue
            elif loop.time() - renewed > self._lease.lease_s * _RENEWED_AFTER:
                if not await self._lease.renew():
                    return
                renewed, self._sound_s = loop.time(), now_s()
            await listener.wait()

    async def _collect(self, listener: Listener, began: float) -> bool:
        """Let events gather after the batch that began then; return whether to look for more, or else to wait for a wake-up.

        If only the checkpoint moved, there is nothing to fold until an append of its categories wakes the worker.
        """
        if not (self._batch_had_events or self._looks_on or self._awaited.is_set()):
            return False
        listener.found()
        if not self._looks_on:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(began + _BATCH_INTERVAL_S - loop.time(), 0))
            await self._delay(began + self._fold_delay_s)
        return True

    async def _delay(self, until_s: float) -> None:
        """Let events gather until a time of the loop, or until somebody waits for the table; keep the lease meanwhile."""
        loop, renewed_after_s = asyncio.get_running_loop(), self._lease.lease_s * _RENEWED_AFTER
        while (left_s := until_s - loop.time()) > 0:
            if await wait_until_set(self._awaited, min(left_s, renewed_after_s)):
                return
            if left_s > renewed_after_s and not await self._lease.renew():
                return

    async def run_once(self, *, wait: bool = True) -> bool:
        """Fold one batch, and store the segments of the log that are due.

        Args:
            wait: At a gap, wait until its writer has ended; with a lease, for at most a third of its duration.

        Returns:
            Whether the checkpoint moved.

        Raises:
            CheckpointMovedError: Another worker was first. Retry.
            ConnectionError, TimeoutError: Either nothing or everything was written. Retry.
            EventStoreError: An event cannot be decoded, so its key is unknown.
        """
        place = self._place.value
        # What was read from a server, and the checkpoint it follows, are valid only for that server.
        with self.log.server.steady(place.generation):
            moved = await self._fold_next(place, wait=wait)
            await self._past.keep_segments()
            return moved

    async def _fold_next(self, place: _Place, *, wait: bool) -> bool:
        """Fold one batch; return whether the checkpoint moved."""
        before = place.position
        if before is None:
            before = await self._take_up(place)
        batch, place.ahead = place.ahead, None
        if batch is None:
            batch = await self._read(place, before, wait=wait)
        if batch is None:
            place.position = before
            self._past.note_final(before)
            return False
        self._looks_on = (
            batch.is_full or batch.through < place.final or batch.through - before >= WINDOW_POSITIONS
        )
        self._batch_had_events = bool(batch.events)
        try:
            place.ahead = await self._write_and_read_on(place, before, batch)
        except BaseException as error:
            if isinstance(error, ConnectionError | TimeoutError) and not isinstance(
                error, ServerChangedError
            ):
                # The batch may have exceeded its transaction's time-out: retrying the same one would never end.
                self._batch_events = max(1, self._batch_events // 4)
            place.position = None  # the checkpoint shows whether it was committed
            raise
        place.position = batch.through
        self.progressed.notify()
        self._past.note_final(batch.through, events=len(batch.events))
        return True

    async def catch_up(self, position: int) -> None:
        """Fold until the checkpoint is at least at `position`.

        Raises:
            EventStoreError: As for `run_once`.
        """
        while (self.position or 0) < position:
            if not await self.run_once():
                return

    async def checkpoint(self) -> int:
        """Return the position up to which every event is in the table, whichever process folded it.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        return int((await self._read_checkpoint())["position"])

    async def _read(self, place: _Place, after: int, *, wait: bool) -> Batch | None:
        """Return the next batch of final events; None if there is none."""
        if place.final <= after:
            # The lease is renewed between these waits: the writer of a gap may take longer than the lease lasts.
            wait_max_s = self._lease.lease_s * _RENEWED_AFTER if self._lease.is_held else math.inf
            place.final = await self.log.high_water_mark.advance(after, wait=wait, wait_max_s=wait_max_s)
        if place.final == after:
            return None
        self._size.limit_to(self._batch_events)
        return await self._reader.read(
            after=after,
            through=place.final,
            size=self._size,
            positions_max=_POSITIONS_PER_EVENT_MAX * self._batch_events,
        )

    async def _write_and_read_on(self, place: _Place, before: int, batch: Batch) -> Batch | None:
        """Write a batch; if more may follow, read the next one meanwhile, and return it."""
        reading = self._read(place, batch.through, wait=False) if batch.is_full else None
        ahead = None if reading is None else asyncio.create_task(reading)
        started_s = time.perf_counter()
        try:
            await self._write(place, before, batch.through, batch.events)
            took_s = time.perf_counter() - started_s
            if self.log.metrics is not None:
                self.log.metrics.folded(self.projection.name, len(self._ours(place, batch.events)), took_s)
            is_smaller = self._fit_batch(took_s)
            if ahead is None or is_smaller:
                return None
            # To await the task itself would pass a cancellation on to it, and get its error in place of the cancellation.
            await asyncio.wait([ahead])
            with suppress(EventStoreError):  # reading the batch the regular way raises it
                return ahead.result()
            return None
        finally:
            if ahead is not None:
                await end(ahead)

    async def _take_up(self, place: _Place) -> int:
        """Continue from the checkpoint, under its epoch; drop what was read after another position.

        Raises:
            CheckpointMovedError: The epoch differs from that of the lease that this worker holds.
        """
        place.final, place.ahead = 0, None
        row = await self._read_checkpoint()
        if self._lease.epoch not in (0, row["epoch"]):
            raise CheckpointMovedError(
                f"the lease of projection {self.projection.name}, partition {self.partition}, has passed to another "
                "worker"
            )
        # The epoch read with it is the fence: a swap to another version raises it.
        place.epoch, place.partitions = row["epoch"], row["partitions"]
        place.counted_after = row["counted_after"]
        return int(row["position"])

    async def _read_checkpoint(self) -> Any:
        async with writing(self.log.connection) as connection:
            row = await self._fetch_checkpoint(connection)
            if row is None:
                await connection.execute(
                    load("projections/register", connection),
                    self.projection.name,
                    self.projection.version,
                )
                row = await self._fetch_checkpoint(connection)
        if row is None:
            raise CheckpointMovedError(
                f"projection {self.projection.name} has no partition {self.partition}: its number of partitions "
                "was changed"
            )
        if row["version"] not in (None, self.projection.version):
            raise version_differs(self.projection, row["version"])
        return row

    async def _check_version(self) -> None:
        async with reading(self.log.connection) as connection:
            await require_version(connection, self.projection)

    async def _check_database(self) -> None:
        """Check that the preconditions of the fold hold, and that the log still has all that was read from it."""
        async with reading(self.log.connection) as connection:
            levels = [Level.MIGRATE, Level.OPEN, *([] if self._was_sound else [Level.WORKERS])]
            await require_preconditions(connection, [self.projection.table.name], levels=levels)
        await require_whole(self.log)
        self._was_sound = True

    async def _fetch_checkpoint(self, connection: Connection) -> Any:
        return await connection.fetchrow(
            load("projections/read_checkpoint", connection), self.projection.name, self.partition
        )

    async def _write(self, place: _Place, before: int, after: int, events: list[Readable]) -> None:
        for copies in (True, False) if self._copies else (False,):
            try:
                await self._write_batch(place, before, after, events, copies=copies)
            except _RefusedError:
                continue
            self._copies = copies  # if INSERT worked where COPY failed, COPY will fail next time too
            return
        await self._write_batch(place, before, after, events, singly=True)

    async def _write_batch(
        self,
        place: _Place,
        before: int,
        after: int,
        events: list[Readable],
        *,
        singly: bool = False,
        copies: bool = False,
    ) -> None:
        async with writing(self.log.connection) as connection:
            try:
                async with connection.transaction():
                    await self._write_in(
                        place, connection, before, after, events, singly=singly, copies=copies
                    )
            except Exception as error:
                if (is_of_row(error) and not singly) or (copies and isinstance(error, COPY_ERRORS)):
                    raise _RefusedError from error
                raise

    async def _write_in(
        self,
        place: _Place,
        connection: Connection,
        before: int,
        after: int,
        events: list[Readable],
        *,
        singly: bool,
        copies: bool,
    ) -> None:
        await self._move_checkpoint(place, connection, before, after, events)
        if not events:
            return
        held = await quarantined_keys(connection, self.projection)
        failed: list[FoldFailure] = []
        self._past.begin()
        await fold_into(
            connection,
            self.projection,
            events,
            takes=self._takes(place, held),
            singly=singly,
            copies=copies,
            on_error=failed,
            past=self._past,
        )
        await self._past.store_states(connection)
        for failure in failed:
            _logger.error(
                "projection %s cannot fold the event at position %d: put key %s in quarantine",
                self.projection.name,
                failure.event.position,
                printable(key_text(failure.key)),
                extra={"projection": self.projection.name, "position": failure.event.position},
                exc_info=failure.error,
            )
            await failure.quarantine(connection, self.projection)

    def _fit_batch(self, took_s: float) -> bool:
        """Adapt the size of the next batch to a small share of the lease; return whether it has to be smaller."""
        if took_s > _BATCH_OF_LEASE * self._lease.lease_s:
            self._batch_events = max(1, self._batch_events // 2)
            return True
        self._batch_events = min(2 * self._batch_events, self._batch_events_max)
        return False

    def _ours(self, place: _Place, events: list[Readable]) -> list[Readable]:
        if place.partitions == 1:
            return events
        return [event for event in events if self._is_ours(place, key_of(self.projection, event))]

    def _takes(self, place: _Place, held: frozenset[str]) -> Callable[[tuple[Any, ...]], bool] | None:
        """Return which keys to fold here: those of the partition that are not in quarantine; None for all."""
        if place.partitions == 1 and not held:
            return None
        return lambda key: self._is_ours(place, key) and key_text(key) not in held

    def _is_ours(self, place: _Place, key: tuple[Any, ...]) -> bool:
        return partition_of(key, place.partitions) == self.partition

    async def _move_checkpoint(
        self, place: _Place, connection: Connection, before: int, after: int, events: list[Readable]
    ) -> None:
        delivered = DeliveryCounts(place.counted_after)
        delivered.add(self._ours(place, events))
        moved = await connection.fetchval(
            load("projections/move_checkpoint", connection),
            self.projection.name,
            self.partition,
            before,
            place.epoch,
            after,
            self._lease.lease_s,
            f"{max(1, round(self._lease.lease_s * 500))}ms",
            *delivered.columns,
        )
        if moved is None:
            raise CheckpointMovedError(
                f"the checkpoint of projection {self.projection.name}, partition {self.partition}, is no longer at "
                f"{before}: another worker has folded these events"
            )


class _RefusedError(Exception):
    """The database refuses an unknown row of the batch, or the way in which it was written."""
