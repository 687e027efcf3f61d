"""Old events through the whole store: one that became several, and one that was dropped, at every consumer."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore.core.event import Event, RecordedEvent, UpcastEvents
from eventstore.core.registry import EventRegistry, registry
from eventstore.domain.order import OrderFilled, OrderStatus
from eventstore.errors import (
    ConfigurationError,
    EventDecodingError,
    QuarantinedKeysError,
    UnknownEventTypeError,
)
from eventstore.log.event_log import EventLog
from eventstore.store import EventStore
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory
from projections import OrdersProjection, Projection, ProjectionRunner, Table
from projections.check import compare_with_fold, compare_with_rebuild
from projections.quarantine import list_quarantined, retry
from tests.renewed_orders import OrderTraded, classes, fold, new_order, old, renewed, stream

__all__ = ["classes", "renewed"]


class OrderPinged(Event, category="order", registry=old):
    """No longer kept: dropped."""


@pytest.mark.parametrize("folded_after", [0, 1, 2, 3, 4])
async def test_an_order_of_old_events(renewed: EventStore, folded_after: int):
    """Wherever the worker has come to: load and list agree, and the next append does not conflict."""
    order, created = new_order()
    events = [created, OrderPinged(), OrderTraded(broker="B-1", fills=("2", "3")), OrderPinged()]
    for version, event in enumerate(events):
        await renewed.log.append(stream(order.id, version, event))
        if version + 1 == folded_after:
            await fold(renewed)
    async with renewed.unit_of_work() as uow:
        loaded = await uow.orders.get_order_by_id(order.id)
    async with renewed.unit_of_work() as uow:
        (listed,) = await uow.orders.get_active_orders()
    assert loaded is not None
    assert loaded == listed
    assert (loaded.filled_quantity, loaded.version, loaded.broker_order_id) == (Decimal(5), 4, "B-1")
    assert loaded.status is OrderStatus.PARTIALLY_FILLED
    async with renewed.unit_of_work() as uow:
        (changed,) = await uow.orders.get_active_orders()
        changed.fill(Decimal(5), Decimal(11), execution_id="new")
        await uow.orders.update_order(changed)
    await fold(renewed)
    async with renewed.connection.acquire() as connection:
        row = await connection.fetchrow("SELECT version, filled_quantity, last_position FROM orders")
    assert tuple(row) == (5, 10, 5)


async def test_a_dropped_event_moves_the_rows_version(renewed: EventStore):
    """So that whoever reads the table alone does not conflict either; and nothing is folded twice."""
    order, created = new_order()
    await renewed.log.append(stream(order.id, 0, created, OrderPinged()))
    await fold(renewed)
    async with renewed.unit_of_work() as uow:
        (found,) = await uow.orders.get_orders_by_symbol("AAPL")
        assert found.version == 2
        found.submit("B-1")
        await uow.orders.update_order(found)
    async with renewed.connection.acquire() as connection:
        assert tuple(await connection.fetchrow("SELECT version, last_position FROM orders")) == (2, 2)


@pytest.mark.parametrize("folded_after", [0, 1, 2])
async def test_a_stream_may_begin_with_what_was_dropped(renewed: EventStore, folded_after: int):
    """The creating event is then a later one, and the entity is there all the same."""
    order, created = new_order()
    for version, event in enumerate((OrderPinged(), created)):
        await renewed.log.append(stream(order.id, version, event))
        if version + 1 == folded_after:
            await fold(renewed)
    async with renewed.unit_of_work() as uow:
        loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded is not None
        assert loaded.version == 2
        assert await uow.orders.get_active_orders() == [loaded]


async def test_rebuilds_agree_with_the_live_table(renewed: EventStore):
    """Both the rebuild and the independent fold."""
    for number in range(3):
        order, created = new_order()
        await renewed.log.append(
            stream(order.id, 0, created, OrderTraded(broker=f"B-{number}", fills=("2", "3")), OrderPinged())
        )
    await fold(renewed)
    for compare in (compare_with_rebuild, compare_with_fold):
        comparison = await compare(renewed.log, OrdersProjection())
        assert (comparison.rows_equal, comparison.rows_different) == (3, 0)


async def test_who_reads_the_log_sees_each_stored_event_once(renewed: EventStore):
    """With its parts; streams, ranges, the whole log, subscriptions and the store's history say the same."""
    order, created = new_order()
    await renewed.log.append(
        stream(order.id, 0, created, OrderPinged(), OrderTraded(broker="B", fills=("2", "3")))
    )
    read = await renewed.log.read_stream(order.id)
    assert [type(event) for event in read] == [RecordedEvent, UpcastEvents, UpcastEvents]
    assert [event.type for event in read] == ["OrderCreated", "OrderPinged", "OrderTraded"]
    assert [[part.type for part in event.upcast_events] for event in read] == [
        ["OrderCreated"],
        [],
        ["OrderSubmitted", "OrderFilled", "OrderFilled"],
    ]
    assert [event.version for event in read] == [1, 2, 3]
    head = await renewed.log.head()
    assert await renewed.log.read_range(after=0, through=head) == read
    assert [event async for event in renewed.log.read_all()] == read
    assert await renewed.history(order.id) == read
    assert [event async for event in renewed.replay()] == read
    subscription = renewed.log.subscribe()
    yielded = []
    async for event in subscription:
        yielded.append(event)
        if len(yielded) == len(read):
            break
    assert yielded == read
    assert subscription.position == read[-1].position


