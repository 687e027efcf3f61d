"""The fields and the events of an order."""

from __future__ import annotations

import decimal
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import CONTEXT, exact, now, plain
from eventstore.core.event import Event
from eventstore.core.types import (
    Computed,
    Factor,
    Money,
    Name,
    Nanoseconds,
    NonNegative,
    Price,
    Quantity,
    Text,
    UtcDatetime,
)
from eventstore.core.validation import Validated, number
from eventstore.domain.executions import ExecutionStatus, OrderSide
from eventstore.errors import DomainError

ZERO = Decimal(0)
"""Zero, as a quantity or an amount."""

ONE = Decimal(1)
"""One, the default multiplier."""


class OrderType(StrEnum):
    """The type of an order (FIX OrdType, 40)."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class OrderStatus(StrEnum):
    """The status of an order (FIX OrdStatus, 39; PENDING is Pending New, SUBMITTED is New)."""

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class TimeInForce(StrEnum):
    """How long an order stays active (FIX TimeInForce, 59). It is recorded; the venue enforces it."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


ACTIVE_ORDER_STATUSES = (OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
"""The statuses of an order that may still trade."""

_PENDING = OrderStatus.PENDING
_WITH_LIMIT_PRICE = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_WITH_STOP_PRICE = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


class Execution(Validated):
    """One execution of an order, remembered for good so that it never counts twice.

    Attributes:
        execution_id: The venue's id (FIX ExecID, 17).
        quantity: Shares or contracts (FIX LastQty, 32).
        price: Price of one (FIX LastPx, 31).
        commission: In the account's currency (FIX Commission, 12); a rebate is negative.
        occurred_at: When it happened.
        transact_time_ns: The venue's own time (FIX TransactTime, 60), in ns since the epoch.
        status: Whether it counts.
        corrects: The id of the execution that this one replaced (FIX ExecRefID, 19).
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    execution_id: Name
    quantity: Quantity
    price: Price
    commission: Money = ZERO
    occurred_at: UtcDatetime
    transact_time_ns: Nanoseconds | None = None
    status: ExecutionStatus = ExecutionStatus.COUNTED
    corrects: Name | None = None

    @property
    def counts(self) -> bool:
        """Whether the execution is part of the order's filled quantity."""
        return self.status is ExecutionStatus.COUNTED

    def says(self, quantity: Decimal, price: Decimal, commission: Decimal) -> bool:
        """Whether a report with this content is a repeat of this execution."""
        return self.quantity == quantity and self.price == price and self.commission == commission


class OrderFields(BaseModel):
    """The state of an order: each field is a column of the read table.

    Attributes:
        symbol: The instrument (FIX Symbol, 55).
        side: BUY or SELL (FIX Side, 54).
        order_type: FIX OrdType (40); it says which of the two prices must be given.
        quantity: Shares or contracts ordered (FIX OrderQty, 38).
        limit_price: FIX Price (44); of LIMIT and STOP_LIMIT orders, and of no other.
        stop_price: FIX StopPx (99); of STOP and STOP_LIMIT orders, and of no other.
        time_in_force: FIX TimeInForce (59).
        status: FIX OrdStatus (39).
        broker_order_id: The broker's id (FIX OrderID, 37).
        filled_quantity: Shares or contracts filled (FIX CumQty, 14).
        filled_cost: The exact sum of quantity x price over the fills, without the multiplier. The constructor
            takes `average_fill_price` in its place.
        commission: The sum of the fills' commissions, in the account's currency.
        multiplier: Currency per point of price and contract (FIX ContractMultiplier, 231).
        executions: Every execution reported, also those busted or corrected since, in the order of report. An
            order adopted from elsewhere may be filled by more than the executions that it lists.
        reason: Why it was cancelled, rejected or expired (FIX Text, 58).
        tags: The user's own labels.
        portfolio_id: The portfolio it trades for.
        strategy: The strategy it trades for.
        created_at: When it was made.
        submitted_at: When the broker acknowledged it.
        filled_at: When the fill that completed it happened.
        cancelled_at: When it was cancelled; later fills are refused.
        expired_at: When it expired; later fills are refused.
        rejected_at: When it was rejected.
    """

    symbol: Name
    side: OrderSide
    order_type: OrderType
    quantity: Quantity
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    status: OrderStatus = OrderStatus.PENDING
    broker_order_id: Name | None = None
    filled_quantity: NonNegative = ZERO
    filled_cost: Computed = ZERO
    commission: Computed = ZERO
    multiplier: Factor = ONE
    executions: tuple[Execution, ...] = ()
    reason: Text | None = None
    tags: tuple[Name, ...] = ()
    portfolio_id: UUID | None = None
    strategy: Name | None = None
    created_at: UtcDatetime = Field(default_factory=now)
    submitted_at: UtcDatetime | None = None
    filled_at: UtcDatetime | None = None
    cancelled_at: UtcDatetime | None = None
    expired_at: UtcDatetime | None = None
    rejected_at: UtcDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_average_price(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "average_fill_price" not in values:
            return values
        return {
            **{name: value for name, value in values.items() if name != "average_fill_price"},
            "filled_cost": cost_from_average(
                values,
                category="order",
                quantity="filled_quantity",
                price="average_fill_price",
                cost="filled_cost",
            ),
        }

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        check_prices(self.order_type, self.limit_price, self.stop_price)
        if self.status is not _PENDING or self.filled_quantity or self.filled_cost or self.executions:
            with decimal.localcontext(CONTEXT):
                _check_fills(self)
        return self


def cost_from_average(values: dict[str, Any], *, category: str, quantity: str, price: str, cost: str) -> Any:
    """Return the cost that a quantity and its average price determine, for constructors.

    Raises:
        DomainError: One of the two is not a number (`category.quantity`, `category.price`), or a cost that does not
            agree with them is given as well (`category.cost`).
    """
    given = values.get(cost)
    if values[price] is None:
        return ZERO if given is None else given
    total = cost_of(
        number(f"{category}.{quantity}", values.get(quantity, ZERO)),
        number(f"{category}.{price}", values[price]),
    )
    if given is not None and number(f"{category}.{cost}", given, wide=True) != total:
        raise DomainError(
            f"{category}.{cost}",
            f"{cost} {given} is not {quantity} x {price} = {total}: give one of {cost} and {price}",
        )
    return total


@exact
def cost_of(quantity: Decimal, price: Decimal) -> Decimal:
    """Return quantity x price."""
    return plain(quantity * price)


def check_prices(order_type: OrderType, limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    """Check that an order has the prices that its type needs, and no other.

    Raises:
        DomainError: `order.limit_price` or `order.stop_price`.
    """
    if (order_type in _WITH_LIMIT_PRICE) is (limit_price is None):
        raise _price_refused(order_type, "limit_price", limit_price)
    if (order_type in _WITH_STOP_PRICE) is (stop_price is None):
        raise _price_refused(order_type, "stop_price", stop_price)


def _price_refused(order_type: OrderType, name: str, price: Decimal | None) -> DomainError:
    if price is None:
        return DomainError(f"order.{name}", f"a {order_type} order needs a {name}: give one")
    return DomainError(
        f"order.{name}", f"a {order_type} order has no {name}, yet it was given {price}: leave it out"
    )


def _check_fills(order: OrderFields) -> None:
    filled, quantity, status = order.filled_quantity, order.quantity, order.status
    if filled > quantity:
        raise DomainError(
            "order.overfill", f"the filled quantity {filled} exceeds the order's quantity {quantity}"
        )
    if not filled and order.filled_cost:
        raise DomainError(
            "order.filled_cost", f"nothing is filled, so the filled cost must be 0, not {order.filled_cost}"
        )
    fits = {
        OrderStatus.PARTIALLY_FILLED: 0 < filled < quantity,
        OrderStatus.FILLED: filled == quantity,
        OrderStatus.CANCELLED: True,
        OrderStatus.EXPIRED: True,
    }.get(status, not filled)
    if not fits:
        raise DomainError(
            "order.status_and_quantity",
            f"an order of status {status} cannot have {filled} of {quantity} filled: call fill(), "
            "or assign both at once with amend_to({...})",
        )
    counted = [execution for execution in order.executions if execution.counts]
    if len({execution.execution_id for execution in counted}) < len(counted):
        raise DomainError("order.execution_conflict", "two executions that count have one execution id")
    if sum((execution.quantity for execution in counted), ZERO) > filled:
        raise DomainError(
            "order.executions", f"the executions that count sum to more than the filled quantity {filled}"
        )


class OrderCreated(OrderFields, Event, category="order", validate_default=False):
    """An order was made, or adopted from elsewhere with all its state."""


class OrderSubmitted(Event, category="order", validate_default=False):
    """The broker acknowledged the order (FIX ExecType 0, New)."""

    broker_order_id: Name


class ExecutionReport(Event):
    """What an execution's events say of its order, so that each is understood without the ones before it.

    Attributes:
        symbol: The order's instrument; None in no event that `Order` emits.
        strategy: The order's strategy when the event happened.
        multiplier: The order's multiplier; None if it is 1.
        transact_time_ns: The venue's time of the report (FIX TransactTime, 60), in ns since the epoch.
    """

    symbol: Name | None = None
    strategy: Name | None = None
    multiplier: Factor | None = None
    transact_time_ns: Nanoseconds | None = None


class OrderFilled(ExecutionReport, category="order", validate_default=False):
    """The order traded, in part or in full (FIX ExecType F, Trade)."""

    execution_id: Name
    quantity: Quantity
    price: Price
    commission: Money = ZERO


class OrderFillBusted(ExecutionReport, category="order", validate_default=False):
    """The venue took an execution back (FIX ExecType H, Trade Cancel).

    Attributes:
        busted: The execution that it took back.
    """

    execution_id: Name
    reason: Text | None = None
    busted: Execution | None = None


class OrderFillCorrected(ExecutionReport, category="order", validate_default=False):
    """The venue replaced an execution by another (FIX ExecType G, Trade Correct).

    Attributes:
        corrected: The execution that it replaced; the new one happened when that did.
    """

    execution_id: Name
    new_execution_id: Name
    quantity: Quantity
    price: Price
    commission: Money = ZERO
    reason: Text | None = None
    corrected: Execution | None = None


class OrderCancelled(Event, category="order"):
    """The order was cancelled (FIX ExecType 4, Canceled)."""

    reason: Text | None = None


class OrderRejected(Event, category="order"):
    """The order was rejected (FIX ExecType 8, Rejected)."""

    reason: Text


class OrderExpired(Event, category="order"):
    """The order's time in force ended (FIX ExecType C, Expired)."""

    reason: Text | None = None
