"""One connection of the pool."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg

from eventstore.database.protocols import Connection
from eventstore.database.server import ServerIdentity
from eventstore.database.session_effects import RESET, Effect, effect_of
from eventstore.private_names import asyncpg_names
from eventstore.sql import is_own, own

_NOTHING = own("SELECT")
CLEAN_UP_TIMEOUT_S = 5.0  # a server that takes longer for a roll-back does it when the connection ends


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """asyncpg's connection, with what the pool remembers of it."""

    __slots__ = ("effect", "expires_at_s", "generation", "leased", "may_insert", "server", "store_schema")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expires_at_s: float | None = None
        self.leased = False
        self.effect = Effect.NONE
        """What the statements since the last reset may have left behind in the session."""
        self.server: ServerIdentity | None = None
        """The server that it leads to; None behind a pooler, where each statement may be another one's."""
        self.generation = 0
        """The generation of the `KnownServer` that this server is of."""
        self.store_schema: str | None = None
        """The schema of the store that this connection is of; None where the search path names none that exists."""
        self.may_insert: bool | None = None
        """Whether its user may write into the table of events itself; None: the server was not asked yet."""

    # Every way in which a caller hands over the text of a statement: it is looked at before it is sent. None of these
    # is a coroutine function, since another level of those would cost each statement of the library some time.

    def execute(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().execute(query, *args, **options)

    def executemany(self, command: str, args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(command)
        return super().executemany(command, args, **options)

    def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().fetch(query, *args, **options)

    def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().fetchval(query, *args, **options)

    def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().fetchrow(query, *args, **options)

    def fetchmany(self, query: str, args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().fetchmany(query, args, **options)

    def cursor(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().cursor(query, *args, **options)

    def prepare(self, query: str, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().prepare(query, **options)

    def copy_from_query(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        return super().copy_from_query(query, *args, **options)

    # What changes the driver's own state, which no reset of the session undoes.

    def set_type_codec(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().set_type_codec(*args, **options)

    def reset_type_codec(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().reset_type_codec(*args, **options)

    def set_builtin_type_codec(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().set_builtin_type_codec(*args, **options)

    def add_listener(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().add_listener(*args, **options)

    def add_log_listener(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().add_log_listener(*args, **options)

    def add_query_logger(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().add_query_logger(*args, **options)

    def add_termination_listener(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.effect = Effect.LASTING
        return super().add_termination_listener(*args, **options)

    def note(self, statement: str) -> None:
        """Take note of what a statement that is about to be sent may leave behind."""
        if not is_own(statement):
            self.effect = max(self.effect, effect_of(statement))

    async def reset_session(self) -> None:
        """Undo what statements may have left behind in the session."""
        if self.effect is not Effect.NONE:
            await super().execute(RESET)
            self.effect = Effect.NONE

    def unwrapped(self) -> PooledConnection:
        """Return this connection also when asked through the pool's proxy."""
        return self

    def is_quiet(self) -> bool:
        """Whether no transaction is open and nothing is under way, as far as the server has answered.

        A statement that was cancelled may yet be done: a BEGIN whose cancellation stayed in the block would be the next
        user's, whose writes would go with its roll-back.
        """
        return asyncpg_names.is_quiet(self)

    def forget_transaction(self) -> None:
        """Take note that what was begun is over; asyncpg would complain of a transaction that somebody left open."""
        asyncpg_names.forget_transaction(self)


def unwrapped(connection: Any) -> Any:
    """Return the connection behind a proxy of a pool of the library's own; any other connection as it is."""
    unwrap = getattr(connection, "unwrapped", None)
    return connection if unwrap is None else unwrap()


async def reset(connection: PooledConnection) -> None:
    """Undo what statements of users may have done to the session; asyncpg's pool ends one where this fails."""
    await connection.reset_session()


async def close_idle(connection: PooledConnection) -> None:
    """Close a connection unless it has been handed out meanwhile; the pool notices."""
    if connection.leased or connection.is_closed():
        return
    try:
        await connection.close(timeout=CLEAN_UP_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - it was to be ended, and is
        connection.terminate()


async def end_session(connection: PooledConnection) -> None:
    """Close a connection; what its session held, such as locks, is free when this returns.

    Only the reset waits for the server. Behind a pooler it also is all that can be done about a session that others share.
    """
    try:
        async with asyncio.timeout(CLEAN_UP_TIMEOUT_S):
            await connection.reset_session()
    except Exception:  # noqa: BLE001 - the connection ends, whatever state it is in
        connection.terminate()
    await close_idle(connection)


async def recover(connection: Connection) -> None:
    """Wait until the server has dealt with a cancelled statement, and roll back what is then open.

    A connection that does not answer in time is ended.
    """
    try:
        async with asyncio.timeout(CLEAN_UP_TIMEOUT_S):
            if not connection.is_closed():
                # Answered after what was cancelled; refused where that has left a failed transaction, or where the
                # cancellation comes late and meets this. Not "": asyncpg fails at the answer to an empty statement.
                with suppress(asyncpg.PostgresError):
                    await connection.execute(_NOTHING)
            if not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001 - whatever it is, the connection is not used again
        connection.terminate()
