"""Tests of one rule: given a history, when a command runs, then these events; or given a history, expect these rows.

Nothing here needs a server or an event loop. Events pass through the JSON that PostgreSQL would store.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any, Self, TypeVar
from uuid import UUID

from eventstore.core.context import decimal_arithmetic, in_utc, new_id, use_clock
from eventstore.core.entity import Entity
from eventstore.core.event import Event, PendingEvent, RecordedEvent
from eventstore.core.registry import registry
from eventstore.errors import ConfigurationError, DomainError
from eventstore.log.records import NO_METADATA, StagedEvent, decode_page, to_columns
from eventstore.replay.history import entity_class_of
from projections.engine.fold import by_key, fold_key
from projections.projection import Projection

R = TypeVar("R")
V = TypeVar("V", bound=Event)

_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Like:
    """An expected event of which only some fields are given; `like` makes one.

    Attributes:
        event_class: The class of the event.
        fields: The values that the event must have.
    """

    event_class: type[Event]
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"like({self.event_class.__name__}{', ' * bool(values)}{values})"


def like(event_class: type[Event], **fields: Any) -> Like:
    """Return an expected event of which only these fields count.

    Args:
        event_class: The class of the event.
        fields: The values that it must have.

    Raises:
        ConfigurationError: The class has no such field.
    """
    for name in fields:
        if name not in event_class.model_fields:
            names = ", ".join(event_class.model_fields)
            raise ConfigurationError(f"{event_class.__name__} has no field {name!r}; its fields are {names}")
    return Like(event_class, fields)


Expected = Event | Like | type[Event]
"""An event that must be equal, one of which some fields count, or only its class."""


def given(*history: Event | Entity | RecordedEvent) -> Given:
    """Begin a test with what happened before.

    Example:
        given(order).when(lambda order: order.cancel()).then(OrderCancelled)
        given(opened, reduced).expect(Turnover(symbol="ES", quantity=Decimal(3)), of=TurnoverProjection())

    Args:
        history: What happened, in order: events; entities, which stand for the events that they have not saved; or
            recorded events. Events that are given bare are one stream for each category.

    Raises:
        ConfigurationError: An entity has no unsaved events, so it tells no history; or an argument is neither event nor entity.
        EventEncodingError: An event could not be read back equal.
    """
    return Given(_recorded(history))


@dataclass(frozen=True, slots=True)
class Given:
    """A history, as it would be read from the log; `given` makes one.

    Attributes:
        history: The events, with positions 1, 2, 3 unless they were given with their own.
    """

    history: tuple[RecordedEvent, ...]

    def expect(self, *rows: R, of: Projection[R]) -> Self:
        """Fold the history by a projection, and compare its rows with these, in any order.

        Args:
            rows: All rows that there must be; none for an empty table.
            of: The projection.

        Raises:
            ConfigurationError: `of` is not a projection.
            AssertionError: The rows differ; the message has those that are missing and those that are too many.
            Exception: What the projection raised.
        """
        if not isinstance(of, Projection):
            raise ConfigurationError(
                f"of must be a projection, such as {of!r} called: write of=TurnoverProjection()"
            )
        found = [row for row in self._folded(of) if row is not None]
        missing = [row for row in rows if row not in found]
        unexpected = [row for row in found if row not in rows]
        if missing or unexpected or len(found) != len(rows):
            lines = [f"the rows of {of.name} differ: {len(rows)} expected, {len(found)} found"]
            lines += [f"  missing:    {row!r}" for row in missing]
            lines += [f"  unexpected: {row!r}" for row in unexpected]
            raise AssertionError("\n".join(lines))
        return self

    def _folded(self, projection: Projection[R]) -> list[R | None]:
        parts = [part for event in self.history for part in projection.taken(event)]
        codec = projection.table.codec
        rows: list[R | None] = []
        with decimal_arithmetic():
            for key, its_events in by_key(projection, parts).items():
                row, _, failure = fold_key(projection, key, None, its_events)
                if failure is not None:
                    raise failure.error
                if row is not None:
                    codec.encode(row)  # what the table could not store is an error of the projection
                rows.append(row)
        return rows

    def when(self, command: Callable[..., Any], *, at: datetime | None = None) -> Outcome:
        """Run a command on the entity of the history. The clock stops meanwhile.

        Args:
            command: Called with the entity. Without a history it is called with nothing, and returns a new entity.
            at: The time of the clock; None for the time of the last event, or the wall clock without a history. A
                naive time is local time.

        Returns:
            What the command did, or the `DomainError` that it raised: look at it with `then` or `refused`.

        Raises:
            ConfigurationError: The history has events of several entities, no class is known for its category, or the
                command is a coroutine function.
            Exception: What the command raised, unless it is a `DomainError`.
        """
        entity = self._entity()
        when = self.history[-1].occurred_at if at is None and self.history else at
        try:
            if when is None:
                result = command() if entity is None else command(entity)
            else:
                instant = in_utc(when)
                with use_clock(lambda: instant):
                    result = command() if entity is None else command(entity)
        except DomainError as error:
            return Outcome(entity, (), None, error)
        if isawaitable(result):
            if isinstance(result, Coroutine):
                result.close()
            raise ConfigurationError(
                "the command is a coroutine function, which would not run here: give a plain function"
            )
        if entity is None and isinstance(result, Entity):
            entity = result
        if entity is None:
            raise ConfigurationError("without a history, the command must return the entity that it makes")
        entity.record_assignments(occurred_at=when)
        events = tuple(_stored(entity))
        return Outcome(entity, events, result, None)

    def _entity(self) -> Entity | None:
        if not self.history:
            return None
        streams = {event.stream_id for event in self.history}
        if len(streams) > 1:
            raise ConfigurationError(
                f"a command runs on one entity, and the history has events of {len(streams)}: give those of one"
            )
        category = self.history[0].category
        kind = entity_class_of(category, registry)
        if kind is None:
            raise ConfigurationError(
                f"no entity class is known for the category {category!r}: import it first"
            )
        return kind.fold(self.history)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did.

    Attributes:
        entity: The entity after it; None if there is none.
        events: The events that it emitted.
        result: What it returned.
        error: The `DomainError` by which it refused; None if it did not.
        is_refusal_expected: Whether `refused` has looked at the error.
    """

    entity: Entity | None
    events: tuple[Event, ...]
    result: Any = field(default=None)
    error: DomainError | None = field(default=None)
    is_refusal_expected: bool = False

    def then(self, *expected: Expected) -> Self:
        """Compare the emitted events with these, in order; none for a command that changes nothing.

        Args:
            expected: For each event one that is equal, `like(...)` for some of its fields, or its class.

        Raises:
            AssertionError: They differ, or the command was refused.
        """
        if self.error is not None:
            raise AssertionError(f"the command was refused: {self.error}") from self.error
        wrong = len(expected) != len(self.events) or not all(map(_is_as, self.events, expected))
        if wrong:
            lines = [f"the events differ: {len(expected)} expected, {len(self.events)} emitted"]
            lines += [f"  expected: {_told(one)}" for one in expected]
            lines += [f"  emitted:  {one!r}" for one in self.events]
            raise AssertionError("\n".join(lines))
        return self

    def has(self, **fields: Any) -> Self:
        """Compare fields or properties of the entity after the command; after a refusal, first call `refused`.

        Raises:
            AssertionError: A value differs, the entity has no such name, or the command was refused.
        """
        if self.error is not None and not self.is_refusal_expected:
            raise AssertionError(f"the command was refused: {self.error}") from self.error
        for name, value in fields.items():
            found = getattr(self.entity, name, _NO_TIME)
            if found is _NO_TIME:
                raise AssertionError(f"{type(self.entity).__name__} has no {name!r}")
            if found != value:
                raise AssertionError(f"{name} is {found!r}, not {value!r}")
        return self

    def refused(self, rule: str | None = None) -> Self:
        """Require that the command was refused.

        Args:
            rule: The name of the rule that the error must have, such as `order.status`; None for any.

        Raises:
            AssertionError: It was not refused, or by another rule.
        """
        if self.error is None:
            raise AssertionError(f"the command was not refused; it emitted {list(self.events)!r}")
        if rule is not None and self.error.rule != rule:
            raise AssertionError(f"the command was refused by {self.error.rule}, not by {rule}: {self.error}")
        return replace(self, is_refusal_expected=True)


