"""Workers of several processes: who takes over, when, and what a worker that stands still can do to the others."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.database.grants import grant
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConfigurationError, ConnectionError
from eventstore.log import EventLog
from eventstore.log.records import to_columns
from eventstore.repositories import PostgreSQLUnitOfWorkFactory
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker, run
from projections.check import check, compare_with_fold
from projections.engine import set_partitions
from projections.engine.progress import list_partitions
from projections.engine.reading import read_batch
from projections.keys import partition_of
from projections.quarantine import list_quarantined, retry
from tests.conftest import admin_connection
from tests.entities import started
from tests.failing_projection import Spoilt, spoilt_table
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table, rows_of
from tests.relay import Relay
from tests.running_workers import folded_through, has_folded, place, running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

LEASE_S = 0.6


async def test_a_worker_that_stops_within_a_statement_holds_up_nobody(
    store: EventStore, migrated_config: DatabaseConfig
):
    """A worker goes silent in its batch's transaction, between two messages of one statement: its partition is taken over.

    No time-out of a server before 17 ends such a session, so its successor does.
    """
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    await place(store, *range(1, 6))
    async with Relay(migrated_config) as relay:
        pool = await ConnectionFactory.create_connection(
            relay.config(min_pool_size=1, max_pool_size=2, connect_timeout=1)
        )
        stopped = ProjectionWorker(EventLog(pool), OrdersProjection(), lease_s=LEASE_S)
        relay.hold_after = b'SELECT key FROM "public".projection_quarantine'
        async with running(stopped):
            await asyncio.wait_for(relay.held.wait(), 60)
            relay.refuse = True
            async with running(ProjectionWorker(store.log, OrdersProjection(), lease_s=LEASE_S)):
                await until(lambda: has_folded(store.log, 5))
            assert await folded_through(store.log) == 5
            relay.released.set()
        await pool.close(timeout_s=1)
    assert (await compare_with_fold(store.log, OrdersProjection())).is_equal


async def test_run_folds_for_a_block(store: EventStore):
    """Projections of a user's own are folded by tasks for a block, and waited for; a name runs once."""
    await spoilt_table(store)
    with pytest.raises(ConfigurationError, match="no projection spoilt"):
        await store.wait_for(1, projections=["spoilt"])
    async with run(store.connection, [Spoilt(), OrdersProjection()], partitions=2) as running_here:
        orders = await place(store, 1, 2, 3)
        await running_here.wait_for(3)
        await store.wait_for(3, projections=[Spoilt()])
        assert await Spoilt.sums(store) == {"ES": 6}
        with pytest.raises(ConfigurationError, match="already runs in this process"):
            async with run(store.connection, [Spoilt()]):
                pass
        await set_partitions(store.log, Spoilt(), 3)
        await place(store, 4)
        await store.wait_for(4, projections=["spoilt"])
        assert await Spoilt.sums(store) == {"ES": 10}
    assert len(await list_partitions(store.log, "spoilt")) == 3
    assert len(await list_partitions(store.log, "orders")) == 2
    assert [partition["lease_owner"] for partition in await list_partitions(store.log, "spoilt")] == [
        None
    ] * 3
    assert len(orders) == 3


async def test_wait_for_goes_on_while_partitions_change(store: EventStore):
    """A wait that began with one partition ends when all partitions of the new number have come there."""
    await spoilt_table(store)
    await place(store, 1)
    await ProjectionWorker(store.log, Spoilt()).catch_up(1)
    waiting = asyncio.create_task(store.wait_for(4, projections=["spoilt"]))
    await place(store, *[2] * 3, symbol="A")
    await set_partitions(store.log, Spoilt(), 4)
    partition = partition_of(("A",), 4)
    await ProjectionWorker(store.log, Spoilt(), partition=partition).catch_up(4)
    assert not waiting.done()
    for other in {0, 1, 2, 3} - {partition}:
        await ProjectionWorker(store.log, Spoilt(), partition=other).catch_up(4)
    await asyncio.wait_for(waiting, 60)
    assert await Spoilt.sums(store) == {"ES": 1, "A": 6}


