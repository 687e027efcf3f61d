"""Reading final events for a projection, including those that cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.core.event import Event, UpcastEvents
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import EventDecodingError, UnknownEventTypeError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.log.records import decode_page
from eventstore.log.unreadable import Readable, UnreadableEvent
from eventstore.sql import load
from projections.projection import Projection


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of a range of the log that a projection takes.

    Attributes:
        events: The events, in order.
        through: The log was read up to this position.
        is_full: Whether more events may follow.
    """

    events: list[Readable]
    through: int
    is_full: bool


async def read_batch(
    log: EventLog,
    projection: Projection[Any],
    *,
    after: int,
    through: int,
    size: PageSize,
    connection: Connection | None = None,
) -> Batch:
    """Return the events with `after` < position <= `through` that a projection takes, from one page of the given size.

    If the projection's key is the stream, an event that cannot be decoded is returned as such, since it affects only
    one key.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
        UnknownEventTypeError, EventDecodingError: An event cannot be decoded, so its key is unknown.
    """
    arguments = (after, through, size.events, projection.categories, size.bytes)
    if connection is None:
        async with reading(log.connection) as one:
            rows: Sequence[Any] = await one.fetch(load("log/read_range", one), *arguments)
    else:
        rows = await connection.fetch(load("log/read_range", connection), *arguments)
    is_full = size.is_full(rows)
    events = decode_for(log, projection, rows)
    return Batch(events, rows[-1]["position"] if is_full else through, is_full)


def decode_for(log: EventLog, projection: Projection[Any], rows: Sequence[Any]) -> list[Readable]:
    """Return the rows of `events` that a projection takes, decoded if possible; errors as in `read_batch`."""
    if ignored := projection.ignored_types:
        rows = [row for row in rows if row["type"] not in ignored]
    classes = frozenset(projection.events)
    try:
        return list(_taken(projection, decode_page(rows, classes=log.classes, taken=classes), classes))
    except (UnknownEventTypeError, EventDecodingError):
        if not projection.keyed_by_stream:
            raise
    events = decode_page(rows, classes=log.classes, taken=classes, keep_unreadable=True)
    return list(_taken(projection, events, classes))


def _taken(
    projection: Projection[Any], events: Sequence[Readable], classes: frozenset[type[Event]]
) -> Iterator[Readable]:
    for event in events:
        if isinstance(event, UnreadableEvent):
            yield event
        elif isinstance(event, UpcastEvents):  # upcasting turned it into zero or several events
            yield from projection.taken(event)
        elif type(event.event) in classes:
            yield event
