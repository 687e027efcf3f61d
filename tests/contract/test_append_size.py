"""The contract of large appends: what PostgreSQL could not keep is refused before it is sent, and the event is named."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from eventstore.core.event import Event
from eventstore.errors import AppendTooLargeError, ConfigurationError, EventEncodingError
from eventstore.limits import APPEND_BYTES_MAX, EVENT_BYTES_MAX
from eventstore.log.append_size import ENVELOPE_BYTES
from eventstore.log.records import StagedEvent
from tests.contract.databases import Database, an_order
from tests.entities import pending
from tests.large_events import AnythingNoted, SizeNoted

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = len('{"text":""}')


class CountNoted(Event, category="tested size"):
    """An event with an integer of any size."""

    count: int


def staged(event: Event, stream_id: UUID | None = None, version: int = 1, **metadata: Any) -> StagedEvent:
    """An event that is to be appended."""
    return StagedEvent(stream_id or uuid4(), version, pending(event, uuid4()), metadata)


async def append(database: Database, *events: StagedEvent) -> Any:
    """Append as a Unit of Work does."""
    return await database.unit_of_work()._backend.append(events)


async def test_the_largest_event_is_kept(database: Database):
    """Of the last byte that is allowed, also where its characters take several."""
    for text in ("x" * (EVENT_BYTES_MAX - FRAME - 2), "\u20ac" * ((EVENT_BYTES_MAX - FRAME - 2) // 3)):
        one = staged(SizeNoted(text=text))
        await append(database, one)
        (kept,) = await database.history(one.stream_id)
        assert kept.event == one.pending.event


@pytest.mark.parametrize(
    "event",
    [
        SizeNoted(text="x" * (EVENT_BYTES_MAX - FRAME - 1)),
        SizeNoted(text="\u20ac" * (EVENT_BYTES_MAX // 3)),
        SizeNoted(text="\n" * (EVENT_BYTES_MAX // 2)),
    ],
    ids=["a byte more", "characters of several bytes", "escapes"],
)
async def test_a_larger_event_is_refused(database: Database, event: Event):
    """The error names the event, the size and the limit in one line; nothing is written, of the others neither."""
    stream_id = uuid4()
    small = staged(SizeNoted(text="small"), stream_id)
    with pytest.raises(AppendTooLargeError) as caught:
        await append(database, small, staged(event, stream_id, 2))
    error = caught.value
    assert isinstance(error, ConfigurationError)
    assert not error.retryable
    assert (error.category, error.type) == ("tested size", type(event).__name__)
    assert (error.stream_id, error.version, error.limit_bytes) == (stream_id, 2, EVENT_BYTES_MAX)
    assert EVENT_BYTES_MAX < error.size_bytes <= EVENT_BYTES_MAX + 2**26
    said = str(error)
    for part in (f"tested size/{type(event).__name__}", "version 2", str(stream_id), f"{EVENT_BYTES_MAX:,}"):
        assert part in said
    assert len(said) < 500
    assert "\n" not in said
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (said, vars(error))
    assert await database.history(stream_id) == []


async def test_metadata_counts(database: Database):
    """The context of a Unit of Work is part of each of its events."""
    order = an_order()
    with pytest.raises(AppendTooLargeError, match=f"OrderCreated at version 1 of stream {order.id}"):
        async with database.unit_of_work(note="\u20ac" * (EVENT_BYTES_MAX // 3)) as uow:
            await uow.orders.save_order(order)
    assert await database.history(order.id) == []


async def test_an_append_is_bounded_as_well(database: Database):
    """Events that are each allowed are refused where they are too many together; the error says what to do."""
    large = SizeNoted(text="x" * (EVENT_BYTES_MAX - 1_000))
    events = [staged(large) for _ in range(9)]
    with pytest.raises(
        AppendTooLargeError, match=r"an append of 9 events has .* split it into several appends"
    ) as caught:
        await append(database, *events)
    error = caught.value
    assert (error.limit_bytes, error.stream_id, error.version, error.type) == (
        APPEND_BYTES_MAX,
        None,
        None,
        "",
    )
    assert error.size_bytes == 9 * (EVENT_BYTES_MAX - 1_000 + FRAME + 2 + ENVELOPE_BYTES)
    assert await database.history(events[0].stream_id) == []


@pytest.fixture
def any_digits() -> Iterator[None]:
    """Python parses integers of any length."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("any_digits")
@pytest.mark.parametrize(
    "event", [CountNoted(count=10**131_072), AnythingNoted(value=[-(10**140_000)])], ids=["int", "Any"]
)
async def test_a_number_beyond_jsonb_is_refused(database: Database, event: Event):
    """An integer of more digits than PostgreSQL's numbers have; the longest one is kept, and so are digits in a text."""
    stream_id = uuid4()
    with pytest.raises(EventEncodingError, match="131,072 digits") as caught:
        await append(database, staged(event, stream_id))
    assert caught.value.stream_id == stream_id
    kept = [CountNoted(count=1 - 10**131_072), AnythingNoted(value=["1" * 140_000, '\\",' + "2" * 140_000])]
    for version, one in enumerate(kept, 1):
        await append(database, staged(one, stream_id, version))
    assert [recorded.event for recorded in await database.history(stream_id)] == kept


@pytest.mark.parametrize("depth", [300, 2_000, 20_000])
async def test_what_is_nested_too_deeply_is_refused(database: Database, depth: int):
    """In an event and in metadata: the server's stack is never asked."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    for one in (staged(AnythingNoted(value=value)), staged(SizeNoted(text=""), note=value)):
        with pytest.raises(ConfigurationError):
            await append(database, one)
        assert await database.history(one.stream_id) == []
