"""An import is held to the seals of its own file, to a head that was kept, and to what PostgreSQL made of its JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore.errors import ConfigurationError
from eventstore.evidence import seal, verify
from eventstore.evidence.canonical import ENTRY_BYTES
from eventstore.export import import_lines
from eventstore.export.restore import NESTING_MAX
from eventstore.store import EventStore
from tests.command_line import assert_refused, run
from tests.conftest import url_of
from tests.entities import started
from tests.exported_files import everything, exported
from tests.forged_files import ForgedFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import DatabaseMaker


@pytest_asyncio.fixture
async def empty(make_database: DatabaseMaker, migrated_template: str) -> AsyncIterator[EventStore]:
    """A second store, without events."""
    async with make_database(migrated_template) as config, EventStore.open(config, workers=False) as store:
        yield store


async def sealed(store: EventStore) -> tuple[ForgedFile, str]:
    """The file of a log with nine events, seven of them in two seals; and the head that was kept."""
    await store.log.append(started("one", tunings=3))
    await seal(store.log)
    await store.log.append(started("two", tunings=2))
    head = (await seal(store.log)).head
    await store.log.append(started("three", tunings=1))
    lines = await exported(store)
    file = ForgedFile.of(lines)
    assert file.lines() == lines
    return file, str(head)


async def refused(empty: EventStore, lines: list[bytes], *words: str, **arguments: Any) -> None:
    """The import is refused by one line, and nothing is there afterwards."""
    with pytest.raises(ConfigurationError, match="nothing was imported") as caught:
        await import_lines(empty.log, lines, **arguments)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert await everything(empty) == {"events": [], "event_seals": []}


def _alter(file: ForgedFile) -> None:
    file.events[1]["data"] = '{"value": "99999", "parameter": "x"}'


def _exchange(file: ForgedFile) -> None:
    one, other = file.events[1], file.events[2]
    one["metadata"], other["metadata"] = '{"a": 1}', '{"b": 1}'


def _renumber(file: ForgedFile) -> None:
    file.events[6]["position"] = 8
    file.events[7]["position"], file.events[8]["position"] = 9, 10


def _remove(file: ForgedFile) -> None:
    del file.events[6]


def _cut_entries(file: ForgedFile) -> None:
    file.seals[1]["entries"] = file.seals[1]["entries"][: -2 * ENTRY_BYTES]
    file.seal_anew()


def _cover_more(file: ForgedFile) -> None:
    """A last event at a position that the file does not have."""
    entry = bytes.fromhex(file.seals[1]["entries"][-2 * ENTRY_BYTES :])
    file.seals[1]["entries"] += ((12).to_bytes(8, "big") + entry[8:]).hex()
    file.seals[1]["through_position"] = 12
    file.seal_anew()


def _end_elsewhere(file: ForgedFile) -> None:
    file.seals[1]["through_position"] = 8
    file.seal_anew()


def _move_entry(file: ForgedFile) -> None:
    """Positions of entries are no part of a seal's hash."""
    entries = bytearray.fromhex(file.seals[0]["entries"])
    entries[7] = 9
    file.seals[0]["entries"] = entries.hex()


def _remove_first_seal(file: ForgedFile) -> None:
    del file.seals[0]


def _exchange_seals(file: ForgedFile) -> None:
    file.seals.reverse()


ALTERED: dict[str, tuple[Callable[[ForgedFile], None], str]] = {
    "an event altered": (_alter, "seal 1, which does not fit the events before it: the event at position 2"),
    "metadata altered": (_exchange, "the event at position 2"),
    "an event moved": (_renumber, "seal 2, which does not fit the events before it: the event at position 7"),
    "an event removed": (_remove, "the event at position 7"),
    "entries cut off": (_cut_entries, "does not end with its last event"),
    "positions that are not there": (_cover_more, "the event at position 12"),
    "another end": (_end_elsewhere, "does not end with its last event"),
    "an entry moved": (_move_entry, "the event at position 9"),
    "the first seal removed": (_remove_first_seal, "seal 2"),
    "seals exchanged": (_exchange_seals, "seal 2"),
}


@pytest.mark.parametrize("what", ALTERED)
async def test_what_the_seals_contradict_is_refused(store: EventStore, empty: EventStore, what: str):
    """Every hash outside of the seals is right: the seals beside the events tell."""
    file, _ = await sealed(store)
    alter, said = ALTERED[what]
    alter(file)
    await refused(empty, file.lines(), said, "line ")


async def test_a_seal_in_another_place_is_refused(store: EventStore, empty: EventStore):
    """Before the events, among them, and after the end."""
    lines = (await sealed(store))[0].lines()
    first = lines.pop(10)
    await refused(empty, [*lines[:1], first, *lines[1:]], "line 2")
    await refused(empty, [*lines[:5], first, *lines[5:]], "line 7")
    await refused(empty, [*lines, first], "line 11")
    whole = await exported(store)
    await refused(empty, [*whole, whole[10]], "line 14 of the file comes after the end")


