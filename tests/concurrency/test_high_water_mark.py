"""Reading in order while others write: every committed event once, in order, waiting for nobody who does not write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

import pytest

from eventstore.database import ConnectionFactory
from eventstore.errors import ConcurrencyError
from eventstore.log import EventLog, HighWaterMark
from eventstore.log.records import to_columns
from projections import ProjectionWorker
from tests.conftest import admin_connection
from tests.counting_projection import SeenProjection
from tests.entities import everything, started, tuned
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.database import DatabaseConfig, DatabaseConnection
    from eventstore.log import StreamAppend
    from tests.conftest import DatabaseMaker


@asynccontextmanager
async def opened(config: DatabaseConfig, **settings: Any) -> AsyncIterator[DatabaseConnection]:
    """A pool."""
    connection = await ConnectionFactory.create_connection(config.replace(**settings))
    try:
        yield connection
    finally:
        await connection.close(timeout_s=5)


class Writer:
    """An open transaction with appended events."""

    def __init__(self, log: EventLog) -> None:
        self.log = log

    async def __aenter__(self) -> Self:
        self._lease = self.log.connection.acquire()
        self.connection = await self._lease.__aenter__()
        self.transaction = self.connection.transaction()
        await self.transaction.start()
        self.open = True
        return self

    async def append(self, stream: StreamAppend) -> int:
        """Append, and return the last position."""
        result = await self.log.append_in(self.connection, to_columns(stream.staged({})))
        return result.last_position

    async def end(self, *, commit: bool = True) -> None:
        """Commit or roll back."""
        self.open = False
        await (self.transaction.commit() if commit else self.transaction.rollback())

    async def __aexit__(self, *error: object) -> None:
        if self.open:
            await self.end(commit=False)
        await self._lease.__aexit__(None, None, None)


async def naive_tail(connection: DatabaseConnection, seen: list[tuple[UUID, int]], last: int = 0) -> int:
    """Read what is after the last position, as one would without gap detection; return the new last position."""
    async with connection.acquire() as one:
        rows = await one.fetch(
            "SELECT position, stream_id, version FROM events WHERE position > $1 ORDER BY position", last
        )
    seen.extend((row["stream_id"], row["version"]) for row in rows)
    return rows[-1]["position"] if rows else last


@pytest.mark.parametrize("writers", [16, pytest.param(24, marks=pytest.mark.full)])
async def test_every_committed_event_is_delivered_once_and_in_order(  # noqa: PLR0915 - one trial with its control
    migrated_config: DatabaseConfig, writers: int
):
    """Contended streams, transactions that stand open, roll-backs and conflicts: subscribers and a worker miss nothing.

    The control reads `position > last` in the same run, and loses events.
    """
    rounds = 12 if writers == 16 else 60
    chance = random.Random(7)
    async with (
        opened(migrated_config, max_pool_size=writers + 2) as writing,
        opened(migrated_config, max_pool_size=6) as reading,
    ):
        log, readers = EventLog(writing), EventLog(reading)
        async with reading.acquire() as one:
            await one.execute(SeenProjection().table.create())
        streams = [uuid4() for _ in range(8)]
        delivered: list[list[RecordedEvent]] = [[], []]
        lost: list[tuple[UUID, int]] = []
        stop = asyncio.Event()
        conflicts = rollbacks = 0

        async def write() -> None:
            nonlocal conflicts, rollbacks
            for _ in range(rounds):
                stream_id = chance.choice(streams)
                version = len(await log.read_stream(stream_id))
                try:
                    if chance.random() < 0.5:
                        await log.append(tuned(stream_id, version, 1))
                        continue
                    async with Writer(log) as writer:
                        await writer.append(tuned(stream_id, version, 1, 2))
                        await asyncio.sleep(chance.random() * 0.02)
                        if chance.random() < 0.2:
                            rollbacks += 1
                        else:
                            await writer.end()
                except ConcurrencyError:
                    conflicts += 1

        async def subscribe(number: int) -> None:
            async for event in readers.subscribe(batch_events_max=(3, 1000)[number]):
                delivered[number].append(event)

        async def read_naively() -> None:
            last = 0
            while not stop.is_set():
                last = await naive_tail(reading, lost, last)
                await asyncio.sleep(0.001)
            await naive_tail(reading, lost, last)

        worker = ProjectionWorker(readers, SeenProjection(), batch_events_max=7)
        tasks = [asyncio.ensure_future(subscribe(number)) for number in range(2)]
        tasks.append(asyncio.ensure_future(worker.run()))
        naive = asyncio.ensure_future(read_naively())
        try:
            # For certain: one writer holds a position while a later one is read by the control.
            async with Writer(log) as early:
                await early.append(started())
                late = started()
                await log.append(late)
                await until(lambda: (late.stream_id, 1) in lost)
                await early.end()
            async with asyncio.timeout(100):
                await asyncio.gather(*(write() for _ in range(writers)))
            committed = [
                (row["stream_id"], row["version"], row["position"]) for row in await everything(writing)
            ]
            await until(lambda: all(len(events) >= len(committed) for events in delivered))
            await until(lambda: (worker.position or 0) >= committed[-1][2])
            stop.set()
            await naive
        finally:
            for task in (*tasks, naive):
                task.cancel()
            await asyncio.gather(*tasks, naive, return_exceptions=True)
        assert conflicts > 0
        assert rollbacks > 0
        for events in delivered:
            assert [(event.stream_id, event.version, event.position) for event in events] == committed
        assert len(lost) < len(committed)  # the control
        async with reading.acquire() as one:
            counted = await one.fetch("SELECT stream_id, events, version, out_of_order FROM seen")
        expected = {stream_id: version for stream_id, version, _ in committed}  # the last one stays
        assert {(row["stream_id"], row["events"], row["version"]) for row in counted} == {
            (stream_id, version, version) for stream_id, version in expected.items()
        }
        assert not any(row["out_of_order"] for row in counted)


async def test_a_reader_waits_for_the_owner_of_a_gap_and_for_nobody_else(migrated_config: DatabaseConfig):
    """At a gap the reader has what comes before it; when its owner commits, the rest comes, in order of positions."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        first = (await log.append(started())).last_position
        async with Writer(log) as early:
            gap = await early.append(started())
            later = (await log.append(started())).last_position
            assert await log.high_water_mark.advance(0) == first
            assert await log.high_water_mark.advance(first, wait=False) == first
            waiting = asyncio.ensure_future(log.high_water_mark.advance(first))
            # A writer that came after the reader saw the gap does not count.
            async with Writer(log) as afterwards:
                await afterwards.append(started())
                assert not waiting.done()
                assert log.high_water_mark.gap_age_s > 0
                await early.end()
                async with asyncio.timeout(60):
                    assert await waiting >= later
                positions = [event.position for event in await log.read_range(after=0, through=await waiting)]
                assert positions == [first, gap, later]
        assert log.high_water_mark.gap_age_s == 0


