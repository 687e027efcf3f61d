"""A stalled event loop: what was interrupted goes on, and the log names the stall and nothing else, once.

Each test stalls the loop for longer than the time limit under test, when the answer or the end of the session comes.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.errors import ConnectionError, TimeoutError
from eventstore.log import EventLog, bulk_load, signals
from eventstore.log.copy_rows import copied_rows
from eventstore.loop_stalls import FairTimer, Stopwatch, TimeLimit, watch
from eventstore.repositories.backend import PostgreSQLBackend
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore
from eventstore.waiting import wait_until_set
from projections import OrdersProjection, ProjectionWorker
from projections.check import compare_with_fold
from projections.rebuild import rebuild
from tests.bulk_events import history
from tests.conftest import url_of
from tests.counted_events import counted, prepare
from tests.counting_projection import Seen, SeenProjection
from tests.entities import everything, started
from tests.pools import opened
from tests.running_workers import has_folded, place, running
from tests.saved_orders import new_order
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.core.event import RecordedEvent
    from eventstore.database import DatabaseConfig

ROOT = Path(__file__).parents[2]
STALL_S = 0.9
SHORT_S = 0.4
"""A time limit that a stall exceeds."""


def stall(seconds: float = STALL_S) -> None:
    """Stop the event loop."""
    time.sleep(seconds)


@contextmanager
def nothing_but_the_stall(caplog: pytest.LogCaptureFixture, *, told: int | None = None) -> Iterator[None]:
    """Check that every warning of a block is that of the stall, without a traceback; and how many there are."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        yield
    assert not [record for record in caplog.records if record.exc_info]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(one.startswith("the event loop did not run for ") for one in warnings), warnings
    if told is not None:
        assert len(warnings) == told, warnings


class Stalls(SeenProjection):
    """Stalls the loop once, in the open transaction of a batch."""

    stalls = 1

    def evolve(self, row: Seen | None, event: RecordedEvent) -> Seen | None:
        """One more."""
        if self.stalls:
            self.stalls -= 1
            stall()
        return super().evolve(row, event)


# ---- statements and connections ------------------------------------------------------------------------------


