"""The statements of an append on a connection, and the meaning of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from eventstore.database.answers import Sent
from eventstore.database.protocols import Connection, Record, the_row
from eventstore.errors import ConcurrencyError, IntegrityError
from eventstore.log.records import AppendColumns, AppendResult, append_digest
from eventstore.sql import load


async def execute_append(
    connection: Connection,
    columns: AppendColumns,
    *,
    lock_timeout: str | None = None,
    directly: bool = False,
    sent: Sent | None = None,
) -> AppendResult:
    """Append in one statement.

    Args:
        connection: An asyncpg connection.
        columns: The events.
        lock_timeout: How long the statement may wait for locks, such as `50ms`; None for the
            setting of the session.
        directly: Whether to insert into the table, which requires the right to do so. Otherwise the
            functions for writers are called.
        sent: What is known of the append, if a cancellation must wait for the answer.

    Raises:
        ConcurrencyError: A stream has another version; nothing was written.
        asyncpg.UniqueViolationError: A writer that was in flight has taken a version.
    """
    is_one = len(columns.versions) == 1
    if directly:
        insert = _insert_one if is_one else _insert_all
        inserted = await insert(connection, columns, lock_timeout, sent)
        if inserted is not None:
            return inserted
    elif is_one:
        return await _call_for_one(connection, columns, lock_timeout, sent)
    statement = load("log/append_directly" if directly else "log/append", connection)
    row = the_row(await _fetch_row(connection, sent, statement, append_document(columns), lock_timeout))
    if row["conflicts"] is not None:
        conflict = orjson.loads(row["conflicts"])[0]
        raise ConcurrencyError(
            UUID(conflict["stream_id"]), expected=conflict["expected"], actual=conflict["actual"]
        )
    positions = row["positions"] or ()
    if len(positions) != len(columns.versions):
        raise swallowed(len(columns.versions), len(positions))
    return AppendResult(tuple(positions), row["recorded_at"])


def append_document(columns: AppendColumns) -> str:
    """Return the events as one JSON document, which has their data and metadata unchanged."""
    events = [
        {
            "stream_id": stream_id,
            "version": version,
            "event_id": event_id,
            "category": category,
            "type": type_,
            "schema_version": schema_version,
            "data": orjson.Fragment(data),
            "metadata": orjson.Fragment(metadata),
            "occurred_at": occurred_at,
            "append_digest": digest,
        }
        for stream_id, version, event_id, category, type_, schema_version, data, metadata, occurred_at, digest in zip(
            *columns.per_event, columns.digests, strict=True
        )
    ]
    # Ids and times of other classes, such as the driver's, are written as text.
    return orjson.dumps(events, default=str).decode()


async def _insert_one(
    connection: Connection, columns: AppendColumns, lock_timeout: str | None, sent: Sent | None
) -> AppendResult | None:
    """Insert an event; None if that is not possible, and another statement then says why."""
    statement = load("log/append_one_directly", connection)
    row = await _fetch_row(connection, sent, statement, *_only(columns), lock_timeout)
    return None if row is None else AppendResult((row["position"],), row["recorded_at"])


async def _insert_all(
    connection: Connection, columns: AppendColumns, lock_timeout: str | None, sent: Sent | None
) -> AppendResult | None:
    """As `_insert_one`, for several events."""
    statement = load("log/append_at_once", connection)
    heads = columns.heads
    rows = await _fetch(
        connection,
        sent,
        statement,
        append_document(columns),
        list(heads),
        list(heads.values()),
        lock_timeout,
    )
    return _appended(columns, rows) if rows else None


async def _call_for_one(
    connection: Connection, columns: AppendColumns, lock_timeout: str | None, sent: Sent | None
) -> AppendResult:
    # A document would cost the server half as much again as the event itself.
    statement = load("log/append_one", connection)
    row = the_row(await _fetch_row(connection, sent, statement, *_only(columns), lock_timeout))
    if row["position"] is None:
        if row["actual"] == columns.versions[0] - 1:
            raise swallowed(1, 0)
        raise ConcurrencyError(columns.stream_ids[0], expected=columns.versions[0] - 1, actual=row["actual"])
    return AppendResult((row["position"],), row["recorded_at"])


def _only(columns: AppendColumns) -> list[Any]:
    return [values[0] for values in columns.per_event]


def _appended(columns: AppendColumns, rows: Sequence[Record]) -> AppendResult:
    if len(rows) != len(columns.versions):
        raise swallowed(len(columns.versions), len(rows))
    # They were drawn in the order of staging.
    return AppendResult(tuple(sorted([row["position"] for row in rows])), rows[0]["recorded_at"])


async def _fetch(connection: Connection, sent: Sent | None, statement: str, *arguments: Any) -> list[Record]:
    if sent is None:
        return await connection.fetch(statement, *arguments)
    pooled: Any = connection  # only connections of a `DatabaseConnection` have the method
    rows: list[Record] = await pooled.fetch_to_the_end(statement, *arguments, sent=sent)
    return rows


async def _fetch_row(
    connection: Connection, sent: Sent | None, statement: str, *arguments: Any
) -> Record | None:
    if sent is None:
        return await connection.fetchrow(statement, *arguments)
    rows = await _fetch(connection, sent, statement, *arguments)
    return rows[0] if rows else None


def swallowed(events: int, appended: int) -> IntegrityError:
    """Return the error for an append of which the server inserted fewer events than it was sent."""
    return IntegrityError(
        f"the server inserted {appended} of {events} event(s): a trigger or a rule of the table events drops rows; "
        "run `eventstore check`, which names it"
    )


async def find_repeated(connection: Connection, columns: AppendColumns, cause: Exception) -> AppendResult:
    """Return the first call's positions if the log has these same events; else raise the conflict.

    Raises:
        ConcurrencyError: The log has other events at these versions, or only some of these.
    """
    rows = await connection.fetch(load("log/find_appended", connection), append_document(columns))
    if all(row["same"] for row in rows) and _is_whole(columns, rows):
        return AppendResult(tuple(row["position"] for row in rows), rows[0]["recorded_at"], repeated=True)
    if isinstance(cause, ConcurrencyError):
        raise cause
    for row, stream_id in zip(rows, columns.stream_ids, strict=True):
        expected = columns.heads[stream_id]
        if row["actual"] != expected:
            raise ConcurrencyError(stream_id, expected=expected, actual=row["actual"]) from cause
    # The writer that held the version has rolled back, so the same append may now succeed.
    stream_id, expected = next(iter(columns.heads.items()))
    raise ConcurrencyError(stream_id, expected=expected, actual=expected) from cause


def _is_whole(columns: AppendColumns, rows: Sequence[Any]) -> bool:
    """Whether the appends that wrote these events wrote no other events."""
    together: dict[int, list[UUID]] = {}
    for row, event_id in zip(rows, columns.event_ids, strict=True):
        together.setdefault(row["append_digest"], []).append(event_id)
    together.pop(0, None)
    if any(append_digest(event_ids) != digest for digest, event_ids in together.items()):
        return False
    # An import does not record which events were appended together, only their streams and times.
    last = dict(zip(columns.stream_ids, columns.versions, strict=True))
    return not any(
        not row["append_digest"]
        and (
            (version == columns.heads[stream_id] + 1 and row["with_before"])
            or (version == last[stream_id] and row["with_after"])
        )
        for stream_id, version, row in zip(columns.stream_ids, columns.versions, rows, strict=True)
    )


def is_version_taken(error: asyncpg.UniqueViolationError) -> bool:
    """Whether another writer has taken a version of the append."""
    # A distributed table reports its constraints with a shard suffix.
    return str(error.constraint_name).startswith("events_pkey")
