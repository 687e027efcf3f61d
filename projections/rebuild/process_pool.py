"""The shards of a rebuild, done by this process, or by others that it starts for it.

`concurrent.futures.ProcessPoolExecutor` was tried, and does not keep what a rebuild promises. It cannot end
a running job: a cancelled rebuild would wait until each process has finished its shard, which may take hours.
If the process of the rebuild is killed, the workers of the executor finish their shards and then wait for
ever, with their connections open. The executor also has no way to report progress while a job runs. So each
process has a pipe of its own here. Jobs go in, progress and results come out, and the end of the pipe tells
either side that the other one is gone.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from eventstore.core.registry import registry
from eventstore.database.cancellation import end
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import ConnectionFactory, DatabaseConnection
from eventstore.database.server import ServerIdentity
from eventstore.errors import ConfigurationError, RebuildError
from eventstore.garbage_collection import allowed, collecting_rarely
from eventstore.log.event_log import EventLog
from eventstore.printable import text_of_error
from projections.projection import Projection

T_co = TypeVar("T_co", covariant=True)

PROCESSES_MAX = 64
"""The maximum number of processes of one rebuild."""

_USUAL_MAX = 4  # the server needs processors too
_POOL = 2  # a shard uses one connection at a time
_END_TIMEOUT_S = 5.0

OnProgress = Callable[[int, int], None]
"""A callback that receives the position reached, and the number of events folded."""


class Job(Protocol[T_co]):
    """A shard of the work; it can be sent to another process."""

    async def run(
        self, log: EventLog, projection: Projection[Any], on_progress: OnProgress, left: dict[Any, Any]
    ) -> T_co:
        """Do it.

        Args:
            log: The log.
            projection: The projection.
            on_progress: Receives the progress.
            left: What earlier jobs of this process have left for later ones.
        """


def usual_processes() -> int:
    """Return the default number of processes of a rebuild: the number of available processors, at most four."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _USUAL_MAX
    )


class ProcessPool:
    """The helpers, or this process if there are none; `process_pool` makes one.

    This process does no shard beside its helpers: they postpone garbage collection, and its event loop stays free.
    """

    def __init__(self, log: EventLog, projection: Projection[Any], helpers: Sequence[_Process]) -> None:
        self._log = log
        self._projection = projection
        self._helpers = helpers
        self._left: dict[Any, Any] = {}

    @property
    def processes(self) -> int:
        """The number of processes that do shards."""
        return len(self._helpers) or 1

    def leave(self, name: Any, what: Any) -> None:
        """Leave something for the jobs of this process."""
        self._left[name] = what

    async def run(self, jobs: Sequence[Job[T_co]], on_progress: OnProgress) -> list[T_co]:
        """Do jobs, one in each process at a time; return their results in the order of the jobs.

        A process takes the jobs of every n-th number first, so that it finds what it has left for them.

        Args:
            jobs: The jobs, all of one range of positions.
            on_progress: Receives the mean of their positions, and the sum of their events.

        Raises:
            Exception: The error of the first job that failed; the others are abandoned.
        """
        runs = [one.run for one in self._helpers] or [self._run_here]
        waiting = [list(range(first, len(jobs), len(runs))) for first in range(len(runs))]
        results: list[Any] = [None] * len(jobs)
        reached = [(0, 0)] * len(jobs)

        async def work(run: Callable[[Job[Any], OnProgress], Any], own: list[int]) -> None:
            while own or any(waiting):
                number = own.pop(0) if own else max(waiting, key=len).pop()

                def report(position: int, events: int, number: int = number) -> None:
                    reached[number] = (position, events)
                    on_progress(
                        sum(position for position, _ in reached) // len(reached),
                        sum(events for _, events in reached),
                    )

                results[number] = await run(jobs[number], report)

        if not self._helpers:
            await work(self._run_here, waiting[0])
            return results
        tasks = [asyncio.create_task(work(run, own)) for run, own in zip(runs, waiting, strict=True)]
        try:
            await asyncio.gather(*tasks)
        finally:
            await end(*tasks)
        return results

    async def _run_here(self, job: Job[Any], on_progress: OnProgress) -> Any:
        return await job.run(self._log, self._projection, on_progress, self._left)


@asynccontextmanager
async def process_pool(
    log: EventLog, projection: Projection[Any], processes: int
) -> AsyncIterator[ProcessPool]:
    """Start so many helpers, unless one process is enough, and end them with the block.

    Raises:
        ConfigurationError: The projection or the classes of its events cannot be loaded in another process.
    """
    helpers: list[_Process] = []
    try:
        if processes > 1:
            setup = _Setup.of(log, projection)
            helpers += [_Process(setup) for _ in range(processes)]
        yield ProcessPool(log, projection, helpers)
    finally:
        await asyncio.gather(*(helper.end() for helper in helpers))


