"""Leases, partitions and quarantine: many workers, exactly once, and one bad event stops one key."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore import EventStore, Order, OrderSide
from eventstore.core.event import RecordedEvent
from eventstore.database import DatabaseConfig
from eventstore.errors import CheckpointMovedError, ConfigurationError
from eventstore.log import EventLog
from projections import OrdersProjection, Projection, ProjectionRunner, ProjectionWorker
from projections.check import compare_with_fold, compare_with_rebuild
from projections.engine import set_partitions
from projections.engine.lease import PartitionLease
from projections.keys import partition_of
from projections.quarantine import discard, list_quarantined, retry
from tests.conftest import url_of
from tests.order_quantities import OrderedBySymbol, create_table, place, rows
from tests.running_workers import running

LEASE_S = 0.6


async def until(claim: Any, *, timeout_s: float = 60) -> None:
    """Wait until an async claim holds."""
    async with asyncio.timeout(timeout_s):
        while not await claim():  # noqa: ASYNC110 - what it waits for happens in the database
            await asyncio.sleep(0.01)


async def position_of(log: EventLog, projection: Projection[Any]) -> int:
    """How far every partition has come."""
    return await ProjectionRunner(log, projection).folded_through()


async def test_one_worker_is_active_and_the_next_takes_over_at_once_when_it_leaves(store: EventStore):
    """Of two workers one holds the lease; when it is told to stop, the other has it well before the expiry."""
    first, second = (ProjectionWorker(store.log, OrdersProjection(), lease_s=30) for _ in range(2))
    async with running(first):
        await until(lambda: _true(first.is_active))
        takes_over = ProjectionWorker(store.log, OrdersProjection(), lease_s=2)
        async with running(takes_over) as _:
            await place(store, 1, 2)
            await until(lambda: _reached(store, 2))
            assert not takes_over.is_active
    async with running(second):
        await until(lambda: _true(second.is_active))


async def test_a_dead_workers_partition_is_taken_over_within_the_expiry(store: EventStore):
    """A lease that is not renewed passes on when it expires, and not before."""
    dead = PartitionLease(store.log, "orders", 0, lease_s=30)
    assert await dead.take() is not None
    heir = PartitionLease(store.log, "orders", 0, lease_s=30)
    assert await heir.take() is None
    async with store.connection.acquire() as connection:
        left_s = await connection.fetchval(
            "UPDATE projection_checkpoints AS before SET lease_expires_at = clock_timestamp() "
            "RETURNING extract(epoch FROM (SELECT lease_expires_at FROM projection_checkpoints) - clock_timestamp())"
        )
    assert 0 < left_s <= 30
    assert await heir.take() is not None
    assert heir.epoch == (dead.epoch or 0) + 1
    assert not await dead.renew()


async def test_who_has_lost_a_lease_does_not_give_back_that_of_its_heir(store: EventStore):
    """A worker that was taken for dead ends after all: the other one keeps the partition, and a third one waits."""
    dead, heir, third = (PartitionLease(store.log, "orders", 0, lease_s=30) for _ in range(3))
    assert await dead.take() is not None
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_checkpoints SET lease_expires_at = clock_timestamp()")
    assert await heir.take() is not None
    await dead.release()
    assert await third.take() is None
    await heir.release()
    assert await third.take() is not None


async def test_a_worker_that_lost_its_lease_writes_nothing(store: EventStore):
    """What a worker folded under an old epoch is refused, and counts once all the same."""
    await place(store, 1)
    old = ProjectionWorker(store.log, OrdersProjection())
    assert await old.run_once()
    heir = PartitionLease(store.log, "orders", 0)
    assert await heir.take() is not None
    await place(store, 2)
    with pytest.raises(CheckpointMovedError):
        await old.run_once()
    assert await position_of(store.log, OrdersProjection()) == 1


CHILD = """
import asyncio, sys
from eventstore import DatabaseConfig, EventStore
from projections import OrdersProjection, ProjectionWorker

async def main():
    async with EventStore.open(DatabaseConfig.from_url(sys.argv[1]), workers=False) as store:
        worker = ProjectionWorker(store.log, OrdersProjection(), lease_s=float(sys.argv[2]), batch_events_max=3)
        task = asyncio.create_task(worker.run())
        while not worker.is_active:
            await asyncio.sleep(0.01)
        print("active", flush=True)
        await task

