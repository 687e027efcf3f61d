"""The pool: its limits, what it recycles, how it closes, and that nothing makes it lose a connection."""

from __future__ import annotations

import asyncio
import random
import socket
import traceback
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection, PostgreSQLAdapter
from tests.cancelling import cancelled_at
from tests.pools import assert_whole, opened, prepare_table, sessions, terminate_all, use
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def test_the_pool_keeps_its_limits(database_config: DatabaseConfig):
    """It opens as many as it should at once, never more than it may, and counts them."""
    connection = await opened(database_config, min_pool_size=2, max_pool_size=3)
    try:
        now = connection.statistics()
        assert (now.size, now.idle, now.in_use, now.waiting, now.min_size, now.max_size) == (2, 2, 0, 0, 2, 3)
        async with connection.acquire(), connection.acquire(), connection.acquire():
            waiter = asyncio.ensure_future(use(connection))
            await until(lambda: connection.statistics().waiting == 1)
            now = connection.statistics()
            assert (now.size, now.idle, now.in_use) == (3, 0, 3)
            assert len(await sessions(database_config)) == 3
        await waiter
        assert connection.statistics().in_use == 0
    finally:
        await connection.close()


async def test_waiting_too_long_names_the_limit(database_config: DatabaseConfig):
    """A pool that is used up says so: which limit, how many are in use, what to do."""
    connection = await opened(database_config, max_pool_size=1, connect_timeout=0.5)
    try:
        async with connection.acquire():
            for timeout_s, shown in ((None, "0.5 s"), (0.02, "0.02 s")):
                with pytest.raises(errors.TimeoutError) as caught:
                    async with connection.acquire(timeout_s=timeout_s):
                        pass
                for part in (shown, "connect_timeout", "all 1 are in use", "max_pool_size"):
                    assert part in str(caught.value)
        await assert_whole(connection)
    finally:
        await connection.close()


async def test_idle_connections_above_the_minimum_are_closed(database_config: DatabaseConfig):
    """After `max_idle_time` only `min_pool_size` are left."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=4, max_idle_time=0.1)
    try:
        await assert_whole(connection)
        assert connection.statistics().size == 4
        await until(lambda: connection.statistics().size == 1)
    finally:
        await connection.close()


async def test_idle_connections_are_replaced_at_the_end_of_their_life(database_config: DatabaseConfig):
    """A connection that nobody uses is closed after `max_lifetime`, and another takes its place."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1, max_lifetime=0.2)
    try:
        first = (await sessions(database_config))[0]["pid"]

        async def first_is_gone() -> bool:
            return first not in {session["pid"] for session in await sessions(database_config)}

        await until(first_is_gone)
        async with connection.acquire() as one:
            assert one.get_server_pid() != first
    finally:
        await connection.close()


async def test_a_used_connection_is_replaced_when_it_comes_back(database_config: DatabaseConfig):
    """The end of its life interrupts nobody: it is closed on its return."""
    connection = await opened(database_config, min_pool_size=0, max_pool_size=1, max_lifetime=0.1)
    try:
        async with connection.acquire() as one:
            first = one.get_server_pid()
            await asyncio.sleep(0.3)
            assert await one.fetchval("SELECT 1") == 1
        async with connection.acquire() as one:
            assert one.get_server_pid() != first
    finally:
        await connection.close()


async def test_lifetimes_differ(database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch):
    """Connections opened together do not all end together."""
    monkeypatch.setattr(random, "random", iter([0.0, 0.5, 0.999, 0.25]).__next__)
    connection = await opened(database_config, min_pool_size=4, max_pool_size=4, max_lifetime=100)
    try:
        ends = sorted(one.expires_at_s or 0 for one in connection._connections)
        assert ends[-1] - ends[0] == pytest.approx(9.99, abs=1)
    finally:
        await connection.close()


async def test_an_open_transaction_does_not_come_back(
    connection: DatabaseConnection, caplog: pytest.LogCaptureFixture
):
    """Who leaves a transaction open at the end of the block has it rolled back, without a fuss."""
    for acquire in (connection.acquire, connection.acquire_for_user):
        async with acquire() as one:
            await one.execute("BEGIN")
            await one.execute("CREATE TABLE left_open ()")
        async with connection.acquire() as one:
            assert not one.is_in_transaction()
            assert await one.fetchval("SELECT to_regclass('left_open')::text") is None
    await assert_whole(connection)
    assert caplog.text == ""


async def test_a_failed_transaction_does_not_come_back(connection: DatabaseConnection):
    """Nor one that PostgreSQL has aborted."""

    async def fail() -> None:
        async with connection.acquire() as one:
            await one.execute("BEGIN")
            await one.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await fail()
    await assert_whole(connection)


