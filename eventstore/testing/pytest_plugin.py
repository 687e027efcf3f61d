"""Fixtures for tests of code that uses this library; pytest finds them by the entry point `eventstore`.

    eventstore_server_config          session    the address of a PostgreSQL: an embedded one, or the environment's
    eventstore_config                 test       the address of a migrated, empty database
    eventstore_connection             test       an open `DatabaseConnection` to it
    eventstore_unit_of_work_factory   test       creates Units of Work on it
    eventstore_memory_factory         test       creates Units of Work in memory

Nothing starts before a test uses it. The first database of a session is migrated, and the others are
copies of it. A copy whose definitions a test has not changed is emptied and used again, which takes some
10 ms. `EVENTSTORE_TEST_DATABASE_URL` names a server to use instead of the embedded one; its user must be
allowed to create databases. If pytest-xdist runs several processes, each has its own server.

It needs the extra `testing`. A test that needs a missing package fails and says what to install.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from eventstore.installation import hidden

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig, DatabaseConnection
    from eventstore.repositories import PostgreSQLUnitOfWorkFactory
    from eventstore.testing import InMemoryUnitOfWorkFactory
    from eventstore.testing.databases import TestDatabases

SERVER_URL_VARIABLE = "EVENTSTORE_TEST_DATABASE_URL"
"""The environment variable that names a server to use instead of the embedded one."""

TEST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}
"""Test data need not survive a crash of the machine, so the server does not wait for the disk."""


def pytest_report_header() -> list[str]:
    """Report at the start of a session a module that hides the library's packages and breaks their import."""
    told = hidden("projections")
    return [] if told is None else [f"eventstore: {told}"]


@pytest.fixture(scope="session")
def eventstore_server_config() -> Iterator[DatabaseConfig]:
    """The address of a PostgreSQL server for this session, with a database to log in to.

    Override it to use another server; return its configuration or its URL.
    """
    from eventstore.database import DatabaseConfig  # noqa: PLC0415 - only where it is used
    from eventstore.database.embedded import EmbeddedServer  # noqa: PLC0415
    from eventstore.errors import ConfigurationError  # noqa: PLC0415

    url = os.environ.get(SERVER_URL_VARIABLE)
    if url:
        yield DatabaseConfig.from_url(url)
        return
    try:
        server = EmbeddedServer.start(settings=TEST_SETTINGS)
    except ConfigurationError as error:
        pytest.fail(f"the fixture eventstore_server_config: {error}, or {SERVER_URL_VARIABLE}", pytrace=False)
    with server:
        yield server.config()


@pytest.fixture(scope="session")
def eventstore_databases(eventstore_server_config: DatabaseConfig | str) -> Iterator[TestDatabases]:
    """Creates the databases of this session, and drops them at its end."""
    from eventstore.database import DatabaseConfig  # noqa: PLC0415 - only where it is used
    from eventstore.testing.databases import TestDatabases, run_in_thread  # noqa: PLC0415

    databases = TestDatabases(DatabaseConfig.of(eventstore_server_config))  # an override may give a URL
    yield databases
    run_in_thread(databases.close())


@pytest.fixture
def eventstore_config(eventstore_databases: TestDatabases) -> Iterator[DatabaseConfig]:
    """The configuration of a migrated, empty database that only this test uses."""
    from eventstore.testing.databases import run_in_thread  # noqa: PLC0415 - only where it is used

    name = run_in_thread(eventstore_databases.take())
    yield eventstore_databases.config(name)
    run_in_thread(eventstore_databases.give_back(name))


if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def eventstore_connection(eventstore_config: DatabaseConfig) -> AsyncIterator[DatabaseConnection]:
        """An open connection to a migrated, empty database that only this test uses."""
        from eventstore.database import ConnectionFactory  # noqa: PLC0415 - only where it is used

        connection = await ConnectionFactory.create_connection(eventstore_config)
        yield connection
        await connection.close(timeout_s=5)

else:  # pragma: no cover - a test runs it in a separate process

    @pytest.fixture
    def eventstore_connection() -> None:
        """Fail and name the missing package."""
        pytest.fail(
            "the fixture eventstore_connection needs pytest-asyncio: pip install 'trading-eventstore[testing]'",
            pytrace=False,
        )


@pytest.fixture
def eventstore_unit_of_work_factory(
    eventstore_connection: DatabaseConnection,
) -> PostgreSQLUnitOfWorkFactory:
    """Creates Units of Work on a migrated, empty database that only this test uses.

    No worker runs: reads are fresh without one, and the read tables stay empty.
    """
    from eventstore.repositories import PostgreSQLUnitOfWorkFactory  # noqa: PLC0415 - only where it is used

    return PostgreSQLUnitOfWorkFactory(eventstore_connection, workers=False)


@pytest.fixture
def eventstore_memory_factory() -> InMemoryUnitOfWorkFactory:
    """Creates Units of Work in memory; its `database` has the events."""
    from eventstore.testing import InMemoryUnitOfWorkFactory  # noqa: PLC0415 - only where it is used

    return InMemoryUnitOfWorkFactory()
