"""Tasks of which nobody awaits the result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_logger = logging.getLogger(__name__)


def started(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Start work in a task; if it fails, that is logged."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_failure)
    return task


def retrieve(done: asyncio.Future[Any]) -> None:
    """Retrieve an error that nobody awaits any more, so that the event loop does not report it."""
    if not done.cancelled():
        done.exception()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("%s has ended: %s", task.get_name(), error, exc_info=error)
