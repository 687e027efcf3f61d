"""The report of turnover: what was bought and sold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time, tzinfo
from typing import TYPE_CHECKING, Any

from eventstore.domain.executions import OrderSide
from eventstore.reports.columns import amounts, integers
from eventstore.reports.fills import counted
from eventstore.reports.filters import Question
from eventstore.reports.grouping import Groups, group_columns
from eventstore.reports.money import Rates
from eventstore.reports.periods import Periods, checked_by, unit_in
from eventstore.reports.reading import converter_of, moment_of
from eventstore.reports.report import Report
from eventstore.time_slices import Slices, listed

if TYPE_CHECKING:
    from eventstore.store import EventStore

_AMOUNTS = ("bought", "sold", "traded", "net")


async def turnover(
    store: EventStore,
    *,
    by: Sequence[str] | str,
    timezone: str | tzinfo,
    session_end: time | str | None,
    rates: Rates | None,
    base: str | None,
    filters: Mapping[str, Any],
) -> Report:
    """Return the report of turnover. See `Reports.turnover`."""
    names = checked_by(by)
    periods = Periods.of(unit_in(names), timezone, session_end)
    question = Question.of("turnover", filters)
    async with moment_of(store, question) as moment:
        found = await listed(await counted(moment), lambda one: question.has_currency(one.currency))
        converter = await converter_of(moment, base, rates, (one.portfolio_id for one in found))
        groups = Groups(names, periods, ("fills", *_AMOUNTS), converter)
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
            (*group_columns(names), *integers("fills"), *amounts(*_AMOUNTS)),
            [
                (*of, int(sums["fills"]), *(sums[name] for name in _AMOUNTS))
                for of, sums in await groups.rows()
            ],
            through=moment.through,
            display=await moment.display(),
        )
