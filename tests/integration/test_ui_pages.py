"""The pages of the inspector: what each shows of a store."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from eventstore.database.access import read_rows
from eventstore.domain.order import Order, OrderSide
from eventstore.evidence import check_proof
from eventstore.ui import inspector
from tests.inspected_store import Inspected, inspected, quarantined, sealed
from tests.inspector_client import Page, addresses, browsing, job_of

if TYPE_CHECKING:
    from eventstore.store import EventStore


@pytest_asyncio.fixture
async def shown(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Inspected:
    """A store with something on every page."""
    found = await inspected(store)
    await quarantined(store, monkeypatch)
    await sealed(store)
    return found


async def test_every_page_answers(store: EventStore, shown: Inspected):
    """Each route has an address here, and each address an answer."""
    asked = addresses(shown)
    app = inspector(store, authenticate=None)
    assert {route.name for route in app.routes if "GET" in route.methods} == asked.keys()  # type: ignore[attr-defined]
    async with browsing(store) as client:
        for paths in asked.values():
            for path in paths:
                answer = await client.get(path)
                assert answer.status_code in (200, 303, 307), (path, answer.text)


async def test_every_link_leads_somewhere(store: EventStore, shown: Inspected):
    """No page has a link that is answered with an error, up to the second click."""
    async with browsing(store) as client:
        seen = {path for paths in addresses(shown).values() for path in paths}
        waiting = {
            link
            for path in seen
            if not path.startswith("/static")
            for link in Page((await client.get(path)).text).links()
        }
        for link in sorted(waiting - seen):
            if link.startswith("/"):
                answer = await client.get(link)
                assert answer.status_code in (200, 303), (link, answer.text)


async def test_the_overview_says_how_the_log_and_the_workers_are(store: EventStore, shown: Inspected):
    """Head, lag of each partition, quarantine, the last seal, and a writer that holds a gap open."""
    async with browsing(store) as client:
        head = await store.log.head()
        page = Page((await client.get("/")).text)
        assert f"{head:,}" in page.text
        assert "block 1" in page.text
        for name in ("orders", "positions", "portfolios", "spoilt"):
            assert f"/projection?name={name}" in page.links()
        async with store.unit_of_work() as uow:
            order = shown.orders[0].__class__.create_market_order("GAP", 1, "BUY")  # type: ignore[arg-type]
            await uow.orders.save_order(order)
            await uow.flush()
            # Another Unit of Work commits behind the gap.
            async with store.unit_of_work() as other:
                await other.orders.save_order(order.__class__.create_market_order("LATER", 1, "BUY"))  # type: ignore[arg-type]
            live = Page((await client.get("/overview/live")).text)
            await uow.rollback()
        assert "There is no gap." in page.text
        assert "There is no gap." not in live.text
        assert f"{head + 1}" in live.text
        assert "Nobody writes." not in live.text


async def test_the_log_is_searched_by_type_category_metadata_and_time(store: EventStore, shown: Inspected):
    """Each filter leaves what it names; pages lead to the oldest event and back, with no event twice."""
    async with browsing(store) as client:

        async def types(query: str) -> set[str]:
            page = Page((await client.get(f"/events?{query}")).text)
            return {
                word for word in page.text.split() if word.startswith(("Order", "Position", "Portfolio"))
            } - {"Positions"}

        assert await types("type=OrderCancelled") >= {"OrderCancelled"}
        assert not await types("type=OrderCancelled") & {"OrderCreated", "OrderFilled"}
        assert await types('metadata={"actor":"operator"}') >= {"PortfolioCreated"}
        assert not await types('metadata={"actor":"operator"}') & {"OrderCreated"}
        assert not await types("clock=occurred&through=2026-03-02T14:29:59Z") & {"PortfolioCreated"}
        assert await types("clock=occurred&through=2026-03-02T14:30:00Z") >= {"PortfolioCreated"}

        seen: list[int] = []
        path: str | None = "/events"
        while path:
            page = Page((await client.get(path)).text)
            seen += [int(link.rpartition("/")[2]) for link in page.links() if link.startswith("/events/")]
            older = [link for link in page.links() if "before=" in link]
            path = older[0] if older else None
        assert seen == sorted(set(seen), reverse=True)
        assert len(seen) == len([event async for event in store.log.read_all()])


async def test_a_gap_of_any_length_is_one_step(store: EventStore, shown: Inspected):
    """The link to older events leads across a sequence that was set forward, and the one to newer events back."""
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT setval('events_position_seq', $1)", 10**12)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("FAR", Decimal(1), OrderSide.BUY))
    everything = [event.position async for event in store.log.read_all()]
    async with browsing(store) as client:
        for path, key in (("/events", "before="), ("/events?after=0", "after=")):
            seen: set[int] = set()
            following: str | None = path
            for _ in range(len(everything) // 10):
                if following is None:
                    break
                page = Page((await client.get(following)).text)
                seen |= {int(link.rpartition("/")[2]) for link in page.links() if link.startswith("/events/")}
                following = next((link for link in page.links() if key in link), None)
            assert sorted(seen) == everything, key


async def test_an_entity_shows_each_state_and_what_changed(store: EventStore, shown: Inspected):
    """The state after a version is that version's, and the difference names what changed between two."""
    order = shown.orders[0].id
    async with browsing(store) as client:
        first = Page((await client.get(f"/entities/order/{order}/state/1")).text)
        last = Page((await client.get(f"/entities/order/{order}/state/3")).text)
        assert "PENDING" in first.text
        assert "FILLED" in last.text
        changed = Page((await client.get(f"/entities/order/{order}/difference?a=1&b=2")).text)
        assert "SUBMITTED" in changed.text
        assert "FILLED" not in changed.text
        plotted = (await client.get(f"/entities/order/{order}/line-of-time")).json()
        assert plotted["type"] == ["OrderCreated", "OrderSubmitted", "OrderFilled"]


