"""Logging in as writer, reader and projector, and trying what each may and what it must not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.grants import grant
from eventstore.domain.order import Order, OrderSide
from eventstore.log.shared import log_of
from eventstore.replay.disorder import DisorderSearch
from eventstore.store import EventStore
from projections import OrdersProjection
from projections.check import check
from projections.rebuild import rebuild
from tests.conftest import admin_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INSERT_EVENT = """
    INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id,
                        category, type, data, metadata)
    VALUES (nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(),
            'order', 'X', '{}', '{}')
"""
READ_TABLES = ["orders", "positions", "portfolios", "portfolio_snapshots", "projection_checkpoints"]
KINDS = ["writer", "reader", "projector"]


class Roles:
    """Roles of the cluster, with names that need quoting, and a login as each.

    Args:
        config: The migrated database, as its owner.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.names: Any = {kind: f'the "{kind}" {uuid4().hex[:8]}' for kind in KINDS}

    @asynccontextmanager
    async def login(self, kind: str) -> AsyncIterator[PostgreSQLAdapter]:
        """An adapter logged in as one of the roles."""
        async with await ConnectionFactory.create_connection(self.login_config(kind)) as connection:
            yield PostgreSQLAdapter(connection)

    def login_config(self, kind: str) -> DatabaseConfig:
        """The configuration of one of the roles."""
        return self.config.replace(user=self.names[kind], password="r0le", min_pool_size=0, max_pool_size=8)


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


@pytest_asyncio.fixture
async def roles(database_config: DatabaseConfig) -> AsyncIterator[Roles]:
    """Three roles with their rights in a migrated database; dropped afterwards."""
    made = Roles(database_config)
    admin = await admin_connection(database_config)
    try:
        for name in made.names.values():
            await admin.execute(f"CREATE ROLE {quoted(name)} LOGIN PASSWORD 'r0le'")
        async with await ConnectionFactory.create_connection(database_config) as connection:
            adapter = PostgreSQLAdapter(connection)
            await MigrationManager(adapter).migrate_to_latest()
            await grant(adapter, **made.names)
        yield made
    finally:
        for name in made.names.values():
            await admin.execute(f"DROP OWNED BY {quoted(name)} CASCADE; DROP ROLE {quoted(name)}")
        await admin.close()


async def refused(adapter: PostgreSQLAdapter, statement: str) -> None:
    """A statement fails for want of a right, and for nothing else."""
    with pytest.raises(errors.RepositoryError) as caught:
        await adapter.execute(statement)
    assert caught.value.sqlstate == "42501", (statement, caught.value)


FORBIDDEN_TO_ALL = [
    "UPDATE events SET version = 2",
    "DELETE FROM events",
    "TRUNCATE events",
    "DROP TABLE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN x int",
    "DROP FUNCTION events_refuse_change() CASCADE",
    "SELECT setval('events_position_seq', 1)",
    "ALTER SEQUENCE events_position_seq RESTART",
    "DELETE FROM schema_migrations",
    "INSERT INTO schema_migrations VALUES (99, 'x', repeat('0', 64))",
    "CREATE ROLE another",
    "CREATE SCHEMA another",
]
WRITES_TO_READ_TABLES = [f"DELETE FROM {table}" for table in READ_TABLES] + [
    f"TRUNCATE {table}" for table in READ_TABLES
]


@pytest.mark.parametrize("kind", KINDS)
async def test_all_may_read_and_none_may_change_the_log(roles: Roles, kind: str):
    """Each can read every table and check that it is migrated; none can touch what was written."""
    async with roles.login(kind) as adapter:
        for table in ["events", "schema_migrations", *READ_TABLES]:
            await adapter.fetch_all(f"SELECT * FROM {table}")
        await MigrationManager(adapter).ensure_current()
        for statement in FORBIDDEN_TO_ALL:
            await refused(adapter, statement)


async def test_the_writer_appends_and_no_more(roles: Roles):
    """It draws positions and inserts events; the read side is not its own."""
    async with roles.login("writer") as adapter:
        await adapter.execute(INSERT_EVENT)
        assert await adapter.fetch_value("SELECT count(*) FROM events") == 1
        for statement in [*WRITES_TO_READ_TABLES, "CREATE TABLE t ()", "DROP TABLE orders"]:
            await refused(adapter, statement)


async def test_the_reader_only_reads(roles: Roles):
    """Not even a position may it draw."""
    async with roles.login("reader") as adapter:
        for statement in [
            INSERT_EVENT,
            "SELECT nextval('events_position_seq')",
            *WRITES_TO_READ_TABLES,
            "CREATE TABLE t ()",
            "DROP TABLE orders",
        ]:
            await refused(adapter, statement)


async def test_the_projector_owns_the_read_side_and_appends_nothing(roles: Roles):
    """It writes and replaces the read tables, and what it builds is readable for the others at once."""
    async with roles.login("projector") as adapter:
        for statement in [INSERT_EVENT, "SELECT nextval('events_position_seq')"]:
            await refused(adapter, statement)
        for statement in WRITES_TO_READ_TABLES:
            await adapter.execute(statement)
        await adapter.execute("INSERT INTO projection_checkpoints (projection) VALUES ('p')")
        await adapter.execute("UPDATE projection_checkpoints SET position = 7")
        await adapter.execute(
            "BEGIN; CREATE TABLE orders_new (LIKE orders INCLUDING ALL); ALTER TABLE orders RENAME TO orders_old;"
            "ALTER TABLE orders_new RENAME TO orders; DROP TABLE orders_old; COMMIT"
        )
    for kind in ("writer", "reader"):
        async with roles.login(kind) as adapter:
            assert await adapter.fetch_all("SELECT * FROM orders") == []
            await refused(adapter, "DELETE FROM orders")


