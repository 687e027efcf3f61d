"""Events in the order of a log: those of legal lives of entities, or any events of the user's own classes."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from eventstore.domain.context import use_clock, use_ids
from eventstore.domain.entity import Entity
from eventstore.domain.event import Event
from eventstore.errors import DomainError
from eventstore.limits import check_count
from eventstore.testing.strategies.entities import EPOCH, History, moments, prices, quantities

__all__ = ["LoggedEvent", "event_logs", "events_of", "histories_of", "merged", "shown_event"]

E = TypeVar("E", bound=Event)

_STREAMS_MAX = 4
_EVENTS_MAX = 12
_ENVELOPE = "occurred_at"


@dataclass(frozen=True)
class LoggedEvent:
    """An event and the stream that it is of.

    Attributes:
        stream_id: The stream.
        event: The event.
    """

    stream_id: UUID
    event: Event

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        return f"{self.event.category} {_short(self.stream_id)}: {shown_event(self.event)}"


def shown_event(event: Event) -> str:
    """Return an event as short as it can be read: its type, and the fields that are not their defaults."""
    fields = type(event).model_fields
    said = []
    for name, value in event.__dict__.items():
        if name == _ENVELOPE:
            if value != EPOCH:
                said.append(f"at {_moment(value)}")
        elif value is not None and value != fields[name].default:
            said.append(f"{name}={_value(value)}")
    return f"{event.type}({', '.join(said)})"


def _value(value: Any) -> str:
    if isinstance(value, Decimal | enum.StrEnum):
        return str(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, UUID):
        return _short(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        told = [f"{k}={_value(v)}" for k, v in value.__dict__.items() if v not in (None, fields[k].default)]
        return f"{type(value).__name__}({', '.join(told)})"
    return repr(value)


def _moment(value: datetime) -> str:
    since = value - EPOCH
    if abs(since) > timedelta(days=2):
        return value.isoformat()
    return "EPOCH" if not since else f"EPOCH+{since / timedelta(minutes=1):g}min"


def _short(value: UUID) -> str:
    return str(value.int) if value.int < 10**6 else str(value)


# ---- legal streams -----------------------------------------------------------------------------------------


def event_logs(
    *histories: st.SearchStrategy[History[Any]], streams_max: int = _STREAMS_MAX
) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Logs of legal streams, whose events follow each other in any order that keeps each stream's own.

    Args:
        histories: Where lives of entities come from, such as `order_histories()`.
        streams_max: The most lives.
    """
    check_count("streams_max", streams_max)

    def played(drawn: tuple[list[History[Any]], list[int]]) -> tuple[LoggedEvent, ...]:
        return merged([stream for history in drawn[0] for stream in _streams(history)], drawn[1])

    return st.tuples(
        st.lists(st.one_of(*histories), min_size=1, max_size=streams_max),
        st.lists(st.integers(0, 2 * streams_max), max_size=_EVENTS_MAX),
    ).map(_numbered(played))


def _numbered(play: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give entities the ids 1, 2, 3 ... while they are made, so that a counter-example can be read and run again."""

    def numbered(drawn: Any) -> Any:
        numbers = count(1)
        with use_ids(lambda: UUID(int=next(numbers))), use_clock(lambda: EPOCH):
            return play(drawn)

    return numbered


def _streams(history: History[Any]) -> list[list[LoggedEvent]]:
    return [_stream(entity) for entity in history.play()]


def _stream(entity: Entity) -> list[LoggedEvent]:
    entity.record_assignments()
    return [LoggedEvent(entity.id, pending.event) for pending in entity.pending_events]


def merged(streams: Sequence[Sequence[Any]], choices: Sequence[int]) -> tuple[Any, ...]:
    """Return the items of several streams in one order that keeps each stream's own.

    Args:
        streams: The streams.
        choices: Which of the streams that have more comes next, modulo their number; when there are no more
            choices, the first one.
    """
    left = [list(stream) for stream in streams if stream]
    following = iter(choices)
    order: list[Any] = []
    while left:
        chosen = left[next(following, 0) % len(left)]
        order.append(chosen.pop(0))
        left = [stream for stream in left if stream]
    return tuple(order)


def histories_of(entity: type[Entity]) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Logs of an entity of the user's own: each stream begins with its creating event, what follows is any event.

    Events that the entity cannot apply may come: its commands are not known here.

    Args:
        entity: Its class.
    """
    made = (entity.created_event, entity.amended_event, entity.deleted_event)
    later = [_built(one) for one in entity.event_classes() if one not in made]
    # An amendment sets what the entity's own field takes, so None only where that may be None.
    later.append(_built(entity.amended_event, entity))
    lives = st.tuples(
        events_of(entity.created_event), st.lists(st.one_of(*later), max_size=_EVENTS_MAX // 2)
    ).map(lambda life: [life[0], *life[1]])

    def numbered(drawn: tuple[list[list[Event]], list[int]]) -> tuple[LoggedEvent, ...]:
        streams = [
            [LoggedEvent(UUID(int=number), event) for event in life]
            for number, life in enumerate(drawn[0], 1)
        ]
        return merged(streams, drawn[1])

    return st.tuples(
        st.lists(lives, min_size=1, max_size=_STREAMS_MAX),
        st.lists(st.integers(0, 2 * _STREAMS_MAX), max_size=_EVENTS_MAX),
    ).map(numbered)


# ---- events by their fields ----------------------------------------------------------------------------------


def events_of(*classes: type[E]) -> st.SearchStrategy[E]:
    """Events of any of these classes, with small values of the types of their fields.

    Args:
        classes: At least one. What its validation refuses is not given; a class that refuses most needs a strategy of
            the user's own.
    """
    return st.one_of(*(_built(each) for each in classes))


def _built(model: type[Any], fields_of: type[BaseModel] | None = None) -> st.SearchStrategy[Any]:
    fields = (fields_of or model).model_fields
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        values = moments() if name == _ENVELOPE else _values((fields.get(name) or field).annotation)
        (required if field.is_required() or name == _ENVELOPE else optional)[name] = values

    def make(values: dict[str, Any]) -> Any:
        try:
            return model(**values)
        except (ValidationError, DomainError):
            return None

    return st.fixed_dictionaries(required, optional=optional).map(make).filter(lambda made: made is not None)


_USUAL: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    Decimal: lambda: st.one_of(quantities(), prices()),
    str: lambda: st.sampled_from(["A", "B", "ü"]),
    int: lambda: st.integers(0, 9),
    bool: st.booleans,
    datetime: moments,
    date: lambda: st.integers(0, 2).map(lambda days: EPOCH.date() + timedelta(days=days)),
    UUID: lambda: st.integers(1, 3).map(lambda number: UUID(int=number)),
}


def _values(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a table of types
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _values(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if one is types.NoneType else _values(one) for one in arguments))
    if annotation in _USUAL:
        return _USUAL[annotation]()
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, arguments))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return st.sampled_from(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _built(annotation)
    return st.from_type(annotation)
