"""Upcasting: old events get today's schema when they are read. The stored bytes never change.

    stored OrderSent v1 --rename--> OrderSubmitted v1 --new field--> OrderSubmitted v2 --> the class of today

An upcaster is a pure function from the JSON of one schema version to the JSON of the next.
Upcasters compose: each takes one step, until there is a class for the result. An event that needs
no upcaster costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from eventstore.core.context import exact, in_utc
from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry, registry
from eventstore.errors import ConfigurationError, EventDecodingError, EventStoreError, UnknownEventTypeError
from eventstore.printable import text_of_error


@dataclass(frozen=True, slots=True)
class EventContext:
    """The stored envelope of an event, which an upcaster gets besides the JSON.

    Attributes:
        category: The category of the stream.
        type: The type that the event was stored with.
        schema_version: The schema version that it was stored with.
        position: Its place in the log.
        stream_id: The entity's id.
        version: Its place in the stream.
        event_id: Its id.
        metadata: Correlation id, causation id, actor, and other keys that the writer added.
        occurred_at: When it happened, by the domain's clock, in UTC.
        recorded_at: When it was appended, by the database's clock, in UTC.
    """

    category: str
    type: str
    schema_version: int
    position: int
    stream_id: UUID
    version: int
    event_id: UUID
    metadata: Mapping[str, Any]
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class UpcastEvent:
    """One of the events that an upcaster returns for a stored event.

    Attributes:
        type: Its type, which is one of the upcaster's targets.
        data: Its fields, as JSON: decimals and times as text.
        occurred_at: When it happened; a naive datetime means local time. None for the time of the
            stored event.
    """

    type: str
    data: dict[str, Any]
    occurred_at: datetime | None = None


UpcasterFunction: TypeAlias = Callable[[dict[str, Any], EventContext], dict[str, Any] | Sequence[UpcastEvent]]
F = TypeVar("F", bound=UpcasterFunction)


@dataclass(frozen=True, slots=True)
class Upcaster:
    """A registered upcaster function, with its source and its targets.

    Attributes:
        category: The category.
        type: The type that it takes.
        version: The schema version that it takes.
        targets: The types that it can return, each with its schema version.
        function: The function.
    """

    category: str
    type: str
    version: int
    targets: Mapping[str, int]
    function: UpcasterFunction

    @property
    def key(self) -> tuple[str, str, int]:
        """The category, type and schema version that it takes."""
        return self.category, self.type, self.version

    @property
    def name(self) -> str:
        """The full name of its function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


def upcaster(
    category: str,
    type: str,
    version: int,
    *,
    to: str | Mapping[str, int] | None = None,
    registry: EventRegistry = registry,
) -> Callable[[F], F]:
    """Mark the function that turns the stored JSON of one schema version into the next.

    The function gets the JSON, which it may change, and the event's envelope. It returns one of:

    - the new JSON, if there is one target type;
    - a list of `UpcastEvent`s, to split the event into several; an empty list drops it.

    The function must be pure, without I/O, clock or randomness, because it runs each time the event
    is read. Decimals and times are text in JSON. Never turn a decimal into a float. Decimals are computed in the library's
    own context, as in a fold, so that every reader gets the same digits.

    Example:
        @upcaster("order", "OrderRouted", 1)
        def name_the_venue(data, context):
            data["venue"] = data.pop("exchange")
            return data

    Args:
        category: The category of the event.
        type: The type that it was stored with.
        version: The schema version that it was stored with, from 1.
        to: The target. None for the same type at the next version. A name for that type at version
            1. A mapping from types to versions for other versions, or for several types of events.
        registry: The registry to add it to.

    Raises:
        ConfigurationError: The version is below 1, or another upcaster takes the same version of the type.
    """
    if version < 1:
        raise ConfigurationError(
            f"an upcaster of {category}/{type} takes version {version}, but schema versions begin at 1"
        )
    if to is None:
        targets: Mapping[str, int] = {type: version + 1}
    elif isinstance(to, str):
        targets = {to: 1}
    else:
        targets = dict(to)

    def register(function: F) -> F:
        registry.register_upcaster(Upcaster(category, type, version, targets, function))
        return function

    return register


@exact
def upcast(data: dict[str, Any], context: EventContext, *, classes: EventRegistry = registry) -> list[Event]:
    """Return the events of today for a stored event: usually one, but upcasters may give 0 or more.

    Args:
        data: Its parsed JSON, which may be changed.
        context: Its envelope.
        classes: The registry of classes and upcasters.

    Raises:
        UnknownEventTypeError: No class and no upcaster is registered for its type, or for a type
            that it becomes.
        EventDecodingError: An upcaster is missing, fails, or returns an invalid result; or the JSON
            does not fit the class.
    """
    events: list[Event] = []
    _follow(
        events, context.schema_version, UpcastEvent(context.type, data, context.occurred_at), context, classes
    )
    return events


