"""The tear sheet: reports of one moment of the log, put into one page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from decimal import Decimal
from importlib.resources import files
from typing import Any
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.domain.portfolio import Portfolio
from eventstore.extras import imported
from eventstore.printable import printable
from eventstore.reports import Report
from eventstore.reports.display import amount_text
from eventstore.reports.equity import Equity
from eventstore.reports.exposure import Exposure
from eventstore.reports.grouping import Grouping
from eventstore.reports.pnl import Pnl
from eventstore.reports.portfolios import Portfolios
from eventstore.reports.reading import answers
from eventstore.reports.trades import Trades
from eventstore.reports.turnover import Turnover
from eventstore.store import EventStore
from eventstore.tear_sheet import plots
from eventstore.tear_sheet.series import Point, Series, of_period, total

_ROWS_MAX = 50
_WORST_MAX = 10
_CELL_CHARACTERS_MAX = 200
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PNL = ("currency", "realized_pnl", "unrealized_change", "income", "conversion_pnl", "commission", "total")
_RESULTS = frozenset({"realized_pnl", "unrealized_change", "income", "conversion_pnl", "total", "net_pnl"})
_WORST = (
    "closed_at", "symbol", "side", "quantity", "entry_price", "exit_price", "holding_time", "net_pnl", "commission",
    "currency", "strategy", "position_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What is shown.
        is_number: Whether it is aligned to the right.
        sign: -1, 0 or 1, for the colour of an amount.
    """

    text: str
    is_number: bool = False
    sign: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page."""

    caption: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(slots=True)
class Section:
    """A section of the page: plots and tables under a heading."""

    title: str
    figures: list[tuple[str, Any]] = field(default_factory=list)
    plots: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


async def tear_sheet(
    store: EventStore,
    *,
    title: str = "Tear sheet",
    portfolio: Portfolio | UUID | str | None = None,
    strategy: str | None = None,
    currency: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    position: int | None = None,
    recorded_at: datetime | None = None,
    occurred_at: datetime | None = None,
    timezone: tzinfo = UTC,
    session_end: time | str | None = None,
    rates: Mapping[str, Decimal] | None = None,
    base: str | None = None,
) -> str:
    """Return a tear sheet as one HTML page, which needs no network. Extra: `report`.

    It shows equity, drawdown, returns by month, profit and loss by strategy and symbol, exposure, the worst trades, and
    fees. All of it is of one point in time, whatever is appended meanwhile. Texts of the log are shown as texts: none of
    them is HTML. Returns are weighted by time, so deposits and withdrawals do not count.

    Args:
        store: The store.
        title: The title of the page.
        portfolio: Only this portfolio, or its id; None for the sum of all in each currency.
        strategy: Only this strategy.
        currency: Only this currency.
        from_: Only from this time on; a naive time is local time.
        to: Only before this time.
        position: As of this position of the log; at most one of these three is given. None of them means now.
        recorded_at: As of what was known at this time.
        occurred_at: As of what was true at this time, as it is known now.
        timezone: The time zone of times, days and months.
        session_end: When a trading day ends, such as 17:00; None for midnight.
        rates: What one unit of each other currency is worth in `base`, or of one currency in another, as for
            `EventStore.reports`. None: each currency for itself.
        base: The currency of all amounts; None for that of the portfolios.

    Raises:
        ConfigurationError: jinja2 or plotly is not installed; or a filter is wrong, or there are rates and no one base, as for
            `EventStore.reports`.
        EventStoreError: As `EventStore.reports`.
    """
    # In threads, because the event loop has other work: the page is made of each point of the curves.
    template, script = await asyncio.to_thread(_loaded)
    of_moment = {
        "portfolio": portfolio,
        "strategy": strategy,
        "currency": currency,
        "position": position,
        "recorded_at": recorded_at,
        "occurred_at": occurred_at,
    }
    asked = _Asked(of_moment, {"from_": from_, "to": to}, timezone, session_end, rates, base)
    reports = await _reports(store, asked)
    return await asyncio.to_thread(_page, template, script, title, asked, reports)


def _loaded() -> tuple[Any, str]:
    return _template(), plots.script()


def _page(template: Any, script: str, title: str, asked: _Asked, reports: _Reports) -> str:
    sections = _sections(asked, reports)
    drawn = [plot for section in sections for _, plot in section.plots]
    return str(
        template.render(
            title=printable(title),
            subtitle=_subtitle(asked, reports.portfolios.through),
            sections=sections,
            drawn=drawn,
            plotly=script,
            hashes=_hashes(script, _source("draw.js")),
            draw=_source("draw.js"),
        )
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a tear sheet is asked for."""

    of_moment: Mapping[str, Any]
    of_period: Mapping[str, Any]
    zone: tzinfo
    session_end: time | str | None
    rates: Mapping[str, Decimal] | None
    base: str | None

    @property
    def until(self) -> Mapping[str, Any]:
        """The filters of what is asked for from the beginning: a return needs the equity before the period."""
        return {**self.of_moment, "to": self.of_period["to"]}