async def test_a_gap_of_a_roll_back_is_passed(migrated_config: DatabaseConfig):
    """Positions that were rolled back, at the start, in the middle and in long runs, hold up nobody."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        appended: list[int] = []
        for tunings in (0, 3, 60):
            async with Writer(log) as writer:
                await writer.append(started(tunings=tunings))
            appended += (await log.append(started(tunings=1))).positions
        async with asyncio.timeout(60):
            found = []
            async for event in log.subscribe():
                found.append(event.position)
                if len(found) == len(appended):
                    break
        assert found == appended
        assert [event.position async for event in log.read_all()] == appended


@pytest.mark.parametrize("what", ["another database", "read only", "another table", "this table, read only"])
async def test_a_long_transaction_of_somebody_else_delays_nobody(
    migrated_config: DatabaseConfig, server_config: DatabaseConfig, what: str
):
    """A transaction that has not written to `events` here, however long, holds no reader up, at a gap or not."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        other = await admin_connection(server_config if what == "another database" else migrated_config)
        try:
            if what in ("another database", "another table"):
                await other.execute("CREATE TABLE IF NOT EXISTS something (id integer)")
            transaction = other.transaction(isolation="repeatable_read")
            await transaction.start()
            await other.execute(
                {
                    "another database": "INSERT INTO something VALUES (1)",
                    "another table": "INSERT INTO something VALUES (1)",
                    "read only": "SELECT 1",
                    "this table, read only": "SELECT count(*) FROM events",
                }[what]
            )
            async with Writer(log) as writer:
                await writer.append(started())  # a gap, to be
            appended = (await log.append(started(tunings=2))).positions
            async with asyncio.timeout(60):
                assert await log.high_water_mark.advance(0) == appended[-1]
                assert tuple([event.position async for event in log.read_all()]) == appended
            await transaction.rollback()
        finally:
            if what == "another database":
                await other.execute("DROP TABLE something")
            await other.close()


