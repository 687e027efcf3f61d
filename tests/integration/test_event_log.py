"""The log: what an append returns, what it refuses, and what a reader gets back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from eventstore.core.event import Event
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    DomainError,
    EventStoreError,
    RepositoryError,
    UnknownEventTypeError,
)
from eventstore.log import StreamAppend
from tests.entities import (
    CATEGORY,
    Strategy,
    StrategyStarted,
    StrategyTuned,
    everything,
    pending,
    started,
    tuned,
)

if TYPE_CHECKING:
    from eventstore.log import EventLog


class AnythingNoted(Event, category="tested note"):
    """An event whose field nobody validates."""

    text: Any


async def test_what_is_appended_comes_back(log: EventLog):
    """Every field of the envelope and of the event is what the writer gave, decimals digit for digit."""
    point = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    events = (
        pending(StrategyStarted(name="ü \\ \" ' 日本 \x01", occurred_at=point), uuid4()),
        pending(StrategyTuned(parameter="x", value=Decimal("1.2300"), occurred_at=point), uuid4()),
    )
    stream_id = uuid4()
    result = await log.append(
        StreamAppend(stream_id, 0, events), metadata={"actor": "me", "n": 3, "deep": {"a": [None, True]}}
    )
    read = await log.read_stream(stream_id)
    assert [e.event for e in read] == [e.event for e in events]
    assert str(read[1].event.value) == "1.2300"  # type: ignore[attr-defined]
    assert [(e.stream_id, e.version, e.event_id) for e in read] == [
        (stream_id, 1, events[0].event_id),
        (stream_id, 2, events[1].event_id),
    ]
    assert [e.occurred_at for e in read] == [point, point]
    assert [e.metadata for e in read] == [{"actor": "me", "n": 3, "deep": {"a": [None, True]}}] * 2
    assert tuple(e.position for e in read) == result.positions
    assert {e.recorded_at for e in read} == {result.recorded_at}
    assert not result.repeated
    assert [e async for e in log.read_all()] == read
    assert await log.read_stream(stream_id, after_version=1) == read[1:]
    assert await log.read_stream(stream_id, limit=1) == read[:1]
    assert await log.read_stream(uuid4()) == []


async def test_positions_follow_the_order_of_staging(log: EventLog):
    """Streams are given in descending order of their ids, and keep the order that they were given in."""
    streams = sorted((started(tunings=2) for _ in range(20)), key=lambda s: s.stream_id, reverse=True)
    result = await log.append(*streams)
    assert list(result.positions) == sorted(result.positions)
    assert len(set(result.positions)) == 60
    stored = await everything(log.connection)
    assert [(row["stream_id"], row["version"]) for row in stored] == [
        (stream.stream_id, version) for stream in streams for version in (1, 2, 3)
    ]


async def test_a_conflict_in_one_stream_writes_nothing(log: EventLog):
    """Of many streams one has moved on: the error names it, its version and the one expected; no stream grew."""
    known = started(tunings=1)
    await log.append(known)
    before = await everything(log.connection)
    with pytest.raises(ConcurrencyError) as caught:
        await log.append(started("b"), tuned(known.stream_id, 1, 7), started("c"))
    assert (caught.value.stream_id, caught.value.expected, caught.value.actual) == (known.stream_id, 1, 2)
    assert caught.value.retryable
    assert await everything(log.connection) == before


@pytest.mark.parametrize("beside", [0, 1], ids=["alone", "with another stream"])
@pytest.mark.parametrize("expected", [1, 5, 2**31 - 2])
async def test_a_gap_is_a_conflict(log: EventLog, expected: int, beside: int):
    """A version beyond the stream's next one is refused, on a new stream and on an old one, and writes nothing."""
    known = started()
    await log.append(known)
    for stream_id, actual in ((uuid4(), 0), (known.stream_id, 1)):
        if expected == actual:
            continue
        with pytest.raises(ConcurrencyError) as caught:
            await log.append(tuned(stream_id, expected, 1), *(started() for _ in range(beside)))
        assert (caught.value.stream_id, caught.value.expected, caught.value.actual) == (
            stream_id,
            expected,
            actual,
        )
    assert len(await everything(log.connection)) == 1


async def test_a_stream_given_twice_is_refused(log: EventLog):
    """One append names a stream once, whether the two parts would fit together or not."""
    first = started()
    for second in (tuned(first.stream_id, 0, 1), tuned(first.stream_id, 1, 1)):
        with pytest.raises(ConfigurationError):
            await log.append(first, second)
    assert await everything(log.connection) == []


async def test_an_append_of_nothing_is_nothing(log: EventLog):
    """No stream, no statement."""
    result = await log.append()
    assert (result.positions, result.last_position) == ((), 0)