@dataclass(frozen=True)
class _Setup:
    """What a helper needs before its first job.

    Attributes:
        config: The settings of the database.
        projection: The class of the projection.
        version: Its version.
        modules: The modules of event classes and upcasters.
        events: The known event classes and upcasters, to check that the helper has the same.
        server: The server that the jobs are valid for; None if unknown.
    """

    config: DatabaseConfig
    projection: type[Projection[Any]]
    version: int
    modules: tuple[str, ...]
    events: tuple[tuple[str, str, int], ...]
    server: ServerIdentity | None

    @classmethod
    def of(cls, log: EventLog, projection: Projection[Any]) -> _Setup:
        kind = type(projection)
        advice = "rebuild it with one process"
        if log.classes is not registry:
            raise ConfigurationError(f"the log's own event classes exist only in this process: {advice}")
        if not isinstance(log.connection, DatabaseConnection):
            raise ConfigurationError(
                "a rebuild in several processes needs a connection of the library, whose settings it can copy: "
                f"{advice}"
            )
        try:
            kind()
            pickle.dumps(kind)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ConfigurationError(
                f"projection {projection.name} cannot be created in another process: its class must be importable and "
                f"take no constructor arguments; or {advice}: {error}"
            ) from error
        functions = (one.function for one in registry.upcasters.values())
        modules = {one.__module__ for one in (*registry, *functions)} - {"__main__", "__mp_main__"}
        return cls(
            log.connection.config,
            kind,
            projection.version,
            tuple(sorted(modules)),
            _known_events(),
            log.server.identity,
        )

    def take(self) -> Projection[Any]:
        for module in self.modules:
            importlib.import_module(module)
        if _known_events() != self.events:
            raise RebuildError(
                "another process knows other event classes or upcasters than this one: rebuild with one process, or "
                "define them in modules that can be imported"
            )
        return self.projection()


def _known_events() -> tuple[tuple[str, str, int], ...]:
    return tuple(sorted((*registry.current, *registry.upcasters)))


class _Process:
    """Another process, as seen by this one."""

    def __init__(self, setup: _Setup) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would share sockets and threads with this process
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, setup), name="eventstore rebuild helper", daemon=True
        )
        self._process.start()
        theirs.close()

    async def run(self, job: Job[Any], on_progress: OnProgress) -> Any:
        """Run a job in the process.

        Raises:
            RebuildError: The process has ended.
        """
        async with _messages(self._pipe) as messages:
            with suppress(OSError):  # if the process has ended, no answer comes
                self._pipe.send(job)
            while True:
                kind, what = await messages.get()
                if kind == "progress":
                    on_progress(*what)
                elif kind == "result":
                    return what
                elif kind == "error":
                    raise what
                else:
                    raise RebuildError(
                        "a process for a shard of the table has ended: run it again, or with one process. A script "
                        'that starts a rebuild must guard its start with `if __name__ == "__main__":`, since each process imports it'
                    )

    async def end(self) -> None:
        """End the process; its uncommitted work is rolled back."""
        self._pipe.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.join, _END_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join)
        self._process.close()


@asynccontextmanager
async def _messages(pipe: Connection) -> AsyncIterator[asyncio.Queue[Any]]:
    """Read the messages of a pipe into a queue during a block; `("gone", None)` is the last one."""
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[Any] = asyncio.Queue()

    def read() -> None:
        try:
            messages.put_nowait(pipe.recv())
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())
            messages.put_nowait(("gone", None))

    loop.add_reader(pipe.fileno(), read)
    try:
        yield messages
    finally:
        loop.remove_reader(pipe.fileno())


# ---- in the other process ------------------------------------------------------------------------------------


def _serve(pipe: Connection, setup: _Setup) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the terminal interrupts all processes, but the parent ends this one
    with allowed(), collecting_rarely(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve_until_told(pipe, setup))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory if it is installed."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


async def _serve_until_told(pipe: Connection, setup: _Setup) -> None:
    async with _messages(pipe) as messages:
        jobs = asyncio.create_task(_do_jobs(pipe, setup, work := asyncio.Queue[Any]()))
        while (message := await messages.get()) != ("gone", None):
            work.put_nowait(message)
        await end(jobs)


async def _do_jobs(pipe: Connection, setup: _Setup, jobs: asyncio.Queue[Any]) -> None:
    connection: DatabaseConnection | None = None
    left: dict[Any, Any] = {}
    try:
        while True:
            job = await jobs.get()
            try:
                if connection is None:
                    projection = setup.take()
                    connection = await ConnectionFactory.create_connection(
                        setup.config.replace(min_pool_size=1, max_pool_size=_POOL)
                    )
                    log = EventLog(connection)
                with log.server.steady():
                    log.server.require(setup.server)
                    result = await job.run(
                        log, projection, lambda *reached: pipe.send(("progress", reached)), left
                    )
            except Exception as error:  # noqa: BLE001 - the process that sent the job raises it
                pipe.send(("error", _portable(error)))
            else:
                pipe.send(("result", result))
    finally:
        if connection is not None:
            await connection.close()


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - pickling may raise any error
        return RebuildError(text_of_error(error))
    return error
