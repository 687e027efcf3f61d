"""Folding projections by tasks of this process, for a block."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.cancellation import end
from eventstore.database.connection import DatabaseConnection
from eventstore.errors import ConfigurationError
from eventstore.limits import check_count, check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.shared import log_of
from projections.engine.lanes import LANES_MAX, ensure_lanes
from projections.engine.lease import LEASE_S
from projections.engine.progress import progress_of, wait_for
from projections.engine.runner import ProjectionRunner
from projections.projection import Projection

__all__ = ["Running", "run"]

_logger = logging.getLogger(__name__)

_WAIT_TIMEOUT_S = 30.0


class Running:
    """Projections that are folded by tasks of this process; `run` gives one.

    Attributes:
        projections: The projections.
        tasks: The task of each, in the same order; one that has ended has failed.
    """

    def __init__(
        self, log: EventLog, projections: Sequence[Projection[Any]], tasks: Sequence[asyncio.Task[None]]
    ) -> None:
        self.projections = tuple(projections)
        self.tasks = tuple(tasks)
        self._log = log

    async def wait_for(self, position: int, *, timeout_s: float = _WAIT_TIMEOUT_S) -> None:
        """Wait until all their tables have every event up to a position.

        The rows of keys in quarantine are not waited for.

        Args:
            position: The position, such as a Unit of Work's `last_position`.
            timeout_s: Seconds to wait at most.

        Raises:
            TimeoutError: The time was over first; the message says what holds it up.
            ProjectionError: A projection has ended with an error, which is its cause.
            ConnectionError: The database cannot be reached. Safe to retry.
        """
        await wait_for(self._log, position, [one.name for one in self.projections], timeout_s=timeout_s)


@asynccontextmanager
async def run(
    connection: DatabaseConnection | PostgreSQLAdapter,
    projections: Iterable[Projection[Any]],
    *,
    lanes: int | None = None,
    lease_s: float = LEASE_S,
) -> AsyncIterator[Running]:
    """Fold projections by tasks of this process until the end of the block.

    Any number of processes may do so: each lane of a projection is worked on by one of them, the others stand by. A
    projection that fails is logged and ends; the others, and the block, go on, and `Running.wait_for` raises.

    Args:
        connection: Where the log and the tables are.
        projections: The projections.
        lanes: Split each into this number of lanes first; the number is the projection's, kept in the database, so that
            the last to set it decides for all processes. None: as it is.
        lease_s: Seconds after which another process takes over from one that was killed.

    Raises:
        LimitError: `lanes` is not 1 to 256, or `lease_s` is not above 0.
        ConfigurationError: Two projections have one name, or a projection runs here already.
        ConnectionError, TimeoutError: The number of lanes could not be set. Safe to retry.
    """
    check_seconds("lease_s", lease_s, is_finite=True)
    if lanes is not None:
        check_count("lanes", lanes, most=LANES_MAX)
    log = log_of(connection)
    chosen = list(projections)
    running = progress_of(log).tasks
    names = [one.name for one in chosen]
    for name in names:
        if names.count(name) > 1 or (name in running and not running[name].done()):
            raise ConfigurationError(f"projection {name} runs in this process already: run it once")
    if lanes is not None:
        for one in chosen:
            await ensure_lanes(log, one, lanes)
    tasks = []
    for one in chosen:
        runner = ProjectionRunner(log, one, lease_s=lease_s)
        task = asyncio.create_task(runner.run(), name=f"eventstore projection {one.name}")
        task.add_done_callback(_report)
        tasks.append(task)
        running[one.name] = task
    try:
        yield Running(log, chosen, tasks)
    finally:
        try:
            await end(*tasks)
        finally:
            for name, task in zip(names, tasks, strict=True):
                if running.get(name) is task:
                    del running[name]


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("%s has ended: %s", task.get_name(), error, exc_info=error)
