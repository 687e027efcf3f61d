"""The past of streams with large events: read a few at a time, with the same answers."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.position import Position
from eventstore.log.page_size import BATCH_BYTES_MAX
from eventstore.replay import past_storage
from eventstore.store import EventStore
from eventstore.testing.strategies import EPOCH
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

__all__ = ["classes", "renewed"]

MORE = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), stream_id, next, gen_random_uuid(), category, 'OrderSubmitted', 1,
    jsonb_build_object('broker_order_id', 'B'),
    jsonb_build_object('note', (SELECT string_agg(md5(n::text || next::text), '') FROM generate_series(1, 15625) n)),
    occurred_at, recorded_at
FROM events, generate_series(2, 80) AS next WHERE events.version = 1 ORDER BY next
"""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


async def some_entities(store: EventStore) -> None:
    """Save orders and a position with fills that were reported late, some before the creation; one order is deleted."""
    for late in (0, 3, 7):
        order = Order.create_limit_order(
            "ES", Decimal(9), OrderSide.BUY, limit_price=Decimal(5), occurred_at=EPOCH + late * MINUTE
        )
        order.submit("B-1", occurred_at=EPOCH + 2 * MINUTE)
        for number in range(3):
            order.fill(
                Decimal(2), Decimal(5), f"E-{late}-{number}", occurred_at=EPOCH + (4 - number) * MINUTE
            )
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        if late == 3:
            async with store.unit_of_work() as uow:
                await uow.orders.delete_order(order.id)

    position = Position.open_by_fill(
        "ES", OrderSide.BUY, Decimal(3), Decimal(5), execution_id="E-1", occurred_at=EPOCH + 6 * MINUTE
    )
    for minute in (4, 1, 5):
        position.apply_fill(
            OrderSide.BUY, Decimal(1), Decimal(6), f"P-{minute}", occurred_at=EPOCH + minute * MINUTE
        )
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)


async def past_of(store: EventStore, **when: Any) -> list[Order | Position]:
    days = EPOCH - 10_000 * DAY, EPOCH + 10_000 * DAY
    async with store.as_of(**when) as past:
        orders = await past.orders.get_orders_by_date_range(*days)
        positions = await past.positions.get_positions_by_date_range(*days)
    return sorted([*orders, *positions], key=lambda one: one.id)


async def assert_same(store: EventStore, monkeypatch: pytest.MonkeyPatch, bytes_max: int) -> None:
    """Compare what is read in pieces with what is read at once, at every moment by every clock."""
    head = await store.log.head()
    moments: list[dict[str, Any]] = [{"position": position} for position in range(head + 1)]
    moments += [{"occurred_at": EPOCH + minute * MINUTE} for minute in range(-1, 9)]
    moments += [{"recorded_at": event.recorded_at} for event in [one async for one in store.replay()]]
    whole = [await past_of(store, **when) for when in moments]

    monkeypatch.setattr(past_storage, "BATCH_BYTES_MAX", bytes_max)

    assert [await past_of(store, **when) for when in moments] == whole
    assert any(len(some) > 1 for some in whole)


@pytest.mark.parametrize("bytes_max", [1, 400, 1_500])
async def test_pieces_give_the_same_states(
    store: EventStore, bytes_max: int, monkeypatch: pytest.MonkeyPatch
):
    """However few events are read at a time, the states are the same at any moment by any clock."""
    await some_entities(store)
    await assert_same(store, monkeypatch, bytes_max)


async def test_pieces_of_old_events_give_the_same_states(
    renewed: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """An old event that became several may be the last of a piece."""
    for order, created in (new_order(), new_order()):
        events = [created, OrderTraded(broker="B-1", fills=("2", "3"))]
        for version, event in enumerate(events):
            await renewed.log.append(stream(order.id, version, event))
    await some_entities(renewed)
    await assert_same(renewed, monkeypatch, 1)


@pytest.mark.parametrize("clock", ["position", "occurred_at"])
async def test_large_events_are_bounded_in_bytes(store: EventStore, clock: str):
    """The past of one long stream has a few events in memory at a time."""
    order, _ = new_order()
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(MORE)
    when: dict[str, Any] = {"position": 80}
    if clock == "occurred_at":
        when = {clock: order.created_at}
    tracemalloc.start()
    try:
        async with store.as_of(**when) as past:
            found = await past.orders.get_order_by_id(order.id)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found is not None
    assert found.version == 80
    assert peak < 4 * BATCH_BYTES_MAX < 79 * 500_000
