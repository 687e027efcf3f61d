"""Batches of encoded columns from the source of an import."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventstore.core.causation import kept
from eventstore.core.event import PendingEvent
from eventstore.core.event_codec import event_codecs
from eventstore.core.registry import EventRegistry
from eventstore.errors import ConfigurationError, EventEncodingError
from eventstore.log.append_size import APPEND_LENGTH_UNCHECKED, EVENT_LENGTH_UNCHECKED, require_event_fits
from eventstore.log.records import (
    NO_METADATA,
    VERSION_MAX,
    AppendColumns,
    StagedEvent,
    StreamAppend,
    encode_metadata,
    to_columns,
)

_BATCH_BYTES_MAX = 16 * 2**20  # of JSON: bounds memory, and the time that readers wait
# Events encoded at once, in one or two milliseconds. Then other tasks run, and the size is checked.
_SLICE_EVENTS = 250
_SLICE_FIRST_EVENTS = 16
_SLICE_BYTES = 2**20
_HANDFUL_ITEMS = 16

ImportSource = Iterable[StreamAppend | StagedEvent] | AsyncIterable[StreamAppend | StagedEvent]
"""What can be imported: events with their streams and versions, all at once or one by one."""

_Piece = tuple[UUID, int, Sequence[PendingEvent], Mapping[str, Any]]
"""Consecutive events of one stream: stream id, version before them, events, metadata."""


async def batches_of(
    source: ImportSource, metadata: Mapping[str, Any], events_max: int, classes: EventRegistry
) -> AsyncGenerator[AppendColumns, None]:
    """Yield the events of a source in encoded batches.

    Args:
        source: The events.
        metadata: The metadata of the events of a `StreamAppend`.
        events_max: The maximum number of events per batch.
        classes: The registry in which a reader of the log finds event classes.

    Raises:
        ConfigurationError: As `EventLog.import_events`.
    """
    size = min(_SLICE_EVENTS, events_max)
    batch = _Batch(classes)
    async for items in _handfuls(source):
        for item in items:
            for piece in _cut(item, metadata, size):
                if batch.has_no_room(len(piece[2]), events_max):
                    for part in _parts(batch.encoded()):
                        yield part
                    batch = _Batch(classes)
                batch.add(*piece)
                if len(batch.waiting) >= batch.slice_events:
                    batch.encode_waiting()
                    await asyncio.sleep(0)
    if batch.columns.versions:
        for part in _parts(batch.encoded()):
            yield part


def _parts(columns: AppendColumns) -> Iterator[AppendColumns]:
    """Yield a batch in parts that one statement can take.

    A batch has several parts only if its events are much larger than the events before it.
    """
    lengths = [
        len(data) + len(metadata) for data, metadata in zip(columns.data, columns.metadata, strict=True)
    ]
    if sum(lengths) <= APPEND_LENGTH_UNCHECKED:
        yield columns
        return
    start = length = 0
    for place, one in enumerate(lengths):
        length += one
        if length > _BATCH_BYTES_MAX or place == len(lengths) - 1:
            yield _part(columns, start, place + 1)
            start, length = place + 1, 0


def _part(columns: AppendColumns, start: int, end: int) -> AppendColumns:
    per_event = [column[start:end] for column in columns.per_event]
    heads: dict[UUID, int] = {}
    for stream_id, version in zip(columns.stream_ids[start:end], columns.versions[start:end], strict=True):
        heads.setdefault(stream_id, version - 1)
    return AppendColumns.of(heads, per_event)


def _cut(item: StreamAppend | StagedEvent, metadata: Mapping[str, Any], size: int) -> Iterable[_Piece]:
    if isinstance(item, StagedEvent):
        return ((item.stream_id, item.version - 1, (item.pending,), item.metadata),)
    if not isinstance(item, StreamAppend):
        raise ConfigurationError(f"an import takes StreamAppend and StagedEvent, not {type(item).__name__}")
    stream_id, before, events = item.stream_id, item.expected_version, item.events
    if len(events) <= size:
        return ((stream_id, before, events, metadata),)
    return (
        (stream_id, before + start, events[start : start + size], metadata)
        for start in range(0, len(events), size)
    )


async def _handfuls(source: ImportSource) -> AsyncGenerator[list[StreamAppend | StagedEvent], None]:
    """Yield the items of a source several at a time.

    Each step of an asynchronous loop costs as much as encoding an event.
    """
    if not isinstance(source, AsyncIterable):
        items = iter(source)
        while handful := [_own(item) for item in itertools.islice(items, _HANDFUL_ITEMS)]:
            yield handful
        return
    handful = []
    async for item in source:
        handful.append(_own(item))
        if len(handful) >= _HANDFUL_ITEMS:
            yield handful
            handful = []
    if handful:
        yield handful


def _own(item: StreamAppend | StagedEvent) -> StreamAppend | StagedEvent:
    """Return an item that stays as it is when the source goes on: it may use one mapping for the metadata of all events."""
    if type(item) is StagedEvent and item.metadata:
        return item._replace(metadata=kept(item.metadata))
    return item


class _Batch:
    """The events of one transaction, encoded in slices."""

    def __init__(self, classes: EventRegistry) -> None:
        self._classes = classes
        self.columns = AppendColumns({}, [], [], [], [], [], [], [], [], [])
        self.waiting: list[PendingEvent] = []
        self.slice_events = _SLICE_FIRST_EVENTS
        self.size_bytes = 0
        self._latest: dict[int, int] = {}  # by the id's integer, whose hash is faster
        self._metadata: tuple[Mapping[str, Any], str] = NO_METADATA, "{}"

    def has_no_room(self, events: int, events_max: int) -> bool:
        """Whether adding `events` more events would be too many for one transaction."""
        held = len(self.columns.versions)
        return held > 0 and (held + events > events_max or self.size_bytes > _BATCH_BYTES_MAX)

    def add(
        self, stream_id: UUID, before: int, events: Sequence[PendingEvent], metadata: Mapping[str, Any]
    ) -> None:
        """Add events that follow version `before`.

        Raises:
            ConfigurationError: The versions of the stream are not consecutive, or out of range.
        """
        columns = self.columns
        last = self._latest.get(stream_id.int)
        if last is None:
            columns.heads[stream_id] = last = before
        count = len(events)
        after = before + count
        if last != before or before < 0 or after > VERSION_MAX:
            raise ConfigurationError(
                f"version {before + 1} of stream {stream_id} does not follow version {last}, or is not between 1 and "
                f"{VERSION_MAX}: give the events of a stream in order"
            )
        self._latest[stream_id.int] = after
        if metadata is not self._metadata[0]:
            self._metadata = metadata, encode_metadata(metadata)
        text = self._metadata[1]
        columns.stream_ids.extend([stream_id] * count)
        columns.versions.extend(range(before + 1, after + 1))
        columns.metadata.extend([text] * count)
        self.size_bytes += count * len(text)
        self.waiting.extend(events)

    def encode_waiting(self) -> None:
        """Encode the events added since the last call; raises the errors of `to_columns`."""
        columns, waiting = self.columns, self.waiting
        events = [pending.event for pending in waiting]
        for event_class in {event.__class__ for event in events}:
            self._classes.require_registered(event_class)
        codecs = event_codecs
        try:
            data = [codecs[event.__class__].encode(event).decode() for event in events]
        except EventEncodingError:
            self._encode_one_by_one()
            raise
        columns.event_ids.extend([pending.event_id for pending in waiting])
        columns.categories.extend([event.category for event in events])
        columns.types.extend([event.type for event in events])
        columns.schema_versions.extend([event.schema_version for event in events])
        start = len(columns.data)
        columns.data.extend(data)
        columns.occurred_at.extend([event.occurred_at for event in events])
        size_bytes = sum(map(len, data))
        if size_bytes + max(map(len, columns.metadata[start:]), default=0) > EVENT_LENGTH_UNCHECKED:
            self._require_fit(start)
        self.size_bytes += size_bytes
        self.slice_events = max(1, min(_SLICE_EVENTS, _SLICE_BYTES * len(data) // (size_bytes or 1)))
        self.waiting = []

    def _encode_one_by_one(self) -> None:
        """Raise the error of the first event that cannot be written. The error names its stream."""
        start = len(self.columns.data)
        places = zip(
            self.columns.stream_ids[start:], self.columns.versions[start:], self.waiting, strict=True
        )
        for place in places:
            to_columns([StagedEvent(*place)], classes=self._classes)

    def _require_fit(self, start: int) -> None:
        columns = self.columns
        events = zip(
            zip(columns.categories, columns.types, strict=True),
            columns.stream_ids,
            columns.versions,
            columns.data,
            columns.metadata,
            strict=True,
        )
        for event in itertools.islice(events, start, None):
            require_event_fits(*event)

    def encoded(self) -> AppendColumns:
        """Encode the waiting events and return all columns."""
        self.encode_waiting()
        return self.columns
