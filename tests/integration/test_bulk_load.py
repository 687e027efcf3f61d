"""Loading a history through COPY: the guarantees of an append, safe to run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    EventStoreError,
    RepositoryError,
)
from eventstore.log import EventLog, StagedEvent, StreamAppend
from eventstore.log.bulk_load import ImportResult
from tests.bulk_events import BulkNoted, content, expected_content, history
from tests.entities import StrategyTuned, everything, pending, started, tuned
from tests.relayed_connections import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from eventstore.store import EventStore

__all__ = ["relay"]


def one_by_one(streams: Iterable[StreamAppend], metadata: dict[str, Any]) -> list[StagedEvent]:
    """The events of streams, each with its own stream and version, interleaved."""
    staged = [list(stream.staged(metadata)) for stream in streams]
    return [
        events[place] for place in range(max(map(len, staged))) for events in staged if place < len(events)
    ]


async def of_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """The items, one at a time."""
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_source_may_use_one_mapping_for_all_metadata(store: EventStore, is_async: bool):
    """Each event has the metadata that the mapping held when the source gave it."""
    metadata: dict[str, Any] = {"deep": {}}
    streams = history()

    def source() -> Iterator[StagedEvent]:
        for row, staged in enumerate(one_by_one(streams, metadata)):
            metadata["row"] = metadata["deep"]["row"] = row
            yield staged

    await store.log.import_events(of_async(source()) if is_async else source())
    stored = [event async for event in store.log.read_all()]
    assert [event.metadata for event in stored] == [
        {"deep": {"row": row}, "row": row} for row in range(len(stored))
    ]
    assert len(stored) > 1


@pytest.mark.parametrize("batch_events_max", [1, 3, 20_000])
@pytest.mark.parametrize("form", ["streams", "asynchronous", "one by one"])
async def test_an_import_is_as_an_append(store: EventStore, form: str, batch_events_max: int):
    """Each event and its metadata come back in the order given, whatever the form of the source and the batches."""
    streams, metadata = history(), {"actor": "me", "deep": [1, None]}
    given = [event for stream in streams for event in stream.staged(metadata)]
    source: Any = streams
    if form == "asynchronous":
        source = of_async(streams)
    elif form == "one by one":
        given = source = one_by_one(streams, metadata)
    told: list[ImportResult] = []
    result = await store.log.import_events(
        source, metadata=metadata, batch_events_max=batch_events_max, on_batch=told.append
    )
    read = [event async for event in store.log.read_all()]
    assert [(e.stream_id, e.version, e.event_id) for e in read] == expected_content(given)
    assert [e.event for e in read] == [one.pending.event for one in given]
    assert all(e.metadata == metadata for e in read)
    assert result == told[-1] == ImportResult(len(given), 0, read[-1].position)
    assert [one.events for one in told] == sorted(one.events for one in told)
    assert (
        max(b.events - a.events for a, b in zip([ImportResult(), *told], told, strict=False))
        <= batch_events_max
    )
    assert all(e.recorded_at >= read[0].recorded_at for e in read)


TIMES = [
    datetime(1, 1, 1, microsecond=1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2000, 1, 1, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
]


async def test_each_value_is_stored_as_an_append_stores_it(store: EventStore):
    """Times of any year, text of any letters and of any length: the rows are those of an append, to the last column."""
    metadata = {"actor": '日本 \\ "', "long": "ä" * 70_000}
    events = [StrategyTuned(parameter="ß\n\t\\N", value=Decimal("-1.50"), occurred_at=time) for time in TIMES]
    imported, appended = (
        StreamAppend(uuid4(), 0, tuple(pending(event, uuid4()) for event in events)) for _ in range(2)
    )
    await store.log.import_events([imported], metadata=metadata)
    await store.log.append(appended, metadata=metadata)
    stored = await content(store.log)
    half = len(stored) // 2
    assert [row[:3] for row in stored[:half]] == expected_content(imported.staged(metadata))
    assert [row[3:] for row in stored[:half]] == [row[3:] for row in stored[half:]]
    assert [row[-1] for row in stored[:half]] == TIMES


async def test_an_import_goes_on_a_stream_that_is_there(store: EventStore):
    """Appends and imports take turns on one stream."""
    first = started(tunings=1)
    await store.log.append(first)
    await store.log.import_events([tuned(first.stream_id, 2, 5, 6), tuned(first.stream_id, 4, 7)])
    await store.log.append(tuned(first.stream_id, 5, 8))
    assert [event.version for event in await store.log.read_stream(first.stream_id)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("again_max", [2, 20_000])
async def test_an_import_again_writes_nothing(store: EventStore, again_max: int):
    """The same import, in other batches and one more time, finds its events; the rows stay the same rows."""
    streams = history()
    first = await store.log.import_events(streams, batch_events_max=4)
    before = await everything(store.connection)
    again = await store.log.import_events(streams, batch_events_max=again_max)
    assert (again.events, again.repeated, again.last_position) == (
        first.events,
        first.events,
        first.last_position,
    )
    assert await everything(store.connection) == before


async def test_a_stream_that_is_not_new_after_all_needs_no_retry(store: EventStore):
    """New streams are not looked up before they are written; that one is there already takes no time that retries are given."""
    known, other = started(tunings=1), started()
    await store.log.append(known)
    log = EventLog(store.connection, resend_within_s=0.001)
    assert await log.import_events([known, other]) == ImportResult(3, 2, await log.head())
    with pytest.raises(ConcurrencyError) as caught:
        await log.import_events([tuned(known.stream_id, 0, 1)])
    assert (caught.value.stream_id, caught.value.expected, caught.value.actual) == (known.stream_id, 0, 2)


@pytest.mark.parametrize("batch_events_max", [2, 5, 20_000])
async def test_an_import_that_was_broken_off_goes_on(store: EventStore, batch_events_max: int):
    """A source that fails leaves whole batches; the import run again, in any batches, has each event once, in order."""
    streams = history(30)
    events = one_by_one(streams, {})

    def failing() -> Iterator[StagedEvent]:
        yield from events[:70]
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        await store.log.import_events(failing(), batch_events_max=4)
    left = [row[:3] for row in await content(store.log)]
    assert len(left) > 0 == len(left) % 4
    assert left == expected_content(events[: len(left)])
    result = await store.log.import_events(events, batch_events_max=batch_events_max)
    assert (result.events, result.repeated) == (len(events), len(left))
    assert [row[:3] for row in await content(store.log)] == expected_content(events)
    # A writer goes on; the import run once more still only finds itself.
    await store.log.append(tuned(streams[0].stream_id, len(streams[0].events), 9))
    assert (await store.log.import_events(events)).repeated == len(events)


def changed(known: StreamAppend, **fields: Any) -> StreamAppend:
    """The stream with other fields in its last event, which keeps its id."""
    last = known.events[-1]
    return StreamAppend(
        known.stream_id, 0, (*known.events[:-1], pending(last.event.model_copy(update=fields), last.event_id))
    )


CONFLICTS: dict[str, Callable[[StreamAppend], StreamAppend]] = {
    "a gap": lambda known: tuned(known.stream_id, 3, 1),
    "a new stream that is not at its start": lambda _: tuned(uuid4(), 1, 1),
    "other ids": lambda known: tuned(known.stream_id, 0, 1, 2),
    "other ids after a repetition": lambda known: StreamAppend(
        known.stream_id, 0, (*known.events[:1], *tuned(known.stream_id, 0, 4).events)
    ),
    "the same id with other data": lambda known: changed(known, value=Decimal(9)),
    "the same id with another time": lambda known: changed(
        known, occurred_at=datetime(2020, 1, 1, tzinfo=UTC)
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
async def test_a_conflict_writes_nothing_of_its_batch(store: EventStore, case: str):
    """A version that is not the stream's next, or is taken by another event, is a conflict that names its stream."""
    known = started(tunings=1)
    await store.log.append(known)
    wrong = CONFLICTS[case](known)
    before = history(2)
    earlier = sum(len(stream.events) for stream in before)
    with pytest.raises(ConcurrencyError) as caught:
        # The batch of the conflict begins at the third stream.
        await store.log.import_events([*before, started(), wrong, started()], batch_events_max=earlier)
    assert caught.value.stream_id == wrong.stream_id
    assert caught.value.expected == wrong.expected_version
    assert caught.value.actual == (2 if wrong.stream_id == known.stream_id else 0)
    stored = {row["stream_id"] for row in await everything(store.connection)}
    assert {known.stream_id, *(s.stream_id for s in before)} <= stored
    assert len(await everything(store.connection)) <= 2 + earlier + 1
    assert wrong.events[-1].event_id not in {
        row["event_id"] for row in await everything(store.connection)
    } - {event.event_id for event in known.events}


