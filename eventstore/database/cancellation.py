"""Finishing what must not be left half done when its caller is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["finish"]

_T = TypeVar("_T")


async def finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end even where the caller is cancelled, then let the cancellation go on.

    The work must bound its own time, since nothing interrupts it.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended, and its result or error is lost.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not task.cancelled():
            task.exception()  # marks it as retrieved
        raise asyncio.CancelledError
    return task.result()
