"""An order engine: strategies that trade a tape, and keep every change in the event store.

A strategy decides on each print, in memory and without any I/O; the engine then saves what the decision has changed,
all of it in one Unit of Work. So the store never holds half of a decision, and a decision is never made on what is
not saved.

Strategies share nothing, so each is a task of its own: in its order, and beside the others. Units of Work that commit
at the same time share one statement of the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import assert_never

from eventstore import EventStore
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.examples.mean_reversion import E_MINI, PLANS, Instrument, MeanReversion, Plan
from eventstore.examples.ticks import Tick

CAPITAL = Decimal(100_000)
"""What each portfolio begins with, in dollars."""

_PRINTS_BETWEEN_PAUSES = 500  # a strategy with nothing to save must let the others and the workers run


class OrderEngine:
    """Trades a tape with some strategies.

    Args:
        store: Where everything is kept.
        tape: The prints, oldest first; at least one.
        plans: The strategies.
        instrument: What is traded.
        capital: What each strategy's portfolio begins with, in dollars.

    Attributes:
        strategies: The strategies, whose orders, positions and portfolios are as they stand.
        prints_done: How many prints all strategies together have seen.
        events_saved: How many events were appended.
        last_position: The position of the last of them; 0 before the first.
    """

    def __init__(
        self,
        store: EventStore,
        tape: Sequence[Tick],
        *,
        plans: Iterable[Plan] = PLANS,
        instrument: Instrument = E_MINI,
        capital: Decimal = CAPITAL,
    ) -> None:
        self._store = store
        self._tape = tape
        self.strategies = [MeanReversion(plan, instrument, capital, begins_at=tape[0].at) for plan in plans]
        self.prints_done = 0
        self.events_saved = 0
        self.last_position = 0

    async def run(self) -> None:
        """Play the tape to its end. Orders that rest then stay, and so do open positions.

        Raises:
            ExceptionGroup: A strategy could not save; the others have stopped.
        """
        async with asyncio.TaskGroup() as group:
            for strategy in self.strategies:
                group.create_task(self._trade(strategy), name=f"strategy {strategy.plan.name}")

    async def _trade(self, strategy: MeanReversion) -> None:
        for tick in self._tape:
            if strategy.on_tick(tick):
                await self._save(strategy, tick.row)
            elif tick.row % _PRINTS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
            self.prints_done += 1
        strategy.mark(self._tape[-1])
        await self._save(strategy, self._tape[-1].row + 1)

    async def _save(self, strategy: MeanReversion, row: int) -> None:
        """Save all that one decision has changed, or nothing of it; each event says at which print it was made."""
        events = 0
        metadata = {"actor": strategy.plan.name, "row": row}
        async with self._store.unit_of_work(metadata=metadata) as uow:
            for entity in strategy.take_changes():
                match entity:
                    case Order():
                        await uow.orders.save_order(entity)
                    case Position():
                        await uow.positions.save_position(entity)
                    case Portfolio():
                        await uow.portfolios.save_portfolio(entity)
                    case _:
                        assert_never(entity)
                events += len(entity.pending_events)
        self.events_saved += events
        self.last_position = max(self.last_position, uow.last_position or 0)
