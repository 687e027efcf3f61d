"""The event loop of the measurements: uvloop's where it is installed, as a user would have it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["loop_name", "run"]

T = TypeVar("T")

try:
    import uvloop
except ImportError:
    _factory = None
else:
    _factory = uvloop.new_event_loop


def loop_name() -> str:
    """What the loop is called in the report."""
    return "asyncio" if _factory is None else "uvloop"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, and return the result."""
    with asyncio.Runner(loop_factory=_factory) as runner:
        return runner.run(work)
