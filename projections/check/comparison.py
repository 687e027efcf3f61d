"""Comparing a live table with what the log says: with a table built beside it, and with a fold in memory.

Nothing is changed, and readers and writers of the log never stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from eventstore.database.access import reading, writing
from eventstore.database.cancellation import finish
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import ProjectionError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.sql import load, qualified, schema_of
from projections.engine.batch import FoldFailure, fold_into
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.reading import read_batch
from projections.engine.versions import require_version
from projections.keys import partition_of
from projections.projection import Projection
from projections.quarantine.skip_list import Discards, read_discards
from projections.rebuild.independent_fold import IndependentFold, stored_lines
from projections.rebuild.new_table import BUILD_TIMEOUT_S, beside_name

R = TypeVar("R")

_BATCH_EVENTS_MAX = 5_000
_CATCH_UP_ROUNDS_MAX = 20
_DIFFERENCES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a table compares with another fold of the same events.

    Attributes:
        projection: The projection's name.
        position: Both have every event up to it.
        rows_equal: Rows that are equal to the last digit.
        rows_different: Rows that differ, or that only one side has.
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
    log: EventLog, projection: Projection[Any], *, on_progress: Progress | None = None
) -> Comparison:
    """Build a projection's table anew from the log, compare every row with the live one, and drop the new one.

    A key in quarantine is compared as far as it was folded; events that were discarded are left out.

    Args:
        log: The log.
        projection: The projection; workers may be at work on it.
        on_progress: Is told the position reached and the one to reach.

    Returns:
        The comparison, at one point in time.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of its code has built the table.
        EventStoreError: An event cannot be decoded, or the database failed; the new table is gone then.
    """
    beside = beside_name(projection, "compare")
    async with writing(log.connection) as connection:
        # One transaction: the table is never seen by others, and goes with a roll-back or a lost connection. It is
        # UNLOGGED, since a subscriber may be sent the rows of a long transaction before its end.
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"SET LOCAL statement_timeout = {BUILD_TIMEOUT_S * 1000:.0f}")
            await connection.execute(
                f"CREATE UNLOGGED TABLE {qualified(schema_of(connection), beside)} (LIKE {qualified(schema_of(connection), projection.table.name)} INCLUDING ALL)",
                timeout=BUILD_TIMEOUT_S,
            )
            build = _Build(log, connection, projection, beside, on_progress)
            for _ in range(_CATCH_UP_ROUNDS_MAX):
                partitions = await connection.fetch(
                    load("projections/list_partitions", connection), projection.name
                )
                if not partitions:
                    raise _never_folded(projection)
                await require_version(connection, projection)
                target = min(partition["position"] for partition in partitions)
                if target - build.position <= _BATCH_EVENTS_MAX:
                    break
                await build.fold_through(target)
            pinned = await connection.fetch(load("projections/pin_partitions", connection), projection.name)
            await build.fold_partitions(
                {partition["partition"]: partition["position"] for partition in pinned}
            )
            counted = the_row(
                await connection.fetchrow(
                    projection.table.compare(projection.table.name, beside, schema=schema_of(connection)),
                    timeout=BUILD_TIMEOUT_S,
                )
            )
            keys = await connection.fetch(
                projection.table.differences(
                    projection.table.name, beside, _DIFFERENCES_SHOWN_MAX, schema=schema_of(connection)
                )
            )
        finally:
            await finish(transaction.rollback())
    return Comparison(
        projection.name,
        build.position,
        counted["equal"],
        counted["different"],
        tuple(row["key"] for row in keys),
    )


class _Build:
    """A table that is folded beside the live one, inside one transaction."""

    def __init__(
        self,
        log: EventLog,
        connection: Connection,
        projection: Projection[Any],
        table: str,
        on_progress: Progress | None,
    ) -> None:
        self.position = 0
        self._log = log
        self._connection = connection
        self._projection = projection
        self._table = table
        self._on_progress = on_progress
        self._failed: list[FoldFailure] = []

    async def fold_through(self, position: int) -> None:
        """Fold everything up to `position`."""
        await self._fold(self.position, position, lambda _: True)
        self.position = max(self.position, position)

    async def fold_partitions(self, positions: Mapping[int, int]) -> None:
        """Fold each partition up to its own position."""
        await self.fold_through(min(positions.values()))
        for partition, position in positions.items():
            await self._fold(
                self.position,
                position,
                partial(_is_in_partition, partition=partition, partitions=len(positions)),
            )
        self.position = max(positions.values())

    async def _fold(self, after: int, through: int, takes: Callable[[Any], bool]) -> None:
        discarded = await read_discards(self._connection, self._projection)
        size = PageSize(_BATCH_EVENTS_MAX)
        while after < through:
            batch = await read_batch(
                self._log,
                self._projection,
                after=after,
                through=through,
                size=size,
                connection=self._connection,
            )
            stuck = frozenset(failure.key for failure in self._failed)
            await fold_into(
                self._connection,
                self._projection,
                [
                    event
                    for event in batch.events
                    if not discarded.has(event.position, key_of(self._projection, event))
                ],
                table=self._table,
                takes=partial(_is_taken, stuck=stuck, takes=takes),
                on_error=self._failed,
            )
            after = batch.through
            if self._on_progress is not None:
                self._on_progress(after, through)


def _is_in_partition(key: tuple[Any, ...], *, partition: int, partitions: int) -> bool:
    return partition_of(key, partitions) == partition


def _is_taken(key: Any, *, stuck: frozenset[Any], takes: Callable[[Any], bool]) -> bool:
    return key not in stuck and takes(key)


@dataclass(frozen=True)
class Live:
    """A table and what is kept with it, of one snapshot.

    Attributes:
        partitions: The position of each partition.
        lines: A digest of each row, by its key.
        discarded: Events that are left out.
        held: The position at which each key in quarantine stands still, by its text.
        counted_after: Deliveries are counted from here on.
        deliveries: How many events of each range were delivered, and their digest.
    """

    partitions: list[int]
    lines: dict[tuple[Any, ...], bytes]
    discarded: Discards
    held: Mapping[str, int]
    counted_after: int
    deliveries: Mapping[int, tuple[int, int]]


async def read_live(log: EventLog, projection: Projection[Any]) -> Live:
    """Read the live table of a projection, with its checkpoints and what else belongs to it.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of its code has built the table.
        ConnectionError, TimeoutError: Safe to retry.
    """
    table = projection.table
    async with (
        reading(log.connection) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Before the first statement, which takes the snapshot: or a rebuild's swap might come between, and
        # the table of that name be one whose rows the snapshot does not see.
        await connection.execute(
            f"LOCK TABLE {qualified(schema_of(connection), table.name)} IN ACCESS SHARE MODE"
        )
        await connection.execute(f"SET LOCAL statement_timeout = {BUILD_TIMEOUT_S * 1000:.0f}")
        partitions = await connection.fetch(load("projections/list_partitions", connection), projection.name)
        if not partitions:
            raise _never_folded(projection)
        counted_after = await require_version(connection, projection)
        discarded = await read_discards(connection, projection)
        held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
        delivered = await connection.fetch(
            load("projections/list_delivery_counts", connection), projection.name
        )
        lines = await stored_lines(connection, table, table.name)
    return Live(
        [partition["position"] for partition in partitions],
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
    """Fold every event in memory, and compare with the rows of the live table; `delivered` counts the events.

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
    """Fold every event in memory, one after the other, and compare with the rows of the live table.

    It shares no SQL with the worker: batches, the load by keys and the writing of rows are what it checks. All rows
    are held in memory. A key in quarantine is compared as far as it was folded; discarded events are left out.

    Raises:
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of its code has built the table.
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    with log.server.steady():
        live = await read_live(log, projection)
        return await fold_and_compare(log, projection, live, on_progress=on_progress)


def _never_folded(projection: Projection[Any]) -> ProjectionError:
    return ProjectionError(f"projection {projection.name} was never folded: let its worker run first")
