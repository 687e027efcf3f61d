"""The report of turnover: what was bought and sold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventstore.domain.executions import OrderSide
from eventstore.replay.executions import Executions
from eventstore.reports.columns import amounts, integers
from eventstore.reports.fills import counted
from eventstore.reports.filters import Question
from eventstore.reports.grouping import Grouping, Groups, group_columns
from eventstore.reports.reading import Moment, Reader, converter_of
from eventstore.reports.report import Report
from eventstore.time_slices import Slices, listed

_AMOUNTS = ("bought", "sold", "traded", "net")


class Turnover:
    """The report of turnover, before it is read. See `Reports.turnover`."""

    def __init__(self, filters: Mapping[str, Any], grouping: Grouping) -> None:
        self.question = Question.of("turnover", filters)
        self._grouping = grouping
        self._executions = Executions()

    async def readers(self, _: Moment) -> Sequence[Reader]:
        """Return what reads the executions."""
        return [self._executions]

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        asked = self._grouping
        every = await counted(moment, self._executions)
        found = await listed(every, lambda one: self.question.has_currency(one.currency))
        portfolios = {one.portfolio_id for one in found}
        converter = await converter_of(moment, asked.base, asked.rates, portfolios)
        groups = Groups(asked.by, asked.periods, ("fills", *_AMOUNTS), converter)
        slices = Slices()
        for one in found:
            await slices.rest()
            when, value = one.execution.occurred_at, one.value
            groups.count(one, when, one.currency, "fills")
            if one.execution.side is OrderSide.BUY:
                changes = {"bought": value, "net": value}
            else:
                changes = {"sold": value, "net": -value}
            groups.add(one, when, one.currency, {**changes, "traded": abs(value)})
        return Report(
            "turnover",
            (*group_columns(asked.by), *integers("fills"), *amounts(*_AMOUNTS)),
            [
                (*of, int(sums["fills"]), *(sums[name] for name in _AMOUNTS))
                for of, sums in await groups.rows()
            ],
            through=moment.through,
            display=await moment.display(),
        )
