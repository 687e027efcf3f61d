"""Comparing a live table with the log: with a rebuild that does not swap, and with a fold in memory.

Nothing is changed, and readers and writers of the log are not blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from eventstore.database.access import limit_statements, reading, writing
from eventstore.database.cancellation import finish
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import EventStoreError, ProjectionError, RebuildError
from eventstore.garbage_collection import collecting_rarely
from eventstore.limits import check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.sql import filled, load, qualified, schema_of
from projections.engine.batch import fold_into
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.fold import FoldFailure
from projections.engine.lease import LEASE_S
from projections.engine.reading import read_batch
from projections.engine.versions import require_version
from projections.keys import key_text, partition_of
from projections.projection import Projection
from projections.quarantine.skip_list import Discards, Skipped, read_discards, read_skipped
from projections.rebuild.builder import Build
from projections.rebuild.independent_fold import IndependentFold, stored_lines
from projections.rebuild.lease import RebuildLease, taken_over
from projections.rebuild.limits import USUAL_LIMITS, RebuildLimits
from projections.rebuild.new_table import (
    BUILD_TIMEOUT_S,
    beside_name,
    describe_beside,
    drop_beside,
    require_owner,
)
from projections.rebuild.process_pool import ProcessPool, process_pool
from projections.rebuild.proof import ProofError, prove

R = TypeVar("R")

_CATCH_UP_ROUNDS_MAX = 20
_ATTEMPTS_MAX = 5
_DIFFERENCES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of a table with another fold of the same events.

    Attributes:
        projection: The projection's name.
        position: Both have every event up to this position.
        rows_equal: The number of rows that are equal, to the last digit.
        rows_different: The number of rows that differ or exist on only one side.
        different_keys: The keys of some of these, as text.
    """

    projection: str
    position: int
    rows_equal: int
    rows_different: int
    different_keys: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether no row differs."""
        return self.rows_different == 0


Progress = Callable[[int, int], None]


async def compare_with_rebuild(
    log: EventLog,
    projection: Projection[Any],
    *,
    on_progress: Progress | None = None,
    lease_s: float = LEASE_S,
    proves: bool = True,
    limits: RebuildLimits = USUAL_LIMITS,
) -> Comparison:
    """Rebuild a projection's table beside the live one, prove it, compare every row of the two, and drop it.

    It works in the steps of a rebuild, each in its own transaction; the last one compares, in one snapshot.
    Workers, readers and writers go on. The next rebuild or comparison drops what a killed comparison leaves. A
    key in quarantine is compared as far as it was folded; discarded events are left out.

    Args:
        log: The log.
        projection: The projection.
        on_progress: Receives the position reached and the one to reach.
        lease_s: Seconds after which another process may rebuild or compare if this one was killed.
        proves: Whether to prove the table beside before the comparison, as a rebuild does before it swaps.
        limits: How much is done in one transaction and held in memory.

    Returns:
        The comparison, at one point in time.

    Raises:
        LimitError: `lease_s` is not above 0.
        ConfigurationError: This role does not own the table.
        ProjectionError: The projection has never been folded, or keys kept entering and leaving quarantine.
        ProjectionVersionError: Another version of the projection's code has built the table.
        RebuildError: A rebuild or another comparison is running; a killed rebuild has left a half-built table; a
            relation that no rebuild has made has the name of the table beside; or the proof failed for the named keys.
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    check_seconds("lease_s", lease_s, is_finite=True)
    with collecting_rarely(), log.server.steady():
        async with reading(log.connection) as connection:
            await require_owner(connection, projection)
            await _read_positions(connection, projection)
            await describe_beside(connection, projection)
        lease = await RebuildLease.take(log, projection, lease_s=lease_s)
        async with lease.kept(), process_pool(log, projection, 1) as pool:
            await _require_nothing_to_resume(log, projection, lease)
            try:
                for _ in range(_ATTEMPTS_MAX):
                    beside = _Beside(log, projection, lease, on_progress, limits)
                    with suppress(_ChangedMeanwhileError):
                        return await beside.compare(pool, proves=proves)
            except ProofError as error:
                raise RebuildError(str(error)) from None
            finally:
                await finish(_drop(log, projection, lease))
    raise ProjectionError(
        f"projection {projection.name} could not be compared: its quarantined keys or its discarded events changed "
        f"{_ATTEMPTS_MAX} times meanwhile: run it again when they no longer change"
    )


class _ChangedMeanwhileError(Exception):
    """The live table now leaves out other events than the table beside."""


async def _require_nothing_to_resume(log: EventLog, projection: Projection[Any], lease: RebuildLease) -> None:
    async with reading(log.connection) as connection:
        shards = await connection.fetch(load("rebuild/list_shards", connection), projection.name)
        is_begun = lease.position > 0 or any(shard["position"] for shard in shards)
        if is_begun and not lease.is_comparison and await describe_beside(connection, projection) is not None:
            raise RebuildError(
                f"a rebuild of projection {projection.name} was killed and has left its table half built, at position "
                f"{lease.position}: finish it (eventstore rebuild {projection.name}) or drop it (with --abandon), then "
                "compare again"
            )


