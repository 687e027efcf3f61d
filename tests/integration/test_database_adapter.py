"""The adapter: statements, transactions, savepoints, lost answers, and cancellation at every await."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection, PostgreSQLAdapter
from eventstore.database.connecting import connect_arguments
from tests.cancelling import cancelled_at
from tests.conftest import admin_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(params=["DatabaseConnection", "asyncpg pool"])
async def adapter(
    request: pytest.FixtureRequest, database_config: DatabaseConfig
) -> AsyncIterator[PostgreSQLAdapter]:
    """An adapter of either kind of pool, with a table `t (i int primary key)`."""
    if request.param == "DatabaseConnection":
        connection = await ConnectionFactory.create_connection(database_config)
        made = PostgreSQLAdapter(connection)
    else:
        connection = await asyncpg.create_pool(min_size=1, max_size=3, **connect_arguments(database_config))
        made = PostgreSQLAdapter(connection)
    await made.execute("CREATE TABLE t (i int CONSTRAINT t_pkey PRIMARY KEY)")
    yield made
    await connection.close()


async def values(adapter: PostgreSQLAdapter) -> list[int]:
    """What the table holds, in order, as another connection sees it."""
    return [row["i"] for row in await PostgreSQLAdapter(adapter.connection).fetch_all("TABLE t ORDER BY i")]


async def test_statements(adapter: PostgreSQLAdapter):
    """Each kind of call returns what it says; parameters are bound, not pasted."""
    assert await adapter.execute("INSERT INTO t VALUES ($1), ($2)", 1, 2) == "INSERT 0 2"
    await adapter.execute_many("INSERT INTO t VALUES ($1)", ([i] for i in (3, 4)))
    assert await adapter.fetch_value("SELECT count(*) FROM t") == 4
    assert await adapter.fetch_value("SELECT i FROM t WHERE i = 99") is None
    row = await adapter.fetch_one("SELECT i, i + 1 AS next FROM t ORDER BY i")
    assert row is not None
    assert dict(row) == {"i": 1, "next": 2}
    assert await adapter.fetch_one("SELECT i FROM t WHERE i = 99") is None
    assert [row["i"] for row in await adapter.fetch_all("SELECT i FROM t ORDER BY i")] == [1, 2, 3, 4]
    bad = "1'; DROP TABLE t; --"
    assert await adapter.fetch_value("SELECT $1::text", bad) == bad


@pytest.mark.parametrize("query", ["", ";", "-- nothing", "/* nothing */"])
async def test_a_query_of_no_statement_is_no_error(adapter: PostgreSQLAdapter, query: str):
    """PostgreSQL answers it without a command tag; a transaction goes on."""
    assert await adapter.execute(query) == ""
    async with adapter.transaction():
        assert await adapter.execute(query) == ""
        assert await adapter.fetch_one(query) is None
        assert await adapter.fetch_value("SELECT 1") == 1


async def test_execute_many_is_all_or_nothing(adapter: PostgreSQLAdapter):
    """A row that is refused takes the others with it."""
    with pytest.raises(errors.IntegrityError):
        await adapter.execute_many("INSERT INTO t VALUES ($1)", [[1], [2], [1]])
    assert await values(adapter) == []


async def test_commit_and_roll_back(adapter: PostgreSQLAdapter):
    """A transaction is visible to others after its commit, never after its roll-back; then it is over."""
    assert not adapter.has_active_transaction
    await adapter.begin_transaction()
    assert adapter.has_active_transaction
    assert adapter.transaction_connection is not None
    await adapter.execute("INSERT INTO t VALUES (1)")
    assert await adapter.fetch_value("SELECT count(*) FROM t") == 1
    assert await values(adapter) == []
    await adapter.commit_transaction()
    assert not adapter.has_active_transaction
    assert adapter.transaction_connection is None
    assert await values(adapter) == [1]
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (2)")
    await adapter.rollback_transaction()
    assert not adapter.has_active_transaction
    assert await values(adapter) == [1]


async def test_one_transaction_at_a_time(adapter: PostgreSQLAdapter):
    """A second begin is refused and harms nothing; without one, nothing can be ended."""
    for end in (adapter.commit_transaction, adapter.rollback_transaction):
        with pytest.raises(errors.TransactionNotActiveError):
            await end()
    await adapter.begin_transaction()
    with pytest.raises(errors.TransactionAlreadyActiveError):
        await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    await adapter.commit_transaction()
    assert await values(adapter) == [1]


async def test_isolation_and_read_only(adapter: PostgreSQLAdapter):
    """The level is the one asked for, and a read-only transaction writes nothing."""
    for level in ("read committed", "repeatable read", "serializable"):
        async with adapter.transaction(isolation=level):
            assert await adapter.fetch_value("SHOW transaction_isolation") == level
    with pytest.raises(errors.TransactionError, match="primary"):
        async with adapter.transaction(read_only=True):
            await adapter.execute("INSERT INTO t VALUES (1)")
    assert not adapter.has_active_transaction


async def test_transaction_block(adapter: PostgreSQLAdapter):
    """Its end commits; an error leaves it as itself, with everything rolled back."""
    async with adapter.transaction() as same:
        assert same is adapter
        await adapter.execute("INSERT INTO t VALUES (1)")

    async def fail() -> None:
        async with adapter.transaction():
            await adapter.execute("INSERT INTO t VALUES (2)")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert not adapter.has_active_transaction
    assert await values(adapter) == [1]


async def test_committing_a_failed_transaction_is_an_error(adapter: PostgreSQLAdapter):
    """PostgreSQL answers ROLLBACK to such a COMMIT, without an error: it is not taken for success."""
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(errors.IntegrityError):
        await adapter.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(errors.TransactionError, match="an earlier statement failed"):
        await adapter.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(errors.TransactionCommitError) as caught:
        await adapter.commit_transaction()
    assert caught.value.outcome == "not_applied"
    assert not adapter.has_active_transaction
    assert await values(adapter) == []


async def test_a_deferred_constraint_speaks_at_commit(adapter: PostgreSQLAdapter):
    """The error is that of the constraint, by its name."""
    await adapter.execute("CREATE TABLE d (i int CONSTRAINT d_key UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO d VALUES (1), (1)")
    with pytest.raises(errors.IntegrityError) as caught:
        await adapter.commit_transaction()
    assert caught.value.constraint == "d_key"
    assert not adapter.has_active_transaction
    assert await adapter.fetch_value("SELECT count(*) FROM d") == 0


async def test_savepoints(adapter: PostgreSQLAdapter):
    """An error undoes its block alone, nested or not, and leaves the transaction usable."""

    async def insert_and_fail(value: int) -> None:
        async with adapter.savepoint():
            await adapter.execute("INSERT INTO t VALUES ($1)", value)
            await adapter.execute("INSERT INTO t VALUES ($1)", value)

    async with adapter.transaction():
        await adapter.execute("INSERT INTO t VALUES (1)")
        async with adapter.savepoint():
            await adapter.execute("INSERT INTO t VALUES (2)")
            with pytest.raises(errors.IntegrityError):
                await insert_and_fail(3)
            await adapter.execute("INSERT INTO t VALUES (4)")
        with pytest.raises(errors.IntegrityError):
            await insert_and_fail(5)
        await adapter.execute("INSERT INTO t VALUES (6)")
    assert await values(adapter) == [1, 2, 4, 6]


async def test_a_savepoint_needs_a_transaction(adapter: PostgreSQLAdapter):
    """Outside of one there is nothing to return to."""
    with pytest.raises(errors.TransactionNotActiveError):
        async with adapter.savepoint():
            pass


async def test_time_limit_of_a_call(adapter: PostgreSQLAdapter):
    """A statement over its limit is cancelled on the server, and the adapter goes on."""
    with pytest.raises(errors.TimeoutError, match="timeout_s"):
        await adapter.fetch_value("SELECT pg_sleep(30)", timeout_s=0.05)
    assert await adapter.fetch_value("SELECT 1") == 1
    async with adapter.transaction():
        await adapter.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(errors.TimeoutError):
            async with adapter.savepoint():
                await adapter.fetch_value("SELECT pg_sleep(30)", timeout_s=0.05)
    assert await values(adapter) == [1]


async def test_statements_of_a_transaction_take_turns(adapter: PostgreSQLAdapter):
    """Tasks that share a transaction do not trip over each other on its one connection."""
    async with adapter.transaction():
        await asyncio.gather(*(adapter.execute("INSERT INTO t VALUES ($1)", i) for i in range(20)))
    assert await values(adapter) == list(range(20))


async def test_statements_outside_run_side_by_side(adapter: PostgreSQLAdapter):
    """Each has a connection of its own."""
    pids = await asyncio.gather(
        *(adapter.fetch_value("SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(3))
    )
    assert len(set(pids)) == 3


async def test_a_transaction_left_by_hand_does_not_leak(adapter: PostgreSQLAdapter):
    """BEGIN as a statement outside a transaction ends with its call."""
    await adapter.execute("BEGIN")
    await adapter.execute("INSERT INTO t VALUES (1)")
    assert await values(adapter) == [1]


async def test_a_cancelled_statement_ends_the_transaction(adapter: PostgreSQLAdapter):
    """It is rolled back at once, and statements meant for it are refused until that is taken note of."""
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    assert (await cancelled_at(1, lambda: adapter.fetch_value("SELECT pg_sleep(30)")))[0]
    assert not adapter.has_active_transaction
    with pytest.raises(errors.TransactionError, match="cancelled"):
        await adapter.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(errors.TransactionError, match="cancelled"):
        async with adapter.savepoint():
            pass
    await adapter.rollback_transaction()
    await adapter.execute("INSERT INTO t VALUES (3)")
    assert await values(adapter) == [3]


async def test_committing_a_cancelled_transaction_is_an_error(adapter: PostgreSQLAdapter):
    """Who swallowed the cancellation learns of it, once."""
    await adapter.begin_transaction()
    assert (await cancelled_at(1, lambda: adapter.fetch_value("SELECT pg_sleep(30)")))[0]
    with pytest.raises(errors.TransactionCommitError) as caught:
        await adapter.commit_transaction()
    assert caught.value.outcome == "not_applied"
    async with adapter.transaction():
        await adapter.execute("INSERT INTO t VALUES (1)")
    assert await values(adapter) == [1]


async def test_a_new_transaction_clears_a_cancelled_one(adapter: PostgreSQLAdapter):
    """An adapter whose last user is gone can be used by the next."""
    await adapter.begin_transaction()
    assert (await cancelled_at(1, lambda: adapter.fetch_value("SELECT pg_sleep(30)")))[0]
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    await adapter.commit_transaction()
    assert await values(adapter) == [1]


async def open_transactions(config: DatabaseConfig) -> int:
    """How many transactions are open in a database."""
    admin = await admin_connection(config.replace(database="postgres"))
    try:
        count: int = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND xact_start IS NOT NULL",
            config.database,
        )
        return count
    finally:
        await admin.close()


async def test_cancelling_at_every_await(
    adapter: PostgreSQLAdapter, database_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """At each suspension of a transaction with a savepoint: nothing stays open, and it is all or nothing."""

    async def work() -> None:
        async with adapter.transaction():
            await adapter.execute("INSERT INTO t VALUES (1)")
            async with adapter.savepoint():
                await adapter.execute("INSERT INTO t VALUES (2)")
            await adapter.execute_many("INSERT INTO t VALUES ($1)", [[3], [4]])

    at = 1
    while True:
        was_cancelled, suspended = await cancelled_at(at, work)
        assert not adapter.has_active_transaction
        assert await open_transactions(database_config) == 0
        done = await values(adapter)
        assert done in ([], [1, 2, 3, 4])
        await adapter.execute("TRUNCATE t")
        if suspended < at:
            assert not was_cancelled
            assert done == [1, 2, 3, 4]
            break
        at += 1
    assert at >= 8
    assert caplog.text == ""


async def test_cancelling_a_commit_a_thousand_times(database_config: DatabaseConfig):
    """Whenever it comes, a cancelled commit is whole or not at all, and the pool of two stays whole."""
    connection = await ConnectionFactory.create_connection(database_config.replace(max_pool_size=2))
    adapter = PostgreSQLAdapter(connection)
    await adapter.execute("CREATE TABLE t (n int, i int)")
    try:
        outcomes = {True: 0, False: 0}
        for number in range(1000):

            async def work(number: int = number) -> None:
                await adapter.begin_transaction()
                await adapter.execute_many("INSERT INTO t VALUES ($1, $2)", [[number, i] for i in range(3)])
                await adapter.commit_transaction()

            was_cancelled, suspended = await cancelled_at(1 + number % 9, work)
            if adapter.has_active_transaction:  # cancelled between two calls
                await adapter.rollback_transaction()
            count = await PostgreSQLAdapter(connection).fetch_value(
                "SELECT count(*) FROM t WHERE n = $1", number
            )
            assert count in (0, 3)
            assert count == 3 or was_cancelled
            outcomes[count == 3] += 1
            assert suspended > 0
        assert min(outcomes.values()) > 100
        assert connection.statistics().in_use == 0
        assert await open_transactions(database_config) == 0
    finally:
        await connection.close()


async def test_a_cancelled_commit_waits_for_its_answer(database_config: DatabaseConfig):
    """After the cancellation of a commit that was sent, its effect is there at once, not some time later."""
    connection = await ConnectionFactory.create_connection(database_config)
    adapter = PostgreSQLAdapter(connection)
    await adapter.execute(
        "CREATE TABLE t (i int);"
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    await adapter.begin_transaction()
    await adapter.execute("INSERT INTO t VALUES (1)")
    commit = asyncio.ensure_future(adapter.commit_transaction())
    await asyncio.sleep(0.1)
    commit.cancel()
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert await adapter.fetch_value("SELECT count(*) FROM t") == 1
    await connection.close()


async def test_connection_info(adapter: PostgreSQLAdapter, database_config: DatabaseConfig):
    """It tells of the transaction's connection where one is open."""
    info = await adapter.connection_info()
    assert (info.database, info.user) == (database_config.database, database_config.user)
    assert (info.schema, info.encrypted, info.in_recovery) == ("public", False, False)
    assert int(info.server_version.split(".")[0]) >= 15
    async with adapter.transaction():
        assert (await adapter.connection_info()).backend_pid == await adapter.fetch_value(
            "SELECT pg_backend_pid()"
        )


async def test_health_check(adapter: PostgreSQLAdapter):
    """True while the database answers, false afterwards."""
    assert await adapter.health_check()
    await adapter.connection.close()
    health = await adapter.health_check()
    assert not health
    assert health.error


async def test_a_closed_pool(database_config: DatabaseConfig):
    """Statements and transactions are refused in one way."""
    connection: DatabaseConnection = await ConnectionFactory.create_connection(database_config)
    adapter = PostgreSQLAdapter(connection)
    await connection.close()
    calls: list[Any] = [lambda: adapter.fetch_value("SELECT 1"), adapter.begin_transaction]
    for call in calls:
        with pytest.raises(errors.ConnectionClosedError):
            await call()
    assert not adapter.has_active_transaction
