"""Following the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.domain.event import RecordedEvent
from eventstore.limits import check_count, check_position
from eventstore.log.unreadable import OnUnreadable, UnreadableEvent, unreadable_handler

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog
    from eventstore.log.signals import Signals

__all__ = ["Subscription", "Wakeups", "wait_for_bell"]

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
        self._bells: set[asyncio.Event] = set()
        self.signals: Signals | None = None

    def notify(self) -> None:
        """Wake every reader that waits, here and in other processes."""
        self.ring()
        if self.signals is not None:
            self.signals.send()

    def ring(self) -> None:
        """Wake every reader of this process that waits."""
        for bell in self._bells:
            bell.set()

    @property
    def poll_max_s(self) -> float:
        """Seconds that a reader which has found nothing for a while may wait before it looks by itself."""
        is_listening = self.signals is not None and self.signals.is_listening
        return _POLL_LISTENING_MAX_S if is_listening else _POLL_MAX_S

    @contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """Give an event that is set at each append; the reader clears it."""
        if self.signals is not None:
            self.signals.listen()
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)


async def wait_for_bell(bell: asyncio.Event, timeout_s: float) -> bool:
    """Wait until the bell rings or the time is over; return whether it rang."""
    try:
        async with asyncio.timeout(timeout_s):
            await bell.wait()
    except TimeoutError:
        return False
    return True


class Subscription:
    """The settled events of a log in order, each once, for ever: iterate over it.

    After an error, or a restart, make a new one after the last event's `position`. An event that cannot be read stops it
    before that event, unless `on_unreadable` says otherwise.

    Attributes:
        position: All events up to it have been yielded, or left out as `on_unreadable` says.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        after: int,
        categories: Sequence[str] | None,
        batch_events_max: int,
        on_unreadable: OnUnreadable = "raise",
    ) -> None:
        check_count("batch_events_max", batch_events_max)
        self.position = check_position("after", after)
        self._log = log
        self._categories = categories
        self._batch_events_max = batch_events_max
        self._handle_unreadable = unreadable_handler(on_unreadable)

    async def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        """Yield event after event; waits where there is none.

        Raises:
            ConnectionError, TimeoutError: Go on with a new subscription after `position`.
            ConfigurationError: The server is a standby.
            UnknownEventTypeError, EventDecodingError: An event cannot be read; its position is the error's.
        """
        poll_s = _POLL_FIRST_S
        with self._log.wakeups.bell() as bell:
            while True:
                bell.clear()
                through = await self._log.settlement.settle(self.position)
                if through == self.position:
                    rang = await wait_for_bell(bell, poll_s)
                    poll_s = _POLL_FIRST_S if rang else min(2 * poll_s, self._log.wakeups.poll_max_s)
                    continue
                poll_s = _POLL_FIRST_S
                events = await self._log.read_range_as_stored(
                    after=self.position,
                    through=through,
                    limit=self._batch_events_max,
                    categories=self._categories,
                )
                for event in events:
                    if isinstance(event, UnreadableEvent):
                        self._handle_unreadable(event)
                        self.position = event.position
                        continue
                    self.position = event.position
                    yield event
                if len(events) < self._batch_events_max:
                    self.position = through
