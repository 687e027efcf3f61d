"""Batches: the next one is read while one is written; new rows come by COPY where the table takes it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.grants import grant
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import UnknownEventTypeError
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from projections.check import check, compare_with_fold
from projections.engine import batch as folding
from projections.quarantine import list_quarantined
from tests.checked_tables import tamper
from tests.conftest import admin_connection
from tests.counted_events import counted, prepare
from tests.counting_projection import SeenProjection
from tests.entities import started
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table, rows_of
from tests.ordered_by_symbol import place
from tests.running_workers import running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that COPY brought rows to, in order; new rows come by it however few they are."""
    monkeypatch.setattr(folding, "_COPY_VALUES_MIN", 1)
    tables: list[str] = []
    copy = asyncpg.Connection.copy_to_table

    async def noted(connection: Any, table: str, **more: Any) -> Any:
        result = await copy(connection, table, **more)
        tables.append(table)
        return result

    monkeypatch.setattr(asyncpg.Connection, "copy_to_table", noted)
    return tables


async def test_new_rows_are_copied_and_others_written_beside_them(store: EventStore, copied: list[str]):
    """A batch of new, changed, deleted and passing orders leaves the table that the fold gives."""
    orders = [Order.create_market_order("ES", Decimal(number), OrderSide.BUY) for number in range(1, 9)]
    async with store.unit_of_work() as uow:
        for order in orders[:4]:
            await uow.orders.save_order(order)
    worker = ProjectionWorker(store.log, OrdersProjection())
    await worker.run_once()
    assert copied == ["orders"]
    async with store.unit_of_work() as uow:
        for order in orders[4:]:
            await uow.orders.save_order(order)
        for order in (orders[0], orders[4]):
            order.submit("B-1")
            await uow.orders.update_order(order)
    async with store.unit_of_work() as uow:
        for order in (orders[1], orders[5]):
            await uow.orders.delete_order(order.id)
    await worker.run_once()
    assert copied == ["orders", "orders"]
    assert (await compare_with_fold(store.log, OrdersProjection())).rows_equal == 6
    assert (await check(store.log, [OrdersProjection()])).findings == ()


@pytest.mark.parametrize(
    ("rows", "copies"), [((3, 3), []), ((5, 5), ["orders"]), ((5, 150), ["orders", "hits"])]
)
async def test_few_values_come_by_insert(
    store: EventStore,
    copied: list[str],
    monkeypatch: pytest.MonkeyPatch,
    rows: tuple[int, int],
    copies: list[str],
):
    """COPY brings new rows if they have many values: a few rows of a wide table, or many of a narrow one."""
    monkeypatch.setattr(folding, "_COPY_VALUES_MIN", 200)
    orders, numbers = rows
    await place(store, *range(1, orders + 1))
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(*(Hit(number=number) for number in range(numbers))))
    await fold_all(store, OrdersProjection())
    await fold_all(store, projection)
    assert copied == copies
    assert (await compare_with_fold(store.log, OrdersProjection())).rows_equal == orders
    assert len(await rows_of(store, projection)) == numbers


async def test_a_batch_without_events_only_moves_the_checkpoint(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """Where the log has only events of others, the worker does not even look for keys in quarantine."""
    asked: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def noted(connection: Any, query: str, *more: Any, **options: Any) -> Any:
        asked.append(query)
        return await fetch(connection, query, *more, **options)

    await store.log.append(hits(Hit(number=1)))
    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    worker = ProjectionWorker(store.log, OrdersProjection())
    assert await worker.run_once()
    assert worker.position == await store.log.head()
    assert not any("projection_quarantine" in query for query in asked)
    await place(store, 1)
    assert await worker.run_once()
    assert any("projection_quarantine" in query for query in asked)


async def test_a_row_gives_up_what_a_new_one_takes(store: EventStore, copied: list[str]):
    """Where two rows may not be alike, the change of one makes room for the new one of the same batch."""
    projection = HitsByNumber()
    await hits_table(store, projection, "CREATE UNIQUE INDEX hits_once ON hits (hits)")
    await store.log.append(hits(Hit(number=1)))
    await fold_all(store, projection)
    await store.log.append(hits(Hit(number=2), Hit(number=1)))
    await fold_all(store, projection)
    assert [(row.number, row.hits) for row in await rows_of(store, projection)] == [(1, 2), (2, 1)]
    assert copied == ["hits", "hits"]
    assert await list_quarantined(store.log) == []


async def test_a_table_that_takes_no_copy_is_written_all_the_same(
    migrated_config: DatabaseConfig, copied: list[str]
):
    """Row security refuses COPY to whom it binds: the rows come by INSERT, and no key is in quarantine."""
    role = f"projector_{uuid4().hex}"
    async with EventStore.open(migrated_config, workers=False) as admin, admin.connection.acquire() as one:
        await one.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        await grant(PostgreSQLAdapter(admin.connection), projector=role)
        await one.execute(
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
            "CREATE POLICY everything ON orders USING (true)"
        )
        await place(admin, *range(1, 11))
    try:
        config = migrated_config.replace(user=role, password="secret")
        async with EventStore.open(config, workers=False) as store:
            await ProjectionWorker(store.log, OrdersProjection(), batch_events_max=4).catch_up(10)
            assert await list_quarantined(store.log) == []
            assert (await compare_with_fold(store.log, OrdersProjection())).rows_equal == 10
        assert copied == []
    finally:
        admin_again = await admin_connection(migrated_config)
        await admin_again.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin_again.close()


async def test_an_event_that_stops_the_next_batch_does_not_stop_this_one(store: EventStore):
    """What cannot be decoded is met when its own batch is folded, though it was read while the one before was written."""
    async with store.connection.acquire() as connection:
        await connection.execute(SeenProjection().table.create())
    await store.log.append(started(tunings=2))
    await tamper(store, "UPDATE events SET type = 'Forgotten' WHERE position = 2")
    worker = ProjectionWorker(store.log, SeenProjection(), batch_events_max=1)
    assert await worker.run_once()
    assert (worker.position, await worker.checkpoint()) == (1, 1)
    for _ in range(2):
        with pytest.raises(UnknownEventTypeError):
            await worker.run_once()
    assert await worker.checkpoint() == 1


async def test_what_was_read_ahead_is_let_go_with_the_position(store: EventStore):
    """A worker that begins to run takes the checkpoint as others have left it, and nothing that it has read before."""
    expected = await prepare(store)
    worker, other = (ProjectionWorker(store.log, SeenProjection(), batch_events_max=5) for _ in range(2))
    await worker.run_once()
    while await other.run_once():
        pass
    async with running(worker):
        await store.log.append(stream := started(tunings=1))
        await until(lambda: worker.position == sum(expected.values()) + 2)
    assert await counted(store.connection) == {**expected, stream.stream_id: 2}
