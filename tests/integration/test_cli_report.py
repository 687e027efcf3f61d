"""`eventstore report`: one file that needs nothing else, with the numbers of the reports, and text as text."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import shutil
import stat
import subprocess
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.cli.tear_sheets import write_in_another_process
from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError
from eventstore.tear_sheet import tear_sheet
from eventstore.testing.strategies import EPOCH
from tests.command_line import assert_not_found, assert_refused, run
from tests.conftest import url_of
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

D = Decimal
HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>&amp;\u2028{{7*7}}%{x}\x1b[2J"
SECTIONS = (
    "Equity",
    "Profit and loss by strategy",
    "Profit and loss by symbol",
    "Exposure",
    "Worst trades",
    "Fees",
)


class Page(HTMLParser):
    """What a browser would find in a page, without running it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        """Note its end."""
        self._in = ""

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.texts.append(data)


async def trade(
    store: EventStore,
    portfolio: Portfolio,
    symbol: str,
    prices: tuple[str, str],
    *,
    day: int,
    strategy: str,
    currency: str | None,
) -> None:
    """Buy 10 at one price and sell them at the other, an hour later."""
    at = EPOCH + timedelta(days=day)
    for side, price, when in (
        (OrderSide.BUY, prices[0], at),
        (OrderSide.SELL, prices[1], at + timedelta(hours=1)),
    ):
        order = Order.create_market_order(
            symbol,
            D(10),
            side,
            portfolio_id=portfolio.id,
            strategy=strategy,
            currency=currency,
            occurred_at=when,
        )
        order.submit(f"B-{order.id}", occurred_at=when)
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.book(order).fill(D(10), D(price), f"E-{order.id}", commission=D(1), occurred_at=when)


async def traded(
    store: EventStore,
    *,
    symbol: str = "ES",
    strategy: str = "revert",
    name: str = "main",
    currency: str | None = "USD",
) -> Portfolio:
    """A portfolio that won 100 in January and lost 50 in February, and paid 1 for each fill."""
    portfolio = Portfolio(
        name=name,
        initial_capital=D(10_000),
        currency="USD",
        strategy=strategy,
        created_at=EPOCH - timedelta(days=1),
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    await trade(store, portfolio, symbol, ("100", "110"), day=0, strategy=strategy, currency=currency)
    await trade(store, portfolio, symbol, ("110", "105"), day=40, strategy=strategy, currency=currency)
    return portfolio


def figures(html: str) -> dict[str, str]:
    """The names and values at the top of the page."""
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))


async def test_the_numbers(store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path):
    """Those of two trades, worked out by hand; each section is there."""
    await traded(store)
    file = tmp_path / "out.html"
    done = await asyncio.to_thread(run, "report", "--html", file, "--url", url_of(migrated_config))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"the tear sheet is in {file}\n", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    html = file.read_text(encoding="utf-8")
    assert [name for name in SECTIONS if f"<h2>{name}" not in html] == []
    shown = figures(html)
    assert shown["equity in USD"] == "10,046.00"
    assert shown["profit and loss in USD"] == "46.00"
    assert shown["return"] == "0.46%"
    assert shown["largest drawdown"] == f"52.00 ({52 / 10_098:.2%})"
    assert (shown["round trips"], shown["of them won"], shown["won / lost"]) == (
        "2",
        "50.00%",
        f"{98 / 52:.2f}",
    )
    months = re.search(r"<caption>Returns by month.*?</table>", html, re.DOTALL)
    assert months
    cells = re.findall(r"<td[^>]*>(.*?)</td>", months[0])
    assert (cells[0], cells[1], cells[2], cells[13]) == (
        f"{EPOCH.year}",
        "0.98%",
        f"{-52 / 10_098:.2%}",
        "0.46%",
    )
    fees = re.search(r"<caption>Commissions by month.*?</table>", html, re.DOTALL)
    assert fees
    assert re.findall(r"<td[^>]*>(.*?)</td>", fees[0])[:6] == [
        f"{EPOCH:%Y-%m}", "USD", "2,100.00", "2.00", f"{2 / 2100 * 10_000:.2f}", "2.00%",
    ]  # fmt: skip


async def test_an_instrument_without_a_currency(store: EventStore):
    """Its round trips and fees are those of the portfolio's currency."""
    await traded(store, currency=None)
    html = await tear_sheet(store)
    shown = figures(html)
    assert (shown["round trips"], shown["of them won"]) == ("2", "50.00%")
    fees = re.search(r"<caption>Commissions by month.*?</table>", html, re.DOTALL)
    assert fees
    assert re.findall(r"<td[^>]*>(.*?)</td>", fees[0])[1:5] == [
        "USD", "2,100.00", "2.00", f"{2 / 2100 * 10_000:.2f}",
    ]  # fmt: skip