def _follow(  # noqa: PLR0917 - one recursion
    events: list[Event],
    version: int,
    stored: UpcastEvent,
    context: EventContext,
    classes: EventRegistry,
    steps: int = 0,
) -> None:
    event_class = classes.current.get((context.category, stored.type, version))
    if event_class is not None:
        events.append(
            _construct(event_class, stored.data, stored.occurred_at or context.occurred_at, context)
        )
        return
    step = classes.upcasters.get((context.category, stored.type, version))
    if step is None:
        raise _no_way(stored.type, version, context, classes)
    if steps > len(classes.upcasters):
        raise _wrong(context, f"its upcasters form a circle, which {step.name} is part of")
    for part in _apply(step, stored, context):
        _follow(events, step.targets[part.type], part, context, classes, steps + 1)


def _apply(step: Upcaster, stored: UpcastEvent, context: EventContext) -> Sequence[UpcastEvent]:
    if stored.occurred_at is not None and stored.occurred_at != context.occurred_at:
        context = replace(context, occurred_at=stored.occurred_at)
    try:
        given = step.function(stored.data, context)
    except (EventDecodingError, UnknownEventTypeError):
        raise
    except Exception as error:
        raise _wrong(context, f"the upcaster {step.name} failed: {text_of_error(error)}") from error
    if isinstance(given, dict):
        if len(step.targets) != 1:
            raise _wrong(
                context,
                f"the upcaster {step.name} leads to {', '.join(step.targets) or 'nothing'}: "
                "return a list of UpcastEvent",
            )
        return (UpcastEvent(next(iter(step.targets)), given, stored.occurred_at),)
    if not isinstance(given, list | tuple) or not all(isinstance(part, UpcastEvent) for part in given):
        raise _wrong(
            context,
            f"the upcaster {step.name} returned {given!r}: "
            "return the new JSON, or a list of UpcastEvent (an empty one drops the event)",
        )
    for part in given:
        if part.type not in step.targets:
            raise _wrong(
                context,
                f"the upcaster {step.name} returned a {part.type}, but it leads to "
                f"{', '.join(step.targets) or 'nothing'}: name that type and its version in to=",
            )
    times = [_part_time(step, part.occurred_at or stored.occurred_at, context) for part in given]
    # The next steps may change the JSON. So if there are several parts, each gets its own copy.
    return [
        replace(part, data=part.data if len(given) == 1 else deepcopy(part.data), occurred_at=time)
        for part, time in zip(given, times, strict=True)
    ]


def _part_time(step: Upcaster, time: datetime | None, context: EventContext) -> datetime | None:
    if time is None or time is context.occurred_at:
        return time
    try:
        return in_utc(time)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise _wrong(
            context, f"the upcaster {step.name} returned {time!r} as occurred_at, which has no time in UTC"
        ) from error


def _construct(
    event_class: type[Event], data: dict[str, Any], occurred_at: datetime, context: EventContext
) -> Event:
    """Return an event of a class from its parsed JSON.

    Raises:
        EventDecodingError: The JSON does not fit the class.
    """
    try:
        return event_class.from_stored(data, occurred_at)
    except (KeyError, ValueError, ArithmeticError, TypeError) as error:
        raise _wrong(
            context, f"its JSON does not fit the class {event_class.__name__}: {text_of_error(error)}"
        ) from error


def _no_way(type: str, version: int, context: EventContext, classes: EventRegistry) -> EventStoreError:
    try:
        known = classes.find(context.category, type)
    except UnknownEventTypeError:
        return UnknownEventTypeError(
            context.category, type, stream_id=context.stream_id, position=context.position
        )
    if version > known.schema_version:
        return _wrong(
            context,
            f"the code has version {known.schema_version} of {type}, but this event has version {version}: "
            "a newer program wrote it, so run the newest program",
        )
    return _wrong(
        context,
        f"the code has version {known.schema_version} of {type}, but there is no upcaster from version {version}: "
        f'register one with @upcaster("{context.category}", "{type}", {version})',
    )


def _wrong(context: EventContext, why: str) -> EventDecodingError:
    return EventDecodingError(
        f"{context.category}/{context.type} of schema version {context.schema_version} cannot be read: {why}",
        stream_id=context.stream_id,
        position=context.position,
    )
