"""Import of a log from JSON Lines into an empty database, all or nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from eventstore.database.access import writing
from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import (
    ENTRY_BYTES,
    NO_SEAL,
    Head,
    Seal,
    event_hash,
    merkle_root,
    microseconds,
    position_of,
)
from eventstore.evidence.encoding import require_unicode
from eventstore.export.lines import FORMAT, ExportResult, append_check
from eventstore.limits import check_count
from eventstore.log.page_size import BYTES_UNBOUNDED
from eventstore.sql import load, schema_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

LINE_BYTES_MAX = 2**28
"""The default limit for one line, in bytes: the most that a jsonb of PostgreSQL can hold."""

NESTING_MAX = 1_024
"""The deepest nesting of an event's JSON; no reader could decode deeper JSON."""

_BATCH_EVENTS = 5_000
_BATCH_BYTES = 2**23
_SPOOLED_BYTES = 2**24

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
# A line as the export writes it. PostgreSQL puts a space after each colon and comma of its JSON and escapes
# the quotes in its texts, so the members after the data cannot occur inside it. Matching takes time in
# proportion to the line, whatever the line contains.
_EVENT = re.compile(
    rb'\{"position":(\d{1,19}),"stream_id":"([0-9a-f-]{36})","version":(\d{1,10}),"event_id":"([0-9a-f-]{36})",'
    rb'"category":(' + _TEXT + rb'),"type":(' + _TEXT + rb'),"schema_version":(-?\d{1,5}),'
    rb'"occurred_at":"(' + _TIME + rb')","recorded_at":"(' + _TIME + rb')",'
    rb'"data":([^,\n]*+(?:,(?!"metadata":)[^,\n]*+)*+),"metadata":(.*),"hash":"([0-9a-f]{64})"'
    rb'(?:,"append_digest":(-?[1-9]\d{0,9}),"append_check":"([0-9a-f]{8})")?\}\n?'
)
# A text without a closing quote matches to the end, so that the search does not restart at each of its quotes.
_STRING_OR_BRACKET = re.compile(_TEXT + rb"?|[\[\]{}]", re.DOTALL)
_EVENT_COLUMNS = (
    "position",
    "stream_id",
    "version",
    "event_id",
    "category",
    "type",
    "schema_version",
    "occurred_at",
    "recorded_at",
    "append_digest",
    "data",
    "metadata",
)
_DATA = _EVENT_COLUMNS.index("data")
_NUMBERS_MAX = {"position": 2**63 - 1, "version": 2**31 - 1, "schema_version": 2**15 - 1}
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_SEAL_COLUMNS = (
    "block",
    "after_position",
    "through_position",
    "events",
    "sealed_at",
    "root",
    "previous",
    "seal",
    "entries",
)


