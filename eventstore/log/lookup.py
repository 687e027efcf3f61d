"""Finding events by their id, their correlation id, or a time.

One BRIN index serves all of these queries. Autovacuum writes its summaries with some delay. A query
scans the part of the log that is not summarised yet, so it is always correct, and a little slower
for recent events.
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
"""The default for the maximum number of events of one correlation."""


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """The positions between which a point in time lies.

    If the clock never went back, `first_after` is the next position after `last_through`. Otherwise
    the events between them are on both sides of the point in time, and each has to be checked.

    Attributes:
        first_after: The first position with a time after the point in time; None if there is none.
        last_through: The last position with a time at or before the point in time; None if there is
            none.
    """

    first_after: int | None
    last_through: int | None


class EventLookup:
    """Finds events of a log by their id, their correlation id, or a time.

    Args:
        source: Lends connections to the database of the log.
        classes: The registry in which event classes are found.
    """

    def __init__(self, source: ConnectionSource, classes: EventRegistry) -> None:
        self._source = source
        self._classes = classes

    async def find_event(self, event_id: UUID) -> RecordedEvent | None:
        """Return the event with an id; as `EventLog.find_event`."""
        rows = await read_rows(self._source, "log/find_event", event_id)
        return decode(rows[0], classes=self._classes) if rows else None

    async def find_correlated(
        self,
        correlation_id: str | UUID,
        *,
        limit: int = CORRELATED_EVENTS_MAX,
        on_unreadable: OnUnreadable = "raise",
    ) -> list[RecordedEvent]:
        """Return the events of a correlation in order; as `EventLog.find_correlated`."""
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
        """Return the positions between which a point in time lies; as `EventLog.find_time`."""
        if recorded_at is not None and occurred_at is None:
            rows = await read_rows(self._source, "log/bound_recorded_at", bound_in_utc(recorded_at))
        elif occurred_at is not None and recorded_at is None:
            rows = await read_rows(self._source, "log/bound_occurred_at", bound_in_utc(occurred_at))
        else:
            raise ConfigurationError("find_time takes exactly one of recorded_at= and occurred_at=")
        return TimeBounds(rows[0]["first_after"], rows[0]["last_through"])


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
