"""A borrowed connection for the library's own statements, with asyncpg's default codecs and records.

A user may have configured asyncpg to pass `jsonb` as objects, numbers as floats, or rows as another
class. That applies to the user's statements. The library's statements need asyncpg's default values, so
they bypass all of that.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

import asyncpg

from eventstore.database.protocols import Connection
from eventstore.database.session import array_codecs, learn_types
from eventstore.database.session_effects import Effect
from eventstore.errors import TypeCodecError
from eventstore.private_names.asyncpg_names import CAN_IGNORE_CODECS, execute_with, physical
from eventstore.sql import literal, own, schema_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Sequence

_RECORDS: dict[str, Any] = {"record_class": asyncpg.Record}
_IN_ARRAYS = ("bool", "bytea", "date", "int2", "int4", "int8", "numeric", "timestamptz", "uuid")
"""The element types of arrays that the library's statements use; asyncpg always uses its own codec for text[]."""

_arrays: dict[str, frozenset[str]] = {}
"""For each statement of the library: the element types of its arrays."""

_changed: WeakKeyDictionary[Any, tuple[tuple[Any, ...], frozenset[str]]] = WeakKeyDictionary()
"""For each connection: its array codecs, and the types whose values they change."""

_BAD_VALUE = "22"
_SAVEPOINT = "SAVEPOINT eventstore_sample"
_TO_SAVEPOINT = "ROLLBACK TO SAVEPOINT eventstore_sample; RELEASE SAVEPOINT eventstore_sample"

# A value of each type that the library's statements use: as asyncpg represents it by default, and in SQL.
_SAMPLES: dict[str, tuple[Any, str]] = {
    "int8": (2**53 + 1, "9007199254740993"),
    "bool": (True, "true"),
    "bytea": (b"\x00\xff", r"\x00ff"),
    "date": (date(2026, 3, 2), "2026-03-02"),
    "float8": (0.1, "0.1"),
    "int4": (-7, "-7"),
    "json": ('{"a": 1}', '{"a": 1}'),
    "jsonb": ('{"a": 1}', '{"a": 1}'),
    "numeric": (Decimal("-1.50"), "-1.50"),
    "float4": (0.5, "0.5"),
    "int2": (3, "3"),
    "text": ("é", "é"),
    "timestamptz": (datetime(2026, 3, 2, 14, 30, 0, 5, tzinfo=UTC), "2026-03-02 14:30:00.000005+00"),
    "uuid": (UUID(int=2**120 + 5), "01000000-0000-0000-0000-000000000005"),
}


@cache
def _sampling(names: tuple[str, ...], brackets: str = "") -> str:
    """Return the statement that reads a value of each type, and checks that each sent value arrives equal."""
    columns = []
    for number, name in enumerate(names, 1):
        kind = f"{name}{brackets}"
        value = f"{literal(_SAMPLES[name][1])}::{name}"
        value = f"ARRAY[{value}]" if brackets else value
        columns.append(
            f"{value} AS sample, ${number}::{kind}::pg_catalog.text OPERATOR(pg_catalog.=) "
            f"{value}::pg_catalog.text AS is_sample"
        )
    return own("SELECT " + ", ".join(columns))


def plain(connection: Any) -> Connection:
    """Return the connection for the library's statements, for a connection that users may have configured."""
    if isinstance(connection, PlainConnection):
        return connection
    effect = getattr(connection, "effect", None)
    return connection if effect is not None and effect < Effect.LASTING else PlainConnection(connection)


