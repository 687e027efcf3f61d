"""The book as of any moment: positions, cash and result follow the slider, and the equity curve is above it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.database.access import read_rows
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSummary, summarize
from eventstore.domain.position import Position
from eventstore.errors import DomainError, EventStoreError
from eventstore.replay.equity import Clock, EquityCurve
from eventstore.store import EventStore
from eventstore.ui.pages import (
    Inspector,
    Parameters,
    inspector_of,
    json_answer,
    parameters_of,
    render,
    status_of,
    while_connected,
)
from eventstore.ui.rendering import moment

CLOCKS = ("occurred_at", "recorded_at", "position")
"""What the slider moves along: what was true, what was known, or the log itself."""

_PORTFOLIOS_MAX = 200
_POSITIONS_MAX = 200
_POINTS_MAX = 2_000  # a plot is at most this many pixels wide
_CURVE_KEPT_S = 10.0  # a curve of a log that grows is drawn anew not more often than this
_CURVES_MAX = 8
_RECENT_EVENTS = 1_000  # the latest of so many is about the end of the slider
_REPLY_HEADER = "Server-Timing"


@dataclass(frozen=True, slots=True)
class Book:
    """A portfolio and its open positions as of one moment.

    Attributes:
        point: The moment in words.
        portfolio: The portfolio; None if it did not exist.
        summary: Its sums; None without the portfolio, or if they need a rate.
        why_no_summary: Why there are none; None if there are.
        positions: Its open positions, at most `_POSITIONS_MAX`.
        positions_left_out: The number of the others.
        answered_s: How long the answer took.
    """

    point: str
    portfolio: Portfolio | None
    summary: PortfolioSummary | None
    why_no_summary: str | None
    positions: Sequence[Position]
    positions_left_out: int
    answered_s: float


@dataclass(slots=True)
class _Curve:
    """A curve that was read, as points of the plot."""

    generation: int
    head: int
    read_s: float
    points: dict[str, Any]


async def page(request: Request) -> Response:
    """Show the slider and the book at its place."""
    inspector, given = inspector_of(request), parameters_of(request)
    portfolios = await _portfolios(inspector.store)
    chosen = await _chosen(inspector, given, portfolios)
    if chosen is None:
        return render(request, "time.html", chosen=None, portfolios=[])
    clock = given.choice("clock", CLOCKS)
    begin, end = await _span(inspector.store, chosen, clock)
    at = _at(given, clock)
    at = end if at is None else at
    rates, known = given.rates("rates", inspector.rates)
    book = await read_book(inspector.store, chosen.id, clock, at, known)
    return render(
        request,
        "time.html",
        portfolios=portfolios,
        chosen=chosen,
        clock=clock,
        begin=begin,
        end=end,
        at=at,
        rates=rates,
        book=book,
    )


async def book(request: Request) -> Response:
    """Return the part of the page that follows the slider."""
    given = parameters_of(request)
    clock = given.choice("clock", CLOCKS)
    portfolio_id, at = given.id("portfolio"), _at(given, clock)
    if portfolio_id is None or at is None:
        raise HTTPException(400, "portfolio and at are needed.")
    inspector = inspector_of(request)
    _, rates = given.rates("rates", inspector.rates)
    found = await while_connected(request, read_book(inspector.store, portfolio_id, clock, at, rates))
    answer = render(request, "book.html", book=found, at=at, clock=clock)
    answer.headers[_REPLY_HEADER] = f"store;dur={found.answered_s * 1000:.1f}"
    return answer


async def equity(request: Request) -> Response:
    """Return the equity curve for the plot, in at most `_POINTS_MAX` points that keep each peak and trough."""
    inspector, given = inspector_of(request), parameters_of(request)
    portfolio_id, clock = given.id("portfolio"), given.choice("clock", CLOCKS)
    if portfolio_id is None:
        raise HTTPException(400, "portfolio is needed.")
    if clock == "position":
        return json_answer({"at": [], "equity": [], "why": "By position there is no curve: choose a time."})
    _, rates = given.rates("rates", inspector.rates)
    try:
        return json_answer(await _curve(inspector, portfolio_id, clock, rates))  # type: ignore[arg-type]  # it is one of the two clocks
    except DomainError as error:
        return json_answer({"at": [], "equity": [], "why": str(error)})
    except EventStoreError as error:
        raise HTTPException(status_of(error), str(error)) from error


async def read_book(
    store: EventStore, portfolio_id: UUID, clock: str, at: datetime | int, rates: Mapping[str, Decimal]
) -> Book:
    """Return a portfolio and its open positions as of a moment; sums are in its currency, at the rates.

    Raises:
        ConfigurationError: The position is beyond the end of the log.
        ConnectionError, TimeoutError: Safe to retry.
    """
    began_s = time.perf_counter()
    moment_of: Mapping[str, Any] = {clock: at}
    async with store.as_of(**moment_of) as past:
        portfolio = await past.portfolios.get_portfolio_by_id(portfolio_id)
        opened = [] if portfolio is None else await past.positions.get_active_positions()
    positions = [one for one in opened if one.portfolio_id == portfolio_id]
    summary, why = _summary(portfolio, positions, rates)
    return Book(
        str(past.point),
        portfolio,
        summary,
        why,
        positions[:_POSITIONS_MAX],
        max(0, len(positions) - _POSITIONS_MAX),
        time.perf_counter() - began_s,
    )


def _summary(
    portfolio: Portfolio | None, positions: Sequence[Position], rates: Mapping[str, Decimal]
) -> tuple[PortfolioSummary | None, str | None]:
    if portfolio is None:
        return None, None
    try:
        return summarize(portfolio, positions, rates=rates), None
    except DomainError as error:  # amounts of several currencies need rates
        return None, str(error)


# ---- what is chosen --------------------------------------------------------------------------------------------


async def _portfolios(store: EventStore) -> list[Portfolio]:
    async with store.unit_of_work() as uow:
        return list(await uow.portfolios.get_all_portfolios(limit=_PORTFOLIOS_MAX, quarantined="last_good"))


async def _chosen(
    inspector: Inspector, given: Parameters, portfolios: Sequence[Portfolio]
) -> Portfolio | None:
    portfolio_id = given.id("portfolio") or inspector.portfolio_id
    async with inspector.store.unit_of_work() as uow:
        if portfolio_id is not None:
            found = await uow.portfolios.get_portfolio_by_id(portfolio_id)
            if found is None:
                raise HTTPException(404, f"There is no portfolio {portfolio_id}.")
            return found
        return await uow.portfolios.get_current_portfolio() if portfolios else None


def _at(given: Parameters, clock: str) -> datetime | int | None:
    return given.position("at") if clock == "position" else given.time("at")


async def _span(store: EventStore, portfolio: Portfolio, clock: str) -> tuple[datetime | int, datetime | int]:
    """Return where the slider begins and ends."""
    if clock == "position":
        return 0, await store.log.head()
    first = (await store.log.read_stream(portfolio.id, limit=1))[0]
    begin: datetime = getattr(first, clock)
    recent = (await read_rows(store.connection, "log/recent", _RECENT_EVENTS, 0.0))[0]
    end: datetime = max(begin, recent[f"last_{clock}"] or begin)
    if clock == "occurred_at":  # any earlier event may have occurred later
        later = (await read_rows(store.connection, "log/last_occurred_at", end))[0]
        end = later["last_occurred_at"] or end
    return begin, end


# ---- the curve -------------------------------------------------------------------------------------------------


async def _curve(
    inspector: Inspector, portfolio_id: UUID, clock: Clock, rates: Mapping[str, Decimal]
) -> dict[str, Any]:
    """Return the points of the plot; kept while the log has not grown, and for a short time if it has."""
    asked = (portfolio_id, clock, frozenset(rates.items()))
    kept: dict[tuple[Any, ...], _Curve] = inspector.caches.setdefault("curves", {})
    lock: asyncio.Lock = inspector.caches.setdefault("curves_lock", asyncio.Lock())
    async with lock:  # one at a time: each reads the whole history of the portfolio
        head = await inspector.store.log.head()
        server = inspector.store.log.server
        for one in [one for one, curve in kept.items() if curve.generation != server.generation]:
            del kept[one]
        generation = server.generation
        known = kept.get(asked)
        if known is not None and (known.head == head or time.monotonic() - known.read_s < _CURVE_KEPT_S):
            return known.points
        curve = await inspector.store.equity_curve(portfolio_id, clock=clock, rates=rates)
        points = await asyncio.to_thread(points_of, curve)  # the loop goes on
        while len(kept) >= _CURVES_MAX:
            del kept[next(iter(kept))]
        kept[asked] = _Curve(generation, head, time.monotonic(), points)
        return points


def points_of(curve: EquityCurve) -> dict[str, Any]:
    """Return the points of a plot, with each peak and trough of the curve."""
    points = list(curve)
    if len(points) > _POINTS_MAX:
        size = -(-len(points) * 2 // _POINTS_MAX)
        kept: list[Any] = []
        for begin in range(0, len(points), size):
            some = points[begin : begin + size]
            low, high = min(some, key=_equity), max(some, key=_equity)
            kept += sorted({low, high}, key=lambda point: point.at)
        points = [*kept, curve[-1]]
    return {
        "at": [moment(point.at) for point in points],
        "equity": [float(point.equity) for point in points],
        "points": len(curve),
        "why": "",
    }


def _equity(point: Any) -> Decimal:
    value: Decimal = point.equity
    return value


ROUTES = (
    Route("/time", page, name="time"),
    Route("/time/book", book, name="book"),
    Route("/time/equity", equity, name="equity"),
)
"""The addresses of this page."""
