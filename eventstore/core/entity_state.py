"""Functions on the state of an entity: begin it, apply events, copy it, and record what was saved.

They are not methods of `Entity`, so that a user's entity may have fields of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from eventstore.core import codec
from eventstore.core.context import exactly, in_decimal_arithmetic
from eventstore.core.event import Amended, Event, PendingEvent, RecordedEvent, Tombstone, UpcastEvents
from eventstore.errors import DomainError, EventDecodingError

if TYPE_CHECKING:
    from eventstore.core.entity import Entity

E = TypeVar("E", bound="Entity")

ENVELOPE = frozenset({"id", "version"})
"""The fields that every entity has and that its events do not set."""


def private(entity: Entity) -> dict[str, Any]:
    """Return the values of an entity's private attributes.

    `entity._name` would go through pydantic's `__getattr__`, which takes longer than everything
    else here.
    """
    return entity.__pydantic_private__  # type: ignore[return-value]  # always set


# ---- the fold ----------------------------------------------------------------------------------------------------


def apply(entity: Entity, event: Event) -> None:
    """Apply an event to the state of an entity, in the library's decimal context.

    Raises:
        DomainError: The entity has no applier for this class of event.
    """
    applier = entity._appliers.get(type(event))
    if applier is not None:
        if in_decimal_arithmetic():
            applier(entity, event)
        else:
            exactly(applier, entity, event)
    elif isinstance(event, Amended):
        entity.__dict__.update(event.changes)
        entity._after_amendment(event)
    elif isinstance(event, Tombstone):
        private(entity)["_deleted"] = True
    else:
        raise DomainError(
            f"{entity.category}.unknown_event",
            f"{type(entity).__name__} has no method marked @applies({type(event).__name__})",
        )


def begin(kind: type[E], stream_id: UUID, event: Event) -> E:
    """Return the state after the creating event of a stream.

    Raises:
        DomainError: A field of the entity has no default, and the event does not set it.
    """
    begun: E = _beginning(kind, type(event))(stream_id, event.__dict__)
    return begun


@cache
def _beginning(kind: type[Entity], created: type[Event]) -> Callable[[UUID, dict[str, Any]], Any]:
    """Return the function that makes the first state of a stream, from its id and the fields of its creating event."""
    names = begun_fields(kind, created)
    try:
        defaults = codec.maker(kind).defaults_besides(("id", "version", *names))
    except KeyError:
        defaults = None
    others = [name for name in created.model_fields if name not in names]
    if defaults is None or not ENVELOPE.isdisjoint(others):
        return lambda stream_id, fields: _begun(kind, created, stream_id, fields)
    finish, known = codec.maker(kind).given(("id", "version", *names)), len(created.model_fields)

    def beginning(stream_id: UUID, fields: dict[str, Any]) -> Any:
        if len(fields) > known:  # the event has cached properties
            return _begun(kind, created, stream_id, fields)
        # Both are merged as a whole, which takes half the time of picking what the entity has.
        values = {**defaults, **fields}
        for name in others:
            del values[name]
        values["id"], values["version"] = stream_id, 0
        return finish(values)

    return beginning


def _begun(kind: type[Entity], created: type[Event], stream_id: UUID, fields: Mapping[str, Any]) -> Any:
    values: dict[str, Any] = {"id": stream_id, "version": 0}
    for name in begun_fields(kind, created):
        values[name] = fields[name]
    try:
        return codec.fill(kind, values)
    except KeyError as error:
        missing = [
            name for name, field in kind.model_fields.items() if field.is_required() and name not in values
        ]
        if not missing:
            raise
        raise DomainError(
            f"{kind.category}.{missing[0]}",
            f"{kind.__name__}.{missing[0]} has no value: it has no default, and the creating event {created.type} has no "
            f"such field: give {missing[0]} a default, or add the field to the event and an upcaster for old events",
        ) from error


@cache
def begun_fields(kind: type[Entity], created: type[Event]) -> tuple[str, ...]:
    """Return the fields of an entity that its creating event sets."""
    return tuple(name for name in created.model_fields if name not in ENVELOPE and name in kind.model_fields)


def evolve(kind: type[E], state: E | None, recorded: RecordedEvent) -> E | None:
    """Return the state after one more event; `state` itself does not change.

    Args:
        kind: The class of the entity.
        state: The state before; None if the stream has not begun.
        recorded: The next event of the stream.

    Returns:
        The new state; None after a tombstone.

    Raises:
        EventDecodingError: The stream does not begin with its creating event.
        DomainError: The entity has no applier for this class of event.
    """
    return advance(kind, None if state is None else replica(state), recorded)


def advance(kind: type[E], state: E | None, recorded: RecordedEvent) -> E | None:
    """Like `evolve`, but change `state` itself; for folds that own the state."""
    if state is not None and type(recorded) is RecordedEvent:
        applier = kind._appliers.get(type(recorded.event))
        if applier is not None and in_decimal_arithmetic():  # as nearly every event of a fold
            applier(state, recorded.event)
            state.__dict__["version"] = recorded.version
            return state
    if isinstance(recorded, UpcastEvents):  # zero or several events that share one version
        for part in recorded.upcast_events:
            state = advance(kind, state, part)
        if state is not None:
            state.__dict__["version"] = recorded.version
        return state
    return take(
        kind,
        state,
        recorded.event,
        stream_id=recorded.stream_id,
        version=recorded.version,
        position=recorded.position,
    )


def take(
    kind: type[E], state: E | None, event: Event, *, stream_id: UUID, version: int, position: int
) -> E | None:
    """Like `advance`, for the next event of a stream without its envelope."""
    if state is None:
        if not isinstance(event, kind.created_event):
            raise EventDecodingError(
                f"a stream of {kind.category} begins with {event.type}, not {kind.created_event.type}",
                stream_id=stream_id,
                position=position,
            )
        try:
            state = begin(kind, stream_id, event)
        except DomainError as error:
            raise EventDecodingError(str(error), stream_id=stream_id, position=position) from error
    elif isinstance(event, Tombstone):
        return None
    else:
        apply(state, event)
    state.__dict__["version"] = version
    return state


def replica(entity: E) -> E:
    """Return a copy of an entity's state, without its pending events."""
    kind, state = type(entity), entity.__dict__.copy()
    finish, names = _finishing(kind)
    if len(state) > len(names):  # it also has cached properties
        state = {name: state[name] for name in names}
    copied: E = finish(state)
    return copied


