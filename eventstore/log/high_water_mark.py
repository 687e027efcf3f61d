"""The high-water mark: which positions are final.

A sequence assigns positions before their transactions commit, so a reader can see 12 while 11 is in
flight. The owner of a missing position took ROW EXCLUSIVE on `events` before `nextval`. So a list
of the transactions that hold this lock, taken *after* the read that found the gap, has the owner,
unless the owner has ended. Once all transactions of the list have ended, a read with a new snapshot
sees all events that can ever fill the gap.

This requires that positions ascend and that only this sequence assigns them. So both statements
also check the sequence, and that no subscription writes to `events`. The first check finds events
that would arrive below the reader's position, where no gap shows. The second finds changes between
the two statements.

Writers pay nothing for this, and no reader waits for a transaction that has not written to
`events`.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from eventstore.database.access import ConnectionSource, reading
from eventstore.database.preconditions import require_preconditions
from eventstore.database.protocols import Connection, the_row
from eventstore.database.server import KnownServer, Remembered
from eventstore.errors import ConfigurationError, ServerChangedError
from eventstore.sql import load
from eventstore.waiting import Backoff

# What a standby answers to a writer. It may be promoted soon, so a worker looks again later.
_READ_ONLY = "25006"
_POLL_FIRST_S = 0.001  # a transaction of one statement ends within a millisecond or two
_POLL_MAX_S = 0.05

WINDOW_POSITIONS = 10_000
"""How far `advance` looks at a time: a log without gaps is final at least this far, and perhaps further."""


@dataclass(slots=True)
class _Barrier:
    """Once `writers` have ended, every position up to `head` is final."""

    head: int
    writers: set[str]
    since: float


@dataclass(slots=True)
class _Known:
    """What is known about the log of one server."""

    final: int = 0
    barrier: _Barrier | None = None

    def open_if_lowered(self, barrier: _Barrier) -> None:
        # If the barrier differs, it was reset, or another reader has set a newer one.
        if self.barrier is barrier and not barrier.writers:
            self.final = max(self.final, barrier.head)
            self.barrier = None


class HighWaterMark:
    """Determines how far the log is final. One instance serves all readers of a process.

    A final position stays final. So the highest known one is remembered, as long as the server is
    the same.

    Args:
        source: Lends connections to the primary.
        server: The known server; None to learn about the server only from the statements.
    """

    def __init__(self, source: ConnectionSource, server: KnownServer | None = None) -> None:
        self._source = source
        self._server = KnownServer() if server is None else server
        self._known = Remembered(self._server, _Known)

    @property
    def gap_age_s(self) -> float:
        """How many seconds the reader has waited at a gap; 0.0 without a gap."""
        barrier = self._known.value.barrier
        return 0.0 if barrier is None else time.monotonic() - barrier.since

    @property
    def _final(self) -> int:
        return self._known.value.final

    def reset(self) -> None:
        """Forget all known positions, after the connection to the server was lost."""
        self._known.forget()

    async def advance(self, after: int, *, wait: bool = True, wait_max_s: float = math.inf) -> int:
        """Return the highest position known to be final. Read up to it with a later statement.

        If another server may take over meanwhile, read in a `steady` block of the generation that
        was current before this call.

        Args:
            after: The reader's position; everything up to it is assumed to be final.
            wait: Whether to wait at a gap directly after `after` until its owner has ended.
                Otherwise return `after`.
            wait_max_s: The maximum wait in seconds; then return `after` as well.

        Returns:
            A position, at least `after`. It equals `after` if there is no new event, or none that
                may be read yet.

        Raises:
            ConnectionError: The server cannot be reached, or the connection was lost. Safe to
                retry.
            ConfigurationError: The server is a standby, whose locks say nothing about the primary's
                writers.
            PreconditionError: The sequence was altered, or a subscription writes to `events`.
            RestoredLogError: Another server has taken over, and its log lacks events that its
                database records as already read.
        """
        if self._final > after:
            return self._final
        poll = Backoff(_POLL_FIRST_S, _POLL_MAX_S)
        until = time.monotonic() + wait_max_s
        while True:
            try:
                final = await self._advance(after)
            except ServerChangedError:
                if self._server.is_steady:
                    raise
                final = after
            if final > after or self._known.value.barrier is None or not wait or time.monotonic() > until:
                return final
            await asyncio.sleep(poll.next_s())

    async def wait_until_final(self, position: int) -> None:
        """Wait until every position up to `position` that a writer has drawn is final.

        Raises:
            ConnectionError, ConfigurationError, RestoredLogError: As `advance`.
        """
        poll = Backoff(_POLL_FIRST_S, _POLL_MAX_S)
        barrier: _Barrier | None = None
        while (known := self._known.value).final < position:
            try:
                barrier = await self._raise_or_lower(barrier, position)
            except ServerChangedError:
                if self._server.is_steady:
                    raise
                barrier = None
            if barrier is None or known is not self._known.value:
                barrier = None  # it belongs to the previous server
                continue
            if not barrier.writers:
                known.final = max(known.final, barrier.head)
                return
            await asyncio.sleep(poll.next_s())

    async def _raise_or_lower(self, barrier: _Barrier | None, position: int) -> _Barrier:
        async with reading(self._source) as connection:
            if barrier is None:
                head = (await self._scanned(connection, position, 0))["head"]
                return _Barrier(head, await self._writers(connection), time.monotonic())
            barrier.writers &= await self._writers(connection)
            return barrier

    async def head(self) -> int:
        """Return the highest position that is visible, final or not; 0 in an empty log.

        Raises:
            ConnectionError, RestoredLogError: As `advance`.
        """
        while True:
            try:
                return await self._head()
            except ServerChangedError:
                if self._server.is_steady:
                    raise

    async def _head(self) -> int:
        async with reading(self._source) as connection:
            row = the_row(await connection.fetchrow(load("log/scan_positions", connection), 0, 0))
            if not row["in_recovery"]:
                self._server.seen(connection, row)
            await self._server.check(connection)
            return int(row["head"])

    async def _advance(self, after: int) -> int:
        try:
            async with reading(self._source) as connection:
                known = self._known.value
                if known.barrier is not None:
                    await self._lower(known, known.barrier, connection)
                if self._final > after:
                    return self._final
                return await self._scan(after, connection)
        except Exception:
            self.reset()
            raise

    async def _scan(self, after: int, connection: Connection) -> int:
        scan = await self._scanned(connection, after, WINDOW_POSITIONS)
        known = self._known.value
        if scan["contiguous"] < scan["last"] and known.barrier is None:
            barrier = _Barrier(scan["head"], await self._writers(connection), time.monotonic())
            known.barrier = barrier
            known.open_if_lowered(barrier)
        if known is not self._known.value:
            return after  # the scan belongs to the previous server
        return max(int(scan["contiguous"]), known.final)

    async def _lower(self, known: _Known, barrier: _Barrier, connection: Connection) -> None:
        barrier.writers &= await self._writers(connection)
        if known is self._known.value:
            known.open_if_lowered(barrier)

    async def _scanned(self, connection: Connection, after: int, limit: int) -> Any:
        row = _of_primary(
            the_row(await connection.fetchrow(load("log/scan_positions", connection), after, limit))
        )
        self._server.seen(connection, row)
        await self._server.check(connection)
        if not row["is_ordered"]:
            await require_preconditions(connection)
        return row

    async def _writers(self, connection: Connection) -> set[str]:
        row = _of_primary(the_row(await connection.fetchrow(load("log/list_writers", connection))))
        self._server.seen(connection, row)
        if not row["is_ordered"]:
            await require_preconditions(connection)
        return set(row["writers"])


def _of_primary(row: Any) -> Any:
    if row["in_recovery"]:
        error = ConfigurationError(
            "this server is a standby, but only the primary knows which writers are in flight: "
            "read the log in order from the primary"
        )
        error.sqlstate = _READ_ONLY
        raise error
    return row
