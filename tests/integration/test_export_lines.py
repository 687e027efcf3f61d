"""The log as JSON Lines: export then import is the identity, and a damaged file imports nothing."""

from __future__ import annotations

import asyncio
import json
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.errors import ConcurrencyError, ConfigurationError
from eventstore.evidence import seal, verify
from eventstore.evidence.canonical import columns_of, event_hash
from eventstore.export import ExportResult, export_lines, import_lines
from eventstore.log import StreamAppend
from eventstore.store import EventStore
from eventstore.testing.databases import run_in_thread
from tests.arrow_names import names_in
from tests.bulk_events import BulkNoted
from tests.command_line import run
from tests.conftest import url_of
from tests.entities import pending, started
from tests.exported_files import clear, everything, exported
from tests.scale import examples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import DatabaseMaker


@pytest_asyncio.fixture
async def empty(make_database: DatabaseMaker, migrated_template: str) -> AsyncIterator[EventStore]:
    """A second store, without events."""
    async with make_database(migrated_template) as config, EventStore.open(config, workers=False) as store:
        yield store


async def filled(store: EventStore) -> None:
    """Streams, gaps, seals, and JSON of every kind."""
    metadata = {"actor": 'ü "\\" \u2028', "n": [1.50, 2**60, -0.0, None, {"b": 1, "a": '},"metadata":{"x'}]}
    await store.log.append(started('a","hash":"\\', tunings=2), metadata=metadata)
    async with store.connection.acquire() as connection:
        await connection.fetchval("SELECT nextval('events_position_seq') FROM generate_series(1, 3)")
    await seal(store.log, block_events_max=2)
    await store.log.append(started(tunings=1), started())
    await seal(store.log)
    await store.log.append(started(tunings=1))


async def test_an_export_comes_back(store: EventStore, empty: EventStore):
    """Every column of every event and seal, the sequence and the head; the seals verify, and appends go on."""
    await filled(store)
    lines = await exported(store)
    head = (await verify(store.log)).head
    result = await import_lines(empty.log, lines)
    kept = await everything(store)
    assert await everything(empty) == kept
    assert result == ExportResult(8, 3, kept["events"][-1][0])
    found = await verify(empty.log, against=head)
    assert (found.is_sound, found.unsealed_events) == (True, 2)
    assert (await empty.log.append(started())).last_position == result.last_position + 1
    assert await exported(store) == lines
    assert [json.loads(line)["position"] for line in lines[1:9]] == [row[0] for row in kept["events"]]


_SCALAR = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12
)  # fmt: skip
_JSON = st.recursive(
    _SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab:,{}"\\ü', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_METADATA = st.dictionaries(
    st.text("xyü", max_size=2),
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('"\\:,}', max_size=9),
    max_size=3,
)
_TIMES = st.datetimes(
    datetime(1, 1, 1, 0, 0, 0, 1), datetime(9999, 12, 31, 23, 59, 59, 999_998), timezones=st.just(UTC)
)
_HISTORY = st.lists(
    st.lists(st.tuples(_JSON, _TIMES), min_size=1, max_size=3).map(tuple), min_size=0, max_size=5
)


async def test_export_then_import_is_the_identity(store: EventStore, empty: EventStore):
    """For any history, with gaps, sealed at any place: the second log is the first, column for column."""
    histories: list[Any] = []

    @given(st.tuples(_HISTORY, _METADATA, st.integers(0, 3)))
    @settings(
        max_examples=examples(12), database=None, suppress_health_check=list(HealthCheck), deadline=None
    )
    def draw(history: Any) -> None:
        histories.append(history)

    run_in_thread(_nothing(draw))
    for history, metadata, gaps in histories:
        for one in (store, empty):
            await clear(one)
        for number, stream in enumerate(history):
            events = tuple(pending(BulkNoted(text=text, occurred_at=at), uuid4()) for text, at in stream)
            await store.log.append(StreamAppend(uuid4(), 0, events), metadata=metadata)
            if number == gaps:
                await seal(store.log, block_events_max=2)
                async with store.connection.acquire() as connection:
                    await connection.fetchval("SELECT nextval('events_position_seq')")
        lines = await exported(store)
        await import_lines(empty.log, lines)
        assert await everything(empty) == await everything(store)
        assert await exported(empty) == lines
        assert (await verify(empty.log)).is_sound


async def _nothing(draw: Any) -> None:
    draw()


async def test_what_was_appended_together_is_kept(store: EventStore, empty: EventStore):
    """A repeat of an append is one after an import too, a repeat of one of its streams a conflict; no digest can be altered."""
    appends = [[started(tunings=number), started()] for number in range(3)]
    await asyncio.gather(*(store.log.append(*streams) for streams in appends))
    lines = await exported(store)
    places = [place for place, line in enumerate(lines) if b'"append_digest":' in line]
    assert len(places) == 9
    for place in places:
        line = lines[place]
        start = line.index(b'"append_digest":')
        for at in range(start, len(line) - 1):
            forged = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
            with pytest.raises(ConfigurationError, match=f"line {place + 1} of the file is damaged"):
                await import_lines(empty.log, [*lines[:place], forged, *lines[place + 1 :]])
    await import_lines(empty.log, lines)
    for streams in appends:
        assert (await empty.log.append(*streams)).repeated
        with pytest.raises(ConcurrencyError):
            await empty.log.append(streams[1])


