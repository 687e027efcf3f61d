"""The databases that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from eventstore.database import DatabaseConfig
from eventstore.store import EventStore
from tests.contract.databases import Database, MemoryDatabase, StoreDatabase
from tests.pgbouncer import NOT_INSTALLED, PROGRAM, PgBouncer

# Through a pooler in transaction mode, with read tables that workers fold through it too.
POOLED = pytest.param("pooled", marks=pytest.mark.skipif(PROGRAM is None, reason=NOT_INSTALLED))


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
    store: EventStore = request.getfixturevalue("pooled_store" if request.param == "pooled" else "store")
    return StoreDatabase(store, projected=request.param != "postgresql")


@pytest.fixture(params=["memory", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database: in memory, and on a server."""
    return _database(request)


@pytest.fixture(params=["memory", "postgresql", "projected", POOLED])
def tables(request: pytest.FixtureRequest) -> Database:
    """As `database`, once more with read tables that `settle` brings up to date, and that through a pooler."""
    return _database(request)
