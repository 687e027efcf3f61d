"""The steps of a rebuild in shards: who may write a shard, when the shards are joined, and what they wait for."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import RebuildError
from eventstore.sql import load
from projections import OrdersProjection
from projections.check import check
from projections.keys import partition_of
from projections.quarantine import list_quarantined
from projections.quarantine.skip_list import Discards
from projections.rebuild import RebuildLimits, RebuildProgress, rebuild
from projections.rebuild.builder import Build, BuildShard
from projections.rebuild.independent_fold import IndependentFold
from projections.rebuild.lease import RebuildLease
from projections.rebuild.process_pool import ProcessPool
from projections.rebuild.proof import prove
from projections.rebuild.shards import WHOLE, Shard
from tests.discarded_keys import kinds, leave_out
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table, rows_of
from tests.ordered_by_symbol import place

if TYPE_CHECKING:
    from eventstore.store import EventStore

SHARDS = 3


@pytest.fixture
def in_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide as for three processes, and let this one do it all."""
    monkeypatch.setattr(ProcessPool, "processes", property(lambda _: SHARDS))


async def begun(store: EventStore) -> tuple[RebuildLease, Build[Any]]:
    """A rebuild of orders that is divided and has built nothing."""
    lease = await RebuildLease.take(store.log, OrdersProjection())
    whole = shard_of(store, lease, WHOLE)
    await whole.open(restart=False, reached=0)
    assert await whole.divide(SHARDS) == SHARDS
    return lease, whole


def shard_of(store: EventStore, lease: RebuildLease, shard: Shard) -> Build[Any]:
    """The builder of a shard, under a lease."""
    return Build(store.log, OrdersProjection(), lease.epoch, lambda *_: None, shard=shard)


async def taken_up(store: EventStore, lease: RebuildLease, number: int) -> Build[Any]:
    """The builder of a shard, where the shard is."""
    build = shard_of(store, lease, Shard(number, SHARDS))
    await build.take_up(Discards())
    return build


async def reached(store: EventStore) -> tuple[list[int], int]:
    """How far each shard is, and how many rows there are beside."""
    async with store.connection.acquire() as connection:
        shards = await connection.fetch(load("rebuild/list_shards", connection), "orders")
        rows: int = await connection.fetchval("SELECT count(*) FROM orders__rebuild")
    return [one["position"] for one in shards], rows


async def test_who_has_lost_the_claim_writes_no_shard(store: EventStore):
    """A process that was taken for dead finds its epoch gone at its next step, and begins no other shard."""
    orders = await place(store, *range(1, 11))
    lease, _ = await begun(store)
    shard = await taken_up(store, lease, 0)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_rebuilds SET lease_expires_at = now()")
    later = await RebuildLease.take(store.log, OrdersProjection())
    with pytest.raises(RebuildError, match="taken over"):
        await shard.step(10)
    with pytest.raises(RebuildError, match="taken over"):
        await taken_up(store, lease, 1)
    assert await reached(store) == ([0] * SHARDS, 0)
    await (await taken_up(store, later, 0)).step(10)
    rows = sum(Shard(0, SHARDS).has((order.id,)) for order in orders)
    assert await reached(store) == ([10, 0, 0], rows)


async def test_who_has_lost_the_lease_writes_nothing_undivided(store: EventStore):
    """A build that is not divided is fenced as well: neither a step nor a new beginning changes what the other builds."""
    await place(store, *range(1, 11))
    before = shard_of(store, await RebuildLease.take(store.log, OrdersProjection()), WHOLE)
    await before.open(restart=False, reached=0)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_rebuilds SET lease_expires_at = now()")
    later = shard_of(store, await RebuildLease.take(store.log, OrdersProjection()), WHOLE)
    await later.open(restart=False, reached=0)
    with pytest.raises(RebuildError, match="taken over"):
        await before.step(10)
    assert await reached(store) == ([], 0)
    await later.step(10)
    with pytest.raises(RebuildError, match="taken over"):
        await before.open(restart=True, reached=10)
    assert await reached(store) == ([], 10)
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT position FROM projection_rebuilds") == 10


