"""The steps of a rebuild in parts: who may write a part, when the parts are joined, and what they wait for."""

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
from projections.rebuild import RebuildProgress, rebuild
from projections.rebuild import builder as building
from projections.rebuild.builder import Build
from projections.rebuild.lease import Claim
from projections.rebuild.process_pool import Crew
from projections.rebuild.proof import prove
from projections.rebuild.shards import WHOLE, Part
from tests.hits import Hit, HitsByNumber, fold_all, hits, hits_table, rows_of
from tests.integration.test_rebuild_discards import kinds, leave_out
from tests.integration.test_rebuild_swap import place

if TYPE_CHECKING:
    from eventstore.store import EventStore

PARTS = 3


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide as for three processes, and let this one do it all."""
    monkeypatch.setattr(Crew, "processes", property(lambda _: PARTS))


async def begun(store: EventStore) -> tuple[Claim, Build[Any]]:
    """A rebuild of orders that is divided and has built nothing."""
    claim = await Claim.take(store.log, OrdersProjection())
    whole = part_of(store, claim, WHOLE)
    await whole.open(restart=False, reached=0)
    assert await whole.divide(PARTS) == PARTS
    return claim, whole


def part_of(store: EventStore, claim: Claim, part: Part) -> Build[Any]:
    """The builder of a part, under a claim."""
    return Build(store.log, OrdersProjection(), claim.epoch, lambda *_: None, part=part)


async def taken_up(store: EventStore, claim: Claim, number: int) -> Build[Any]:
    """The builder of a part, where the part is."""
    build = part_of(store, claim, Part(number, PARTS))
    await build.take_up(Discards())
    return build


async def reached(store: EventStore) -> tuple[list[int], int]:
    """How far each part is, and how many rows there are beside."""
    async with store.connection.acquire() as connection:
        parts = await connection.fetch(load("rebuild/list_parts", connection), "orders")
        rows: int = await connection.fetchval("SELECT count(*) FROM orders__rebuild")
    return [one["position"] for one in parts], rows


async def test_who_has_lost_the_claim_writes_no_part(store: EventStore):
    """A process that was taken for dead finds its epoch gone at its next step, and begins no other part."""
    await place(store, *range(1, 11))
    claim, _ = await begun(store)
    part = await taken_up(store, claim, 0)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_rebuilds SET expires_at = now()")
    later = await Claim.take(store.log, OrdersProjection())
    with pytest.raises(RebuildError, match="taken over"):
        await part.step(10)
    with pytest.raises(RebuildError, match="taken over"):
        await taken_up(store, claim, 1)
    assert await reached(store) == ([0] * PARTS, 0)
    await (await taken_up(store, later, 0)).step(10)
    positions, rows = await reached(store)
    assert positions == [10, 0, 0]
    assert rows > 0


async def test_a_part_is_built_once(store: EventStore):
    """Two builders of one part, of one claim: the one that comes second is refused, and no row is there twice."""
    await place(store, *range(1, 11))
    claim, _ = await begun(store)
    builds = [await taken_up(store, claim, 1) for _ in range(2)]
    await builds[0].step(10)
    built = await reached(store)
    with pytest.raises(RebuildError, match="taken over"):
        await builds[1].step(10)
    assert await reached(store) == built


async def test_parts_are_joined_at_one_position(store: EventStore):
    """As long as a part is behind, they are not the whole; joined, they count every event once."""
    await place(store, *range(1, 11))
    claim, whole = await begun(store)
    for number in range(PARTS):
        with pytest.raises(RebuildError):
            await whole.join(10)
        await (await taken_up(store, claim, number)).step(10)
    await whole.join(10)
    assert (whole.position, whole.events) == (10, 10)
    assert await reached(store) == ([], 10)


@pytest.mark.usefixtures("in_parts")
async def test_parts_are_built_of_what_is_settled(store: EventStore):
    """A position whose writer has not committed is waited for by every part, and its event is in the new table."""
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


@pytest.mark.usefixtures("in_parts")
async def test_a_row_goes_on_from_where_its_part_was_left(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Orders whose first events were built before the end of a process have their later ones after it."""
    monkeypatch.setattr(building, "_STEP_EVENTS_MAX", 2)
    monkeypatch.setattr(building, "_PAGE_EVENTS_MAX", 2)
    orders = await place(store, *range(1, 11))
    async with store.unit_of_work() as uow:
        for order in orders:
            order.submit(f"B-{order.quantity}")
            await uow.orders.update_order(order)

    def end(progress: RebuildProgress) -> None:
        if progress.events > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=end)
    rebuilt = await rebuild(store.log, OrdersProjection())
    assert (rebuilt.rows, rebuilt.events, rebuilt.quarantined) == (10, 20, 0)
    assert (await check(store.log, [OrdersProjection()])).findings == ()


