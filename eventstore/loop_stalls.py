"""Stalls of the event loop, and time limits that leave them out.

Code that never awaits, a debugger, SIGSTOP or a suspended machine stop the event loop. When it runs again, every timer
is due at once, although the answers may be there already; and the server may have ended what was open. So time limits
do not count a stall, and errors that follow one name it.

A stall shows when a timer fires late. A timer runs only while a connection is lent, so an idle program stays idle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

_logger = logging.getLogger(__name__)

_LATE_S = 0.25  # a busy machine makes timers later than usual, but not by this much
_TICK_S = 0.25
_TOLD_S = 5.0


def _clock() -> Callable[[], float]:
    # The clock of the event loop does not count the time in which the machine is suspended.
    number = getattr(time, "CLOCK_BOOTTIME", None)
    try:
        time.clock_gettime(number)  # type: ignore[arg-type]
    except (TypeError, OSError):
        return time.monotonic
    return partial(time.clock_gettime, number)  # type: ignore[arg-type]


now_s = _clock()
"""Return the time in seconds, by a clock that also runs while the machine is suspended."""


@dataclass(slots=True)
class Stall:
    """A time in which the event loop did not run.

    Attributes:
        began_s: Its beginning or a little later, by `now_s`.
        ended_s: Its end.
        is_told: Whether the log has it.
    """

    began_s: float
    ended_s: float
    is_told: bool = False

    def __str__(self) -> str:
        return f"the event loop did not run for {self.ended_s - self.began_s:.1f} s"

    def tell(self) -> None:
        """Log it, once."""
        if not self.is_told:
            self.is_told = True
            _logger.warning(
                "%s, so the server may have ended open transactions, and leases of this process may have expired; what was "
                "interrupted is done again; find what blocks the loop with PYTHONASYNCIODEBUG=1, unless the process or the "
                "machine was stopped",
                self,
            )


class LoopWatch:
    """Knows the stalls of one event loop; `watch` returns that of the running one.

    Attributes:
        last: The latest stall; None if there was none.
        stalled_s: The seconds of all stalls.
        pools: How many pools of this loop are open; without one a stall harms nobody.
    """

    def __init__(self) -> None:
        self.last: Stall | None = None
        self.stalled_s = 0.0
        self.pools = 0
        self._lent = 0
        self._is_ticking = False
        self._due_s = 0.0

    def begin(self) -> float:
        """Watch the loop from now on, because a connection is lent; return the time. Call `end` later."""
        self._lent += 1
        if not self._is_ticking:
            self._tick_later()
        return now_s()

    def end(self) -> None:
        """End what `begin` has begun."""
        self._lent -= 1

    def _tick_later(self) -> None:
        self._is_ticking = True
        self._due_s = now_s() + _TICK_S
        asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self.note(now_s() - self._due_s)
        self._is_ticking = False
        if self._lent:
            self._tick_later()

    def note(self, late_s: float) -> float:
        """Take in that a timer fires late by some seconds; return them, or 0.0 if it is no stall."""
        if late_s < _LATE_S:
            return 0.0
        ended_s = now_s()
        began_s, stall = ended_s - late_s, self.last
        if stall is None or began_s >= stall.ended_s:
            stall = self.last = Stall(began_s, ended_s)
            self.stalled_s += late_s
        elif began_s < stall.began_s:  # several timers show one stall
            self.stalled_s += stall.began_s - began_s
            stall.began_s = began_s
        if self.pools and stall.ended_s - stall.began_s >= _TOLD_S:
            asyncio.get_running_loop().call_soon(stall.tell)  # first, other timers may show more of it
        return late_s

    def stall_since(self, since_s: float) -> Stall | None:
        """Return the latest stall if it ended after a time by `now_s`."""
        return self.last if self.last is not None and self.last.ended_s > since_s else None


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch] = WeakKeyDictionary()


def watch() -> LoopWatch:
    """Return the watch of the running event loop."""
    loop = asyncio.get_running_loop()
    known = _watches.get(loop)
    if known is None:
        known = _watches[loop] = LoopWatch()
    return known


def explained(since_s: float) -> bool:
    """Whether the loop has stalled since a time by `now_s`; the log then says so once, in place of what followed."""
    stall = watch().stall_since(since_s)
    if stall is not None:
        stall.tell()
    return stall is not None


class Stopwatch:
    """Measures the seconds in which the event loop ran."""

    __slots__ = ("_began_s", "_stalled_s", "_watch")

    def __init__(self) -> None:
        self._watch = watch()
        self._began_s = now_s()
        self._stalled_s = self._watch.stalled_s

    @property
    def elapsed_s(self) -> float:
        """The seconds until now, without stalls."""
        return max(0.0, now_s() - self._began_s - (self._watch.stalled_s - self._stalled_s))


class TimeLimit:
    """As `asyncio.timeout`, but a stall does not count: after it, what is awaited has as long again as it lasted.

    It is at most as long as the limit. What has arrived in the meantime is received first.
    """

    __slots__ = ("_handle", "_limit_s", "_loop", "_timeout")

    def __init__(self, seconds: float) -> None:
        self._limit_s = max(seconds, 0.0)

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._handle = FairTimer(self._loop, self._limit_s, self.expire)

    def expire(self) -> None:
        """End the block now, as where the time has run out."""
        if not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)


def _do_nothing() -> None:
    pass


class FairTimer:
    """A timer that begins again, with the length of the stall, if the event loop stalled until after it was due.

    All that it adds is at most its delay, so it fires even if the loop stalls again and again.
    """

    __slots__ = ("_arguments", "_callback", "_handle", "_left_s", "_loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        delay_s: float,
        callback: Callable[..., object],
        *arguments: Any,
    ) -> None:
        self._loop = loop
        self._left_s = delay_s
        self._callback = callback
        self._arguments = arguments
        self._handle = loop.call_later(delay_s, self._fire)

    def cancel(self) -> None:
        """Cancel it, and let go of the callback: it may lead back to this timer, and on to a task with a large result."""
        self._handle.cancel()
        self._callback, self._arguments = _do_nothing, ()

    def _fire(self) -> None:
        late_s = watch().note(self._loop.time() - self._handle.when())
        more_s = min(late_s, self._left_s)
        if more_s > 0:
            self._left_s -= more_s
            self._handle = self._loop.call_later(more_s, self._fire)
        else:
            self._callback(*self._arguments)


class FairLoop:
    """An event loop whose timers are fair, for the driver: `asyncpg.connect(loop=FairLoop(loop))`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)

    def call_later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> FairTimer:
        """As the loop's."""
        return FairTimer(self.loop, delay_s, callback, *arguments)
