"""What tests of a pool have in common."""

from __future__ import annotations

import asyncio
from typing import Any

from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from tests.conftest import admin_connection
from tests.waiting import until


async def sessions(config: DatabaseConfig) -> list[dict[str, Any]]:
    """What the server says of the connections to a database."""
    admin = await admin_connection(config.replace(database="postgres"))
    try:
        rows = await admin.fetch(
            "SELECT pid, state, xact_start FROM pg_stat_activity WHERE datname = $1", config.database
        )
        return [dict(row) for row in rows]
    finally:
        await admin.close()


async def terminate_all(config: DatabaseConfig) -> None:
    """End all connections to a database, as an administrator would."""
    admin = await admin_connection(config.replace(database="postgres"))
    try:
        await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", config.database
        )
    finally:
        await admin.close()


async def opened(config: DatabaseConfig, **changes: Any) -> DatabaseConnection:
    """An open pool with other limits."""
    return await ConnectionFactory.create_connection(config.replace(**changes))


async def assert_whole(connection: DatabaseConnection) -> None:
    """Every connection of the pool can be had at the same time, and none is in a transaction."""
    size = connection.config.max_pool_size
    barrier = asyncio.Barrier(size)

    async def use() -> None:
        async with connection.acquire(timeout_s=10) as one:
            assert not one.is_in_transaction()
            await barrier.wait()
            assert await one.fetchval("SELECT 1") == 1

    await asyncio.gather(*(use() for _ in range(size)))
    # A wake-up of other processes may borrow one for a moment.
    await until(
        lambda: (connection.statistics().in_use, connection.statistics().waiting) == (0, 0), limit_s=10
    )


async def prepare_table(connection: DatabaseConnection) -> None:
    """Make the table `t (i int)`."""
    async with connection.acquire() as one:
        await one.execute("CREATE TABLE t (i int)")


async def use(connection: DatabaseConnection) -> int:
    """Borrow a connection for one statement."""
    async with connection.acquire() as one:
        value: int = await one.fetchval("SELECT 1")
        return value