@cache
def _finishing(kind: type[Entity]) -> tuple[Callable[[dict[str, Any]], Any], tuple[str, ...]]:
    """Return what makes an entity of its whole state, and the names of its fields."""
    return codec.maker(kind).of_all_fields(), tuple(kind.model_fields)


# ---- for a Unit of Work -------------------------------------------------------------------------


def has_pending_events(entity: Entity) -> bool:
    """Whether an entity has events that are not in the log yet."""
    return bool(entity.__pydantic_private__["_pending"])  # type: ignore[index]  # always set


def recorded_events(entity: Entity) -> tuple[PendingEvent, ...]:
    """Turn the assignments of an entity, or the arguments of its constructor, into events; return all that are pending."""
    attributes: Any = entity.__pydantic_private__
    if not attributes["_pending"] or attributes["_assigned"]:
        entity.record_assignments()
    pending: tuple[PendingEvent, ...] = attributes["_pending"]
    return pending


def has_changes_after(entity: Entity, saved: PendingEvent | None) -> bool:
    """Whether an entity has a pending event after `saved`, or an assignment without an event.

    Args:
        entity: The entity.
        saved: The last event that a Unit of Work has staged; None if it has staged none.
    """
    attributes = private(entity)
    pending = attributes["_pending"]
    return bool(pending and pending[-1] is not saved) or bool(
        attributes["_assigned"] and entity.assigned_fields
    )


def is_clean(entity: Entity, saved: PendingEvent | None) -> bool:
    """Whether an entity certainly has no such change and has created no other entity.

    Each commit checks this for each entity, so it is fast.
    """
    attributes: Any = entity.__pydantic_private__
    pending = attributes["_pending"]
    return (not pending or pending[-1] is saved) and not (attributes["_assigned"] or attributes["_offspring"])


def made_entities(entity: Entity) -> tuple[Entity, ...]:
    """Return the new entities that commands of this entity have created.

    For example, a fill through zero opens an opposite position.
    """
    return private(entity)["_offspring"]  # type: ignore[no-any-return]


def mark_saved(entity: Entity, *, version: int, events: tuple[PendingEvent, ...]) -> None:
    """Record that the log has `events` of an entity, and that its stream is at `version`.

    A second call with the same arguments changes nothing.
    """
    if version <= entity.version:
        return
    entity.__dict__["version"] = version
    attributes = private(entity)
    attributes["_offspring"] = ()
    if attributes["_pending"] == events:
        attributes["_pending"] = ()
    else:
        saved = {pending.event_id for pending in events}
        attributes["_pending"] = tuple(
            pending for pending in attributes["_pending"] if pending.event_id not in saved
        )


def become(entity: E, other: E) -> None:
    """Replace the whole state of an entity by that of another, including pending events and assignments.

    The entity's own pending events and assignments are dropped.
    """
    entity.__dict__.update(other.__dict__)
    entity._pending = other._pending
    entity._offspring = ()
    entity._assigned = dict(other._assigned)
    entity._memory = None
    entity._deleted = other._deleted
