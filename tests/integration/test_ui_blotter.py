"""The lists of the blotter: any filters at once, in either direction, page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order, OrderSide, OrderStatus
from tests.inspected_store import BEGAN_AT, fold, inspected
from tests.inspector_client import Page, browsing

if TYPE_CHECKING:
    from eventstore.store import EventStore

BOUND = BEGAN_AT + timedelta(hours=3)
FILTERS: list[tuple[str, Callable[[Order], Any]]] = [
    ("", lambda _: True),
    ("symbol=AAPL", lambda one: one.symbol == "AAPL"),
    ("status=FILLED", lambda one: one.status is OrderStatus.FILLED),
    ("status=active", lambda one: one.status in ACTIVE_ORDER_STATUSES),
    ("client_order_id=C-1-3", lambda one: one.client_order_id == "C-1-3"),
    ("broker_order_id=B-0-2", lambda one: "B-0-2" in one.broker_order_ids),
    ("account=ACC-1", lambda one: one.account == "ACC-1"),
    ("strategy=momentum", lambda one: one.strategy == "momentum"),
    ("strategy=other", lambda one: one.strategy == "other"),
    (
        "symbol=AAPL&status=FILLED&account=ACC-1",
        lambda one: (one.symbol, one.status) == ("AAPL", OrderStatus.FILLED),
    ),
    (f"through={BOUND:%Y-%m-%dT%H:%M:%SZ}", lambda one: one.created_at <= BOUND),
    (
        f"from={BOUND:%Y-%m-%dT%H:%M:%SZ}&symbol=MSFT",
        lambda one: one.created_at >= BOUND and one.symbol == "MSFT",
    ),
]


@pytest.mark.parametrize("is_folded", [True, False], ids=["folded", "in the tail"])
async def test_orders_are_filtered_ordered_and_paged(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, *, is_folded: bool
):
    """Each page continues the one before, in both directions, and together they are the orders that match; fresh or folded."""
    monkeypatch.setattr("eventstore.ui.blotter.PAGE_ROWS", 4)
    shown = await inspected(store)
    late = Order.create_market_order("AAPL", 1, OrderSide.BUY, account="ACC-1", occurred_at=BEGAN_AT)  # type: ignore[arg-type]
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(late)
        every = list(await uow.orders.get_orders_by_account("ACC-1"))
    if is_folded:
        await fold(store)
    assert len(every) > len(shown.orders)
    async with browsing(store) as client:
        for query, matches in FILTERS:
            expected = [str(one.id) for one in every if matches(one)]
            for sort in ("oldest", "newest"):
                found = await _ids(client, f"/blotter/orders?sort={sort}&{query}")
                assert found == (expected if sort == "oldest" else expected[::-1]), (query, sort)


async def _ids(client: Any, path: str | None) -> list[str]:
    """The ids of the rows of a list, over all of its pages."""
    found: list[str] = []
    while path:
        page = Page((await client.get(path)).text)
        found += [link.rpartition("/")[2] for link in page.links() if link.startswith("/entities/order/")]
        following = [
            attributes["href"]
            for tag, attributes in page.tags
            if tag == "a" and attributes.get("rel") == "next"
        ]
        path = following[0] if following else None
    return found


async def test_a_rare_filter_goes_on_where_it_stopped(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A search that looks at too many rows says so, and the next page finds the rest."""
    monkeypatch.setattr("eventstore.ui.newest_first._LOOKED_AT_MAX", 4)
    monkeypatch.setattr("eventstore.ui.newest_first._BATCH", 4)
    shown = await inspected(store)
    rare = Order.create_market_order("RARE", 1, OrderSide.BUY, strategy="rare", occurred_at=BEGAN_AT)  # type: ignore[arg-type]
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(rare)
    assert len(shown.orders) > 4
    async with browsing(store) as client:
        page = Page((await client.get("/blotter/orders?strategy=rare")).text)
        assert "Not everything has been searched yet" in page.text
        assert await _ids(client, "/blotter/orders?strategy=rare") == [str(rare.id)]


async def test_a_table_that_lags_far_is_shown_as_far_as_it_is(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """With a tail that is too long to correct it, the list is the table's, and says so."""
    await inspected(store)
    monkeypatch.setattr("eventstore.repositories.storage.TAIL_EVENTS_MAX", 2)
    async with store.unit_of_work() as uow:
        for _ in range(5):
            await uow.orders.save_order(Order.create_market_order("LATE", 1, OrderSide.BUY))  # type: ignore[arg-type]
    async with browsing(store) as client:
        page = Page((await client.get("/blotter/orders?account=ACC-1")).text)
        assert "lags far behind" in page.text
        assert [link for link in page.links() if link.startswith("/entities/order/")]


async def test_fills_are_those_of_the_log(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Newest first, over pages, and by symbol."""
    monkeypatch.setattr("eventstore.ui.events.PAGE_EVENTS", 5)
    await inspected(store)
    filled = [event async for event in store.log.read_all() if event.type == "OrderFilled"]
    async with browsing(store) as client:
        assert await _ids(client, "/blotter/fills") == [str(event.stream_id) for event in reversed(filled)]
        of_symbol = [str(event.stream_id) for event in reversed(filled) if event.event.symbol == "AAPL"]
        assert await _ids(client, "/blotter/fills?symbol=AAPL") == of_symbol
