"""The fold of the proof that goes along with the build: it takes the same pages of the log, and nothing else of the build."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.core.context import decimal_arithmetic
from eventstore.core.event import RecordedEvent
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import RebuildError
from projections import OrdersProjection, PositionsProjection, Projection
from projections.check import check
from projections.engine import reading
from projections.rebuild import RebuildLimits, rebuild
from projections.rebuild.builder import Build
from projections.rebuild.independent_fold import IndependentFold
from tests.filled_log import fill_the_log
from tests.hit_projections import Hit, HitsByPrice, hits, hits_table
from tests.ordered_by_symbol import OrderedBySymbol, create_table, place
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

if TYPE_CHECKING:
    from eventstore.store import EventStore

__all__ = ["classes", "renewed"]

SMALL = RebuildLimits(step_events_max=4, page_events_max=2)


@pytest.fixture
def read_by_proof(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions up to which a fold of a proof has read the log by itself."""
    read_it = IndependentFold.read
    reached: list[int] = []

    async def noted(self: IndependentFold[Any], through: int, connection: Any = None) -> Any:
        reached.append(through)
        return await read_it(self, through, connection)

    monkeypatch.setattr(IndependentFold, "read", noted)
    return reached


async def test_a_new_build_and_its_proof_read_the_log_once(
    store: EventStore, read_by_proof: list[int], monkeypatch: pytest.MonkeyPatch
):
    """With the same digest as a proof that reads the log by itself; of rows by stream, and by another key."""
    await create_table(store)
    await fill_the_log(store)
    await place(store, 1, 2, 3, symbol="A")
    kinds: tuple[type[Projection[Any]], ...] = (OrdersProjection, PositionsProjection, OrderedBySymbol)
    along = [await rebuild(store.log, kind(), limits=SMALL) for kind in kinds]
    assert read_by_proof == []
    monkeypatch.setattr(Build, "fold_along", lambda _: None)
    for kind, one in zip(kinds, along, strict=True):
        again = await rebuild(store.log, kind(), limits=SMALL)
        assert (again.digest, again.rows, again.events) == (one.digest, one.rows, one.events)
    assert read_by_proof
    assert (await check(store.log, [kind() for kind in kinds])).findings == ()


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        (lambda rows: rows[1:], "has read 29 events .* the log has 30"),
        (lambda rows: [rows[0], *rows], "twice, or not in order"),
        (lambda rows: rows[::-1], "twice, or not in order"),
    ],
    ids=["missing", "twice", "backwards"],
)
async def test_a_build_that_does_not_read_every_event_is_found_out(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, pages: Any, why: str
):
    """Also if the fold of the proof takes its pages: each gives different events, and the log counts them."""
    await place(store, *range(1, 31))
    pages_of = Build._pages

    async def changed(self: Build[Any], connection: Any, after: int, through: int) -> Any:
        async for page in pages_of(self, connection, after, through):
            yield replace(page, rows=pages(page.rows)) if page.through == 10 else page

    monkeypatch.setattr(Build, "_pages", changed)
    with pytest.raises(RebuildError, match=why):
        await rebuild(
            store.log, OrdersProjection(), limits=RebuildLimits(step_events_max=10, page_events_max=5)
        )


async def test_a_page_with_an_event_of_older_code_is_read_as_a_whole(
    renewed: EventStore, read_by_proof: list[int], monkeypatch: pytest.MonkeyPatch
):
    """The build reads few columns before it and some pages after it, and its pages still serve the proof."""
    monkeypatch.setattr(reading, "_WHOLE_PAGES", 1)
    fetched: list[str] = []
    fetch = Build._fetch

    async def noted(self: Build[Any], connection: Any, statement: str, *arguments: Any, **more: Any) -> Any:
        fetched.append(statement)
        return await fetch(self, connection, statement, *arguments, **more)

    monkeypatch.setattr(Build, "_fetch", noted)
    for fills in ((), (), ("4", "6"), ("10",), (), (), ()):
        order, created = new_order()
        await renewed.log.append(stream(order.id, 0, created))
        if fills:
            await renewed.log.append(stream(order.id, 1, OrderTraded(broker="B-1", fills=fills)))

    rebuilt = await rebuild(
        renewed.log, OrdersProjection(), limits=RebuildLimits(step_events_max=6, page_events_max=2)
    )

    folded, whole = "rebuild/fold_shard", "rebuild/read_shard"
    assert fetched == [folded, folded, whole, whole, folded, folded]
    assert (rebuilt.rows, rebuilt.events, read_by_proof) == (7, 9, [])
    assert (await check(renewed.log, [OrdersProjection()])).findings == ()


