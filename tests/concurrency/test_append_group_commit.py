"""Group commit: appends share a statement, and nothing else: not a conflict, not a wait, not a cancellation."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConcurrencyError
from eventstore.log import EventLog
from eventstore.log.records import to_columns
from eventstore.store import EventStore
from tests.entities import everything, started, tuned
from tests.held_streams import held
from tests.relay import Relay
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from eventstore.database import DatabaseConfig, DatabaseConnection


_REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.data ->> 'name' = 'refused' THEN RAISE EXCEPTION 'not this one'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@asynccontextmanager
async def opened(config: DatabaseConfig, **settings: Any) -> AsyncIterator[DatabaseConnection]:
    """A pool."""
    connection = await ConnectionFactory.create_connection(config.replace(**settings))
    try:
        yield connection
    finally:
        await connection.close(timeout_s=5)


async def statements(connection: DatabaseConnection) -> dict[Any, set[UUID]]:
    """The streams that each statement wrote: events of one statement share recorded_at and the transaction."""
    async with connection.acquire() as one:
        rows = await one.fetch("SELECT xmin::text AS id, stream_id FROM events")
    grouped: dict[Any, set[UUID]] = {}
    for row in rows:
        grouped.setdefault(row["id"], set()).add(row["stream_id"])
    return grouped


async def test_appends_made_meanwhile_share_a_statement(migrated_config: DatabaseConfig):
    """Fifty appends made at once go together; without group commit each goes alone."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        streams = [started(str(number), tunings=number % 3) for number in range(50)]
        results = await asyncio.gather(*(log.append(stream) for stream in streams))
        assert list(map(len, (await statements(connection)).values())) == [50]
        for stream, result in zip(streams, results, strict=True):
            read = await log.read_stream(stream.stream_id)
            assert tuple(event.position for event in read) == result.positions
            assert [event.event_id for event in read] == [pending.event_id for pending in stream.events]

        alone = EventLog(connection, group_commit=False)
        before = len(await statements(connection))
        await asyncio.gather(*(alone.append(started()) for _ in range(10)))
        assert len(await statements(connection)) - before == 10


async def test_one_setting_turns_it_off(migrated_config: DatabaseConfig):
    """With `group_commit=False` in the configuration every Unit of Work has a statement of its own."""
    for group_commit, expected in ((True, 1), (False, 8)):
        async with opened(migrated_config, group_commit=group_commit) as connection:
            store = EventStore.of(connection)
            before = len(await statements(connection))

            async def save(store: EventStore = store) -> None:
                async with store.unit_of_work() as uow:
                    await uow.orders.save_order(Order.create_market_order("A", Decimal(1), OrderSide.BUY))

            await asyncio.gather(*(save() for _ in range(8)))
            assert len(await statements(connection)) - before == expected


async def test_sharing_saves_round_trips(migrated_config: DatabaseConfig):
    """A hundred appends made at once cost one message to the server."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with Relay(migrated_config) as relay, opened(relay.config(max_pool_size=1)) as connection:
        log = EventLog(connection)
        await log.append(started(tunings=1))  # the statement is prepared
        before = relay.requests
        await asyncio.gather(*(log.append(started()) for _ in range(100)))
        assert relay.requests - before == 1


async def test_a_conflict_fails_its_own_append_alone(migrated_config: DatabaseConfig):
    """Of twenty appends in one statement three are stale: these fail with their own versions, the others are written."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        known = [started(tunings=number) for number in range(3)]
        await log.append(*known)
        good = [started() for _ in range(17)]
        stale = [tuned(stream.stream_id, 0, 1) for stream in known]
        outcomes = await asyncio.gather(
            *(log.append(one) for one in (*good[:9], *stale, *good[9:])), return_exceptions=True
        )
        for number, outcome in enumerate(outcomes[9:12]):
            assert isinstance(outcome, ConcurrencyError)
            assert (outcome.stream_id, outcome.expected, outcome.actual) == (
                known[number].stream_id,
                0,
                number + 1,
            )
        assert not any(isinstance(outcome, BaseException) for outcome in outcomes[:9] + outcomes[12:])
        assert len(await everything(connection)) == 6 + 17