async def test_the_whole_path_with_its_three_roles(roles: Roles):
    """An order is placed by the writer, folded by the projector's workers, and read by the reader."""
    order = Order.create_market_order("AAPL", Decimal(100), OrderSide.BUY)
    async with (
        EventStore.open(roles.login_config("writer"), workers=False) as writer,
        EventStore.open(roles.login_config("projector"), workers=True) as projector,
        EventStore.open(roles.login_config("reader"), workers=False) as reader,
    ):
        async with writer.unit_of_work() as unit_of_work:
            await unit_of_work.orders.save_order(order)
            order.submit("B-1")
            await unit_of_work.orders.update_order(order)
        assert unit_of_work.last_position is not None
        await projector.wait_for(unit_of_work.last_position)
        for store in (writer, reader):
            async with store.unit_of_work() as unit_of_work:
                (found,) = await unit_of_work.orders.get_active_orders()
                assert (found.id, found.broker_order_id) == (order.id, "B-1")
        assert await PostgreSQLAdapter(reader.connection).fetch_value("SELECT count(*) FROM orders") == 1
        # The past is read by all three; milestones are the projector's.
        position = await projector.milestones.make()
        await DisorderSearch(projector.log).run_through(position)
        for store in (writer, projector, reader):
            for when in ({"position": position}, {"occurred_at": order.submitted_at}):
                async with store.as_of(**when) as past:
                    assert await past.orders.get_active_orders() == [found]
        with pytest.raises(errors.RepositoryError):
            await reader.milestones.drop()


async def test_the_projector_rebuilds(roles: Roles):
    """It swaps a table for a new one that has the same rights: the reader reads on, the writer and the projector too."""
    order = Order.create_market_order("ES", Decimal(1), OrderSide.BUY)
    async with (
        EventStore.open(roles.login_config("writer"), workers=False) as store,
        store.unit_of_work() as uow,
    ):
        await uow.orders.save_order(order)
    statement = "SELECT relacl::text, pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'orders'::regclass"
    async with roles.login("projector") as adapter:
        rights = await adapter.fetch_all(statement)
        assert (await rebuild(log_of(adapter), OrdersProjection())).rows == 1
        assert await adapter.fetch_all(statement) == rights
    async with EventStore.open(roles.login_config("reader"), workers=False) as store:
        async with store.unit_of_work() as uow:
            assert await uow.orders.get_active_orders(consistency="eventual") == [order]
        assert (await check(store.log, [OrdersProjection()])).is_sound


async def test_granting_twice(roles: Roles):
    """It says what it did, and may be repeated after a migration."""
    async with await ConnectionFactory.create_connection(roles.config) as connection:
        first = await grant(PostgreSQLAdapter(connection), **roles.names)
        second = await grant(PostgreSQLAdapter(connection), **roles.names)
    assert first == second
    assert any("GRANT INSERT ON public.events TO " in statement for statement in first)


async def test_one_role_alone(roles: Roles):
    """The others are left as they are."""
    async with await ConnectionFactory.create_connection(roles.config) as connection:
        statements = await grant(PostgreSQLAdapter(connection), reader=roles.names["reader"])
    assert statements
    assert all(quoted(roles.names["reader"]) in statement for statement in statements)
    assert not any("INSERT" in statement or "OWNER" in statement for statement in statements)


async def test_what_is_refused(database_config: DatabaseConfig):
    """No role, an unknown role, a database without tables: one line each, and nothing is done."""
    async with await ConnectionFactory.create_connection(database_config) as connection:
        adapter = PostgreSQLAdapter(connection)
        with pytest.raises(errors.ConfigurationError, match="at least one role"):
            await grant(adapter)
        with pytest.raises(errors.ConfigurationError, match=r"no role no_such_role.*CREATE ROLE"):
            await grant(adapter, writer="no_such_role")
        with pytest.raises(errors.NotMigratedError, match="eventstore migrate"):
            await grant(adapter, writer=database_config.user)


async def test_an_owner_without_special_rights_migrates(database_config: DatabaseConfig):
    """Up, and down again over empty tables, though nobody may change events: no superuser is needed."""
    name = f"owner_{uuid4().hex[:8]}"
    admin = await admin_connection(database_config)
    try:
        await admin.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'r0le'; GRANT CREATE ON SCHEMA public TO {name}"
        )
        config: Any = database_config.replace(user=name, password="r0le")
        async with await ConnectionFactory.create_connection(config) as connection:
            adapter = PostgreSQLAdapter(connection)
            manager = MigrationManager(adapter)
            count = await manager.migrate_to_latest()
            await adapter.execute(INSERT_EVENT)
            with pytest.raises(errors.MigrationError, match="would drop the rows of events"):
                await manager.migrate_to_version(0)
        await admin.execute("ALTER TABLE events DISABLE TRIGGER ALL; DELETE FROM events")
        async with await ConnectionFactory.create_connection(config) as connection:
            assert await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_version(0) == count
    finally:
        await admin.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")
        await admin.close()
