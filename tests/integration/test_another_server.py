"""Another server behind the same address: nothing that was known of the one before is taken for true of it.

Real ones: a standby that was promoted, synchronous or lagging, and a base backup in the place of its server.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

import projections
from eventstore.database import ConnectionFactory
from eventstore.database.connecting import connect_arguments
from eventstore.domain.order import Order, OrderCreated, OrderSide
from eventstore.errors import (
    ConnectionError,
    EventStoreError,
    ProjectionError,
    RestoredLogError,
    ServerChangedError,
    TimeoutError,
)
from eventstore.log import EventLog
from eventstore.repositories import PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory
from eventstore.store import EventStore, built_in_projections
from eventstore.testing.databases import run_in_thread
from projections import Projection, Table
from projections.check import repair
from tests.conftest import url_of
from tests.entities import started
from tests.migrated import migrate
from tests.pgbouncer import NOT_INSTALLED, PROGRAM, PgBouncer
from tests.relay import Relay
from tests.servers import Copy, Server, Standby
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from eventstore.core.event import RecordedEvent
    from eventstore.log.bulk_load import ImportResult
    from eventstore.log.records import StreamAppend

SETTINGS = {"fsync": "off", "max_connections": "60", "shared_buffers": "16MB"}


@dataclass(frozen=True)
class Count:
    """How many orders of a symbol there were."""

    symbol: str
    orders: int


class Counts(Projection[Count]):
    """Counts orders; it makes no sense of one that comes twice."""

    name = "counts"
    table = Table("counts", row=Count, key=["symbol"])
    events = (OrderCreated,)

    def key(self, event: RecordedEvent) -> tuple[str]:
        """The symbol."""
        assert isinstance(event.event, OrderCreated)
        return (event.event.symbol,)

    def evolve(self, row: Count | None, event: RecordedEvent) -> Count:
        """One more."""
        assert isinstance(event.event, OrderCreated)
        return Count(event.event.symbol, 1 + (row.orders if row else 0))


@pytest.fixture(scope="module")
def original() -> Iterator[Server]:
    """A server with a migrated database, stopped, to be copied."""
    server = Server(settings=SETTINGS)
    try:
        server.set_hba("local all all trust", "local replication all trust")
        server.start()
        run_in_thread(_prepare(url_of(server.config())))
        server.stop()
        yield server
    finally:
        server.remove()


async def _prepare(url: str) -> None:
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute(Counts.table.create())
    await connection.close()


@pytest.fixture
def primary(original: Server) -> Iterator[Server]:
    """The server that is written to first."""
    with Copy(original) as server:
        yield server


@pytest_asyncio.fixture
async def relay(primary: Server) -> AsyncIterator[Relay]:
    """An address that leads to the primary, until it is moved."""
    async with Relay(primary.config()) as one:
        yield one


@asynccontextmanager
async def opened(relay: Relay, **options: Any) -> AsyncIterator[EventStore]:
    """A store at the address; it waits for a server that is away."""
    config = relay.config(min_pool_size=1, max_pool_size=8, connect_timeout=60.0)
    async with EventStore.open(config, **options) as store:
        yield store


async def move(relay: Relay, before: Server, after: Server, *, promoted: bool = True) -> None:
    """Let a server crash, and have another one take over its address."""
    relay.refuse = True
    await asyncio.to_thread(before.stop, "immediate")
    if promoted:
        assert isinstance(after, Standby)
        await asyncio.to_thread(after.promote)
    await relay.switch_to(after.config())
    relay.refuse = False


def new_order(symbol: str) -> Order:
    """An order."""
    return Order.create_market_order(symbol, Decimal(1), OrderSide.BUY)


async def place(store: EventStore, symbol: str) -> int:
    """Append an order; return its position."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(new_order(symbol))
    assert uow.last_position is not None
    return uow.last_position


async def place_some(store: EventStore, symbol: str, count: int) -> list[int]:
    """Append orders one after another; return their positions."""
    return [await place(store, symbol) for _ in range(count)]


async def leave_gap(store: EventStore) -> None:
    """Have a position drawn that no event gets, as each conflict does."""
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(new_order("gap"))
    await uow.flush()
    await uow.rollback()


