"""What an instance of a portfolio knows beside its state: the trades and the movements of cash that have left it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from eventstore.core import codec
from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.executions import (
    ExecutionKey,
    ExecutionStatus,
    Keyed,
    Memory,
    key_of,
    known_as,
    own_copy,
)
from eventstore.domain.portfolio_events import (
    CashMovement,
    PortfolioCashMoved,
    PortfolioTradeBusted,
    PortfolioTradeRecorded,
    Trade,
)

R = TypeVar("R", bound=Keyed)

TRADE_FACTS = tuple(name for name in Trade.model_fields if name in PortfolioTradeBusted.model_fields)
"""The fields that a trade has in common with the events that record it and take it back."""

_TRADE = tuple(name for name in Trade.model_fields if name in PortfolioTradeRecorded.model_fields)
_MOVEMENT = tuple(name for name in CashMovement.model_fields if name in PortfolioCashMoved.model_fields)


@dataclass(slots=True, eq=False)
class PortfolioMemory:
    """What an instance knows beside its state.

    Attributes:
        has_all: Whether state and memory have all that the stream has, so that the log need not be asked.
        trades: The trades that have left the state.
        movements: The movements of cash that have left the state.
        undecided: The ids that were counted although the log may have them.
    """

    has_all: bool
    trades: Memory[Trade] | None = None
    movements: Memory[CashMovement] | None = None
    undecided: set[str] = field(default_factory=set)

    def __eq__(self, other: object) -> bool:
        """Equal to any other, and to none: two instances of one state are equal, whatever they remember."""
        return other is None or isinstance(other, PortfolioMemory)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> PortfolioMemory:
        return own_copy(self)

    def take_as_new(self, trade_id: str) -> None:
        """Take a trade's id as one that the log need not be asked for: the order knows that it is new."""
        if self.trades is None:
            self.trades = Memory()
        self.trades.asked.add(trade_id)

    def recall(
        self,
        execution_ids: Collection[str],
        events: Iterable[RecordedEvent],
        held_trades: tuple[Trade, ...],
        held_movements: tuple[CashMovement, ...],
    ) -> set[ExecutionKey]:
        """Take in all that the log has of some ids; return the keys of what it has counted.

        Args:
            execution_ids: The ids.
            events: The events that have them.
            held_trades: The trades of the state.
            held_movements: The movements of cash of the state.
        """
        trades: list[Trade] = []
        movements: list[CashMovement] = []
        for recorded in events:
            for part in recorded.upcast_events:
                event = part.event
                if isinstance(event, PortfolioTradeRecorded):
                    trades.append(trade_of(event))
                elif isinstance(event, PortfolioTradeBusted):
                    trades = list(marked(tuple(trades), event))
                elif isinstance(event, PortfolioCashMoved):
                    movements.append(movement_of(event))
        self.trades = _with_recalled(self.trades, execution_ids, trades, held_trades)
        self.movements = _with_recalled(self.movements, execution_ids, movements, held_movements)
        keys = {one.key for one in trades} | {one.key for one in movements}
        return {key for key in keys if key is not None}


def _with_recalled(
    memory: Memory[R] | None, execution_ids: Collection[str], found: Iterable[R], held: tuple[R, ...]
) -> Memory[R]:
    """Return the memory with what the log has besides what the instance knew: that has the status of now."""
    complete: Memory[R] = Memory() if memory is None else memory
    complete.asked.update(execution_ids)
    recalled: dict[ExecutionKey, list[R]] = {}
    for one in found:
        if one.key is not None and not any(
            _is_same(one, other) for other in known_as(one.key, held, complete)
        ):
            recalled.setdefault(one.key, []).append(one)
    for key, ones in recalled.items():
        complete.older[key] = ones + complete.older.get(key, [])
    return complete


def _is_same(one: R, other: R) -> bool:
    """Whether both are one trade or movement, whatever became of it since."""
    return {**one.__dict__, "status": None} == {**other.__dict__, "status": None}


def trade_of(event: PortfolioTradeRecorded) -> Trade:
    """Return the trade that an event records."""
    return codec.fill(Trade, {name: event.__dict__[name] for name in _TRADE})


def movement_of(event: PortfolioCashMoved) -> CashMovement:
    """Return the movement of cash that an event records."""
    return codec.fill(CashMovement, {name: event.__dict__[name] for name in _MOVEMENT})


def counted_by(event: Event) -> Trade | CashMovement | None:
    """Return what an event counts; None if it counts nothing."""
    if isinstance(event, PortfolioTradeRecorded):
        return trade_of(event)
    return movement_of(event) if isinstance(event, PortfolioCashMoved) else None


def marked(trades: tuple[Trade, ...], event: PortfolioTradeBusted) -> tuple[Trade, ...]:
    """Return trades of which the one that an event takes back is marked; it may be none of them."""
    key = key_of(event)
    status = ExecutionStatus.BUSTED if event.corrected_by is None else ExecutionStatus.CORRECTED
    for place, one in enumerate(trades):
        if key is not None and one.counts and one.key == key:
            return (*trades[:place], one.model_copy(update={"status": status}), *trades[place + 1 :])
    return trades
