"""What follows from a position's fields, and the fold of its events."""

from __future__ import annotations

from decimal import Decimal

from eventstore.domain.context import exact, plain
from eventstore.domain.entity import Entity, applies
from eventstore.domain.order_events import ZERO
from eventstore.domain.position_events import (
    PositionClosed,
    PositionFields,
    PositionIncreased,
    PositionMarked,
    PositionReduced,
)
from eventstore.errors import DomainError

__all__ = ["PositionState"]


class PositionState(PositionFields, Entity):
    """A position without its commands: `Position` has those."""

    # ---- what is derived -----------------------------------------------------------------------------------

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

        0 once closed; None where it was never marked.
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

        0 once closed; None where it was never marked.
        """
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        return plain((self.quantity * self.current_price - self.cost) * self.multiplier)

    @property
    @exact
    def total_pnl(self) -> Decimal | None:
        """The net result so far: realised + unrealised - commissions; None where it is open and was never marked."""
        unrealized = self.unrealized_pnl
        return None if unrealized is None else plain(self.realized_pnl + unrealized - self.commission_paid)

    # ---- rules ------------------------------------------------------------

    def _is_known(self, execution_id: str | None) -> bool:
        return execution_id is not None and execution_id in self.execution_ids

    def _check_open(self) -> None:
        if not self.quantity:
            moment = self.closed_at and self.closed_at.isoformat()
            raise DomainError(
                "position.closed",
                f"position {self.id} in {self.symbol} was closed at {moment}: open a new one",
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
