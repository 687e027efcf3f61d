"""The inspector of a store without a network, and the addresses of all its pages."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from eventstore.ui import inspector
from tests.failing_projection import Spoilt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.store import EventStore
    from tests.inspected_store import Inspected

HOST = "http://localhost:8765"


@asynccontextmanager
async def browsing(
    store: EventStore, *, base_url: str = HOST, authenticate: Any = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the inspector of a store."""
    app = inspector(store, authenticate=authenticate, projections=[Spoilt()], **options)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        yield client


async def job_of(client: httpx.AsyncClient, name: str) -> None:
    """Wait until a job of the inspector is over."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    job = transport.app.state.inspector.jobs.get(name)  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        await job.task


def addresses(store: Inspected) -> dict[str, list[str]]:
    """The addresses of the pages by the names of their routes: all that a GET can ask for."""
    order, portfolio, position = store.orders[0].id, store.portfolio.id, store.position_id
    return {
        "overview": ["/"],
        "overview_live": ["/overview/live"],
        "blotter": ["/blotter"],
        "orders": [
            "/blotter/orders",
            "/blotter/orders?sort=created_at&symbol=AAPL&status=FILLED&strategy=momentum",
            "/blotter/orders?client_order_id=C-0-0&broker_order_id=B-0-0&account=ACC-1&status=active",
            f"/blotter/orders?portfolio_id={portfolio}&from=2026-03-02&through=2026-03-04",
        ],
        "fills": [
            "/blotter/fills",
            f"/blotter/fills?symbol=AAPL&side=BUY&portfolio_id={portfolio}&before=100",
            "/blotter/fills?after=3&account=ACC-1&execution_id=E-0-0&from=2026-03-02T14:00:00Z",
        ],
        "positions": [
            "/blotter/positions",
            "/blotter/positions?state=open&sort=-unrealized_pnl",
            f"/blotter/positions?state=closed&symbol=AAPL&portfolio_id={portfolio}&account=ACC-1",
        ],
        "portfolios": [
            "/blotter/portfolios",
            "/blotter/portfolios?name=Main&strategy=momentum&sort=cash_balance",
        ],
        "entity": [
            f"/entities/order/{order}",
            f"/entities/position/{position}?version=2&through=3",
            f"/entities/portfolio/{portfolio}",
        ],
        "entity_state": [f"/entities/order/{order}/state/1"],
        "entity_line_of_time": [f"/entities/order/{order}/line-of-time"],
        "difference": [
            f"/entities/order/{order}/difference?a=1&b=2",
            f"/entities/order/{order}/difference?a=0&b=2099-01-01",
        ],
        "time": [
            "/time",
            f"/time?portfolio={portfolio}&clock=position&at=40",
            f"/time?portfolio={portfolio}&clock=recorded_at",
        ],
        "book": [
            f"/time/book?portfolio={portfolio}&at=2026-03-03T15:00:00Z",
            f"/time/book?portfolio={portfolio}&clock=position&at=0",
        ],
        "equity": [
            f"/time/equity?portfolio={portfolio}",
            f"/time/equity?portfolio={portfolio}&clock=recorded_at",
            f"/time/equity?portfolio={portfolio}&clock=position",
        ],
        "causes": ["/causes", f"/causes?id={quote(store.correlation_id)}"],
        "events": [
            "/events",
            "/events?category=order,position&type=OrderCreated&before=50",
            '/events?after=3&metadata={"actor":"robot"}&data={"symbol":"AAPL"}',
            "/events?clock=occurred&from=2026-03-02&through=2026-03-03",
        ],
        "event": ["/events/1"],
        "event_by_id": [],
        "stream": [f"/streams/{order}", f"/streams/{order}?after=1"],
        "search": ["/search?id=3", f"/search?id={order}", "/search?id=C-0-0", "/search"],
        "projections": ["/projections"],
        "projection": ["/projection?name=orders", "/projection?name=spoilt"],
        "rebuild_progress": ["/projection/progress?name=orders"],
        "evidence": ["/evidence", "/evidence?before=2"],
        "verify": ["/evidence/verify"],
        "verification": ["/evidence/verification"],
        "proof": ["/evidence/proof?event=1"],
        "static": ["/static/inspector.css", "/static/inspector.js", "/static/plotly.min.js"],
    }


class Page(HTMLParser):
    """What a browser makes of a page.

    Attributes:
        tags: Each start tag with its attributes.
        text: The text between the tags.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.text += data

    def links(self) -> list[str]:
        """Where its links lead."""
        return [
            attributes["href"] or "" for tag, attributes in self.tags if tag == "a" and "href" in attributes
        ]

    def value_of(self, name: str) -> str:
        """The value of the first field of a form with a name."""
        return next(
            attributes["value"] or ""
            for tag, attributes in self.tags
            if tag == "input" and attributes.get("name") == name
        )