async def test_an_event_that_cannot_be_folded_is_left_to_a_proof_that_knows_it(
    store: EventStore, read_by_proof: list[int]
):
    """The fold that goes along does not know which keys stopped where, so the proof reads the log by itself."""
    projection = HitsByPrice()
    await hits_table(store, projection)
    await store.log.append(
        hits(*(Hit(number=one, price=Decimal(one), is_poison=one == 2) for one in (1, 2, 3)))
    )
    rebuilt = await rebuild(store.log, projection, limits=SMALL)
    assert rebuilt.quarantined == 1
    assert read_by_proof


FEW_ROWS = RebuildLimits(step_events_max=4, page_events_max=2, rows_kept_max=2)


async def late_changes(store: EventStore) -> list[Order]:
    """Place orders, and change each of them long after it was placed; one is deleted."""
    orders = await place(store, *range(1, 31))
    async with store.unit_of_work() as uow:
        for order in orders:
            order.submit(f"B-{order.quantity}")
            await uow.orders.update_order(order)
        await uow.orders.delete_order(orders[3].id)
    return orders


async def test_rows_that_are_not_in_memory_are_proved_by_their_digests(
    store: EventStore, read_by_proof: list[int]
):
    """Rows that change long after they were written come back from the table, if they have the digest of the proof's."""
    await create_table(store)
    projection = HitsByPrice()
    await hits_table(store, projection)
    await late_changes(store)
    await store.log.append(
        hits(*(Hit(number=one, price=Decimal(price)) for one in (1, 2) for price in range(9)))
    )
    for one in (OrdersProjection(), OrderedBySymbol(), projection):
        whole = await rebuild(store.log, one)
        few = await rebuild(store.log, one, limits=FEW_ROWS)
        assert (few.digest, few.rows, few.events) == (whole.digest, whole.rows, whole.events)
    assert read_by_proof == []


async def test_too_many_digests_are_not_kept(store: EventStore, read_by_proof: list[int]):
    """The proof reads the log by itself then."""
    await late_changes(store)
    limits = RebuildLimits(step_events_max=4, page_events_max=2, rows_kept_max=2, digests_kept_max=5)
    assert (await rebuild(store.log, OrdersProjection(), limits=limits)).rows == 29
    assert read_by_proof


@pytest.mark.parametrize(
    "damage", ["UPDATE orders__rebuild SET quantity = 1.0", "DELETE FROM orders__rebuild"]
)
async def test_a_row_that_comes_back_from_the_table_is_not_trusted(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, damage: str
):
    """If it changed in the table, the proof names it, also if later events were folded into it."""
    first = (await late_changes(store))[0]
    steps = iter(range(100))
    begin = Build.stepping

    def damaged(self: Build[Any]) -> Any:
        @asynccontextmanager
        async def stepping() -> Any:
            if next(steps) == 5:
                async with store.connection.acquire() as connection:
                    await connection.execute(f"{damage} WHERE id = $1", first.id)
            async with begin(self) as connection:
                yield connection

        return stepping()

    monkeypatch.setattr(Build, "stepping", damaged)
    with pytest.raises(RebuildError, match=rf"1 row\(s\) differ: .*{first.id}"):
        await rebuild(store.log, OrdersProjection(), limits=FEW_ROWS)


async def test_an_event_that_fails_leaves_the_row_as_it_was(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """The fold of the proof changes a row itself; what an applier did before it failed is undone."""
    order = Order.create_market_order("ES", Decimal(2), OrderSide.BUY)
    order.submit("B-1")

    def half(one: Order, _: Any) -> None:
        one.__dict__.update(symbol="NQ", version=7)
        raise ValueError

    created, submitted = (
        RecordedEvent(number, order.id, number, one.event_id, one.event, {}, None)  # type: ignore[arg-type]
        for number, one in enumerate(order.pending_events, start=1)
    )
    fold: IndependentFold[Any] = IndependentFold(store.log, OrdersProjection())
    fold.fold([created], 1)
    before = dict(fold.rows[order.id,].__dict__)
    monkeypatch.setitem(Order._appliers, type(submitted.event), half)
    with decimal_arithmetic():
        fold.fold([submitted], 2)
    assert fold.rows[order.id,].__dict__ == before
    assert fold.last == {(order.id,): 1}
