"""Loading an entity by the fold of its stream: page by page, equal to the fold of all its events at once."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any
from uuid import uuid4

import pytest

from eventstore.core import Entity, Event, applies
from eventstore.domain.order import Order, OrderSubmitted
from eventstore.errors import EventDecodingError
from eventstore.log.page_size import BATCH_BYTES_MAX
from eventstore.repositories import storage
from eventstore.store import EventStore
from eventstore.time_slices import EVENTS_AT_A_TIME
from projections import OrdersProjection, ProjectionWorker
from tests.loop_turns import turns_during
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

__all__ = ["classes", "renewed"]

TEXT = "(SELECT string_agg(md5(n::text || next::text), '') FROM generate_series(1, 15625) n)"
"""Half a megabyte that does not compress."""

MORE = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), stream_id, next, gen_random_uuid(), category, '{type}', 1, {data}, {metadata}, occurred_at, recorded_at
FROM events, generate_series(2, {last}) AS next WHERE events.version = 1 ORDER BY next
"""


class DiaryWritten(Event, category="tested diary"):
    """A page was written."""

    text: str


class Diary(Entity, category="tested diary"):
    """An entity without a read table; it keeps the lengths of its pages."""

    pages: int = 0
    length: int = 0

    @applies(DiaryWritten)
    def _written(self, event: DiaryWritten) -> None:
        self.set(pages=self.pages + 1, length=self.length + len(event.text))


async def diary(store: EventStore, last: int, text: str) -> Diary:
    """Save a diary, and write pages into it up to a version."""
    made = Diary()
    async with store.unit_of_work() as uow:
        await uow.entities(Diary).save(made)
    async with store.connection.acquire_for_user() as connection:
        data = f"jsonb_build_object('text', {text})"
        await connection.execute(MORE.format(type="DiaryWritten", data=data, metadata="'{}'", last=last))
    return made


async def load(store: EventStore, one: Entity) -> Any:
    async with store.unit_of_work() as uow:
        return await uow.entities(type(one)).get(one.id)


async def test_a_long_stream_is_loaded_in_pages(store: EventStore):
    """A stream of several pages is folded to its last event, and other tasks run between the pages."""
    last = 2 * storage._PAGE_EVENTS_MAX + 3
    made = await diary(store, last, "'ab'")
    loading = asyncio.ensure_future(load(store, made))
    turns = await turns_during(loading)
    found = loading.result()

    assert (found.version, found.pages, found.length) == (last, last - 1, 2 * (last - 1))
    assert turns > last // EVENTS_AT_A_TIME


async def test_a_stream_of_large_events_is_bounded_in_bytes(store: EventStore):
    """The load of a stream has a few pages in memory, however large the events are."""
    made = await diary(store, 80, TEXT)
    tracemalloc.start()
    try:
        found = await load(store, made)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (found.version, found.length) == (80, 79 * 500_000)
    assert peak < 3 * BATCH_BYTES_MAX < 79 * 500_000


async def test_state_snapshots_of_large_events_are_made_in_bytes(store: EventStore):
    """What makes the state snapshots of a stream by hand reads as few events at a time."""
    made, _ = new_order()
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(made)
    async with store.connection.acquire_for_user() as connection:
        data, metadata = "jsonb_build_object('broker_order_id', 'B')", f"jsonb_build_object('note', {TEXT})"
        await connection.execute(MORE.format(type="OrderSubmitted", data=data, metadata=metadata, last=80))
    worker = ProjectionWorker(store.log, OrdersProjection())
    await worker.catch_up(await store.log.head())
    await store.state_snapshots.drop()
    tracemalloc.start()
    try:
        made_states = await store.state_snapshots.make(snapshot_versions=10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert made_states == 8
    assert peak < 3 * BATCH_BYTES_MAX < 79 * 500_000


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_old_events_of_a_stream_are_upcast(
    renewed: EventStore, page: int, monkeypatch: pytest.MonkeyPatch
):
    """Old events among others are folded wherever a page ends, and the version is that of the stream."""
    monkeypatch.setattr(storage, "_PAGE_EVENTS_MAX", page)
    monkeypatch.setattr(storage, "EVENTS_AT_A_TIME", page)
    order, created = new_order()
    events = [created, OrderTraded(broker="B-1", fills=("2", "3")), OrderSubmitted(broker_order_id="B-2")]
    for version, event in enumerate(events):
        await renewed.log.append(stream(order.id, version, event))
    whole = Order.fold(await renewed.log.read_stream(order.id))

    loaded = await storage.PostgreSQLStorage(renewed.log, {}).load(Order, order.id)

    assert loaded == (whole, 3, None)


async def test_an_event_that_cannot_be_read_is_named(store: EventStore):
    """A load is refused with the position of the event that cannot be read."""
    made = await diary(store, 5, "'ab', 'lost', 1")

    with pytest.raises(EventDecodingError, match="tested diary/DiaryWritten") as raised:
        await load(store, made)

    assert (raised.value.stream_id, raised.value.position) == (made.id, 2)


async def test_the_id_of_another_entity_is_no_entity(store: EventStore):
    """A stream of another category has no entity of this one, nor has an id without a stream."""
    made = await diary(store, 3, "'ab'")

    for id in (made.id, uuid4()):
        assert (await storage.PostgreSQLStorage(store.log, {}).load(Order, id)) == (None, 0, None)