async def test_filters(store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path):
    """A portfolio by its name, a period, and a point in time; what is wrong is one line, and no file."""
    portfolio = await traded(store)
    await traded(store, name="other", strategy="other", symbol="NQ")
    file = tmp_path / "out.html"
    to = ("--url", url_of(migrated_config))

    async def shown(*options: Any) -> dict[str, str]:
        done = await asyncio.to_thread(run, "report", "--html", file, *options, *to)
        assert done.returncode == 0, done.stderr
        return figures(file.read_text(encoding="utf-8"))

    assert (await shown())["equity in USD"] == "20,092.00"
    assert (await shown("--portfolio", "main"))["equity in USD"] == "10,046.00"
    february = await shown(
        "--portfolio", str(portfolio.id)[:30], "--from", f"{EPOCH + timedelta(days=20):%Y-%m-%d}"
    )
    assert february["profit and loss in USD"] == "-52.00"
    assert february["return"] == f"{-52 / 10_098:.2%}"
    early = f"{EPOCH + timedelta(days=20):%Y-%m-%d}"
    assert (await shown("--strategy", "revert", "--as-of", early, "--clock", "occurred"))[
        "round trips"
    ] == "1"
    file.unlink()
    refused = await asyncio.to_thread(run, "report", "--html", file, "--as-of", "noon", *to)
    assert_refused(refused, "is not a time")
    assert_not_found(
        await asyncio.to_thread(run, "report", "--html", file, "--portfolio", "x", *to), "no portfolio 'x'"
    )
    nowhere = await asyncio.to_thread(run, "report", "--html", tmp_path / "no" / "out.html", *to)
    assert_refused(nowhere, "cannot be written")
    assert_refused(await asyncio.to_thread(run, "report", *to), "--html")
    assert not file.exists()


async def test_an_empty_log(store: EventStore):
    """A store without events has a page that says so."""
    html = await tear_sheet(store)
    assert "There is nothing." in html
    assert Page(html).scripts


async def test_text_is_never_html(store: EventStore):
    """Names of portfolios, symbols and strategies are texts: in tables, in headings and in the JSON of the plots."""
    await traded(store, symbol=HOSTILE, strategy=HOSTILE, name=HOSTILE)
    html = await tear_sheet(store, title=HOSTILE)
    page = Page(html)
    assert len(page.scripts) == 3
    assert {"img", "a", "iframe"} & {tag for tag, _ in page.tags} == set()
    assert "alert('x')" not in "".join(page.scripts[1:])
    assert (
        sum(r"</script><script>alert('x')</script><img src=x onerror=alert(1)>" in one for one in page.texts)
        >= 5
    )
    assert "\x1b" not in html
    assert "</" not in page.scripts[0]
    drawn = json.loads(page.scripts[0])
    labels = [text for plot in drawn for text in plot["layout"].get("yaxis", {}).get("ticktext", [])]
    assert labels
    assert all("<" not in text for text in labels)
    assert "49" not in "".join(page.texts[:4])


async def test_the_file_needs_nothing_else(store: EventStore):
    """No element names another file or address, and a browser that obeys its policy asks for none and runs only its scripts."""
    await traded(store)
    page = Page(await tear_sheet(store))
    assert [
        (tag, a) for tag, a in page.tags if {"src", "href", "action", "data"} & a.keys() or tag == "link"
    ] == []
    assert [a for _, a in page.tags if any(name.startswith("on") for name in a)] == []
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "http" not in policy


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
@pytest.mark.parametrize("hostile", [False, True])
async def test_a_browser_draws_it(store: EventStore, tmp_path: Path, hostile: bool):
    """Each plot is drawn under the policy of the page, and hostile names run nothing."""
    await traded(store, **(dict.fromkeys(("symbol", "strategy", "name"), HOSTILE) if hostile else {}))
    file = tmp_path / "page.html"
    file.write_text(await tear_sheet(store), encoding="utf-8")
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=5000",
    ]
    browsed = await asyncio.to_thread(
        subprocess.run,
        ["chromium", *arguments, "--enable-logging=stderr", "--dump-dom", f"file://{file}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    plots = len(re.findall(r'<div class="plot', browsed.stdout)) or browsed.stdout.count('id="plot-')
    assert plots >= 5
    assert len(re.findall(r'class="main-svg"', browsed.stdout)) >= plots
    assert "Content Security Policy" not in browsed.stderr
    assert "CONSOLE" not in browsed.stderr, browsed.stderr
    assert "<img" not in browsed.stdout


async def test_without_the_extra(store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path):
    """The line says what to install."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jinja2.py").write_text("raise ModuleNotFoundError('no jinja2', name='jinja2')")
    done = await asyncio.to_thread(
        run,
        "report",
        "--html",
        tmp_path / "x.html",
        "--url",
        url_of(migrated_config),
        env={"PYTHONPATH": str(hidden)},
    )
    assert_refused(done, "pip install 'trading-eventstore[report]'")


async def test_a_file_that_cannot_be_written_is_refused_before_the_log_is_read(
    migrated_config: DatabaseConfig, tmp_path: Path
):
    """A folder, and a file in a folder that does not exist: one line, no database needed."""
    for file, said in ((tmp_path, "it is a folder"), (tmp_path / "none" / "out.html", "there is no folder")):
        done = await asyncio.to_thread(
            run, "report", "--html", file, "--url", "postgresql://nobody:1@127.0.0.1:1/x"
        )
        assert_refused(done, said)


async def test_another_process_writes_the_same_page(
    store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path
):
    """The page is that of this process; what keeps the other one from writing it is raised here."""
    await traded(store)
    file = tmp_path / "page.html"
    await write_in_another_process(migrated_config, file, title="Beside")
    assert file.read_text(encoding="utf-8") == await tear_sheet(store, title="Beside")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await write_in_another_process(migrated_config, tmp_path / "none" / "page.html")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("way", ["killed", "cancelled"])
async def test_another_process_that_does_not_finish(
    migrated_config: DatabaseConfig, tmp_path: Path, way: str
):
    """If it is killed, an error says so; if the call is cancelled, it ends too. There is no file."""
    file = tmp_path / "page.html"
    writing = asyncio.create_task(write_in_another_process(migrated_config, file))
    await until(lambda: bool(multiprocessing.active_children()))
    (process,) = multiprocessing.active_children()
    if way == "killed":
        process.kill()
        with pytest.raises(ConfigurationError, match="its process has ended"):
            await writing
    else:
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert multiprocessing.active_children() == []
    assert not file.exists()
