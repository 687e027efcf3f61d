"""A read that fails inside a flushed Unit of Work: nothing counts as saved that the log does not have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from eventstore.errors import TimeoutError
from tests.conftest import admin_connection
from tests.saved_orders import new_order, stored_versions
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore


@pytest_asyncio.fixture
async def admin(migrated_config: DatabaseConfig) -> AsyncIterator[asyncpg.Connection]:
    """A session that locks and looks."""
    connection = await admin_connection(migrated_config)
    yield connection
    await connection.close()


@pytest.mark.parametrize("staged_later", [0, 1])
@pytest.mark.parametrize("how", ["a limit of the program", "a limit of the server"])
async def test_a_commit_after_a_failed_read_sends_what_was_flushed_again(
    store: EventStore, admin: asyncpg.Connection, how: str, staged_later: int
):
    """The program goes on after a list took too long, and the server has rolled back: the commit sends all of it, once."""
    first, *later = (new_order() for _ in range(1 + staged_later))
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(first)
        await uow.flush()
        async with admin.transaction():
            await admin.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            if how == "a limit of the program":
                with pytest.raises(asyncio.TimeoutError):
                    async with asyncio.timeout(0.1):
                        await uow.orders.get_active_orders()
            else:
                reading = asyncio.ensure_future(uow.orders.get_active_orders())
                await until(lambda: _cancels_a_wait(admin))
                with pytest.raises(TimeoutError):
                    await reading
            await until(lambda: _has_aborted(admin))
        await uow.orders.save_many(later)
    assert [first.version, *(one.version for one in later)] == [1] * (1 + staged_later)
    assert await stored_versions(store, first.id, *(one.id for one in later)) == [1] * (1 + staged_later)


async def _cancels_a_wait(admin: asyncpg.Connection) -> bool:
    count: int = await admin.fetchval(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return count > 0


async def _has_aborted(admin: asyncpg.Connection) -> bool:
    await admin.execute("SELECT pg_stat_clear_snapshot()")  # it is in a transaction itself
    count: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction (aborted)'"
    )
    return count > 0
