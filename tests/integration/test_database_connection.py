"""The pool: its limits, what it recycles, how it closes, and that nothing makes it lose a connection."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import threading
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from eventstore.database.connecting import Connector
from tests.cancelling import cancelled_at
from tests.conftest import admin_connection
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def sessions(config: DatabaseConfig) -> list[dict[str, Any]]:
    """What the server says of the connections to a database."""
    admin = await admin_connection(config.replace(database="postgres"))
    try:
        rows = await admin.fetch(
            "SELECT pid, state, xact_start FROM pg_stat_activity WHERE datname = $1", config.database
        )
        return [dict(row) for row in rows]
    finally:
        await admin.close()


async def terminate_all(config: DatabaseConfig) -> None:
    """End all connections to a database, as an administrator would."""
    admin = await admin_connection(config.replace(database="postgres"))
    try:
        await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", config.database
        )
    finally:
        await admin.close()


async def opened(config: DatabaseConfig, **changes: Any) -> DatabaseConnection:
    """An open pool with other limits."""
    return await ConnectionFactory.create_connection(config.replace(**changes))


async def assert_whole(connection: DatabaseConnection) -> None:
    """Every connection of the pool can be had at the same time, and none is in a transaction."""
    size = connection.config.max_pool_size
    barrier = asyncio.Barrier(size)

    async def use() -> None:
        async with connection.acquire(timeout_s=10) as one:
            assert not one.is_in_transaction()
            await barrier.wait()
            assert await one.fetchval("SELECT 1") == 1

    await asyncio.gather(*(use() for _ in range(size)))
    now = connection.statistics()
    assert (now.in_use, now.waiting) == (0, 0)


async def test_the_pool_keeps_its_limits(database_config: DatabaseConfig):
    """It opens as many as it should at once, never more than it may, and counts them."""
    connection = await opened(database_config, min_pool_size=2, max_pool_size=3)
    try:
        now = connection.statistics()
        assert (now.size, now.idle, now.in_use, now.waiting, now.min_size, now.max_size) == (2, 2, 0, 0, 2, 3)
        async with connection.acquire(), connection.acquire(), connection.acquire():
            waiter = asyncio.ensure_future(_use(connection))
            await until(lambda: connection.statistics().waiting == 1)
            now = connection.statistics()
            assert (now.size, now.idle, now.in_use) == (3, 0, 3)
            assert len(await sessions(database_config)) == 3
        await waiter
        assert connection.statistics().in_use == 0
    finally:
        await connection.close()


async def _use(connection: DatabaseConnection) -> int:
    async with connection.acquire() as one:
        value: int = await one.fetchval("SELECT 1")
        return value


async def test_waiting_too_long_names_the_limit(database_config: DatabaseConfig):
    """A pool that is used up says so: which limit, how many are in use, what to do."""
    connection = await opened(database_config, max_pool_size=1, connect_timeout=0.05)
    try:
        async with connection.acquire():
            for timeout_s, shown in ((None, "0.05 s"), (0.02, "0.02 s")):
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


async def test_the_session_is_reset_only_after_users(database_config: DatabaseConfig):
    """What a user has set is gone for the next; the library's own statements pay no round trip for that."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    try:
        async with connection.acquire_for_user() as one:
            await one.execute("SET search_path = nowhere")
            await one.execute("SELECT pg_advisory_lock(7)")
            await one.execute("LISTEN somewhere")
        async with connection.acquire() as one:
            assert await one.fetchval("SHOW search_path") == '"$user", public'
            assert await one.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
            assert await one.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
            queries: list[str] = []
            one.add_query_logger(lambda record: queries.append(record.query))
        async with connection.acquire():
            pass
        assert queries == []
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
        await _prepare_table(connection)

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


async def _prepare_table(connection: DatabaseConnection) -> None:
    async with connection.acquire() as one:
        await one.execute("CREATE TABLE t (i int)")


async def test_cancelling_at_random_under_load(database_config: DatabaseConfig):
    """Many callers of a small pool, each cancelled after a random time: none is lost, nothing stays open."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=3)
    chance = random.Random(1)
    try:
        await _prepare_table(connection)

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


async def test_close_lets_running_work_end(database_config: DatabaseConfig):
    """Running transactions end as they wish; new callers and those that wait are refused."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    await _prepare_table(connection)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with connection.acquire() as one, one.transaction():
            await one.execute("INSERT INTO t VALUES (1)")
            started.set()
            await go_on.wait()

    running = asyncio.ensure_future(run())
    await started.wait()
    waiting = asyncio.ensure_future(_use(connection))
    await until(lambda: connection.statistics().waiting == 1)
    closing = asyncio.ensure_future(connection.close(timeout_s=10))
    await until(lambda: connection.is_closed)
    with pytest.raises(errors.ConnectionClosedError):
        await _use(connection)
    go_on.set()
    await running
    await closing
    with pytest.raises(errors.ConnectionClosedError):
        await waiting
    async with await opened(database_config) as another, another.acquire() as one:
        assert await one.fetchval("SELECT count(*) FROM t") == 1


