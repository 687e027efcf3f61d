"""Segments of the log know which streams go on after any position, and what they cost follows the events alone."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from eventstore.replay.log_segments import SEGMENTS_JOINED, LogSegments
from eventstore.sql import load
from projections.check import check

if TYPE_CHECKING:
    from eventstore import EventStore

# Streams that never end are begun all along; each event is of one of them, drawn with the given numbers.
FILL = """
    INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type,
                        data, metadata)
    SELECT position, now(), now(), row_number() OVER (PARTITION BY stream ORDER BY position), 1, md5('s' || stream)::uuid,
        md5('e' || position)::uuid, 'order', 'OrderCreated', '{}', '{}'
    FROM unnest($1::int[]) WITH ORDINALITY AS drawn (stream, position)
"""


async def fill(store: EventStore, streams: list[int]) -> None:
    """Put one event of each given stream into the log, at the positions from 1 on."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(FILL, streams)
        await connection.execute("SELECT setval('events_position_seq', $1)", len(streams))


async def make(store: EventStore, through: int, *, events: int = 1) -> None:
    """Make all segments up to a position."""
    segments = LogSegments(store.log, "order", events=events)
    segments.note(through)
    while segments.is_due:
        await segments.keep_up()


async def going_on(store: EventStore, after: int, through: int) -> set[Any]:
    """The streams that began up to a position and have later events, as the segments say."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch(
            load("replay/differing", connection), "order", after, None, None, through, through, after
        )
    assert {row["base"] for row in rows} == {after}
    return {row["stream_id"] for row in rows} - {None}


async def going_on_by_definition(store: EventStore, after: int, through: int) -> set[Any]:
    """The same, by the events."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch(
            "SELECT stream_id FROM events WHERE position <= $2 GROUP BY stream_id "
            "HAVING min(position) <= $1 AND max(position) > $1",
            after,
            through,
        )
    return {row["stream_id"] for row in rows}


async def levels(store: EventStore) -> dict[int, int]:
    """How many segments each level has."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch("SELECT level, count(*) FROM log_segments GROUP BY level")
    return {row["level"]: row["count"] for row in rows}


@pytest.mark.parametrize("seed", range(3))
async def test_the_streams_that_go_on_after_any_position(store: EventStore, seed: int):
    """Whatever the levels of the segments that follow it: those that began before it and have later events, and no others."""
    draw = random.Random(seed)
    # Half of the events are of few streams, the others of one that began not long before.
    streams = [draw.randrange(20) if draw.random() < 0.5 else 20 + n // 9 for n in range(700)]
    await fill(store, streams)
    await make(store, 650)
    assert await levels(store) == {0: 650, 1: 81, 2: 10, 3: 1}
    for after in (11, 15, 16, 63, 64, 65, 500, 511, 512, 513, *draw.sample(range(10, 640), 40)):
        for through in (650, 700, draw.randrange(after + 1, 651)):
            assert await going_on(store, after, through) == await going_on_by_definition(
                store, after, through
            ), (after, through)


async def test_a_list_has_what_goes_on_and_nothing_else(store: EventStore):
    """Whatever its level, a segment knows the streams that began before it and have an event in it, each once."""
    draw = random.Random(3)
    await fill(store, [draw.randrange(1 + n // 3) for n in range(600)])
    await make(store, 600)
    async with store.connection.acquire() as connection:
        wrong = await connection.fetch(
            "SELECT level, position, continued FROM log_segments AS one WHERE continued IS DISTINCT FROM ARRAY("
            "SELECT first FROM (SELECT min(position) AS first, array_agg(position) AS positions FROM events GROUP BY stream_id) "
            "AS stream WHERE first <= one.after_position AND EXISTS (SELECT FROM unnest(positions) AS position "
            "WHERE position > one.after_position AND position <= one.position) ORDER BY first)"
        )
    assert not wrong


async def test_the_longest_segments_are_read(store: EventStore):
    """Where long segments cover what follows a position, those that they join are not looked at."""
    draw = random.Random(4)
    await fill(store, [draw.randrange(50) for _ in range(640)])
    await make(store, 640)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE log_segments SET continued = '{}' WHERE level < 2 AND position > 64")
    assert len(await going_on_by_definition(store, 64, 640)) > 30
    assert await going_on(store, 64, 640) == await going_on_by_definition(store, 64, 640)


async def test_too_many_streams_are_not_joined(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A segment that would join too long lists has none; the ones that it stands for are read, and answers stay right."""
    monkeypatch.setattr("eventstore.replay.log_segments._STREAMS_MAX", 20)
    draw = random.Random(1)
    await fill(store, [draw.randrange(100) for _ in range(600)])
    await make(store, 600)
    assert await levels(store) == {0: 600, 1: 75, 2: 9, 3: 1}
    async with store.connection.acquire() as connection:
        without = await connection.fetch(
            "SELECT level, count(*) FROM log_segments WHERE continued IS NULL GROUP BY level ORDER BY level"
        )
    assert [tuple(row) for row in without] == [(2, 8), (3, 1)]
    for after in (1, 64, 100, 333):
        assert await going_on(store, after, 600) == await going_on_by_definition(store, after, 600)


