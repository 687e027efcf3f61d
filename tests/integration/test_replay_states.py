"""Replaying states: folded from few columns of the log, with the result and the errors of a fold of whole events."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore.core import Entity
from eventstore.core.event import RecordedEvent
from eventstore.database.access import read_rows
from eventstore.domain.order import Order, OrderSide, OrderSubmitted
from eventstore.errors import ConfigurationError, EventDecodingError, UnknownEventTypeError
from eventstore.log.row_fold import FOLDED_COLUMNS
from eventstore.replay.pages import PAGE_EVENTS_MAX
from eventstore.replay.replay import ReplayProgress
from eventstore.store import EventStore
from tests.forged_rows import FORGED, forge
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

__all__ = ["classes", "renewed"]


def order(symbol: str = "ES") -> Order:
    return Order.create_limit_order(symbol, Decimal(3), OrderSide.BUY, limit_price=Decimal("99.5"))


async def orders(store: EventStore, count: int = 3) -> list[Order]:
    """Save orders of several events, among them an amended and a deleted one."""
    made = [order() for _ in range(count)]
    async with store.unit_of_work() as uow:
        for one in made:
            one.submit("B-1")
            one.fill(Decimal(1), Decimal(99), f"E-{one.id}", commission=Decimal("0.10"))
            await uow.orders.save_order(one)
    made[0].limit_price = Decimal("98.25")
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(made[0])
        await uow.orders.delete_order(made[1].id)
    return made


async def folded(store: EventStore, kind: type[Any], **chosen: Any) -> dict[UUID, Any]:
    """Fold each stream from its events."""
    streams: dict[UUID, list[RecordedEvent]] = {}
    async for event in store.replay(categories=[kind.category], **chosen):
        streams.setdefault(event.stream_id, []).append(event)
    states = {id: kind.fold(events) for id, events in streams.items()}
    return {id: state for id, state in states.items() if state is not None}


async def replayed(store: EventStore, kind: type[Any], **chosen: Any) -> dict[UUID, Any]:
    states: dict[UUID, Any] = {}
    async for _ in store.replay_states(kind, states=states, **chosen):
        pass
    return states


async def test_states_are_those_of_a_fold_of_whole_events(store: EventStore):
    """The states are equal to the folds of the streams, and a deleted entity is not among them."""
    made = await orders(store)

    states = await replayed(store, Order)

    assert states == await folded(store, Order)
    assert made[0].id in states
    assert made[1].id not in states
    assert states[made[0].id].version == 4


async def test_a_page_yields_what_it_changed(store: EventStore):
    """Each page yields the entities with events in it, None for a deleted one; without `states` too."""
    made = await orders(store)

    pages = [changed async for changed in store.replay_states(Order)]

    (changed,) = pages
    assert changed.keys() == {one.id for one in made}
    assert changed[made[1].id] is None
    assert changed[made[2].id] == made[2]


async def test_a_state_may_be_taken_out(store: EventStore):
    """A state that was taken out is let go; a later event of its stream is an error that names it."""
    made = [order() for _ in range(PAGE_EVENTS_MAX // 3 + 1)]
    async with store.unit_of_work() as uow:
        for one in made:
            one.submit("B-1")
            one.fill(Decimal(1), Decimal(99), f"E-{one.id}")
            await uow.orders.save_order(one)
    states: dict[UUID, Order] = {}
    pages = store.replay_states(Order, states=states)

    assert len(await anext(pages)) == len(made)
    del states[made[-1].id]
    with pytest.raises(EventDecodingError, match="begins with OrderSubmitted") as raised:
        await anext(pages)

    assert raised.value.stream_id == made[-1].id


async def test_the_end_may_be_a_position_or_a_time(store: EventStore):
    """`through` ends the fold at a position or a time of recording; `ids` chooses streams."""
    made = await orders(store)
    (last,) = [event.recorded_at async for event in store.replay(types=["OrderDeleted"])]

    assert await replayed(store, Order, through=4) == await folded(store, Order, through=4)
    assert await replayed(store, Order, through=last) == await folded(store, Order, through=last)
    chosen: dict[UUID, Order] = {}
    async for _ in store.replay_states(Order, states=chosen, ids=[made[0].id]):
        pass
    assert chosen.keys() == {made[0].id}


async def test_progress_counts_events(store: EventStore):
    """The progress tells the position, the target and the events; a selection of nothing reaches the end as well."""
    await orders(store)
    seen: list[ReplayProgress] = []

    await replayed(store, Order, on_progress=seen.append)
    assert (seen[-1].events, seen[-1].is_done) == (11, True)
    await replayed(store, Order, ids=[], on_progress=seen.append)
    assert (seen[-1].events, seen[-1].is_done) == (0, True)


async def test_a_class_without_a_category_is_refused(store: EventStore):
    """Only a class of entities with a category has streams."""
    with pytest.raises(ConfigurationError, match="no category"):
        await replayed(store, Entity)


@pytest.mark.parametrize("what", FORGED)
async def test_what_cannot_be_read_is_the_error_of_a_replay(store: EventStore, what: str):
    """An event that cannot be read is refused with the error that a replay of whole events raises."""
    await orders(store)
    await forge(store, FORGED[what])
    errors: list[Exception] = []

    reads: list[Callable[..., Any]] = [folded, replayed]
    for read in reads:
        with pytest.raises((EventDecodingError, UnknownEventTypeError)) as raised:
            await read(store, Order)
        errors.append(raised.value)

    assert [str(error) for error in errors] == [str(errors[0])] * 2
    assert type(errors[0]) is type(errors[1])


@pytest.mark.parametrize("statement", ["replay/fold_page", "replay/fold_streams_page"])
async def test_rows_have_their_columns_in_one_order(store: EventStore, statement: str):
    """The statements for folds return the columns that a fold takes, in its order."""
    made = await orders(store)

    rows = await read_rows(store.log.connection, statement, 0, 99, 9, ["order"], None, [made[0].id], 10**6)

    assert [tuple(row.keys()) for row in rows] == [FOLDED_COLUMNS] * 4


@pytest.mark.parametrize("by_streams", [False, True])
async def test_old_events_are_upcast(renewed: EventStore, *, by_streams: bool):
    """Events that became several or none are folded too, in the middle of a page of others."""
    order, created = new_order()
    events = [created, OrderTraded(broker="B-1", fills=("2", "3")), OrderSubmitted(broker_order_id="B-2")]
    for version, event in enumerate(events):
        await renewed.log.append(stream(order.id, version, event))

    states = await replayed(renewed, Order, ids=[order.id] if by_streams else None)

    assert states == await folded(renewed, Order)
    assert (states[order.id].filled_quantity, states[order.id].version) == (Decimal(5), 3)
