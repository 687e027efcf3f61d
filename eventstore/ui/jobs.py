"""Work that takes longer than a request: a rebuild, a verification. One of each name at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from eventstore.database.cancellation import end
from eventstore.printable import text_of_error

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """A piece of work, running or over.

    Attributes:
        name: What it works on.
        by: Who began it; empty if unknown.
        began_at: When.
        progress: What it has reported last; None before that.
        result: What it returned; None while it runs, or if it failed.
        error: Why it failed; None if it did not.
    """

    name: str
    by: str
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    progress: Any = None
    result: Any = None
    error: str | None = None
    task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it is not over."""
        return self.task is not None and not self.task.done()

    def report(self, progress: Any) -> None:
        """Keep the progress."""
        self.progress = progress


class Jobs:
    """The jobs of one inspector; the last one of each name is kept."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def get(self, name: str) -> Job | None:
        """Return the last job of a name."""
        return self._jobs.get(name)

    def begin(self, name: str, work: Callable[[Job], Coroutine[Any, Any, Any]], *, by: str) -> Job:
        """Begin a job, unless one of its name is running; return the running one."""
        running = self._jobs.get(name)
        if running is not None and running.is_running:
            return running
        job = self._jobs[name] = Job(name, by)
        job.task = asyncio.create_task(_run(job, work), name=f"eventstore inspector: {name}")
        return job

    async def stop(self) -> None:
        """Cancel the jobs that are running, and wait until they have ended."""
        await end(*(job.task for job in self._jobs.values() if job.task is not None and not job.task.done()))


async def _run(job: Job, work: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
    try:
        job.result = await work(job)
    except asyncio.CancelledError:
        job.error = "it was interrupted"
        raise
    except Exception as error:
        _logger.warning("%s failed", job.name, exc_info=error)
        job.error = text_of_error(error)
