"""The adapter for tests without a database: repositories work on it as on a real adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from eventstore.database.adapter import IsolationLevel
from eventstore.database.cancellation import finish
from eventstore.database.health import HealthStatus
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    TransactionAlreadyActiveError,
    TransactionNotActiveError,
)
from eventstore.repositories.session import Session
from eventstore.testing.memory import InMemoryDatabase, InMemoryTransaction


class MockPostgreSQLAdapter:
    """Replaces a `PostgreSQLAdapter` in repositories: `PostgreSQLOrderRepository(MockPostgreSQLAdapter())`.

    Each call of a repository appends by itself, or inside the open transaction, as on a real adapter. It
    runs no SQL: methods that take a statement raise `ConfigurationError`.

    Args:
        database: The database with the events; None for a new, empty one. Adapters and Units of Work with
            the same database see each other's commits.
    """

    def __init__(self, database: InMemoryDatabase | None = None) -> None:
        self.database = InMemoryDatabase() if database is None else database
        self._transaction: InMemoryTransaction | None = None
        self._session: Session | None = None

    # ---- transactions ----------------------------------------------------------------------------------------

    @property
    def has_active_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    async def begin_transaction(
        self, *, isolation: IsolationLevel = "read committed", read_only: bool = False
    ) -> None:
        """Open a transaction.

        Raises:
            TransactionAlreadyActiveError: A transaction is open already.
            ConfigurationError: The isolation is not read committed, or the transaction is read-only: their
                errors can only be tested on a server.
        """
        if self._transaction is not None:
            raise TransactionAlreadyActiveError(
                "a transaction is open on this adapter: commit it or roll it back first"
            )
        if isolation != "read committed" or read_only:
            raise ConfigurationError(
                "MockPostgreSQLAdapter supports only read committed transactions that may write: "
                "test this transaction on an embedded server"
            )
        self._transaction = await self.database.begin(idle_timeout_s=None)
        self._session = Session(self._transaction.storage)

    async def commit_transaction(self) -> None:
        """Commit the open transaction; it is over afterwards, except after `UnsavedChangesError`.

        Raises:
            TransactionNotActiveError: No transaction is open.
            UnsavedChangesError: An entity of the transaction has unsaved changes; the transaction stays open.
        """
        if self._session is not None:
            self._session.resolve_unsaved("error")
        transaction, session = self._take("commit")
        await finish(transaction.commit())
        session.mark_saved()

    async def rollback_transaction(self) -> None:
        """Roll back the open transaction; the changes of its entities are pending again.

        Raises:
            TransactionNotActiveError: No transaction is open.
        """
        transaction, _ = self._take("roll back")
        await finish(transaction.rollback())

    @asynccontextmanager
    async def transaction(
        self, *, isolation: IsolationLevel = "read committed", read_only: bool = False
    ) -> AsyncIterator[MockPostgreSQLAdapter]:
        """Run a block in a transaction: commit at its end, or roll back if the block raises.

        It raises the errors of `begin_transaction`.
        """
        await self.begin_transaction(isolation=isolation, read_only=read_only)
        try:
            yield self
            await self.commit_transaction()
        except BaseException:
            if self._transaction is not None:
                await self.rollback_transaction()
            raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only the changes of a block if the block raises; blocks may be nested.

        Raises:
            TransactionNotActiveError: No transaction is open.
        """
        transaction, session = self._transaction, self._session
        if transaction is None or session is None:
            raise TransactionNotActiveError("a savepoint needs a transaction: begin one first")
        appended, staged = transaction.mark(), session.mark()
        try:
            yield
        except BaseException:
            if transaction is self._transaction:
                transaction.return_to(appended)
                session.return_to(staged)
            raise

    def _take(self, what: str) -> tuple[InMemoryTransaction, Session]:
        transaction, session = self._transaction, self._session
        if transaction is None or session is None:
            raise TransactionNotActiveError(f"there is no transaction to {what}: begin one first")
        self._transaction = self._session = None
        return transaction, session

    # ---- sessions, for repositories --------------------------------------------------------------------------

    def reading(self) -> Session:
        """Return the session of the open transaction, or a new one; repositories call this."""
        return Session(self.database.storage) if self._session is None else self._session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """Yield a session whose staged events are appended at the end of the block; repositories call this."""
        transaction, session = self._transaction, self.reading()
        if transaction is None:
            yield session
            session.resolve_unsaved("error")
            await finish(self._append(session))
            return
        with session.all_or_none():
            yield session
            if session.unsent:
                await session.ask_for_repeats()
                await transaction.append(session.unsent)
        session.mark_sent()

    async def _append(self, session: Session) -> None:
        await session.ask_for_repeats()
        try:
            await self.database.append(session.staged)
        except ConcurrencyError as conflict:
            raise await session.explain(conflict) from conflict.__cause__
        session.mark_saved()

    # ---- methods that need a server --------------------------------------------------------------------------

    async def health_check(self, *, timeout_s: float | None = None) -> HealthStatus:  # noqa: ARG002 - the adapter's
        """Return a healthy status, because there is no server that could fail."""
        return HealthStatus(healthy=True, latency_s=0.0)

    async def fetch_one(self, query: str, *args: Any, timeout_s: float | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse to run SQL.

        Raises:
            ConfigurationError: Always.
        """
        _refuse(query)

    async def fetch_all(self, query: str, *args: Any, timeout_s: float | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse, as `fetch_one`."""
        _refuse(query)

    async def fetch_value(self, query: str, *args: Any, timeout_s: float | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse, as `fetch_one`."""
        _refuse(query)

    async def execute(self, query: str, *args: Any, timeout_s: float | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse, as `fetch_one`."""
        _refuse(query)

    async def execute_many(
        self,
        query: str,
        rows: Iterable[Sequence[Any]],  # noqa: ARG002
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> NoReturn:
        """Refuse, as `fetch_one`."""
        _refuse(query)

    async def connection_info(self) -> NoReturn:
        """Refuse, as `fetch_one`."""
        _refuse("connection_info()")


def _refuse(what: str) -> NoReturn:
    raise ConfigurationError(
        f"MockPostgreSQLAdapter runs no SQL, so it cannot run {what[:80]!r}: use the repositories, or a "
        "PostgreSQLAdapter on an embedded server (the fixture eventstore_connection of pytest)"
    )