async def test_an_answer_of_several_pieces_that_waits_in_the_socket_is_read(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """A statement whose time limit passes during a stall returns its rows, if the server was in time."""
    with nothing_but_the_stall(caplog, told=0):
        async with await opened(migrated_config, command_timeout=SHORT_S) as pool, pool.acquire() as one:
            reading = asyncio.ensure_future(
                one.fetch("SELECT pg_catalog.repeat('x', 1000) FROM pg_catalog.generate_series(1, 3000)")
            )
            await asyncio.sleep(0.005)
            stall()
            assert len(await reading) == 3000


async def test_a_statement_that_is_slow_after_the_stall_too_is_cancelled(migrated_config: DatabaseConfig):
    """A stall lengthens a time limit at most once."""
    async with await opened(migrated_config, command_timeout=SHORT_S) as pool, pool.acquire() as one:
        sleeping = asyncio.ensure_future(one.execute("SELECT pg_catalog.pg_sleep(30)"))
        await asyncio.sleep(0.05)
        stall()
        began_s = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await sleeping
        assert 0.5 * SHORT_S < time.monotonic() - began_s < 10


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_appends_in_flight_are_reported_as_what_they_are(
    migrated_config: DatabaseConfig, group_commit: bool, caplog: pytest.LogCaptureFixture
):
    """Each append whose time limits pass during a stall returns its positions, also one that waits for a connection."""
    limits = {"command_timeout": SHORT_S, "connect_timeout": SHORT_S, "min_pool_size": 1, "max_pool_size": 2}
    with nothing_but_the_stall(caplog, told=0):
        async with await opened(migrated_config, **limits) as pool:
            log = EventLog(pool, group_commit=group_commit)
            for pause_s in (0, 0.001, 0.003, 0.01):
                appends = [asyncio.ensure_future(log.append(started(tunings=3))) for _ in range(12)]
                await asyncio.sleep(pause_s)
                stall(0.7)
                await asyncio.gather(*appends)
            assert len(await everything(pool)) == 4 * 12 * 4


async def test_a_waiter_for_a_connection_has_its_time_after_the_stall(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """A connection that is returned soon after the stall is lent, whatever the limit of the wait."""
    with nothing_but_the_stall(caplog, told=0):
        async with await opened(migrated_config, min_pool_size=1, max_pool_size=1) as pool:

            async def wait() -> Any:
                async with pool.acquire(timeout_s=SHORT_S) as one:
                    return await one.fetchval("SELECT 1")

            async with pool.acquire() as one:
                waiting = asyncio.ensure_future(wait())
                await asyncio.sleep(0.05)
                stall()
                await one.fetchval("SELECT pg_catalog.pg_sleep(0.1)")
            assert await waiting == 1


async def test_a_health_check_measures_the_server(store: EventStore):
    """A stall makes no database unhealthy, nor slow."""
    checking = asyncio.ensure_future(store.connection.health_check(timeout_s=SHORT_S))
    await asyncio.sleep(0)
    stall()
    status = await checking
    assert status.healthy, status.error
    assert status.latency_s is not None
    assert status.latency_s < SHORT_S


async def test_the_error_of_a_users_transaction_names_the_stall(store: EventStore):
    """A transaction that the server ended during the stall: nothing was written, it may be run again, and why."""
    adapter = PostgreSQLAdapter(store.connection)
    await adapter.begin_transaction()
    await adapter.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
    stall()
    with pytest.raises(
        ConnectionError, match=r"the event loop did not run for \d\.\d s, and meanwhile"
    ) as raised:
        await adapter.execute("SELECT 1")
    assert raised.value.retryable
    await adapter.rollback_transaction()


# ---- the log -------------------------------------------------------------------------------------------------


async def test_a_flushed_unit_of_work_is_committed_after_a_stall(
    store: EventStore, caplog: pytest.LogCaptureFixture
):
    """The server has ended its transaction: the commit sends all of it again, once."""
    backend = PostgreSQLBackend(store.log, READ_TABLES, idle_in_transaction_timeout_s=0.1)
    order, other = new_order(), new_order()
    with nothing_but_the_stall(caplog):
        async with PostgreSQLUnitOfWork(backend) as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            stall()
            await uow.orders.save_order(other)
    assert (order.version, other.version, len(await everything(store.connection))) == (1, 1, 2)


async def test_an_import_goes_on_after_a_stall(
    store: EventStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The server has ended the transaction of a batch: the batch is sent again."""
    copied = copied_rows
    stalls = [True]

    def stalling(*arguments: Any) -> Any:
        if stalls:
            stalls.pop()
            stall()
        return copied(*arguments)

    monkeypatch.setattr(bulk_load, "copied_rows", stalling)
    monkeypatch.setattr(bulk_load, "_IDLE_IN_TRANSACTION", "200ms")
    streams = history()
    with nothing_but_the_stall(caplog, told=1):
        result = await store.log.import_events(streams)
    assert not stalls
    assert result.events == len(await everything(store.connection)) == sum(len(one.events) for one in streams)


async def test_an_import_whose_source_stalls_longer_than_a_statement_may_take(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """The time limit of COPY passes while the source computes: every event is in the log."""
    streams = history()

    def slow() -> Iterator[Any]:
        for number, stream in enumerate(streams):
            if number % 2:
                stall(0.6)
            yield stream

    with nothing_but_the_stall(caplog):
        async with await opened(migrated_config, command_timeout=SHORT_S) as pool:
            result = await EventLog(pool).import_events(slow(), batch_events_max=2)
            assert result.events == len(await everything(pool))


async def test_the_listener_keeps_its_connection(
    store: EventStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A probe whose answer comes during a stall has come in time."""
    monkeypatch.setattr(signals, "PROBE_INTERVAL_S", 0.01)
    monkeypatch.setattr(signals, "PROBE_TIMEOUT_S", SHORT_S)
    heard = store.log.wakeups.signals
    assert heard is not None
    lost: list[object] = []
    with nothing_but_the_stall(caplog, told=0):
        heard.listen()
        await until(lambda: heard.is_listening)
        monkeypatch.setattr(heard, "_terminated", lost.append)
        for pause_s in (0.0102, 0.0104, 0.0106, 0.011):
            await asyncio.sleep(pause_s)
            stall(0.6)
            await asyncio.sleep(0.03)
            assert heard.is_listening


# ---- the workers ---------------------------------------------------------------------------------------------


async def test_a_worker_folds_on_after_a_stall_in_its_batch(
    store: EventStore, caplog: pytest.LogCaptureFixture
):
    """The server has ended the transaction of the batch: one line says why, and each event counts once."""
    expected = await prepare(store)
    worker = ProjectionWorker(store.log, Stalls(), lease_s=SHORT_S)
    with nothing_but_the_stall(caplog, told=1):
        async with running(worker):
            await until(lambda: has_folded(store.log, sum(expected.values()), SeenProjection()))
    assert await counted(store.connection) == expected


async def test_a_lease_that_another_worker_took_during_a_stall(
    migrated_config: DatabaseConfig, store: EventStore, caplog: pytest.LogCaptureFixture
):
    """It is no rival that the log names, but the stall; the worker stands by, and folds on when the other ends."""
    expected = await prepare(store)
    head = sum(expected.values())
    worker = ProjectionWorker(store.log, SeenProjection(), lease_s=SHORT_S)

    def fold_elsewhere() -> None:
        async def fold() -> None:
            async with await ConnectionFactory.create_connection(migrated_config) as pool:
                other = ProjectionWorker(EventLog(pool), SeenProjection(), lease_s=SHORT_S)
                await EventLog(pool).append(started(tunings=2))
                async with running(other):
                    await until(lambda: has_folded(other.log, head + 3, SeenProjection()))

        asyncio.run(fold())

    with nothing_but_the_stall(caplog):
        async with running(worker):
            await until(lambda: has_folded(store.log, head, SeenProjection()))
            elsewhere = asyncio.get_running_loop().run_in_executor(None, fold_elsewhere)
            stall(3)
            await elsewhere
            last = await store.log.append(started(tunings=1))
            await until(lambda: has_folded(store.log, last.positions[-1], SeenProjection()))
    assert sum((await counted(store.connection)).values()) == head + 5
    assert (await compare_with_fold(store.log, SeenProjection())).is_equal


async def test_waiting_for_a_position_does_not_count_a_stall(store: EventStore):
    """What the workers fold soon after a stall is waited for, whatever the limit; if it never comes, the limit ends it."""
    await store.start_workers()
    await place(store, 1, 2, 3)
    head = await store.log.head()
    waiting = asyncio.ensure_future(store.wait_for(head, timeout_s=1))
    await asyncio.sleep(0)
    stall(2)
    await waiting
    await store.stop_workers()
    await place(store, 4)
    waiting = asyncio.ensure_future(store.wait_for(head + 1, timeout_s=SHORT_S))
    await asyncio.sleep(0.02)
    stall()
    with pytest.raises(TimeoutError):
        await waiting


async def test_a_rebuild_goes_on_after_its_lease_has_expired(
    store: EventStore, caplog: pytest.LogCaptureFixture
):
    """Nobody has taken it over, so it is renewed and the table is swapped."""
    await place(store, *range(1, 30))
    stalls = [True]

    def on_progress(_: object) -> None:
        if stalls:
            stalls.pop()
            stall()

    with nothing_but_the_stall(caplog):
        rebuilt = await rebuild(store.log, OrdersProjection(), lease_s=SHORT_S, on_progress=on_progress)
    assert rebuilt.rows == 29


ENGINE = """
import asyncio, sys
from decimal import Decimal
from eventstore import EventStore, Order, OrderSide
from projections import OrdersProjection, run

async def main():
    async with EventStore.open(sys.argv[1], workers=False) as store:
        async with run(store.connection, [OrdersProjection()], lease_s=0.5) as workers:
            print("ready", flush=True)
            for number in range(int(sys.argv[2])):
                async with store.unit_of_work() as uow:
                    await uow.orders.save_order(Order.create_market_order("X", Decimal(1), OrderSide.BUY))
                if not number % 50:
                    print(number, flush=True)
            await workers.wait_for(uow.last_position)

asyncio.run(main())
"""


async def test_a_stopped_process_goes_on(migrated_config: DatabaseConfig, store: EventStore):
    """SIGSTOP for longer than its leases, several times: nothing is lost, and it prints at most a line for each."""
    orders, stops = 1000, 3
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENGINE, url_of(migrated_config), str(orders)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(stops):
        await process.stdout.readline()
        await asyncio.sleep(0.02)
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.to_thread(stall, 1.2)
        os.kill(process.pid, signal.SIGCONT)
    _, printed = await process.communicate()
    lines = printed.decode().splitlines()
    assert process.returncode == 0, printed.decode()
    assert len(lines) <= stops
    assert all(line.startswith("the event loop did not run for ") for line in lines), lines
    assert len(await everything(store.connection)) == orders
    assert (await compare_with_fold(store.log, OrdersProjection())).is_equal


# ---- the watch -----------------------------------------------------------------------------------------------


async def test_a_long_stall_is_told_once(store: EventStore, caplog: pytest.LogCaptureFixture):
    """One line for each stall of five seconds, with its length, though several timers show it."""
    async with store.connection.acquire(), store.connection.acquire():
        await asyncio.sleep(0)
        with nothing_but_the_stall(caplog, told=1):
            waits = [asyncio.ensure_future(wait_until_set(asyncio.Event(), 0.01 * n)) for n in range(1, 6)]
            await asyncio.sleep(0)
            stall(5.3)
            await asyncio.gather(*waits)
    assert "did not run for 5.3 s" in caplog.text
    assert "PYTHONASYNCIODEBUG=1" in caplog.text


async def test_a_stopwatch_leaves_stalls_out():
    """It counts the seconds in which the loop ran."""
    taken = Stopwatch()
    watch().begin()
    await asyncio.sleep(0)
    stall()
    await asyncio.sleep(0.1)
    watch().end()
    assert 0.09 < taken.elapsed_s < 0.4


async def test_an_idle_program_stays_idle():
    """After the last connection was returned no timer runs."""
    loop = asyncio.get_running_loop()
    watch().begin()
    watch().end()
    await until(lambda: not watch()._is_ticking)
    before = len(getattr(loop, "_scheduled", ()))
    watch().begin()
    assert watch()._is_ticking
    watch().end()
    await until(lambda: not watch()._is_ticking)
    assert len(getattr(loop, "_scheduled", ())) <= before + 1


async def test_a_fair_timer_that_is_on_time_fires_once():
    """Without a stall it is a timer as any; cancelled, it never fires."""
    fired: list[str] = []
    loop = asyncio.get_running_loop()
    FairTimer(loop, 0.01, fired.append, "a")
    FairTimer(loop, 0.01, fired.append, "b").cancel()
    await asyncio.sleep(0.05)
    assert fired == ["a"]


async def test_a_time_limit_ends_although_the_loop_stalls_again_and_again():
    """A program that computes in pieces of 0.3 s, and lets the loop run once between them, does not keep a limit from firing."""

    async def compute() -> None:
        while True:
            stall(0.3)
            await asyncio.sleep(0)

    computing = asyncio.create_task(compute())
    began_s = time.monotonic()
    try:
        with pytest.raises(builtins.TimeoutError):
            async with TimeLimit(SHORT_S):
                await asyncio.Event().wait()
    finally:
        computing.cancel()
    assert time.monotonic() - began_s < 5


async def test_a_stall_explains_one_error_and_no_later_one(
    store: EventStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A worker that loses its server for good after a stall says so, in place of the stall."""
    worker = ProjectionWorker(store.log, OrdersProjection())
    caplog.set_level(logging.WARNING)
    async with running(worker):
        await place(store, 1)
        await until(lambda: has_folded(store.log, 1))
        monkeypatch.setattr(worker, "_check_version", _lost)
        monkeypatch.setattr(worker, "_fold_next", _lost)
        async with store.connection.acquire():
            await asyncio.sleep(0.05)
            stall()
            await asyncio.sleep(0.05)
        await until(lambda: _count(caplog, "retrying batch", 2))
    assert _count_of(caplog, "the event loop did not run") == 1


async def _lost(*_: Any, **__: Any) -> None:
    await asyncio.sleep(0)
    raise ConnectionError("the server is away")


def _count_of(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


async def _count(caplog: pytest.LogCaptureFixture, text: str, least: int) -> bool:
    return _count_of(caplog, text) >= least
