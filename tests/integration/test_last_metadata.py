"""Where an engine continues after a restart: the last value of a key of the metadata."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import Order, OrderSide
from eventstore.errors import ConfigurationError, LimitError
from eventstore.replay import last_metadata

if TYPE_CHECKING:
    from eventstore import EventStore


async def _write(store: EventStore, metadata: dict[str, Any], order: Order | None = None) -> Order:
    made = Order.create_market_order("ES", Decimal(1), OrderSide.BUY) if order is None else order
    async with store.unit_of_work(metadata=metadata) as uow:
        await uow.orders.save_order(made)
    return made


async def test_the_last_value(store: EventStore):
    """The value of the last event that has the key, with its place; later events without it change nothing."""
    assert await store.last_metadata("row") is None
    await _write(store, {"row": 1})
    order = await _write(store, {"row": {"page": 2, "line": "3"}})
    await _write(store, {"other": 9})
    found = await store.last_metadata("row")
    assert found is not None
    assert (found.value, found.stream_id, found.version) == ({"page": 2, "line": "3"}, order.id, 1)
    assert [event.position for event in await store.log.read_stream(order.id)] == [found.position]
    assert await store.last_metadata("row", after=found.position) is None


async def test_a_null_is_a_value(store: EventStore):
    """A key whose value is null is there; its value is None."""
    await _write(store, {"row": 1})
    await _write(store, {"row": None})
    found = await store.last_metadata("row")
    assert found is not None
    assert found.value is None


async def test_of_a_stream(store: EventStore):
    """Only the events of one stream count, given by its id or its entity."""
    order = await _write(store, {"row": 1})
    order.submit("B-1")
    await _write(store, {"row": 2}, order)
    await _write(store, {"row": 3})
    for stream in (order, order.id):
        found = await store.last_metadata("row", stream=stream)
        assert found is not None
        assert (found.value, found.version) == (2, 2)
        assert await store.last_metadata("row", stream=stream, after=found.position) is None
    assert await store.last_metadata("other", stream=order) is None


async def test_by_another_key(store: EventStore):
    """One value for each strategy; events without a strategy are no strategy's; numbers are compared as text."""
    for row, strategy in enumerate(["trend", "reversion", "trend", 7]):
        await _write(store, {"row": row, "strategy": strategy})
    await _write(store, {"row": 9})
    found = await store.last_metadata_by("row", by="strategy")
    assert {name: one.value for name, one in found.items()} == {"trend": 2, "reversion": 1, "7": 3}
    found = await store.last_metadata_by("row", by="strategy", among=["reversion", "nobody"])
    assert {name: one.value for name, one in found.items()} == {"reversion": 1}


@pytest.mark.parametrize("window", [1, 2, 3])
async def test_far_back(store: EventStore, monkeypatch: pytest.MonkeyPatch, window: int):
    """It searches backwards in windows, and finds what lies many of them back."""
    monkeypatch.setattr(last_metadata, "_WINDOW", window)
    monkeypatch.setattr(last_metadata, "_WINDOW_MAX", 2 * window)
    for row in range(3):
        await _write(store, {"row": row, "feed": "a"})
    for row in range(10):
        await _write(store, {"row": row, "feed": "b"})
    found = await store.last_metadata_by("row", by="feed")
    assert {name: one.value for name, one in found.items()} == {"a": 2, "b": 9}
    assert await store.last_metadata("none") is None


async def test_it_waits_for_an_append_in_flight(store: EventStore):
    """The last statement of a process that was killed may still commit: its value is the last one."""
    await _write(store, {"row": 1})
    async with store.unit_of_work(metadata={"row": 2}) as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
        await uow.flush()
        asking = asyncio.create_task(store.last_metadata("row"))
        await asyncio.sleep(0.1)
        assert not asking.done()
    found = await asking
    assert found is not None
    assert found.value == 2


async def test_bad_arguments(store: EventStore):
    """A text in place of a collection of texts, and a position that is none, are refused in one line."""
    with pytest.raises(ConfigurationError, match="among must be a collection"):
        await store.last_metadata_by("row", by="strategy", among="trend")
    with pytest.raises(ConfigurationError, match="among must be a text"):
        await store.last_metadata_by("row", by="strategy", among=[7])  # type: ignore[list-item]  # what is tested
    with pytest.raises(ConfigurationError, match="key must be a text without NUL"):
        await store.last_metadata("a\0b")
    with pytest.raises(LimitError):
        await store.last_metadata("row", after=-1)


async def test_a_gap_of_any_length_is_passed_at_once(store: EventStore):
    """A sequence that was set forward does not keep an engine from going on after a restart."""
    await _write(store, {"row": 1, "venue": "A"})
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT setval('events_position_seq', $1)", 10**15)
    await _write(store, {"row": 2, "venue": "B"})
    async with asyncio.timeout(10):
        assert await store.last_metadata("none") is None
        found = await store.last_metadata_by("row", by="venue")
        assert {venue: one.value for venue, one in found.items()} == {"A": 1, "B": 2}
        among = await store.last_metadata_by("row", by="venue", among=["A"])
        assert {venue: one.position for venue, one in among.items()} == {"A": 1}
        assert await store.last_metadata_by("row", by="venue", among=["A"], after=1) == {}