async def test_the_list_of_a_segment_follows_its_events(store: EventStore):
    """Streams that began before a segment and have no event in it are not in it, however many they are."""
    await fill(store, [*range(3_000), 5, 7, 3_001])
    await make(store, 3_003, events=100)
    async with store.connection.acquire() as connection:
        listed = await connection.fetchval("SELECT count(*) FROM log_segments, unnest(continued)")
        last = await connection.fetchval("SELECT max(position) FROM log_segments")
    assert (listed, last) == (0, 3_000)
    await make(store, 3_003, events=1)
    async with store.connection.acquire() as connection:
        rows = await connection.fetch(
            "SELECT position, continued FROM log_segments WHERE level = 0 AND after_position >= 3000 ORDER BY position"
        )
    assert [tuple(row) for row in rows] == [(3_001, [6]), (3_002, [8]), (3_003, [])]


async def test_two_that_make_the_same_segments(store: EventStore):
    """They meet at the key of each segment, whatever lengths they want: one row of segments comes of it."""
    draw = random.Random(2)
    await fill(store, [draw.randrange(50) for _ in range(900)])
    await asyncio.gather(*(make(store, 900, events=events) for events in (1, 2, 3, 1, 2, 3)))
    async with store.connection.acquire() as connection:
        breaks = await connection.fetchval(
            "SELECT count(*) FROM (SELECT after_position - lag(position, 1, 0::bigint) OVER "
            "(PARTITION BY level ORDER BY after_position) AS off FROM log_segments) AS one WHERE off <> 0"
        )
        ends = [
            row["position"]
            for row in await connection.fetch("SELECT position FROM log_segments WHERE level = 0")
        ]
    assert breaks == 0
    for after in draw.sample(ends[:-1], 20):
        assert await going_on(store, after, max(ends)) == await going_on_by_definition(
            store, after, max(ends)
        )


async def test_segments_made_without_joined_ones(store: EventStore):
    """What was not joined, because its maker was stopped, is joined by the next one."""
    await fill(store, list(range(200)))
    await make(store, 150)
    async with store.connection.acquire() as connection:
        await connection.execute("DELETE FROM log_segments WHERE level > 0")
    await make(store, 200)
    assert await levels(store) == {0: 200, 1: 200 // SEGMENTS_JOINED, 2: 3}


async def test_segments_that_were_emptied_in_part(store: EventStore):
    """Where long segments end beside the ends of short ones that were made anew, what follows is read from the log."""
    # The first ones are silent for long, and go on at the end.
    await fill(store, [*range(100), *range(1_000, 1_540), *range(60)])
    await make(store, 640)
    async with store.connection.acquire() as connection:
        await connection.execute("DELETE FROM log_segments WHERE level = 0 AND position > 100")
    await make(store, 700, events=7)
    for after in (1, 50, 64, 99):
        assert await going_on(store, after, 700) == await going_on_by_definition(store, after, 700), after


@pytest.mark.parametrize("after", [-1, 2, 3])
async def test_a_segment_that_ends_before_it_begins_is_refused(store: EventStore, after: int):
    """The next one would begin where another one does, again and again."""
    await fill(store, list(range(5)))
    async with store.connection.acquire_for_user() as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="log_segments_range_check"):
            await connection.execute(
                "INSERT INTO log_segments (category, level, after_position, position, continued) VALUES ('order', 0, $1, 2, '{}')",
                after,
            )


