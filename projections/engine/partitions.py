"""Partitions: a projection is split by a stable hash of its keys, so that several workers share it."""

from __future__ import annotations

from functools import partial
from typing import Any

from eventstore.database.access import writing
from eventstore.database.protocols import Connection
from eventstore.errors import ProjectionError
from eventstore.limits import check_count
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.sql import load
from projections.engine.batch import fold_into, quarantined_keys
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.fold import FoldFailure
from projections.engine.reading import read_batch
from projections.engine.versions import require_version
from projections.keys import key_text, partition_of
from projections.projection import Projection

PARTITIONS_MAX = 256
"""The maximum number of partitions of one projection: each reads the whole log, so more cost more than they help."""

_BATCH_EVENTS_MAX = 2_000


async def set_partitions(log: EventLog, projection: Projection[Any], partitions: int) -> None:
    """Split a projection into another number of partitions, while events are appended and workers run.

    In one transaction all partitions are locked, those that are behind are folded up to the one ahead, and every
    epoch goes up, so that no worker of the old partitions can write any more. It may be repeated.

    Raises:
        LimitError: `partitions` is not 1 to 256.
        ProjectionError: The projection has never been folded.
        ProjectionVersionError: Another version of the projection's code has built the table.
        ConnectionError, TimeoutError: Either nothing or everything was changed. Safe to run again.
    """
    _check(partitions)
    async with writing(log.connection) as connection, connection.transaction():
        pinned = await connection.fetch(load("projections/pin_partitions", connection), projection.name)
        if not pinned:
            raise ProjectionError(f"projection {projection.name} was never folded: let its worker run first")
        counted_after = await require_version(connection, projection)
        target = max(partition["position"] for partition in pinned)
        for partition in pinned:
            delivered = DeliveryCounts(counted_after)
            await _catch_up(
                log,
                connection,
                projection,
                partition,
                partitions=len(pinned),
                target=target,
                delivered=delivered,
            )
            await connection.execute(
                load("projections/add_delivery_counts", connection),
                projection.name,
                partition["partition"],
                *delivered.columns,
            )
        epoch = max(partition["epoch"] for partition in pinned) + 1
        await connection.execute(
            load("projections/set_partitions", connection), projection.name, partitions, target, epoch
        )


async def ensure_partitions(log: EventLog, projection: Projection[Any], partitions: int) -> int:
    """Split a projection into a number of partitions unless it already is; it need not have been folded before.

    Returns:
        The number of partitions before.

    Raises:
        EventStoreError: As for `set_partitions`.
    """
    _check(partitions)
    async with writing(log.connection) as connection:
        await connection.execute(
            load("projections/register", connection), projection.name, projection.version
        )
        rows = await connection.fetch(load("projections/list_partitions", connection), projection.name)
    if len(rows) != partitions:
        await set_partitions(log, projection, partitions)
    return len(rows)


def _check(partitions: int) -> None:
    check_count("partitions", partitions, most=PARTITIONS_MAX)


async def _catch_up(
    log: EventLog,
    connection: Connection,
    projection: Projection[Any],
    partition: Any,
    *,
    partitions: int,
    target: int,
    delivered: DeliveryCounts,
) -> None:
    after: int = partition["position"]
    size = PageSize(_BATCH_EVENTS_MAX)
    while after < target:
        batch = await read_batch(
            log, projection, after=after, through=target, size=size, connection=connection
        )
        delivered.add(
            event
            for event in batch.events
            if partition_of(key_of(projection, event), partitions) == partition["partition"]
        )
        held = await quarantined_keys(connection, projection)
        failed: list[FoldFailure] = []
        await fold_into(
            connection,
            projection,
            batch.events,
            takes=partial(_is_in, partition=partition["partition"], partitions=partitions, held=held),
            singly=True,
            on_error=failed,
        )
        for failure in failed:
            await failure.quarantine(connection, projection)
        after = batch.through


def _is_in(key: tuple[Any, ...], *, partition: int, partitions: int, held: frozenset[str]) -> bool:
    return partition_of(key, partitions) == partition and key_text(key) not in held
