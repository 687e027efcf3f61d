"""Stores in schemas of the user's choice: several in one database, whatever the schemas are called."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from eventstore import ConnectionFactory, EventStore, Order, OrderSide
from eventstore.core.event import RecordedEvent
from eventstore.database import DatabaseConfig, PostgreSQLAdapter
from eventstore.domain.order import OrderCreated
from eventstore.errors import ConfigurationError, NotMigratedError
from eventstore.evidence import seal, verify
from eventstore.export import export_lines, import_lines
from eventstore.repositories import PostgreSQLOrderRepository
from projections import OrdersProjection, Projection, Table, run
from projections.check import check
from projections.fresh_rows import FreshRows
from projections.rebuild import rebuild
from tests.command_line import run as command

NAMES = (
    "desk",
    "Desk Two",
    'a "quoted" one',
    "it's \\ here",
    "{schema}",
    "ümläut",
    "x" * 63,
    "%s$1",
    "a$$b$body$ \\0041",
)


@dataclass(frozen=True)
class Count:
    """How many orders of a symbol there are."""

    symbol: str
    orders: int


class Counts(Projection[Count]):
    """A projection of a user's own."""

    name = "counts"
    table = Table("counts", row=Count, key=["symbol"])
    events = (OrderCreated,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        return (event.event.symbol,)  # type: ignore[attr-defined]

    def evolve(self, row: Count | None, event: RecordedEvent) -> Count:
        """One more."""
        return Count(event.event.symbol, 1 + (row.orders if row else 0))  # type: ignore[attr-defined]


def order(symbol: str = "ES") -> Order:
    return Order.create_market_order(symbol, Decimal(1), OrderSide.BUY)


async def save(store: EventStore, *orders: Order) -> int:
    async with store.unit_of_work() as uow:
        for each in orders:
            await uow.orders.save_order(each)
    assert uow.last_position is not None
    return uow.last_position


@pytest_asyncio.fixture(params=NAMES)
async def inside(
    request: pytest.FixtureRequest, database_config: DatabaseConfig
) -> AsyncIterator[EventStore]:
    """A store in a schema, beside relations of another program that have our names."""
    others = await ConnectionFactory.create_connection(database_config)
    for name in ("events", "orders", "projections"):
        await PostgreSQLAdapter(others).execute(f"CREATE TABLE public.{name} (nothing int)")
    async with EventStore.open(database_config.replace(schema=request.param), migrate=True) as store:
        yield store
    for name in ("events", "orders", "projections"):
        assert await PostgreSQLAdapter(others).fetch_value(f"SELECT count(*) FROM public.{name}") == 0
    await others.close()


async def test_a_store_works_in_any_schema(inside: EventStore):
    """Everything lies in the schema, and everything is found there: log, read tables, rebuild, evidence, the past."""
    mine = order()
    last = await save(inside, mine)
    await inside.wait_for(last)
    async with inside.unit_of_work() as uow:
        assert [each.id for each in await uow.orders.get_active_orders()] == [mine.id]
        loaded = await uow.orders.get_order_by_id(mine.id)
        assert loaded is not None
        loaded.submit("B-1")
        await uow.orders.update_order(loaded)
        await uow.flush()
        assert [each.id for each in await uow.orders.get_orders_by_symbol("ES")] == [mine.id]
    await inside.wait_for(await inside.log.head())
    assert (await rebuild(inside.log, OrdersProjection())).rows == 1
    await inside.state_snapshots.make()
    async with inside.as_of(recorded_at=datetime.now(UTC)) as past:
        assert [each.id for each in await past.orders.get_active_orders()] == [mine.id]
    await seal(inside.log)
    assert (await verify(inside.log)).finding is None
    assert (await check(inside.log, [OrdersProjection()])).is_sound
    assert [event.type async for event in inside.log.read_all()] == ["OrderCreated", "OrderSubmitted"]


async def test_a_projection_of_ones_own_lies_in_the_schema(inside: EventStore):
    """The statement that makes a table puts it where the store looks for it, and so for statements of the user's own."""
    async with inside.connection.acquire_for_user() as connection:
        await connection.execute(Counts.table.create())
        async with run(inside.connection, [Counts()]) as running:
            await running.wait_for(await save(inside, order("A"), order("A"), order("B")))
        assert await connection.fetchval("SELECT orders FROM counts WHERE symbol = 'A'") == 2
    assert await FreshRows(inside.log, Counts()).get("B") == Count("B", 1)
    assert (await rebuild(inside.log, Counts())).rows == 2


async def test_stores_of_one_database_share_nothing(database_config: DatabaseConfig):
    """Two stores have positions, streams, workers and read tables of their own; what one exports the other imports."""
    one_config, other_config = database_config.replace(schema="one"), database_config.replace(schema="other")
    async with EventStore.open(one_config, migrate=True) as one:
        async with EventStore.open(other_config, migrate=True) as other:
            assert [await save(one, order()) for _ in range(3)] == [1, 2, 3]
            assert await save(other, order("NQ")) == 1
            await one.wait_for(3)
            await other.wait_for(1)
            async with other.unit_of_work() as uow:
                assert [each.symbol for each in await uow.orders.get_active_orders()] == ["NQ"]
        file = io.BytesIO()
        await export_lines(one.log, file)
        async with EventStore.open(
            database_config.replace(schema="third"), migrate=True, workers=False
        ) as third:
            file.seek(0)
            await import_lines(third.log, file)
            assert await third.log.head() == 3
            assert await one.log.head() == 3


async def test_a_pool_of_the_users_own_has_the_schema_of_its_sessions(database_config: DatabaseConfig):
    """A repository on an asyncpg pool works in the first schema of the search path of each of its sessions."""
    import asyncpg

    async with EventStore.open(database_config.replace(schema="one"), migrate=True, workers=False) as store:
        async with asyncpg.create_pool(
            host=database_config.host,
            port=database_config.port,
            user=database_config.user,
            database=database_config.database,
            min_size=1,
            max_size=2,
            server_settings={"search_path": "one"},
        ) as pool:
            orders = PostgreSQLOrderRepository(PostgreSQLAdapter(pool))
            saved = await orders.save_order(order())
        assert [event.stream_id async for event in store.log.read_all()] == [saved.id]


async def test_a_temporary_table_hides_nothing(database_config: DatabaseConfig):
    """A table of the session's own with the name of one of ours is not written to and not read, even in a transaction of ours."""
    async with EventStore.open(database_config, migrate=True, workers=False) as store:
        adapter = PostgreSQLAdapter(store.connection)
        orders = PostgreSQLOrderRepository(adapter)
        async with adapter.transaction():
            await adapter.execute(
                "CREATE TEMP TABLE events (LIKE events); CREATE TEMP TABLE orders (LIKE orders)"
            )
            await adapter.execute("CREATE DOMAIN pg_temp.uuid AS text; CREATE DOMAIN pg_temp.jsonb AS text")
            await adapter.execute("CREATE SEQUENCE pg_temp.events_position_seq START 1000")
            saved = await orders.save_order(order())
            assert await orders.get_order_by_id(saved.id) is not None
            assert len(await orders.get_active_orders()) == 1
        async with store.unit_of_work() as uow:
            assert len(await uow.orders.get_active_orders()) == 1
        assert await store.log.head() == 1


async def test_a_schema_that_cannot_be_is_refused(database_config: DatabaseConfig):
    """One line says what a schema may be called, and what is wrong where none is found."""
    for name in ("", "x" * 64, "pg_mine", "information_schema", "a\nb", "a\0b"):
        with pytest.raises(ConfigurationError, match="DATABASE_SCHEMA"):
            database_config.replace(schema=name)
    with pytest.raises(NotMigratedError):
        async with EventStore.open(database_config.replace(schema="empty"), workers=False) as store:
            await save(store, order())
    admin = await ConnectionFactory.create_connection(database_config)
    name = database_config.database
    await PostgreSQLAdapter(admin).execute(f"ALTER DATABASE \"{name}\" SET search_path = ''")
    await admin.close()
    with pytest.raises(ConfigurationError, match=r"search_path .* set schema="):
        async with EventStore.open(database_config, migrate=True):
            pass
    async with EventStore.open(database_config.replace(schema="found"), migrate=True) as store:
        await store.wait_for(await save(store, order()))


def test_the_commands_take_a_schema(database_url: str):
    """`--schema`, `DATABASE_SCHEMA` and `?schema=` of a URL name the same store."""
    done = command("migrate", "--url", database_url, "--schema", "Desk Two")
    assert done.returncode == 0, done.stderr
    for arguments, env in (
        (("--url", database_url, "--schema", "Desk Two"), {}),
        (
            (
                "--url",
                f"{database_url}&schema=Desk%20Two"
                if "?" in database_url
                else f"{database_url}?schema=Desk%20Two",
            ),
            {},
        ),
        (("--url", database_url), {"DATABASE_SCHEMA": "Desk Two"}),
    ):
        done = command("status", *arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    refused = command("status", "--url", database_url)
    assert refused.returncode == 2
    assert "run `eventstore migrate`" in refused.stderr
