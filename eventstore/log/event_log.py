"""The event log: appends and reads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, nullcontext, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from eventstore.core.event import RecordedEvent
from eventstore.core.registry import EventRegistry, registry
from eventstore.database.access import ConnectionSource, in_transaction, read_rows, reading
from eventstore.database.answers import Sent
from eventstore.database.cancellation import finish
from eventstore.database.connection import DatabaseConnection
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.pooled import unwrapped, within
from eventstore.database.protocols import Connection
from eventstore.database.server import KnownServer
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionError,
    EventStoreError,
    RepositoryError,
    ServerChangedError,
    TimeoutError,
    TransactionCommitError,
)
from eventstore.limits import check_count, check_position, check_seconds
from eventstore.log.bulk_batches import ImportSource
from eventstore.log.bulk_load import BATCH_EVENTS_MAX, BulkLoad, ImportResult
from eventstore.log.group_commit import AnswerLostError, GroupCommit
from eventstore.log.high_water_mark import HighWaterMark
from eventstore.log.lookup import CORRELATED_EVENTS_MAX, EventLookup, TimeBounds
from eventstore.log.page_size import BYTES_UNBOUNDED, PageSize, Window
from eventstore.log.records import (
    NO_METADATA,
    AppendColumns,
    AppendResult,
    StagedEvent,
    StreamAppend,
    decode_page,
    to_columns,
)
from eventstore.log.restored import require_whole_on
from eventstore.log.statements import execute_append, find_repeated, is_version_taken
from eventstore.log.stream_pages import stream_pages
from eventstore.log.subscription import Mark, Subscription
from eventstore.log.unreadable import OnUnreadable, Readable, readable, unreadable_handler
from eventstore.log.wakeups import Wakeups
from eventstore.loop_stalls import Stopwatch, explained, now_s
from eventstore.metrics import metrics
from eventstore.sql import load
from eventstore.waiting import Backoff

_logger = logging.getLogger(__name__)

_BATCH_EVENTS_MAX = 1_000
_RESEND_WITHIN_S = 30.0
_RESEND_FIRST_DELAY_S = 0.05
_RESEND_DELAY_MAX_S = 2.0
_NO_RIGHT = "42501"


_Append = Callable[[AppendColumns, Callable[[AppendResult], None] | None], Coroutine[Any, Any, AppendResult]]


class EventLog:
    """The append-only log of one database.

    Args:
        connection: The pool to append and read with.
        group_commit: Whether appends that arrive while another is in flight share the next
            statement.
        classes: The registry in which event classes are found by category and type.
        resend_within_s: How long an append whose answer was lost is sent again, in seconds.

    Raises:
        LimitError: `resend_within_s` is not above 0.
    """

    def __init__(
        self,
        connection: ConnectionSource,
        *,
        group_commit: bool = True,
        classes: EventRegistry = registry,
        resend_within_s: float = _RESEND_WITHIN_S,
    ) -> None:
        check_seconds("resend_within_s", resend_within_s)
        self.connection = connection
        self.classes = classes
        self.wakeups = Wakeups()
        self.metrics = metrics()
        self.server: KnownServer = getattr(connection, "server", None) or KnownServer()
        """The server of the log, for objects that remember one of its positions."""
        if not self.server.checks:
            self.server.checks.append(require_whole_on)
        self.high_water_mark = HighWaterMark(connection, self.server)
        self._lookup = EventLookup(connection, classes)
        self._resend_within_s = resend_within_s
        in_task = self._append_in_task if _keeps_answers(connection) else None
        self._group_commit = GroupCommit(self._send, self._append_alone, in_task) if group_commit else None
        self._append: _Append = in_task or self._append_shielded
        if self._group_commit is not None:
            self._append = self._group_commit.append

    # ---- append ----------------------------------------------------------------------------------------------

    async def append(self, *streams: StreamAppend, metadata: Mapping[str, Any] = NO_METADATA) -> AppendResult:
        """Append events to one or more streams, all or nothing, in one round trip.

        It is safe to send the same events again with the same ids: the positions of the first call
        are returned.

        Args:
            streams: The events of each stream, with the version that the writer has seen. No stream
                may occur twice.
            metadata: Stored with each event: correlation id, causation id, actor, and any other
                JSON.

        Returns:
            The position of each event, in the order of the arguments.

        Raises:
            ConfigurationError: A stream occurs twice, or an event or metadata cannot be written as
                JSON.
            ConcurrencyError: A stream has another version; nothing was written. Load again, then
                retry.
            TimeoutError, ConnectionError: Nothing was sent.
            TransactionCommitError: `outcome="unknown"`: the answer was lost and the server did not
                come back in time. Only this same append may be repeated.
        """
        given = [stream.stream_id for stream in streams]
        if len(set(given)) < len(given):
            raise ConfigurationError(
                "an append has the same stream twice: pass all its events in one StreamAppend"
            )
        return await self.append_staged([event for stream in streams for event in stream.staged(metadata)])

    async def append_staged(self, staged: Sequence[StagedEvent]) -> AppendResult:
        """Append events of any number of streams in staging order; otherwise like `append`."""
        if not staged:
            return AppendResult((), None)
        return await self.append_columns(to_columns(staged, classes=self.classes))

    async def append_columns(
        self,
        columns: AppendColumns,
        on_result: Callable[[AppendResult], None] | None = None,
        *,
        lost: Exception | None = None,
    ) -> AppendResult:
        """Like `append_staged`, for a caller that has already encoded the events.

        Args:
            columns: The events.
            on_result: Called with the result, even if the call is cancelled. A cancellation waits
                for the outcome.
            lost: The error that left the outcome of an earlier attempt unknown, such as that of a COMMIT without
                an answer; None for a first attempt.
        """
        started_s = time.perf_counter()
        try:
            if lost is None:
                result = await self._append(columns, on_result)
            else:
                result = await finish(self._append_and_report(columns, on_result, lost))
        except BaseException as error:
            if self.metrics is not None:
                self.metrics.append_failed(error, time.perf_counter() - started_s)
            raise
        finally:
            self.wakeups.notify(columns.categories)
        if self.metrics is not None:
            self.metrics.appended(len(columns.versions), time.perf_counter() - started_s)
        return result

    async def _append_in_task(
        self, columns: AppendColumns, on_result: Callable[[AppendResult], None] | None
    ) -> AppendResult:
        """Append without others, in the caller's task. A cancellation waits for the outcome."""
        sent = Sent()
        try:
            try:
                result = await self._send(columns, sent=sent)
            except (AnswerLostError, ConnectionError, RepositoryError) as error:
                # From here on, a cancellation waits for the outcome, and `on_result` is called.
                sent.is_open = False
                result = await self._append_again(columns, on_result, error)
            else:
                _report(result, on_result)
        except asyncio.CancelledError:
            if sent.result is not None:
                _report(sent.result, on_result)
            elif sent.is_open:
                with suppress(EventStoreError):
                    await finish(self._append_and_report(columns, on_result))
            raise
        except Exception:
            if sent.cancelled is None:
                raise
        if sent.cancelled is not None:
            raise sent.cancelled
        return result

    async def _append_again(
        self,
        columns: AppendColumns,
        on_result: Callable[[AppendResult], None] | None,
        error: AnswerLostError | ConnectionError | RepositoryError,
    ) -> AppendResult:
        if isinstance(error, AnswerLostError):
            return await finish(self._append_and_report(columns, on_result, error))
        if isinstance(error, RepositoryError) and error.sqlstate != _NO_RIGHT:
            raise error
        # Nothing was appended. Either the rights have changed since they were read, or a connection of the pool was lost while
        # nobody used it; another one may do.
        return await finish(self._append_and_report(columns, on_result))

    def _append_shielded(
        self, columns: AppendColumns, on_result: Callable[[AppendResult], None] | None
    ) -> Coroutine[Any, Any, AppendResult]:
        """Append without others, in a task that a cancellation of the caller does not reach."""
        return finish(self._append_and_report(columns, on_result))

    async def _append_and_report(
        self,
        columns: AppendColumns,
        on_result: Callable[[AppendResult], None] | None,
        lost: Exception | None = None,
    ) -> AppendResult:
        result = await self._append_alone(columns, lost)
        _report(result, on_result)
        return result

    async def import_events(
        self,
        source: ImportSource,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        batch_events_max: int = BATCH_EVENTS_MAX,
        on_batch: Callable[[ImportResult], object] = lambda _: None,
    ) -> ImportResult:
        """Import an existing history through COPY, in batches.

        Each batch is written completely or not at all, with the guarantees of `append`. It is safe
        to run the import again, because it skips events that the log already has with all fields
        equal.

        Args:
            source: `StreamAppend`s or `StagedEvent`s (with their own metadata), with the events of
                each stream in order.
            metadata: Stored with the events of `StreamAppend`s.
            batch_events_max: The maximum number of events per transaction. Readers in order wait
                for it.
            on_batch: Called with the progress of the import after each commit.

        Raises:
            EventStoreError: As `BulkLoad.run` says; the batches before are in the log.
        """
        bulk_load = BulkLoad(self.connection, metadata, batch_events_max, self._resend_within_s, self.classes)
        return await bulk_load.run(source, on_batch, self.wakeups)

    async def append_in(self, connection: Connection, columns: AppendColumns) -> AppendResult:
        """Append inside the open transaction of `connection`; the caller commits.

        Raises:
            ServerChangedError: Another server has taken over since the states were read.
            ConcurrencyError: A stream has another version. Roll the transaction back: it may be
                aborted.
        """
        try:
            if columns.generation not in (None, getattr(connection, "generation", self.server.generation)):
                raise self.server.changed()
            with in_transaction(connection):
                try:
                    return await execute_append(connection, columns)
                except asyncpg.UniqueViolationError as error:
                    if not is_version_taken(error):
                        raise
                    stream_id, expected = next(iter(columns.heads.items()))
                    raise ConcurrencyError(stream_id, expected=expected, actual=None) from error
        except ConcurrencyError:
            if self.metrics is not None:
                self.metrics.conflicted()
            raise

    async def _append_alone(self, columns: AppendColumns, lost: Exception | None = None) -> AppendResult:
        """Append. If the answer is lost, send the same append again until there is an answer.

        Args:
            columns: The append.
            lost: The error of an earlier attempt whose answer was lost; None if there was no such
                attempt.
        """
        taken = Stopwatch()
        backoff = Backoff(_RESEND_FIRST_DELAY_S, _RESEND_DELAY_MAX_S)
        while True:
            if lost is not None and self.metrics is not None:
                self.metrics.retried("append")
            sent_s = now_s()
            try:
                return await self._send(columns)
            except AnswerLostError as error:
                lost = error
            except ConcurrencyError:
                raise  # the log was read and does not have this append
            except EventStoreError as error:
                # If an answer was lost before, a refusal now says nothing about the earlier
                # attempt.
                if lost is None:
                    raise
                if isinstance(error, ConnectionClosedError):
                    raise self._unknown(columns) from error
                if isinstance(error, ServerChangedError):
                    return await self._find_sent(columns, error)
            delay_s = backoff.next_s()
            if taken.elapsed_s + delay_s > self._resend_within_s:
                raise self._unknown(columns) from lost
            _tell_lost(lost, sent_s)
            await asyncio.sleep(delay_s)

    async def _find_sent(self, columns: AppendColumns, changed: ServerChangedError) -> AppendResult:
        """Return the result of an append that was sent to a server which has been replaced since.

        The append is not sent again, because its streams may have reached the same versions with
        other events on the new server.

        Raises:
            ServerChangedError: The log of the current server does not have the append.
            TransactionCommitError: The log could not be read.
        """
        stream_id, expected = next(iter(columns.heads.items()))
        try:
            async with reading(self.connection) as connection:
                conflict = ConcurrencyError(stream_id, expected=expected, actual=None)
                return await find_repeated(connection, columns, conflict)
        except ConcurrencyError:
            raise changed from None
        except EventStoreError as error:
            raise self._unknown(columns) from error

    def _unknown(self, columns: AppendColumns) -> TransactionCommitError:
        return TransactionCommitError(
            f"the answer to an append of {len(columns.versions)} events was lost, and no answer arrived within "
            f"{self._resend_within_s} s of sending it again: check stream {columns.stream_ids[0]} before "
            "you repeat anything",
            outcome="unknown",
        )

    async def _send(
        self, columns: AppendColumns, *, lock_timeout: str | None = None, sent: Sent | None = None
    ) -> AppendResult:
        """Send an append once, and distinguish a conflict from a repetition.

        Args:
            columns: The append.
            lock_timeout: How long the statement may wait for locks; None for the session's setting.
            sent: Learns what becomes of the append, if a cancellation must wait for the answer.

        Raises:
            ConnectionError, TimeoutError: No connection was available; nothing was sent.
            ServerChangedError: The events change state that was read from a server which has been
                replaced since; nothing was sent.
            AnswerLostError: The append was sent and no answer arrived.
            ConcurrencyError: The server refused the append.
        """
        async with self.connection.acquire() as lent:
            connection = unwrapped(lent)  # calls and attributes cost more through the pool's proxy
            if columns.generation not in (None, self.server.generation):
                raise self.server.changed()
            if not self.server.is_checked:
                with in_transaction(connection):
                    await self.server.check(connection)
            directly = getattr(connection, "may_insert", False)
            if directly is None:
                directly = await self._may_insert(connection)
            try:
                with mapped_errors(own_statement=True, connection=connection):
                    try:
                        result = await execute_append(
                            connection, columns, lock_timeout=lock_timeout, directly=directly, sent=sent
                        )
                    except (ConcurrencyError, asyncpg.PostgresError) as error:
                        result = await _find_refused(connection, columns, error, sent)
                    else:
                        if self.server.is_left(connection):
                            # The caller sends it again, so the new server gets it exactly once.
                            raise self.server.changed()
                    if sent is not None:
                        sent.result = result
                    return result
            except (ConnectionError, TimeoutError) as error:
                # A time-out that the server reports has ended the statement. A time-out of this
                # process says nothing about the statement.
                if isinstance(error, TimeoutError) and error.sqlstate is not None:
                    raise
                raise AnswerLostError(str(error)) from error

    async def _may_insert(self, connection: Any) -> bool:
        """Ask whether the role of a connection of our own pool may insert into the table directly."""
        limit_s = (
            self.connection.config.command_timeout
            if isinstance(self.connection, DatabaseConnection)
            else None
        )
        with in_transaction(connection):
            # The statement is prepared here, perhaps during a stall.
            answer = await within(limit_s, connection.fetchval, load("log/may_insert", connection))
            known = connection.may_insert = bool(answer)
        return known

    # ---- read ------------------------------------------------------------------------------------------------

    async def read_stream(
        self,
        stream_id: UUID,
        *,
        after_version: int = 0,
        limit: int | None = None,
        on_unreadable: OnUnreadable = "raise",
    ) -> list[RecordedEvent]:
        """Return the events of one stream in the order of versions; empty without such a stream.

        Args:
            stream_id: The stream.
            after_version: Begin after this version.
            limit: The maximum number of events; None for all.
            on_unreadable: What to do with an event that cannot be read: raise its error (`raise`),
                skip it with a warning (`skip`), or call a function with it.

        Raises:
            ConfigurationError: `on_unreadable` is not one of these.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: An event of the stream cannot be read.
        """
        handle = unreadable_handler(on_unreadable)
        check_position("after_version", after_version)
        if limit is not None:
            check_count("limit", limit)
        generation = self.server.generation

        async def fetch(stream: UUID, after: int, events_max: int, bytes_max: int) -> Sequence[Any]:
            is_first = after == after_version
            # A later page of another server would not fit.
            with nullcontext() if is_first else self.server.steady(generation):
                return await read_rows(
                    self.connection, "log/read_stream", stream, after, events_max, bytes_max
                )

        events: list[RecordedEvent] = []
        async with aclosing(
            stream_pages(fetch, stream_id, after_version=after_version, limit=limit)
        ) as pages:
            async for rows in pages:
                decoded = decode_page(rows, classes=self.classes, keep_unreadable=True)
                events += readable(decoded, handle)
        return events

    async def read_mark(self, position: int) -> Mark:
        """Return the mark from which a reader continues that has read everything up to a position.

        Raises:
            RestoredLogError: The log ends before that position.
            ConnectionError, TimeoutError: Safe to retry.
        """
        if position == 0:
            return Mark(0)
        return Mark.of(position, (await read_rows(self.connection, "log/find_mark", position))[0])

    async def read_range(
        self,
        *,
        after: int,
        through: int,
        limit: int = _BATCH_EVENTS_MAX,
        categories: Sequence[str] | None = None,
        connection: Connection | None = None,
        on_unreadable: OnUnreadable = "raise",
    ) -> list[RecordedEvent]:
        """Return the events with `after` < position <= `through`, in order.

        The result is complete only if the range is final.

        Args:
            after: Begin after this position.
            through: End with this position.
            limit: The maximum number of events.
            categories: Only events of these categories; None for all.
            connection: An asyncpg connection to read with, if the caller holds one; None for one of
                the pool.
            on_unreadable: As in `read_stream`; an event that is skipped counts towards `limit`.

        Raises:
            ConfigurationError: `on_unreadable` is invalid.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: An event of the range cannot be read.
        """
        handle = unreadable_handler(on_unreadable)
        check_position("after", after)
        check_position("through", through)
        check_count("limit", limit)
        arguments = ("log/read_range", after, through, limit, categories, BYTES_UNBOUNDED)
        if connection is None:
            rows = await read_rows(self.connection, *arguments)
        else:
            rows = await _fetch_on(connection, *arguments)
        return list(readable(decode_page(rows, classes=self.classes, keep_unreadable=True), handle))

    async def read_page(
        self, size: PageSize, *, after: int, through: int, categories: Sequence[str] | None = None
    ) -> tuple[list[Readable], int]:
        """Return a page of a final range, and the position up to which it reaches; it may be empty before the end of the range.

        The page has an `UnreadableEvent` in the place of an event that cannot be read.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        window = Window(after, through)
        async with reading(self.connection) as connection:
            rows = await connection.fetch(
                load("log/read_range", connection), after, window.end, size.events, categories, size.bytes
            )
            passed = await window.passed(connection, len(rows))
        reached = rows[-1]["position"] if size.is_full(rows) else passed
        return decode_page(rows, classes=self.classes, keep_unreadable=True), reached

    async def read_all(
        self,
        *,
        after: int = 0,
        categories: Sequence[str] | None = None,
        batch_events_max: int = _BATCH_EVENTS_MAX,
        on_unreadable: OnUnreadable = "raise",
    ) -> AsyncIterator[RecordedEvent]:
        """Yield all events in order, from `after` to the current end of the log.

        The end is read when the iteration starts. The iteration waits for transactions that are in
        flight then, so that no event is missed.

        Args:
            after: Begin after this position.
            categories: Only events of these categories; None for all.
            batch_events_max: The maximum number of events in memory at a time. If events are large,
                8 MB of JSON are the maximum.
            on_unreadable: What to do with an event that cannot be read, after the events before it
                were yielded: raise its error (`raise`), skip it with a warning (`skip`), or call a
                function with the `UnreadableEvent`. The function raises to stop, or returns to skip
                the event.

        Raises:
            ConfigurationError: `on_unreadable` is not one of these.
            RestoredLogError: The log ends before `after`.
            ConnectionError, TimeoutError: Continue after the position of the last event.
            UnknownEventTypeError, EventDecodingError: An event cannot be read; the error has its
                position.
        """
        handle = unreadable_handler(on_unreadable)
        check_position("after", after)
        size = PageSize(check_count("batch_events_max", batch_events_max))
        with self.server.steady() as generation:
            await self.read_mark(after)
            through = await self.head()
            await self.high_water_mark.wait_until_final(through)
        while after < through:
            with self.server.steady(generation):
                events, after = await self.read_page(
                    size, after=after, through=through, categories=categories
                )
            for event in readable(events, handle):
                yield event

    async def find_event(self, event_id: UUID) -> RecordedEvent | None:
        """Return the event with an id, or None.

        If the same id was appended to two streams, the first event is returned.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The event cannot be read.
        """
        return await self._lookup.find_event(event_id)

    async def find_correlated(
        self,
        correlation_id: str | UUID,
        *,
        limit: int = CORRELATED_EVENTS_MAX,
        on_unreadable: OnUnreadable = "raise",
    ) -> list[RecordedEvent]:
        """Return the events of a correlation in order.

        These are the events with the correlation id in their metadata, and the event whose own id
        it is.

        Args:
            correlation_id: The correlation id. If a command sets none, it is the id of the first
                event.
            limit: The maximum number of events.
            on_unreadable: As in `read_stream`.

        Raises:
            ConfigurationError: `on_unreadable` is invalid.
            LimitError: `limit` is below 1.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: An event cannot be read.
        """
        return await self._lookup.find_correlated(correlation_id, limit=limit, on_unreadable=on_unreadable)

    async def find_time(
        self, *, recorded_at: datetime | None = None, occurred_at: datetime | None = None
    ) -> TimeBounds:
        """Return the positions between which a point in time lies; give exactly one time.

        Transactions in flight may still add events before the point in time.

        Args:
            recorded_at: The point in time, by the database's clock; a naive datetime means local
                time.
            occurred_at: The point in time, by the domain's clock; a naive datetime means local
                time.

        Raises:
            ConfigurationError: Both or neither are given, or the value is not a time.
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await self._lookup.find_time(recorded_at=recorded_at, occurred_at=occurred_at)

    def subscribe(
        self,
        *,
        after: int = 0,
        categories: Sequence[str] | None = None,
        batch_events_max: int = _BATCH_EVENTS_MAX,
        on_unreadable: OnUnreadable = "raise",
    ) -> Subscription:
        """Return a subscription that yields final events in order, without end.

        Args:
            after: Begin after this position.
            categories: Only events of these categories; None for all.
            batch_events_max: The maximum number of events in memory at a time. If events are large,
                8 MB of JSON are the maximum.
            on_unreadable: What to do with an event that cannot be read, as in `read_all`.

        Raises:
            LimitError: `after` is below 0, or `batch_events_max` is below 1.
            ConfigurationError: `on_unreadable` is invalid.
        """
        return Subscription(
            self,
            after=after,
            categories=categories,
            batch_events_max=batch_events_max,
            on_unreadable=on_unreadable,
        )

    async def head(self) -> int:
        """Return the highest position that is visible, final or not; 0 in an empty log.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await self.high_water_mark.head()


async def _fetch_on(connection: Connection, statement: str, *arguments: Any) -> list[Any]:
    with mapped_errors(own_statement=True, reads_only=True, connection=connection):
        rows: list[Any] = await connection.fetch(load(statement, connection), *arguments)
        return rows


def _keeps_answers(connection: ConnectionSource) -> bool:
    return isinstance(connection, DatabaseConnection)


def _report(result: AppendResult, on_result: Callable[[AppendResult], None] | None) -> None:
    if on_result is not None:
        on_result(result)


async def _find_refused(
    connection: Connection, columns: AppendColumns, error: Exception, sent: Sent | None
) -> AppendResult:
    """Return the result of an earlier call if the log has the same append; else raise the error."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        _forget_rights(connection)
    is_conflict = isinstance(error, ConcurrencyError) or (
        isinstance(error, asyncpg.UniqueViolationError) and is_version_taken(error)
    )
    if not is_conflict:
        raise error
    if sent is not None:
        sent.is_open = True
    return await find_repeated(connection, columns, error)


def _tell_lost(lost: Exception | None, sent_s: float) -> None:
    if not explained(sent_s):
        _logger.warning("the answer to an append was lost: sending the append again", exc_info=lost)


def _forget_rights(connection: Connection) -> None:
    """Forget the rights of a connection's role, so that the next append reads them again.

    They have changed since the last read.
    """
    if hasattr(connection, "may_insert"):
        connection.may_insert = None
