"""A server that restarts, crashes or is away for a while: the pool finds it again by itself."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from eventstore import errors
from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from tests.servers import Server
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server to be stopped and started."""
    with Server() as one:
        yield one


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_connections_come_back_after_a_restart(server: Server, mode: str):
    """Calls made while the server is away wait for it, and none fails within `connect_timeout`."""
    config = server.config(min_pool_size=3, max_pool_size=3, connect_timeout=30.0)
    async with await ConnectionFactory.create_connection(config) as connection:
        adapter = PostgreSQLAdapter(connection)
        assert await adapter.fetch_value("SELECT 1") == 1
        await asyncio.to_thread(server.stop, mode)
        # The event loop must see the connections end; until then they look alive.
        await until(lambda: connection.statistics().size == 0)
        calls = [asyncio.ensure_future(adapter.fetch_value("SELECT 1")) for _ in range(10)]
        await until(lambda: connection._connector.last_failure is not None)
        assert not any(call.done() for call in calls)
        await asyncio.to_thread(server.start)
        assert await asyncio.gather(*calls) == [1] * 10
        assert connection.statistics().in_use == 0


async def test_a_server_that_stays_away_is_reported(server: Server):
    """After `connect_timeout` the error says what is the matter, and later calls succeed again."""
    config = server.config(min_pool_size=1, max_pool_size=2, connect_timeout=0.4)
    async with await ConnectionFactory.create_connection(config) as connection:
        await asyncio.to_thread(server.stop)
        await until(lambda: connection.statistics().size == 0)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        with pytest.raises(errors.ConnectionError, match="start the server") as caught:
            async with connection.acquire():
                pass
        assert loop.time() - started_s < 5
        assert caught.value.retryable
        assert not await connection.health_check()
        await asyncio.to_thread(server.start)
        assert await connection.health_check()


async def test_a_killed_server_recovers(server: Server):
    """After `kill -9` of the server: what was committed is there, what was not is not."""
    async with await ConnectionFactory.create_connection(server.config(connect_timeout=30.0)) as connection:
        adapter = PostgreSQLAdapter(connection)
        await adapter.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (i int)")
        await adapter.execute("INSERT INTO t VALUES (1)")
        await adapter.begin_transaction()
        await adapter.execute("INSERT INTO t VALUES (2)")
        server.kill()
        await until(lambda: connection.statistics().size == 0)
        with pytest.raises(errors.ConnectionError):
            await adapter.commit_transaction()
        assert not adapter.has_active_transaction
        # The children of the killed process hold its memory until they have noticed.
        await until(lambda: asyncio.to_thread(_starts, server), limit_s=60)
        assert [row["i"] for row in await adapter.fetch_all("TABLE t")] == [1]


def _starts(server: Server) -> bool:
    try:
        server.start()
    except RuntimeError:
        return False
    return True


def _listens(server: Server) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(server.folder / f".s.PGSQL.{server.port}")) == 0


async def test_a_server_that_is_starting_up_is_waited_for():
    """The first connection waits too where the server says that it will be there soon."""
    with Server(settings={"log_connections": "on"}) as server:
        config = server.config(connect_timeout=30.0)
        async with await ConnectionFactory.create_connection(config) as connection:
            adapter = PostgreSQLAdapter(connection)
            await adapter.execute("CREATE TABLE t AS SELECT generate_series(1, 200000) AS i")
        await asyncio.to_thread(server.stop, "immediate")
        starting = asyncio.ensure_future(asyncio.to_thread(server.start))
        await until(lambda: _listens(server))
        async with await ConnectionFactory.create_connection(config) as connection:
            assert await PostgreSQLAdapter(connection).fetch_value("SELECT count(*) FROM t") == 200000
        await starting
