"""Applying and undoing migrations: once, under a lock, whole or not at all, and never over data."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    DatabaseConnection,
    MigrationManager,
    PostgreSQLAdapter,
)
from tests.migrations.schema import names

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "0001_first": """
-- migrate:creates: first, first_id_seq
-- migrate:up
CREATE TABLE first (id bigint GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO first (t) VALUES ('made'); DELETE FROM first;
-- migrate:requires-empty: first
-- migrate:down
DROP TABLE first;
""",
    "0002_second": """
-- migrate:creates: colour, second
-- migrate:up
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE second (c colour);
-- migrate:down
DROP TABLE second;
DROP TYPE colour;
""",
    "0003_third": """
-- migrate:creates: third
-- migrate:up
CREATE FUNCTION third() RETURNS int LANGUAGE sql AS 'SELECT 3';
-- migrate:down
DROP FUNCTION third();
""",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder with three migrations."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.sql").write_text(text)
    return tmp_path


@pytest.fixture
def adapter(connection: DatabaseConnection) -> PostgreSQLAdapter:
    """An adapter on a fresh, empty database."""
    return PostgreSQLAdapter(connection)


@pytest_asyncio.fixture
async def manager(adapter: PostgreSQLAdapter, directory: Path) -> MigrationManager:
    """A manager of the three."""
    return MigrationManager(adapter, directory=directory)


ALL = {"schema_migrations", "first", "first_id_seq", "second", "colour", "third"}


async def test_up_and_down(manager: MigrationManager, adapter: PostgreSQLAdapter):
    """To the latest, to any version and back, each time as many as there are between."""
    await manager.initialize()
    await manager.initialize()
    assert await manager.migrate_to_latest() == 3
    assert await names(adapter) == ALL
    assert await manager.migrate_to_latest() == 0
    assert await manager.migrate_to_version("001") == 2
    assert await names(adapter) == {"schema_migrations", "first", "first_id_seq"}
    assert await manager.migrate_to_version("003") == 2
    assert await manager.migrate_to_version("0") == 3
    assert await names(adapter) == {"schema_migrations"}
    assert await manager.migrate_to_latest() == 3
    assert await names(adapter) == ALL


@pytest.mark.parametrize("version", ["2", "002", "0002", " 2 ", 2])
async def test_versions_are_numbers(manager: MigrationManager, version: str | int):
    """However many noughts they are written with."""
    assert await manager.migrate_to_version(version) == 2


@pytest.mark.parametrize("version", ["", "x", "-1", "4", "1.0", "²"])
async def test_unknown_versions(manager: MigrationManager, version: str, adapter: PostgreSQLAdapter):
    """The message says which there are; nothing is done."""
    with pytest.raises(errors.MigrationError, match=r"0 \(nothing\) to 0003"):
        await manager.migrate_to_version(version)
    assert await names(adapter) == set()


async def test_without_initialize(manager: MigrationManager):
    """Migrating makes its table where that is missing."""
    assert await manager.migrate_to_latest() == 3


async def test_status(manager: MigrationManager, adapter: PostgreSQLAdapter):
    """What was applied, when and as what; what is pending; and nothing is written to find out."""
    status = await manager.get_status()
    assert (status.current, status.latest, status.applied, status.is_current) == (None, 3, (), False)
    assert [one.version for one in status.pending] == [1, 2, 3]
    assert await names(adapter) == set()
    await manager.migrate_to_version(2)
    status = await manager.get_status()
    assert (status.current, status.latest) == (2, 3)
    assert [(one.version, one.name) for one in status.applied] == [(1, "first"), (2, "second")]
    assert all(one.applied_at.tzinfo is not None and len(one.checksum) == 64 for one in status.applied)
    assert [one.label for one in await manager.pending()] == ["0003_third"]
    await manager.migrate_to_latest()
    assert (await manager.get_status()).is_current


async def test_dry_run_and_plan(manager: MigrationManager, adapter: PostgreSQLAdapter):
    """They say what would run and change nothing."""
    assert await manager.migrate_to_latest(dry_run=True) == 3
    assert await names(adapter) == set()
    await manager.migrate_to_latest()
    steps = await manager.plan("1")
    assert [(one.direction, one.migration.version) for one in steps] == [("down", 3), ("down", 2)]
    assert steps[0].sql == "DROP FUNCTION third();"
    assert await manager.migrate_to_version("1", dry_run=True) == 2
    assert await names(adapter) == ALL


async def test_ensure_current(manager: MigrationManager, directory: Path):
    """A database that lacks something says how to get it; a newer one is none of its business."""
    with pytest.raises(errors.NotMigratedError, match="no tables yet: run `eventstore migrate`"):
        await manager.ensure_current()
    await manager.migrate_to_version(2)
    with pytest.raises(errors.NotMigratedError, match=r"1 migration.*0003_third.*run `eventstore migrate`"):
        await manager.ensure_current()
    await manager.migrate_to_latest()
    await manager.ensure_current()
    (directory / "0003_third.sql").unlink()
    await manager.ensure_current()


async def test_a_newer_database_is_not_touched(manager: MigrationManager, directory: Path):
    """An old library neither goes back nor forth beside what it does not know."""
    await manager.migrate_to_latest()
    (directory / "0003_third.sql").unlink()
    assert (await manager.get_status()).unknown == (3,)
    assert await manager.migrate_to_latest() == 0
    with pytest.raises(errors.MigrationError, match="newer library"):
        await manager.migrate_to_version(1)


async def test_a_changed_file_is_named(
    manager: MigrationManager, directory: Path, adapter: PostgreSQLAdapter
):
    """What was applied cannot be changed afterwards, not even in its way back."""
    await manager.migrate_to_version(2)
    path = directory / "0002_second.sql"
    path.write_text(path.read_text() + "-- a word more\n")
    calls = (
        manager.migrate_to_latest,
        lambda: manager.migrate_to_version(0),
        manager.plan,
        manager.ensure_current,
    )
    for call in calls[:3]:
        with pytest.raises(
            errors.MigrationError, match=r"0002_second\.sql differs from the file that was applied"
        ):
            await call()
    assert (await manager.get_status()).changed == ("0002_second",)
    assert "third" not in await names(adapter)


async def test_a_failed_migration_leaves_no_trace(
    manager: MigrationManager, directory: Path, adapter: PostgreSQLAdapter
):
    """Those before it stay; its own statements are undone, and it can be run again when repaired."""
    path = directory / "0002_second.sql"
    path.write_text(FILES["0002_second"].replace("-- migrate:down", "SELECT 1 / 0;\n-- migrate:down"))
    with pytest.raises(errors.MigrationError, match=r"0002_second \(up\) failed and was rolled back.*zero"):
        await manager.migrate_to_latest()
    assert await names(adapter) == {"schema_migrations", "first", "first_id_seq"}
    path.write_text(FILES["0002_second"])
    assert await manager.migrate_to_latest() == 2


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_a_migration_may_not_end_its_transaction(manager: MigrationManager, directory: Path, end: str):
    """Else it could be applied without being remembered."""
    (directory / "0004_fourth.sql").write_text(
        f"-- migrate:up\nCREATE TABLE fourth (); {end};\n-- migrate:irreversible: a test\n"
    )
    with pytest.raises(errors.MigrationError, match="0004_fourth ends its own transaction"):
        await manager.migrate_to_latest()


async def test_no_way_back(manager: MigrationManager, directory: Path, adapter: PostgreSQLAdapter):
    """The reason is given, and nothing above is undone either."""
    (directory / "0002_second.sql").write_text(
        "-- migrate:up\nCREATE TABLE second ();\n-- migrate:irreversible: it took something away\n"
    )
    await manager.migrate_to_latest()
    with pytest.raises(errors.MigrationError, match="0002_second cannot be undone: it took something away"):
        await manager.migrate_to_version(0)
    assert "third" in await names(adapter)


async def test_rows_that_must_not_be_lost(manager: MigrationManager, adapter: PostgreSQLAdapter):
    """The way back is refused while there is one row, before anything is undone."""
    await manager.migrate_to_latest()
    await adapter.execute("INSERT INTO first (t) VALUES ('precious')")
    with pytest.raises(errors.MigrationError, match="would drop the rows of first"):
        await manager.migrate_to_version(0)
    assert await names(adapter) == ALL
    await adapter.execute("DELETE FROM first")
    assert await manager.migrate_to_version(0) == 3


async def test_a_row_that_comes_meanwhile_is_not_lost(
    manager: MigrationManager, adapter: PostgreSQLAdapter, connection: DatabaseConnection
):
    """A transaction that has inserted and not committed when the tables are checked is waited for."""
    await manager.migrate_to_version(1)
    writer = PostgreSQLAdapter(connection)
    await writer.begin_transaction()
    await writer.execute("INSERT INTO first (t) VALUES ('precious')")
    going_down = asyncio.ensure_future(manager.migrate_to_version(0))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'first'::regclass"
    observer = PostgreSQLAdapter(connection)
    while not await observer.fetch_value(waiting):  # noqa: ASYNC110 - the server sends no event
        await asyncio.sleep(0.005)
    await writer.commit_transaction()
    with pytest.raises(errors.MigrationError, match="would drop the rows of first"):
        await going_down
    assert await adapter.fetch_value("SELECT t FROM first") == "precious"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE TABLE second ()", "table"),
        ("CREATE VIEW second AS SELECT 1", "table"),
        ("CREATE TYPE second AS ENUM ('x')", "type"),
        ("CREATE FUNCTION third(text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function"),
    ],
)
async def test_a_name_that_is_not_ours(
    manager: MigrationManager, adapter: PostgreSQLAdapter, statement: str, kind: str
):
    """Someone else's table, type or function of a name of ours: one clear line, and nothing is done."""
    await adapter.execute(statement)
    before = await names(adapter)
    with pytest.raises(errors.MigrationError) as caught:
        await manager.migrate_to_latest()
    message = str(caught.value)
    for part in (kind, "which this library did not create", "nothing was done", "docs/adopting.md"):
        assert part in message
    assert "\n" not in message
    assert await names(adapter) == before


async def test_another_tools_schema_migrations(manager: MigrationManager, adapter: PostgreSQLAdapter):
    """Other tools use that name too; theirs is left alone."""
    await adapter.execute("CREATE TABLE schema_migrations (version text PRIMARY KEY)")
    for call in (manager.initialize, manager.migrate_to_latest, manager.get_status):
        with pytest.raises(errors.MigrationError, match="another tool, so nothing was done"):
            await call()
    with pytest.raises(errors.NotMigratedError):
        await manager.ensure_current()
    assert await names(adapter) == {"schema_migrations"}


async def test_another_schema_does_not_matter(adapter: PostgreSQLAdapter, manager: MigrationManager):
    """Only names of the schema that the tables go to are taken."""
    await adapter.execute("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.second ()")
    assert await manager.migrate_to_latest() == 3


async def test_three_at_once_apply_once(database_config: DatabaseConfig, directory: Path):
    """Whoever comes second waits, and finds the work done."""
    (directory / "0001_first.sql").write_text(
        FILES["0001_first"].replace("DELETE FROM first;", "DELETE FROM first; SELECT pg_sleep(0.1);")
    )
    connections = [await ConnectionFactory.create_connection(database_config) for _ in range(3)]
    managers = [MigrationManager(PostgreSQLAdapter(one), directory=directory) for one in connections]
    try:
        counts = await asyncio.gather(*(manager.migrate_to_latest() for manager in managers))
        assert sum(counts) == 3
        assert [one.version for one in (await managers[0].get_status()).applied] == [1, 2, 3]
        counts = await asyncio.gather(*(manager.migrate_to_version(0) for manager in managers))
        assert sum(counts) == 3
    finally:
        for one in connections:
            await one.close()


async def test_another_one_between_two_looks_is_not_mistaken(
    connection: DatabaseConnection,
    adapter: PostgreSQLAdapter,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """What a second program makes while the first plans does not look like someone else's tables."""
    first = MigrationManager(adapter, directory=directory)
    second = MigrationManager(PostgreSQLAdapter(connection), directory=directory)
    tasks: list[asyncio.Task[int]] = []
    look = first._applied

    async def look_and_let_the_other_run() -> object:
        applied = await look()
        if not tasks:
            tasks.append(asyncio.ensure_future(second.migrate_to_latest()))
            await asyncio.wait(tasks, timeout=0.5)
        return applied

    monkeypatch.setattr(first, "_applied", look_and_let_the_other_run)
    assert await first.migrate_to_latest() + await tasks[0] == 3


async def test_waiting_for_another_has_a_limit(
    connection: DatabaseConnection, adapter: PostgreSQLAdapter, directory: Path
):
    """Then it is a conflict, which may be tried again."""
    blocker = PostgreSQLAdapter(connection)
    slow = MigrationManager(blocker, directory=directory)
    hasty = MigrationManager(adapter, directory=directory, lock_timeout_s=0.05)
    await slow.initialize()
    async with slow._locked():
        with pytest.raises(errors.TransactionConflictError) as caught:
            await hasty.migrate_to_latest()
    assert caught.value.retryable
    assert await hasty.migrate_to_latest() == 3


async def test_cancelled_migrations_are_undone(
    manager: MigrationManager, directory: Path, adapter: PostgreSQLAdapter
):
    """Nothing is half applied, and the next one is not held up."""
    (directory / "0003_third.sql").write_text(
        FILES["0003_third"].replace("-- migrate:down", "SELECT pg_sleep(30);\n-- migrate:down")
    )
    task = asyncio.ensure_future(manager.migrate_to_latest())
    observer = PostgreSQLAdapter(adapter.connection)
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    while not await observer.fetch_value(sleeping):  # noqa: ASYNC110 - the server sends no event
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "third" not in await names(observer)
    (directory / "0003_third.sql").write_text(FILES["0003_third"])
    fresh = MigrationManager(PostgreSQLAdapter(adapter.connection), directory=directory)
    assert await fresh.migrate_to_latest() == 1


async def test_who_may_only_read_holds_up_no_migration(
    connection: DatabaseConnection, adapter: PostgreSQLAdapter, directory: Path
):
    """A lock that every role of a database can take, and every one that a reader gets on our tables, is waited for by nobody."""
    manager = MigrationManager(adapter, directory=directory, lock_timeout_s=2)
    await manager.initialize()
    role = f"reader_{uuid4().hex}"
    await adapter.execute(f"CREATE ROLE {role}; GRANT SELECT ON schema_migrations TO {role}")
    try:
        async with connection.acquire_for_user() as reader, reader.transaction():
            await reader.execute(f"SET LOCAL ROLE {role}")
            await reader.execute("SELECT pg_advisory_xact_lock(28559150664676212)")
            await reader.execute("LOCK TABLE schema_migrations IN ACCESS SHARE MODE")
            for mode in ("ROW EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with reader.transaction():
                        await reader.execute(f"LOCK TABLE schema_migrations IN {mode} MODE")
            assert await manager.migrate_to_latest() == len(manager.migrations())
    finally:
        await adapter.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
