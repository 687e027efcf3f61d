"""Workers behind a long part of the log that has no events for them, and workers that collect for longer than a lease."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from eventstore.database import ConnectionFactory
from eventstore.export import lines
from eventstore.export.lines import export_lines
from eventstore.log import EventLog, event_log
from eventstore.log.page_size import Window
from eventstore.replay import Replay, pages
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from projections.check import check
from projections.engine import reading
from projections.rebuild import builder, independent_fold, rebuild
from tests.pools import opened
from tests.running_workers import has_folded, place, running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

QUOTES = """
    INSERT INTO events (
        position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data, metadata
    )
    SELECT nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'quote', 'Quoted', '{}', '{}'
    FROM generate_series(1, $1::int)
"""
"""Events of a category that nobody projects, at positions without a gap."""


async def test_a_worker_passes_what_is_not_for_it_without_pauses(store: EventStore):
    """An order after many quotes is in the table soon: the worker does not wait for a wake-up on its way."""
    async with store.connection.acquire() as connection:
        await connection.execute(QUOTES, 150_000)
    signals = store.log.wakeups.signals
    assert signals is not None
    async with running(ProjectionWorker(store.log, OrdersProjection())):
        await until(lambda: signals.is_listening)  # it would look once a second
        await place(store, 1)
        head, began_s = await store.log.head(), time.monotonic()
        await until(lambda: has_folded(store.log, head))
        assert time.monotonic() - began_s < 4


async def test_a_worker_does_not_read_all_that_is_not_for_it_in_one_statement(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """Where the way to the next order is longer than what a statement can read in its time, the worker goes it in parts."""
    async with await opened(migrated_config) as calm:
        async with calm.acquire() as connection:
            await connection.execute(
                "SELECT nextval('events_position_seq')"
            )  # after a gap all is final at once
            await connection.execute(QUOTES, 300_000)
            await connection.execute("ANALYZE events")
        seen = EventLog(calm)
        head = await seen.head()
        async with await opened(migrated_config, command_timeout=0.05) as pool:
            with caplog.at_level(logging.WARNING):
                async with running(ProjectionWorker(EventLog(pool), OrdersProjection())):
                    await until(lambda: has_folded(seen, head), limit_s=30)


FAR = 10**15
"""A position that nobody reaches in steps."""


async def test_a_gap_of_any_length_is_passed_at_once(store: EventStore):
    """A sequence that was set forward delays neither a worker nor a reader."""
    await place(store, 1)
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT setval('events_position_seq', $1)", FAR)
        await connection.execute(QUOTES, 3)
    await place(store, 1)
    head = await store.log.head()
    assert head > FAR
    async with asyncio.timeout(10):
        await ProjectionWorker(store.log, OrdersProjection()).catch_up(head)
        read = [event.position async for event in store.log.read_all(categories=["order"])]
        followed: list[int] = []
        async for event in store.log.subscribe(after=0, categories=["order"]):
            followed.append(event.position)
            if event.position == head:
                break
    async with store.unit_of_work() as uow:
        assert len(await uow.orders.get_active_orders()) == 2
    assert read == followed
    assert read[-1] == head


@pytest.mark.parametrize("positions_max", [1, 3, 7])
async def test_readers_look_through_so_many_positions_in_a_statement(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, positions_max: int
):
    """Whatever lies between the events of a category, a statement looks through a window, and no event is passed over."""
    ends: list[int] = []

    class Small(Window):
        def __init__(self, after: int, through: int, _: int = 0) -> None:
            super().__init__(after, through, positions_max)
            ends.append(self.end - after)

    for module in (event_log, reading, pages, lines, builder):
        monkeypatch.setattr(module, "Window", Small)
    monkeypatch.setattr(independent_fold, "WINDOW_POSITIONS", positions_max)
    for _ in range(3):
        await place(store, 1)
        async with store.connection.acquire() as connection:
            await connection.execute(QUOTES, 10)
    await place(store, 1)
    head = await store.log.head()
    orders = [event.position async for event in store.log.read_all(categories=["order"])]
    replayed = [event.position async for event in Replay(store.log, categories=["order"])]
    exported = io.BytesIO()
    await export_lines(store.log, exported, categories=["order"])
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(head)

    async with store.connection.acquire() as connection:
        stored = await connection.fetch(
            "SELECT position FROM events WHERE category = 'order' ORDER BY position"
        )
    assert orders == replayed == [row["position"] for row in stored]
    assert orders == [
        one["position"] for one in map(orjson.loads, exported.getvalue().splitlines()) if "position" in one
    ]
    assert max(ends) == positions_max
    async with store.unit_of_work() as uow:
        assert len(await uow.orders.get_active_orders()) == 4
    assert (await rebuild(store.log, OrdersProjection())).rows == 4
    assert (await check(store.log, [OrdersProjection()])).findings == ()


async def test_a_check_passes_nothing_where_large_events_end_a_window(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A page of large events of another category ends before the window does, and the orders behind it are folded."""
    monkeypatch.setattr(independent_fold, "BATCH_BYTES_MAX", 1)
    async with store.connection.acquire() as connection:
        await connection.execute(QUOTES, 3)
    await place(store, 2)
    head = await store.log.head()
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(head)
    assert (await check(store.log, [OrdersProjection()])).findings == ()
    assert (await rebuild(store.log, OrdersProjection())).rows == 1


async def test_a_worker_that_collects_keeps_its_lease(
    migrated_config: DatabaseConfig, store: EventStore, caplog: pytest.LogCaptureFixture
):
    """With a delay of several leases it stays the worker, although another one stands by; nothing is retried."""
    async with await ConnectionFactory.create_connection(migrated_config) as pool:
        workers: list[ProjectionWorker[Any]] = [
            ProjectionWorker(log, OrdersProjection(), lease_s=0.6, fold_delay_s=2.0)
            for log in (store.log, EventLog(pool))
        ]
        async with running(*workers):
            for _ in range(15):
                await place(store, 1)
                await asyncio.sleep(0.2)
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT epoch FROM projection_checkpoints") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
