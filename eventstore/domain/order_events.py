"""The fields and the events of an order."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from datetime import datetime
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
    Details,
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
from eventstore.domain.executions import (
    Execution,
    Liquidity,
    OrderSide,
    PositionSide,
    SplitRatio,
)
from eventstore.domain.money import CurrencyAmount
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
    TRAILING_STOP = "TRAILING_STOP"
    MARKET_ON_CLOSE = "MARKET_ON_CLOSE"
    LIMIT_ON_CLOSE = "LIMIT_ON_CLOSE"
    MARKET_IF_TOUCHED = "MARKET_IF_TOUCHED"
    LIMIT_IF_TOUCHED = "LIMIT_IF_TOUCHED"


class OrderStatus(StrEnum):
    """The status of an order (FIX OrdStatus, 39; PENDING is Pending New, SUBMITTED is New)."""

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
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
    GTD = "GTD"
    OPG = "OPG"
    CLS = "CLS"


class OrderRequestKind(StrEnum):
    """What a request asks the venue for (FIX MsgType 35: F or G)."""

    CANCEL = "CANCEL"
    REPLACE = "REPLACE"


ACTIVE_ORDER_STATUSES = (
    OrderStatus.PENDING,
    OrderStatus.SUBMITTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.PENDING_CANCEL,
    OrderStatus.PENDING_REPLACE,
)
"""The statuses of an order that may still trade."""

_ENDED = (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
_REQUESTED = (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE)
_ACKNOWLEDGED = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
# The class of an enum finds a member more slowly than a module finds a name.
_PENDING, _SUBMITTED, _REJECTED = OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.REJECTED
_PARTIALLY_FILLED, _FILLED = OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED
_WITH_LIMIT_PRICE = frozenset(
    {OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_IF_TOUCHED}
)
_WITH_STOP_PRICE = frozenset(
    {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED}
)
_SPLIT_ROUNDING = Decimal("1E-20")  # far above what the roundings of `SplitRatio` come to


class OrderRequest(Validated):
    """A cancel or replace request that the venue has not answered yet.

    Attributes:
        kind: CANCEL or REPLACE.
        client_order_id: The request's own id (FIX ClOrdID, 11).
        occurred_at: When it was sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    kind: OrderRequestKind
    client_order_id: Name | None = None
    occurred_at: UtcDatetime


