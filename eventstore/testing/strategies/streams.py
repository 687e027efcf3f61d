"""Events in the order of a log: those of legal lives of entities, or any events of the user's classes.

Each has what events of a live log have: an id, metadata, a position after a gap, a time of recording.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field as with_default, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from eventstore.core.causation import metadata_of
from eventstore.core.context import use_clock, use_ids
from eventstore.core.entity import Entity
from eventstore.core.event import Event, PendingEvent, RecordedEvent
from eventstore.core.registry import EventRegistry, registry
from eventstore.domain.executions import Execution
from eventstore.errors import DomainError
from eventstore.limits import check_count
from eventstore.log.records import COLUMNS, StagedEvent, decode_page, to_columns
from eventstore.testing.strategies.entities import EPOCH, History, prices, quantities, times

E = TypeVar("E", bound=Event)

_STREAMS_MAX = 4
_EVENTS_MAX = 12
_ENVELOPE = "occurred_at"

_KEYS = {"correlation_id": "of", "causation_id": "after", "actor": "by"}

RECORDED_FROM = EPOCH + timedelta(hours=2)
"""The time at which the first event of a log is recorded."""


@dataclass(frozen=True)
class LoggedEvent:
    """An event with its stream and its envelope in the log.

    Its position, its version and its time of recording follow from the events before it: see
    `recorded_log`.

    Attributes:
        stream_id: The stream.
        event: The event.
        event_id: The event's id; None to derive it from the event's index in the log.
        metadata: The metadata of its writer: correlation, causation, actor and others.
        gap: The number of unused positions before it, as after a rolled-back append.
        recorded_after: How long after the previous event it was recorded; zero if one append wrote both.
    """

    stream_id: UUID
    event: Event
    event_id: UUID | None = None
    metadata: Mapping[str, Any] = with_default(default_factory=dict, hash=False)
    gap: int = 0
    recorded_after: timedelta = timedelta(0)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        metadata = ", ".join(
            f"{_KEYS.get(key, f'{key}:')} {_id_or_other(value)}" for key, value in self.metadata.items()
        )
        said = [f"{{{metadata}}}" if metadata else "", f"after a gap of {self.gap}" if self.gap else ""]
        return " ".join(
            [
                f"{self.event.category} {_short(self.stream_id)}: {shown_event(self.event)}",
                *filter(None, said),
            ]
        )


def shown_event(event: Event) -> str:
    """Return a short text of an event: its type, and the fields that differ from their defaults.

    A time that equals the event's `occurred_at` is shown as `same`.
    """
    fields = type(event).model_fields
    said = []
    for name, value in event.__dict__.items():
        if name == _ENVELOPE:
            if value != EPOCH:
                said.append(f"at {_time(value)}")
        elif value is not None and value != fields[name].default and not _is_told(event, value):
            is_same = isinstance(value, datetime) and value == event.occurred_at != EPOCH
            said.append(f"{name}={'same' if is_same else _value(value)}")
    return f"{event.type}({', '.join(said)})"


def _is_told(event: Event, value: Any) -> bool:
    """Whether a value is the execution whose facts are the other fields of the event."""
    own_id = getattr(event, "execution_id", None)
    return isinstance(value, tuple) and [getattr(one, "execution_id", "") for one in value] == [own_id]


def _value(value: Any) -> str:
    if isinstance(value, Decimal | enum.StrEnum):
        return str(value)
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, UUID):
        return _short(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        told = [f"{k}={_value(v)}" for k, v in value.__dict__.items() if v not in (None, fields[k].default)]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, tuple) and any(isinstance(one, Execution) for one in value):
        # Its other fields, or events before it, show the execution that an event lists.
        return f"({', '.join(str(one.execution_id) for one in value)})"
    return repr(value)


def _time(value: datetime) -> str:
    since = value - EPOCH
    if abs(since) > timedelta(days=2):
        return value.isoformat()
    if not since:
        return "EPOCH"
    minutes, rest = divmod(since, timedelta(minutes=1))
    if not rest:
        return f"EPOCH+{minutes}min"
    return f"EPOCH+{minutes}min+{rest // timedelta(microseconds=1)}us"


def _id_or_other(value: Any) -> str:
    try:
        return _short(UUID(value))
    except (ValueError, TypeError, AttributeError):
        return str(value)


def _short(value: UUID) -> str:
    return str(value.int) if value.int < 10**6 else str(value)


# ---- envelopes -------------------------------------------------------------------------------------------------

_LATER = timedelta(milliseconds=250)
_FIRST_ID = 1_000


@dataclass(frozen=True)
class _Envelope:
    """The envelope of an event: how many events back its cause is (0 without a cause), and the rest."""

    actor: str | None = None
    is_of_command: bool = False
    cause: int = 0
    more: Mapping[str, Any] = with_default(default_factory=dict)
    gap: int = 0
    recorded_after: timedelta = timedelta(0)


# The simplest envelope comes first: events without a drawn value get it.
_ENVELOPES = (
    _Envelope(),
    _Envelope(actor="desk"),
    _Envelope(recorded_after=timedelta(microseconds=1)),
    _Envelope(gap=1, recorded_after=_LATER),
    _Envelope(actor="desk", is_of_command=True),
    _Envelope(cause=1),
    _Envelope(actor="risk", cause=2, recorded_after=_LATER),
    _Envelope(more={"venue": "XNAS", "attempt": 2, "tags": ["ü", None]}, gap=3, recorded_after=_LATER),
)


def enveloped(
    logs: st.SearchStrategy[tuple[LoggedEvent, ...]],
) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Generate logs whose events have metadata, gaps and times of recording; most events have the defaults.

    Args:
        logs: A strategy of logs without any of these.
    """
    kinds = len(_ENVELOPES)
    # One number decides all envelopes, one digit for each event; 0 gives the simplest log.
    chosen = st.integers(0, kinds**_EVENTS_MAX - 1).map(
        lambda number: [number // kinds**place % kinds for place in range(_EVENTS_MAX)]
    )
    return st.tuples(logs, chosen).map(lambda drawn: _with_envelopes(*drawn))


def _with_envelopes(log: Sequence[LoggedEvent], chosen: Sequence[int]) -> tuple[LoggedEvent, ...]:
    found: list[LoggedEvent] = []
    for place, one in enumerate(log):
        envelope = _ENVELOPES[chosen[place] if place < len(chosen) else 0]
        event_id = one.event_id or UUID(int=_FIRST_ID + place)
        cause = found[-envelope.cause] if 0 < envelope.cause <= len(found) else None
        correlation = event_id if envelope.is_of_command else None
        if cause is not None:
            correlation = cause.metadata.get("correlation_id") or cause.event_id
        metadata = metadata_of(
            envelope.more,
            correlation_id=correlation,
            causation_id=None if cause is None else cause.event_id,
            actor=envelope.actor,
        )
        found.append(
            replace(
                one,
                event_id=event_id,
                metadata=metadata,
                gap=envelope.gap,
                recorded_after=envelope.recorded_after,
            )
        )
    return tuple(found)


def staged_log(log: Sequence[LoggedEvent]) -> tuple[StagedEvent, ...]:
    """Return the events of a log in the form that an append takes, each with its version in its stream."""
    versions: dict[UUID, int] = {}
    staged = []
    for place, one in enumerate(log):
        versions[one.stream_id] = version = versions.get(one.stream_id, 0) + 1
        pending = PendingEvent(one.event_id or UUID(int=_FIRST_ID + place), one.event)
        staged.append(StagedEvent(one.stream_id, version, pending, one.metadata))
    return tuple(staged)


def recorded_log(
    log: Sequence[LoggedEvent], *, classes: EventRegistry = registry
) -> tuple[RecordedEvent, ...]:
    """Return the events of a log as they are read back from a live log, to test an `evolve` or a fold.

    Each event has passed through the JSON of its columns. Positions ascend with gaps, versions of a stream
    ascend without gaps, and `recorded_at` never decreases.

    Args:
        log: The log.
        classes: The registry of the event classes.

    Raises:
        EventEncodingError: An event would not be read back equal.
    """
    if not log:
        return ()
    columns = to_columns(staged_log(log), classes=classes)
    position, recorded_at = 0, RECORDED_FROM
    rows = []
    for one, *values in zip(log, *columns.per_event, strict=True):
        position += 1 + one.gap
        recorded_at += one.recorded_after
        by_name = dict(zip(COLUMNS[1:-1], values, strict=True))
        rows.append([position, *(by_name[name] for name in COLUMNS[1:-1]), recorded_at])
    return tuple(decode_page(rows, classes=classes))


def recorded_logs(
    logs: st.SearchStrategy[tuple[LoggedEvent, ...]], *, classes: EventRegistry = registry
) -> st.SearchStrategy[tuple[RecordedEvent, ...]]:
    """Generate logs as they are read back from a live log: see `recorded_log`.

    Args:
        logs: Logs, such as `event_logs(order_histories())`.
        classes: As in `recorded_log`.
    """
    return logs.map(lambda log: recorded_log(log, classes=classes))


# ---- legal streams -----------------------------------------------------------------------------------------


def event_logs(
    *histories: st.SearchStrategy[History[Any]], streams_max: int = _STREAMS_MAX
) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Generate logs of legal streams that are interleaved in any way.

    Args:
        histories: The strategy of the histories, such as `order_histories()`.
        streams_max: The most histories.
    """
    check_count("streams_max", streams_max)

    def played(drawn: tuple[list[History[Any]], list[int]]) -> tuple[LoggedEvent, ...]:
        return merged([stream for history in drawn[0] for stream in _streams(history)], drawn[1])

    return enveloped(
        st.tuples(
            st.lists(st.one_of(*histories), min_size=1, max_size=streams_max),
            st.lists(st.integers(0, 2 * streams_max), max_size=_EVENTS_MAX),
        ).map(_numbered(played))
    )


def _numbered(play: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Create entities with the ids 1, 2, 3 ..., so that a counter-example can be read and run again."""

    def numbered(drawn: Any) -> Any:
        numbers = count(1)
        with use_ids(lambda: UUID(int=next(numbers))), use_clock(lambda: EPOCH):
            return play(drawn)

    return numbered


def _streams(history: History[Any]) -> list[list[LoggedEvent]]:
    return [_stream(entity) for entity in history.play()]


def _stream(entity: Entity) -> list[LoggedEvent]:
    entity.record_assignments()
    return [LoggedEvent(entity.id, pending.event, pending.event_id) for pending in entity.pending_events]


def merged(streams: Sequence[Sequence[Any]], choices: Sequence[int]) -> tuple[Any, ...]:
    """Interleave several streams, keeping the order of each.

    Args:
        streams: The streams.
        choices: For each item, which of the unfinished streams comes next, modulo their number; after the
            last choice, always the first.
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
    """Generate logs of a user's entity: each stream begins with its creating event; then any events follow.

    There may be events that the entity cannot apply, because its commands are not known.

    Args:
        entity: The class of the entity.
    """
    made = (entity.created_event, entity.amended_event, entity.deleted_event)
    later = [_built(one) for one in entity.event_classes() if one not in made]
    # An amendment sets a valid value of the entity's field, so None only if the field may be None.
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

    return enveloped(
        st.tuples(
            st.lists(lives, min_size=1, max_size=_STREAMS_MAX),
            st.lists(st.integers(0, 2 * _STREAMS_MAX), max_size=_EVENTS_MAX),
        ).map(numbered)
    )


# ---- events by their fields ----------------------------------------------------------------------------------


def events_of(*classes: type[E]) -> st.SearchStrategy[E]:
    """Generate events of any of these classes, with small values of the types of their fields.

    Args:
        classes: At least one class. Values that its validation refuses are left out; a class that refuses
            most values needs its own strategy.
    """
    return st.one_of(*(_built(each) for each in classes))


def _built(model: type[Any], fields_of: type[BaseModel] | None = None) -> st.SearchStrategy[Any]:
    fields = (fields_of or model).model_fields
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        values = times() if name == _ENVELOPE else _values((fields.get(name) or field).annotation)
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
    datetime: times,
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
