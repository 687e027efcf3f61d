"""Events: what happened, and its envelope in the log.

An `Event` is a frozen pydantic model in the past tense. It knows its category and its type; which stream it
belongs to, and at which version, is the envelope's business (`PendingEvent` before the append, `RecordedEvent`
after it), so that two events with the same content are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self, cast
from uuid import UUID

from pydantic import ConfigDict, Field

from eventstore.core.context import now
from eventstore.core.event_codec import event_codecs, require_storable_fields
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.types import OccurredAt
from eventstore.core.validation import Validated, refuse_class_keywords, require_free_names
from eventstore.errors import ConfigurationError, EventDecodingError

__all__ = [
    "Amended",
    "Event",
    "EventRegistry",
    "PendingEvent",
    "RecordedEvent",
    "Tombstone",
    "UpcastEvents",
    "registry",
]


class Event(Validated):
    """Something that happened to one entity. Subclass it with a category, and give it fields.

    The class's name is the event's type unless `type=` says otherwise; both are for ever, since the log keeps
    them. A subclass of an event has the category of that event unless it is given another one.

    Whatever an event holds comes back from the log equal, type and all. A class of which that cannot hold is refused when
    it is defined, and a value of which it does not hold is refused by the append, before anything is written. In the
    stored JSON a field has its name, whatever its alias; one that is None is left out where None is its default.

    Example:
        class StrategyTuned(Event, category="strategy"):
            parameter: str
            value: Decimal

    Attributes:
        occurred_at: When it happened by the domain's clock; the context's clock unless given.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        # Else a default may be of another type than its field: 0 for a Decimal.
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

    occurred_at: OccurredAt = Field(default_factory=now)

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

        A generic class that was parametrized, such as `Reading[int]`, is not registered: a program that only reads never
        makes it. A subclass of it is.

        Raises:
            ConfigurationError: Another class has that category and type, or its schema version is none; or what it holds
                could not be read back.
        """
        require_free_names(cls, Event)
        if cls.model_fields["occurred_at"].metadata != Event.model_fields["occurred_at"].metadata:
            raise ConfigurationError(
                f"the event {cls.__name__} defines occurred_at anew: leave it as it is in Event, since the envelope has it; "
                "give another time a field of its own"
            )
        if cls.__pydantic_complete__:  # else when it is used first
            require_storable_fields(cls)
        if cls.category and cls.__pydantic_generic_metadata__["origin"] is None:
            cls._registry.register(cls)

    def to_json(self) -> bytes:
        """Return the event's fields as UTF-8 JSON: decimals as strings, without `occurred_at`.

        Raises:
            EventEncodingError: The JSON would not give the event back, equal, type and all.
        """
        return event_codecs[type(self)].encode(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other values of some fields; they are validated, as the constructor's are.

        Raises:
            DomainError: A value is not of its field's type, or there is no such field.
        """
        if not update:
            return super().model_copy(deep=deep)
        fields = {name: self.__dict__[name] for name in type(self).model_fields}
        validated = type(self)(**{**fields, **(self.__pydantic_extra__ or {}), **update})
        # A validator may change a value each time: the other fields stay as they are.
        changes = {**validated.__dict__, **(validated.__pydantic_extra__ or {})}
        return super().model_copy(update={name: changes[name] for name in update}, deep=deep)

    @classmethod
    def from_stored(cls, data: dict[str, Any], occurred_at: datetime) -> Self:
        """Make the event from its parsed JSON, without validating it a second time.

        It was validated when it was made; here each field only gets its Python type back.

        Raises:
            KeyError: A field of the stored JSON is not a field of this class, or one without a default is missing.
            ValueError: A value cannot be turned into its field's type.
        """
        made: Self = event_codecs[cls].construct(data, {"occurred_at": occurred_at})  # type: ignore[assignment]
        return made


class Amended(Event):
    """Fields of an entity were assigned: only the fields that are set changed, and None means None."""

    stores_unset_fields: ClassVar[bool] = False

    @property
    def changes(self) -> Mapping[str, Any]:
        """The new value of each changed field."""
        return {name: self.__dict__[name] for name in self.model_fields_set if name != "occurred_at"}


