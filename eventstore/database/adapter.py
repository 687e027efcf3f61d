"""Statements and transactions for users who write their own SQL: `PostgreSQLAdapter`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from eventstore import errors
from eventstore.database.cancellation import finish
from eventstore.database.connection import DatabaseConnection, require_connection
from eventstore.database.ending import commit, note_effect, of_pool, roll_back
from eventstore.database.error_mapping import map_error, mapped_errors
from eventstore.database.health import ConnectionInfo, HealthStatus
from eventstore.database.plain import plain
from eventstore.database.pooled import within
from eventstore.database.protocols import Connection
from eventstore.limits import check_seconds
from eventstore.loop_stalls import Stopwatch
from eventstore.sql import Named, Template, is_own, load, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

IsolationLevel = Literal["read committed", "repeatable read", "serializable"]

_BEGIN: dict[tuple[str, bool], str] = {
    (level, read_only): f"BEGIN ISOLATION LEVEL {level.upper()} READ {'ONLY' if read_only else 'WRITE'}"
    for level in ("read committed", "repeatable read", "serializable")
    for read_only in (False, True)
}
# A savepoint shadows an earlier one with the same name, which gives the nesting that is needed here.
_SAVEPOINT = "SAVEPOINT eventstore_savepoint"
_RELEASE = "RELEASE SAVEPOINT eventstore_savepoint"
_ROLLBACK_TO = "ROLLBACK TO SAVEPOINT eventstore_savepoint"
_OUTCOME_TIMEOUT_S = 30.0


class PostgreSQLAdapter:
    """Runs statements with bound parameters, and at most one transaction at a time.

    Outside a transaction each call takes a connection from the pool. Inside a transaction all calls use
    its connection, one after the other. Parameters are `$1`, `$2` ... and always bound.

    Cancelling a call inside a transaction rolls the transaction back at once. Further statements are
    then refused until `rollback_transaction`, a failing `commit_transaction` or a new
    `begin_transaction`, so that no statement of the transaction runs outside it.

    Args:
        connection: A `DatabaseConnection`, or an asyncpg pool.

    Raises:
        ConfigurationError: The argument is an address of a database instead of a connection.
    """

    def __init__(self, connection: DatabaseConnection | asyncpg.Pool) -> None:
        require_connection(connection, "a PostgreSQLAdapter")
        self._connection = connection
        self._lock = asyncio.Lock()
        self._lease: AbstractAsyncContextManager[Connection] | None = None
        self._pinned: Any = None
        self._broken: str | None = None
        self.attachments: dict[Any, Any] = {}
        """Objects that belong to this adapter and end with it; internal to the library."""
        self._at_end: list[Callable[[bool], None]] = []
        self._before_commit: list[Callable[[], Awaitable[None]]] = []
        self._at_savepoint: list[Callable[[], Callable[[], None]]] = []
        self._open_savepoints: list[list[Callable[[], None]]] = []

    def at_transaction_end(self, callback: Callable[[bool], None]) -> None:
        """Call `callback` once when the open transaction ends, with whether it is known to be committed."""
        self._at_end.append(callback)

    def before_commit(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback` just before the open transaction commits; an exception refuses the commit.

        The transaction is still open during the call, and stays open if the commit is refused.
        """
        self._before_commit.append(callback)

    def at_savepoint(self, callback: Callable[[], Callable[[], None]]) -> None:
        """Call `callback` at each savepoint, and call its result if the savepoint is rolled back to.

        It is called for savepoints that are open already too.
        """
        self._at_savepoint.append(callback)
        for undo in self._open_savepoints:
            undo.append(callback())

    def _tell_end(self, *, committed: bool) -> None:
        self._before_commit.clear()
        callbacks, self._at_end = self._at_end, []
        for callback in callbacks:
            callback(committed)

    @property
    def connection(self) -> DatabaseConnection | asyncpg.Pool:
        """The pool that this adapter was created with."""
        return self._connection

    @property
    def transaction_connection(self) -> Any:
        """The asyncpg connection of the open transaction; None without a transaction."""
        return self._pinned

    @property
    def has_active_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._pinned is not None

    async def fetch_one(self, query: str, *args: Any, timeout_s: float | None = None) -> Any | None:
        """Run a statement and return its first row, an `asyncpg.Record`; None without a row.

        Args:
            query: The statement.
            args: The parameters.
            timeout_s: The time limit in seconds; None for `command_timeout`.

        Raises:
            LimitError: `timeout_s` is not above 0.
            TransactionError: The transaction was rolled back before, or PostgreSQL refuses more of it.
            ConnectionLostError: The connection was lost while a statement outside a transaction ran; one
                that writes may have been applied.
            ConnectionError: There was no connection, or the transaction was lost with it. Safe to retry.
            TimeoutError: No connection was free in time, or the statement took too long.
            IntegrityError: A constraint refused the statement.
            TransactionConflictError: Another transaction conflicted. Safe to retry from the first read.
            RepositoryError: PostgreSQL refused for another reason.
        """
        limit_s = _checked(timeout_s)
        return await self.run(lambda c: within(limit_s, _on(c, query).fetchrow, text_of(query, c), *args))

    async def fetch_all(self, query: str, *args: Any, timeout_s: float | None = None) -> list[Any]:
        """Run a statement and return all its rows; arguments and errors as in `fetch_one`."""
        limit_s = _checked(timeout_s)
        rows: list[Any] = await self.run(
            lambda c: within(limit_s, _on(c, query).fetch, text_of(query, c), *args)
        )
        return rows

    async def fetch_value(self, query: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Run a statement and return the first column of its first row; None without a row.

        Arguments and errors are those of `fetch_one`.
        """
        limit_s = _checked(timeout_s)
        return await self.run(lambda c: within(limit_s, _on(c, query).fetchval, text_of(query, c), *args))

    async def execute(self, query: str, *args: Any, timeout_s: float | None = None) -> str:
        """Run a statement and return PostgreSQL's command tag, such as `UPDATE 3`.

        Without parameters the text may contain several statements, which run in one transaction, or no
        statement, such as only a comment; the tag is then empty. Arguments and errors are those of
        `fetch_one`.
        """
        limit_s = _checked(timeout_s)
        tag: str = await self.run(lambda c: _execute(c, query, args, limit_s))
        return tag

    async def execute_many(
        self, query: str, rows: Iterable[Sequence[Any]], *, timeout_s: float | None = None
    ) -> None:
        """Run a statement once for each sequence of parameters, all or nothing.

        Other arguments and the errors are those of `fetch_one`.
        """
        limit_s = _checked(timeout_s)
        values = list(rows)
        await self.run(lambda c: within(limit_s, _on(c, query).executemany, text_of(query, c), values))

    async def begin_transaction(
        self, *, isolation: IsolationLevel = "read committed", read_only: bool = False
    ) -> None:
        """Open a transaction on its own connection.

        Raises:
            TransactionAlreadyActiveError: One is open already.
            ConnectionError: There is no connection. Safe to retry.
            TimeoutError: No connection was free in time.
        """
        async with self._lock:
            if self._pinned is not None:
                raise errors.TransactionAlreadyActiveError(
                    "a transaction is open on this adapter: commit it or roll it back first"
                )
            self._broken = None
            self._tell_end(committed=False)
            lease = self._acquire()
            connection = await lease.__aenter__()
            try:
                with mapped_errors(in_transaction=True, connection=connection):
                    await connection.execute(_BEGIN[isolation, read_only])
            except BaseException as error:
                await lease.__aexit__(type(error), error, error.__traceback__)
                raise
            self._lease, self._pinned = lease, connection

    async def commit_transaction(self) -> None:
        """Commit the open transaction; it is over afterwards, except after `UnsavedChangesError`.

        If the answer is lost, the adapter asks the server for the outcome. A cancellation waits for the
        answer.

        Raises:
            TransactionNotActiveError: No transaction is open.
            UnsavedChangesError: An entity that a repository on this adapter loaded or saved in the
                transaction has unsaved changes. The transaction stays open: save the entity and commit
                again, or roll back.
            TransactionCommitError: `outcome` is `not_applied` if the transaction was rolled back, and
                `unknown` if the answer was lost and the server could not be asked in time.
            ConnectionError: The connection was lost, and nothing was applied. Safe to retry.
            IntegrityError: A deferred constraint refused the commit; nothing was applied.
            TransactionConflictError: Another transaction conflicted; nothing was applied. Safe to retry.
        """
        if self._broken is None and self._pinned is not None:
            for callback in tuple(self._before_commit):
                await callback()
        async with self._lock:
            if self._broken is not None:
                reason, self._broken = self._broken, None
                self._tell_end(committed=False)
                raise errors.TransactionCommitError(
                    f"nothing was committed: {reason}: begin again", outcome="not_applied"
                )
            lease, connection = self._unpin("commit")
            await finish(self._commit_and_tell(lease, connection))

    async def rollback_transaction(self) -> None:
        """Roll back the open transaction; it is over afterwards in every case.

        Raises:
            TransactionNotActiveError: No transaction is open.
            TransactionRollbackError: The connection failed meanwhile; the server rolls back by itself.
        """
        async with self._lock:
            self._tell_end(committed=False)
            if self._broken is not None:
                self._broken = None
                return
            lease, connection = self._unpin("roll back")
            await finish(roll_back(lease, connection))

    @asynccontextmanager
    async def transaction(
        self, *, isolation: IsolationLevel = "read committed", read_only: bool = False
    ) -> AsyncIterator[PostgreSQLAdapter]:
        """Run a block in a transaction: commit at its end, or roll back if the block raises.

        It raises the errors of `begin_transaction` and `commit_transaction`.
        """
        await self.begin_transaction(isolation=isolation, read_only=read_only)
        try:
            yield self
            await self.commit_transaction()
        except BaseException:
            if self._pinned is not None or self._broken is not None:
                # The first error says more, and the server rolls back by itself.
                with suppress(errors.TransactionRollbackError):
                    await self.rollback_transaction()
            raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only the statements of a block if the block raises; blocks may be nested.

        Raises:
            TransactionNotActiveError: No transaction is open.
            ConnectionError, TimeoutError: An error has left the block, and its statements could not be undone, so the whole
                transaction was rolled back. A cancellation of the block is raised as it is.
        """
        connection = self._pinned
        if connection is None and self._broken is None:
            raise errors.TransactionNotActiveError("a savepoint needs a transaction: begin one first")
        await self.run(lambda c: c.execute(_SAVEPOINT))
        undo = [callback() for callback in self._at_savepoint]
        self._open_savepoints.append(undo)
        try:
            yield
        except BaseException as error:
            if connection is not None and self._pinned is connection:  # a cancellation may have ended it
                for callback in undo:
                    callback()
                try:
                    await self._roll_back_to(connection)
                except errors.EventStoreError:
                    if isinstance(error, Exception):
                        raise
            raise
        finally:
            self._open_savepoints.pop()
        await self.run(lambda c: c.execute(_RELEASE))

    async def health_check(self, *, timeout_s: float | None = None) -> HealthStatus:
        """Check that the database answers on a connection of the pool; errors are part of the result."""
        if isinstance(self._connection, DatabaseConnection):
            return await self._connection.health_check(timeout_s=timeout_s)
        limit_s = _checked(timeout_s)
        taken = Stopwatch()
        try:
            async with self._connection.acquire(timeout=limit_s) as connection:
                await within(limit_s, connection.fetchval, "SELECT 1")
        except Exception as error:  # noqa: BLE001 - any failure is the answer
            return HealthStatus(healthy=False, error=str(map_error(error)))
        return HealthStatus(healthy=True, latency_s=taken.elapsed_s)

    async def connection_info(self) -> ConnectionInfo:
        """Return the server's description of the transaction's connection, or of any one of the pool.

        Errors are those of `fetch_one`.
        """
        row = await self.run_own(lambda c: c.fetchrow(load("database/connection_info", c)), reads_only=True)
        return ConnectionInfo(**dict(row))

    async def run(
        self, statement: Callable[[Connection], Awaitable[Any]], *, reads_only: bool = False
    ) -> Any:
        """Run `statement` with the transaction's connection, or with one of the pool.

        Errors are those of `fetch_one`. If the caller says that the statement only reads, the error of a
        lost connection is retryable.
        """
        if self._pinned is None and self._broken is None:
            lease = self._acquire()
            async with lease as connection:
                with mapped_errors(reads_only=reads_only, connection=connection):
                    return await statement(connection)
        async with self._lock:
            connection = self._pinned
            if connection is None:
                reason = self._broken or "another task ended it"
                raise errors.TransactionError(f"the transaction is over: {reason}: roll back and begin again")
            try:
                with mapped_errors(in_transaction=True, connection=connection):
                    return await statement(connection)
            except asyncio.CancelledError:
                await self._break_off("a statement was cancelled, and the transaction rolled back")
                raise
            except errors.ConnectionError:
                await self._break_off("its connection was lost, and it was rolled back")
                raise

    async def run_own(
        self, statement: Callable[[Connection], Awaitable[Any]], *, reads_only: bool = False
    ) -> Any:
        """As `run`, for the library's own statements, which bypass the connection's type codecs."""
        return await self.run(lambda connection: statement(plain(connection)), reads_only=reads_only)

    async def _roll_back_to(self, connection: Connection) -> None:
        """Undo the statements of the innermost savepoint, or else roll the transaction back."""
        try:
            await self.run(lambda c: c.execute(f"{_ROLLBACK_TO}; {_RELEASE}"))
        except errors.EventStoreError:
            if self._pinned is connection:
                await self.break_off("a savepoint could not be rolled back to, and it was rolled back")
            raise

    async def break_off(self, reason: str) -> None:
        """Roll the open transaction back, if there is one, and refuse its commit and further statements with this reason."""
        async with self._lock:
            if self._pinned is not None:
                await self._break_off(reason)

    async def _break_off(self, reason: str) -> None:
        lease, connection = self._unpin("break off")
        self._broken = reason
        with suppress(errors.TransactionRollbackError):  # the server rolls back when the connection ends
            await finish(roll_back(lease, connection))

    def _unpin(self, what: str) -> tuple[AbstractAsyncContextManager[Connection], Any]:
        lease, connection = self._lease, self._pinned
        if lease is None:
            raise errors.TransactionNotActiveError(f"there is no transaction to {what}: begin one first")
        self._lease = self._pinned = None
        return lease, connection

    def _acquire(self) -> AbstractAsyncContextManager[Connection]:
        if isinstance(self._connection, DatabaseConnection):
            return self._connection.acquire()
        return of_pool(self._connection)

    async def _commit_and_tell(
        self, lease: AbstractAsyncContextManager[Connection], connection: Connection
    ) -> None:
        committed = False
        try:
            await commit(lease, connection, self._acquire, timeout_s=self._outcome_timeout_s)
            committed = True
        finally:
            self._tell_end(committed=committed)

    @property
    def _outcome_timeout_s(self) -> float:
        if isinstance(self._connection, DatabaseConnection):
            return self._connection.config.command_timeout
        return _OUTCOME_TIMEOUT_S


def _on(connection: Connection, query: str) -> Any:
    """Return the connection for a statement; a user's statement runs with the connection's type codecs."""
    if isinstance(query, Named | Template) or is_own(query):
        return plain(connection)
    note_effect(connection, query)
    return connection


def _checked(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else check_seconds("timeout_s", timeout_s)


async def _execute(connection: Connection, query: str, args: Sequence[Any], timeout_s: float | None) -> str:
    try:
        one = _on(connection, query)
        tag: str = await within(timeout_s, one.execute, text_of(query, connection), *args)
    except AttributeError as error:
        # PostgreSQL answers a query without a statement with no tag, and asyncpg fails to decode that.
        if error.name != "decode":
            raise
        return ""
    return tag