@dataclass
class Follower:
    """A subscription that is read all the time, by a task."""

    got: list[int] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    async def run(self, store: EventStore, after: int) -> None:
        """Read; through a connection that is lost, too."""
        subscription = store.log.subscribe(after=after)
        while True:
            try:
                async for event in subscription:
                    self.got.append(event.position)
            except (ConnectionError, TimeoutError):
                continue


@asynccontextmanager
async def following(store: EventStore, after: int = 0) -> AsyncIterator[Follower]:
    """Follow the log for a block."""
    follower = Follower()
    follower.task = task = asyncio.create_task(follower.run(store, after))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def writing(store: EventStore, *, writers: int) -> AsyncIterator[list[int]]:
    """Have writers append for a block, again where it failed; give the positions that they were told."""
    told: list[int] = []

    async def write() -> None:
        while True:
            try:
                told.append(await place(store, "LOAD"))
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.002)

    tasks = [asyncio.create_task(write()) for _ in range(writers)]
    try:
        if writers:
            await until(lambda: len(told) > 20)
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def log_of_server(server: Server) -> list[int]:
    """The positions of the log that a server has, asked for without the library."""
    connection = await asyncpg.connect(**connect_arguments(server.config(target_session_attrs="any")))
    try:
        rows = await connection.fetch("SELECT position FROM events ORDER BY position")
        return [row["position"] for row in rows]
    finally:
        await connection.close()


async def assert_goes_on(store: EventStore, server: Server) -> None:
    """Who begins now reads what is appended now, once and in order, and waits for what is in flight."""
    end = await store.log.head()
    assert end == max(await log_of_server(server))
    async with following(store, end) as follower, projections.run(store.connection, [Counts()]) as running:
        told = await place_some(store, "NOW", 15)
        await running.wait_for(told[-1])
        await until(lambda: len(follower.got) >= len(told))
        assert follower.got == told
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT orders FROM counts WHERE symbol = 'NOW'") == 15
    async with store.unit_of_work() as uow:
        assert len(await uow.orders.get_orders_by_symbol("NOW")) == 15
    in_flight = store.unit_of_work()
    await in_flight.begin_transaction()
    await in_flight.orders.save_order(new_order("IN FLIGHT"))
    await in_flight.flush()
    later = await place(store, "LATER")

    async def read() -> list[int]:
        return [event.position async for event in store.log.read_all(after=told[-1])]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    assert not reading.done()
    await in_flight.commit()
    assert await reading == [in_flight.last_position, later]


# ---- nothing is lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writers", [0, 6], ids=["idle", "load"])
async def test_a_synchronous_standby_is_promoted(primary: Server, relay: Relay, writers: int):
    """Who reads goes on, and gets every event once and in order; what was acknowledged is there; workers go on."""
    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay) as store:
            primary.configure({"synchronous_standby_names": "standby"})
            primary.reload()
            before = await place_some(store, "BEFORE", 5)
            async with following(store) as follower, writing(store, writers=writers) as told:
                await until(lambda: len(follower.got) > 4)
                await move(relay, primary, standby)
                if writers:
                    count = len(told)
                    await until(lambda: len(told) > count + 20)
                else:
                    told.append(await place(store, "AFTER"))
            async with following(store) as again:
                end = await place(store, "END")
                await until(lambda: again.got[-1:] == [end])
            positions = await log_of_server(standby)
            assert set(before) | set(told) <= set(positions)
            assert again.got == positions
            assert follower.got == positions[: len(follower.got)]
            await store.wait_for(end)
            assert store.log.server.generation == 1
            await assert_goes_on(store, standby)


async def test_a_standby_is_promoted_under_connections_that_live_on(primary: Server):
    """A store that had begun on the standby reads in order once it is the primary."""
    with await asyncio.to_thread(Standby, primary) as standby:
        config = standby.config(target_session_attrs="any", min_pool_size=1, max_pool_size=1)
        async with await ConnectionFactory.create_connection(config) as connection:
            log = EventLog(connection)
            await log.head()
            async with connection.acquire() as one:
                pid = one.get_server_pid()
            await asyncio.to_thread(primary.stop, "immediate")
            await asyncio.to_thread(standby.promote)
            store = EventStore.of(connection)
            position = await place(store, "ES")
            assert [event.position async for event in log.read_all()] == [position]
            async with connection.acquire() as one:
                assert one.get_server_pid() == pid


