"""Groups results: by period, symbol, strategy, portfolio and currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time, tzinfo
from decimal import Decimal
from typing import Any

from eventstore.core.context import exact, plain
from eventstore.reports.columns import Column, texts, times
from eventstore.reports.money import ZERO, Converter, Rates
from eventstore.reports.periods import Period, Periods, checked_by, unit_in
from eventstore.reports.reading import text_of
from eventstore.time_slices import Slices, ordered

_OF = {"symbol": "symbol", "strategy": "strategy", "portfolio": "portfolio_id"}


def group_columns(by: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that say what a row is of; the currency is always among them."""
    period = (*texts("period"), *times("start", "end")) if unit_in(by) else ()
    return (*period, *texts(*(_OF[name] for name in by if name in _OF)), *texts("currency"))


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the amounts of a report are summed up.

    Attributes:
        by: What the rows are grouped by.
        periods: The periods of the unit in `by`.
        rates: What currencies are worth; None if amounts of different currencies stay apart.
        base: The currency of the rows; None for that of the portfolios.
    """

    by: Sequence[str]
    periods: Periods
    rates: Rates | None
    base: str | None

    @classmethod
    def of(
        cls,
        by: Sequence[str] | str,
        *,
        timezone: str | tzinfo,
        session_end: time | str | None,
        rates: Rates | None,
        base: str | None,
    ) -> Grouping:
        """Return it from the keywords of a report.

        Raises:
            ConfigurationError: `by`, `timezone` or `session_end` is wrong.
        """
        names = checked_by(by)
        return cls(names, Periods.of(unit_in(names), timezone, session_end), rates, base)

    def whole(self, *by: str) -> Grouping:
        """Return the same without periods.

        Args:
            *by: What the rows are grouped by; no unit of time.
        """
        return replace(self, by=checked_by(by), periods=Periods(None))


class Groups:
    """Sums of amounts by what the rows of a report are grouped by.

    Args:
        by: What they are grouped by.
        periods: The periods of the unit in `by`.
        names: The names of the amounts.
        converter: What turns amounts into one currency, if anything does.
    """

    def __init__(
        self, by: Sequence[str], periods: Periods, names: Iterable[str], converter: Converter
    ) -> None:
        self._by = by
        self._periods = periods
        self._names = tuple(names)
        self._converter = converter
        self._sums: dict[tuple[Any, ...], dict[str, Decimal]] = {}

    @exact
    def add(self, one: Any, when: Any, currency: str | None, amounts: Mapping[str, Decimal]) -> None:
        """Add amounts of one currency to the sums of their group.

        Args:
            one: What has the values of a symbol, a strategy and a portfolio's id.
            when: A time in the period.
            currency: The currency of the amounts.
            amounts: The amounts by name.
        """
        sums = self._sums_of(one, when, currency)
        for name, amount in amounts.items():
            sums[name] = plain(sums[name] + self._converter.convert(amount, currency))

    def count(self, one: Any, when: Any, currency: str | None, name: str) -> None:
        """Add 1 to a number of a group, which is no amount of money."""
        self._sums_of(one, when, currency)[name] += 1

    def _sums_of(self, one: Any, when: Any, currency: str | None) -> dict[str, Decimal]:
        of = tuple(
            text_of(one.portfolio_id) if name == "portfolio" else getattr(one, name)
            for name in self._by
            if name in _OF
        )
        key = (self._periods.of_time(when), of, self._converter.currency(currency))
        return self._sums.setdefault(key, dict.fromkeys(self._names, ZERO))

    async def rows(self) -> list[tuple[tuple[Any, ...], dict[str, Decimal]]]:
        """Return the values of the group columns and the sums of each group, in order, without those that are all 0."""
        found = []
        slices = Slices()
        for (period, of, currency), sums in await ordered(self._sums.items(), key=_order):
            await slices.rest()
            if any(sums.values()):
                when = () if period is None else _of_period(period)
                found.append(((*when, *of, currency), sums))
        return found


def _order(one: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    (period, of, currency), _ = one
    return (() if period is None else (period.start,), tuple(value or "" for value in of), currency or "")


def _of_period(period: Period) -> tuple[Any, ...]:
    return period.label, period.start, period.end
