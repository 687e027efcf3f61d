"""Where entities are read from: what repositories and the Unit of Work need, and its PostgreSQL implementation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity import Entity
from eventstore.core.entity_state import replica
from eventstore.core.event import RecordedEvent
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import EventDecodingError, ProjectionLagError, UnknownEventTypeError
from eventstore.garbage_collection import collecting_later
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.log.records import COLUMNS, decode_page
from eventstore.log.row_fold import RowFold
from eventstore.log.stream_pages import stream_pages
from eventstore.mapping.rows import RowCodec
from eventstore.repositories.last_good import Stream, fold_stream, last_good_stream
from eventstore.repositories.lists import LOAD_EVENTS_MAX, ListStatement, load_statement
from eventstore.repositories.query import Query
from eventstore.sql import Named, text_of
from eventstore.status import cause_of_lag
from eventstore.time_slices import EVENTS_AT_A_TIME

E = TypeVar("E", bound=Entity)
Run = Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]]

_logger = logging.getLogger(__name__)

_RENAMED = {"version": "row_version"}
_PAGE_EVENTS_MAX = 2_000  # a stream of no more is loaded by one statement
_EVENT = slice(-len(COLUMNS), None)  # the columns of an event, at the end of each record

TAIL_EVENTS_MAX = 10_000
"""The maximum number of events not folded into a table yet that a list reads to correct it."""


@dataclass(frozen=True)
class ReadTable(Generic[E]):
    """The table from which the states of a class of entities are read.

    Attributes:
        entity: The class.
        projection: The name of the projection that writes the table.
        lists: The statements of the lists, by name.
        version: The version of the projection whose rows the code can read.
    """

    entity: type[E]
    projection: str
    lists: Mapping[str, ListStatement] = field(default_factory=dict)
    version: int = 1

    def __post_init__(self) -> None:
        codec = RowCodec(self.entity, renamed=_RENAMED)
        object.__setattr__(self, "_codec", codec)
        object.__setattr__(self, "_row", slice(len(codec.columns)))

    def decode(self, row: Mapping[str, Any]) -> E:
        """Return a row as an entity; its version is called `row_version` there, beside that of an event."""
        entity: E = self._codec.decode(row)  # type: ignore[attr-defined]
        return entity

    def decode_record(self, record: Any) -> E:
        """Return an entity from a record of a list or a load.

        The first columns of the record are the row, in the order of the fields.
        """
        entity: E = self._codec.decode_values(record[self._row])  # type: ignore[attr-defined]
        return entity


def _is_folded(records: Sequence[Any]) -> bool:
    """Whether a load has a row that fits the log, and no later event: so it is nearly always."""
    if len(records) != 1:
        return False
    (one,) = records
    version = one["row_version"]
    return version is not None and one["version"] == version and one["position"] == one["last_position"]


def _fits_log(records: Sequence[Any]) -> bool:
    """Whether the version and the position of a load's row, if there is one, exist in the stream."""
    first = records[0]
    if first["id"] is None:
        return True
    return any(
        record["version"] == first["row_version"] and record["position"] == first["last_position"]
        for record in records
    )