asyncio.run(main())
"""


async def test_a_process_that_is_stopped_and_resumed_changes_nothing(
    migrated_config: DatabaseConfig, store: EventStore
):
    """A worker process is stopped past its lease: another takes over; resumed, it cannot spoil the table."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url_of(migrated_config), str(LEASE_S), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert await asyncio.wait_for(child.stdout.readline(), 120) == b"active\n"
        await place(store, *range(1, 8))
        # Before 17 no setting of PostgreSQL ends a client that stops between two messages of one statement, as one
        # does that learns a type; so let it have learnt them.
        await until(lambda: _reached(store, 1))
        await place(store, *range(1, 4))
        os.kill(child.pid, signal.SIGSTOP)
        await place(store, *range(8, 20))
        heir = ProjectionWorker(store.log, OrdersProjection(), lease_s=LEASE_S)
        async with running(heir):
            await until(lambda: _reached(store, 22))
            os.kill(child.pid, signal.SIGCONT)
            await place(store, *range(20, 30))
            await until(lambda: _reached(store, 32))
        assert (await compare_with_fold(store.log, OrdersProjection())).rows_different == 0
    finally:
        child.kill()
        await child.wait()


async def test_partitions_change_while_events_flow(store: EventStore):
    """Two processes' worth of workers fold while the number of partitions changes: each event counts once."""
    projection = OrderedBySymbol()
    await create_table(store, projection)
    runners = [ProjectionRunner(store.log, OrderedBySymbol(), lease_s=1) for _ in range(2)]
    async with running(*runners):
        await place(store, 1)
        await until(lambda: _reached(store, 1, projection))
        for partitions in (3, 2, 5, 1, 4):
            await set_partitions(store.log, projection, partitions)
            for symbol in ("A", "B", "C", "D"):
                await place(store, 1, 2, 3, symbol=symbol)
        head = await store.log.head()
        await until(lambda: _reached(store, head, projection))
    comparison = await compare_with_fold(store.log, projection)
    assert (comparison.rows_equal, comparison.rows_different) == (5, 0)
    assert (await compare_with_rebuild(store.log, projection)).is_equal
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT sum(orders) FROM ordered") == 61


def test_a_keys_partition_is_the_same_for_ever():
    """The partition of a key is fixed: these were written down when partitions were made."""
    assert [partition_of((name, OrderSide.BUY), 7) for name in ("A", "B", "C", "ES")] == KNOWN_PARTITIONS
    ids = (UUID("00000000-0000-0000-0000-000000000005"), UUID("00010002-0000-4000-8000-00000000ffff"))
    assert [partition_of((one,), 7) for one in ids] == [5, 3]


KNOWN_PARTITIONS = [3, 2, 5, 1]


async def test_the_number_of_partitions_is_checked(store: EventStore):
    """A number out of range is refused with what is allowed."""
    with pytest.raises(ConfigurationError, match="1 to 256"):
        await set_partitions(store.log, OrdersProjection(), 0)


async def test_an_event_that_cannot_be_folded_stops_its_key_only(store: EventStore):
    """The key is put in quarantine at that event, its later events wait, and every other key goes on."""
    projection = OrderedBySymbol()
    projection.poison = frozenset({Decimal(13)})
    await create_table(store, projection)
    await place(store, 1, 13, 2, symbol="BAD")
    await place(store, 5, 6, symbol="GOOD")
    worker = ProjectionWorker(store.log, projection, batch_events_max=2)
    await worker.catch_up(5)
    await place(store, 7, symbol="BAD")
    await worker.catch_up(6)
    (held,) = await list_quarantined(store.log, "ordered")
    assert (held.position, held.key, held.attempts) == (2, '["BAD","BUY"]', 1)
    assert "cannot take 13" in held.error
    assert "Traceback" in held.traceback
    assert await rows(store) == {"BAD": (1, Decimal(1)), "GOOD": (2, Decimal(11))}
    assert (await compare_with_fold(store.log, projection)).is_equal

    assert not await retry(store.log, projection, held.key)
    assert [one.attempts for one in await list_quarantined(store.log)] == [2]
    projection.poison = frozenset()
    assert await retry(store.log, projection, held.key)
    assert await list_quarantined(store.log) == []
    assert await rows(store) == {"BAD": (4, Decimal(23)), "GOOD": (2, Decimal(11))}
    assert (await compare_with_rebuild(store.log, projection)).is_equal


