"""A projection of one's own: what was traded, by day, symbol and strategy.

Its key is no stream: fills of any number of orders meet in one row. Every event of an execution says what it needs to
be understood alone (`ExecutionReport`), so neither the key nor the fold looks anything up.

A bust takes the execution back, and a correction replaces it, on the day that it traded, whenever they are reported: a
row is what the venue says now of that day. Each is booked under the symbol and strategy that the order has when it is
reported; so an order that is given to another strategy between a fill and its bust leaves the two under different ones.
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
    """What a strategy traded of a symbol on one day.

    Attributes:
        day: The day on which it traded, in UTC.
        symbol: The instrument.
        strategy: The strategy; empty for orders without one.
        fills: Executions that count.
        quantity: Their shares or contracts, bought and sold alike.
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
        """Return the day that the execution traded, its symbol and its strategy."""
        report: Any = event.event
        traded = _old(report) or report
        return traded.occurred_at.astimezone(UTC).date(), report.symbol or "", report.strategy or ""

    @exact
    def evolve(self, row: Turnover | None, event: RecordedEvent) -> Turnover | None:
        """Add what was traded; take back what was busted or replaced. A day without executions has no row."""
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
    """Return the execution that no longer counts; None where there is none."""
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
