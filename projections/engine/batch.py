"""Folding a batch of events into a table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import asyncpg

from eventstore.core.context import decimal_arithmetic
from eventstore.database.error_mapping import DRIVER_ERRORS
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError, TypeCodecError
from eventstore.garbage_collection import collecting_later
from eventstore.log.unreadable import Readable
from eventstore.sql import load, schema_of
from projections.engine.fold import FoldFailure, by_key, fold_key
from projections.engine.past import PastKeeper
from projections.projection import Projection
from projections.table import LAST_POSITION, Table

R = TypeVar("R")
Key = tuple[Any, ...]

_ROW_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""Errors by which the database refuses a single row."""

COPY_ERRORS = (asyncpg.FeatureNotSupportedError, asyncpg.WrongObjectTypeError, TypeCodecError)
"""Errors of COPY where INSERT works: row security, a view in place of the table, or a type codec of the user's pool."""


def is_of_row(error: Exception) -> bool:
    """Whether the error is caused by one row's data, so a retry cannot help.

    This includes errors of the driver and of a codec, such as for a number that is too large. All other errors affect
    the whole batch: a lost connection, a server without memory.
    """
    return isinstance(error, _ROW_ERRORS) or not isinstance(error, (EventStoreError, *DRIVER_ERRORS))


# With fewer values, the further round trip of a COPY takes longer than it saves: some 40 rows of 5 columns, or 4 of 48.
_COPY_VALUES_MIN = 200
_COPY_ROWS_AT_ONCE = 250  # encoded in some milliseconds; then other tasks run


async def quarantined_keys(connection: Connection, projection: Projection[Any]) -> frozenset[str]:
    """Return the quarantined keys of a projection, as text."""
    rows = await connection.fetch(load("projections/list_quarantined_keys", connection), projection.name)
    return frozenset(row["key"] for row in rows)


async def fold_into(
    connection: Connection,
    projection: Projection[R],
    events: Sequence[Readable],
    *,
    table: str | None = None,
    takes: Callable[[Key], bool] | None = None,
    singly: bool = False,
    copies: bool = True,
    on_error: list[FoldFailure] | None = None,
    past: PastKeeper | None = None,
) -> None:
    """Fold events into a table, inside the open transaction of `connection`.

    Args:
        connection: An asyncpg connection.
        projection: The projection.
        events: Final events in order, as `read_batch` returns them. An event that could not be decoded counts as one
            that cannot be folded.
        table: The name of the table, if it is not the projection's own.
        takes: Which keys to fold; None for all.
        singly: Write each key's row in a separate statement, to find which one the database refuses.
        copies: Whether to write new rows by COPY if there are many and they are not written singly.
        on_error: Collects events that cannot be folded and rows that are refused, for each key the first one; if
            None, they are raised.
        past: Where states of the past are noted, unless keys are written singly; None to note none.

    Raises:
        Exception: What `evolve` raised, or unmapped errors of asyncpg.
    """
    of_each = by_key(projection, events, takes)
    if not of_each:
        return
    if singly:
        # Otherwise a deferred constraint would refuse all of them together, at the commit.
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        rows = await _load_singly(connection, projection, of_each, table, on_error)
    else:
        rows = await _load(connection, projection, _begun_before(projection, of_each), table)
    writes: list[_Write] = []
    with collecting_later(), decimal_arithmetic():
        for key, its_events in of_each.items():
            write = _fold_key(
                projection, key, rows.get(key), its_events, on_error, past=None if singly else past
            )
            if write is not None:
                writes.append(write)
    if not singly:
        await _write(connection, projection, writes, table, copies=copies)
        return
    for write in writes:
        try:
            async with connection.transaction():
                await _write(connection, projection, [write], table)
        except Exception as error:
            if on_error is None or not is_of_row(error):
                raise
            refused = await _write_until_refused(
                connection, projection, write.key, rows.get(write.key), of_each[write.key], table=table
            )
            if refused is not None:
                on_error[:] = [noted for noted in on_error if noted.key != write.key]
                on_error.append(refused)


async def _write_until_refused(
    connection: Connection,
    projection: Projection[R],
    key: Key,
    before: R | None,
    events: list[Readable],
    *,
    table: str | None,
) -> FoldFailure | None:
    """Write the row of a key after each of its events, up to the first one that the database refuses; return that one.

    So the events in the row of a quarantined key do not depend on the batch.
    """
    row = before
    for event in events:
        failed: list[FoldFailure] = []
        with decimal_arithmetic():
            write = _fold_key(projection, key, row, [event], failed)
        if failed:
            return failed[0]
        if write is None:
            continue
        try:
            async with connection.transaction():
                await _write(connection, projection, [write], table)
        except Exception as error:
            if not is_of_row(error):
                raise
            return FoldFailure(key, event, error)
        row = write.row
    return None


class _Write(NamedTuple):
    key: Key
    row: Any
    position: int
    is_new: bool


