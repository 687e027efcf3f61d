"""Events: what happened, its envelope in the log, and the registry that names its class.

An `Event` is a frozen pydantic model in the past tense. It knows its category and its type; which stream it
belongs to, and at which version, is the envelope's business (`PendingEvent` before the append, `RecordedEvent`
after it), so that two events with the same content are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from eventstore.domain import codec
from eventstore.domain.context import now
from eventstore.domain.types import UtcDatetime
from eventstore.domain.validation import Validated
from eventstore.errors import ConfigurationError, UnknownEventTypeError

__all__ = ["Amended", "Event", "EventRegistry", "PendingEvent", "RecordedEvent", "Tombstone", "registry"]


class Event(Validated):
    """Something that happened to one entity. Subclass it with a category, and give it fields.

    The class's name is the event's type unless `type=` says otherwise; both are for ever, since the log keeps
    them. A field that is None is left out of the stored JSON, so None must be its default.

    Example:
        class StrategyTuned(Event, category="strategy"):
            parameter: str
            value: Decimal

    Attributes:
        occurred_at: When it happened by the domain's clock; the context's clock unless given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: ClassVar[str] = ""
    type: ClassVar[str] = ""
    schema_version: ClassVar[int] = 1
    stores_unset_fields: ClassVar[bool] = True

    occurred_at: UtcDatetime = Field(default_factory=now)

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        type: str | None = None,
        schema_version: int | None = None,
        **_: Any,
    ) -> None:
        super().__init_subclass__()
        cls.type = type or cls.__name__
        if category is not None:
            cls.category = category
        if schema_version is not None:
            cls.schema_version = schema_version

    @classmethod
    def __pydantic_init_subclass__(cls, *, category: str | None = None, **_: Any) -> None:
        """Register the class under its category and type, unless it was given no category (a base class).

        Raises:
            ConfigurationError: Another class has that category and type.
        """
        if category is not None:
            registry.register(cls)

    def to_json(self) -> bytes:
        """Return the event's fields as UTF-8 JSON: decimals as strings, without `occurred_at`."""
        return self.__pydantic_serializer__.to_json(
            self,
            exclude={"occurred_at"},
            exclude_none=self.stores_unset_fields,
            exclude_unset=not self.stores_unset_fields,
        )

    @classmethod
    def from_stored(cls, data: dict[str, Any], occurred_at: datetime) -> Self:
        """Make the event from its parsed JSON, without validating it a second time.

        It was validated when it was made; here each field only gets its Python type back.

        Raises:
            KeyError: A field of the stored JSON is not a field of this class, or one without a default is missing.
            ValueError: A value cannot be turned into its field's type.
        """
        return codec.construct(cls, data, occurred_at=occurred_at)


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


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of the log.

    Attributes:
        position: Its place in the log's one global order; positions have holes.
        stream_id: The entity's id.
        version: Its place in the stream: 1, 2, 3 ... without holes.
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


class EventRegistry:
    """The event classes of the process, by category and type."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], type[Event]] = {}

    def register(self, event_class: type[Event]) -> None:
        """Add a class; defining the same class again, as a notebook does, replaces it.

        Raises:
            ConfigurationError: Another class has its category and type.
        """
        key = (event_class.category, event_class.type)
        known = self._classes.get(key)
        if known is not None and _full_name(known) != _full_name(event_class):
            raise ConfigurationError(
                f"event type {key[0]}/{key[1]} is defined twice, by {_full_name(known)} and "
                f"{_full_name(event_class)}: rename one, or give it type=..."
            )
        self._classes[key] = event_class

    def find(self, category: str, type: str) -> type[Event]:
        """Return the class of an event of the log.

        Raises:
            UnknownEventTypeError: No class is registered under that category and type.
        """
        try:
            return self._classes[category, type]
        except KeyError:
            raise UnknownEventTypeError(category, type) from None

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())


def _full_name(event_class: type[Event]) -> str:
    return f"{event_class.__module__}.{event_class.__qualname__}"


registry = EventRegistry()
"""The registry that event classes enter when they are defined."""
