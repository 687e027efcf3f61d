"""What a point in time costs follows its distance from now or from a state snapshot, and not the length of the history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.log import StreamAppend
from eventstore.replay.as_of import Past
from eventstore.replay.past_storage import PastStorage
from eventstore.replay.point_in_time import pin
from eventstore.repositories.read_tables import LISTS as READ_LISTS, READ_TABLES
from eventstore.sql import load, text_of
from projections import OrdersProjection, PortfoliosProjection, ProjectionWorker
from tests.query_plans import LISTS, sequential_scans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.store import EventStore

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
        FROM generate_series(1, $1::int) AS n
    ) AS numbered
"""


async def fill(store: EventStore, events: int) -> None:
    """Put so many events of orders into the log, and fold them."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, events, timeout=600)
        await connection.execute("SELECT setval('events_position_seq', $1)", events)
        await connection.execute("VACUUM ANALYZE events", timeout=600)
    worker = ProjectionWorker(store.log, OrdersProjection(), batch_events_max=5_000)
    while await worker.run_once():
        pass


class CountingStorage(PastStorage):
    """Counts the rows that the database sends."""

    rows = 0

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        """Run a statement."""
        found = await super().fetch(statement, *arguments)
        self.rows += len(found)
        return found


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


@pytest.mark.parametrize("events", [6_000, pytest.param(300_000, marks=pytest.mark.full)])
async def test_rows_read_follow_the_distance(store: EventStore, events: int):
    """The rows that a point in time reads are a few for each event between it and now, or a state snapshot, in any history."""
    await fill(store, events)
    await store.state_snapshots.make(position=events // 2)
    for distance in (10, 100, 1_000):
        for position in (events - distance, events // 2 + distance):
            points: tuple[dict[str, Any], ...] = (
                {"position": position},
                {"recorded_at": BEGIN + position * STEP},
                {"occurred_at": BEGIN + position * STEP},
            )
            for when in points:
                # Each event's stream is found once, has three events at most, and a base; and each page has some to spare.
                assert await rows_read(store, **when) <= 3 * distance + 300, (distance, when)


async def test_a_long_stream_is_folded_from_the_nearest_state(store: EventStore):
    """A portfolio of many events as of a point in time not long ago is not folded from its beginning."""
    portfolio = Portfolio(name="main", initial_capital=Decimal(1))
    for number in range(3_000):
        portfolio.deposit(Decimal(1), occurred_at=BEGIN + number * STEP)
    portfolio.record_assignments()
    await store.log.append(StreamAppend(portfolio.id, 0, portfolio.pending_events))
    head = await store.log.head()
    worker = ProjectionWorker(store.log, PortfoliosProjection(), batch_events_max=5_000)
    while await worker.run_once():
        pass
    await store.state_snapshots.make(position=head - 1_000)
    for position, rows_max in ((head, 10), (head - 900, 110)):
        point = await pin(store.log, position=position)
        storage = CountingStorage(store.log, READ_TABLES, point)
        found = await Past(storage, point).portfolios.get_portfolio_by_id(portfolio.id)
        assert found is not None
        assert found.cash_balance == position  # the capital, and a deposit at each position after the first
        assert storage.rows <= rows_max


@pytest.mark.full
async def test_times_are_found_through_their_index(store: EventStore):
    """Neither time reads the whole log: blocks follow the distance from now, and from a state snapshot."""
    events = 300_000
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, events, timeout=600)
        await connection.execute("VACUUM ANALYZE events", timeout=600)
        whole = await connection.fetchval("SELECT pg_relation_size('events') / 8192")
        for clock in ("recorded", "occurred"):
            late, early = BEGIN + (events - 1_000) * STEP, BEGIN + 101_000 * STEP
            asked = (
                (f"replay/streams_{clock}_after", ("order", late, events)),
                (f"replay/streams_{clock}_until", ("order", early, 100_000, events)),
            )
            for name, arguments in asked:
                read = await blocks(connection, load(name, connection), arguments)
                assert read < whole / 10, (name, read, whole)


async def blocks(connection: Any, statement: str, arguments: tuple[Any, ...]) -> int:
    """How many blocks a statement reads."""
    await connection.execute(f"PREPARE explained AS {statement}")
    values = ", ".join(f"'{value}'" for value in arguments)
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained ({values})")
    await connection.execute("DEALLOCATE explained")
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


async def test_lists_of_a_state_snapshot_are_served_by_an_index(store: EventStore):
    """No page of a list reads all the states that were ever stored, but of portfolios, which are few."""
    async with store.connection.acquire_for_user() as connection:
        for table in ("orders", "positions", "portfolio_snapshots", "instruments"):
            await connection.execute(STATES[table], timeout=600)
        await connection.execute("ANALYZE", timeout=600)
        scans = []
        for name, own in LISTS.items():
            table = name.partition("/")[0]
            arguments = (0, 20, None, None, *own)
            statement = READ_LISTS[name].statement_at_state_snapshot()
            await connection.execute(f"PREPARE explained AS {text_of(statement, connection)}")
            values = ", ".join("NULL" if each is None else f"'{each}'" for each in (*arguments, 15_000))
            plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained ({values})")
            await connection.execute("DEALLOCATE explained")
            scans += [f"{name}: {table}" for table in sequential_scans(json.loads(plan)[0]["Plan"])]
    few = ("events", "state_snapshot_portfolios")  # no event is there; and portfolios are few
    assert [scan for scan in scans if not scan.endswith(few)] == []


STATES = {
    "orders": """
        INSERT INTO state_snapshot_orders (id, version, symbol, side, order_type, quantity, time_in_force, status,
            broker_order_id, broker_order_ids, replaced_client_order_ids, reduce_only, post_only, short_sale, requests,
            filled_quantity, filled_cost, commission, other_commissions, was_filled_after_end, multiplier, executions, tags,
            details, strategy, created_at, last_position, stream_version, schema_hash, recorded_through, occurred_through,
            during)
        SELECT gen_random_uuid(), 1, 'S' || n % 500, 'BUY', 'MARKET', 100, 'DAY',
            (CASE WHEN n % 50 = 0 THEN 'SUBMITTED' ELSE 'FILLED' END)::order_status, 'B-' || n,
            jsonb_build_array('B-' || n), '[]', false, false, false, '[]', 0, 0, 0, '[]', false, 1, '[]', '[]', '{}', 'T',
            timestamptz '2026-01-01Z' + n * interval '1 second', n, 1, 0, now(), now(),
            CASE WHEN n % 50 = 0 THEN int8range(n, n + 100) ELSE int8range(n, NULL) END
        FROM generate_series(1, 30000) AS n
    """,
    "positions": """
        INSERT INTO state_snapshot_positions (id, version, symbol, quantity, cost, multiplier, realized_pnl, commission_paid,
            other_commissions, strategy, portfolio_id, tags, details, executions, opened_at, closed_at, last_position, stream_version,
            schema_hash, recorded_through, occurred_through, during)
        SELECT gen_random_uuid(), 1, 'S' || n % 500, 100, 1, 1, 0, 0, '[]', 'T' || n % 500,
            ('00000000-0000-0000-0000-' || lpad(to_hex(n % 500), 12, '0'))::uuid, '[]', '[]', '[]',
            timestamptz '2026-01-01Z' + n * interval '1 second',
            CASE WHEN n % 50 = 0 THEN NULL ELSE timestamptz '2026-02-01Z' END, n, 1, 0, now(), now(),
            CASE WHEN n % 50 = 0 THEN int8range(n, n + 100) ELSE int8range(n, NULL) END
        FROM generate_series(1, 30000) AS n
    """,
    "portfolio_snapshots": """
        INSERT INTO state_snapshot_portfolio_snapshots
        SELECT gen_random_uuid(), 1, ('00000000-0000-0000-0000-' || lpad(to_hex(n % 500), 12, '0'))::uuid,
            timestamptz '2026-01-01Z' + n * interval '1 second', NULL, '[]', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n,
            1, 0, now(), now(), int8range(n, NULL)
        FROM generate_series(1, 30000) AS n
    """,
    "instruments": """
        INSERT INTO state_snapshot_instruments
        SELECT gen_random_uuid(), 1, 'S' || n % 500, 'X', 'EQUITY', 'USD', NULL, NULL, 1, false, NULL, NULL, 'IN_FULL',
            NULL, timestamptz '2026-01-01Z' + n * interval '1 second', n, 1, 0, now(), now(), int8range(n, NULL)
        FROM generate_series(1, 30000) AS n
    """,
}
