"""Events are found by id, correlation and time, at once and without reading the whole log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from eventstore.errors import ConfigurationError
from eventstore.log.lookup import TimeBounds
from eventstore.sql import load
from eventstore.store import EventStore
from tests.entities import started, tuned

START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = {"small": 60_000, "full": 1_000_000}
# One event in 500 was recorded late by the clock of the domain, and one in 5,000 by a clock that had stepped back.
FILL = """
    INSERT INTO events
    SELECT
        n, clock.at - CASE WHEN n % 500 = 0 THEN interval '5 minutes' ELSE interval '1 ms' END,
        clock.at - CASE WHEN n % 5000 = 0 THEN interval '2 seconds' ELSE interval '0' END,
        1 + (n - 1) % 5, 1, md5('s' || (n - 1) / 5)::uuid, md5('e' || n)::uuid, 'order', 'OrderSubmitted',
        '{"broker_order_id": "B-1234567890"}',
        CASE WHEN n % 2 = 0 THEN '{}'::jsonb ELSE jsonb_build_object('correlation_id', 'c' || n / 8, 'actor', 'a') END
    FROM generate_series(1, $1::bigint) AS n, LATERAL (SELECT timestamptz '2026-01-01Z' + n * interval '10 ms' AS at) AS clock
"""


@pytest_asyncio.fixture(params=["small", pytest.param("full", marks=pytest.mark.full)])
async def filled(request: pytest.FixtureRequest, store: EventStore) -> AsyncIterator[tuple[EventStore, int]]:
    """A store with so many events, as autovacuum leaves it, and their number."""
    events = EVENTS[request.param]
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, events, timeout=600)
        await connection.execute("SELECT setval('events_position_seq', $1)", events)
        await connection.execute("VACUUM ANALYZE events", timeout=600)
    yield store, events


async def plan_of(connection: Any, name: str, *arguments: Any) -> dict[str, Any]:
    """The plan of a statement as it ran, with what it read."""
    literals = ", ".join("NULL" if each is None else f"'{each}'" for each in arguments)
    await connection.execute(f"PREPARE explained AS {load(name, connection)}")
    plan = await connection.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained ({literals})"
    )
    await connection.execute("DEALLOCATE explained")
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Every node of a plan."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def test_no_lookup_reads_the_whole_log(filled: tuple[EventStore, int]):
    """Each goes through the one index, in either kind of plan, and reads a part of the table's pages."""
    store, events = filled
    point = START + timedelta(milliseconds=10 * (events // 2))
    event_id = UUID("00000000-0000-0000-0000-000000000001")
    async with store.connection.acquire_for_user() as connection:
        pages = await connection.fetchval("SELECT pg_relation_size('events') / 8192")
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            for name, arguments in {
                "log/find_event": (event_id,),
                "log/find_correlated": ("c77", event_id, 100),
                "log/bound_recorded_at": (point,),
                "log/bound_occurred_at": (point,),
            }.items():
                plan = await plan_of(connection, name, *arguments)
                assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"], (name, mode)
                assert [node for node in nodes(plan) if node.get("Index Name") == "events_lookup_brin"], (
                    name,
                    mode,
                )
                read = sum(node.get("Lossy Heap Blocks", 0) for node in nodes(plan))
                # The clock of the domain is out of order in each 500th event, some pages after its time.
                limit = pages / 3 if events > EVENTS["small"] else pages * 2 / 3
                assert read < limit, (name, mode, read, pages)


async def test_times_are_found_exactly(filled: tuple[EventStore, int]):
    """Whatever is out of order: the bounds are those of a definition that reads everything."""
    store, events = filled
    last = START + timedelta(milliseconds=10 * events)
    points = [
        START - timedelta(seconds=1),
        *(START + timedelta(milliseconds=10 * at) for at in (1, 2, 4_900, 4_999, 5_000, 5_100, events // 2)),
        last - timedelta(seconds=1),
        last,
        last + timedelta(days=1),
    ]
    for point in points:
        for column in ("recorded_at", "occurred_at"):
            async with store.connection.acquire() as connection:
                expected = await connection.fetchrow(
                    f"SELECT min(position) FILTER (WHERE {column} > $1), max(position) FILTER (WHERE {column} <= $1) "
                    "FROM events",
                    point,
                )
            found = await store.log.find_time(**{column: point})
            assert found == TimeBounds(*expected), (column, point)


async def test_an_event_is_found_by_its_id(filled: tuple[EventStore, int]):
    """Also one that was appended a moment ago, before any summary of its pages; an unknown id is nothing."""
    store, events = filled
    async with store.connection.acquire() as connection:
        event_id = await connection.fetchval("SELECT event_id FROM events WHERE position = $1", events // 3)
    found = await store.log.find_event(event_id)
    assert found is not None
    assert (found.position, found.event_id) == (events // 3, event_id)
    new = started("new")
    await store.log.append(new)
    assert await store.log.find_event(new.events[0].event_id) == (await store.history(new.stream_id))[0]
    assert await store.log.find_event(uuid4()) is None


async def test_events_are_found_by_their_correlation(filled: tuple[EventStore, int]):
    """In the order of the log, with the event that the correlation is named after; a limit cuts the last ones off."""
    store, _ = filled
    cause, effect = started("cause"), started("effect")
    await store.log.append(cause)
    correlation = cause.events[0].event_id
    await store.log.append(effect, metadata={"correlation_id": correlation})
    await store.log.append(tuned(effect.stream_id, 1, 7), metadata={"correlation_id": str(correlation)})
    found = await store.caused(correlation)
    assert [event.type for event in found] == ["StrategyStarted", "StrategyStarted", "StrategyTuned"]
    assert [event.stream_id for event in found] == [cause.stream_id, effect.stream_id, effect.stream_id]
    assert await store.log.find_correlated(str(correlation), limit=2) == found[:2]
    assert len(await store.log.find_correlated("c77")) == 4
    assert await store.log.find_correlated("no such command") == []
    tree = await store.causation_tree(effect.events[0].event_id)
    assert (tree.correlation_id, len(tree), tree.is_complete) == (str(correlation), 3, True)
    with pytest.raises(ConfigurationError, match="limit must be 1 or more"):
        await store.log.find_correlated("c77", limit=0)


async def test_nothing_is_found_in_an_empty_log(store: EventStore):
    """And a question that says too little or too much is refused."""
    assert await store.log.find_time(recorded_at=START) == TimeBounds(None, None)
    assert await store.log.find_time(occurred_at=START) == TimeBounds(None, None)
    assert await store.log.find_event(uuid4()) is None
    assert (await store.causation_tree("nothing")).roots == ()
    with pytest.raises(ConfigurationError, match="exactly one"):
        await store.log.find_time()
    with pytest.raises(ConfigurationError, match="exactly one"):
        await store.log.find_time(recorded_at=START, occurred_at=START)


async def test_what_is_not_summed_up_is_read_through(store: EventStore):
    """Before autovacuum has come by, the answers are the same."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute("ALTER TABLE events SET (autovacuum_enabled = off)")
        await connection.execute(FILL, 9_000)
        event_id = await connection.fetchval("SELECT event_id FROM events WHERE position = 7000")
    found = await store.log.find_event(event_id)
    assert found is not None
    assert found.position == 7000
    assert [event.position for event in await store.caused("c77")] == [617, 619, 621, 623]
    point = START + timedelta(milliseconds=10 * 7000)
    assert await store.log.find_time(recorded_at=point) == TimeBounds(7001, 7000)
