"""What a position knows of its executions: those of its events, and those that its state no longer holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any, cast
from uuid import UUID

from eventstore.core import codec
from eventstore.core.event import Amended, Event
from eventstore.domain.average_cost import NOTHING, Open, open_after
from eventstore.domain.division import cost_share
from eventstore.domain.executions import Execution, ExecutionKey, ExecutionStatus, Memory, SplitRatio
from eventstore.domain.position_events import (
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionOpened,
    PositionSplit,
)

_execution = codec.maker(Execution).fill


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an unsaved event of an execution, beside the event.

    Attributes:
        realized: What it realised, in currency; None if it closed nothing.
        unasked: The execution ids that were counted before the log was asked whether they are repeats.
    """

    realized: Decimal | None
    unasked: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class PositionMemory(Memory[Execution]):
    """What an instance knows of its executions beside its state.

    Attributes:
        past: The executions that have left the state, in the order of report; with those of the state they are all, if this
            instance counted them itself or was given its whole stream.
        before: What was open before all of them, in the shares of now: of a position that was adopted.
        knows_all: Whether it was given its whole stream.
        outcomes: By its id, what is known of each unsaved event of an execution.
    """

    past: list[Execution] = field(default_factory=list)
    before: Open = NOTHING
    knows_all: bool = False
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)

    def executions(self) -> Iterator[Execution]:
        """Return all executions that have left the state, as far as they are known; some of them twice."""
        return chain(self.past, chain.from_iterable(self.older.values()))

    def all_of(self, held: tuple[Execution, ...]) -> list[Execution]:
        """Return all executions that are known, in the order of report, given those that the state holds.

        After a command whose effects were undone, one that had left the state is in both.
        """
        one_of_each = {id(one): one for one in self.past}
        for one in held:
            one_of_each.pop(id(one), None)
        return [*one_of_each.values(), *held]

    def change(self, old: Execution, new: Execution) -> None:
        """Put `new` in the place of `old`."""
        self.past = [new if one is old else one for one in self.past]
        if old.key in self.older:
            self.older[old.key] = [new if one is old else one for one in self.older[old.key]]

    def split(self, ratio: SplitRatio) -> None:
        """Let all executions be older than a split."""
        self.past = [one.after_split(ratio) for one in self.past]
        self.older = {key: [one.after_split(ratio) for one in known] for key, known in self.older.items()}
        self.before = self.before._replace(quantity=ratio.quantity(self.before.quantity))


def execution_of(fill: PositionFilled) -> Execution:
    """Return the execution that a fill reports."""
    return _execution(
        {
            "execution_id": fill.execution_id,
            "side": fill.side,
            "quantity": fill.quantity,
            "price": fill.price,
            "commission": fill.commission,
            "commission_currency": fill.commission_currency,
            "whole_quantity": fill.whole_quantity,
            "whole_commission": fill.whole_commission,
            "order_id": fill.order_id,
            "account": fill.account,
            "venue": fill.venue,
            "occurred_at": fill.occurred_at,
            "transact_time_ns": fill.transact_time_ns,
        }
    )


def corrected_execution(event: PositionFillCorrected, old: Execution) -> Execution:
    """Return the execution that a correction put in the place of `old`; it happened when that did."""
    quantity, price = event.quantity, event.price
    was_split = old.reported_quantity is not None
    if old.reported_quantity is not None:
        quantity = cost_share(quantity, old.quantity, old.reported_quantity)
        price = cost_share(price, old.reported_quantity, old.quantity) if price else price
    return changed(
        old,
        execution_id=event.new_execution_id,
        quantity=quantity,
        price=price,
        commission=event.commission,
        commission_currency=event.commission_currency,
        whole_quantity=event.whole_quantity,
        whole_commission=event.whole_commission,
        status=ExecutionStatus.COUNTED,
        corrects=old.execution_id,
        reported_quantity=event.quantity if was_split else None,
        reported_price=event.price if was_split else None,
    )


def changed(execution: Execution, **values: Any) -> Execution:
    """Return an execution with other values, which are valid."""
    return _execution({**execution.__dict__, **values})


def with_status(
    executions: Iterable[Execution], key: ExecutionKey | None, status: ExecutionStatus
) -> tuple[tuple[Execution, ...], Execution | None]:
    """Give a status to the execution of a key that counts.

    Returns:
        All of them, and the one as it was before; None if none of them is of the key and counts.
    """
    found = list(executions)
    before = _set_status(found, key, status)
    return tuple(found), before


def reported(events: Iterable[Event]) -> list[Execution]:
    """Return the executions that events of one position report, as they are after all of them, in the order of report."""
    found: list[Execution] = []
    for event in events:
        if isinstance(event, PositionOpened):
            found += event.executions
        elif isinstance(event, PositionFilled):
            found.append(execution_of(event))
        elif isinstance(event, PositionFillBusted):
            _set_status(found, event.busted.key, ExecutionStatus.BUSTED)
        elif isinstance(event, PositionFillCorrected):
            old = _set_status(found, event.corrected.key, ExecutionStatus.CORRECTED)
            found.append(corrected_execution(event, old or event.corrected))
        elif isinstance(event, PositionSplit):
            ratio = event.ratio
            found = [one.after_split(ratio) for one in found]
        elif isinstance(event, Amended) and "executions" in event.changes:
            found = list(cast("tuple[Execution, ...]", event.changes["executions"]))
    return found


def _set_status(
    found: list[Execution], key: ExecutionKey | None, status: ExecutionStatus
) -> Execution | None:
    for place in reversed(range(len(found))):
        one = found[place]
        if one.counts and one.key == key:
            found[place] = changed(one, status=status)
            return one
    return None


def adopted(events: Iterable[Event]) -> Open:
    """Return what a position had open, before any execution, when it was adopted; in the shares of now."""
    held = NOTHING
    for event in events:
        if isinstance(event, PositionOpened):
            listed = open_after(event.executions)
            held = Open(event.quantity - listed.quantity, event.cost - listed.cost)
        elif isinstance(event, PositionSplit):
            held = held._replace(quantity=event.ratio.quantity(held.quantity))
    return held
