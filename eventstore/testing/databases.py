"""Databases for tests on one server: `TestDatabases`.

Creating a database copies some 300 files. So one database is migrated, the others are copies of it, and a
copy whose definitions a test has not changed is emptied and used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import asyncpg

from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.connecting import connect_arguments
from eventstore.database.protocols import Connection
from eventstore.sql import literal, quoted

T = TypeVar("T")

_POOL = {"min_pool_size": 1, "max_pool_size": 10}
_GIVE_BACK_TIMEOUT_S = 30.0
# Above this size an emptied database would be slower than a new one.
_BYTES_MAX = 2 * 2**20

# Ends the sessions of this database, and counts what is still in use. The list of sessions is materialized: otherwise
# the planner may end sessions of other databases before it checks their database.
_END_SESSIONS = """
WITH others AS MATERIALIZED (
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
)
SELECT (
    SELECT count(*) FROM others WHERE NOT pg_terminate_backend(pid, 5000)
) + (
    SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()
) + (
    SELECT count(*) FROM pg_replication_slots WHERE database = current_database()
) + (
    SELECT count(*) FROM pg_largeobject_metadata
)
"""

# A digest of all definitions. A copy has the catalog rows of the original with their xmin; a changed definition is a
# row of a younger transaction, and a removed one is a missing row. Triggers are compared by their properties, because
# emptying switches them off and on. Temporary schemas outlive their sessions.
_CATALOGS_COMPARED = (
    "pg_attrdef", "pg_attribute", "pg_cast", "pg_class", "pg_collation", "pg_constraint", "pg_default_acl", "pg_depend",
    "pg_description", "pg_enum", "pg_event_trigger", "pg_extension", "pg_index", "pg_operator", "pg_policy", "pg_proc",
    "pg_publication", "pg_publication_rel", "pg_rewrite", "pg_sequence", "pg_statistic_ext", "pg_type",
)  # fmt: skip
_OWN = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_DEFINITIONS = f"""
SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
    {" UNION ALL ".join(f"SELECT concat_ws(' ', '{one}', count(*), max(xmin::text::bigint)) AS part FROM {one}" for one in _CATALOGS_COMPARED)}
    UNION ALL SELECT concat_ws(' ', 'pg_namespace', count(*), max(xmin::text::bigint)) FROM pg_namespace
        WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT concat_ws(' ', 'pg_trigger', tgrelid, tgname, tgenabled, tgtype, tgfoid) FROM pg_trigger
    UNION ALL SELECT concat_ws(' ', 'sizes', sum(relpages), sum(reltuples)) FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'pg_shdepend', count(*)) FROM pg_shdepend WHERE dbid = {_OWN}
    UNION ALL SELECT concat_ws(' ', 'pg_db_role_setting', count(*)) FROM pg_db_role_setting WHERE setdatabase = {_OWN}
    UNION ALL SELECT concat_ws(' ', 'pg_database', datacl, datconnlimit, encoding, datcollate, datctype) FROM pg_database WHERE oid = {_OWN}
) AS parts
"""

_SIZE = "SELECT coalesce(sum(pg_relation_size(oid)), 0) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')"

_TABLES = """
SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid >= 16384 AND relkind = 'r' AND relpersistence <> 't' AND nspname !~ '^pg_' ORDER BY 1
"""

# Triggers that refuse a DELETE (its bit of tgtype), as statements: off and on again.
TRIGGERS_THAT_REFUSE_DELETE = """
SELECT tgrelid::regclass::text AS table, format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname) AS off,
    format('ALTER TABLE %s ENABLE %s TRIGGER %I', tgrelid::regclass,
        CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, tgname) AS on
FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 8 <> 0 ORDER BY 1
"""

_SEQUENCES = """
SELECT format(
    'SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value),
    last_value IS NOT NULL
) FROM pg_sequences ORDER BY 1
"""

_RESET_STATISTICS = """
SELECT CASE WHEN has_function_privilege('pg_catalog.pg_stat_reset()', 'execute') THEN 'SELECT pg_stat_reset()' ELSE 'SELECT' END
"""


@dataclass(frozen=True)
class _Template:
    """The migrated database, and the statements that make a used copy like new."""

    name: str
    definitions: str
    """The digest of the database's definitions."""
    rows: str
    """All rows that the migrations inserted."""
    emptying: str
    """The statements that restore the tables."""
    reading: str
    """The statement that reads all rows as one text."""

    @classmethod
    async def of(cls, name: str, connection: Connection) -> _Template:
        """Describe a database that was just migrated."""
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        reading = "SELECT concat_ws(';', {})".format(
            ", ".join(
                f"(SELECT string_agg(one::text, ',' ORDER BY one::text) FROM {each} AS one)"
                for each in tables
            )
        )
        inserting = []
        for table in tables:
            kept = await connection.fetchval(f"SELECT json_agg(one)::text FROM {table} AS one")
            if kept is not None:
                inserting.append(
                    f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {literal(kept)})"
                )
        deleting = ", ".join(f"d{number} AS (DELETE FROM {table})" for number, table in enumerate(tables))
        triggers = await connection.fetch(TRIGGERS_THAT_REFUSE_DELETE)
        return cls(
            name=name,
            definitions=await connection.fetchval(_DEFINITIONS),
            rows=await connection.fetchval(reading),
            reading=reading,
            emptying=";\n".join(
                [
                    *(row["off"] for row in triggers),
                    f"WITH {deleting} SELECT",
                    *inserting,
                    *(row["on"] for row in triggers),
                    *(row[0] for row in await connection.fetch(_SEQUENCES)),
                    await connection.fetchval(_RESET_STATISTICS),
                ]
            ),
        )


