"""Use of a pool's connection: `reading`, `writing` and `in_transaction` decide what a lost connection means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection, Record
from eventstore.sql import filled, load


class ConnectionSource(Protocol):
    """An object that lends connections, such as `DatabaseConnection`."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for a block."""


@asynccontextmanager
async def reading(source: ConnectionSource) -> AsyncIterator[Connection]:
    """Lend a connection for statements of the library that only read.

    Raises:
        ConnectionError, TimeoutError: There is no connection, or it was lost. Safe to retry.
        NotMigratedError: A table is missing.
        EventStoreError: As `map_error` maps the errors of the driver.
    """
    async with source.acquire() as connection:
        with mapped_errors(own_statement=True, reads_only=True, connection=connection):
            yield connection


@asynccontextmanager
async def writing(source: ConnectionSource) -> AsyncIterator[Connection]:
    """Lend a connection for statements of the library that write.

    Raises:
        ConnectionError, TimeoutError: There is no connection; nothing was sent. Safe to retry.
        ConnectionLostError: The connection was lost during a statement, which may have been applied.
        NotMigratedError: A table is missing.
        EventStoreError: As `map_error` maps the errors of the driver.
    """
    async with source.acquire() as connection:
        with mapped_errors(own_statement=True, connection=connection):
            yield connection


async def read_rows(source: ConnectionSource, name: str, *arguments: Any) -> list[Record]:
    """Return the rows of a statement that only reads.

    Args:
        source: Lends the connection.
        name: The statement's file, such as `log/read_stream`.
        arguments: The statement's arguments.

    Raises:
        EventStoreError: As `reading`.
    """
    async with reading(source) as connection:
        return await connection.fetch(load(name, connection), *arguments)


def in_transaction(connection: Connection) -> AbstractContextManager[None]:
    """Map the errors of the library's statements inside an open transaction whose COMMIT was not sent.

    Raises, when the block is left:
        ConnectionError: The connection was lost, and nothing was applied. Safe to retry.
        EventStoreError: As `map_error` maps the errors of the driver.
    """
    return mapped_errors(own_statement=True, in_transaction=True, connection=connection)


async def limit_statements(connection: Connection, seconds: float) -> None:
    """Limit how long each statement of the open transaction may take; no snapshot is taken."""
    await connection.execute(filled("commands/limit_statements", milliseconds=f"{seconds * 1000:.0f}"))


async def limit_lock_waits(connection: Connection, seconds: float) -> None:
    """Limit how long each statement of the open transaction may wait for a lock; no snapshot is taken."""
    await connection.execute(filled("commands/limit_lock_waits", milliseconds=f"{seconds * 1000:.0f}"))
