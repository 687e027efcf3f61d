"""A morning of real orders through the Unit of Work: every delete agrees with the quantity that the store has left.

The events are NASDAQ's of 2012-06-21, as LOBSTER (lobsterdata.com) publishes them in its free samples. The file is not
part of this project; without it the tests are skipped.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from eventstore.domain.order import OrderStatus
from projections import OrdersProjection, ProjectionWorker
from projections.check import compare_with_fold
from tests.market_data import ROWS_PER_UNIT_OF_WORK, Tally, messages, needs_file, take

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def play(store: EventStore) -> Tally:
    """Take the file, many rows in each Unit of Work."""
    tally = Tally()
    rows = list(messages())
    for start in range(0, len(rows), ROWS_PER_UNIT_OF_WORK):
        await take(store, rows[start : start + ROWS_PER_UNIT_OF_WORK], tally)
    return tally


async def assert_projected(store: EventStore, tally: Tally) -> None:
    """The table has every order that was submitted, its executed shares add up, and it equals the fold."""
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass
    async with store.connection.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT count(*) AS orders, sum(filled_quantity) AS shares, "
            "count(*) FILTER (WHERE status IN ('SUBMITTED', 'PARTIALLY_FILLED')) AS open FROM orders"
        )
        filled = await connection.fetchval("SELECT count(*) FROM events WHERE type = 'OrderFilled'")
    assert (row["orders"], row["shares"]) == (tally.taken["1"], tally.shares_executed)
    assert filled == tally.taken["4"]
    async with store.unit_of_work() as uow:
        assert len(await uow.orders.get_active_orders()) == row["open"]
        assert len(await uow.orders.get_orders_by_status(OrderStatus.CANCELLED)) == tally.taken["3"]
    assert (await compare_with_fold(store.log, OrdersProjection())).is_equal


@needs_file
async def test_a_morning_of_real_orders(store: EventStore):
    """The whole file: 40,932 deletes agree, 84 events on orders never seen are refused, nothing else is lost."""
    tally = await play(store)
    assert tally.taken == {"1": 44_256, "2": 469, "3": 40_932, "4": 4_055}
    assert tally.refused == {"3": 72, "4": 12, "5": 2_201}
    assert tally.deletes_equal == 40_932
    unseen = (
        Decimal(350_494) - tally.shares_executed
    )  # the README's count has those of orders never seen as well
    known = {row.order for row in messages() if row.kind == "1"}
    assert unseen == sum(row.size for row in messages() if row.kind == "4" and row.order not in known)
    await assert_projected(store, tally)
    async with store.unit_of_work() as uow:
        assert len(await uow.orders.get_active_orders()) == 380