class OrderFields(BaseModel):
    """The state of an order: each field is a column of the read table.

    Attributes:
        symbol: The instrument (FIX Symbol, 55).
        side: BUY or SELL (FIX Side, 54).
        order_type: FIX OrdType (40); it says which prices must be given.
        quantity: Shares or contracts ordered (FIX OrderQty, 38). An order with a `cash_quantity` has None until it
            is FILLED, and then what was filled.
        cash_quantity: The amount of money to trade for, in place of a quantity (FIX CashOrderQty, 152).
        limit_price: FIX Price (44); of the types with LIMIT in their name, and of no other.
        stop_price: FIX StopPx (99); of STOP, STOP_LIMIT and ..._IF_TOUCHED orders; a TRAILING_STOP may have one.
        trailing_offset: How far a TRAILING_STOP follows the market (FIX PegOffsetValue, 211), in units of price.
        time_in_force: FIX TimeInForce (59).
        expire_at: When a GTD order ends (FIX ExpireTime, 126); None if it is not known.
        status: FIX OrdStatus (39).
        client_order_id: Our own id of the order (FIX ClOrdID, 11), which a replace changes.
        replaced_client_order_ids: The client order ids that it had before (the chain of FIX OrigClOrdID, 41).
        broker_order_id: The broker's id (FIX OrderID, 37).
        broker_order_ids: Every broker id that it ever had, the first one first.
        parent_id: The order that it belongs to: the entry of a bracket, the order that was sliced.
        list_id: The group of orders that it belongs to, such as one-cancels-other (FIX ListID, 66).
        account: FIX Account (1).
        venue: Where it was sent (FIX ExDestination, 100).
        currency: The currency of its prices (FIX Currency, 15).
        position_side: The side of the position that it trades, where an account holds both (FIX PositionEffect is
            not enough there).
        reduce_only: It may only make a position smaller.
        post_only: It may only add liquidity (FIX ExecInst 6).
        short_sale: It sells what is borrowed (FIX Side 5, Sell short).
        display_quantity: The part that the market sees (FIX DisplayQty, 1138).
        requests: The cancel and replace requests that the venue has not answered.
        filled_quantity: Shares or contracts filled (FIX CumQty, 14).
        filled_cost: The exact sum of quantity x price over the fills, without the multiplier. The constructor
            takes `average_fill_price` in its place.
        commission: The sum of the fills' commissions in the order's currency.
        other_commissions: The sums of those in other currencies or coins.
        was_filled_after_end: Whether the venue reported a fill that happened after the order's cancel or expiry, or
            that of an order which we believed rejected.
        multiplier: Currency per point of price and contract (FIX ContractMultiplier, 231).
        executions: The last `EXECUTIONS_KEPT_MAX` executions, also those busted or corrected since, in the order of
            report, in shares of now. The log has all of them. An order adopted from elsewhere may be filled by more
            than the executions that it lists.
        split_ratio: The splits since the order was made, as one ratio; None: there was none.
        reason: Why it was cancelled, rejected or expired (FIX Text, 58).
        tags: The user's own labels.
        details: The user's own texts by name, such as a desk or a signal; given as a mapping, kept as pairs.
        portfolio_id: The portfolio it trades for.
        strategy: The strategy it trades for.
        created_at: When it was made.
        submitted_at: When the broker acknowledged it.
        filled_at: When the fill that completed it happened.
        completed_at: When the venue said that an order of an amount of money is done.
        cancelled_at: When it was cancelled.
        expired_at: When it expired.
        rejected_at: When it was rejected.
    """

    symbol: Name
    side: OrderSide
    order_type: OrderType
    quantity: Quantity | None = None
    cash_quantity: Quantity | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trailing_offset: Price | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expire_at: UtcDatetime | None = None
    status: OrderStatus = OrderStatus.PENDING
    client_order_id: Name | None = None
    replaced_client_order_ids: tuple[Name, ...] = ()
    broker_order_id: Name | None = None
    broker_order_ids: tuple[Name, ...] = ()
    parent_id: UUID | None = None
    list_id: Name | None = None
    account: Name | None = None
    venue: Name | None = None
    currency: Name | None = None
    position_side: PositionSide | None = None
    reduce_only: bool = False
    post_only: bool = False
    short_sale: bool = False
    display_quantity: Quantity | None = None
    requests: tuple[OrderRequest, ...] = ()
    filled_quantity: NonNegative = ZERO
    filled_cost: Computed = ZERO
    commission: Computed = ZERO
    other_commissions: tuple[CurrencyAmount, ...] = ()
    was_filled_after_end: bool = False
    multiplier: Factor = ONE
    executions: tuple[Execution, ...] = ()
    split_ratio: SplitRatio | None = None
    reason: Text | None = None
    tags: tuple[Name, ...] = ()
    details: Details = ()
    portfolio_id: UUID | None = None
    strategy: Name | None = None
    created_at: UtcDatetime = Field(default_factory=now)
    submitted_at: UtcDatetime | None = None
    filled_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    cancelled_at: UtcDatetime | None = None
    expired_at: UtcDatetime | None = None
    rejected_at: UtcDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if "average_fill_price" in values:
            values = {
                **{name: value for name, value in values.items() if name != "average_fill_price"},
                "filled_cost": cost_from_average(
                    values,
                    category="order",
                    quantity="filled_quantity",
                    price="average_fill_price",
                    cost="filled_cost",
                ),
            }
        broker_id, broker_ids = values.get("broker_order_id"), values.get("broker_order_ids", ())
        if broker_id is not None and isinstance(broker_ids, tuple | list) and broker_id not in broker_ids:
            values = {**values, "broker_order_ids": (*broker_ids, broker_id)}
        return values

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        check_prices(self.order_type, self.limit_price, self.stop_price, self.trailing_offset)
        if self.quantity is None or self.cash_quantity is not None:
            _check_amount(self)
        if self.expire_at is not None:
            check_expiry(self.time_in_force, self.expire_at)
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


