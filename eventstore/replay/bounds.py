"""The bounds of a replay: positions, or points in time by `recorded_at`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.database.access import read_rows
from eventstore.errors import ConfigurationError
from eventstore.log.event_log import EventLog

Bound = int | datetime
"""A position, or a point in time by `recorded_at`."""

_POSITION_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Range:
    """What a replay reads.

    A point in time cuts each stream once, before its first event that was recorded later. So both sides
    of the cut are consistent, even if the clock stepped back.

    Attributes:
        after: Begin after this position.
        through: End with this position; everything up to it is final.
        since: Only events beyond this point in time; None for no such bound.
        until: Only events not beyond this point in time; None for no such bound.
        beyond_since: For each stream that crosses `since` and then has earlier times, the position at
            which it crosses.
        beyond_until: The same for `until`.
        generation: The generation of the server that these positions belong to.
    """

    after: int
    through: int
    since: datetime | None = None
    until: datetime | None = None
    beyond_since: Mapping[UUID, int] = field(default_factory=dict)
    beyond_until: Mapping[UUID, int] = field(default_factory=dict)
    generation: int = 0

    @property
    def has_times(self) -> bool:
        """Whether rows have to be filtered by time."""
        return self.since is not None or self.until is not None

    def has(self, row: Any) -> bool:
        """Whether a row lies between the points in time."""
        return (self.since is None or _is_beyond(row, self.since, self.beyond_since)) and not (
            self.until is not None and _is_beyond(row, self.until, self.beyond_until)
        )


def _is_beyond(row: Any, point: datetime, streams: Mapping[UUID, int]) -> bool:
    return bool(row["recorded_at"] > point) or row["position"] > streams.get(row["stream_id"], _POSITION_MAX)


def bound(name: str, value: Bound) -> Bound:
    """Return a bound in the form that is used: a point in time in UTC.

    Raises:
        ConfigurationError: A position is negative, or it is neither a position nor a time.
    """
    if isinstance(value, datetime):
        return bound_in_utc(value)
    if type(value) is not int or not 0 <= value <= _POSITION_MAX:
        raise ConfigurationError(f"{name} must be a position, 0 or more, or a datetime, not {value!r}")
    return value


async def find_range(log: EventLog, after: Bound, through: Bound | None) -> Range:
    """Return the range between two bounds as of now, once all of it is final.

    Raises:
        RestoredLogError: The log ends before `after`.
        ConnectionError, TimeoutError: Safe to retry.
        ConfigurationError: The server is a standby.
    """
    with log.server.steady() as generation:
        return replace(await _find_range(log, after, through), generation=generation)


async def _find_range(log: EventLog, after: Bound, through: Bound | None) -> Range:
    if isinstance(after, int):
        await log.read_mark(after)
    end = await _final_end(log, through)
    since = after if isinstance(after, datetime) else None
    until = through if isinstance(through, datetime) else None
    if isinstance(after, int) and until is None:
        return Range(after, end)
    (span,) = await read_rows(log.connection, "replay/find_span", since, until, end)
    if span["first"] is None:
        return Range(end, end, since, until)
    first, last = span["first"], span["last"]
    beyond_since: dict[UUID, int] = {}
    if since is not None:
        (late,) = await read_rows(log.connection, "replay/find_stragglers", since, first, end)
        if late["last"] is not None:
            beyond_since = await _beyond(log, since, late["last"])
            last = max(last, late["last"])
    beyond_until = {} if until is None else await _beyond(log, until, last)
    begin = first - 1 if isinstance(after, datetime) else after
    return Range(begin, max(begin, last), since, until, beyond_since, beyond_until)


async def _final_end(log: EventLog, through: Bound | None) -> int:
    """Return the last position to read, once everything up to it is final."""
    end = await log.head()
    if isinstance(through, datetime) or (through is not None and through > end):
        # Writers in flight hold positions that are not visible yet and may still lie before the bound.
        await log.high_water_mark.wait_until_final(
            _POSITION_MAX if isinstance(through, datetime) else through
        )
        end = await log.head()
    if isinstance(through, int):
        end = min(end, through)
    await log.high_water_mark.wait_until_final(end)
    return end


async def _beyond(log: EventLog, point: datetime, through: int) -> dict[UUID, int]:
    rows = await read_rows(log.connection, "replay/find_beyond", point, through)
    return {row["stream_id"]: row["first"] for row in rows}
