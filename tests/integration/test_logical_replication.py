"""Subscribers of logical replication: a rebuild goes over to them and stops none; what they have is no log to work on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import PostgreSQLAdapter
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import PreconditionError, RestoredLogError
from eventstore.store import EventStore
from eventstore.testing.databases import run_in_thread
from projections import OrdersProjection, PositionsProjection
from projections.check import check, compare_with_rebuild, repair
from projections.engine import ProjectionWorker
from projections.rebuild import RebuildProgress, rebuild
from tests.conftest import admin_connection
from tests.entities import started
from tests.servers import Server
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

PUBLICATIONS = {
    "of all tables": "FOR ALL TABLES",
    "of the schema": "FOR TABLES IN SCHEMA public",
    "of some tables": "FOR TABLE events, orders, projections, projection_checkpoints",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose databases can be published."""
    settings = {"wal_level": "logical", "fsync": "off", "logical_decoding_work_mem": "64kB"}
    with Server(settings=settings) as one:
        yield one


@asynccontextmanager
async def databases(server: Server) -> AsyncIterator[tuple[EventStore, EventStore]]:
    """A store, and the migrated and else empty database of its mirror."""
    admin = await admin_connection(server.config())
    names = ("trading", "mirror")
    try:
        for name in names:
            await admin.execute(f"CREATE DATABASE {name}")
        publisher, subscriber = (server.config(database=name) for name in names)
        async with (
            EventStore.open(publisher, migrate=True, workers=False) as store,
            EventStore.open(subscriber, migrate=True, workers=False) as mirror,
        ):
            try:
                yield store, mirror
            finally:
                if await value(mirror, "SELECT count(*) FROM pg_subscription"):
                    await execute(
                        mirror,
                        "ALTER SUBSCRIPTION mirror DISABLE",
                        "ALTER SUBSCRIPTION mirror SET (slot_name = NONE)",
                        "DROP SUBSCRIPTION mirror",
                    )
    finally:
        await until(lambda: _is_slot_free(server.config()))
        await admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        for name in names:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


async def _is_slot_free(config: DatabaseConfig) -> bool:
    admin = await admin_connection(config)
    try:
        return not await admin.fetchval("SELECT count(*) FROM pg_replication_slots WHERE active")
    finally:
        await admin.close()


async def execute(store: EventStore, *statements: str) -> None:
    """Run statements, each by itself."""
    adapter = PostgreSQLAdapter(store.connection)
    for statement in statements:
        await adapter.execute(statement)


async def value(store: EventStore, query: str) -> Any:
    """The answer to a query."""
    return await PostgreSQLAdapter(store.connection).fetch_value(query)


async def publish(store: EventStore, tables: str) -> None:
    """Publish, and keep the log of the server for a subscriber from now on."""
    await execute(store, f"CREATE PUBLICATION everything {tables}")
    await value(store, "SELECT pg_create_logical_replication_slot('everything', 'pgoutput')")


async def subscribe(mirror: EventStore, server: Server, *, options: str = "") -> None:
    """Let the mirror take what was published."""
    source = f"host={server.folder} port={server.port} dbname=trading user=postgres"
    await execute(
        mirror,
        f"CREATE SUBSCRIPTION mirror CONNECTION '{source}' PUBLICATION everything "
        f"WITH (create_slot = false, slot_name = 'everything', copy_data = false, disable_on_error = true{options})",
    )


async def place(store: EventStore, count: int = 1) -> None:
    """Save orders, and fold them."""
    for _ in range(count):
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("ES", Decimal(10), OrderSide.BUY))
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass


ORDERS = "SELECT string_agg(one::text, ';' ORDER BY id) FROM orders AS one"


async def assert_mirrored(store: EventStore, mirror: EventStore) -> None:
    """The mirror has every event and every row, and never met anything that it could not apply."""

    async def is_same() -> bool:
        assert await value(mirror, "SELECT subenabled FROM pg_subscription"), "the subscription has failed"
        has_all = await value(mirror, "SELECT max(position) FROM events") == await store.log.head()
        return bool(has_all and await value(mirror, ORDERS) == await value(store, ORDERS))

    await place(store)
    await until(is_same)
    assert await value(mirror, "SELECT sum(apply_error_count) FROM pg_stat_subscription_stats") == 0


@pytest.mark.parametrize("tables", PUBLICATIONS.values(), ids=PUBLICATIONS)
async def test_a_rebuild_goes_over_to_subscribers(server: Server, tables: str):
    """Rows too many, missing ones and wrong ones are corrected on both sides; everything goes on, however often it is done."""
    async with databases(server) as (store, mirror):
        await publish(store, tables)
        await subscribe(mirror, server)
        await place(store, 10)
        await execute(
            store,
            "DELETE FROM orders WHERE id = (SELECT max(id::text)::uuid FROM orders)",
            "UPDATE orders SET quantity = 11 WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 3)",
            "INSERT INTO orders SELECT (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid()))).* "
            "FROM orders AS one ORDER BY one.id LIMIT 1",
        )
        rebuilt = await rebuild(store.log, OrdersProjection())
        assert (rebuilt.rows, rebuilt.rows_changed) == (10, 5)
        await assert_mirrored(store, mirror)
        await rebuild(store.log, OrdersProjection(), processes=2)
        await assert_mirrored(store, mirror)
        assert (await check(store.log, [OrdersProjection()])).is_sound


