"""The check for events that a restore has lost.

A dump and its restore keep everything. But a restore may lose the last seconds, or restore the log
and the read tables of different points in time. Then the log would assign positions again that
readers have passed, and the events at these positions would never be read. So a store checks for
this when it opens: the sequence must not be behind the positions it has assigned, and no reader may
be ahead of the end of the log. `eventstore repair` repairs both.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore.database.access import limit_lock_waits, reading, writing
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import RestoredLogError
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

_logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Ends:
    """The end of the log, and the positions known to have been beyond it.

    Attributes:
        head: The highest position that is visible.
        sequence: The last assigned position; None if the role may not read it.
        delivered: The highest position that any reader is known to have read.
        ahead: The projections that have read beyond the end of the log.
        state_snapshots_ahead: Whether there are state snapshots beyond the end of the log.
        impossible: The table and the position of rows at positions that cannot have been assigned.
            They were written by hand or are damaged. Among the attributes above, only `ahead` takes
            them into account.
    """

    head: int
    sequence: int | None
    delivered: int
    ahead: tuple[str, ...]
    state_snapshots_ahead: bool
    impossible: tuple[str, ...] = ()

    @property
    def last_assigned(self) -> int:
        """The highest position that is known to have been assigned, regardless of the sequence."""
        return max(self.head, self.delivered)

    @property
    def is_sequence_behind(self) -> bool:
        """Whether the sequence would assign a position again."""
        return self.sequence is not None and self.sequence < self.last_assigned


async def read_ends(log: EventLog) -> Ends:
    """Read the positions of the log's end, its sequence and its readers.

    Raises:
        NotMigratedError: The tables are missing.
        ConnectionError, TimeoutError: Safe to retry.
    """
    async with reading(log.connection) as connection:
        return await _read(connection)


async def _read(connection: Connection) -> Ends:
    row = the_row(await connection.fetchrow(load("check/ends", connection)))
    return Ends(
        row["head"],
        row["sequence"],
        row["delivered"],
        tuple(row["ahead"]),
        row["state_snapshots_ahead"],
        tuple(row["impossible"]),
    )


async def require_whole(log: EventLog) -> None:
    """Check that no position will be assigned twice, and that no reader has read a lost event.

    This takes one short statement.

    Raises:
        RestoredLogError: A restore has lost events. Nothing was written.
        NotMigratedError: The tables are missing.
        ConnectionError, TimeoutError: Safe to retry.
    """
    _require_whole(await read_ends(log))


async def require_whole_on(connection: Connection) -> None:
    """Like `require_whole`, on a given connection."""
    with mapped_errors(own_statement=True, reads_only=True, connection=connection):
        ends = await _read(connection)
    _require_whole(ends)


def _require_whole(ends: Ends) -> None:
    if ends.impossible:
        _logger.warning(
            "ignoring rows at positions that were never assigned: %s: run `eventstore check`",
            ", ".join(ends.impossible),
        )
    if ends.ahead or ends.state_snapshots_ahead:
        beyond = f"up to {ends.delivered}" if ends.delivered > ends.head else "beyond it"
        readers = ", ".join((*ends.ahead, *(["state_snapshots"] if ends.state_snapshots_ahead else [])))
        raise RestoredLogError.of(
            f"the log ends at position {ends.head}, but {readers} had read {beyond}: a "
            "restore has lost events, but what was built from them is still there: run `eventstore repair`",
            position=ends.delivered,
            end=ends.head,
            readers=(*ends.ahead, *(["state_snapshots"] if ends.state_snapshots_ahead else [])),
        )
    if ends.is_sequence_behind:
        raise RestoredLogError.of(
            f"the sequence of positions is at {ends.sequence}, but position {ends.last_assigned} was "
            "assigned before and would be assigned again: run `eventstore repair`",
            position=ends.last_assigned,
            end=ends.sequence,
        )


async def advance_sequence(log: EventLog) -> int | None:
    """Set the sequence of positions to the highest position known to have been assigned.

    Appends wait meanwhile.

    Returns:
        The position that now counts as assigned last; None if nothing had to be done.

    Raises:
        TransactionConflictError: A transaction that has appended is still open. Safe to run again.
        RepositoryError: The role may not set the sequence.
        ConnectionError, TimeoutError: Safe to run again.
    """
    async with writing(log.connection) as connection, connection.transaction():
        await limit_lock_waits(connection, _LOCK_TIMEOUT_S)
        await connection.execute(load("check/lock_log", connection))
        ends = await _read(connection)
        if ends.sequence is not None and not ends.is_sequence_behind:
            return None
        await connection.execute(load("check/set_sequence", connection), ends.last_assigned)
        return ends.last_assigned
