"""How far projections have folded, and waiting for a position."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from eventstore.database.access import reading
from eventstore.database.protocols import the_row
from eventstore.errors import (
    ConfigurationError,
    EventStoreError,
    ProjectionError,
    RestoredLogError,
    TimeoutError,
)
from eventstore.limits import check_position, check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.wakeups import Wakeups
from eventstore.loop_stalls import TimeLimit
from eventstore.sql import load
from eventstore.status import cause_of_lag

_EXPLAINED_WITHIN_S = 2.0  # the caller has waited for as long as it wanted


class Progress:
    """The projections of a log that this process folds.

    Attributes:
        progressed: Wakes the tasks that wait for a projection of this process to fold something.
        tasks: The tasks that fold, by the name of their projection.
        awaited: Set while a task of this process waits for the read tables: workers then fold at once.
        storing_segments: Held while a worker of this process stores segments of the log beside its batches.
    """

    def __init__(self) -> None:
        self.progressed = Wakeups()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.awaited = asyncio.Event()
        self.storing_segments = asyncio.Lock()
        self._waiting = 0

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Let the workers of this process fold at once during a block."""
        self._waiting += 1
        self.awaited.set()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.awaited.clear()


_known: WeakKeyDictionary[EventLog, Progress] = WeakKeyDictionary()


def progress_of(log: EventLog) -> Progress:
    """Return the progress of a log; always the same object for the same log."""
    progress = _known.get(log)
    if progress is None:
        progress = _known[log] = Progress()
    return progress


async def list_partitions(log: EventLog, projection: str) -> list[Any]:
    """Return the partitions of a projection in order, with positions and leases; empty if it was never folded.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
    """
    async with reading(log.connection) as connection:
        rows: list[Any] = await connection.fetch(load("projections/list_partitions", connection), projection)
        return rows


async def folded_through(log: EventLog, projection: str) -> int:
    """Return the position up to which every event is in the table; errors as in `list_partitions`."""
    return min((partition["position"] for partition in await list_partitions(log, projection)), default=0)


async def wait_for(
    log: EventLog, position: int, projections: Iterable[str], *, known: Iterable[str] = (), timeout_s: float
) -> None:
    """Wait until the tables of projections have every event up to a position, whichever process folds them.

    It does not wait for the rows of keys in quarantine. The number of partitions may change meanwhile.

    Args:
        log: The log.
        position: The position.
        projections: The projections' names.
        known: Names that are valid even if no worker has folded them yet.
        timeout_s: The maximum number of seconds to wait.

    Raises:
        LimitError: `position` is below 0, or `timeout_s` not above 0.
        ConfigurationError: No projection has a given name: it is not folded here, and no worker ever folded it.
        TimeoutError: The time ran out first; the message says what delays the projection.
        ProjectionError: The worker of a projection in this process has ended with an error, which is the cause
            of this one.
        ConnectionError: The database cannot be reached. Safe to retry.
    """
    check_position("position", position)
    check_seconds("timeout_s", timeout_s)
    name = ""
    try:
        async with TimeLimit(timeout_s):
            with progress_of(log).hurry():
                log.wakeups.wake()  # also the workers of other categories: their checkpoints must pass the position
                for name in projections:
                    await _wait_for(log, position, name, frozenset(known))
    except TimeoutError:
        raise
    except builtins.TimeoutError as error:
        cause = await _explain(log, position, name)
        raise TimeoutError(
            f"the table of projection {name} did not reach position {position} within {timeout_s} s "
            f"(timeout_s): {cause}"
        ) from error


async def _explain(log: EventLog, position: int, name: str) -> str:
    """Return what delays a projection; it takes little time, even if the database does not answer."""
    try:
        async with TimeLimit(_EXPLAINED_WITHIN_S):
            await log.read_mark(position)
            async with reading(log.connection) as connection:
                return cause_of_lag(
                    the_row(await connection.fetchrow(load("projections/explain_lag", connection), name))
                )
    except RestoredLogError as beyond:
        return str(beyond)
    except EventStoreError as error:
        return f"the reason could not be read: {error}"
    except builtins.TimeoutError:
        return f"the database has not answered for {_EXPLAINED_WITHIN_S:g} s"


async def _wait_for(log: EventLog, position: int, name: str, known: frozenset[str]) -> None:
    progress = progress_of(log)
    with progress.progressed.listen() as listener:
        while True:
            listener.begin()
            partitions = await list_partitions(log, name)
            if partitions and min(partition["position"] for partition in partitions) >= position:
                return
            if not partitions and name not in known and name not in progress.tasks:
                names = ", ".join(sorted(known | progress.tasks.keys()))
                raise ConfigurationError(
                    f"there is no projection {name}, and no worker ever folded one of that name: choose from {names}"
                )
            task = progress.tasks.get(name)
            if task is not None and task.done() and not task.cancelled():
                raise ProjectionError(f"the worker of projection {name} has ended") from task.exception()
            await listener.wait()