async def test_waiting_does_not_wait_for_quarantine(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A key in quarantine stands still; the projection goes on past it, and so does who waits."""
    monkeypatch.setenv("SPOILT_AT", "13")
    await spoilt_table(store)
    async with run(store.connection, [Spoilt()]) as here:
        await place(store, 1, 13, symbol="BAD")
        await place(store, 5, symbol="GOOD")
        await here.wait_for(3)
    assert await Spoilt.sums(store) == {"BAD": 1, "GOOD": 5}


async def test_an_event_that_cannot_be_decoded_stops_its_stream_alone(store: EventStore):
    """A type that the code does not know puts that order in quarantine; all others go on; lists say so."""
    good, bad = await place(store, 1, 2)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "INSERT INTO events SELECT nextval('events_position_seq'), occurred_at, recorded_at, version + 1, 1, "
            "stream_id, gen_random_uuid(), category, 'Forgotten', '{}', '{}' FROM events WHERE stream_id = $1",
            bad.id,
        )
    await place(store, 3)
    async with run(store.connection, [OrdersProjection()]) as here:
        await here.wait_for(4)
        (held,) = await list_quarantined(store.log)
        assert (held.key, held.position, held.type) == (f'["{bad.id}"]', 3, "Forgotten")
        assert "UnknownEventTypeError" in held.error
        assert not await retry(store.log, OrdersProjection(), held.key)
        await set_partitions(store.log, OrdersProjection(), 2)
        await place(store, 4)
        await here.wait_for(5)
    assert [one.attempts for one in await list_quarantined(store.log)] == [2]

    class Ignoring(OrdersProjection):
        ignored_types = frozenset({"Forgotten"})

    assert await retry(store.log, Ignoring(), held.key)
    assert await list_quarantined(store.log) == []
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM orders WHERE id = $1", good.id) == 1


async def test_a_role_without_rights_runs_no_worker_and_says_so_once(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """A writer that may not write the read tables appends all the same, with one warning and no error."""
    role = f"writer_{uuid4().hex}"
    async with EventStore.open(migrated_config, workers=False) as admin, admin.connection.acquire() as one:
        await one.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        await grant(PostgreSQLAdapter(admin.connection), writer=role)
    try:
        config = migrated_config.replace(user=role, password="secret")
        async with EventStore.open(config) as store:
            await place(store, 1)
            await store.start_workers()
            assert await store.log.head() == 1
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [("may not write" in one.getMessage()) for one in warnings] == [True]
    finally:
        admin_again = await admin_connection(migrated_config)
        await admin_again.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin_again.close()


async def test_workers_start_with_a_later_unit_of_work_if_the_server_was_away(
    migrated_config: DatabaseConfig,
):
    """Their start fails with the first one, since no connection can be made: the next one starts them."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with Relay(migrated_config) as relay:
        config = relay.config(min_pool_size=0, connect_timeout=0.2)
        async with await ConnectionFactory.create_connection(config) as connection:
            factory, store = PostgreSQLUnitOfWorkFactory(connection), EventStore.of(connection)
            relay.refuse = True
            factory.create_unit_of_work()
            starting = store._starting
            assert starting is not None
            await asyncio.wait([starting])
            assert starting.exception() is not None
            relay.refuse = False
            async with factory.create_unit_of_work() as uow:
                await uow.orders.save_order(Order.create_market_order("A", Decimal(1), OrderSide.BUY))
            assert uow.last_position is not None
            await store.wait_for(uow.last_position, timeout_s=10)


async def test_errors_far_apart_are_each_retried_soon(
    store: EventStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A worker that folds between two errors waits after the second one no longer than after the first."""
    worker = ProjectionWorker(store.log, OrdersProjection())
    fold_next = worker._fold_next
    turns = iter(range(10_000))

    async def fail_at_times(*arguments: Any, **named: Any) -> bool:
        if next(turns) % 3 == 2:
            raise ConnectionError("the connection was lost")
        return await fold_next(*arguments, **named)

    monkeypatch.setattr(worker, "_fold_next", fail_at_times)
    async with running(worker):
        await until(lambda: caplog.text.count("retrying batch") >= 4)
    waits = [record.retry_in_s for record in caplog.records if hasattr(record, "retry_in_s")]
    assert set(waits[:4]) == {waits[0]}


async def test_a_full_disk_is_waited_out(store: EventStore, caplog: pytest.LogCaptureFixture):
    """The server lacks disk for a while, and later only reads for a while: no key is in quarantine, and the worker goes on."""
    await hits_table(
        store,
        HitsByNumber(),
        "CREATE TABLE trouble (code text)",
        """
        CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE it text := (SELECT min(code) FROM trouble);
        BEGIN
            IF it IS NOT NULL THEN RAISE EXCEPTION 'trouble' USING ERRCODE = it; END IF;
            RETURN NULL;
        END $$
        """,
        "CREATE TRIGGER trouble BEFORE INSERT ON hits EXECUTE FUNCTION trouble()",
    )
    async with run(store.connection, [HitsByNumber()]) as here, store.connection.acquire() as connection:
        for code in ("53100", "58030", "25006"):
            caplog.clear()
            await connection.execute("INSERT INTO trouble VALUES ($1)", code)
            result = await store.log.append(hits(Hit(number=1)))
            await until(lambda: "retrying batch" in caplog.text)
            await connection.execute("DELETE FROM trouble")
            await here.wait_for(result.last_position)
    assert await list_quarantined(store.log) == []
    assert [row.hits for row in await rows_of(store, HitsByNumber())] == [3]


async def test_a_retry_reads_the_log_while_workers_go_on(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A key has waited for a long part of the log: nobody waits for it to be read; what came meanwhile is folded too."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1, is_poison=True), Hit(number=1)))
    await fold_all(store, projection)
    came = 0

    async def and_more_comes(*arguments: Any, **named: Any) -> Any:
        nonlocal came
        if came < 2:
            came += 1
            await store.log.append(hits(Hit(number=1), Hit(number=2)))
            await asyncio.wait_for(fold_all(store, projection), 60)
        return await read_batch(*arguments, **named)

    monkeypatch.setattr("projections.quarantine.operations.read_batch", and_more_comes)
    monkeypatch.setattr("projections.quarantine.operations._BATCH_EVENTS_MAX", 1)
    projection.is_broken = False
    assert await retry(store.log, projection, "[1]")
    assert [(row.number, row.hits) for row in await rows_of(store, projection)] == [(1, 4), (2, 2)]
    assert await list_quarantined(store.log) == []


async def test_a_retry_leaves_to_a_worker_what_it_has_not_come_to(store: EventStore):
    """The partition of a key is behind another one: events that its worker still has to fold count once."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1, is_poison=True), Hit(number=1)))
    await fold_all(store, projection)
    await set_partitions(store.log, projection, 2)
    await store.log.append(hits(Hit(number=1), Hit(number=2), Hit(number=3)))
    ahead = ProjectionWorker(store.log, projection, partition=1 - partition_of((1,), 2))
    assert await ahead.run_once()
    projection.is_broken = False
    assert await retry(store.log, projection, "[1]")
    assert [row.hits for row in await rows_of(store, projection) if row.number == 1] == [2]
    await fold_all(store, projection)
    assert [row.hits for row in await rows_of(store, projection)] == [3, 1, 1]
    assert (await check(store.log, [projection])).findings == ()


async def test_a_lease_is_kept_at_a_gap(store: EventStore):
    """A writer's transaction stands open for longer than a lease: the worker that waits for it keeps its partition all the while."""
    await place(store, 1)
    first, second = (ProjectionWorker(store.log, OrdersProjection(), lease_s=3) for _ in range(2))
    async with running(first), store.connection.acquire() as owner, store.connection.acquire() as observer:
        await until(lambda: has_folded(store.log, 1))
        transaction = owner.transaction()
        await transaction.start()
        await store.log.append_in(owner, to_columns(started().staged({})))
        await place(store, 2)
        async with running(second):
            lease = (
                "SELECT epoch, extract(epoch FROM lease_expires_at) AS expires_s FROM projection_checkpoints"
            )
            before = await observer.fetchrow(lease)

            async def has_outlasted_a_lease() -> bool:
                now = await observer.fetchrow(lease)
                return bool(now["epoch"] > before["epoch"] or now["expires_s"] > before["expires_s"] + 3)

            await until(has_outlasted_a_lease)
            assert (first.is_active, second.is_active) == (True, False)
            assert (await observer.fetchrow(lease))["epoch"] == before["epoch"]
            await transaction.rollback()
            await until(lambda: has_folded(store.log, 3))


async def test_a_lock_that_everybody_can_take_stops_no_worker(store: EventStore):
    """A session that holds every mark of a worker's batch exclusively does not hold up the batch."""
    async with store.connection.acquire_for_user() as anybody:
        await anybody.execute(
            "SELECT pg_advisory_lock(1702261620, hashtext(name || '/orders/' || partition)) "
            "FROM generate_series(0, 3) AS partition, unnest(ARRAY['public', '']) AS name"
        )
        await anybody.execute("SELECT pg_advisory_lock(1702261620, hashtext('orders/0'))")
        async with running(ProjectionWorker(store.log, OrdersProjection(), lease_s=LEASE_S)):
            await place(store, *range(1, 4))
            await asyncio.wait_for(until(lambda: has_folded(store.log, 3)), 20)
