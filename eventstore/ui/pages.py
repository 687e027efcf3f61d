"""What all pages share: the inspector of a request, rendering, and the parameters of an address."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import orjson
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from eventstore.core.event_codec import has_nul
from eventstore.core.registry import registry
from eventstore.errors import (
    ConfigurationError,
    ConnectionError,
    EntityNotFoundError,
    EventNotFoundError,
    KeyNotQuarantinedError,
    TimeoutError,
)
from eventstore.limits import COUNT_MAX, POSITION_MAX
from eventstore.replay.history import entity_class_of
from eventstore.reports.money import rates_in
from eventstore.ui.rendering import query

if TYPE_CHECKING:
    from eventstore.store import EventStore
    from eventstore.ui.access import Access
    from eventstore.ui.jobs import Jobs
    from projections import Projection

T = TypeVar("T")

_NOT_FOUND = (EntityNotFoundError, EventNotFoundError, KeyNotQuarantinedError)
_DISCONNECT_POLL_S = 0.1
_VERSION = version_of("trading-eventstore")

NAVIGATION = (
    ("overview", "Overview"),
    ("blotter", "Blotter"),
    ("time", "Time slider"),
    ("events", "Log"),
    ("causes", "Causes"),
    ("projections", "Projections"),
    ("evidence", "Evidence"),
)
"""The pages that each page links to: the name of the route, and the title."""


@dataclass(slots=True)
class Inspector:
    """What the pages of one inspector work with.

    Attributes:
        store: The store.
        access: Who may do what.
        projections: The projections whose code is known, by name.
        portfolio_id: The portfolio that the time slider shows first; None for the one that was created last.
        rates: The rates that the time slider begins with, as a text such as `EUR/USD=1.0842`.
        jobs: The work in the background.
        templates: The templates.
        caches: What a page keeps between requests, by the name of the page.
    """

    store: EventStore
    access: Access
    projections: Mapping[str, Projection[Any]]
    portfolio_id: UUID | None
    jobs: Jobs
    templates: Environment
    rates: str = ""
    caches: dict[str, Any] = field(default_factory=dict)


def inspector_of(request: Request) -> Inspector:
    """Return the inspector that serves a request."""
    found: Inspector = request.app.state.inspector
    return found


# ---- answers ---------------------------------------------------------------------------------------------------


def render(request: Request, template: str, *, status_code: int = 200, **values: Any) -> Response:
    """Return a page, or a part of one."""
    inspector = inspector_of(request)
    caller: str = getattr(request.state, "caller", "")

    def url(route: str, /, *, q: Mapping[str, Any] | None = None, **path: Any) -> str:
        return url_of(request, route, q=q, **path)

    html = inspector.templates.get_template(template).render(
        url=url,
        navigation=NAVIGATION,
        caller=caller,
        allow_operations=inspector.access.allow_operations,
        csrf_token=inspector.access.csrf_token(caller) if inspector.access.allow_operations else "",
        version=_VERSION,
        has_entity=lambda category: "/" not in category and entity_class_of(category, registry) is not None,
        **values,
    )
    return HTMLResponse(html, status_code)


def url_of(request: Request, route: str, /, *, q: Mapping[str, Any] | None = None, **path: Any) -> str:
    """Return the address of a route, wherever the inspector is mounted."""
    root = request.scope.get("root_path", "").rstrip("/")
    asked = query(**(q or {}))
    found = request.app.url_path_for(route, **{name: quote(str(one), safe="") for name, one in path.items()})
    return f"{root}{found}{f'?{asked}' if asked else ''}"


def redirect(request: Request, route: str, /, *, q: Mapping[str, Any] | None = None, **path: Any) -> Response:
    """Return the answer to a form: go to a page."""
    return RedirectResponse(url_of(request, route, q=q, **path), status_code=303)


def json_answer(value: Any) -> Response:
    """Return JSON for a script of the inspector."""
    return Response(orjson.dumps(value, default=str), media_type="application/json")


def status_of(error: Exception) -> int:
    """Return the status of the answer to an error of the store."""
    if isinstance(error, _NOT_FOUND):
        return 404
    if isinstance(error, ConnectionError | TimeoutError):
        return 503
    return 400 if isinstance(error, ConfigurationError) else 500


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work, and cancel it if the browser does not wait for it any more.

    Raises:
        HTTPException: 499: the browser has gone.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_DISCONNECT_POLL_S))[0]:
            if await request.is_disconnected():
                raise HTTPException(499, "The browser has gone.")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


# ---- parameters ------------------------------------------------------------------------------------------------


class Parameters:
    """The parameters of an address; a wrong one is answered with 400 and its name.

    Args:
        values: The values by name; an empty one counts as missing.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return a text; None if it is missing."""
        value = self._values.get(name, "").strip()
        if "\x00" in value:
            raise _wrong(name, "a text without NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _wrong(name, "a text") from None
        return value or None

    def number(self, name: str, *, most: int = COUNT_MAX) -> int | None:
        """Return a whole number from 0 on; None if it is missing."""
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and int(value) <= most):  # noqa: PLR2004 - a bigint
            raise _wrong(name, "a whole number from 0 on")
        return int(value)

    def position(self, name: str) -> int | None:
        """Return a position of the log, or 0; None if it is missing."""
        return self.number(name, most=POSITION_MAX - 1)

    def id(self, name: str) -> UUID | None:
        """Return an id; None if it is missing."""
        value = self.text(name)
        try:
            return None if value is None else UUID(value)
        except ValueError:
            raise _wrong(name, "an id, such as 0190d1f2-7c1e-7000-8000-000000000001") from None

    def time(self, name: str) -> datetime | None:
        """Return a time; None if it is missing. Without an offset it is in UTC, as all times of the inspector."""
        value = self.text(name)
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _wrong(name, "a time in UTC, such as 2026-03-02T15:59:59") from None

    def rates(self, name: str, default: str = "") -> tuple[str, dict[str, Decimal]]:
        """Return rates as they were written, separated by commas or spaces, and by currencies and pairs."""
        text = default if name not in self._values else self.text(name) or ""
        try:
            return text, rates_in("the rate", text.replace(",", " ").split())
        except ConfigurationError as error:
            raise HTTPException(400, f"{error}.") from None

    def json(self, name: str) -> str | None:
        """Return the text of a JSON object; None if it is missing."""
        value = self.text(name)
        if value is None:
            return None
        try:
            if isinstance(orjson.loads(value), dict) and not has_nul(value.encode()):
                return value
        except orjson.JSONDecodeError:
            pass
        raise _wrong(name, 'a JSON object, such as {"actor": "robot"}')

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some words; the first one if it is missing."""
        value = self.text(name)
        if value is None:
            return choices[0]
        if value not in choices:
            raise _wrong(name, f"one of {', '.join(choices)}")
        return value


def parameters_of(request: Request) -> Parameters:
    """Return the parameters of the address of a request."""
    return Parameters(request.query_params)


def id_in_path(request: Request, name: str) -> UUID:
    """Return an id that is part of the path."""
    try:
        return UUID(request.path_params[name])
    except ValueError:
        raise HTTPException(404, f"{request.path_params[name]!r} is not an id.") from None


def _wrong(name: str, wanted: str) -> HTTPException:
    return HTTPException(400, f"{name} must be {wanted}.")
