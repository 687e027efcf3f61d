"""Large appends and imports: refused before a connection is borrowed, or written."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.errors import AppendTooLargeError
from eventstore.limits import EVENT_BYTES_MAX
from eventstore.log import EventLog, StreamAppend
from tests.entities import pending, started
from tests.large_events import AnythingNoted, SizeNoted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.store import EventStore


def stream(*events: Any) -> StreamAppend:
    """A new stream."""
    return StreamAppend(uuid4(), 0, tuple(pending(event, uuid4()) for event in events))


@pytest.mark.parametrize("group_commit", [True, False])
async def test_nothing_is_sent(group_commit: bool):
    """No connection is asked for."""

    class Nobody:
        @asynccontextmanager
        async def acquire(self) -> AsyncIterator[Any]:
            raise AssertionError("a connection was borrowed")
            yield

    log = EventLog(Nobody(), group_commit=group_commit)
    with pytest.raises(AppendTooLargeError):
        await log.append(stream(SizeNoted(text="x" * EVENT_BYTES_MAX)))
    with pytest.raises(AppendTooLargeError):
        await log.import_events([started(), stream(SizeNoted(text="x" * EVENT_BYTES_MAX))])


async def test_an_import_names_the_event(store: EventStore):
    """The batch that has it is not written; those before it are."""
    bad = stream(SizeNoted(text=""), SizeNoted(text="x" * EVENT_BYTES_MAX))
    with pytest.raises(AppendTooLargeError, match=f"SizeNoted at version 2 of stream {bad.stream_id}"):
        await store.log.import_events([started(), bad, started()], batch_events_max=1)
    assert await store.log.head() == 2
    with pytest.raises(AppendTooLargeError, match="at version 1 of stream"):
        await store.log.import_events([started()], metadata={"note": "x" * EVENT_BYTES_MAX})


async def test_large_events_after_small_ones_are_imported(store: EventStore):
    """A batch is cut where its events turn out to be large; run again it passes over them, whose versions go on in parts."""
    large = SizeNoted(text="x" * (8 * 2**20))
    one, two = started(tunings=300), stream(*[large] * 12)
    done: list[Any] = []
    result = await store.log.import_events([one, two], on_batch=done.append)
    assert (result.events, result.repeated) == (313, 0)
    assert len(done) > 2
    again = await store.log.import_events([one, two])
    assert (again.events, again.repeated) == (313, 313)
    assert [event.version for event in await store.log.read_stream(two.stream_id)] == list(range(1, 13))


@pytest.mark.full
@pytest.mark.parametrize(("value", "characters"), [(1, 2), ([1], 4)], ids=["numbers", "arrays"])
async def test_the_costliest_json_of_the_largest_size_is_kept(store: EventStore, value: Any, characters: int):
    """Arrays of what takes most in jsonb for its length; in a document with another event."""
    event = AnythingNoted(value=[value] * ((EVENT_BYTES_MAX - 100) // characters))
    await store.log.append(stream(event), started())
    assert await store.log.head() == 2
