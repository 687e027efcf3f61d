"""Every kind of error of PostgreSQL, asyncpg and the network, provoked for real, becomes the library's."""

from __future__ import annotations

import asyncio
import builtins
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    DatabaseConnection,
    PostgreSQLAdapter,
)
from eventstore.database.error_mapping import map_error, mapped_errors
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCHEMA = """
CREATE TABLE parent (id int CONSTRAINT parent_pkey PRIMARY KEY);
CREATE TABLE child (
    id int CONSTRAINT child_id_not_null NOT NULL,
    parent int CONSTRAINT child_parent_fkey REFERENCES parent,
    size int CONSTRAINT child_size_check CHECK (size > 0),
    span int4range,
    CONSTRAINT child_span_excl EXCLUDE USING gist (span WITH &&)
);
INSERT INTO parent VALUES (1);
CREATE VIEW small AS SELECT * FROM parent WHERE id < 10 WITH CHECK OPTION;
"""


@pytest_asyncio.fixture
async def adapter(connection: DatabaseConnection) -> PostgreSQLAdapter:
    """An adapter with a few tables that refuse things."""
    made = PostgreSQLAdapter(connection)
    await made.execute(SCHEMA)
    return made


@pytest_asyncio.fixture
async def other(connection: DatabaseConnection) -> AsyncIterator[PostgreSQLAdapter]:
    """A second adapter, to be in the way of the first."""
    made = PostgreSQLAdapter(connection)
    yield made
    if made.has_active_transaction:
        await made.rollback_transaction()


STATEMENTS: list[tuple[str, str, type[errors.EventStoreError], str | None]] = [
    # SQLSTATE, statement, error, constraint
    ("23505", "INSERT INTO parent VALUES (1)", errors.IntegrityError, "parent_pkey"),
    ("23503", "INSERT INTO child (id, parent) VALUES (1, 99)", errors.IntegrityError, "child_parent_fkey"),
    ("23514", "INSERT INTO child (id, size) VALUES (1, 0)", errors.IntegrityError, "child_size_check"),
    (
        "23P01",
        "INSERT INTO child (id, span) VALUES (1, '[1,5)'), (2, '[4,9)')",
        errors.IntegrityError,
        "child_span_excl",
    ),
    ("23502", "INSERT INTO child (id) VALUES (NULL)", errors.IntegrityError, None),
    ("44000", "INSERT INTO small VALUES (11)", errors.IntegrityError, None),
    ("22012", "SELECT 1 / 0", errors.RepositoryError, None),
    ("22P02", "SELECT 'x'::int", errors.RepositoryError, None),
    ("22003", "SELECT 1e300::numeric::int", errors.RepositoryError, None),
    ("42601", "SELEKT", errors.RepositoryError, None),
    ("42P01", "SELECT * FROM no_such_table", errors.RepositoryError, None),
    ("42703", "SELECT no_such_column FROM parent", errors.RepositoryError, None),
    ("42883", "SELECT no_such_function()", errors.RepositoryError, None),
    ("42704", "SELECT 'a'::no_such_type", errors.RepositoryError, None),
    ("42P07", "CREATE TABLE parent ()", errors.RepositoryError, None),
    ("3F000", "CREATE TABLE no_such_schema.t ()", errors.RepositoryError, None),
    ("0A000", "SELECT * FROM pg_catalog.nowhere.parent", errors.RepositoryError, None),
    (
        "54011",
        f"CREATE TABLE wide ({', '.join(f'c{i} int' for i in range(1700))})",
        errors.RepositoryError,
        None,
    ),
    ("P0001", "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", errors.RepositoryError, None),
    ("57014", "SET LOCAL statement_timeout = 20; SELECT pg_sleep(30)", errors.TimeoutError, None),
    ("25001", "BEGIN; VACUUM parent", errors.TransactionAlreadyActiveError, None),
    ("25P01", "SAVEPOINT s", errors.TransactionNotActiveError, None),
    ("25006", "BEGIN READ ONLY; DELETE FROM parent", errors.TransactionError, None),
    ("3B001", "BEGIN; ROLLBACK TO SAVEPOINT no_such", errors.TransactionError, None),
    ("42501", "SET ROLE pg_monitor; SELECT * FROM parent", errors.RepositoryError, None),
    ("40001", "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", errors.TransactionConflictError, None),
    ("40002", "DO $$ BEGIN RAISE SQLSTATE '40002'; END $$", errors.IntegrityError, None),
    ("40003", "DO $$ BEGIN RAISE SQLSTATE '40003'; END $$", errors.TransactionCommitError, None),
    ("53100", "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", errors.RepositoryError, None),
    ("08006", "DO $$ BEGIN RAISE SQLSTATE '08006'; END $$", errors.ConnectionLostError, None),
    ("99999", "DO $$ BEGIN RAISE SQLSTATE '99999'; END $$", errors.RepositoryError, None),
]


