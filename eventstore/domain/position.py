"""Positions: average cost, realised and open profit, and the flip through zero.

The accounting is the average cost method: a fill on the position's own side adds quantity x price to its cost, a
fill on the other side takes the same share of the cost as of the quantity, and realises the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, TypedDict, Unpack
from uuid import UUID

from eventstore.core.context import at, exact, plain
from eventstore.core.entity import Entity, applies
from eventstore.core.entity_state import private
from eventstore.core.validation import number
from eventstore.domain.division import (
    COMMISSION_SPLIT_DIGITS,
    COST_SHARE_DECIMALS,
    commission_share,
    cost_share,
)
from eventstore.domain.executions import OrderSide
from eventstore.domain.order_events import ONE, ZERO, cost_of
from eventstore.domain.position_events import (
    PositionClosed,
    PositionFields,
    PositionIncreased,
    PositionMarked,
    PositionOpened,
    PositionReduced,
)
from eventstore.errors import DomainError

__all__ = [
    "COMMISSION_SPLIT_DIGITS",
    "COST_SHARE_DECIMALS",
    "Position",
    "PositionAmended",
    "PositionClosed",
    "PositionDeleted",
    "PositionDetails",
    "PositionIncreased",
    "PositionMarked",
    "PositionOpened",
    "PositionReduced",
]


class PositionDetails(TypedDict, total=False):
    """What `Position.open_position` takes as keywords, beside what every position has.

    Attributes:
        multiplier: Currency per point of price and contract; 1 unless given.
        stop_loss_price: The user's own limit.
        take_profit_price: The user's own target.
        strategy: The strategy it belongs to.
        portfolio_id: The portfolio it belongs to.
        tags: The user's own labels.
        execution_id: The execution that opened it.
        id: The position's id; a new one unless given.
    """

    multiplier: Decimal
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    strategy: str | None
    portfolio_id: UUID | None
    tags: Sequence[str]
    execution_id: str | None
    id: UUID | None


class Position(PositionFields, Entity, category="position", created=PositionOpened):
    """A position in one instrument, long or short, from its opening to its close.

    `PositionFields` describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the
    context's clock, or the venue's time if `transact_time_ns` is given; a naive datetime means local time).
    Every method raises `DomainError` and changes nothing if a rule forbids the change. An execution id counts
    once: a method that receives a known one changes nothing.
    """

    creation_time_field: ClassVar[str | None] = "opened_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("symbol", "quantity")

    @classmethod
    def open_position(
        cls,
        symbol: str,
        quantity: Decimal,
        entry_price: Decimal,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        **details: Unpack[PositionDetails],
    ) -> Position:
        """Open a position.

        Args:
            symbol: The instrument.
            quantity: Shares or contracts: positive for long, negative for short.
            entry_price: The price of one.
            commission: In currency; a rebate is negative.
            occurred_at: When it was opened.
            **details: See `PositionDetails`.

        Raises:
            DomainError: `position.quantity`; `position.entry_price`; `position.zero_quantity`; another value is not of its
                type or out of its range (`position.symbol` ...).
        """
        own = cls._own_details("open_position", Position, details, PositionDetails.__annotations__)
        opening = number("position.quantity", quantity)
        cost = cost_of(opening, number("position.entry_price", entry_price))
        if not opening:
            raise DomainError("position.zero_quantity", "a position opens with a quantity that is not 0")
        when = at(occurred_at)
        execution_id = details.get("execution_id")
        created: Any = cls.created_event
        event = created(
            occurred_at=when,
            opened_at=when,
            last_updated=when,
            symbol=symbol,
            quantity=opening,
            cost=cost,
            commission_paid=commission,
            multiplier=details.get("multiplier", ONE),
            stop_loss_price=details.get("stop_loss_price"),
            take_profit_price=details.get("take_profit_price"),
            strategy=details.get("strategy"),
            portfolio_id=details.get("portfolio_id"),
            tags=details.get("tags", ()),
            execution_ids=() if execution_id is None else (execution_id,),
            **own,
        )
        return cls.create(event, id=details.get("id"))

    # ---- derived values ------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether anything is open."""
        return bool(self.quantity)

    @property
    def is_long(self) -> bool:
        """Whether it is open and long."""
        return self.quantity > 0

    @property
    def is_short(self) -> bool:
        """Whether it is open and short."""
        return self.quantity < 0

    @property
    @exact
    def average_entry_price(self) -> Decimal | None:
        """The average price of what is open: cost / quantity; None once closed."""
        return plain(self.cost / self.quantity) if self.quantity else None

    @property
    @exact
    def cost_basis(self) -> Decimal:
        """What is open at its entry prices, in currency: cost x multiplier; negative for a short position."""
        return plain(self.cost * self.multiplier)

    @property
    @exact
    def market_value(self) -> Decimal | None:
        """What is open at the current price, in currency: quantity x price x multiplier; negative for a short.

        0 once closed; None if it was never marked.
        """
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        return plain(self.quantity * self.current_price * self.multiplier)

    @property
    @exact
    def unrealized_pnl(self) -> Decimal | None:
        """What closing at the current price would realise, before commission: (quantity x price - cost) x multiplier.

        0 once closed; None if it was never marked.
        """
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        return plain((self.quantity * self.current_price - self.cost) * self.multiplier)

    @property
    @exact
    def total_pnl(self) -> Decimal | None:
        """The net result so far: realised + unrealised - commissions; None if it is open and was never marked."""
        unrealized = self.unrealized_pnl
        return None if unrealized is None else plain(self.realized_pnl + unrealized - self.commission_paid)

    # ---- what is read from its events ----------------------------------------------------------------------

    def realized_by(self, execution_id: str) -> Decimal | None:
        """Return what an execution that is not yet saved realised here, as a portfolio's `record_trade` takes it.

        It is read from the event. The difference of `realized_pnl` before and after is not the same number: outside of
        the library's decimal context, Python rounds it to 28 digits.

        Args:
            execution_id: The execution, as it was given to `apply_fill`, `add`, `reduce`, `close` or `open_position`.

        Returns:
            The result in currency, before commission; None if the execution opened or enlarged the position, so
            that it closed nothing.

        Raises:
            DomainError: `position.execution_id`: no unsaved event is of this execution. It was never applied, changed
                nothing since it was known, or is saved: `store.history` has it then.
        """
        for pending in self.pending_events:
            event = pending.event
            if isinstance(event, PositionReduced) and event.execution_id == execution_id:
                return event.realized_pnl
            if isinstance(event, PositionIncreased) and event.execution_id == execution_id:
                return None
            if isinstance(event, PositionOpened) and execution_id in event.execution_ids:
                return None
        raise DomainError(
            "position.execution_id",
            f"position {self.id} has no unsaved event of the execution {execution_id!r}: ask between the fill and the "
            "commit, and only if the order's fill() counted",
        )

    # ---- commands ------------------------------------------------------------------------------------------

    def add(
        self,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Make the position larger, on its own side.

        Args:
            quantity: How much more; positive also for a short position.
            price: The price of one.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.

        Returns:
            Whether it counted; False if the execution was counted before.

        Raises:
            DomainError: A bad value; `position.closed`.
        """
        event = PositionIncreased(
            occurred_at=at(occurred_at, transact_time_ns),
            quantity=quantity,
            price=price,
            commission=commission,
            execution_id=execution_id,
            transact_time_ns=transact_time_ns,
        )
        if self._is_known(event.execution_id):
            return False
        self._check_open()
        self.emit(event)
        return True

    @exact
    def reduce(
        self,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Decimal:
        """Make the position smaller; reducing it by all that is open closes it.

        Args:
            quantity: How much less; positive also for a short position.
            price: The exit price of one.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.

        Returns:
            What this realised, in currency, before commission; 0 if the execution was counted before.

        Raises:
            DomainError: A bad value; `position.closed`; `position.over_reduce`.
        """
        fill = PositionIncreased(
            occurred_at=at(occurred_at, transact_time_ns),
            quantity=quantity,
            price=price,
            commission=commission,
            execution_id=execution_id,
            transact_time_ns=transact_time_ns,
        )
        if self._is_known(fill.execution_id):
            return ZERO
        self._check_open()
        if fill.quantity > abs(self.quantity):
            raise DomainError(
                "position.over_reduce",
                f"position {self.id}: {abs(self.quantity)} {self.symbol} are open, cannot reduce by "
                f"{fill.quantity}: use apply_fill() for a fill through zero",
            )
        reduction = self._reduction(fill, fill.quantity, fill.commission)
        self.emit(reduction)
        return reduction.realized_pnl

    @exact
    def close(
        self,
        price: Decimal | None = None,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Decimal:
        """Close all that is open.

        Args:
            price: The exit price of one; None for the current price.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.

        Returns:
            What this realised, in currency, before commission; 0 if the execution was counted before.

        Raises:
            DomainError: `position.closed`; `position.no_price` (none given, and it was never marked); a bad value.
        """
        if self._is_known(execution_id):
            return ZERO
        self._check_open()
        exit_price = self.current_price if price is None else price
        if exit_price is None:
            raise DomainError(
                "position.no_price",
                f"position {self.id} was never marked: give the exit price to close it at",
            )
        return self.reduce(
            abs(self.quantity),
            exit_price,
            commission,
            execution_id=execution_id,
            occurred_at=occurred_at,
            transact_time_ns=transact_time_ns,
        )

    @exact
    def apply_fill(
        self,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal = ZERO,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Position | None:
        """Count an order's fill: it increases, reduces, closes or flips the position.

        A fill through zero closes this position and opens the opposite one, a new stream, with the rest of the
        quantity at the same price. Its commission is split by quantity, and the two parts sum to the whole, to the
        last digit. The new position has the symbol, multiplier, strategy, portfolio and tags of this one, and
        the fill's execution id; it has no stop loss and no target.

        Args:
            side: The fill's side.
            quantity: Shares or contracts; positive.
            price: The price of one.
            execution_id: The venue's id; one that is known changes nothing.
            commission: In currency; a rebate is negative.
            occurred_at: When the fill happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.

        Returns:
            The opposite position after a fill through zero, to be saved as well; else None.

        Raises:
            DomainError: A bad value; `position.closed`.
        """
        fill = PositionIncreased(
            occurred_at=at(occurred_at, transact_time_ns),
            quantity=quantity,
            price=price,
            commission=commission,
            execution_id=execution_id,
            transact_time_ns=transact_time_ns,
        )
        sign = _side(side).sign
        if fill.execution_id is None:
            raise DomainError(
                "position.execution_id", "a fill needs its execution id, or it could count twice"
            )
        if self._is_known(fill.execution_id):
            return None
        self._check_open()
        if (sign > 0) is self.is_long:
            self.emit(fill)
            return None
        rest = fill.quantity - abs(self.quantity)
        if rest <= 0:
            self.emit(self._reduction(fill, fill.quantity, fill.commission))
            return None
        closing = abs(self.quantity)
        closing_commission = commission_share(fill.commission, closing, fill.quantity)
        reduction = self._reduction(fill, closing, closing_commission)
        created: Any = self.created_event
        opened = created(
            occurred_at=fill.occurred_at,
            opened_at=fill.occurred_at,
            last_updated=fill.occurred_at,
            symbol=self.symbol,
            quantity=rest * sign,
            cost=rest * sign * fill.price,
            multiplier=self.multiplier,
            commission_paid=fill.commission - closing_commission,
            strategy=self.strategy,
            portfolio_id=self.portfolio_id,
            tags=self.tags,
            execution_ids=(fill.execution_id,),
            # The event that closes this position keeps it, too, if a user's own creating event has no such field.
            **{name: fill.transact_time_ns for name in ("transact_time_ns",) if name in created.model_fields},
            **{
                name: self.__dict__[name]
                for name in created.model_fields
                if name in type(self).model_fields and name not in Position.model_fields
            },
        )
        self.emit(reduction)
        opposite = type(self).create(opened)
        private(self)["_offspring"] += (opposite,)
        return opposite

    def mark(
        self, price: Decimal, *, occurred_at: datetime | None = None, transact_time_ns: int | None = None
    ) -> None:
        """Record the market price.

        Raises:
            DomainError: `position.price`; `position.closed`.
        """
        event = PositionMarked(
            occurred_at=at(occurred_at, transact_time_ns), price=price, transact_time_ns=transact_time_ns
        )
        self._check_open()
        self.emit(event)

    # ---- rules ---------------------------------------------------------------------------------------------

    @exact
    def _reduction(self, fill: PositionIncreased, quantity: Decimal, commission: Decimal) -> PositionReduced:
        """Return the event that closes `quantity` of what is open, which is no less, at the fill's price."""
        is_all = quantity == abs(self.quantity)
        signed = quantity if self.quantity > 0 else -quantity
        cost = self.cost if is_all else cost_share(self.cost, quantity, abs(self.quantity))
        return (PositionClosed if is_all else PositionReduced)(
            occurred_at=fill.occurred_at,
            quantity=quantity,
            price=fill.price,
            cost=cost,
            realized_pnl=plain((signed * fill.price - cost) * self.multiplier),
            commission=commission,
            execution_id=fill.execution_id,
            transact_time_ns=fill.transact_time_ns,
        )

    def _is_known(self, execution_id: str | None) -> bool:
        return execution_id is not None and execution_id in self.execution_ids

    def _check_open(self) -> None:
        if not self.quantity:
            when = self.closed_at and self.closed_at.isoformat()
            raise DomainError(
                "position.closed",
                f"position {self.id} in {self.symbol} was closed at {when}: open a new one",
            )

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(PositionIncreased)
    def _increased(self, event: PositionIncreased) -> None:
        signed = event.quantity if self.quantity > 0 else -event.quantity
        self.set(
            quantity=plain(self.quantity + signed),
            cost=plain(self.cost + signed * event.price),
            commission_paid=plain(self.commission_paid + event.commission),
            execution_ids=self._counted(event.execution_id),
            last_updated=event.occurred_at,
        )

    @applies(PositionReduced)
    def _reduced(self, event: PositionReduced) -> None:
        signed = event.quantity if self.quantity > 0 else -event.quantity
        self.set(
            quantity=plain(self.quantity - signed),
            cost=plain(self.cost - event.cost),
            realized_pnl=plain(self.realized_pnl + event.realized_pnl),
            commission_paid=plain(self.commission_paid + event.commission),
            execution_ids=self._counted(event.execution_id),
            last_updated=event.occurred_at,
        )

    @applies(PositionClosed)
    def _closed(self, event: PositionClosed) -> None:
        self._reduced(event)
        self.set(quantity=ZERO, cost=ZERO, closed_at=event.occurred_at)

    @applies(PositionMarked)
    def _marked(self, event: PositionMarked) -> None:
        self.set(current_price=event.price, last_updated=event.occurred_at)

    def _counted(self, execution_id: str | None) -> tuple[str, ...]:
        return self.execution_ids if execution_id is None else (*self.execution_ids, execution_id)


def _side(side: OrderSide) -> OrderSide:
    try:
        return OrderSide(side)
    except ValueError as error:
        raise DomainError("position.side", f"side must be BUY or SELL, not {side!r}") from error


PositionAmended = Position.amended_event
"""Fields of a position were assigned."""

PositionDeleted = Position.deleted_event
"""A position was deleted."""
