"""A worker that is stopped, or whose connection the program has closed, ends: it retries nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import PostgreSQLUnitOfWorkFactory
from eventstore.database import ConnectionFactory
from eventstore.errors import ConnectionClosedError, ConnectionError
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from tests.running_workers import has_folded, place
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


async def stopped(task: asyncio.Task[Any]) -> None:
    """Cancel a task, which must end by that."""
    task.cancel()
    await asyncio.wait([task], timeout=5)
    is_stopped = task.cancelled()
    task.cancel()
    assert is_stopped


async def test_reading_on_fails_as_the_worker_is_stopped(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """The error of the batch that it reads ahead does not take the place of the cancellation."""
    await place(store, 1, 2, 3)
    worker = ProjectionWorker(store.log, OrdersProjection(), batch_events_max=1)
    read, reads_on = worker._read, asyncio.Event()

    async def reading(place: Any, after: int, *, wait: bool) -> Any:
        if wait:
            return await read(place, after, wait=wait)
        if not reads_on.is_set():
            reads_on.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            raise ConnectionError("the connection was lost")
        return await asyncio.Event().wait()

    monkeypatch.setattr(worker, "_read", reading)
    task = asyncio.create_task(worker.run())
    await reads_on.wait()
    await until(lambda: has_folded(store.log, 1))
    await stopped(task)


async def test_an_error_in_place_of_the_cancellation(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A worker that is to stop does not retry, whatever becomes of its batch."""
    worker = ProjectionWorker(store.log, OrdersProjection())
    folds = asyncio.Event()

    async def lost(*_: Any, **__: Any) -> bool:
        if folds.is_set():
            await asyncio.Event().wait()
        folds.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise ConnectionError("the connection was lost")

    monkeypatch.setattr(worker, "_fold_next", lost)
    task = asyncio.create_task(worker.run())
    await folds.wait()
    await stopped(task)
    assert "retrying" not in caplog.text


async def test_a_worker_on_a_closed_connection_ends(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """The program that closes the connection under a worker gets the error from it; it warns of no retry."""
    connection = await ConnectionFactory.create_connection(migrated_config)
    store = EventStore.of(connection)
    await place(store, 1)
    worker = ProjectionWorker(store.log, OrdersProjection())
    task = asyncio.create_task(worker.run())
    await until(lambda: has_folded(store.log, 1))
    await connection.close()
    store.log.wakeups.wake()
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosedError):
            await task
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_no_worker_starts_while_the_connection_is_closed(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """A Unit of Work that begins after the workers were ended, and before the pool is closed, starts none."""
    connection = await ConnectionFactory.create_connection(migrated_config)
    factory = PostgreSQLUnitOfWorkFactory(connection)
    store = EventStore.of(connection)

    async def begin() -> None:
        factory.create_unit_of_work()
        await factory.create_unit_of_work_async()

    connection.at_close(begin)
    await connection.close()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if "projection" in name or "workers" in name]
    assert not store._tasks
    assert not caplog.records
