"""A user's projection: the turnover by day, symbol and strategy.

Its key is not a stream: fills of many orders share one row. Every event of an execution contains everything
that is needed to fold it alone (`OrderExecutionEvent`), so neither the key nor the fold looks anything up.

A bust takes the execution back, and a correction replaces it, on the day of the trade, whenever they are
reported. So a row shows what the venue now reports for that day. Each report is booked under the symbol and
strategy that the order has at that time. If an order moves to another strategy between a fill and its bust,
the two are booked under different strategies.
"""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

import eventstore.read_side  # noqa: F401 - refuses a module of the user's in place of `projections`
from eventstore.core import RecordedEvent, exact, plain
from eventstore.domain.order import Execution, OrderFillBusted, OrderFillCorrected, OrderFilled
from projections import Projection, Table

ReportedFill = OrderFilled | OrderFillBusted | OrderFillCorrected


class Turnover(BaseModel):
    """The turnover of a strategy in a symbol on one day.

    Attributes:
        day: The day of the trades, in UTC.
        symbol: The instrument.
        strategy: The strategy; empty for orders without one.
        fills: The number of executions that count.
        quantity: Their shares or contracts, bought and sold together.
        notional: The sum of |quantity x price| x multiplier, in currency.
        commission: The sum of their commissions, in currency.
    """

    day: date
    symbol: str
    strategy: str
    fills: int = 0
    quantity: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)


class TurnoverProjection(Projection[Turnover]):
    """Folds the executions of orders into the table `turnover`."""

    name = "turnover"
    table = Table("turnover", row=Turnover, key=("day", "symbol", "strategy"))
    events = (OrderFilled, OrderFillBusted, OrderFillCorrected)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the day of the execution, its symbol and its strategy."""
        report: Any = event.event
        traded = _old(report) or report
        return traded.occurred_at.astimezone(UTC).date(), report.symbol or "", report.strategy or ""

    @exact
    def evolve(self, row: Turnover | None, event: RecordedEvent) -> Turnover | None:
        """Add the trade; subtract a busted or replaced one. A day without executions has no row."""
        report: Any = event.event
        day, symbol, strategy = self.key(event)
        row = row or Turnover(day=day, symbol=symbol, strategy=strategy)
        old = _old(report)
        if old is not None:
            row = _counted(row, old, report.multiplier, sign=-1)
        if not isinstance(report, OrderFillBusted):
            row = _counted(row, report, report.multiplier, sign=1)
        return row if row.fills else None


def _old(report: ReportedFill) -> Execution | None:
    """Return the execution that no longer counts; None if there is none."""
    if isinstance(report, OrderFilled):
        return None
    return report.busted if isinstance(report, OrderFillBusted) else report.corrected


def _counted(row: Turnover, execution: Any, multiplier: Decimal | None, *, sign: int) -> Turnover:
    notional = abs(execution.quantity * execution.price) * (multiplier or 1)
    return row.model_copy(
        update={
            "fills": row.fills + sign,
            "quantity": plain(row.quantity + sign * execution.quantity),
            "notional": plain(row.notional + sign * notional),
            "commission": plain(row.commission + sign * execution.commission),
        }
    )
