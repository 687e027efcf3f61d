"""An order whose events have a newer version, with their upcasters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.registry_check import require_sound_registry
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster
from eventstore.domain.order import Order, OrderSide
from eventstore.log import StreamAppend
from eventstore.store import EventStore
from projections import OrdersProjection, Projection, ProjectionWorker
from tests.entities import pending

old = EventRegistry()


class OrderTraded(Event, category="order", registry=old):
    """Submitted and filled at once: now two events, or three."""

    broker: str
    fills: tuple[str, ...]


@pytest.fixture
def classes() -> EventRegistry:
    """Today's classes, and the upcasters of the two that are gone."""
    today = EventRegistry.merged(registry)

    @upcaster("order", "OrderPinged", 1, to={}, registry=today)
    def _drop(_data: dict[str, Any], _context: EventContext) -> list[UpcastEvent]:
        return []

    @upcaster("order", "OrderTraded", 1, to={"OrderSubmitted": 1, "OrderFilled": 1}, registry=today)
    def _split(data: dict[str, Any], context: EventContext) -> list[UpcastEvent]:
        fills = [
            UpcastEvent(
                "OrderFilled",
                {"execution_id": f"{context.event_id}/{n}", "quantity": quantity, "price": "10"},
            )
            for n, quantity in enumerate(data["fills"])
        ]
        return [UpcastEvent("OrderSubmitted", {"broker_order_id": data["broker"]}), *fills]

    require_sound_registry(today)
    return today


@pytest.fixture
def renewed(store: EventStore, classes: EventRegistry) -> EventStore:
    """A store whose log holds events that today's code has no class for."""
    store.log.classes = classes
    return store


def new_order() -> tuple[Order, Event]:
    """An order of ten, and its creating event."""
    order = Order.create_market_order("AAPL", Decimal(10), OrderSide.BUY)
    return order, order.pending_events[0].event


def stream(order_id: UUID, expected_version: int, *events: Event) -> StreamAppend:
    """Events of one order."""
    return StreamAppend(order_id, expected_version, tuple(pending(event, uuid4()) for event in events))


async def fold(store: EventStore, *projections: Projection[Any]) -> None:
    """Bring tables up to date."""
    for projection in projections or (OrdersProjection(),):
        await ProjectionWorker(store.log, projection).catch_up(await store.log.head())
