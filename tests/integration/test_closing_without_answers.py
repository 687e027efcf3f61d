"""A store is closed while no server answers: it ends within the time that it was given, and nothing is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from eventstore.errors import ConnectionClosedError
from eventstore.loop_stalls import Stopwatch
from eventstore.store import EventStore
from tests.relayed_connections import connected, relay
from tests.running_workers import place

if TYPE_CHECKING:
    from tests.relay import Relay

__all__ = ["relay"]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["waited for", "cancelled"])
@pytest.mark.parametrize("size", [0, 4], ids=["without connections", "with connections"])
async def test_workers_end_in_time_though_the_network_is_cut(relay: Relay, size: int, is_cancelled: bool):
    """The workers cannot give their leases back: `timeout_s` counts all the same, and not the time of each statement."""
    async with connected(relay, min_pool_size=size) as connection:
        store = EventStore.of(connection)
        await store.start_workers()
        await place(store, 1)
        await store.wait_for(1)
        relay.silent = True
        if size == 0:
            for one in list(connection._connections):
                one.terminate()
            await asyncio.sleep(0.2)  # now they connect
        taken = Stopwatch()
        closing = asyncio.ensure_future(store.close(timeout_s=0.5))
        if is_cancelled:
            await asyncio.sleep(0.1)
            closing.cancel()
        await asyncio.wait([closing])
        assert taken.elapsed_s < 3
        assert closing.cancelled() == is_cancelled
        assert closing.cancelled() or closing.exception() is None
        with pytest.raises(ConnectionClosedError):
            async with connection.acquire():
                pass
        here = asyncio.current_task()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not here]
        assert not [name for name in left if name.startswith("eventstore")]
