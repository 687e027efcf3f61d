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
    """A state to go on from.

    Attributes:
        entity: The state; the fold's own, so that it may be changed.
        version: The version of its stream; above the entity's where the last events were discarded.
        occurred_through: The highest `occurred_at` of its events; None: not known.
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
        base: A state to go on from; None: from the beginning.
        records: Rows of `events` of one stream with higher versions, in order.
        classes: Where event classes are found.
        discarded: The positions of events that somebody decided to leave out.

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

    What an event refers to may have occurred after it, as a fill that was busted before it was reported: such an event
    waits, and takes effect right after what it waits for. The state's version is the number of events it holds, so an
    entity that lacks some can be saved nowhere.

    Args:
        kind: The class of the entity.
        base: A state to go on from, of events that all occurred before; None: from the beginning.
        records: Rows of `events` of one stream with higher versions, that occurred by the point in time.
        classes: Where event classes are found.
        discarded: The positions of events that somebody decided to leave out.

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
    """Apply those events that waited for what the state has now; each may be what another one waits for."""
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
    except (LookupError, StopIteration):  # it names what has not occurred yet
        return entity, False
