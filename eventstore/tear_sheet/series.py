"""Equity over time in one currency: sums of portfolios, drawdowns, and returns by month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from heapq import merge
from itertools import pairwise
from typing import Any, NamedTuple

_ZERO = Decimal(0)


class Point(NamedTuple):
    """The equity from a time on.

    Attributes:
        at: The time, in UTC.
        equity: The equity.
        capital: What was brought in less what was taken out, until then.
    """

    at: datetime
    equity: Decimal
    capital: Decimal

    @property
    def pnl(self) -> Decimal:
        """What was made until then."""
        return self.equity - self.capital


class Fall(NamedTuple):
    """How far the result is below its highest so far.

    Attributes:
        at: The time, in UTC.
        amount: Highest result so far less the result; 0 or more.
        fraction: The amount in terms of the equity at the highest result; None if that is not positive.
    """

    at: datetime
    amount: Decimal
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """The equity of one portfolio, or of several, in one currency.

    Attributes:
        name: The name of the portfolio, or of the sum.
        currency: The currency; None if the portfolios name none.
        points: The points, in order; the first one is what the period began with.
    """

    name: str
    currency: str | None
    points: tuple[Point, ...]

    @property
    def pnl(self) -> Decimal:
        """What was made in the period."""
        return self.points[-1].pnl - self.points[0].pnl

    @property
    def total_return(self) -> float | None:
        """The return of the period, weighted by time: deposits and withdrawals do not count."""
        return compounded(self.returns())

    def returns(self) -> Iterator[tuple[datetime, float | None]]:
        """Yield the return of each step, by the equity before it; None where that is not positive."""
        for before, after in pairwise(self.points):
            base = before.equity + max(after.capital - before.capital, _ZERO)
            made = after.pnl - before.pnl
            yield after.at, float(made / base) if base > 0 else None if made else 0.0

    def falls(self) -> list[Fall]:
        """Return the drawdown at each point."""
        found, highest = [], self.points[0]
        for point in self.points:
            if point.pnl >= highest.pnl:
                highest = point
            lost = highest.pnl - point.pnl
            peak = point.equity + lost
            found.append(Fall(point.at, lost, float(lost / peak) if peak > 0 else None))
        return found

    def months(self, zone: tzinfo) -> dict[tuple[int, int], float | None]:
        """Return the return of each month (year, month) in which there is a point."""
        steps: dict[tuple[int, int], list[tuple[datetime, float | None]]] = {}
        for step in self.returns():
            local = step[0].astimezone(zone)
            steps.setdefault((local.year, local.month), []).append(step)
        return {month: compounded(of_month) for month, of_month in steps.items()}


def compounded(steps: Iterable[tuple[Any, float | None]]) -> float | None:
    """Return the return of several steps; None if one of them is not known."""
    product = 1.0
    for _, step in steps:
        if step is None:
            return None
        product *= 1 + step
    return product - 1


def total(name: str, some: Sequence[Series]) -> Series:
    """Return the sum of series of one currency; what one of them begins with later is capital that comes in.

    The first point is what those began with that begin first. What they made at that same time is the second one.
    """
    if len(some) == 1:
        return Series(name, some[0].currency, some[0].points)
    begin = min(one.points[0].at for one in some)
    now = {place: one.points[0] for place, one in enumerate(some) if one.points[0].at == begin}
    equity = sum((point.equity for point in now.values()), _ZERO)
    capital = sum((point.capital for point in now.values()), _ZERO)
    points = [Point(begin, equity, capital)]
    steps = [_steps(place, one.points[1:] if place in now else one.points) for place, one in enumerate(some)]
    for at, place, point in merge(*steps, key=lambda step: step[:2]):
        before = now.get(place, Point(at, _ZERO, _ZERO))
        equity += point.equity - before.equity
        capital += point.capital - before.capital
        now[place] = point
        if len(points) > 1 and points[-1].at == at:
            points.pop()
        points.append(Point(at, equity, capital))
    return Series(name, some[0].currency, tuple(points))


def _steps(place: int, points: Iterable[Point]) -> Iterator[tuple[datetime, int, Point]]:
    return ((point.at, place, point) for point in points)


def of_period(points: Sequence[Point], since: datetime | None) -> tuple[Point, ...]:
    """Return the points of a period, with what it began with as the first one."""
    before = [] if since is None else [point for point in points if point.at < since]
    rest = points[len(before) :]
    if since is not None and before:
        return (before[-1]._replace(at=since), *rest)
    if rest and rest[0].pnl:
        # What a portfolio made before its first point is nothing: it begins with its capital.
        first = rest[0]
        return (Point(first.at, first.capital, first.capital), *rest)
    return tuple(rest)


def thinned(points: Sequence[Any], value: Any, most: int) -> list[Any]:
    """Return at most so many points of a curve: of each stretch the lowest, the highest and the last."""
    if len(points) <= most:
        return list(points)
    length = -(-len(points) // (most // 3))
    kept = []
    for start in range(0, len(points), length):
        part = range(start, min(start + length, len(points)))
        places = {
            min(part, key=lambda place: value(points[place])),
            max(part, key=lambda place: value(points[place])),
        }
        kept += [points[place] for place in sorted(places | {part[-1]})]
    return kept
