"""The log as JSON Lines: a header line, a line for each event and each seal, and an end line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

import orjson

from eventstore.database.access import reading
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import event_hash, microseconds
from eventstore.evidence.encoding import require_unicode
from eventstore.limits import check_position
from eventstore.log.names import require_known_names
from eventstore.log.page_size import PageSize, Window
from eventstore.progress import unreported
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

FORMAT = "trading-eventstore events 1"
"""The format, which is the first value of a file."""

_PAGE_EVENTS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LineWriter(Protocol):
    """The target of an export: a file opened in binary mode."""

    def write(self, data: bytes, /) -> object:
        """Write bytes."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of an export or import.

    Attributes:
        events: The number of events.
        seals: The number of seals.
        last_position: The position of the last event; 0 without events.
    """

    events: int
    seals: int
    last_position: int


async def export_lines(
    log: EventLog,
    file: LineWriter,
    *,
    categories: Sequence[str] | None = None,
    after: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Write the final events up to the present head of the log, each as one line of JSON.

    An export of the whole log includes its seals. One page of events is in memory at a time, and
    writers go on.

    Args:
        log: The log.
        file: The file to write, opened in binary mode.
        categories: Only events of these categories, and no seals; None for all.
        after: Only events after this position, and no seals. Such a file cannot be imported.
        on_progress: Called with the position reached and the position at which the export ends.

    Raises:
        ConnectionError, TimeoutError: The file is incomplete: begin again.
        LimitError: `after` is below 0.
        ConfigurationError: `after` is beyond the end of the log; neither the log nor the code has a
            category; ISO 8601 cannot express the time of an event; the server is a standby; or the
            database is not encoded in UTF-8.
        OSError: The file cannot be written.
    """
    check_position("after", after)
    with log.server.steady():
        return await _export(log, file, categories, after, on_progress or unreported)


async def _export(
    log: EventLog,
    file: LineWriter,
    categories: Sequence[str] | None,
    after: int,
    on_progress: Callable[[int, int], None],
) -> ExportResult:
    through = await log.head()
    if not 0 <= after <= through:
        raise ConfigurationError(
            f"after must be a position from 0 to the end of the log, which is {through}, not {after}"
        )
    await require_known_names(log, categories=categories)
    whole = categories is None and after == 0
    header = {"format": FORMAT, "after": after, "categories": categories}
    file.write(orjson.dumps(header) + b"\n")
    digest, events, last = sha256(), 0, 0
    async for rows in final_pages(log, after=after, through=through, categories=categories):
        lines = []
        for row in rows:
            line, leaf = _event_line(row)
            lines.append(line)
            digest.update(leaf)
        file.write(b"".join(lines))
        events += len(rows)
        last = rows[-1]["position"]
        on_progress(last, through)
    seals = await _write_seals(log, file, through) if whole else 0
    end = {"end": {"events": events, "seals": seals, "last_position": last, "sha256": digest.hexdigest()}}
    file.write(orjson.dumps(end) + b"\n")
    return ExportResult(events, seals, last)


async def final_pages(
    log: EventLog,
    *,
    after: int,
    through: int,
    categories: Sequence[str] | None,
    page_events: int = _PAGE_EVENTS,
    generation: int | None = None,
) -> AsyncGenerator[list[Any], None]:
    """Yield the rows of a range of the log in order and in pages, after all writers in the range have ended.

    Args:
        log: The log.
        after: Begin after this position.
        through: End with this position.
        categories: Only these categories; None for all.
        page_events: The most events of a page; a page of large events has fewer.
        generation: The generation of the server that `through` is a position of; None for the present
            one.

    Raises:
        ServerChangedError: Another server has replaced the server of that generation.
        ConnectionError, TimeoutError: Safe to retry.
    """
    if generation is None:
        generation = log.server.generation
    with log.server.steady(generation):
        await log.high_water_mark.wait_until_final(through)
    size = PageSize(page_events)
    while after < through:
        window = Window(after, through)
        with log.server.steady(generation):
            async with reading(log.connection) as connection:
                require_unicode(connection)
                rows = await connection.fetch(
                    load("export/read_events", connection),
                    after,
                    window.end,
                    size.events,
                    categories,
                    size.bytes,
                )
                passed = await window.passed(connection, len(rows))
        after = rows[-1]["position"] if size.is_full(rows) else passed
        if rows:
            yield rows


async def _write_seals(log: EventLog, file: LineWriter, through: int) -> int:
    async with reading(log.connection) as connection:
        rows = await connection.fetch(load("evidence/read_seals", connection), 0, None)
        rows = [row for row in rows if row["through_position"] <= through]
        for row in rows:
            entries = await connection.fetchval(load("evidence/read_entries", connection), row["block"])
            file.write(
                orjson.dumps(
                    {
                        "seal": {
                            "block": row["block"],
                            "after_position": row["after_position"],
                            "through_position": row["through_position"],
                            "events": row["events"],
                            "sealed_at": time_text(row["sealed_at"], f"seal {row['block']}"),
                            "root": row["root"].hex(),
                            "previous": row["previous"].hex(),
                            "seal": row["seal"].hex(),
                            "entries": entries.hex(),
                        }
                    }
                )
                + b"\n"
            )
    return len(rows)


def time_text(time: bytes, of: str) -> str:
    """Convert PostgreSQL's binary form of a time to ISO 8601, in UTC, to the microsecond.

    Raises:
        ConfigurationError: The time is infinite or after the year 9999.
    """
    try:
        when = _EPOCH + timedelta(microseconds=microseconds(time))
    except OverflowError:
        raise ConfigurationError(
            f"{of} has a time that ISO 8601 cannot express, so it was not written by this library: run `eventstore verify`"
        ) from None
    return when.isoformat(timespec="microseconds")


def append_check(leaf: bytes, append_digest: int) -> bytes:
    """Return the check value for the `append_digest` of a line, which the event's hash does not cover."""
    return crc32(leaf + append_digest.to_bytes(4, "big", signed=True)).to_bytes(4, "big")


def _event_line(row: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the line of an event, and its hash. The JSON is as PostgreSQL writes it, digit for digit."""
    leaf = event_hash(row)
    of = f"the event at position {row['position']}"
    together = ""
    if digest := row["append_digest"]:
        together = f',"append_digest":{digest},"append_check":"{append_check(leaf, digest).hex()}"'
    line = (
        f'{{"position":{row["position"]},"stream_id":"{row["stream_id"]}","version":{row["version"]},'
        f'"event_id":"{row["event_id"]}","category":{orjson.dumps(row["category"]).decode()},'
        f'"type":{orjson.dumps(row["type"]).decode()},"schema_version":{row["schema_version"]},'
        f'"occurred_at":"{time_text(row["occurred_at"], of)}","recorded_at":"{time_text(row["recorded_at"], of)}",'
        f'"data":{row["data"]},"metadata":{row["metadata"]},"hash":"{leaf.hex()}"{together}}}\n'
    )
    return line.encode(), leaf