async def test_a_table_that_is_not_published_is_replaced(server: Server):
    """A publication of other tables is no concern of it."""
    async with databases(server) as (store, _):
        await publish(store, "FOR TABLE events, positions")
        await place(store, 2)
        assert (await rebuild(store.log, OrdersProjection())).rows_changed is None
        assert (await rebuild(store.log, PositionsProjection())).rows_changed == 0


@pytest.mark.parametrize("stage", ["build", "index", "prove", "swap"])
@pytest.mark.parametrize("tables", ["FOR ALL TABLES", "FOR TABLE events, orders"])
async def test_a_publication_made_during_a_rebuild_stops_no_subscriber(
    server: Server, stage: str, tables: str
):
    """From the point in time it is there no row of the table beside is sent: the rebuild begins anew, in place."""
    async with databases(server) as (store, mirror):
        await place(store, 5)
        made: list[str] = []

        def make(progress: RebuildProgress) -> None:
            if progress.stage == stage and not made:
                made.append(stage)
                run_in_thread(_publish_elsewhere(server.config(database="trading"), tables))

        def make_at_swap(progress: RebuildProgress) -> None:
            if stage != "swap":
                make(progress)
            elif progress.stage == "prove" and not made:
                made.append(stage)
                run_in_thread(_publish_elsewhere(server.config(database="trading"), tables))

        rebuilt = await rebuild(store.log, OrdersProjection(), on_progress=make_at_swap)
        assert made
        assert rebuilt.rows_changed == 0
        await subscribe(mirror, server)
        await place(store)
        await until(lambda: _has_events(mirror, 1))
        assert await value(mirror, "SELECT sum(apply_error_count) FROM pg_stat_subscription_stats") == 0


async def _publish_elsewhere(config: DatabaseConfig, tables: str) -> None:
    admin = await admin_connection(config)
    try:
        await admin.execute(f"CREATE PUBLICATION everything {tables}")
        await admin.fetchval("SELECT pg_create_logical_replication_slot('everything', 'pgoutput')")
    finally:
        await admin.close()


async def _has_events(store: EventStore, count: int) -> bool:
    return bool(await value(store, f"SELECT count(*) >= {count} FROM events"))


async def test_a_comparison_is_not_sent_either(server: Server):
    """The rows of a long transaction may be applied by a subscriber before its end, and this one is always rolled back."""
    async with databases(server) as (store, mirror):
        await publish(store, "FOR ALL TABLES")
        await subscribe(mirror, server, options=", streaming = parallel")
        await place(store, 300)

        def linger(*_: int) -> None:
            time.sleep(0.5)  # long enough for the subscriber to be sent what the open transaction has written

        compared = await compare_with_rebuild(store.log, OrdersProjection(), on_progress=linger)
        assert compared.rows_equal == 300
        await assert_mirrored(store, mirror)


async def test_what_a_subscription_writes_is_no_log_to_work_on(server: Server):
    """Its events come in the order of other commits: it is refused at open, by readers in order, and by a worker."""
    async with databases(server) as (store, mirror):
        await publish(store, "FOR ALL TABLES")
        await subscribe(mirror, server)
        await place(store)
        async with store.connection.acquire() as connection:
            await connection.execute(
                "SELECT nextval('events_position_seq')"
            )  # as an append that is rolled back does
        await place(store)
        await until(lambda: _has_events(mirror, 2))
        with pytest.raises(
            PreconditionError, match=r"subscription mirror writes to the table public\.events"
        ):
            async with EventStore.open(server.config(database="mirror"), workers=False):
                pass
        with pytest.raises(PreconditionError, match="subscription mirror"):
            [event async for event in mirror.log.read_all()]
        with pytest.raises(PreconditionError, match="subscription mirror"):
            await ProjectionWorker(mirror.log, PositionsProjection()).run()
        assert [one.kind for one in (await check(mirror.log, [])).findings if one.kind != "sequence"] == [
            "no subscription"
        ]


async def test_a_mirror_takes_the_place_of_its_publisher(server: Server):
    """Without its subscription it has to be repaired, since a sequence is not replicated; then it goes on past every position."""
    async with databases(server) as (store, mirror):
        await publish(store, "FOR ALL TABLES")
        await subscribe(mirror, server)
        await place(store, 5)
        await until(lambda: _has_events(mirror, 5))
        await execute(
            mirror,
            "ALTER SUBSCRIPTION mirror DISABLE",
            "ALTER SUBSCRIPTION mirror SET (slot_name = NONE)",
            "DROP SUBSCRIPTION mirror",
        )
        config = server.config(database="mirror")
        with pytest.raises(RestoredLogError, match="eventstore repair"):
            async with EventStore.open(config, workers=False):
                pass
        assert await repair(mirror.log, []) == ("the next position is 6",)
        async with EventStore.open(config, workers=False) as promoted:
            assert (await promoted.log.append(started())).positions == (6,)
            async with promoted.unit_of_work() as uow:
                assert len(await uow.orders.get_active_orders()) == 5
