"""A migrated, empty database for one test, which the test may empty repeatedly.

The log of a real database cannot be emptied. The log of a scratch database can: its guards are switched off
for that one transaction. So this module itself creates the database, and drops it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, Self, TypeVar

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import ConnectionFactory, DatabaseConnection
from eventstore.database.embedded import EmbeddedServer
from eventstore.database.migrations import MigrationManager
from eventstore.testing.databases import TRIGGERS_THAT_REFUSE_DELETE, TestDatabases
from eventstore.testing.pytest_plugin import SERVER_URL_VARIABLE, TEST_SETTINGS

T = TypeVar("T")


class EventLoopThread:
    """An event loop in a separate thread, to run coroutines from synchronous code.

    It also works inside a running event loop, which is blocked while `run` runs.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="eventstore test", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @contextmanager
    def entered(self, context: Any) -> Iterator[Any]:
        """Enter an asynchronous context manager for a block."""
        value = self.run(context.__aenter__())
        try:
            yield value
        finally:
            self.run(context.__aexit__(None, None, None))


@cache
def server_for_tests() -> DatabaseConfig:
    """Return the address of a server: from the environment, or an embedded one that ends with this process.

    Raises:
        ConfigurationError: The extra `embedded` is not installed.
    """
    url = os.environ.get(SERVER_URL_VARIABLE)
    if url:
        return DatabaseConfig.from_url(url)
    server = EmbeddedServer.start(settings=TEST_SETTINGS)
    server.__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server.config()


@asynccontextmanager
async def scratch_database(server: DatabaseConfig | str | None = None) -> AsyncIterator[ScratchDatabase]:
    """Create a migrated database on a server, and drop it at the end of the block.

    Args:
        server: The configuration or the URL of the server; its user must be allowed to create databases.
            None for `server_for_tests`.

    Raises:
        ConfigurationError: No server is named, and the extra `embedded` is not installed.
        ConnectionError: The server cannot be reached.
    """
    address = server_for_tests() if server is None else DatabaseConfig.of(server)
    async with TestDatabases(address).create() as config:
        connection = await ConnectionFactory.create_connection(config)
        try:
            yield await ScratchDatabase.of(connection)
        finally:
            await connection.close()


class ScratchDatabase:
    """A migrated database whose tables can be emptied.

    Args:
        connection: An open connection to it.
        guards_off: The statements that switch off the guards against removing events.
        guards_on: The statements that switch the guards on again.

    Attributes:
        connection: The connection.
    """

    def __init__(
        self, connection: DatabaseConnection, *, guards_off: Sequence[str], guards_on: Sequence[str]
    ) -> None:
        self.connection = connection
        self._guards_off = guards_off
        self._guards_on = guards_on

    @classmethod
    async def of(cls, connection: DatabaseConnection) -> ScratchDatabase:
        """Migrate a database, and find its guards against removing events."""
        adapter = PostgreSQLAdapter(connection)
        manager = MigrationManager(adapter)
        await manager.initialize()
        await manager.migrate_to_latest()
        triggers = await adapter.fetch_all(TRIGGERS_THAT_REFUSE_DELETE)
        guards = [trigger for trigger in triggers if trigger["table"] == "events"]
        return cls(
            connection,
            guards_off=[guard["off"] for guard in guards],
            guards_on=[guard["on"] for guard in guards],
        )

    async def skip_positions(self, number: int) -> None:
        """Draw positions without events, as a rolled-back append does."""
        await PostgreSQLAdapter(self.connection).fetch_all(
            "SELECT nextval(pg_get_serial_sequence('events', 'position')) FROM generate_series(1, $1)", number
        )

    async def empty(self, *tables: str) -> None:
        """Remove all events and the data of the projection engine, and restart at position 1.

        Args:
            tables: The tables of projections to empty too.
        """
        adapter = PostgreSQLAdapter(self.connection)
        found = await adapter.fetch_all(
            "SELECT quote_ident(relname) AS name FROM pg_class "
            "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' "
            r"AND (relname IN ('events', 'projections') OR relname LIKE 'projection\_%' OR relname = ANY ($1::text[]))",
            list(tables),
        )
        deletions = ", ".join(
            f"t{number} AS (DELETE FROM {table['name']})" for number, table in enumerate(found)
        )
        # Statements of one message are one transaction: no other session ever sees the guards off.
        await adapter.execute(
            "; ".join(
                (
                    *self._guards_off,
                    f"WITH {deletions} SELECT",
                    "SELECT setval(pg_get_serial_sequence('events', 'position'), 1, false)",
                    *self._guards_on,
                )
            )
        )
