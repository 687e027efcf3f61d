"""`orders`, `fills`, `positions`, `portfolios`, `pnl`, `equity` and `trades`: the reports, as tables, JSON or CSV."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer

from eventstore.cli import ids
from eventstore.cli.asked import Asked, Base, Limit, Rates, SessionEnd, rates_of, with_report_options
from eventstore.cli.output import TextTable, is_terminal, live, say_csv, say_json, show_table, waiting
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.domain.order import OrderStatus
from eventstore.errors import EntityNotFoundError
from eventstore.reports import Report
from eventstore.store import EventStore

_Read = Callable[..., Awaitable[Report]]

_USUAL: dict[str, tuple[str, ...]] = {
    "orders": (
        "created_at", "order_id", "client_order_id", "symbol", "side", "order_type", "status", "quantity", "limit_price",
        "filled_quantity", "average_fill_price", "strategy",
    ),
    "fills": (
        "occurred_at", "symbol", "side", "quantity", "price", "value", "currency", "commission", "commission_currency",
        "execution_id", "order_id", "strategy", "status",
    ),
    "positions": (
        "opened_at", "position_id", "symbol", "side", "quantity", "average_price", "mark", "unrealized_pnl", "realized_pnl",
        "commission", "other_commissions", "total_pnl", "currency", "strategy", "closed_at",
    ),
    "portfolios": (
        "portfolio_id", "name", "currency", "equity", "cash", "realized_pnl", "unrealized_pnl", "income", "commission",
        "total_pnl", "total_return", "open_positions", "trades", "winning_trades",
    ),
    "trades": (
        "closed_at", "position_id", "symbol", "side", "quantity", "entry_price", "exit_price", "holding_time",
        "realized_pnl", "commission", "other_commissions", "net_pnl", "mae", "mfe", "currency", "strategy",
    ),
}  # fmt: skip
"""The columns of a table; the others are in JSON, in CSV, and with `--columns`. Reports that are not here show all."""

_ALL = "all"
_ID_DIGITS_MIN = 8
_LINES_AROUND_ROWS = 4

_Orders = Annotated[
    list[str] | None,
    typer.Argument(metavar="ORDER", help="Only these orders. " + ids.ID_HELP),
]
_Positions = Annotated[
    list[str] | None,
    typer.Argument(metavar="POSITION", help="Only these positions: ids, or beginnings of ids."),
]


class Which(StrEnum):
    """Which positions to list."""

    OPEN = "open"
    CLOSED = "closed"
    ALL = "all"


class Every(StrEnum):
    """How often to show the equity."""

    EVENT = "event"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# ---- commands --------------------------------------------------------------------------------------------------


@with_report_options()
def orders(
    asked: Asked,
    *,
    order: _Orders = None,
    status: Annotated[
        OrderStatus | None, typer.Option("--status", help="Only orders in this status.", case_sensitive=False)
    ] = None,
    active: Annotated[bool, typer.Option("--active", help="Only orders that may still trade.")] = False,
    limit: Limit = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """List orders, by the time at which they were created."""

    async def read(store: EventStore, **filters: Any) -> Report:
        some = await _orders_named(store, order, filters)
        report = await store.reports.orders(status=status, active=active, limit=limit, **filters)
        return report if some is None else report.where(lambda row: row["order_id"] in some)

    _report(asked, read, url, data)


@with_report_options()
def fills(
    asked: Asked,
    *,
    order: _Orders = None,
    taken_back: Annotated[
        bool, typer.Option("--taken-back", help="Also fills that the venue has busted or corrected.")
    ] = False,
    limit: Limit = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """List fills, one row for each execution, by the time at which they occurred."""

    async def read(store: EventStore, **filters: Any) -> Report:
        some = await _orders_named(store, order, filters, by_creation=False)
        report = await store.reports.fills(
            taken_back=taken_back, limit=limit if some is None else None, **filters
        )
        return report if some is None else report.where(lambda row: row["order_id"] in some).last(limit)

    _report(asked, read, url, data)


@with_report_options()
def positions(
    asked: Asked,
    *,
    position: _Positions = None,
    which: Annotated[
        Which | None, typer.Option("--which", help="Which positions. Default: those that are open.")
    ] = None,
    limit: Limit = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """List positions with their marks and results, by the time at which they were opened."""

    async def read(store: EventStore, **filters: Any) -> Report:
        some = await _positions_named(store, position)
        chosen = which or (Which.OPEN if some is None else Which.ALL)
        report = await store.reports.positions(
            which=chosen.value, limit=limit if some is None else None, **filters
        )
        return report if some is None else report.where(lambda row: row["position_id"] in some).last(limit)

    _report(asked, read, url, data)


@with_report_options(without=("symbol", "account", "since", "until", "portfolio"))
def portfolios(
    asked: Asked,
    *,
    portfolio: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PORTFOLIO",
            help="Only these portfolios: ids, beginnings of ids, or names.",
        ),
    ] = None,
    rate: Rates = None,
    base: Base = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """List portfolios with their equity, cash, results and exposure."""
    rates = rates_of(rate)

    async def read(store: EventStore, **filters: Any) -> Report:
        some = {str(await ids.find(store, one, "portfolio")) for one in portfolio or ()}
        report = await store.reports.portfolios(rates=rates, base=base, **filters)
        return report.where(lambda row: row["portfolio_id"] in some) if some else report

    _report(asked, read, url, data)


@with_report_options()
def pnl(
    asked: Asked,
    *,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="NAMES",
            help="One row for each: hour, day, week or month; symbol, strategy, portfolio, currency; several separated by "
            "commas.",
        ),
    ] = "day",
    session_end: SessionEnd = None,
    rate: Rates = None,
    base: Base = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show profit and loss: realized, the change of the unrealized, income and commission."""
    options: dict[str, Any] = {
        "by": [one.strip() for one in by.split(",")],
        "timezone": asked.zone,
        "session_end": session_end,
        "rates": rates_of(rate),
        "base": base,
    }
    _report(asked, lambda store, **filters: store.reports.pnl(**options, **filters), url, data)


