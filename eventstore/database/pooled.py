"""One connection of the pool."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg

__all__ = ["CLEAN_UP_TIMEOUT_S", "PooledConnection", "close_idle", "reset", "settle"]

CLEAN_UP_TIMEOUT_S = 5.0  # a server that takes longer for a roll-back does it when the connection ends


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """asyncpg's connection, with what the pool remembers of it."""

    __slots__ = ("expires_at_s", "leased", "session_touched", "store_schema")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expires_at_s: float | None = None
        self.leased = False
        self.session_touched = False
        self.store_schema: str | None = None
        """The schema of the store that this connection is of; None where the search path names none that exists."""

    def unwrapped(self) -> PooledConnection:
        """Return this connection also when asked through the pool's proxy."""
        return self

    def is_quiet(self) -> bool:
        """Whether no transaction is open and nothing is under way, as far as the server has answered.

        A statement that was cancelled may yet be done: a BEGIN whose cancellation stayed in the block would be the next
        user's, whose writes would go with its roll-back.
        """
        # asyncpg's pool looks at the same three before it lends a connection again; they have no public names.
        return not (
            self.is_in_transaction()
            or getattr(self, "_top_xact", None) is not None
            or self._protocol._is_cancelling()  # noqa: SLF001
        )

    def forget_transaction(self) -> None:
        """Take note that what was begun is over; asyncpg would complain of a transaction that somebody left open."""
        self._top_xact = None  # type: ignore[misc]  # a slot of asyncpg's


async def reset(connection: PooledConnection) -> None:
    """Undo what statements of users may have done to the session."""
    if connection.session_touched:
        await connection.execute(connection.get_reset_query())
        connection.session_touched = False


async def close_idle(connection: PooledConnection) -> None:
    """Close a connection unless it has been handed out meanwhile; the pool notices."""
    if connection.leased or connection.is_closed():
        return
    try:
        await connection.close(timeout=CLEAN_UP_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - it was to be ended, and is
        connection.terminate()


async def settle(connection: Any) -> None:
    """Wait until the server has dealt with a cancelled statement, and roll back what is then open.

    A connection that does not answer in time is ended.
    """
    try:
        async with asyncio.timeout(CLEAN_UP_TIMEOUT_S):
            if not connection.is_closed():
                # Answered after what was cancelled; refused where that has left a failed transaction, or where the
                # cancellation comes late and meets this. Not "": asyncpg fails at the answer to an empty statement.
                with suppress(asyncpg.PostgresError):
                    await connection.execute("SELECT")
            if not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001 - whatever it is, the connection is not used again
        connection.terminate()
