"""What an administrator can change and a guarantee rests on: refused or named, with the statement that repairs it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.database import ConnectionFactory, MigrationManager, PostgreSQLAdapter
from eventstore.database.preconditions import PRECONDITIONS, Level, find_violations
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConfigurationError, IntegrityError, PreconditionError
from eventstore.sql import quoted, template
from eventstore.store import EventStore, built_in_projections
from projections import OrdersProjection
from projections.check import check, repair
from projections.engine import ProjectionWorker
from tests.command_line import run
from tests.conftest import admin_connection, url_of
from tests.entities import started
from tests.hit_projections import Hit, HitsByNumber, hits
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig
    from tests.conftest import DatabaseMaker

_SWALLOWING = """
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
"""

# What an administrator does, the precondition that it breaks, and what the message says of it.
CASES: dict[str, tuple[list[str], str, str]] = {
    "cache": (["ALTER SEQUENCE events_position_seq CACHE 20"], "sequence of positions", "has CACHE 20"),
    "increment": (
        ["ALTER SEQUENCE events_position_seq INCREMENT 10"],
        "sequence of positions",
        "has INCREMENT 10",
    ),
    "descending": (
        ["ALTER SEQUENCE events_position_seq INCREMENT -1 MINVALUE 1 MAXVALUE 9223372036854775807"],
        "sequence of positions",
        "has INCREMENT -1",
    ),
    "cycle": (
        ["ALTER SEQUENCE events_position_seq MAXVALUE 1000 CYCLE"],
        "sequence of positions",
        "has MAXVALUE 1000, CYCLE",
    ),
    "lowest position": (
        ["ALTER SEQUENCE events_position_seq MINVALUE -5"],
        "sequence of positions",
        "has MINVALUE -5",
    ),
    "type of the sequence": (
        ["ALTER SEQUENCE events_position_seq AS integer"],
        "sequence of positions",
        "has the type integer, MAXVALUE 2147483647",
    ),
    "unlogged sequence": (
        ["ALTER SEQUENCE events_position_seq SET UNLOGGED"],
        "sequence of positions",
        "is UNLOGGED",
    ),
    "another sequence": (
        [
            "DROP SEQUENCE events_position_seq",
            "CREATE SEQUENCE events_position_seq CACHE 50 OWNED BY events.position",
        ],
        "sequence of positions",
        "has CACHE 50",
    ),
    "no sequence": (
        ["DROP SEQUENCE events_position_seq"],
        "sequence of positions",
        "events_position_seq is missing",
    ),
    "owner of the sequence": (
        ["ALTER SEQUENCE events_position_seq OWNED BY NONE"],
        "owner of the sequence",
        "is not owned by",
    ),
    "unlogged events": (["ALTER TABLE events SET UNLOGGED"], "tables are logged", "events is UNLOGGED"),
    "unlogged read table": (["ALTER TABLE orders SET UNLOGGED"], "tables are logged", "orders is UNLOGGED"),
    "unlogged checkpoints": (
        ["ALTER TABLE projection_checkpoints SET UNLOGGED"],
        "tables are logged",
        "projection_checkpoints is UNLOGGED",
    ),
    "child": (
        ['CREATE TABLE "events of 2019" () INHERITS (events)'],
        "no children",
        'the child public."events of 2019"',
    ),
    "child of a read table": (
        ["CREATE TABLE old () INHERITS (orders)"],
        "no children",
        "the child public.old",
    ),
    "rule": (
        ["CREATE RULE mirror AS ON INSERT TO events DO ALSO NOTIFY appended"],
        "no rules",
        "events has the rule mirror",
    ),
    "rule of a read table": (
        ["CREATE RULE keep AS ON DELETE TO orders DO INSTEAD NOTHING"],
        "no rules",
        "orders has the rule keep",
    ),
    "trigger": (
        [
            _SWALLOWING,
            "CREATE TRIGGER swallow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION swallow()",
        ],
        "no triggers before rows",
        "events has the trigger swallow",
    ),
    "trigger in replica sessions": (
        [
            _SWALLOWING,
            "CREATE TRIGGER swallow BEFORE UPDATE ON projection_checkpoints FOR EACH ROW EXECUTE FUNCTION swallow()",
            "ALTER TABLE projection_checkpoints ENABLE REPLICA TRIGGER swallow",
        ],
        "no triggers before rows",
        "projection_checkpoints has the trigger swallow",
    ),
    "trigger of a read table": (
        [
            _SWALLOWING,
            "CREATE TRIGGER swallow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION swallow()",
        ],
        "no triggers before rows of projections",
        "orders has the trigger swallow",
    ),
    "guard disabled": (
        ["ALTER TABLE events DISABLE TRIGGER ALL"],
        "guards",
        "the trigger events_refuse_change of the table public.events is disabled",
    ),
    "guard not always": (
        ["ALTER TABLE events ENABLE TRIGGER ALL"],
        "guards",
        "of the table public.events is not ENABLE ALWAYS",
    ),
    "guard dropped": (
        ["DROP TRIGGER event_seals_refuse_change ON event_seals"],
        "guards",
        "event_seals_refuse_change of the table public.event_seals is missing",
    ),
    "guard of less": (
        [
            "DROP TRIGGER events_refuse_change ON events",
            "CREATE TRIGGER events_refuse_change BEFORE TRUNCATE ON events EXECUTE FUNCTION events_refuse_change()",
            "ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change",
        ],
        "guards",
        "is another one",
    ),
    "guard on a condition": (
        [
            "DROP TRIGGER events_refuse_change ON events",
            (
                "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events FOR EACH STATEMENT "
                "WHEN (current_user <> 'dba') EXECUTE FUNCTION events_refuse_change()"
            ),
            "ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change",
        ],
        "guards",
        "is another one",
    ),
    "row security": (
        ["ALTER TABLE events ENABLE ROW LEVEL SECURITY"],
        "row security is for others",
        "events has row security",
    ),
    "position key dropped": (
        ["ALTER TABLE events DROP CONSTRAINT events_position_key"],
        "keys",
        "events lacks the constraint events_position_key",
    ),
    "key of the log deferrable": (
        [
            (
                "ALTER TABLE events DROP CONSTRAINT events_pkey, "
                "ADD CONSTRAINT events_pkey PRIMARY KEY (stream_id, version) DEFERRABLE INITIALLY DEFERRED"
            )
        ],
        "keys",
        "has the constraint events_pkey deferrable",
    ),
    "key of other columns": (
        [
            "ALTER TABLE events DROP CONSTRAINT events_pkey, ADD CONSTRAINT events_pkey PRIMARY KEY (stream_id, version, position)"
        ],
        "keys",
        "another constraint of the name events_pkey",
    ),
    "key of checkpoints dropped": (
        ["ALTER TABLE projection_checkpoints DROP CONSTRAINT projection_checkpoints_pkey"],
        "keys",
        "lacks the constraint projection_checkpoints_pkey",
    ),
    "invalid index of a key": (
        ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_position_key'::regclass"],
        "keys",
        "an invalid index for the constraint events_position_key",
    ),
    "invalid index": (
        ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_symbol_idx'::regclass"],
        "indexes",
        "the index orders_symbol_idx of the table public.orders is invalid",
    ),
    "check dropped": (
        ["ALTER TABLE events DROP CONSTRAINT events_version_positive"],
        "checks",
        "lacks the constraint events_version_positive",
    ),
    "check not validated": (
        [
            (
                "ALTER TABLE events DROP CONSTRAINT events_position_positive, "
                "ADD CONSTRAINT events_position_positive CHECK (position >= 1) NOT VALID"
            )
        ],
        "checks",
        "has not validated the constraint events_position_positive",
    ),
    "type of a column": (
        ["ALTER TABLE events ALTER type TYPE varchar(20)"],
        "columns of events",
        "the column type of the table public.events is of the type character varying(20)",
    ),
    "precision of a time": (
        ["DROP INDEX events_lookup_brin", "ALTER TABLE events ALTER occurred_at TYPE timestamptz(3)"],
        "columns of events",
        "occurred_at of the table public.events is of the type timestamp(3) with time zone",
    ),
    "column that may be NULL": (
        ["ALTER TABLE events ALTER data DROP NOT NULL"],
        "columns of events",
        "the column data of the table public.events may be NULL",
    ),
    "generated column": (
        ["ALTER TABLE events ALTER position ADD GENERATED ALWAYS AS IDENTITY"],
        "columns of events",
        'the column "position" of the table public.events is generated',
    ),
    "column that has to be given": (
        ["ALTER TABLE events ADD desk text NOT NULL"],
        "columns of events",
        "has the column desk NOT NULL without a default",
    ),
    "collation": (
        [
            # As one of ICU is that takes no notice of case, which not every server is built with.
            "CREATE COLLATION any_case (provider = libc, locale = 'C')",
            "ALTER TABLE orders ALTER symbol TYPE text COLLATE any_case",
            "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'any_case'",
        ],
        "equal text",
        "the column symbol of the table public.orders has the collation any_case",
    ),
    "read-only": (
        ["ALTER DATABASE {database} SET default_transaction_read_only = on"],
        "session may write",
        "default_transaction_read_only is on",
    ),
    "replica role": (
        ["ALTER ROLE {user} IN DATABASE {database} SET session_replication_role = replica"],
        "triggers of users fire",
        "session_replication_role is replica",
    ),
    "commits not waited for": (
        ["ALTER DATABASE {database} SET synchronous_commit = off"],
        "durability",
        "synchronous_commit is off",
    ),
    "damage passed over": (
        ["ALTER DATABASE {database} SET zero_damaged_pages = on"],
        "no damage is passed over",
        "zero_damaged_pages is on",
    ),
}
"""Each is repaired by the statements that the library names."""

BEYOND_A_STATEMENT: dict[str, tuple[list[str], str, str]] = {
    "table dropped": (
        ["DROP TABLE state_snapshots"],
        "tables",
        "the table public.state_snapshots is missing",
    ),
    "log dropped": (["DROP TABLE events"], "tables", "the table public.events is missing"),
    "partitioned": (
        [
            "ALTER TABLE event_seals RENAME TO old_seals",
            "CREATE TABLE event_seals (LIKE old_seals) PARTITION BY RANGE (block)",
        ],
        "tables",
        "public.event_seals is not an ordinary table but a partitioned one",
    ),
    "view": (
        ["ALTER TABLE orders RENAME TO old_orders", "CREATE VIEW orders AS SELECT * FROM old_orders"],
        "tables",
        "public.orders is not an ordinary table but a view",
    ),
    "column dropped": (
        ["DROP INDEX events_lookup_brin", "ALTER TABLE events DROP recorded_at"],
        "columns of events",
        "the column recorded_at of the table public.events is missing",
    ),
    "function replaced": (
        [
            "CREATE OR REPLACE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        ],
        "functions",
        "the function public.events_refuse_change is another one",
    ),
}
"""Each is named, with advice: no single statement repairs it."""


async def change(config: DatabaseConfig, statements: list[str]) -> None:
    """Run statements as the administrator does, outside of any pool."""
    admin = await admin_connection(config)
    try:
        if any(one.startswith("UPDATE pg_") for one in statements):
            await admin.execute("SET allow_system_table_mods = on")
        for one in statements:
            names = {"{database}": quoted(config.database), "{user}": quoted(config.user)}
            for slot, name in names.items():
                one = one.replace(slot, name)  # noqa: PLW2901
            # A REINDEX of the whole database runs in no transaction, as which several statements of one call count.
            for part in one.split("; ") if one.startswith("REINDEX DATABASE") else [one]:
                await admin.execute(part)
    finally:
        await admin.close()


def test_every_precondition_is_broken_by_a_case():
    """No precondition is only believed to be looked at; those of how a server was built cannot be broken here."""
    elsewhere = {
        "collation",  # below
        "encoding",  # below
        "schema",  # below
        "no row security",  # below
        "primary",  # tests/integration/test_standby.py
        "no subscription",  # tests/integration/test_logical_replication.py
        "binary formats",
        "length of names",
    }
    broken = {name for _, name, _ in (*CASES.values(), *BEYOND_A_STATEMENT.values())}
    assert broken | elsewhere == set(PRECONDITIONS)
    assert not broken & elsewhere


def test_every_precondition_that_the_statement_finds_is_known():
    """The names in the statement are those of the table, so none is found that nobody can explain."""
    statement = template("database/preconditions")
    assert {name for name in PRECONDITIONS if f"'{name}'" in statement} == set(PRECONDITIONS)


async def test_a_fresh_database_holds_them_all(store: EventStore):
    """What the migrations make is what is looked for; only the tests' own server does not wait for its disk."""
    async with store.connection.acquire() as connection:
        found = await find_violations(connection, [one.table.name for one in built_in_projections()])
    assert {one.found for one in found} <= {"fsync is off"}


