"""Orders: their life from creation to the last fill, cancel, rejection or expiry, in the terms of FIX."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, TypedDict, Unpack
from uuid import UUID

from eventstore.core import codec
from eventstore.core.context import at, exact, plain, total
from eventstore.core.entity import Entity, applies
from eventstore.domain.executions import ExecutionStatus, OrderSide
from eventstore.domain.order_events import (
    ACTIVE_ORDER_STATUSES,
    ONE,
    ZERO,
    Execution,
    OrderCancelled,
    OrderCreated,
    OrderExpired,
    OrderFields,
    OrderFillBusted,
    OrderFillCorrected,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    OrderSubmitted,
    OrderType,
    TimeInForce,
    check_prices,
)
from eventstore.errors import DomainError

__all__ = [
    "ACTIVE_ORDER_STATUSES",
    "Execution",
    "ExecutionStatus",
    "Order",
    "OrderAmended",
    "OrderCancelled",
    "OrderCreated",
    "OrderDeleted",
    "OrderDetails",
    "OrderExpired",
    "OrderFillBusted",
    "OrderFillCorrected",
    "OrderFilled",
    "OrderRejected",
    "OrderSide",
    "OrderStatus",
    "OrderSubmitted",
    "OrderType",
    "TimeInForce",
]


_execution = codec.maker(Execution).of_all_fields()

_ENDED_BY_TIME = {OrderStatus.CANCELLED: "cancelled_at", OrderStatus.EXPIRED: "expired_at"}
# A tuple finds a member by its identity, a mapping by a hash that enum computes in Python.
_ENDED = tuple(_ENDED_BY_TIME)


class _Report(TypedDict):
    """The fields of the order in every event of an execution."""

    symbol: str
    strategy: str | None
    multiplier: Decimal | None


class OrderDetails(TypedDict, total=False):
    """The keywords of every factory of `Order`, besides the prices of its type.

    Attributes:
        time_in_force: DAY unless given.
        multiplier: Currency per point of price and contract; 1 unless given.
        portfolio_id: The portfolio it trades for.
        strategy: The strategy it trades for.
        tags: The user's own labels.
        id: The order's id; a new one unless given.
        occurred_at: The time of creation; None for the context's clock.
    """

    time_in_force: TimeInForce
    multiplier: Decimal
    portfolio_id: UUID | None
    strategy: str | None
    tags: Sequence[str]
    id: UUID | None
    occurred_at: datetime | None


class Order(OrderFields, Entity, category="order", created=OrderCreated):
    """An order and its fills.

    The rules, where FIX leaves a choice:

    - A fill proves that the venue has the order, so it is legal on a PENDING one: an execution report may overtake
      the acknowledgement. `submit` then only records the broker's id and the time.
    - A fill that happened at or before the order's cancel or expiry, and is reported after it, counts and leaves
      the status. One that happened after it is refused. A cancel's own time is not compared with fills already
      counted: the two come from different clocks.
    - Time in force is the venue's to enforce. A venue may report the one fill of an IOC or FOK order in several
      executions, so none is refused for being partial.
    - Once counted, an execution id is known for good, also after it was busted or corrected.

    `OrderFields` describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the
    context's clock, or the venue's time if `transact_time_ns` is given; a naive datetime means local time).
    Every method raises `DomainError` and changes nothing if a rule forbids the change.
    """

    creation_time_field: ClassVar[str | None] = "created_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("symbol", "side", "order_type", "quantity", "status")

    # ---- derived values ------------------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether the order may still trade: PENDING, SUBMITTED or PARTIALLY_FILLED."""
        return self.status in ACTIVE_ORDER_STATUSES

    @property
    @exact
    def leaves_quantity(self) -> Decimal:
        """The quantity still open (FIX LeavesQty, 151): quantity - filled while active, else 0."""
        return plain(self.quantity - self.filled_quantity) if self.is_active else ZERO

    @property
    @exact
    def average_fill_price(self) -> Decimal | None:
        """The fills' average price (FIX AvgPx, 6): filled cost / filled quantity; None before the first fill."""
        return plain(self.filled_cost / self.filled_quantity) if self.filled_quantity else None

    @property
    @exact
    def filled_notional(self) -> Decimal:
        """The fills' value in currency (FIX GrossTradeAmt, 381): filled cost x multiplier."""
        return plain(self.filled_cost * self.multiplier)

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """The ids of all executions known, in the order of report."""
        return tuple(dict.fromkeys(execution.execution_id for execution in self.executions))

    # ---- factories -----------------------------------------------------------------------------------------

    @classmethod
    def create_market_order(
        cls, symbol: str, quantity: Decimal, side: OrderSide, **details: Unpack[OrderDetails]
    ) -> Order:
        """Make a PENDING order to trade at the market.

        Raises:
            DomainError: A value is not of its type or out of its range (`order.quantity`, `order.symbol` ...).
        """
        return cls._made("create_market_order", symbol, quantity, side, OrderType.MARKET, None, None, details)

    @classmethod
    def create_limit_order(
        cls,
        symbol: str,
        quantity: Decimal,
        side: OrderSide,
        *,
        limit_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order to trade at `limit_price` or better.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.limit_price`.
        """
        return cls._made(
            "create_limit_order", symbol, quantity, side, OrderType.LIMIT, limit_price, None, details
        )

    @classmethod
    def create_stop_order(
        cls,
        symbol: str,
        quantity: Decimal,
        side: OrderSide,
        *,
        stop_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order that becomes a market order when `stop_price` trades.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.stop_price`.
        """
        return cls._made(
            "create_stop_order", symbol, quantity, side, OrderType.STOP, None, stop_price, details
        )

    @classmethod
    def create_stop_limit_order(
        cls,
        symbol: str,
        quantity: Decimal,
        side: OrderSide,
        *,
        stop_price: Decimal,
        limit_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order that becomes a limit order at `limit_price` when `stop_price` trades.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.limit_price`, `order.stop_price`.
        """
        return cls._made(
            "create_stop_limit_order",
            symbol,
            quantity,
            side,
            OrderType.STOP_LIMIT,
            limit_price,
            stop_price,
            details,
        )

    @classmethod
    def _made(  # noqa: PLR0917 - called by the four factories above, which name their arguments
        cls,
        factory: str,
        symbol: str,
        quantity: Decimal,
        side: OrderSide,
        order_type: OrderType,
        limit_price: Decimal | None,
        stop_price: Decimal | None,
        details: OrderDetails,
    ) -> Order:
        own = cls._own_details(factory, Order, details, OrderDetails.__annotations__)
        given = {name: value for name, value in details.items() if name not in {"id", "occurred_at"}}
        when = at(details.get("occurred_at"))
        created: Any = cls.created_event
        event = created(
            occurred_at=when,
            created_at=when,
            symbol=symbol,
            side=side,
            order_type=order_type,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            **(given | own),
        )
        return cls.create(event, id=details.get("id"))

    # ---- commands ------------------------------------------------------------------------------------------

    def submit(self, broker_order_id: str, *, occurred_at: datetime | None = None) -> None:
        """Record the broker's acknowledgement: PENDING becomes SUBMITTED.

        If a fill overtook the acknowledgement, the status set by the fill stays.

        Raises:
            DomainError: `order.broker_order_id` (empty, too long); `order.not_pending`.
        """
        event = OrderSubmitted(occurred_at=at(occurred_at), broker_order_id=broker_order_id)
        overtaken = self.submitted_at is None and self.status in (
            OrderStatus.SUBMITTED,
            OrderStatus.PARTIALLY_FILLED,
            OrderStatus.FILLED,
        )
        if self.status is not OrderStatus.PENDING and not overtaken:
            raise self._refusal("not_pending", "submit it: only a PENDING order can be submitted")
        self.emit(event)

    @exact
    def fill(
        self,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal = ZERO,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Count a fill (FIX ExecType F); a repeat of a known fill changes nothing.

        Args:
            quantity: Shares or contracts (FIX LastQty, 32).
            price: Price of one (FIX LastPx, 31).
            execution_id: The venue's id (FIX ExecID, 17).
            commission: In the account's currency (FIX Commission, 12); a rebate is negative.
            occurred_at: When the fill happened, not when it was reported.
            transact_time_ns: The venue's time (FIX TransactTime, 60) in ns since the epoch; kept as it is.

        Returns:
            Whether it counted; False if this execution was counted before.

        Raises:
            DomainError: A bad value (`order.quantity`, `order.price` ...); `order.execution_conflict` (the id is
                known with other content); `order.fill_after_rejection`; `order.fill_after_cancel`;
                `order.fill_after_expiry`; `order.overfill`.
        """
        event = OrderFilled(
            occurred_at=at(occurred_at, transact_time_ns),
            execution_id=execution_id,
            quantity=quantity,
            price=price,
            commission=commission,
            transact_time_ns=transact_time_ns,
            **self._of_report(),
        )
        if self._is_repeat(event.execution_id, event.quantity, event.price, event.commission):
            return False
        self._check_open_at(event.occurred_at)
        self._check_room(event.quantity, self.filled_quantity)
        self.emit(event)
        return True

    def bust_fill(
        self,
        execution_id: str,
        *,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Take a fill back (FIX ExecType H); its id is remembered and does not count again.

        FILLED becomes PARTIALLY_FILLED, or SUBMITTED if nothing else is filled; CANCELLED and EXPIRED stay.

        Args:
            execution_id: The execution that is busted (FIX ExecRefID, 19).
            reason: Why, for the event.
            occurred_at: When it was busted.
            transact_time_ns: The venue's time in ns since the epoch.

        Returns:
            Whether anything changed; False if it was busted before.

        Raises:
            DomainError: A bad value; `order.unknown_execution`; `order.execution_corrected` (bust the one that
                replaced it).
        """
        counted = next((e for e in self.executions if e.counts and e.execution_id == execution_id), None)
        event = OrderFillBusted(
            occurred_at=at(occurred_at, transact_time_ns),
            execution_id=execution_id,
            reason=reason,
            transact_time_ns=transact_time_ns,
            busted=counted,
            **self._of_report(),
        )
        known = self._known(event.execution_id)
        if counted is None:
            if known[-1].status is ExecutionStatus.BUSTED:
                return False
            raise self._corrected(event.execution_id)
        self.emit(event)
        return True

    @exact
    def correct_fill(
        self,
        execution_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        commission: Decimal | None = None,
        new_execution_id: str | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Replace a fill by a corrected one (FIX ExecType G); the old one is remembered and does not count.

        The corrected fill happened when the old one did.

        Args:
            execution_id: The execution that is corrected (FIX ExecRefID, 19).
            quantity: The right quantity; None if it is unchanged.
            price: The right price; None if it is unchanged.
            commission: The right commission; None if it is unchanged.
            new_execution_id: The correction's own id (FIX ExecID, 17); None if the venue kept the old one.
            reason: Why, for the event.
            occurred_at: When it was corrected.
            transact_time_ns: The venue's time of the correction in ns since the epoch.

        Returns:
            Whether anything changed; False if this correction was counted before.

        Raises:
            DomainError: `order.unknown_execution`; a bad value; `order.execution_conflict` (the new id is known
                with other content); `order.execution_busted`; `order.execution_corrected` (correct the one that
                replaced it); `order.overfill`.
        """
        known = self._known(execution_id)
        old = next((execution for execution in known if execution.counts), known[-1])
        event = OrderFillCorrected(
            occurred_at=at(occurred_at, transact_time_ns),
            execution_id=execution_id,
            new_execution_id=execution_id if new_execution_id is None else new_execution_id,
            quantity=old.quantity if quantity is None else quantity,
            price=old.price if price is None else price,
            commission=old.commission if commission is None else commission,
            reason=reason,
            transact_time_ns=transact_time_ns,
            corrected=old,
            **self._of_report(),
        )
        if event.new_execution_id != event.execution_id:
            if self._is_repeat(
                event.new_execution_id, event.quantity, event.price, event.commission, corrects=execution_id
            ):
                return False
        elif old.counts and old.says(event.quantity, event.price, event.commission):
            return False
        if old.status is ExecutionStatus.BUSTED:
            raise DomainError(
                "order.execution_busted", f"execution {execution_id} was busted and cannot be corrected"
            )
        if not old.counts:
            raise self._corrected(execution_id)
        self._check_room(event.quantity, self.filled_quantity - old.quantity)
        self.emit(event)
        return True

    def cancel(self, reason: str | None = None, *, occurred_at: datetime | None = None) -> None:
        """Cancel what is still open (FIX ExecType 4); fills counted so far stay.

        Raises:
            DomainError: `order.reason`; `order.not_active`.
        """
        event = OrderCancelled(occurred_at=at(occurred_at), reason=reason)
        self._check_active("cancelled")
        self.emit(event)

    def reject(self, reason: str, *, occurred_at: datetime | None = None) -> None:
        """Record that the broker or the venue refused the order (FIX ExecType 8).

        Legal while PENDING or SUBMITTED: an order that has traded is cancelled, not rejected.

        Raises:
            DomainError: `order.reason`; `order.not_rejectable`.
        """
        event = OrderRejected(occurred_at=at(occurred_at), reason=reason)
        if self.status not in (OrderStatus.PENDING, OrderStatus.SUBMITTED):
            raise self._refusal(
                "not_rejectable", "reject it: only a PENDING or SUBMITTED order can be rejected"
            )
        self.emit(event)

    def expire(self, reason: str | None = None, *, occurred_at: datetime | None = None) -> None:
        """Record that the order's time in force ended (FIX ExecType C); fills counted so far stay.

        Raises:
            DomainError: `order.reason`; `order.not_active`.
        """
        event = OrderExpired(occurred_at=at(occurred_at), reason=reason)
        self._check_active("expired")
        self.emit(event)

    def amend(
        self,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: TimeInForce | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Record a cancel/replace (FIX ExecType 5, Replaced); None leaves a field unchanged.

        Amending the quantity down to what is filled completes the order: it becomes FILLED, since nothing is
        left to trade.

        Returns:
            Whether anything changed; False if the order has these values already; then nothing is emitted.

        Raises:
            DomainError: `order.not_active`; a bad value; `order.limit_price` or `order.stop_price` (a price that the
                order's type does not have); `order.quantity_below_filled`.
        """
        self._check_active("amended")
        wanted = {
            "quantity": quantity,
            "limit_price": limit_price,
            "stop_price": stop_price,
            "time_in_force": time_in_force,
        }
        when = at(occurred_at)
        values = {name: value for name, value in wanted.items() if value is not None}
        checked = OrderAmended(occurred_at=when, **values).changes
        changes = {name: value for name, value in checked.items() if self.__dict__[name] != value}
        if not changes:
            return False
        check_prices(
            self.order_type,
            changes.get("limit_price", self.limit_price),
            changes.get("stop_price", self.stop_price),
        )
        amended_quantity = changes.get("quantity", self.quantity)
        if amended_quantity < self.filled_quantity:
            raise DomainError(
                "order.quantity_below_filled",
                f"order {self.id}: {self.filled_quantity} are filled, the quantity cannot become "
                f"{amended_quantity}: amend it to {self.filled_quantity} or more, or cancel the order",
            )
        if amended_quantity == self.filled_quantity:
            changes |= {"status": OrderStatus.FILLED, "filled_at": when}
        self.emit(OrderAmended(occurred_at=when, **changes))
        return True

    # ---- rules ---------------------------------------------------------------------------------------------

    def _refusal(self, rule: str, what: str) -> DomainError:
        return DomainError(f"order.{rule}", f"order {self.id} is {self.status}, cannot {what}")

    def _check_active(self, done: str) -> None:
        if not self.is_active:
            raise self._refusal("not_active", f"be {done}: only an active order can")

    def _check_room(self, quantity: Decimal, filled: Decimal) -> None:
        if filled + quantity > self.quantity:
            raise DomainError(
                "order.overfill",
                f"order {self.id}: {filled} of {self.quantity} are filled, a fill of {quantity} is "
                f"{plain(filled + quantity - self.quantity)} too many: look for a wrong order or a missing amend",
            )

    def _check_open_at(self, when: datetime) -> None:
        if self.status is OrderStatus.REJECTED:
            raise self._refusal("fill_after_rejection", "be filled: a rejected order never traded")
        field = _ENDED_BY_TIME.get(self.status)
        if field is None:
            return
        ended: datetime | None = self.__dict__[field]
        if ended is None or when > ended:
            rule = "fill_after_cancel" if self.status is OrderStatus.CANCELLED else "fill_after_expiry"
            raise self._refusal(
                rule,
                f"be filled at {when.isoformat()}: its {field} is {ended and ended.isoformat()}. "
                "Give occurred_at= the time at which the venue traded it",
            )

    def _known(self, execution_id: str) -> list[Execution]:
        known = [execution for execution in self.executions if execution.execution_id == execution_id]
        if not known:
            raise DomainError(
                "order.unknown_execution",
                f"order {self.id} has no execution {execution_id!r}: "
                f"it has {', '.join(self.execution_ids) or 'none'}",
            )
        return known

    def _is_repeat(
        self,
        execution_id: str,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal,
        *,
        corrects: str | None = None,
    ) -> bool:
        known = [execution for execution in self.executions if execution.execution_id == execution_id]
        if not known:
            return False
        if any(
            execution.says(quantity, price, commission) and corrects in (None, execution.corrects)
            for execution in known
        ):
            return True
        last = known[-1]
        raise DomainError(
            "order.execution_conflict",
            f"order {self.id}: execution {execution_id} is known as {last.quantity} at {last.price}, commission "
            f"{last.commission}, not as {quantity} at {price}, commission {commission}: "
            "use correct_fill() if the venue corrected it",
        )

    def _corrected(self, execution_id: str) -> DomainError:
        heir = next((e.execution_id for e in self.executions if e.corrects == execution_id), "another")
        return DomainError(
            "order.execution_corrected",
            f"order {self.id}: execution {execution_id} was corrected and no longer counts: name {heir}",
        )

    def _of_report(self) -> _Report:
        """Return the fields of the order for an event of an execution."""
        return {
            "symbol": self.symbol,
            "strategy": self.strategy,
            "multiplier": None if self.multiplier == ONE else self.multiplier,
        }

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(OrderSubmitted)
    def _submitted(self, event: OrderSubmitted) -> None:
        status = OrderStatus.SUBMITTED if self.status is OrderStatus.PENDING else self.status
        self.set(status=status, broker_order_id=event.broker_order_id, submitted_at=event.occurred_at)

    @applies(OrderFilled)
    def _filled(self, event: OrderFilled) -> None:
        # Most events of a log are fills, and pydantic makes each attribute access slower.
        report = event.__dict__
        quantity, price, commission = report["quantity"], report["price"], report["commission"]
        execution = _execution(
            {
                "execution_id": report["execution_id"],
                "quantity": quantity,
                "price": price,
                "commission": commission,
                "occurred_at": report["occurred_at"],
                "transact_time_ns": report["transact_time_ns"],
                "status": ExecutionStatus.COUNTED,
                "corrects": None,
            }
        )
        self._count(quantity, price, commission, report["occurred_at"])
        self.set(executions=(*self.executions, execution))

    @applies(OrderFillBusted)
    def _fill_busted(self, event: OrderFillBusted) -> None:
        old = self._replace_counted(event.execution_id, ExecutionStatus.BUSTED)
        self._count(-old.quantity, old.price, -old.commission, event.occurred_at)

    @applies(OrderFillCorrected)
    def _fill_corrected(self, event: OrderFillCorrected) -> None:
        old = self._replace_counted(event.execution_id, ExecutionStatus.CORRECTED)
        correction = {
            **old.__dict__,
            "execution_id": event.new_execution_id,
            "quantity": event.quantity,
            "price": event.price,
            "commission": event.commission,
            "corrects": event.execution_id,
        }
        self.set(executions=(*self.executions, _execution(correction)))
        completed_at = self.filled_at or event.occurred_at
        self._count(-old.quantity, old.price, -old.commission, event.occurred_at)
        self._count(event.quantity, event.price, event.commission, completed_at)

    @applies(OrderCancelled)
    def _cancelled(self, event: OrderCancelled) -> None:
        self.set(status=OrderStatus.CANCELLED, reason=event.reason, cancelled_at=event.occurred_at)

    @applies(OrderRejected)
    def _rejected(self, event: OrderRejected) -> None:
        self.set(status=OrderStatus.REJECTED, reason=event.reason, rejected_at=event.occurred_at)

    @applies(OrderExpired)
    def _expired(self, event: OrderExpired) -> None:
        self.set(status=OrderStatus.EXPIRED, reason=event.reason, expired_at=event.occurred_at)

    def _count(self, quantity: Decimal, price: Decimal, commission: Decimal, when: datetime) -> None:
        state = self.__dict__
        filled = total(state["filled_quantity"], quantity)
        status = state["status"]
        if status not in _ENDED:
            if filled == state["quantity"]:
                status = OrderStatus.FILLED
            else:
                status = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.SUBMITTED
        self.set(
            filled_quantity=filled,
            # Rounding at 34 digits could leave a trace when every fill was busted.
            filled_cost=total(state["filled_cost"], quantity * price) if filled else ZERO,
            commission=total(state["commission"], commission),
            status=status,
            filled_at=when if status is OrderStatus.FILLED else None,
        )

    def _replace_counted(self, execution_id: str, status: ExecutionStatus) -> Execution:
        executions = list(self.executions)
        index = next(
            i for i, known in enumerate(executions) if known.counts and known.execution_id == execution_id
        )
        old = executions[index]
        executions[index] = _execution({**old.__dict__, "status": status})
        self.set(executions=tuple(executions))
        return old


OrderAmended = Order.amended_event
"""Fields of an order were amended or assigned."""

OrderDeleted = Order.deleted_event
"""An order was deleted."""
