"""The interface of a driver connection and of its rows, as far as the library uses it.

asyncpg has no type annotations. Its connections, those of its pools, and the library's `PlainConnection`
all have these methods; a test compares each method with asyncpg's.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    Awaitable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Sequence,
    ValuesView,
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, overload

from eventstore.errors import RepositoryError


class Row(Protocol):
    """A row whose values are read by name: a `Record`, or a mapping."""

    def __getitem__(self, key: str, /) -> Any: ...


class Record(Protocol):
    """A row of the driver, with its values by name or by index."""

    @overload
    def __getitem__(self, key: str | int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __iter__(self) -> Iterator[Any]:
        """Iterate over the values."""

    def __len__(self) -> int:
        """Return the number of columns."""

    def __contains__(self, name: object) -> bool:
        """Return whether there is a column with this name."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a column, or the default if there is no such column."""

    def keys(self) -> KeysView[str]:
        """Return the names of the columns."""

    def values(self) -> ValuesView[Any]:
        """Return the values."""

    def items(self) -> ItemsView[str, Any]:
        """Return names and values."""


class Transaction(AbstractAsyncContextManager[Any], Protocol):
    """A transaction or a savepoint: use it as a block, or begin and end it by hand."""

    async def start(self) -> None:
        """Begin the transaction."""

    async def commit(self) -> None:
        """Commit the transaction."""

    async def rollback(self) -> None:
        """Roll the transaction back."""


class Cursor(Protocol):
    """An open cursor."""

    async def fetch(self, n: int) -> list[Record]:
        """Return the next `n` rows."""


class CursorFactory(AsyncIterable[Record], Awaitable[Cursor], Protocol):
    """A cursor that opens when it is awaited or iterated over."""


class PreparedStatement(Protocol):
    """A prepared statement, of which the library reads the description."""

    def get_attributes(self) -> Sequence[Any]:
        """Return the name and type of each result column."""

    def get_parameters(self) -> Sequence[Any]:
        """Return the types of its parameters."""


class Connection(Protocol):
    """A connection that runs the library's statements."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Run a statement, or a script without arguments; return the command tag."""

    async def executemany(
        self,
        command: str,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Run a statement once for each sequence of arguments."""

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109
        """Run a statement and return its rows."""

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Record | None:  # noqa: ASYNC109
        """Run a statement and return its first row."""

    async def fetchval(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Run a statement and return the first value of its first row."""

    async def prepare(self, query: str) -> PreparedStatement:
        """Prepare a statement."""

    def cursor(self, query: str, *args: Any, prefetch: int | None = None) -> CursorFactory:
        """Return a cursor over the rows of a statement."""

    async def copy_from_query(self, query: str, *args: Any, output: Any, format: str | None = None) -> str:
        """Write the rows of a statement by COPY to a file, or give them piece by piece to a coroutine function."""

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        """Write rows into a table by COPY."""

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Any,
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
        format: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> str:
        """Write a file into a table by COPY."""

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """Return a transaction, or a savepoint inside of one."""

    def is_in_transaction(self) -> bool:
        """Return whether a transaction is open."""

    def is_closed(self) -> bool:
        """Return whether the connection has ended."""

    def terminate(self) -> None:
        """End the connection at once."""

    def get_server_pid(self) -> int:
        """Return the process id of the server's backend."""

    def get_server_version(self) -> Any:
        """Return the version of the server."""

    def get_settings(self) -> Any:
        """Return the parameters that the server has reported."""


def the_row(row: Record | None) -> Record:
    """Return the row of a statement that always returns one.

    Raises:
        RepositoryError: The statement returned no row.
    """
    if row is None:
        raise RepositoryError(
            "a statement that always returns a row returned none, so the connection is out of sync: open another one"
        )
    return row
