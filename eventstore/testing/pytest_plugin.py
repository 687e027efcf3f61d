"""Fixtures for the tests of code that uses this library; pytest finds them by itself (entry point `eventstore`).

    eventstore_server_config          session    the address of a PostgreSQL: an embedded one, or the environment's
    eventstore_config                 test       the address of a migrated, empty database
    eventstore_connection             test       an open `DatabaseConnection` to it
    eventstore_unit_of_work_factory   test       makes Units of Work on it
    eventstore_memory_factory         test       makes Units of Work in memory

Nothing is started before a test asks for it. The first database of a session is migrated, the others are copies of it,
which takes some 50 ms each. `EVENTSTORE_TEST_DATABASE_URL` names a server to use instead of the embedded one; its user
must be allowed to create databases. Where pytest-xdist runs several processes, each has a server of its own.

Needs the extra `testing`; a test that asks for what is not installed fails and says what to install.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import pytest

from eventstore.installation import hidden

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig, DatabaseConnection
    from eventstore.repositories import PostgreSQLUnitOfWorkFactory
    from eventstore.testing import InMemoryUnitOfWorkFactory

__all__ = [
    "SERVER_URL_VARIABLE",
    "eventstore_config",
    "eventstore_connection",
    "eventstore_memory_factory",
    "eventstore_server_config",
    "eventstore_template",
    "eventstore_unit_of_work_factory",
    "pytest_report_header",
]

T = TypeVar("T")

SERVER_URL_VARIABLE = "EVENTSTORE_TEST_DATABASE_URL"
"""The environment variable that names a server to use instead of the embedded one."""

# Nothing of a test outlives the machine, so its server need not wait for the disk.
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "max_connections": "200"}
_POOL = {"min_pool_size": 1, "max_pool_size": 10}


def pytest_report_header() -> list[str]:
    """Say at the start of a session what hides the library's packages: the first import of the store fails then."""
    told = hidden("projections")
    return [] if told is None else [f"eventstore: {told}"]


@pytest.fixture(scope="session")
def eventstore_server_config() -> Iterator[DatabaseConfig]:
    """The address of a PostgreSQL server for this session, with a database to log in to.

    Override it to use another, by its configuration or its URL.
    """
    from eventstore.database import DatabaseConfig  # noqa: PLC0415 - only where it is used
    from eventstore.database.embedded import EmbeddedServer  # noqa: PLC0415
    from eventstore.errors import ConfigurationError  # noqa: PLC0415

    url = os.environ.get(SERVER_URL_VARIABLE)
    if url:
        yield DatabaseConfig.from_url(url)
        return
    try:
        server = EmbeddedServer.start(settings=_SETTINGS)
    except ConfigurationError as error:
        pytest.fail(f"the fixture eventstore_server_config: {error}, or {SERVER_URL_VARIABLE}", pytrace=False)
    with server:
        yield server.config()


@pytest.fixture(scope="session")
def eventstore_template(eventstore_server_config: DatabaseConfig | str) -> Iterator[str]:
    """The name of a migrated, empty database that each test's own is a copy of."""
    from eventstore.database import DatabaseConfig  # noqa: PLC0415 - only where it is used

    server = DatabaseConfig.of(eventstore_server_config)  # an override may give a URL
    name = f"eventstore_template_{uuid4().hex}"
    _run(_create_database(server, name, template="template1"))
    try:
        _run(_migrate(server.replace(database=name)))
        yield name
    finally:
        _run(_drop_database(server, name))


@pytest.fixture
def eventstore_config(
    eventstore_server_config: DatabaseConfig | str, eventstore_template: str
) -> Iterator[DatabaseConfig]:
    """The configuration of a migrated, empty database that is this test's alone."""
    from eventstore.database import DatabaseConfig  # noqa: PLC0415 - only where it is used

    server = DatabaseConfig.of(eventstore_server_config)
    name = f"eventstore_test_{uuid4().hex}"
    _run(_create_database(server, name, template=eventstore_template))
    try:
        yield server.replace(database=name, **_POOL)
    finally:
        _run(_drop_database(server, name))


if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def eventstore_connection(eventstore_config: DatabaseConfig) -> AsyncIterator[DatabaseConnection]:
        """An open connection to a migrated, empty database that is this test's alone."""
        from eventstore.database import ConnectionFactory  # noqa: PLC0415 - only where it is used

        connection = await ConnectionFactory.create_connection(eventstore_config)
        yield connection
        await connection.close(timeout_s=5)

else:  # pragma: no cover - a test runs it in a process of its own

    @pytest.fixture
    def eventstore_connection() -> None:
        """Say what is missing."""
        pytest.fail(
            "the fixture eventstore_connection needs pytest-asyncio: pip install 'trading-eventstore[testing]'",
            pytrace=False,
        )


@pytest.fixture
def eventstore_unit_of_work_factory(
    eventstore_connection: DatabaseConnection,
) -> PostgreSQLUnitOfWorkFactory:
    """Makes Units of Work on a migrated, empty database that is this test's alone.

    No worker runs: reads are fresh without one, and the read tables themselves stay empty.
    """
    from eventstore.repositories import PostgreSQLUnitOfWorkFactory  # noqa: PLC0415 - only where it is used

    return PostgreSQLUnitOfWorkFactory(eventstore_connection, workers=False)


@pytest.fixture
def eventstore_memory_factory() -> InMemoryUnitOfWorkFactory:
    """Makes Units of Work in memory; its `database` has the events."""
    from eventstore.testing import InMemoryUnitOfWorkFactory  # noqa: PLC0415 - only where it is used

    return InMemoryUnitOfWorkFactory()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop and a thread of its own, so that no test's loop is touched."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _create_database(server: DatabaseConfig, name: str, *, template: str) -> None:
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


async def _drop_database(server: DatabaseConfig, name: str) -> None:
    await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server: DatabaseConfig, statement: str) -> None:
    from eventstore.database import ConnectionFactory, PostgreSQLAdapter  # noqa: PLC0415 - only where it is used

    connection = await ConnectionFactory.create_connection(server.replace(min_pool_size=1, max_pool_size=1))
    try:
        await PostgreSQLAdapter(connection).execute(statement)
    finally:
        await connection.close()


async def _migrate(config: DatabaseConfig) -> None:
    from eventstore.database import (  # noqa: PLC0415 - only where it is used
        ConnectionFactory,
        MigrationManager,
        PostgreSQLAdapter,
    )

    connection = await ConnectionFactory.create_connection(config.replace(**_POOL))
    try:
        manager = MigrationManager(PostgreSQLAdapter(connection))
        await manager.initialize()
        await manager.migrate_to_latest()
    finally:
        await connection.close()
