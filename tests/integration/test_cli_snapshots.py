"""`eventstore snapshot`: what it stores, lists and drops, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.testing.strategies import EPOCH
from tests import command_line
from tests.command_line import assert_refused, run
from tests.conftest import url_of
from tests.waiting import until

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


async def test_state_snapshots(store: EventStore, migrated_config: DatabaseConfig):
    """One is made, listed and dropped."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    assert await command("snapshot", "--position", 4, *to) == ["state snapshot at position 4"]
    listed = await command("snapshot", "--list", *to)
    assert [line.partition(",")[0] for line in listed] == [
        "4 instrument", "4 order", "4 portfolio", "4 portfolio_snapshot", "4 position",
    ]  # fmt: skip
    assert await command("snapshot", "--drop", *to) == ["5 dropped"]
    process = command_line.start("snapshot", "--every", "1", *to)
    try:

        async def made() -> bool:
            return bool(await store.state_snapshots.list())

        await until(made)
        os.kill(process.pid, signal.SIGTERM)
        await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert {one.position for one in await store.state_snapshots.list()} == {await store.log.head()}


async def test_it_ends_although_it_was_started_in_the_background(
    store: EventStore, migrated_config: DatabaseConfig
):
    """A shell without job control lets what it starts with `&` ignore SIGINT: SIGTERM ends it all the same."""
    await fill(store)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = command_line.start("snapshot", "--every", "1", "--url", url_of(migrated_config))
    finally:
        signal.signal(signal.SIGINT, before)
    try:

        async def made() -> bool:
            return bool(await store.state_snapshots.list())

        await until(made)
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 128 + signal.SIGTERM
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def test_a_state_snapshot_of_another_process_is_one(store: EventStore, migrated_config: DatabaseConfig):
    """What one process has made, the next one keeps and a third one reads: as of a point in time after it, from it."""
    order, *_ = await fill(store)
    to = ("--url", url_of(migrated_config))
    for position in (4, 5):
        await command("snapshot", "--position", position, *to)
    assert [one.position for one in await store.state_snapshots.list()] == [4] * 5 + [5] * 5
    async with store.connection.acquire() as connection:
        marked = await connection.execute(
            "UPDATE state_snapshot_orders SET reason = 'read from the state snapshot'"
        )
    assert marked == "UPDATE 2"
    async with store.as_of(position=5) as past:
        (listed,) = await past.orders.get_orders_by_symbol("ES")
        loaded = await past.orders.get_order_by_id(order.id)
    assert (listed.reason, loaded and loaded.reason) == (
        "read from the state snapshot",
        "read from the state snapshot",
    )


async def test_what_is_refused(store: EventStore, migrated_config: DatabaseConfig):
    """Each with one line that says what to do, and status 2."""
    await fill(store)
    to = ("--url", url_of(migrated_config))
    for arguments, said in ((("snapshot", "--list", "--drop"), "exclude each other"),):
        assert_refused(await asyncio.to_thread(run, *arguments, *to), said)
