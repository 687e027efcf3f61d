"""The history of one entity: its events with what each changed, and the difference between two states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.core.validation import word
from eventstore.errors import ConfigurationError, EntityNotFoundError, EventDecodingError, EventStoreError
from eventstore.log.event_log import EventLog
from eventstore.notebook import ROWS_MAX, table
from eventstore.printable import text_of_error
from eventstore.replay.bounds import bound
from eventstore.replay.past_fold import in_occurred_order
from eventstore.time_slices import listed

E = TypeVar("E", bound=Entity)
T = TypeVar("T", bound="HistoryEntry[Any] | RecordedEvent")

_ENVELOPE = ("id", "version")
_SHOWN_MAX = 8
"""How many changes a repr shows."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """The change of one field.

    Attributes:
        old: The value before; also None if the entity did not exist.
        new: The value after; also None if the entity was deleted.
    """

    old: Any
    new: Any


class Changes(dict[str, FieldChange]):
    """The fields that differ between two states, by name."""

    __slots__ = ()

    def told(self) -> str:
        """Return the changes as one text, such as `status: PENDING → FILLED`."""
        some = [f"{name}: {word(one.old)} → {word(one.new)}" for name, one in list(self.items())[:_SHOWN_MAX]]
        more = [f"... {len(self) - _SHOWN_MAX} more"] if len(self) > _SHOWN_MAX else []
        return ", ".join([*some, *more]) or "none"

    def __repr__(self) -> str:
        return f"<Changes {self.told()}>"

    def _repr_html_(self) -> str:
        rows = ((name, one.old, one.new) for name, one in self.items())
        return table("Changes", ("field", "old", "new"), rows)


@dataclass(frozen=True, slots=True)
class HistoryEntry(Generic[E]):
    """An event of an entity and what it changed.

    Attributes:
        recorded: The event with its envelope; an `UpcastEvents` if upcasting turned it into zero or several events.
        changes: The fields that it changed.
        state: The entity after it; None if it was deleted.
    """

    recorded: RecordedEvent
    changes: Changes
    state: E | None

    @property
    def version(self) -> int:
        """The version that the event gave the entity."""
        return self.recorded.version

    @property
    def position(self) -> int:
        """The event's place in the log."""
        return self.recorded.position

    @property
    def event(self) -> Event:
        """What happened.

        Raises:
            EventDecodingError: Upcasting turned it into zero or several events: use `recorded.upcast_events`.
        """
        return self.recorded.event

    @property
    def type(self) -> str:
        """The event's type, such as `OrderFilled`."""
        return self.recorded.type

    @property
    def occurred_at(self) -> datetime:
        """When it happened, by the domain's clock, in UTC."""
        return self.recorded.occurred_at

    @property
    def recorded_at(self) -> datetime:
        """When it was appended, by the database's clock, in UTC."""
        return self.recorded.recorded_at

    @property
    def actor(self) -> str | None:
        """Who did it, according to its metadata; None if the metadata does not say."""
        actor = self.recorded.metadata.get("actor")
        return None if actor is None else str(actor)

    def __repr__(self) -> str:
        who = "" if self.actor is None else f" by {word(self.actor)}"
        when = self.occurred_at.isoformat(sep=" ", timespec="milliseconds")
        return f"<HistoryEntry version {self.version} {self.type} {when}{who}: {self.changes!r}>"

    def _repr_html_(self) -> str:
        caption = f"{self.type}, version {self.version}, {self.occurred_at.isoformat(sep=' ')}"
        rows = ((name, one.old, one.new) for name, one in self.changes.items())
        return table(
            caption if self.actor is None else f"{caption}, by {self.actor}", ("field", "old", "new"), rows
        )