@pytest.mark.parametrize(("statements", "name", "said"), CASES.values(), ids=CASES)
async def test_what_was_changed_is_refused_or_named_and_repaired_by_the_statement_given(
    migrated_config: DatabaseConfig, statements: list[str], name: str, said: str
):
    """One line says what was changed, of what, and the statement; run as it stands, it repairs all that was found."""
    await change(migrated_config, statements)
    level = PRECONDITIONS[name].level
    lines = []
    if level is not Level.CHECK:
        with pytest.raises(PreconditionError) as refused:
            async with EventStore.open(migrated_config):
                pass
        assert name in refused.value.preconditions
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
        for statement in refused.value.statements:
            assert f"`{statement}`" in str(refused.value)
            lines.append(statement)
    else:
        async with EventStore.open(migrated_config, workers=False) as store:
            audit = await check(store.log, built_in_projections())
            assert audit.is_sound
            (warning,) = (one for one in audit.warnings if one.kind == name and said in one.what)
            lines.append(warning.repair.removeprefix("run `").removesuffix("`"))
    assert lines
    await change(migrated_config, lines)
    async with EventStore.open(migrated_config) as store:
        audit = await check(store.log, built_in_projections())
        assert audit.is_sound
        assert name not in {one.kind for one in audit.warnings if "fsync" not in one.what}


