"""A whole stream is read page by page: bounded in number and in bytes, and complete."""

from __future__ import annotations

import gc
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database.access import read_rows
from eventstore.errors import ServerChangedError
from eventstore.log import stream_pages
from eventstore.log.page_size import BATCH_BYTES_MAX
from tests.entities import Strategy, started
from tests.loop_turns import busy, names_of_the_late

if TYPE_CHECKING:
    from eventstore import EventStore
    from eventstore.log import EventLog

EVENTS = 7
BYTES = 1_000_000
LARGE_EVENTS = 60

# More versions of the first stream of the log, with large metadata that the server cannot compress.
LATER_VERSIONS = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), stream_id, i, gen_random_uuid(), category, type, schema_version, data,
    jsonb_build_object('note', (SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 31250) n)),
    occurred_at, recorded_at
FROM (SELECT * FROM events WHERE position = 1) AS first, generate_series(2, {events}) i
"""


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 6, 7, 8])
@pytest.mark.parametrize("after", [0, 1, 3, 6, 7, 9])
async def test_pages_join_without_a_seam(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, after: int, limit: int | None
):
    """Whatever the size of a page, the result is the stream after a version, up to a limit."""
    stream = started(tunings=EVENTS - 1)
    await log.append(stream)
    whole = await log.read_stream(stream.stream_id)
    assert [event.version for event in whole] == list(range(1, EVENTS + 1))
    for page_events_max in (1, 2, 3):
        monkeypatch.setattr(stream_pages, "PAGE_EVENTS_MAX", page_events_max)
        read = await log.read_stream(stream.stream_id, after_version=after, limit=limit)
        assert read == whole[after:][:limit]


async def test_pages_of_large_events_are_bounded_in_bytes(store: EventStore):
    """A reader that keeps nothing has a page or two in memory, however large the stream is."""
    stream = started()
    await store.log.append(stream)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(LATER_VERSIONS.format(events=LARGE_EVENTS))
    fetch = partial(read_rows, store.connection, "log/read_stream")
    gc.collect()
    tracemalloc.start()
    try:
        versions = [
            row["version"]
            async for rows in stream_pages.stream_pages(fetch, stream.stream_id)
            for row in rows
        ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert versions == list(range(1, LARGE_EVENTS + 1))
    assert peak < 4 * BATCH_BYTES_MAX < LARGE_EVENTS * BYTES


async def test_pages_of_two_servers_are_not_joined(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    """If another server takes over between two pages, the read fails and is safe to repeat."""
    stream = started(tunings=2)
    await log.append(stream)
    monkeypatch.setattr(stream_pages, "PAGE_EVENTS_MAX", 1)
    read = 0

    async def changing(*arguments: Any) -> Any:
        nonlocal read
        read += 1
        rows = await read_rows(*arguments)
        if read == 1:
            log.server.generation += 1
        return rows

    monkeypatch.setattr("eventstore.log.event_log.read_rows", changing)
    with pytest.raises(ServerChangedError):
        await log.read_stream(stream.stream_id)


@pytest.mark.parametrize("order", ["version", "occurred_at"])
async def test_a_long_history_lets_other_tasks_run(
    store: EventStore, order: Any, monkeypatch: pytest.MonkeyPatch
):
    """While a history of thousands of events is folded, the event loop runs other tasks again and again."""
    stream = started(tunings=1)
    await store.log.append(stream)
    created, tuned = await store.log.read_stream(stream.stream_id)
    events = [created, *(tuned._replace(version=version) for version in range(2, 40_000))]

    async def read(*_: Any) -> Any:
        return events

    monkeypatch.setattr(store.log, "read_stream", read)
    found = await busy(store.history(Strategy, stream.stream_id, order=order))
    assert not names_of_the_late({"history": found})
