"""Orders: their life from creation to the last fill, cancel, rejection or expiry, in the terms of FIX."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any, ClassVar, TypedDict, Unpack
from uuid import UUID

from eventstore.core import codec
from eventstore.core.context import at, exact, plain, total
from eventstore.core.entity import Entity, applies
from eventstore.core.entity_state import private
from eventstore.core.event import Amended, Event, PendingEvent, RecordedEvent
from eventstore.core.validation import number
from eventstore.domain.division import cost_share
from eventstore.domain.executions import (
    EXECUTIONS_KEPT_MAX,
    Execution,
    ExecutionKey,
    ExecutionStatus,
    Liquidity,
    Memory,
    OrderSide,
    PositionSide,
    SplitRatio,
    has_correction,
    has_id,
    is_complete,
    kept,
    known_as,
    not_before,
    noted,
)
from eventstore.domain.money import add_amount
from eventstore.domain.order_events import (
    ACTIVE_ORDER_STATUSES,
    ONE,
    ZERO,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    OrderExecutionEvent,
    OrderExpired,
    OrderFields,
    OrderFillBusted,
    OrderFillCorrected,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderRequest,
    OrderRequestKind,
    OrderRequestRejected,
    OrderSplit,
    OrderStatus,
    OrderSubmitted,
    OrderSymbolChanged,
    OrderTerms,
    OrderType,
    TimeInForce,
    check_expiry,
    check_prices,
    fits,
    status_by_rule,
)
from eventstore.errors import DomainError

__all__ = [
    "ACTIVE_ORDER_STATUSES",
    "Execution",
    "ExecutionStatus",
    "Liquidity",
    "Order",
    "OrderAmended",
    "OrderCancelRequested",
    "OrderCancelled",
    "OrderCompleted",
    "OrderCreated",
    "OrderDeleted",
    "OrderDetails",
    "OrderExecutionEvent",
    "OrderExpired",
    "OrderFillBusted",
    "OrderFillCorrected",
    "OrderFilled",
    "OrderRejected",
    "OrderReplaceRequested",
    "OrderReplaced",
    "OrderRequest",
    "OrderRequestKind",
    "OrderRequestRejected",
    "OrderSide",
    "OrderSplit",
    "OrderStatus",
    "OrderSubmitted",
    "OrderSymbolChanged",
    "OrderTerms",
    "OrderType",
    "PositionSide",
    "SplitRatio",
    "TimeInForce",
]


_execution = codec.maker(Execution).of_all_fields()
_UNSPLIT = SplitRatio(new=1, old=1)

_ENDED_BY_TIME = {OrderStatus.CANCELLED: "cancelled_at", OrderStatus.EXPIRED: "expired_at"}
# The class of an enum finds a member more slowly than a module finds a name.
_FILLED = OrderStatus.FILLED
# A tuple finds a member by its identity, a mapping by a hash that enum computes in Python.
_ENDED = tuple(_ENDED_BY_TIME)
_SPLIT_BY_HAND = frozenset({"executions", "filled_cost", "average_fill_price", "split_ratio"})
"""Who assigns one of these says himself what a change of both quantities means."""


class OrderDetails(TypedDict, total=False):
    """The keywords of every factory of `Order`, besides the prices of its type.

    Attributes:
        time_in_force: DAY unless given.
        expire_at: When a GTD order ends.
        cash_quantity: The amount of money to trade for; the quantity is then None.
        multiplier: Currency per point of price and contract; 1 unless given.
        client_order_id: Our own id of the order (FIX ClOrdID, 11).
        parent_id: The order that it belongs to.
        list_id: The group of orders that it belongs to (FIX ListID, 66).
        account: FIX Account (1).
        venue: Where it is sent.
        currency: The currency of its prices.
        position_side: The side of the position that it trades, where an account holds both.
        reduce_only: It may only make a position smaller.
        post_only: It may only add liquidity.
        short_sale: It sells what is borrowed.
        display_quantity: The part that the market sees.
        portfolio_id: The portfolio it trades for.
        strategy: The strategy it trades for.
        tags: The user's own labels.
        details: The user's own texts by name, as a mapping.
        id: The order's id; a new one unless given.
        occurred_at: The time of creation; None for the context's clock.
    """

    time_in_force: TimeInForce
    expire_at: datetime | None
    cash_quantity: Decimal | None
    multiplier: Decimal
    client_order_id: str | None
    parent_id: UUID | None
    list_id: str | None
    account: str | None
    venue: str | None
    currency: str | None
    position_side: PositionSide | None
    reduce_only: bool
    post_only: bool
    short_sale: bool
    display_quantity: Decimal | None
    portfolio_id: UUID | None
    strategy: str | None
    tags: Sequence[str]
    details: Mapping[str, str]
    id: UUID | None
    occurred_at: datetime | None


class Order(OrderFields, Entity, category="order", created=OrderCreated):
    """An order and its fills.

    The rules, where FIX leaves a choice:

    - A fill proves that the venue has the order, so it is legal on a PENDING one: an execution report may overtake
      the acknowledgement. `submit` then only records the broker's id and the time.
    - The status follows from the facts by one rule, `status_by_rule`, whatever the order of their report.
    - What the venue says wins. A fill counts after our own cancel or rejection, which may have been a time-out, and
      leaves CANCELLED and EXPIRED as they are. `was_filled_after_end` says that it happened. A cancel's own time is
      not compared with fills already counted: the two come from different clocks.
    - Time in force is the venue's to enforce. A venue may report the one fill of an IOC or FOK order in several
      executions, so none is refused for being partial.
    - An execution is known by account, venue and execution id. Once counted, it is known for good, also after it was
      busted or corrected. One without an id (None or "0") is never a repeat.
    - The state holds the last `EXECUTIONS_KEPT_MAX` executions, and the log all of them. If an order has more, a
      Unit of Work asks the log before it appends a fill, and refuses a repeat (`order.execution_repeated`).

    `OrderFields` describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the
    context's clock, or the venue's time if `transact_time_ns` is given; a naive datetime means local time).
    Every method raises `DomainError` and changes nothing if a rule forbids the change.
    """

    creation_time_field: ClassVar[str | None] = "created_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("symbol", "side", "order_type", "quantity", "status")

    # ---- derived values ------------------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether the order may still trade: one of `ACTIVE_ORDER_STATUSES`."""
        return self.status in ACTIVE_ORDER_STATUSES

    @property
    @exact
    def leaves_quantity(self) -> Decimal:
        """The quantity still open (FIX LeavesQty, 151): quantity - filled while active, else 0.

        It is 0 for an order of an amount of money, which has no quantity: see `leaves_cash`.
        """
        if self.quantity is None or not self.is_active:
            return ZERO
        return max(plain(self.quantity - self.filled_quantity), ZERO)

    @property
    @exact
    def leaves_cash(self) -> Decimal:
        """The amount of money still open: cash quantity - filled notional while active, else 0."""
        if self.cash_quantity is None or not self.is_active:
            return ZERO
        return max(plain(self.cash_quantity - self.filled_notional), ZERO)

    @property
    @exact
    def overfilled_quantity(self) -> Decimal:
        """What was filled beyond the quantity; 0 unless `fill` was told to allow it."""
        return ZERO if self.quantity is None else max(plain(self.filled_quantity - self.quantity), ZERO)

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
        """The ids of the executions that the state holds, in the order of report."""
        ids = (execution.execution_id for execution in self.executions)
        return tuple(dict.fromkeys(one for one in ids if one is not None))

    def find_execution(self, execution_id: str, *, venue: str | None = None) -> Execution | None:
        """Return what is known of an execution, as it is now; None if this instance does not know it.

        Args:
            execution_id: The venue's id.
            venue: The venue; None if the id alone says which one it is.

        Raises:
            DomainError: `order.ambiguous_execution`: several count under this id.
        """
        known = self._having(execution_id, venue)
        return self._counting(execution_id, known) or (known[-1] if known else None)

    # ---- factories -----------------------------------------------------------------------------------------

    @classmethod
    def create_market_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order to trade at the market.

        With `cash_quantity` the quantity is None: an order of an amount of money, such as 5000 dollars of SPY.

        Raises:
            DomainError: A value is not of its type or out of its range (`order.quantity`, `order.symbol` ...).
        """
        return cls._made("create_market_order", symbol, quantity, side, OrderType.MARKET, {}, details)

    @classmethod
    def create_limit_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
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
            "create_limit_order",
            symbol,
            quantity,
            side,
            OrderType.LIMIT,
            {"limit_price": limit_price},
            details,
        )

    @classmethod
    def create_stop_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
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
            "create_stop_order", symbol, quantity, side, OrderType.STOP, {"stop_price": stop_price}, details
        )

    @classmethod
    def create_stop_limit_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        *,
        stop_price: Decimal,
        limit_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order that becomes a limit order at `limit_price` when `stop_price` trades.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.limit_price`,
                `order.stop_price`.
        """
        return cls._made(
            "create_stop_limit_order",
            symbol,
            quantity,
            side,
            OrderType.STOP_LIMIT,
            {"stop_price": stop_price, "limit_price": limit_price},
            details,
        )

    @classmethod
    def create_trailing_stop_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        *,
        stop_price: Decimal | None = None,
        trailing_offset: Decimal | None = None,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order whose stop price follows the market; one of the two prices must be given.

        Raises:
            DomainError: A value is not of its type or out of its range, then
                `order.trailing_offset`.
        """
        return cls._made(
            "create_trailing_stop_order",
            symbol,
            quantity,
            side,
            OrderType.TRAILING_STOP,
            {"stop_price": stop_price, "trailing_offset": trailing_offset},
            details,
        )

    @classmethod
    def create_market_on_close_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order to trade at the market in the closing auction.

        Raises:
            DomainError: A value is not of its type or out of its range.
        """
        return cls._made(
            "create_market_on_close_order", symbol, quantity, side, OrderType.MARKET_ON_CLOSE, {}, details
        )

    @classmethod
    def create_limit_on_close_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        *,
        limit_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order to trade at `limit_price` or better in the closing auction.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.limit_price`.
        """
        return cls._made(
            "create_limit_on_close_order",
            symbol,
            quantity,
            side,
            OrderType.LIMIT_ON_CLOSE,
            {"limit_price": limit_price},
            details,
        )

    @classmethod
    def create_market_if_touched_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        *,
        stop_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order that becomes a market order when the market touches `stop_price` from the other side.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.stop_price`.
        """
        return cls._made(
            "create_market_if_touched_order",
            symbol,
            quantity,
            side,
            OrderType.MARKET_IF_TOUCHED,
            {"stop_price": stop_price},
            details,
        )

    @classmethod
    def create_limit_if_touched_order(
        cls,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        *,
        stop_price: Decimal,
        limit_price: Decimal,
        **details: Unpack[OrderDetails],
    ) -> Order:
        """Make a PENDING order that becomes a limit order at `limit_price` when the market touches `stop_price`.

        Raises:
            DomainError: A value is not of its type or out of its range, then `order.limit_price`,
                `order.stop_price`.
        """
        return cls._made(
            "create_limit_if_touched_order",
            symbol,
            quantity,
            side,
            OrderType.LIMIT_IF_TOUCHED,
            {"stop_price": stop_price, "limit_price": limit_price},
            details,
        )

    @classmethod
    def _made(  # noqa: PLR0917 - called by the factories above, which name their arguments
        cls,
        factory: str,
        symbol: str,
        quantity: Decimal | None,
        side: OrderSide,
        order_type: OrderType,
        prices: Mapping[str, Decimal | None],
        details: OrderDetails,
    ) -> Order:
        when = at(details.get("occurred_at"))
        values: dict[str, Any] = {
            "occurred_at": when,
            "created_at": when,
            "symbol": symbol,
            "side": side,
            "order_type": order_type,
            "quantity": quantity,
            **prices,
        }
        if details:
            own = cls._own_details(factory, Order, details, OrderDetails.__annotations__)
            given = {name: value for name, value in details.items() if name not in {"id", "occurred_at"}}
            values |= {**given, **own}
        return cls.create(cls.created_event(**values), id=details.get("id"))

    # ---- commands ------------------------------------------------------------------------------------------

    def submit(self, broker_order_id: str, *, occurred_at: datetime | None = None) -> None:
        """Record the broker's acknowledgement: PENDING becomes SUBMITTED.

        If a fill or the end of the order overtook the acknowledgement, the status stays as it is.

        Raises:
            DomainError: `order.broker_order_id` (empty, too long); `order.not_pending` (acknowledged before).
        """
        event = OrderSubmitted(occurred_at=at(occurred_at), broker_order_id=broker_order_id)
        if self.status is not OrderStatus.PENDING and self.submitted_at is not None:
            raise self._refusal("not_pending", "submit it: it was acknowledged before")
        self.emit(event)

    @exact
    def fill(
        self,
        quantity: Decimal,
        price: Decimal,
        execution_id: str | None,
        *,
        commission: Decimal = ZERO,
        commission_currency: str | None = None,
        venue: str | None = None,
        liquidity: Liquidity | None = None,
        from_venue: bool | None = None,
        allow_overfill: bool = False,
        position_ids: Iterable[UUID] = (),
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Count a fill (FIX ExecType F); a repeat of a known fill changes nothing.

        Args:
            quantity: Shares or contracts (FIX LastQty, 32).
            price: Price of one (FIX LastPx, 31).
            execution_id: The venue's id (FIX ExecID, 17). None or "0": it has none, and is never a repeat.
            commission: FIX Commission (12); a rebate is negative.
            commission_currency: Its currency or coin (FIX CommCurrency, 479); None if it is the order's.
            venue: Where it traded (FIX LastMkt, 30); None if it is the order's.
            liquidity: Whether it added liquidity or took it.
            from_venue: Who says that the order traded after its end. True: the venue, so it counts. False: a simulator
                of your own, so it is refused. None: it counts after a cancel or a rejection, which may have been our own
                belief, and is refused if it happened after the expiry.
            allow_overfill: Whether a fill beyond the order's quantity counts. The order is then FILLED, and
                `overfilled_quantity` says by how much.
            position_ids: The positions that the fill was booked into.
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
            **self._facts(venue or self.venue),
            occurred_at=at(occurred_at, transact_time_ns),
            execution_id=execution_id,
            quantity=quantity,
            price=price,
            commission=commission,
            commission_currency=commission_currency,
            liquidity=liquidity,
            position_ids=tuple(position_ids),
            transact_time_ns=transact_time_ns,
        )
        if self._may_know(event.execution_id) and self._is_repeat(_execution_of(event)):
            return False
        self._check_open_at(event.occurred_at, from_venue=from_venue)
        if not allow_overfill:
            self._check_room(event.quantity, self.filled_quantity)
        self._emit_execution(event, event.execution_id)
        return True

    def bust_fill(
        self,
        execution_id: str,
        *,
        venue: str | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Take a fill back (FIX ExecType H); its id is remembered and does not count again.

        FILLED becomes PARTIALLY_FILLED, or SUBMITTED if nothing else is filled; CANCELLED and EXPIRED stay.

        Args:
            execution_id: The execution that is busted (FIX ExecRefID, 19).
            venue: Its venue; None if the id alone says which one it is.
            reason: Why, for the event.
            occurred_at: When it was busted; not before the execution.
            transact_time_ns: The venue's time in ns since the epoch.

        Returns:
            Whether anything changed; False if it was busted before.

        Raises:
            DomainError: `order.ambiguous_execution` (give the venue); a bad value; `order.execution_not_loaded` (the
                order has more executions than its state holds); `order.unknown_execution`;
                `order.execution_corrected` (bust the one that replaced it).
        """
        known = self._having(execution_id, venue)
        counted = self._counting(execution_id, known)
        when = at(occurred_at, transact_time_ns)
        event = OrderFillBusted(
            **self._facts(counted.venue if counted else venue or self.venue),
            occurred_at=not_before(when, counted.occurred_at) if counted else when,
            execution_id=execution_id,
            reason=reason,
            transact_time_ns=transact_time_ns,
            busted=counted,
        )
        if not known:
            raise self._unknown(execution_id)
        if counted is None:
            if known[-1].status is ExecutionStatus.BUSTED:
                return False
            raise self._corrected(execution_id)
        self.emit(event)
        self._remember_status(counted, ExecutionStatus.BUSTED)
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
        venue: str | None = None,
        reason: str | None = None,
        allow_overfill: bool = False,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Replace a fill by a corrected one (FIX ExecType G); the old one is remembered and does not count.

        The corrected fill happened when the old one did.

        Args:
            execution_id: The execution that is corrected (FIX ExecRefID, 19).
            quantity: The right quantity, in the shares of the time of the fill; None if it is unchanged.
            price: The right price, in the same shares; None if it is unchanged.
            commission: The right commission; None if it is unchanged.
            new_execution_id: The correction's own id (FIX ExecID, 17); None if the venue kept the old one.
            venue: The venue of both; None if the id alone says which one it is.
            reason: Why, for the event.
            allow_overfill: Whether a correction beyond the order's quantity counts.
            occurred_at: When it was corrected; not before the execution.
            transact_time_ns: The venue's time of the correction in ns since the epoch.

        Returns:
            Whether anything changed; False if this correction was counted before, also if the execution was corrected again or
            busted since. A venue that corrects to the same values once more has to give the correction an id.

        Raises:
            DomainError: `order.ambiguous_execution` (give the venue); `order.execution_not_loaded` (the order has
                more executions than its state holds); `order.unknown_execution`; a bad value;
                `order.execution_conflict` (the new id is known with other content); `order.execution_busted`;
                `order.execution_corrected` (correct the one that replaced it); `order.overfill`.
        """
        known = self._having(execution_id, venue)
        if not known:
            raise self._unknown(execution_id)
        old = self._counting(execution_id, known) or known[-1]
        reported_quantity, reported_price = old.as_reported
        event = OrderFillCorrected(
            **self._facts(old.venue),
            occurred_at=not_before(at(occurred_at, transact_time_ns), old.occurred_at),
            execution_id=execution_id,
            new_execution_id=execution_id if new_execution_id is None else new_execution_id,
            quantity=reported_quantity if quantity is None else quantity,
            price=reported_price if price is None else price,
            commission=old.commission if commission is None else commission,
            commission_currency=old.commission_currency,
            reason=reason,
            transact_time_ns=transact_time_ns,
            corrected=old,
        )
        if old.reported_quantity is not None:
            event = _in_shares_of_now(event, old)
        new = _corrected_by(event, old)
        if event.new_execution_id != event.execution_id:
            if self._is_repeat(new, corrects=execution_id):
                return False
        elif (old.counts and old.says_the_same_as(new)) or has_correction(known, execution_id, new):
            return False
        if old.status is ExecutionStatus.BUSTED:
            raise DomainError(
                "order.execution_busted", f"execution {execution_id} was busted and cannot be corrected"
            )
        if not old.counts:
            raise self._corrected(execution_id)
        if not allow_overfill:
            self._check_room(event.quantity, self.filled_quantity - old.quantity)
        is_own = event.new_execution_id == event.execution_id
        self._emit_execution(event, None if is_own else event.new_execution_id, instead_of=old)
        return True

    def complete(self, *, occurred_at: datetime | None = None) -> bool:
        """Record that the venue is done with an order of an amount of money: it becomes FILLED.

        Such an order is also FILLED when the value of its fills reaches `cash_quantity`; a venue may stop below it,
        because the rest buys no further share.

        Returns:
            Whether anything changed; False if it is complete already.

        Raises:
            DomainError: `order.cash_quantity` (an order of a quantity is complete when that is filled);
                `order.not_active`; `order.nothing_filled` (cancel it).
        """
        event = OrderCompleted(occurred_at=at(occurred_at))
        if self.cash_quantity is None:
            raise DomainError(
                "order.cash_quantity",
                f"order {self.id} is of a quantity, and complete when {self.quantity} are filled: amend or cancel it",
            )
        if self.status is OrderStatus.FILLED:
            return False
        self._check_active("completed")
        if not self.filled_quantity:
            raise self._refusal("nothing_filled", "be completed: nothing is filled, so cancel it")
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

        Legal while nothing was ever filled: an order that has traded is cancelled, not rejected.

        Raises:
            DomainError: `order.reason`; `order.not_rejectable`.
        """
        event = OrderRejected(occurred_at=at(occurred_at), reason=reason)
        if not self.is_active or self.filled_quantity or self.executions:
            raise self._refusal(
                "not_rejectable", "reject it: only an active order that never traded can be rejected"
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
        cash_quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trailing_offset: Decimal | None = None,
        time_in_force: TimeInForce | None = None,
        expire_at: datetime | None = None,
        display_quantity: Decimal | None = None,
        client_order_id: str | None = None,
        broker_order_id: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Record a cancel/replace by the venue (FIX ExecType 5, Replaced), asked or not; None leaves a field unchanged.

        The order's client and broker ids so far stay known. A FILLED order may be replaced to more, and becomes
        PARTIALLY_FILLED. Amending the quantity down to what is filled completes the order: it becomes FILLED, since
        nothing is left to trade. It answers an open `request_replace` of the same `client_order_id`, or the oldest one.

        Returns:
            Whether anything changed; False if the order has these values already and no request is open; then nothing
            is emitted.

        Raises:
            DomainError: `order.not_active`; a bad value; `order.quantity` or `order.cash_quantity` (the order has the
                other one); `order.limit_price`, `order.stop_price` or `order.trailing_offset` (a price that the order's
                type does not have); `order.expire_at`; `order.quantity_below_filled`.
        """
        if self.status is not OrderStatus.FILLED or (quantity is None and cash_quantity is None):
            self._check_active("amended")
        event = OrderReplaced(
            occurred_at=at(occurred_at),
            quantity=quantity,
            cash_quantity=cash_quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            trailing_offset=trailing_offset,
            time_in_force=time_in_force,
            expire_at=expire_at,
            display_quantity=display_quantity,
            client_order_id=client_order_id,
            broker_order_id=broker_order_id,
        )
        changes = {name: value for name, value in event.changes.items() if self.__dict__[name] != value}
        self._check_terms(changes)
        if (
            not changes
            and _answered(self.requests, OrderRequestKind.REPLACE, client_order_id) == self.requests
        ):
            return False
        self.emit(OrderReplaced(occurred_at=event.occurred_at, **changes))
        return True

    # ---- requests ------------------------------------------------------------------------------------------

    def request_cancel(
        self, client_order_id: str | None = None, *, occurred_at: datetime | None = None
    ) -> bool:
        """Record that we asked the venue to cancel the order: PENDING_CANCEL while it is active.

        Args:
            client_order_id: The request's own id (FIX ClOrdID, 11).
            occurred_at: When it was sent.

        Returns:
            Whether it is new; False if a cancel request of this id is open.

        Raises:
            DomainError: `order.client_order_id`; `order.not_active`.
        """
        event = OrderCancelRequested(occurred_at=at(occurred_at), client_order_id=client_order_id)
        self._check_active("cancelled")
        return self._request(event, OrderRequestKind.CANCEL)

    def request_replace(
        self,
        *,
        quantity: Decimal | None = None,
        cash_quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trailing_offset: Decimal | None = None,
        time_in_force: TimeInForce | None = None,
        expire_at: datetime | None = None,
        display_quantity: Decimal | None = None,
        client_order_id: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Record that we asked the venue to replace the order: PENDING_REPLACE while it is active.

        The order has its terms as before, until `amend` records the venue's answer.

        Returns:
            Whether it is new; False if a replace request of this `client_order_id` is open.

        Raises:
            DomainError: `order.not_active` (a FILLED order can be replaced); a bad value; the errors of `amend` about
                quantities and prices that the order's type does not have.
        """
        if self.status is not OrderStatus.FILLED:
            self._check_active("replaced")
        event = OrderReplaceRequested(
            occurred_at=at(occurred_at),
            quantity=quantity,
            cash_quantity=cash_quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            trailing_offset=trailing_offset,
            time_in_force=time_in_force,
            expire_at=expire_at,
            display_quantity=display_quantity,
            client_order_id=client_order_id,
        )
        self._check_prices(event.changes)
        return self._request(event, OrderRequestKind.REPLACE)

    def reject_request(
        self,
        reason: str | None = None,
        *,
        client_order_id: str | None = None,
        occurred_at: datetime | None = None,
    ) -> None:
        """Record that the venue refused a cancel or a replace (FIX MsgType 9); the order goes on as it was.

        Args:
            reason: Why (FIX CxlRejReason, 102, or Text, 58).
            client_order_id: The id of the refused request; None for the last one that is open.
            occurred_at: When it was refused.

        Raises:
            DomainError: A bad value; `order.no_request` (none is open, or none of this id).
        """
        event = OrderRequestRejected(
            occurred_at=at(occurred_at), client_order_id=client_order_id, reason=reason
        )
        if _without_refused(self.requests, event.client_order_id) == self.requests:
            ids = ", ".join(str(request.client_order_id) for request in self.requests)
            raise DomainError(
                "order.no_request",
                f"order {self.id} has no open request {event.client_order_id or ''}: it has {ids or 'none'}",
            )
        self.emit(event)

    def _request(self, event: OrderCancelRequested | OrderReplaceRequested, kind: OrderRequestKind) -> bool:
        asked = event.client_order_id
        if asked is not None and any((r.kind, r.client_order_id) == (kind, asked) for r in self.requests):
            return False
        self.emit(event)
        return True

    # ---- corporate actions ---------------------------------------------------------------------------------

    @exact
    def split(
        self, new: Decimal | int, old: Decimal | int = 1, *, occurred_at: datetime | None = None
    ) -> None:
        """Restate the order after a split of its instrument: `new` shares for `old` ones.

        Quantities become quantity x new / old, and prices price x old / new, each rounded to `SPLIT_DECIMALS` where
        the division has a remainder; the executions as well. `filled_cost` stays exactly, and so a later bust
        of an execution takes back what it had cost. Report a late fill in shares of now.

        Args:
            new: 2 for a split of 2 for 1; 1 for a reverse split of 1 for 10.
            old: 1 for a split of 2 for 1; 10 for a reverse split of 1 for 10.
            occurred_at: When it took effect.

        Raises:
            DomainError: `order.split`: a number is not above 0, or the ratio or its result is out of range.
        """
        ratio = SplitRatio.of("order.split", new, old)
        event = OrderSplit(occurred_at=at(occurred_at), new=Decimal(ratio.new), old=Decimal(ratio.old))
        (self.split_ratio or _UNSPLIT).then("order.split", ratio)
        for name, value in _restated(self.__dict__, ratio).items():
            if value is not None:
                number("order.split", value)
                if not value and self.__dict__[name]:
                    raise DomainError(
                        "order.split", f"the {name} {self.__dict__[name]} is too small to be split"
                    )
        self.emit(event)
        self._restate_memory(ratio)

    def change_symbol(self, symbol: str, *, occurred_at: datetime | None = None) -> bool:
        """Record that the order's instrument got another symbol; return whether anything changed.

        Raises:
            DomainError: `order.symbol`.
        """
        event = OrderSymbolChanged(occurred_at=at(occurred_at), symbol=symbol, former_symbol=self.symbol)
        if event.symbol == self.symbol:
            return False
        self.emit(event)
        return True

    # ---- assignments ---------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        before, ids = self.__dict__.get(name), self.__dict__.get("broker_order_ids", ())
        super().__setattr__(name, value)
        if name == "broker_order_id" and value is not None and value not in ids:
            self.__dict__["broker_order_ids"] = ids  # the validator of the whole model has added it already
            super().__setattr__("broker_order_ids", (*ids, value))
        elif name == "client_order_id" and before is not None and before != value:
            super().__setattr__("replaced_client_order_ids", (*self.replaced_client_order_ids, before))

    def amend_to(self, values: Mapping[str, Any]) -> None:
        """Assign each field of `values` that differs, and validate them together.

        If both `quantity` and `filled_quantity` change in the same ratio, and neither cost nor executions are given,
        it is a split: the executions are restated, as by `split`, and the filled cost stays. An id that is
        replaced stays known.

        Raises:
            DomainError: The entity was deleted, a name is not a field, or a value breaks a rule.
                Nothing is changed.
        """
        values = dict(values)
        ratio = self._split_by_hand(values)
        if ratio is not None:
            values["executions"] = tuple(execution.after_split(ratio) for execution in self.executions)
            values["split_ratio"] = (self.split_ratio or _UNSPLIT).then("order.split", ratio)
        broker_id, client_id = (
            values.get("broker_order_id"),
            values.get("client_order_id", self.client_order_id),
        )
        if broker_id is not None and broker_id not in self.broker_order_ids:
            values.setdefault("broker_order_ids", (*self.broker_order_ids, broker_id))
        if self.client_order_id is not None and client_id != self.client_order_id:
            chain = (*self.replaced_client_order_ids, self.client_order_id)
            values.setdefault("replaced_client_order_ids", chain)
        super().amend_to(values)
        if ratio is not None:
            self._restate_memory(ratio)

    def _split_by_hand(self, values: Mapping[str, Any]) -> SplitRatio | None:
        if not {"quantity", "filled_quantity"} <= values.keys() or _SPLIT_BY_HAND & values.keys():
            return None
        if self.quantity is None or not self.filled_quantity:
            return None
        try:
            quantity = number("order.quantity", values["quantity"])
            filled = number("order.filled_quantity", values["filled_quantity"])
            ratio = Fraction(filled) / Fraction(self.filled_quantity)
            if ratio <= 0 or ratio == 1 or Fraction(quantity) / Fraction(self.quantity) != ratio:
                return None
            return SplitRatio.of("order.split", filled, self.filled_quantity)
        except DomainError:
            return None  # the assignment itself names the bad value

    # ---- rules ---------------------------------------------------------------------------------------------

    def _refusal(self, rule: str, what: str) -> DomainError:
        return DomainError(f"order.{rule}", f"order {self.id} is {self.status}, cannot {what}")

    def _check_active(self, done: str) -> None:
        if not self.is_active:
            raise self._refusal("not_active", f"be {done}: only an active order can")

    def _check_room(self, quantity: Decimal, filled: Decimal) -> None:
        if self.cash_quantity is None and self.quantity is not None and filled + quantity > self.quantity:
            raise DomainError(
                "order.overfill",
                f"order {self.id}: {filled} of {self.quantity} are filled, a fill of {quantity} is "
                f"{plain(filled + quantity - self.quantity)} too many: look for a wrong order or a missing amend, or "
                "give allow_overfill=True if the venue did fill more",
            )

    def _check_open_at(self, when: datetime, *, from_venue: bool | None) -> None:
        if self.status is OrderStatus.REJECTED and from_venue is False:
            raise self._refusal("fill_after_rejection", "be filled: a rejected order never traded")
        if not self._is_after_end(when):
            return
        if self.status is OrderStatus.CANCELLED and from_venue is False:
            rule = "fill_after_cancel"
        elif self.status is OrderStatus.EXPIRED and from_venue is not True:
            rule = "fill_after_expiry"
        else:
            return
        field = _ENDED_BY_TIME[self.status]
        ended: datetime | None = self.__dict__[field]
        raise self._refusal(
            rule,
            f"be filled at {when.isoformat()}: its {field} is {ended and ended.isoformat()}. Give occurred_at= the time "
            "at which the venue traded it, or from_venue=True if the venue says that it did trade after that",
        )

    def _is_after_end(self, when: datetime) -> bool:
        """Whether a fill of this time happened after the order had ended, or was believed to have."""
        state = self.__dict__
        status = state["status"]
        if status not in _ENDED:
            return status is OrderStatus.REJECTED or state["rejected_at"] is not None
        ended = state[_ENDED_BY_TIME[status]]
        return ended is None or when > ended

    def _check_terms(self, changes: Mapping[str, Any]) -> None:
        self._check_prices(changes)
        quantity = changes.get("quantity")
        if quantity is not None and quantity < self.filled_quantity:
            raise DomainError(
                "order.quantity_below_filled",
                f"order {self.id}: {self.filled_quantity} are filled, the quantity cannot become "
                f"{quantity}: amend it to {self.filled_quantity} or more, or cancel the order",
            )

    def _check_prices(self, changes: Mapping[str, Any]) -> None:
        given, has = ("quantity", "cash_quantity") if self.cash_quantity else ("cash_quantity", "quantity")
        if given in changes:
            raise DomainError(
                f"order.{given}", f"order {self.id} has a {has}, so its {given} cannot be amended"
            )
        terms = {**self.__dict__, **changes}
        check_prices(self.order_type, terms["limit_price"], terms["stop_price"], terms["trailing_offset"])
        if "expire_at" in changes:
            check_expiry(terms["time_in_force"], changes["expire_at"])

    # ---- executions that are known -------------------------------------------------------------------------

    def _may_know(self, execution_id: str | None) -> bool:
        """Whether an execution with this id may be known; mostly it is new, and need not be compared with any."""
        return private(self)["_memory"] is not None or execution_id in [
            one.execution_id for one in self.executions
        ]

    def _is_repeat(self, execution: Execution, *, corrects: str | None = None) -> bool:
        key = execution.key
        if key is None:
            return False
        same_id = [one for one in self.executions if one.execution_id == key.execution_id]
        known = known_as(key, same_id, private(self)["_memory"])
        if not known:
            return False
        if any(one.says_the_same_as(execution) and corrects in (None, one.corrects) for one in known):
            return True
        raise DomainError(
            "order.execution_conflict",
            f"order {self.id}: execution {key} is known as {known[-1].told()}, not as {execution.told()}: "
            "use correct_fill() if the venue corrected it",
        )

    def _having(self, execution_id: str, venue: str | None) -> list[Execution]:
        """Return all known executions with an id, in the order of report."""
        memory: Memory[Execution] | None = private(self)["_memory"]
        older = (
            []
            if memory is None
            else [
                one for key, some in memory.older.items() if key.execution_id == execution_id for one in some
            ]
        )
        known = [*older, *(one for one in self.executions if one.execution_id == execution_id)]
        return known if venue is None else [one for one in known if one.venue == venue]

    def _counting(self, execution_id: str, known: Sequence[Execution]) -> Execution | None:
        counted = [one for one in known if one.counts]
        if len(counted) > 1:
            told = "; ".join(f"{one.venue or 'no venue'}: {one.told()}" for one in counted)
            raise DomainError(
                "order.ambiguous_execution",
                f"order {self.id}: {len(counted)} executions count under the id {execution_id}: {told}: give the venue=",
            )
        return counted[0] if counted else None

    def _unknown(self, execution_id: str) -> DomainError:
        if not is_complete(self.executions, private(self)["_memory"], execution_id):
            return DomainError(
                "order.execution_not_loaded",
                f"order {self.id} has more executions than the {EXECUTIONS_KEPT_MAX} that are loaded, and "
                f"{execution_id!r} is not among them: use uow.book, which asks the log first",
            )
        return DomainError(
            "order.unknown_execution",
            f"order {self.id} has no execution {execution_id!r}: "
            f"it has {', '.join(self.execution_ids) or 'none'}",
        )

    def _corrected(self, execution_id: str) -> DomainError:
        heir = next((e.execution_id for e in self.executions if e.corrects == execution_id), "another")
        return DomainError(
            "order.execution_corrected",
            f"order {self.id}: execution {execution_id} was corrected and no longer counts: name {heir}",
        )

    def _facts(self, venue: str | None) -> dict[str, Any]:
        """Return the fields of the order for an event of an execution."""
        state = self.__dict__
        return {
            "symbol": state["symbol"],
            "side": state["side"],
            "portfolio_id": state["portfolio_id"],
            "strategy": state["strategy"],
            "account": state["account"],
            "venue": venue,
            "currency": state["currency"],
            "multiplier": None if state["multiplier"] == ONE else state["multiplier"],
            "client_order_id": state["client_order_id"],
            "broker_order_id": state["broker_order_id"],
            "split": state["split_ratio"],
        }

    def _emit_execution(
        self,
        event: OrderFilled | OrderFillCorrected,
        new_id: str | None,
        *,
        instead_of: Execution | None = None,
    ) -> None:
        """Emit an event that adds an execution, and remember the one that leaves the state.

        Args:
            event: The event.
            new_id: The id that the log may have already; None or "0" if there is none.
            instead_of: The execution that no longer counts.
        """
        held = self.executions
        if len(held) < EXECUTIONS_KEPT_MAX and instead_of is None:
            # The state holds all executions, and the new one pushes none out.
            self.emit(event)
            return
        attributes = private(self)
        is_known = not has_id(new_id) or is_complete(held, attributes["_memory"], new_id)
        self.emit(event)
        if instead_of is not None:
            held = _marked(held, instead_of, ExecutionStatus.CORRECTED)
            self._remember_status(instead_of, ExecutionStatus.CORRECTED)
        memory = noted(attributes["_memory"], held)
        if not is_known and new_id is not None:
            memory = Memory() if memory is None else memory
            memory.undecided.add(new_id)
        attributes["_memory"] = memory

    def _remember_status(self, execution: Execution, status: ExecutionStatus) -> None:
        memory: Memory[Execution] | None = private(self)["_memory"]
        key = execution.key
        if memory is not None and key in memory.older:
            memory.older[key] = list(_marked(tuple(memory.older[key]), execution, status))

    def _restate_memory(self, ratio: SplitRatio) -> None:
        memory: Memory[Execution] | None = private(self)["_memory"]
        if memory is not None:
            for key, older in memory.older.items():
                memory.older[key] = [execution.after_split(ratio) for execution in older]

    def _ids_to_ask(self) -> tuple[str, ...]:
        memory: Memory[Execution] | None = private(self)["_memory"]
        if memory is None or not memory.undecided or not self.version:
            return ()
        counted = dict.fromkeys(_new_id(pending.event) for pending in self.pending_events)
        return tuple(one for one in counted if one is not None and one in memory.undecided)

    def _recall(self, execution_ids: Collection[str], events: Iterable[RecordedEvent]) -> None:
        attributes = private(self)
        pending: tuple[PendingEvent, ...] = attributes["_pending"]
        own = {one.event_id for one in pending}
        asked = set(execution_ids)
        logged = (part.event for one in events if one.event_id not in own for part in one.upcast_events)
        found = _told_by(logged, self.split_ratio)
        for one in pending:
            key = _new_key(one.event)
            if key is not None and key.execution_id in asked and key in found:
                raise DomainError(
                    "order.execution_repeated",
                    f"order {self.id}: execution {key} was counted already, as {found[key][-1].told()}: load the order "
                    "again, or use uow.book, which asks the log first",
                )
        memory: Memory[Execution] = attributes["_memory"] or Memory()
        fresh = [_new_key(one.event) for one in pending]
        for key, some in found.items():
            if key.execution_id in asked:
                # The state holds the last ones, as they are now.
                held = sum(one.key == key for one in self.executions) - fresh.count(key)
                memory.older[key] = some[: len(some) - held] if held > 0 else some
        memory.asked |= asked
        memory.undecided -= asked
        attributes["_memory"] = memory
        for one in pending:
            ended = _ended_by(one.event)
            if ended is not None and ended[0].execution_id in asked:
                self._remember_status(*ended)

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(OrderSubmitted)
    def _submitted(self, event: OrderSubmitted) -> None:
        state, when = self.__dict__, event.occurred_at
        state["submitted_at"] = when
        _take_broker_id(state, event.broker_order_id)
        _settle(state, when)

    @applies(OrderFilled)
    def _filled(self, event: OrderFilled) -> None:
        # Most events of a log are fills, and pydantic makes each attribute access slower.
        state = self.__dict__
        report = event.__dict__
        execution = _execution_of(event)
        when = report["occurred_at"]
        if report["split"] is not state["split_ratio"]:
            execution = _in_shares_of(execution, report["split"], state["split_ratio"])
        if (state["rejected_at"] is not None or state["status"] not in _USUAL) and self._is_after_end(when):
            state["was_filled_after_end"] = True
        _count(state, execution, 1)
        state["executions"] = kept(state["executions"], execution)
        _settle(state, when)

    @applies(OrderFillBusted)
    def _fill_busted(self, event: OrderFillBusted) -> None:
        old = self._taken_back(event.busted, event, ExecutionStatus.BUSTED)
        if old is not None:
            _count(self.__dict__, old, -1)
            _settle(self.__dict__, event.occurred_at)

    @applies(OrderFillCorrected)
    def _fill_corrected(self, event: OrderFillCorrected) -> None:
        old = self._taken_back(event.corrected, event, ExecutionStatus.CORRECTED)
        if old is None:
            return
        new = _corrected_by(event, event.corrected or old)
        if event.split is not self.split_ratio:
            new = _in_shares_of(new, event.split, self.split_ratio)
        _count(self.__dict__, old, -1)
        _count(self.__dict__, new, 1)
        self.set(executions=kept(self.executions, new))
        _settle(self.__dict__, event.occurred_at)

    @applies(OrderReplaced)
    def _replaced(self, event: OrderReplaced) -> None:
        state = self.__dict__
        changes = event.changes
        client_id, broker_id = changes.pop("client_order_id", None), changes.pop("broker_order_id", None)
        if "time_in_force" in changes and changes["time_in_force"] is not TimeInForce.GTD:
            changes["expire_at"] = None
        if client_id is not None and client_id != state["client_order_id"]:
            if state["client_order_id"] is not None:
                chain = (*state["replaced_client_order_ids"], state["client_order_id"])
                changes["replaced_client_order_ids"] = chain
            changes["client_order_id"] = client_id
        changes["requests"] = _answered(state["requests"], OrderRequestKind.REPLACE, client_id)
        self.set(**changes)
        if broker_id is not None:
            _take_broker_id(state, broker_id)
        if "cash_quantity" in changes:
            self.set(completed_at=None)
        _settle(self.__dict__, event.occurred_at)

    @applies(OrderCancelRequested)
    def _cancel_requested(self, event: OrderCancelRequested) -> None:
        self._open_request(OrderRequestKind.CANCEL, event.client_order_id, event.occurred_at)

    @applies(OrderReplaceRequested)
    def _replace_requested(self, event: OrderReplaceRequested) -> None:
        self._open_request(OrderRequestKind.REPLACE, event.client_order_id, event.occurred_at)

    @applies(OrderRequestRejected)
    def _request_rejected(self, event: OrderRequestRejected) -> None:
        self.set(requests=_without_refused(self.requests, event.client_order_id))
        _settle(self.__dict__, event.occurred_at)

    @applies(OrderCancelled)
    def _cancelled(self, event: OrderCancelled) -> None:
        self.set(status=OrderStatus.CANCELLED, reason=event.reason, cancelled_at=event.occurred_at)
        self.set(requests=(), filled_at=None)

    @applies(OrderExpired)
    def _expired(self, event: OrderExpired) -> None:
        self.set(status=OrderStatus.EXPIRED, reason=event.reason, expired_at=event.occurred_at)
        self.set(requests=(), filled_at=None)

    @applies(OrderRejected)
    def _rejected(self, event: OrderRejected) -> None:
        state = self.__dict__
        if state["status"] not in _ENDED and not (state["filled_quantity"] or state["executions"]):
            self.set(status=OrderStatus.REJECTED, requests=())
        self.set(reason=event.reason, rejected_at=event.occurred_at)

    @applies(OrderCompleted)
    def _completed(self, event: OrderCompleted) -> None:
        self.set(completed_at=event.occurred_at)
        _settle(self.__dict__, event.occurred_at)

    @applies(OrderSplit)
    def _was_split(self, event: OrderSplit) -> None:
        ratio = SplitRatio.of("order.split", event.new, event.old)
        state = self.__dict__
        self.set(
            **_restated(state, ratio),
            executions=tuple(execution.after_split(ratio) for execution in state["executions"]),
            split_ratio=(state["split_ratio"] or _UNSPLIT).then("order.split", ratio),
        )

    @applies(OrderSymbolChanged)
    def _symbol_changed(self, event: OrderSymbolChanged) -> None:
        self.set(symbol=event.symbol)

    def _after_amendment(self, event: Amended) -> None:
        # A status that was assigned stays if the facts allow it.
        if not fits(self.__dict__):
            _settle(self.__dict__, event.occurred_at)

    def _open_request(self, kind: OrderRequestKind, client_order_id: str | None, when: datetime) -> None:
        request = OrderRequest(kind=kind, client_order_id=client_order_id, occurred_at=when)
        self.set(requests=(*self.requests, request))
        _settle(self.__dict__, when)

    def _taken_back(
        self, told: Execution | None, event: OrderExecutionEvent, status: ExecutionStatus
    ) -> Execution | None:
        """Mark an execution that no longer counts, and return it; None if the state never had it.

        A state that holds all executions it may hold no longer has the older ones: the event says what they were.
        """
        if told is None:
            return None
        held = self.executions
        marked = _marked(held, told, status)
        if marked is not held:
            self.set(executions=marked)
            return next(old for old, new in zip(held, marked, strict=True) if old is not new)
        if len(held) < EXECUTIONS_KEPT_MAX:
            return None
        return _in_shares_of(told, event.split, self.split_ratio)


_USUAL = (OrderStatus.PARTIALLY_FILLED, OrderStatus.SUBMITTED, OrderStatus.PENDING, OrderStatus.FILLED)
_NO_SHARE = Decimal("1E-20")  # far above what the roundings of a split leave, far below what trades
_RESTATED_QUANTITIES = ("quantity", "filled_quantity", "display_quantity")
_RESTATED_PRICES = ("limit_price", "stop_price", "trailing_offset")


def _take_broker_id(state: dict[str, Any], broker_order_id: str) -> None:
    if broker_order_id not in state["broker_order_ids"]:
        state["broker_order_ids"] = (*state["broker_order_ids"], broker_order_id)
    state["broker_order_id"] = broker_order_id


def _count(state: dict[str, Any], execution: Execution, sign: int) -> None:
    """Add an execution to the sums of an order, or take it away."""
    fact = execution.__dict__
    quantity, commission, currency = fact["quantity"], fact["commission"], fact["commission_currency"]
    cost = quantity * fact["price"] if fact["reported_quantity"] is None else execution.cost
    if sign < 0:
        quantity, cost, commission = -quantity, -cost, -commission
    filled = total(state["filled_quantity"], quantity)
    if sign < 0 and (filled < 0 or (state["split_ratio"] is not None and filled < _NO_SHARE)):
        filled = ZERO
    state["filled_quantity"] = filled
    # Rounding at 34 digits could leave a trace when every fill was busted.
    state["filled_cost"] = total(state["filled_cost"], cost) if filled else ZERO
    if currency is None or currency == state["currency"]:
        state["commission"] = total(state["commission"], commission)
    else:
        state["other_commissions"] = add_amount(state["other_commissions"], currency, commission)


def _settle(state: dict[str, Any], when: datetime) -> None:
    """Give an order the status that follows from its facts, and what depends on it."""
    status = status_by_rule(state)
    state["status"] = status
    is_filled = status is _FILLED
    state["filled_at"] = (state["filled_at"] or when) if is_filled else None
    if state["cash_quantity"] is not None:
        state["quantity"] = state["filled_quantity"] if is_filled else None


_told = itemgetter(
    "execution_id", "side", "quantity", "price", "commission", "commission_currency", "account", "venue", "occurred_at",
    "transact_time_ns", "position_ids",
)  # fmt: skip
_untold: Mapping[str, Any] = {**dict.fromkeys(Execution.model_fields), "status": ExecutionStatus.COUNTED}


def _execution_of(event: OrderFilled) -> Execution:
    # A copy with some values replaced takes two thirds of the time of a dict that is written out.
    fields = dict(_untold)
    (
        fields["execution_id"],
        fields["side"],
        fields["quantity"],
        fields["price"],
        fields["commission"],
        fields["commission_currency"],
        fields["account"],
        fields["venue"],
        fields["occurred_at"],
        fields["transact_time_ns"],
        fields["position_ids"],
    ) = _told(event.__dict__)
    return _execution(fields)


def _in_shares_of_now(event: OrderFillCorrected, old: Execution) -> OrderFillCorrected:
    """Return a correction of an execution from before a split, given in the shares of the execution's time."""
    quantity, price = event.quantity, event.price
    told = {"reported_quantity": quantity, "reported_price": price}
    if (quantity, price) == old.as_reported:
        return event.model_copy(update={**told, "quantity": old.quantity, "price": old.price})
    then, now = old.as_reported[0], old.quantity
    today = {"quantity": cost_share(quantity, now, then), "price": price and cost_share(price, then, now)}
    return event.model_copy(update={**told, **today})


def _corrected_by(event: OrderFillCorrected, old: Execution) -> Execution:
    return _execution(
        {
            **old.__dict__,
            "execution_id": event.new_execution_id,
            "quantity": event.quantity,
            "price": event.price,
            "commission": event.commission,
            "commission_currency": event.commission_currency,
            "status": ExecutionStatus.COUNTED,
            "corrects": event.execution_id,
            "reported_quantity": event.reported_quantity,
            "reported_price": event.reported_price,
        }
    )


def _in_shares_of(execution: Execution, told: SplitRatio | None, now: SplitRatio | None) -> Execution:
    """Return an execution that was told in the shares after one split in those after another."""
    if told == now:
        return execution
    then, today = told or _UNSPLIT, now or _UNSPLIT
    ratio = SplitRatio.of("order.split", today.new * then.old, today.old * then.new)
    return execution.after_split(ratio)


def _restated(state: Mapping[str, Any], ratio: SplitRatio) -> dict[str, Any]:
    """Return the quantities and prices of an order after a split."""
    quantities = {name: state[name] and ratio.quantity(state[name]) for name in _RESTATED_QUANTITIES}
    prices = {name: state[name] and ratio.price(state[name]) for name in _RESTATED_PRICES}
    return quantities | prices


def _marked(some: tuple[Execution, ...], told: Execution, status: ExecutionStatus) -> tuple[Execution, ...]:
    """Return executions of which one no longer counts; the same object if it is not among them."""
    key = told.key
    for index, one in enumerate(some):
        # Without an id, it is the one that says the same at the same time.
        if (
            one.counts
            and one.execution_id == told.execution_id
            and (one.key == key if key else (one.occurred_at, one.told()) == (told.occurred_at, told.told()))
        ):
            marked = _execution({**one.__dict__, "status": status})
            return (*some[:index], marked, *some[index + 1 :])
    return some


def _answered(
    requests: tuple[OrderRequest, ...], kind: OrderRequestKind, client_order_id: str | None
) -> tuple[OrderRequest, ...]:
    """Return the open requests without the one that was answered: the one of this id, or the oldest of its kind."""
    of_kind = [request for request in requests if request.kind is kind]
    named = [request for request in of_kind if request.client_order_id == client_order_id]
    answered = (named or of_kind)[:1]
    return tuple(request for request in requests if all(request is not one for one in answered))


def _without_refused(
    requests: tuple[OrderRequest, ...], client_order_id: str | None
) -> tuple[OrderRequest, ...]:
    """Return the open requests without the refused one: the one of this id, or the last one if there is no id."""
    refused = [one for one in requests if client_order_id is None or one.client_order_id == client_order_id][
        -1:
    ]
    return tuple(request for request in requests if all(request is not one for one in refused))


def _new_id(event: Event) -> str | None:
    """Return the execution id that an event adds; None if it adds none."""
    key = _new_key(event)
    return None if key is None else key.execution_id


def _new_key(event: Event) -> ExecutionKey | None:
    if isinstance(event, OrderFilled):
        added = event.execution_id
    elif isinstance(event, OrderFillCorrected) and event.new_execution_id != event.execution_id:
        added = event.new_execution_id
    else:
        return None
    return ExecutionKey(added, None, event.account, event.venue) if has_id(added) else None


def _ended_by(event: Event) -> tuple[Execution, ExecutionStatus] | None:
    """Return the execution that an event takes back, and what it is then."""
    if isinstance(event, OrderFillBusted) and event.busted is not None:
        return event.busted, ExecutionStatus.BUSTED
    if isinstance(event, OrderFillCorrected) and event.corrected is not None:
        return event.corrected, ExecutionStatus.CORRECTED
    return None


def _told_by(events: Iterable[Event], split: SplitRatio | None) -> dict[ExecutionKey, list[Execution]]:
    """Return the executions that events of one order tell of, by their keys, in shares of now and as they are now."""
    found: dict[ExecutionKey, list[Execution]] = {}

    def add(execution: Execution, told: SplitRatio | None) -> None:
        if execution.key is not None:
            found.setdefault(execution.key, []).append(_in_shares_of(execution, told, split))

    for event in events:
        ended = _ended_by(event)
        if ended is not None and ended[0].key is not None:
            old, status = ended
            some = tuple(found.get(ended[0].key, ()))
            marked = _marked(some, old, status)
            if marked is some:
                one = _in_shares_of(old, getattr(event, "split", None), split)
                marked = (*some, _execution({**one.__dict__, "status": status}))
            found[ended[0].key] = list(marked)
        if isinstance(event, OrderFilled):
            add(_execution_of(event), event.split)
        elif isinstance(event, OrderFillCorrected) and event.corrected is not None:
            add(_corrected_by(event, event.corrected), event.split)
    return found


OrderAmended = Order.amended_event
"""Fields of an order were amended or assigned."""

OrderDeleted = Order.deleted_event
"""An order was deleted."""