async def test_what_is_not_divided_is_built_once(store: EventStore):
    """Two builders under one lease: the one that comes second is refused."""
    await place(store, *range(1, 11))
    lease = await RebuildLease.take(store.log, OrdersProjection())
    first, second = (shard_of(store, lease, WHOLE) for _ in range(2))
    await first.open(restart=False, reached=0)
    await second.open(restart=False, reached=0)
    await first.step(5)
    with pytest.raises(RebuildError, match="taken over"):
        await second.step(10)
    assert await reached(store) == ([], 5)


async def test_a_shard_is_built_once(store: EventStore):
    """Two builders of one shard, of one lease: the one that comes second is refused, and no row is there twice."""
    await place(store, *range(1, 11))
    lease, _ = await begun(store)
    builds = [await taken_up(store, lease, 1) for _ in range(2)]
    await builds[0].step(10)
    built = await reached(store)
    with pytest.raises(RebuildError, match="taken over"):
        await builds[1].step(10)
    assert await reached(store) == built


async def test_shards_are_joined_at_one_position(store: EventStore):
    """As long as a shard is behind, they are not the whole; joined, they count every event once."""
    await place(store, *range(1, 11))
    lease, whole = await begun(store)
    for number in range(SHARDS):
        with pytest.raises(RebuildError):
            await whole.join(10)
        await (await taken_up(store, lease, number)).step(10)
    await whole.join(10)
    assert (whole.position, whole.events) == (10, 10)
    assert await reached(store) == ([], 10)


@pytest.mark.parametrize("shards", [1, SHARDS])
async def test_a_table_is_built_of_final_positions_only(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, shards: int
):
    """A position whose writer has not committed is waited for, by every shard, and its event is in the new table."""
    monkeypatch.setattr(ProcessPool, "processes", property(lambda _: shards))
    await place(store, 1, 2)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(3), OrderSide.BUY))
        await uow.flush()
        await place(store, 4, 5)
        task = asyncio.create_task(rebuild(store.log, OrdersProjection()))
        done, _ = await asyncio.wait({task}, timeout=0.5)
        assert not done
    assert (await task).rows == 5
    assert (await check(store.log, [OrdersProjection()])).findings == ()


@pytest.mark.usefixtures("in_shards")
async def test_what_is_appended_meanwhile_is_folded_by_the_shards(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """So the folds of the proof go along with all of it, also for rows that are not in memory: it reads nothing."""
    monkeypatch.setattr("projections.rebuild.coordinator._CATCH_UP_EVENTS_MAX", 0)
    monkeypatch.setattr(IndependentFold, "read", None)
    orders = await place(store, *range(1, 11))
    build = BuildShard.run

    async def and_more(self: BuildShard, *given: Any) -> Any:
        built = await build(self, *given)
        if (self.through, self.shard.number) == (10, SHARDS - 1):
            await place(store, 11, 12)
            async with store.unit_of_work() as uow:
                for order in orders:
                    order.submit(f"B-{order.quantity}")
                    await uow.orders.update_order(order)
        return built

    monkeypatch.setattr(BuildShard, "run", and_more)
    limits = RebuildLimits(step_events_max=4, page_events_max=2, rows_kept_max=1)
    rebuilt = await rebuild(store.log, OrdersProjection(), limits=limits)
    assert (rebuilt.rows, rebuilt.events, rebuilt.position) == (12, 22, 22)


@pytest.mark.usefixtures("in_shards")
async def test_a_row_goes_on_from_where_its_shard_was_left(store: EventStore):
    """Orders whose first events were built before the end of a process have their later ones after it."""
    limits = RebuildLimits(step_events_max=2, page_events_max=2)
    orders = await place(store, *range(1, 11))
    async with store.unit_of_work() as uow:
        for order in orders:
            order.submit(f"B-{order.quantity}")
            await uow.orders.update_order(order)

    def end(progress: RebuildProgress) -> None:
        if progress.events > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=end, limits=limits)
    rebuilt = await rebuild(store.log, OrdersProjection(), limits=limits)
    assert (rebuilt.rows, rebuilt.events, rebuilt.quarantined) == (10, 20, 0)
    assert (await check(store.log, [OrdersProjection()])).findings == ()


