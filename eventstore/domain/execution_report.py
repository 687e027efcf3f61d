"""Execution reports of a venue, as `uow.book_reports` takes them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import at
from eventstore.core.types import Money, Name, Nanoseconds, Price, Quantity, Text, UtcDatetime
from eventstore.core.validation import Validated
from eventstore.domain.executions import Liquidity
from eventstore.errors import DomainError


class ReportKind(StrEnum):
    """What an execution report says (FIX ExecType, 150).

    Attributes:
        FILL: The order traded (F, Trade).
        BUST: The venue took an execution back (H, Trade Cancel).
        CORRECT: The venue replaced an execution (G, Trade Correct).
    """

    FILL = "FILL"
    BUST = "BUST"
    CORRECT = "CORRECT"


class ExecutionReport(Validated):
    """One execution report. It names its order by one of three ids.

    Attributes:
        kind: FILL, BUST or CORRECT.
        execution_id: The id of the execution (FIX ExecID, 17); of a bust, that of the execution that is busted.
        replaces: Of a correction: the id of the execution that it replaces (FIX ExecRefID, 19); None if the venue kept
            the id.
        order_id: The order, by our id.
        client_order_id: The order, by the id that we sent (FIX ClOrdID, 11), also an earlier one.
        broker_order_id: The order, by the broker's id (FIX OrderID, 37), also an earlier one.
        quantity: Shares or contracts (FIX LastQty, 32). A fill needs it.
        price: Price of one (FIX LastPx, 31). A fill needs it.
        commission: FIX Commission (12); a rebate is negative. Of a correction: None if it is unchanged.
        commission_currency: Its currency or coin; None for the order's.
        venue: Where it traded (FIX LastMkt, 30); None for the order's venue.
        liquidity: Whether it added liquidity or took it.
        allow_overfill: Whether what exceeds the order's quantity counts, as in `Order.fill`.
        reason: Why it was busted or corrected (FIX Text, 58).
        occurred_at: When it happened; None for the venue's time, or for the context's clock without one.
        transact_time_ns: The venue's time (FIX TransactTime, 60) in ns since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: ClassVar[str] = "report"

    kind: ReportKind = ReportKind.FILL
    execution_id: Name
    replaces: Name | None = None
    order_id: UUID | None = None
    client_order_id: Name | None = None
    broker_order_id: Name | None = None
    quantity: Quantity | None = None
    price: Price | None = None
    commission: Money | None = None
    commission_currency: Name | None = None
    venue: Name | None = None
    liquidity: Liquidity | None = None
    allow_overfill: bool = False
    reason: Text | None = None
    occurred_at: UtcDatetime | None = None
    transact_time_ns: Nanoseconds | None = None

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        ids = [one for one in (self.order_id, self.client_order_id, self.broker_order_id) if one is not None]
        if len(ids) != 1:
            raise DomainError(
                "report.order_id",
                f"execution report {self.execution_id}: give one of order_id, client_order_id and broker_order_id",
            )
        if self.kind is ReportKind.FILL and (self.quantity is None or self.price is None):
            raise DomainError(
                "report.quantity", f"execution report {self.execution_id}: a fill needs quantity and price"
            )
        return self

    @property
    def time(self) -> datetime:
        """When it happened, in UTC."""
        return at(self.occurred_at, self.transact_time_ns)

    @property
    def fill_commission(self) -> Decimal:
        """The commission of a fill; 0 if none was given."""
        return Decimal(0) if self.commission is None else self.commission
