"""Following the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.domain.event import RecordedEvent
from eventstore.errors import RestoredLogError, ServerChangedError
from eventstore.limits import check_count, check_position
from eventstore.log.page_size import PageSize
from eventstore.log.unreadable import OnUnreadable, Readable, UnreadableEvent, unreadable_handler

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog
    from eventstore.log.signals import Signals

__all__ = ["FollowedPlace", "Mark", "Subscription", "Wakeups", "wait_for_bell"]

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


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a reader stands, and the event by which another server's log is told to have what was read.

    Attributes:
        position: Everything up to it was read.
        event_position: The position of the last event up to there; None: there is none.
        event_id: Its id; None: there is none.
    """

    position: int
    event_position: int | None = None
    event_id: UUID | None = None

    @classmethod
    def of(cls, position: int, row: Any) -> Mark:
        """Return the mark of a position, from what the log has there.

        Raises:
            RestoredLogError: The log ends before the position.
        """
        end = max(row["head"], row["sequence"] or 0)
        if position > end:
            raise RestoredLogError.of(
                f"position {position} is beyond the end of the log, which is at {end}: it was read from a log that had "
                "more events, which a restore or a fail-over has lost; read again from a position that this log has",
                position=position,
                end=end,
            )
        return cls(position, row["position"], row["event_id"])

    def require_kept(self, now: Mark) -> None:
        """Check that the log still has the event that this mark knows.

        Raises:
            RestoredLogError: It has another one there, or none.
        """
        if (now.event_position, now.event_id) != (self.event_position, self.event_id):
            raise RestoredLogError.of(
                f"the event {self.event_id} at position {self.event_position}, which was read, is not in the log any more: "
                "a restore or a fail-over has lost it, and what it was followed by; read again from a position whose "
                "events are known to be there",
                position=self.event_position,
                end=now.event_position,
            )


class FollowedPlace:
    """Where somebody who follows the log is in it, whichever server it is on.

    Attributes:
        position: All events up to it were given out.
        generation: Of the server that this is known of; None: it has not begun.
    """

    def __init__(self, log: EventLog, after: int) -> None:
        self.position = after
        self.generation: int | None = None
        self._log = log
        self._mark = Mark(after)

    def reach(self, position: int, event_id: UUID) -> None:
        """Take note that an event was given out."""
        self.position = position
        self._mark = Mark(position, position, event_id)

    async def settle(self) -> int:
        """Return up to where there are final events to read, in a `steady` block of `generation`.

        Raises:
            ServerChangedError: Another server has taken over meanwhile: call it again.
            RestoredLogError: The log ends before `position`; or it lacks the last event that was given out.
            EventStoreError: As `Settlement.settle`.
        """
        if self.generation != self._log.server.generation:
            await self._begin()
        with self._log.server.steady(self.generation):
            return await self._log.settlement.settle(self.position)

    async def _begin(self) -> None:
        """Begin on a server: at the first position, or, where another one had been before, after the last event given out.

        Behind that there may be events here that the server before did not have.
        """
        with self._log.server.steady() as generation:
            mark = await self._log.read_mark(self._mark.position)
            if self.generation is not None:
                self._mark.require_kept(mark)
                if self.position > self._mark.position:
                    await self._log.read_mark(self.position)
                    self.position = self._mark.position
        self._mark, self.generation = mark, generation


class Subscription:
    """The settled events of a log in order, each once, for ever: iterate over it.

    After an error, iterate over it again: it goes on after `position`. Where another server has taken over meanwhile, it makes
    sure that the log has what was yielded; a new subscription after `position` cannot know that. After a restart of the
    program make a new one. An event that cannot be read stops it before that event, unless `on_unreadable` says otherwise.
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
        self._size = PageSize(check_count("batch_events_max", batch_events_max))
        self._log = log
        self._categories = categories
        self._handle_unreadable = unreadable_handler(on_unreadable)
        self._place = FollowedPlace(log, check_position("after", after))

    @property
    def position(self) -> int:
        """All events up to it have been yielded, or left out as `on_unreadable` says."""
        return self._place.position

    async def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        """Yield event after event; waits where there is none.

        Raises:
            RestoredLogError: The log ends before `position`; or another server has taken over whose log lacks what was
                yielded.
            ConnectionError, TimeoutError: Iterate again.
            ConfigurationError: The server is a standby.
            UnknownEventTypeError, EventDecodingError: An event cannot be read; its position is the error's.
        """
        poll_s = _POLL_FIRST_S
        place, log = self._place, self._log
        with log.wakeups.bell() as bell:
            while True:
                bell.clear()
                try:
                    through = await place.settle()
                    events, reached = await self._read(through)
                except ServerChangedError:
                    continue  # what was settled is of the server before
                if through == place.position:
                    rang = await wait_for_bell(bell, poll_s)
                    poll_s = _POLL_FIRST_S if rang else min(2 * poll_s, log.wakeups.poll_max_s)
                    continue
                poll_s = _POLL_FIRST_S
                for event in events:
                    if isinstance(event, UnreadableEvent):
                        self._handle_unreadable(event)
                        place.reach(event.position, event.event_id)
                        continue
                    place.reach(event.position, event.event_id)
                    yield event
                place.position = reached

    async def _read(self, through: int) -> tuple[list[Readable], int]:
        """Return a page of events, and the position that it reaches."""
        if through == self._place.position:
            return [], through
        with self._log.server.steady(self._place.generation):
            return await self._log.read_page(
                self._size, after=self._place.position, through=through, categories=self._categories
            )
