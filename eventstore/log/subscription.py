"""Following the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.errors import RestoredLogError, ServerChangedError
from eventstore.limits import check_count, check_position
from eventstore.log.page_size import PageSize
from eventstore.log.unreadable import OnUnreadable, Readable, UnreadableEvent, unreadable_handler

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog


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

    async def advance(self) -> int:
        """Return up to where there are final events to read, in a `steady` block of `generation`.

        Raises:
            ServerChangedError: Another server has taken over meanwhile: call it again.
            RestoredLogError: The log ends before `position`; or it lacks the last event that was given out.
            EventStoreError: As `HighWaterMark.advance`.
        """
        if self.generation != self._log.server.generation:
            await self._begin()
        with self._log.server.steady(self.generation):
            return await self._log.high_water_mark.advance(self.position)

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
    """The final events of a log in order, each once, for ever: iterate over it.

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
        place, log = self._place, self._log
        with log.wakeups.listen() as listener:
            while True:
                listener.begin()
                try:
                    through = await place.advance()
                    events, reached = await self._read(through)
                except ServerChangedError:
                    continue  # that range belongs to the previous server
                if through == place.position:
                    await listener.wait()
                    continue
                listener.found()
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
