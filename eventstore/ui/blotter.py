"""The blotter: orders, fills, positions and portfolios, filtered, ordered by any column, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order, OrderStatus
from eventstore.domain.order_events import OrderFillBusted, OrderFillCorrected, OrderFilled
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.entity_names import find as find_named
from eventstore.errors import ConfigurationError
from eventstore.log.event_log import EventLog
from eventstore.ui.events import Found, Search, find
from eventstore.ui.pages import Parameters, inspector_of, parameters_of, redirect, render
from eventstore.ui.sorted_lists import (
    SECONDS_MAX,
    SORTS,
    Filter,
    Listed,
    Place,
    SlowListError,
    Sort,
    Span,
    list_page,
)

PAGE_ROWS = 50
"""The number of rows of a page."""

_TOGETHER_MAX = 1_000
_STATEMENTS_MAX = 40  # of which one that matches nothing takes a second

_NARROWED_BY = {
    "orders": "symbol, account or times",
    "positions": "symbol, state open, strategy, account, portfolio or times",
    "portfolios": "name or strategy",
}
"""What makes a list shorter before it is ordered."""

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_FILL_TYPES = tuple(one.type for one in (OrderFilled, OrderFillBusted, OrderFillCorrected))
_FILL_FIELDS = ("symbol", "side", "strategy", "account", "venue", "execution_id")


async def start(request: Request) -> Response:
    """Go to the orders."""
    return redirect(request, "orders")


async def orders(request: Request) -> Response:
    """Show orders."""
    given = parameters_of(request)
    return await _listed(
        request,
        "orders",
        Order,
        _order_filters(given, await _portfolio(request, given)),
        statuses=list(OrderStatus),
    )


async def positions(request: Request) -> Response:
    """Show positions."""
    given = parameters_of(request)
    return await _listed(
        request, "positions", Position, _position_filters(given, await _portfolio(request, given))
    )


async def portfolios(request: Request) -> Response:
    """Show portfolios."""
    given = parameters_of(request)
    return await _listed(request, "portfolios", Portfolio, _portfolio_filters(given))


async def fills(request: Request) -> Response:
    """Show fills, as the log has them: with those that the venue took back, and with the reports that did."""
    given = parameters_of(request)
    wanted = {name: value for name in _FILL_FIELDS if (value := given.text(name)) is not None}
    portfolio = await _portfolio(request, given)
    if portfolio is not None:
        wanted["portfolio_id"] = str(portfolio)
    search = Search(
        categories=["order"],
        types=_FILL_TYPES,
        data=orjson.dumps(wanted).decode() if wanted else None,
        occurred=(given.time("from"), given.time("through")),
    )
    log, before, after = inspector_of(request).store.log, given.position("before"), given.position("after")
    if given.choice("rows", ("page", "all")) == "all":
        found = await _together(log, search)
    else:
        found = await find(log, search, before=before, after=after)
    rows = [(row, _data(row)) for row in found.events]
    return render(
        request,
        "fills.html",
        found=found,
        rows=rows,
        asked=_asked(request),
        kind="fills",
        has_all=found.older is None and found.newer is None,
        together_max=_TOGETHER_MAX,
    )


async def _together(log: EventLog, search: Search) -> Found:
    """Return the newest matches, all of them if they are few and the log is searched to its beginning with so many statements."""
    found = await find(log, search)
    events = list(found.events)
    for _ in range(_STATEMENTS_MAX):
        if found.older is None or len(events) >= _TOGETHER_MAX:
            break
        found = await find(log, search, before=found.older)
        events += found.events
    return replace(found, events=events, newer=None)


def _data(row: Any) -> dict[str, Any]:
    """Return the fields of a fill; nothing of one whose JSON was cut or is no object."""
    if row["data_characters"] > len(row["data"]):
        return {}
    data = orjson.loads(row["data"])
    return data if isinstance(data, dict) else {}


async def _listed(
    request: Request,
    kind: str,
    entity: type[Any],
    filters: Sequence[Filter[Any]],
    **more: Any,
) -> Response:
    given = parameters_of(request)
    names = tuple(SORTS[entity])
    chosen = given.choice("sort", tuple(f"{sign}{name}" for name in names for sign in ("-", "")))
    sort, is_descending = chosen.removeprefix("-"), chosen.startswith("-")
    try:
        found: Listed[Any] = await list_page(
            inspector_of(request).store.log,
            entity,
            filters,
            sort=sort,
            is_descending=is_descending,
            after=_place(given, SORTS[entity][sort]),
            limit=PAGE_ROWS,
            span=_span(given),
        )
    except SlowListError:
        raise HTTPException(503, _slow(kind, sort, names[0])) from None
    return render(request, f"{kind}.html", found=found, asked=_asked(request), sort=chosen, kind=kind, **more)


def _slow(kind: str, sort: str, time_column: str) -> str:
    narrow = _NARROWED_BY[kind]
    if sort == time_column:
        return f"The server took longer than {SECONDS_MAX:.0f} s for this list: it is busy, or waits for a lock. Try it again."
    return (
        f"To order these {kind} by {sort.replace('_', ' ')} took longer than {SECONDS_MAX:.0f} s, because only the order of "
        f"time has an index. Narrow the list by {narrow}, or order it by {time_column.replace('_', ' ')}."
    )


def _place(given: Parameters, sort: Sort) -> Place | None:
    text = given.text("page")
    try:
        return None if text is None else Place.parse(text, sort)
    except ValueError:
        raise HTTPException(400, "page is no place in this list.") from None


def _asked(request: Request) -> dict[str, str]:
    return {
        name: value
        for name, value in request.query_params.items()
        if name not in {"page", "before", "after", "rows"}
    }


# ---- filters: the most selective one comes first -----------------------------------------------------------------


def _order_filters(given: Parameters, portfolio_id: UUID | None) -> list[Filter[Order]]:
    filters: list[Filter[Order]] = []
    client_id, broker_id = given.text("client_order_id"), given.text("broker_order_id")
    if client_id is not None:
        filters.append(
            Filter(
                "orders/by_client_order_id",
                (client_id,),
                lambda one: client_id in (one.client_order_id, *one.replaced_client_order_ids),
            )
        )
    if broker_id is not None:
        filters.append(
            Filter("orders/by_broker_order_id", (broker_id,), lambda one: broker_id in one.broker_order_ids)
        )
    filters += _equal(given, "parent_id", "orders/by_parent_id", is_id=True)
    filters += _equal(given, "list_id", "orders/by_list_id")
    filters += _equal(given, "symbol", "orders/by_symbol")
    status = given.text("status")
    if status == "active":
        filters.append(Filter("orders/active", (), lambda one: one.status in ACTIVE_ORDER_STATUSES))
    elif status is not None:
        try:
            wanted = OrderStatus(status)
        except ValueError:
            raise HTTPException(400, f"status must be active or one of {', '.join(OrderStatus)}.") from None
        filters.append(Filter("orders/by_status", (wanted.value,), lambda one: one.status is wanted))
    filters += _equal(given, "account", "orders/by_account")
    filters += _equal(given, "strategy", None)
    filters += _of("portfolio_id", portfolio_id, None)
    return _with_range(given, filters, "orders/by_creation", lambda one: one.created_at)


def _position_filters(given: Parameters, portfolio_id: UUID | None) -> list[Filter[Position]]:
    filters = [
        *_equal(given, "symbol", "positions/by_symbol"),
        *_of("portfolio_id", portfolio_id, "positions/by_portfolio"),
        *_equal(given, "strategy", "positions/by_strategy"),
        *_equal(given, "account", "positions/by_account"),
    ]
    state = given.choice("state", ("all", "open", "closed"))
    if state == "open":
        # Few positions are open, and a separate index has them.
        filters.insert(0, Filter("positions/active", (), lambda one: one.closed_at is None))
    elif state == "closed":
        filters.append(Filter("positions/closed", (), lambda one: one.closed_at is not None))
    return _with_range(given, filters, "positions/by_opening", lambda one: one.opened_at)


def _portfolio_filters(given: Parameters) -> list[Filter[Portfolio]]:
    filters = [
        *_equal(given, "name", "portfolios/by_name"),
        *_equal(given, "strategy", "portfolios/by_strategy"),
    ]
    return filters or [Filter("portfolios/all", (), lambda _: True)]


def _equal(given: Parameters, field: str, statement: str | None, *, is_id: bool = False) -> list[Filter[Any]]:
    """Return the condition that a field has the given value, if one is given."""
    return _of(field, given.id(field) if is_id else given.text(field), statement)


def _of(field: str, value: Any, statement: str | None) -> list[Filter[Any]]:
    """Return the condition that a field has a value, if there is one."""
    return [] if value is None else [Filter(statement, (value,), lambda one: getattr(one, field) == value)]


async def _portfolio(request: Request, given: Parameters) -> UUID | None:
    """Return the portfolio that is asked for: by its id, the beginning of it, or its name."""
    text = given.text("portfolio_id")
    try:
        return None if text is None else await find_named(inspector_of(request).store, text, "portfolio")
    except ConfigurationError as error:
        raise HTTPException(400, f"{error}.") from None


def _span(given: Parameters) -> Span | None:
    """Return the range of times that is asked for; None for all."""
    span = given.time("from") or _FIRST, given.time("through") or _LAST
    return None if span == (_FIRST, _LAST) else span


def _with_range(
    given: Parameters, filters: list[Filter[Any]], statement: str, time_of: Callable[[Any], datetime]
) -> list[Filter[Any]]:
    """Add the condition on the time; it comes first if no other one has a list, and is the only one without any."""
    span = _span(given)
    start, end = span or (_FIRST, _LAST)
    in_range: Filter[Any] = Filter(statement, (start, end), lambda one: start <= time_of(one) <= end)
    with_list = [one for one in filters if one.statement is not None]
    without = [one for one in filters if one.statement is None]
    if not with_list:
        return [in_range, *without]
    return [*with_list, *without, *([] if span is None else [in_range])]


ROUTES = (
    Route("/blotter", start, name="blotter"),
    Route("/blotter/orders", orders, name="orders"),
    Route("/blotter/fills", fills, name="fills"),
    Route("/blotter/positions", positions, name="positions"),
    Route("/blotter/portfolios", portfolios, name="portfolios"),
)
"""The addresses of this page."""
