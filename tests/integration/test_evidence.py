"""Seals: whatever is altered, removed, inserted or reordered in events, blocks or seals is found, and named."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from eventstore.errors import ConfigurationError
from eventstore.evidence import Head, prove, seal, verify
from tests.entities import everything, started
from tests.integration.independent_verifier import fault
from tests.integration.tampering import (
    ALTERED,
    COPY_SEAL,
    INSERT,
    OF_EVENTS,
    OF_SEALS,
    SEAL_CONSTRAINTS,
    UNKEYED,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.store import EventStore

BLOCK = 5
COLUMNS = (
    "position, stream_id, version, event_id, category, type, schema_version, data::text AS data, "
    "metadata::text AS metadata, occurred_at, recorded_at"
)


class Sealed:
    """A sealed log with gaps, and a superuser who may do anything to it."""

    def __init__(self, store: EventStore, connection: Any, head: Head) -> None:
        self.store, self.connection, self.head = store, connection, head

    async def tamper(self, *statements: str) -> None:
        """Run statements with the triggers off."""
        for table in ("events", "event_seals"):
            await self.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            assert not (await self.connection.execute(statement)).endswith(" 0"), statement

    async def restore(self) -> None:
        """Put everything back as it was when it was sealed."""
        for table in ("events", "event_seals"):
            await self.connection.execute(f"TRUNCATE {table}")
            await self.connection.execute(f"INSERT INTO {table} SELECT * FROM {table}_kept")

    async def finding(self, **arguments: Any) -> tuple[str, str, int, int | None] | None:
        """What `verify` names."""
        found = (await verify(self.store.log, **arguments)).finding
        return None if found is None else (found.kind, found.what, found.block, found.position)

    async def independent_fault(self) -> str | None:
        """What the verifier thinks that knows only the document."""
        events = [dict(row) for row in await self.connection.fetch(f"SELECT {COLUMNS} FROM events")]
        seals = [dict(row) for row in await self.connection.fetch("SELECT * FROM event_seals")]
        return fault(events, seals)


@pytest_asyncio.fixture
async def sealed(store: EventStore) -> AsyncIterator[Sealed]:
    """Ten events at positions 1 to 12, without 2 and 5: two blocks of five."""
    metadata = {"actor": "me", "n": 1.50, "ü": ["\u2028", None, {"b": 1, "a": 2}]}
    async with store.connection.acquire_for_user() as connection:
        for number in range(4):
            await store.log.append(
                started(f'ü \\ " {number}', tunings=number % 3 + (number == 3)), metadata=metadata
            )
            if number < 2:
                await connection.fetchval("SELECT nextval('events_position_seq')")
        await store.log.append(started(), started())
        result = await seal(store.log, block_events_max=BLOCK)
        assert result.head is not None
        positions = [row["position"] for row in await everything(store.connection)]
        assert positions == [1, 3, 4, 6, 7, 8, 9, 10, 11, 12]
        for table in ("events", "event_seals"):
            await connection.execute(f"CREATE TABLE {table}_kept AS TABLE {table}")
        yield Sealed(store, connection, result.head)


async def test_a_log_that_nobody_touched_is_sound(sealed: Sealed):
    """Both verifiers agree, with the head and without; what comes later is not sealed yet."""
    assert await sealed.finding(against=sealed.head) is None
    assert await sealed.independent_fault() is None
    await sealed.store.log.append(started(tunings=6))
    found = await verify(sealed.store.log, against=str(sealed.head))
    assert (found.is_sound, found.events, found.blocks, found.unsealed_events, found.head) == (
        True,
        10,
        2,
        7,
        sealed.head,
    )
    again = await seal(sealed.store.log, block_events_max=1)
    assert (again.blocks, again.events) == (7, 7)
    found = await verify(sealed.store.log, against=sealed.head)
    assert (found.is_sound, found.events, found.blocks, found.unsealed_events) == (True, 17, 9, 0)
    assert await sealed.independent_fault() is None
    assert await seal(sealed.store.log) == type(again)(0, 0, again.head)


async def test_an_empty_log_has_nothing_to_prove(store: EventStore):
    """No event: no seal, no head, and nothing wrong; but a head that was kept says that there were some."""
    assert (await seal(store.log)).head is None
    assert (await verify(store.log)).is_sound
    found = (await verify(store.log, against="1:" + "00" * 32)).finding
    assert found is not None
    assert (found.kind, found.what, found.block) == ("seal", "removed", 1)


async def test_every_column_of_an_event_is_sealed(sealed: Sealed):
    """The event is named by its position and block, whichever column was altered, and how little."""
    found = {}
    for case, value in ALTERED.items():
        await sealed.tamper(
            f"UPDATE events SET {case.split(',', maxsplit=1)[0]} = {value} WHERE position = 6"
        )
        found[case] = await sealed.finding()
        if not any(
            far in value for far in ("infin", "250000", "294276")
        ):  # the driver cannot hold these times
            assert await sealed.independent_fault() == "events of 1"
        await sealed.restore()
    assert found == dict.fromkeys(ALTERED, ("event", "altered", 1, 6))
    columns = await sealed.connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'events' AND column_name <> 'position'"
    )
    assert {row["column_name"] for row in columns} - set(ALTERED) == {
        "append_digest"
    }  # no part of what happened
    assert await sealed.finding() is None


async def test_a_column_that_is_made_null_is_found(sealed: Sealed):
    """NULL is another value than 0 or an empty text."""
    columns = [column for column in ALTERED if "," not in column]
    await sealed.connection.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    found = {}
    for column in columns:
        await sealed.connection.execute(f"ALTER TABLE events ALTER COLUMN {column} DROP NOT NULL")
        await sealed.tamper(f"UPDATE events SET {column} = NULL WHERE position = 12")
        found[column] = await sealed.finding()
        await sealed.restore()
    assert found == dict.fromkeys(columns, ("event", "altered", 2, 12))


async def test_events_removed_inserted_and_reordered(sealed: Sealed):
    """The first is named; an event in a gap of a sealed block is found; so is the end of the log that was cut off."""
    await sealed.connection.execute(UNKEYED)
    found = {}
    for case, (statements, finding) in OF_EVENTS.items():
        await sealed.tamper(*statements)
        found[case] = await sealed.finding(against=sealed.head)
        assert await sealed.independent_fault() == f"events of {finding[2]}"
        await sealed.restore()
    assert found == {case: finding for case, (_, finding) in OF_EVENTS.items()}


async def test_an_event_where_none_can_be(sealed: Sealed):
    """Positions begin at 1: an event before them is found."""
    await sealed.connection.execute("ALTER TABLE events DROP CONSTRAINT events_position_positive")
    await sealed.tamper(INSERT.format(position=-3))
    assert await sealed.finding() == ("event", "inserted", 0, -3)


async def test_an_event_without_a_position(sealed: Sealed):
    """No reader in order meets it, but a load of its stream does: it is found, whatever is in the column."""
    await sealed.connection.execute("ALTER TABLE events ALTER position DROP NOT NULL")
    await sealed.tamper(INSERT.format(position="NULL::bigint"))
    assert await sealed.finding() == ("event", "inserted", 0, None)


async def test_an_event_without_a_position_and_without_an_id(sealed: Sealed):
    """It is found by what it lacks, not by what it has."""
    await sealed.connection.execute(
        "ALTER TABLE events ALTER position DROP NOT NULL, ALTER event_id DROP NOT NULL"
    )
    await sealed.tamper(
        INSERT.format(position="NULL::bigint").replace("stream_id, event_id,", "stream_id, NULL,")
    )
    assert await sealed.finding() == ("event", "inserted", 0, None)


async def test_no_two_times_are_sealed_alike(sealed: Sealed):
    """PostgreSQL's last years are beyond 64 bits of microseconds since 1970: each instant has bytes of its own."""
    last = "294247-01-10 04:00:54.775807+00"  # 2^63 - 1, which stands for infinity
    times = ["infinity", "-infinity", last]
    times += [
        f"timestamptz '{last}' + interval '{step} microseconds'" for step in (-1, 1, 2, 3, 4, 915_309_663_744)
    ]
    found = []
    for time in times:
        literal = time if "interval" in time else f"'{time}'"
        await sealed.tamper(f"UPDATE events SET occurred_at = {literal} WHERE position = 12")
        await sealed.tamper("DELETE FROM event_seals")
        await seal(sealed.store.log, block_events_max=BLOCK)
        assert await sealed.finding() is None
        found.append(await sealed.connection.fetchval("SELECT root FROM event_seals WHERE block = 2"))
        await sealed.restore()
    assert len(set(found)) == len(times)