class Storage(Protocol):
    """Reads entities, always fresh: the row, and the events that are not folded into it yet."""

    async def load(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Return the state of one entity, as of now."""

    async def find(
        self, kind: type[E], query: Query[E], *, after: E | None, limit: int | None, fresh: bool
    ) -> list[Stream[E]]:
        """Return all entities that may belong to the answer, corrected; the caller filters and sorts them."""


@runtime_checkable
class StreamReader(Protocol):
    """Reads events of one stream as of now, for entities that are about to be saved."""

    async def find_executions(
        self, stream_id: UUID, execution_ids: Collection[str]
    ) -> Sequence[RecordedEvent]:
        """Return the events of a stream that are about executions with these ids, in the order of versions."""

    async def read_stream(self, stream_id: UUID) -> Sequence[RecordedEvent]:
        """Return all events of a stream, in the order of versions."""


class PostgreSQLStorage:
    """Reads through the pool of a log, or inside one open transaction.

    Args:
        log: The log.
        tables: The read table of each class that has one; entities of other classes are folded from their streams.
        run: Runs a function on a connection; None takes a connection of the pool for each call.
    """

    def __init__(
        self, log: EventLog, tables: Mapping[type[Entity], ReadTable[Any]], *, run: Run | None = None
    ) -> None:
        self.log = log
        self.tables = tables
        self._run = run or self._run_on_pool
        config = getattr(log.connection, "config", None)  # the user's own pool has none
        self._folds_streams = config is not None and config.loads == "stream"

    def on(self, run: Run) -> PostgreSQLStorage:
        """Return the same storage inside an open transaction, on whose connection `run` runs a function."""
        return PostgreSQLStorage(self.log, self.tables, run=run)

    async def load(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Return the state of one entity: its row and the later events of its stream, in one statement unless they are many.

        Raises:
            ConnectionError, TimeoutError: Safe to retry, outside a transaction.
            NotMigratedError: The tables are missing.
            UnknownEventTypeError, EventDecodingError: The code does not know an event of the stream.
            QuarantinedKeysError: An event of the stream cannot be folded.
        """
        table: ReadTable[E] | None = self.tables.get(kind)
        if table is None or self._folds_streams:
            return await self._load_stream(kind, entity_id)
        records = await self._fetch(load_statement(kind, table.projection, table.version), entity_id)
        if _is_folded(records):
            entity = table.decode_record(records[0])
            return Stream(entity, entity.version)
        if not _fits_log(records):
            _logger.error(
                "the row of %s %s in table %s does not match the log: it has version %s of position %s, which the "
                "stream does not have; its stream was folded instead. Run `eventstore check`, and rebuild the table",
                kind.category,
                entity_id,
                table.projection,
                records[0]["row_version"],
                records[0]["last_position"],
            )
            return await self._load_stream(kind, entity_id)
        streams = self._of_load(table, records)
        if not streams:
            return Stream(None, 0)
        stream = streams[0]
        if len(records) >= LOAD_EVENTS_MAX:
            stream = await self._with_later_events(table, entity_id, stream)
        if stream.failed is not None:
            cause = stream.failed.__cause__
            raise cause if isinstance(cause, UnknownEventTypeError | EventDecodingError) else stream.failed
        return stream

    async def _with_later_events(self, table: ReadTable[E], entity_id: UUID, stream: Stream[E]) -> Stream[E]:
        """Fold the events after a state onto it, page by page, up to the first that cannot be folded."""
        async with aclosing(self._pages(entity_id, after=stream.version)) as pages:
            async for rows in pages:
                if stream.entity is None or stream.failed is not None:
                    break
                stream = self._continued(table, stream, rows)
        return stream

    def _continued(self, table: ReadTable[E], stream: Stream[E], rows: Sequence[Any]) -> Stream[E]:
        kind, before, classes = table.entity, stream.entity, self.log.classes
        try:
            events = decode_page(rows, classes=classes)
            with decimal_arithmetic():
                state = None if before is None else replica(before)
                return fold_stream(kind, state, events, version=stream.version)
        except Exception:  # noqa: BLE001 - `last_good_stream` meets the error again and reports it
            return last_good_stream(kind, before, rows, projection=table.projection, classes=classes)

    async def _load_stream(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Fold a stream page by page: one statement, unless the stream is long or its events are large."""
        fold = RowFold(kind, self.log.classes)
        states: dict[UUID, E] = {}
        size, version = PageSize(_PAGE_EVENTS_MAX), 0
        while True:
            rows = await self._fetch(
                Named("log/fold_stream"), entity_id, version, size.events, kind.category, size.bytes
            )
            for begin in range(0, len(rows), EVENTS_AT_A_TIME):
                if begin:
                    await asyncio.sleep(0)
                some = rows[begin : begin + EVENTS_AT_A_TIME]
                stopped = fold.fold(some, states, {})
                if stopped is not None:
                    before = next(row["version"] for row in some if row["position"] == stopped) - 1
                    return await self._load_whole(Stream(states.get(entity_id), before), kind, entity_id)
                version = some[-1]["version"]
            if not size.is_full(rows):
                return Stream(states.get(entity_id), version)

    async def _load_whole(self, stream: Stream[E], kind: type[E], entity_id: UUID) -> Stream[E]:
        """Fold the rest of a stream from whole rows, which are upcast where they are old."""
        async with aclosing(self._pages(entity_id, after=stream.version)) as pages:
            async for rows in pages:
                with decimal_arithmetic():
                    events = decode_page(rows, classes=self.log.classes)
                    stream = fold_stream(kind, stream.entity, events, version=stream.version)
        return stream

    def _pages(self, stream_id: UUID, *, after: int) -> AsyncGenerator[Sequence[Any]]:
        """Yield the rows of a stream after a version, so many at a time as are folded at a time."""
        fetch = partial(self._fetch, Named("log/read_stream"))
        return stream_pages(fetch, stream_id, after_version=after, page_events_max=EVENTS_AT_A_TIME)

    async def find_executions(
        self, stream_id: UUID, execution_ids: Collection[str]
    ) -> Sequence[RecordedEvent]:
        """Return the events of a stream that are about executions with these ids, in the order of versions.

        It reads the log by an index, so it costs the same in a stream of any length and never lags.

        Raises:
            ConnectionError, TimeoutError: Safe to retry, outside a transaction.
            UnknownEventTypeError, EventDecodingError: The code does not know one of the events.
        """
        rows = await self._fetch(Named("log/find_executions"), stream_id, list(execution_ids))
        return decode_page(rows, classes=self.log.classes)

    async def read_stream(self, stream_id: UUID) -> Sequence[RecordedEvent]:
        """Return all events of a stream, in the order of versions; errors as for `find_executions`."""
        events: list[RecordedEvent] = []
        async with aclosing(self._pages(stream_id, after=0)) as pages:
            async for rows in pages:
                events += decode_page(rows, classes=self.log.classes)
        return events

    async def find(
        self, kind: type[E], query: Query[E], *, after: E | None, limit: int | None, fresh: bool
    ) -> list[Stream[E]]:
        """Return the entities of the matching rows and of the log's tail, in one statement, hence one snapshot.

        If an entity's events cannot be decoded or folded, it has its last good state, with the reason.

        Raises:
            ConnectionError, TimeoutError: Safe to retry, outside a transaction.
            NotMigratedError: The tables are missing.
            ProjectionLagError: The tail is too long; the error names what delays the projection.
        """
        table: ReadTable[E] = self.tables[kind]
        tail_limit = TAIL_EVENTS_MAX + 1 if fresh else 0
        records = await self._fetch(
            table.lists[query.statement].statement(),
            tail_limit,
            limit,
            *query.page_arguments(after),
            *query.arguments,
        )
        # A row that matches and that the tail names comes twice, each time with its events.
        if (
            len(records) > TAIL_EVENTS_MAX
            and (tail_events := len({record["position"] for record in records} - {None})) > TAIL_EVENTS_MAX
        ):
            raise ProjectionLagError(
                table.projection,
                lag_events=tail_events,
                lag_events_max=TAIL_EVENTS_MAX,
                cause=cause_of_lag(
                    (await self._fetch(Named("projections/explain_lag"), table.projection))[0]
                ),
            )
        streams = self._streams(table, records)
        return await self._refolded(kind, streams) if self._folds_streams else streams

    async def _refolded(self, kind: type[E], streams: Sequence[Stream[E]]) -> list[Stream[E]]:
        """Return streams folded from their first events; a stream that cannot be folded is left unchanged."""
        ids = [stream.entity.id for stream in streams if stream.entity is not None and stream.failed is None]
        rows = await self._fetch(Named("log/read_streams"), ids)
        of_stream: dict[UUID, list[Any]] = {}
        for row in rows:
            of_stream.setdefault(row["stream_id"], []).append(row)
        with decimal_arithmetic():
            return [
                stream
                if stream.entity is None or stream.failed is not None
                else last_good_stream(
                    kind,
                    None,
                    of_stream.get(stream.entity.id, ()),
                    projection=self.tables[kind].projection,
                    classes=self.log.classes,
                )
                for stream in streams
            ]

    def _of_load(self, table: ReadTable[E], records: Sequence[Any]) -> list[Stream[E]]:
        """Return the stream of a load that fits the log; its row comes with the event of its version."""
        stream_id = records[0]["stream_id"]
        if stream_id is None:
            return []
        tail = {record["version"]: record for record in records}
        row = tail.get(records[0]["row_version"])
        with collecting_later():
            return self._corrected(table, {} if row is None else {stream_id: row}, {stream_id: tail})

    def _streams(self, table: ReadTable[E], records: Sequence[Any]) -> list[Stream[E]]:
        rows: dict[UUID, Any] = {}
        tails: dict[UUID, dict[int, Any]] = {}
        streams: list[Stream[E]] = []
        with collecting_later():
            for record in records:
                stream_id = record["stream_id"]
                if stream_id is not None:
                    tails.setdefault(stream_id, {})[record["version"]] = record
                    if record["id"] is not None:
                        rows[stream_id] = record
                elif record["id"] is not None:
                    entity = table.decode_record(record)
                    streams.append(Stream(entity, entity.version))
            if tails:
                streams += self._corrected(table, rows, tails)
        return streams

    def _corrected(
        self, table: ReadTable[E], rows: Mapping[UUID, Any], tails: Mapping[UUID, Mapping[int, Any]]
    ) -> list[Stream[E]]:
        """Return the streams of a tail: their rows, with the events applied that the rows do not have yet."""
        before: list[E | None] = []
        waiting: list[list[Any]] = []
        for stream_id, tail in tails.items():
            row = table.decode_record(rows[stream_id]) if stream_id in rows else None
            version = 0 if row is None else row.version
            before.append(row)
            waiting.append([tail[each] for each in sorted(tail) if each > version])
        try:
            return self._fold(table, before, waiting)
        except Exception:  # noqa: BLE001 - each stream is then folded alone, which finds the error again
            return [
                self._fold_as_far_as_it_goes(table, rows.get(stream_id), records)
                for stream_id, records in zip(tails, waiting, strict=True)
            ]

    def _fold(
        self, table: ReadTable[E], before: Sequence[E | None], waiting: Sequence[list[Any]]
    ) -> list[Stream[E]]:
        encoded = [record[_EVENT] for records in waiting for record in records]
        events = iter(decode_page(encoded, classes=self.log.classes))
        with decimal_arithmetic():
            return [
                _folded(table.entity, row, list(islice(events, len(records))))
                for row, records in zip(before, waiting, strict=True)
            ]

    def _fold_as_far_as_it_goes(self, table: ReadTable[E], row: Any | None, records: list[Any]) -> Stream[E]:
        try:
            (stream,) = self._fold(table, [None if row is None else table.decode_record(row)], [records])
        except Exception:  # noqa: BLE001 - `last_good_stream` meets the error again and reports it
            return last_good_stream(
                table.entity,
                None if row is None else table.decode_record(row),
                records,
                projection=table.projection,
                classes=self.log.classes,
            )
        return stream

    async def _fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._run(
            lambda connection: connection.fetch(text_of(statement, connection), *arguments)
        )
        return rows

    async def _run_on_pool(self, statement: Callable[[Connection], Awaitable[Any]]) -> Any:
        server = self.log.server
        async with reading(self.log.connection) as connection:
            if not server.is_checked:
                await server.check(connection)
            return await statement(connection)

    @property
    def generation(self) -> int:
        """The generation of the server that is read from."""
        return self.log.server.generation


def _folded(kind: type[E], row: E | None, events: Sequence[RecordedEvent]) -> Stream[E]:
    """Fold the events that a row does not have onto it; the events are in the order of versions.

    Raises:
        EventStoreError: An event cannot be folded.
    """
    if (
        row is None
        and events
        and events[0].category == kind.category
        and events[0].version > 1
        and not _begins(kind, events[0])
    ):
        # The row's partition is ahead of the others: the earlier events are folded, among them a tombstone.
        return Stream(None, events[-1].version)
    return fold_stream(kind, row, events, version=0 if row is None else row.version)


def _begins(kind: type[Entity], recorded: RecordedEvent) -> bool:
    """Whether a stream begins with this event; after version 1 if upcasters dropped the events before it."""
    return any(isinstance(part.event, kind.created_event) for part in recorded.upcast_events[:1])