def check_prices(
    order_type: OrderType,
    limit_price: Decimal | None,
    stop_price: Decimal | None,
    trailing_offset: Decimal | None,
) -> None:
    """Check that an order has the prices that its type needs, and no other.

    Raises:
        DomainError: `order.limit_price`, `order.stop_price` or `order.trailing_offset`.
    """
    if (order_type in _WITH_LIMIT_PRICE) is (limit_price is None):
        raise _price_refused(order_type, "limit_price", limit_price)
    if order_type is OrderType.TRAILING_STOP:
        if stop_price is None and trailing_offset is None:
            raise DomainError(
                "order.trailing_offset",
                "a TRAILING_STOP order needs a trailing_offset or a stop_price: give one of them",
            )
        return
    if (order_type in _WITH_STOP_PRICE) is (stop_price is None):
        raise _price_refused(order_type, "stop_price", stop_price)
    if trailing_offset is not None:
        raise _price_refused(order_type, "trailing_offset", trailing_offset)


def _price_refused(order_type: OrderType, name: str, price: Decimal | None) -> DomainError:
    if price is None:
        return DomainError(f"order.{name}", f"a {order_type} order needs a {name}: give one")
    return DomainError(
        f"order.{name}", f"a {order_type} order has no {name}, yet it was given {price}: leave it out"
    )


def check_expiry(time_in_force: TimeInForce, expire_at: datetime) -> None:
    """Check that only a GTD order has a time at which it ends.

    Raises:
        DomainError: `order.expire_at`.
    """
    if time_in_force is not TimeInForce.GTD:
        raise DomainError(
            "order.expire_at",
            f"a {time_in_force} order has no expire_at, yet it was given {expire_at.isoformat()}: make it GTD",
        )


def _check_amount(order: OrderFields) -> None:
    if order.cash_quantity is None:
        raise DomainError("order.quantity", "an order needs a quantity, or a cash_quantity in place of it")
    if order.quantity is not None and (
        order.status is not OrderStatus.FILLED or order.quantity != order.filled_quantity
    ):
        raise DomainError(
            "order.cash_quantity",
            f"an order of {order.cash_quantity} of money has no quantity until it is filled, yet it was given "
            f"{order.quantity}: give one of them",
        )


def _is_complete(state: Mapping[str, Any]) -> bool:
    """Whether nothing is left to trade."""
    cash: Decimal | None = state["cash_quantity"]
    filled: Decimal = state["filled_quantity"]
    if cash is None:
        ordered: Decimal | None = state["quantity"]
        return ordered is not None and filled >= ordered
    if not filled:
        return False
    value: Decimal = state["filled_cost"] * state["multiplier"]
    return state["completed_at"] is not None or value >= cash


