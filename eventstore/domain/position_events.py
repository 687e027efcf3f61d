"""What a position is made of, and what can happen to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import now
from eventstore.core.event import Event
from eventstore.core.types import (
    Amount,
    Computed,
    Details,
    Factor,
    Name,
    Nanoseconds,
    Price,
    Quantity,
    Text,
    UtcDatetime,
)
from eventstore.domain.executions import Execution, Liquidity, OrderSide, PositionSide, SplitRatio
from eventstore.domain.money import CurrencyAmount
from eventstore.domain.order_events import ONE, ZERO, cost_from_average
from eventstore.errors import DomainError


class FillKind(StrEnum):
    """Why the quantity of a position changed: by a trade, by the end of an option, or by a move between two positions."""

    TRADE = "TRADE"
    EXPIRY = "EXPIRY"
    EXERCISE = "EXERCISE"
    ASSIGNMENT = "ASSIGNMENT"
    TRANSFER = "TRANSFER"


class PositionFields(BaseModel):
    """The state of a position: each field is a column of the read table.

    Attributes:
        symbol: The instrument (FIX Symbol, 55).
        quantity: Shares or contracts: positive long, negative short, 0 once closed.
        cost: The exact sum of signed quantity x price of what is open, without the multiplier; 0 once closed. The
            constructor takes `average_entry_price` in its place.
        multiplier: Currency per point of price and contract (FIX ContractMultiplier, 231).
        current_price: The price of the latest mark; None: never marked.
        marked_at: When that mark happened, or a split that changed its price.
        marked_at_ns: The venue's time of that mark, in ns since the epoch; None if it has none.
        realized_pnl: What its fills realised, in currency, before commissions: (cost - the sum of signed quantity x price of
            the executions that count) x multiplier.
        commission_paid: The sum of its commissions, in its own currency.
        other_commissions: The commissions in other currencies or coins, each with its sum.
        stop_loss_price: The user's own limit; nothing acts on it here.
        take_profit_price: The user's own target; nothing acts on it here.
        strategy: The strategy it belongs to.
        portfolio_id: The portfolio it belongs to.
        account: The account (FIX Account, 1).
        venue: The venue.
        currency: The currency of the instrument, in which prices and results are (FIX Currency, 15).
        position_side: Which of the two positions it is in a portfolio that hedges; None in one that nets.
        tags: The user's own labels.
        details: The user's own texts by name, such as a desk or a signal; given as a mapping, kept as pairs.
        executions: The last `EXECUTIONS_KEPT_MAX` executions, busted and corrected ones too, in the order of report.
        opened_at: When it was opened.
        closed_at: When the fill happened that left nothing open; None if it is open.
        last_updated: The latest time of its fills and marks.
    """

    symbol: Name
    quantity: Amount
    cost: Computed = ZERO
    multiplier: Factor = ONE
    current_price: Price | None = None
    marked_at: UtcDatetime | None = None
    marked_at_ns: Nanoseconds | None = None
    realized_pnl: Computed = ZERO
    commission_paid: Computed = ZERO
    other_commissions: tuple[CurrencyAmount, ...] = ()
    stop_loss_price: Price | None = None
    take_profit_price: Price | None = None
    strategy: Name | None = None
    portfolio_id: UUID | None = None
    account: Name | None = None
    venue: Name | None = None
    currency: Name | None = None
    position_side: PositionSide | None = None
    tags: tuple[Name, ...] = ()
    details: Details = ()
    executions: tuple[Execution, ...] = ()
    opened_at: UtcDatetime = Field(default_factory=now)
    closed_at: UtcDatetime | None = None
    last_updated: UtcDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_average_price(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "average_entry_price" not in values:
            return values
        return {
            **{name: value for name, value in values.items() if name != "average_entry_price"},
            "cost": cost_from_average(
                values, category="position", quantity="quantity", price="average_entry_price", cost="cost"
            ),
        }

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        if not self.quantity and self.cost:
            raise DomainError("position.cost", f"nothing is open, so the cost must be 0, not {self.cost}")
        if bool(self.quantity) is (self.closed_at is not None):
            raise DomainError(
                "position.closed_at",
                f"a position is closed when its quantity is 0, and only then: quantity {self.quantity}, "
                f"closed_at {self.closed_at}: call close(), or assign both at once with amend_to({{...}})",
            )
        return self


class PositionOpened(PositionFields, Event, category="position", validate_default=False):
    """A position was opened by a fill, or adopted from elsewhere with all its state.

    The fill is in `executions`. What else it says is here too, so that the log finds it by its id.

    Attributes:
        execution_id: The execution that opened it.
        order_id: The order that it filled.
        commission_currency: The currency or coin of its commission; None for the position's own currency.
        whole_quantity: The quantity of the whole execution, if the rest of it closed the opposite position.
        whole_commission: The commission of the whole execution, in that case.
        liquidity: Whether it was maker or taker.
        transact_time_ns: The venue's time of it (FIX TransactTime, 60), in ns since the epoch.
    """

    execution_id: Name | None = None
    order_id: UUID | None = None
    commission_currency: Name | None = None
    whole_quantity: Quantity | None = None
    whole_commission: Computed | None = None
    liquidity: Liquidity | None = None
    transact_time_ns: Nanoseconds | None = None


class PositionReport(Event):
    """What the events of an execution say of its position, so that each is understood without the ones before it.

    Attributes:
        symbol: The position's instrument.
        execution_id: The execution; None if it has no id.
        order_id: The order of ours that it filled.
        account: The account (FIX Account, 1).
        venue: Where it traded (FIX LastMkt, 30).
        currency: The currency of the price.
        multiplier: The position's multiplier; None if it is 1.
        portfolio_id: The position's portfolio.
        strategy: The position's strategy.
        transact_time_ns: The venue's time of the report (FIX TransactTime, 60), in ns since the epoch.
    """

    symbol: Name | None = None
    execution_id: Name | None = None
    order_id: UUID | None = None
    account: Name | None = None
    venue: Name | None = None
    currency: Name | None = None
    multiplier: Factor | None = None
    portfolio_id: UUID | None = None
    strategy: Name | None = None
    transact_time_ns: Nanoseconds | None = None


class PositionFilled(PositionReport, category="position", validate_default=False):
    """A fill changed what is open, or an option ended.

    What it realises follows from what is open before it, so the fold computes it.

    Attributes:
        side: BUY or SELL.
        quantity: How much counts in this position; positive.
        price: The price of one.
        commission: What counts in this position; a rebate is negative.
        commission_currency: Its currency or coin; None for the position's own currency.
        whole_quantity: The quantity of the whole execution, if the rest of it opened the opposite position.
        whole_commission: The commission of the whole execution, in that case.
        kind: A trade, or the end of an option.
        liquidity: Whether it was maker or taker.
    """

    side: OrderSide
    quantity: Quantity
    price: Price
    commission: Computed = ZERO
    commission_currency: Name | None = None
    whole_quantity: Quantity | None = None
    whole_commission: Computed | None = None
    kind: FillKind = FillKind.TRADE
    liquidity: Liquidity | None = None


class PositionFillBusted(PositionReport, category="position", validate_default=False):
    """The venue took an execution back (FIX ExecType H, Trade Cancel).

    Attributes:
        busted: The execution, as this position counted it.
        open_quantity: What is open without it.
        cost: What that cost, by the average cost of the other executions.
        reason: Why.
    """

    busted: Execution
    open_quantity: Computed
    cost: Computed
    reason: Text | None = None


class PositionFillCorrected(PositionReport, category="position", validate_default=False):
    """The venue replaced an execution by another, which happened when the first one did (FIX ExecType G, Trade Correct).

    Attributes:
        new_execution_id: The id of the new one.
        quantity: The right quantity.
        price: The right price.
        commission: The right commission.
        commission_currency: Its currency or coin; None for the position's own currency.
        whole_quantity: The quantity of the whole execution, if only a part of it counts here.
        whole_commission: The commission of the whole execution, in that case.
        corrected: The execution that was replaced, as this position counted it.
        open_quantity: What is open now.
        cost: What that cost, by the average cost of the executions that count.
        reason: Why.
    """

    new_execution_id: Name
    quantity: Quantity
    price: Price
    commission: Computed = ZERO
    commission_currency: Name | None = None
    whole_quantity: Quantity | None = None
    whole_commission: Computed | None = None
    corrected: Execution
    open_quantity: Computed
    cost: Computed
    reason: Text | None = None


class PositionMarked(Event, category="position", validate_default=False):
    """The market's price was noted."""

    price: Price
    transact_time_ns: Nanoseconds | None = None


class PositionSplit(Event, category="position", validate_default=False):
    """The instrument was split. What is open cost what it cost.

    Attributes:
        new: New shares.
        old: The old shares that they take the place of.
    """

    new: Quantity
    old: Quantity

    @property
    def ratio(self) -> SplitRatio:
        """The two numbers in lowest terms."""
        return SplitRatio.of("position.split", self.new, self.old)
