"""One connection of the pool."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from eventstore.database.answers import Answer, AnswerLoop, Sent
from eventstore.database.protocols import Connection
from eventstore.database.server import ServerIdentity
from eventstore.database.session_effects import RESET, Effect, effect_of
from eventstore.loop_stalls import TimeLimit
from eventstore.private_names import asyncpg_names
from eventstore.sql import is_own, own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_NOTHING = own("SELECT")
_LATER_S = 86_400.0
CLEAN_UP_TIMEOUT_S = 5.0  # a slower server rolls back when the connection closes


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """asyncpg's connection, with the pool's data about it."""

    __slots__ = (
        "answers",
        "effect",
        "expires_at_s",
        "generation",
        "leased",
        "lent_s",
        "may_insert",
        "server",
        "store_schema",
    )

    def __init__(self, protocol: Any, transport: Any, loop: AnswerLoop, *args: Any) -> None:
        super().__init__(protocol, transport, loop.loop, *args)
        self.answers = loop
        self.expires_at_s: float | None = None
        self.leased = False
        self.lent_s = 0.0
        """When it was lent, by the clock of `loop_stalls`."""
        self.effect = Effect.NONE
        """The possible effects on the session of the statements since the last reset."""
        self.server: ServerIdentity | None = None
        """The server that it leads to; None behind a pooler, where each statement may reach another server."""
        self.generation = 0
        """The generation of this server in `KnownServer`."""
        self.store_schema: str | None = None
        """The schema of the store; None if no schema of the search path exists."""
        self.may_insert: bool | None = None
        """Whether its user may write to the table of events directly; None if the server was not asked yet."""

    # These are all methods that take the text of a statement; each inspects the text before it sends it. They are not
    # coroutine functions, because another coroutine level would slow each statement of the library.

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

    async def copy_from_query(self, query: str, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        self.note(query)
        with self.answers.copies():
            return await super().copy_from_query(query, *args, **options)

    async def copy_from_table(self, table_name: str, **options: Any) -> Any:
        """As asyncpg's."""
        with self.answers.copies():
            return await super().copy_from_table(table_name, **options)

    async def copy_to_table(self, table_name: str, **options: Any) -> Any:
        """As asyncpg's."""
        with self.answers.copies():
            return await super().copy_to_table(table_name, **options)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> Any:
        """As asyncpg's."""
        with self.answers.copies():
            return await super().copy_records_to_table(table_name, **options)

    async def fetch_to_the_end(self, query: str, *args: Any, sent: Sent) -> list[Any]:
        """As `fetch`, but a cancellation waits for the answer, and is then in `sent` or raised.

        It is raised if there is no answer to return: the statement was not sent, or failed.
        """
        kept: list[Answer] = []
        self.answers.kept = kept
        sent.is_open = True
        try:
            rows: list[Any] = await self.fetch(query, *args)
        except asyncio.CancelledError as cancelled:
            rows = _answered(kept, cancelled, sent)
        finally:
            self.answers.kept = None
        sent.is_open = False
        return rows

    # These methods change the state of the driver, which no reset of the session undoes.

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
        """Record the possible effect of a statement that is about to be sent."""
        if not is_own(statement):
            self.effect = max(self.effect, effect_of(statement))

    async def reset_session(self) -> None:
        """Undo the possible effects of statements on the session."""
        if self.effect is not Effect.NONE:
            await super().execute(RESET)
            self.effect = Effect.NONE

    def unwrapped(self) -> PooledConnection:
        """Return this connection, also when called through the pool's proxy."""
        return self

    def is_quiet(self) -> bool:
        """Whether no transaction is open and no statement is running, as far as the server has answered.

        A cancelled statement may still take effect: a late BEGIN would open a transaction for the next
        borrower, whose writes would be lost when it is rolled back.
        """
        return asyncpg_names.is_quiet(self)

    def forget_transaction(self) -> None:
        """Record that the transaction is over; asyncpg would otherwise complain about an open transaction."""
        asyncpg_names.forget_transaction(self)


def _answered(answers: list[Answer], cancelled: asyncio.CancelledError, sent: Sent) -> list[Any]:
    """Return the rows of the answer that a cancellation has waited for; raise the cancellation if there is none."""
    if any(answer.cancelled() for answer in answers):
        sent.is_open = False  # the event loop is ending, and nobody will know
        raise cancelled
    answer = answers[-1] if answers else None
    if answer is None or not answer.done():
        raise cancelled  # the driver waits in another way: the statement is open
    answer.add_earlier(cancelled)
    if answer.exception() is not None:
        raise cancelled
    rows = answer.result()
    if not isinstance(rows, list):
        sent.is_open = False  # it was only prepared
        raise cancelled
    sent.cancelled = cancelled
    return rows


def unwrapped(connection: Any) -> Any:
    """Return the connection behind the proxy of the library's pool; any other connection unchanged."""
    unwrap = getattr(connection, "unwrapped", None)
    return connection if unwrap is None else unwrap()


async def within(limit_s: float | None, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Call a method of a connection that runs a statement, with a time limit that stalls of the event loop do not shorten.

    Args:
        limit_s: The limit in seconds; None for `command_timeout`.
        method: The method.
        arguments: Its arguments, without the time limit.
    """
    if limit_s is None:
        return await method(*arguments)
    async with TimeLimit(limit_s):
        # The driver's own limit counts the preparation, with every stall in it.
        return await method(*arguments, timeout=2 * limit_s + _LATER_S)


async def reset(connection: PooledConnection) -> None:
    """Undo the effects of users' statements on the session; if it fails, asyncpg's pool closes the connection."""
    await connection.reset_session()


async def close_idle(connection: PooledConnection) -> None:
    """Close a connection unless it was lent meanwhile; the pool notices."""
    if connection.leased or connection.is_closed():
        return
    try:
        await connection.close(timeout=CLEAN_UP_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - the connection closes in any case
        connection.terminate()


async def end_session(connection: PooledConnection) -> None:
    """Close a connection; when this returns, its session has released everything, such as locks.

    Only the reset waits for the server. Behind a pooler, where others share the session, the reset is all
    that is possible.
    """
    try:
        async with TimeLimit(CLEAN_UP_TIMEOUT_S):
            await connection.reset_session()
    except Exception:  # noqa: BLE001 - the connection closes in any state
        connection.terminate()
    await close_idle(connection)


async def recover(connection: Connection) -> None:
    """Wait until the server has ended a cancelled statement, and roll back a transaction that is still open.

    A connection that does not answer in time is closed.
    """
    try:
        async with TimeLimit(CLEAN_UP_TIMEOUT_S):
            if not connection.is_closed():
                # The server answers this after the cancelled statement. It refuses it if that statement has left a failed
                # transaction, or if a late cancellation hits this one. Not "": asyncpg fails on an empty statement.
                with suppress(asyncpg.PostgresError):
                    await connection.execute(_NOTHING)
            if not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001 - after any error the connection is not used again
        connection.terminate()
