"""What follows from an order's fields, the checks of its rules, and the fold of its events."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from eventstore.core import codec
from eventstore.core.context import exact, plain, total
from eventstore.core.entity import Entity, applies
from eventstore.domain.order_events import (
    ACTIVE_ORDER_STATUSES,
    ONE,
    ZERO,
    Execution,
    ExecutionStatus,
    OrderCancelled,
    OrderExpired,
    OrderFields,
    OrderFillBusted,
    OrderFillCorrected,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    OrderSubmitted,
)
from eventstore.errors import DomainError

_execution = codec.maker(Execution).of_all_fields()

_ENDED_BY_TIME = {OrderStatus.CANCELLED: "cancelled_at", OrderStatus.EXPIRED: "expired_at"}
# A tuple finds a member by its identity, a mapping by a hash that enum computes in Python.
_ENDED = tuple(_ENDED_BY_TIME)


class Report(TypedDict):
    """What every event of an execution says of its order."""

    symbol: str
    strategy: str | None
    multiplier: Decimal | None


class OrderState(OrderFields, Entity):
    """An order without its commands: `Order` has those."""

    # ---- what is derived -----------------------------------------------------------------------------------

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

    def _of_report(self) -> Report:
        """Return what every event of an execution says of the order."""
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
        # Most of a log are fills, and each attribute of a model takes pydantic's detour.
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
