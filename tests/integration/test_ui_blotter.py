"""The lists of the blotter: any filters at once, in either direction, page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order, OrderSide, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.ui.sorted_lists import SORTS
from tests.inspected_store import BEGAN_AT, fold, inspected
from tests.inspector_client import Page, browsing

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
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
            for sort in ("created_at", "-created_at"):
                found = await _ids(client, f"/blotter/orders?sort={sort}&{query}")
                assert found == (expected if sort == "created_at" else expected[::-1]), (query, sort)


@pytest.mark.parametrize("is_folded", [True, False], ids=["folded", "in the tail"])
async def test_each_list_is_ordered_by_each_column_over_all_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, *, is_folded: bool
):
    """In both directions, each entity once: what is not there comes first, equal values in the order of ids."""
    monkeypatch.setattr("eventstore.ui.blotter.PAGE_ROWS", 3)
    await inspected(store)
    third = Order.create_limit_order(
        "AAPL", D(3), OrderSide.BUY, limit_price=D("0.1"), strategy="a_b", occurred_at=BEGAN_AT
    )
    third.submit("B-third", occurred_at=BEGAN_AT)
    third.fill(D(2), D("0.1"), "E-third-1", commission=D("-0.5"), occurred_at=BEGAN_AT)
    third.fill(D(1), D("0.2"), "E-third-2", occurred_at=BEGAN_AT)
    short = Position.open_position("ES", D(-3), D(10), currency="EUR", occurred_at=BEGAN_AT)
    short.reduce(D(1), D("9.5"), occurred_at=BEGAN_AT)
    marked = Position.open_position("NQ", D(7), D(1), strategy="é", occurred_at=BEGAN_AT)
    marked.mark(D("0.9"), occurred_at=BEGAN_AT)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(third)
        await uow.positions.save_many([short, marked])
        await uow.portfolios.save_portfolio(Portfolio(name="Z", initial_capital=D(5), currency="JPY"))
        entities: dict[type[Any], list[Any]] = {
            Order: list(await uow.orders.get_orders_by_date_range(FIRST, LAST)),
            Position: list(await uow.positions.get_positions_by_date_range(FIRST, LAST)),
            Portfolio: list(await uow.portfolios.get_all_portfolios()),
        }
    if is_folded:
        await fold(store)
    async with browsing(store) as client:
        for kind, sorts in SORTS.items():
            for name in sorts:
                expected = [str(one.id) for one in sorted(entities[kind], key=lambda one: _key(one, name))]
                for sign in ("", "-"):
                    path = f"/blotter/{kind.category}s?sort={sign}{name}"
                    found = await _ids(client, path, kind.category)
                    assert found == (expected[::-1] if sign else expected), path


def _key(one: Any, name: str) -> tuple[Any, ...]:
    """What a row is ordered by, written down anew: quotients are equal if they differ by less than is shown."""
    value = getattr(one, name)
    if isinstance(value, Enum | UUID):
        value = str(value)
    if name.startswith("average_") and value is not None:
        value = round(value, 12)
    return (value is not None and value != "", value or (D(0) if value == 0 else ""), one.id)


async def test_an_order_of_a_list_is_kept_by_its_filters_and_heads(store: EventStore):
    """The head of the column says the direction and turns it; the form of the filters keeps it."""
    await inspected(store)
    async with browsing(store) as client:
        page = Page((await client.get("/blotter/orders?sort=quantity&symbol=AAPL")).text)
        (head,) = [attributes for tag, attributes in page.tags if tag == "th" and "aria-sort" in attributes]
        assert head["aria-sort"] == "ascending"
        assert "/blotter/orders?sort=-quantity&symbol=AAPL" in page.links()
        kept = [attributes for tag, attributes in page.tags if attributes.get("type") == "hidden"]
        assert [(one["name"], one["value"]) for one in kept] == [("sort", "quantity")]
        for wrong in ("sort=quantity&page=x_1", "sort=quantity&page=1", "sort=price"):
            assert (await client.get(f"/blotter/orders?{wrong}")).status_code == 400, wrong


async def _ids(client: Any, path: str | None, category: str = "order") -> list[str]:
    """The ids of the rows of a list, over all of its pages."""
    found: list[str] = []
    while path:
        page = Page((await client.get(path)).text)
        found += [
            link.rpartition("/")[2] for link in page.links() if link.startswith(f"/entities/{category}/")
        ]
        following = [
            attributes["href"]
            for tag, attributes in page.tags
            if tag == "a" and attributes.get("rel") == "next"
        ]
        path = following[0] if following else None
    return found


async def test_a_range_of_times_in_the_past_is_found_at_once(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """The search begins at the near end of the range and ends at the far one, however many other rows are beside it."""
    monkeypatch.setattr("eventstore.ui.sorted_lists._LOOKED_AT_MAX", 3)
    monkeypatch.setattr("eventstore.ui.sorted_lists._BATCH", 3)
    await inspected(store, trades_a_day=30)
    async with store.unit_of_work() as uow:
        every = list(await uow.orders.get_orders_by_symbol("AAPL"))
    first, last = every[len(every) // 2], every[len(every) // 2 + 1]
    span = f"from={first.created_at:%Y-%m-%dT%H:%M:%SZ}&through={last.created_at:%Y-%m-%dT%H:%M:%SZ}"
    async with browsing(store) as client:
        for sort, expected in (("created_at", [first, last]), ("-created_at", [last, first])):
            page = (await client.get(f"/blotter/orders?symbol=AAPL&{span}&sort={sort}")).text
            links = [link for link in Page(page).links() if link.startswith("/entities/order/")]
            assert [link.rpartition("/")[2] for link in links] == [str(one.id) for one in expected]
            assert "Search on" not in page


async def test_a_page_that_takes_too_long_says_what_to_do(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """It ends, with its statement, and names what makes the list shorter."""
    monkeypatch.setattr("eventstore.ui.sorted_lists.SECONDS_MAX", 0.3)
    await inspected(store)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with browsing(store) as client, store.connection.acquire_for_user() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE orders")
            slow = await client.get("/blotter/orders?sort=quantity")
            assert slow.status_code == 503
            assert "Narrow the list by symbol" in slow.text
            in_time = await client.get("/blotter/orders")
            assert (in_time.status_code, "Narrow" in in_time.text) == (503, False)
            assert await connection.fetchval(waiting) == 0
        assert (await client.get("/blotter/orders?sort=quantity")).status_code == 200


async def test_a_rare_filter_goes_on_where_it_stopped(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A search that looks at too many rows says so, and the next page finds the rest."""
    monkeypatch.setattr("eventstore.ui.sorted_lists._LOOKED_AT_MAX", 4)
    monkeypatch.setattr("eventstore.ui.sorted_lists._BATCH", 4)
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


