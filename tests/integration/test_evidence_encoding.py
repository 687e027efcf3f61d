"""Hashes are of UTF-8, and a database that orders JSON by another encoding is refused."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from eventstore.database.connecting import connect_arguments
from eventstore.errors import ConfigurationError
from eventstore.evidence import prove, seal, verify
from eventstore.evidence.encoding import require_unicode
from eventstore.export import import_lines
from eventstore.log import EventLog
from tests.conftest import admin_connection
from tests.entities import started
from tests.exported_files import exported

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore


class OneConnection:
    """Lends one connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend it."""
        yield self._connection


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_a_database_of_another_encoding_is_refused(
    server_config: DatabaseConfig, store: EventStore, encoding: str
):
    """By each function that hashes, in one line that says how to go on."""
    await store.log.append(started())
    lines = await exported(store)
    name = f"test_{uuid4().hex}"
    admin = await admin_connection(server_config)
    await admin.execute(f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    connection: Any = None
    try:
        connection = await asyncpg.connect(**connect_arguments(server_config.replace(database=name)))
        log = EventLog(OneConnection(connection))
        for refused in (seal(log), verify(log), prove(log, 1), import_lines(log, lines)):
            with pytest.raises(ConfigurationError, match=f"encoded in {encoding}.*ENCODING 'UTF8'"):
                await refused
    finally:
        if connection is not None:
            await connection.close()
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()
    async with store.connection.acquire() as connection:
        require_unicode(connection)