async def import_lines(
    log: EventLog,
    file: Iterable[bytes],
    *,
    against: Head | str | None = None,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> ExportResult:
    """Import a file that `export_lines` wrote into an empty database; positions, ids, times and seals are kept.

    The import is one transaction, under a lock that keeps writers out: it imports the whole file or
    nothing. Before it commits, it compares the events with the seals of the file, and the stored JSON
    with the file. Without `against`, anybody who can write the file could have altered events and
    computed its seals again, or left them out.

    Args:
        log: The log of a migrated database without events.
        file: The lines: a file opened in binary mode, or an iterable. Only one line is in memory at a
            time.
        against: A head that was kept outside, which the file's seals must lead to.
        line_bytes_max: The most bytes of one line.

    Raises:
        LimitError: `line_bytes_max` is below 1.
        ConfigurationError: The log has events; a line of the file, which is named, is damaged, missing,
            too long or nested too deeply; a seal does not fit the events before it; the seals do not
            lead to the head; or the database is not encoded in UTF-8. Nothing was imported.
        RepositoryError: PostgreSQL refuses a value, or the role may not import: see `grant`.
        ConnectionError: Nothing was imported, unless the answer to the commit was lost. Safe to run
            again: a log with events is refused.
        OSError: The file cannot be read; nothing was imported.
    """
    check_count("line_bytes_max", line_bytes_max)
    kept = Head.parse(against) if isinstance(against, str) else against
    with closing(_Lines(file, line_bytes_max)) as lines:
        lines.read_header()
        async with writing(log.connection) as connection:
            require_unicode(connection)
            async with connection.transaction():
                result = await _import(connection, lines, kept)
    log.wakeups.notify()
    return result


async def _import(connection: Connection, lines: _Lines, kept: Head | None) -> ExportResult:
    schema = schema_of(connection)
    await connection.execute(load("check/lock_log", connection))
    if not await connection.fetchval(load("export/is_empty", connection)):
        raise ConfigurationError("the log has events or seals already: import into an empty database")
    for batch in lines.event_batches():
        await connection.copy_records_to_table(
            "events", schema_name=schema, records=batch.rows, columns=_EVENT_COLUMNS
        )
        positions, stream_ids, versions, *_ = zip(*batch.rows, strict=True)
        # In batches: one statement over a long log would exceed the statement time-out.
        follows_not = load("export/find_broken_stream", connection)
        lines.check_streams(await connection.fetchrow(follows_not, stream_ids, versions, positions))
        span = (positions[0] - 1, positions[-1])
        if await connection.fetchval(load("export/digest_texts", connection), *span) != batch.digest:
            rows = await connection.fetch(
                load("export/read_events", connection), *span, len(batch.rows), None, BYTES_UNBOUNDED
            )
            raise batch.not_canonical(rows)
    for one in lines.seals():
        await connection.copy_records_to_table(
            "event_seals", schema_name=schema, records=[one], columns=_SEAL_COLUMNS
        )
    result = lines.read_end(kept)
    if result.last_position:
        await connection.fetchval(load("export/set_sequence", connection), result.last_position)
    return result


class _Batch:
    """Some events of a file.

    Attributes:
        rows: The columns of the events.
        lines: The numbers of their lines.
        bytes: The length of all their lines.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.lines: list[int] = []
        self.bytes = 0
        self._digest = sha256()

    def add(self, row: tuple[Any, ...], line: int, size: int) -> None:
        """Add an event."""
        self.rows.append(row)
        self.lines.append(line)
        self.bytes += size
        for text in row[_DATA:]:
            self._digest.update(f"{text}\n".encode())

    @property
    def is_full(self) -> bool:
        """Whether the batch must be written now."""
        return len(self.rows) >= _BATCH_EVENTS or self.bytes >= _BATCH_BYTES

    @property
    def digest(self) -> bytes:
        """The digest of the JSON of the batch's events."""
        return self._digest.digest()

    def not_canonical(self, stored: Sequence[Any]) -> ConfigurationError:
        """Return the error that names the first event whose JSON PostgreSQL returns in another form."""
        pairs = zip(self.rows, self.lines, stored, strict=True)
        line = next(
            (line for row, line, now in pairs if row[_DATA:] != (now["data"], now["metadata"])), self.lines[0]
        )
        return ConfigurationError(
            f"line {line} of the file is damaged: PostgreSQL returns its JSON in another form, so its hash would be wrong; "
            "nothing was imported"
        )


class _Lines:
    """Reads a file from its header to its end, and checks and counts the lines."""

    def __init__(self, file: Iterable[bytes], line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._next = _reader(file, line_bytes_max)
        # Position and hash of each event, to compare with the seals at the end of the file.
        self._entries = SpooledTemporaryFile(max_size=_SPOOLED_BYTES)  # noqa: SIM115 - closed by `close`
        self._heads: list[Head] = []
        self._number = 0
        self._line: bytes | None = None
        self._digest = sha256()
        self._events = self._seals = self._last = 0
        self._before = (0, 0, NO_SEAL)

    def close(self) -> None:
        """Release the temporary file."""
        self._entries.close()

    def _advance(self) -> None:
        self._line = self._next()
        self._number += 1
        if self._line is not None and len(self._line) > self._line_bytes_max:
            raise self._wrong(f"is longer than {self._line_bytes_max:,} bytes (line_bytes_max)")

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"line {self._number} of the file {what}; nothing was imported")

    def _parsed(self) -> Any:
        try:
            return orjson.loads(self._line or b"")
        except ValueError:
            raise self._wrong("is damaged: it is not what an export writes") from None

    def read_header(self) -> None:
        """Read the first line."""
        self._advance()
        if self._line is None:
            raise self._wrong("is missing: the file is empty")
        header = self._parsed()
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._wrong(f"is not the header of a file of the format {FORMAT!r}")
        if header.get("after") != 0:
            raise self._wrong(
                f"says that the log begins after position {header.get('after')}: the file does not contain a whole log"
            )
        self._advance()

    def event_batches(self) -> Iterator[_Batch]:
        """Yield the events in batches."""
        batch = _Batch()
        while self._line is not None and self._line.startswith(b'{"position":'):
            batch.add(self._event(self._line), self._number, len(self._line))
            if batch.is_full:
                yield batch
                batch = _Batch()
            self._advance()
        if batch.rows:
            yield batch
        self._entries.seek(0)

    def _event(self, line: bytes) -> tuple[Any, ...]:
        match = _EVENT.fullmatch(line)
        if match is None:
            raise self._wrong("is damaged: it is not what an export writes")
        for number, name in ((10, "data"), (11, "metadata")):
            if (depth := _nesting(match[number])) > NESTING_MAX:
                raise self._wrong(
                    f"has {name} that is nested {depth:,} deep, and readers can decode at most {NESTING_MAX:,}"
                )
        position, stream_id, version, event_id, category, type_, schema_version, occurred_at, recorded_at = (
            match.group(*range(1, 10))
        )
        try:
            row = (
                int(position),
                UUID(stream_id.decode()),
                int(version),
                UUID(event_id.decode()),
                orjson.loads(category),
                orjson.loads(type_),
                int(schema_version),
                datetime.fromisoformat(occurred_at.decode()),
                datetime.fromisoformat(recorded_at.decode()),
                int(match.group(13) or 0),
                match.group(10).decode(),
                match.group(11).decode(),
            )
        except ValueError:
            raise self._wrong("is damaged: it contains an invalid value") from None
        columns = dict(zip(_EVENT_COLUMNS, row, strict=True))
        beyond = [name for name, most in _NUMBERS_MAX.items() if not 1 <= columns[name] <= most]
        # The driver would store these two times as infinity.
        beyond += [name for name in ("occurred_at", "recorded_at") if columns[name] in _INFINITE]
        if beyond:
            raise self._wrong(f"is damaged: it has an invalid value of {', '.join(beyond)}")
        leaf = event_hash(columns)
        if leaf.hex().encode() != match.group(12):
            raise self._wrong(
                f"is damaged: the event at position {row[0]} does not have the hash that it was written with"
            )
        if row[0] <= self._last:
            raise self._wrong(f"is out of order: position {row[0]} comes after {self._last}")
        if match.group(13) is not None:
            self._check_append(leaf, columns["append_digest"], match.group(14))
        self._digest.update(leaf)
        self._entries.write(struct.pack(">q", row[0]) + leaf)
        self._events += 1
        self._last = row[0]
        return row

    def _check_append(self, leaf: bytes, digest: int, check: bytes) -> None:
        if not -(2**31) <= digest < 2**31 or append_check(leaf, digest).hex().encode() != check:
            raise self._wrong("is damaged: its append_digest is not the one that it was written with")

    def check_streams(self, broken: Any) -> None:
        """Refuse the file if an event read so far does not follow the version before it in its stream."""
        if broken is not None:
            raise self._wrong(
                f"comes after version {broken['version']} of stream {broken['stream_id']}, at position "
                f"{broken['position']}, which does not follow the version before it: the file does not contain a whole log"
            )

    def seals(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the seals."""
        while self._line is not None and self._line.startswith(b'{"seal":'):
            yield self._seal(self._parsed())
            self._advance()

    def _seal(self, parsed: Any) -> tuple[Any, ...]:
        try:
            one = parsed["seal"]
            block, after, through, events = (int(one[name]) for name in _SEAL_COLUMNS[:4])
            sealed_at = datetime.fromisoformat(one["sealed_at"])
            root, previous, hash_, entries = (bytes.fromhex(one[name]) for name in _SEAL_COLUMNS[5:])
            made = Seal(block, after, through, events, microseconds(sealed_at), root, previous, hash_)
            expected = made.expected()
        except (KeyError, TypeError, ValueError, struct.error):
            raise self._wrong("is damaged: it is not what an export writes") from None
        leaves = [entries[start + 8 : start + ENTRY_BYTES] for start in range(0, len(entries), ENTRY_BYTES)]
        is_whole = len(entries) == ENTRY_BYTES * events > 0 and merkle_root(leaves) == root
        follows = (block - 1, after, previous) == self._before
        if expected != hash_ or not is_whole or not follows:
            raise self._wrong(
                f"is damaged: seal {block} is not the hash of its columns, or does not follow the seal before"
            )
        self._check_entries(made, entries)
        self._before = (made.block, made.through_position, hash_)
        self._heads.append(Head(block, hash_))
        self._seals += 1
        return (block, after, through, events, sealed_at, root, previous, hash_, entries)

    def _check_entries(self, made: Seal, entries: bytes) -> None:
        """Compare a seal with the events that were read."""
        came = self._entries.read(len(entries))
        if came != entries:
            place = next(
                place
                for place in range(0, len(entries), ENTRY_BYTES)
                if came[place : place + ENTRY_BYTES] != entries[place : place + ENTRY_BYTES]
            )
            position = position_of(entries[place:])
            raise self._wrong(
                f"has seal {made.block}, which does not fit the events before it: the event at position {position} differs "
                "from the one that was sealed, or is missing"
            )
        if position_of(entries[-ENTRY_BYTES:]) != made.through_position:
            raise self._wrong(f"is damaged: seal {made.block} does not end with its last event")

    def read_end(self, kept: Head | None) -> ExportResult:
        """Read the last line, and compare it, and the head that was kept outside, with what was read."""
        if self._line is None:
            raise self._wrong("is missing: the file was cut off")
        parsed = self._parsed()
        end = parsed.get("end") if isinstance(parsed, dict) else None
        if not isinstance(end, dict):
            raise self._wrong("is damaged: it is neither an event nor a seal nor the end")
        found = {
            "events": self._events,
            "seals": self._seals,
            "last_position": self._last,
            "sha256": self._digest.hexdigest(),
        }
        for name, value in found.items():
            if end.get(name) != value:
                raise self._wrong(
                    f"says that {name} is {end.get(name)}, but it is {value}: lines are missing or out of order"
                )
        self._advance()
        if self._line is not None:
            raise self._wrong("comes after the end")
        if kept is not None and kept not in self._heads:
            raise ConfigurationError(
                f"the seals of the file do not lead to the head {kept}: the file has another log, an older one, or was "
                "altered; nothing was imported"
            )
        return ExportResult(self._events, self._seals, self._last)


def _reader(file: Iterable[bytes], line_bytes_max: int) -> Callable[[], bytes | None]:
    """Return a function that reads the next line, or just enough of it to show that it is too long."""
    readline = getattr(file, "readline", None)
    if readline is None:
        lines = iter(file)
        return lambda: next(lines, None)
    return lambda: readline(line_bytes_max + 1) or None


def _nesting(text: bytes) -> int:
    """Return how deep JSON is nested; with few brackets, return any number below the limit."""
    if text.count(b"[") + text.count(b"{") <= NESTING_MAX:
        return 0
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        character = token.group()[:1]
        if character in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in b"]}":
            depth -= 1
    return deepest
