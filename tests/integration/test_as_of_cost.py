"""What a point in time costs follows neither its distance from now nor the length of the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.log import StreamAppend
from eventstore.replay.as_of import Past
from eventstore.replay.log_segments import SEGMENT_EVENTS
from eventstore.replay.past_storage import PastStorage
from eventstore.replay.point_in_time import pin
from eventstore.replay.state_snapshots import SNAPSHOT_VERSIONS
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.store import EventStore
from projections import OrdersProjection, PortfoliosProjection, ProjectionWorker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from eventstore.database import DatabaseConfig

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=10)

# Orders of three events each, one after the other, as the log keeps them.
FILL = """
    INSERT INTO events
    SELECT position, at, at, version, 1, md5('s' || stream)::uuid, md5('e' || position)::uuid, 'order',
        (ARRAY['OrderCreated', 'OrderSubmitted', 'OrderFilled'])[version],
        CASE version
            WHEN 1 THEN '{"symbol": "ES", "side": "BUY", "order_type": "MARKET", "quantity": "10"}'
            WHEN 2 THEN '{"broker_order_id": "B-1"}'
            ELSE '{"execution_id": "E-1", "quantity": "10", "price": "100", "commission": "0"}'
        END::jsonb, '{}'
    FROM (
        SELECT n AS position, (n - 1) % 3 + 1 AS version, (n - 1) / 3 AS stream,
            timestamptz '2026-01-01Z' + n * interval '10 milliseconds' AS at
        FROM generate_series($2::int + 1, $1::int) AS n
    ) AS numbered
"""


async def fill_log(store: EventStore, events: int, *, after: int = 0) -> None:
    """Put so many events of orders into the log, of which it has some already."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, events, after, timeout=600)
        await connection.execute("SELECT setval('events_position_seq', $1)", events)
        await connection.execute("VACUUM ANALYZE events", timeout=600)


async def fold(store: EventStore) -> None:
    """Fold all orders."""
    worker = ProjectionWorker(store.log, OrdersProjection(), batch_events_max=5_000)
    while await worker.run_once():
        pass


async def fill(store: EventStore, events: int) -> None:
    """Put so many events of orders into the log, and fold them."""
    await fill_log(store, events)
    await fold(store)


class CountingStorage(PastStorage):
    """Counts the rows that the database sends."""

    rows = 0

    async def fetch(self, statement: str, *arguments: Any, folded: int = 0) -> Sequence[Any]:
        """Run a statement."""
        found = await super().fetch(statement, *arguments, folded=folded)
        self.rows += len(found)
        return found


def shown(orders: Iterable[Order]) -> dict[UUID, dict[str, Any]]:
    """The fields of orders, except the time when they were made, which the events of `FILL` do not have."""
    return {order.id: order.model_dump(exclude={"created_at"}) for order in orders}


async def rows_read(store: EventStore, **when: Any) -> int:
    """How many rows three queries of one point in time read: a short list, a page of a long one, one order."""
    point = await pin(store.log, **when)
    storage = CountingStorage(store.log, READ_TABLES, point)
    past = Past(storage, point)
    assert len(await past.orders.get_active_orders()) == (1 if point.through % 3 else 0) or point.is_time
    filled = await past.orders.get_orders_by_status(OrderStatus.FILLED, limit=10)
    assert len(filled) == 10
    assert await past.orders.get_order_by_id(filled[0].id) == filled[0]
    return storage.rows


@pytest.mark.parametrize("events", [12_000, pytest.param(300_000, marks=pytest.mark.full)])
async def test_rows_read_do_not_follow_the_distance(store: EventStore, events: int):
    """The rows that a point in time reads are a few for each event of half a segment, wherever it lies."""
    await fill(store, events)
    for position in (events // 10, events // 3, events // 2, events * 9 // 10, events - 10):
        points: tuple[dict[str, Any], ...] = (
            {"position": position},
            {"recorded_at": BEGIN + position * STEP},
            {"occurred_at": BEGIN + position * STEP},
        )
        for when in points:
            # Each event's stream is found once, has three events at most, and a base; and each page has some to spare.
            assert await rows_read(store, **when) <= 3 * SEGMENT_EVENTS // 2 + 300, (position, when)


async def test_one_late_event_costs_one_segment(store: EventStore):
    """An event that occurs years later than its neighbours does not make every moment after it read the whole log."""
    events = 12_000
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, events, 0, timeout=600)
        await connection.execute("ALTER TABLE events DISABLE TRIGGER events_refuse_change")
        await connection.execute("UPDATE events SET occurred_at = '2100-01-01Z' WHERE position = 3")
        await connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change")
        await connection.execute("SELECT setval('events_position_seq', $1)", events)
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass
    assert await rows_read(store, occurred_at=BEGIN + 9_000 * STEP) <= 5 * SEGMENT_EVENTS // 2 + 300