async def test_the_log_in_memory_does_the_same(classes: EventRegistry):
    """Folds, lists, and the next append."""
    database = InMemoryDatabase(classes=classes)
    order, created = new_order()
    given = stream(
        order.id, 0, created, OrderPinged(), OrderTraded(broker="B", fills=("2", "3")), OrderPinged()
    )
    await database.append(list(given.staged({})))
    factory = InMemoryUnitOfWorkFactory(database)
    async with factory.create_unit_of_work() as uow:
        (found,) = await uow.orders.get_active_orders()
        assert (found.version, found.filled_quantity) == (4, Decimal(5))
        found.fill(Decimal(5), Decimal(10), execution_id="new")
        await uow.orders.update_order(found)
    assert [event.version for event in database.history(order.id)] == [1, 2, 3, 4, 5]


# ---- a projection by a key of its own -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filled:
    """How much was filled in trades of one size."""

    size: Decimal
    times: int


class FilledBySize(Projection[Filled]):
    """Parts of one event may have one key or several."""

    name = "filled_by_size"
    events = (OrderFilled,)
    poison: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.table = Table("filled_by_size", row=Filled, key=("size",))

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The size."""
        assert isinstance(event.event, OrderFilled)
        return (event.event.quantity,)

    def evolve(self, row: Filled | None, event: RecordedEvent) -> Filled:
        """One more; some counts cannot be reached."""
        assert isinstance(event.event, OrderFilled)
        row = row or Filled(event.event.quantity, 0)
        if row.times + 1 in self.poison:
            raise ValueError("poison")
        return replace(row, times=row.times + 1)


async def sizes(store: EventStore) -> dict[int, tuple[int, int]]:
    """What the table says: how many of each size, and up to which position."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch("SELECT size, times, last_position FROM filled_by_size")
    return {int(row["size"]): (row["times"], row["last_position"]) for row in rows}


async def test_each_part_counts_once_for_its_key(renewed: EventStore):
    """Also the second part of one event with the key of the first; what was dropped counts for nobody."""
    projection = FilledBySize()
    async with renewed.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    order, created = new_order()
    await renewed.log.append(
        stream(order.id, 0, created, OrderTraded(broker="B", fills=("1", "2", "1")), OrderPinged())
    )
    await renewed.log.append(stream(order.id, 3, OrderTraded(broker="B", fills=("2",))))
    await fold(renewed, projection)
    assert await sizes(renewed) == {1: (2, 2), 2: (2, 4)}
    for compare in (compare_with_rebuild, compare_with_fold):
        comparison = await compare(renewed.log, projection)
        assert (comparison.rows_equal, comparison.rows_different) == (2, 0)


async def test_parts_of_one_key_are_folded_together_or_not_at_all(renewed: EventStore):
    """Where the second fails, the first is not kept, so that a retry counts it once; other keys go on."""
    projection = FilledBySize()
    async with renewed.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    order, created = new_order()
    await renewed.log.append(stream(order.id, 0, created, OrderTraded(broker="B", fills=("1",))))
    await renewed.log.append(stream(order.id, 2, OrderTraded(broker="B", fills=("1", "2", "1"))))
    projection.poison = frozenset({3})
    await fold(renewed, projection)
    assert await sizes(renewed) == {1: (1, 2), 2: (1, 3)}
    (held,) = await list_quarantined(renewed.log)
    assert (held.key, held.position, held.type) == ('["1"]', 3, "OrderTraded")
    projection.poison = frozenset()
    assert await retry(renewed.log, projection, held.key)
    assert await sizes(renewed) == {1: (3, 3), 2: (1, 3)}