@dataclass(frozen=True, slots=True)
class _Reports:
    """The reports of a tear sheet."""

    portfolios: Report
    equity: Report
    trades: Report
    exposure: Report
    by_strategy: Report
    by_symbol: Report
    by_month: Report
    turnover: Report


async def _reports(store: EventStore, asked: _Asked) -> _Reports:
    """Read all reports of one point in time, in one pass over the log for those that can share it."""
    filters = {**asked.of_moment, **asked.of_period}
    rates: Any = {"rates": asked.rates, "base": asked.base}
    monthly = Grouping.of(("month", "currency"), timezone=asked.zone, session_end=asked.session_end, **rates)
    by_month = Pnl(filters, monthly)
    return _Reports(
        *await answers(
            store,
            Portfolios(asked.of_moment, **rates),
            Equity(asked.until, every=None, timezone=UTC, session_end=None, **rates),
            Trades(filters, limit=None, **rates),
            Exposure(asked.until, by=("symbol",), **rates),
            by_month.whole("strategy", "currency"),
            by_month.whole("symbol", "currency"),
            by_month,
            Turnover(filters, monthly),
        )
    )


def _sections(asked: _Asked, reports: _Reports) -> list[Section]:
    names = {row["portfolio_id"]: row["name"] for row in reports.portfolios}
    return [
        *(
            _money_section(asked, currency, parts, reports.trades)
            for currency, parts in _series(reports.equity, names, asked.of_period["from_"]).items()
        ),
        _pnl_section("Profit and loss by strategy", "strategy", reports.by_strategy, asked),
        _pnl_section("Profit and loss by symbol", "symbol", reports.by_symbol, asked),
        _exposure_section(reports.exposure, asked),
        _trades_section(reports.trades, asked),
        _fees_section(reports.by_month, reports.turnover),
    ]


def _series(
    equity: Report, names: Mapping[str, str], since: datetime | None
) -> dict[str | None, list[Series]]:
    """Return the series of the portfolios by currency."""
    points: dict[tuple[str | None, str], list[Point]] = {}
    for row in equity:
        point = Point(row["at"], row["equity"], row["capital"])
        points.setdefault((row["currency"], row["portfolio_id"]), []).append(point)
    found: dict[str | None, list[Series]] = {}
    for (currency, portfolio), all_points in points.items():
        some = of_period(all_points, None if since is None else bound_in_utc(since))
        if some:
            name = names.get(portfolio) or portfolio
            found.setdefault(currency, []).append(Series(name, currency, some))
    return found


# ---- sections --------------------------------------------------------------------------------------------------


