"""A relay before the server as a fixture, and a pool through it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore.database import ConnectionFactory
from tests.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig, DatabaseConnection


@pytest_asyncio.fixture
async def relay(migrated_config: DatabaseConfig) -> AsyncIterator[Relay]:
    """A relay to a fresh, migrated database on a socket."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with Relay(migrated_config) as opened:
        yield opened


@asynccontextmanager
async def connected(relay: Relay, **settings: Any) -> AsyncIterator[DatabaseConnection]:
    """A pool through the relay."""
    connection = await ConnectionFactory.create_connection(relay.config(**({"max_pool_size": 4} | settings)))
    try:
        yield connection
    finally:
        await connection.close(timeout_s=1)
