"""The report of profit and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.core.context import exact, plain
from eventstore.reports.columns import amounts
from eventstore.reports.filters import Question
from eventstore.reports.folding import BEFORE
from eventstore.reports.grouping import Groups, group_columns
from eventstore.reports.money import Converter, Rates
from eventstore.reports.periods import Periods, checked_by, unit_in
from eventstore.reports.reading import moment_of
from eventstore.reports.report import Report
from eventstore.reports.results import gather
from eventstore.time_slices import Slices, listed

if TYPE_CHECKING:
    from eventstore.store import EventStore

_AMOUNTS = ("realized_pnl", "unrealized_change", "income", "conversion_pnl", "commission")


async def pnl(
    store: EventStore,
    *,
    by: Sequence[str] | str,
    timezone: str | tzinfo,
    session_end: time | str | None,
    rates: Rates | None,
    base: str | None,
    filters: Mapping[str, Any],
) -> Report:
    """Return the report of profit and loss. See `Reports.pnl`."""
    names = checked_by(by)
    periods = Periods.of(unit_in(names), timezone, session_end)
    question = Question.of("pnl", filters)

    def start(when: datetime) -> datetime:
        period = periods.of_time(when)
        return when if period is None else period.start

    # Without periods all of the range is one: any time after `BEFORE` will do.
    whole = datetime.max.replace(tzinfo=BEFORE.tzinfo)
    async with moment_of(store, question) as moment:
        found = await gather(moment, (lambda _: whole) if periods.unit is None else start)
        currencies = [one.currency for one in found.portfolios.values()]
        converter = Converter.of(base, rates, currencies, is_empty=not found.results)
        groups = Groups(names, periods, _AMOUNTS, converter)
        slices = Slices()
        for key, changes in found.results.items():
            await slices.rest()
            if key.start != BEFORE:
                groups.add(key, key.start, key.currency, _told(changes, is_converted=rates is not None))
        return Report(
            "pnl",
            (*group_columns(names), *amounts(*_AMOUNTS, "total")),
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
