"""Which positions are final.

A sequence hands out positions before their transactions commit, so a reader can see 12 while 11 is in flight.
Whoever owns a missing position took ROW EXCLUSIVE on `events` before `nextval`. So a list of the transactions
that hold that lock, taken *after* the read that found the hole, names its owner, unless the owner has ended; once
everybody on the list has ended, a read with a new snapshot sees all that will ever come.

That rests on positions that ascend and are drawn here alone. So the statement that lists the transactions also looks at
the sequence, and for a subscription that writes to `events`: it is asked wherever a position is missing.

Writers pay nothing for this, and nobody waits for a transaction that has not written to `events`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from eventstore.database.error_mapping import mapped_errors
from eventstore.database.preconditions import require_preconditions
from eventstore.errors import ConfigurationError
from eventstore.sql import load

__all__ = ["Settlement"]

_POLL_FIRST_S = 0.001  # a transaction of one statement ends within a millisecond or two
_POLL_MAX_S = 0.05
_WINDOW_POSITIONS = 10_000


@dataclass(slots=True)
class _Barrier:
    """Once `writers` have ended, every position up to `head` is final."""

    head: int
    writers: set[str]
    since: float


class Settlement:
    """Tells how far the log is final; one instance serves all readers of a process.

    That a position is final stays true, so the highest known one is remembered; `reset` forgets it when the
    connection to the server was lost, since another server may have taken over.

    Args:
        acquire: Gives a connection to the primary, as `DatabaseConnection.acquire` does.
    """

    def __init__(self, acquire: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._acquire = acquire
        self._settled = 0
        self._barrier: _Barrier | None = None

    @property
    def hole_age_s(self) -> float:
        """For how many seconds the reader has stood before a hole; 0.0 where there is none."""
        return 0.0 if self._barrier is None else time.monotonic() - self._barrier.since

    def reset(self) -> None:
        """Forget what is known, after the connection to the server was lost."""
        self._settled = 0
        self._barrier = None

    async def settle(self, after: int, *, wait: bool = True, wait_max_s: float = math.inf) -> int:
        """Return the highest position known to be final; read up to it with a statement begun after this call.

        Args:
            after: The reader's position; everything up to it is taken to be final.
            wait: At a hole right after `after`, wait until its owner has ended; else return `after`.
            wait_max_s: Seconds to wait so at most; then return `after` as well.

        Returns:
            A position, at least `after`. It equals `after` where nothing new is there, or may not be read yet.

        Raises:
            ConnectionError: The server cannot be reached, or the connection was lost. Safe to retry.
            ConfigurationError: The server is a standby: its locks say nothing of the primary's writers.
            PreconditionError: The sequence was altered, or a subscription writes to `events`; found where a position is
                missing.
        """
        if self._settled > after:
            return self._settled
        poll_s = _POLL_FIRST_S
        until = time.monotonic() + wait_max_s
        while True:
            settled = await self._advance(after)
            if settled > after or self._barrier is None or not wait or time.monotonic() > until:
                return settled
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, _POLL_MAX_S)

    async def settle_through(self, position: int) -> None:
        """Wait until every position up to `position` is final, as far as any writer has drawn it.

        Raises:
            ConnectionError, ConfigurationError: As `settle`.
        """
        poll_s = _POLL_FIRST_S
        barrier: _Barrier | None = None
        while self._settled < position:
            async with self._acquire() as connection:
                with mapped_errors(own_statement=True, reads_only=True, connection=connection):
                    if barrier is None:
                        head = (
                            await connection.fetchrow(load("log/scan_positions", connection), position, 0)
                        )["head"]
                        barrier = _Barrier(head, await self._writers(connection), time.monotonic())
                    else:
                        barrier.writers &= await self._writers(connection)
            if not barrier.writers:
                self._settled = max(self._settled, barrier.head)
                return
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, _POLL_MAX_S)

    async def _advance(self, after: int) -> int:
        try:
            async with self._acquire() as connection:
                with mapped_errors(own_statement=True, reads_only=True, connection=connection):
                    if self._barrier is not None:
                        await self._lower(self._barrier, connection)
                    if self._settled > after:
                        return self._settled
                    return await self._scan(after, connection)
        except Exception:
            self.reset()
            raise

    async def _scan(self, after: int, connection: Any) -> int:
        scan = _of_primary(
            await connection.fetchrow(load("log/scan_positions", connection), after, _WINDOW_POSITIONS)
        )
        if scan["contiguous"] < scan["last"] and self._barrier is None:
            barrier = _Barrier(scan["head"], await self._writers(connection), time.monotonic())
            self._barrier = barrier
            self._open_if_lowered(barrier)
        return max(int(scan["contiguous"]), self._settled)

    async def _lower(self, barrier: _Barrier, connection: Any) -> None:
        barrier.writers &= await self._writers(connection)
        self._open_if_lowered(barrier)

    def _open_if_lowered(self, barrier: _Barrier) -> None:
        # A barrier that is no longer in place was reset, or another reader has put a newer one there.
        if self._barrier is barrier and not barrier.writers:
            self._settled = max(self._settled, barrier.head)
            self._barrier = None

    async def _writers(self, connection: Any) -> set[str]:
        row = _of_primary(await connection.fetchrow(load("log/list_writers", connection)))
        if not row["is_ordered"]:
            await require_preconditions(connection)
        return set(row["writers"])


def _of_primary(row: Any) -> Any:
    if row["in_recovery"]:
        raise ConfigurationError(
            "this server is a standby, and only the primary knows which writers are in flight: "
            "read the log in order from the primary"
        )
    return row