@pytest.mark.parametrize(
    ("sqlstate", "statement", "kind", "constraint"),
    STATEMENTS,
    ids=[case[0] for case in STATEMENTS],
)
async def test_a_statement_that_fails(
    adapter: PostgreSQLAdapter,
    sqlstate: str,
    statement: str,
    kind: type[errors.EventStoreError],
    constraint: str | None,
):
    """The class is that of the SQLSTATE, which the error keeps, with the constraint's name and one line."""
    with pytest.raises(errors.EventStoreError) as caught:
        await adapter.execute(statement)
    error = caught.value
    assert (type(error), error.sqlstate) == (kind, sqlstate), error
    assert error.__cause__ is not None
    assert "\n" not in str(error)
    if isinstance(error, errors.IntegrityError):
        assert error.constraint == constraint or (sqlstate == "23502" and error.constraint is not None)


async def test_no_detail_of_a_row_is_in_the_message(adapter: PostgreSQLAdapter):
    """PostgreSQL's DETAIL repeats the row; only the cause keeps it."""
    with pytest.raises(errors.IntegrityError) as caught:
        await adapter.execute("INSERT INTO child (id, size) VALUES (123454321, 0)")
    assert "123454321" not in str(caught.value)
    assert "123454321" in str(caught.value.__cause__)


async def test_a_wrong_argument(adapter: PostgreSQLAdapter):
    """A value that asyncpg cannot encode, and a wrong number of them, are errors of the repository."""
    for arguments in (["x"], [], [1, 2]):
        with pytest.raises(errors.RepositoryError):
            await adapter.fetch_value("SELECT $1::int", *arguments)


async def test_deadlock(adapter: PostgreSQLAdapter, other: PostgreSQLAdapter):
    """Of two transactions that wait for each other one fails, and may be run again."""
    await adapter.execute("INSERT INTO parent VALUES (2)")
    for one, row in ((adapter, 1), (other, 2)):
        await one.begin_transaction()
        await one.execute("SET LOCAL deadlock_timeout = '20ms'")
        await one.execute("UPDATE parent SET id = id WHERE id = $1", row)
    results = await asyncio.gather(
        adapter.execute("UPDATE parent SET id = id WHERE id = 2"),
        other.execute("UPDATE parent SET id = id WHERE id = 1"),
        return_exceptions=True,
    )
    failed = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in failed] == [errors.TransactionConflictError]
    assert isinstance(failed[0], errors.EventStoreError)
    assert (failed[0].sqlstate, failed[0].retryable) == ("40P01", True)
    await adapter.rollback_transaction()


async def test_serialisation_failure(adapter: PostgreSQLAdapter, other: PostgreSQLAdapter):
    """A transaction that read what another has changed fails, and may be run again."""
    await adapter.begin_transaction(isolation="serializable")
    await adapter.fetch_all("SELECT * FROM parent")
    await other.execute("UPDATE parent SET id = 5 WHERE id = 1")
    with pytest.raises(errors.TransactionConflictError) as caught:
        await adapter.execute("UPDATE parent SET id = 6 WHERE id = 1")
    assert (caught.value.sqlstate, caught.value.retryable) == ("40001", True)
    await adapter.rollback_transaction()


async def test_lock_timeout(adapter: PostgreSQLAdapter, other: PostgreSQLAdapter):
    """A lock that is not had in time is another transaction in the way."""
    await other.begin_transaction()
    await other.execute("LOCK TABLE parent")
    async with adapter.transaction():
        await adapter.execute("SET LOCAL lock_timeout = '20ms'")
        with pytest.raises(errors.TransactionConflictError) as caught:
            async with adapter.savepoint():
                await adapter.execute("SELECT * FROM parent")
    assert (caught.value.sqlstate, caught.value.retryable) == ("55P03", True)


async def test_idle_in_transaction(adapter: PostgreSQLAdapter):
    """A forgotten transaction is ended by the server; the next statement says that it is gone."""
    await adapter.begin_transaction()
    await adapter.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
    await asyncio.sleep(0.2)
    with pytest.raises((errors.ConnectionError, errors.TimeoutError)):
        await adapter.execute("SELECT 1")
    assert not adapter.has_active_transaction
    await adapter.rollback_transaction()
    assert await adapter.fetch_value("SELECT 1") == 1


