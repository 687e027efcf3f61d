"""The inspector in a real browser: readable, accessible, by keyboard, and without a network."""

from __future__ import annotations

import os
import re
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from eventstore.domain.order import Order, OrderSide
from tests.browser.conftest import ROOT, opened
from tests.inspected_store import Inspected

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from eventstore.store import EventStore

SCREENSHOTS = "EVENTSTORE_SCREENSHOTS"
FOLDER = ROOT / "docs" / "images" / "inspector"
BYTES_MAX = 150_000


def pages_of(shown: Inspected) -> dict[str, str]:
    """The pages, by the names of their pictures."""
    return {
        "overview": "/",
        "orders": "/blotter/orders",
        "fills": "/blotter/fills?symbol=AAPL",
        "positions": "/blotter/positions",
        "portfolios": "/blotter/portfolios",
        "entity": f"/entities/order/{shown.orders[0].id}",
        "difference": f"/entities/order/{shown.orders[0].id}/difference?a=1&b=3",
        "time": f"/time?portfolio={shown.portfolio.id}&at=2026-03-03T16:00:00",
        "causes": f"/causes?id={shown.correlation_id}",
        "log": "/events?type=OrderFilled",
        "stream": f"/streams/{shown.orders[0].id}",
        "event": "/events/4",
        "projections": "/projections",
        "projection": "/projection?name=spoilt",
        "evidence": "/evidence",
    }


@pytest.mark.parametrize("look", [("light", 1600), ("dark", 360)], ids=["light-wide", "dark-narrow"])
async def test_each_page_is_accessible(
    browser: Browser, store: EventStore, shown: Inspected, axe: str, look: tuple[str, int]
):
    """Axe finds nothing, no page is wider than its window, no script fails, and nothing is asked of another server."""
    scheme, width = look
    async with opened(browser, store, shown, scheme=scheme, width=width) as at:
        for name, path in pages_of(shown).items():
            await at.go(path)
            too_wide = await at.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
            assert not too_wide, name
            await at.page.evaluate(axe)
            found = await at.page.evaluate("axe.run().then((result) => result.violations)")
            told = [(one["id"], [node["html"] for node in one["nodes"][:3]]) for one in found]
            assert not told, (name, told)
            if os.environ.get(SCREENSHOTS) and (scheme, width) == ("light", 1600):
                _keep(name, await at.page.screenshot())
            if os.environ.get(SCREENSHOTS) and (scheme, width, name) == ("dark", 360, "time"):
                _keep("time-dark-narrow", await at.page.screenshot())
        assert at.complaints == []


def _keep(name: str, picture: bytes) -> None:
    """Write a picture with few colours, which makes it small."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    Image.open(BytesIO(picture)).convert("RGB").quantize(64).save(path, optimize=True)
    assert path.stat().st_size < BYTES_MAX, name


async def test_the_slider_moves_the_book(browser: Browser, store: EventStore, shown: Inspected):
    """By keyboard and by mouse, the book ends at the moment where the slider ends, whatever answers were overtaken."""
    async with opened(browser, store, shown) as at:
        await at.go(f"/time?portfolio={shown.portfolio.id}")
        slider = at.page.locator("#slider")
        await slider.focus()
        await at.page.keyboard.press("Home")
        await _settled(at.page)
        assert await at.page.locator("[data-value=cash]").inner_text() == "100,000.00"
        for _ in range(30):
            await at.page.keyboard.press("PageUp" if _ % 2 else "ArrowRight")
        moment = await _settled(at.page)
        assert await at.page.locator("[data-value=cash]").inner_text() == _shown(
            await _cash(store, shown, moment)
        )
        box = await slider.bounding_box()
        assert box is not None
        await at.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
        await at.page.mouse.down()
        for step in range(40):
            await at.page.mouse.move(
                box["x"] + box["width"] * (0.9 - step / 60), box["y"] + box["height"] / 2
            )
        await at.page.mouse.up()
        dragged = await _settled(at.page)
        assert dragged != moment
        assert await at.page.locator("[data-value=cash]").inner_text() == _shown(
            await _cash(store, shown, dragged)
        )
        assert at.complaints == []


async def _settled(page) -> datetime:
    """Wait until the book is that of the slider's moment, and return the moment."""
    await page.wait_for_function(
        "() => document.getElementById('book').dataset.at === document.getElementById('slider-text').value"
    )
    return datetime.fromisoformat(await page.locator("#slider-text").inner_text())


