"""An event log in memory with the semantics of PostgreSQL's: positions, versions, conflicts, transactions."""

from __future__ import annotations

import asyncio
import builtins
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson

from eventstore.core.context import in_utc
from eventstore.core.entity import Entity
from eventstore.core.entity_state import replica
from eventstore.core.event import RecordedEvent
from eventstore.core.registry import EventRegistry, registry
from eventstore.database.cancellation import finish
from eventstore.errors import (
    ConcurrencyError,
    ConnectionError,
    TimeoutError,
    TransactionConflictError,
    TransactionNotActiveError,
)
from eventstore.limits import check_seconds
from eventstore.log.records import AppendColumns, AppendResult, StagedEvent, decode, to_columns
from eventstore.repositories.backend import OnResult
from eventstore.repositories.last_good import Stream, each_stream, fold_stream
from eventstore.repositories.query import Query

E = TypeVar("E", bound=Entity)
Row = Mapping[str, Any]

IDLE_IN_TRANSACTION_TIMEOUT_S = 1.0
"""How long a flushed Unit of Work may hold a version that another append waits for, as on a server."""
LOCK_TIMEOUT_S = 5.0
"""How long an append waits for a transaction that holds its version; short, so that a hanging test fails soon."""

# In the order of the append statement's arguments.
_COLUMNS = tuple("stream_id version event_id category type schema_version data metadata occurred_at".split())  # noqa: SIM905


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class _Transaction:
    """An open transaction: nobody else sees its rows before its commit.

    Attributes:
        idle_timeout_s: How long it may be idle while another transaction waits for it; None for no limit.
        rows: The rows of each stream, in order.
        over: Set when the transaction ends.
        lost: Whether the server ended it.
        waits_for: The transaction that it waits for.
    """

    idle_timeout_s: float | None = None
    rows: dict[UUID, list[Row]] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    waits_for: _Transaction | None = None