def _money_section(asked: _Asked, currency: str | None, parts: Sequence[Series], trades: Report) -> Section:
    whole = total("all portfolios" if len(parts) > 1 else parts[0].name, parts)
    worst = max(whole.falls(), key=lambda fall: fall.amount)
    unit = f" in {currency}" if currency else ""
    results = [row["net_pnl"] for row in trades if row["currency"] == currency and row["net_pnl"] is not None]
    won = sum(result for result in results if result > 0)
    lost = -sum(result for result in results if result < 0)
    title = f"Equity{unit}"
    section = Section(title)
    section.figures = [
        ("from", _time(whole.points[0].at, asked.zone)),
        ("to", _time(whole.points[-1].at, asked.zone)),
        (f"equity{unit}", amount_text(whole.points[-1].equity, currency)),
        (f"profit and loss{unit}", amount_text(whole.pnl, currency)),
        ("return", _percent(whole.total_return)),
        ("largest drawdown", f"{amount_text(worst.amount, currency)} ({_percent(worst.fraction)})"),
        ("round trips", f"{len(results):,}"),
        ("of them won", _percent(sum(one > 0 for one in results) / len(results) if results else None)),
        ("won / lost", f"{won / lost:.2f}" if lost else ""),
    ]
    section.plots = [
        (f"Equity{unit}", plots.equity_plot(whole, parts, asked.zone)),
        (f"Drawdown{unit}", plots.drawdown_plot(whole, asked.zone)),
    ]
    section.tables = [_months_table(whole, asked.zone)]
    return section


def _months_table(whole: Series, zone: tzinfo) -> Table:
    months = whole.months(zone)
    rows = []
    for year in sorted({year for year, _ in months}):
        of_year = [months.get((year, month)) for month in range(1, 13)]
        known = [one for (a_year, _), one in months.items() if a_year == year]
        product: float | None = 1.0
        for one in known:
            product = None if one is None or product is None else product * (1 + one)
        whole_year = None if product is None else product - 1
        cells = [_percent_cell(one) for one in (*of_year, whole_year)]
        rows.append([Cell(str(year)), *cells])
    columns = [Cell("year"), *(Cell(name, is_number=True) for name in (*_MONTHS, "year"))]
    note = "Returns weighted by time: a deposit or a withdrawal is neither gain nor loss."
    return Table("Returns by month", columns, rows, note)


def _pnl_section(title: str, by: str, report: Report, asked: _Asked) -> Section:
    section = Section(title)
    for currency in _currencies(report):
        some = _in_currency(report, currency)
        unit = f" in {currency}" if currency else ""
        section.plots.append(
            (f"{title}{unit}", plots.bars_plot([(row[by], row["total"]) for row in some], currency))
        )
    section.tables = [_table(f"{title}, largest first", _largest(report, "total"), asked, (by, *_PNL))]
    return section


def _exposure_section(report: Report, asked: _Asked) -> Section:
    section = Section("Exposure")
    if len(report):
        for currency in _currencies(report):
            unit = f" in {currency}" if currency else ""
            rows = [(row["symbol"], row["net"]) for row in report if row["currency"] == currency]
            section.plots.append((f"Net exposure{unit}", plots.bars_plot(rows, currency)))
    columns = ("symbol", "currency", "positions", "long", "short", "gross", "net")
    section.tables = [
        _table(
            "What is open, at the current prices"
            if asked.of_period["to"] is None
            else "What was open at the end of the period, at the prices of then",
            _largest(report, "gross"),
            asked,
            columns,
        )
    ]
    return section


def _trades_section(report: Report, asked: _Asked) -> Section:
    section = Section("Worst trades")
    lost = report.where(lambda row: row["net_pnl"] is not None and row["net_pnl"] < 0)
    for currency in _currencies(lost):
        unit = f" in {currency}" if currency else ""
        worst = _in_currency(lost, currency)
        shown = (
            worst.ordered(lambda row: -row["net_pnl"]).last(_WORST_MAX).ordered(lambda row: row["net_pnl"])
        )
        section.tables.append(_table(f"Round trips that lost most{unit}", shown, asked, _WORST))
    if not section.tables:
        section.tables = [_table("Round trips that lost most", lost, asked, _WORST)]
    return section


