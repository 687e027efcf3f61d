"""Rows that somebody has written by hand: a role that may not is refused, and one that is there does not stop the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from eventstore.database import DatabaseConfig, PostgreSQLAdapter
from eventstore.database.connecting import connect_arguments
from eventstore.database.grants import grant
from eventstore.errors import IntegrityError, RestoredLogError
from eventstore.evidence import seal, verify
from eventstore.evidence.canonical import Seal, entry, merkle_root, microseconds
from eventstore.log.page_size import BYTES_UNBOUNDED
from eventstore.log.restored import read_ends
from eventstore.sql import load
from eventstore.store import EventStore, built_in_projections
from projections import OrdersProjection
from projections.check import check, plan_repair, repair
from projections.rebuild import rebuild
from tests.command_line import run
from tests.conftest import admin_connection, url_of
from tests.entities import started
from tests.ordered_by_symbol import place

LAST = 2**63 - 1
INSERT_EVENT = """
    INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type,
                        data, metadata)
    VALUES ($1, now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'order', 'Forged', '{}', '{}')
"""
DISCARD = """
    INSERT INTO projection_discards (projection, position, key, discarded_by, reason)
    VALUES ('orders', $1::bigint, 'k', 'me', 'r')
"""
QUARANTINE = """
    INSERT INTO projection_quarantine (projection, key, stream_id, position, type, error, traceback)
    VALUES ('orders', 'k', gen_random_uuid(), $1::bigint, 't', 'e', '')
"""
CHECKPOINT = "UPDATE projection_checkpoints SET position = $1::bigint WHERE projection = 'orders'"
STATE_SNAPSHOT = """
    INSERT INTO state_snapshots (stream_id, version, position, state, schema_hash, after_version, recorded_through,
                                 occurred_from, occurred_through)
    VALUES (gen_random_uuid(), 1, $1::bigint, '', 1, 0, now(), now(), now())
"""
SEGMENT = """
    INSERT INTO log_segments (category, level, after_position, position, continued)
    VALUES ('order', 0, 0, $1::bigint, '{}')