def _is_as(event: Event, expected: Expected) -> bool:
    if isinstance(expected, Like):
        return type(event) is expected.event_class and all(
            getattr(event, name) == value for name, value in expected.fields.items()
        )
    if isinstance(expected, builtins.type):
        return type(event) is expected
    return event == expected


def _told(expected: Expected) -> str:
    return expected.__name__ if isinstance(expected, builtins.type) else repr(expected)


def _stored(entity: Entity) -> list[Event]:
    """Return the unsaved events of an entity as the log would return them."""
    staged = [
        StagedEvent(entity.id, entity.version + number, pending, NO_METADATA)
        for number, pending in enumerate(entity.pending_events, start=1)
    ]
    return [recorded.event for recorded in _through_json(staged)]


def _recorded(history: tuple[Event | Entity | RecordedEvent, ...]) -> tuple[RecordedEvent, ...]:
    streams: dict[str, UUID] = {}
    versions: dict[UUID, int] = {}
    found: list[RecordedEvent] = []

    def add(stream_id: UUID, pending: PendingEvent) -> None:
        version = versions[stream_id] = versions.get(stream_id, 0) + 1
        recorded = _through_json([StagedEvent(stream_id, version, pending, NO_METADATA)])[0]
        found.append(recorded._replace(position=len(found) + 1))

    for item in history:
        if not isinstance(item, Event | Entity | RecordedEvent):
            raise ConfigurationError(
                f"given takes events and entities, one argument for each, not {item!r}: write given(*history) for a list"
            )
        if isinstance(item, RecordedEvent):
            versions[item.stream_id] = item.version
            found.append(item)
        elif isinstance(item, Entity):
            item.record_assignments()
            if item.version or not item.pending_events:
                raise ConfigurationError(
                    f"{item!r} was saved, so it does not tell its history: give its events, or store.log.read_stream(id)"
                )
            for pending in item.pending_events:
                add(item.id, pending)
        else:
            stream_id = streams.setdefault(item.category, new_id())
            add(stream_id, PendingEvent(new_id(), item))
    return tuple(found)


def _through_json(staged: list[StagedEvent]) -> list[RecordedEvent]:
    now = datetime.now(UTC)
    return decode_page([(1, *values, now) for values in zip(*to_columns(staged).per_event, strict=True)])
