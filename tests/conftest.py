"""A PostgreSQL for the tests, a fresh database for each test, and a connection to it.

`TEST_DATABASE_URL` names a server to use instead of the embedded one; its user must be allowed to create
databases and roles.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from eventstore.database.connecting import connect_arguments
from eventstore.database.embedded import EmbeddedServer
from eventstore.log import EventLog
from eventstore.store import EventStore
from eventstore.testing.databases import TestDatabases, run_in_thread
from eventstore.testing.pytest_plugin import TEST_SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from contextlib import AbstractAsyncContextManager

    DatabaseMaker = Callable[..., AbstractAsyncContextManager[DatabaseConfig]]

MEMORY = Path(os.sep, "dev", "shm")
"""A folder in memory, where the system has one: a database is made there ten times as fast as on some disks."""
MEMORY_BYTES_MIN = 4 * 2**30
# Commits are waited for: the store has that as a precondition, and without fsync it costs nothing.
SETTINGS = TEST_SETTINGS | {"synchronous_commit": "on", "shared_buffers": "64MB", "max_wal_size": "256MB"}


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGINT interrupt, and put all temporary files into memory unless TMPDIR says where they are to be.

    A shell without job control starts background commands with SIGINT ignored, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput") or "TMPDIR" in os.environ or not _has_memory():
        return
    folder = Path(tempfile.mkdtemp(prefix="eventstore-tests-", dir=MEMORY))
    folder.chmod(0o1777)  # as the one that it stands for: servers run as another user
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server by what they ask for; where a parameter says so, it is marked itself."""
    for item in items:
        if "server_config" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.server)


def _has_memory() -> bool:
    try:
        return shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN and os.access(MEMORY, os.W_OK | os.X_OK)
    except OSError:
        return False


@pytest.fixture(scope="session")
def server_config() -> Iterator[DatabaseConfig]:
    """The address of the server of this test process, database `postgres`."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        yield DatabaseConfig.from_url(url)
        return
    with EmbeddedServer.start(settings=SETTINGS) as server:
        yield server.config()


@pytest.fixture(scope="session")
def eventstore_server_config(server_config: DatabaseConfig) -> DatabaseConfig:
    """The library's own fixtures use the server of this test process."""
    return server_config


async def admin_connection(config: DatabaseConfig) -> asyncpg.Connection:
    """A connection outside any pool, to create and drop databases with."""
    return await asyncpg.connect(**connect_arguments(config))


@pytest.fixture
def make_database(eventstore_databases: TestDatabases) -> DatabaseMaker:
    """Make databases, as in `async with make_database() as config`: empty ones, or migrated ones from a template."""  # noqa: D402

    def make(template: str | None = None) -> AbstractAsyncContextManager[DatabaseConfig]:
        return eventstore_databases.create() if template is None else eventstore_databases.migrated()

    return make


@pytest_asyncio.fixture
async def database_config(make_database: DatabaseMaker) -> AsyncIterator[DatabaseConfig]:
    """The configuration of a fresh, empty database."""
    async with make_database() as config:
        yield config


@pytest.fixture
def database_url(database_config: DatabaseConfig) -> str:
    """The URL of a fresh, empty database."""
    return url_of(database_config)


def url_of(config: DatabaseConfig) -> str:
    """Return the URL of a configuration, with its password."""
    from urllib.parse import quote

    password = config.password.get_secret_value() if config.password else ""
    login = f"{quote(config.user, safe='')}:{quote(password, safe='')}"
    return (
        f"postgresql://{login}@/{quote(config.database, safe='')}"
        f"?host={quote(config.host, safe='')}&port={config.port}&sslmode={config.ssl_mode}"
    )


@pytest_asyncio.fixture
async def connection(database_config: DatabaseConfig) -> AsyncIterator[DatabaseConnection]:
    """An open pool on a fresh, empty database."""
    opened = await ConnectionFactory.create_connection(database_config)
    yield opened
    await opened.close(timeout_s=5)


@pytest.fixture(scope="session")
def migrated_template(eventstore_databases: TestDatabases) -> str:
    """The name of a migrated database, made once for each test process, to copy others from."""
    return run_in_thread(eventstore_databases.template())


@pytest.fixture
def migrated_config(eventstore_config: DatabaseConfig) -> DatabaseConfig:
    """The configuration of a fresh, migrated database."""
    return eventstore_config


@pytest_asyncio.fixture
async def store(migrated_config: DatabaseConfig) -> AsyncIterator[EventStore]:
    """A store on a fresh database; no worker runs."""
    async with EventStore.open(migrated_config, workers=False) as opened:
        yield opened


@pytest_asyncio.fixture(params=[True, False], ids=["group-commit", "each-alone"])
async def log(migrated_config: DatabaseConfig, request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    """A log on a fresh database, with group commit and without."""
    opened = await ConnectionFactory.create_connection(migrated_config)
    yield EventLog(opened, group_commit=request.param)
    await opened.close(timeout_s=5)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports travel between processes that hold what no UTF-8 can: texts of tests may have lone surrogates."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