async def test_a_column_of_a_seal_that_is_made_null_is_found(sealed: Sealed):
    """NULL is no other value, also where that other value would be the right one; nobody who seals or proves hangs."""
    for constraint in SEAL_CONSTRAINTS:
        await sealed.connection.execute(f"ALTER TABLE event_seals DROP CONSTRAINT {constraint}")
    rows = await sealed.connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'event_seals' ORDER BY column_name"
    )
    columns = [row["column_name"] for row in rows]
    found, expected = {}, {}
    for column in columns:
        await sealed.connection.execute(f"ALTER TABLE event_seals ALTER {column} DROP NOT NULL")
        for block in (1, 2):
            await sealed.tamper(f"UPDATE event_seals SET {column} = NULL WHERE block = {block}")
            found[column, block] = await sealed.finding()
            kind = "block" if column == "entries" else "seal"
            expected[column, block] = (kind, "altered", block, None)
            async with asyncio.timeout(60):
                await seal(sealed.store.log)
            if block == 1:
                with pytest.raises(ConfigurationError):
                    await prove(sealed.store.log, 1)
            await sealed.restore()
    expected["block", 1] = ("seal", "removed", 1, None)  # 2 is the first number that there is
    assert found == expected


async def test_a_seal_whose_number_none_can_have_is_found(sealed: Sealed):
    """A seal too many is named, also where it stands before the first one or has no number at all."""
    for constraint in SEAL_CONSTRAINTS:
        await sealed.connection.execute(f"ALTER TABLE event_seals DROP CONSTRAINT {constraint}")
    await sealed.connection.execute("ALTER TABLE event_seals ALTER block DROP NOT NULL")
    found = []
    for block in ("0", "-5", "NULL"):
        await sealed.tamper(COPY_SEAL.format(block=block))
        found.append(await sealed.finding())
        await sealed.restore()
    assert found == [("seal", "inserted", 1, None)] * 2 + [("seal", "inserted", 3, None)]


