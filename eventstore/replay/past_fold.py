"""Folding the events of one stream that belong to a point in time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.event import UpcastEvents
from eventstore.log.records import COLUMNS, decode_page
from eventstore.repositories.last_good import Stream, fold_stream

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.core.event import RecordedEvent
    from eventstore.core.registry import EventRegistry

E = TypeVar("E", bound=Entity)
Record = Mapping[str, Any]
_values = itemgetter(*COLUMNS)


@dataclass(frozen=True, slots=True)
class Base(Generic[E]):
    """A state to continue from.

    Attributes:
        entity: The state. The fold owns it and may change it. None if all events so far made no entity.
        version: The version of its stream; above the entity's version if the last events were discarded.
    """

    entity: E | None
    version: int


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
    events = _decoded(prefix, discarded, classes)
    folded = fold_stream(kind, None if base is None else base.entity, events, version=0)
    return Stream(folded.entity, first - 1 + len(prefix))


def fold_selection(
    kind: type[E],
    base: Base[E] | None,
    records: Sequence[Record],
    *,
    until: datetime,
    classes: EventRegistry,
    discarded: Collection[int] = (),
) -> Stream[E]:
    """Return the state after some of a stream's records, in the order of versions.

    An event that refers to one that is not selected, such as the bust of a fill, has no effect. The version of the state
    is the number of its events, so an entity that lacks some events cannot be saved.

    Args:
        kind: The class of the entity.
        base: A state to continue from, all of whose events are selected; None to start from the beginning.
        records: The selected rows of `events` of one stream with higher versions than the base, in order. Without a base
            the first one of the stream is among them even if it occurred later.
        until: The point in time.
        classes: The registry of event classes.
        discarded: The positions of discarded events.

    Raises:
        EventStoreError: An event cannot be decoded or folded.
    """
    if any(record["category"] != kind.category for record in records):
        return Stream(None, 0)  # the id of an entity of another kind
    if base is None and (not records or records[0]["version"] > 1):
        return Stream(None, 0)  # the stream begins beyond the log's part that is read
    version = (0 if base is None else base.version) + len(records)
    entity = None if base is None else base.entity
    events = _decoded(records, discarded, classes)
    if base is None and records[0]["occurred_at"] > until:
        version -= 1
        if records[0]["position"] not in discarded:
            entity = begin_before(kind, events.pop(0), events)
        if entity is None:
            return Stream(None, 0)
    for event in events:
        if entity is None and not creates(kind, event):
            continue
        entity, _ = try_to_evolve(kind, entity, event)
        if entity is None:
            return Stream(None, version)
    if entity is not None:
        entity.__dict__["version"] = version
    return Stream(entity, version)


def _decoded(
    records: Iterable[Record], discarded: Collection[int], classes: EventRegistry
) -> list[RecordedEvent]:
    rows = [_values(one) for one in records if one["position"] not in discarded]
    return decode_page(rows, classes=classes)


def in_occurred_order(
    kind: type[E], events: Sequence[RecordedEvent]
) -> Iterator[tuple[RecordedEvent, E | None]]:
    """Yield the events of a stream in the order of (occurred_at, version), each with the state after it.

    The creating event comes first. An event may refer to one that occurred later, as a bust to a fill that was reported
    with a later time: it comes right after that one. The state is None once the entity is deleted.

    Args:
        kind: The class of the entity.
        events: All events of the stream, in the order of versions.
    """
    creating = next((event for event in events if creates(kind, event)), None)
    if creating is None:
        return
    entity: E | None = evolve(kind, None, creating)
    yield creating, entity
    waiting = sorted(
        (event for event in events if event is not creating),
        key=lambda event: (event.occurred_at, event.version),
    )
    while entity is not None:
        for place, event in enumerate(waiting):
            entity, is_done = try_to_evolve(kind, entity, event)
            if is_done:
                del waiting[place]
                yield event, entity
                break
        else:
            return


def begin_before(kind: type[E], created: RecordedEvent, later: Sequence[RecordedEvent]) -> E | None:
    """Return the state that events of a stream are folded into which had happened when the creating event had not.

    Args:
        kind: The class of the entity.
        created: The creating event.
        later: The events that had happened, in the order of versions.

    Returns:
        The state before `later`; None if there is no entity before its creating event.
    """
    events = [part.event for recorded in later for part in recorded.upcast_events]
    if isinstance(created, UpcastEvents) or not creates(kind, created) or not events:
        return None
    event = kind._without_its_fact(created.event, events)  # noqa: SLF001 - the hook is for this function
    return None if event is None else evolve(kind, None, created._replace(event=event))


def creates(kind: type[Entity], event: RecordedEvent) -> bool:
    """Whether an event creates an entity of a class."""
    parts = event.upcast_events
    return bool(parts) and isinstance(parts[0].event, kind.created_event)


def try_to_evolve(kind: type[E], entity: E | None, event: RecordedEvent) -> tuple[E | None, bool]:
    """Return the state after an event, and whether it took effect: not if it refers to an event that the state lacks."""
    try:
        return evolve(kind, entity, event), True
    except (LookupError, StopIteration):
        return entity, False