async def test_fills_say_what_their_heads_order(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """One page of several says that it alone is ordered; all that match come on one page, unless they are too many."""
    monkeypatch.setattr("eventstore.ui.events.PAGE_EVENTS", 5)
    await inspected(store)
    filled = [str(event.stream_id) async for event in store.log.read_all() if event.type == "OrderFilled"]
    alone, whole = "the rows of this page alone", "its heads order all of them"
    async with browsing(store) as client:
        page = (await client.get("/blotter/fills")).text
        assert alone in page
        (together,) = [link for link in Page(page).links() if "rows=all" in link]
        text = (await client.get(together)).text
        assert whole in text
        assert alone not in text
        assert await _ids(client, together) == filled[::-1]
        assert whole in (await client.get("/blotter/fills?execution_id=E-0-1")).text
        monkeypatch.setattr("eventstore.ui.blotter._TOGETHER_MAX", 7)
        assert alone in (await client.get(together)).text


async def test_a_portfolio_is_found_by_its_name(store: EventStore):
    """Or by its id, or the beginning of it; a name that nobody or several have is refused with a message."""
    shown = await inspected(store)
    async with browsing(store) as client:
        for name, category in (("orders", "order"), ("positions", "position"), ("fills", "order")):
            path = f"/blotter/{name}?portfolio_id="
            expected = await _ids(client, f"{path}{shown.portfolio.id}", category)
            assert expected
            for text in ("Main", str(shown.portfolio.id)[:23]):
                assert await _ids(client, f"{path}{text}", category) == expected, (name, text)
        unknown = await client.get("/blotter/orders?portfolio_id=Nobody")
        assert (unknown.status_code, "no portfolio" in unknown.text) == (400, True)
        async with store.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(Portfolio(name="Main", initial_capital=D(5)))
        several = await client.get("/blotter/orders?portfolio_id=Main")
        assert (several.status_code, "ambiguous" in several.text) == (400, True)