async def _drop(log: EventLog, projection: Projection[Any], lease: RebuildLease) -> None:
    # If it cannot be dropped now, the next rebuild or comparison drops it.
    with suppress(EventStoreError):
        async with writing(log.connection) as connection:
            await drop_beside(connection, projection, lease)


async def _read_positions(connection: Connection, projection: Projection[Any]) -> list[int]:
    """Return the position of each partition.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of the projection's code has built the table.
    """
    partitions = await connection.fetch(load("projections/list_partitions", connection), projection.name)
    if not partitions:
        raise ProjectionError(f"projection {projection.name} was never folded: let its worker run first")
    await require_version(connection, projection)
    return [partition["position"] for partition in partitions]


class _Beside:
    """The table beside, which receives every event that the live one has, each partition up to its position."""

    def __init__(
        self,
        log: EventLog,
        projection: Projection[Any],
        lease: RebuildLease,
        on_progress: Progress | None,
        limits: RebuildLimits,
    ) -> None:
        self._limits = limits
        self._log = log
        self._projection = projection
        self._lease = lease
        self._on_progress = on_progress
        self._size = PageSize(limits.page_events_max)
        self._skipped = Skipped()
        self._stuck: set[str] = set()
        self._positions: list[int] = []
        self._target = 0

    async def compare(self, pool: ProcessPool, *, proves: bool) -> Comparison:
        """Build it, prove it, and compare it with the live one.

        Raises:
            _ChangedMeanwhileError: Start again.
            ProofError: The table does not match the log.
        """
        async with reading(self._log.connection) as connection:
            self._skipped = await read_skipped(connection, self._projection)
        build: Build[Any] = Build(
            self._log,
            self._projection,
            self._lease.epoch,
            self._tell,
            skipped=self._skipped,
            limits=self._limits,
        )
        await build.open(restart=True, reached=0, is_unlogged=True)
        positions = await self._build(build)
        await build.make_indexes(all_of_them=False)
        if proves:
            await prove(self._projection, build, pool, lambda *_: None)
        async with writing(self._log.connection) as connection:
            self._stuck = set(await build.failures(connection))
            build.forget()
            self._positions = [build.position] * len(positions)
            for _ in range(_CATCH_UP_ROUNDS_MAX):
                positions = await _read_positions(connection, self._projection)
                self._require_as_before(positions)
                pairs = zip(positions, self._positions, strict=True)
                if max(now - folded for now, folded in pairs) <= self._limits.last_positions_max:
                    break
                while self._positions != positions:
                    async with connection.transaction():
                        await self._lease.hold_in(connection)
                        await self._fold(connection, positions)
            await build.look_again(connection)
            return await self._compare_in(connection)

    async def _build(self, build: Build[Any]) -> list[int]:
        """Take the steps of a rebuild up to the partition that is furthest behind; return the positions of all."""
        for rounds in range(_CATCH_UP_ROUNDS_MAX):
            async with reading(self._log.connection) as connection:
                positions = await _read_positions(connection, self._projection)
            self._target = min(positions)
            if rounds and self._target - build.position <= self._limits.last_positions_max:
                break
            while build.position < self._target:
                await build.step(self._target)
        return positions

    async def _compare_in(self, connection: Connection) -> Comparison:
        """Fold the remaining events and compare, in one snapshot; all of it is rolled back."""
        projection, schema = self._projection, schema_of(connection)
        tables = (projection.table.name, beside_name(projection))
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            await limit_statements(connection, BUILD_TIMEOUT_S)
            # Locked before the first query takes the snapshot, so that the snapshot sees both these tables.
            await connection.execute(
                filled("commands/lock", table=qualified(schema, tables[0]), mode="ACCESS SHARE")
            )
            await connection.execute(
                filled("commands/lock", table=qualified(schema, tables[1]), mode="ROW EXCLUSIVE")
            )
            held = await connection.fetchrow(load("rebuild/read", connection), projection.name)
            if held is None or held["epoch"] != self._lease.epoch:
                raise taken_over(projection.name)
            positions = await _read_positions(connection, projection)
            self._require_as_before(positions)
            skipped = await read_skipped(connection, projection)
            if not skipped.is_same_through(max(self._positions), self._skipped):
                raise _ChangedMeanwhileError
            self._skipped = skipped
            while self._positions != positions:
                await self._fold(connection, positions)
            counted = the_row(
                await connection.fetchrow(
                    projection.table.compare(*tables, schema=schema), timeout=BUILD_TIMEOUT_S
                )
            )
            keys = await connection.fetch(
                projection.table.differences(*tables, schema=schema),
                _DIFFERENCES_SHOWN_MAX,
                timeout=BUILD_TIMEOUT_S,
            )
        finally:
            await finish(transaction.rollback())
        return Comparison(
            projection.name,
            max(positions),
            counted["equal"],
            counted["different"],
            tuple(row["key"] for row in keys),
        )

    def _require_as_before(self, positions: list[int]) -> None:
        """Check that no partition has gone back, so that what was folded of it is still right."""
        if len(positions) != len(self._positions):
            if len(set(self._positions)) != 1:
                raise _ChangedMeanwhileError
            self._positions = self._positions[:1] * len(positions)
        if any(now < folded for now, folded in zip(positions, self._positions, strict=True)):
            raise _ChangedMeanwhileError

    async def _fold(self, connection: Connection, through: list[int]) -> None:
        """Fold the next batch, for each partition up to its position, in the open transaction of `connection`."""
        folded, skipped, projection = self._positions, self._skipped, self._projection
        behind = min(one for one, to in zip(folded, through, strict=True) if one < to)
        batch = await read_batch(
            self._log,
            projection,
            after=behind,
            through=max(through),
            size=self._size,
            connection=connection,
        )
        events = []
        for event in batch.events:
            key = key_of(projection, event)
            partition = partition_of(key, len(through))
            if (
                folded[partition] < event.position <= through[partition]
                and not skipped.has(event.position, key)
                and key_text(key) not in self._stuck
            ):
                events.append(event)
        failed: list[FoldFailure] = []
        await fold_into(connection, projection, events, table=beside_name(projection), on_error=failed)
        self._stuck |= {key_text(failure.key) for failure in failed}
        self._positions = [max(one, min(to, batch.through)) for one, to in zip(folded, through, strict=True)]
        self._target = max(through)
        self._tell(batch.through, 0)

    def _tell(self, position: int, _: int) -> None:
        if self._on_progress is not None:
            self._on_progress(position, max(position, self._target))


