"""Several tasks use one flushed Unit of Work, or leave it to end while one of them still uses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from eventstore.errors import TransactionError
from tests.conftest import admin_connection
from tests.saved_orders import new_order, saved, stored_versions
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

OPEN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND state ~ 'in transaction'"
)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest_asyncio.fixture
async def admin(migrated_config: DatabaseConfig) -> AsyncIterator[asyncpg.Connection]:
    """A session that locks and looks."""
    connection = await admin_connection(migrated_config)
    yield connection
    await connection.close()


async def _when_one_waits(admin: asyncpg.Connection) -> None:
    async def waits() -> bool:
        await admin.execute("SELECT pg_stat_clear_snapshot()")
        return bool(await admin.fetchval(WAITING))

    await until(waits)


async def _check_nothing_is_open(store: EventStore, admin: asyncpg.Connection) -> None:
    assert await admin.fetchval(OPEN) == 0

    async def all_are_free() -> bool:  # a wake-up of other processes follows a commit
        return store.connection.statistics().in_use == 0

    await until(all_are_free)


async def test_reads_of_several_tasks_take_turns(store: EventStore):
    """After a flush all reads use one connection, which runs one statement at a time."""
    other, order = new_order("a"), new_order("b")
    await saved(store, other)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.flush()
        found = await asyncio.gather(
            uow.orders.get_order_by_id(other.id),
            uow.orders.get_orders_by_symbol("a"),
            uow.orders.get_order_by_id(order.id),
            uow.orders.get_order_by_id(other.id),
        )
        assert list(found) == [other, [other], order, other]
    assert await stored_versions(store, order.id) == [1]


@pytest.mark.parametrize("what", ["a read", "a flush", "a commit"])
async def test_the_error_of_a_block_is_raised_while_another_task_uses_it(
    store: EventStore, admin: asyncpg.Connection, what: str
):
    """`gather` raises the first error at once, and leaves the others running: the block waits for them, and rolls back."""
    order, later = new_order("a"), new_order("b")

    async def fail() -> None:
        await _when_one_waits(admin)
        asyncio.get_running_loop().call_later(0.1, free.set)
        raise ZeroDivisionError

    async def work() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            if what == "a read":
                await uow.flush()
                await asyncio.gather(uow.orders.get_active_orders(), fail())
            await asyncio.gather(uow.flush() if what == "a flush" else uow.commit(), fail())

    free = asyncio.Event()
    await admin.execute("BEGIN")
    table = "orders" if what == "a read" else "events"
    await admin.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    working = asyncio.ensure_future(work())
    await free.wait()
    await admin.execute("ROLLBACK")
    with pytest.raises(ZeroDivisionError):
        await working
    await _check_nothing_is_open(store, admin)
    committed = int(what == "a commit")
    assert (order.version, await stored_versions(store, order.id)) == (committed, [committed])
    await saved(store, order, later)
    assert await stored_versions(store, order.id, later.id) == [1, 1]


async def test_a_cancelled_block_waits_for_the_task_that_flushes(
    store: EventStore, admin: asyncpg.Connection
):
    """The cancellation is raised, and nothing stays open."""
    order = new_order("a")
    flushing: list[asyncio.Future[None]] = []

    async def work() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            flushing.append(asyncio.ensure_future(uow.flush()))
            await asyncio.Event().wait()

    await admin.execute("BEGIN")
    await admin.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    working = asyncio.ensure_future(work())
    await _when_one_waits(admin)
    working.cancel("enough")
    await asyncio.sleep(0)
    await admin.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await working
    await asyncio.wait(flushing)
    await _check_nothing_is_open(store, admin)
    assert (order.version, await stored_versions(store, order.id)) == (0, [0])


async def test_a_block_that_ends_while_another_task_flushes_commits_nothing(
    store: EventStore, admin: asyncpg.Connection
):
    """A task that was not awaited still sends: the end of the block says so, and rolls back when it has sent."""
    order = new_order("a")

    async def work() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            flushing = asyncio.ensure_future(uow.flush())
            await _when_one_waits(admin)
            flushing.add_done_callback(lambda _: None)
            asyncio.get_running_loop().call_later(0.1, free.set)

    free = asyncio.Event()
    await admin.execute("BEGIN")
    await admin.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    working = asyncio.ensure_future(work())
    await free.wait()
    await admin.execute("ROLLBACK")
    with pytest.raises(TransactionError, match="another task"):
        await working
    await _check_nothing_is_open(store, admin)
    assert (order.version, await stored_versions(store, order.id)) == (0, [0])
