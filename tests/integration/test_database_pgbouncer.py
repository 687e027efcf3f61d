"""Through a real PgBouncer in transaction mode: what changes, and that everything here works all the same."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from eventstore import EventStore, Order, OrderSide, errors
from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    DatabaseConnection,
    MigrationManager,
    PostgreSQLAdapter,
)
from eventstore.database.connecting import connect_arguments
from tests.cancelling import cancelled_at
from tests.pgbouncer import NOT_INSTALLED, PROGRAM, PgBouncer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=NOT_INSTALLED)


@pytest.fixture
def bouncer(database_config: DatabaseConfig) -> Iterator[PgBouncer]:
    """A pooler with two connections to a fresh, empty database."""
    with PgBouncer(database_config) as one:
        yield one


@pytest_asyncio.fixture
async def pooled(bouncer: PgBouncer) -> AsyncIterator[DatabaseConnection]:
    """Ours through it, with more connections than it has itself."""
    config = bouncer.config(min_pool_size=4, max_pool_size=8)
    async with await ConnectionFactory.create_connection(config) as connection:
        yield connection


async def test_connections_are_shared(pooled: DatabaseConnection):
    """Eight of ours run on two of the server: the test is what it says it is."""
    adapter = PostgreSQLAdapter(pooled)
    query = "SELECT pg_backend_pid() FROM pg_sleep(0.01)"
    pids = await asyncio.gather(*(adapter.fetch_value(query) for _ in range(40)))
    assert len(set(pids)) == 2
    assert pooled.statistics().size == 8


async def test_prepared_statements_would_fail(bouncer: PgBouncer):
    """With a cache of statements this pooler breaks, which is what `statement_cache_size` is for."""
    config = bouncer.config(min_pool_size=4, max_pool_size=8, statement_cache_size=100)
    async with await ConnectionFactory.create_connection(config) as connection:
        adapter = PostgreSQLAdapter(connection)

        async def use() -> None:
            for number in range(20):
                await adapter.fetch_value("SELECT $1::int FROM pg_sleep(0.001)", number)

        results = await asyncio.gather(*(use() for _ in range(8)), return_exceptions=True)
        failed = [result for result in results if isinstance(result, errors.RepositoryError)]
        assert failed
        assert all("set DATABASE_STATEMENT_CACHE_SIZE to 0" in str(error) for error in failed)


async def test_unknown_startup_parameters_would_be_refused(bouncer: PgBouncer):
    """So none is sent but `application_name`."""
    arguments = connect_arguments(bouncer.config())
    arguments["server_settings"] = {"statement_timeout": "1000"}
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(**arguments)


async def test_statements_and_transactions(pooled: DatabaseConnection):
    """Many adapters at once, each in its own transaction with a savepoint."""
    await PostgreSQLAdapter(pooled).execute("CREATE TABLE t (n int, i int)")

    async def insert_and_fail(adapter: PostgreSQLAdapter, number: int) -> None:
        async with adapter.savepoint():
            await adapter.execute("INSERT INTO t VALUES ($1, 99)", number)
            await adapter.execute("SELECT 1 / 0")

    async def use(number: int) -> None:
        adapter = PostgreSQLAdapter(pooled)
        async with adapter.transaction():
            await adapter.execute("INSERT INTO t VALUES ($1, 1)", number)
            with pytest.raises(errors.RepositoryError):
                await insert_and_fail(adapter, number)
            await adapter.execute_many("INSERT INTO t VALUES ($1, $2)", [[number, 2], [number, 3]])
        assert await adapter.fetch_value("SELECT sum(i) FROM t WHERE n = $1", number) == 6

    await asyncio.gather(*(use(number) for number in range(30)))


async def test_cancellation(pooled: DatabaseConnection):
    """A pooler passes the request on; nothing stays open on the server, nothing is lost here."""
    adapter = PostgreSQLAdapter(pooled)
    await adapter.execute("CREATE TABLE t (i int)")

    async def work() -> None:
        async with adapter.transaction():
            await adapter.execute("INSERT INTO t VALUES (1)")
            await adapter.execute("SELECT pg_sleep(0.001)")
            await adapter.execute("INSERT INTO t VALUES (2)")

    at = 1
    while True:
        _, suspended = await cancelled_at(at, work)
        assert not adapter.has_active_transaction
        assert await adapter.fetch_value("SELECT count(*) FROM t") in (0, 2)
        await adapter.execute("TRUNCATE t")
        if suspended < at:
            break
        at += 1
    assert pooled.statistics().in_use == 0
    with pytest.raises(errors.TimeoutError):
        await adapter.fetch_value("SELECT pg_sleep(30)", timeout_s=0.05)
    assert await adapter.fetch_value("SELECT 1") == 1


async def test_three_migrations_at_once(bouncer: PgBouncer, tmp_path: Path):
    """The lock ends with the transaction, so it is not left behind on a shared connection."""
    for number in range(1, 4):
        (tmp_path / f"000{number}_m.sql").write_text(
            f"-- migrate:up\nCREATE TABLE m{number} (); SELECT pg_sleep(0.02);\n"
            f"-- migrate:down\nDROP TABLE m{number};\n"
        )
    connections = [await ConnectionFactory.create_connection(bouncer.config()) for _ in range(3)]
    try:
        managers = [MigrationManager(PostgreSQLAdapter(one), directory=tmp_path) for one in connections]
        assert sum(await asyncio.gather(*(one.migrate_to_latest() for one in managers))) == 3
        await managers[0].ensure_current()
        locks = (
            "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid "
            "WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert await PostgreSQLAdapter(connections[0]).fetch_value(locks) == 0
    finally:
        for one in connections:
            await one.close()


async def test_the_librarys_own_migrations(pooled: DatabaseConnection):
    """Up, checked, and down again."""
    manager = MigrationManager(PostgreSQLAdapter(pooled))
    assert await manager.migrate_to_latest() > 0
    await manager.ensure_current()
    assert (await manager.get_status()).is_current
    assert await manager.migrate_to_version(0) > 0


async def test_health_and_info(pooled: DatabaseConnection, bouncer: PgBouncer):
    """They are the server's, through the pooler."""
    adapter = PostgreSQLAdapter(pooled)
    assert await adapter.health_check()
    info = await adapter.connection_info()
    assert info.database == bouncer.server.database
    assert int(info.server_version.split(".")[0]) >= 15