class History(list[T]):
    """A list of the entries, or of the events, of one entity; a notebook shows it as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        ends = " to ".join(f"version {one.version} {one.type}" for one in (self[:1] + self[-1:]))
        return f"<History of {len(self)} {'event' if len(self) == 1 else 'events'}{ends and f': {ends}'}>"

    def _repr_html_(self) -> str:
        rows = (
            (
                one.version,
                one.type,
                one.occurred_at.isoformat(sep=" "),
                one.recorded_at.isoformat(sep=" "),
                one.actor if isinstance(one, HistoryEntry) else one.metadata.get("actor"),
                one.changes.told()
                if isinstance(one, HistoryEntry)
                else ", ".join(repr(part.event) for part in one.upcast_events),
            )
            for one in self[:ROWS_MAX]
        )
        columns = ("version", "type", "occurred at", "recorded at", "actor", "what")
        left_out = max(0, len(self) - ROWS_MAX)
        return table(f"History: {len(self)} events", columns, rows, left_out=left_out)


HistoryOrder = Literal["version", "occurred_at"]
"""The order of a history: that in which events were recorded, or that in which they happened."""


async def history(
    log: EventLog, entity_class: type[E], entity_id: UUID, *, order: HistoryOrder = "version"
) -> list[HistoryEntry[E]]:
    """Return each event of an entity with what it changed. See `EventStore.history`."""
    events = await log.read_stream(entity_id)
    _check_category(entity_class, entity_id, events)
    if order not in ("version", "occurred_at"):
        raise ConfigurationError(f"order is 'version' or 'occurred_at', not {order!r}")
    in_order = entries if order == "version" else _entries_as_they_occurred
    return History(await listed(in_order(entity_class, events)))


def _entries_as_they_occurred(
    entity_class: type[E], events: Sequence[RecordedEvent]
) -> Iterator[HistoryEntry[E]]:
    before: E | None = None
    for recorded, after in in_occurred_order(entity_class, events):
        yield HistoryEntry(recorded, changes(before, after), after)
        before = after


def entries(entity_class: type[E], events: Sequence[RecordedEvent]) -> Iterator[HistoryEntry[E]]:
    """Yield the entries of a stream, from all of its events in order.

    Raises:
        EventDecodingError: An event cannot be folded.
    """
    before: E | None = None
    for recorded in events:
        try:
            after = evolve(entity_class, before, recorded)
        except EventStoreError:
            raise
        except Exception as error:
            raise EventDecodingError(
                f"{recorded.category}/{recorded.type} cannot be folded: {text_of_error(error)}",
                stream_id=recorded.stream_id,
                position=recorded.position,
            ) from error
        yield HistoryEntry(recorded, changes(before, after), after)
        before = after


async def diff(
    log: EventLog, entity_class: type[E], entity_id: UUID, a: int | datetime, b: int | datetime
) -> Changes:
    """Return what differs between two states of an entity. See `EventStore.diff`."""
    bound("a", a)
    bound("b", b)
    events = await log.read_stream(entity_id)
    if not events:
        raise EntityNotFoundError(entity_id, category=entity_class.category)
    _check_category(entity_class, entity_id, events)
    before, after = (entity_class.fold(_until(events, point)) for point in (a, b))
    return changes(before, after)


def changes(before: E | None, after: E | None) -> Changes:
    """Return the fields that differ, even if only in trailing digits; a missing entity has None in all fields."""
    old, new = ({} if state is None else state.__dict__ for state in (before, after))
    return Changes(
        (name, FieldChange(old.get(name), new.get(name)))
        for name in new or old
        if name not in _ENVELOPE and _differs(old.get(name), new.get(name))
    )


def class_and_id(entity: E | type[E], id: UUID | None) -> tuple[type[E], UUID]:
    """Return the class and the id, taken from an entity or as given.

    Raises:
        ConfigurationError: A class is given without an id.
    """
    if isinstance(entity, type):
        if id is None:
            raise ConfigurationError(
                f"the history of a class needs an id: pass the id of the {entity.__name__}"
            )
        return entity, id
    return type(entity), entity.id


def entity_class_of(category: str, classes: EventRegistry) -> type[Entity] | None:
    """Return the entity class of a category; None if no class has it."""
    known = set(classes)
    return next(
        (one for one in _subclasses(Entity) if one.category == category and _created_event(one) in known),
        None,
    )


def _subclasses(parent: type[Entity]) -> Iterator[type[Entity]]:
    for child in reversed(parent.__subclasses__()):  # the newest one, if a notebook redefined a class
        yield child
        yield from _subclasses(child)


def _created_event(entity_class: type[Entity]) -> Any:
    return getattr(entity_class, "created_event", None)


def _differs(old: Any, new: Any) -> bool:
    # 152.0 equals 152.00, but their digits differ; this also holds inside executions.
    return old is not new and (old != new or repr(old) != repr(new))


def _until(events: Sequence[RecordedEvent], point: int | datetime) -> Iterator[RecordedEvent]:
    if isinstance(point, int):
        if point > events[-1].version:
            raise ConfigurationError(
                f"{events[0].category} {events[0].stream_id} has {events[-1].version} versions, not {point}"
            )
        yield from events[:point]
        return
    utc = bound("time", point)
    for event in events:
        if event.recorded_at > utc:  # type: ignore[operator]  # a datetime stays one
            return
        yield event


def _check_category(entity_class: type[Entity], entity_id: UUID, events: Sequence[RecordedEvent]) -> None:
    if events and events[0].category != entity_class.category:
        raise ConfigurationError(
            f"{entity_id} is of category {events[0].category}, not {entity_class.category or 'none'}: "
            f"it is not the id of a {entity_class.__name__}"
        )
