"""Logging in as each of the roles, and trying what each may and what it must not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.connecting import connect_arguments
from eventstore.database.grants import PARTS, PROJECTED, Granted, grant
from eventstore.database.migration_files import load_migrations, packaged_directory
from eventstore.domain.order import Order, OrderSide
from eventstore.log import StreamAppend
from eventstore.sql import quoted
from eventstore.store import EventStore
from projections import OrdersProjection
from projections.check import check
from projections.engine.partitions import ensure_partitions
from projections.rebuild import rebuild
from tests.conftest import admin_connection

KINDS = (*PARTS, "stranger")
SCHEMA = "trading floor"


class Roles:
    """The owner of a store and a role for each part, with names that need quoting, and a login as each.

    Args:
        config: The migrated database, as its administrator.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.names: Any = {kind: f'the "{kind}" {uuid4().hex[:8]}' for kind in (*KINDS, "owner")}

    @property
    def parts(self) -> dict[str, Any]:
        """The arguments of `grant`."""
        return {part: self.names[part] for part in PARTS}

    def login_config(self, kind: str) -> DatabaseConfig:
        """The configuration of one of the roles."""
        return self.config.replace(user=self.names[kind], password="r0le", min_pool_size=0, max_pool_size=8)

    @asynccontextmanager
    async def login(self, kind: str) -> AsyncIterator[asyncpg.Connection]:
        """A session of one of the roles, outside of the library."""
        config = self.login_config(kind)
        connection = await asyncpg.connect(
            **connect_arguments(config) | {"server_settings": {"search_path": f'"{config.schema}", public'}}
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def grant(self, **arguments: Any) -> Granted:
        """Give rights as the owner."""
        async with await ConnectionFactory.create_connection(self.login_config("owner")) as connection:
            return await grant(PostgreSQLAdapter(connection), **arguments)


@pytest_asyncio.fixture
async def roles(database_config: DatabaseConfig) -> AsyncIterator[Roles]:
    """A store in a schema of its own, whose owner has no other rights, and roles with theirs; dropped afterwards."""
    made = Roles(database_config.replace(schema=SCHEMA))
    admin = await admin_connection(database_config)
    try:
        for name in made.names.values():
            await admin.execute(f"CREATE ROLE {quoted(name)} LOGIN PASSWORD 'r0le'")
        await admin.execute(f'CREATE SCHEMA "{SCHEMA}" AUTHORIZATION {quoted(made.names["owner"])}')
        async with await ConnectionFactory.create_connection(made.login_config("owner")) as connection:
            adapter = PostgreSQLAdapter(connection)
            await MigrationManager(adapter).migrate_to_latest()
            granted = await grant(adapter, **made.parts)
        assert granted.is_as_intended, granted
        yield made
    finally:
        for name in made.names.values():
            await admin.execute(f"DROP OWNED BY {quoted(name)} CASCADE; DROP ROLE {quoted(name)}")
        await admin.close()


def tables() -> list[str]:
    """The tables of the library's migrations."""
    made = {name for one in load_migrations(packaged_directory()) for name in one.creates}
    others = {
        "events_position_seq", "events_refuse_change", "append_event", "append_events", "lock_event_log", "order_side",
        "event_seals_follow", "projection_position_is_assigned",
        "order_type", "order_status", "time_in_force", "projection_is_of_version",
    }  # fmt: skip
    return [*sorted(made - others), "schema_migrations"]


# ---- what each may -----------------------------------------------------------------------------------------------

ALL: set[str] = {*PARTS}
NONE: set[str] = set()
WRITER, PROJECTOR, SEALER, IMPORTER = {"writer"}, {"projector"}, {"sealer"}, {"importer"}

EVENT = """(position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data, metadata)
    VALUES (1, now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'order', 'X', '{}', '{}')"""
FUNCTION = "append_event(uuid, integer, uuid, text, text, smallint, text, text, timestamptz, text)"
APPEND = "SELECT append_event(gen_random_uuid(), 1, gen_random_uuid(), 'order', 'X', 1::smallint, '{}', '{}', now(), NULL)"


def of_a_table(table: str) -> Iterable[tuple[str, set[str]]]:
    """Yield statements about a table and who may run each."""
    yield f"SELECT * FROM {table}", ALL
    yield f"LOCK TABLE {table} IN ACCESS SHARE MODE", ALL
    if table not in ("events", "event_seals"):
        writers = PROJECTOR if table in PROJECTED else NONE
        yield f"DELETE FROM {table}", writers
        yield f"INSERT INTO {table} SELECT * FROM {table} WHERE false", writers
        yield f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE", writers
    for owners in (
        "TRUNCATE {}",
        "DROP TABLE {} CASCADE",
        "ALTER TABLE {} ADD COLUMN x int",
        "ALTER TABLE {} RENAME TO other",
        "ALTER TABLE {} OWNER TO CURRENT_USER",
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO {} DO INSTEAD NOTHING",
        "CREATE POLICY p ON {}",
        "CREATE INDEX ON {} ((1))",
        "COMMENT ON TABLE {} IS 'mine'",
        "CREATE TABLE pg_temp.child () INHERITS ({})",
    ):
        yield owners.format(table), NONE


def of_the_log() -> Iterable[tuple[str, set[str]]]:
    """Yield statements about the log, the engine and the sequence, and who may run each."""
    yield f"INSERT INTO events {EVENT}", IMPORTER
    yield "UPDATE events SET version = 2", NONE
    yield "UPDATE events SET data = '{}' WHERE false", NONE
    yield "DELETE FROM events", NONE
    yield "INSERT INTO event_seals SELECT * FROM event_seals WHERE false", SEALER | IMPORTER
    yield "UPDATE event_seals SET events = 2", NONE
    yield "DELETE FROM event_seals", NONE
    yield "LOCK TABLE events IN ROW EXCLUSIVE MODE", IMPORTER
    for mode in ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"):
        yield f"LOCK TABLE events IN {mode} MODE", NONE
        yield f"LOCK TABLE schema_migrations IN {mode} MODE", NONE
    yield APPEND, WRITER
    yield "SELECT append_events('[]', NULL)", WRITER
    yield "SELECT lock_event_log()", IMPORTER
    yield "SELECT last_value FROM events_position_seq", ALL
    yield "SELECT nextval('events_position_seq')", IMPORTER
    yield "SELECT setval('events_position_seq', 9)", IMPORTER
    yield "ALTER SEQUENCE events_position_seq RESTART", NONE
    yield "DROP SEQUENCE events_position_seq CASCADE", NONE
    yield "SELECT FROM projection_checkpoints FOR UPDATE", PROJECTOR
    yield "SELECT FROM projection_checkpoints FOR KEY SHARE", PROJECTOR
    yield "SELECT FROM schema_migrations FOR SHARE", NONE
    yield "SELECT FROM events FOR KEY SHARE", NONE
    yield "COPY orders FROM STDIN", PROJECTOR


def of_the_schema() -> Iterable[tuple[str, set[str]]]:
    """Yield statements that make, replace or drop something, which only the owner may."""
    for statement in (
        "DROP FUNCTION events_refuse_change() CASCADE",
        f"DROP FUNCTION {FUNCTION}",
        f"ALTER FUNCTION {FUNCTION} SECURITY INVOKER",
        f"ALTER FUNCTION {FUNCTION} SET search_path = public",
        f"ALTER FUNCTION {FUNCTION} OWNER TO CURRENT_USER",
        "CREATE OR REPLACE FUNCTION lock_event_log() RETURNS void LANGUAGE sql AS 'SELECT'",
        "CREATE FUNCTION append_events(text, name) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE mine ()",
        "CREATE TABLE orders__rebuild ()",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE MATERIALIZED VIEW mine AS SELECT 1",
        "CREATE SEQUENCE mine",
        "CREATE TYPE mine AS ENUM ()",
        "CREATE DOMAIN mine AS int",
        "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
        "CREATE AGGREGATE mine (int) (SFUNC = int4pl, STYPE = int)",
        'CREATE COLLATION mine FROM "C"',
        f"CREATE FUNCTION \"{SCHEMA}\".now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
        "CREATE TABLE public.mine ()",
        f'ALTER SCHEMA "{SCHEMA}" RENAME TO other',
        f'ALTER SCHEMA "{SCHEMA}" OWNER TO CURRENT_USER',
        f'DROP SCHEMA "{SCHEMA}" CASCADE',
        "DROP TYPE order_status CASCADE",
        "ALTER TYPE order_status ADD VALUE 'LOST'",
        "CREATE SCHEMA another",
        "CREATE ROLE another",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "SET session_replication_role = replica",
        "SET ROLE {owner}",
        "CREATE PUBLICATION p FOR TABLE events",
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION events_refuse_change()",
    ):
        yield statement, NONE


# Who may not look into the schema is told that nothing of the name exists.
DENIED: dict[str, tuple[str, ...]] = dict.fromkeys(PARTS, ("42501",))
DENIED["stranger"] = ("42501", "42P01", "42883", "42704")
STATEMENTS = [
    *(one for table in tables() for one in of_a_table(table)),
    *of_the_log(),
    *of_the_schema(),
]


def test_each_table_is_somebodys():
    """A table that a migration makes is the log's, the projector's, or named here as one that only the owner writes."""
    owners = {
        "schema_migrations",
        "projection_rebuilds",
        "projection_rebuild_failures",
        "projection_rebuild_shards",
    }
    assert {*tables()} == {"events", "event_seals", *PROJECTED, *owners}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_may_what_it_is_for_and_nothing_else(roles: Roles, kind: str):
    """Of some hundreds of statements each role can run those of its part; all others fail for want of a right."""
    assert len(STATEMENTS) > 350
    wrong: list[str] = []
    async with roles.login(kind) as connection:
        for text, allowed in STATEMENTS:
            statement = text.format(owner=quoted(roles.names["owner"])) if "{owner}" in text else text
            outcome = await outcome_of(connection, statement)
            if outcome not in (("done",) if kind in allowed else DENIED[kind]):
                wrong.append(f"{outcome}: {statement}")
    assert wrong == []


async def outcome_of(connection: asyncpg.Connection, statement: str) -> str:
    """Run a statement in a transaction that is rolled back; return `done` or its SQLSTATE."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if statement.startswith("COPY"):
            await connection.copy_records_to_table("orders", records=[], columns=["id"])
        else:
            await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    else:
        return "done"
    finally:
        await transaction.rollback()


RIGHTS = "SELECT relname, relacl::text FROM pg_class WHERE relname = ANY($1) ORDER BY relname"


async def test_none_can_pass_on_what_it_may(roles: Roles):
    """A GRANT by a role that does not own the store changes nothing."""
    async with roles.login("owner") as owner:
        before = await owner.fetch(RIGHTS, tables())
        for kind in PARTS:
            async with roles.login(kind) as connection:
                for target in ("PUBLIC", quoted(roles.names["stranger"])):
                    for what in ("ALL ON events", "ALL ON orders", f"EXECUTE ON FUNCTION {FUNCTION}"):
                        await outcome_of(connection, f"GRANT {what} TO {target}")
                        try:
                            await connection.execute(f"GRANT {what} TO {target}")
                        except asyncpg.InsufficientPrivilegeError:
                            continue
        after = await owner.fetch(RIGHTS, tables())
        assert after == before


# ---- the work of each --------------------------------------------------------------------------------------------


async def test_the_whole_path(roles: Roles):
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
        assert (
            await PostgreSQLAdapter(reader.connection).fetch_value(f'SELECT count(*) FROM "{SCHEMA}".orders')
            == 1
        )
        # The past is read by all three; state snapshots are the projector's.
        await projector.state_snapshots.make(snapshot_versions=1)
        position = await projector.log.head()
        for store in (writer, projector, reader):
            for when in ({"position": position}, {"occurred_at": order.submitted_at}):
                async with store.as_of(**when) as past:
                    assert await past.orders.get_active_orders() == [found]
        with pytest.raises(errors.RepositoryError):
            await reader.state_snapshots.drop()
        assert await projector.state_snapshots.drop() > 0
        # Partitions are the projector's as well.
        await ensure_partitions(projector.log, OrdersProjection(), 3)
        with pytest.raises(errors.RepositoryError):
            await ensure_partitions(reader.log, OrdersProjection(), 2)
        assert (await check(reader.log, [OrdersProjection()])).is_sound


async def test_all_ways_to_append(roles: Roles):
    """One event, several streams, a flush inside a transaction, a repetition and a conflict: none needs a right on a table."""
    async with EventStore.open(roles.login_config("writer"), workers=False) as store:
        orders = [Order.create_market_order("AAPL", Decimal(n), OrderSide.BUY) for n in (1, 2, 3)]
        appends = [StreamAppend(order.id, 0, order.pending_events) for order in orders]
        first = await store.log.append(*appends)
        assert (await store.log.append(*appends)) == type(first)(
            first.positions, first.recorded_at, repeated=True
        )
        with pytest.raises(errors.ConcurrencyError) as caught:
            await store.log.append(StreamAppend(orders[0].id, 4, orders[1].pending_events))
        assert (caught.value.stream_id, caught.value.expected, caught.value.actual) == (orders[0].id, 4, 1)
        another = Order.create_market_order("MSFT", Decimal(1), OrderSide.SELL)
        async with store.unit_of_work() as unit_of_work:
            await unit_of_work.orders.save_order(another)
            await unit_of_work.flush()
            another.submit("B-2")
            await unit_of_work.orders.update_order(another)
        assert [event.version for event in await store.log.read_stream(another.id)] == [1, 2]


async def test_rebuilds_are_the_owners(roles: Roles):
    """It swaps a table for a new one that has the same rights. Who does not own the table is told so in one line."""
    order = Order.create_market_order("ES", Decimal(1), OrderSide.BUY)
    async with (
        EventStore.open(roles.login_config("writer"), workers=False) as store,
        store.unit_of_work() as unit_of_work,
    ):
        await unit_of_work.orders.save_order(order)
    statement = """
        SELECT ARRAY(SELECT item::text FROM unnest(relacl) AS item ORDER BY 1), pg_get_userbyid(relowner)
        FROM pg_class WHERE oid = 'orders'::regclass
    """
    async with roles.login("owner") as connection:
        rights = await connection.fetch(statement)
        for kind in ("projector", "writer", "reader"):
            async with EventStore.open(roles.login_config(kind), workers=False) as store:
                with pytest.raises(errors.ConfigurationError) as caught:
                    await rebuild(store.log, OrdersProjection())
            assert "only the owner of its table" in str(caught.value)
            assert roles.names["owner"] in str(caught.value)
        async with EventStore.open(roles.login_config("owner"), workers=False) as store:
            assert (await rebuild(store.log, OrdersProjection())).rows == 1
        assert await connection.fetch(statement) == rights
    async with (
        EventStore.open(roles.login_config("projector")) as projector,
        EventStore.open(roles.login_config("reader"), workers=False) as store,
    ):
        await projector.wait_for(await store.log.head())
        async with store.unit_of_work() as unit_of_work:
            assert await unit_of_work.orders.get_active_orders(consistency="eventual") == [order]
        assert (await check(store.log, [OrdersProjection()])).is_sound


# ---- what grant does -----------------------------------------------------------------------------------------------


async def test_granting_twice(roles: Roles):
    """What is as it shall be is left alone, and it says what each role may do."""
    again = await roles.grant(**roles.parts)
    assert again.statements == ()
    assert again.owner == roles.names["owner"]
    rights = {one.role: one.rights for one in again.roles}
    assert rights[roles.names["writer"]]["append_event"] == ("EXECUTE",)
    assert rights[roles.names["writer"]]["events"] == ("SELECT",)
    assert rights[roles.names["projector"]]["orders"] == ("DELETE", "INSERT", "SELECT", "UPDATE")
    assert rights[roles.names["sealer"]]["event_seals"] == ("INSERT", "SELECT")
    assert rights[roles.names["importer"]]["events_position_seq"] == ("SELECT", "UPDATE", "USAGE")
    assert {"events", "orders", "schema_migrations"} <= set(rights[roles.names["reader"]])


async def test_a_role_keeps_nothing_of_what_it_was(roles: Roles):
    """A role that is named for another part has the rights of that part alone; `revoke` leaves it none."""
    was = roles.names["projector"]
    changed = await roles.grant(reader=was)
    assert changed.is_as_intended
    assert {privilege for one in changed.roles[0].rights.values() for privilege in one} == {"SELECT", "USAGE"}
    async with roles.login("projector") as connection:
        assert await outcome_of(connection, "SELECT * FROM orders") == "done"
        assert await outcome_of(connection, "DELETE FROM orders") == "42501"
    gone = await roles.grant(revoke=was)
    assert gone.roles[0].rights == {}
    async with roles.login("projector") as connection:
        assert await outcome_of(connection, f'SELECT * FROM "{SCHEMA}".orders') == "42501"


async def test_rights_that_were_too_many_are_taken_back(roles: Roles):
    """Whatever a role was given besides: rights, grant options, columns, tables, CREATE, and what is yet to be made."""
    was, owner, stranger = roles.names["projector"], roles.names["owner"], roles.names["stranger"]
    admin = await admin_connection(roles.config)
    try:
        await admin.execute(f"""
            SET search_path = "{SCHEMA}";
            GRANT ALL ON events, event_seals TO {quoted(was)} WITH GRANT OPTION;
            GRANT UPDATE (data) ON events TO {quoted(was)};
            GRANT ALL ON events_position_seq TO {quoted(was)};
            GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "{SCHEMA}" TO {quoted(was)};
            GRANT CREATE, USAGE ON SCHEMA "{SCHEMA}" TO {quoted(was)};
            GRANT CREATE ON SCHEMA "{SCHEMA}" TO PUBLIC;
            GRANT INSERT ON events TO PUBLIC;
            GRANT EXECUTE ON FUNCTION append_events(text, text) TO PUBLIC;
            ALTER TABLE orders OWNER TO {quoted(was)};
            ALTER TABLE projection_checkpoints OWNER TO {quoted(was)};
            ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)} IN SCHEMA "{SCHEMA}" GRANT ALL ON TABLES TO {quoted(was)};
            SET ROLE {quoted(was)};
            GRANT INSERT ON events TO {quoted(stranger)};
            ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(was)} IN SCHEMA "{SCHEMA}"
                GRANT SELECT ON TABLES TO {quoted(roles.names["writer"])};
        """)
        async with await ConnectionFactory.create_connection(
            roles.config.replace(min_pool_size=0)
        ) as connection:
            granted = await grant(PostgreSQLAdapter(connection), **roles.parts)
        assert granted.is_as_intended, granted.roles
        assert granted.remarks == ()
        await admin.execute("RESET ROLE")
        defaults = await admin.fetchval("SELECT count(*) FROM pg_default_acl WHERE defaclacl <> '{}'")
        assert defaults == 0
        owners = await admin.fetch(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = $1::text::regnamespace",
            f'"{SCHEMA}"',
        )
        assert [row[0] for row in owners] == [owner]
    finally:
        await admin.close()
    async with roles.login("projector") as connection:
        wrong = [
            text
            for text, allowed in STATEMENTS
            if "{owner}" not in text
            and (await outcome_of(connection, text) == "done") != ("projector" in allowed)
        ]
    assert wrong == []
    async with roles.login("stranger") as connection:
        assert await outcome_of(connection, f'INSERT INTO "{SCHEMA}".events {EVENT}') == "42501"
    assert (await roles.grant(**roles.parts)).statements == ()


async def test_what_cannot_be_taken_is_told(roles: Roles):
    """A superuser, a member of another role, and what a role owns in the schema."""
    admin = await admin_connection(roles.config)
    names = roles.names
    try:
        await admin.execute(f"GRANT {quoted(names['owner'])} TO {quoted(names['writer'])}")
        await admin.execute(f"GRANT {quoted(names['importer'])} TO {quoted(names['reader'])}")
        await admin.execute(f"ALTER ROLE {quoted(names['sealer'])} SUPERUSER")
        await admin.execute(f'CREATE VIEW "{SCHEMA}".notes AS SELECT 1')
        await admin.execute(f'ALTER VIEW "{SCHEMA}".notes OWNER TO {quoted(names["projector"])}')
        granted = await roles.grant(**roles.parts)
        beyond = {one.role: " ".join(one.beyond) for one in granted.roles}
        assert not granted.is_as_intended
        assert "is a member of" in beyond[names["writer"]]
        assert "INSERT on table events" in beyond[names["reader"]]
        assert "is a superuser" in beyond[names["sealer"]]
        assert "owns the view" in beyond[names["projector"]]
        assert beyond[names["importer"]] == ""
    finally:
        await admin.execute(f"ALTER ROLE {quoted(names['sealer'])} NOSUPERUSER")
        await admin.close()


async def test_tables_of_ones_own(roles: Roles):
    """The table of a user's own projection is the projector's to write where it is named, and goes back to the owner."""
    async with roles.login("owner") as connection:
        await connection.execute("CREATE TABLE hits (id uuid PRIMARY KEY, last_position bigint NOT NULL)")
    async with roles.login("projector") as connection:
        assert await outcome_of(connection, "SELECT * FROM hits") == "42501"
    granted = await roles.grant(**roles.parts, tables=["hits"])
    assert granted.is_as_intended
    async with roles.login("projector") as connection:
        assert await outcome_of(connection, "DELETE FROM hits") == "done"
        assert await outcome_of(connection, "CREATE INDEX ON hits (id)") == "42501"
    async with roles.login("reader") as connection:
        assert await outcome_of(connection, "SELECT * FROM hits") == "done"
        assert await outcome_of(connection, "DELETE FROM hits") == "42501"
    for table in ("events", "event_seals", "schema_migrations"):
        with pytest.raises(errors.ConfigurationError, match="is not the table of a projection"):
            await roles.grant(projector=roles.names["projector"], tables=[table])
    with pytest.raises(errors.ConfigurationError, match="there is no table nothing"):
        await roles.grant(projector=roles.names["projector"], tables=["nothing"])


async def test_one_role_alone(roles: Roles):
    """The others are left as they are."""
    granted = await roles.grant(reader=roles.names["stranger"])
    assert granted.statements
    assert all(quoted(roles.names["stranger"]) in statement for statement in granted.statements)
    async with roles.login("writer") as connection:
        assert await outcome_of(connection, APPEND) == "done"


async def test_only_the_owner_gives_rights(roles: Roles):
    """Another role, the owner as one of the roles, one role in two ways, and a view in the place of a table: one line."""
    for kind in PARTS:
        async with await ConnectionFactory.create_connection(roles.login_config(kind)) as connection:
            with pytest.raises(errors.ConfigurationError, match="only the owner of the store"):
                await grant(PostgreSQLAdapter(connection), reader=roles.names["stranger"])
    with pytest.raises(errors.ConfigurationError, match="owns the store"):
        await roles.grant(writer=roles.names["owner"])
    with pytest.raises(errors.ConfigurationError, match="leave one of them out"):
        await roles.grant(writer=roles.names["writer"], revoke=roles.names["writer"])
    async with roles.login("owner") as connection:
        await connection.execute("ALTER TABLE orders RENAME TO o; CREATE VIEW orders AS SELECT * FROM o")
    with pytest.raises(errors.ConfigurationError, match="is not a table but has the name of one"):
        await roles.grant(**roles.parts)


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
            await adapter.execute(f"INSERT INTO events {EVENT}")
            with pytest.raises(errors.MigrationError, match="would drop the rows of events"):
                await manager.migrate_to_version(0)
        await admin.execute("ALTER TABLE events DISABLE TRIGGER ALL; DELETE FROM events")
        async with await ConnectionFactory.create_connection(config) as connection:
            assert await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_version(0) == count
    finally:
        await admin.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")
        await admin.close()
