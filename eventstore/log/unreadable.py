"""Events of the log that cannot be read, and what becomes of them.

An event cannot be read where the code does not know its type or its version, where its JSON does not fit its class, or
where its envelope is damaged. It stops whoever reads it. Who can do without it says so, with `on_unreadable`.
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
    """An event of the log that cannot be read, as it is stored.

    Attributes:
        position: Its place in the log's one global order.
        stream_id: The entity's id.
        version: Its place in the stream.
        event_id: The id it was made with.
        category: Its category.
        type: Its type.
        schema_version: The schema version that it was stored with.
        data: Its fields, as the JSON text that is stored.
        metadata: Its metadata, as the JSON text that is stored.
        occurred_at: When it happened, by the domain's clock; the first or the last datetime where it is infinite.
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
"""An event of the log, or one that cannot be read in its place."""

OnUnreadable = Literal["raise", "skip"] | Callable[[UnreadableEvent], object]
"""What to do with an event that cannot be read.

`raise`: stop with its error, which names type, stream and position. `skip`: log it as a warning, count it, and go on with
the next one. A function: call it with the event, and go on with the next one unless it raises.
"""


def unreadable_handler(on_unreadable: OnUnreadable) -> Callable[[UnreadableEvent], Any]:
    """Return what is called with each event that cannot be read, in its turn.

    An event that is gone past is counted, as `eventstore.log.unreadable`.

    Raises:
        ConfigurationError: It is neither of the two words, nor a function.
    """
    if on_unreadable == "raise":
        return _raise
    if on_unreadable == "skip":
        return _skip
    if not callable(on_unreadable):
        raise ConfigurationError(f"on_unreadable is 'raise', 'skip' or a function, not {on_unreadable!r}")
    handle = on_unreadable

    def handle_and_count(event: UnreadableEvent) -> None:
        handle(event)
        _count(event)

    return handle_and_count


def readable(
    events: Iterable[Readable], on_unreadable: Callable[[UnreadableEvent], Any]
) -> Iterator[RecordedEvent]:
    """Yield the events that can be read; the others are given to `on_unreadable`, each in its turn."""
    for event in events:
        if isinstance(event, UnreadableEvent):
            on_unreadable(event)
        else:
            yield event


def _raise(event: UnreadableEvent) -> None:
    raise event.error


def _skip(event: UnreadableEvent) -> None:
    _logger.warning(
        "an event that cannot be read is left out",
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