# ---- something is lost -------------------------------------------------------------------------------------------


async def lag(store: EventStore, primary: Server, standby: Standby) -> int:
    """Let a standby fall behind a log with orders, gaps and folded tables; return where it ends there."""
    kept = await place_some(store, "KEPT", 10)
    await store.wait_for(kept[-1])
    await until(lambda: _has(standby, kept[-1]))
    await asyncio.to_thread(standby.fall_behind)
    await until(lambda: _is_alone(primary))
    await place_some(store, "LOST", 20)
    await leave_gap(store)
    await store.wait_for((await place_some(store, "LOST", 10))[-1])
    return kept[-1]


async def _has(server: Server, position: int) -> bool:
    return position in await log_of_server(server)


async def _is_alone(server: Server) -> bool:
    connection = await asyncpg.connect(**connect_arguments(server.config(target_session_attrs="any")))
    try:
        return bool(await connection.fetchval("SELECT NOT EXISTS (SELECT FROM pg_stat_replication)"))
    finally:
        await connection.close()


async def failure_of(follower: Follower) -> BaseException:
    """What a follower has ended with."""
    assert follower.task is not None
    await asyncio.wait([follower.task], timeout=60)
    error = follower.task.exception()
    assert error is not None
    return error


@pytest.mark.parametrize("writers", [0, 6], ids=["idle", "load"])
async def test_a_lagging_standby_is_promoted(primary: Server, relay: Relay, writers: int):
    """Who has read what is lost is told so; who begins now reads all that is appended now; workers go on."""
    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay) as store:
            kept = await lag(store, primary, standby)
            lost = await store.log.head()
            async with following(store) as follower, writing(store, writers=writers) as told:
                await until(lambda: follower.got[-1:] >= [lost])
                await move(relay, primary, standby)
                if writers:
                    count = len(told)
                    await until(lambda: len(told) > count + 20)
                error = await failure_of(follower)
            assert isinstance(error, RestoredLogError)
            assert error.position is not None
            assert error.position > kept
            assert "\n" not in str(error)
            assert follower.got[-1] in (error.position, *follower.got)
            await assert_goes_on(store, standby)
            await store.wait_for(await place(store, "LAST"))


async def test_a_reader_is_told_though_the_new_log_has_outgrown_it(primary: Server, relay: Relay):
    """The events at its position are others now: a subscription, a replay and a point in time of the past do not mix two logs."""
    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay, workers=False) as store:
            await place_some(store, "KEPT", 10)
            await until(lambda: _has(standby, 10))
            await asyncio.to_thread(standby.fall_behind)
            await until(lambda: _is_alone(primary))
            await place_some(store, "LOST", 30)
            subscription = store.log.subscribe()
            filtered = store.log.subscribe(after=35, categories=["position"])
            replay = store.replay(page_events_max=5)
            waiting = asyncio.create_task(_first(filtered))
            read = subscription.__aiter__()
            for _ in range(40):
                await anext(read)
            async for event in replay:
                if event.position == 33:
                    break
            async with store.as_of(position=40) as past:
                assert len(await past.orders.get_orders_by_symbol("LOST")) == 30
                await move(relay, primary, standby)
                async with opened(relay, workers=False) as other:  # another process
                    await place_some(other, "NEW", 80)
                with pytest.raises(ServerChangedError):
                    await past.positions.get_active_positions()
            with pytest.raises(RestoredLogError, match="was read but is no longer in the log") as caught:
                await anext(read)
            assert caught.value.position == 40
            with pytest.raises(RestoredLogError, match="was read but is no longer in the log"):
                [event async for event in replay]
            with pytest.raises(RestoredLogError):
                await asyncio.wait_for(waiting, 60)
            async with store.as_of(position=40) as past:
                assert len(await past.orders.get_orders_by_symbol("LOST")) == 0


async def _first(subscription: Any) -> Any:
    while True:
        with suppress(ConnectionError):  # what was under way when the server went: iterate again
            return await anext(subscription.__aiter__())


