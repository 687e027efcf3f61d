"""Wake-ups: an append wakes the readers of the log that have found nothing. They also poll."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.waiting import Backoff, wait_until_set

if TYPE_CHECKING:
    from eventstore.log.signals import Signals

# An append wakes its own process at once, and others by NOTIFY. In addition, readers poll at these
# intervals, which double from the first to the longest while there is no event.
_POLL_FIRST_S = 0.005
_POLL_MAX_S = 0.25
# The longest interval if NOTIFY arrives: a lost NOTIFY delays a reader by at most this.
_POLL_LISTENING_MAX_S = 1.0


class Wakeups:
    """Notifies the readers of this process that something was appended. It is only a hint.

    Attributes:
        signals: Carries wake-ups to and from other processes; None for wake-ups within this process
            only.
    """

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._readers: dict[str, list[Listener]] = {}
        """The listeners that read a category, for the categories that were appended since the last listener came or went."""
        self.signals: Signals | None = None

    def notify(self, categories: Collection[str] | None = None) -> None:
        """Wake the waiting readers, in this and in other processes.

        Args:
            categories: The categories of what was appended: readers of others in this process sleep on. None for any.
        """
        self.wake(categories)
        if self.signals is not None:
            self.signals.send()

    def wake(self, categories: Collection[str] | None = None) -> None:
        """Wake the waiting readers of this process; see `notify`."""
        if categories is None:
            for listener in self._listeners:
                listener.wake()
            return
        for category in categories if len(categories) == 1 else set(categories):
            readers = self._readers.get(category)
            if readers is None:
                readers = self._readers[category] = [one for one in self._listeners if one.reads(category)]
            for listener in readers:
                listener.wake()

    @property
    def poll_max_s(self) -> float:
        """The longest polling interval of a reader that has found nothing, in seconds."""
        is_listening = self.signals is not None and self.signals.is_listening
        return _POLL_LISTENING_MAX_S if is_listening else _POLL_MAX_S

    @contextmanager
    def listen(self, categories: Collection[str] | None = None) -> Iterator[Listener]:
        """Yield a listener for a block; each append of its categories wakes it.

        Args:
            categories: The categories that it reads; None for all.
        """
        if self.signals is not None:
            self.signals.listen()
        listener = Listener(self, categories)
        self._listeners.add(listener)
        self._readers.clear()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._readers.clear()


class Listener:
    """A reader that looks for events, and waits if it finds none.

    It calls `begin` before it looks. Then it calls `found` if it found events, or else awaits
    `wait`.

    Args:
        wakeups: The wake-ups to wait for.
        categories: The categories that it reads; None for all.
    """

    def __init__(self, wakeups: Wakeups, categories: Collection[str] | None = None) -> None:
        self._categories = None if categories is None else frozenset(categories)
        self._wakeups = wakeups
        self._woken = asyncio.Event()
        self._poll = Backoff(_POLL_FIRST_S, wakeups.poll_max_s)

    def reads(self, category: str) -> bool:
        """Whether it reads a category."""
        return self._categories is None or category in self._categories

    @property
    def is_woken(self) -> bool:
        """Whether the next wait ends at once."""
        return self._woken.is_set()

    def begin(self) -> None:
        """Begin to look: an append from now on ends the next wait at once."""
        self._woken.clear()

    def found(self) -> None:
        """Record that there were events: the next wait is short."""
        self._poll.reset()

    def wake(self) -> None:
        """End the current wait, or the next one."""
        self._woken.set()

    async def wait(self) -> None:
        """Wait for the next append, or until it is time to poll."""
        self._poll.max_s = self._wakeups.poll_max_s
        if await wait_until_set(self._woken, self._poll.next_s()):
            self._poll.reset()
