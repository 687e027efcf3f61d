"""An order engine: strategies trade a tape, and the engine stores every change in the event store.

A strategy decides on each print, in memory and without any I/O. The engine then saves all changes of the
decision in one Unit of Work. So the store never holds half of a decision, and no decision is based on unsaved
changes.

Strategies share nothing, so each runs in a separate task, in its own order and beside the others. Units of
Work that commit at the same time share one statement of the database.
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
"""The initial capital of each portfolio, in dollars."""

_PRINTS_BETWEEN_PAUSES = 500  # a strategy with nothing to save must let the others and the workers run


class OrderEngine:
    """Trades a tape with some strategies.

    Args:
        store: The store for all changes.
        tape: The prints, oldest first; at least one.
        plans: The strategies.
        instrument: The traded instrument.
        capital: The initial capital of each strategy's portfolio, in dollars.

    Attributes:
        strategies: The strategies, with their present orders, positions and portfolios.
        prints_done: The number of prints that all strategies together have processed.
        events_saved: The number of appended events.
        last_position: The position of the last appended event; 0 before the first.
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
        """Play the tape to its end. Resting orders and open positions stay.

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
        """Save all changes of one decision, or none; each event names the print of the decision."""
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