async def _returns_rows(adapter: PostgreSQLAdapter, query: str) -> bool:
    return bool(await adapter.fetch_all(query))


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_terminated_connection(
    adapter: PostgreSQLAdapter, other: PostgreSQLAdapter, in_transaction: bool
):
    """Inside a transaction it is known that nothing was applied; outside it is not."""
    if in_transaction:
        await adapter.begin_transaction()
    sleeper = asyncio.ensure_future(adapter.execute("SELECT pg_sleep(30)"))
    terminate = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE query = 'SELECT pg_sleep(30)' AND state = 'active' AND datname = current_database()
    """
    await until(lambda: _returns_rows(other, terminate))
    with pytest.raises(errors.ConnectionError) as caught:
        await sleeper
    assert isinstance(caught.value, builtins.ConnectionError)
    assert type(caught.value) is (errors.ConnectionError if in_transaction else errors.ConnectionLostError)
    assert caught.value.retryable == in_transaction


async def test_a_cancelled_query(adapter: PostgreSQLAdapter, other: PostgreSQLAdapter):
    """What an administrator cancels is a time-out, the built-in one too."""
    sleeper = asyncio.ensure_future(adapter.execute("SELECT pg_sleep(30)"))
    cancel = """
        SELECT pg_cancel_backend(pid) FROM pg_stat_activity
         WHERE query = 'SELECT pg_sleep(30)' AND state = 'active' AND datname = current_database()
    """
    await until(lambda: _returns_rows(other, cancel))
    with pytest.raises(errors.TimeoutError) as caught:
        await sleeper
    assert isinstance(caught.value, builtins.TimeoutError)
    assert caught.value.sqlstate == "57014"


async def test_too_many_connections(database_config: DatabaseConfig, adapter: PostgreSQLAdapter):
    """A server that has no connection left is worth another attempt later."""
    await adapter.execute("CREATE ROLE one_at_a_time LOGIN CONNECTION LIMIT 0")
    config = database_config.replace(user="one_at_a_time", connect_timeout=0.2)
    try:
        with pytest.raises(errors.ConnectionError) as caught:
            await ConnectionFactory.create_connection(config)
        assert type(caught.value) is errors.ConnectionError
        assert caught.value.sqlstate == "53300"
        assert "max_pool_size" in str(caught.value)
    finally:
        await adapter.execute("DROP ROLE one_at_a_time")


async def test_a_table_that_changes_under_a_prepared_statement(
    adapter: PostgreSQLAdapter, other: PostgreSQLAdapter
):
    """Inside a transaction that is a conflict, which starting over resolves."""
    await adapter.begin_transaction()
    await adapter.fetch_all("SELECT * FROM child")
    await adapter.commit_transaction()
    pinned = adapter.connection
    assert isinstance(pinned, DatabaseConnection)
    async with pinned.acquire() as connection:
        await connection.fetch("SELECT * FROM child")
        await other.execute("ALTER TABLE child ALTER id TYPE bigint")
        await connection.execute("BEGIN")
        with pytest.raises(errors.TransactionConflictError) as caught, mapped_errors():
            await connection.fetch("SELECT * FROM child")
    assert caught.value.retryable


async def test_own_statements_say_that_the_database_is_not_migrated(connection: DatabaseConnection):
    """A missing table is the database's lack when the statement is ours."""
    async with connection.acquire() as one:
        for statement in ("SELECT * FROM events", "SELECT no_such FROM pg_class", "SELECT no_such()"):
            with (
                pytest.raises(errors.NotMigratedError, match="eventstore migrate"),
                mapped_errors(own_statement=True, connection=one),
            ):
                await one.execute(statement)


def test_network_errors():
    """A reset, a broken pipe or a protocol out of step is a lost connection; a time-out is none."""
    lost = (
        ConnectionResetError(),
        BrokenPipeError(),
        OSError(113, "No route"),
        asyncpg.InternalClientError("x"),
    )
    for error in lost:
        assert type(map_error(error)) is errors.ConnectionLostError
        assert type(map_error(error, in_transaction=True)) is errors.ConnectionError
    assert type(map_error(builtins.TimeoutError())) is errors.TimeoutError
    assert type(map_error(asyncpg.ClientConfigurationError("bad"))) is errors.ConfigurationError
    assert type(map_error(asyncpg.InterfaceError("bad"))) is errors.RepositoryError


def test_an_error_of_ours_stays_itself():
    """It is not wrapped again, here or in the context manager."""
    error = errors.NotMigratedError("x")
    assert map_error(error) is error
    with pytest.raises(errors.NotMigratedError) as caught, mapped_errors():
        raise error
    assert caught.value is error


def test_every_sqlstate_of_asyncpg_is_mapped():
    """No error of PostgreSQL escapes as asyncpg's, and only what was not applied is retryable."""
    states = asyncpg.exceptions._base.PostgresMessageMeta._message_map
    assert len(states) > 200
    retryable = set()
    for state, kind in states.items():
        if not issubclass(kind, asyncpg.PostgresError):
            continue
        mapped = map_error(kind("x"))
        assert isinstance(mapped, errors.EventStoreError)
        assert mapped.sqlstate == kind.sqlstate
        if mapped.retryable:
            retryable.add(state)
    assert retryable == {"40000", "40001", "40P01", "53300", "55P03", "57P03"}
