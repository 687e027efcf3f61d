"""Folding the events of one stream that belong to a point in time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.log.records import decode
from eventstore.repositories.last_good import Stream, fold_stream

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.core.registry import EventRegistry

E = TypeVar("E", bound=Entity)
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Base(Generic[E]):
    """A state to continue from.

    Attributes:
        entity: The state. The fold owns it and may change it.
        version: The version of its stream; above the entity's version if the last events were discarded.
        occurred_through: The highest `occurred_at` of its events; None if unknown.
    """

    entity: E
    version: int
    occurred_through: Any = None


def fold_prefix(
    kind: type[E],
    base: Base[E] | None,
    records: Sequence[Record],
    *,
    classes: EventRegistry,
    discarded: Collection[int] = (),
) -> Stream[E]:
    """Return the state after the records that follow the base without a gap, in the order of versions.

    Args:
        kind: The class of the entity.
        base: A state to continue from; None to fold from the beginning.
        records: Rows of `events` of one stream with higher versions, in order.
        classes: Where event classes are found.
        discarded: The positions of events that are on the skip list.

    Raises:
        EventStoreError: An event cannot be decoded or folded.
    """
    first = (0 if base is None else base.version) + 1
    prefix = [record for version, record in enumerate(records, first) if record["version"] == version]
    if any(record["category"] != kind.category for record in prefix):
        return Stream(None, 0)  # the id of an entity of another kind
    events = (decode(one, classes=classes) for one in prefix if one["position"] not in discarded)
    folded = fold_stream(kind, None if base is None else base.entity, events, version=0)
    return Stream(folded.entity, first - 1 + len(prefix))


def fold_in_occurred_order(
    kind: type[E],
    base: Base[E] | None,
    records: Sequence[Record],
    *,
    classes: EventRegistry,
    discarded: Collection[int] = (),
) -> Stream[E]:
    """Return the state after the records in the order of (occurred_at, version), the creating event first.

    An event may refer to one that occurred later, such as a bust of a fill that was reported afterwards.
    Such an event waits, and is applied right after the one that it refers to. The state's version is the
    number of events it holds, so an entity that lacks some cannot be saved.

    Args:
        kind: The class of the entity.
        base: A state to continue from, whose events all occurred earlier; None to fold from the beginning.
        records: Rows of `events` of one stream with higher versions, that occurred by the point in time.
        classes: Where event classes are found.
        discarded: The positions of events that are on the skip list.

    Raises:
        EventStoreError: An event cannot be decoded or folded.
    """
    if any(record["category"] != kind.category for record in records):
        return Stream(None, 0)  # the id of an entity of another kind
    version = (0 if base is None else base.version) + len(records)
    entity = None if base is None else base.entity
    events = [decode(record, classes=classes) for record in records if record["position"] not in discarded]
    if entity is None:
        creating = next((event for event in events if _begins(kind, event)), None)
        if creating is None or records[0]["version"] > 1:
            return Stream(None, 0)  # created later
        entity = evolve(kind, None, creating)
        events.remove(creating)
    waiting: list[RecordedEvent] = []
    for event in sorted(events, key=lambda event: (event.occurred_at, event.version)):
        entity, is_done = _try(kind, entity, event)
        if not is_done:
            waiting.append(event)
        elif entity is None:
            return Stream(None, version)
        else:
            entity, waiting = _retry(kind, entity, waiting)
    if entity is not None:
        entity.__dict__["version"] = version
    return Stream(entity, version)


def _begins(kind: type[Entity], event: RecordedEvent) -> bool:
    return any(isinstance(part.event, kind.created_event) for part in event.upcast_events[:1])


def _retry(
    kind: type[E], entity: E | None, waiting: list[RecordedEvent]
) -> tuple[E | None, list[RecordedEvent]]:
    """Apply the waiting events that have become applicable; each may make another one applicable."""
    while waiting:
        left = []
        for event in waiting:
            entity, is_done = _try(kind, entity, event)
            if not is_done:
                left.append(event)
        if len(left) == len(waiting):
            break
        waiting = left
    return entity, waiting


def _try(kind: type[E], entity: E | None, event: RecordedEvent) -> tuple[E | None, bool]:
    try:
        return evolve(kind, entity, event), True
    except (LookupError, StopIteration):  # it refers to something that has not occurred yet
        return entity, False
