"""The kernel of event sourcing: events, entities, codec, registry and upcasting.

It knows nothing of trading.
"""

from eventstore.core.causation import CausationNode, CausationTree, caused_by, context_metadata
from eventstore.core.context import at, exact, new_id, now, plain, use_clock, use_ids
from eventstore.core.entity import Entity, applies
from eventstore.core.event import Amended, Event, PendingEvent, RecordedEvent, Tombstone, UpcastEvents
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.registry_check import registry_problems
from eventstore.core.types import UtcDatetime
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster

__all__ = [
    "Amended",
    "CausationNode",
    "CausationTree",
    "Entity",
    "Event",
    "EventContext",
    "EventRegistry",
    "PendingEvent",
    "RecordedEvent",
    "Tombstone",
    "UpcastEvent",
    "UpcastEvents",
    "UtcDatetime",
    "applies",
    "at",
    "caused_by",
    "context_metadata",
    "exact",
    "new_id",
    "now",
    "plain",
    "registry",
    "registry_problems",
    "upcaster",
    "use_clock",
    "use_ids",
]
