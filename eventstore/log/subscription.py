"""Following the log: subscriptions."""

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
    """The position of a reader, and the last event that it has read.

    The event shows whether the log of another server has the events that were read.

    Attributes:
        position: Everything up to this position was read.
        event_position: The position of the last event up to there; None if there is none.
        event_id: The id of that event; None if there is none.
    """

    position: int
    event_position: int | None = None
    event_id: UUID | None = None

    @classmethod
    def of(cls, position: int, row: Any) -> Mark:
        """Return the mark of a position from a row of the log.

        Raises:
            RestoredLogError: The log ends before the position.
        """
        end = max(row["head"], row["sequence"] or 0)
        if position > end:
            raise RestoredLogError.of(
                f"position {position} is beyond the end of the log, which is at {end}: it was read from a log with "
                "more events, which a restore or a fail-over has lost; read again from a position that this log has",
                position=position,
                end=end,
            )
        return cls(position, row["position"], row["event_id"])

    def require_kept(self, now: Mark) -> None:
        """Check that the log still has the event of this mark.

        Raises:
            RestoredLogError: The log has another event there, or none.
        """
        if (now.event_position, now.event_id) != (self.event_position, self.event_id):
            raise RestoredLogError.of(
                f"the event {self.event_id} at position {self.event_position} was read but is no longer in the log: "
                "a restore or a fail-over has lost it and the events after it; read again from a position whose "
                "events are known to be there",
                position=self.event_position,
                end=now.event_position,
            )


class FollowedPlace:
    """The place of a follower in the log, across changes of the server.

    Attributes:
        position: All events up to this position were yielded.
        generation: The server's generation that the place was checked against; None before the
            first check.
    """

    def __init__(self, log: EventLog, after: int) -> None:
        self.position = after
        self.generation: int | None = None
        self._log = log
        self._mark = Mark(after)

    def reach(self, position: int, event_id: UUID) -> None:
        """Record that an event was yielded."""
        self.position = position
        self._mark = Mark(position, position, event_id)

    async def advance(self) -> int:
        """Return the position up to which events are final.

        Read them in a `steady` block of `generation`.

        Raises:
            ServerChangedError: Another server has taken over meanwhile. Call it again.
            RestoredLogError: The log ends before `position`, or lacks the last event that was
                yielded.
            EventStoreError: As `HighWaterMark.advance`.
        """
        if self.generation != self._log.server.generation:
            await self._begin()
        with self._log.server.steady(self.generation):
            return await self._log.high_water_mark.advance(self.position)

    async def _begin(self) -> None:
        """Begin on a server: at `position`, or on a later server after the last yielded event.

        After that event, a new server may have events that the previous server did not have.
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
    """The final events of a log in order, each once, without end. Iterate over it.

    After an error, iterate over it again: it continues after `position`. If another server has
    taken over meanwhile, it checks that the log has the events that were yielded; a new
    subscription after `position` cannot check that. After a restart of the program, create a new
    one. The subscription stops before an event that cannot be read, unless `on_unreadable` says
    otherwise.
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
        """All events up to this position were yielded, or skipped as `on_unreadable` says."""
        return self._place.position

    async def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        """Yield one event after another, and wait for new events.

        Raises:
            RestoredLogError: The log ends before `position`, or another server has taken over whose
                log lacks events that were yielded.
            ConnectionError, TimeoutError: Iterate again.
            ConfigurationError: The server is a standby.
            UnknownEventTypeError, EventDecodingError: An event cannot be read; the error has its
                position.
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
        """Return a page of events, and the position up to which it reaches."""
        if through == self._place.position:
            return [], through
        with self._log.server.steady(self._place.generation):
            return await self._log.read_page(
                self._size, after=self._place.position, through=through, categories=self._categories
            )