def _fees_section(by_month: Report, turnover: Report) -> Section:
    section = Section("Fees")
    traded = {(row["period"], row["currency"]): row["traded"] for row in turnover}
    columns = (
        "period",
        "currency",
        "traded",
        "commission",
        "commission per 10,000 traded",
        "share of the result before it",
    )
    rows = []
    for row in by_month:
        value = traded.get((row["period"], row["currency"]))
        before = row["total"] + row["commission"]
        rows.append([
            Cell(row["period"]),
            Cell(row["currency"] or ""),
            Cell("" if value is None else amount_text(value, row["currency"]), is_number=True),
            Cell(amount_text(row["commission"], row["currency"]), is_number=True),
            Cell(f"{row['commission'] / value * 10_000:.2f}" if value else "", is_number=True),
            Cell(_percent(float(row["commission"] / before)) if before > 0 else "", is_number=True),
        ])  # fmt: skip
    headings = [Cell(name, is_number=place > 1) for place, name in enumerate(columns)]
    section.tables = [Table("Commissions by month", headings, rows[-_ROWS_MAX:], _left_out(len(rows)))]
    return section


# ---- tables ----------------------------------------------------------------------------------------------------


def _table(caption: str, report: Report, asked: _Asked, names: Sequence[str]) -> Table:
    """Return a report as a table; columns that are empty in each row are left out."""
    filled = [name for name in names if not len(report) or any(row[name] is not None for row in report)]
    some = report.select(*filled)
    texts = some.shown(timezone=asked.zone)[:_ROWS_MAX]
    rows = [
        [
            Cell(_cut(text), column.is_number, _sign(row[column.name]) if column.name in _RESULTS else 0)
            for column, text in zip(some.columns, line, strict=True)
        ]
        for row, line in zip(some, texts, strict=False)
    ]
    columns = [Cell(column.name.replace("_", " "), column.is_number) for column in some.columns]
    return Table(caption, columns, rows, _left_out(len(some)))


def _largest(report: Report, name: str) -> Report:
    return report.ordered(lambda row: -abs(row[name]))


def _left_out(rows: int) -> str:
    return f"{rows - _ROWS_MAX:,} more rows are left out." if rows > _ROWS_MAX else ""


def _currencies(report: Report) -> list[str | None]:
    return sorted({row["currency"] for row in report}, key=lambda one: one or "")


def _in_currency(report: Report, currency: str | None) -> Report:
    return report.where(lambda row: row["currency"] == currency)


def _cut(text: str) -> str:
    return text if len(text) <= _CELL_CHARACTERS_MAX else f"{text[:_CELL_CHARACTERS_MAX]}…"


def _sign(value: Decimal | None) -> int:
    return 0 if not value else -1 if value < 0 else 1


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _percent_cell(share: float | None) -> Cell:
    return Cell(_percent(share), is_number=True, sign=0 if not share else -1 if share < 0 else 1)


def _time(when: datetime, zone: tzinfo) -> str:
    return when.astimezone(zone).replace(tzinfo=None).isoformat(" ", "minutes")


# ---- the page --------------------------------------------------------------------------------------------------


def _subtitle(asked: _Asked, through: int) -> str:
    named = [
        f"{name} {value}"
        for name, value in asked.of_moment.items()
        if value and name in {"strategy", "currency"}
    ]
    moment = next(
        (
            f"as of {name.replace('_', ' ')} {asked.of_moment[name]}"
            for name in ("recorded_at", "occurred_at")
            if asked.of_moment[name] is not None
        ),
        f"through position {through} of the log",
    )
    if asked.of_moment["strategy"]:
        named.append("equity and drawdown only of portfolios whose strategy it is")
    return printable(", ".join([*named, moment, f"times in {asked.zone}"]))


def _template() -> Any:
    jinja2 = imported("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eventstore.tear_sheet"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tear_sheet.html")


def require_extra() -> None:
    """Check that the extra `report` is installed.

    Raises:
        ConfigurationError: It is not.
    """
    _template()
    plots.script()


def _source(name: str) -> str:
    return files("eventstore.tear_sheet").joinpath("templates", name).read_text(encoding="utf-8")


def _hashes(*scripts: str) -> str:
    """Return the scripts that the page may run, as its content security policy names them."""
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
