"""The report of exposure: what is open, by symbol, strategy, portfolio and currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventstore.reports.columns import amounts, integers
from eventstore.reports.filters import Question
from eventstore.reports.grouping import Groups, group_columns
from eventstore.reports.money import Rates
from eventstore.reports.periods import Periods, checked_by
from eventstore.reports.positions import valued
from eventstore.reports.reading import converter_of, moment_of
from eventstore.reports.report import Report
from eventstore.time_slices import Slices

if TYPE_CHECKING:
    from eventstore.store import EventStore

_AMOUNTS = ("long", "short", "gross", "net")
_BY = ("symbol", "strategy", "portfolio", "currency")


async def exposure(
    store: EventStore,
    *,
    by: Sequence[str] | str,
    rates: Rates | None,
    base: str | None,
    filters: Mapping[str, Any],
) -> Report:
    """Return the report of exposure. See `Reports.exposure`."""
    names = checked_by(by, _BY)
    question = Question.of("exposure", filters, without=("from_",))
    async with moment_of(store, question) as moment:
        if question.until is None:
            held = [pair async for pair in moment.open_positions()]
        else:
            held = await moment.positions_before(question.until)
        positions = [(one, currency) for one, currency in held if one.is_open]
        converter = await converter_of(moment, base, rates, (one.portfolio_id for one, _ in positions))
        groups = Groups(names, Periods(None), ("positions", *_AMOUNTS), converter)
        slices = Slices()
        for one, currency in positions:
            await slices.rest()
            value = valued(one)
            side = {"long": value} if one.is_long else {"short": value}
            groups.add(one, None, currency, {**side, "gross": abs(value), "net": value})
            groups.count(one, None, currency, "positions")
        return Report(
            "exposure",
            (*group_columns(names), *integers("positions"), *amounts(*_AMOUNTS)),
            [
                (*of, int(sums["positions"]), *(sums[name] for name in _AMOUNTS))
                for of, sums in await groups.rows()
            ],
            through=moment.through,
            display=await moment.display(),
        )
