"""A PostgreSQL for the tests, a fresh database for each test, and a connection to it.

`TEST_DATABASE_URL` names a server to use instead of the embedded one; its user must be allowed to create
databases and roles.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from eventstore.database.connecting import connect_arguments
from eventstore.database.embedded import EmbeddedServer
from eventstore.log import EventLog
from eventstore.store import EventStore
from tests.migrated import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
    from contextlib import AbstractAsyncContextManager

    DatabaseMaker = Callable[..., AbstractAsyncContextManager[DatabaseConfig]]

TEST_SETTINGS = {"max_connections": "200", "fsync": "off", "shared_buffers": "64MB"}
"""Nothing of a test outlives the machine, so its server need not wait for the disk."""


@pytest.fixture(scope="session")
def server_config() -> Iterator[DatabaseConfig]:
    """The address of the server of this test process, database `postgres`."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        yield DatabaseConfig.from_url(url)
        return
    with EmbeddedServer.start(settings=TEST_SETTINGS) as server:
        yield server.config()


async def admin_connection(config: DatabaseConfig) -> asyncpg.Connection:
    """A connection outside any pool, to create and drop databases with."""
    return await asyncpg.connect(**connect_arguments(config))


@pytest.fixture
def make_database(server_config: DatabaseConfig) -> DatabaseMaker:
    """Make databases, each dropped at the end of its `async with make_database(template) as config`."""  # noqa: D402

    @asynccontextmanager
    async def make(template: str = "template1") -> AsyncIterator[DatabaseConfig]:
        name = f"test_{uuid4().hex}"
        admin = await admin_connection(server_config)
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            try:
                yield server_config.replace(database=name, min_pool_size=1, max_pool_size=10)
            finally:
                await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        finally:
            await admin.close()

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
def migrated_template(server_config: DatabaseConfig) -> Iterator[str]:
    """The name of a migrated database, made once for each test process, to copy others from."""
    name = f"template_{uuid4().hex}"
    in_new_loop(_create_migrated(server_config, name))
    yield name
    in_new_loop(_drop(server_config, name))


def in_new_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in an event loop of its own, whatever this thread's loop does."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _create_migrated(server: DatabaseConfig, name: str) -> None:
    admin = await admin_connection(server)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()
    await migrate(url_of(server.replace(database=name)))


async def _drop(server: DatabaseConfig, name: str) -> None:
    admin = await admin_connection(server)
    try:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest_asyncio.fixture
async def migrated_config(
    make_database: DatabaseMaker, migrated_template: str
) -> AsyncIterator[DatabaseConfig]:
    """The configuration of a fresh, migrated database."""
    async with make_database(migrated_template) as config:
        yield config


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
