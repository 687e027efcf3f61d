"""Waiting: delays that double, and events that are awaited for a limited time."""

from __future__ import annotations

import asyncio
import random

from eventstore.loop_stalls import watch


class Backoff:
    """Delays that double, from the first to the longest.

    Args:
        first_s: Seconds of the first delay.
        max_s: Seconds of the longest delay.
        jitter: The share by which a delay is randomly lengthened or shortened, so that processes do not retry in
            lockstep.

    Attributes:
        max_s: Seconds of the longest delay; it may be changed.
    """

    __slots__ = ("_first_s", "_jitter", "_next_s", "max_s")

    def __init__(self, first_s: float, max_s: float, *, jitter: float = 0.0) -> None:
        self.max_s = max_s
        self._first_s = first_s
        self._jitter = jitter
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds of the next delay; the one after it is twice as long."""
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self.max_s)
        if self._jitter:
            delay_s *= random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - not for secrets
        return delay_s

    def reset(self) -> None:
        """Begin with the first delay again."""
        self._next_s = self._first_s


async def wait_until_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait until an event is set or the time has run out; return whether the event is set."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            await event.wait()
    except TimeoutError:
        due_s = limit.when()
        if due_s is not None:
            watch().note(asyncio.get_running_loop().time() - due_s)
        return event.is_set()
    return True