async def test_a_direct_connection_for_listening(bouncer: PgBouncer):
    """`direct_url` goes past the pooler, and LISTEN works there."""
    from tests.conftest import url_of

    config = bouncer.config(direct_url=url_of(bouncer.server))
    direct = config.direct()
    assert direct is not None
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with (
        await ConnectionFactory.create_connection(config) as through,
        await ConnectionFactory.create_connection(direct) as past,
        past.acquire_for_user() as listener,
    ):

        def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            heard.put_nowait(payload)

        await listener.add_listener("news", hear)
        await PostgreSQLAdapter(through).execute("SELECT pg_notify('news', 'hello')")
        async with asyncio.timeout(60):
            assert await heard.get() == "hello"
        await listener.remove_listener("news", hear)


async def test_a_schema_through_a_pooler(bouncer: PgBouncer):
    """PgBouncer refuses a search path at the start of a session: the store lies in its schema all the same."""
    config = bouncer.config(schema="desk", min_pool_size=1, max_pool_size=6)
    async with EventStore.open(config, migrate=True) as store:
        async with store.unit_of_work() as uow:
            order = await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
        await store.wait_for(await store.log.head())
        assert [event.stream_id async for event in store.log.read_all()] == [order.id]
        assert await PostgreSQLAdapter(store.connection).fetch_value("SELECT count(*) FROM desk.events") == 1