async def test_the_check_compares_segments_with_the_log(store: EventStore):
    """Sound ones are sound, at every level; a list or a time that is not that of the log is found, until all are made anew."""
    await fill(store, [*range(200), *range(100), *range(1_000, 1_400)])
    await make(store, 700)
    assert {level for level, segments in (await levels(store)).items() if segments} == {0, 1, 2, 3}
    assert not await findings(store)
    for forged in (
        "continued = continued[2:]",
        "continued = continued || 1::bigint",
        "continued = NULL",
        "recorded_from = recorded_from - interval '1 s'",
        "recorded_through = NULL",
        "occurred_from = occurred_from - interval '1 s'",
        "occurred_through = occurred_through + interval '1 s'",
    ):
        async with store.connection.acquire() as connection:
            await connection.execute(
                f"UPDATE log_segments SET {forged} WHERE level = 0 AND after_position = 250"
            )
        assert [
            one.startswith("the segment of order events after position 250 up to 251")
            for one in await findings(store)
        ] == [True], forged
        await store.state_snapshots.drop()
        await make(store, 700)
        assert not await findings(store)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "UPDATE log_segments SET continued = '{}' WHERE level = 2 AND after_position = 192"
        )
    assert len(await findings(store)) == 1


async def findings(store: EventStore) -> list[str]:
    """What the check says of segments."""
    return [one.what for one in (await check(store.log, [])).findings if one.kind == "segment"]


FAR = 10**15
"""A position that nobody reaches in steps."""


async def test_a_gap_of_any_length_is_in_one_segment(store: EventStore):
    """A sequence that was set forward gives a few segments, and not one after the other for ever."""
    draw = random.Random(5)
    await fill(store, [draw.randrange(9) for _ in range(300)])
    async with store.connection.acquire_for_user() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute(
            "UPDATE events SET position = position + $1::bigint WHERE position > 100", FAR
        )
        await connection.execute(
            "UPDATE events SET position = position + $1::bigint WHERE position > $1::bigint + 200", FAR
        )
        await connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change")
        await connection.execute("SELECT setval('events_position_seq', $1)", 2 * FAR + 300)
    through = 2 * FAR + 300
    async with asyncio.timeout(30):
        await make(store, through, events=10)
    assert (await levels(store))[0] < 100
    assert (await check(store.log, [])).is_sound
    for after in (5, 100, 101, FAR, FAR + 101, FAR + 150, FAR + 201, 2 * FAR + 202, 2 * FAR + 290):
        async with store.connection.acquire() as connection:
            rows = await connection.fetch(
                load("replay/differing", connection), "order", after, None, None, through, through, after
            )
        (base,) = {row["base"] for row in rows}
        found = {row["stream_id"] for row in rows} - {None}
        assert base <= after or found >= await going_on_by_definition(store, after, through)
        assert found >= await going_on_by_definition(store, min(base, after), max(base, after)), after


async def test_a_gap_at_the_end_is_in_one_segment(store: EventStore):
    """So is one of events that were taken back, as far as all is final."""
    await fill(store, [1, 2, 3])
    async with asyncio.timeout(30):
        await make(store, FAR, events=1)
    assert (await levels(store))[0] <= 24