async def test_a_writer_of_a_copy_of_the_database_delays_nobody(
    make_database: DatabaseMaker, migrated_template: str
):
    """Tables of two databases that were copied from one template have one number, and are two tables all the same."""
    async with (
        make_database(migrated_template) as here,
        make_database(migrated_template) as there,
        opened(here) as connection,
        opened(there) as copy,
    ):
        numbers = set()
        for pool in (connection, copy):
            async with pool.acquire() as one:
                numbers.add(await one.fetchval("SELECT 'events'::regclass::oid"))
        assert len(numbers) == 1
        log = EventLog(connection)
        async with Writer(EventLog(copy)) as elsewhere:
            await elsewhere.append(started())
            async with Writer(log) as writer:
                await writer.append(started())  # a gap, to be
            last = (await log.append(started())).last_position
            async with asyncio.timeout(10):
                assert await log.high_water_mark.advance(0) == last
                assert [event.position async for event in log.read_all()] == [last]


async def test_a_writer_that_has_drawn_nothing_delays_nobody(migrated_config: DatabaseConfig):
    """One that still waits for its lock on the table, behind somebody who holds it against writers, has no position."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        async with Writer(log) as writer:
            await writer.append(started())  # a gap, to be
        last = (await log.append(started())).last_position
        async with connection.acquire() as holder, holder.transaction():
            await holder.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
            appending = asyncio.ensure_future(log.append(started()))

            async def waits() -> bool:
                count: int = await holder.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted"
                )
                return count > 0

            await until(waits)
            async with asyncio.timeout(10):
                assert await log.high_water_mark.advance(0) == last
            assert not appending.done()
        assert (await appending).last_position == last + 1


class Between:
    """A source of connections that does something once, after the first statement that is sent."""

    def __init__(self, source: DatabaseConnection, what: Callable[[], Awaitable[None]]) -> None:
        self._source = source
        self._what: Callable[[], Awaitable[None]] | None = what

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lend a connection that does it."""
        async with self._source.acquire() as connection:
            yield _Watched(connection, self._happen)

    async def _happen(self) -> None:
        what, self._what = self._what, None
        if what is not None:
            await what()


