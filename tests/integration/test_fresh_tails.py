"""What a list reads of the log's tail: all that may belong to its answer, and little else."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from eventstore.core.entity import Entity
from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.upcasting import EventContext, upcaster
from eventstore.domain.instrument import Instrument
from eventstore.domain.order import Order, OrderSide, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from eventstore.domain.position import Position
from eventstore.errors import QuarantinedKeysError
from eventstore.log import StreamAppend
from eventstore.log.event_log import EventLog
from eventstore.repositories import storage
from eventstore.repositories.read_tables import LISTS, READ_TABLES
from eventstore.sql import render, text_of
from projections import OrdersProjection, PositionsProjection, Projection, ProjectionWorker
from tests.entities import pending

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal
ID = UUID(int=7)

# The lists that judge an event of the tail by its type, and the classes that they may name; each with what it asks for.
BY_FIELD: dict[str, tuple[type[Entity], str]] = {
    "orders/by_symbol": (Order, "symbol"),
    "orders/by_broker_order_id": (Order, "broker_order_id"),
    "positions/by_symbol": (Position, "symbol"),
    "positions/open_by_symbol": (Position, "symbol"),
    "positions/by_strategy": (Position, "strategy"),
    "positions/by_portfolio": (Position, "portfolio_id"),
    "positions/open_by_portfolio": (Position, "portfolio_id"),
    "portfolios/by_name": (Portfolio, "name"),
    "portfolios/by_strategy": (Portfolio, "strategy"),
    "instruments/by_symbol": (Instrument, "symbol"),
    "instruments/latest_by_symbol": (Instrument, "symbol"),
    "portfolio_snapshots/by_portfolio": (PortfolioSnapshot, "portfolio_id"),
}

gone = EventRegistry()


class OrderRenamed(Event, category="order", registry=gone):
    """No longer kept: an amendment now."""

    text: str


@pytest.fixture
def renewed(store: EventStore) -> EventStore:
    """A store whose upcaster makes a symbol of a field of another name."""
    today = EventRegistry.merged(registry)

    @upcaster("order", "OrderRenamed", 1, to="OrderAmended", registry=today)
    def _amend(data: dict[str, Any], _context: EventContext) -> dict[str, Any]:
        return {"symbol": data["text"].upper()}

    store.log.classes = today
    return store


def new_order(symbol: str) -> Order:
    """A new order."""
    return Order.create_market_order(symbol, D(10), OrderSide.BUY)


async def fold(store: EventStore, *projections: Projection[Any]) -> None:
    """Bring tables up to date."""
    for projection in projections or (OrdersProjection(),):
        await ProjectionWorker(store.log, projection).catch_up(await store.log.head())


async def read(store: EventStore, statement: str, *arguments: Any) -> set[UUID]:
    """The streams of the tail that a list is given."""
    async with store.connection.acquire() as connection:
        records = await connection.fetch(
            text_of(LISTS[statement].statement(), connection),
            storage.TAIL_EVENTS_MAX + 1,
            None,
            None,
            None,
            *arguments,
        )
    return {record["stream_id"] for record in records} - {None}


async def by_symbol(store: EventStore, symbol: str) -> set[UUID]:
    """The ids of the orders of a symbol."""
    async with store.unit_of_work() as uow:
        return {order.id for order in await uow.orders.get_orders_by_symbol(symbol)}


async def test_orders_that_cannot_belong_to_the_answer_are_not_read(store: EventStore):
    """Of the tail a list gets the orders that have its symbol, or had it, or get it: with all of their events."""
    folded = {name: new_order(symbol) for name, symbol in (("left", "A"), ("came", "B"), ("other", "B"))}
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(folded.values())
    await fold(store)
    made = {name: new_order(symbol) for name, symbol in (("new", "A"), ("foreign", "B"))}
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(made.values())
        folded["left"].symbol, folded["came"].symbol = "B", "A"
        for order in folded.values():
            order.submit("B-1")
        await uow.orders.save_many(folded.values())
    assert await read(store, "orders/by_symbol", "A") == {
        folded["left"].id,
        folded["came"].id,
        made["new"].id,
    }
    assert await by_symbol(store, "A") == {folded["came"].id, made["new"].id}
    assert await by_symbol(store, "B") == {folded["left"].id, folded["other"].id, made["foreign"].id}
    assert await read(store, "orders/by_broker_order_id", "B-1") == {order.id for order in folded.values()}
    assert await read(store, "orders/by_broker_order_id", "B-2") == set()
    cancelled = await read(store, "orders/by_status", OrderStatus.CANCELLED.value)
    assert cancelled == {order.id for order in folded.values()}  # what happens to an order may end it


async def test_a_mark_closes_no_position(store: EventStore):
    """The closed positions need no event that only marks one; a fill may close one, whatever its quantity."""
    positions = [Position.open_position("A", D(3), D(10), D(0)) for _ in range(3)]
    async with store.unit_of_work() as uow:
        for position in positions:
            await uow.positions.save_position(position)
    await fold(store, PositionsProjection())
    positions[0].mark(D(11))
    positions[1].reduce(D(1), D(11), D(0))
    positions[2].close(D(11))
    async with store.unit_of_work() as uow:
        for position in positions:
            await uow.positions.update_position(position)
    assert await read(store, "positions/closed") == {positions[1].id, positions[2].id}
    async with store.unit_of_work() as uow:
        assert [one.id for one in await uow.positions.get_closed_positions()] == [positions[2].id]


@pytest.mark.parametrize("is_folded", [False, True])
async def test_what_an_upcaster_makes_of_an_event_counts(renewed: EventStore, is_folded: bool):
    """An event of another type may become anything: its order is read, whatever its JSON says."""
    order = new_order("A")
    async with renewed.unit_of_work() as uow:
        await uow.orders.save_order(order)
    if is_folded:
        await fold(renewed)
    renamed = StreamAppend(order.id, 1, (pending(OrderRenamed(text="b"), uuid4()),))
    await renewed.log.append(renamed)
    assert await by_symbol(renewed, "A") == set()
    assert await by_symbol(renewed, "B") == {order.id}


async def append_unknown(store: EventStore, order: Order) -> None:
    """Append an event of a type that this program lacks, as another one does."""
    another = EventLog(store.connection, classes=gone)
    await another.append(StreamAppend(order.id, 1, (pending(OrderRenamed(text="b"), uuid4()),)))


async def test_an_event_that_nobody_knows_is_told(store: EventStore):
    """No list answers while it cannot say whether an order of an unknown event belongs to it."""
    order = new_order("A")
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    await append_unknown(store, order)
    with pytest.raises(QuarantinedKeysError):
        await by_symbol(store, "C")


async def test_a_key_in_quarantine_is_told_by_every_list(store: EventStore):
    """Its events wait before the checkpoint: none of them is passed over, whatever its symbol."""
    order, other = new_order("A"), new_order("B")
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    await append_unknown(store, order)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(other)
    await fold(store)
    assert await read(store, "orders/by_symbol", "C") == {order.id}
    with pytest.raises(QuarantinedKeysError):
        await by_symbol(store, "C")


async def test_a_tail_that_is_too_long_is_read_whole(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """So the error can say how long it is, also where no event of it matters."""
    monkeypatch.setattr(storage, "TAIL_EVENTS_MAX", 2)
    orders = [new_order("A") for _ in range(3)]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders[:2])
    assert await read(store, "orders/by_symbol", "B") == set()
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(orders[2])
    assert await read(store, "orders/by_symbol", "B") == {order.id for order in orders}


@pytest.mark.parametrize("name", BY_FIELD)
def test_a_list_knows_the_types_of_its_events(name: str):
    """Each class of today is named, at the schema version that it has: a new one that is forgotten would be read in vain."""
    kind, field = BY_FIELD[name]
    statement = render(LISTS[name].statement(), "public")
    named = re.search(r"type NOT IN \(([^)]*)\)", statement)
    assert named is not None
    assert set(re.findall(r"'(\w+)'", named[1])) == {one.type for one in kind.event_classes()}
    assert {one.schema_version for one in kind.event_classes()} == {1}
    assert f"data ->> '{field}'::pg_catalog.text = " in statement
    assert kind in READ_TABLES
