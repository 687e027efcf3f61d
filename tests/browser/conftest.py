"""The Chromium of the system, the inspector that it opens, and axe, which checks accessibility."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore.ui import Token, inspector
from eventstore.ui.server import listen, serve
from tests.failing_projection import Spoilt
from tests.inspected_store import Inspected, inspected, quarantined, sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from eventstore.store import EventStore

ROOT = Path(__file__).resolve().parents[2]
AXE = "axe-core@4.14.1"
TOKEN = "the-token-of-the-browser"
# The script that draws also has maps; it makes a style for them, which the policy refuses, and the inspector has no maps.
_STYLE_OF_MAPS = "Applying inline style violates"


@dataclass
class Opened:
    """A page of the browser at an inspector.

    Attributes:
        page: The page.
        address: Where the inspector is.
        shown: What the store has.
        complaints: Errors of scripts, refusals of the policy, and requests to elsewhere.
    """

    page: Page
    address: str
    shown: Inspected
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Open a page, and wait until its plots are drawn."""
        await self.page.goto(f"{self.address}{path}")
        await self.page.wait_for_function(
            "() => [...document.querySelectorAll('[data-plot]')].every((plot) => plot.hidden || plot.querySelector('.main-svg'))"
        )


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """The browser; without one the test is skipped."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    playwright_api = pytest.importorskip("playwright.async_api")
    async with playwright_api.async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe, from npm; the test is skipped where it cannot be had."""
    folder = ROOT / "build" / "axe"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("there is no npm to install axe-core with")
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), AXE],
            capture_output=True,
            check=False,
            timeout=120,
        )
        if done.returncode or not script.exists():
            pytest.skip("npm cannot install axe-core")
    return script.read_text()


@asynccontextmanager
async def opened(
    browser: Browser, store: EventStore, shown: Inspected, *, scheme: Any = "light", width: int = 1600
) -> AsyncIterator[Opened]:
    """Serve the inspector of a store, and open it with its token."""
    stop = asyncio.Event()
    app = inspector(store, authenticate=Token(TOKEN), allow_operations=True, projections=[Spoilt()])
    listener = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = asyncio.create_task(serve(app, listener, stop=stop))
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await context.new_page()
    made = Opened(page, address, shown)

    def complain(kind: str, text: str) -> None:
        if _STYLE_OF_MAPS not in text:
            made.complaints.append(f"{kind}: {text}")

    page.on(
        "console",
        lambda message: (
            complain(message.type, message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: complain("error", str(error)))
    page.on("dialog", lambda dialog: complain("dialog", dialog.message))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:")) else complain("request", request.url)
        ),
    )
    try:
        await page.goto(f"{address}/?token={TOKEN}")
        yield made
    finally:
        await context.close()
        stop.set()
        await serving


@pytest_asyncio.fixture
async def shown(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Inspected:
    """A store with something on every page."""
    found = await inspected(store, days=3)
    await quarantined(store, monkeypatch)
    await sealed(store)
    return found