"""


# ---- who may write what ------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def roles(migrated_config: DatabaseConfig) -> AsyncIterator[dict[str, DatabaseConfig]]:
    """Configurations of a writer, a projector, a sealer and an importer; dropped afterwards."""
    names = {kind: f"{kind}_{uuid4().hex[:8]}" for kind in ("writer", "projector", "sealer", "importer")}
    admin = await admin_connection(migrated_config)
    try:
        for name in names.values():
            await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'r0le'")
        async with EventStore.open(migrated_config, workers=False) as store:
            arguments: dict[str, Any] = {**names}
            await grant(PostgreSQLAdapter(store.connection), **arguments)
        yield {kind: migrated_config.replace(user=name, password="r0le") for kind, name in names.items()}
    finally:
        for name in names.values():
            await admin.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")
        await admin.close()


async def connected(config: DatabaseConfig) -> asyncpg.Connection:
    """A session outside of the library."""
    return await asyncpg.connect(**connect_arguments(config))


@pytest.mark.parametrize(
    "statement",
    [DISCARD, QUARANTINE, CHECKPOINT, STATE_SNAPSHOT, SEGMENT],
    ids=["discard", "quarantine", "checkpoint", "snapshot", "segment"],
)
async def test_a_worker_cannot_write_a_position_that_was_never_assigned(
    roles: dict[str, DatabaseConfig], statement: str
):
    """Neither at the end of all numbers nor one beyond the last; at the last one it may."""
    async with EventStore.open(roles["writer"], workers=False) as store:
        await place(store, 1, 2)
    async with EventStore.open(roles["projector"]) as store:
        await store.wait_for(2)
    connection = await connected(roles["projector"])
    try:
        for position in (LAST, LAST - 1, 2**40, 3):
            with pytest.raises(asyncpg.CheckViolationError, match="never assigned"):
                await connection.execute(statement, position)
        await connection.execute(statement, 2)
    finally:
        await connection.close()
    async with EventStore.open(roles["writer"], workers=False) as store:
        await place(store, 3)


def forged_seal(
    last: Any, rows: list[Any], now: Any, *, through: int, block: int = 0, after: int | None = None
) -> tuple[Any, ...]:
    """A seal that follows by its hashes, with another end, number or beginning."""
    entries = [entry(row) for row in rows]
    made = Seal(
        block or last["block"] + 1,
        last["through_position"] if after is None else after,
        through,
        len(rows),
        microseconds(now),
        merkle_root([one[8:] for one in entries]),
        last["seal"],
        b"",
    )
    return (
        *(made.block, made.after_position, made.through_position, made.events),
        *(now, made.root, made.previous, made.expected(), b"".join(entries)),
    )


async def test_a_seal_is_held_to_the_log_where_it_is_added(roles: dict[str, DatabaseConfig]):
    """One that ends where no event is, leaves out or counts events wrongly, or does not follow, is refused; the next is not."""
    async with EventStore.open(roles["writer"], workers=False) as store:
        await place(store, 1, 2)
        async with EventStore.open(roles["sealer"], workers=False) as sealer:
            await seal(sealer.log)
        await place(store, 3, 4)
    connection = await connected(roles["sealer"])
    try:
        last = await connection.fetchrow("SELECT * FROM event_seals")
        now = await connection.fetchval("SELECT clock_timestamp()")
        async with (
            EventStore.open(roles["sealer"], workers=False) as sealer,
            sealer.connection.acquire() as one,
        ):
            rows = await one.fetch(load("evidence/read_events", one), 2, 4, None, BYTES_UNBOUNDED)
        insert = "INSERT INTO event_seals VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        for forged in (
            forged_seal(last, rows, now, through=LAST),
            forged_seal(last, rows, now, through=5),
            forged_seal(last, rows[:1], now, through=4),
            forged_seal(last, rows, now, through=4, block=7),
            forged_seal(last, rows, now, through=4, after=3),
            forged_seal(last, rows, now, through=4, after=0),
            forged_seal({**last, "seal": bytes(32)}, rows, now, through=4),
        ):
            with pytest.raises(asyncpg.CheckViolationError) as caught:
                await connection.execute(insert, *forged)
            assert caught.value.constraint_name == "event_seals_follow"
        await connection.execute(insert, *forged_seal(last, rows, now, through=4))
    finally:
        await connection.close()
    async with EventStore.open(roles["sealer"], workers=False) as sealer:
        assert (await verify(sealer.log)).is_sound
        assert (await seal(sealer.log)).blocks == 0


async def test_no_seal_closes_over_a_position_in_flight(roles: dict[str, DatabaseConfig]):
    """A block with a gap is taken once the writers in flight have ended, and then only if the gap is still one."""
    async with EventStore.open(roles["writer"], workers=False) as store:
        await place(store, 1)
    slow, connection = await connected(roles["writer"]), await connected(roles["sealer"])
    append = "SELECT append_event(gen_random_uuid(), 1, gen_random_uuid(), 'order', 'X', 1::smallint, '{}', '{}', now(), NULL)"
    try:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(append)  # position 2
        async with EventStore.open(roles["writer"], workers=False) as store:
            await place(store, 3)
        async with (
            EventStore.open(roles["sealer"], workers=False) as sealer,
            sealer.connection.acquire() as one,
        ):
            rows = await one.fetch(load("evidence/read_events", one), 0, 3, None, BYTES_UNBOUNDED)
        assert len(rows) == 2
        none = {"block": 0, "through_position": 0, "seal": bytes(32)}
        now = await connection.fetchval("SELECT clock_timestamp()")
        insert = "INSERT INTO event_seals VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute(insert, *forged_seal(none, rows, now, through=3))
        adding = asyncio.create_task(connection.execute(insert, *forged_seal(none, rows, now, through=3)))
        await asyncio.sleep(0.05)
        await transaction.commit()
        with pytest.raises(asyncpg.CheckViolationError):
            await adding
    finally:
        await slow.close()
        await connection.close()
    async with EventStore.open(roles["sealer"], workers=False) as sealer:
        assert (await seal(sealer.log)).events == 3


async def test_importers_load_histories_and_whole_logs(roles: dict[str, DatabaseConfig], tmp_path: Any):
    """By COPY and from a file; a writer is told that it may not."""
    async with EventStore.open(roles["importer"], workers=False) as store:
        assert (await store.log.import_events([started(), started()])).events == 2
    async with EventStore.open(roles["writer"], workers=False) as store:
        with pytest.raises(Exception, match="permission denied") as caught:
            await store.log.import_events([started()])
        assert "eventstore grant" in str(caught.value)


# ---- rows that are there all the same ------------------------------------------------------------------------------

FORGED = {
    "a discard": DISCARD,
    "a key in quarantine": QUARANTINE,
    "an event": INSERT_EVENT,
}


@pytest.mark.parametrize("statement", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("position", [LAST, LAST - 1, 2**62, 2**41])
async def test_a_row_beyond_all_positions_does_not_stop_the_store(
    migrated_config: DatabaseConfig, statement: str, position: int
):
    """The store opens, appends, folds, reads and seals as if it were not there; `check` names it, `repair` passes it over."""
    async with EventStore.open(migrated_config) as store:
        await place(store, 1, 2)
        await store.wait_for(2)
        async with store.connection.acquire() as connection:
            await connection.execute(statement, position)
    async with EventStore.open(migrated_config) as store:
        await place(store, 3)
        await store.wait_for(3, timeout_s=20)
        assert await store.log.head() == 3
        assert [event.position async for event in store.log.read_all()] == [1, 2, 3]
        if statement != INSERT_EVENT:  # it is found in the table, and no event of an order
            assert (await check(store.log, [OrdersProjection()])).ends.head == 3
        found = (await check(store.log, [])).findings
        assert [one.kind for one in found] == ["impossible position"]
        assert str(position) in found[0].what
        plan = await plan_repair(store.log, built_in_projections())
        assert len(plan) == 1
        assert "leave this to you" in plan[0]
        assert await repair(store.log, built_in_projections()) == ()
        await place(store, 4)
        assert (await rebuild(store.log, OrdersProjection())).position == 4
        assert (await seal(store.log)).events == 4
        assert (await verify(store.log)).is_sound
        async with store.as_of(position=4) as past:
            assert len(await past.orders.get_active_orders()) == 4
        (status,) = [one for one in (await read_status(store)) if one["projection"] == "orders"]
        assert status["lag_events"] == 0


async def read_status(store: EventStore) -> list[Any]:
    """What `eventstore status` shows of the projections."""
    async with store.connection.acquire() as connection:
        rows: list[Any] = await connection.fetch(load("projections/status", connection))
        return rows


async def test_times_are_found_beside_an_event_beyond_all_positions(store: EventStore):
    """The search by halves does not leave the range of numbers."""
    await place(store, 1, 2)
    async with store.connection.acquire() as connection:
        await connection.execute(INSERT_EVENT, LAST)
        now = await connection.fetchval("SELECT clock_timestamp()")
    for point in ("recorded_at", "occurred_at"):
        async with store.as_of(**{point: now + timedelta(seconds=1)}) as past:
            assert len(await past.orders.get_active_orders()) == 2


async def test_a_checkpoint_beyond_all_positions_is_repaired_by_a_rebuild(migrated_config: DatabaseConfig):
    """The store says so when it is opened; the rebuild puts it right, and the sequence stays where it is."""
    async with EventStore.open(migrated_config) as store:
        await place(store, 1, 2)
        await store.wait_for(2)
    async with EventStore.open(migrated_config, workers=False) as store:
        async with store.connection.acquire() as connection:
            await connection.execute(CHECKPOINT, LAST)
        with pytest.raises(RestoredLogError, match="had read beyond it"):
            await store.require_migrated()
        plan = await plan_repair(store.log, built_in_projections())
        assert [line.split()[0] for line in plan] == ["drop", "rebuild"]
        assert "rebuilt projection orders" in " ".join(await repair(store.log, built_in_projections()))
        ends = await read_ends(store.log)
        assert (ends.head, ends.sequence, ends.impossible) == (2, 2, ())
        await store.require_migrated()
        await place(store, 3)
        assert await store.log.head() == 3


async def test_a_forged_seal_is_named_and_stops_nothing_but_sealing(migrated_config: DatabaseConfig):
    """One that goes up to the end of all numbers, as it could be made before they were looked at."""
    async with EventStore.open(migrated_config, workers=False) as store:
        await place(store, 1, 2)
        await seal(store.log)
        await place(store, 3)
        async with store.connection.acquire() as connection:
            last = await connection.fetchrow("SELECT * FROM event_seals")
            now = await connection.fetchval("SELECT clock_timestamp()")
            rows = await connection.fetch(
                load("evidence/read_events", connection), 2, 3, None, BYTES_UNBOUNDED
            )
            await connection.execute("ALTER TABLE event_seals DISABLE TRIGGER event_seals_follow")
            await connection.execute(
                "INSERT INTO event_seals VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *forged_seal(last, rows, now, through=LAST),
            )
    async with EventStore.open(migrated_config, workers=False) as store:
        await place(store, 4)
        finding = (await verify(store.log)).finding
        assert finding is not None
        assert (finding.kind, finding.block) == ("seal", 2)
        with pytest.raises(IntegrityError, match="run `eventstore verify`"):
            await seal(store.log)
        assert await repair(store.log, built_in_projections()) == ()
        assert (await read_ends(store.log)).sequence == 4


async def test_no_walk_goes_through_a_gap_step_by_step(store: EventStore):
    """After a leap of a million million positions a rebuild, an audit, a search, a replay and a seal take no longer."""
    await place(store, 1, 2)
    async with store.connection.acquire() as connection:
        await connection.execute("SELECT setval('events_position_seq', $1)", 10**12)
    await place(store, 3)
    async with asyncio.timeout(60):
        assert (await rebuild(store.log, OrdersProjection())).rows == 3
        assert (await check(store.log, [OrdersProjection()])).is_sound
        assert len([event async for event in store.replay(categories=["order"])]) == 3
        assert (await seal(store.log)).events == 3
        assert (await verify(store.log)).is_sound


async def test_repair_says_first_what_it_will_do(migrated_config: DatabaseConfig):
    """`--dry-run` says it and changes nothing; a terminal is asked; a script has its way."""
    async with EventStore.open(migrated_config) as store:
        await place(store, 1, 2)
        await store.wait_for(2)
        async with store.connection.acquire() as connection:
            await connection.execute("SELECT setval('events_position_seq', 1)")
    url = url_of(migrated_config)
    shown = await asyncio.to_thread(run, "repair", "--dry-run", "--url", url)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "would move the sequence of positions from 1 to 2: the next position will be 3" in shown.stdout
    assert await sequence_of(migrated_config) == 1
    done = await asyncio.to_thread(run, "repair", "--url", url)
    assert done.stdout.splitlines() == ["the next position is 3"]
    assert await sequence_of(migrated_config) == 2


async def sequence_of(config: DatabaseConfig) -> int:
    """The position that was assigned last."""
    connection = await connected(config)
    try:
        last: int = await connection.fetchval("SELECT last_value FROM events_position_seq")
        return last
    finally:
        await connection.close()
