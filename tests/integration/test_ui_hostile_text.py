"""Text from outside is never HTML, on no page: it is shown, escaped, with each of its characters visible."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from projections import ProjectionWorker
from tests.failing_projection import Spoilt, spoilt_table
from tests.inspected_store import Inspected, fold
from tests.inspector_client import Page, addresses, browsing

if TYPE_CHECKING:
    from eventstore.store import EventStore

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'--></title></textarea><b>&amp;{{7*7}}{% raw %}${7*7}#{7*7}"
CONTROLS = "\x1b[2J\x07\x9b\r\n\u2028\u2029\x85\u202egnp\u2066\u200b\ufeff\u3164"
TEXT = f"{MARKUP} {CONTROLS}"
LONG = "<i>" * 350_000
ALLOWED = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "script",
        "body",
        "a",
        "header",
        "p",
        "span",
        "nav",
        "ul",
        "li",
        "form",
        "label",
        "input",
        "button",
        "main",
        "footer",
        "h1",
        "h2",
        "h3",
        "div",
        "small",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "pre",
        "details",
        "summary",
        "section",
        "select",
        "option",
        "progress",
        "output",
        "b",
        "del",
        "ins",
    ]
)


@pytest_asyncio.fixture
async def hostile(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Inspected:
    """A log with hostile text in every place, some of it written by another program; read tables, quarantine, skip list."""
    portfolio = Portfolio(name=TEXT, initial_capital=Decimal(1000), strategy=TEXT, currency=TEXT)
    order = Order.create_market_order(
        TEXT,
        Decimal(10),
        OrderSide.BUY,
        strategy=TEXT,
        account=TEXT,
        client_order_id=TEXT,
        tags=[TEXT, "plain"],
        portfolio_id=portfolio.id,
        currency=TEXT,
    )
    order.submit(TEXT)
    order.reject(TEXT)
    filled = Order.create_market_order(
        TEXT, Decimal(2), OrderSide.BUY, portfolio_id=portfolio.id, currency=TEXT, strategy=TEXT, account=TEXT
    )
    async with store.unit_of_work(
        actor=TEXT, metadata={TEXT: [TEXT], "correlation_id": TEXT, "causation_id": TEXT}
    ) as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
        booked = await uow.book(filled).fill(Decimal(2), Decimal(10), TEXT, venue=TEXT)
        await uow.positions.save_position(
            Position.open_position(TEXT, Decimal(2), Decimal(10), strategy=LONG[:198])
        )
    async with store.connection.acquire() as connection:
        for data in (
            "[1]",
            '"<b>"',
            json.dumps({TEXT: {TEXT: TEXT}, "n": [TEXT]}),
            json.dumps({"long": LONG}),
            json.dumps({LONG: 1}),
        ):
            await connection.execute(
                "INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, "
                "type, data, metadata) VALUES (nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), "
                "gen_random_uuid(), $1, $1, $2::jsonb, $3::jsonb)",
                TEXT,
                data,
                json.dumps({"actor": TEXT, "correlation_id": "foreign", TEXT: LONG}),
            )
        await connection.execute(
            "INSERT INTO projection_discards (projection, position, key, discarded_by, reason) VALUES ('spoilt', 1, $1, $1, $1)",
            TEXT,
        )
        await connection.execute(
            "INSERT INTO projection_checkpoints (projection, partition, position, lease_owner, lease_expires_at) "
            "VALUES ($1, 0, 1, $1, now() + interval '1 hour')",
            TEXT,
        )
    await fold(store)
    await spoilt_table(store)
    monkeypatch.setenv("SPOILT_AT", "10")
    await ProjectionWorker(store.log, Spoilt()).catch_up(await store.log.head())
    return Inspected(portfolio, [order, filled], booked.positions[0].id, TEXT)


def check(page: str) -> Page:
    """Check that nothing of a page comes from the hostile text but text."""
    read = Page(page)
    assert {tag for tag, _ in read.tags} <= ALLOWED
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (
            tag,
            attributes,
        )
        if tag == "script":
            assert "src" in attributes
        for name in ("src", "href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("/", "#", "data:,")), value
    assert "alert(1)" not in [text.strip() for text in read.text.splitlines()]
    shown = [
        character for character in page if character != "\n" and unicodedata.category(character) in HIDDEN
    ]
    assert not shown, shown[:5]
    return read


async def test_no_page_takes_text_for_html(store: EventStore, hostile: Inspected):
    """No tag, attribute, script, control character or template of the log is in any page."""
    asked = addresses(hostile)
    asked["causes"] += [f"/causes?id={quote(TEXT)}"]
    asked["orders"] += [f"/blotter/orders?symbol={quote(TEXT)}"]
    seen = 0
    async with browsing(store, allow_operations=True) as client:
        head = await store.log.head()
        asked["event"] += [f"/events/{position}" for position in range(1, head + 1)]
        asked["stream"] += [f"/streams/{event['stream_id']}" for event in await _foreign(store)]
        asked["entity"] = [path for path in asked["entity"] if "version=" not in path]
        for name, paths in asked.items():
            if name in {"static", "proof", "equity", "entity_line_of_time"}:
                continue
            for path in paths:
                answer = await client.get(path, follow_redirects=True)
                page = check(answer.text)
                assert "49" not in page.text.replace(" ", "") or answer.status_code == 200
                seen += "<script>alert(1)</script>" in page.text
                assert len(answer.text) < 400_000, path
        page = check((await client.get(f"/projection?name={quote(TEXT, safe='')}")).text)
        assert "\\u202egnp" in page.text
    assert seen > 20


async def test_what_an_address_says_is_text_too(store: EventStore):
    """A form shows what was asked for, and an error what was wrong, without taking either for HTML."""
    asked = quote(TEXT, safe="")
    async with browsing(store) as client:
        for path in (
            f"/search?id={asked}",
            f"/causes?id={asked}",
            f"/events?type={asked}&metadata={asked}",
            f"/events?type={asked}",
            f"/blotter/orders?symbol={asked}&status={asked}",
            f"/blotter/fills?symbol={asked}&account={asked}",
            f"/blotter/portfolios?name={asked}",
            f"/evidence?against={asked}",
            f"/evidence/verify?against={asked}",
            f"/projection?name={asked}",
            f"/streams/{asked}",
            f"/entities/{asked}/{asked}",
            f"/{asked}",
        ):
            answer = await client.get(path)
            assert answer.status_code in (200, 400, 404), (path, answer.status_code)
            check(answer.text)


async def test_a_long_text_is_cut_with_a_note(store: EventStore, hostile: Inspected):
    """A megabyte of one text costs a page some kilobytes, and the page says how much is left out."""
    (position,) = [
        row["position"]
        for row in await _foreign(store)
        if row["length"] > len(LONG) and '"long"' in row["begin"]
    ]
    async with browsing(store) as client:
        one = Page((await client.get(f"/events/{position}")).text)
        assert "characters were not read" in one.text
        assert "more characters are left out" in one.text
        listed = Page((await client.get("/events")).text)
        assert "more characters" in listed.text


async def test_the_numbers_of_a_plot_are_no_html(store: EventStore, hostile: Inspected):
    """The library that draws reads tags in texts, so they are escaped there too."""
    async with browsing(store) as client:
        answer = await client.get(f"/entities/order/{hostile.orders[0].id}/line-of-time")
        assert answer.headers["content-type"] == "application/json"
        assert "<" not in answer.text


async def _foreign(store: EventStore) -> list[dict[str, Any]]:
    async with store.connection.acquire() as connection:
        rows = await connection.fetch(
            "SELECT position, stream_id, length(data::text) AS length, left(data::text, 10) AS begin FROM events "
            "WHERE category = $1",
            TEXT,
        )
    return [dict(row) for row in rows]
