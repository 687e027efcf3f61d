"""Events: what happened, and the envelope of an event in the log.

An `Event` is a frozen pydantic model, named in the past tense. It knows its category and its type.
The envelope holds its stream and its version (`PendingEvent` before the append, `RecordedEvent`
after it), so two events with the same content are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from eventstore.core.context import now
from eventstore.core.event_codec import event_codecs, require_storable_fields
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.types import UtcDatetime
from eventstore.core.validation import Validated, refuse_class_keywords, require_free_names
from eventstore.errors import ConfigurationError, EventDecodingError


class Event(Validated):
    """Something that happened to one entity. Subclass it with a category, and add fields.

    The event's type is the name of the class, unless `type=` sets another one. Category and type
    are permanent, because the log stores them. A subclass of an event inherits its category, unless
    it sets another one.

    Every value of an event comes back from the log equal, in value and type. A class that cannot
    guarantee this is refused when it is defined. A value that would not come back equal is refused
    by the append, before anything is written. The stored JSON uses the names of fields, not their
    aliases. A field that is None, False or an empty tuple is left out if that is its default.

    Example:
        class StrategyTuned(Event, category="strategy"):
            parameter: str
            value: Decimal

    Attributes:
        occurred_at: When it happened, by the domain's clock. The default is the time of the
            context's clock.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        # A default may have a type other than its field's, such as 0 for a Decimal.
        validate_default=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",
    )

    category: ClassVar[str] = ""
    type: ClassVar[str] = ""
    schema_version: ClassVar[int] = 1
    stores_unset_fields: ClassVar[bool] = True
    _registry: ClassVar[EventRegistry] = registry

    occurred_at: UtcDatetime = Field(default_factory=now)

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        type: str | None = None,
        schema_version: int | None = None,
        registry: EventRegistry | None = None,
        **unknown: Any,
    ) -> None:
        refuse_class_keywords(cls, unknown, ("category", "type", "schema_version", "registry"))
        super().__init_subclass__()
        cls.type = type or vars(cls).get("type") or cls.__name__
        if category is not None:
            cls.category = category
        if schema_version is not None:
            cls.schema_version = schema_version
        if registry is not None:
            cls._registry = registry

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Register the class under its category and type, unless it has no category (a base class).

        A parametrized generic class, such as `Reading[int]`, is not registered either, because a
        program that only reads never creates it. A subclass of it is registered.

        Raises:
            ConfigurationError: A field has a name that events need, the class redefines
                `occurred_at`, the values of a field could not be read back, another class has its
                category and type, or its schema version is out of range.
        """
        require_free_names(cls, Event)
        if cls.model_fields["occurred_at"].metadata != Event.model_fields["occurred_at"].metadata:
            raise ConfigurationError(
                f"the event {cls.__name__} redefines occurred_at, which belongs to the envelope: remove the field, and "
                "store any other time in a field with another name"
            )
        if cls.__pydantic_complete__:  # otherwise its first use checks it
            require_storable_fields(cls)
        if cls.category and cls.__pydantic_generic_metadata__["origin"] is None:
            cls._registry.register(cls)

    def to_json(self) -> bytes:
        """Return the event's fields as UTF-8 JSON: decimals as strings, without `occurred_at`.

        Raises:
            EventEncodingError: The event could not be read back from its JSON equal, in value and
                type.
        """
        return event_codecs[type(self)].encode(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the values of `update`, which are validated as by the constructor.

        Raises:
            DomainError: A value is not of its field's type, or there is no such field.
        """
        if not update:
            return super().model_copy(deep=deep)
        fields = {name: self.__dict__[name] for name in type(self).model_fields}
        validated = type(self)(**{**fields, **(self.__pydantic_extra__ or {}), **update})
        # A validator may change a value at each run, so the other fields keep their values.
        changes = {**validated.__dict__, **(validated.__pydantic_extra__ or {})}
        return super().model_copy(update={name: changes[name] for name in update}, deep=deep)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Yield what the repr shows: `occurred_at`, and the fields that are not at their defaults."""
        for name, value in super().__repr_args__():
            described = type(self).model_fields.get(name or "")
            if (
                name == "occurred_at"
                or described is None
                or described.is_required()
                or value != described.default
            ):
                yield name, value

    @classmethod
    def from_stored(cls, data: dict[str, Any], occurred_at: datetime) -> Self:
        """Create the event from its parsed JSON, without validating it a second time.

        The event was validated when it was created. Here each field only gets its Python type back.

        Raises:
            KeyError: A field of the stored JSON is not a field of this class, or one without a default is missing.
            ValueError: A value cannot be turned into its field's type.
        """
        made: Self = event_codecs[cls].construct(data, occurred_at)  # type: ignore[assignment]
        return made


class Amended(Event):
    """Fields of an entity were assigned: only the fields that are set changed, and None means None."""

    stores_unset_fields: ClassVar[bool] = False

    @property
    def changes(self) -> Mapping[str, Any]:
        """The new value of each changed field."""
        return {name: self.__dict__[name] for name in self.model_fields_set if name != "occurred_at"}


class Tombstone(Event):
    """The entity was deleted: its row is deleted, its history stays, its id is never used again."""


class PendingEvent(NamedTuple):
    """An event that an entity has emitted and that is not in the log yet.

    Its id is created with the event and not at the append, so that an append can be sent again.
    """

    event_id: UUID
    event: Event


class RecordedEvent(NamedTuple):
    """An event of the log with its envelope. It is immutable; `_replace` returns a changed copy.

    Upcasters can turn an old event into zero or several events. Such an event is an `UpcastEvents`,
    and reading its `event` raises an error, so that no event is missed silently. Code that may read
    old events should loop over `upcast_events`.

    Attributes:
        position: Its place in the order of the whole log; positions ascend, with gaps.
        stream_id: The id of the entity.
        version: Its place in the stream: 1, 2, 3 without gaps.
        event_id: The id that it was created with.
        event: What happened. Reading it raises `EventDecodingError` if upcasting turned this event
            into zero or several events.
        metadata: Correlation id, causation id, actor, and other keys that the writer added.
        recorded_at: When the append's statement began, by the database's clock, in UTC.
    """

    position: int
    stream_id: UUID
    version: int
    event_id: UUID
    event: Event
    metadata: Mapping[str, Any]
    recorded_at: datetime

    @property
    def category(self) -> str:
        """The category of the stream, such as `order`."""
        return self.event.category

    @property
    def type(self) -> str:
        """The event's type, such as `OrderFilled`."""
        return self.event.type

    @property
    def occurred_at(self) -> datetime:
        """When it happened, by the domain's clock, in UTC."""
        return self.event.occurred_at

    @property
    def upcast_events(self) -> tuple[RecordedEvent, ...]:
        """The events that it is today: itself, unless upcasting gave zero or several events."""
        return (self,)