async def test_a_log_that_was_folded_without_segments_gets_them(store: EventStore):
    """A worker that has nothing to fold makes them, and then the middle of the log is as near as its end."""
    events = 12_000
    await fill(store, events)
    await store.state_snapshots.drop()
    at = BEGIN + (events // 2) * STEP
    assert await rows_read(store, recorded_at=at) > 3 * SEGMENT_EVENTS // 2 + 300
    worker = ProjectionWorker(store.log, OrdersProjection())
    for _ in range(3):
        assert not await worker.run_once()
    for when in ({"position": events // 2}, {"recorded_at": at}, {"occurred_at": at}):
        assert await rows_read(store, **when) <= 3 * SEGMENT_EVENTS // 2 + 300


async def test_a_log_that_has_grown_since_its_end_was_known(
    store: EventStore, migrated_config: DatabaseConfig
):
    """A process that learned long ago how far the log is final folds no stream for having gone on since."""
    await fill(store, 3_000)
    async with EventStore.open(migrated_config, workers=False) as reader:
        await rows_read(reader, position=3_000)
        await fill_log(store, 12_000, after=3_000)
        await fold(store)
        for position in (300, 1_500, 2_990):
            assert await rows_read(reader, position=position) <= 3 * SEGMENT_EVENTS // 2 + 300, position


async def test_what_begins_while_a_block_is_open_is_not_folded(store: EventStore):
    """The streams that began after the point in time are none of those that differ from the table."""
    await fill(store, 3_000)
    point = await pin(store.log, recorded_at=BEGIN + 1_500 * STEP)
    storage = CountingStorage(store.log, READ_TABLES, point)
    active = await Past(storage, point).orders.get_active_orders()
    await fill_log(store, 12_000, after=3_000)
    await fold(store)
    storage.rows = 0
    assert await Past(storage, point).orders.get_active_orders() == active
    assert storage.rows <= 10


async def test_a_plan_that_was_made_before_the_table_was_filled(migrated_config: DatabaseConfig):
    """A connection that is asked while the log is there and the table is empty plans anew when the table is filled."""
    async with EventStore.open(migrated_config.replace(max_pool_size=1), workers=False) as store:
        await fill_log(store, 3_000)
        ids = sorted({event.stream_id for event in await store.log.read_range(after=0, through=300)})
        point = await pin(store.log, position=300)
        for _ in range(3):
            assert len(await PastStorage(store.log, READ_TABLES, point).states(Order, ids)) == 100
        await fold(store)
        assert len(await PastStorage(store.log, READ_TABLES, point).states(Order, ids)) == 100
        async with store.connection.acquire() as connection:
            planned = await connection.fetchval(
                "SELECT count(*) FROM pg_prepared_statements "
                "WHERE statement LIKE '%.orders AS row%' AND statement NOT LIKE '%pg_prepared_statements%'"
            )
    assert planned == 2


async def test_what_changes_after_its_end_is_there_before_it(store: EventStore):
    """Orders that had ended, and have an event much later, are as they were: when it came while a segment was made, and since."""
    await fill(store, 3_000)
    async with store.as_of(position=1_500) as past:
        before = {each.id: each for each in await past.orders.get_orders_by_symbol("ES")}
    assert len(before) == 500
    ids = sorted(before)[:4]
    for change, order_id in enumerate(ids):
        async with store.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            if change % 2:
                await uow.orders.delete_order(order_id)
            else:
                order.bust_fill("E-1", occurred_at=BEGIN + timedelta(days=1))
                await uow.orders.update_order(order)
        if change == 1:  # the first two are in a segment, the others after the last one
            worker = ProjectionWorker(store.log, OrdersProjection(), segment_events=1)
            while await worker.run_once():
                pass
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass
    async with store.connection.acquire() as connection:
        continued = await connection.fetchval(
            "SELECT count(*) FROM log_segments, unnest(continued) AS begun WHERE after_position >= 3000"
        )
        last = await connection.fetchval("SELECT max(position) FROM log_segments")
    assert (continued, last) == (2, 3_002)
    at = BEGIN + 1_500 * STEP
    for when in ({"position": 1_500}, {"recorded_at": at}, {"occurred_at": at}):
        async with store.as_of(**when) as past:
            found = {each.id: each for each in await past.orders.get_orders_by_symbol("ES")}
            filled = await past.orders.get_orders_by_status(OrderStatus.FILLED)
        assert shown(found.values()) == shown(before.values())
        assert {each.id for each in filled} == before.keys()


async def test_a_long_stream_is_folded_from_the_nearest_state(store: EventStore):
    """A portfolio of many events is folded from the state snapshot before the point in time, wherever that lies."""
    portfolio = Portfolio(name="main", initial_capital=Decimal(1), created_at=BEGIN)
    for number in range(3_000):
        portfolio.deposit(Decimal(1), occurred_at=BEGIN + number * STEP)
    portfolio.record_assignments()
    await store.log.append(StreamAppend(portfolio.id, 0, portfolio.pending_events))
    head = await store.log.head()
    worker = ProjectionWorker(store.log, PortfoliosProjection(), batch_events_max=5_000)
    while await worker.run_once():
        pass
    for position in (head, head - 900, head // 2, head // 10):
        at = BEGIN + (position - 2) * STEP
        for when in ({"position": position}, {"occurred_at": at}):
            point = await pin(store.log, **when)
            storage = CountingStorage(store.log, READ_TABLES, point)
            found = await Past(storage, point).portfolios.get_portfolio_by_id(portfolio.id)
            assert found is not None
            assert (
                found.cash_balance == position
            )  # the capital, and a deposit at each position after the first
            assert storage.rows <= 2 * SNAPSHOT_VERSIONS + 10
