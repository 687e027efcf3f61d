"""Workers of several processes: who takes over, when, and what a worker that stands still can do to the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory
from eventstore.log import EventLog
from projections import OrdersProjection, ProjectionWorker
from projections.comparison import compare_with_fold
from tests.relay import Relay
from tests.waiting import until
from tests.working import folded_through, has_folded, place, running

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

LEASE_S = 0.6


async def test_a_worker_that_stops_within_a_statement_holds_up_nobody(
    store: EventStore, migrated_config: DatabaseConfig
):
    """A worker goes silent in its batch's transaction, between two messages of one statement: its lane is taken over.

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
        relay.hold_after = b"SELECT key FROM projection_quarantine"
        async with running(stopped):
            await asyncio.wait_for(relay.held.wait(), 20)
            relay.refuse = True
            async with running(ProjectionWorker(store.log, OrdersProjection(), lease_s=LEASE_S)):
                await until(lambda: has_folded(store.log, 5))
            assert await folded_through(store.log) == 5
            relay.released.set()
        await pool.close(timeout_s=1)
    assert (await compare_with_fold(store.log, OrdersProjection())).is_equal
