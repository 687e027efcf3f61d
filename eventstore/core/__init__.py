"""The kernel of event sourcing: events, entities, their codec, their registry and upcasting. It knows nothing of trading."""

from eventstore.core.causation import caused_by, context_metadata
from eventstore.core.context import use_clock, use_ids
from eventstore.core.entity import Entity, applies
from eventstore.core.event import Amended, Event, EventRegistry, PendingEvent, RecordedEvent, Tombstone
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster

__all__ = [
    "Amended",
    "Entity",
    "Event",
    "EventContext",
    "EventRegistry",
    "PendingEvent",
    "RecordedEvent",
    "Tombstone",
    "UpcastEvent",
    "applies",
    "caused_by",
    "context_metadata",
    "upcaster",
    "use_clock",
    "use_ids",
]