async def test_appends_repeated_together_have_their_own_positions_and_times(migrated_config: DatabaseConfig):
    """Two appends that the log has since different times are sent again in one statement: each gets its first answer."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        streams = [started(), started(tunings=2)]
        first = [await log.append(stream) for stream in streams]
        assert first[0].recorded_at != first[1].recorded_at
        again = await asyncio.gather(*(log.append(stream) for stream in streams))
        assert all(result.repeated for result in again)
        for result, original in zip(again, first, strict=True):
            assert (result.positions, result.recorded_at) == (original.positions, original.recorded_at)


async def test_what_a_statement_holds_is_bounded(migrated_config: DatabaseConfig):
    """Appends that are large, many, or of many events are spread over statements, and each is written once."""
    bounds = {
        "characters": [started("x" * 400_000) for _ in range(4)],
        "members": [started() for _ in range(300)],
        "events": [started(tunings=399) for _ in range(4)],
    }
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        for streams in bounds.values():
            await asyncio.gather(*(log.append(stream) for stream in streams))
        shared = list((await statements(connection)).values())
        for streams in bounds.values():
            ids = {stream.stream_id for stream in streams}
            assert sum(map(len, (statement & ids for statement in shared))) == len(ids)
            assert len([statement for statement in shared if statement & ids]) == 2


async def test_what_cannot_be_sent_fails_alone(migrated_config: DatabaseConfig):
    """One append is refused by a trigger, one has columns of unlike lengths: the others of their statement are written."""
    async with opened(migrated_config) as connection:
        async with connection.acquire() as one:
            await one.execute(_REFUSING)
        log = EventLog(connection)
        good = [started() for _ in range(10)]
        uneven = to_columns(started().staged({}))._replace(types=[])
        outcomes = await asyncio.wait_for(
            asyncio.gather(
                *(log.append(stream) for stream in good[:5]),
                log.append(started("refused")),
                log.append_columns(uneven),
                *(log.append(stream) for stream in good[5:]),
                return_exceptions=True,
            ),
            timeout=60,
        )
        assert [isinstance(outcome, BaseException) for outcome in outcomes].count(True) == 2
        assert "not this one" in str(outcomes[5])
        assert isinstance(outcomes[6], BaseException)
        assert {row["stream_id"] for row in await everything(connection)} == {s.stream_id for s in good}


async def test_what_takes_too_long_fails_alone(migrated_config: DatabaseConfig):
    """The server ends the statement for the sake of one append, and then that append alone: the others are written."""
    async with opened(migrated_config) as connection, connection.acquire() as one:
        await one.execute(_REFUSING.replace("RAISE EXCEPTION 'not this one'", "PERFORM pg_sleep(60)"))
        await one.execute(f"ALTER DATABASE {migrated_config.database} SET statement_timeout = '2s'")
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        streams = [started("refused" if number == 3 else "a") for number in range(10)]
        outcomes = await asyncio.gather(*(log.append(stream) for stream in streams), return_exceptions=True)
        assert isinstance(outcomes.pop(3), TimeoutError)
        assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
        assert len(await everything(connection)) == 9


async def test_two_appends_to_one_stream_never_share_a_statement(migrated_config: DatabaseConfig):
    """Two that follow each other are both written, in order; two of the same version: one wins, whole."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        stream = started()
        following = [tuned(stream.stream_id, version, version) for version in range(1, 6)]
        await asyncio.gather(log.append(started()), *(log.append(one) for one in (stream, *following)))
        assert [event.version for event in await log.read_stream(stream.stream_id)] == [1, 2, 3, 4, 5, 6]
        by_statement = await statements(connection)
        assert len(by_statement) == 6  # the other append goes with the first of them

        rivals = [tuned(stream.stream_id, 6, value, value) for value in range(8)]
        outcomes = await asyncio.gather(*(log.append(one) for one in rivals), return_exceptions=True)
        won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(won) == 1
        assert all(isinstance(o, ConcurrencyError) for o in outcomes if isinstance(o, BaseException))
        assert len(await log.read_stream(stream.stream_id)) == 8


async def test_a_stranger_that_holds_a_key_holds_up_nobody_else(migrated_config: DatabaseConfig):
    """One member waits for a transaction of someone else; the others of its statement, and later ones, go on.

    The bound is far above the 50 ms of the statement and far below the time that the key is held.
    """
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        blocked = started()
        async with held(log, blocked):
            waiting = asyncio.ensure_future(log.append(blocked))
            began = time.monotonic()
            async with asyncio.timeout(60):
                await asyncio.gather(*(log.append(started()) for _ in range(20)))
                for _ in range(20):
                    await log.append(started())
            assert time.monotonic() - began < 5
            assert not waiting.done()
        assert not (await waiting).repeated
        assert len(await everything(connection)) == 41


async def test_cancelling_one_leaves_the_others(migrated_config: DatabaseConfig):
    """Members of one statement are cancelled while it is in flight: all are written, and only those are cancelled.

    A cancelled append has waited for its outcome, so that the log has it when the cancellation is raised.
    """
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        blocked = started()
        async with held(log, blocked):
            first = asyncio.ensure_future(log.append(blocked))
            streams = [started(str(number)) for number in range(12)]
            tasks = [asyncio.ensure_future(log.append(stream)) for stream in streams]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for number, outcome in enumerate(outcomes):
                assert isinstance(outcome, asyncio.CancelledError) == (number % 3 == 0)
            stored = {row["stream_id"] for row in await everything(connection)}
            assert stored == {stream.stream_id for stream in streams}
            first.cancel()
            await asyncio.sleep(0.01)
            assert not first.done()  # the answer is still to come
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len(await log.read_stream(blocked.stream_id)) == 1


