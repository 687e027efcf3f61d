"""A comparison with a rebuild works in the steps of a rebuild: it holds no transaction open, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.errors import ConfigurationError, RebuildError
from projections import OrdersProjection, ProjectionWorker
from projections.check import compare_with_fold, compare_with_rebuild
from projections.engine.partitions import set_partitions
from projections.quarantine import discard, list_quarantined
from projections.rebuild import RebuildLimits, RebuildProgress, abandon, rebuild
from projections.rebuild.lease import RebuildLease
from tests.ordered_by_symbol import OrderedBySymbol, place

if TYPE_CHECKING:
    from eventstore.store import EventStore
    from projections import Projection

EVENTS = 24


SMALL_STEPS = RebuildLimits(step_events_max=2, page_events_max=2, last_positions_max=2)


async def fold(store: EventStore, projection: Projection[Any], *positions: int) -> None:
    """Let each partition be folded up to a position."""
    for partition, position in enumerate(positions):
        await ProjectionWorker(store.log, projection, partition=partition).catch_up(position)


async def watch_transactions(store: EventStore, steps: list[int], seen: dict[Any, list[int]]) -> None:
    """Note at which steps each transaction of others is open; until cancelled."""
    async with store.connection.acquire() as connection:
        while True:
            rows = await connection.fetch(
                "SELECT pid, xact_start FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
            )
            for row in rows:
                seen.setdefault(tuple(row), []).append(steps[0])
            await asyncio.sleep(0)


@pytest.mark.parametrize("positions", [(EVENTS,), (4, EVENTS), (EVENTS, 4)])
async def test_no_transaction_of_a_comparison_outlives_a_step(store: EventStore, positions: tuple[int, ...]):
    """However long the log is, no transaction is open for more than one step; also where one partition is far behind."""
    projection = OrdersProjection()
    await place(store, 1)
    if len(positions) > 1:
        await fold(store, projection, 1)
        await set_partitions(store.log, projection, len(positions))
    await place(store, *range(2, EVENTS + 1))
    await fold(store, projection, *positions)
    steps, seen = [0], dict[Any, list[int]]()

    def count(*_: int) -> None:
        steps[0] += 1

    watching = asyncio.create_task(watch_transactions(store, steps, seen))
    try:
        compared = await compare_with_rebuild(store.log, projection, on_progress=count, limits=SMALL_STEPS)
    finally:
        watching.cancel()
    assert compared.is_equal
    assert compared.position == EVENTS
    assert compared.rows_equal == (await compare_with_fold(store.log, projection)).rows_equal > EVENTS // 4
    assert steps[0] >= EVENTS // 2, "it was done in steps"
    assert len(seen) > 3, "the transactions were seen"
    assert max(max(at) - min(at) for at in seen.values()) <= 1


async def test_a_comparison_and_a_rebuild_keep_out_of_each_others_way(store: EventStore):
    """One at a time has the lease; and what a rebuild has half built is not taken from it."""
    projection = OrdersProjection()
    await place(store, *range(1, 4))
    await fold(store, projection, 3)
    lease = await RebuildLease.take(store.log, projection, lease_s=0.5)
    async with lease.kept():
        with pytest.raises(RebuildError, match="is being rebuilt by"):
            await compare_with_rebuild(store.log, projection)
    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=interrupt)
    with pytest.raises(RebuildError, match=r"half built.*--abandon"):
        await compare_with_rebuild(store.log, projection)
    reached: list[RebuildProgress] = []
    await rebuild(store.log, projection, on_progress=reached.append)
    assert reached[0].position == 3, "it went on where it was"
    assert (await compare_with_rebuild(store.log, projection)).rows_equal == 3
    assert await abandon(store.log, projection) is False


def interrupt(progress: RebuildProgress) -> None:
    """End a rebuild whose table is built."""
    if progress.stage == "prove":
        raise KeyboardInterrupt


async def test_what_the_table_leaves_out_is_no_difference(store: EventStore):
    """A key in quarantine is compared as far as it was folded, and without discarded events; also with code repaired since."""
    projection = OrderedBySymbol()
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    projection.poison = frozenset({Decimal(13), Decimal(17)})
    await place(store, 1, 13, 2, symbol="LEFT OUT")
    await place(store, 3, 17, 4, symbol="WAITS")
    await fold(store, projection, 6)
    held = {one.position: one.key for one in await list_quarantined(store.log)}
    await discard(store.log, projection, held[2], discarded_by="risk desk", reason="a test order")
    for poison in (projection.poison, frozenset[Decimal]()):
        projection.poison = poison
        compared = await compare_with_rebuild(store.log, projection)
        assert (compared.rows_equal, compared.rows_different) == (2, 0)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE ordered SET orders = orders + 1 WHERE symbol = 'WAITS'")
    compared = await compare_with_rebuild(store.log, projection)
    assert (compared.rows_equal, compared.different_keys) == (1, ("WAITS",))


async def test_a_comparison_needs_the_table_and_a_lease_that_ends(store: EventStore):
    """A lease of no length is refused before anything is done."""
    with pytest.raises(ConfigurationError, match="lease_s"):
        await compare_with_rebuild(store.log, OrdersProjection(), lease_s=0)
