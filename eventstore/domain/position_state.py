"""What follows from a position's fields, and the fold of its events."""

from __future__ import annotations

from decimal import Decimal

from eventstore.core.context import exact, plain
from eventstore.core.entity import Entity, applies
from eventstore.domain.order_events import ZERO
from eventstore.domain.position_events import (
    PositionClosed,
    PositionFields,
    PositionIncreased,
    PositionMarked,
    PositionOpened,
    PositionReduced,
)
from eventstore.errors import DomainError


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

    # ---- what is read from its events ----------------------------------------------------------------------

    def realized_by(self, execution_id: str) -> Decimal | None:
        """Return what an execution that is not yet saved realised here, as a portfolio's `record_trade` takes it.

        It is read from the event. The difference of `realized_pnl` before and after is not the same number: outside of
        the library's decimal context, Python rounds it to 28 digits.

        Args:
            execution_id: The execution, as it was given to `apply_fill`, `add`, `reduce`, `close` or `open_position`.

        Returns:
            The result in currency, before commission; None where the execution opened or enlarged the position, so
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
            "commit, and only where the order's fill() counted",
        )

    # ---- rules ------------------------------------------------------------

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