async def test_a_reader_that_had_read_nothing_of_what_is_lost_goes_on(primary: Server, relay: Relay):
    """A subscription of another category gets each of its events once, though its place was beyond the new end."""
    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay, workers=False) as store:
            await place_some(store, "KEPT", 10)
            await until(lambda: _has(standby, 10))
            subscription = store.log.subscribe(after=4, categories=["order"])
            read = subscription.__aiter__()
            assert [(await anext(read)).position for _ in range(6)] == [5, 6, 7, 8, 9, 10]
            await asyncio.to_thread(standby.fall_behind)
            await until(lambda: _is_alone(primary))
            await move(relay, primary, standby)
            told = await place_some(store, "NEW", 3)
            assert [(await anext(read)).position for _ in range(3)] == told


async def test_a_change_of_what_is_lost_is_refused_and_repeated(primary: Server, relay: Relay):
    """An entity that was read on the old server is not changed on the new one, where its stream may be another."""
    order = new_order("ES")
    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay, workers=False) as store:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(order)
            await until(lambda: _has(standby, 1))
            await asyncio.to_thread(standby.fall_behind)
            await until(lambda: _is_alone(primary))
            order.submit("LOST")
            async with store.unit_of_work() as uow:
                await uow.orders.update_order(order)
            uow = store.unit_of_work()
            await uow.begin_transaction()
            read = await uow.orders.get_order_by_id(order.id)
            assert read is not None
            assert (read.version, read.broker_order_id) == (2, "LOST")
            read.cancel()
            await uow.orders.update_order(read)
            await move(relay, primary, standby)
            async with opened(relay, workers=False) as other:  # another process
                async with other.unit_of_work() as theirs:
                    found = await theirs.orders.get_order_by_id(order.id)
                    assert found is not None
                    assert found.version == 1
                    found.submit("NEW")
                    await theirs.orders.update_order(found)
                await store.log.head()
                with pytest.raises(ServerChangedError) as caught:
                    await uow.commit()
                assert caught.value.retryable
                await uow.rollback()
                assert [one.type for one in await other.log.read_stream(order.id)] == [
                    "OrderCreated",
                    "OrderSubmitted",
                ]

            async def cancel(unit: Any) -> None:
                mine = await unit.orders.get_order_by_id(order.id)
                mine.cancel()
                await unit.orders.update_order(mine)

            factory = PostgreSQLUnitOfWorkFactory(store.connection, workers=False)
            await PostgreSQLTransactionManager(factory).execute_with_retry(cancel)
            assert len(await store.log.read_stream(order.id)) == 3


# ---- a base backup in the place of its server --------------------------------------------------------------------


def back_up(server: Server) -> None:
    """Make a base backup, beside the server's data."""
    server.run(
        server.binaries / "pg_basebackup",
        *("-D", server.folder / "backup", "-h", server.folder, "-p", str(server.port), "-U", "postgres"),
        *("-X", "stream", "-c", "fast", "--no-sync"),
    )


def put_in_place(server: Server) -> None:
    """Start the server on its backup: it has the same system identifier, and the same timeline."""
    server.stop("fast")
    shutil.move(server.data, server.folder / "gone")
    shutil.move(server.folder / "backup", server.data)
    server.start()


@pytest.mark.parametrize("writers", [0, 6], ids=["idle", "load"])
async def test_a_base_backup_is_put_in_place(primary: Server, writers: int):
    """As a lagging standby, though nothing but the time of its start tells it from the server before."""
    config = primary.config(min_pool_size=1, max_pool_size=8, connect_timeout=60.0)
    async with EventStore.open(config) as store:
        await store.wait_for((await place_some(store, "KEPT", 10))[-1])
        await asyncio.to_thread(back_up, primary)
        await place_some(store, "LOST", 20)
        await leave_gap(store)
        await store.wait_for((await place_some(store, "LOST", 10))[-1])
        lost = await store.log.head()
        async with following(store) as follower, writing(store, writers=writers) as told:
            await until(lambda: follower.got[-1:] >= [lost])
            await asyncio.to_thread(put_in_place, primary)
            if writers:
                count = len(told)
                await until(lambda: len(told) > count + 20)
            error = await failure_of(follower)
        assert isinstance(error, RestoredLogError)
        await assert_goes_on(store, primary)
        await store.wait_for(await place(store, "LAST"))