@pytest.mark.parametrize(("statements", "name", "said"), BEYOND_A_STATEMENT.values(), ids=BEYOND_A_STATEMENT)
async def test_what_no_statement_repairs_is_refused_with_advice(
    migrated_config: DatabaseConfig, statements: list[str], name: str, said: str
):
    """It is refused and named, and the line says what to do instead."""
    await change(migrated_config, statements)
    for workers in (True, False):
        with pytest.raises(PreconditionError) as refused:
            async with EventStore.open(migrated_config, workers=workers):
                pass
        assert name in refused.value.preconditions
        assert said in str(refused.value)
        assert PRECONDITIONS[name].advice in str(refused.value)


async def test_check_names_what_is_refused_at_open(migrated_config: DatabaseConfig):
    """The command opens no store: it tells what keeps one from being opened, in a line each; `repair` refuses with the same."""
    await change(
        migrated_config,
        ["ALTER SEQUENCE events_position_seq CACHE 20", "ALTER TABLE events DISABLE TRIGGER ALL"],
    )
    done = await asyncio.to_thread(run, "check", "--url", url_of(migrated_config))
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("log: ")]
    assert [line.split(": ")[1] for line in lines] == ["guards", "sequence of positions"]
    assert lines[1].endswith("run `ALTER SEQUENCE public.events_position_seq CACHE 1`")
    assert "eventstore: warning: durability: fsync is off" in done.stderr
    refused = await asyncio.to_thread(run, "repair", "--url", url_of(migrated_config))
    assert refused.returncode == 2
    assert "ALTER SEQUENCE public.events_position_seq CACHE 1" in refused.stderr
    await change(migrated_config, ["DROP TABLE events"])
    gone = await asyncio.to_thread(run, "check", "--url", url_of(migrated_config))
    assert gone.returncode == 2
    assert "the table public.events is missing" in gone.stderr


