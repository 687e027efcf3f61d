"""Wake-ups: readers of the log that have found nothing are woken by the next append, and poll under that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.waiting import Backoff, wait_until_set

if TYPE_CHECKING:
    from eventstore.log.signals import Signals

# An append wakes its own process at once, and others by NOTIFY. Under both, readers poll: at these intervals, which
# double from the first to the longest while nothing comes.
_POLL_FIRST_S = 0.005
_POLL_MAX_S = 0.25
# Where NOTIFY arrives: for how long one that was lost may go unnoticed.
_POLL_LISTENING_MAX_S = 1.0


class Wakeups:
    """Tells the readers of this process that something was appended; a hint, never the truth.

    Attributes:
        signals: Carries it to other processes, and theirs to this one; None: it stays here.
    """

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self.signals: Signals | None = None

    def notify(self) -> None:
        """Wake every reader that waits, here and in other processes."""
        self.wake()
        if self.signals is not None:
            self.signals.send()

    def wake(self) -> None:
        """Wake every reader of this process that waits."""
        for listener in self._listeners:
            listener.wake()

    @property
    def poll_max_s(self) -> float:
        """Seconds that a reader which has found nothing for a while may wait before it looks by itself."""
        is_listening = self.signals is not None and self.signals.is_listening
        return _POLL_LISTENING_MAX_S if is_listening else _POLL_MAX_S

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Give a listener for the length of a block; each append wakes it."""
        if self.signals is not None:
            self.signals.listen()
        listener = Listener(self)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class Listener:
    """One reader that looks, and waits where it finds nothing.

    It calls `begin` before it looks, `found` where it found something, and else awaits `wait`.

    Args:
        wakeups: What wakes it.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._woken = asyncio.Event()
        self._poll = Backoff(_POLL_FIRST_S, wakeups.poll_max_s)

    def begin(self) -> None:
        """Take note that a look begins: what is appended from now on wakes the next wait."""
        self._woken.clear()

    def found(self) -> None:
        """Take note that there was something: the next wait is a short one."""
        self._poll.reset()

    def wake(self) -> None:
        """End the wait that is under way, or the next one."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait for the next append, or until it is time to look all the same."""
        self._poll.max_s = self._wakeups.poll_max_s
        if await wait_until_set(self._woken, self._poll.next_s()):
            self._poll.reset()
