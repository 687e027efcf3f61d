"""How a command runs its coroutine."""

from __future__ import annotations

import asyncio
import sys

import pytest

from eventstore.cli.running import run_long


async def loop_class() -> type[asyncio.AbstractEventLoop]:
    """The class of the event loop that runs."""
    return type(asyncio.get_running_loop())


def test_what_takes_long_runs_by_uvloop():
    """It is installed with the extra of the demo."""
    uvloop = pytest.importorskip("uvloop", reason="the extra uvloop is not installed")
    assert run_long(loop_class()) is uvloop.Loop


def test_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch):
    """The extra may be missing, as on Windows."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert issubclass(run_long(loop_class()), asyncio.BaseEventLoop)
