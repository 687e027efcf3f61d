"""How a pool ends, which one is the default, and the errors without a connection."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import Any

import anyio
import asyncpg
import pytest

from eventstore import errors
from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from eventstore.database.connecting import Connector
from eventstore.store import EventStore
from tests.pools import opened, prepare_table, sessions, use
from tests.waiting import until


async def test_close_lets_running_work_end(database_config: DatabaseConfig):
    """Running transactions end as they wish; new callers and those that wait are refused."""
    connection = await opened(database_config, min_pool_size=1, max_pool_size=1)
    await prepare_table(connection)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with connection.acquire() as one, one.transaction():
            await one.execute("INSERT INTO t VALUES (1)")
            started.set()
            await go_on.wait()

    running = asyncio.ensure_future(run())
    await started.wait()
    waiting = asyncio.ensure_future(use(connection))
    await until(lambda: connection.statistics().waiting == 1)
    closing = asyncio.ensure_future(connection.close(timeout_s=10))
    await until(lambda: connection.is_closed)
    with pytest.raises(errors.ConnectionClosedError):
        await use(connection)
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
    await prepare_table(connection)
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


async def test_a_store_that_is_left_by_a_cancel_scope_is_closed(migrated_config: DatabaseConfig):
    """The scope cancels every await of the clean-up too: workers, listener and pool end all the same."""
    with anyio.CancelScope() as scope:
        async with EventStore.open(migrated_config.replace(min_pool_size=3)) as store:
            assert await sessions(migrated_config)
            scope.cancel()
            await asyncio.sleep(0)
    assert scope.cancelled_caught
    assert store.connection.is_closed

    async def all_are_gone() -> bool:
        return not await sessions(migrated_config)

    await until(all_are_gone)
    here = asyncio.current_task()
    assert [task.get_name() for task in asyncio.all_tasks() if task is not here] == []


async def test_a_close_that_is_cancelled_ends_what_runs_and_closes(migrated_config: DatabaseConfig):
    """A statement under way is ended, and nothing of the store is left when the cancellation goes on."""
    connection = await opened(migrated_config, min_pool_size=1, max_pool_size=2)
    started = asyncio.Event()

    async def run() -> None:
        async with connection.acquire() as one:
            started.set()
            await one.execute("SELECT pg_sleep(60)")

    running = asyncio.ensure_future(run())
    await started.wait()
    told: list[str] = []

    async def at_close() -> None:
        await asyncio.sleep(0.05)
        told.append("ended")

    connection.at_close(at_close)
    closing = asyncio.ensure_future(connection.close(timeout_s=60))
    await asyncio.sleep(0)
    closing.cancel("hurry")
    with pytest.raises(asyncio.CancelledError) as caught:
        await closing
    assert caught.value.args == ("hurry",)
    assert told == ["ended"]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running


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
