"""Sending an append again: the first call's positions, or a conflict; never a second event."""

from __future__ import annotations

import asyncio
from dataclasses import replace
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
        (StreamAppend(stream.stream_id, 0, (first, replace(second, event=e))), {"a": 1}) for e in changes
    ]
    others += [
        (StreamAppend(stream.stream_id, 0, (first, replace(second, event_id=uuid4()))), {"a": 1}),
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
