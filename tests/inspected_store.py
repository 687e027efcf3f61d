"""A store with something to look at: a portfolio that trades for some days, a key in quarantine, causes, seals."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from eventstore.core import caused_by
from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.evidence import seal
from eventstore.store import built_in_projections
from projections import Projection, ProjectionWorker
from tests.failing_projection import Spoilt, spoilt_table

if TYPE_CHECKING:
    import pytest

    from eventstore.store import EventStore

BEGAN_AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
_PRICES = {"AAPL": Decimal(180), "MSFT": Decimal(410), "NVDA": Decimal(120)}
_IDS = UUID("0190d1f2-7c1e-7000-8000-000000000001")


@dataclass(frozen=True)
class Inspected:
    """What the store has.

    Attributes:
        portfolio: The portfolio.
        orders: Its orders.
        position_id: An open position.
        correlation_id: The correlation of some events.
    """

    portfolio: Portfolio
    orders: list[Order]
    position_id: UUID
    correlation_id: str


async def fold(store: EventStore, *more: Projection[Any]) -> None:
    """Fold everything into the read tables."""
    head = await store.log.head()
    for one in (*built_in_projections(), *more):
        await ProjectionWorker(store.log, one).catch_up(head)


async def inspected(store: EventStore, *, days: int = 2, trades_a_day: int = 9) -> Inspected:
    """Trade, and fold everything into the read tables."""
    draw = random.Random(7)
    portfolio = Portfolio(
        id=uuid5(_IDS, "portfolio"),
        name="Main",
        currency="USD",
        initial_capital=Decimal(100_000),
        strategy="momentum",
        created_at=BEGAN_AT,
    )
    prices = dict(_PRICES)
    orders: list[Order] = []
    async with store.unit_of_work(actor="operator") as uow:
        await uow.portfolios.save_portfolio(portfolio)
    for day in range(days):
        for number in range(trades_a_day):
            at = BEGAN_AT + timedelta(days=day, minutes=30 * number)
            symbol = draw.choice(sorted(prices))
            prices[symbol] += Decimal(draw.randint(-200, 210)) / 100
            side = OrderSide.BUY if draw.random() < 0.55 else OrderSide.SELL
            order = Order.create_limit_order(
                symbol,
                Decimal(draw.randint(1, 9) * 10),
                side,
                limit_price=prices[symbol],
                client_order_id=f"C-{day}-{number}",
                portfolio_id=portfolio.id,
                strategy="momentum",
                account="ACC-1",
                currency="USD",
                occurred_at=at,
            )
            correlation_id = f"signal-{day}-{number}"
            async with store.unit_of_work(correlation_id=correlation_id, actor="robot") as uow:
                await uow.orders.save_order(order)
            (created,) = await store.log.read_stream(order.id)
            with caused_by(created, actor="gateway"):
                async with store.unit_of_work() as uow:
                    order.submit(f"B-{day}-{number}", occurred_at=at + timedelta(seconds=1))
                    await uow.orders.update_order(order)
                    if number % 7 == 6:
                        order.cancel("the market moved away", occurred_at=at + timedelta(minutes=5))
                        await uow.orders.update_order(order)
                        continue
                    booked = await uow.book(order).fill(
                        order.quantity or Decimal(0),
                        prices[symbol],
                        f"E-{day}-{number}",
                        commission=Decimal("1.25"),
                        occurred_at=at + timedelta(seconds=2),
                    )
                    for position in booked.positions:
                        if position.is_open:
                            position.mark(prices[symbol], occurred_at=at + timedelta(seconds=3))
                            await uow.positions.update_position(position)
            orders.append(order)
    await fold(store)
    async with store.unit_of_work() as uow:
        opened = await uow.positions.get_active_positions()
    return Inspected(portfolio, orders, opened[0].id, "signal-1-1")


async def quarantined(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a key of the projection `spoilt` into quarantine, until SPOILT_AT is deleted."""
    await spoilt_table(store)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(
            Order.create_market_order(
                "SPOILT", Decimal(1313), OrderSide.BUY, occurred_at=BEGAN_AT + timedelta(days=2)
            )
        )
    monkeypatch.setenv("SPOILT_AT", "1313")
    await fold(store, Spoilt())


async def sealed(store: EventStore) -> None:
    """Seal everything."""
    await seal(store.log)