async def test_other_metadata_is_another_event(store: EventStore):
    """An event that the log has with other metadata is a conflict."""
    known = started()
    await store.log.append(known, metadata={"actor": "one"})
    with pytest.raises(ConcurrencyError):
        await store.log.import_events([known], metadata={"actor": "two"})
    assert (await store.log.import_events([known], metadata={"actor": "one"})).repeated == 1


def bad(text: Any) -> StreamAppend:
    """A stream with an event that the database cannot hold."""
    return StreamAppend(uuid4(), 0, (pending(BulkNoted(text=text), uuid4()),))


BAD: dict[str, tuple[Callable[[], list[Any]], type[Exception], str | None]] = {
    "NUL": (lambda: [bad("a\x00b")], ConfigurationError, "tested bulk/BulkNoted of stream"),
    "half a pair": (lambda: [bad("\ud800")], ConfigurationError, "tested bulk/BulkNoted of stream"),
    "a number": (lambda: [bad([10**140_000])], EventStoreError, None),
    "no event": (lambda: ["x"], ConfigurationError, "not str"),
    "a version left out": (
        lambda: [s := started(), tuned(s.stream_id, 2, 1)],
        ConfigurationError,
        "version 3 of stream",
    ),
    "a version twice": (
        lambda: [s := started(), tuned(s.stream_id, 0, 1)],
        ConfigurationError,
        "version 1 of",
    ),
    "version 0": (
        lambda: [StagedEvent(uuid4(), 0, started().events[0], {})],
        ConfigurationError,
        "version 0 of",
    ),
    "a version too high": (lambda: [tuned(uuid4(), 2**31 - 1, 1)], ConfigurationError, "2147483647"),
    "metadata": (
        lambda: [StagedEvent(uuid4(), 1, started().events[0], {"a": object()})],
        ConfigurationError,
        "metadata",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_kept_is_refused(store: EventStore, case: str):
    """One clear error; the batches before are there, nothing of the bad one, and a good import goes on."""
    make, kind, said = BAD[case]
    good = started()
    items = make()
    with pytest.raises(kind, match=said):
        await store.log.import_events([good, *items], batch_events_max=1 if len(items) == 1 else 9)
    assert {row["stream_id"] for row in await everything(store.connection)} <= {
        good.stream_id,
        getattr(items[0], "stream_id", None),
    }
    await store.log.import_events([good, started()])


async def test_an_escaped_nul_is_text(store: EventStore):
    """The six characters of an escape are kept."""
    await store.log.import_events([bad("\\u0000")])
    assert [vars(e.event)["text"] async for e in store.log.read_all()] == ["\\u0000"]


async def test_arguments_are_checked(store: EventStore):
    """A batch of no events is refused; an import of nothing is nothing."""
    with pytest.raises(ConfigurationError, match="batch_events_max"):
        await store.log.import_events([started()], batch_events_max=0)
    nothing: list[Any] = [[], of_async([])]
    for source in nothing:
        assert await store.log.import_events(source) == ImportResult()


async def test_large_events_are_cut_into_more_batches(store: EventStore):
    """A batch ends at a size in bytes too, so that events of a megabyte each need no gigabytes."""
    told: list[ImportResult] = []
    await store.log.import_events((bad("x" * 2**20) for _ in range(40)), on_batch=told.append)
    assert len(told) >= 2
    assert told[-1].events == 40


async def test_a_stream_longer_than_a_batch(store: EventStore):
    """A stream of many events goes on over the batches, without a gap."""
    long = started(tunings=999)
    told: list[ImportResult] = []
    await store.log.import_events([started(), long, started()], batch_events_max=300, on_batch=told.append)
    assert len(told) >= 4
    assert [e.version for e in await store.log.read_stream(long.stream_id)] == list(range(1, 1001))


async def test_the_guards_stay_in_force(store: EventStore):
    """What was imported can be changed no more than what was appended."""
    await store.log.import_events([started()])
    async with store.connection.acquire() as one:
        for statement in ("UPDATE events SET type = 'x'", "DELETE FROM events"):
            with pytest.raises(Exception, match="append-only") as caught:
                await one.execute(statement)
            assert getattr(caught.value, "sqlstate", None) == "ES001"


async def test_a_position_that_is_taken_is_no_conflict(store: EventStore):
    """A sequence that stands behind the log is an error of its own, at once: nothing that a retry could repair."""
    await store.log.append(started(tunings=3))
    async with store.connection.acquire() as one:
        await one.execute("SELECT setval('events_position_seq', 1)")
    with pytest.raises(RepositoryError, match="events_position_key"):
        await store.log.import_events([started()])
