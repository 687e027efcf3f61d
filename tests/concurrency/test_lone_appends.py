"""An append that nobody else shares is sent in the task of its writer: a cancellation waits for its outcome all the same."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory
from eventstore.database.pooled import PooledConnection, unwrapped
from eventstore.errors import ConcurrencyError
from eventstore.log import EventLog, event_log
from eventstore.log.records import AppendResult, to_columns
from eventstore.log.statements import find_repeated
from tests.entities import everything, started, tuned
from tests.held_streams import held
from tests.relayed_connections import connected, relay
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from eventstore.database import DatabaseConfig
    from eventstore.log import StreamAppend
    from tests.relay import Relay

__all__ = ["relay"]

MARK = "MARKED"


@pytest.fixture(params=[True, False], ids=["group-commit", "each-alone"], name="lone")
async def log_of_a_lone_writer(
    request: pytest.FixtureRequest, migrated_config: DatabaseConfig
) -> AsyncIterator[EventLog]:
    """A log whose next append is a lone one, on a connection that has prepared its statement."""
    async with await ConnectionFactory.create_connection(migrated_config) as connection:
        log = EventLog(connection, group_commit=request.param)
        await prepared(log)
        yield log


async def prepared(log: EventLog) -> None:
    for _ in range(3):
        await log.append(started())


class Appending:
    """An append in a task, and what it was told."""

    def __init__(self, log: EventLog, stream: StreamAppend) -> None:
        self.told: list[AppendResult] = []
        columns = to_columns(stream.staged({}))
        self.task = asyncio.create_task(log.append_columns(columns, self.told.append))

    async def cancelled(self, *messages: str) -> None:
        """Cancel it with each message, and check that they are raised."""
        for message in messages:
            self.task.cancel(message)
        await self.ended(*messages)

    async def ended(self, *messages: str) -> None:
        """Wait for its end, and check that the last cancellation is raised, with the others as its contexts."""
        with pytest.raises(asyncio.CancelledError) as caught:
            await self.task
        found = []
        error: BaseException | None = caught.value
        while isinstance(error, asyncio.CancelledError):
            found.append(error.args[0])
            error = error.__context__
        assert found == list(reversed(messages))


async def waits_on_the_server(log: EventLog) -> None:
    """Wait until a statement waits for a lock."""
    async with log.connection.acquire() as one:

        async def waits() -> bool:
            found: bool = await one.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return found

        await until(waits)


async def test_a_cancelled_append_tells_its_result(lone: EventLog):
    """It waits for its answer, tells the result, and raises the cancellations as they came."""
    stream = started()
    async with held(lone, stream):
        appending = Appending(lone, stream)
        await waits_on_the_server(lone)
        appending.task.cancel("one")
        appending.task.cancel("two")
        await asyncio.sleep(0.05)
        assert not appending.task.done()
    await appending.ended("one", "two")
    (event,) = await lone.read_stream(stream.stream_id)
    assert [result.positions for result in appending.told] == [(event.position,)]
    await lone.append(started())


async def test_a_cancelled_append_that_is_refused_raises_the_cancellation(lone: EventLog):
    """A conflict is not told: the cancellation is raised, and nothing was written."""
    taken = started()
    await lone.append(taken)
    appending = Appending(lone, tuned(taken.stream_id, 0, 3))
    await asyncio.sleep(0)
    await appending.cancelled("one")
    assert not appending.told
    with pytest.raises(ConcurrencyError):
        await lone.append(tuned(taken.stream_id, 0, 3))
    assert len(await lone.read_stream(taken.stream_id)) == 1


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_a_cancelled_append_whose_answer_is_lost_is_sent_again(relay: Relay, group_commit: bool):
    """The cancellation is raised after the append is in the log, once, and its result was told."""
    async with connected(relay) as connection:
        log = EventLog(connection, group_commit=group_commit)
        await prepared(log)
        relay.lose_after = MARK.encode()
        stream = started(MARK)
        appending = Appending(log, stream)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await appending.cancelled("one")
        assert relay.lost == 1
        (event,) = await log.read_stream(stream.stream_id)
        assert [result.positions for result in appending.told] == [(event.position,)]


async def test_an_append_cancelled_before_it_was_sent_writes_nothing(migrated_config: DatabaseConfig):
    """Where it waits for a connection, it ends at once."""
    async with await ConnectionFactory.create_connection(
        migrated_config.replace(min_pool_size=1, max_pool_size=1)
    ) as connection:
        log = EventLog(connection)
        await prepared(log)
        stream = started()
        async with connection.acquire():
            appending = Appending(log, stream)
            await asyncio.sleep(0.01)
            await appending.cancelled("one")
        assert not appending.told
        assert len(await everything(connection)) == 3
        await log.append(stream)


async def test_appends_that_arrive_meanwhile_share_the_next_statement(migrated_config: DatabaseConfig):
    """A lone append that waits for a lock holds up none of those after it, unless they are of its stream."""
    async with await ConnectionFactory.create_connection(migrated_config) as connection:
        log = EventLog(connection)
        await prepared(log)
        stream = started()
        async with held(log, stream):
            lone = asyncio.create_task(log.append(stream))
            await waits_on_the_server(log)
            of_its_stream = asyncio.create_task(log.append(tuned(stream.stream_id, 1, 3)))
            results = await asyncio.gather(*(log.append(started()) for _ in range(20)))
            assert len({result.recorded_at for result in results}) <= 2
            assert not lone.done()
            assert not of_its_stream.done()
        (first,), (second,) = (await lone).positions, (await of_its_stream).positions
        assert first < second


def test_the_end_of_the_event_loop_does_not_wait_for_an_answer(migrated_config: DatabaseConfig):
    """A task that is cancelled where the loop does not run ends at once, although the server holds its append up."""

    async def blocked() -> tuple[asyncio.Task[AppendResult], Callable[[], Coroutine[Any, Any, None]]]:
        connection = await ConnectionFactory.create_connection(migrated_config)
        log, stream, stack = EventLog(connection), started(), AsyncExitStack()
        await prepared(log)
        await stack.enter_async_context(held(log, stream))
        appending = asyncio.create_task(log.append(stream))
        await waits_on_the_server(log)

        async def clean_up() -> None:
            await stack.aclose()
            await connection.close()

        return appending, clean_up

    with asyncio.Runner() as runner:
        appending, clean_up = runner.run(blocked())
        appending.cancel()
        began_s = time.monotonic()
        runner.run(asyncio.wait({appending}))
        took_s = time.monotonic() - began_s
        runner.run(clean_up())
    assert appending.cancelled()
    assert took_s < 15  # the answer would take the time limit of a command, which is 30 s


async def test_a_connection_that_is_lost_before_the_append_is_replaced(
    lone: EventLog, monkeypatch: pytest.MonkeyPatch
):
    """The server has ended it while nobody used it, and the writer sees no error: nothing was sent."""
    fetchval = PooledConnection.fetchval
    lost: list[str] = []

    def dying(connection: PooledConnection, query: str, *args: Any, **options: Any) -> Any:
        if not lost:
            lost.append(query)
            connection.terminate()
        return fetchval(connection, query, *args, **options)

    async with lone.connection.acquire() as lent:
        unwrapped(lent).may_insert = None  # as of a connection that was never used
    monkeypatch.setattr(PooledConnection, "fetchval", dying)
    stream = started()
    result = await lone.append(stream)
    assert len(lost) == 1
    assert "privilege" in lost[0]
    assert [event.position for event in await lone.read_stream(stream.stream_id)] == list(result.positions)


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_an_append_cancelled_while_it_is_sent_again_is_told_once(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, group_commit: bool
):
    """After a lost answer the append is sent a second time. A cancellation meanwhile does not cause a third."""
    async with connected(relay) as connection:
        log = EventLog(connection, group_commit=group_commit)
        await prepared(log)
        again, sends = asyncio.Event(), 0
        alone = log._append_alone

        async def sent_again(*arguments: Any) -> AppendResult:
            nonlocal sends
            sends += 1
            again.set()
            await asyncio.sleep(0)
            return await alone(*arguments)

        monkeypatch.setattr(log, "_append_alone", sent_again)
        relay.lose_after = MARK.encode()
        stream = started(MARK)
        appending = Appending(log, stream)
        await again.wait()
        await appending.cancelled("one")
        (event,) = await log.read_stream(stream.stream_id)
        assert [result.positions for result in appending.told] == [(event.position,)]
        assert sends == 1


async def test_a_cancelled_repeat_is_told(lone: EventLog, monkeypatch: pytest.MonkeyPatch):
    """The log already has the append: its callback receives the first result, even if it is cancelled during that question."""
    stream = started()
    first = await lone.append(stream)
    asked = asyncio.Event()
    find = find_repeated

    async def found(*arguments: Any) -> AppendResult:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return await find(*arguments)

    monkeypatch.setattr(event_log, "find_repeated", found)
    appending = Appending(lone, stream)
    await asked.wait()
    await appending.cancelled("one")
    assert appending.told == [first._replace(repeated=True)]


async def test_a_lone_append_is_one_of_two_statements_in_flight(migrated_config: DatabaseConfig):
    """While it waits, those that come meanwhile share one other statement, and the next ones wait for either."""
    async with await ConnectionFactory.create_connection(migrated_config) as connection:
        log = EventLog(connection)
        await prepared(log)
        stuck, also = started(), started()
        async with held(log, stuck), held(log, also):
            waiting = [asyncio.create_task(log.append(stuck))]
            await waits_on_the_server(log)
            waiting += [asyncio.create_task(log.append(one)) for one in (also, started())]
            await asyncio.sleep(0.01)
            in_flight = log._group_commit._in_flight if log._group_commit else 0
        await asyncio.gather(*waiting)
        assert in_flight == 2