async def test_who_only_reads_is_not_kept_from_it_by_what_only_workers_need(migrated_config: DatabaseConfig):
    """A session that cannot write, or guards that are off, matter to workers: without them the store opens."""
    await change(
        migrated_config,
        [
            "ALTER TABLE events DISABLE TRIGGER ALL",
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
        ],
    )
    async with EventStore.open(migrated_config, workers=False) as store:
        assert await store.log.head() == 0
        audit = await check(store.log, built_in_projections())
        assert {one.kind for one in audit.findings} == {"guards", "session may write"}
        with pytest.raises(PreconditionError, match="default_transaction_read_only"):
            await store.start_workers()


async def test_names_are_quoted_in_the_statements(make_database: DatabaseMaker):
    """A schema, a trigger and a rule of any name are named as the server quotes them, and the statements run."""
    async with make_database() as plain:
        config = plain.replace(schema='Desk "7"; --')
        async with EventStore.open(config, migrate=True, workers=False):
            pass
        schema = quoted('Desk "7"; --')
        await change(
            plain,
            [
                _SWALLOWING,
                f"ALTER SEQUENCE {schema}.events_position_seq CACHE 7",
                f"ALTER TABLE {schema}.events DISABLE TRIGGER ALL",
                f'CREATE TRIGGER "it\'s ""mine""" BEFORE INSERT ON {schema}.events FOR EACH ROW EXECUTE FUNCTION swallow()',
                f'CREATE RULE "a ` b" AS ON INSERT TO {schema}.orders DO INSTEAD NOTHING',
                f"ALTER TABLE {schema}.events DROP CONSTRAINT events_pkey",
                f"DROP TRIGGER event_seals_refuse_change ON {schema}.event_seals",
            ],
        )
        with pytest.raises(PreconditionError) as refused:
            async with EventStore.open(config):
                pass
        await change(plain, list(refused.value.statements))
        async with EventStore.open(config):
            pass