class Tombstone(Event):
    """The entity was deleted: its row goes, its history stays, its id is not used again."""


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that an entity emitted and no log has yet.

    Its id is made with the event, and not at the append, so that an append can be sent again.
    """

    event_id: UUID
    event: Event


class _Envelope:
    """A `RecordedEvent` whose fields are being set: with the last of them it has become one.

    A frozen dataclass sets each of its fields by a call, which takes four times as long as all this.
    """

    __slots__ = ("event", "event_id", "metadata", "position", "recorded_at", "stream_id", "version")

    def __init__(  # noqa: PLR0917 - as the fields of `RecordedEvent`
        self,
        position: int,
        stream_id: UUID,
        version: int,
        event_id: UUID,
        event: Event,
        metadata: Mapping[str, Any],
        recorded_at: datetime,
    ) -> None:
        self.position = position
        self.stream_id = stream_id
        self.version = version
        self.event_id = event_id
        self.event = event
        self.metadata = metadata
        self.recorded_at = recorded_at
        # Of the same layout, since it adds no slot.
        self.__class__ = RecordedEvent  # noqa: PLE0237


@dataclass(frozen=True, slots=True)
class RecordedEvent(_Envelope):
    """An event of the log.

    One that upcasters turned into several events, or into none, is an `UpcastEvents`: go through `parts` where old
    events may be such.

    Attributes:
        position: Its place in the log's one global order; positions have gaps.
        stream_id: The entity's id.
        version: Its place in the stream: 1, 2, 3 ... without gaps.
        event_id: The id it was made with.
        event: What happened.
        metadata: Correlation id, causation id, actor, and whatever else the writer gave.
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
    def parts(self) -> tuple[RecordedEvent, ...]:
        """The event itself; what it is now, where upcasters have split or dropped it."""
        return (self,)


recorded = cast("Callable[..., RecordedEvent]", _Envelope)
"""Makes a `RecordedEvent` of its fields in their order, in a third of the time that its own constructor takes."""


class UpcastEvents(RecordedEvent):
    """An event of the log that upcasters turned into several events, or into none.

    It stays one in the log: it has one position, and takes one version of its stream, whatever it became. `parts`
    gives its events, each with the same envelope; `event` is an error, so that none of them is passed over unseen.

    Attributes:
        parts: The events that it is now.
    """

    __slots__ = ("_category", "_occurred_at", "_parts", "_type")

    _category: str
    _occurred_at: datetime
    _parts: tuple[RecordedEvent, ...]
    _type: str

    def __init__(
        self,
        *,
        position: int,
        stream_id: UUID,
        version: int,
        event_id: UUID,
        category: str,
        type: str,
        events: Sequence[Event],
        metadata: Mapping[str, Any],
        occurred_at: datetime,
        recorded_at: datetime,
    ) -> None:
        values = {
            "position": position,
            "stream_id": stream_id,
            "version": version,
            "event_id": event_id,
            "metadata": metadata,
            "recorded_at": recorded_at,
            "_category": category,
            "_type": type,
            "_occurred_at": occurred_at,
            "_parts": tuple(
                RecordedEvent(position, stream_id, version, event_id, event, metadata, recorded_at)
                for event in events
            ),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # a frozen class

    @property
    def event(self) -> Event:  # type: ignore[override]  # no more to be set than that of its base
        """None to be had: it is several events now, or none.

        Raises:
            EventDecodingError: Always; use `parts`.
        """
        raise EventDecodingError(
            f"{self.category}/{self.type} is {len(self._parts)} events since it was upcast: use .parts, not .event",
            stream_id=self.stream_id,
            position=self.position,
        )

    @property
    def category(self) -> str:
        """The category of the stream."""
        return self._category

    @property
    def type(self) -> str:
        """The type that it was stored with."""
        return self._type

    @property
    def occurred_at(self) -> datetime:
        """When it happened, as it was stored."""
        return self._occurred_at

    @property
    def parts(self) -> tuple[RecordedEvent, ...]:
        """The events that it is now, in order; each has this one's position, version and id."""
        return self._parts

    def of(self, parts: Iterable[RecordedEvent]) -> UpcastEvents:
        """Return this event with some of its parts."""
        return UpcastEvents(
            position=self.position,
            stream_id=self.stream_id,
            version=self.version,
            event_id=self.event_id,
            category=self._category,
            type=self._type,
            events=[part.event for part in parts],
            metadata=self.metadata,
            occurred_at=self._occurred_at,
            recorded_at=self.recorded_at,
        )

    def __repr__(self) -> str:
        return (
            f"UpcastEvents(position={self.position}, stream_id={self.stream_id!r}, version={self.version}, "
            f"type={self.type!r}, events={[part.event for part in self._parts]!r})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UpcastEvents) and all(
            getattr(self, name) == getattr(other, name)
            for name in ("event_id", "position", "version", "type", "occurred_at", "metadata", "_parts")
        )

    __hash__ = None  # type: ignore[assignment]
