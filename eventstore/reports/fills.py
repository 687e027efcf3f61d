"""The report of fills: one row an execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from eventstore.replay.executions import Executions, Reported
from eventstore.reports.columns import amounts, integers, prices, quantities, texts, times
from eventstore.reports.filters import Question, last
from eventstore.reports.reading import Moment, Reader, currency_of, has, text_of
from eventstore.reports.report import Report
from eventstore.time_slices import Slices, listed

COLUMNS = (
    *times("occurred_at"),
    *texts("symbol", "side"),
    *quantities("quantity"),
    *prices("price"),
    *amounts("value"),
    *texts("currency"),
    *amounts("commission", currency="commission_currency"),
    *texts(
        "commission_currency", "liquidity", "execution_id", "order_id", "client_order_id", "broker_order_id"
    ),
    *texts("portfolio_id", "strategy", "account", "venue", "status", "corrects"),
    *integers("transact_time_ns"),
    *times("recorded_at"),
    *integers("position"),
)
"""The columns of the report of fills."""


class Fills:
    """The report of fills, before it is read. See `Reports.fills`."""

    def __init__(self, filters: Mapping[str, Any], *, taken_back: bool, limit: int | None) -> None:
        self.question = Question.of("fills", filters)
        self._taken_back = taken_back
        self._limit = limit
        self._executions = Executions()

    async def readers(self, _: Moment) -> Sequence[Reader]:
        """Return what reads the executions."""
        return [self._executions]

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        every = await counted(moment, self._executions, taken_back=self._taken_back)
        found = await listed(every, lambda one: self.question.has_currency(one.currency))
        return Report(
            "fills",
            COLUMNS,
            await listed(map(_row, last(found, self._limit))),
            through=moment.through,
            display=await moment.display(),
        )


async def counted(moment: Moment, executions: Executions, *, taken_back: bool = False) -> list[Reported]:
    """Return the executions of a question in the order of their times, of any currency.

    Args:
        moment: The moment.
        executions: Those that were read.
        taken_back: Also those that were busted or corrected.
    """
    question = moment.question
    found = await executions.found()
    slices, missing = Slices(), set[UUID | None]()
    for one in found:
        if one.currency is None:
            missing.add(one.portfolio_id)
        await slices.rest()
    of_portfolios = await moment.currencies(missing)

    def belongs(one: Reported) -> bool:
        one.currency = currency_of(one, of_portfolios)
        is_counted = one.counts or taken_back
        return is_counted and has(question, one) and question.has_time(one.execution.occurred_at)

    return await listed(found, belongs)


def _row(one: Reported) -> tuple[Any, ...]:
    execution = one.execution
    return (
        execution.occurred_at,
        one.symbol,
        None if execution.side is None else execution.side.value,
        execution.quantity,
        execution.price,
        one.value,
        one.currency,
        execution.commission,
        one.commission_currency,
        one.liquidity,
        execution.execution_id,
        text_of(one.order_id),
        one.client_order_id,
        one.broker_order_id,
        text_of(one.portfolio_id),
        one.strategy,
        one.account,
        execution.venue,
        execution.status.value,
        execution.corrects,
        execution.transact_time_ns,
        one.recorded_at,
        one.position,
    )
