"""How the log and the projections of a database stand now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore.database.access import reading
from eventstore.database.protocols import the_row
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.database.access import ConnectionSource

_WINDOW_POSITIONS = 10_000


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """How a projection stands.

    Attributes:
        projection: Its name.
        partitions: How many partitions it has.
        partitions_active: How many of them a worker holds the lease of.
        position: Every event up to here is in its table.
        lag_events: How many positions the log has after it.
        lag_s: Seconds since the oldest event was recorded that is not in its table; 0.0 where all are.
        quarantined: How many of its keys are in quarantine.
        moved_s_ago: Seconds since a checkpoint of it has moved.
    """

    projection: str
    partitions: int
    partitions_active: int
    position: int
    lag_events: int
    lag_s: float
    quarantined: int
    moved_s_ago: float


@dataclass(frozen=True, slots=True)
class Status:
    """How a database stands.

    Attributes:
        head: The highest position of the log.
        gap_age_s: For how many seconds readers have stood before a gap in the positions; 0.0 where there is none.
        writers: How many transactions that have appended events are open.
        writer_pid: The server's process of the oldest of them; None where there is none.
        writer_age_s: For how many seconds it has been open; 0.0 where there is none.
        projections: Each projection that was ever folded.
    """

    head: int
    gap_age_s: float
    writers: int
    writer_pid: int | None
    writer_age_s: float
    projections: tuple[ProjectionStatus, ...]


async def read_status(source: ConnectionSource) -> Status:
    """Return how a database stands.

    Args:
        source: Lends a connection.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
        NotMigratedError: The tables are missing.
    """
    async with reading(source) as connection:
        log = the_row(await connection.fetchrow(load("log/status", connection), _WINDOW_POSITIONS))
        rows = await connection.fetch(load("projections/status", connection))
    return Status(
        log["head"],
        log["gap_age_s"] or 0.0,
        log["writers"],
        log["writer_pid"],
        log["writer_age_s"] or 0.0,
        tuple(ProjectionStatus(*row) for row in rows),
    )