async def test_every_column_of_a_seal_and_every_seal(sealed: Sealed):
    """A seal or block that was altered, removed, inserted or reordered is named; the events are as they were."""
    await sealed.store.log.append(started())
    await seal(sealed.store.log)
    for table in ("events", "event_seals"):
        await sealed.connection.execute(
            f"DROP TABLE {table}_kept; CREATE TABLE {table}_kept AS TABLE {table}"
        )
    for constraint in ("event_seals_events_check", "event_seals_pkey"):
        await sealed.connection.execute(f"ALTER TABLE event_seals DROP CONSTRAINT {constraint}")
    found = {}
    for case, (statements, _) in OF_SEALS.items():
        await sealed.tamper(*statements)
        found[case] = await sealed.finding()
        assert await sealed.independent_fault() is not None
        await sealed.restore()
    assert found == {case: finding for case, (_, finding) in OF_SEALS.items()}
    columns = await sealed.connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'event_seals'"
    )
    assert {row["column_name"] for row in columns} <= set(OF_SEALS)
    assert await sealed.finding() is None


async def test_seals_cut_off_at_the_end_are_found_against_the_head(sealed: Sealed):
    """Without the newest seals the rest agrees with itself: only what was kept outside knows of them."""
    await sealed.tamper("DELETE FROM event_seals WHERE block = 2")
    found = await verify(sealed.store.log)
    assert (found.is_sound, found.unsealed_events) == (True, 5)
    assert await sealed.finding(against=sealed.head) == ("seal", "removed", 2, None)
    # A new seal over the same events is another seal.
    await seal(sealed.store.log)
    assert (await verify(sealed.store.log)).is_sound
    assert await sealed.finding(against=sealed.head) == ("head", "altered", 2, None)


async def test_a_whole_chain_made_anew_is_found_against_the_head(sealed: Sealed):
    """An event is altered and every seal made anew by the rules: sound by itself, not against the head."""
    await sealed.tamper("UPDATE events SET type = 'Forged' WHERE position = 1", "DELETE FROM event_seals")
    forged = await seal(sealed.store.log, block_events_max=BLOCK)
    assert (await verify(sealed.store.log, against=forged.head)).is_sound
    assert await sealed.independent_fault() is None
    assert await sealed.finding(against=sealed.head) == ("head", "altered", 2, None)