async def test_the_edges_of_every_column(store: EventStore, empty: EventStore):
    """The widest numbers, empty texts, control characters, the first and last times that ISO 8601 can say."""
    data = [
        '{"a": 1e1000, "b": 1.00, "c": 1e-500, "d": -0.0}',
        "[]",
        "null",
        "1.50",
        '"\\",\\"metadata\\":{}"',
    ]
    texts = ['a"b\\', "\u2028\n\r\t\x01", "", "\U0001f600", "\x7f\x80\ufeff"]
    times = ["0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999998Z", "1969-12-31T23:59:59.999999Z"]
    times += ["2024-06-30T23:59:60Z", "2024-01-01T00:00:00+05:45:30"]
    async with store.connection.acquire() as connection:
        await connection.execute(
            "INSERT INTO events SELECT 4611686018427387000 + place, at::timestamptz, at::timestamptz, 1, 32767, "
            "gen_random_uuid(), gen_random_uuid(), text, text, data::jsonb, data::jsonb "
            "FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS given (data, text, at, place)",
            data,
            texts,
            times,
        )
        await connection.execute("SELECT setval('events_position_seq', 4611686018427387005)")
    lines = await exported(store)
    await import_lines(empty.log, lines)
    assert await everything(empty) == await everything(store)
    assert await exported(empty) == lines


def with_values(line: bytes, values: dict[str, Any]) -> bytes:
    """The line of an event with other values, and with the hash that it has with them."""
    parsed = json.loads(line) | values
    columns = {
        **columns_of(parsed),
        "data": json.dumps(parsed["data"]),
        "metadata": json.dumps(parsed["metadata"]),
        **{name: datetime.fromisoformat(parsed[name]) for name in ("occurred_at", "recorded_at")},
    }
    try:
        parsed["hash"] = event_hash(columns).hex()
    except struct.error:  # no 64 bits hold it
        parsed["hash"] = "00" * 32
    texts = (
        f'"{name}":{json.dumps(value, separators=(", ", ": ") if name in ("data", "metadata") else (",", ":"))}'
        for name, value in parsed.items()
    )
    return f"{{{','.join(texts)}}}\n".encode()


async def test_a_value_that_no_event_can_have_is_refused(store: EventStore, empty: EventStore):
    """By the line, whatever its hash says: numbers beyond their column, times that the driver takes for infinity."""
    await store.log.append(started())
    lines = await exported(store)
    assert with_values(lines[1], {}) == lines[1]
    wrong: list[dict[str, Any]] = [
        {"position": 2**63},
        {"position": 0},
        {"version": 2**31},
        {"version": 0},
        {"schema_version": 2**15},
        {"schema_version": 0},
        {"occurred_at": "0001-01-01T00:00:00.000000+00:00"},
        {"recorded_at": "9999-12-31T23:59:59.999999+00:00"},
    ]
    for values in wrong:
        with pytest.raises(ConfigurationError, match="line 2 of the file"):
            await import_lines(empty.log, [lines[0], with_values(lines[1], values), *lines[2:]])
    await seal(store.log)
    lines = await exported(store)
    for name in ("block", "after_position", "through_position", "events"):
        damaged = json.loads(lines[2])
        damaged["seal"][name] = 2**64
        with pytest.raises(ConfigurationError, match="line 3 of the file"):
            await import_lines(empty.log, [*lines[:2], json.dumps(damaged).encode(), *lines[3:]])
    assert await everything(empty) == {"events": [], "event_seals": []}


async def test_parts_of_a_log(store: EventStore, empty: EventStore):
    """One category can be imported; what begins after a position cannot, since its streams are not whole."""
    await filled(store)
    note = StreamAppend(uuid4(), 0, (pending(BulkNoted(text=1), uuid4()),))
    await store.log.append(note)
    lines = await exported(store, categories=["tested bulk"])
    assert len(lines) == 3
    assert await import_lines(empty.log, lines) == ExportResult(1, 0, 10)
    assert [e.stream_id async for e in empty.log.read_all()] == [note.stream_id]
    await clear(empty)
    with pytest.raises(ConfigurationError, match="begins after position 3"):
        await import_lines(empty.log, await exported(store, after=3))


async def test_a_log_with_events_takes_no_import(store: EventStore, empty: EventStore):
    """Not one event is overwritten or added."""
    await filled(store)
    lines = await exported(store)
    await empty.log.append(started())
    before = await everything(empty)
    with pytest.raises(ConfigurationError, match="import into an empty"):
        await import_lines(empty.log, lines)
    assert await everything(empty) == before