def _fold_key(
    projection: Projection[R],
    key: Key,
    before: R | None,
    events: list[Readable],
    on_error: list[FoldFailure] | None,
    *,
    past: PastKeeper | None = None,
) -> _Write | None:
    if past is None or not past.keeps_any(events):
        row, position, failure = fold_key(projection, key, before, events)
    else:
        row, position, failure = _fold_and_note(projection, key, before, events, past)
    if failure is not None:
        if on_error is None:
            raise failure.error
        on_error.append(failure)
    if position == 0 or (row is None and before is None):
        return None
    return _Write(key, row, position, before is None)


def _fold_and_note(
    projection: Projection[R], key: Key, before: R | None, events: list[Readable], past: PastKeeper
) -> tuple[R | None, int, FoldFailure | None]:
    row, position = before, 0
    for part in past.parts(events):
        row, folded, failure = fold_key(projection, key, row, part)
        position = folded or position
        if failure is not None:
            return row, position, failure
        past.note(row, position)
    return row, position, None


def _begun_before(projection: Projection[Any], of_each: dict[Key, list[Readable]]) -> list[Key]:
    """Return the keys that may have a row: not those of streams that these events begin."""
    if not projection.keyed_by_stream:
        return list(of_each)
    return [key for key, its_events in of_each.items() if its_events[0].version > 1]


async def _load(
    connection: Connection, projection: Projection[R], keys: list[Key], table: str | None
) -> dict[Key, R]:
    if not keys:
        return {}
    arguments = [list(column) for column in zip(*keys, strict=True)]
    records = await connection.fetch(
        projection.table.select_by_keys(table, schema=schema_of(connection)), *arguments
    )
    table_of = projection.table
    return {table_of.key_of(record): table_of.decode(record) for record in records}


async def _load_singly(
    connection: Connection,
    projection: Projection[R],
    of_each: dict[Key, list[Readable]],
    table: str | None,
    on_error: list[FoldFailure] | None,
) -> dict[Key, R]:
    """Load the rows of keys; a key that its column cannot hold is noted, and removed from `of_each`."""
    try:
        async with connection.transaction():
            return await _load(connection, projection, list(of_each), table)
    except Exception as error:
        if on_error is None or not is_of_row(error):
            raise
    rows: dict[Key, R] = {}
    for key in list(of_each):
        try:
            async with connection.transaction():
                rows |= await _load(connection, projection, [key], table)
        except Exception as error:
            if not is_of_row(error):
                raise
            on_error.append(FoldFailure(key, of_each.pop(key)[0], error))
    return rows


async def _write(
    connection: Connection,
    projection: Projection[Any],
    writes: list[_Write],
    table: str | None,
    *,
    copies: bool = False,
) -> None:
    written = [write for write in writes if write.row is not None]
    deleted = [write.key for write in writes if write.row is None]
    added = [write for write in written if write.is_new]
    copies = copies and len(added) * len(projection.table.codec.columns) >= _COPY_VALUES_MIN
    if copies:
        written = [write for write in written if not write.is_new]
    if written:
        with collecting_later():
            columns = projection.table.codec.encode_columns([write.row for write in written])
        await connection.execute(
            projection.table.upsert(table, schema=schema_of(connection)),
            *columns,
            [write.position for write in written],
        )
    if copies:  # last, since the other writes may have freed a value that must be unique
        await copy_rows(connection, projection.table, table, [(write.row, write.position) for write in added])
    if deleted:
        await connection.execute(
            projection.table.delete_by_keys(table, schema=schema_of(connection)),
            *map(list, zip(*deleted, strict=True)),
        )


async def copy_rows(
    connection: Connection,
    table: Table[Any],
    name: str | None,
    rows: Iterable[tuple[Any, int]],
    *,
    timeout_s: float | None = None,
) -> None:
    """Add rows, each with the position of the last event in it, in the open transaction of `connection`.

    Raises:
        Exception: A row exists already, or COPY refuses what INSERT would accept: row security.
    """
    await connection.copy_to_table(
        name or table.name,
        source=_copied(table, rows),
        schema_name=schema_of(connection),
        columns=[*(column.name for column in table.codec.columns), LAST_POSITION],
        format="text",
        timeout=timeout_s,
    )


async def _copied(table: Table[Any], rows: Iterable[tuple[Any, int]]) -> AsyncIterator[bytes]:
    left, line = iter(rows), table.copied_line
    while some := [line(row, position) for row, position in islice(left, _COPY_ROWS_AT_ONCE)]:
        yield "".join(some).encode()


async def fetch_by_keys(
    connection: Connection, table: Table[Any], name: str, keys: Iterable[Key]
) -> list[Any]:
    """Return the rows of some keys in a table, in the open transaction of `connection`.

    A key that its column cannot hold has no row.
    """
    keys = list(keys)
    if not keys:
        return []
    try:
        return await _fetch_by_keys(connection, table, name, keys)
    except Exception as error:
        if not is_of_row(error):
            raise
        if len(keys) == 1:
            return []
    return [row for key in keys for row in await fetch_by_keys(connection, table, name, [key])]


async def _fetch_by_keys(connection: Connection, table: Table[Any], name: str, keys: list[Key]) -> list[Any]:
    async with connection.transaction():
        rows: list[Any] = await connection.fetch(
            table.select_by_keys(name, schema=schema_of(connection)), *map(list, zip(*keys, strict=True))
        )
        return rows
