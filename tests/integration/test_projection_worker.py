"""The worker: each event counts once, whatever dies; two at once; batches; errors that stop it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory
from eventstore.errors import CheckpointMovedError, UnknownEventTypeError
from eventstore.log import EventLog
from projections import ProjectionWorker
from projections.check import compare_with_fold, compare_with_rebuild
from projections.engine import worker as working
from projections.engine.lease import PartitionLease
from tests.concurrency.dying import dying_process
from tests.conftest import url_of
from tests.counted_events import counted, prepare
from tests.counting_projection import Seen, SeenProjection
from tests.entities import started
from tests.running_workers import has_folded, running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.database import DatabaseConfig, DatabaseConnection
    from eventstore.store import EventStore


async def forget(connection: DatabaseConnection) -> None:
    """Begin the projection anew."""
    async with connection.acquire() as one:
        await one.execute("TRUNCATE seen; DELETE FROM projection_checkpoints WHERE projection = 'seen'")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("batch_events_max", [20, pytest.param(7, marks=pytest.mark.full)])
async def test_a_worker_killed_at_any_statement_counts_each_event_once(
    store: EventStore, migrated_config: DatabaseConfig, when: str, batch_events_max: int
):
    """A process is killed by SIGKILL before, or after, its n-th statement, for every n of three batches, then restarted.

    After each restart the table counts every event once and equals the independent fold.
    """
    expected = await prepare(store)
    async with dying_process("dying_worker", url_of(migrated_config), str(batch_events_max)) as run:
        statements = int(await run("never", 0))
        assert await counted(store.connection) == expected
        assert statements > 7 * sum(expected.values()) / batch_events_max
        found_partly = 0
        for at in range(1, statements + 1):
            await forget(store.connection)
            assert await run(when, at) == "killed"
            partly = await counted(store.connection)
            found_partly += 0 < sum(partly.values()) < sum(expected.values())
            await run("never", 0)
            assert await counted(store.connection) == expected, at
        assert found_partly > 0
    assert (await compare_with_fold(store.log, SeenProjection())).is_equal
    assert (await compare_with_rebuild(store.log, SeenProjection())).is_equal


async def test_two_workers_at_once_count_each_event_once(migrated_config: DatabaseConfig, store: EventStore):
    """Three workers on three pools run while events are appended: each event counts once, none stops for good."""
    await prepare(store)
    pools = [await ConnectionFactory.create_connection(migrated_config) for _ in range(3)]
    workers = [ProjectionWorker(EventLog(pool), SeenProjection(), batch_events_max=2) for pool in pools]
    tasks = [asyncio.ensure_future(worker.run()) for worker in workers]
    try:
        for _ in range(30):
            await store.log.append(started(tunings=2), started())
        head = await store.log.head()

        async def caught_up() -> bool:
            return await workers[0].checkpoint() >= head

        await until(caught_up)
        assert not any(task.done() for task in tasks)
        count = sum((await counted(store.connection)).values())
        async with store.connection.acquire() as connection:
            assert count == await connection.fetchval("SELECT count(*) FROM events")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in pools:
            await pool.close(timeout_s=5)


async def test_a_worker_that_was_overtaken_writes_nothing(store: EventStore):
    """A worker that read its batch before another moved the checkpoint is told so, and its rows are not written."""
    expected = await prepare(store)
    slow, quick = (ProjectionWorker(store.log, SeenProjection(), batch_events_max=5) for _ in range(2))
    await slow.run_once()
    while await quick.run_once():
        pass
    with pytest.raises(CheckpointMovedError):
        await slow.run_once()
    assert await counted(store.connection) == expected
    assert await slow.run_once() is False


async def test_a_new_epoch_fences_the_old_worker(store: EventStore):
    """Who takes a projection over raises its epoch: the worker from before cannot write, at the same position either."""
    await prepare(store)
    worker = ProjectionWorker(store.log, SeenProjection(), batch_events_max=5)
    await worker.run_once()
    before = await counted(store.connection)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_checkpoints SET epoch = epoch + 1")
    with pytest.raises(CheckpointMovedError):
        await worker.run_once()
    assert await counted(store.connection) == before


async def test_an_event_that_cannot_be_folded_stops_the_worker(store: EventStore):
    """A type that the code does not know ends the run, at the batch before it; nothing is passed over."""
    expected = await prepare(store)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "INSERT INTO events SELECT nextval('events_position_seq'), occurred_at, recorded_at, version + 1, 1, "
            "stream_id, gen_random_uuid(), category, 'Forgotten', '{}', '{}' FROM events ORDER BY position DESC LIMIT 1"
        )
    head = await store.log.head()
    await store.log.append(started())
    worker = ProjectionWorker(store.log, SeenProjection(), batch_events_max=1)
    async with asyncio.timeout(60):
        with pytest.raises(UnknownEventTypeError) as caught:
            await worker.run()
    assert caught.value.position == head
    assert await worker.checkpoint() < head
    assert await counted(store.connection) == expected


async def test_a_worker_waits_out_a_lost_connection(store: EventStore, migrated_config: DatabaseConfig):
    """Its backends are ended while it runs: it goes on, and each event counts once."""
    expected = await prepare(store)
    pool = await ConnectionFactory.create_connection(migrated_config)
    worker = ProjectionWorker(EventLog(pool), SeenProjection(), batch_events_max=3)
    task = asyncio.ensure_future(worker.run())
    try:
        async with store.connection.acquire() as connection:
            for _ in range(3):
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                stream = started(tunings=1)
                expected[stream.stream_id] = 2
                await store.log.append(stream)
        head = await store.log.head()

        async def caught_up() -> bool:
            return await worker.checkpoint() >= head

        await until(lambda: (worker.position or 0) >= head)
        await until(caught_up)
        assert not task.done()
        assert await counted(store.connection) == expected
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.close(timeout_s=5)


async def test_a_lease_that_passed_on_before_the_first_batch_is_lost(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A worker that stood still right after it took its lease writes nothing under the epoch of its successor."""
    await prepare(store)
    heir = PartitionLease(store.log, "seen", 0, lease_s=60)
    passed = asyncio.Event()

    async def stand_still(*_: object) -> None:
        if passed.is_set():
            return
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projection_checkpoints SET lease_expires_at = clock_timestamp()")
        assert await heir.take() is not None
        passed.set()

    monkeypatch.setattr(working, "check_table", stand_still)
    worker = ProjectionWorker(store.log, SeenProjection())
    async with running(worker):
        await asyncio.wait_for(passed.wait(), 60)
        await until(lambda: not worker.is_active)
    assert await counted(store.connection) == {}
    assert await heir.renew()


