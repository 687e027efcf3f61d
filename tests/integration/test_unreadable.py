"""An event that cannot be read stops whoever needs it, says which one it is, and lets nobody else feel it."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import (
    ConfigurationError,
    EventDecodingError,
    EventStoreError,
    RepositoryError,
    UnknownEventTypeError,
)
from eventstore.log.unreadable import UnreadableEvent
from projections import OrdersProjection, ProjectionWorker
from projections.quarantine import list_quarantined

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from eventstore.store import EventStore

_INSERT = """
    INSERT INTO events (
        position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data, metadata
    )
    VALUES (
        nextval('events_position_seq'), $1::text::timestamptz, now(), $2, $3, $4, $5, 'order', $6, $7::text::jsonb,
        $8::text::jsonb
    )
    RETURNING position
"""

_DEEP = '{"a":' * 1_500 + "1" + "}" * 1_500
_SUBMITTED = '{"broker_order_id":"B-1"}'

# What each one has instead of what an event has.
DAMAGE: dict[str, dict[str, Any]] = {
    "a type that nobody knows": {"type": "OrderForgotten"},
    "the name of an attribute": {"type": "__class__"},
    "a type with a line break": {"type": "a\nb\x1b[2J"},
    "version 0 of its schema": {"schema_version": 0},
    "a version to come": {"schema_version": 32_767},
    "data that is a list": {"data": "[]"},
    "data that is a list of names": {"data": '["broker_order_id"]'},
    "data that is a number": {"data": "1"},
    "data that is a text": {"data": '""'},
    "data that is null": {"data": "null"},
    "data without a field": {"data": "{}"},
    "data with a field too many": {"data": '{"broker_order_id":"B-1","more":1}'},
    "data nested too deep": {"data": _DEEP},
    "metadata that is a list": {"metadata": "[]"},
    "metadata that is a number": {"metadata": "1"},
    "metadata that is null": {"metadata": "null"},
    "metadata nested too deep": {"metadata": _DEEP},
    "a time without end": {"occurred_at": "infinity"},
    "a time without beginning": {"occurred_at": "-infinity"},
}


async def spoil(store: EventStore, stream_id: UUID, version: int, **damage: Any) -> int:
    """Append an event that no program of ours would; return its position."""
    given = {
        "occurred_at": "2026-01-01T00:00:00Z",
        "version": version,
        "schema_version": 1,
        "stream_id": stream_id,
        "event_id": uuid4(),
        "type": "OrderSubmitted",
        "data": _SUBMITTED,
        "metadata": "{}",
    } | damage
    async with store.connection.acquire() as connection:
        return int(await connection.fetchval(_INSERT, *given.values()))


async def saved(store: EventStore, symbol: str) -> UUID:
    """Save a new order; return its id."""
    order = Order.create_market_order(symbol, Decimal(1), OrderSide.BUY)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    return order.id


async def taken(events: AsyncIterable[Any], count: int) -> list[int]:
    """The positions of so many events."""
    found: list[int] = []
    async for event in events:
        found.append(event.position)
        if len(found) == count:
            break
    return found


async def all_of(events: AsyncIterable[Any], into: list[int]) -> None:
    """Note the position of each event."""
    async for event in events:
        into.append(event.position)  # noqa: PERF401 - what came before an error counts


async def paged(store: EventStore, **options: Any) -> list[list[int]]:
    """The positions of each page of a replay."""
    return [[event.position for event in page] async for page in store.replay(**options).pages()]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_each_kind_of_damage_is_named_and_may_be_gone_past(store: EventStore, damage: dict[str, Any]):
    """By the log, ranges, subscriptions and replays: what lies before is given out, then the error, or what lies after."""
    stream_id = await saved(store, "A")
    position = await spoil(store, stream_id, 2, **damage)
    await saved(store, "B")
    head = await store.log.head()
    readers: dict[str, Any] = {
        "log": lambda **how: taken(store.log.read_all(**how), 2),
        "log in small batches": lambda **how: taken(store.log.read_all(batch_events_max=1, **how), 2),
        "subscription": lambda **how: taken(store.log.subscribe(**how), 2),
        "small subscription": lambda **how: taken(store.log.subscribe(batch_events_max=1, **how), 2),
        "replay": lambda **how: taken(store.replay(**how), 2),
        "pages": lambda **how: paged(store, **how),
        "range": lambda **how: store.log.read_range(after=0, through=head, **how),
    }
    for name, read in readers.items():
        for how in ({}, {"on_unreadable": "raise"}):
            with pytest.raises(RepositoryError) as told:
                await read(**how)
            assert isinstance(told.value, UnknownEventTypeError | EventDecodingError)
            assert (told.value.stream_id, told.value.position) == (stream_id, position), name
            assert len(str(told.value).splitlines()) == 1
        met: list[UnreadableEvent] = []
        skipped, handled = await read(on_unreadable="skip"), await read(on_unreadable=met.append)
        for found in (skipped, handled):
            positions = [getattr(each, "position", each) for each in found]
            assert positions in ([position - 1, position + 1], [[position - 1], [position + 1]]), name
        (event,) = met
        assert (event.position, event.stream_id, event.version, event.category) == (
            position,
            stream_id,
            2,
            "order",
        )
        assert event.type == damage.get("type", "OrderSubmitted")
        assert isinstance(event.error, UnknownEventTypeError | EventDecodingError)
        assert event.error.position == position


async def test_what_lies_before_is_given_out_first(store: EventStore):
    """Whatever the size of a batch: a reader knows how far it came, and can go on behind."""
    stream_id = await saved(store, "A")
    position = await spoil(store, stream_id, 2, data="{}")
    await saved(store, "B")
    subscription, replay = store.log.subscribe(), store.replay()
    readers: tuple[Any, ...] = (store.log.read_all(), subscription, replay)
    for reader in readers:
        found: list[int] = []
        with pytest.raises(EventDecodingError):
            await all_of(reader, found)
        assert found == [position - 1]
    assert (subscription.position, replay.position) == (position - 1, position - 1)
    assert await taken(store.log.subscribe(after=position), 1) == [position + 1]


async def test_a_handler_may_stop_the_reader(store: EventStore):
    """What it raises is what the reader raises, after what lies before."""

    class StopHereError(Exception):
        """The handler's own."""

    def stop(event: UnreadableEvent) -> None:
        raise StopHereError(event.type)

    stream_id = await saved(store, "A")
    await spoil(store, stream_id, 2, type="OrderForgotten")
    replay = store.replay(on_unreadable=stop)
    found: list[int] = []
    with pytest.raises(StopHereError, match="OrderForgotten"):
        await all_of(replay, found)
    assert len(found) == 1
    assert replay.progress.unreadable == 0


