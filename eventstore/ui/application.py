"""The application: the pages of the inspector, and what they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from eventstore.domain.money import RateTable
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.store import EventStore, built_in_projections
from eventstore.ui import blotter, causes, entities, events, evidence, overview, projections, time_slider
from eventstore.ui.access import LOOPBACK, Access, AccessMiddleware, Authenticate, Token
from eventstore.ui.jobs import Jobs
from eventstore.ui.pages import Inspector, render, status_of
from eventstore.ui.rendering import environment
from projections import Projection

_STATIC = {
    "inspector.css": "text/css",
    "inspector.js": "text/javascript",
    "plots.js": "text/javascript",
    "time_slider.js": "text/javascript",
}


def inspector(
    store: EventStore,
    *,
    authenticate: Authenticate | Token | None,
    allow_operations: bool = False,
    projections: Sequence[Projection[Any]] = (),
    portfolio: Portfolio | UUID | None = None,
    rates: Mapping[str, Decimal] | None = None,
    hosts: Collection[str] | None = LOOPBACK,
) -> ASGIApp:
    """Return the inspector of a store, an ASGI application: run it alone, or mount it in one of your own.

    It reads with the connections of the store and writes nothing, unless operations are allowed. It ends what it has begun when
    the store closes.

    Example:
        app = FastAPI()
        app.mount("/inspector", inspector(store, authenticate=name_of_user, hosts=["trading.example.com"]))

    Args:
        store: The store, open for as long as the application runs; in the event loop that serves the application.
        authenticate: Who may see it. A function that takes the request (Starlette's `HTTPConnection`) and returns the name of the
            caller, or None to refuse; it may be a coroutine function. Or a `Token`. Or None: whoever reaches the server may
            see everything.
        allow_operations: Whether callers may retry and discard keys in quarantine, rebuild tables and seal the log.
        projections: Your own projections, to retry, discard and rebuild them too; the built-in ones are known.
        portfolio: The portfolio that the time slider shows first; None for the one that was created last.
        rates: The rates at which the time slider turns amounts into the portfolio's currency, as for `EventStore.reports`; the
            page can change them.
        hosts: The names under which the server is reached, without ports: another Host header is refused. None for any
            name, if something in front of the application checks it.

    Raises:
        ConfigurationError: Two projections have one name.
        DomainError: `money.rate`: a rate is no decimal or below 0.
    """
    RateTable(rates)
    known = _by_name((*built_in_projections(), *projections))
    access = Access(authenticate, hosts=hosts, allow_operations=allow_operations)
    app = Starlette(
        routes=[
            Route("/static/{name}", _static, name="static"),
            *(route for page in _PAGES for route in page.ROUTES),
        ],
        middleware=[Middleware(AccessMiddleware, access=access)],
        exception_handlers={HTTPException: _refuse, EventStoreError: _fail},
    )
    jobs = Jobs()
    store.connection.at_close(jobs.stop)
    app.state.inspector = Inspector(
        store=store,
        access=access,
        projections=known,
        portfolio_id=portfolio.id if isinstance(portfolio, Portfolio) else portfolio,
        jobs=jobs,
        templates=environment(),
        rates=", ".join(f"{name}={rate:f}" for name, rate in (rates or {}).items()),
    )
    return app


_PAGES: tuple[Any, ...] = (overview, blotter, entities, time_slider, causes, events, projections, evidence)


def _by_name(given: Iterable[Projection[Any]]) -> dict[str, Projection[Any]]:
    known: dict[str, Projection[Any]] = {}
    for one in given:
        if known.setdefault(one.name, one) is not one:
            raise ConfigurationError(f"two projections have the name {one.name}")
    return known


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    # The address has the version of its file, so a browser may keep it.
    kept = {"Cache-Control": "private, max-age=86400"}
    if name == "plotly.min.js":
        found = Path(str(files("plotly") / "package_data" / name))
        return FileResponse(found, media_type="text/javascript", headers=kept)
    if name not in _STATIC:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(Path(__file__).with_name("static") / name, media_type=_STATIC[name], headers=kept)


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _told(request, status, error.detail if isinstance(error, HTTPException) else "")


async def _fail(request: Request, error: Exception) -> Response:
    return _told(request, status_of(error), str(error))


def _told(request: Request, status: int, what: str) -> Response:
    is_part = "x-part" in request.headers
    return render(request, "error_part.html" if is_part else "error.html", status_code=status, what=what)
