"""Workers collect events before they fold, unless a task of the process waits for the tables."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from eventstore.log.wakeups import Wakeups
from projections import OrdersProjection, PositionsProjection, ProjectionWorker
from projections.engine.progress import wait_for
from tests.running_workers import has_folded, place, running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.store import EventStore


class CountedBatches(Wakeups):
    """Counts how often a worker says that it has folded something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def notify(self, categories: object = None) -> None:  # noqa: ARG002 - the signature
        """Count it."""
        self.count += 1


async def _batches(store: EventStore, fold_delay_s: float) -> int:
    """How many batches fold ten orders that come one after the other, some time apart."""
    batches = CountedBatches()
    worker = ProjectionWorker(store.log, OrdersProjection(), fold_delay_s=fold_delay_s, progressed=batches)
    async with running(worker):
        for number in range(10):
            await place(store, number + 1)
            await asyncio.sleep(0.03)
        head = await store.log.head()

        async def is_folded() -> bool:
            return await has_folded(store.log, head)

        await until(is_folded)
    return batches.count


async def test_a_worker_collects_what_is_appended_one_by_one(store: EventStore):
    """Ten commits in a third of a second make a few batches with a delay of a second, and many without one."""
    assert await _batches(store, 1.0) <= 4
    assert await _batches(store, 0.0) >= 6


async def test_a_worker_folds_at_once_for_a_task_that_waits(store: EventStore):
    """With a delay of a minute, `wait_for` waits for no more than the batch."""
    worker = ProjectionWorker(store.log, OrdersProjection(), fold_delay_s=60.0)
    async with running(worker):
        for _ in range(3):
            await place(store, 1)
            await wait_for(store.log, await store.log.head(), ["orders"], timeout_s=10)


async def test_a_worker_without_events_follows_the_log_rarely(store: EventStore):
    """While only orders are written, the worker of positions moves its checkpoint a few times, and at once for whoever waits."""
    batches = CountedBatches()
    worker = ProjectionWorker(store.log, PositionsProjection(), fold_delay_s=0.02, progressed=batches)
    async with running(worker):
        await place(store, 1)
        await wait_for(store.log, await store.log.head(), ["positions"], timeout_s=10)
        before = batches.count
        for number in range(20):
            await place(store, number + 1)
            await asyncio.sleep(0.03)
        assert batches.count - before <= 6
        began = time.monotonic()
        await wait_for(store.log, await store.log.head(), ["positions"], timeout_s=10)
        assert time.monotonic() - began < 1.0


async def test_an_append_wakes_only_readers_of_its_category():
    """A reader of orders sleeps through an append to positions; a reader of all wakes."""
    wakeups = Wakeups()
    with wakeups.listen(["order"]) as orders, wakeups.listen() as everything:
        orders.begin()
        everything.begin()
        wakeups.notify(["position"])
        assert (orders.is_woken, everything.is_woken) == (False, True)
        wakeups.notify(["position", "order"])
        assert orders.is_woken
