"""Each list and each load is served by an index, whatever the size of the tables."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from eventstore.repositories import read_tables
from eventstore.sql import load, render, schema_of, text_of
from eventstore.store import EventStore
from tests.query_plans import ID, LISTS, TIME, sequential_scans
from tools.lint import sql_header
from tools.statements import STATEMENTS

ROWS = {"small": 50_000, "full": 1_000_000}

# What a page of each query is asked with: (tail, limit, after time, after id), and then its own arguments.
PAGE = (10_001, 20, None, None)
NEXT_PAGE = (10_001, 20, TIME, ID)
_UP_TO = " up to a position"
IDS = f"{{{ID}}}"
LOADS = ("orders/load", "positions/load", "portfolios/load", "portfolio_snapshots/load", "instruments/load")

FILL_EVENTS = """
    INSERT INTO events
    SELECT nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'order',
        'OrderCreated', '{{}}', '{{}}'
    FROM generate_series(1, {rows}) AS n
"""
FILL = (
    """
    INSERT INTO orders (
        id, version, symbol, side, order_type, quantity, time_in_force, status, client_order_id,
        replaced_client_order_ids, broker_order_id, broker_order_ids, parent_id, list_id, account, reduce_only, post_only,
        short_sale, requests, filled_quantity, filled_cost, commission, other_commissions, was_filled_after_end,
        multiplier, executions, tags, details, strategy, created_at, last_position
    )
    SELECT gen_random_uuid(), 1, 'S' || n % 500, 'BUY', 'MARKET', 100, 'DAY',
        (CASE WHEN n % 50 = 0 THEN 'SUBMITTED' ELSE 'FILLED' END)::order_status, 'C-' || n,
        CASE WHEN n % 10 = 0 THEN jsonb_build_array('D-' || n) ELSE '[]' END, 'B-' || n, jsonb_build_array('B-' || n),
        ('00000000-0000-0000-0000-' || lpad(to_hex(n / 3), 12, '0'))::uuid, 'L-' || n / 3, 'A-' || n % 500, false, false,
        false, '[]', 0, 0, 0, '[]', false, 1, '[]', '[]', '[]', 'T' || n % 50,
        timestamptz '2026-01-01Z' + n * interval '1 second', n
    FROM generate_series(1, {rows}) AS n
    """,
    """
    INSERT INTO positions
    SELECT gen_random_uuid(), 1, 'S' || n % 500, 100, 1, 1, NULL, NULL, NULL, 0, 0, '[]', NULL, NULL, 'T' || n % 500,
        ('00000000-0000-0000-0000-' || lpad(to_hex(n % 500), 12, '0'))::uuid, 'A' || n % 500, NULL, NULL, NULL, '[]', '[]', '[]',
        timestamptz '2026-01-01Z' + n * interval '1 second',
        CASE WHEN n % 50 = 0 THEN NULL ELSE timestamptz '2026-02-01Z' END, NULL, n
    FROM generate_series(1, {rows}) AS n
    """,
    """
    INSERT INTO portfolios
    SELECT gen_random_uuid(), 1, 'N' || n, NULL, 1, 1, '[]', 'NETTING', 'IN_FULL', false, NULL, NULL, NULL, NULL, 0, '[]',
        '[]', 0, '[]', 0, '[]', 0, '[]', 0, 0, 0, 0, 0, '[]', '[]', 'T' || n % 500, '[]',
        timestamptz '2026-01-01Z' + n * interval '1 second', NULL, n
    FROM generate_series(1, {rows}) AS n
    """,
    """
    INSERT INTO portfolio_snapshots
    SELECT gen_random_uuid(), 1, ('00000000-0000-0000-0000-' || lpad(to_hex(n % 500), 12, '0'))::uuid,
        timestamptz '2026-01-01Z' + n * interval '1 second', NULL, '[]', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, n
    FROM generate_series(1, {rows}) AS n
    """,
    """
    INSERT INTO instruments
    SELECT gen_random_uuid(), 1, 'S' || n % 500, 'X', 'EQUITY', 'USD', NULL, NULL, 1, false, NULL, NULL, 'IN_FULL', NULL,
        timestamptz '2026-01-01Z' + n * interval '1 second', n
    FROM generate_series(1, {rows}) AS n
    """,
    FILL_EVENTS,
    """
    INSERT INTO log_segments (category, level, after_position, position, continued)
    SELECT 'order', level, n * length, (n + 1) * length, ARRAY[n]
    FROM (VALUES (0, 100), (1, 800)) AS levels (level, length) CROSS JOIN generate_series(0, {rows} / length) AS n
    """,
    """
    INSERT INTO state_snapshots (stream_id, version, position, state, schema_hash, after_version, recorded_through,
        occurred_from, occurred_through)
    SELECT md5('s' || n % 100)::uuid, n, n, '', 0, n - 1, now(), now(), now() FROM generate_series(1, {rows}) AS n
    """,
    """
    INSERT INTO projection_checkpoints (projection, position)
    SELECT name, max(position) - 100
    FROM events, unnest(ARRAY['orders', 'positions', 'portfolios', 'portfolio_snapshots', 'instruments']) AS name GROUP BY name
    """,
)


@pytest_asyncio.fixture(params=["small", pytest.param("full", marks=pytest.mark.full)])
async def filled(request: pytest.FixtureRequest, store: EventStore) -> AsyncIterator[Any]:
    """A connection to read tables of many rows, and a log whose last hundred events are not folded yet."""
    async with store.connection.acquire_for_user() as connection:
        for statement in FILL:
            await connection.execute(statement.format(rows=ROWS[request.param]), timeout=600)
        await connection.execute("ANALYZE", timeout=600)
        yield connection


async def test_no_query_reads_a_whole_table(filled: Any):
    """No page of a list, no load and no question about the past scans a large table, in either kind of plan."""
    asked = [(name, (*page, *own)) for name, own in LISTS.items() for page in (PAGE, NEXT_PAGE)]
    asked += [(name, (ID,)) for name in LOADS]
    asked += [(f"{name}{_UP_TO}", (0, 20, None, None, *own, 15_000)) for name, own in LISTS.items()]
    for when in ((500, None, None), (900, TIME, None), (900, None, TIME)):
        asked += [
            ("replay/differing", ("order", *when, 800, 900, 500)),
            ("replay/states_within", (IDS, "{9}", *when, 0)),
            ("replay/rows_within/orders", (IDS, *when, "orders", 1)),
            ("replay/events_of_streams", (IDS, "{0}", *when, 8_000_000)),
        ]
    asked += [
        ("replay/moved_since", ("order", ROWS["full"], "orders", 1, 500)),
        ("replay/keep_log_segments", ("order", 900, 100, 20)),
        ("replay/join_log_segments", ("order", 1, 8, 1_000_000)),
    ]
    asked += [
        ("log/read_stream", (ID, 0, None, 8_000_000)),
        ("log/fold_stream", (ID, 0, 2_000, "order", 8_000_000)),
        ("log/read_range", (5, 900, 100, None, 8_000_000)),
    ]
    scans: list[str] = []
    for mode in ("force_custom_plan", "force_generic_plan"):
        await filled.execute(f"SET plan_cache_mode = {mode}")
        for name, arguments in asked:
            plan = await explain(filled, name, arguments)
            scans += [f"{name} ({mode}): {table}" for table in sequential_scans(plan)]
    assert not scans, "\n".join(scans)


async def test_what_moved_is_looked_up_before_there_are_statistics(store: EventStore):
    """In a log that was just imported, few events are expected after the end of the past, so they are found by their positions."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute("ALTER TABLE events SET (autovacuum_enabled = false)")
        await connection.execute(FILL_EVENTS.format(rows=ROWS["small"]))
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            plan = await explain(
                connection, "replay/moved_since", ("order", ROWS["small"], "orders", 1, ROWS["small"])
            )
            assert rows_expected(plan, "events_position_key") < ROWS["small"] / 50, mode


def rows_expected(plan: dict[str, Any], index: str) -> float:
    """How many rows a plan expects from an index; infinity if it does not use it."""
    below = [rows_expected(child, index) for child in plan.get("Plans", ())]
    return min([plan["Plan Rows"] if plan.get("Index Name") == index else float("inf"), *below])


def test_each_list_is_explained():
    """A list that is added is added here as well."""
    assert set(LISTS) == set(read_tables.LISTS)


def statement_of(name: str, connection: Any) -> str:
    """The statement of a list, of a load, or of a file."""
    if name.endswith(_UP_TO):
        return text_of(read_tables.LISTS[name.removesuffix(_UP_TO)].statement_up_to_position(), connection)
    if name in STATEMENTS:
        return render(sql_header.parse(STATEMENTS[name]).statement, schema_of(connection))
    return load(name, connection)


async def explain(connection: Any, name: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The plan of a statement with these arguments."""
    await connection.execute(f"PREPARE explained AS {statement_of(name, connection)}")
    values = ", ".join("NULL" if value is None else f"'{value}'" for value in arguments)
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained ({values})")
    await connection.execute("DEALLOCATE explained")
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found
