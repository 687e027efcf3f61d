"""Finding events by what is not their place: their id, their correlation, or a time.

One BRIN index serves them all. Its summaries are written behind the end of the log, by autovacuum; what is not summed up
yet is read through, so the answer is right at once, and quick a little later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.core.event import RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.database.access import ConnectionSource, read_rows
from eventstore.errors import ConfigurationError
from eventstore.limits import check_count
from eventstore.log.records import COLUMNS, decode, decode_page
from eventstore.log.unreadable import OnUnreadable, readable, unreadable_handler

CORRELATED_EVENTS_MAX = 10_000
"""The most events of one correlation that are read unless a caller says otherwise."""


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """Between which positions a point in time lies.

    Where the clock never stepped back, `first_after` follows on `last_through`. Else the events between them lie on both
    sides of the point in time, and each has to be looked at.

    Attributes:
        first_after: The first position whose time is after the point in time; None: there is none.
        last_through: The last position whose time is the point in time or before; None: there is none.
    """

    first_after: int | None
    last_through: int | None


class EventLookup:
    """Finds events of a log by what is not their place.

    Args:
        source: Lends a connection to the log's database.
        classes: Where event classes are found.
    """

    def __init__(self, source: ConnectionSource, classes: EventRegistry) -> None:
        self._source = source
        self._classes = classes

    async def find_event(self, event_id: UUID) -> RecordedEvent | None:
        """Return the event with an id; None where there is none.

        An id that was appended twice, to two streams, gives the first of them.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know the event.
        """
        rows = await read_rows(self._source, "log/find_event", event_id)
        return decode(rows[0], classes=self._classes) if rows else None

    async def find_correlated(
        self,
        correlation_id: str | UUID,
        *,
        limit: int = CORRELATED_EVENTS_MAX,
        on_unreadable: OnUnreadable = "raise",
    ) -> list[RecordedEvent]:
        """Return the events with a correlation id in their metadata, in order, and the event of that very id.

        Args:
            correlation_id: The id; that of the first event of all, where no other was given.
            limit: Return so many events at most.
            on_unreadable: What to do with an event that cannot be read: stop (`raise`), leave it out with a warning
                (`skip`), or call a function with it.

        Raises:
            LimitError: `limit` is below 1.
            ConfigurationError: `on_unreadable` is none of these.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: An event cannot be read.
        """
        handle = unreadable_handler(on_unreadable)
        check_count("limit", limit)
        text = str(correlation_id)
        rows = await read_rows(self._source, "log/find_correlated", text, _id_of(text), limit)
        events = decode_page(
            [[row[name] for name in COLUMNS] for row in rows], classes=self._classes, keep_unreadable=True
        )
        return list(readable(events, handle))

    async def find_time(
        self, *, recorded_at: datetime | None = None, occurred_at: datetime | None = None
    ) -> TimeBounds:
        """Return between which positions a point in time lies; exactly one of the two times is given.

        Events whose transactions are in flight may still come to lie before the point in time.

        Args:
            recorded_at: The point in time, by the database's clock; naive: local time.
            occurred_at: The point in time, by the domain's clock; naive: local time.

        Raises:
            ConfigurationError: Not exactly one is given, or it is not a time.
            ConnectionError, TimeoutError: Safe to retry.
        """
        if recorded_at is not None and occurred_at is None:
            rows = await read_rows(self._source, "log/bound_recorded_at", bound_in_utc(recorded_at))
        elif occurred_at is not None and recorded_at is None:
            rows = await read_rows(self._source, "log/bound_occurred_at", bound_in_utc(occurred_at))
        else:
            raise ConfigurationError("find which time? Give exactly one of recorded_at= and occurred_at=")
        return TimeBounds(rows[0]["first_after"], rows[0]["last_through"])


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