def status_by_rule(state: Mapping[str, Any]) -> OrderStatus:  # noqa: PLR0911 - one return for each status
    """Return the status that follows from the facts of an order, whatever the way to them was.

    What ended stays ended: a late fill leaves CANCELLED and EXPIRED. REJECTED stays only while nothing was ever
    filled. Otherwise the order is FILLED if nothing is left to trade; PENDING_CANCEL or PENDING_REPLACE while a request
    is open; PARTIALLY_FILLED if anything is filled; SUBMITTED if the venue acknowledged it or reported any execution;
    and PENDING before that.

    Args:
        state: The fields of the order. Its status so far tells whether it ended, and whether it was acknowledged.
    """
    status: OrderStatus = state["status"]
    if status in _ENDED:
        return status
    filled = state["filled_quantity"]
    if filled and _is_complete(state):
        return _FILLED
    executions = state["executions"]
    if status is _REJECTED and not filled and not executions:
        return status
    requests: tuple[OrderRequest, ...] = state["requests"]
    if requests:
        is_cancel = any(request.kind is OrderRequestKind.CANCEL for request in requests)
        return OrderStatus.PENDING_CANCEL if is_cancel else OrderStatus.PENDING_REPLACE
    if filled:
        return _PARTIALLY_FILLED
    if executions or state["submitted_at"] is not None or status in _ACKNOWLEDGED:
        return _SUBMITTED
    return _PENDING


def fits(state: Mapping[str, Any]) -> bool:
    """Whether the status of an order agrees with what is filled."""
    status: OrderStatus = state["status"]
    filled = state["filled_quantity"]
    if status in _ENDED:
        return True
    if status is OrderStatus.FILLED:
        return bool(filled) and _is_complete(state)
    if status is OrderStatus.PARTIALLY_FILLED:
        return bool(filled) and not _is_complete(state)
    if status in _REQUESTED:
        return not (filled and _is_complete(state))
    return not filled


def _check_fills(order: OrderFields) -> None:
    filled, quantity, status = order.filled_quantity, order.quantity, order.status
    if quantity is not None and filled > quantity and status not in (OrderStatus.FILLED, *_ENDED):
        raise DomainError(
            "order.overfill", f"the filled quantity {filled} exceeds the order's quantity {quantity}"
        )
    if not filled and order.filled_cost:
        raise DomainError(
            "order.filled_cost", f"nothing is filled, so the filled cost must be 0, not {order.filled_cost}"
        )
    if not fits(order.__dict__):
        raise DomainError(
            "order.status_and_quantity",
            f"an order of status {status} cannot have {filled} of {quantity or order.cash_quantity} filled: call "
            "fill(), or assign both at once with amend_to({...})",
        )
    counted = [execution for execution in order.executions if execution.counts]
    keys = [execution.key for execution in counted if execution.key is not None]
    if len(set(keys)) < len(keys):
        raise DomainError("order.execution_conflict", "two executions that count have one execution id")
    rounding = ZERO if order.split_ratio is None else _SPLIT_ROUNDING
    if sum((execution.quantity for execution in counted), ZERO) > filled + rounding:
        raise DomainError(
            "order.executions", f"the executions that count sum to more than the filled quantity {filled}"
        )


class OrderCreated(OrderFields, Event, category="order", validate_default=False):
    """An order was made, or adopted from elsewhere with all its state."""


class OrderSubmitted(Event, category="order", validate_default=False):
    """The broker acknowledged the order (FIX ExecType 0, New)."""

    broker_order_id: Name


class OrderExecutionEvent(Event):
    """What an execution's events say of its order, so that each is understood without the ones before it.

    Attributes:
        symbol: The order's instrument; None in no event that `Order` emits.
        side: The order's side.
        portfolio_id: The order's portfolio when the event happened.
        strategy: The order's strategy when the event happened.
        account: The account (FIX Account, 1).
        venue: The venue of the execution (FIX LastMkt, 30).
        currency: The currency of the price.
        multiplier: The order's multiplier; None if it is 1.
        client_order_id: The order's client order id when the event happened.
        broker_order_id: The order's broker id when the event happened.
        split: The splits of the order up to then: quantities and prices are in shares after them. None: there was none.
        transact_time_ns: The venue's time of the report (FIX TransactTime, 60), in ns since the epoch.
    """

    symbol: Name | None = None
    side: OrderSide | None = None
    portfolio_id: UUID | None = None
    strategy: Name | None = None
    account: Name | None = None
    venue: Name | None = None
    currency: Name | None = None
    multiplier: Factor | None = None
    client_order_id: Name | None = None
    broker_order_id: Name | None = None
    split: SplitRatio | None = None
    transact_time_ns: Nanoseconds | None = None


