"""The databases that every test of the contract runs on."""

from __future__ import annotations

import pytest

from eventstore.store import EventStore
from tests.contract.databases import Database, MemoryDatabase, StoreDatabase


def _database(request: pytest.FixtureRequest) -> Database:
    if request.param == "memory":
        return MemoryDatabase()
    store: EventStore = request.getfixturevalue("store")
    return StoreDatabase(store, projected=request.param == "projected")


@pytest.fixture(params=["memory", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database: in memory, and on a server."""
    return _database(request)


@pytest.fixture(params=["memory", "postgresql", "projected"])
def tables(request: pytest.FixtureRequest) -> Database:
    """As `database`, and once more with read tables that `settle` brings up to date."""
    return _database(request)
