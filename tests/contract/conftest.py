"""The databases that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from eventstore.database import DatabaseConfig
from eventstore.store import EventStore
from tests.contract.databases import Database, MemoryDatabase, StoreDatabase
from tests.pgbouncer import NOT_INSTALLED, PROGRAM, PgBouncer

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.server)
# With read tables that workers fold.
PROJECTED = pytest.param("projected", marks=pytest.mark.server)
# As `projected`, through a pooler in transaction mode.
POOLED = pytest.param(
    "pooled",
    marks=[pytest.mark.server, pytest.mark.full, pytest.mark.skipif(PROGRAM is None, reason=NOT_INSTALLED)],
)
# Where no Unit of Work shares a statement with another.
EACH_ALONE = pytest.param("each-alone", marks=[pytest.mark.server, pytest.mark.full])


@pytest_asyncio.fixture
async def lone_store(migrated_config: DatabaseConfig) -> AsyncIterator[EventStore]:
    """A store without group commit."""
    async with EventStore.open(migrated_config.replace(group_commit=False), workers=False) as store:
        yield store


@pytest_asyncio.fixture
async def pooled_store(migrated_config: DatabaseConfig) -> AsyncIterator[EventStore]:
    """A store behind PgBouncer: twice as many connections to it as it has to the server."""
    with PgBouncer(migrated_config, server_connections=5) as bouncer:
        config = bouncer.config(min_pool_size=1, max_pool_size=10)
        async with EventStore.open(config, workers=False) as store:
            yield store


def _database(request: pytest.FixtureRequest) -> Database:
    if request.param == "memory":
        return MemoryDatabase()
    fixture = {"pooled": "pooled_store", "each-alone": "lone_store"}.get(request.param, "store")
    store: EventStore = request.getfixturevalue(fixture)
    return StoreDatabase(store, projected=request.param in ("projected", "pooled"))


@pytest.fixture(params=["memory", POSTGRESQL, EACH_ALONE])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database: in memory, and on a server with group commit and without."""
    return _database(request)


@pytest.fixture(params=["memory", POSTGRESQL, PROJECTED, POOLED])
def tables(request: pytest.FixtureRequest) -> Database:
    """As `database`, once more with read tables that `catch_up` brings up to date, and in the full tier through a pooler."""
    return _database(request)
