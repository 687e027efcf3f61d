"""Wake-ups across processes: NOTIFY after the commit, and a LISTEN that is probed and made anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory
from eventstore.log import signals, wakeups
from eventstore.log.shared import log_of
from tests.conftest import admin_connection, url_of
from tests.entities import started
from tests.pgbouncer import NOT_INSTALLED, PROGRAM, PgBouncer
from tests.relay import Relay
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig
    from eventstore.log import EventLog

NEVER_S = 3600.0


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody polls, so what arrives was signalled."""
    for name in ("_POLL_FIRST_S", "_POLL_MAX_S", "_POLL_LISTENING_MAX_S"):
        monkeypatch.setattr(wakeups, name, NEVER_S)


@asynccontextmanager
async def opened(config: DatabaseConfig) -> AsyncIterator[EventLog]:
    """A log on a pool of its own, as another process has."""
    pool = await ConnectionFactory.create_connection(config)
    try:
        yield log_of(pool)
    finally:
        await pool.close(timeout_s=5)


@asynccontextmanager
async def following(log: EventLog) -> AsyncIterator[asyncio.Queue[int]]:
    """The positions that a subscription of this log yields; begins when it listens."""
    positions: asyncio.Queue[int] = asyncio.Queue()

    async def follow() -> None:
        async for event in log.subscribe():
            positions.put_nowait(event.position)

    task = asyncio.create_task(follow())
    try:
        await until(lambda: is_listening(log))
        yield positions
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def is_listening(log: EventLog) -> bool:
    """Whether signals of other processes arrive at this log."""
    assert log.wakeups.signals is not None
    return log.wakeups.signals.is_listening


async def listeners(config: DatabaseConfig, action: str = "pid") -> list[Any]:
    """Do something with the sessions that listen."""
    admin = await admin_connection(config)
    try:
        rows = await admin.fetch(
            f"SELECT {action} FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^LISTEN'"
        )
        return [row[0] for row in rows]
    finally:
        await admin.close()


async def test_another_process_is_woken_by_each_append(migrated_config: DatabaseConfig):
    """A reader that does not poll gets what another pool appends, time after time."""
    async with (
        opened(migrated_config) as writer,
        opened(migrated_config) as reader,
        following(reader) as positions,
    ):
        for _ in range(5):
            result = await writer.append(started())
            assert await asyncio.wait_for(positions.get(), 60) == result.last_position


async def test_a_listener_that_is_ended_is_made_anew(migrated_config: DatabaseConfig):
    """Its session is ended by the server: what is appended meanwhile and afterwards is found, without polling."""
    async with (
        opened(migrated_config) as writer,
        opened(migrated_config) as reader,
        following(reader) as positions,
    ):
        for _ in range(2):
            before = await listeners(migrated_config)
            assert await listeners(migrated_config, "pg_terminate_backend(pid, 5000)") == [True]
            for _ in range(2):
                result = await writer.append(started())
                assert await asyncio.wait_for(positions.get(), 60) == result.last_position
            await until(lambda: is_listening(reader))
            assert await listeners(migrated_config) != before


async def test_a_connection_that_is_cut_without_a_word_is_found(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """The network loses what is sent, and says nothing: the probe finds out, and what was appended arrives."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    monkeypatch.setattr(signals, "PROBE_INTERVAL_S", 0.05)
    monkeypatch.setattr(signals, "PROBE_TIMEOUT_S", 1.0)
    async with Relay(migrated_config) as relay:
        config = migrated_config.replace(direct_url=url_of(relay.config()))
        async with (
            opened(migrated_config) as writer,
            opened(config) as reader,
            following(reader) as positions,
        ):
            relay.silent = True
            result = await writer.append(started())
            await until(lambda: not is_listening(reader))
            assert positions.empty()
            relay.silent = False
            assert await asyncio.wait_for(positions.get(), 60) == result.last_position
            result = await writer.append(started())
            assert await asyncio.wait_for(positions.get(), 60) == result.last_position


async def test_appends_share_a_signal(migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch):
    """The first append is signalled at once, all others within the interval by one signal after it: none by its own."""
    monkeypatch.setattr(signals, "NOTIFY_INTERVAL_S", NEVER_S)
    heard: list[str] = []
    first = asyncio.Event()

    def hear(*arguments: Any) -> None:
        heard.append(arguments[3])
        first.set()

    listener = await admin_connection(migrated_config)
    try:
        await listener.add_listener(signals.CHANNEL, hear)
        async with opened(migrated_config) as writer:
            await writer.append(started())
            await asyncio.wait_for(first.wait(), 60)
            for _ in range(50):
                await writer.append(started())
            assert await listener.fetchval("SELECT 1") == len(heard)
        await until(lambda: len(heard) == 2)
        assert await listener.fetchval("SELECT 1") == 1
        assert len(heard) == 2
    finally:
        await listener.close()


@pytest.mark.skipif(PROGRAM is None, reason=NOT_INSTALLED)
async def test_behind_a_pooler(migrated_config: DatabaseConfig):
    """Through PgBouncer alone nobody listens, which loses NOTIFY; with `direct_url` the reader is woken."""
    with PgBouncer(migrated_config) as bouncer:
        async with opened(bouncer.config()) as reader:
            with reader.wakeups.listen():
                assert reader.wakeups.signals is not None
                task = reader.wakeups.signals._listening
                assert task is not None
                await asyncio.wait_for(asyncio.shield(task), 60)
            assert not is_listening(reader)
        config = bouncer.config(direct_url=url_of(migrated_config))
        async with (
            opened(bouncer.config()) as writer,
            opened(config) as reader,
            following(reader) as positions,
        ):
            result = await writer.append(started())
            assert await asyncio.wait_for(positions.get(), 60) == result.last_position
