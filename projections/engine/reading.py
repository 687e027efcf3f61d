"""Reading final events for a projection, including those that cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.core.event import Event, UpcastEvents
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError, EventDecodingError, UnknownEventTypeError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import WINDOW_POSITIONS_MAX, PageSize, Window
from eventstore.log.records import decode_page
from eventstore.log.row_fold import decode_for_fold
from eventstore.log.unreadable import Readable, UnreadableEvent
from eventstore.sql import load
from projections.engine.fold import is_own_fold
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


# Whole pages that follow one which had to be read twice; the next page then tries few columns again.
_WHOLE_PAGES = 100


class FoldedColumns:
    """The events of a projection in few columns of the log, where its fold needs no more.

    So it is if the rows are entities, and nothing but the entity's own fold is given events. A page with an event that needs an
    upcaster, or cannot be read, is read again with whole rows, and those after it with whole rows at once, for a while.

    Args:
        log: The log.
        projection: The projection.
    """

    def __init__(self, log: EventLog, projection: Projection[Any]) -> None:
        self._log = log
        self._projection = projection
        self._folds_alone = _folds_alone(projection)
        self._whole_pages = 0

    def suffice(self) -> bool:
        """Whether to read the next page in these columns."""
        if self._whole_pages:
            self._whole_pages -= 1
            return False
        return self._folds_alone

    def decode(self, rows: Sequence[Any]) -> list[Readable] | None:
        """Return the events of rows, with no more of their envelopes than `decode_for_fold` says; None to read whole rows.

        Raises:
            ConfigurationError: A class of the projection was defined again.
        """
        _require_current(self._log, self._projection)
        (category,) = self._projection.categories
        events = decode_for_fold(
            rows,
            category=category,
            taken=frozenset(self._projection.events),
            ignored=self._projection.ignored_types,
            classes=self._log.classes,
        )
        if events is None:
            self._whole_pages = _WHOLE_PAGES
            return None
        return [*events]


def _folds_alone(projection: Projection[Any]) -> bool:
    """Whether nothing but the fold of an entity is given the events of a projection."""
    kind = type(projection)
    return (
        isinstance(projection, EntityProjection)
        and is_own_fold(projection)
        and all(getattr(kind, name) is getattr(EntityProjection, name) for name in _OF_EVENTS)
        and len(projection.categories) == 1
    )


_OF_EVENTS = ("key", "key_of", "taken")
"""The methods of a projection that are given events, besides those of its fold."""


class BatchReader:
    """Reads batch after batch for a worker, in few columns where they suffice.

    Args:
        log: The log.
        projection: The projection.
    """

    def __init__(self, log: EventLog, projection: Projection[Any]) -> None:
        self._log = log
        self._projection = projection
        self._columns = FoldedColumns(log, projection)

    async def read(self, *, after: int, through: int, size: PageSize, positions_max: int) -> Batch:
        """Return what `read_batch` returns; of the envelopes there may be no more than `decode_for_fold` says.

        Raises:
            EventStoreError: As `read_batch`.
        """
        log, projection, window = self._log, self._projection, Window(after, through, positions_max)
        if self._columns.suffice():
            arguments = (after, window.end, size.events, projection.categories, size.bytes)
            async with reading(log.connection) as connection:
                rows = await connection.fetch(load("log/fold_range", connection), *arguments)
                passed = await window.passed(connection, len(rows))
            events = self._columns.decode(rows)
            if events is not None:
                is_full = size.is_full(rows)
                return Batch(events, rows[-1]["position"] if is_full else passed, is_full)
        return await read_batch(
            log, projection, after=after, through=through, size=size, positions_max=positions_max
        )


async def read_batch(
    log: EventLog,
    projection: Projection[Any],
    *,
    after: int,
    through: int,
    size: PageSize,
    positions_max: int = WINDOW_POSITIONS_MAX,
    connection: Connection | None = None,
) -> Batch:
    """Return the events with `after` < position <= `through` that a projection takes, from one page of the given size.

    It looks through at most `positions_max` positions, so its time does not depend on how much lies between two events. If
    the projection's key is the stream, an event that cannot be decoded is returned as such, since it affects only one key.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
        UnknownEventTypeError, EventDecodingError: An event cannot be decoded, so its key is unknown.
        ConfigurationError: A class of the projection was defined again.
    """
    window = Window(after, through, positions_max)
    arguments = (after, window.end, size.events, projection.categories, size.bytes)

    async def fetch(one: Connection) -> tuple[Sequence[Any], int]:
        rows = await one.fetch(load("log/read_range", one), *arguments)
        return rows, await window.passed(one, len(rows))

    if connection is None:
        async with reading(log.connection) as one:
            rows, passed = await fetch(one)
    else:
        rows, passed = await fetch(connection)
    is_full = size.is_full(rows)
    return Batch(decode_for(log, projection, rows), rows[-1]["position"] if is_full else passed, is_full)


def decode_for(log: EventLog, projection: Projection[Any], rows: Sequence[Any]) -> list[Readable]:
    """Return the rows of `events` that a projection takes, decoded if possible; errors as in `read_batch`."""
    _require_current(log, projection)
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


def _require_current(log: EventLog, projection: Projection[Any]) -> None:
    """Check that the events of a projection are read as its classes; otherwise it would take none of them."""
    for event_class in projection.events:
        if log.classes.has_replaced(event_class):
            raise ConfigurationError(
                f"{event_class.__name__} was defined again after projection {projection.name}, as happens in a notebook, so "
                "its events are read as the new class: create the projection again with the new class, and open the store "
                "again"
            )


def _taken(
    projection: Projection[Any], events: Sequence[Readable], classes: frozenset[type[Event]]
) -> Iterator[Readable]:
    has_own = type(projection).taken not in (Projection.taken, EntityProjection.taken)
    for event in events:
        if isinstance(event, UnreadableEvent):
            yield event
        elif isinstance(event, UpcastEvents):  # upcasting turned it into zero or several events
            yield from projection.taken(event)
        elif type(event.event) in classes:
            if has_own:
                yield from projection.taken(event)
            else:
                yield event