async def test_a_kept_head_finds_what_a_forger_can_make_anew(store: EventStore, empty: EventStore):
    """Without it a file whose seals were all made anew, or left out, agrees with itself."""
    file, head = await sealed(store)
    for forge in ("altered", "without seals", "without the last seal"):
        forged = ForgedFile.of(file.lines())
        if forge == "altered":
            _alter(forged)
            entries = b"".join(forged.entries())
            for one, span in zip(forged.seals, ((0, 4), (4, 7)), strict=True):
                one["entries"] = entries[span[0] * ENTRY_BYTES : span[1] * ENTRY_BYTES].hex()
            forged.seal_anew()
        else:
            forged.seals = forged.seals[:1] if forge == "without the last seal" else []
        await refused(empty, forged.lines(), f"do not lead to the head {head}", against=head)
    done = await import_lines(empty.log, file.lines(), against=head)
    assert (done.events, done.seals) == (9, 2)
    assert (await verify(empty.log, against=head)).is_sound


async def test_json_that_postgresql_would_write_otherwise_is_refused(store: EventStore, empty: EventStore):
    """What is stored would not have the hash that the file says: members twice, in another order, other spaces."""
    file, _ = await sealed(store)
    file.seals.clear()
    for number, data in (
        (2, '{"a": 1, "a": 2}'),
        (5, '{"bb": 1, "a": 2}'),
        (9, '{"a":1}'),
        (3, '{"a": 1e3}'),
    ):
        forged = ForgedFile.of(file.lines())
        forged.events[number - 1]["data"] = data
        await refused(empty, forged.lines(), f"line {number + 1} of the file", "another form")


class Endless:
    """A file whose second line never ends; it knows how much of it was read."""

    def __init__(self, first: bytes) -> None:
        self._first: bytes | None = first
        self.read_bytes = 0

    def readline(self, size: int) -> bytes:
        """Return what is asked for."""
        first, self._first = self._first, None
        self.read_bytes += size
        return first or b"x" * size

    def __iter__(self) -> Any:
        raise AssertionError("a whole line would be read")


async def test_a_line_has_a_limit(store: EventStore, empty: EventStore):
    """Of a longer one no more is read than shows that it is longer; an iterable's lines are held to it too."""
    lines = (await sealed(store))[0].lines()
    endless: Any = Endless(lines[0])
    await refused(empty, endless, "line 2 of the file is longer than 1,000 bytes", line_bytes_max=1_000)
    assert endless.read_bytes < 3_000
    await refused(empty, lines, "longer than 200 bytes", line_bytes_max=200)
    with pytest.raises(ConfigurationError, match="line_bytes_max must be 1 or more"):
        await import_lines(empty.log, lines, line_bytes_max=0)


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 100_000])
async def test_deep_nesting_is_refused_in_one_line(store: EventStore, empty: EventStore, depth: int):
    """In the data, in the metadata, and where no JSON should be that deep at all; brackets inside of texts are none."""
    file, _ = await sealed(store)
    file.seals.clear()
    for name in ("data", "metadata"):
        forged = ForgedFile.of(file.lines())
        forged.events[0][name] = f'{{"a": {"[" * depth}{"]" * depth}}}'
        await refused(
            empty, forged.lines(), f"line 2 of the file has {name} that is nested {depth + 1:,} deep"
        )
    deep = b"[" * depth
    for number in (0, 10):
        lines = file.lines()
        lines[number] = b'{"format":' + deep if number == 0 else b'{"end":' + deep
        await refused(empty, lines, f"line {number + 1} of the file is damaged")
    file.events[0]["data"] = f'{{"a": "{"[" * depth}\\"{"{" * depth}"}}'
    assert (await import_lines(empty.log, file.lines())).events == 9


@pytest.mark.parametrize(
    "part", [b',"metadata":', b'"', b'\\"', b'"data":', b',"hash":"', b"[", b"{", b'[\\"', b"}"], ids=ascii
)
async def test_a_line_is_read_in_time_in_proportion_to_its_length(
    store: EventStore, empty: EventStore, part: bytes
):
    """Whatever is repeated in it: a line of megabytes is refused, or read, at once."""
    lines = (await sealed(store))[0].lines()
    start, end = lines[1].index(b'"data":') + 7, lines[1].index(b',"metadata":')
    many = part * (4_000_000 // len(part))
    began = time.perf_counter()
    for line in (
        lines[1][:start] + many,
        lines[1][:start] + many + lines[1][end:],
        lines[1][:end] + many + lines[1][end:],
    ):
        await refused(empty, [lines[0], line + b"\n", *lines[2:]], "line 2 of the file")
    assert time.perf_counter() - began < 10


async def test_the_command(store: EventStore, empty: EventStore, tmp_path: Path):
    """`import --against` holds the file to the head; a refusal is one line."""
    file, head = await sealed(store)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(file.lines()))
    url = url_of(empty.connection.config)
    other = f"2:{'00' * 32}"
    assert_refused(run("import", path, "--against", other, "--url", url), f"do not lead to the head {other}")
    assert_refused(run("import", path, "--line-bytes-max", 100, "--url", url), "longer than 100 bytes")
    assert run("import", path, "--against", head, "--url", url).returncode == 0