async def test_what_others_do_beside_the_store_is_no_concern(migrated_config: DatabaseConfig):
    """Triggers after rows or for statements, indexes, views, columns with defaults, settings of formats: all is well."""
    await change(
        migrated_config,
        [
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY told; RETURN NULL; END'",
            "CREATE TRIGGER tell AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION tell()",
            "CREATE TRIGGER told BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION tell()",
            "CREATE INDEX events_category ON events (category)",
            "ALTER TABLE events ADD desk text DEFAULT 'FX'",
            "CREATE VIEW trades AS SELECT * FROM events WHERE category = 'order'",
            "CREATE PUBLICATION everything FOR ALL TABLES",
            "ALTER DATABASE {database} SET DateStyle = 'German'",
            "ALTER DATABASE {database} SET quote_all_identifiers = on",
            "ALTER DATABASE {database} SET standard_conforming_strings = off",
            "ALTER SEQUENCE events_position_seq START 500",
        ],
    )
    async with EventStore.open(migrated_config) as store:
        await store.log.append(started())
        assert (await check(store.log, [])).warnings == tuple(
            one for one in (await check(store.log, [])).warnings if "fsync" in one.what
        )


async def test_a_projection_may_have_a_partitioned_table(store: EventStore):
    """Its rows are one table's all the same; only the library's own tables are ordinary ones."""
    await change(
        store.connection.config,
        [
            (
                "CREATE TABLE hits (number bigint PRIMARY KEY, hits bigint NOT NULL, last_position bigint NOT NULL) "
                "PARTITION BY RANGE (number)"
            ),
            "CREATE TABLE low_hits PARTITION OF hits FOR VALUES FROM (MINVALUE) TO (10)",
            "CREATE TABLE high_hits PARTITION OF hits FOR VALUES FROM (10) TO (MAXVALUE)",
        ],
    )
    await store.log.append(hits(Hit(number=1), Hit(number=70)))
    worker = ProjectionWorker(store.log, HitsByNumber())
    task = asyncio.create_task(worker.run())
    await until(lambda: _is(worker, 2) or task.done())
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await check(store.log, [HitsByNumber()])).is_sound