# ---- what the code does not know ------------------------------------------------------------------------------------


async def unknown_to(store: EventStore) -> tuple[UUID, int]:
    """Append an event that this program has no class or upcaster for, as another one does; return its stream and position."""
    order, created = new_order()
    await store.log.append(stream(order.id, 0, created))
    another = EventLog(store.connection, classes=old)
    result = await another.append(stream(order.id, 1, OrderPinged()))
    return order.id, result.last_position


async def drained(events: AsyncIterable[RecordedEvent]) -> list[RecordedEvent]:
    """All that it yields."""
    return [event async for event in events]


async def test_an_unknown_type_is_named_by_whoever_reads_it(store: EventStore):
    """With its type, stream and position: streams, ranges, the log, subscriptions, replays, loads and lists."""
    stream_id, position = await unknown_to(store)
    head = await store.log.head()

    async def loaded() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.get_order_by_id(stream_id)

    async def listed() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.get_active_orders()

    async def found() -> None:
        async with store.connection.acquire() as connection:
            event_id = await connection.fetchval("SELECT event_id FROM events WHERE position = $1", position)
        await store.log.find_event(event_id)

    readers = {
        "stream": lambda: store.log.read_stream(stream_id),
        "range": lambda: store.log.read_range(after=0, through=head),
        "history": lambda: store.history(stream_id),
        "subscription": lambda: drained(store.log.subscribe()),
        "log": lambda: drained(store.log.read_all()),
        "replay": lambda: drained(store.replay()),
        "load": loaded,
        "list": listed,
        "by id": found,
    }
    for name, read in readers.items():
        with pytest.raises((UnknownEventTypeError, QuarantinedKeysError)) as caught:
            await read()
        # A list says which entities it cannot show; its cause says why.
        told = caught.value.__cause__ if isinstance(caught.value, QuarantinedKeysError) else caught.value
        assert isinstance(told, UnknownEventTypeError), name
        assert (told.category, told.type, told.stream_id, told.position) == (
            "order",
            "OrderPinged",
            stream_id,
            position,
        ), name
        assert f"order/OrderPinged (stream {stream_id}, position {position})" in str(told)


async def test_a_projection_may_say_that_it_ignores_a_type(store: EventStore):
    """It goes on without it; one that does not say so puts the entity in quarantine and names the type."""

    class Heedless(OrdersProjection):
        ignored_types = frozenset({"OrderPinged"})

    stream_id, position = await unknown_to(store)
    await fold(store)
    (held,) = await list_quarantined(store.log)
    assert (held.stream_id, held.position, held.type) == (stream_id, position, "OrderPinged")
    assert "no class is registered for the event type order/OrderPinged" in held.error
    assert await retry(store.log, Heedless(), held.key)
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT version FROM orders") == 1


async def test_a_store_does_not_start_without_its_upcasters(
    store: EventStore, migrated_config: Any, monkeypatch: pytest.MonkeyPatch
):
    """Neither a store nor a worker: the error names the step, before an old event is met."""
    lacking = EventRegistry()

    class OrderRouted(Event, category="order", schema_version=2, registry=lacking):
        """Version 1 is in the log, and nothing leads from there."""

    missing = r"order/OrderRouted version 1 has no upcaster.*@upcaster\(\"order\", \"OrderRouted\", 1\)"
    store.log.classes = EventRegistry.merged(registry, lacking)
    with pytest.raises(ConfigurationError, match=missing):
        await ProjectionRunner(store.log, OrdersProjection()).run()
    monkeypatch.setattr(registry, "_classes", {**registry._classes, ("order", "OrderRouted"): OrderRouted})
    with pytest.raises(ConfigurationError, match=missing):
        async with EventStore.open(migrated_config, workers=False):
            pass


async def test_an_old_version_without_an_upcaster_is_named(store: EventStore):
    """With stream and position."""
    first = EventRegistry()

    class OrderRouted(Event, category="order", registry=first):
        """As it was stored."""

    order, created = new_order()
    before = EventLog(store.connection, classes=EventRegistry.merged(registry, first))
    await before.append(stream(order.id, 0, created, OrderRouted()))

    today = EventRegistry()

    class Renamed(Event, category="order", type="OrderRouted", schema_version=2, registry=today):
        """As it is now."""

    store.log.classes = EventRegistry.merged(registry, today)
    with pytest.raises(EventDecodingError, match="no upcaster from version 1") as caught:
        await store.log.read_stream(order.id)
    assert (caught.value.stream_id, caught.value.position) == (order.id, 2)