async def test_what_is_skipped_is_logged_and_counted(store: EventStore, caplog: pytest.LogCaptureFixture):
    """With its place; the progress of a replay has the number."""
    stream_id = await saved(store, "A")
    position = await spoil(store, stream_id, 2, type="OrderForgotten")
    replay = store.replay(on_unreadable="skip")
    with caplog.at_level(logging.WARNING, "eventstore"):
        assert await taken(replay, 9) == [position - 1]
    (line,) = [record for record in caplog.records if "cannot be read" in record.message]
    assert (vars(line)["position"], vars(line)["stream_id"]) == (position, stream_id)
    assert (replay.progress.unreadable, replay.progress.events, replay.progress.is_done) == (1, 1, True)


async def test_other_words_are_refused(store: EventStore):
    """Before anything is read."""
    odd: Any = "ignore"
    with pytest.raises(
        ConfigurationError, match="on_unreadable must be 'raise', 'skip' or a function, not 'ignore'"
    ):
        store.log.subscribe(on_unreadable=odd)
    with pytest.raises(ConfigurationError, match="on_unreadable"):
        store.replay(on_unreadable=odd)
    with pytest.raises(ConfigurationError, match="on_unreadable"):
        await anext(aiter(store.log.read_all(on_unreadable=odd)))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_worker_quarantines_its_key_and_goes_on(store: EventStore, damage: dict[str, Any]):
    """The order of the event waits, with its reason; all others are folded, and are read."""
    spoilt = await saved(store, "A")
    position = await spoil(store, spoilt, 2, **damage)
    other = await saved(store, "B")
    worker = ProjectionWorker(store.log, OrdersProjection())
    await worker.catch_up(await store.log.head())
    (held,) = await list_quarantined(store.log)
    assert (held.stream_id, held.position) == (spoilt, position)
    assert held.error
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_order_by_id(other) is not None
        with pytest.raises(EventStoreError) as told:
            await uow.orders.get_order_by_id(spoilt)
        assert str(position) in str(told.value)
        (found,) = await uow.orders.get_active_orders(quarantined="last_good", limit=1)
        assert found.id in (spoilt, other)