async def test_the_session_is_reset_after_users(database_config: DatabaseConfig):
    """What a user has set is gone for the next."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    try:
        async with connection.acquire_for_user() as one:
            await one.execute("SET search_path = nowhere")
            await one.execute("SELECT pg_advisory_lock(7)")
            await one.execute("LISTEN somewhere")
        async with connection.acquire() as one:
            assert await one.fetchval("SHOW search_path") == '"$user", public'
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            assert await one.fetchval(locks) == 0
            assert await one.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
    finally:
        await connection.close()


async def test_killed_connections_are_replaced(database_config: DatabaseConfig):
    """After an administrator has ended all of them, the next callers get new ones, without an error."""
    connection = await opened(database_config, min_pool_size=3, max_pool_size=3)
    try:
        await terminate_all(database_config)
        await assert_whole(connection)
    finally:
        await connection.close()


async def test_a_connection_killed_in_use_is_not_lost(database_config: DatabaseConfig):
    """The statement fails, and the pool is whole again."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=2)

    async def sleep() -> None:
        async with connection.acquire() as one:
            await one.fetchval("SELECT pg_sleep(30)")

    async def sleeps() -> bool:
        return any(session["state"] == "active" for session in await sessions(database_config))

    try:
        sleeper = asyncio.ensure_future(sleep())
        await until(sleeps)
        await terminate_all(database_config)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await sleeper
        await assert_whole(connection)
    finally:
        await connection.close()


@pytest.mark.parametrize("for_user", [False, True])
async def test_cancelling_at_every_await_loses_nothing(database_config: DatabaseConfig, for_user: bool):
    """A transaction is cancelled at its k-th suspension, for every k, with connecting as part of it."""
    connection = await opened(database_config, min_pool_size=0, max_pool_size=2)
    acquire = connection.acquire_for_user if for_user else connection.acquire
    try:
        await prepare_table(connection)

        async def work() -> None:
            async with acquire() as one:
                await one.execute("BEGIN")
                await one.execute("INSERT INTO t VALUES (1)")
                await one.execute("SELECT pg_sleep(0.001)")
                await one.execute("COMMIT")

        for fresh in (True, False):
            at = 1
            while True:
                if fresh:  # so that connecting, too, is cancelled in the middle
                    await terminate_all(database_config)
                was_cancelled, suspended = await cancelled_at(at, work)
                await assert_whole(connection)
                if suspended < at:
                    assert not was_cancelled
                    break
                at += 1
            assert at > 4
    finally:
        await connection.close()
    left = [s for s in await sessions(database_config) if s["xact_start"] is not None]
    assert left == []


async def test_cancelling_at_random_under_load(database_config: DatabaseConfig):
    """Many callers of a small pool, each cancelled after a random time: none is lost, nothing stays open."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=3)
    chance = random.Random(1)
    try:
        await prepare_table(connection)

        async def work() -> None:
            async with connection.acquire() as one, one.transaction():
                await one.execute("INSERT INTO t VALUES (1)")
                await one.execute("SELECT pg_sleep(0.001)")

        for _ in range(15):
            tasks = [asyncio.ensure_future(work()) for _ in range(20)]
            for task in tasks:
                asyncio.get_running_loop().call_later(chance.random() * 0.02, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() or task.exception() is None for task in tasks)
        await assert_whole(connection)
        assert all(session["state"] != "idle in transaction" for session in await sessions(database_config))
    finally:
        await connection.close()


async def test_a_wait_that_times_out_as_a_connection_comes_loses_none(database_config: DatabaseConfig):
    """The time-out of the wait and the hand-over fall together as often as can be arranged."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    try:
        for step in range(60):
            async with connection.acquire():
                waiter = asyncio.ensure_future(_use_within(connection, 0.01 + step * 1e-5))
                await asyncio.sleep(0.0102)
            await waiter
        await assert_whole(connection)
    finally:
        await connection.close()


async def _use_within(connection: DatabaseConnection, timeout_s: float) -> None:
    try:
        async with connection.acquire(timeout_s=timeout_s) as one:
            await one.fetchval("SELECT 1")
    except errors.TimeoutError:
        pass


async def test_an_error_of_the_block_is_the_one_that_leaves_it(connection: DatabaseConnection):
    """The way back of the connection hides nothing."""

    async def fail(act: Callable[[Any], Awaitable[Any]]) -> None:
        async with connection.acquire() as one:
            await act(one)
            raise LookupError

    async def begin(one: Any) -> None:
        await one.execute("BEGIN")

    async def close(one: Any) -> None:
        await one.close()

    async def terminate(one: Any) -> None:
        one.terminate()

    for act in (begin, close, terminate):
        with pytest.raises(LookupError):
            await fail(act)
    await assert_whole(connection)


async def failure(config: DatabaseConfig) -> errors.ConnectionError:
    """The error of a first statement."""
    async with await ConnectionFactory.create_connection(config) as connection:
        with pytest.raises(errors.ConnectionError) as caught:
            await PostgreSQLAdapter(connection).fetch_value("SELECT 1")
    return caught.value


@pytest.mark.parametrize("refuses", [True, False])
async def test_no_report_of_a_failure_shows_the_password(*, refuses: bool):
    """Not even one with local variables, whether the server refuses or does not answer."""
    secret = "hunter2-very-secret"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if not refuses:
            silent.listen()
        limits: Any = {"connect_timeout": 0.3, "min_pool_size": 0, "ssl_mode": "disable"}
        port = silent.getsockname()[1]
        error = await failure(DatabaseConfig(host="127.0.0.1", port=port, password=secret, **limits))
    report = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "**********" in report
    assert secret not in report
