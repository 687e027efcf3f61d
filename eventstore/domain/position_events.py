"""What a position is made of, and what can happen to it."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import now
from eventstore.core.event import Event
from eventstore.core.types import (
    Amount,
    Computed,
    Factor,
    Money,
    Name,
    Nanoseconds,
    Price,
    Quantity,
    UtcDatetime,
)
from eventstore.domain.order_events import ONE, ZERO, cost_from_average
from eventstore.errors import DomainError


class PositionFields(BaseModel):
    """The state of a position: each field is a column of the read table.

    Attributes:
        symbol: The instrument (FIX Symbol, 55).
        quantity: Shares or contracts: positive long, negative short, 0 once closed.
        cost: The exact sum of signed quantity x price of what is open, without the multiplier; 0 once closed. The
            constructor takes `average_entry_price` in its place.
        multiplier: Currency per point of price and contract (FIX ContractMultiplier, 231).
        current_price: The last price it was marked at; None: never marked.
        realized_pnl: What its reductions realised, in currency, before commissions.
        commission_paid: The sum of its commissions, in currency.
        stop_loss_price: The user's own limit; nothing acts on it here.
        take_profit_price: The user's own target; nothing acts on it here.
        strategy: The strategy it belongs to.
        portfolio_id: The portfolio it belongs to.
        tags: The user's own labels.
        execution_ids: Every execution counted, in order.
        opened_at: When it was opened.
        closed_at: When it was closed; None if it is open.
        last_updated: When it last changed.
    """

    symbol: Name
    quantity: Amount
    cost: Computed = ZERO
    multiplier: Factor = ONE
    current_price: Price | None = None
    realized_pnl: Computed = ZERO
    commission_paid: Computed = ZERO
    stop_loss_price: Price | None = None
    take_profit_price: Price | None = None
    strategy: Name | None = None
    portfolio_id: UUID | None = None
    tags: tuple[Name, ...] = ()
    execution_ids: tuple[Name, ...] = ()
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
    """A position was opened, or adopted from elsewhere with all its state.

    Attributes:
        transact_time_ns: The venue's time of the fill that opened it (FIX TransactTime, 60), in ns since the epoch.
    """

    transact_time_ns: Nanoseconds | None = None


class PositionIncreased(Event, category="position", validate_default=False):
    """A fill on the position's own side made it larger."""

    quantity: Quantity
    price: Price
    commission: Money = ZERO
    execution_id: Name | None = None
    transact_time_ns: Nanoseconds | None = None


class PositionReduced(Event, category="position", validate_default=False):
    """A fill on the other side made it smaller.

    Attributes:
        quantity: How much was closed; positive.
        price: The exit price.
        cost: The part of the position's signed cost that left it.
        realized_pnl: What this realised, in currency, before commission.
        commission: In currency.
        execution_id: The execution that did it.
        transact_time_ns: The venue's time in ns since the epoch.
    """

    quantity: Quantity
    price: Price
    cost: Computed
    realized_pnl: Computed
    commission: Computed = ZERO
    execution_id: Name | None = None
    transact_time_ns: Nanoseconds | None = None


class PositionClosed(PositionReduced, category="position", validate_default=False):
    """A fill on the other side closed what was left."""


class PositionMarked(Event, category="position", validate_default=False):
    """The market's price was noted."""

    price: Price
    transact_time_ns: Nanoseconds | None = None
