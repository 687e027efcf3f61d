"""`eventstore as-of` and `snapshot`: lists of a point in time, as tables or JSON, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.testing.strategies import EPOCH
from tests import command_line
from tests.command_line import assert_refused, run, run_on_terminal
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


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    """Each line as JSON."""
    return [orjson.loads(line) for line in lines]


async def test_lists_of_a_point_in_time(store: EventStore, migrated_config: DatabaseConfig):
    """By position, by what was known, and by what was true; --active and --symbol; a table and JSON lines."""
    order, position, portfolio = await fill(store)
    to = ("--url", url_of(migrated_config))
    lines = await command("as-of", 4, "orders", "--active", *to)
    assert lines[0].strip() == "1 orders as of 4"
    (row,) = [line for line in lines if str(order.id) in line]
    assert row.split()[1:] == ["ES", "BUY", "SUBMITTED", "10", "10"]
    (cancelled,) = parsed(await command("as-of", 5, "orders", "--json", *to))
    assert (cancelled["status"], cancelled["filled_quantity"]) == ("CANCELLED", "0")
    known = (await store.history(order.id))[2].recorded_at.isoformat()
    assert parsed(await command("as-of", known, "orders", "--json", *to)) == [cancelled]
    true = (EPOCH + timedelta(minutes=6)).isoformat()
    options = ("--occurred", "--active", "--symbol", "ES", "--limit", 1, "--json")
    (filled,) = parsed(await command("as-of", true, "orders", *options, *to))
    assert (filled["status"], filled["filled_quantity"]) == ("PARTIALLY_FILLED", "4")
    for at, closed in ((4, False), (7, True)):
        (shown,) = parsed(await command("as-of", at, "positions", "--json", *to))
        assert (shown["id"], shown["closed_at"] is not None) == (str(position.id), closed)
    (books,) = parsed(await command("as-of", 4, "portfolios", "--json", *to))
    assert (books["id"], books["cash_balance"]) == (str(portfolio.id), "1000.50")


async def test_no_number_id_or_symbol_is_cut(store: EventStore, migrated_config: DatabaseConfig):
    """Piped, a row is one line, however narrow the environment; a narrow terminal gets a field a line, a wide one a table."""
    position = Position.open_position("A-SYMBOL-OF-SOME-LENGTH", D(3), D(10), D(0))
    position.add(D(4), D(11))
    position.reduce(D(2), D(12))
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
    whole = [
        str(position.id),
        position.symbol,
        str(position.quantity),
        str(position.cost),
        str(position.realized_pnl),
    ]
    assert len(whole[3]) > 20
    listed = ("as-of", 3, "positions", "--active", "--url", url_of(migrated_config))
    piped = await asyncio.to_thread(run, *listed, env={"COLUMNS": "40"})
    (row,) = [line.split() for line in piped.stdout.splitlines() if position.symbol in line]
    assert row[:5] == whole
    status, wide = await asyncio.to_thread(run_on_terminal, *listed, columns=250)
    (row,) = [line.split() for line in wide.splitlines() if position.symbol in line]
    assert (status, row[:5]) == (0, whole)
    status, narrow = await asyncio.to_thread(run_on_terminal, *listed, columns=60)
    shown = dict(line.split(maxsplit=1) for line in narrow.splitlines() if len(line.split()) == 2)
    assert (status, [shown[name] for name in ("id", "symbol", "quantity", "cost", "realized")]) == (0, whole)


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
    for arguments, said in (
        (("as-of", "noon", "orders"), "neither a position nor a time"),
        (("as-of", "99", "portfolios"), "beyond the end of the log"),
        (("as-of", "4", "orders", "--occurred"), "needs a time"),
        (("snapshot", "--list", "--drop"), "exclude each other"),
    ):
        assert_refused(await asyncio.to_thread(run, *arguments, *to), said)