async def test_a_huge_append_is_one_append(log: EventLog):
    """Twenty thousand events of a thousand streams go in together, in order, and come back in order."""
    streams = [started(str(number), tunings=19) for number in range(1000)]
    result = await log.append(*streams)
    assert len(result.positions) == 20_000
    count = 0
    async for event in log.read_all(batch_events_max=7_777):
        assert event.position == result.positions[count]
        count += 1
    assert count == 20_000
    assert (await log.append(*streams)).positions == result.positions


async def test_reading_by_category_misses_nothing(log: EventLog):
    """A filter at any batch size gives just the events of its category, in order."""
    for number in range(6):
        note = StreamAppend(uuid4(), 0, (pending(AnythingNoted(text=number), uuid4()),))
        await log.append(started(tunings=number), note)
    whole = [event async for event in log.read_all()]
    for category in (CATEGORY, "tested note", "nothing"):
        wanted = [event for event in whole if event.category == category]
        for size in (1, 2, 5, 1000):
            assert [e async for e in log.read_all(categories=[category], batch_events_max=size)] == wanted


NUL, SURROGATE = "a\x00b", "a\ud800b"


@pytest.mark.parametrize("text", [NUL, SURROGATE, {NUL: 1}, [SURROGATE], {"x": [NUL]}], ids=ascii)
async def test_text_that_the_database_cannot_hold_is_refused(log: EventLog, text: Any):
    """NUL and half a surrogate pair, in any field or in metadata, raise an error of the library; nothing is written.

    Others that are appended at that point in time are not touched by it.
    """
    good = [started(str(number)) for number in range(5)]
    bad = StreamAppend(uuid4(), 0, (pending(AnythingNoted(text=text), uuid4()),))
    outcomes = await asyncio.gather(
        *(log.append(one) for one in good[:3]),
        log.append(bad),
        *(log.append(one) for one in good[3:]),
        return_exceptions=True,
    )
    assert isinstance(outcomes[3], RepositoryError | ConfigurationError | DomainError)
    assert not outcomes[3].retryable
    assert any(word in str(outcomes[3]) for word in ("NUL", "0000", "surrogate", "UTF-8", "Unicode"))
    assert len(await everything(log.connection)) == 5
    with pytest.raises(ConfigurationError):
        await log.append(started(), metadata={"note": text})
    assert len(await everything(log.connection)) == 5


async def test_an_escaped_nul_is_text(log: EventLog):
    """The six characters of an escape are not the character NUL, and are kept."""
    stream = StreamAppend(uuid4(), 0, (pending(AnythingNoted(text="\\u0000"), uuid4()),))
    await log.append(stream, metadata={"a": "\\u0000"})
    read = await log.read_stream(stream.stream_id)
    assert (read[0].event, read[0].metadata) == (stream.events[0].event, {"a": "\\u0000"})


async def test_metadata_that_is_no_json_is_refused(log: EventLog):
    """A cycle is a configuration error, before anything is sent."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    with pytest.raises(ConfigurationError):
        await log.append(started(), metadata=cycle)
    assert await everything(log.connection) == []


async def test_a_version_beyond_the_column_is_an_error_of_the_library(log: EventLog):
    """A version that the column cannot hold is refused by an error of the tree."""
    with pytest.raises(EventStoreError):
        await log.append(tuned(uuid4(), 2**31, 1))
    assert await everything(log.connection) == []


async def test_an_unknown_type_names_itself(log: EventLog):
    """A type that the code does not know is an error with type, stream and position, never passed over."""
    known = started()
    await log.append(known)
    async with log.connection.acquire() as connection:
        await connection.execute(
            "INSERT INTO events SELECT nextval('events_position_seq'), occurred_at, recorded_at, 2, 1, stream_id, "
            "gen_random_uuid(), category, 'Forgotten', '{}', '{}' FROM events"
        )
    with pytest.raises(UnknownEventTypeError) as caught:
        await log.read_stream(known.stream_id)
    assert (caught.value.type, caught.value.stream_id, caught.value.position) == (
        "Forgotten",
        known.stream_id,
        2,
    )
    with pytest.raises(UnknownEventTypeError):
        _ = [event async for event in log.read_all()]


async def test_a_user_entity_is_folded_from_its_stream(log: EventLog):
    """The log knows nothing of trading: a strategy that is started, tuned and stopped comes back as it was."""
    strategy = Strategy.start("mean")
    strategy.tune("x", Decimal("1.50"))
    strategy.stop("end of day")
    await log.append(StreamAppend(strategy.id, 0, strategy.pending_events))
    folded = Strategy.fold(await log.read_stream(strategy.id))
    assert folded is not None
    assert (folded.name, folded.parameters, folded.stopped, folded.version) == (
        "mean",
        (("x", Decimal("1.50")),),
        True,
        3,
    )
    assert isinstance(folded.id, UUID)