async def test_a_database_that_has_read_what_its_log_lacks_is_refused_by_everything(primary: Server):
    """As where a store is opened on it: appends, reads and workers say so, until it is repaired."""
    config = primary.config(min_pool_size=1, max_pool_size=8, connect_timeout=60.0)
    async with EventStore.open(config) as store:
        await store.wait_for((await place_some(store, "KEPT", 5))[-1])
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projection_checkpoints SET position = 500")
        await asyncio.to_thread(back_up, primary)
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projection_checkpoints SET position = 5")
        await asyncio.to_thread(put_in_place, primary)

        async def load() -> None:
            async with store.unit_of_work() as uow:
                await uow.orders.get_active_orders()

        async def follow() -> None:
            await _first(store.log.subscribe())

        async def read() -> None:
            [event async for event in store.log.read_all()]

        for attempt in (load, follow, read, lambda: place(store, "NEW")):
            with pytest.raises(RestoredLogError, match="run `eventstore repair`") as caught:
                await attempt()
            assert (caught.value.position, caught.value.end) == (500, 5)
            assert "orders" in caught.value.readers
        with pytest.raises(ProjectionError) as failed:
            await store.wait_for(501, timeout_s=60)
        assert isinstance(failed.value.__cause__, RestoredLogError)
        assert await repair(store.log, built_in_projections())
        assert await place(store, "NEW") > 500
        await load()


async def test_an_import_that_a_server_loses_says_so(primary: Server, relay: Relay):
    """It may be run again; where the new server has what was imported, it goes on by itself."""
    streams = [started(f"s{number}", tunings=1) for number in range(48)]
    done: list[int] = []

    def note(result: ImportResult) -> None:
        done.append(result.events)

    with await asyncio.to_thread(Standby, primary) as standby:
        async with opened(relay, workers=False) as store:

            async def source(*, lags: bool) -> AsyncIterator[StreamAppend]:
                for number, stream in enumerate(streams):
                    if number == 16:  # of which a few batches are written by now
                        await until(lambda: len(done) >= 6)
                        if lags:
                            await until(lambda: _has(standby, 24))
                            await asyncio.to_thread(standby.fall_behind)
                            await until(lambda: _is_alone(primary))
                    if number == 32:
                        await until(lambda: len(done) >= 14)
                        if lags:
                            await move(relay, primary, standby)
                        else:
                            await asyncio.to_thread(standby.stop, "immediate")
                            await asyncio.to_thread(standby.start)
                    yield stream

            with pytest.raises(ServerChangedError, match="run the same import again"):
                await store.log.import_events(source(lags=True), batch_events_max=4, on_batch=note)
            done.clear()
            result = await store.log.import_events(source(lags=False), batch_events_max=4, on_batch=note)
            assert result.events == 96
            assert 24 <= result.repeated < 64
            assert len(await log_of_server(standby)) == 96


@pytest.mark.skipif(PROGRAM is None, reason=NOT_INSTALLED)
async def test_behind_pgbouncer_the_statements_tell(primary: Server):
    """The client's connections live on, and lead to another server from one statement to the next."""
    with PgBouncer(primary.config(), server_connections=4) as bouncer:
        config = bouncer.config(min_pool_size=2, max_pool_size=8, connect_timeout=60.0)
        async with EventStore.open(config) as store:
            await store.wait_for((await place_some(store, "KEPT", 10))[-1])
            await asyncio.to_thread(back_up, primary)
            last = (await place_some(store, "LOST", 30))[-1]
            await store.wait_for(last)
            async with following(store) as follower:
                await until(lambda: follower.got[-1:] == [last])
                await asyncio.to_thread(put_in_place, primary)
                error = await failure_of(follower)
            assert isinstance(error, RestoredLogError)
            await _retried(lambda: place(store, "FIRST"))
            await assert_goes_on(store, primary)
            await store.wait_for(await place(store, "LAST"))


async def _retried(work: Any) -> Any:
    while True:
        try:
            return await work()
        except EventStoreError as error:
            if not isinstance(error, ConnectionError | TimeoutError):
                raise
            await asyncio.sleep(0.05)