async def _cash(store: EventStore, shown: Inspected, moment: datetime) -> Decimal:
    async with store.as_of(occurred_at=moment) as past:
        found = await past.portfolios.get_portfolio_by_id(shown.portfolio.id)
    assert found is not None
    return found.cash_balance


def _shown(value: Decimal) -> str:
    return f"{value:,.2f}".replace("-", "\u2212")


async def test_the_overview_is_live_until_it_is_paused(browser: Browser, store: EventStore, shown: Inspected):
    """A new event moves the head without a reload; paused, it stays."""
    async with opened(browser, store, shown) as at:
        await at.go("/")
        head = at.page.locator("#live dd").first
        before = await head.inner_text()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("LIVE", Decimal(1), OrderSide.BUY))
        await at.page.wait_for_function(
            "(before) => document.querySelector('#live dd').innerText !== before", arg=before
        )
        await at.page.get_by_role("button", name="Pause").press("Enter")
        assert await at.page.get_by_role("button", name="Resume").is_visible()
        assert at.complaints == []


async def test_the_pages_work_by_keyboard(browser: Browser, store: EventStore, shown: Inspected):
    """The first stop skips to the content, every stop is visible, and a table is sorted and a state opened by keys."""
    async with opened(browser, store, shown) as at:
        await at.go("/blotter/orders")
        await at.page.keyboard.press("Tab")
        assert await at.page.evaluate("document.activeElement.className") == "skip"
        await at.page.keyboard.press("Enter")
        assert await at.page.evaluate("document.activeElement.id") == "content"
        for is_descending in (False, True):
            await at.page.get_by_role("link", name="Symbol").press("Enter")
            await at.page.wait_for_selector(
                f"th[aria-sort={'descending' if is_descending else 'ascending'}]:has-text('Symbol')"
            )
            symbols = await at.page.locator("tbody tr td:nth-child(4)").all_inner_texts()
            assert symbols == sorted(symbols, reverse=is_descending)
        await at.page.get_by_role("link", name="Symbol").focus()
        outline = await at.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"

        await at.go(f"/entities/order/{shown.orders[0].id}")
        await at.page.get_by_role("link", name="version 1", exact=True).press("Enter")
        await at.page.wait_for_selector("#state h2:has-text('version 1')")
        assert await at.page.evaluate("document.activeElement.id") == "state"
        assert at.complaints == []


async def test_a_rebuild_is_begun_and_its_proof_comes(browser: Browser, store: EventStore, shown: Inspected):
    """The button begins it, and the page shows the digest without a reload."""
    async with opened(browser, store, shown) as at:
        await at.go("/projection?name=orders")
        await at.page.get_by_role("button", name=re.compile("Rebuild")).press("Enter")
        await at.page.wait_for_selector("#rebuild:has-text('digest')")
        assert at.complaints == []


async def test_hostile_text_runs_nowhere(browser: Browser, store: EventStore, shown: Inspected):
    """Scripts in symbols, names and reasons are text, in the pages and in the plots."""
    text = "<img src=x onerror=alert(1)><script>alert(2)</script><a href='javascript:alert(3)'>x</a>"
    order = Order.create_market_order(
        text, Decimal(1), OrderSide.BUY, strategy=text, client_order_id=text, account=text
    )
    async with store.unit_of_work(actor=text, correlation_id=text, metadata={text: text}) as uow:
        await uow.orders.save_order(order)
    async with opened(browser, store, shown) as at:
        for path in ("/blotter/orders", "/events", f"/entities/order/{order.id}", f"/streams/{order.id}"):
            await at.go(path)
            assert await at.page.get_by_text("<script>alert(2)</script>").count()
            assert not await at.page.locator("main script, main img").count()
        assert at.complaints == []
