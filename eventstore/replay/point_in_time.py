"""Points in time: which events belong to one, and when all of them are final."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from eventstore.core.context import bound_in_utc
from eventstore.database.access import reading
from eventstore.errors import ConfigurationError
from eventstore.limits import check_position
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

POSITION_MAX = 2**63 - 1
"""The highest position: a bigint of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class PointInTime:
    """Which events an answer about the past may hold. Later appends do not change it.

    Attributes:
        through: No event after this position, inclusive. Without a time it is the point in time itself;
            with a time it is the end of the log when the point in time was requested.
        recorded_at: Of each stream, the longest prefix recorded at this time or before, by the database's
            clock, in UTC.
        occurred_at: Only events that occurred at this time or before, by the domain's clock, in UTC, in the
            order in which they occurred.
        final: Every position up to it is final; at least `through`.
        generation: The generation of the server that these positions belong to; None if unknown.
    """

    through: int
    recorded_at: datetime | None = None
    occurred_at: datetime | None = None
    final: int = 0
    generation: int | None = field(default=None, compare=False, repr=False)

    @property
    def bounds(self) -> tuple[int, datetime | None, datetime | None]:
        """The three bounds, in the order of the SQL parameters."""
        return self.through, self.recorded_at, self.occurred_at

    @property
    def is_time(self) -> bool:
        """Whether it is given as a time."""
        return self.recorded_at is not None or self.occurred_at is not None

    def __str__(self) -> str:
        if self.recorded_at is not None:
            return f"what was recorded by {self.recorded_at.isoformat()}, of the log up to position {self.through}"
        if self.occurred_at is not None:
            return f"what had occurred by {self.occurred_at.isoformat()}, of the log up to position {self.through}"
        return f"position {self.through}"


def point_in_time_of(
    position: int | None, recorded_at: datetime | None, occurred_at: datetime | None
) -> PointInTime:
    """Return the requested point in time; if it is a time, over the whole log.

    Raises:
        ConfigurationError: Not exactly one is given, or the position is negative or not a number.
    """
    if sum(bound is not None for bound in (position, recorded_at, occurred_at)) != 1:
        raise ConfigurationError(
            "exactly one of position=, recorded_at= (what was known) or occurred_at= (what was true) is required"
        )
    if position is None:
        recorded, occurred = (
            None if when is None else bound_in_utc(when) for when in (recorded_at, occurred_at)
        )
        return PointInTime(POSITION_MAX, recorded, occurred)
    return PointInTime(check_position("position", position))


async def pin(
    log: EventLog,
    *,
    position: int | None = None,
    recorded_at: datetime | None = None,
    occurred_at: datetime | None = None,
) -> PointInTime:
    """Wait until everything that belongs to a point in time is final, and return the point in time.

    For a time, it waits for every writer that is in flight at the call, since their events may carry that time.

    Args:
        log: The log, on the primary.
        position: The point in time right after this position; 0 is before all events.
        recorded_at: A time by the database's clock; a naive datetime means local time.
        occurred_at: A time by the domain's clock; a naive datetime means local time.

    Raises:
        ConfigurationError: Not exactly one is given; the position is not valid, or is beyond the log's end; the
            server is a standby.
        ConnectionError, TimeoutError: Safe to retry.
    """
    asked = point_in_time_of(position, recorded_at, occurred_at)
    with log.server.steady() as generation:
        return replace(await _pinned(log, asked), generation=generation)


async def _pinned(log: EventLog, asked: PointInTime) -> PointInTime:
    if not asked.is_time:
        await log.high_water_mark.wait_until_final(asked.through)
        head = await log.head()
        if asked.through > head:
            raise ConfigurationError(
                f"position {asked.through} is beyond the end of the log, which is at position {head}: "
                "no event has it yet"
            )
        # Where it was beyond the end before, a writer that began since may hold an earlier position.
        await log.high_water_mark.wait_until_final(asked.through)
        final = await log.high_water_mark.advance(asked.through, wait=False)
        return PointInTime(asked.through, final=max(asked.through, min(final, head)))
    # Writers in flight may hold positions beyond the visible end.
    await log.high_water_mark.wait_until_final(POSITION_MAX)
    head = await log.head()
    await log.high_water_mark.wait_until_final(head)
    return PointInTime(head, asked.recorded_at, asked.occurred_at, final=head)


async def guess_position(log: EventLog, point: PointInTime) -> int:
    """Return approximately where a point in time lies in the log; exactly for a position.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
    """
    if not point.is_time:
        return point.through
    async with reading(log.connection) as connection:
        return int(
            await connection.fetchval(
                load("replay/guess_position", connection),
                point.recorded_at,
                point.occurred_at,
                point.through,
            )
        )
