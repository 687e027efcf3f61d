"""Rebuilding a table from the log alone, and proving it equal to the live one.

The new table is built beside the live one. When it has caught up, the projection is held at its checkpoint for the
moment of a last small batch and the comparison; readers and writers of the log never stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from eventstore.database.error_mapping import mapped_errors
from eventstore.database.rows import quoted
from eventstore.errors import ProjectionError
from eventstore.log.event_log import EventLog
from eventstore.sql import load
from projections.folding import FoldError, fold_into
from projections.keys import lane_of
from projections.projection import Projection
from projections.table import Table

__all__ = ["Comparison", "compare_with_fold", "rebuild"]

R = TypeVar("R")

_BATCH_EVENTS_MAX = 5_000
_CATCH_UP_ROUNDS_MAX = 20
_REBUILD_TIMEOUT_S = 3_600.0
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


async def rebuild(
    log: EventLog, projection: Projection[Any], *, on_progress: Progress | None = None
) -> Comparison:
    """Build a projection's table anew from the log, compare every row with the live one, and drop the new one.

    A key in quarantine is compared as far as it was folded; events that were discarded are left out.

    Args:
        log: The log.
        projection: The projection; workers may be at work on it.
        on_progress: Is told the position reached and the one to reach.

    Returns:
        The comparison, at one moment.

    Raises:
        ProjectionError: The projection has never been folded, or another rebuild of it is under way.
        EventStoreError: An event cannot be decoded, or the database failed; the new table is gone then.
    """
    beside = f"{projection.table.name}__rebuild"
    async with log.connection.acquire() as connection:
        with mapped_errors(own_statement=True, connection=connection):
            # One transaction: the table is never seen by others, and goes with a roll-back or a lost connection.
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(f"SET LOCAL statement_timeout = {_REBUILD_TIMEOUT_S * 1000:.0f}")
                await connection.execute(
                    f"CREATE TABLE {quoted(beside)} (LIKE {quoted(projection.table.name)} INCLUDING ALL)",
                    timeout=_REBUILD_TIMEOUT_S,
                )
                build = _Build(log, connection, projection, beside, on_progress)
                for _ in range(_CATCH_UP_ROUNDS_MAX):
                    lanes = await connection.fetch(load("projections/list_lanes"), projection.name)
                    if not lanes:
                        raise _never_folded(projection)
                    target = min(lane["position"] for lane in lanes)
                    if target - build.position <= _BATCH_EVENTS_MAX:
                        break
                    await build.fold_through(target)
                pinned = await connection.fetch(load("projections/pin_lanes"), projection.name)
                await build.fold_lanes({lane["lane"]: lane["position"] for lane in pinned})
                counted = await connection.fetchrow(
                    projection.table.compare(projection.table.name, beside), timeout=_REBUILD_TIMEOUT_S
                )
                keys = await connection.fetch(
                    projection.table.differences(projection.table.name, beside, _DIFFERENCES_SHOWN_MAX)
                )
            finally:
                await asyncio.shield(transaction.rollback())
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
        connection: Any,
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
        self._failed: list[FoldError] = []

    async def fold_through(self, position: int) -> None:
        """Fold everything up to `position`."""
        await self._fold(self.position, position, lambda _: True)
        self.position = max(self.position, position)

    async def fold_lanes(self, positions: Mapping[int, int]) -> None:
        """Fold each lane up to its own position."""
        await self.fold_through(min(positions.values()))
        for lane, position in positions.items():
            await self._fold(self.position, position, partial(_is_in_lane, lane=lane, lanes=len(positions)))
        self.position = max(positions.values())

    async def _fold(self, after: int, through: int, takes: Callable[[Any], bool]) -> None:
        discarded = await _discarded(self._connection, self._projection)
        while after < through:
            events = await self._log.read_range(
                after=after,
                through=through,
                limit=_BATCH_EVENTS_MAX,
                categories=self._projection.categories,
                connection=self._connection,
            )
            stuck = frozenset(failure.key for failure in self._failed)
            await fold_into(
                self._connection,
                self._projection,
                [event for event in events if event.position not in discarded],
                table=self._table,
                takes=partial(_is_taken, stuck=stuck, takes=takes),
                on_error=self._failed,
            )
            after = events[-1].position if len(events) == _BATCH_EVENTS_MAX else through
            if self._on_progress is not None:
                self._on_progress(after, through)


def _is_in_lane(key: tuple[Any, ...], *, lane: int, lanes: int) -> bool:
    return lane_of(key, lanes) == lane


def _is_taken(key: Any, *, stuck: frozenset[Any], takes: Callable[[Any], bool]) -> bool:
    return key not in stuck and takes(key)


async def compare_with_fold(
    log: EventLog, projection: Projection[R], *, on_progress: Progress | None = None
) -> Comparison:
    """Fold every event in memory, one after the other, and compare with the rows of the live table.

    It shares no SQL with the worker: batches, the load by keys and the writing of rows are what it checks. All rows
    are held in memory. A key in quarantine is compared as far as it was folded; discarded events are left out.

    Raises:
        ProjectionError: The projection has never been folded.
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    table = projection.table
    async with log.connection.acquire() as connection:
        with mapped_errors(own_statement=True, reads_only=True, connection=connection):
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                lanes = await connection.fetch(load("projections/list_lanes"), projection.name)
                if not lanes:
                    raise _never_folded(projection)
                discarded = await _discarded(connection, projection)
                records = await connection.fetch(table.select_all(), timeout=_REBUILD_TIMEOUT_S)
    names = [column.name for column in table.key]
    live = {tuple(record[name] for name in names): table.codec.decode(record) for record in records}
    positions = [lane["position"] for lane in lanes]
    folded = await _fold_in_memory(log, projection, positions, discarded, on_progress)
    different = [
        key
        for key in live.keys() | folded.keys()
        if key not in live or key not in folded or _line(table, live[key]) != _line(table, folded[key])
    ]
    return Comparison(
        projection.name,
        max(positions),
        len(live.keys() | folded.keys()) - len(different),
        len(different),
        tuple(str(key) for key in different[:_DIFFERENCES_SHOWN_MAX]),
    )


