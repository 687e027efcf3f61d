"""A projection that users may add: one row for each position, with its lots and what each method has realised."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.executions import Execution, SplitRatio
from eventstore.domain.lot_steps import OF_LOTS, LotsOfPosition
from eventstore.domain.lots import Holding, Lot, LotMethod, Lots, LotStep
from eventstore.domain.position import Position, PositionDeleted, PositionMarked
from projections.projection import Projection
from projections.table import Table

LOT_STEPS_MAX = 256
"""How many executions and splits of a position a row holds at most, some 80 kB.

A bust takes an execution out of the fold, so the row needs all of them. The row of a position with more says that it
is not complete; `store.lots` reads the log, and has no such limit."""


class LotStepKept(BaseModel):
    """A step of the fold, as a row keeps it: one of the three."""

    execution: Execution | None = None
    split: SplitRatio | None = None
    holding: Holding | None = None

    @property
    def step(self) -> LotStep | None:
        """The step."""
        return self.execution or self.split or self.holding


class OpenLot(BaseModel):
    """An open lot; see `Lot`."""

    execution_id: str | None
    opened_at: datetime
    quantity: Decimal
    cost: Decimal
    commission: Decimal
    commission_currency: str | None


class PositionLots(BaseModel):
    """The lots of a position.

    Attributes:
        position_id: The position.
        portfolio_id: Its portfolio.
        symbol: The instrument.
        currency: The currency of the results.
        multiplier: Currency per point of price and contract.
        steps_count: How many executions, splits and assignments it has.
        is_complete: Whether the row has lots: not if there are more than `LOT_STEPS_MAX` of these.
        fifo_realized_pnl: What the closes realised by FIFO, before commissions; None if the row is not complete.
        lifo_realized_pnl: The same by LIFO.
        highest_cost_realized_pnl: The same by highest cost.
        fifo_open: The lots that are open by FIFO, in the order of their opening.
        lifo_open: The same by LIFO.
        highest_cost_open: The same by highest cost.
        steps: What the lots are folded from; empty if the row is not complete.
    """

    position_id: UUID
    portfolio_id: UUID | None = None
    symbol: str
    currency: str | None = None
    multiplier: Decimal = Decimal(1)
    steps_count: int = 0
    is_complete: bool = True
    fifo_realized_pnl: Decimal | None = None
    lifo_realized_pnl: Decimal | None = None
    highest_cost_realized_pnl: Decimal | None = None
    fifo_open: tuple[OpenLot, ...] = ()
    lifo_open: tuple[OpenLot, ...] = ()
    highest_cost_open: tuple[OpenLot, ...] = ()
    steps: tuple[LotStepKept, ...] = ()


class PositionLotsProjection(Projection[PositionLots]):
    """Folds the executions of positions into the table `position_lots`.

    It is none of the built-in ones: create its table with `PositionLotsProjection.table.create()` in a migration of your own,
    and run a worker for it.
    """

    name = "position_lots"
    keyed_by_stream = True
    table = Table("position_lots", row=PositionLots, key=("position_id",))
    events: tuple[type[Event], ...] = tuple(
        one for one in Position.event_classes() if one is not PositionMarked
    )

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the id of the position."""
        return (event.stream_id,)

    def evolve(self, row: PositionLots | None, event: RecordedEvent) -> PositionLots | None:
        """Fold the position's lots again, with one more event; a deleted position has no row."""
        if isinstance(event.event, PositionDeleted):
            return None
        before = () if row is None else tuple(one.step for one in row.steps if one.step is not None)
        values = {} if row is None else {name: getattr(row, name) for name in OF_LOTS}
        of_position = LotsOfPosition(event.stream_id, values, before)
        of_position.take(event.event)
        if "symbol" not in of_position.values:
            return row  # what creates the position is not there
        steps = of_position.steps.steps
        if (row is not None and not row.is_complete) or len(steps) > LOT_STEPS_MAX:
            count = len(steps) if row is None or row.is_complete else row.steps_count + len(steps)
            return PositionLots(
                position_id=event.stream_id, steps_count=count, is_complete=False, **of_position.values
            )
        return _row(of_position)


def _row(of_position: LotsOfPosition) -> PositionLots:
    fifo, lifo, highest = (
        of_position.lots(method) for method in (LotMethod.FIFO, LotMethod.LIFO, LotMethod.HIGHEST_COST)
    )
    steps = of_position.steps.steps
    return PositionLots(
        position_id=of_position.position_id,
        steps_count=len(steps),
        fifo_realized_pnl=fifo.realized_pnl,
        lifo_realized_pnl=lifo.realized_pnl,
        highest_cost_realized_pnl=highest.realized_pnl,
        fifo_open=_open(fifo),
        lifo_open=_open(lifo),
        highest_cost_open=_open(highest),
        steps=tuple(_kept(step) for step in steps),
        **of_position.values,
    )


def _kept(step: LotStep) -> LotStepKept:
    if isinstance(step, Execution):
        return LotStepKept(execution=step)
    return LotStepKept(split=step) if isinstance(step, SplitRatio) else LotStepKept(holding=step)


def _open(lots: Lots) -> tuple[OpenLot, ...]:
    return tuple(_open_lot(lot) for lot in lots.open)


def _open_lot(lot: Lot) -> OpenLot:
    return OpenLot(
        execution_id=lot.execution_id,
        opened_at=lot.opened_at,
        quantity=lot.quantity,
        cost=lot.cost,
        commission=lot.commission,
        commission_currency=lot.commission_currency,
    )
