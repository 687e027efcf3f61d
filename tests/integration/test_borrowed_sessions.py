"""What a borrower has done to a session stays his: neither the library nor another borrower meets any of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from eventstore import errors
from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.database.connecting import connect_arguments
from eventstore.database.session_effects import Effect, effect_of
from eventstore.domain.order import Order, OrderSide
from eventstore.store import EventStore, built_in_projections
from projections.check import check
from projections.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from eventstore.database import DatabaseConfig

    Work = Callable[[Any], Awaitable[Any]]

STATE = """
    SELECT
        current_user::text AS role, session_user::text AS login, current_setting('search_path') AS path,
        current_setting('session_replication_role') AS triggers, current_setting('synchronous_commit') AS durable,
        current_setting('default_transaction_read_only') AS reads_only, current_setting('statement_timeout') AS time_limit,
        coalesce(current_setting('mine.own', true), '') AS mine,
        to_regclass('pg_temp.scratch')::text AS scratch, to_regclass('events')::oid = 'public.events'::regclass AS events,
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
        (SELECT count(*) FROM pg_listening_channels()) AS channels,
        (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
        (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) AS prepared
"""
CLEAN = {
    "role": "postgres",
    "login": "postgres",
    "path": '"$user", public',
    "triggers": "origin",
    "durable": "on",
    "reads_only": "off",
    "time_limit": "0",
    "mine": "",
    "scratch": None,
    "events": True,
    "locks": 0,
    "channels": 0,
    "cursors": 0,
    "prepared": 0,
}

HIDDEN = """
    CREATE FUNCTION public.untidy(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; END $$
"""

STATEMENTS = {
    "a temporary table": "CREATE TEMP TABLE scratch AS SELECT * FROM events",
    "a temporary table of ours": "CREATE TEMPORARY TABLE events AS SELECT * FROM public.events",
    "a temporary table by its schema": "CREATE TABLE pg_temp.orders AS SELECT 1 AS one",
    "a temporary table after a comment": "/* mine */ SELECT 1 AS id INTO TEMP scratch",
    "a role": "SET ROLE pg_monitor",
    "a login": "SET SESSION AUTHORIZATION pg_monitor",
    "a path": "SET search_path = pg_catalog",
    "triggers off": "SET session_replication_role = replica",
    "no durability": "SELECT 1; SET synchronous_commit = off",
    "reading only": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "a short time": "SET statement_timeout = '200ms'",
    "a setting by a function": "SELECT set_config('mine.own', 'yes', false)",
    "a lock": "SELECT pg_advisory_lock(77)",
    "a shared lock": "SELECT pg_try_advisory_lock_shared(7, 7)",
    "a channel": "LISTEN somewhere",
    "a cursor": "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
    "a prepared statement": "PREPARE mine AS SELECT 1",
    "the driver's statements gone": "DEALLOCATE ALL",
    "all gone": "DO $$ BEGIN EXECUTE 'DISCARD PLANS'; END $$",
    "a library": "LOAD 'plpgsql'",
    "a temporary table in a function": "SELECT untidy('CREATE TEMP TABLE events (LIKE public.events)')",
    "a role in a function": "SELECT untidy('SET ROLE pg_monitor')",
    "a login in a function": "SELECT untidy('SET SESSION AUTHORIZATION pg_monitor')",
    "a setting in a function": "SELECT untidy('SET default_transaction_read_only = on')",
    "a lock in a function": "SELECT untidy('SELECT pg_advisory_lock(1)')",
    "a channel in a function": "SELECT untidy('LISTEN here')",
}


@pytest_asyncio.fixture
async def store(migrated_config: DatabaseConfig) -> AsyncIterator[EventStore]:
    """A store with one connection, which everybody borrows in turn."""
    config = migrated_config.replace(min_pool_size=1, max_pool_size=1)
    async with EventStore.open(config, workers=False) as opened:
        async with opened.connection.acquire() as connection:
            await connection.execute(HIDDEN)
        yield opened


async def place(store: EventStore, symbol: str) -> int:
    """Append an order; return its position."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order(symbol, Decimal(1), OrderSide.BUY))
    assert uow.last_position is not None
    return uow.last_position


@asynccontextmanager
async def by_acquire(store: EventStore) -> AsyncIterator[Any]:
    """A loan for a block."""
    async with store.connection.acquire() as connection:
        yield connection


@asynccontextmanager
async def for_user(store: EventStore) -> AsyncIterator[Any]:
    """A loan for anything."""
    async with store.connection.acquire_for_user() as connection:
        yield connection


@asynccontextmanager
async def by_adapter(store: EventStore) -> AsyncIterator[Any]:
    """Single statements of an adapter."""
    yield PostgreSQLAdapter(store.connection)


@asynccontextmanager
async def in_transaction(store: EventStore) -> AsyncIterator[Any]:
    """Statements in a transaction of an adapter."""
    adapter = PostgreSQLAdapter(store.connection)
    async with adapter.transaction():
        yield adapter


LOANS = {
    "acquire": by_acquire,
    "acquire_for_user": for_user,
    "adapter": by_adapter,
    "transaction": in_transaction,
}


async def assert_clean(store: EventStore) -> None:
    """The library writes and reads its own tables, with all rights, and the next borrower's session is a new one."""
    position = await place(store, "NEXT")
    async with store.connection.acquire() as connection:
        assert dict(await connection.fetchrow(STATE)) == CLEAN
        assert await connection.fetchval("SELECT max(position) FROM public.events") == position
    last = [event async for event in store.log.read_all(after=position - 1)][-1]
    assert last.position == position
    async with store.unit_of_work() as uow:
        assert (await uow.orders.get_orders_by_symbol("NEXT"))[0].symbol == "NEXT"


@pytest.mark.parametrize("loan", LOANS)
async def test_a_statement_stays_with_its_borrower(store: EventStore, loan: str):
    """Whatever a statement did to its session, and wherever it was run."""
    for what, statement in STATEMENTS.items():
        async with LOANS[loan](store) as borrowed:
            await borrowed.execute(statement)
        try:
            await assert_clean(store)
        except Exception as error:
            raise AssertionError(f"{what} has reached the next borrower") from error


async def test_the_state_is_looked_at(store: EventStore):
    """Each of these statements shows in what the other tests compare, or in a statement that fails."""
    seen = set()
    for what, statement in STATEMENTS.items():
        async with store.connection.acquire_for_user() as connection:
            await connection.execute(statement)
            if what == "a short time":
                await connection.execute("SET statement_timeout = '1h'")
            state = dict(await connection.fetchrow(STATE)) if "login" not in what else {}
            if state != CLEAN:
                seen.add(what)
    assert STATEMENTS.keys() - seen == {"a library", "the driver's statements gone", "all gone"} | {
        "a temporary table by its schema"
    }


async def change_codec(connection: Any) -> None:
    """Have jsonb as objects, where the library takes text."""
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def change_enum(connection: Any) -> None:
    """Have an enum of the library's otherwise."""
    await connection.set_type_codec("order_side", encoder=str, decoder=len, schema="public", format="text")


async def change_numbers(connection: Any) -> None:
    """Have numbers of the database as floats."""
    await connection.set_type_codec("numeric", encoder=str, decoder=float, schema="pg_catalog", format="text")


async def listen(connection: Any) -> None:
    """Be told of notices and notifications."""
    await connection.add_listener("somewhere", print)
    connection.add_log_listener(print)
    connection.add_termination_listener(lambda _: None)


DRIVER = {"jsonb": change_codec, "an enum": change_enum, "numbers": change_numbers, "listeners": listen}


@pytest.mark.parametrize("loan", ["acquire", "acquire_for_user"])
@pytest.mark.parametrize("what", DRIVER)
async def test_what_was_asked_of_the_driver_stays_with_its_borrower(store: EventStore, what: str, loan: str):
    """Codecs and listeners are the connection's, in this process."""
    await assert_clean(store)
    async with LOANS[loan](store) as borrowed:
        await DRIVER[what](borrowed)
    await assert_clean(store)


async def test_codecs_set_through_an_adapter_stay_with_its_call(store: EventStore):
    """`run` hands out the connection itself, and so does an open transaction."""
    adapter = PostgreSQLAdapter(store.connection)
    await adapter.run(change_codec)
    await assert_clean(store)
    async with adapter.transaction():
        await change_codec(adapter.transaction_connection)
    await assert_clean(store)


async def test_a_query_logger_hears_its_borrower_alone(store: EventStore):
    """One that was left on a connection hears nothing of what the next one sends."""
    heard: list[str] = []
    async with store.connection.acquire() as connection:
        connection.add_query_logger(lambda record: heard.append(record.query))
        await connection.fetchval("SELECT 17")
    await assert_clean(store)
    assert heard[0] == "SELECT 17"
    assert not any("events" in statement for statement in heard)


async def test_what_was_done_for_a_user_ends_with_the_block(migrated_config: DatabaseConfig):
    """No lock outlives it, each block has a session of its own, and who ran nothing costs nobody a connection."""
    async with await ConnectionFactory.create_connection(
        migrated_config.replace(min_pool_size=1, max_pool_size=1)
    ) as connection:
        pids = []
        for statement in ("SELECT pg_advisory_lock(5)", "SELECT 11"):
            async with connection.acquire_for_user() as one:
                pids.append(one.get_server_pid())
                await one.execute(statement)
            other = await asyncpg.connect(**connect_arguments(migrated_config))
            try:
                assert await other.fetchval("SELECT pg_try_advisory_lock(5)")
            finally:
                await other.close()
        assert len(set(pids)) == 2
        for _ in range(3):
            async with connection.acquire_for_user() as one:
                pids.append(one.get_server_pid())
        assert len(set(pids)) == 3


async def test_a_function_that_takes_the_drivers_statements_away(store: EventStore):
    """No text shows it; the connection is ended at the first statement that fails for it, not used for ever."""
    await assert_clean(store)
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT untidy('DEALLOCATE ALL')")
    with pytest.raises(errors.RepositoryError):
        await store.log.head()
    await assert_clean(store)


async def test_a_reset_that_fails_ends_the_connection(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """So nobody gets a session of which nothing is known."""
    monkeypatch.setattr("eventstore.database.pooled.RESET", "SELECT 1 / 0")
    async with store.connection.acquire() as connection:
        pid = connection.get_server_pid()
        await connection.execute("SELECT untidy('SET ROLE pg_monitor')")
    monkeypatch.undo()
    async with store.connection.acquire() as connection:
        assert connection.get_server_pid() != pid
    await assert_clean(store)


async def test_a_reset_that_is_lost_ends_the_connection(store: EventStore):
    """As where an administrator ends the session meanwhile."""
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT untidy('SET ROLE pg_monitor')")
        other = await asyncpg.connect(**connect_arguments(store.connection.config))
        await other.execute("SELECT pg_terminate_backend($1::int)", connection.get_server_pid())
        await other.close()
    await assert_clean(store)


async def test_the_librarys_own_statements_need_no_reset(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """Appends, reads, lists, folds and audits leave every session as it was, so they pay for no reset.

    A rebuild creates and renames tables, which costs a reset now and then, but no connection.
    """
    reset: list[str] = []

    def noted(statement: str) -> Effect:
        effect = effect_of(statement)
        if effect is not Effect.NONE:
            reset.append(statement)
        return effect

    async with EventStore.open(migrated_config) as store:
        monkeypatch.setattr("eventstore.database.pooled.effect_of", noted)
        await store.wait_for(await place(store, "ES"))
        async with store.unit_of_work() as uow:
            (order,) = await uow.orders.get_orders_by_symbol("ES")
            await uow.flush()
            order.cancel()
            await uow.orders.update_order(order)
            await uow.flush()
        await asyncio.gather(*(place(store, "NQ") for _ in range(120)))
        await store.wait_for(await place(store, "ES"))
        async with store.as_of(position=1) as past:
            assert len(await past.orders.get_active_orders()) == 1
        await store.state_snapshots.make()
        assert (await check(store.log, built_in_projections())).findings == ()
        assert await store.connection.health_check()
        [event async for event in store.log.read_all()]
        adapter = PostgreSQLAdapter(store.connection)
        await adapter.connection_info()
        async with adapter.transaction():
            pass
        assert reset == []
        for projection in built_in_projections():
            await rebuild(store.log, projection)
        assert Effect.LASTING not in map(effect_of, reset)


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN", "begin isolation level serializable;", "COMMIT", "ROLLBACK TO SAVEPOINT a", "SAVEPOINT a",
        "SET LOCAL statement_timeout = 5", "SET CONSTRAINTS ALL IMMEDIATE", "LOCK TABLE events IN SHARE MODE",
    ],
)  # fmt: skip
def test_what_ends_with_its_transaction_leaves_nothing(statement: str):
    """These need no reset."""
    assert effect_of(statement) is Effect.NONE


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 11", "UPDATE t SET a = 1", "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
        "SELECT temp, load, prepare FROM listen", "COMMIT; SELECT f()", "CALL p()",
        "PREPARE TRANSACTION 'x'", "CREATE TABLE temp (a int)",
    ],
)  # fmt: skip
def test_what_may_leave_something_has_the_session_reset(statement: str):
    """And words that only look like a change of the session cost no connection."""
    assert effect_of(statement) is Effect.UNKNOWN


@pytest.mark.parametrize(
    "statement",
    [
        *(text for name, text in STATEMENTS.items() if not name.endswith("in a function")),
        "begin; set role x", "-- why\nSET ROLE x", "/* why */SET ROLE x", "RESET ROLE", "DISCARD TEMP", "UNLISTEN *",
        "CREATE LOCAL TEMP TABLE a ()", "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_says_that_it_changes_the_session_ends_the_connection(statement: str):
    """A long text is not looked through."""
    assert effect_of(statement) is Effect.LASTING
