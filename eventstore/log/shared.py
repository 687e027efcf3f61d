"""One log per connection, so that all writers of a process share its wake-ups and group commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.connection import DatabaseConnection
from eventstore.database.ending import of_pool
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.plain import plain
from eventstore.database.protocols import Connection
from eventstore.database.server import KnownServer
from eventstore.log.event_log import EventLog
from eventstore.log.signals import Signals


def log_of(connection: DatabaseConnection | PostgreSQLAdapter) -> EventLog:
    """Return the log of a connection or adapter. Each call returns the same log."""
    if isinstance(connection, PostgreSQLAdapter) and isinstance(connection.connection, DatabaseConnection):
        connection = connection.connection
    log = connection.attachments.get(EventLog)
    if not isinstance(log, EventLog):
        if isinstance(connection, DatabaseConnection):
            log = EventLog(connection, group_commit=connection.config.group_commit)
            log.wakeups.signals = Signals(connection, log.wakeups.wake)
            connection.server.at_change(log.wakeups.signals.listen_again)
            if log.metrics is not None:
                log.metrics.watch_pool(connection)
        else:
            log = EventLog(_Pool(connection.connection))
        connection.attachments[EventLog] = log
    return log


class _Pool:
    """A pool that the user created, with the `acquire` of a `DatabaseConnection`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.server = KnownServer()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with of_pool(self._pool) as connection:
            own_connection = plain(connection)
            if self.server.is_steady:
                with mapped_errors(own_statement=True, reads_only=True, connection=connection):
                    await self.server.require_steady_on(own_connection)
            yield own_connection
