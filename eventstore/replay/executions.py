"""Every execution that the log has, once: from the events of orders, and of positions where no order counted it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from eventstore.core import codec
from eventstore.core.context import exact, plain
from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.executions import Execution, ExecutionStatus, has_id
from eventstore.domain.order import OrderCreated
from eventstore.domain.order_events import OrderFillBusted, OrderFillCorrected, OrderFilled
from eventstore.domain.position_events import (
    FillKind,
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionOpened,
)
from eventstore.time_slices import Slices, listed, ordered

_OF_ORDERS = (OrderCreated, OrderFilled, OrderFillBusted, OrderFillCorrected)
_OF_POSITIONS = (PositionOpened, PositionFilled, PositionFillBusted, PositionFillCorrected)
_ONE = Decimal(1)
_execution = codec.maker(Execution).fill


@dataclass(slots=True)
class Reported:
    """An execution as it was reported: the whole of it, also where a flip split it.

    Attributes:
        execution: What was reported, in the shares of the time of the report.
        symbol: The instrument.
        currency: The currency of its price; None if it names none.
        multiplier: Currency for each point of price and contract.
        order_id: The order that it filled.
        client_order_id: The client order id of that order then.
        broker_order_id: The broker's id of that order then.
        portfolio_id: The portfolio.
        strategy: The strategy.
        account: The account.
        liquidity: Whether it was maker or taker.
        recorded_at: When the log recorded it.
        position: Its place in the log.
        is_rest: Whether it is one part of a flip, which two positions counted.
    """

    execution: Execution
    symbol: str
    currency: str | None
    multiplier: Decimal
    order_id: UUID | None
    client_order_id: str | None
    broker_order_id: str | None
    portfolio_id: UUID | None
    strategy: str | None
    account: str | None
    liquidity: str | None
    recorded_at: datetime
    position: int
    is_rest: bool = False

    @property
    def counts(self) -> bool:
        """Whether it was neither busted nor corrected."""
        return self.execution.counts

    @property
    def commission_currency(self) -> str | None:
        """The currency or coin of its commission."""
        named = self.execution.commission_currency
        return self.currency if named is None else named

    @property
    @exact
    def value(self) -> Decimal:
        """Quantity x price x multiplier."""
        return plain(self.execution.quantity * self.execution.price * self.multiplier)


class Executions:
    """Takes the events of orders and positions in the order of the log, and has each execution once."""

    types = (*_OF_ORDERS, *_OF_POSITIONS)
    """The event classes that it takes."""

    streams: Collection[UUID] | None = None
    """The streams whose events it takes; None for all."""

    def __init__(self) -> None:
        self._of_orders: dict[UUID, list[Reported]] = {}
        self._of_positions: dict[UUID, list[Reported]] = {}
        self._created: dict[UUID, Any] = {}

    def take(self, part: RecordedEvent) -> None:
        """Take the next event in."""
        if isinstance(part.event, OrderCreated | PositionOpened):
            self._created[part.stream_id] = part.event
        created = self._created.get(part.stream_id)
        if isinstance(part.event, _OF_ORDERS):
            _take_order(self._of_orders.setdefault(part.stream_id, []), part, created)
        else:
            _take_position(self._of_positions.setdefault(part.stream_id, []), part, created)

    async def found(self, belongs: Callable[[Reported], bool] = lambda _: True) -> list[Reported]:
        """Return the executions that belong to an answer, those that were taken back too, by their times.

        One that an order and a position counted is that of the order, if that belongs to the answer.
        """
        found = await listed((one for its in self._of_orders.values() for one in its), belongs)
        alone, slices = _OfPositionsAlone(), Slices()
        for one in found:
            alone.add(one)
            await slices.rest()
        of_positions = (one for its in self._of_positions.values() for one in its)
        found += await listed(of_positions, lambda one: alone.has(one, belongs))
        return await ordered(found, key=lambda one: (one.execution.occurred_at, one.position))


def _take_order(its: list[Reported], part: RecordedEvent, created: Any) -> None:
    event: Any = part.event
    if isinstance(event, OrderCreated):
        its += [
            _reported(part, one.model_copy(update={"side": event.side}), order_id=part.stream_id)
            for one in event.executions
        ]
        return
    if _symbol(event, its, created) is None:
        return
    if isinstance(event, OrderFilled):
        execution = _of_event(event)
        if execution.side is None and created is not None:
            execution = execution.model_copy(update={"side": created.side})
        its.append(_reported(part, execution, order_id=part.stream_id, created=created))
        return
    corrected = isinstance(event, OrderFillCorrected)
    old = _take_back(its, event, is_correction=corrected)
    before = event.corrected if old is None and corrected else None if old is None else old.execution
    if not corrected or before is None:
        return
    new = before.replaced_by(
        event,
        side=before.side if event.side is None else event.side,
        quantity=event.reported_quantity or event.quantity,
        price=event.price if event.reported_price is None else event.reported_price,
    )
    its.append(_reported(part, new, order_id=part.stream_id, old=old, created=created))


def _take_position(its: list[Reported], part: RecordedEvent, created: Any) -> None:
    event: Any = part.event
    if isinstance(event, PositionOpened):
        its += [
            _reported(part, _whole(one), order_id=one.order_id)
            for one in event.executions
            if one.side is not None
        ]
        return
    if _symbol(event, its, created) is None:
        return
    if isinstance(event, PositionFilled):
        if event.kind is FillKind.TRADE:
            its.append(_reported(part, _whole(_of_event(event)), order_id=event.order_id, created=created))
        return
    corrected = isinstance(event, PositionFillCorrected)
    old = _take_back(its, event, is_correction=corrected)
    if not corrected:
        return
    before = event.corrected
    new = before.replaced_by(
        event, whole_quantity=event.whole_quantity, whole_commission=event.whole_commission
    )
    if new.side is not None:
        its.append(_reported(part, _whole(new), order_id=before.order_id, old=old, created=created))


def _symbol(event: Any, its: list[Reported], created: Any) -> str | None:
    """Return the instrument of an event: its own, or that of its stream; None if nothing says it."""
    if event.symbol is not None:
        return str(event.symbol)
    return created.symbol if created is not None else its[0].symbol if its else None


def _of_event(event: Event) -> Execution:
    """Return the execution that an event reports: its fields of the same names, which are of the same types."""
    fields = event.__dict__
    return _execution({name: fields[name] for name in _fields_of(type(event))})


@cache
def _fields_of(event_class: type[Event]) -> tuple[str, ...]:
    return tuple(name for name in Execution.model_fields if name in event_class.model_fields)


def _whole(execution: Execution) -> Execution:
    """Return the whole of an execution that a flip split; `whole_quantity` still says that it is one part."""
    if execution.whole_quantity is None:
        return execution
    whole = execution.whole_commission
    return execution.model_copy(
        update={
            "quantity": execution.whole_quantity,
            "commission": execution.commission if whole is None else whole,
        }
    )


def _reported(
    part: RecordedEvent,
    execution: Execution,
    *,
    order_id: UUID | None,
    old: Reported | None = None,
    created: Any = None,
) -> Reported:
    fields = part.event.__dict__
    liquidity = fields.get("liquidity")
    said: dict[str, Any] = {} if created is None else {"symbol": created.symbol}
    if old is not None:
        said |= {name: value for name in _KEPT if (value := getattr(old, name)) is not None}
    said |= {name: value for name in _KEPT if (value := fields.get(name)) is not None}
    quantity, price = execution.as_reported
    if quantity != execution.quantity:
        execution = execution.model_copy(
            update={"quantity": quantity, "price": price, "reported_quantity": None, "reported_price": None}
        )
    return Reported(
        execution=execution,
        symbol=said["symbol"],
        currency=said.get("currency"),
        multiplier=said.get("multiplier") or _ONE,
        order_id=order_id,
        client_order_id=said.get("client_order_id"),
        broker_order_id=said.get("broker_order_id"),
        portfolio_id=said.get("portfolio_id"),
        strategy=said.get("strategy"),
        account=execution.account if execution.account is not None else said.get("account"),
        liquidity=str(liquidity) if liquidity is not None else None if old is None else old.liquidity,
        recorded_at=part.recorded_at,
        position=part.position,
        is_rest=execution.whole_quantity is not None,
    )


_KEPT = (
    "symbol",
    "currency",
    "multiplier",
    "client_order_id",
    "broker_order_id",
    "portfolio_id",
    "strategy",
    "account",
)


def _take_back(its: list[Reported], event: Any, *, is_correction: bool) -> Reported | None:
    """Mark the execution that an event takes back, and return it; None if the stream has none that counts."""
    found = [
        one
        for one in its
        if one.counts
        and has_id(one.execution.execution_id)
        and one.execution.execution_id == event.execution_id
    ]
    exactly = [
        one for one in found if (one.execution.account, one.execution.venue) == (event.account, event.venue)
    ]
    for one in (exactly or found)[:1]:
        status = ExecutionStatus.CORRECTED if is_correction else ExecutionStatus.BUSTED
        one.execution = one.execution.model_copy(update={"status": status})
        return one
    return None


class _OfPositionsAlone:
    """Finds what positions counted and no order did, the two parts of a flip once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | None, str], list[Reported]] = {}
        self._flips: dict[tuple[Any, ...], Reported] = {}

    def add(self, of_order: Reported) -> None:
        """Take in what an order counted."""
        self._known.setdefault((of_order.execution.execution_id, of_order.symbol), []).append(of_order)

    def has(self, one: Reported, belongs: Callable[[Reported], bool]) -> bool:
        """Whether the next one of the positions is to be found: call it once for each, after all of the orders."""
        its = self._known.get((one.execution.execution_id, one.symbol), [])
        same = next((other for other in its if _is_same(one, other)), None)
        if same is None:
            return belongs(one) and not _joined(self._flips, one)
        if not has_id(one.execution.execution_id):
            its.remove(same)
        return False


def _is_same(of_position: Reported, of_order: Reported) -> bool:
    """Whether a position counted what an order counted: one without an id by what it says, for an order has many of those."""
    if of_position.order_id is not None and has_id(of_position.execution.execution_id):
        return of_position.order_id == of_order.order_id
    one, other = of_position.execution, of_order.execution
    return of_position.order_id in (None, of_order.order_id) and (one.side, one.quantity, one.price) == (
        other.side,
        other.quantity,
        other.price,
    )


def _joined(flips: dict[tuple[Any, ...], Reported], one: Reported) -> bool:
    """Whether another position has the other part of the same execution; if one part was taken back, so was all."""
    if not one.is_rest:
        return False
    told = one.execution
    key = (told.execution_id, one.symbol, one.order_id, told.account, told.venue, told.quantity, told.price)
    other = flips.setdefault(key, one)
    if other is one:
        return False
    if not has_id(told.execution_id):
        del flips[key]
    elif not one.counts:
        other.execution = other.execution.model_copy(update={"status": told.status})
    return True