async def test_close_ends_what_takes_too_long(
    database_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """After its time the server rolls back what is still open; the log says so."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=2)
    await _prepare_table(connection)
    started = asyncio.Event()

    async def run() -> None:
        async with connection.acquire() as one, one.transaction():
            await one.execute("INSERT INTO t VALUES (1)")
            started.set()
            await one.execute("SELECT pg_sleep(60)")

    running = asyncio.ensure_future(run())
    await started.wait()
    await connection.close(timeout_s=0.1)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running
    assert "terminated" in caplog.text
    async with await opened(database_config) as another, another.acquire() as one:
        assert await one.fetchval("SELECT count(*) FROM t") == 0


async def test_close_twice_and_together(database_config: DatabaseConfig):
    """Closing again does nothing, at the same time or later."""
    connection = await opened(database_config)
    await asyncio.gather(connection.close(), connection.close())
    await connection.close()
    assert connection.is_closed


async def test_a_cancelled_close_still_closes(database_config: DatabaseConfig):
    """Whoever is in a hurry ends the waiting, not the closing."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    lease = connection.acquire()
    await lease.__aenter__()
    closing = asyncio.ensure_future(connection.close(timeout_s=60))
    await until(lambda: connection.is_closed)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await connection.close()
    await lease.__aexit__(None, None, None)

    async def all_are_gone() -> bool:
        return not await sessions(database_config)

    await until(all_are_gone)


async def test_the_default_is_the_oldest_open_one_of_the_loop(database_config: DatabaseConfig):
    """The first made counts until it is closed, then the next."""
    assert ConnectionFactory.default() is None
    first = await opened(database_config)
    second = await opened(database_config)
    assert ConnectionFactory.default() is first
    await first.close()
    assert ConnectionFactory.default() is second
    await second.close()
    assert ConnectionFactory.default() is None


async def test_the_default_is_kept_alive(database_config: DatabaseConfig):
    """Who does not keep the result of `create_connection` still has a default."""
    await opened(database_config)
    gc.collect()
    kept = ConnectionFactory.default()
    assert kept is not None
    assert await kept.health_check()
    await kept.close()


def test_the_default_is_never_of_another_loop(server_config: DatabaseConfig):
    """Neither of a loop that has ended, nor of one that runs in another thread."""

    async def open_and_leave() -> DatabaseConnection:
        connection = await opened(server_config, min_pool_size=0)
        assert ConnectionFactory.default() is connection
        return connection

    left = asyncio.run(open_and_leave())
    assert left.is_closed

    async def look() -> None:
        assert ConnectionFactory.default() is None
        with pytest.raises(errors.ConnectionClosedError):
            async with left.acquire():
                pass
        await left.close()

    asyncio.run(look())

    async def open_here() -> None:
        connection = await opened(server_config, min_pool_size=0)
        thread = threading.Thread(target=lambda: asyncio.run(use_elsewhere(connection)))
        thread.start()
        await asyncio.to_thread(thread.join)
        await connection.close()

    seen: list[BaseException | None] = []

    async def use_elsewhere(connection: DatabaseConnection) -> None:
        assert ConnectionFactory.default() is None
        try:
            async with connection.acquire():
                pass
        except errors.ConfigurationError as error:
            seen.append(error)

    asyncio.run(open_here())
    assert len(seen) == 1


async def test_health_check(database_config: DatabaseConfig):
    """True with a latency while the database answers; false with a reason, not an error, when it does not."""
    connection = await opened(database_config, min_pool_size=0, max_pool_size=1, connect_timeout=0.3)
    health = await connection.health_check()
    assert health
    assert health.latency_s is not None
    assert 0 < health.latency_s < 5
    async with connection.acquire():
        health = await connection.health_check()
        assert not health
        assert "in use" in (health.error or "")
    await connection.close()
    assert "closed" in ((await connection.health_check()).error or "")


@pytest.mark.parametrize(
    ("changes", "kind", "parts"),
    [
        ({"host": "127.0.0.1", "port": 1}, errors.ConnectionError, ["127.0.0.1:1", "start the server"]),
        ({"host": "/no/such/folder"}, errors.ConnectionError, ["/no/such/folder", "No such file"]),
        ({"host": "no.such.host.invalid"}, errors.ConnectionError, ["DATABASE_HOST"]),
        (
            {"database": "no_such_database"},
            errors.ConnectionRejectedError,
            ["no_such_database", "DATABASE_NAME"],
        ),
        ({"user": "no_such_role"}, errors.ConnectionRejectedError, ["no_such_role", "user"]),
    ],
)
async def test_a_failed_connection_says_what_to_do(
    server_config: DatabaseConfig, changes: dict[str, Any], kind: type[Exception], parts: list[str]
):
    """One line with the address and an advice, and no password."""
    config = server_config.replace(password="s3cr3t-word", **changes)
    with pytest.raises(kind) as caught:
        await ConnectionFactory.create_connection(config)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert "s3cr3t-word" not in repr(caught.value) + repr(caught.value.__cause__)
    assert ConnectionFactory.default() is None


async def test_a_server_that_does_not_answer(database_config: DatabaseConfig):
    """One that takes the connection and stays silent is given up after `connect_timeout`."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}"
        config = DatabaseConfig.from_url(url).replace(connect_timeout=0.2)
        with pytest.raises(errors.ConnectionError, match=r"no answer within 0\.2 s"):
            await ConnectionFactory.create_connection(config)


async def test_an_old_server_is_refused(server_config: DatabaseConfig):
    """PostgreSQL before 15 lacks what is needed; the message says which it is."""

    class Version:
        major = 14

    class Old:
        terminated = False

        def get_server_version(self) -> Version:
            return Version()

        def terminate(self) -> None:
            self.terminated = True

    old = Old()

    async def connect(**_: Any) -> Old:
        return old

    with pytest.raises(errors.ConfigurationError, match="PostgreSQL 14: 15 or newer is needed"):
        await Connector(server_config).connect(connect)
    assert old.terminated


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
