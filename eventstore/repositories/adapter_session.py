"""Repositories on a bare adapter: each call appends by itself, or inside the adapter's open transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.cancellation import finish
from eventstore.database.config import UnsavedChanges
from eventstore.database.connection import DatabaseConnection
from eventstore.database.protocols import Connection
from eventstore.errors import ConcurrencyError, TimeoutError
from eventstore.log.records import to_columns
from eventstore.log.shared import log_of
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.repositories.session import Session, SessionSource
from eventstore.repositories.storage import PostgreSQLStorage


class AdapterSessionSource:
    """Sessions of one adapter: one for each call, or one for the whole of its open transaction.

    In an open transaction an entity counts as saved once the adapter has committed. After a rollback, also
    to a savepoint, its events are pending again. A call that fails stages nothing. Unsaved changes are
    found at the commit of a transaction. Outside a transaction each call is a unit by itself and knows
    nothing of the others.
    """

    def __init__(self, adapter: PostgreSQLAdapter) -> None:
        connection = adapter.connection
        self._unsaved: UnsavedChanges = (
            connection.config.unsaved if isinstance(connection, DatabaseConnection) else "error"
        )
        self._adapter = adapter
        self._log = log_of(adapter)
        self._storage = PostgreSQLStorage(self._log, READ_TABLES, run=self._run)
        self._transaction_session: Session | None = None
        adapter.at_savepoint(self._note_savepoint)

    async def _run(self, statement: Callable[[Connection], Awaitable[Any]]) -> Any:
        """Read on a connection of the adapter, after checking that its server's log is complete."""
        server = self._log.server

        async def checked(connection: Connection) -> Any:
            if not server.is_checked:
                await server.check(connection)
            return await statement(connection)

        return await self._adapter.run_own(checked, reads_only=True)

    def reading(self) -> Session:
        """Return the session of the open transaction, or a new one."""
        if not self._adapter.has_active_transaction:
            return Session(self._storage)
        if self._transaction_session is None:
            self._transaction_session = Session(self._storage)
            self._adapter.before_commit(self._resolve_unsaved)
            self._adapter.at_transaction_end(self._end_transaction)
        return self._transaction_session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Session]:
        """Yield a session whose staged events are appended at the end of the block."""
        session = self.reading()
        if session is not self._transaction_session:
            yield session
            session.resolve_unsaved(self._unsaved)
            await finish(self._append(session))
            return
        with session.all_or_none():
            yield session
            await self._send(session)
        session.mark_sent()

    async def _send(self, session: Session) -> None:
        if session.unsent:
            await session.ask_for_repeats()
            columns = to_columns(session.unsent, classes=self._log.classes)
            try:
                await self._adapter.run_own(lambda connection: self._log.append_in(connection, columns))
            except TimeoutError as error:
                if error.sqlstate is None:  # the server may have run it, and would commit it
                    await self._adapter.break_off("an append took too long, and it was rolled back")
                raise

    async def _resolve_unsaved(self) -> None:
        """Before the commit, refuse or save the unsaved changes of the entities in the transaction's session."""
        session = self._transaction_session
        if session is None:
            return
        with session.all_or_none():
            session.resolve_unsaved(self._unsaved)
            await self._send(session)
        session.mark_sent()

    async def _append(self, session: Session) -> None:
        await session.ask_for_repeats()
        try:
            await self._log.append_staged(session.staged)
        except ConcurrencyError as conflict:
            raise await session.explain(conflict) from conflict.__cause__
        session.mark_saved()

    def _note_savepoint(self) -> Callable[[], None]:
        """Return the function to call if the savepoint that begins now is rolled back to."""
        staged = 0 if self._transaction_session is None else self._transaction_session.mark()

        def roll_back() -> None:
            if self._transaction_session is not None:
                self._transaction_session.return_to(staged)

        return roll_back

    def _end_transaction(self, committed: bool) -> None:
        session, self._transaction_session = self._transaction_session, None
        if session is None:
            return
        if committed:
            session.mark_saved()
            self._log.wakeups.notify()
        else:
            session.forget()


def source_of(source: SessionSource | PostgreSQLAdapter) -> SessionSource:
    """Return the source of sessions: a Unit of Work itself, or the one source of an adapter."""
    if not isinstance(source, PostgreSQLAdapter):
        return source
    known = source.attachments.get(AdapterSessionSource)
    if not isinstance(known, AdapterSessionSource):
        known = source.attachments[AdapterSessionSource] = AdapterSessionSource(source)
    return known
