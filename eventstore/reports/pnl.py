"""The report of profit and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventstore.core.context import exact, plain
from eventstore.reports.columns import amounts
from eventstore.reports.filters import Question
from eventstore.reports.folding import BEFORE
from eventstore.reports.grouping import Grouping, Groups, group_columns
from eventstore.reports.money import Converter
from eventstore.reports.reading import Moment, Reader
from eventstore.reports.report import Report
from eventstore.reports.results import Results
from eventstore.time_slices import Slices, listed

_AMOUNTS = ("realized_pnl", "unrealized_change", "income", "conversion_pnl", "commission")

# Without periods all of the range is one: any time after `BEFORE` will do.
_WHOLE = datetime.max.replace(tzinfo=BEFORE.tzinfo)


class Pnl:
    """The report of profit and loss, before it is read. See `Reports.pnl`."""

    def __init__(self, filters: Mapping[str, Any], grouping: Grouping) -> None:
        self.question = Question.of("pnl", filters)
        self._grouping = grouping
        self._results = Results(self.question, self._start)

    def whole(self, *by: str) -> Pnl:
        """Return the report of the same range without periods, made of the same results.

        Args:
            *by: What its rows are grouped by; no unit of time.
        """
        other = copy(self)
        other._grouping = self._grouping.whole(*by)  # noqa: SLF001 - of this class
        return other

    def _start(self, when: datetime) -> datetime:
        period = self._grouping.periods.of_time(when)
        return _WHOLE if period is None else period.start

    async def readers(self, moment: Moment) -> Sequence[Reader]:
        """Return what reads the results."""
        await self._results.begin(moment)
        return [self._results]

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        asked = self._grouping
        found = await self._results.gathered(
            moment, (lambda _: _WHOLE) if asked.periods.unit is None else None
        )
        currencies = [one.currency for one in found.portfolios.values()]
        converter = Converter.of(asked.base, asked.rates, currencies, is_empty=not found.results)
        groups = Groups(asked.by, asked.periods, _AMOUNTS, converter)
        slices = Slices()
        for key, changes in found.results.items():
            await slices.rest()
            if key.start != BEFORE:
                told = _told(changes, is_converted=asked.rates is not None)
                groups.add(key, key.start, key.currency, told)
        return Report(
            "pnl",
            (*group_columns(asked.by), *amounts(*_AMOUNTS, "total")),
            await listed(
                (*of, *(sums[name] for name in _AMOUNTS), _total(sums)) for of, sums in await groups.rows()
            ),
            through=moment.through,
            display=await moment.display(),
        )


def _told(changes: Mapping[str, Decimal], *, is_converted: bool) -> dict[str, Decimal]:
    """Return the amounts of the report: what a conversion gains is known only at rates."""
    told = {
        "realized_pnl": changes["realized_pnl"],
        "unrealized_change": changes["unrealized_pnl"],
        "income": changes["income"],
        "commission": changes["commission"],
    }
    return {**told, "conversion_pnl": changes["conversions"]} if is_converted else told


@exact
def _total(sums: Mapping[str, Decimal]) -> Decimal:
    return plain(
        sums["realized_pnl"]
        + sums["unrealized_change"]
        + sums["income"]
        + sums["conversion_pnl"]
        - sums["commission"]
    )
