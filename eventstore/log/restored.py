"""What a restore may have lost: a sequence behind what it has assigned, readers ahead of the log's end.

A dump and its restore keep everything that is stored here. But a restore that lost the last seconds, or one of the log beside
read tables of another point in time, would have the log assign positions again that readers have passed: their events would
never be read. So a store looks for it when it is opened, and `eventstore repair` repairs it.
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
    """Where the log ends, and what is known to have been beyond.

    Attributes:
        head: The highest position that is visible.
        sequence: The position that was assigned last; None where the role may not see it.
        delivered: The highest position that anything is known to have read.
        ahead: The projections that have read beyond the log's end.
        state_snapshots_ahead: Whether there are stored sets of states beyond it.
        impossible: The table and the position of rows that stand where no position can have been assigned: somebody wrote
            them by hand, or they are damaged. They count for nothing above, but for `ahead`.
    """

    head: int
    sequence: int | None
    delivered: int
    ahead: tuple[str, ...]
    state_snapshots_ahead: bool
    impossible: tuple[str, ...] = ()

    @property
    def last_assigned(self) -> int:
        """The highest position that is known to have been assigned, whatever the sequence says."""
        return max(self.head, self.delivered)

    @property
    def is_sequence_behind(self) -> bool:
        """Whether a position would be assigned again."""
        return self.sequence is not None and self.sequence < self.last_assigned


async def read_ends(log: EventLog) -> Ends:
    """Read where the log, its sequence and its readers are.

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
    """Check, in one short statement, that no position will be assigned twice and nobody has read what is lost.

    Raises:
        RestoredLogError: A restore has lost events. Nothing was written.
        NotMigratedError: The tables are missing.
        ConnectionError, TimeoutError: Safe to retry.
    """
    _require_whole(await read_ends(log))


async def require_whole_on(connection: Connection) -> None:
    """As `require_whole`, on a connection that is lent already."""
    with mapped_errors(own_statement=True, reads_only=True, connection=connection):
        ends = await _read(connection)
    _require_whole(ends)


def _require_whole(ends: Ends) -> None:
    if ends.impossible:
        _logger.warning(
            "rows stand at positions that were never assigned, and are passed over: %s: run `eventstore check`",
            ", ".join(ends.impossible),
        )
    if ends.ahead or ends.state_snapshots_ahead:
        beyond = f"up to {ends.delivered}" if ends.delivered > ends.head else "beyond it"
        readers = ", ".join((*ends.ahead, *(["state_snapshots"] if ends.state_snapshots_ahead else [])))
        raise RestoredLogError.of(
            f"the log ends at position {ends.head}, but {readers} had read {beyond}: a "
            "restore has lost events, and what was made of them is still there: run `eventstore repair`",
            position=ends.delivered,
            end=ends.head,
            readers=(*ends.ahead, *(["state_snapshots"] if ends.state_snapshots_ahead else [])),
        )
    if ends.is_sequence_behind:
        raise RestoredLogError.of(
            f"the sequence of positions is at {ends.sequence}, but position {ends.last_assigned} was "
            "assigned before, and would be again: run `eventstore repair`",
            position=ends.last_assigned,
            end=ends.sequence,
        )


async def advance_sequence(log: EventLog) -> int | None:
    """Put the sequence of positions past everything that is known to have been assigned; appends wait meanwhile.

    Returns:
        The position that counts as the last one assigned; None where nothing had to be done.

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
