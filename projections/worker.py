"""Folding settled events into tables, exactly once.

    settle -> read a batch -> | move the checkpoint, load rows, write rows | -> again
                              |             one transaction                |

The checkpoint's compare-and-set comes first in the transaction: whoever comes second waits there and then finds
the checkpoint moved. So an event counts once, whatever dies and whenever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from eventstore.database.error_mapping import mapped_errors
from eventstore.domain.event import RecordedEvent
from eventstore.errors import CheckpointMovedError, ConnectionError, EventStoreError, TimeoutError
from eventstore.log.event_log import EventLog
from eventstore.log.subscription import Wakeups, wait_for_bell
from eventstore.sql import load
from projections.projection import Projection

__all__ = ["ProjectionWorker", "fold_into"]

_logger = logging.getLogger(__name__)

R = TypeVar("R")

_BATCH_EVENTS_MAX = 2_000
_POLL_FIRST_S = 0.005
_POLL_MAX_S = 0.25
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 5.0


class ProjectionWorker(Generic[R]):
    """Keeps the table of one projection up to date.

    Any number may run; one at a time gets its batch through, the others find the checkpoint moved and go on from
    there.

    Args:
        log: The log to fold.
        projection: What to fold it into.
        batch_events_max: The most events of one transaction.
    """

    def __init__(
        self, log: EventLog, projection: Projection[R], *, batch_events_max: int = _BATCH_EVENTS_MAX
    ) -> None:
        self.log = log
        self.projection = projection
        self.moved = Wakeups()
        self._batch_events_max = batch_events_max
        self._position: int | None = None
        self._epoch = 0

    @property
    def position(self) -> int | None:
        """Every event up to here is in the table; None before the first batch."""
        return self._position

    async def run(self) -> None:
        """Fold batch after batch until cancelled.

        A lost connection, a server that restarts or a checkpoint that another worker moved is waited out. An
        event that cannot be folded is not passed over: it ends the run.

        Raises:
            EventStoreError: An event cannot be decoded or folded, or the database refuses the row.
        """
        poll_s, retry_s = _POLL_FIRST_S, _RETRY_FIRST_S
        with self.log.wakeups.bell() as bell:
            while True:
                bell.clear()
                try:
                    moved = await self.run_once()
                except EventStoreError as error:
                    # The checkpoint tells what was applied, so a lost answer needs no more than a new look.
                    if not error.retryable and not isinstance(error, ConnectionError | TimeoutError):
                        raise
                    _logger.warning(
                        "a batch is tried again",
                        extra={"projection": self.projection.name, "retry_in_s": retry_s},
                        exc_info=error,
                    )
                    self._position = None
                    await asyncio.sleep(retry_s)
                    retry_s = min(2 * retry_s, _RETRY_MAX_S)
                    continue
                retry_s = _RETRY_FIRST_S
                if moved:
                    poll_s = _POLL_FIRST_S
                    continue
                rang = await wait_for_bell(bell, poll_s)
                poll_s = _POLL_FIRST_S if rang else min(2 * poll_s, _POLL_MAX_S)

    async def run_once(self, *, wait: bool = True) -> bool:
        """Fold one batch.

        Args:
            wait: At a hole, wait until its owner has ended.

        Returns:
            Whether the checkpoint moved.

        Raises:
            CheckpointMovedError: Another worker was first. Retry.
            ConnectionError, TimeoutError: Nothing was written, or all of it. Retry.
            EventStoreError: An event cannot be decoded or folded, or the database refuses the row.
        """
        before = self._position
        if before is None:
            before = await self._read_checkpoint()
        after = await self.log.settlement.settle(before, wait=wait)
        if after == before:
            self._position = before
            return False
        events = await self.log.read_range(
            after=before, through=after, limit=self._batch_events_max, categories=self.projection.categories
        )
        if len(events) == self._batch_events_max:
            after = events[-1].position
        try:
            await self._write(before, after, events)
        except BaseException:
            self._position = None  # whether it was committed is read from the checkpoint
            raise
        self._position = after
        self.moved.notify()
        return True

    async def catch_up(self, position: int) -> None:
        """Fold until the checkpoint is at `position` at least.

        Raises:
            EventStoreError: As `run_once`.
        """
        while (self._position or 0) < position:
            if not await self.run_once():
                return

    async def checkpoint(self) -> int:
        """Return the position up to which every event is in the table, whoever folded it.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await self._read_checkpoint()

    async def _read_checkpoint(self) -> int:
        async with self.log.connection.acquire() as connection:
            with mapped_errors(own_statement=True, connection=connection):
                row = await connection.fetchrow(load("projections/read_checkpoint"), self.projection.name, 0)
                if row is None:
                    await connection.execute(load("projections/ensure_checkpoint"), self.projection.name, 0)
                    return 0
        self._epoch = row["epoch"]
        return int(row["position"])

    async def _write(self, before: int, after: int, events: list[RecordedEvent]) -> None:
        async with self.log.connection.acquire() as connection:
            with mapped_errors(own_statement=True, connection=connection):
                async with connection.transaction():
                    moved = await connection.fetchval(
                        load("projections/move_checkpoint"),
                        self.projection.name,
                        0,
                        before,
                        self._epoch,
                        after,
                    )
                    if moved is None:
                        raise CheckpointMovedError(
                            f"the checkpoint of projection {self.projection.name} is no longer at {before}: "
                            "another worker has folded these events"
                        )
                    await fold_into(connection, self.projection, events)


async def fold_into(
    connection: Any, projection: Projection[R], events: list[RecordedEvent], *, table: str | None = None
) -> None:
    """Fold events into a table, inside the open transaction of `connection`.

    Args:
        connection: An asyncpg connection.
        projection: The projection.
        events: Settled events in order; those of classes that the projection does not take are passed over.
        table: The name of the table, where it is not the projection's own.

    Raises:
        EventStoreError: An event cannot be folded.
        Exception: Errors of asyncpg, not mapped.
    """
    classes = frozenset(projection.events)
    by_key: dict[tuple[Any, ...], list[RecordedEvent]] = {}
    for event in events:
        if type(event.event) in classes:
            by_key.setdefault(projection.key(event), []).append(event)
    if not by_key:
        return
    rows = await _load(connection, projection, list(by_key), table)
    written: list[R] = []
    positions: list[int] = []
    deleted: list[tuple[Any, ...]] = []
    evolve: Callable[[R | None, RecordedEvent], R | None] = projection.evolve
    for key, its_events in by_key.items():
        before = row = rows.get(key)
        for event in its_events:
            row = evolve(row, event)
        if row is not None:
            written.append(row)
            positions.append(its_events[-1].position)
        elif before is not None:
            deleted.append(key)
    if written:
        columns = projection.table.codec.encode_columns(written)
        await connection.execute(projection.table.upsert(table), *columns, positions)
    if deleted:
        await connection.execute(
            projection.table.delete_by_keys(table), *map(list, zip(*deleted, strict=True))
        )


async def _load(
    connection: Any, projection: Projection[R], keys: list[tuple[Any, ...]], table: str | None
) -> dict[tuple[Any, ...], R]:
    arguments = [list(column) for column in zip(*keys, strict=True)]
    records = await connection.fetch(projection.table.select_by_keys(table), *arguments)
    names = [column.name for column in projection.table.key]
    return {
        tuple(record[name] for name in names): projection.table.codec.decode(record) for record in records
    }