class TestDatabases:
    """The databases of a test process on one server. Each method may run in a different event loop.

    Args:
        server: The server, with a database to log in to; its user must be allowed to create databases.
    """

    __test__: ClassVar[bool] = False  # not a test, despite its name

    def __init__(self, server: DatabaseConfig) -> None:
        self.server = server
        self._template: _Template | None = None
        self._free: list[str] = []

    def config(self, name: str) -> DatabaseConfig:
        """Return the configuration to connect to a database with."""
        return self.server.replace(database=name, **_POOL)

    async def template(self) -> str:
        """Return the name of a migrated, empty database to copy; the first call creates it."""
        return (await self._made_template()).name

    @asynccontextmanager
    async def create(self, template: str = "template1") -> AsyncIterator[DatabaseConfig]:
        """Create a database, and drop it at the end of the block.

        Args:
            template: The database to copy; `template1` is empty and not migrated.
        """
        name = f"eventstore_test_{uuid4().hex}"
        await self._create(name, template)
        try:
            yield self.config(name)
        finally:
            await self._drop(name)

    @asynccontextmanager
    async def migrated(self) -> AsyncIterator[DatabaseConfig]:
        """Yield a migrated, empty database that nobody else uses until the end of the block.

        It may have been used before: a database whose definitions are unchanged at the end of the block is
        emptied and kept.
        """
        name = await self.take()
        try:
            yield self.config(name)
        finally:
            await self.give_back(name)

    async def take(self) -> str:
        """Return the name of a migrated, empty database that nobody else uses until `give_back`."""
        template = await self._made_template()
        if self._free:
            return self._free.pop()
        name = f"eventstore_test_{uuid4().hex}"
        await self._create(name, template.name)
        return name

    async def give_back(self, name: str) -> None:
        """Keep a database for the next test if it can be made like new, and drop it otherwise."""
        if await self._is_like_new(name):
            self._free.append(name)
        else:
            await self._drop(name)

    async def close(self) -> None:
        """Drop all databases that are left."""
        names = [*self._free, *([self._template.name] if self._template else [])]
        self._free, self._template = [], None
        for name in names:
            await self._drop(name)

    async def _made_template(self) -> _Template:
        if self._template is None:
            name = f"eventstore_template_{uuid4().hex}"
            await self._create(name, "template1")
            try:
                config = self.server.replace(database=name)
                await _migrate(config)
                connection = await asyncpg.connect(**connect_arguments(config))
                try:
                    self._template = await _Template.of(name, connection)
                finally:
                    await connection.close()
            except BaseException:
                await self._drop(name)
                raise
        return self._template

    async def _is_like_new(self, name: str) -> bool:
        """Empty a database, and return whether it equals a new copy of the template."""
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_TIMEOUT_S):
                return await self._restore(name)
        return False

    async def _restore(self, name: str) -> bool:
        template = await self._made_template()
        connection = await asyncpg.connect(**connect_arguments(self.server.replace(database=name)))
        try:
            if (
                await connection.fetchval(_END_SESSIONS)
                or await connection.fetchval(_DEFINITIONS) != template.definitions
                or await connection.fetchval(_SIZE) > _BYTES_MAX
            ):
                return False
            await connection.execute(template.emptying)
            return bool(await connection.fetchval(template.reading) == template.rows)
        finally:
            await connection.close(timeout=5)

    async def _create(self, name: str, template: str) -> None:
        await self._execute(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}")

    async def _drop(self, name: str) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await ConnectionFactory.create_connection(
            self.server.replace(min_pool_size=1, max_pool_size=1)
        )
        try:
            await PostgreSQLAdapter(connection).execute(statement)
        finally:
            await connection.close()


async def _migrate(config: DatabaseConfig) -> None:
    connection = await ConnectionFactory.create_connection(config.replace(**_POOL))
    try:
        manager = MigrationManager(PostgreSQLAdapter(connection))
        await manager.initialize()
        await manager.migrate_to_latest()
    finally:
        await connection.close()


def run_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a separate event loop and thread, so that the test's loop is not used."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
