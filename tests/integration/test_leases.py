"""Leases of partitions and of rebuilds: one kind, the same rules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database.pooled import PooledConnection
from eventstore.errors import RebuildError
from projections import OrdersProjection, ProjectionWorker
from projections.engine.lease import Lease, PartitionLease
from projections.rebuild import abandon, rebuild
from projections.rebuild.lease import RebuildLease

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def taken(store: EventStore, kind: str, lease_s: float = 30) -> Lease:
    """A lease of a kind, taken."""
    if kind == "rebuild":
        return await RebuildLease.take(store.log, OrdersProjection(), lease_s=lease_s)
    lease = PartitionLease(store.log, "orders", 0, lease_s=lease_s)
    assert await lease.take() is not None
    return lease


async def left_s(store: EventStore, lease: Lease) -> float:
    """Seconds until the lease expires."""
    async with store.connection.acquire() as connection:
        seconds: float = await connection.fetchval(
            f"SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float FROM {lease.table}"
        )
    return seconds


@pytest.mark.parametrize("kind", ["partition", "rebuild"])
async def test_a_lease_lasts_as_long_as_its_holder_says(store: EventStore, kind: str):
    """It is renewed for the seconds that it was taken with, also inside a transaction; given back, it is free at once."""
    lease = await taken(store, kind, 300)
    assert 290 < await left_s(store, lease) <= 300
    async with store.connection.acquire() as connection, connection.transaction():
        await connection.execute(f"UPDATE {lease.table} SET lease_expires_at = clock_timestamp()")
        assert await lease.renew_in(connection)
    assert 290 < await left_s(store, lease) <= 300
    await lease.release()
    assert not lease.is_held
    heir = await taken(store, kind)
    assert heir.is_held


@pytest.mark.parametrize("kind", ["partition", "rebuild"])
async def test_who_has_lost_a_lease_does_not_renew_it(store: EventStore, kind: str):
    """The epoch is another one when the lease has changed hands, and stays so when it is given back."""
    lease = await taken(store, kind)
    async with store.connection.acquire() as connection:
        await connection.execute(f"UPDATE {lease.table} SET lease_expires_at = clock_timestamp()")
    heir = await taken(store, kind)
    assert heir.epoch > lease.epoch
    await heir.release()
    assert not await lease.renew()
    assert not lease.is_held


@pytest.mark.parametrize("kind", ["partition", "rebuild"])
async def test_a_lease_is_free_although_its_taking_was_interrupted(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """The server has given it, and the process is stopped before it knows: nobody waits until it expires."""
    given = asyncio.Event()
    fetch = PooledConnection.fetchrow

    async def fetched(connection: PooledConnection, query: str, *arguments: Any, **options: Any) -> Any:
        row = await fetch(connection, query, *arguments, **options)
        if "epoch + 1" in query and row is not None:
            given.set()
            await asyncio.Event().wait()
        return row

    monkeypatch.setattr(PooledConnection, "fetchrow", fetched)
    working: asyncio.Task[Any]
    if kind == "rebuild":
        working = asyncio.create_task(rebuild(store.log, OrdersProjection()))
    else:
        working = asyncio.create_task(ProjectionWorker(store.log, OrdersProjection()).run())
    await given.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    monkeypatch.undo()
    async with asyncio.timeout(5):  # half the time after which it expires
        assert (await taken(store, kind)).is_held


async def test_a_rebuild_that_was_stopped_through_another_is_refused(store: EventStore):
    """Another process takes over and ends, and a third begins anew: the first still writes nothing."""
    stopped = await taken(store, "rebuild")
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_rebuilds SET lease_expires_at = clock_timestamp()")
    await abandon(store.log, OrdersProjection())
    third = await taken(store, "rebuild")
    assert isinstance(stopped, RebuildLease)
    async with store.connection.acquire() as connection:
        with pytest.raises(RebuildError, match="taken over"):
            await stopped.hold_in(connection)
    assert await third.renew()