class InMemoryDatabase:
    """A log of events and the entities that it folds to, shared by Units of Work and adapters in memory.

    Events pass through the same JSON that PostgreSQL would store, so reads return what a database would
    return, and returned entities are separate instances. As in PostgreSQL, a transaction sees committed
    events and its own; an append at a version that an open transaction holds waits for its end; and the
    positions of a rolled-back transaction stay unused.

    It belongs to one event loop at a time, and to the thread of that loop. Nothing lags in it, so
    `consistency="eventual"` shows every committed event.

    Args:
        clock: Returns the aware time for `recorded_at`; None for the wall clock.
        classes: The registry of event classes.
        lock_timeout_s: How long an append waits for a transaction that holds its version.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        classes: EventRegistry = registry,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self._clock = clock or _wall_clock
        self._classes = classes
        self._lock_timeout_s = check_seconds("lock_timeout_s", lock_timeout_s)
        self._position = 0
        self._statements = 0
        self._streams: dict[UUID, list[Row]] = {}
        self._categories: dict[str, list[UUID]] = {}
        self._open: set[_Transaction] = set()
        self._folded: dict[tuple[type[Entity], UUID], Stream[Any]] = {}
        self.storage = InMemoryStorage(self)

    # ---- for tests to inspect --------------------------------------------------------------------------------

    @property
    def events(self) -> list[RecordedEvent]:
        """Every committed event, in the order of positions."""
        rows = (row for stream in self._streams.values() for row in stream)
        return [decode(row, classes=self._classes) for row in sorted(rows, key=lambda row: row["position"])]

    def history(self, stream_id: UUID) -> list[RecordedEvent]:
        """Return every committed event of one entity, in order; empty without events."""
        return [decode(row, classes=self._classes) for row in self._streams.get(stream_id, ())]

    # ---- the log ---------------------------------------------------------------------------------------------

    async def append(self, staged: Sequence[StagedEvent], on_result: OnResult | None = None) -> AppendResult:
        """Append events, all or nothing; a repeated append returns the positions of the first one.

        It works as `Backend.append`.

        Raises:
            ConfigurationError: Versions are not consecutive; an event or metadata cannot be written as
                JSON, or contains NUL.
            ConcurrencyError: A stream has another version; nothing was written. Load again, then retry.
            TimeoutError: An open transaction held a version for too long; nothing was written.
        """
        if not staged:
            return AppendResult((), None)
        return await finish(self._append(to_columns(staged, classes=self._classes), on_result))

    async def append_again(
        self, staged: Sequence[StagedEvent], on_result: OnResult, lost: Exception
    ) -> AppendResult:
        """As `append`: no answer is lost in memory."""
        del lost
        return await self.append(staged, on_result)

    async def _append(self, columns: AppendColumns, on_result: OnResult | None) -> AppendResult:
        try:
            rows = await self._write(columns, None)
        except ConcurrencyError as conflict:
            result = self._find_repeated(columns, conflict)
        else:
            for row in rows:
                self._commit_row(row)
            result = AppendResult(tuple(row["position"] for row in rows), rows[0]["recorded_at"])
        if on_result is not None:
            on_result(result)
        return result

    async def begin(
        self, *, idle_timeout_s: float | None = IDLE_IN_TRANSACTION_TIMEOUT_S
    ) -> InMemoryTransaction:
        """Open a transaction.

        Args:
            idle_timeout_s: Seconds after which the transaction is ended if another append waits for it;
                None for no limit.
        """
        if idle_timeout_s is not None:
            check_seconds("idle_timeout_s", idle_timeout_s)
        await asyncio.sleep(0)
        transaction = _Transaction(idle_timeout_s)
        self._open.add(transaction)
        return InMemoryTransaction(self, transaction)

    async def _write(self, columns: AppendColumns, transaction: _Transaction | None) -> list[Row]:
        """Return new rows as soon as no other transaction holds their versions; the caller stores them."""
        await asyncio.sleep(0)  # a call to a server also lets other tasks run
        while True:
            for stream_id, expected in columns.heads.items():
                actual = len(self._rows(stream_id, transaction))
                if actual != expected:
                    raise ConcurrencyError(stream_id, expected=expected, actual=actual)
            holder = self._holder(columns, transaction)
            if holder is None:
                return self._new_rows(columns)
            await self._wait_for(holder, transaction)

    def _new_rows(self, columns: AppendColumns) -> list[Row]:
        recorded_at = in_utc(self._clock())
        self._statements += 1
        rows: list[Row] = []
        for values in zip(*columns.per_event, strict=True):
            self._position += 1
            envelope = {
                "position": self._position,
                "recorded_at": recorded_at,
                "statement": self._statements,
            }
            rows.append(dict(zip(_COLUMNS, values, strict=True)) | envelope)
        return rows

    def _commit_row(self, row: Row) -> None:
        stream = self._streams.get(row["stream_id"])
        if stream is None:
            stream = self._streams[row["stream_id"]] = []
            self._categories.setdefault(row["category"], []).append(row["stream_id"])
        stream.append(row)

    def _find_repeated(self, columns: AppendColumns, conflict: ConcurrencyError) -> AppendResult:
        """Return the positions of the first call if the log has these events; otherwise raise the conflict."""
        found = []
        for values in zip(*columns.per_event, strict=True):
            stream, version = self._streams.get(values[0], []), values[1]
            if version > len(stream) or not _is_same(stream[version - 1], values):
                raise conflict
            found.append(stream[version - 1])
        # Only a whole append is repeated.
        told = Counter(row["statement"] for row in found)
        rows = (row for stream in self._streams.values() for row in stream)
        if told != Counter(row["statement"] for row in rows if row["statement"] in told):
            raise conflict
        return AppendResult(tuple(row["position"] for row in found), found[0]["recorded_at"], repeated=True)

    # ---- transactions ----------------------------------------------------------------------------------------

    def _rows(self, stream_id: UUID, transaction: _Transaction | None) -> list[Row]:
        rows = self._streams.get(stream_id, [])
        own = transaction.rows.get(stream_id) if transaction is not None else None
        return rows + own if own else rows

    def _holder(self, columns: AppendColumns, transaction: _Transaction | None) -> _Transaction | None:
        return next(
            (
                other
                for other in self._open
                if other is not transaction and not columns.heads.keys().isdisjoint(other.rows)
            ),
            None,
        )

    async def _wait_for(self, holder: _Transaction, waiter: _Transaction | None) -> None:
        if waiter is not None:
            other: _Transaction | None = holder
            while other is not None:
                if other is waiter:
                    raise TransactionConflictError(
                        "two transactions wait for each other (deadlock): run the transaction again"
                    )
                other = other.waits_for
            waiter.waits_for = holder
        limits = [
            self._lock_timeout_s,
            *([holder.idle_timeout_s] if holder.idle_timeout_s is not None else []),
        ]
        try:
            async with asyncio.timeout(min(limits)):
                await holder.over.wait()
        except builtins.TimeoutError:
            if holder.idle_timeout_s is None or holder.waits_for is not None:
                raise TimeoutError(
                    f"an append waited {min(limits)} s (lock_timeout_s) for an open transaction that holds its "
                    "version: commit it or roll it back"
                ) from None
            holder.lost = True
            self._end(holder)
        finally:
            if waiter is not None:
                waiter.waits_for = None

    def _end(self, transaction: _Transaction) -> None:
        transaction.rows = {}
        self._open.discard(transaction)
        transaction.over.set()

    # ---- the fold --------------------------------------------------------------------------------------------

    def _fold(self, kind: type[E], stream_id: UUID) -> Stream[E]:
        """Return the committed state of a stream; the entity belongs to the cache."""
        key = (kind, stream_id)
        known: Stream[E] = self._folded.pop(key, Stream(None, 0))
        rows = self._streams.get(stream_id, [])
        if known.version < len(rows):
            known = _advanced(kind, known.entity, rows[known.version :], self._classes)
        if rows:
            self._folded[key] = known  # not stored if the fold failed halfway
        return known


class InMemoryTransaction:
    """An open transaction of an `InMemoryDatabase`."""

    def __init__(self, database: InMemoryDatabase, transaction: _Transaction) -> None:
        self._database = database
        self._transaction = transaction
        self.storage = InMemoryStorage(database, transaction)

    async def append(self, staged: Sequence[StagedEvent]) -> AppendResult:
        """Append events inside the transaction.

        Raises:
            ConcurrencyError: A stream has another version; nothing of `staged` was written.
            TransactionConflictError: Two transactions wait for each other. Safe to retry after a rollback.
            ConnectionError: The transaction was ended because another one waited for it too long. Safe to
                retry.
            ConfigurationError, TimeoutError: As `InMemoryDatabase.append`.
        """
        self._require_open()
        rows = await self._database._write(  # noqa: SLF001 - one module
            to_columns(staged, classes=self._database._classes),  # noqa: SLF001
            self._transaction,
        )
        for row in rows:
            self._transaction.rows.setdefault(row["stream_id"], []).append(row)
        return AppendResult(tuple(row["position"] for row in rows), rows[0]["recorded_at"])

    async def commit(self) -> None:
        """Commit the transaction.

        Raises:
            ConnectionError: The transaction was ended because another one waited for it too long; nothing
                was applied.
        """
        self._require_open()
        await asyncio.sleep(0)
        self._require_open()
        rows = (row for stream in self._transaction.rows.values() for row in stream)
        for row in sorted(rows, key=lambda row: row["position"]):
            self._database._commit_row(row)  # noqa: SLF001
        self._database._end(self._transaction)  # noqa: SLF001

    async def rollback(self) -> None:
        """Roll the transaction back; after its end this does nothing."""
        await asyncio.sleep(0)
        self._database._end(self._transaction)  # noqa: SLF001

    def mark(self) -> Mapping[UUID, int]:
        """Return a mark of the present state, for `return_to`."""
        return {stream_id: len(rows) for stream_id, rows in self._transaction.rows.items()}

    def return_to(self, mark: Mapping[UUID, int]) -> None:
        """Remove the events that were appended since `mark` was called."""
        rows = self._transaction.rows
        self._transaction.rows = {stream_id: rows[stream_id][:count] for stream_id, count in mark.items()}

    def _require_open(self) -> None:
        if self._transaction.lost:
            raise ConnectionError(
                "the connection was lost, and with it the open transaction, which was idle for too long: begin again"
            )
        if self._transaction.over.is_set():
            raise TransactionNotActiveError("the transaction is over: begin again")


class InMemoryStorage:
    """Reads entities of an `InMemoryDatabase`, inside an open transaction or outside transactions."""

    def __init__(self, database: InMemoryDatabase, transaction: _Transaction | None = None) -> None:
        self._database = database
        self._transaction = transaction

    async def load(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Return the state of one entity.

        Raises:
            UnknownEventTypeError, EventDecodingError: The code does not know an event of the stream.
        """
        await asyncio.sleep(0)
        return self._copy(kind, entity_id)

    async def find(
        self,
        kind: type[E],
        query: Query[E],
        *,
        after: E | None,
        limit: int | None,
        fresh: bool,  # noqa: ARG002 - nothing lags here
    ) -> list[Stream[E]]:
        """Return the committed entities that a query asks for; of those that cannot be folded, the last good state."""
        await asyncio.sleep(0)
        # What an open transaction has appended is unsaved in its session, which adds it by itself.
        database = self._database
        ids = database._categories.get(kind.category, ())  # noqa: SLF001
        streams = list(each_stream(kind, ids, database._fold, database._streams, database._classes))  # noqa: SLF001
        states = [stream.entity for stream in streams if stream.entity is not None and stream.failed is None]
        found = query.answer(states, after=after, limit=limit)
        good = [Stream(replica(entity), entity.version) for entity in found]
        return good + [stream for stream in streams if stream.failed is not None]

    async def find_executions(self, stream_id: UUID, execution_ids: Collection[str]) -> list[RecordedEvent]:
        """Return the events of a stream that are about executions with these ids, in the order of versions."""
        return [
            recorded
            for recorded in await self.read_stream(stream_id)
            if any(
                getattr(part.event, name, None) in execution_ids
                for part in recorded.upcast_events
                for name in ("execution_id", "new_execution_id")
            )
        ]

    async def read_stream(self, stream_id: UUID) -> list[RecordedEvent]:
        """Return all events of a stream, in the order of versions."""
        await asyncio.sleep(0)
        rows = self._database._rows(stream_id, self._transaction)  # noqa: SLF001 - one module
        return [decode(row, classes=self._database._classes) for row in rows]  # noqa: SLF001

    def _copy(self, kind: type[E], stream_id: UUID) -> Stream[E]:
        committed = self._database._fold(kind, stream_id)  # noqa: SLF001 - one module
        entity = None if committed.entity is None else replica(committed.entity)
        own = None if self._transaction is None else self._transaction.rows.get(stream_id)
        if not own:
            return Stream(entity, committed.version)
        return _advanced(kind, entity, own, self._database._classes)  # noqa: SLF001


def _advanced(kind: type[E], entity: E | None, rows: Sequence[Row], classes: EventRegistry) -> Stream[E]:
    return fold_stream(kind, entity, (decode(row, classes=classes) for row in rows), version=0)


def _is_same(row: Row, values: tuple[Any, ...]) -> bool:
    _, _, event_id, category, type_, schema_version, data, metadata, occurred_at = values
    return (
        row["event_id"] == event_id
        and (row["category"], row["type"], row["schema_version"]) == (category, type_, schema_version)
        and orjson.loads(row["data"]) == orjson.loads(data)
        and orjson.loads(row["metadata"]) == orjson.loads(metadata)
        and bool(row["occurred_at"] == occurred_at)
    )