async def test_an_event_and_its_block_made_anew_are_found_by_the_next_seal(sealed: Sealed):
    """Where the forger made one block anew by the rules, the seal after it does not follow."""
    await sealed.tamper("UPDATE events SET type = 'Forged' WHERE position = 1")
    copy = await sealed.connection.fetchrow("SELECT * FROM event_seals WHERE block = 2")
    await sealed.tamper("DELETE FROM event_seals")
    await seal(sealed.store.log, block_events_max=BLOCK)
    await sealed.tamper("DELETE FROM event_seals WHERE block = 2")
    await sealed.connection.execute(
        "INSERT INTO event_seals VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", *copy.values()
    )
    assert await sealed.finding() == ("seal", "altered", 2, None)


async def test_an_altered_event_is_named_by_many_processes(sealed: Sealed):
    """With several jobs the first in order is named, not the first that some process came to."""
    await sealed.store.log.append(*(started() for _ in range(12)))
    await seal(sealed.store.log, block_events_max=1)
    await sealed.tamper("UPDATE events SET type = 'x' WHERE position IN (4, 9, 20, 21)")
    assert await sealed.finding(jobs=2) == ("event", "altered", 1, 4)
    await sealed.tamper("UPDATE events SET type = 'StrategyStarted' WHERE position IN (20, 21)")
    await sealed.tamper("DELETE FROM events WHERE position = 9", "DELETE FROM events WHERE position = 4")
    assert await sealed.finding(jobs=1) == ("event", "removed", 1, 4)


async def test_two_sealers_at_once_make_each_block_once(store: EventStore):
    """Sealers that run at the same time while writers append end well, and the chain is sound."""

    async def write() -> None:
        for _ in range(10):
            await store.log.append(started(tunings=3))

    async def sealing() -> int:
        return sum([(await seal(store.log, block_events_max=3)).events for _ in range(10)])

    first, second, *_ = await asyncio.gather(sealing(), sealing(), write(), write())
    last = await seal(store.log)
    found = await verify(store.log, against=last.head)
    assert found.is_sound
    assert first + second + last.events == found.events == 80


async def test_what_is_in_flight_is_not_sealed(store: EventStore):
    """A position whose transaction is open is no gap: sealing stops before it, and goes on when it has ended."""
    await store.log.append(started())
    async with store.connection.acquire() as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(
            "INSERT INTO events SELECT nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), "
            "gen_random_uuid(), 'x', 'y', '{}', '{}'"
        )
        await store.log.append(started())
        assert (await seal(store.log)).events == 1
        await transaction.commit()
    assert (await seal(store.log)).events == 2
    assert (await verify(store.log)).is_sound


async def test_seals_are_guarded(sealed: Sealed):
    """Who has not turned the triggers off can change no seal."""
    for statement in ("UPDATE event_seals SET events = 1", "DELETE FROM event_seals", "TRUNCATE event_seals"):
        with pytest.raises(Exception, match="append-only") as caught:
            await sealed.connection.execute(statement)
        assert getattr(caught.value, "sqlstate", None) == "ES001"


async def test_arguments_are_checked(store: EventStore):
    """One clear error for each."""
    for call in (
        seal(store.log, block_events_max=0),
        verify(store.log, jobs=0),
        verify(store.log, against="x"),
        verify(store.log, against="1:ab"),
        verify(store.log, against="0:" + "00" * 32),
    ):
        with pytest.raises(ConfigurationError):
            await call


def test_the_document_names_these_bytes():
    """The example of the document, worked out by hand with nothing but struct and hashlib."""
    from eventstore.evidence.canonical import event_hash

    stream_id, event_id = uuid4(), uuid4()
    row = {
        "position": 7, "stream_id": stream_id, "version": 2, "event_id": event_id, "schema_version": 1,
        "occurred_at": 1_700_000_000_000_001, "recorded_at": -1, "category": "ü", "type": "T", "data": "{}",
        "metadata": '{"a": 1.50}',
    }  # fmt: skip
    expected = (
        b"\x00\x00\x00"
        + struct.pack(">q", 7) + stream_id.bytes + struct.pack(">q", 2) + event_id.bytes + struct.pack(">q", 1)
        + struct.pack(">qq", 1_700_000_000_000_001, -1)
        + b"\x00\x00\x00\x02\xc3\xbc" + b"\x00\x00\x00\x01T" + b"\x00\x00\x00\x02{}"
        + b"\x00\x00\x00\x0b" + b'{"a": 1.50}'
    )  # fmt: skip
    assert event_hash(row) == hashlib.sha256(expected).digest()
    for column, value in row.items():
        if not column.endswith("_id"):  # an id is never empty
            empty: Any = "" if isinstance(value, str) else 0
            assert event_hash({**row, column: None}) != event_hash({**row, column: empty}), column
