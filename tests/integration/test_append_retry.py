"""Sending an append again: the first call's positions, or a conflict; never a second event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from eventstore.errors import ConcurrencyError
from eventstore.log import StreamAppend
from tests.entities import StrategyStarted, StrategyTuned, everything, pending, started, tuned

if TYPE_CHECKING:
    from eventstore.log import EventLog


async def test_the_same_append_returns_the_first_positions(log: EventLog):
    """Repeated alone, together, or after others have gone on with the stream: the first answer comes back."""
    streams = [started(tunings=2), started(), started(tunings=1)]
    first = await log.append(*streams, metadata={"a": 1})
    assert (await log.append(*streams, metadata={"a": 1})).repeated
    for stream in streams:
        await log.append(tuned(stream.stream_id, len(stream.events), 5, 6))
    size = len(await everything(log.connection))
    for answer in await asyncio.gather(*(log.append(*streams, metadata={"a": 1}) for _ in range(5))):
        assert (answer.positions, answer.recorded_at, answer.repeated) == (
            first.positions,
            first.recorded_at,
            True,
        )
    assert len(await everything(log.connection)) == size


async def test_the_same_append_twice_at_once_is_one(log: EventLog):
    """Two connections send the same events at the same time: both get the same positions, the log has them once."""
    for _ in range(20):
        stream = started(tunings=3)
        one, other = await asyncio.gather(log.append(stream), log.append(stream))
        assert one.positions == other.positions
        assert one.repeated != other.repeated
    assert len(await everything(log.connection)) == 80


async def test_the_same_ids_with_other_content_are_a_conflict(log: EventLog):
    """Data, type, metadata, time and id count: where one differs it is not the same append."""
    stream = started(tunings=1)
    await log.append(stream, metadata={"a": 1})
    first, second = stream.events
    event = second.event
    assert isinstance(event, StrategyTuned)
    changes = [
        event.model_copy(update={"value": event.value + 1}),
        event.model_copy(update={"occurred_at": event.occurred_at.replace(year=2001)}),
        StrategyStarted(name="a", occurred_at=event.occurred_at),
    ]
    others = [
        (StreamAppend(stream.stream_id, 0, (first, second._replace(event=e))), {"a": 1}) for e in changes
    ]
    others += [
        (StreamAppend(stream.stream_id, 0, (first, second._replace(event_id=uuid4()))), {"a": 1}),
        (stream, {"a": 2}),
        (stream, {}),
    ]
    for other, metadata in others:
        with pytest.raises(ConcurrencyError) as caught:
            await log.append(other, metadata=metadata)
        assert (caught.value.expected, caught.value.actual) == (0, 2)
    assert len(await everything(log.connection)) == 2


async def test_only_some_of_the_same_events_are_a_conflict(log: EventLog):
    """A part of an append, from its beginning, its middle or its end, or more than it, is another append."""
    stream = started(tunings=3)
    await log.append(stream)
    for start, end in ((0, 1), (0, 3), (1, 3), (1, 4), (3, 4)):
        with pytest.raises(ConcurrencyError):
            await log.append(StreamAppend(stream.stream_id, start, stream.events[start:end]))
    more = (*stream.events, pending(StrategyTuned(parameter="y", value=1), uuid4()))
    with pytest.raises(ConcurrencyError):
        await log.append(StreamAppend(stream.stream_id, 0, more))
    with pytest.raises(ConcurrencyError):
        await log.append(stream, started())
    assert len(await everything(log.connection)) == 4


async def test_only_some_of_the_streams_of_an_append_are_a_conflict(log: EventLog):
    """A part of an append is another append, also where the part is the whole of a stream."""
    first, second, third = started(tunings=1), started(), started(tunings=2)
    appended = await log.append(first, second, third)
    for some in ([first], [second], [third], [first, second], [second, third], [first, third]):
        with pytest.raises(ConcurrencyError):
            await log.append(*some)
    again = await log.append(first, second, third)
    assert (again.repeated, again.positions) == (True, appended.positions)
    other_way = await log.append(third, second, first)
    assert other_way.repeated
    assert sorted(other_way.positions) == sorted(appended.positions)
    assert len(await everything(log.connection)) == 6


async def test_appends_of_one_statement_are_told_apart(log: EventLog):
    """Appends that share a statement have one recorded_at and neighbouring positions: each is whole by itself."""
    appends = [[started(), started(tunings=number % 3)] for number in range(12)]
    done = await asyncio.gather(*(log.append(*streams) for streams in appends))
    if log._group_commit is not None:
        assert len({result.recorded_at for result in done}) < len(done)
    for streams, result in zip(appends, done, strict=True):
        again = await log.append(*streams)
        assert (again.repeated, again.positions) == (True, result.positions)
        for stream in streams:
            with pytest.raises(ConcurrencyError):
                await log.append(stream)
    halves = [appends[0][0], appends[1][1]]
    with pytest.raises(ConcurrencyError):
        await log.append(*halves)


async def test_whole_appends_repeated_together_are_a_repeat(log: EventLog):
    """As a commit is whose transaction had flushed before; half of one of them is not."""
    first, second, third = started(tunings=1), started(), started()
    positions = (await log.append(first, second)).positions + (await log.append(third)).positions
    again = await log.append(first, second, third)
    assert (again.repeated, again.positions) == (True, positions)
    with pytest.raises(ConcurrencyError):
        await log.append(first, third)


async def test_what_was_imported_is_known_by_its_streams(log: EventLog):
    """An import does not say which events belong together: a whole stream of it is a repeat."""
    first, second = started(tunings=1), started()
    await log.import_events([first])
    await log.import_events([second])
    assert (await log.append(second)).repeated
    assert (await log.append(first)).repeated
    with pytest.raises(ConcurrencyError):
        await log.append(StreamAppend(first.stream_id, 0, first.events[:1]))


async def test_the_same_events_at_other_versions_are_a_conflict(log: EventLog):
    """An event is not taken for itself at another place of its stream."""
    stream = started(tunings=1)
    await log.append(stream)
    with pytest.raises(ConcurrencyError):
        await log.append(StreamAppend(stream.stream_id, 1, stream.events))
    assert len(await everything(log.connection)) == 2


async def test_a_retry_waits_for_the_first_call(log: EventLog):
    """While the first call is not committed, the same append waits for it, and then has its positions."""
    stream = started(tunings=1)
    columns = _columns(stream)
    async with log.connection.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        first = await log.append_in(connection, columns)
        again = asyncio.ensure_future(log.append(stream))
        await _blocked(log)
        assert not again.done()
        await transaction.commit()
    assert (await again).positions == first.positions
    assert len(await everything(log.connection)) == 2


async def test_a_retry_takes_the_place_of_a_first_call_that_was_rolled_back(log: EventLog):
    """The same append waits for one that is rolled back, and is then the first."""
    stream = started(tunings=1)
    async with log.connection.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        first = await log.append_in(connection, _columns(stream))
        again = asyncio.ensure_future(log.append(stream))
        await _blocked(log)
        await transaction.rollback()
    result = await again
    assert not result.repeated
    assert result.positions > first.positions
    assert len(await everything(log.connection)) == 2


def _columns(stream: StreamAppend):
    from eventstore.log.records import to_columns

    return to_columns(stream.staged({}))


async def _blocked(log: EventLog) -> None:
    """Wait until some backend of this database waits for another's transaction, for longer than a group would."""
    from tests.waiting import until

    async def waits() -> bool:
        async with log.connection.acquire() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event = 'transactionid' AND query_start < clock_timestamp() - interval '70 ms'"
            )
            return count == 1

    await until(waits)
