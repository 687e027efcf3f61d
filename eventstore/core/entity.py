"""Entities: state that only events change.

A domain method checks its rule and calls `emit`. `emit` applies the event to the entity and keeps
it as pending until a Unit of Work appends it. Only `entity_state.apply` changes state, so the same
code runs live, in a replay and in a projection. A plain assignment to a field is also allowed: it
becomes one `...Amended` event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from datetime import datetime
from functools import cache
from inspect import isfunction
from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field, PrivateAttr, ValidationError, create_model

from eventstore.core import codec
from eventstore.core.context import at, decimal_arithmetic, new_id, now
from eventstore.core.entity_state import ENVELOPE, advance, apply, begin, begun_fields, private, replica
from eventstore.core.event import Amended, Event, PendingEvent, RecordedEvent, Tombstone
from eventstore.core.event_codec import require_storable_fields
from eventstore.core.read_back import first_difference
from eventstore.core.validation import (
    Validated,
    domain_error,
    name_taken,
    refuse_class_keywords,
    refuse_keywords,
    require_free_names,
    word,
)
from eventstore.errors import ConfigurationError, DomainError
from eventstore.notebook import table
from eventstore.suggestions import suggestion

E = TypeVar("E", bound=Event)
Self_ = TypeVar("Self_", bound="Entity")
Applier = Callable[[Any, Any], None]

_set_attribute = object.__setattr__


def applies(event_class: type[E]) -> Callable[[Callable[[Self_, E], None]], Callable[[Self_, E], None]]:
    """Mark the method of an entity that applies events of `event_class` to its state.

    The method takes the event and calls `self.set(field=value, ...)`. It checks no rules, reads no
    clock and has no other side effects, because it runs again at every replay.
    """

    def mark(method: Callable[[Self_, E], None]) -> Callable[[Self_, E], None]:
        method.__applies__ = event_class  # type: ignore[attr-defined]
        return method

    return mark


class Entity(Validated):
    """State with an id that events create and change.

    Subclass it with a category, and add fields and methods. Fields hold immutable values only (a
    tuple, never a list), so that every change is in the log. `id` and `version` cannot be assigned.

    Class arguments:
        category: The category of its streams, such as `strategy`.
        created: The event class that begins a stream. Its fields become the entity's fields of the
            same names. By default, the class `<Name>Created` with all fields of the entity is
            created.

    Attributes:
        id: The stream's id; by default a new time-ordered id.
        version: The version of the stream at which this state was loaded or saved; 0 if it was
            never saved.
    """

    # Defaults are validated, because a default may have a type other than its field's: 0 for a
    # Decimal.
    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, validate_assignment=True, validate_default=True
    )

    category: ClassVar[str] = ""
    created_event: ClassVar[type[Event]]
    amended_event: ClassVar[type[Amended]]
    deleted_event: ClassVar[type[Tombstone]]
    creation_time_field: ClassVar[str | None] = None
    """The field that holds the time of creation, for entities that are made by the constructor."""
    shown_fields: ClassVar[tuple[str, ...]] = ("name", "symbol")
    """The fields that `repr` shows besides id and version; `model_dump()` returns all fields.

    A class need not have them.
    """
    _appliers: ClassVar[dict[type[Event], Applier]] = {}
    _has_made_created_event: ClassVar[bool] = False

    id: UUID = Field(default_factory=new_id, frozen=True)
    version: int = Field(default=0, ge=0, frozen=True)

    _pending: tuple[PendingEvent, ...] = PrivateAttr(default=())
    _assigned: dict[str, Any] = PrivateAttr(default_factory=dict)
    _deleted: bool = PrivateAttr(default=False)
    _offspring: tuple[Entity, ...] = PrivateAttr(default=())
    _memory: Any = PrivateAttr(default=None)

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        created: type[Event] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_class_keywords(cls, unknown, ("category", "created"))
        super().__init_subclass__()
        if category is not None:
            cls.category = category

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, category: str | None = None, created: type[Event] | None = None, **_: Any
    ) -> None:
        """Create the event classes of the entity, and collect the methods that `applies` marked.

        Raises:
            ConfigurationError: Events could not store the fields of the class, or its creating
                event has another category.
        """
        _require_fields_for_events(cls)
        if category is None:
            return
        if created is not None and created.category != category:
            raise ConfigurationError(
                f"{cls.__name__} has category {category}, but its creating event {created.__name__} has "
                f"{created.category or 'none'}: give both the same category"
            )
        fields: dict[str, Any] = {
            name: (field.rebuild_annotation(), field)
            for name, field in cls.model_fields.items()
            if name not in ENVELOPE
        }
        names: dict[str, Any] = {"category": category}
        cls._has_made_created_event = created is None
        cls.created_event = created or create_model(
            f"{cls.__name__}Created",
            __base__=Event,
            __module__=cls.__module__,
            __doc__=f"A {category} was created.",
            __cls_kwargs__=names,
            **fields,
        )
        optional: dict[str, Any] = {
            name: (annotation | None, None) for name, (annotation, _) in fields.items()
        }
        cls.amended_event = create_model(
            f"{cls.__name__}Amended",
            __base__=Amended,
            __module__=cls.__module__,
            __doc__=f"Fields of a {category} were assigned.",
            __cls_kwargs__=names,
            **optional,
        )
        cls.deleted_event = create_model(
            f"{cls.__name__}Deleted",
            __base__=Tombstone,
            __module__=cls.__module__,
            __doc__=f"A {category} was deleted.",
            __cls_kwargs__=names,
        )
        cls._appliers = {
            method.__applies__: method
            for parent in reversed(cls.__mro__)
            for method in vars(parent).values()
            if isfunction(method) and hasattr(method, "__applies__")
        }

    @classmethod
    def event_classes(cls) -> tuple[type[Event], ...]:
        """Return the classes of all events that its streams can contain."""
        return (cls.created_event, *cls._appliers, cls.amended_event, cls.deleted_event)

    # ---- the fold ------------------------------------------------------------------------------------------

    def set(self, **values: Any) -> None:
        """Change fields inside an applier, without validation and without an event."""
        self.__dict__.update(values)

    @classmethod
    def fold(cls, events: Iterable[RecordedEvent], state: Self | None = None) -> Self | None:
        """Return the state after `events` of one stream, given in the order of their versions.

        Args:
            events: The events; events that `state` already includes are skipped.
            state: A state to continue from; it is not changed.
        """
        folded = None if state is None else replica(state)
        # An iterator runs between the events, and has its own decimal context; `advance` then enters one for each event.
        with decimal_arithmetic() if isinstance(events, Sequence) else nullcontext():
            for recorded in events:
                if folded is None or recorded.version > folded.__dict__["version"]:
                    folded = advance(cls, folded, recorded)
        return folded

    # ---- events that are not yet in a log -------------------------------------------------------------------

    @classmethod
    def create(cls, event: Event, *, id: UUID | None = None) -> Self:
        """Return a new entity whose creating event, `event`, is pending; for factory methods.

        Args:
            event: An instance of the entity's creating event class.
            id: The id; None for a new id.

        Raises:
            DomainError: The event is of another class.
        """
        if not isinstance(event, cls.created_event):
            raise DomainError(
                f"{cls.category}.created_event",
                f"{cls.__name__} is created by {cls.created_event.__name__}, not by {type(event).__name__}",
            )
        entity = begin(cls, new_id() if id is None else id, event)
        private(entity)["_pending"] = (PendingEvent(new_id(), event),)
        return entity

    @classmethod
    def _own_details(
        cls, factory: str, base: type[Entity], details: Mapping[str, Any], known: Collection[str]
    ) -> dict[str, Any]:
        """Return the keywords that set fields which a subclass adds to `base`; for factory methods.

        Args:
            factory: The name of the factory, for errors.
            base: The class that defines the factory.
            details: The keywords that the factory was given.
            known: The keywords that the factory takes itself.

        Raises:
            DomainError: The factory does not take the keyword and the subclass has no such field,
                or the creating event lacks the field, so that its value would be lost.
        """
        own = {name: value for name, value in details.items() if name not in known}
        if not own:
            return own
        called = f"{cls.__name__}.{factory}()"
        added = [name for name in cls.model_fields if name not in base.model_fields]
        refuse_keywords(cls, called, own, [*known, *added])
        for name in own:
            if name not in cls.created_event.model_fields:
                raise DomainError(
                    f"{cls.category}.{name}",
                    f"{called} cannot keep {name!r}: the creating event {cls.created_event.__name__} has no such field; "
                    f"give {cls.__name__} its own category and creating event",
                )
        return own

    def emit(self, event: Event) -> None:
        """Apply `event` and keep it as pending; domain methods call it after checking their rule.

        Raises:
            DomainError: The entity was deleted, it has no applier for this class of event, or the
                applier sets a name that is not a field. The state is unchanged.
        """
        attributes: Any = self.__pydantic_private__
        if attributes["_deleted"]:
            raise DomainError(f"{self.category}.deleted", f"{self.category} {self.id} was deleted")
        if attributes["_assigned"] or not attributes["_pending"]:
            self.record_assignments(occurred_at=event.occurred_at)
        before = self.__dict__.copy()
        try:
            apply(self, event)
            # Only a name that is not a field, such as a misspelt one, makes the state longer.
            if len(self.__dict__) > len(before):
                self._check_set(event)
        except BaseException:
            _set_attribute(self, "__dict__", before)
            raise
        attributes["_pending"] += (PendingEvent(new_id(), event),)

    def _check_set(self, event: Event) -> None:
        """Refuse names that an applier has set, unless they are fields or defined by the class.

        A cached property, for example, is defined by the class.
        """
        for name in self.__dict__:
            if name not in type(self).model_fields and not hasattr(type(self), name):
                raise DomainError(
                    f"{self.category}.{name}",
                    f"the method of {type(self).__name__} marked @applies({type(event).__name__}) sets {name!r}, which is "
                    f"not a field: {suggestion(name, type(self).model_fields)}",
                )

    def _after_amendment(self, event: Amended) -> None:
        """Bring fields that follow from others in line after an amendment; part of the fold, so it must not fail."""

    # ---- what the state no longer holds -------------------------------------------------------------------------

    @classmethod
    def _without_its_fact(cls, created: Event, later: Sequence[Event]) -> Event | None:  # noqa: ARG003 - a hook
        """Return the creating event as it would be without the fact that it tells, where later events happened before it.

        A past by `occurred_at` asks it if events of a stream had happened then, and the one that created it had not.

        Args:
            created: The creating event.
            later: The events that had happened, in the order of versions; at least one.

        Returns:
            What the fold of `later` begins with; None if there was nothing before the creating event, as for most entities.
        """
        return None

    def _ids_to_ask(self) -> tuple[str, ...]:
        """Return the execution ids of pending events that the stream may contain already, as far as this instance knows.

        A Unit of Work looks them up in the log before it appends. An entity whose state holds all that it needs to know a
        repeat has none.
        """
        return ()

    def _recall(self, execution_ids: Collection[str], events: Iterable[RecordedEvent]) -> None:
        """Take in the events of the stream that have one of these execution ids: all that the log has of them.

        Raises:
            DomainError: A pending event repeats one of them.
        """

    def delete(self, *, occurred_at: datetime | None = None) -> None:
        """Emit the tombstone: the row is deleted, the history stays, the id is never used again."""
        self.emit(self.deleted_event(occurred_at=at(occurred_at)))

    def record_assignments(self, *, occurred_at: datetime | None = None) -> None:
        """Turn assignments, or the arguments of the constructor, into a pending event.

        A Unit of Work calls this.

        Args:
            occurred_at: When the assignments took effect; None for the time of the context's clock.
        """
        attributes = private(self)
        pending, assigned = attributes["_pending"], attributes["_assigned"]
        # The assignments are forgotten last: the context's clock may raise, and they would be lost.
        if not pending and self.version == 0:
            attributes["_pending"] = self._creating_events()
        elif assigned:
            changes = {}
            for name, before in assigned.items():
                if self.__dict__[name] != before:
                    changes[name] = self.__dict__[name]
                else:
                    # An equal value may have other digits, 152.0 for 152.00. The stream has the
                    # earlier ones.
                    self.__dict__[name] = before
            if changes:
                attributes["_pending"] = (*pending, self._amendment(changes, at(occurred_at)))
        assigned.clear()

    @property
    def pending_events(self) -> tuple[PendingEvent, ...]:
        """The events that are not in the log yet, in order.

        Assignments become events when the entity is saved.
        """
        return private(self)["_pending"]  # type: ignore[no-any-return]

    @property
    def assigned_fields(self) -> tuple[str, ...]:
        """The fields whose assigned values differ from those of the last event."""
        assigned = private(self)["_assigned"]
        return tuple(name for name, before in assigned.items() if self.__dict__[name] != before)

    @property
    def is_deleted(self) -> bool:
        """Whether the entity's tombstone was emitted."""
        return private(self)["_deleted"]  # type: ignore[no-any-return]

    @property
    def has_unsaved_changes(self) -> bool:
        """Whether there is anything to save: a new entity, a pending event or an assignment."""
        attributes = private(self)
        return self.version == 0 or bool(attributes["_pending"]) or bool(attributes["_assigned"])

    def amend_to(self, values: Mapping[str, Any]) -> None:
        """Assign each field of `values` that differs, and validate them together.

        So fields that depend on each other, such as a status and a quantity, can change at once.
        Apart from that, this is like plain assignments.

        Raises:
            DomainError: The entity was deleted, a name is not a field, or a value breaks a rule.
                Nothing is changed.
        """
        if self.is_deleted:
            raise DomainError(f"{self.category}.deleted", f"{self.category} {self.id} was deleted")
        for name in values:
            if name not in type(self).model_fields or name in ENVELOPE:
                raise self._not_a_field(name)
        amended = type(self)(**{**{name: self.__dict__[name] for name in type(self).model_fields}, **values})
        for name in values:
            before, after = self.__dict__[name], amended.__dict__[name]
            if before != after:
                self.__dict__[name] = after
                private(self)["_assigned"].setdefault(name, before)

    def _creating_events(self) -> tuple[PendingEvent, ...]:
        kind = type(self)
        state = {name: self.__dict__[name] for name in kind.model_fields}
        when = now() if self.creation_time_field is None else state[self.creation_time_field]
        values = {name: state[name] for name in begun_fields(kind, self.created_event)}
        created = (
            self._of_own_values(self.created_event, values, when)
            if self._has_made_created_event
            else self.created_event(occurred_at=when, **values)
        )
        begun = begin(kind, self.id, created).__dict__
        rest = {
            name: value
            for name, value in state.items()
            if begun[name] is not value and first_difference(value, begun[name], name) is not None
        }
        events = [PendingEvent(new_id(), created)]
        if rest:
            events.append(self._amendment(rest, when))
        return tuple(events)

    def _amendment(self, changes: Mapping[str, Any], occurred_at: datetime) -> PendingEvent:
        return PendingEvent(new_id(), self._of_own_values(self.amended_event, changes, occurred_at))

    def _of_own_values(self, event_class: type[E], values: Mapping[str, Any], occurred_at: datetime) -> E:
        """Return an event of field values of this entity, without validating them again.

        The entity has validated them already, and a validator may change a value at each run.
        """
        when = self.amended_event(occurred_at=occurred_at).occurred_at
        return codec.fill(event_class, {"occurred_at": when, **values})

    def _not_a_field(self, name: str) -> DomainError:
        derived = isinstance(getattr(type(self), name, None), property)
        why = "is derived from other fields" if derived else "is not a field"
        return DomainError(
            f"{self.category}.{name}",
            f"{type(self).__name__}: {name} {why} and cannot be assigned; "
            f"the fields are {', '.join(type(self).model_fields)}",
        )

    def __repr__(self) -> str:
        # Short, because errors and logs show it.
        state = self.__dict__
        words = [f"{name}={word(state[name])}" for name in self.shown_fields if name in state]
        told = f" version {state.get('version')}" + "".join(f" {word}" for word in words)
        return f"<{type(self).__name__} {state.get('id')}{told}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        state = self.__dict__
        caption = f"{type(self).__name__} {state.get('id')}, version {state.get('version')}"
        fields = ((name, state[name]) for name in type(self).model_fields if name in state)
        rows = ((name, value) for name, value in fields if name not in ENVELOPE and value is not None)
        return table(caption, ("field", "value"), rows)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy to which the values of `update` are assigned.

        They are validated and saved like any assignment. An id or a version is copied without
        validation, because events do not store them.

        Raises:
            DomainError: A value is not of its field's type, or a name is not a field that can be
                assigned.
        """
        changes = dict(update or {})
        envelope = {name: changes.pop(name) for name in ENVELOPE & changes.keys()}
        copied = super().model_copy(update=envelope, deep=deep)
        for name, value in changes.items():
            if name not in type(self).model_fields:
                raise self._not_a_field(name)
            setattr(copied, name, value)
        return copied

    def __copy__(self) -> Self:
        copied = super().__copy__()
        attributes = private(copied)
        # What one of them counts from now on, the other has not counted.
        attributes["_memory"] = copy(attributes["_memory"])
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).model_fields:
            if not name.startswith("_"):
                raise self._not_a_field(name)
            super().__setattr__(name, value)
            return
        if self.is_deleted:
            raise DomainError(f"{self.category}.deleted", f"{self.category} {self.id} was deleted")
        before = dict(self.__dict__)
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            # A validator of the whole model runs after pydantic has set the field.
            _set_attribute(self, "__dict__", before)
            raise domain_error(type(self), error) from error
        private(self)["_assigned"].setdefault(name, before[name])


@cache
def require_storable(entity: type[Entity]) -> None:
    """Check that the events of an entity class store all of its fields.

    Raises:
        ConfigurationError: The class has no category, or none of its events has one of its fields.
    """
    if not entity.category:
        raise ConfigurationError(
            f"{entity.__name__} has no category, so it has no streams: "
            f'declare `class {entity.__name__}(..., category="...")`'
        )
    kept = entity.amended_event.model_fields
    lost = [name for name in entity.model_fields if name not in ENVELOPE and name not in kept]
    if lost:
        parent = next(each for each in entity.__mro__[1:] if lost[0] not in getattr(each, "model_fields", ()))
        raise ConfigurationError(
            f"{entity.__name__} cannot be saved: no event of category {entity.category} has its field {lost[0]}, so its "
            f"value would be lost; move it to a separate entity, or to a field that {parent.__name__} has"
        )


def _require_fields_for_events(entity: type[Entity]) -> None:
    """Check that the fields of an entity may be fields of its events.

    Raises:
        ConfigurationError: A field has a name that entities or events need, the class redefines
            `id` or `version`, the class allows values that are not fields, or the values of a field
            cannot be read back.
    """
    require_free_names(entity, Entity)
    for name in entity.model_fields:
        if name in _EVENT_NAMES:
            raise name_taken(entity, name, "event")
        if (
            name in ENVELOPE
            and entity.model_fields[name].annotation is not Entity.model_fields[name].annotation
        ):
            raise ConfigurationError(
                f"{entity.__name__} redefines {name}, which belongs to its stream: remove the field from the class"
            )
    if entity.model_config.get("extra") == "allow":
        raise ConfigurationError(
            f"{entity.__name__} allows values that are not fields (extra='allow'), and events cannot store them: "
            "declare fields, or one field that is a mapping"
        )
    if entity.__pydantic_complete__:  # otherwise the first use of its events checks it
        require_storable_fields(entity)


_EVENT_NAMES = {
    "occurred_at",
    *(
        name
        for event_class in (Event, Amended, Tombstone)
        for name in vars(event_class)
        if not name.startswith("_") and name != "model_config"
    ),
}
"""Names that every event has.

A field of an entity becomes a field of its events, so it must have another name.
"""