@dataclass(frozen=True, slots=True)
class _Became:
    """The stored category, type and time of an event, and the events that it became."""

    category: str
    type: str
    occurred_at: datetime
    events: tuple[Event, ...]


class UpcastEvents(RecordedEvent):
    """An event of the log that upcasting turned into zero or several events.

    It remains one event of the log, with one position and one version. `upcast_events` returns the
    events that it is today, each with the same envelope.
    """

    __slots__ = ()

    @classmethod
    def made(
        cls,
        *,
        position: int,
        stream_id: UUID,
        version: int,
        event_id: UUID,
        category: str,
        type: str,
        events: Iterable[Event],
        metadata: Mapping[str, Any],
        occurred_at: datetime,
        recorded_at: datetime,
    ) -> Self:
        """Return an event with its stored category, type and time, and its events of today."""
        became: Any = _Became(category, type, occurred_at, tuple(events))
        return cls(position, stream_id, version, event_id, became, metadata, recorded_at)

    @property
    def _became(self) -> _Became:
        return self[4]  # type: ignore[return-value]  # takes the place of `event`

    @property
    def event(self) -> Event:
        """The one event, which does not exist.

        Raises:
            EventDecodingError: Always. Use `upcast_events`.
        """
        raise EventDecodingError(
            f"{self.category}/{self.type} was upcast to {len(self._became.events)} events: "
            "use .upcast_events, not .event",
            stream_id=self.stream_id,
            position=self.position,
        )

    @property
    def category(self) -> str:
        """The category of the stream."""
        return self._became.category

    @property
    def type(self) -> str:
        """The type that it was stored with."""
        return self._became.type

    @property
    def occurred_at(self) -> datetime:
        """When it happened, as it was stored."""
        return self._became.occurred_at

    @property
    def upcast_events(self) -> tuple[RecordedEvent, ...]:
        """The events that it is today, in order. Each has the position, the version and the id of this one."""
        return tuple(
            RecordedEvent(
                self.position,
                self.stream_id,
                self.version,
                self.event_id,
                event,
                self.metadata,
                self.recorded_at,
            )
            for event in self._became.events
        )

    def with_events(self, some: Iterable[RecordedEvent]) -> Self:
        """Return this event with only some of its `upcast_events`."""
        became: Any = replace(self._became, events=tuple(one.event for one in some))
        return self._replace(event=became)

    def __repr__(self) -> str:
        return (
            f"UpcastEvents(position={self.position}, stream_id={self.stream_id!r}, version={self.version}, "
            f"type={self.type!r}, events={list(self._became.events)!r})"
        )


def with_derived(*kinds: type[Event]) -> list[type[Event]]:
    """Return event classes with those that users derived from them."""
    found = dict.fromkeys(kinds)
    for kind in kinds:
        found |= dict.fromkeys(with_derived(*kind.__subclasses__()))
    return list(found)