class PlainConnection:
    """A connection of asyncpg that ignores custom type codecs and the custom record class.

    asyncpg cannot ignore them in some operations. These are refused if a codec changes a type that the
    library uses.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def store_schema(self) -> str:
        """The schema of the store on this connection."""
        return schema_of(self._connection)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """As asyncpg's."""
        if not args:
            tag: str = await self._connection.execute(query, timeout=timeout)
            return tag
        _, status, _ = await self._run(query, args, 0, timeout, return_status=True)
        return status.decode()  # type: ignore[no-any-return]

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109
        """As asyncpg's."""
        rows: list[Any] = await self._run(query, args, 0, timeout)
        return rows

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """As asyncpg's."""
        rows = await self._run(query, args, 1, timeout)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """As asyncpg's; the first column."""
        row = await self.fetchrow(query, *args, timeout=timeout)
        return None if row is None else row[0]

    async def executemany(self, command: str, args: Any, **options: Any) -> Any:
        """As asyncpg's; raises `TypeCodecError` if a custom codec would change values."""
        await self.require_own_codecs()
        return await self._connection.executemany(command, args, **options)

    async def prepare(self, query: str, **options: Any) -> Any:
        """As asyncpg's; raises `TypeCodecError` if a custom codec would change values."""
        await self.require_own_codecs()
        return await self._connection.prepare(query, **options | _RECORDS)

    async def copy_from_query(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's: no codec reads its rows."""
        return await self._connection.copy_from_query(query, *args, **options)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> Any:
        """As asyncpg's; raises `TypeCodecError` if a custom codec would change values."""
        await self.require_own_codecs()
        return await self._connection.copy_records_to_table(table_name, **options)

    def cursor(self, query: str, *args: Any, **options: Any) -> _Cursor:
        """As asyncpg's; raises `TypeCodecError` if a custom codec would change values."""
        return _Cursor(self, query, args, options)

    async def require_own_codecs(self) -> None:
        """Check that no custom codec changes a type that the library uses.

        Raises:
            TypeCodecError: A custom codec does.
        """
        if await self._changes(*_SAMPLES):
            raise TypeCodecError.of([name for name in _SAMPLES if await self._changes(name)])

    async def _require_own_arrays(self, query: str) -> None:
        """Check that no custom codec changes the arrays of a statement.

        asyncpg can ignore a custom codec for a value, but not for the elements of an array.

        Raises:
            TypeCodecError: A custom codec does.
        """
        arrays = _arrays.get(query)
        if arrays is None:
            prepared = await self._connection.prepare(query)
            kinds = (*prepared.get_parameters(), *(column.type for column in prepared.get_attributes()))
            arrays = frozenset(kind.name.removesuffix("[]") for kind in kinds if kind.kind == "array")
            _arrays[query] = arrays
        if arrays and (changed := arrays & await self._changed_in_arrays()):
            raise TypeCodecError.of(sorted(changed))

    async def _changed_in_arrays(self) -> frozenset[str]:
        """Return the types whose values change in an array; a changed codec causes a new test."""
        key = physical(self._connection)
        learn_types(self._connection)
        codecs = array_codecs(self._connection)
        known = _changed.get(key)
        if known is None or any(one is not other for one, other in zip(known[0], codecs, strict=True)):
            changed: list[str] = []
            if await self._changes(*_IN_ARRAYS, in_arrays=True):
                changed += [name for name in _IN_ARRAYS if await self._changes(name, in_arrays=True)]
            known = _changed[key] = codecs, frozenset(changed)
        return known[1]

    async def _changes(self, *names: str, in_arrays: bool = False) -> bool:
        """Whether values of these types change when they are sent or read."""
        values = [_SAMPLES[name][0] for name in names]
        # A value that the server refuses aborts the transaction; asyncpg's savepoints know only asyncpg's transactions.
        in_transaction = self._connection.is_in_transaction()
        if in_transaction:
            await self._connection.execute(_SAVEPOINT)
        try:
            if in_arrays:
                statement = _sampling(names, "[]")
                (row,) = await self._send(statement, [[value] for value in values], 0, None)
            else:
                row = await self._connection.fetchrow(_sampling(names), *values, **_RECORDS)
        except Exception as error:
            if not _is_of_value(error):
                raise
            return True
        finally:
            if in_transaction and not self._connection.is_closed():
                await self._connection.execute(_TO_SAVEPOINT)
        read, is_written = row[::2], row[1::2]
        if in_arrays:
            read = [one[0] for one in read]
        # asyncpg has its own UUID class; equal decimals may have other digits.
        return any(one is not True for one in is_written) or not all(
            isinstance(one, type(value)) and str(one) == str(value)
            for one, value in zip(read, values, strict=True)
        )

    async def _run(
        self,
        query: str,
        args: tuple[Any, ...],
        limit: int,
        timeout: float | None,  # noqa: ASYNC109
        **options: Any,
    ) -> Any:
        if self._connection.is_closed():
            raise asyncpg.InterfaceError("the connection is closed")
        if CAN_IGNORE_CODECS:
            await self._require_own_arrays(query)
        else:
            await self.require_own_codecs()
        return await self._send(query, args, limit, timeout, **options)

    async def _send(
        self,
        query: str,
        args: Sequence[Any],
        limit: int,
        timeout: float | None,  # noqa: ASYNC109
        **options: Any,
    ) -> Any:
        return await execute_with(self._connection, query, args, limit, timeout, **options | _RECORDS)


def _is_of_value(error: Exception) -> bool:
    """Whether an encoder, a decoder or the server has refused a value; other errors concern the connection."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_BAD_VALUE)
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, asyncpg.DataError)
    return not isinstance(error, OSError | asyncpg.InternalClientError)


class _Cursor:
    """A cursor that checks the codecs before it opens; await it or iterate over it."""

    def __init__(
        self, connection: PlainConnection, query: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._connection = connection
        self._query = query
        self._args = args
        self._options = options | _RECORDS

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._open().__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self._connection.require_own_codecs()
        async for record in self._raw():
            yield record

    async def _open(self) -> Any:
        await self._connection.require_own_codecs()
        return await self._raw()

    def _raw(self) -> Any:
        return self._connection._connection.cursor(self._query, *self._args, **self._options)  # noqa: SLF001