@pytest.mark.usefixtures("in_shards")
async def test_a_key_that_stands_still_does_so_when_its_shard_goes_on(store: EventStore):
    """An event could not be folded before the end of a process: those after it wait in the next one as well."""
    limits = RebuildLimits(step_events_max=1, page_events_max=1)
    projection = HitsByNumber()
    await hits_table(store, projection)
    number = next(number for number in range(1, 99) if partition_of((number,), SHARDS) == 0)
    await store.log.append(hits(*(Hit(number=number, is_poison=place == 1) for place in range(10))))

    def end(progress: RebuildProgress) -> None:
        if progress.events > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=end, limits=limits)
    assert (await rebuild(store.log, projection, limits=limits)).quarantined == 1
    assert [(held.position, held.key) for held in await list_quarantined(store.log)] == [(2, f"[{number}]")]
    assert [row.hits for row in await rows_of(store, projection)] == [1]


@pytest.mark.usefixtures("in_shards")
async def test_a_rule_between_rows_keeps_the_order_of_the_log(store: EventStore):
    """Where one row alone may have a value, the first in the log has it, whatever shard its key would be of."""
    projection = HitsByNumber()
    await hits_table(store, projection, "CREATE UNIQUE INDEX hits_once ON hits (hits)")
    numbers = sorted(range(1, 10), key=lambda number: -partition_of((number,), SHARDS))
    assert partition_of((numbers[0],), SHARDS) == SHARDS - 1
    await store.log.append(hits(*(Hit(number=number) for number in numbers)))
    assert (await rebuild(store.log, projection)).quarantined == len(numbers) - 1
    assert [row.number for row in await rows_of(store, projection)] == numbers[:1]


@pytest.mark.usefixtures("in_shards")
async def test_a_decision_after_shards_were_built_begins_anew(store: EventStore):
    """An event that was discarded when a shard had folded it, and a rebuild had been broken off, is decided on again."""
    limits = RebuildLimits(step_events_max=1, page_events_max=1)
    projection = HitsByNumber()
    await hits_table(store, projection)
    number = next(number for number in range(1, 99) if partition_of((number,), SHARDS) == 0)
    await store.log.append(hits(Hit(number=number, is_poison=True), *(Hit(number=number) for _ in range(9))))
    await fold_all(store, projection)
    (held,) = await list_quarantined(store.log)

    def end(progress: RebuildProgress) -> None:
        if progress.events > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=end, limits=limits)
    await leave_out(store, projection, held.key)
    assert (await rebuild(store.log, projection, limits=limits)).quarantined == 0
    assert [row.hits for row in await rows_of(store, projection)] == [9]


@pytest.mark.usefixtures("in_shards")
async def test_what_each_shard_leaves_out_stays_left_out(store: EventStore):
    """Discarded events that cannot be folded yet, one in each shard: none of them counts as folded again."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    numbers = [
        next(n for n in range(1, 99) if partition_of((n,), SHARDS) == shard) for shard in range(SHARDS)
    ]
    await store.log.append(hits(*(Hit(number=number, is_poison=True) for number in numbers)))
    await fold_all(store, projection)
    for held in await list_quarantined(store.log):
        await leave_out(store, projection, held.key)
    assert (await rebuild(store.log, projection)).folded_again == ()
    assert await kinds(store, projection) == ["discard"] * SHARDS


@pytest.mark.usefixtures("in_shards")
@pytest.mark.parametrize("number", range(SHARDS))
async def test_the_proof_of_every_shard_counts(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, number: int
):
    """Rows that one shard alone has lost, whichever it is, are named, and the live table is as it was."""
    orders = await place(store, *range(1, 31))
    shard = Shard(number, SHARDS)
    lost = [order.id for order in orders if shard.has((order.id,))]

    async def after_damage(*given: Any) -> Any:
        async with store.connection.acquire() as connection:
            await connection.execute("DELETE FROM orders__rebuild WHERE id = ANY ($1)", lost)
        return await prove(*given)

    monkeypatch.setattr("projections.rebuild.coordinator.prove", after_damage)
    with pytest.raises(RebuildError, match=rf"{len(lost)} row\(s\) differ: .*in the fold"):
        await rebuild(store.log, OrdersProjection())
