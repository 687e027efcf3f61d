"""Conversion between events and the columns of the log."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Literal, NamedTuple, overload
from uuid import UUID
from zlib import crc32

import orjson

from eventstore.core.event import Event, PendingEvent, RecordedEvent, UpcastEvents
from eventstore.core.event_codec import event_codecs, has_nul, reason_of
from eventstore.core.read_back import parse_json, without_exponents
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.upcasting import EventContext, upcast
from eventstore.database.protocols import Row
from eventstore.errors import (
    ConfigurationError,
    EventDecodingError,
    EventEncodingError,
    UnknownEventTypeError,
)
from eventstore.garbage_collection import collecting_later
from eventstore.limits import check_count
from eventstore.log.append_size import (
    APPEND_LENGTH_UNCHECKED,
    ENVELOPE_BYTES,
    EVENT_LENGTH_UNCHECKED,
    require_append_fits,
    require_event_fits,
)
from eventstore.log.unreadable import Readable, UnreadableEvent

COLUMNS = (
    "position",
    "stream_id",
    "version",
    "event_id",
    "category",
    "type",
    "schema_version",
    "data",
    "metadata",
    "occurred_at",
    "recorded_at",
)
"""The columns of `events`, in the order in which statements for pages of events return them."""

VERSION_MAX = 2**31 - 1
"""The highest version of a stream: an integer of PostgreSQL."""

NO_METADATA: Mapping[str, Any] = {}
"""The metadata of an event whose writer gives none."""


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """New events of one stream, and the version that their writer has seen.

    Attributes:
        stream_id: The stream.
        expected_version: Its version, as the writer knows it; 0 for a new stream.
        events: The events, in order; at least one.

    Raises:
        ConfigurationError: There are no events, so nothing would be checked or written.
        LimitError: `expected_version` is below 0.
    """

    stream_id: UUID
    expected_version: int
    events: tuple[PendingEvent, ...]

    def __post_init__(self) -> None:
        if not self.events:
            raise ConfigurationError(
                f"an append to stream {self.stream_id} has no events: nothing would be written or checked, so "
                "give at least one event"
            )
        check_count("expected_version", self.expected_version, least=0, most=VERSION_MAX)

    def staged(self, metadata: Mapping[str, Any]) -> Iterator[StagedEvent]:
        """Yield the events with the versions that they will get."""
        for version, pending in enumerate(self.events, start=self.expected_version + 1):
            yield StagedEvent(self.stream_id, version, pending, metadata)


class StagedEvent(NamedTuple):
    """An event about to be appended, at the version that it must get."""

    stream_id: UUID
    version: int
    pending: PendingEvent
    metadata: Mapping[str, Any] = NO_METADATA
    generation: int | None = None
    """The server's generation when the state that this event changes was read.

    None if the state was not read in this session.
    """


class AppendResult(NamedTuple):
    """The result of an append.

    Attributes:
        positions: The position of each event, in staging order.
        recorded_at: When the append's statement began, by the database's clock.
        repeated: Whether the log had these same events before, from an earlier call.
    """

    positions: tuple[int, ...]
    recorded_at: datetime | None
    repeated: bool = False

    @property
    def last_position(self) -> int:
        """The highest position; 0 if nothing was appended."""
        return max(self.positions, default=0)


class AppendColumns(NamedTuple):
    """The arguments of the append statement. The lists have one item per event."""

    heads: dict[UUID, int]
    """The version that each stream is expected to have."""
    stream_ids: list[UUID]
    versions: list[int]
    event_ids: list[UUID]
    categories: list[str]
    types: list[str]
    schema_versions: list[int]
    data: list[str]
    metadata: list[str]
    occurred_at: list[datetime]
    generation: int | None = None
    """The server's generation when the states that the events change were read.

    None if the events do not depend on the server.
    """
    digests: Sequence[int] = ()
    """The `append_digest` of each event's append; empty for an import, which has none."""

    @property
    def per_event(self) -> tuple[list[Any], ...]:
        """The lists with one item per event, in the order of the statements' parameters."""
        return self[1:10]

    def extended(self, others: Iterable[AppendColumns]) -> AppendColumns:
        """Return these columns followed by those of others. No two may share a stream."""
        all_of_them = (self, *others)
        heads: dict[UUID, int] = {}
        for one in all_of_them:
            heads.update(one.heads)
        columns = zip(*(one.per_event for one in all_of_them), strict=True)
        generations = [one.generation for one in all_of_them if one.generation is not None]
        joined = AppendColumns.of(
            heads, (list(chain.from_iterable(column)) for column in columns), min(generations, default=None)
        )
        return joined._replace(digests=list(chain.from_iterable(one.digests for one in all_of_them)))

    @classmethod
    def of(
        cls, heads: dict[UUID, int], per_event: Iterable[list[Any]], generation: int | None = None
    ) -> AppendColumns:
        """Return columns from the lists of `per_event`."""
        make: Any = cls
        made: AppendColumns = make(heads, *per_event, generation)
        return made


