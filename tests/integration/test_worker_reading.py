"""What a worker reads: no more of an event than a fold of its entity needs, unless more is needed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from eventstore import EventStore, Order, OrderSide
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.errors import ConfigurationError
from eventstore.log import EventLog, StreamAppend
from eventstore.log.page_size import BATCH_BYTES_MAX, PageSize
from eventstore.log.row_fold import UNREAD_ID
from eventstore.log.unreadable import Readable, UnreadableEvent
from projections import OrdersProjection, Projection, ProjectionWorker
from projections.check import check
from projections.engine import reading
from projections.engine.reading import BatchReader, read_batch
from projections.fresh_rows import FreshRows
from projections.rebuild import rebuild
from tests.counting_projection import SeenProjection
from tests.entities import pending
from tests.forged_rows import FORGED, forge
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

__all__ = ["classes", "renewed"]

METHODS_GIVEN_EVENTS = "key", "key_of", "taken", "fold", "evolve"


async def save_orders(store: EventStore) -> None:
    """Three orders of three events each."""
    async with store.unit_of_work() as uow:
        for number in range(3):
            order = Order.create_limit_order("ES", Decimal(3), OrderSide.BUY, limit_price=Decimal("99.5"))
            order.submit("B-1")
            order.fill(Decimal(1), Decimal(99), f"E-{number}")
            await uow.orders.save_order(order)


def told(event: Readable) -> tuple[Any, ...]:
    """What a fold looks at; of an event that cannot be read, its error."""
    what = (
        str(event.error) if isinstance(event, UnreadableEvent) else [one.event for one in event.upcast_events]
    )
    return event.position, event.stream_id, event.version, what


def is_whole(event: Readable) -> bool:
    return event.event_id != UNREAD_ID


async def read_both(
    store: EventStore, projection: Projection[Any], *, events_max: int = 100, bytes_max: int = BATCH_BYTES_MAX
) -> list[Readable]:
    """Return what a worker reads, which is what `read_batch` reads of it."""
    head = await store.log.head()
    sizes = [PageSize(events_max), PageSize(events_max)]
    for size in sizes:
        size.bytes = bytes_max
    batch = await BatchReader(store.log, projection).read(
        after=0, through=head, size=sizes[0], positions_max=1_000
    )
    whole = await read_batch(store.log, projection, after=0, through=head, size=sizes[1])
    assert list(map(told, batch.events)) == list(map(told, whole.events))
    assert (batch.through, batch.is_full) == (whole.through, whole.is_full)
    assert sizes[0].events == sizes[1].events
    return batch.events


@pytest.mark.parametrize("events_max", [100, 9, 4, 1])
async def test_a_worker_reads_what_a_fold_needs(store: EventStore, events_max: int):
    """Position, stream, version and event are those of the log, in pages of any size; nothing else is read."""
    await save_orders(store)

    events = await read_both(store, OrdersProjection(), events_max=events_max)

    assert len(events) == min(events_max, 9)
    assert not any(map(is_whole, events))


async def test_metadata_do_not_make_a_worker_read_more(store: EventStore):
    """Metadata of a writer are looked at, since an event whose metadata cannot be read is one that cannot be read."""
    async with store.unit_of_work(metadata={"actor": "desk"}) as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(3), OrderSide.BUY))

    (event,) = await read_both(store, OrdersProjection())

    assert not is_whole(event)


async def test_a_batch_is_bounded_in_bytes(store: EventStore):
    """A batch ends with the event that reaches the bytes, so the memory of a worker does not depend on the sizes of events."""
    await save_orders(store)

    events = await read_both(store, OrdersProjection(), bytes_max=400)

    assert 0 < len(events) < 9


UNREADABLE = FORGED | {
    "metadata nested too deep": {"metadata": "(repeat('{\"a\":', 1500) || 1 || repeat('}', 1500))::jsonb"},
    "metadata with a number beyond a float": {"metadata": "'{\"a\": 1e400}'"},
}


@pytest.mark.parametrize("columns", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_row_that_the_library_never_writes_is_read_as_a_whole(
    store: EventStore, columns: Mapping[str, str]
):
    """Whatever is wrong with a row, its event or its error is that of the whole row."""
    await save_orders(store)
    await forge(store, columns)

    events = await read_both(store, OrdersProjection())

    assert all(map(is_whole, events))


async def test_events_of_older_code_are_read_as_a_whole(renewed: EventStore, monkeypatch: pytest.MonkeyPatch):
    """So are those after them, for a number of batches; then the worker tries again."""
    monkeypatch.setattr(reading, "_WHOLE_PAGES", 2)
    order, created = new_order()
    await renewed.log.append(stream(order.id, 0, created))
    await renewed.log.append(stream(order.id, 1, OrderTraded(broker="B-1", fills=("4", "6"))))
    reader = BatchReader(renewed.log, OrdersProjection())
    reads: list[bool] = []
    for through in (2, 1, 1, 1):
        batch = await reader.read(after=0, through=through, size=PageSize(100), positions_max=100)
        reads.append(all(map(is_whole, batch.events)))

    assert reads == [True, True, True, False]
    assert all(map(is_whole, await read_both(renewed, OrdersProjection())))


@pytest.mark.parametrize("method", METHODS_GIVEN_EVENTS)
async def test_a_method_of_your_own_is_given_whole_events(store: EventStore, method: str):
    """A projection that looks at events itself finds their ids, metadata and times."""
    await save_orders(store)

    def own(self: Any, *arguments: Any) -> Any:
        return getattr(OrdersProjection, method)(self, *arguments)

    projection: Projection[Any] = type("Own", (OrdersProjection,), {method: own})()

    events = await read_both(store, projection)

    assert len(events) == 9
    assert all(map(is_whole, events))


async def test_a_fold_of_your_own_is_called(store: EventStore):
    """A worker, a read of the rows and a rebuild fold with the method, and its row is that of the proof."""
    await save_orders(store)

    class Own(OrdersProjection):
        def fold(self, row: Order | None, event: RecordedEvent, key: tuple[Any, ...]) -> Order | None:
            folded = super().fold(row, event, key)
            return None if folded is None else folded.model_copy(update={"tags": ("own",)})

    fresh = await FreshRows(store.log, Own()).list()
    await ProjectionWorker(store.log, Own()).catch_up(await store.log.head())

    assert [order.tags for order in fresh] == [("own",)] * 3
    assert [order.tags for order in await FreshRows(store.log, Own()).list()] == [("own",)] * 3
    assert (await check(store.log, [Own()])).is_sound
    assert (await rebuild(store.log, Own())).rows == 3


async def test_what_you_do_not_take_is_left_out(store: EventStore):
    """A projection may leave out some events of its classes: a worker, a read of the rows and a rebuild leave them out."""
    await save_orders(store)

    class Own(OrdersProjection):
        def taken(self, event: RecordedEvent) -> tuple[RecordedEvent, ...]:
            return () if event.type == "OrderFilled" else super().taken(event)

    fresh = await FreshRows(store.log, Own()).list()
    await ProjectionWorker(store.log, Own()).catch_up(await store.log.head())

    assert [order.version for order in fresh] == [2, 2, 2]
    assert [order.version for order in await FreshRows(store.log, Own()).list()] == [2, 2, 2]
    assert (await check(store.log, [Own()])).is_sound
    assert (await rebuild(store.log, Own())).rows == 3
    assert [order.version for order in await FreshRows(store.log, Own()).list()] == [2, 2, 2]


async def test_an_ignored_type_need_not_be_known(store: EventStore):
    """A type that a projection ignores is left out, and the others are read as before."""
    await save_orders(store)
    await forge(store, {"type": "'OrderLost'"})

    class Ignoring(OrdersProjection):
        ignored_types = frozenset({"OrderLost", "OrderFilled"})

    events = await read_both(store, Ignoring())

    assert [event.type for event in events] == ["OrderCreated", "OrderSubmitted"] * 3
    assert not any(map(is_whole, events))


async def test_a_class_that_a_projection_does_not_take_is_left_out(store: EventStore):
    """The classes of a projection may be fewer than those of its entity."""
    await save_orders(store)
    projection = OrdersProjection()
    projection.events = tuple(one for one in projection.events if one.type != "OrderFilled")

    events = await read_both(store, projection)

    assert [event.type for event in events] == ["OrderCreated", "OrderSubmitted"] * 3
    assert not any(map(is_whole, events))


def noted(classes: EventRegistry) -> type[Any]:
    """Define a class of events, or the same one again, as a notebook does whose cell is run twice."""

    class Noted(Event, category="noted", registry=classes):
        text: str

    return Noted


async def test_events_of_a_class_that_is_defined_again_are_not_passed_over(store: EventStore):
    """They are read as the new class, which the projection does not know: the worker stops, and says what to do."""
    mine = EventRegistry()
    log = EventLog(store.connection, classes=mine)
    projection = SeenProjection()
    projection.events = (noted(mine),)
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())

    again = noted(mine)
    await log.append(StreamAppend(uuid4(), 0, (pending(again(text="a"), uuid4()),)))

    for call in (ProjectionWorker(log, projection).catch_up(1), FreshRows(log, projection).list()):
        with pytest.raises(ConfigurationError, match="Noted was defined again after projection seen"):
            await call
    projection.events = (again,)
    assert [row.events for row in await FreshRows(log, projection).list()] == [1]
