"""A log out of JSON Lines: into an empty database, whole or not at all."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from eventstore.database.error_mapping import mapped_errors
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import (
    ENTRY_BYTES,
    NO_SEAL,
    Seal,
    event_hash,
    merkle_root,
    microseconds,
    position_of,
)
from eventstore.export.lines import FORMAT, ExportResult
from eventstore.sql import load, schema_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

__all__ = ["import_lines"]

_BATCH_EVENTS = 5_000

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
# As the export writes a line. PostgreSQL puts a space after each colon and comma of its JSON and escapes the quotes in its
# texts, so the members that follow the data cannot lie inside it.
_EVENT = re.compile(
    rb'\{"position":(\d{1,19}),"stream_id":"([0-9a-f-]{36})","version":(\d{1,10}),"event_id":"([0-9a-f-]{36})",'
    rb'"category":(' + _TEXT + rb'),"type":(' + _TEXT + rb'),"schema_version":(-?\d{1,5}),'
    rb'"occurred_at":"(' + _TIME + rb')","recorded_at":"(' + _TIME + rb')",'
    rb'"data":(.*?),"metadata":(.*),"hash":"([0-9a-f]{64})"\}\n?'
)
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
    "data",
    "metadata",
)
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


async def import_lines(log: EventLog, file: Iterable[bytes]) -> ExportResult:
    """Put the log of a file that `export_lines` wrote into an empty database: positions, ids, times and seals kept.

    It is one transaction, under a lock that keeps writers out: all of the file is imported, or nothing.

    Args:
        log: The log of a migrated database without events.
        file: Its lines: a file opened in binary mode.

    Raises:
        ConfigurationError: The log has events; or a line of the file, which is named, is damaged or missing; nothing was
            imported.
        RepositoryError: PostgreSQL refuses a value, or the role may not lock the table (EXCLUSIVE).
        ConnectionError: Nothing was imported, unless the answer to the commit was lost. Safe to run again: a log with
            events is refused.
        OSError: The file cannot be read; nothing was imported.
    """
    lines = _Lines(file)
    lines.read_header()
    async with log.connection.acquire() as connection:
        with mapped_errors(own_statement=True, connection=connection):
            async with connection.transaction():
                await connection.execute(load("export/lock_for_import", connection))
                if not await connection.fetchval(load("export/is_empty", connection)):
                    raise ConfigurationError(
                        "the log has events or seals already: import into an empty database"
                    )
                for batch in lines.event_batches():
                    await connection.copy_records_to_table(
                        "events", schema_name=schema_of(connection), records=batch, columns=_EVENT_COLUMNS
                    )
                    positions, stream_ids, versions, *_ = zip(*batch, strict=True)
                    # A batch at a time: one statement over a long log would take longer than a statement may.
                    follows_not = load("export/find_broken_stream", connection)
                    lines.check_streams(
                        await connection.fetchrow(follows_not, stream_ids, versions, positions)
                    )
                for one in lines.seals():
                    lines.check_positions(
                        one, await connection.fetchval(load("export/list_positions", connection), *one[1:3])
                    )
                    await connection.copy_records_to_table(
                        "event_seals",
                        schema_name=schema_of(connection),
                        records=[one],
                        columns=_SEAL_COLUMNS,
                    )
                result = lines.read_end()
                if result.last_position:
                    await connection.fetchval(load("export/set_sequence", connection), result.last_position)
    log.wakeups.notify()
    return result


class _Lines:
    """Reads a file from its header to its end, checks every line and knows its number."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self._file = iter(file)
        self._number = 0
        self._line: bytes | None = None
        self._digest = sha256()
        self._events = self._seals = self._last = 0
        self._before = (0, 0, NO_SEAL)

    def _advance(self) -> None:
        self._line = next(self._file, None)
        self._number += 1

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
            raise self._wrong(f"does not begin a file of the form {FORMAT!r}")
        if header.get("after") != 0:
            raise self._wrong(
                f"says that the log begins after position {header.get('after')}: it is no whole log"
            )
        self._advance()

    def event_batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of the events, some at a time."""
        batch: list[tuple[Any, ...]] = []
        while self._line is not None and self._line.startswith(b'{"position":'):
            batch.append(self._event(self._line))
            if len(batch) == _BATCH_EVENTS:
                yield batch
                batch = []
            self._advance()
        if batch:
            yield batch

    def _event(self, line: bytes) -> tuple[Any, ...]:
        match = _EVENT.fullmatch(line)
        if match is None:
            raise self._wrong("is damaged: it is not what an export writes")
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
                match.group(10).decode(),
                match.group(11).decode(),
            )
        except ValueError:
            raise self._wrong("is damaged: a value of it is none") from None
        columns = dict(zip(_EVENT_COLUMNS, row, strict=True))
        beyond = [name for name, most in _NUMBERS_MAX.items() if not 1 <= columns[name] <= most]
        # The driver would store these two times as infinity.
        beyond += [name for name in ("occurred_at", "recorded_at") if columns[name] in _INFINITE]
        if beyond:
            raise self._wrong(f"is damaged: no event has such a value of {', '.join(beyond)}")
        leaf = event_hash(columns)
        if leaf.hex().encode() != match.group(12):
            raise self._wrong(
                f"is damaged: the event at position {row[0]} does not have the hash that it was written with"
            )
        if row[0] <= self._last:
            raise self._wrong(f"is out of place: position {row[0]} comes after {self._last}")
        self._digest.update(leaf)
        self._events += 1
        self._last = row[0]
        return row

    def check_streams(self, broken: Any) -> None:
        """Refuse the file where an event before the line that was read last does not follow its predecessor."""
        if broken is not None:
            raise self._wrong(
                f"comes after version {broken['version']} of stream {broken['stream_id']}, at position "
                f"{broken['position']}, which does not follow the version before it: this is no whole log"
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
            raise self._wrong(f"is damaged: seal {block} is not the hash of what it says, or does not follow")
        self._before = (made.block, made.through_position, hash_)
        self._seals += 1
        return (block, after, through, events, sealed_at, root, previous, hash_, entries)

    def check_positions(self, seal: tuple[Any, ...], positions: list[int]) -> None:
        """Compare the positions of a seal's entries, which its hash does not cover, with those of the events."""
        entries = seal[-1]
        said = [position_of(entries[start:]) for start in range(0, len(entries), ENTRY_BYTES)]
        if said != positions:
            raise self._wrong(f"is damaged: seal {seal[0]} is not of the events before it")

    def read_end(self) -> ExportResult:
        """Read the last line, and compare what it says with what came."""
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
                    f"says that {name} is {end.get(name)}, but it is {value}: lines are missing or exchanged"
                )
        self._advance()
        if self._line is not None:
            raise self._wrong("comes after the end")
        return ExportResult(self._events, self._seals, self._last)