@pytest.mark.usefixtures("in_parts")
async def test_a_key_that_stands_still_does_so_when_its_part_goes_on(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """An event could not be folded before the end of a process: those after it wait in the next one as well."""
    monkeypatch.setattr(building, "_STEP_EVENTS_MAX", 1)
    monkeypatch.setattr(building, "_PAGE_EVENTS_MAX", 1)
    projection = HitsByNumber()
    await hits_table(store, projection)
    number = next(number for number in range(1, 99) if partition_of((number,), PARTS) == 0)
    await store.log.append(hits(*(Hit(number=number, is_poison=place == 1) for place in range(10))))

    def end(progress: RebuildProgress) -> None:
        if progress.events > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=end)
    assert (await rebuild(store.log, projection)).quarantined == 1
    assert [(held.position, held.key) for held in await list_quarantined(store.log)] == [(2, f"[{number}]")]
    assert [row.hits for row in await rows_of(store, projection)] == [1]


@pytest.mark.usefixtures("in_parts")
async def test_a_rule_between_rows_keeps_the_order_of_the_log(store: EventStore):
    """Where one row alone may have a value, the first in the log has it, whatever part its key would be of."""
    projection = HitsByNumber()
    await hits_table(store, projection, "CREATE UNIQUE INDEX hits_once ON hits (hits)")
    numbers = sorted(range(1, 10), key=lambda number: -partition_of((number,), PARTS))
    assert partition_of((numbers[0],), PARTS) == PARTS - 1
    await store.log.append(hits(*(Hit(number=number) for number in numbers)))
    assert (await rebuild(store.log, projection)).quarantined == len(numbers) - 1
    assert [row.number for row in await rows_of(store, projection)] == numbers[:1]


@pytest.mark.usefixtures("in_parts")
async def test_a_decision_after_parts_were_built_begins_anew(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """An event that was discarded when a part had folded it, and a rebuild had been broken off, is decided on again."""
    monkeypatch.setattr(building, "_STEP_EVENTS_MAX", 1)
    monkeypatch.setattr(building, "_PAGE_EVENTS_MAX", 1)
    projection = HitsByNumber()
    await hits_table(store, projection)
    number = next(number for number in range(1, 99) if partition_of((number,), PARTS) == 0)
    await store.log.append(hits(Hit(number=number, is_poison=True), *(Hit(number=number) for _ in range(9))))
    await fold_all(store, projection)
    (held,) = await list_quarantined(store.log)

    def end(progress: RebuildProgress) -> None:
        if progress.events > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=end)
    await leave_out(store, projection, held.key)
    assert (await rebuild(store.log, projection)).quarantined == 0
    assert [row.hits for row in await rows_of(store, projection)] == [9]


@pytest.mark.usefixtures("in_parts")
async def test_what_each_part_leaves_out_stays_left_out(store: EventStore):
    """Discarded events that cannot be folded yet, one in each part: none of them counts as folded again."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    numbers = [next(n for n in range(1, 99) if partition_of((n,), PARTS) == part) for part in range(PARTS)]
    await store.log.append(hits(*(Hit(number=number, is_poison=True) for number in numbers)))
    await fold_all(store, projection)
    for held in await list_quarantined(store.log):
        await leave_out(store, projection, held.key)
    assert (await rebuild(store.log, projection)).folded_again == ()
    assert await kinds(store, projection) == ["discard"] * PARTS


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("number", range(PARTS))
async def test_the_proof_of_every_part_counts(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, number: int
):
    """Rows that one part alone has lost, whichever it is, are named, and the live table is as it was."""
    orders = await place(store, *range(1, 31))
    part = Part(number, PARTS)
    lost = [order.id for order in orders if part.has(OrdersProjection(), (order.id,))]

    async def after_damage(*given: Any) -> Any:
        async with store.connection.acquire() as connection:
            await connection.execute("DELETE FROM orders__rebuild WHERE id = ANY ($1)", lost)
        return await prove(*given)

    monkeypatch.setattr("projections.rebuild.coordinator.prove", after_damage)
    with pytest.raises(RebuildError, match=rf"{len(lost)} row\(s\) differ: .*in the fold"):
        await rebuild(store.log, OrdersProjection())