@pytest.mark.parametrize("loops", [1, 2, 3, 5, 8])
async def test_a_cancelled_member_that_is_refused_raises_the_cancellation(
    migrated_config: DatabaseConfig, loops: int
):
    """Its statement meets its conflict, so it goes alone and is refused: the conflict is not raised in place of the cancellation.

    Otherwise who runs an operation again after a conflict would go on although it was cancelled.
    """
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        known = started()
        await log.append(known)
        good = [started() for _ in range(4)]
        stale = tuned(known.stream_id, 0, 1)
        tasks = [asyncio.ensure_future(log.append(stream)) for stream in (*good, stale)]
        for _ in range(loops):
            await asyncio.sleep(0)
        tasks[-1].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes.pop(), asyncio.CancelledError)
        assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
        assert len(await everything(connection)) == 5


@pytest.mark.parametrize("loops", [1, 2, 3, 5, 8, 13, 21, 34])
async def test_the_end_of_the_event_loop_ends_the_appends(migrated_config: DatabaseConfig, loops: int):
    """Every task is cancelled, as at the end of `asyncio.run`: none hangs, none is born, each append is whole or nothing."""
    async with opened(migrated_config) as connection:
        log = EventLog(connection)
        await log.append(started())
        streams = [started(str(number), tunings=2) for number in range(40)]
        before = asyncio.all_tasks()
        tasks = [asyncio.ensure_future(log.append(stream)) for stream in streams]
        for _ in range(loops):
            await asyncio.sleep(0)
        ending = asyncio.all_tasks() - before
        for task in ending:
            task.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*ending, return_exceptions=True)
        born = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not any(name.startswith("eventstore") for name in born)
        assert all(task.done() for task in tasks)
        lengths = {stream.stream_id: len(await log.read_stream(stream.stream_id)) for stream in streams}
        assert set(lengths.values()) <= {0, 3}
        for stream, task in zip(streams, tasks, strict=True):
            if not task.cancelled():
                assert lengths[stream.stream_id] == 3
        await log.append(started())  # the log works on


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_crossed_appends_never_deadlock(migrated_config: DatabaseConfig, group_commit: bool):
    """Two processes' worth of writers append the same streams in opposite orders: one wins each time, none deadlocks."""
    async with opened(migrated_config) as first, opened(migrated_config) as second:
        logs = [EventLog(first, group_commit=group_commit), EventLog(second, group_commit=group_commit)]
        for _ in range(40):
            streams = [started(str(number), tunings=3) for number in range(30)]
            others = [tuned(stream.stream_id, 0, 1) for stream in reversed(streams)]
            outcomes = await asyncio.gather(
                logs[0].append(*streams), logs[1].append(*others), return_exceptions=True
            )
            failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            assert len(failed) == 1
            assert isinstance(failed[0], ConcurrencyError)
        assert len(await everything(first)) in range(40 * 30, 40 * 120 + 1)


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_contended_streams_lose_and_repeat_nothing(migrated_config: DatabaseConfig, group_commit: bool):
    """Sixteen writers in two pools fight for three streams, each until it has won ten times: 160 events, no gap."""
    async with opened(migrated_config) as first, opened(migrated_config) as second:
        logs = [EventLog(first, group_commit=group_commit), EventLog(second, group_commit=group_commit)]
        streams = [started(str(number)) for number in range(3)]
        await logs[0].append(*streams)
        conflicts = 0
        written: list[tuple[UUID, tuple[int, ...]]] = []

        async def write(number: int) -> None:
            nonlocal conflicts
            log, stream_id = logs[number % 2], streams[number % 3].stream_id
            for _ in range(10):
                while True:
                    version = len(await log.read_stream(stream_id))
                    try:
                        result = await log.append(tuned(stream_id, version, number))
                    except ConcurrencyError:
                        conflicts += 1
                        continue
                    written.append((stream_id, result.positions))
                    break

        await asyncio.gather(*(write(number) for number in range(16)))
        assert conflicts > 0
        stored = await everything(first)
        assert len(stored) == 163
        assert {(row["stream_id"], (row["position"],)) for row in stored[3:]} == set(written)
        for stream in streams:
            versions = [row["version"] for row in stored if row["stream_id"] == stream.stream_id]
            assert versions == list(range(1, len(versions) + 1))


async def test_a_closed_pool_answers_every_waiter(migrated_config: DatabaseConfig):
    """Closing the pool while appends wait: each ends with positions or an error, and the log agrees with each."""
    async with opened(migrated_config) as reader:
        connection = await ConnectionFactory.create_connection(migrated_config)
        log = EventLog(connection)
        streams = [started(str(number)) for number in range(30)]
        tasks = [asyncio.ensure_future(log.append(stream)) for stream in streams]
        await asyncio.sleep(0)
        await connection.close(timeout_s=5)
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        stored = {row["stream_id"] for row in await everything(reader)}
        for stream, outcome in zip(streams, outcomes, strict=True):
            assert isinstance(outcome, BaseException) == (stream.stream_id not in stored)
        await until(lambda: all(task.done() for task in tasks))
