"""The reports of equity and drawdown over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, tzinfo
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, TypeVar

from eventstore.core.context import exact, plain
from eventstore.domain.money import RateTable
from eventstore.domain.portfolio import Portfolio, PortfolioAmended, PortfolioCashMoved, PortfolioCreated
from eventstore.errors import DomainError
from eventstore.replay.equity import Openings, equity_curve
from eventstore.reports.columns import amounts, quotients, texts, times
from eventstore.reports.filters import Question
from eventstore.reports.folding import BEFORE, Stream
from eventstore.reports.money import ZERO, Converter, Rates
from eventstore.reports.periods import Periods
from eventstore.reports.portfolios import capital_of, portfolios_and_rates
from eventstore.reports.reading import Moment, Reader
from eventstore.reports.report import Report
from eventstore.reports.results import Results
from eventstore.time_slices import Slices, listed, ordered

EQUITY = (*times("at"), *texts("portfolio_id", "currency"), *amounts("equity", "capital", "pnl"))
"""The columns of the report of equity."""

DRAWDOWN = (
    *times("at"),
    *texts("portfolio_id", "currency"),
    *amounts("equity", "peak", "drawdown"),
    *quotients("drawdown_fraction"),
    *times("peak_at"),
)
"""The columns of the report of drawdown."""

_WITHOUT = ("symbol", "account")

T = TypeVar("T", bound=tuple[Any, ...])


class Point(NamedTuple):
    """The equity of a portfolio from a time on.

    Attributes:
        at: The time.
        equity: The equity.
        capital: What was brought in less what was taken out, until then.
    """

    at: datetime
    equity: Decimal
    capital: Decimal

    @property
    @exact
    def pnl(self) -> Decimal:
        """What was made until then."""
        return plain(self.equity - self.capital)


class Curve(NamedTuple):
    """The equity of a portfolio over time, in one currency."""

    portfolio: Portfolio
    currency: str | None
    points: list[Point]


class Equity:
    """The report of equity, before it is read. See `Reports.equity`."""

    _name: ClassVar[str] = "equity"

    def __init__(
        self,
        filters: Mapping[str, Any],
        *,
        every: str | None,
        timezone: str | tzinfo,
        session_end: time | str | None,
        rates: Rates | None,
        base: str | None,
    ) -> None:
        self.question = Question.of(self._name, filters, without=_WITHOUT)
        self._periods = Periods.of(every, timezone, session_end)
        self._rates, self._base = rates, base

    async def readers(self, _: Moment) -> Sequence[Reader]:
        """Return nothing: a curve reads the columns that it needs itself."""
        return ()

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        rows: list[tuple[Any, ...]] = []
        for curve in await curves(moment, self._rates, self._base):
            of = str(curve.portfolio.id), curve.currency
            ends = await at_ends(curve.points, self._periods)
            points = await listed(ends, lambda point: self.question.has_time(point.at))
            rows += await listed((one.at, *of, one.equity, one.capital, one.pnl) for one in points)
        return Report("equity", EQUITY, rows, through=moment.through)


class Drawdown(Equity):
    """The report of drawdown, before it is read. See `Reports.drawdown`."""

    _name = "drawdown"

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        rows: list[tuple[Any, ...]] = []
        for curve in await curves(moment, self._rates, self._base):
            of = str(curve.portfolio.id), curve.currency
            points = await listed(curve.points, lambda point: self.question.has_time(point.at))
            falls = await at_ends(await listed(_drawdowns(points)), self._periods)
            rows += await listed((one[0], *of, *one[1:]) for one in falls)
        return Report("drawdown", DRAWDOWN, rows, through=moment.through)


def _drawdowns(points: Iterable[Point]) -> Iterator[tuple[Any, ...]]:
    """Yield for each point how far the result is below its highest so far. Capital that comes or goes is no gain or loss."""
    highest: Point | None = None
    for point in points:
        if highest is None or point.pnl >= highest.pnl:
            highest = point
        yield _drawdown(point, highest)


@exact
def _drawdown(point: Point, highest: Point) -> tuple[Any, ...]:
    lost = plain(highest.pnl - point.pnl)
    peak = plain(point.equity + lost)
    return point.at, point.equity, peak, lost, plain(lost / peak) if peak > 0 else None, highest.at


async def at_ends(points: list[T], periods: Periods) -> list[T]:
    """Return the last of each period of points that begin with their time; without a unit all of them."""

    def is_end(place: int) -> bool:
        period = periods.of_time(points[place][0])
        following = points[place + 1][0] if place + 1 < len(points) else None
        return period is None or following is None or following >= period.end

    return [points[place] for place in await listed(range(len(points)), is_end)]


async def curves(moment: Moment, rates: Rates | None, base: str | None) -> list[Curve]:
    """Return the curve of each portfolio of a question; without rates, one for each of its currencies."""
    found: list[Curve] = []
    some, table = await portfolios_and_rates(moment, rates, base)
    if not some:
        return found
    openings = await Openings.read(moment.store.log, moment.bound)
    for portfolio in some:
        if table is not None:
            found.append(await _in_one(moment, portfolio, openings, table, base))
            continue
        try:
            its = [await _in_one(moment, portfolio, openings, RateTable(), None)]
        except DomainError as error:
            if error.rule != "money.rate":
                raise
            its = await _by_currency(moment, portfolio)
        found += [one for one in its if moment.question.has_currency(one.currency)]
    return found


async def _in_one(
    moment: Moment, portfolio: Portfolio, openings: Openings, rates: RateTable, base: str | None
) -> Curve:
    """Return the curve of a portfolio in one currency: the base, or its own if there is none.

    Raises:
        DomainError: `money.rate`: at some time it had an amount of another currency that no rates lead from.
    """
    curve = await equity_curve(
        moment.store.log, portfolio.id, through=moment.bound, rates=rates, base=base, openings=openings
    )
    capital = await _capital(moment, portfolio, rates, base)
    points, so_far, ahead = [], ZERO, 0
    slices = Slices()
    for one in curve.points:
        await slices.rest()
        if moment.has_occurred(one.at):
            while ahead < len(capital) and capital[ahead][0] <= one.at:
                so_far, ahead = capital[ahead][1], ahead + 1
            points.append(Point(one.at, one.equity, so_far))
    return Curve(portfolio, portfolio.currency if base is None else base, points)


async def _capital(
    moment: Moment, portfolio: Portfolio, rates: RateTable, base: str | None
) -> list[tuple[datetime, Decimal]]:
    """Return the times at which the capital changed, each with the capital from then on."""
    stream = Stream(Portfolio)
    types = (PortfolioCreated, PortfolioAmended, PortfolioCashMoved)
    async for part in moment.events(types, streams=[portfolio.id]):
        stream.add(part.occurred_at, part)
    return [
        (start, _capital_of(state, Converter(state.currency if base is None else base, rates)))
        async for start, state, _ in stream.states()
        if state is not None
    ]


@exact
def _capital_of(portfolio: Portfolio, converter: Converter) -> Decimal:
    amounts = capital_of(portfolio)
    return plain(sum((converter.convert(one, of) for of, one in amounts.items()), ZERO))


async def _by_currency(moment: Moment, portfolio: Portfolio) -> list[Curve]:
    """Return a curve for each currency of a portfolio: its share of the equity is what was made and moved in it."""
    alone = replace(moment, question=Question(portfolio=portfolio.id))
    results = Results(alone.question, lambda when: when)
    await results.begin(alone)
    await alone.read(results)
    found = await results.gathered(alone)
    by_currency: dict[str | None, list[Point]] = {}
    slices = Slices()
    for key in await ordered(found.results, key=lambda key: key.start):
        await slices.rest()
        if key.start == BEFORE:
            continue
        points = by_currency.setdefault(key.currency, [])
        last = points[-1] if points else Point(key.start, ZERO, ZERO)
        point = _added(last, key.start, found.results[key])
        if points and last.at == key.start:
            points[-1] = point
        else:
            points.append(point)
    return [
        Curve(portfolio, currency, by_currency[currency])
        for currency in sorted(by_currency, key=lambda one: (one != portfolio.currency, one or ""))
    ]


@exact
def _added(last: Point, at: datetime, changes: Mapping[str, Decimal]) -> Point:
    made = changes["realized_pnl"] + changes["unrealized_pnl"] + changes["income"] - changes["commission"]
    moved = changes["capital"] + changes["conversions"]  # in one currency alone, a conversion gains nothing
    return Point(at, plain(last.equity + moved + made), plain(last.capital + moved))