def _never_folded(projection: Projection[Any]) -> ProjectionError:
    return ProjectionError(f"projection {projection.name} was never folded: let its worker run first")


async def _discarded(connection: Any, projection: Projection[Any]) -> frozenset[int]:
    rows = await connection.fetch(load("projections/list_discards"), projection.name)
    return frozenset(row["position"] for row in rows)


def _line(table: Table[R], row: R) -> str:
    # Decimals that are equal may differ in their digits: 1.0 and 1.00.
    return repr(table.codec.encode(row))


async def _fold_in_memory(
    log: EventLog,
    projection: Projection[R],
    positions: Sequence[int],
    discarded: frozenset[int],
    on_progress: Progress | None,
) -> dict[tuple[Any, ...], R]:
    classes = frozenset(projection.events)
    rows: dict[tuple[Any, ...], R] = {}
    stuck: set[tuple[Any, ...]] = set()
    after, through = 0, max(positions)
    while after < through:
        events = await log.read_range(
            after=after, through=through, limit=_BATCH_EVENTS_MAX, categories=projection.categories
        )
        for event in events:
            if type(event.event) not in classes or event.position in discarded:
                continue
            key = projection.key(event)
            if key in stuck or event.position > positions[lane_of(key, len(positions))]:
                continue
            try:
                row = projection.evolve(rows.get(key), event)
            except Exception:  # noqa: BLE001 - the worker has it in quarantine, with the reason
                stuck.add(key)
                continue
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        after = events[-1].position if len(events) == _BATCH_EVENTS_MAX else through
        if on_progress is not None:
            on_progress(after, through)
    return rows
