"""All lanes of a projection, as tasks of one process."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from eventstore.database.cancellation import end
from eventstore.domain.registry_check import require_sound_registry
from eventstore.errors import EventStoreError
from eventstore.limits import check_seconds
from eventstore.log.event_log import EventLog
from projections.engine.lease import LEASE_S
from projections.engine.progress import folded_through, list_lanes, progress_of
from projections.engine.worker import ProjectionWorker
from projections.passing import passes
from projections.projection import Projection

__all__ = ["ProjectionRunner"]

R = TypeVar("R")

_LANES_POLL_S = 1.0


class ProjectionRunner(Generic[R]):
    """Runs a worker for each lane of a projection, also when their number changes.

    Any number of processes may do so: each lane is worked on by one of them, the others stand by.

    Args:
        log: The log to fold.
        projection: What to fold it into.
        lease_s: Seconds after which another worker takes over from one that was killed.

    Raises:
        LimitError: `lease_s` is not above 0.
    """

    def __init__(self, log: EventLog, projection: Projection[R], *, lease_s: float = LEASE_S) -> None:
        self.log = log
        self.projection = projection
        self.moved = progress_of(log).moved
        self._lease_s = check_seconds("lease_s", lease_s, is_finite=True)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Fold until cancelled.

        Raises:
            ConfigurationError: An upcaster is missing.
            EventStoreError: As `ProjectionWorker.run`.
        """
        require_sound_registry(self.log.classes)
        if self.log.metrics is not None:
            self.log.metrics.watch_log(self.log.connection)
        try:
            while True:
                await self._adjust()
                done, _ = await asyncio.wait(
                    self._tasks.values(), timeout=_LANES_POLL_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            await self._end(list(self._tasks))

    async def folded_through(self) -> int:
        """Return the position up to which every event is in the table, whoever folded it.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await folded_through(self.log, self.projection.name)

    async def _adjust(self) -> None:
        try:
            lanes = await list_lanes(self.log, self.projection.name)
        except EventStoreError as error:
            # The workers wait out what can be waited out; without any there is nobody to do so.
            if not self._tasks and not passes(error):
                raise
            await asyncio.sleep(0 if self._tasks else _LANES_POLL_S)
            if not self._tasks:
                self._start(0)
            return
        count = max(len(lanes), 1)
        for lane in range(count):
            if lane not in self._tasks:
                self._start(lane)
        await self._end([lane for lane in self._tasks if lane >= count])

    def _start(self, lane: int) -> None:
        worker: ProjectionWorker[Any] = ProjectionWorker(
            self.log, self.projection, lane=lane, lease_s=self._lease_s, moved=self.moved
        )
        name = f"eventstore projection {self.projection.name} lane {lane}"
        self._tasks[lane] = asyncio.create_task(worker.run(), name=name)

    async def _end(self, lanes: list[int]) -> None:
        tasks = [self._tasks.pop(lane) for lane in lanes]
        await end(*tasks)
