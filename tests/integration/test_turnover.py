"""The example of a user's own projection: turnover equals what the orders themselves say, busts and corrections too."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from eventstore.core.context import use_clock
from eventstore.domain.order import Order, OrderSide
from eventstore.examples.mean_reversion import E_MINI, PLANS, MeanReversion
from eventstore.examples.ticks import packaged_tape, read_ticks
from eventstore.examples.turnover import TurnoverProjection
from eventstore.log import StreamAppend
from projections import ProjectionWorker
from projections.check import compare_with_fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.store import EventStore

PRINTS = 4_000
MONDAY = datetime(2024, 1, 1, 23, 59, tzinfo=UTC)
Row = tuple[int, Fraction, Fraction, Fraction]


def turnover_of(orders: Iterable[Order]) -> dict[tuple[date, str, str], Row]:
    """Turnover by its definition: the executions that count, by the day that each traded."""
    rows: dict[tuple[date, str, str], Row] = defaultdict(lambda: (0, Fraction(0), Fraction(0), Fraction(0)))
    for order in orders:
        for execution in order.executions:
            if execution.counts:
                key = execution.occurred_at.date(), order.symbol, order.strategy or ""
                fills, quantity, notional, commission = rows[key]
                traded = Fraction(execution.quantity)
                rows[key] = (
                    fills + 1,
                    quantity + traded,
                    notional + abs(traded * Fraction(execution.price)) * Fraction(order.multiplier),
                    commission + Fraction(execution.commission),
                )
    return dict(rows)


async def project(store: EventStore, orders: Iterable[Order]) -> dict[tuple[Any, ...], Row]:
    """Append the orders' events, fold them, and return the table."""
    projection = TurnoverProjection()
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    for order in orders:
        await store.log.append(StreamAppend(order.id, order.version, order.pending_events))
    worker = ProjectionWorker(store.log, projection, batch_events_max=100)
    while await worker.run_once():
        pass
    assert (await compare_with_fold(store.log, projection)).is_equal
    async with store.connection.acquire() as connection:
        records = await connection.fetch("SELECT * FROM turnover")
    return {
        (record["day"], record["symbol"], record["strategy"]): (
            record["fills"],
            *(Fraction(record[name]) for name in ("quantity", "notional", "commission")),
        )
        for record in records
    }


async def test_turnover_of_a_tape(store: EventStore):
    """Three strategies on a real tape: each day's row equals the sum over the orders' executions."""
    orders: dict[Any, Order] = {}
    for plan in PLANS[:3]:
        strategy = MeanReversion(plan, E_MINI, Decimal(100_000), begins_at=MONDAY)
        for tick in read_ticks(packaged_tape(), limit=PRINTS):
            strategy.on_tick(tick)
            orders |= {one.id: one for one in strategy.take_changes() if isinstance(one, Order)}
    wanted = turnover_of(orders.values())
    assert sum(row[0] for row in wanted.values()) > 50
    assert len({key[2] for key in wanted}) == 3
    assert await project(store, orders.values()) == wanted


async def test_busts_and_corrections_count_on_the_day_of_the_trade(store: EventStore):
    """What is taken back or replaced a day later changes the row of its own day; an empty row goes."""
    orders = []
    with use_clock(lambda: MONDAY):
        for strategy in ("a", "a", None):
            order = Order.create_market_order(
                "ES", Decimal(10), OrderSide.SELL, strategy=strategy, multiplier=Decimal(50)
            )
            for number in range(4):
                traded_at = MONDAY + timedelta(minutes=number)
                order.fill(
                    Decimal(2),
                    Decimal("-10.25"),
                    f"E-{number}",
                    commission=Decimal("0.10"),
                    occurred_at=traded_at,
                )
            orders.append(order)
    late = MONDAY + timedelta(days=3)
    busted, corrected, gone = orders
    busted.bust_fill("E-0", occurred_at=late)
    corrected.correct_fill(
        "E-1", quantity=Decimal(4), price=Decimal(11), new_execution_id="E-9", occurred_at=late
    )
    corrected.correct_fill("E-9", commission=Decimal("-0.05"), occurred_at=late)
    corrected.bust_fill("E-9", occurred_at=late)
    corrected.correct_fill("E-2", price=Decimal(12), occurred_at=late)
    for number in range(4):
        gone.bust_fill(f"E-{number}", occurred_at=late)
    table = await project(store, orders)
    assert table == turnover_of(orders)
    tuesday = (MONDAY + timedelta(days=1)).date()
    assert set(table) == {(MONDAY.date(), "ES", "a"), (tuesday, "ES", "a")}
    assert table[MONDAY.date(), "ES", "a"] == (1, Fraction(2), Fraction(1025), Fraction(1, 10))