async def test_to_ask_for_the_checkpoint_gives_no_right_to_move_it(store: EventStore):
    """A worker that was overtaken is asked how far all is: it is refused afterwards as before."""
    await prepare(store)
    worker = ProjectionWorker(store.log, SeenProjection(), batch_events_max=5)
    await worker.run_once()
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_checkpoints SET epoch = epoch + 1")
    await worker.checkpoint()
    with pytest.raises(CheckpointMovedError):
        await worker.run_once()


class Slow(SeenProjection):
    """Takes its time for each event."""

    def evolve(self, row: Seen | None, event: RecordedEvent) -> Seen | None:
        """One more, later."""
        until_s = time.perf_counter() + 0.004
        while time.perf_counter() < until_s:
            pass
        return super().evolve(row, event)


async def test_a_fold_that_takes_longer_than_a_lease_comes_to_an_end(store: EventStore):
    """Two hundred slow events do not fit into the time of a batch's transaction: smaller batches do, and all are folded."""
    async with store.connection.acquire() as connection:
        await connection.execute(Slow().table.create())
    await store.log.append(started(tunings=199))
    async with running(ProjectionWorker(store.log, Slow(), lease_s=0.6)):
        await until(lambda: has_folded(store.log, 200, Slow()), limit_s=60)
    assert list((await counted(store.connection)).values()) == [200]
