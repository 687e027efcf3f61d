"""The open orders of a real morning as of random times, held against a count from the file alone.

The events are NASDAQ's of 2012-06-21, as LOBSTER (lobsterdata.com) publishes them in its free samples. The file is not
part of this project; without it the tests are skipped.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from projections import OrdersProjection, ProjectionWorker
from tests.market_data import ROWS_PER_UNIT_OF_WORK, Tally, messages, needs_file, take

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from eventstore.store import EventStore
    from tests.market_data import Message


def open_orders(rows: Sequence[Message], point: datetime) -> dict[UUID, Decimal]:
    """What is open at a point in time, and how much of it, from the rows alone: sizes that came, less what was taken away."""
    left: dict[UUID, Decimal] = {}
    for row in rows:
        if row.occurred_at > point:
            break
        if row.kind == "1":
            left[row.order_id] = row.size
        elif row.kind in "234" and row.order_id in left:
            left[row.order_id] -= row.size
            if not left[row.order_id]:
                del left[row.order_id]
    return left


@needs_file
@pytest.mark.parametrize(
    ("rows_max", "points", "segment_events"),
    [(3_000, 25, 200), pytest.param(None, 100, 1_000, marks=pytest.mark.full)],
    ids=["small", "full"],
)
async def test_open_orders_as_of_random_times(
    store: EventStore, rows_max: int | None, points: int, segment_events: int
):
    """At each time the open orders and their open quantities are those of the file; so is the end of the morning."""
    rows = list(messages())[:rows_max]
    worker = ProjectionWorker(store.log, OrdersProjection(), segment_events=segment_events)
    for start in range(0, len(rows), ROWS_PER_UNIT_OF_WORK):
        await take(store, rows[start : start + ROWS_PER_UNIT_OF_WORK], Tally())
        while await worker.run_once():
            pass
    random = Random(20120621)
    first, last = rows[0].occurred_at, rows[-1].occurred_at
    times = [first + random.random() * (last - first) for _ in range(points // 2)]
    times += [random.choice(rows).occurred_at for _ in range(points - len(times) - 2)]
    for point in [*times, first - timedelta(microseconds=1), last]:
        async with store.as_of(occurred_at=point) as past:
            found = {order.id: order.leaves_quantity for order in await past.orders.get_active_orders()}
        assert found == open_orders(rows, point), point
    assert rows_max is not None or len(found) == 380