class _Watched:
    def __init__(self, connection: Any, happen: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._happen = happen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetchrow(self, *arguments: Any) -> Any:
        row = await self._connection.fetchrow(*arguments)
        await self._happen()
        return row


async def test_who_draws_a_position_during_a_look_is_not_passed(migrated_config: DatabaseConfig):
    """Between the statements of a look at a gap one writer draws a position, and another commits a later one.

    The gap that was seen may be passed, since its owner has rolled back, and the one that has come since may not.
    """
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        async with Writer(log) as gone:
            await gone.append(started())  # a gap, to be
        seen = (await log.append(started())).last_position
        async with Writer(log) as early:

            async def write() -> None:
                await early.append(started())
                await log.append(started())

            mark = HighWaterMark(Between(connection, write))
            for _ in range(3):
                assert await mark.advance(0, wait=False) <= seen
            await early.end()
            assert await mark.advance(seen) == await log.head() == seen + 2


async def test_many_readers_share_one_high_water_mark(migrated_config: DatabaseConfig):
    """Readers at different places, before and behind a gap, each get all of theirs while writers come and go."""
    async with opened(migrated_config, max_pool_size=30) as connection:
        log = EventLog(connection)
        found: dict[int, list[int]] = {number: [] for number in range(6)}
        tasks: list[asyncio.Task[None]] = []

        async def read(number: int, after: int) -> None:
            async for event in log.subscribe(after=after, batch_events_max=number + 1):
                found[number].append(event.position)

        async def write(chance: random.Random) -> None:
            for _ in range(10):
                async with Writer(log) as writer:
                    await writer.append(started(tunings=chance.randrange(3)))
                    await asyncio.sleep(chance.random() * 0.005)
                    await writer.end(commit=chance.random() < 0.8)

        try:
            writers = asyncio.gather(*(write(random.Random(number)) for number in range(8)))
            afters: dict[int, int] = {}
            for number in found:
                afters[number] = await log.high_water_mark.advance(0, wait=False)
                tasks.append(asyncio.ensure_future(read(number, afters[number])))
                await asyncio.sleep(0.01)
            await writers
            positions = [row["position"] for row in await everything(connection)]
            wanted = {number: [p for p in positions if p > after] for number, after in afters.items()}
            await until(lambda: all(len(found[number]) >= len(wanted[number]) for number in found))
            assert found == wanted
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("prepared", ["before the look", "after the look"])
async def test_a_prepared_transaction_is_waited_for(migrated_config: DatabaseConfig, prepared: str):
    """Two-phase commit: the owner of a gap is waited for when it is prepared, also if that happens while one waits."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        async with connection.acquire() as one:
            if await one.fetchval("SELECT current_setting('max_prepared_transactions')") == "0":
                pytest.skip("the server has max_prepared_transactions = 0")
        name = f"p{uuid4().hex}"
        stream = started(tunings=1)
        async with connection.acquire() as owner:
            try:
                await owner.execute("BEGIN")
                await log.append_in(owner, to_columns(stream.staged({})))
                later = (await log.append(started())).last_position
                if prepared == "before the look":
                    await owner.execute(f"PREPARE TRANSACTION '{name}'")
                waiting = asyncio.ensure_future(log.high_water_mark.advance(0))
                await until(lambda: log.high_water_mark.gap_age_s > 0)
                if prepared == "after the look":
                    await owner.execute(f"PREPARE TRANSACTION '{name}'")
                for _ in range(3):
                    assert await log.high_water_mark.advance(0, wait=False) == 0
                assert not waiting.done()
                read = asyncio.ensure_future(_read_all(log))
                assert await log.high_water_mark.advance(0, wait=False) == 0
                await owner.execute(f"COMMIT PREPARED '{name}'")
                assert await waiting >= later
                assert [event.stream_id for event in await read][:2] == [stream.stream_id] * 2
            finally:
                with suppress(Exception):
                    await owner.execute(f"ROLLBACK PREPARED '{name}'")


async def _read_all(log: EventLog) -> list[RecordedEvent]:
    return [event async for event in log.read_all()]


async def test_reading_all_waits_for_what_is_in_flight(migrated_config: DatabaseConfig):
    """`read_all` gives what was in flight below the head when it was called, and not what began later."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        async with Writer(log) as early:
            gap = await early.append(started())
            head = (await log.append(started())).last_position
            reading = asyncio.ensure_future(_read_all(log))

            async def has_looked() -> bool:
                count: int = await observer.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND query LIKE '%held.virtualtransaction%'"
                )
                return count > 0

            observer = await admin_connection(migrated_config)
            await until(has_looked)
            await observer.close()
            async with Writer(log) as afterwards:
                await afterwards.append(started())
                assert not reading.done()
                await early.end()
                async with asyncio.timeout(60):
                    assert [event.position for event in await reading] == [gap, head]


async def test_a_high_water_mark_that_lost_its_connection_starts_again(migrated_config: DatabaseConfig):
    """The backend of a waiting reader is ended: the reader's error is one of the tree, and a new try is complete."""
    async with opened(migrated_config) as connection, opened(migrated_config) as reading:
        log, reader = EventLog(connection), EventLog(reading)
        async with Writer(log) as early:
            gap = await early.append(started())
            head = (await log.append(started())).last_position
            waiting = asyncio.ensure_future(reader.high_water_mark.advance(0))
            await until(lambda: reader.high_water_mark.gap_age_s > 0)
            async with connection.acquire() as one:
                await one.fetch(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), $1)",
                    early.connection.get_server_pid(),
                )
            # It was between two looks, and looks again with another connection; or was looking, and tells.
            with suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(waiting, 0.2)
            assert await reader.high_water_mark.advance(0, wait=False) == 0
            await early.end()
            assert await reader.high_water_mark.advance(0) == head
            assert [event.position for event in await reader.read_range(after=0, through=head)] == [
                gap,
                head,
            ]


async def test_a_new_high_water_mark_trusts_nothing_but_the_log(migrated_config: DatabaseConfig):
    """A reader that starts behind positions that are final passes every one of them at once."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        last = (await log.append(started(tunings=30))).last_position
        assert await HighWaterMark(connection).advance(0) == last
        assert await HighWaterMark(connection).advance(last, wait=False) == last
