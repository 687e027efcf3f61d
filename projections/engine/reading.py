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
from eventstore.log.row_fold import decode_for_fold
from eventstore.log.unreadable import Readable, UnreadableEvent
from eventstore.sql import load
from projections.projection import EntityProjection, Projection


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


_WHOLE_BATCHES = 100  # that follow one which had to be read again with whole rows


class BatchReader:
    """Reads batch after batch for a worker.

    If the rows of its table are entities that are folded by nothing but their own fold, it reads no more than that fold needs.
    A batch with an event that needs an upcaster, or cannot be read, is read again with whole rows, and so are those after it for a
    while.

    Args:
        log: The log.
        projection: The projection.
    """

    def __init__(self, log: EventLog, projection: Projection[Any]) -> None:
        self._log = log
        self._projection = projection
        self._folds_alone = _folds_alone(projection)
        self._whole = 0

    async def read(self, *, after: int, through: int, size: PageSize) -> Batch:
        """Return what `read_batch` returns; the events may be without the rest of their envelopes (`decode_for_fold`).

        Raises:
            EventStoreError: As `read_batch`.
        """
        log, projection = self._log, self._projection
        if self._folds_alone and not self._whole:
            (category,) = projection.categories
            async with reading(log.connection) as connection:
                rows: Sequence[Any] = await connection.fetch(
                    load("replay/fold_page", connection),
                    after,
                    through,
                    size.events,
                    [category],
                    None,
                    None,
                    size.bytes,
                )
            events = decode_for_fold(
                rows,
                category=category,
                taken=frozenset(projection.events),
                ignored=projection.ignored_types,
                classes=log.classes,
            )
            if events is not None:
                return _batch([*events], rows, through, size)
            self._whole = _WHOLE_BATCHES
        elif self._whole:
            self._whole -= 1
        return await read_batch(log, projection, after=after, through=through, size=size)


def _folds_alone(projection: Projection[Any]) -> bool:
    """Whether nothing but the fold of an entity sees the events of a projection."""
    kind = type(projection)
    return (
        isinstance(projection, EntityProjection)
        and all(getattr(kind, name) is getattr(EntityProjection, name) for name in _OF_EVENTS)
        and len(projection.categories) == 1
    )


_OF_EVENTS = ("key", "key_of", "taken", "fold", "evolve")
"""The methods of a projection that are given events."""


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
    return _batch(decode_for(log, projection, rows), rows, through, size)


def _batch(events: list[Readable], rows: Sequence[Any], through: int, size: PageSize) -> Batch:
    is_full = size.is_full(rows)
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