def append_digest(event_ids: Sequence[UUID]) -> int:
    """Return a digest of the ids of events that are appended together.

    It is a sum that does not depend on their order, as a signed integer of 32 bits. It is 0 for one
    event, and never 0 for several.
    """
    if len(event_ids) == 1:
        return 0
    digest = sum([crc32(event_id.bytes) for event_id in event_ids]) % 2**32 or 1
    return digest - 2**32 if digest >= 2**31 else digest


def encode_metadata(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON text: decimals as strings, times and UUIDs as ISO text.

    Raises:
        ConfigurationError: It contains a value that JSON cannot express, such as a set, NaN or an
            object of another class, or text with NUL.
    """
    if not metadata:
        return "{}"
    try:
        encoded = orjson.dumps(metadata, default=_decimal_text, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise ConfigurationError(f"metadata cannot be written as JSON: {error}") from error
    if b"null" in encoded and _has_no_number(metadata):
        raise ConfigurationError("metadata cannot be written as JSON: it contains NaN or infinity")
    if has_nul(encoded):
        raise ConfigurationError("metadata contains the character NUL, which PostgreSQL cannot store")
    return without_exponents(encoded.decode())


def _decimal_text(value: Any) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def _has_no_number(value: Any) -> bool:
    """Whether a value contains NaN or infinity anywhere, which orjson would write as null."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_has_no_number, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_no_number, value))


def to_columns(staged: Iterable[StagedEvent], *, classes: EventRegistry = registry) -> AppendColumns:
    """Return the arguments of the append statement for events in staging order.

    Args:
        staged: The events.
        classes: The registry in which a reader of the log finds event classes.

    Raises:
        ConfigurationError: The versions of a stream are not consecutive or out of range, a reader
            would find another class for an event, or metadata cannot be written as JSON or contains
            NUL.
        EventEncodingError: An event could not be read back equal, in value and type.
        AppendTooLargeError: An event, or all events together, are larger than the limits.
    """
    digests: list[int] = []
    columns = AppendColumns({}, [], [], [], [], [], [], [], [], [], None, digests)
    latest: dict[UUID | None, int] = {}
    stream: UUID | None = None
    before = 0
    encoded: dict[int, str] = {}
    registered, codecs = classes.registered, event_codecs
    generation: int | None = None
    length = 0
    for stream_id, version, (event_id, event), metadata, seen_on in staged:
        event_class = event.__class__
        # The events of a stream mostly follow each other, and an id takes long to hash.
        if stream_id is not stream:
            latest[stream] = before
            stream, before = stream_id, latest.get(stream_id, version - 1)
            columns.heads.setdefault(stream_id, before)
        if version != before + 1 or not 0 < version <= VERSION_MAX:
            raise _no_version(stream_id, version, before)
        before = version
        if event_class not in registered:
            classes.require_registered(event_class)
        if not metadata:
            text = "{}"
        elif (text := encoded.get(id(metadata), "")) == "":
            text = encoded[id(metadata)] = encode_metadata(metadata)
        codec = codecs[event_class]
        try:
            data = codec.encode(event).decode()
        except EventEncodingError as error:
            raise error.of_stream(stream_id) from error
        size = len(data) + len(text)
        if size > EVENT_LENGTH_UNCHECKED:
            require_event_fits((codec.category, codec.type), stream_id, version, data, text)
        length += size
        columns.stream_ids.append(stream_id)
        columns.versions.append(version)
        columns.event_ids.append(event_id)
        columns.categories.append(codec.category)
        columns.types.append(codec.type)
        columns.schema_versions.append(codec.schema_version)
        columns.data.append(data)
        columns.metadata.append(text)
        columns.occurred_at.append(event.occurred_at)
        if seen_on is not None:
            generation = seen_on if generation is None else min(generation, seen_on)
    _complete(columns, digests, length)
    return columns if generation is None else columns._replace(generation=generation)


def _complete(columns: AppendColumns, digests: list[int], length: int) -> None:
    events = len(columns.event_ids)
    if length + events * ENVELOPE_BYTES > APPEND_LENGTH_UNCHECKED:
        require_append_fits(columns)
    digests += (0,) if events == 1 else [append_digest(columns.event_ids)] * events


def _no_version(stream_id: UUID, version: int, before: int) -> ConfigurationError:
    if version > VERSION_MAX:
        return ConfigurationError(
            f"version {version} of stream {stream_id} is too high: a stream has at most {VERSION_MAX} versions"
        )
    return ConfigurationError(
        f"version {version} of stream {stream_id} does not follow version {before}: stage the events of a stream in order"
    )


def decode(row: Row, *, classes: EventRegistry = registry) -> RecordedEvent:
    """Return a row of `events` as an event with its envelope, upcast to today's schema.

    Args:
        row: The columns of `events`, by name.
        classes: The registry of event classes and upcasters.

    Returns:
        The event; an `UpcastEvents` if upcasting turned it into zero or several events.

    Raises:
        UnknownEventTypeError: No class is registered for its type, or for a type that it was upcast
            to.
        EventDecodingError: Its JSON does not fit its class, or it cannot be upcast.
    """
    (event,) = decode_page([[row[name] for name in COLUMNS]], classes=classes)
    return event


@overload
def decode_page(
    rows: Iterable[Iterable[Any]],
    *,
    classes: EventRegistry = registry,
    taken: Container[type[Event]] | None = None,
    keep_unreadable: Literal[False] = False,
) -> list[RecordedEvent]: ...
@overload
def decode_page(
    rows: Iterable[Iterable[Any]],
    *,
    classes: EventRegistry = registry,
    taken: Container[type[Event]] | None = None,
    keep_unreadable: Literal[True],
) -> list[Readable]: ...
@collecting_later()
def decode_page(
    rows: Iterable[Iterable[Any]],
    *,
    classes: EventRegistry = registry,
    taken: Container[type[Event]] | None = None,
    keep_unreadable: bool = False,
) -> Any:
    """Return many rows of `events` as events, like `decode`.

    Args:
        rows: For each row the values of `COLUMNS`, in that order; more values may follow.
        classes: The registry of event classes and upcasters.
        taken: The event classes to return; None for all. Events that need an upcaster are always
            returned.
        keep_unreadable: Whether to return an `UnreadableEvent` for an event that cannot be read.
            Otherwise its error is raised.

    Raises:
        UnknownEventTypeError, EventDecodingError: As `decode`.
    """
    events: list[Readable] = []
    add, known = events.append, _Readers(classes, taken)
    new = tuple.__new__  # takes half the time of the constructor
    for row in rows:
        (
            position,
            stream_id,
            version,
            event_id,
            category,
            type_,
            schema_version,
            data,
            metadata,
            occurred_at,
            recorded_at,
            *_,
        ) = row
        try:
            reader = known[category, type_, schema_version]
            if reader is None:
                continue
            if not _YEAR_FIRST < occurred_at.year < _YEAR_LAST:
                _require_finite(occurred_at)
            kept = NO_METADATA if metadata == "{}" else metadata_of(metadata)
            loads, constructors = reader
            if loads is None:
                add(_decode_old(dict(zip(COLUMNS, row, strict=False)), kept, classes))
                continue
            fields = loads(data)
            event = constructors[tuple(fields)](fields, occurred_at)
        except MemoryError:
            raise
        except Exception as error:
            unreadable = _unreadable(row, error)
            if keep_unreadable:
                add(unreadable)
                continue
            if unreadable.error is error:
                raise
            raise unreadable.error from error
        add(new(RecordedEvent, (position, stream_id, version, event_id, event, kept, recorded_at)))
    return events


class _Readers(dict[tuple[str, str, int], Any]):
    """What reads the JSON of stored events, by category, type and schema version.

    A value is the parser and the constructors of a class, both None for an event that needs an upcaster; or None if the
    event is not wanted.
    """

    def __init__(self, classes: EventRegistry, taken: Container[type[Event]] | None) -> None:
        super().__init__()
        self._classes = classes
        self._taken = taken

    def __missing__(self, key: tuple[str, str, int]) -> Any:
        found: Any = (None, None)
        event_class = self._classes.current.get(key)
        if event_class is not None:
            is_taken = self._taken is None or event_class in self._taken
            codec = event_codecs[event_class] if is_taken else None
            found = None if codec is None else (codec.loads, codec.constructors)
        self[key] = found
        return found


# Asyncpg returns an infinite time as `datetime.min` or `datetime.max`, which no event can have.
_YEAR_FIRST, _YEAR_LAST = 1, 9999


def metadata_of(text: str) -> Mapping[str, Any]:
    """Return stored metadata.

    Raises:
        TypeError, ValueError: They cannot be read.
    """
    found: Mapping[str, Any] = orjson.loads(text)
    if type(found) is not dict:
        raise TypeError(f"its metadata is {text[:100]}, which is not a JSON object")
    return found


def _require_finite(when: datetime) -> None:
    if when.replace(tzinfo=None) in (datetime.min, datetime.max):  # noqa: DTZ901 - compared without a time zone
        raise ValueError("its occurred_at is an infinite time")


def _unreadable(row: Iterable[Any], error: Exception) -> UnreadableEvent:
    """Return an `UnreadableEvent`; a foreign error is wrapped in one that names the place."""
    values = dict(zip(COLUMNS, row, strict=False))
    if isinstance(error, EventDecodingError | UnknownEventTypeError):
        return UnreadableEvent(**values, error=error)
    found = EventDecodingError(
        f"the stored JSON does not fit {values['category']}/{values['type']}: {reason_of(error)}",
        stream_id=values["stream_id"],
        position=values["position"],
    )
    found.__cause__ = error
    return UnreadableEvent(**values, error=found)


def _decode_old(row: Mapping[str, Any], metadata: Mapping[str, Any], classes: EventRegistry) -> RecordedEvent:
    envelope: dict[str, Any] = {
        name: row[name]
        for name in (
            "category",
            "type",
            "position",
            "stream_id",
            "version",
            "event_id",
            "occurred_at",
            "recorded_at",
        )
    }
    envelope["metadata"] = metadata
    context = EventContext(schema_version=row["schema_version"], **envelope)
    events = upcast(parse_json(row["data"]), context, classes=classes)
    if len(events) == 1:
        return RecordedEvent(
            row["position"],
            row["stream_id"],
            row["version"],
            row["event_id"],
            events[0],
            metadata,
            row["recorded_at"],
        )
    return UpcastEvents.made(events=events, **envelope)