async def test_the_cause_tree_has_the_event_under_its_cause(store: EventStore, shown: Inspected):
    """From any event of the correlation, the tree is the same."""
    (created, submitted, *_) = await store.log.read_stream(shown.orders[0].id)
    async with browsing(store) as client:
        pages = [
            Page((await client.get(f"/causes?id={one.event_id}")).text).text for one in (created, submitted)
        ]
        assert all("OrderCreated" in page and "OrderFilled" in page for page in pages)
        assert (await client.get("/causes?id=nothing")).status_code == 404


async def test_the_book_is_that_of_its_moment(store: EventStore, shown: Inspected):
    """Cash and positions equal those of `as_of`, by both clocks and by position."""
    portfolio = shown.portfolio.id
    head = await store.log.head()
    async with browsing(store) as client:
        for clock, at in (("occurred_at", "2026-03-03T15:00:00"), ("position", str(head // 2))):
            moment = (
                {clock: int(at)}
                if clock == "position"
                else {clock: shown.orders[0].created_at.fromisoformat(f"{at}+00:00")}
            )
            async with store.as_of(**moment) as past:
                known = await past.portfolios.get_portfolio_by_id(portfolio)
                opened = await past.positions.get_active_positions()
            assert known is not None
            page = Page((await client.get(f"/time/book?portfolio={portfolio}&clock={clock}&at={at}")).text)
            assert f"{known.cash_balance:,.2f}".replace("-", "\u2212") in page.text
            assert [link.rpartition("/")[2] for link in page.links()] == [str(one.id) for one in opened]
        curve = (await client.get(f"/time/equity?portfolio={portfolio}")).json()
        expected = await store.equity_curve(portfolio)
        assert curve["equity"] == [float(point.equity) for point in expected]


async def test_a_key_is_retried_and_an_event_discarded(
    store: EventStore, shown: Inspected, monkeypatch: pytest.MonkeyPatch
):
    """The page has the traceback; a retry fails again, a discard needs who and why, and the skip list has both."""
    async with browsing(store, allow_operations=True) as client:
        page = Page((await client.get("/projection?name=spoilt")).text)
        assert "ValueError: cannot take 1313" in page.text
        assert "Traceback (most recent call last)" in page.text
        form = {name: page.value_of(name) for name in ("csrf_token", "key", "position")}
        assert (await client.post("/projection/retry?name=spoilt", data=form)).status_code == 303
        assert "No key is in quarantine." not in (await client.get("/projection?name=spoilt")).text
        assert (
            await client.post("/projection/discard?name=spoilt", data={**form, "by": "me"})
        ).status_code == 400
        decided = {**form, "by": "risk desk", "reason": "a test order"}
        other = {**decided, "position": str(int(form["position"]) + 1)}
        assert (await client.post("/projection/discard?name=spoilt", data=other)).status_code == 404
        bad = {**decided, "position": "one"}
        assert (await client.post("/projection/discard?name=spoilt", data=bad)).status_code == 400
        done = await client.post("/projection/discard?name=spoilt", data=decided)
        assert done.status_code == 303
        after = Page((await client.get("/projection?name=spoilt")).text).text
        assert "No key is in quarantine." in after
        assert "risk desk" in after
        assert "a test order" in after
        monkeypatch.delenv("SPOILT_AT")
        missing = await client.post("/projection/retry?name=spoilt", data=form)
        assert missing.status_code == 404


async def test_a_rebuild_shows_its_proof(store: EventStore, shown: Inspected):
    """A rebuild runs beside the requests, and ends with the digest that proved it."""
    async with browsing(store, allow_operations=True) as client:
        page = Page((await client.get("/projection?name=orders")).text)
        form = {"csrf_token": page.value_of("csrf_token")}
        assert (await client.post("/projection/rebuild?name=orders", data=form)).status_code == 303
        await job_of(client, "rebuild of orders")
        told = Page((await client.get("/projection/progress?name=orders")).text).text
        assert "Rebuilt" in told
        assert "digest" in told


async def test_evidence_is_verified_sealed_and_proved(store: EventStore, shown: Inspected):
    """Verification finds nothing; the proof that is downloaded leads to the head that the page shows."""
    async with browsing(store, allow_operations=True) as client:
        page = Page((await client.get("/evidence")).text)
        assert (await client.get("/evidence/verify")).status_code == 303
        await job_of(client, "verification")
        told = Page((await client.get("/evidence/verification")).text).text
        assert "as they were sealed" in told
        answer = await client.get("/evidence/proof?event=1")
        assert "attachment" in answer.headers["content-disposition"]
        assert str(check_proof(answer.json()).head) in page.text
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(type(shown.orders[0]).create_market_order("NEW", 1, "BUY"))  # type: ignore[arg-type]
        sealed_now = await client.post("/evidence/seal", data={"csrf_token": page.value_of("csrf_token")})
        assert sealed_now.status_code == 303
        assert [
            row["block"] for row in await read_rows(store.connection, "evidence/list_seals", None, 9)
        ] == [2, 1]
        assert "1 events in 1 blocks" in Page((await client.get("/evidence")).text).text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/events/999999", 404),
        ("/streams/nonsense", 404),
        ("/streams/0190d1f2-7c1e-7000-8000-00000000ffff", 404),
        ("/entities/unheard/0190d1f2-7c1e-7000-8000-00000000ffff", 404),
        ("/entities/order/0190d1f2-7c1e-7000-8000-00000000ffff", 404),
        ("/projection?name=unheard", 404),
        ("/blotter/orders?status=UNHEARD", 400),
        ("/blotter/orders?page=nonsense", 400),
        ("/blotter/orders?sort=sideways", 400),
        ("/blotter/orders?portfolio_id=nonsense", 400),
        ("/events?before=minus", 400),
        ("/events?before=99999999999999999999", 400),
        ("/events?metadata=nonsense", 400),
        ("/events?metadata=[1]", 400),
        ("/events?metadata=%7B%22a%22:%22%5Cu0000%22%7D", 400),
        ("/events?data=%7B%22a%22:%22%5Cu0000%22%7D", 400),
        ("/events?from=yesterday", 400),
        ("/events?category=%00", 400),
        ("/events?category=%ff", 200),
        ("/time?portfolio=0190d1f2-7c1e-7000-8000-00000000ffff", 404),
        ("/time/book?at=3", 400),
        ("/time/book?portfolio=0190d1f2-7c1e-7000-8000-00000000ffff&clock=position&at=99999999", 400),
        ("/evidence/proof", 400),
        ("/evidence/proof?event=nonsense", 400),
        ("/evidence/proof?event=99999", 404),
        ("/evidence/verify?against=nonsense", 400),
        ("/static/../pages.py", 404),
        ("/static/application.py", 404),
    ],
)
async def test_a_wrong_address_is_answered_with_what_is_wrong(store: EventStore, path: str, status: int):
    """No address of this kind is a fault of the program."""
    async with browsing(store) as client:
        answer = await client.get(path)
        assert answer.status_code == status, answer.text


async def test_an_empty_store_has_all_pages(store: EventStore):
    """Before the first event there is nothing to see, and no error."""
    async with browsing(store) as client:
        for path in (
            "/",
            "/blotter/orders",
            "/blotter/fills",
            "/blotter/positions",
            "/blotter/portfolios",
            "/time",
            "/causes",
        ):
            assert (await client.get(path)).status_code == 200, path
        for path in (
            "/events",
            "/projections",
            "/projection?name=orders",
            "/evidence",
            "/evidence/verification",
        ):
            assert (await client.get(path)).status_code == 200, path


async def test_without_the_code_of_a_projection_nothing_of_it_is_changed(store: EventStore, shown: Inspected):
    """Its keys are shown; there is no button, and a request is refused."""
    transport = httpx.ASGITransport(inspector(store, authenticate=None, allow_operations=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = Page((await client.get("/projection?name=spoilt")).text)
        assert "cannot take 1313" in page.text
        assert not [
            tag for tag, attributes in page.tags if tag == "form" and attributes.get("method") == "post"
        ]
        token = Page((await client.get("/evidence")).text).value_of("csrf_token")
        refused = await client.post(
            "/projection/retry?name=spoilt", data={"csrf_token": token, "key": '["SPOILT"]'}
        )
        assert refused.status_code == 404


async def test_the_search_box_finds_what_people_call_things(store: EventStore, shown: Inspected):
    """An order by its client and broker ids and the beginning of its id, a portfolio by its name; a number as each that it is."""
    order = shown.orders[0]
    link = f"/entities/order/{order.id}"
    numbered = Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY, client_order_id="3")
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(numbered)
    async with browsing(store) as client:

        async def found(text: str) -> Page:
            return Page((await client.get("/search", params={"id": text})).text)

        assert order.client_order_id is not None
        for text in (order.client_order_id, order.broker_order_ids[0], str(order.id)[:20], order.id.hex[:20]):
            assert link in (await found(text)).links(), text
        portfolio = shown.portfolio
        assert f"/entities/portfolio/{portfolio.id}" in (await found(portfolio.name)).links()
        links = (await found("3")).links()
        assert {f"/entities/order/{numbered.id}", "/events/3"} <= set(links)
        assert "Nothing has this id" in (await found("nobody")).text
        assert (await found("<b>x</b>")).text.count("<b>x</b>") == 1


async def test_the_search_box_of_a_table_that_lags(
    store: EventStore, shown: Inspected, monkeypatch: pytest.MonkeyPatch
):
    """It says that it did not look for client ids and names, and still finds ids."""
    monkeypatch.setattr("eventstore.repositories.storage.TAIL_EVENTS_MAX", 0)
    order = shown.orders[0]
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
    async with browsing(store) as client:
        page = Page((await client.get("/search", params={"id": str(order.client_order_id)})).text)
        assert "lag far behind" in page.text
        page = Page((await client.get("/search", params={"id": str(order.id)[:20]})).text)
        assert f"/entities/order/{order.id}" in page.links()