@with_report_options(without=("symbol", "account"))
def equity(
    asked: Asked,
    *,
    every: Annotated[
        Every, typer.Option("--every", help="One row at the end of each, or for each event.")
    ] = Every.DAY,
    session_end: SessionEnd = None,
    rate: Rates = None,
    base: Base = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show the equity of portfolios over time, and what of it is capital and what is profit."""
    options: dict[str, Any] = {
        "every": None if every is Every.EVENT else every.value,
        "timezone": asked.zone,
        "session_end": session_end,
        "rates": rates_of(rate),
        "base": base,
    }
    _report(asked, lambda store, **filters: store.reports.equity(**options, **filters), url, data)


@with_report_options()
def trades(
    asked: Asked,
    *,
    position: _Positions = None,
    limit: Limit = None,
    rate: Rates = None,
    base: Base = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """List round trips, one row for each position that was closed: entry, exit, holding time and result."""
    rates = rates_of(rate)

    async def read(store: EventStore, **filters: Any) -> Report:
        some = await _positions_named(store, position)
        report = await store.reports.trades(
            limit=limit if some is None else None, rates=rates, base=base, **filters
        )
        return report if some is None else report.where(lambda row: row["position_id"] in some).last(limit)

    _report(asked, read, url, data)


# ---- reading ---------------------------------------------------------------------------------------------------


async def _orders_named(
    store: EventStore, names: Sequence[str] | None, filters: dict[str, Any], *, by_creation: bool = True
) -> set[str] | None:
    """Return the ids of the named orders, None for all; narrow the filters, so that few other orders are read.

    Raises:
        NotFoundError, EntityNotFoundError, ConfigurationError: A name is not that of one order.
    """
    if not names:
        return None
    found = []
    for name in names:
        order_id = await ids.find(store, name, "order")
        async with store.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
        if order is None:
            raise EntityNotFoundError(order_id, category="order")
        found.append(order)
    if by_creation and filters.get("from_") is None and filters.get("to") is None:
        filters["from_"] = min(one.created_at for one in found)
        filters["to"] = max(one.created_at for one in found) + timedelta(microseconds=1)
    if len({one.symbol for one in found}) == 1 and filters.get("symbol") is None:
        filters["symbol"] = found[0].symbol
    return {str(one.id) for one in found}


async def _positions_named(store: EventStore, names: Sequence[str] | None) -> set[str] | None:
    """Return the ids of the named positions; None for all."""
    return {str(await ids.find(store, name, "position")) for name in names} if names else None


def _report(asked: Asked, read: _Read, url: str | None, data: Any) -> None:
    with configuration(url, data) as config:
        asyncio.run(_show(config, asked, read))


async def _show(config: DatabaseConfig, asked: Asked, read: _Read) -> None:
    async with EventStore.open(config, workers=False) as store:
        filters = dict(asked.filters)
        if asked.portfolio is not None:
            filters["portfolio"] = await ids.find(store, asked.portfolio, "portfolio")
        if asked.watch_s is not None:
            await _watch(store, asked, lambda: read(store, **filters), asked.watch_s)
        with waiting("reading the log"):
            report = await read(store, **filters)
        _say(asked, report)


# ---- showing ---------------------------------------------------------------------------------------------------


def _say(asked: Asked, report: Report) -> None:
    """Print a report once."""
    if asked.as_json:
        for line in _json_lines(asked, report):
            say_json(line)
    elif asked.as_csv:
        say_csv(_selected(asked, report).to_csv())
    else:
        show_table(table_of(report, asked))


async def _watch(
    store: EventStore, asked: Asked, read: Callable[[], Awaitable[Report]], interval_s: float
) -> None:
    """Show a report whenever the log has grown, or is that of another server, until cancelled."""
    shown: tuple[int, int, Any] | None = None
    on_terminal = is_terminal() and not asked.as_json
    with live() as show_now:
        while True:
            head, size = await store.log.head(), shutil.get_terminal_size() if on_terminal else None
            state = (head, store.log.server.generation, size)
            if state != shown:
                shown = state
                report = await read()
                if on_terminal:
                    show_now([_fitting(report, asked, *shutil.get_terminal_size())])
                elif asked.as_json:
                    say_json(f"[{','.join(_json_lines(asked, report))}]")
                else:
                    show_table(table_of(report, asked))
            await asyncio.sleep(interval_s)


def _fitting(report: Report, asked: Asked, width: int, height: int) -> TextTable:
    """Return the table of the last rows that fit a terminal."""
    table = table_of(report, asked, rows_max=max(1, height - _LINES_AROUND_ROWS))
    lines = len(table.lines(width))
    if lines < height:
        return table
    # Each row is a record of several lines.
    shown = min(len(report), max(1, height - _LINES_AROUND_ROWS))
    return table_of(report, asked, rows_max=max(1, (height - 1) * shown // lines))


def _json_lines(asked: Asked, report: Report) -> list[str]:
    return [orjson.dumps(row).decode() for row in orjson.loads(_selected(asked, report).to_json())]


def _selected(asked: Asked, report: Report) -> Report:
    """Return a report with the columns that were asked for; by default all of them."""
    return report if asked.columns in {(), (_ALL,)} else report.select(*asked.columns)


def table_of(
    report: Report, asked: Asked | None = None, *, title: str | None = None, rows_max: int | None = None
) -> TextTable:
    """Return a report as a table of texts.

    A usual column that is empty in every row is left out. On a terminal, an id is shortened to a beginning that no other
    id of its column has.

    Args:
        report: The report.
        asked: What was asked for; None for the usual columns and UTC.
        title: The line above the table; None to say what the rows are.
        rows_max: Show only so many rows, the last ones.
    """
    asked = asked or Asked()
    rows = len(report)
    if rows_max is not None:
        report = report.last(rows_max)
    chosen = asked.columns
    if not chosen:
        usual = _USUAL.get(report.name, [column.name for column in report.columns])
        filled = {name for row in report for name, value in row.items() if value is not None}
        chosen = tuple(name for name in usual if name in filled or not rows)
    if chosen != (_ALL,):
        report = report.select(*chosen)
    table = TextTable(
        _title(asked, report, rows) if title is None else title,
        [column.name for column in report.columns],
        aligned_right=[column.is_number for column in report.columns],
    )
    lines = report.shown(timezone=asked.zone)
    if is_terminal():
        _shorten_ids(report, lines)
    for line in lines:
        table.add_row(*line)
    return table


def _title(asked: Asked, report: Report, rows: int) -> str:
    some = f"the last {len(report)} of " if len(report) < rows else ""
    when = f" as of {asked.when}" if asked.when else ""
    return f"{report.name}: {some}{rows} {'row' if rows == 1 else 'rows'}{when}, times in {asked.zone}"


def _shorten_ids(report: Report, lines: list[list[str]]) -> None:
    for place, column in enumerate(report.columns):
        if not column.name.endswith("_id"):
            continue
        whole = {line[place] for line in lines if line[place]}
        if not all(map(_is_id, whole)):
            continue
        digits = _ID_DIGITS_MIN
        while len({one[:digits] for one in whole}) < len(whole):
            digits += 1
        for line in lines:
            line[place] = line[place][:digits].removesuffix("-")


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
