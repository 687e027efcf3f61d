"""Rebuilding a table from the log alone, and proving it equal to the live one.

The new table is built beside the live one. When it has caught up, the projection is held at its checkpoint for the
moment of a last small batch and the comparison; readers and writers of the log never stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from eventstore.database.error_mapping import mapped_errors
from eventstore.database.rows import quoted
from eventstore.errors import ProjectionError
from eventstore.log.event_log import EventLog
from eventstore.sql import load
from projections.projection import Projection
from projections.table import Table
from projections.worker import fold_into

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

    Args:
        log: The log.
        projection: The projection; a worker may be at work on it.
        on_progress: Is told the position reached and the one to reach.

    Returns:
        The comparison, at one position.

    Raises:
        ProjectionError: The projection has never been folded, or another rebuild of it is under way.
        EventStoreError: An event cannot be folded, or the database failed; the new table is gone then.
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
                position = 0
                for _ in range(_CATCH_UP_ROUNDS_MAX):
                    target = await connection.fetchval(
                        load("projections/read_checkpoint"), projection.name, 0
                    )
                    if target is None:
                        raise ProjectionError(
                            f"projection {projection.name} was never folded: let its worker run first"
                        )
                    if target - position <= _BATCH_EVENTS_MAX:
                        break
                    position = await _fold_range(
                        log,
                        connection,
                        projection,
                        table=beside,
                        after=position,
                        through=target,
                        on_progress=on_progress,
                    )
                pinned = await connection.fetchval(load("projections/pin_checkpoint"), projection.name, 0)
                await _fold_range(
                    log,
                    connection,
                    projection,
                    table=beside,
                    after=position,
                    through=pinned,
                    on_progress=on_progress,
                )
                counted = await connection.fetchrow(
                    projection.table.compare(projection.table.name, beside), timeout=_REBUILD_TIMEOUT_S
                )
                keys = await connection.fetch(
                    projection.table.differences(projection.table.name, beside, _DIFFERENCES_SHOWN_MAX)
                )
            finally:
                await asyncio.shield(transaction.rollback())
    return Comparison(
        projection.name, pinned, counted["equal"], counted["different"], tuple(row["key"] for row in keys)
    )


async def _fold_range(
    log: EventLog,
    connection: Any,
    projection: Projection[Any],
    *,
    table: str,
    after: int,
    through: int,
    on_progress: Progress | None,
) -> int:
    while after < through:
        events = await log.read_range(
            after=after, through=through, limit=_BATCH_EVENTS_MAX, categories=projection.categories
        )
        await fold_into(connection, projection, events, table=table)
        after = events[-1].position if len(events) == _BATCH_EVENTS_MAX else through
        if on_progress is not None:
            on_progress(after, through)
    return after


async def compare_with_fold(
    log: EventLog, projection: Projection[R], *, on_progress: Progress | None = None
) -> Comparison:
    """Fold every event in memory, one after the other, and compare with the rows of the live table.

    It shares no SQL with the worker: batches, the load by keys and the writing of rows are what it checks. All rows
    are held in memory.

    Raises:
        ProjectionError: The projection has never been folded.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    table = projection.table
    async with log.connection.acquire() as connection:
        with mapped_errors(own_statement=True, connection=connection):
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                position = await connection.fetchval(load("projections/read_checkpoint"), projection.name, 0)
                if position is None:
                    raise ProjectionError(
                        f"projection {projection.name} was never folded: let its worker run first"
                    )
                records = await connection.fetch(table.select_all(), timeout=_REBUILD_TIMEOUT_S)
    names = [column.name for column in table.key]
    live = {tuple(record[name] for name in names): table.codec.decode(record) for record in records}
    folded = await _fold_in_memory(log, projection, position, on_progress)
    different = [
        key
        for key in live.keys() | folded.keys()
        if key not in live or key not in folded or _line(table, live[key]) != _line(table, folded[key])
    ]
    return Comparison(
        projection.name,
        position,
        len(live.keys() | folded.keys()) - len(different),
        len(different),
        tuple(str(key) for key in different[:_DIFFERENCES_SHOWN_MAX]),
    )


def _line(table: Table[R], row: R) -> str:
    # Decimals that are equal may differ in their digits: 1.0 and 1.00.
    return repr(table.codec.encode(row))


async def _fold_in_memory(
    log: EventLog, projection: Projection[R], through: int, on_progress: Progress | None
) -> dict[tuple[Any, ...], R]:
    classes = frozenset(projection.events)
    rows: dict[tuple[Any, ...], R] = {}
    after = 0
    while after < through:
        events = await log.read_range(
            after=after, through=through, limit=_BATCH_EVENTS_MAX, categories=projection.categories
        )
        for event in events:
            if type(event.event) in classes:
                key = projection.key(event)
                row = projection.evolve(rows.get(key), event)
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
        after = events[-1].position if len(events) == _BATCH_EVENTS_MAX else through
        if on_progress is not None:
            on_progress(after, through)
    return rows