async def test_a_file_that_is_cut_off_or_damaged_imports_nothing(store: EventStore, empty: EventStore):
    """Cut after any line, a line missing, twice, exchanged, or any byte of the file changed: refused, the line named."""
    await filled(store)
    lines = await exported(store)
    assert len(lines) == 13

    async def refused(damaged: list[bytes]) -> str:
        with pytest.raises(ConfigurationError) as caught:
            await import_lines(empty.log, damaged)
        assert "line " in str(caught.value)
        return str(caught.value)

    for number in range(len(lines)):
        said = await refused(lines[:number])
        assert f"line {number + 1} of the file is missing" in said
        await refused([*lines[:number], *lines[number + 1 :]])
        assert f"line {number + 2}" in await refused([*lines[: number + 1], *lines[number:]])
        half = lines[number][: len(lines[number]) // 2]
        assert f"line {number + 1} " in await refused([*lines[:number], half])
    for first in range(1, len(lines) - 1):
        await refused([*lines[:first], lines[first + 1], lines[first], *lines[first + 2 :]])
    for number in (1, 5, 9, 12):
        line = lines[number]
        for place in range(0, len(line) - 1, 7):
            damaged = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
            said = await refused([*lines[:number], damaged, *lines[number + 1 :]])
            assert f"line {number + 1} " in said, said
    assert await everything(empty) == {"events": [], "event_seals": []}
    await import_lines(empty.log, lines)


async def test_an_import_of_a_broken_stream_is_refused(store: EventStore, empty: EventStore):
    """A file that is in itself sound, but whose stream lacks a version, is no log."""
    stream = started(tunings=2)
    await store.log.append(stream)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM events WHERE version = 2")
    lines = await exported(store)
    with pytest.raises(ConfigurationError, match=f"version 3 of stream {stream.stream_id}"):
        await import_lines(empty.log, lines)


async def test_memory_does_not_grow_with_the_log(store: EventStore):
    """A file is read a line at a time, and written a page at a time."""
    await store.log.append(*(started(tunings=9) for _ in range(300)))
    sizes: list[int] = []

    class Counted:
        def write(self, data: bytes, /) -> None:
            sizes.append(len(data))

    await export_lines(store.log, Counted())
    assert max(sizes) < sum(sizes) / 2


async def test_what_is_in_flight_is_waited_for(store: EventStore, empty: EventStore):
    """An export has every event up to the head that it saw, also one that was not committed yet."""
    import asyncio

    await store.log.append(started())
    async with store.connection.acquire() as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(
            "INSERT INTO events SELECT nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), "
            "gen_random_uuid(), 'x', 'y', '{}', '{}'"
        )
        await store.log.append(started())
        exporting = asyncio.ensure_future(exported(store))
        await asyncio.sleep(0)
        await transaction.commit()
    assert (await import_lines(empty.log, await exporting)).events == 3


async def test_an_export_that_fails_leaves_the_one_before_it(store: EventStore, tmp_path: Path):
    """Whatever fails: the server that is not there, a value that has no form, a file that cannot be put in its place."""
    await filled(store)
    file, link = tmp_path / "log.jsonl", tmp_path / "link.jsonl"
    url = url_of(store.connection.config)
    assert run("export", file, "--url", url).returncode == 0
    link.symlink_to(file)
    kept = file.read_bytes()
    done = run("export", link, "--url", "postgresql://nobody@127.0.0.1:1/none")
    assert (done.returncode, "cannot be used" in done.stderr) == (2, False)
    assert "cannot connect" in done.stderr
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute("UPDATE events SET occurred_at = 'infinity' WHERE position = 9")
    done = run("export", link, "--url", url)
    assert (done.returncode, "ISO 8601" in done.stderr) == (2, True)
    assert names_in(tmp_path) == [link.name, file.name]
    assert file.read_bytes() == kept
    async with store.connection.acquire() as connection:
        await connection.execute("DELETE FROM events WHERE position = 9")
    assert run("export", link, "--url", url).returncode == 0
    assert link.is_symlink()
    assert len(file.read_bytes()) < len(kept)
    done = run("export", tmp_path / "nowhere" / "log.jsonl", "--url", url)
    assert (done.returncode, "cannot be used" in done.stderr) == (2, True)


async def test_the_commands(store: EventStore, empty: EventStore, tmp_path: Path):
    """Export to a file and to standard output, import; each refusal is one line with status 2."""
    await filled(store)
    file = tmp_path / "log.jsonl"
    done = run("export", str(file), "--url", url_of(store.connection.config))
    assert (done.returncode, done.stdout) == (0, "exported 8 events and 3 seals, up to position 9\n")
    assert run("export", "-", "--url", url_of(store.connection.config)).stdout.encode() == file.read_bytes()
    url = url_of(empty.connection.config)
    done = run("import", str(file), "--url", url)
    assert (done.returncode, done.stdout) == (0, "imported 8 events and 3 seals, up to position 9\n")
    assert await everything(empty) == await everything(store)
    done = run("import", str(file), "--url", url)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
