"""Events of the log that cannot be read, and how readers handle them.

An event cannot be read if the code does not know its type or its version, if its JSON does not fit
its class, or if its envelope is damaged. By default it stops the reader. A reader that can continue
without the event says so with `on_unreadable`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.errors import ConfigurationError, EventDecodingError, UnknownEventTypeError
from eventstore.metrics import metrics

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An event of the log that cannot be read, in its stored form.

    Attributes:
        position: Its place in the order of the whole log.
        stream_id: The id of the entity.
        version: Its place in the stream.
        event_id: The id that it was created with.
        category: Its category.
        type: Its type.
        schema_version: The schema version that it was stored with.
        data: Its fields, as the stored JSON text.
        metadata: Its metadata, as the stored JSON text.
        occurred_at: When it happened, by the domain's clock; `datetime.min` or `datetime.max` if it
            is infinite.
        recorded_at: When it was appended, by the database's clock.
        error: Why it cannot be read.
    """

    position: int
    stream_id: UUID
    version: int
    event_id: UUID
    category: str
    type: str
    schema_version: int
    data: str
    metadata: str
    occurred_at: datetime
    recorded_at: datetime
    error: UnknownEventTypeError | EventDecodingError


Readable = RecordedEvent | UnreadableEvent
"""An event of the log, or an `UnreadableEvent` in its place."""

OnUnreadable = Literal["raise", "skip"] | Callable[[UnreadableEvent], object]
"""What to do with an event that cannot be read.

`raise`: raise its error, which names type, stream and position. `skip`: log it as a warning, count
it, and continue with the next event. A function: call it with the event, and continue with the next
event unless it raises.
"""


def unreadable_handler(on_unreadable: OnUnreadable) -> Callable[[UnreadableEvent], Any]:
    """Return the function to call with each event that cannot be read, in order.

    It counts each skipped event in the metric `eventstore.log.unreadable`.

    Raises:
        ConfigurationError: `on_unreadable` is neither `raise` nor `skip` nor a function.
    """
    if on_unreadable == "raise":
        return _raise
    if on_unreadable == "skip":
        return _skip
    if not callable(on_unreadable):
        raise ConfigurationError(
            f"on_unreadable must be 'raise', 'skip' or a function, not {on_unreadable!r}"
        )
    handle = on_unreadable

    def handle_and_count(event: UnreadableEvent) -> None:
        handle(event)
        _count(event)

    return handle_and_count


def readable(
    events: Iterable[Readable], on_unreadable: Callable[[UnreadableEvent], Any]
) -> Iterator[RecordedEvent]:
    """Yield the events that can be read, and call `on_unreadable` with the others, in order."""
    for event in events:
        if isinstance(event, UnreadableEvent):
            on_unreadable(event)
        else:
            yield event


def _raise(event: UnreadableEvent) -> None:
    raise event.error


def _skip(event: UnreadableEvent) -> None:
    _logger.warning(
        "skipping an event that cannot be read",
        extra={
            "position": event.position,
            "stream_id": event.stream_id,
            "stream_version": event.version,
            "category": event.category,
            "event_type": event.type,
        },
        exc_info=event.error,
    )
    _count(event)


def _count(event: UnreadableEvent) -> None:
    counters = metrics()
    if counters is not None:
        counters.unreadable(type(event.error).__name__)