async def test_a_discarded_event_is_left_out_on_record(store: EventStore):
    """A discard needs a name and a reason, leaves out that one event, and the key goes on."""
    projection = OrderedBySymbol()
    projection.poison = frozenset({Decimal(13)})
    await create_table(store, projection)
    await place(store, 1, 13, 2, symbol="BAD")
    await ProjectionWorker(store.log, projection).catch_up(3)
    (held,) = await list_quarantined(store.log)
    with pytest.raises(ConfigurationError, match="pass who decided it"):
        await discard(store.log, projection, held.key, discarded_by="", reason="no")
    assert await discard(store.log, projection, held.key, discarded_by="risk desk", reason="a test order")
    assert await rows(store) == {"BAD": (2, Decimal(3))}
    assert (await compare_with_fold(store.log, projection)).is_equal
    with pytest.raises(ConfigurationError, match="not in quarantine"):
        await retry(store.log, projection, held.key)


async def test_a_row_that_the_database_refuses_stops_its_key_only(store: EventStore):
    """A refused write is narrowed down to its key, and the rest of the batch is written."""
    projection = OrderedBySymbol()
    await create_table(store, projection)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE ordered ADD CONSTRAINT small CHECK (quantity < 100)")
    await place(store, 5, 500, symbol="BIG")
    await place(store, 7, symbol="SMALL")
    await ProjectionWorker(store.log, projection).catch_up(3)
    assert await rows(store) == {"BIG": (1, Decimal(5)), "SMALL": (1, Decimal(7))}
    (held,) = await list_quarantined(store.log)
    assert (held.key, held.position) == ('["BIG","BUY"]', 2)


async def test_lists_are_right_while_a_key_is_in_quarantine(store: EventStore):
    """A list sees the events that an order in quarantine waits with."""

    class Failing(OrdersProjection):
        def evolve(self, row: Order | None, event: RecordedEvent) -> Order | None:
            if event.version == 2:
                raise ValueError("not today")
            return super().evolve(row, event)

    (order,) = await place(store, 1)
    async with store.unit_of_work() as uow:
        order.submit("B-1")
        await uow.orders.update_order(order)
    await ProjectionWorker(store.log, Failing()).catch_up(2)
    assert len(await list_quarantined(store.log)) == 1
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_active_orders() == [order]
        assert await uow.orders.get_order_by_id(order.id) == order
    assert await retry(store.log, OrdersProjection(), f'["{order.id}"]')
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_active_orders(consistency="eventual") == [order]


async def test_a_deleted_order_stays_deleted_while_another_partition_lags(store: EventStore):
    """One partition has folded a tombstone, another stands before it: the order is not there, and no read fails."""
    (order,) = await place(store, 1)
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(1)
    await set_partitions(store.log, OrdersProjection(), 2)
    async with store.unit_of_work() as uow:
        await uow.orders.delete_order(order.id)
    partition = partition_of((order.id,), 2)
    await ProjectionWorker(store.log, OrdersProjection(), partition=partition).catch_up(2)
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_orders_by_symbol("ES") == []
        assert await uow.orders.get_order_by_id(order.id) is None


async def test_one_connection_is_enough(migrated_config: DatabaseConfig):
    """Rebuild, retry and a change of partitions hold a connection and need no second one."""
    alone = migrated_config.replace(min_pool_size=1, max_pool_size=1, connect_timeout=5)
    async with EventStore.open(alone, workers=False) as store:
        projection = OrderedBySymbol()
        projection.poison = frozenset({Decimal(13)})
        await create_table(store, projection)
        await place(store, 1, 13, 2)
        await ProjectionWorker(store.log, projection).catch_up(3)
        (held,) = await list_quarantined(store.log)
        projection.poison = frozenset()
        assert await retry(store.log, projection, held.key)
        await set_partitions(store.log, projection, 2)
        assert (await compare_with_rebuild(store.log, projection)).is_equal


async def _true(value: bool) -> bool:
    return value


async def _reached(store: EventStore, position: int, projection: Projection[Any] | None = None) -> bool:
    return await position_of(store.log, projection or OrdersProjection()) >= position
