"""The present status of the log and the projections of a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore.database.access import reading
from eventstore.database.protocols import Record, the_row
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.database.access import ConnectionSource

_WINDOW_POSITIONS = 10_000


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """The status of a projection.

    Attributes:
        projection: The name of the projection.
        partitions: The number of its partitions.
        partitions_active: The number of partitions whose lease a worker holds.
        position: The table has every event up to this position.
        lag_events: The number of positions in the log after that.
        lag_s: Seconds since the oldest event that is not in the table was recorded; 0.0 if there is none.
        quarantined: The number of keys in quarantine.
        moved_s_ago: Seconds since a checkpoint of the projection has moved.
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
    """The status of a database.

    Attributes:
        head: The highest position of the log.
        gap_age_s: Seconds for which readers have waited at a gap in the positions; 0.0 without a gap.
        writers: The number of open transactions with appended events.
        writer_pid: The server process of the oldest of them; None if there is none.
        writer_age_s: Seconds for which that one has been open; 0.0 if there is none.
        projections: Each projection that was ever folded.
    """

    head: int
    gap_age_s: float
    writers: int
    writer_pid: int | None
    writer_age_s: float
    projections: tuple[ProjectionStatus, ...]


async def read_status(source: ConnectionSource) -> Status:
    """Return the status of a database.

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


def cause_of_lag(found: Record) -> str:
    """Return what delays a projection, and what to do: an open writer, no worker, or a slow worker.

    Args:
        found: The row of the statement `projections/explain_lag`.
    """
    if found["writer_pid"] is not None and found["writer_age_s"] > 1:
        return (
            f"the backend {found['writer_pid']} has had a transaction with appended events open for "
            f"{found['writer_age_s']:.0f} s: end that transaction"
        )
    if found["moved_s_ago"] is None:
        return "no worker has ever run: open the store with workers=True, or run `eventstore work`"
    if found["moved_s_ago"] > 10:  # noqa: PLR2004 - a worker polls several times a second
        return (
            f"its checkpoint has not moved for {found['moved_s_ago']:.0f} s: "
            "check whether a worker runs, and read its log"
        )
    return "a worker runs, but more slowly than events are appended: wait, or append less"