class OrderFilled(OrderExecutionEvent, category="order", validate_default=False):
    """The order traded, in part or in full (FIX ExecType F, Trade)."""

    execution_id: Name | None = None
    quantity: Quantity
    price: Price
    commission: Money = ZERO
    commission_currency: Name | None = None
    liquidity: Liquidity | None = None
    position_ids: tuple[UUID, ...] = ()


class OrderFillBusted(OrderExecutionEvent, category="order", validate_default=False):
    """The venue took an execution back (FIX ExecType H, Trade Cancel).

    Attributes:
        busted: The execution that it took back.
    """

    execution_id: Name | None = None
    reason: Text | None = None
    busted: Execution | None = None


class OrderFillCorrected(OrderExecutionEvent, category="order", validate_default=False):
    """The venue replaced an execution by another (FIX ExecType G, Trade Correct).

    Attributes:
        corrected: The execution that it replaced; the new one happened when that did.
        reported_quantity: The quantity in the shares of the time of the fill, if there was a split since.
        reported_price: The price in the same shares.
    """

    execution_id: Name | None = None
    new_execution_id: Name | None = None
    quantity: Quantity
    price: Price
    commission: Money = ZERO
    commission_currency: Name | None = None
    reason: Text | None = None
    corrected: Execution | None = None
    reported_quantity: Quantity | None = None
    reported_price: Price | None = None


class OrderTerms(Event):
    """What a replace may change; None leaves a field as it is.

    Attributes:
        client_order_id: The id of the request, which becomes the order's (FIX ClOrdID, 11).
    """

    quantity: Quantity | None = None
    cash_quantity: Quantity | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trailing_offset: Price | None = None
    time_in_force: TimeInForce | None = None
    expire_at: UtcDatetime | None = None
    display_quantity: Quantity | None = None
    client_order_id: Name | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that it changes, with their new values."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if value is not None and name != "occurred_at"
        }


class OrderReplaceRequested(OrderTerms, category="order", validate_default=False):
    """We asked the venue to replace the order (FIX MsgType G, Order Cancel/Replace Request)."""


class OrderReplaced(OrderTerms, category="order", validate_default=False):
    """The venue replaced the order's terms (FIX ExecType 5, Replaced), asked or not."""

    broker_order_id: Name | None = None


class OrderCancelRequested(Event, category="order", validate_default=False):
    """We asked the venue to cancel the order (FIX MsgType F, Order Cancel Request)."""

    client_order_id: Name | None = None


class OrderRequestRejected(Event, category="order", validate_default=False):
    """The venue refused a cancel or a replace (FIX MsgType 9, Order Cancel Reject); the order goes on as it was."""

    client_order_id: Name | None = None
    reason: Text | None = None


class OrderSplit(Event, category="order", validate_default=False):
    """The order's instrument was split (FIX ExecType D, Restated, for a corporate action).

    Attributes:
        new: New shares.
        old: The old shares that they take the place of.
    """

    new: Quantity
    old: Quantity


class OrderSymbolChanged(Event, category="order", validate_default=False):
    """The order's instrument got another symbol (FIX ExecType D, Restated, for a corporate action)."""

    symbol: Name
    former_symbol: Name | None = None


class OrderCompleted(Event, category="order", validate_default=False):
    """The venue said that an order of an amount of money is done."""


class OrderCancelled(Event, category="order"):
    """The order was cancelled (FIX ExecType 4, Canceled)."""

    reason: Text | None = None


class OrderRejected(Event, category="order"):
    """The order was rejected (FIX ExecType 8, Rejected)."""

    reason: Text


class OrderExpired(Event, category="order"):
    """The order's time in force ended (FIX ExecType C, Expired)."""

    reason: Text | None = None
