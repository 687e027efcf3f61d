"""`eventstore snapshot`: what it stores and drops."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.testing.strategies import EPOCH
from projections import OrdersProjection, ProjectionWorker
from tests.command_line import run
from tests.conftest import url_of

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

D = Decimal


async def fill(store: EventStore) -> tuple[Order, Position, Portfolio]:
    """An order that is cancelled at minute 10 and was filled at minute 5, as is reported later; and the rest."""
    order = Order.create_market_order("ES", D(10), OrderSide.BUY, occurred_at=EPOCH)
    order.submit("B-1", occurred_at=EPOCH)
    portfolio = Portfolio(name="main", initial_capital=D("1000.50"))
    position = Position.open_position("NQ", D(2), D(10), D(0))
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
    order.cancel(occurred_at=EPOCH + timedelta(minutes=10))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    order.fill(D(4), D(100), "E-1", occurred_at=EPOCH + timedelta(minutes=5))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
        await uow.positions.close_position(position.id, D(11))
    return order, position, portfolio


async def command(*arguments: str | int) -> list[str]:
    """The lines of a command that ends well."""
    done = await asyncio.to_thread(run, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


async def test_what_is_stored_of_the_past(store: EventStore, migrated_config: DatabaseConfig):
    """It is made where workers have folded without it, and dropped."""
    order, *_ = await fill(store)
    for number in range(70):
        order.tags = (str(number),)
        order.record_assignments()
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(await store.log.head())
    to = ("--url", url_of(migrated_config))
    assert await command("snapshot", "--drop", *to) == ["1 state snapshots dropped"]
    assert await command("snapshot", *to) == ["1 state snapshots made"]
    assert await command("snapshot", *to) == ["0 state snapshots made"]