@dataclass(frozen=True)
class Live:
    """A table and its projection's records, in one snapshot.

    Attributes:
        partitions: The position of each partition.
        lines: A digest of each row, by its key.
        discarded: The discarded events.
        held: The position at which each quarantined key stopped, by its text.
        counted_after: Deliveries are counted after this position.
        delivery_counts: The number of delivered events in each range, and their digest.
    """

    partitions: list[int]
    lines: dict[tuple[Any, ...], bytes]
    discarded: Discards
    held: Mapping[str, int]
    counted_after: int
    delivery_counts: Mapping[int, tuple[int, int]]


async def read_live(log: EventLog, projection: Projection[Any]) -> Live:
    """Read the live table of a projection, with its checkpoints and other records.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of the projection's code has built the table.
        ConnectionError, TimeoutError: Safe to retry.
    """
    table = projection.table
    async with (
        reading(log.connection) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Before the first statement, which takes the snapshot. Otherwise a rebuild might swap in between, and the
        # table would be one whose rows the snapshot does not see.
        await connection.execute(
            filled("commands/lock", table=qualified(schema_of(connection), table.name), mode="ACCESS SHARE")
        )
        await limit_statements(connection, BUILD_TIMEOUT_S)
        positions = await _read_positions(connection, projection)
        counted_after = await require_version(connection, projection)
        discarded = await read_discards(connection, projection)
        held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
        delivered = await connection.fetch(
            load("projections/list_delivery_counts", connection), projection.name
        )
        lines = await stored_lines(connection, table, table.name)
    return Live(
        positions,
        lines,
        discarded,
        {row["key"]: row["position"] for row in held},
        counted_after,
        {row["range"]: (row["events"], row["digest"]) for row in delivered},
    )


async def fold_and_compare(
    log: EventLog,
    projection: Projection[R],
    live: Live,
    *,
    on_progress: Progress | None = None,
    delivered: DeliveryCounts | None = None,
) -> Comparison:
    """Fold every event in memory and compare with the rows of the live table; `delivered` counts the events.

    Raises:
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    fold = IndependentFold(log, projection, discarded=live.discarded, held=live.held, on_progress=on_progress)
    await fold.advance(max(live.partitions), partitions=live.partitions, delivered=delivered)
    folded = fold.lines()
    keys = live.lines.keys() | folded.keys()
    different = [key for key in keys if live.lines.get(key) != folded.get(key)]
    return Comparison(
        projection.name,
        max(live.partitions),
        len(keys) - len(different),
        len(different),
        tuple(str(key) for key in different[:_DIFFERENCES_SHOWN_MAX]),
    )


async def compare_with_fold(
    log: EventLog, projection: Projection[R], *, on_progress: Progress | None = None
) -> Comparison:
    """Fold every event in memory, one by one, and compare with the rows of the live table.

    It shares no SQL with the worker: it checks the batches, the load by keys and the writing of rows. All rows are
    held in memory. A key in quarantine is compared as far as it was folded; discarded events are left out.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of the projection's code has built the table.
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    with log.server.steady():
        live = await read_live(log, projection)
        return await fold_and_compare(log, projection, live, on_progress=on_progress)
