"""Sealing: computes the seals of blocks of final events, at no cost to writers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from eventstore.database.access import reading
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import IntegrityError
from eventstore.evidence.canonical import (
    ENTRY_BYTES,
    NO_SEAL,
    Head,
    Seal,
    entry,
    merkle_root,
    microseconds,
)
from eventstore.evidence.encoding import require_unicode
from eventstore.limits import check_count
from eventstore.log.page_size import BATCH_BYTES_MAX
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

BLOCK_EVENTS_MAX = 1_000
"""The default number of events of a block; to prove one event, the whole block is read."""


@dataclass(frozen=True, slots=True)
class SealResult:
    """The result of a call of `seal`.

    Attributes:
        blocks: The number of blocks that this call sealed.
        events: The number of events in these blocks.
        head: The newest seal of the log, from this call or from another process; None without seals.
    """

    blocks: int
    events: int
    head: Head | None


async def seal(log: EventLog, *, block_events_max: int = BLOCK_EVENTS_MAX) -> SealResult:
    """Seal every event that is final and not sealed yet, and return the new head.

    Sealing does not block writers: it takes no locks, and the next call seals events that are in
    flight now. Two processes that seal at once share the work; each block is sealed once.

    Args:
        log: The log.
        block_events_max: The most events of one block; a block of large events has fewer.

    Raises:
        ConfigurationError: `block_events_max` is below 1, the server is a standby, or the database is
            not encoded in UTF-8.
        RestoredLogError: The log ends before its last seal.
        ConnectionError, TimeoutError: Completed seals stay. Safe to run again.
        NotMigratedError: The table of seals is missing.
        IntegrityError: The last seal ends beyond the log: it was forged, or a restore has lost events.
        TransactionConflictError: A transaction that has appended is still open, and may own a position
            that the block lacks. Safe to run again.
    """
    check_count("block_events_max", block_events_max)
    with log.server.steady():
        return await _seal(log, block_events_max)


async def _seal(log: EventLog, block_events_max: int) -> SealResult:
    blocks = events = 0
    while True:
        async with reading(log.connection) as connection:
            require_unicode(connection)
            last = the_row(await connection.fetchrow(load("evidence/last_seal", connection)))
        if last["through_position"] > last["head"]:
            raise IntegrityError(
                f"the last seal, {last['block']}, ends at position {last['through_position']}, beyond the end of the log at "
                f"{last['head']}, so no seal can follow it: run `eventstore verify`"
            )
        after = last["through_position"]
        await log.read_mark(after)
        final = await log.high_water_mark.advance(after, wait=False)
        async with reading(log.connection) as connection:
            rows = await connection.fetch(
                load("evidence/read_events", connection),
                after,
                final,
                block_events_max,
                BATCH_BYTES_MAX,
            )
            if not rows:
                head = None if last["seal"] is None else Head(last["block"], last["seal"])
                return SealResult(blocks, events, head)
            if await _insert(connection, _made(last, rows)):
                blocks += 1
                events += len(rows)


def _made(last: Any, rows: list[Any]) -> tuple[Any, ...]:
    entries = [entry(row) for row in rows]
    made = Seal(
        last["block"] + 1,
        last["through_position"],
        rows[-1]["position"],
        len(rows),
        microseconds(last["now"]),
        merkle_root([one[ENTRY_BYTES - len(NO_SEAL) :] for one in entries]),
        last["seal"] or NO_SEAL,
        b"",
    )
    return (
        made.block,
        made.after_position,
        made.through_position,
        made.events,
        last["now"],
        made.root,
        made.previous,
        made.expected(),
        b"".join(entries),
    )


async def _insert(connection: Connection, values: tuple[Any, ...]) -> bool:
    """Insert a seal; return False if another process has sealed the block first."""
    try:
        await connection.execute(load("evidence/insert_seal", connection), *values)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "event_seals_pkey":
            raise
        return False
    return True
