"""The last values of a key of the metadata: where an engine continues after a restart, without a replay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from eventstore.database.access import read_rows
from eventstore.errors import ConfigurationError
from eventstore.limits import POSITION_MAX, check_position

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

_WINDOW = 20_000
_WINDOW_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class LastMetadata:
    """The last value of a key of the metadata.

    Attributes:
        value: The value: what JSON has, such as an int or a text.
        position: The position of the event that has it.
        stream_id: The stream of that event.
        version: Its version.
        recorded_at: When it was appended, by the database's clock, in UTC.
    """

    value: Any
    position: int
    stream_id: UUID
    version: int
    recorded_at: datetime


async def last_metadata(
    log: EventLog, key: str, *, stream: UUID | None = None, after: int = 0
) -> LastMetadata | None:
    """Return the last value of a key. See `EventStore.last_metadata`."""
    _check_text("key", key)
    if stream is None:
        return (await _search(log, key, None, None, after)).get(None)
    check_position("after", after)
    with log.server.steady():
        await log.high_water_mark.wait_until_final(POSITION_MAX)
        rows = await read_rows(log.connection, "replay/last_metadata_of_stream", key, stream)
    found = [_value(row) for row in rows if row["position"] > after]
    return found[0] if found else None


async def last_metadata_by(
    log: EventLog, key: str, *, by: str, among: Collection[str] | None = None, after: int = 0
) -> dict[str, LastMetadata]:
    """Return the last value of a key for each value of another one. See `EventStore.last_metadata_by`."""
    if isinstance(among, str):
        raise ConfigurationError(f"among must be a collection of texts, not the text {among!r}")
    for name in ("by", by), *(("among", one) for one in among or ()):
        _check_text(*name)
    found = await _search(log, key, by, among, after)
    return {name: value for name, value in found.items() if name is not None}


async def _search(
    log: EventLog, key: str, by: str | None, among: Collection[str] | None, after: int
) -> dict[str | None, LastMetadata]:
    _check_text("key", key)
    check_position("after", after)
    wanted = None if among is None else set(among)
    found: dict[str | None, LastMetadata] = {}
    with log.server.steady():
        # The last statement of a process that was killed may still be running.
        await log.high_water_mark.wait_until_final(POSITION_MAX)
        through, window = await log.head(), _WINDOW
        while through > after and not _is_complete(found, by, wanted):
            begin = max(after, through - window)
            missing = None if wanted is None else sorted(wanted - found.keys())
            rows = await read_rows(log.connection, "replay/last_metadata", key, by, begin, through, missing)
            for row in rows:
                found.setdefault(row["by"], _value(row))
            through, window = begin, min(window * 2, _WINDOW_MAX)
            if not rows and through > after:  # a gap of any length is passed in one step
                (before,) = await read_rows(log.connection, "log/gap_begin", after, through)
                through = before["position"]
    return found


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or "\0" in value:
        raise ConfigurationError(f"{name} must be a text without NUL, not {value!r}")


def _value(row: Any) -> LastMetadata:
    return LastMetadata(
        orjson.loads(row["value"]), row["position"], row["stream_id"], row["version"], row["recorded_at"]
    )


def _is_complete(found: dict[str | None, LastMetadata], by: str | None, wanted: set[str] | None) -> bool:
    if by is None:
        return bool(found)
    return wanted is not None and wanted <= found.keys()
