"""The executions of a position, in the order of report, as lots are folded from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.event import Event
from eventstore.domain.executions import Execution, ExecutionStatus
from eventstore.domain.lots import Chosen, Holding, LotMethod, Lots, LotStep, fold_lots
from eventstore.domain.position import PositionAmended
from eventstore.domain.position_events import (
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionOpened,
    PositionSplit,
)

OF_LOTS = ("symbol", "currency", "multiplier", "portfolio_id")
"""The fields of a position that its lots need."""


class LotSteps:
    """What a position's lots are folded from, event by event.

    Any events of the stream may be missing: what takes back an execution that is not there changes nothing.

    Attributes:
        steps: The executions, splits and holdings so far, in the order of report. A correction stands where the execution
            stood that it replaces.
        execution_ids: The ids of all executions, those too that do not count any more.
    """

    def __init__(self, steps: Iterable[LotStep] = ()) -> None:
        self.steps = list(steps)
        self.execution_ids: set[str] = set()

    def take(self, event: Event) -> None:
        """Take one event in; one that changes no lot is left out."""
        self.execution_ids |= {
            one
            for one in (getattr(event, "execution_id", None), getattr(event, "new_execution_id", None))
            if one is not None
        }
        if isinstance(event, PositionOpened):
            self._open(event)
        elif isinstance(event, PositionFilled):
            self.steps.append(_execution(event))
        elif isinstance(event, PositionFillBusted | PositionFillCorrected):
            self._take_back(event)
        elif isinstance(event, PositionSplit):
            self.steps.append(event.ratio)
        elif isinstance(event, PositionAmended):
            self._amend(event.changes, event.occurred_at)

    def _open(self, event: PositionOpened) -> None:
        """Begin with the fills that opened it; what was adopted is open without them, if they do not add up to it."""
        self.execution_ids |= {one.execution_id for one in event.executions if one.execution_id is not None}
        opened = [one for one in event.executions if one.counts]
        lots = fold_lots(opened)
        if (lots.quantity, lots.cost) == (event.quantity, event.cost) and not lots.matches:
            self.steps += opened
            return
        ids = tuple(one.execution_id for one in event.executions if one.execution_id is not None)
        self.steps.append(Holding(event.quantity, event.cost, event.opened_at, event.commission_paid, ids))

    def _take_back(self, event: PositionFillBusted | PositionFillCorrected) -> None:
        old = event.busted if isinstance(event, PositionFillBusted) else event.corrected
        place = next(
            (
                place
                for place, step in reversed(list(enumerate(self.steps)))
                if isinstance(step, Execution)
                and step.counts
                and step.key is not None
                and step.key == old.key
            ),
            None,
        )
        if place is None:
            if any(
                isinstance(step, Holding) and old.execution_id in step.execution_ids for step in self.steps
            ):
                self.steps.append(Holding(event.open_quantity, event.cost, event.occurred_at))
            return
        held = self.steps[place]
        assert isinstance(held, Execution)  # noqa: S101 - it was found as one
        if isinstance(event, PositionFillBusted):
            self.steps[place] = held.model_copy(update={"status": ExecutionStatus.BUSTED})
            return
        self.steps[place] = _correction(event, held)

    def _amend(self, changes: Mapping[str, Any], when: datetime) -> None:
        """Let an assigned quantity or cost take the place of every lot."""
        if "quantity" not in changes and "cost" not in changes:
            return
        held = fold_lots(self.steps)
        quantity: Decimal = changes.get("quantity", held.quantity)
        cost: Decimal = changes.get("cost", held.cost)
        self.steps.append(Holding(quantity, cost, when))


class LotsOfPosition:
    """What the lots of one position need, folded from its events.

    Attributes:
        position_id: The position.
        values: Its `symbol`, `currency`, `multiplier` and `portfolio_id`.
        steps: Its executions, splits and holdings.
    """

    def __init__(
        self, position_id: UUID, values: Mapping[str, Any] | None = None, steps: Iterable[LotStep] = ()
    ) -> None:
        self.position_id = position_id
        self.values: dict[str, Any] = dict(values or {})
        self.steps = LotSteps(steps)

    def take(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, PositionOpened):
            self._change(event.__dict__)
        elif isinstance(event, PositionAmended):
            self._change(event.changes)
        self.steps.take(event)

    def _change(self, values: Mapping[str, Any]) -> None:
        self.values |= {name: values[name] for name in OF_LOTS if name in values}

    def lots(self, method: LotMethod, chosen: Chosen | None = None) -> Lots:
        """Return its lots; errors as for `fold_lots`."""
        return fold_lots(
            self.steps.steps,
            method=method,
            chosen=chosen,
            multiplier=self.values.get("multiplier", Decimal(1)),
            position_id=self.position_id,
            symbol=self.values.get("symbol"),
            currency=self.values.get("currency"),
        )


def _execution(event: PositionFilled) -> Execution:
    return Execution(
        execution_id=event.execution_id,
        side=event.side,
        quantity=event.quantity,
        price=event.price,
        commission=event.commission,
        commission_currency=event.commission_currency,
        order_id=event.order_id,
        account=event.account,
        venue=event.venue,
        occurred_at=event.occurred_at,
        transact_time_ns=event.transact_time_ns,
    )


def _correction(event: PositionFillCorrected, old: Execution) -> Execution:
    """Return what replaces an execution; it happened when that one did, and is in the shares of that time."""
    return old.replaced_by(event)