# ---- the database itself -----------------------------------------------------------------------------------------


@asynccontextmanager
async def encoded(server: DatabaseConfig, encoding: str) -> AsyncIterator[DatabaseConfig]:
    """A database of another encoding."""
    name = f"test_{uuid4().hex}"
    admin = await admin_connection(server)
    try:
        await admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        yield server.replace(database=name, min_pool_size=1)
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP", "WIN1252"])
async def test_a_database_that_is_not_utf8_is_refused_before_anything_is_made(
    server_config: DatabaseConfig, encoding: str
):
    """Its migration is refused, by the program and by the command, with the statement that makes one which is."""
    async with encoded(server_config, encoding) as config:
        with pytest.raises(
            PreconditionError, match=rf"encoding {encoding}.*CREATE DATABASE .* ENCODING 'UTF8'"
        ):
            async with EventStore.open(config, migrate=True):
                pass
        async with await ConnectionFactory.create_connection(config) as connection:
            with pytest.raises(PreconditionError, match=encoding):
                await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_latest(dry_run=True)
        done = await asyncio.to_thread(run, "migrate", "--url", url_of(config))
        assert done.returncode == 2
        assert f"has the encoding {encoding}" in done.stderr
        admin = await admin_connection(config)
        try:
            assert (
                await admin.fetchval(
                    "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                )
                == 0
            )
        finally:
            await admin.close()


async def test_a_database_that_lost_its_encoding_is_refused(migrated_config: DatabaseConfig):
    """A store that was restored into a database of another encoding is not opened."""
    await change(
        migrated_config,
        [
            "UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = current_database()"
        ],
    )
    with pytest.raises(PreconditionError, match="encoding LATIN1"):
        async with EventStore.open(migrated_config, workers=False):
            pass


async def test_a_collation_of_another_version_of_the_system_is_named(server_config: DatabaseConfig):
    """After an upgrade of the system's library, or a move to another, text may be sorted otherwise than its indexes are."""
    name = f"test_{uuid4().hex}"
    admin = await admin_connection(server_config)
    try:
        if admin.get_server_version().major < 17:
            pytest.skip("the server has no locale of its own, whose collation has a version everywhere")
        await admin.execute(
            f"CREATE DATABASE {name} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C' "
            "ENCODING 'UTF8' TEMPLATE template0"
        )
        config = server_config.replace(database=name, min_pool_size=1)
        async with EventStore.open(config, migrate=True, workers=False) as store:
            assert "collation" not in {one.kind for one in (await check(store.log, [])).warnings}
            await change(
                config, ["UPDATE pg_database SET datcollversion = '0.1' WHERE datname = current_database()"]
            )
            (warning,) = (one for one in (await check(store.log, [])).warnings if one.kind == "collation")
            await change(config, [warning.repair.removeprefix("run `").removesuffix("`")])
            assert "collation" not in {one.kind for one in (await check(store.log, [])).warnings}
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


async def test_a_schema_of_a_session_or_of_the_system_is_refused(database_config: DatabaseConfig):
    """Tables that go with the session, or lie among those of the server, are no store."""
    await change(database_config, ["ALTER DATABASE {database} SET search_path = pg_catalog"])
    with pytest.raises(ConfigurationError, match=r"pg_catalog.*schema="):
        async with EventStore.open(database_config, migrate=True):
            pass


async def test_no_schema_at_all_is_told_in_one_line(migrated_config: DatabaseConfig):
    """With an empty search path the line names it, and the setting that needs none; with that the store opens."""
    await change(migrated_config, ["ALTER DATABASE {database} SET search_path = ''"])
    for migrate in (True, False):
        with pytest.raises(ConfigurationError, match=r"search_path.*schema=") as refused:
            async with EventStore.open(migrated_config, migrate=migrate):
                pass
        assert "\n" not in str(refused.value)
    async with EventStore.open(migrated_config.replace(schema="public")) as store:
        assert await store.log.head() == 0


async def test_row_security_of_the_own_role_is_refused(migrated_config: DatabaseConfig):
    """A role from which policies hide events would take them for missing, and read on past them."""
    role = f"reader_{uuid4().hex[:12]}"
    await change(
        migrated_config,
        [
            f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY own ON events TO {role} USING (category = 'order')",
        ],
    )
    try:
        with pytest.raises(PreconditionError, match=rf"in force for the role {role}") as refused:
            async with EventStore.open(migrated_config.replace(user=role, password="secret"), workers=False):
                pass
        await change(migrated_config, list(refused.value.statements))
        async with EventStore.open(migrated_config.replace(user=role, password="secret"), workers=False):
            pass
    finally:
        await change(migrated_config, [f"DROP OWNED BY {role}", f"DROP ROLE {role}"])


async def test_settings_are_repaired_where_they_were_made(migrated_config: DatabaseConfig):
    """The statement is for the role, the role in the database, or all roles, as it was set."""
    role = f"trader_{uuid4().hex[:12]}"
    await change(migrated_config, [f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'secret'"])
    config = migrated_config.replace(user=role, password="secret")
    try:
        for given, repairing in (
            (
                f"ALTER ROLE {role} SET synchronous_commit = off",
                f"ALTER ROLE {role} RESET synchronous_commit",
            ),
            (
                f"ALTER ROLE {role} IN DATABASE {{database}} SET synchronous_commit = off",
                f"ALTER ROLE {role} IN DATABASE {config.database} RESET synchronous_commit",
            ),
        ):
            await change(migrated_config, [given])
            async with EventStore.open(config, workers=False) as store:
                repairs = {one.repair for one in (await check(store.log, [])).warnings}
                assert f"run `{repairing}`" in repairs
            await change(migrated_config, [repairing])
            async with EventStore.open(config, workers=False) as store:
                assert f"run `{repairing}`" not in {
                    one.repair for one in (await check(store.log, [])).warnings
                }
    finally:
        await change(migrated_config, [f"DROP ROLE {role}"])


# ---- while processes run -----------------------------------------------------------------------------------------


async def place(store: EventStore) -> int:
    """Save an order, and return its position."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
    assert uow.last_position is not None
    return uow.last_position


async def test_a_sequence_that_is_given_a_cache_while_workers_run_loses_no_event(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """Where the next position is missing the worker stands still and says why; repaired, it goes on, and every order is there."""
    async with (
        EventStore.open(migrated_config, workers=False) as one,
        EventStore.open(migrated_config, workers=False) as other,
    ):
        await place(one)
        worker = ProjectionWorker(one.log, OrdersProjection())
        with caplog.at_level(logging.ERROR, "projections.engine.worker"):
            task = asyncio.create_task(worker.run())
            await until(lambda: _is(worker, 1))
            await change(migrated_config, ["ALTER SEQUENCE events_position_seq CACHE 20"])
            positions = [await place(store) for _ in range(3) for store in (one, other)]
            assert positions != sorted(positions)
            await until(lambda: _has_logged(caplog, "orders folds nothing until"))
        with pytest.raises(PreconditionError, match="has CACHE 20"):
            [event async for event in other.log.read_all()]
        assert not task.done()
        await change(migrated_config, ["ALTER SEQUENCE events_position_seq CACHE 1"])
        last = max(positions)
        await until(lambda: _is(worker, last), limit_s=30)
        positions += [await place(store) for _ in range(3) for store in (one, other)]
        await until(lambda: _is(worker, max(positions)), limit_s=30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await check(one.log, [OrdersProjection()])).is_sound
        async with one.connection.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM orders") == 13


def _is(worker: ProjectionWorker[Any], position: int) -> bool:
    return worker.position is not None and worker.position >= position


def _has_logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


async def test_a_reader_sees_a_sequence_that_descends_where_no_position_is_missing(store: EventStore):
    """Its events come below the reader's position, and leave no gap there: the next look is refused, until it is repaired."""
    await store.log.append(started(tunings=2))
    assert await store.log.high_water_mark.advance(0) == 3
    await change(store.connection.config, CASES["descending"][0])
    with pytest.raises(PreconditionError, match="has INCREMENT -1"):
        await store.log.high_water_mark.advance(3, wait=False)
    await change(store.connection.config, ["ALTER SEQUENCE events_position_seq INCREMENT 1"])
    assert await store.log.high_water_mark.advance(3, wait=False) == 3


async def test_a_worker_looks_again_while_it_runs(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """What an administrator changes under a worker stops it within seconds, and no longer than until it is repaired."""
    monkeypatch.setattr("projections.engine.worker._CHECKED_EVERY_S", 0.05)
    async with EventStore.open(migrated_config, workers=False) as store:
        worker = ProjectionWorker(store.log, OrdersProjection())
        with caplog.at_level(logging.ERROR, "projections.engine.worker"):
            task = asyncio.create_task(worker.run())
            await until(lambda: _is(worker, 0))
            await change(migrated_config, ["CREATE RULE swallow AS ON INSERT TO orders DO INSTEAD NOTHING"])
            await until(lambda: _has_logged(caplog, "orders folds nothing until"))
        await place(store)
        assert not task.done()
        await change(migrated_config, ["ALTER TABLE orders DISABLE RULE swallow"])
        await until(lambda: _is(worker, 1), limit_s=30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await check(store.log, [OrdersProjection()])).is_sound


async def test_a_worker_does_not_start_where_a_precondition_does_not_hold(store: EventStore):
    """It ends with the error, for its supervisor to see, rather than wait for somebody who reads a log."""
    await change(store.connection.config, ["ALTER TABLE orders SET UNLOGGED"])
    with pytest.raises(PreconditionError, match=r"ALTER TABLE public\.orders SET LOGGED"):
        await ProjectionWorker(store.log, OrdersProjection()).run()


@pytest.mark.parametrize("events", [1, 3])
async def test_an_event_that_a_trigger_swallows_is_not_acknowledged(store: EventStore, events: int):
    """Where nothing was inserted the append fails, and is not taken for a conflict that another try would solve."""
    await change(
        store.connection.config,
        [
            _SWALLOWING,
            "CREATE TRIGGER swallow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION swallow()",
        ],
    )
    with pytest.raises(IntegrityError, match=r"eventstore check"):
        await store.log.append(started(tunings=events - 1))
    assert await store.log.head() == 0


async def test_a_sequence_that_was_set_back_is_told_as_such(store: EventStore):
    """An append that draws a position which the log has fails with what repairs it, and then succeeds."""
    await store.log.append(started(tunings=49))
    await change(store.connection.config, ["ALTER SEQUENCE events_position_seq RESTART"])
    for stream in (started(), started(tunings=2)):
        with pytest.raises(
            IntegrityError, match="reset to a position inside the log: run `eventstore repair`"
        ):
            await store.log.append(stream)
    assert await repair(store.log, []) == ("the next position is 51",)
    assert (await store.log.append(started())).positions == (51,)


async def test_the_statement_is_cheap(store: EventStore):
    """To open a store takes one statement more, which reads the server's own tables: no scan of the log or of a read table."""
    async with store.connection.acquire() as connection:
        tables = [one.table.name for one in built_in_projections()]
        await find_violations(connection, tables)
        async with connection.transaction():
            scanned = "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_xact_user_tables"
            before = await connection.fetchval(scanned)
            await find_violations(connection, tables)
            assert await connection.fetchval(scanned) == before
