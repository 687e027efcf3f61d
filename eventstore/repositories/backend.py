"""What a Unit of Work commits to: PostgreSQL here; `eventstore.testing` has a backend in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol

from eventstore.core.entity import Entity
from eventstore.database.access import in_transaction
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError, TransactionError
from eventstore.limits import check_seconds
from eventstore.log.event_log import EventLog
from eventstore.log.records import AppendResult, StagedEvent, to_columns
from eventstore.repositories.storage import PostgreSQLStorage, ReadTable, Storage
from eventstore.sql import load, own

OnResult = Callable[[AppendResult], None]
"""A callback that receives the result of an append."""

FAILED = "25P02"
"""The SQLSTATE of a statement in a transaction that the server has rolled back, since an earlier one failed."""

_BEGIN, _ROLLBACK = own("BEGIN"), own("ROLLBACK")
# PostgreSQL answers COMMIT in a failed transaction with ROLLBACK, and without an error; the SELECT then fails instead.
_COMMIT = own("SELECT; COMMIT")
_IDLE_IN_TRANSACTION_TIMEOUT_S = 1.0
_TRANSACTION_TIMEOUT_S = 60.0


class BackendTransaction(Protocol):
    """An open transaction: nobody else sees what is appended in it before its commit."""

    @property
    def storage(self) -> Storage:
        """Reads inside the transaction."""

    async def append(self, staged: Sequence[StagedEvent]) -> AppendResult:
        """Append events inside the transaction."""

    async def commit(self) -> None:
        """Commit."""

    async def rollback(self) -> None:
        """Roll back."""


class Backend(Protocol):
    """Where entities are stored."""

    @property
    def storage(self) -> Storage:
        """Reads what is committed."""

    async def append(self, staged: Sequence[StagedEvent], on_result: OnResult | None = None) -> AppendResult:
        """Append events, all or nothing. Sending the same events again is safe.

        A cancellation waits for the outcome; if the append succeeded, `on_result` has received the result by then.
        """

    async def append_again(
        self, staged: Sequence[StagedEvent], on_result: OnResult, lost: Exception
    ) -> AppendResult:
        """As `append`, for events that were sent before, with the error that left their outcome unknown.

        Raises:
            TransactionCommitError: `outcome="unknown"`: no answer arrived this time either.
        """

    async def begin(self) -> BackendTransaction:
        """Open a transaction."""


def _milliseconds(name: str, limit_s: float) -> str:
    # Rounding to 0 would mean no limit.
    return f"{max(1, round(check_seconds(name, limit_s, is_finite=True) * 1000))}ms"


class PostgreSQLBackend:
    """The log and the read tables of one database.

    Args:
        log: The log.
        tables: The read table of each class of entities that has one.
        idle_in_transaction_timeout_s: Seconds that an open transaction may be idle; meanwhile it blocks every
            reader of the log.
        transaction_timeout_s: Seconds that a transaction may last, if the server has that setting (17).

    Raises:
        LimitError: A limit is not above 0, or is infinite.
    """

    def __init__(
        self,
        log: EventLog,
        tables: Mapping[type[Entity], ReadTable[Any]],
        *,
        idle_in_transaction_timeout_s: float = _IDLE_IN_TRANSACTION_TIMEOUT_S,
        transaction_timeout_s: float = _TRANSACTION_TIMEOUT_S,
    ) -> None:
        self.log = log
        self.storage = PostgreSQLStorage(log, tables)
        self._limits_ms = (
            _milliseconds("idle_in_transaction_timeout_s", idle_in_transaction_timeout_s),
            _milliseconds("transaction_timeout_s", transaction_timeout_s),
        )

    def append(
        self, staged: Sequence[StagedEvent], on_result: OnResult | None = None
    ) -> Coroutine[Any, Any, AppendResult]:
        """Append events; errors as for `EventLog.append`. A cancellation waits for the outcome."""
        return self.log.append_columns(to_columns(staged, classes=self.log.classes), on_result)

    def append_again(
        self, staged: Sequence[StagedEvent], on_result: OnResult, lost: Exception
    ) -> Coroutine[Any, Any, AppendResult]:
        """Append events that were sent before, and whose outcome is unknown; see `EventLog.append_columns`."""
        return self.log.append_columns(to_columns(staged, classes=self.log.classes), on_result, lost=lost)

    async def begin(self) -> PostgreSQLTransaction:
        """Open a transaction on its own connection, with limits on its idle time and its duration.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self.log.connection.acquire())
            with in_transaction(connection):
                await self.log.server.check(connection)
                await connection.execute(_BEGIN)
                await connection.execute(load("log/limit_transaction", connection), *self._limits_ms)
            return PostgreSQLTransaction(self.log, self.storage, connection, stack.pop_all())


class _Turns:
    """The connection of an open transaction, on which the statements of several tasks run one after the other.

    It does not refer to the transaction, which would otherwise be in a reference cycle with its storage.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lock = asyncio.Lock()
        self.is_over = False

    async def read(self, statement: Callable[[Connection], Awaitable[Any]]) -> Any:
        async with self.lock:
            if self.is_over:  # the connection may serve another task by now
                raise TransactionError(
                    "another task has committed or rolled back this Unit of Work: give each task its own Unit of Work"
                )
            with in_transaction(self.connection):
                return await statement(self.connection)


class PostgreSQLTransaction:
    """An open transaction on its own connection, whose statements take turns.

    Args:
        log: The log.
        storage: The storage to read from inside the transaction.
        connection: The connection, on which the transaction was begun.
        stack: Gives the connection back.
    """

    def __init__(
        self, log: EventLog, storage: PostgreSQLStorage, connection: Connection, stack: AsyncExitStack
    ) -> None:
        self._turns = _Turns(connection)
        self.storage = storage.on(self._turns.read)
        self._log = log
        self._connection = connection
        self._stack = stack

    async def append(self, staged: Sequence[StagedEvent]) -> AppendResult:
        """Append events inside the transaction; errors as for `EventLog.append_in`."""
        columns = to_columns(staged, classes=self._log.classes)
        async with self._turns.lock:
            return await self._log.append_in(self._connection, columns)

    async def commit(self) -> None:
        """Commit, and return the connection to the pool.

        Raises:
            TransactionError: A statement has failed in it before, and the server has rolled it back: `sqlstate` is
                `FAILED`.
            ConnectionError: The connection was lost, or led to a server that another one has replaced. The
                commit may have been applied.
        """
        self._turns.is_over = True
        async with self._turns.lock, self._stack:
            with mapped_errors(own_statement=True, connection=self._connection):
                await self._connection.execute(_COMMIT)
                if self._log.server.is_left(self._connection):
                    raise self._log.server.changed()  # the current server must have the commit
        self._log.wakeups.notify()

    async def rollback(self) -> None:
        """Roll back, and return the connection to the pool.

        If the connection is lost, the server has rolled back; if the roll-back fails otherwise, as without an answer, the
        server rolls back when the pool closes the connection.
        """
        self._turns.is_over = True
        async with self._turns.lock, self._stack:
            with suppress(EventStoreError), in_transaction(self._connection):
                await self._connection.execute(_ROLLBACK)
