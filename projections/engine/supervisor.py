"""The supervisor: tasks of this process fold projections, one worker for each partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from eventstore.core.registry_check import require_sound_registry
from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.cancellation import end
from eventstore.database.connection import DatabaseConnection
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.limits import check_count, check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.shared import log_of
from eventstore.tasks import started
from projections.engine.lease import LEASE_S
from projections.engine.partitions import PARTITIONS_MAX, ensure_partitions
from projections.engine.progress import folded_through, list_partitions, progress_of, wait_for
from projections.engine.worker import ProjectionWorker
from projections.projection import Projection

R = TypeVar("R")

_PARTITIONS_POLL_S = 1.0
_WAIT_TIMEOUT_S = 30.0


class ProjectionRunner(Generic[R]):
    """Runs a worker for each partition of a projection, and adapts when their number changes.

    Any number of processes may do so: one of them works on each partition, and the others stand by.

    Args:
        log: The log to fold.
        projection: The projection to fold it into.
        lease_s: Seconds after which another worker takes over from one that was killed.

    Raises:
        LimitError: `lease_s` is not above 0.
    """

    def __init__(self, log: EventLog, projection: Projection[R], *, lease_s: float = LEASE_S) -> None:
        self.log = log
        self.projection = projection
        self.progressed = progress_of(log).progressed
        self._lease_s = check_seconds("lease_s", lease_s, is_finite=True)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Fold until cancelled.

        Raises:
            ConfigurationError: An upcaster is missing.
            EventStoreError: As for `ProjectionWorker.run`.
        """
        require_sound_registry(self.log.classes)
        if self.log.metrics is not None:
            self.log.metrics.watch_log(self.log.connection)
        try:
            while True:
                await self._adjust()
                done, _ = await asyncio.wait(
                    self._tasks.values(), timeout=_PARTITIONS_POLL_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            await self._end(list(self._tasks))

    async def folded_through(self) -> int:
        """Return the position up to which every event is in the table, whichever process folded it.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await folded_through(self.log, self.projection.name)

    async def _adjust(self) -> None:
        try:
            partitions = await list_partitions(self.log, self.projection.name)
        except EventStoreError as error:
            # Running workers report errors themselves; without workers only a transient error is retried here.
            if not self._tasks and not error.is_transient:
                raise
            await asyncio.sleep(0 if self._tasks else _PARTITIONS_POLL_S)
            if not self._tasks:
                self._start(0)
            return
        count = max(len(partitions), 1)
        for partition in range(count):
            if partition not in self._tasks:
                self._start(partition)
        await self._end([partition for partition in self._tasks if partition >= count])

    def _start(self, partition: int) -> None:
        config = getattr(self.log.connection, "config", None)  # the user's own pool has none
        worker: ProjectionWorker[Any] = ProjectionWorker(
            self.log,
            self.projection,
            partition=partition,
            lease_s=self._lease_s,
            fold_delay_s=0.0 if config is None else config.fold_delay,
            progressed=self.progressed,
        )
        name = f"eventstore projection {self.projection.name} partition {partition}"
        self._tasks[partition] = asyncio.create_task(worker.run(), name=name)

    async def _end(self, partitions: list[int]) -> None:
        tasks = [self._tasks.pop(partition) for partition in partitions]
        await end(*tasks)


class Supervisor:
    """Runs several projections as tasks of this process.

    A projection that fails is logged and ends; the others go on.

    Args:
        log: The log to fold.
        projections: The projections, each with a different name.
        lease_s: Seconds after which another process takes over from one that was killed.

    Attributes:
        projections: The projections.
        tasks: The tasks by the names of the projections, and the task of the search; empty before `start` and after
            `stop`. A task that is done has failed.

    Raises:
        LimitError: `lease_s` is not above 0.
    """

    def __init__(
        self, log: EventLog, projections: Iterable[Projection[Any]], *, lease_s: float = LEASE_S
    ) -> None:
        self.projections = tuple(projections)
        self._log = log
        self._runners = [ProjectionRunner(log, one, lease_s=lease_s) for one in self.projections]
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def require_single(self) -> None:
        """Check that no projection is given twice or already runs in this process.

        Raises:
            ConfigurationError: A projection is given twice or already runs.
        """
        running = progress_of(self._log).tasks
        names = [one.name for one in self.projections]
        for name in names:
            if names.count(name) > 1 or (name in running and not running[name].done()):
                raise ConfigurationError(f"projection {name} already runs in this process: run it only once")

    def start(self) -> None:
        """Start the tasks unless they run; `stop` must be called later.

        Raises:
            ConfigurationError: As for `require_single`.
        """
        if self.tasks:
            return
        self.require_single()
        for runner in self._runners:
            self._start(runner.projection.name, runner.run())

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = started(work, name=f"eventstore projection {name}")
        self.tasks[name] = progress_of(self._log).tasks[name] = task

    async def stop(self) -> None:
        """Stop the tasks; the unfinished batch of a worker is rolled back."""
        tasks = self.tasks.copy()
        self.tasks.clear()
        running = progress_of(self._log).tasks
        try:
            await end(*tasks.values())
        finally:
            for name, task in tasks.items():
                if running.get(name) is task:
                    del running[name]

    async def failed(self) -> None:
        """Wait until a task has failed, and raise its error."""
        done, _ = await asyncio.wait(self.tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def wait_for(self, position: int, *, timeout_s: float = _WAIT_TIMEOUT_S) -> None:
        """Wait until all their tables have every event up to a position.

        It does not wait for the rows of keys in quarantine.

        Args:
            position: The position, such as a Unit of Work's `last_position`.
            timeout_s: The maximum number of seconds to wait.

        Raises:
            TimeoutError: The time ran out first; the message says what delays the projection.
            ProjectionError: A projection has ended with an error, which is the cause of this one.
            ConnectionError: The database cannot be reached. Safe to retry.
        """
        await wait_for(self._log, position, [one.name for one in self.projections], timeout_s=timeout_s)


@asynccontextmanager
async def run(
    connection: DatabaseConnection | PostgreSQLAdapter,
    projections: Iterable[Projection[Any]],
    *,
    partitions: int | None = None,
    lease_s: float = LEASE_S,
) -> AsyncIterator[Supervisor]:
    """Fold projections with tasks of this process until the end of the block.

    Any number of processes may do so: one of them works on each partition of a projection, and the others stand by. A
    projection that fails is logged and ends; the others and the block go on, and `Supervisor.wait_for` raises.

    Args:
        connection: The connection to the database of the log and the tables.
        projections: The projections.
        partitions: Split each projection into this number of partitions first. The number is stored in the database
            and applies to all processes; the last one set wins. None leaves it unchanged.
        lease_s: Seconds after which another process takes over from one that was killed.

    Raises:
        LimitError: `partitions` is not 1 to 256, or `lease_s` is not above 0.
        ConfigurationError: Two projections have the same name, or a projection already runs here.
        ConnectionError, TimeoutError: The number of partitions could not be set. Safe to retry.
    """
    check_seconds("lease_s", lease_s, is_finite=True)
    if partitions is not None:
        check_count("partitions", partitions, most=PARTITIONS_MAX)
    log = log_of(connection)
    supervisor = Supervisor(log, projections, lease_s=lease_s)
    supervisor.require_single()
    if partitions is not None:
        for one in supervisor.projections:
            await ensure_partitions(log, one, partitions)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()
