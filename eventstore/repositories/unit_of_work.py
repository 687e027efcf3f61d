"""The Unit of Work: changes of many entities, appended together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar

from eventstore.core.entity import Entity
from eventstore.database.cancellation import finish
from eventstore.database.config import UnsavedChanges
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionError,
    ServerChangedError,
    TimeoutError,
    TransactionAlreadyActiveError,
    TransactionError,
    TransactionNotActiveError,
)
from eventstore.log.records import NO_METADATA, AppendResult
from eventstore.repositories.backend import FAILED, Backend, BackendTransaction
from eventstore.repositories.booking import Book, Booking, book_reports
from eventstore.repositories.instrument_repository import PostgreSQLInstrumentRepository
from eventstore.repositories.order_repository import PostgreSQLOrderRepository
from eventstore.repositories.portfolio_repository import PostgreSQLPortfolioRepository
from eventstore.repositories.position_repository import PostgreSQLPositionRepository
from eventstore.repositories.repository import EntityRepository
from eventstore.repositories.session import Session

if TYPE_CHECKING:
    from eventstore.domain.execution_report import ExecutionReport
    from eventstore.domain.instrument import Instrument
    from eventstore.domain.money import Settlement
    from eventstore.domain.order import Order

E = TypeVar("E", bound=Entity)


class PostgreSQLUnitOfWork:
    """Stages the events of entities, and appends them all in one statement when it commits.

    As a context manager it begins at the top of the block and commits at its end; if an error leaves the
    block, it rolls back. Afterwards it can be used again. A read inside it sees its own staged changes and
    every event that was committed before the read began. Inside it, each id is represented by one instance.

    Conflicts are detected on the streams that are written, not on those that were only read. It belongs to
    one task: while it is being sent, other tasks that use it get `TransactionError`. If a block ends while
    another task still sends it, the block waits for that task before it rolls back.

    Args:
        backend: The database, or a backend in memory.
        metadata: Stored with each event, as it is now: correlation id, causation id, actor, or anything that JSON can
            hold.
        unsaved: What a commit does with changes of an entity that was loaded or saved in it, if the changes
            were not saved: `error` refuses the commit, `save` saves them.

    Raises:
        ConfigurationError: `unsaved` is neither `error` nor `save`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        unsaved: UnsavedChanges = "error",
    ) -> None:
        if unsaved not in ("error", "save"):
            raise ConfigurationError(f"unsaved must be 'error' or 'save', not {unsaved!r}")
        self._unsaved: UnsavedChanges = unsaved
        self._backend = backend
        self._session = Session(backend.storage, metadata=metadata)
        self._transaction: BackendTransaction | None = None
        self._active = False
        self._sending = False
        self._sent: asyncio.Event | None = None
        """Set when what is being sent was sent, if the end of the block waits for that."""
        self._last_position: int | None = None
        self._sent_position: int | None = None

    # A repository refers to its Unit of Work, so it is made on access and not stored. In a reference cycle,
    # every Unit of Work and all that it saved would stay in memory until garbage collection, at a third of a
    # commit's cost.

    @property
    def orders(self) -> PostgreSQLOrderRepository:
        """The orders."""
        return PostgreSQLOrderRepository(self)

    @property
    def positions(self) -> PostgreSQLPositionRepository:
        """The positions."""
        return PostgreSQLPositionRepository(self)

    @property
    def portfolios(self) -> PostgreSQLPortfolioRepository:
        """The portfolios."""
        return PostgreSQLPortfolioRepository(self)

    @property
    def instruments(self) -> PostgreSQLInstrumentRepository:
        """The instruments."""
        return PostgreSQLInstrumentRepository(self)

    @property
    def is_active(self) -> bool:
        """Whether it has begun and was neither committed nor rolled back."""
        return self._active

    @property
    def last_position(self) -> int | None:
        """The highest position of its last commit; None if that commit appended nothing."""
        return self._last_position

    def entities(self, kind: type[E]) -> EntityRepository[E]:
        """Return the repository of a user's own class of entities."""
        return EntityRepository(kind, self)

    def book(
        self,
        order: Order,
        *,
        instrument: Instrument | None = None,
        settlement: Settlement | None = None,
    ) -> Book:
        """Return what books executions of an order into the order, its position and its portfolio.

        Example:
            async with store.unit_of_work() as uow:
                order = await uow.orders.get_order_by_id(order_id)
                booking = await uow.book(order).fill(Decimal(60), Decimal("149.50"), "EXEC-1")

        Args:
            order: The order; it need not be saved yet.
            instrument: The instrument, if it is kept. Prices and quantities must then be multiples of its increments.
            settlement: How a trade is paid; None for what the instrument says, or else the portfolio.
        """
        return Book(self, order, instrument=instrument, settlement=settlement)

    async def book_reports(self, reports: Iterable[ExecutionReport]) -> list[Booking]:
        """Book execution reports of any orders, in any order; a repeat changes nothing.

        The reports are booked in the order of their times. One that refers to another, as a bust to its fill, is booked after
        it. The instrument of an order is the one of its symbol and venue, if it is kept. What a report says comes from the
        venue, so a fill counts also after the order's end.

        Returns:
            What each report changed, in the order of the reports.

        Raises:
            DomainError: `report.order_id`: no order, or more than one, has the id; or as for `Book`. A commit is
                refused then: roll back.
            EventStoreError: The database could not be read.
        """
        return await book_reports(self, reports)

    async def begin_transaction(self) -> None:
        """Begin; nothing is sent.

        Raises:
            TransactionAlreadyActiveError: It has begun already.
        """
        if self._active:
            raise TransactionAlreadyActiveError(
                "this Unit of Work has begun: commit it or roll it back first"
            )
        self._active = True

    async def commit(self) -> None:
        """Append all staged events in one statement; their entities then have their new versions.

        If it fails, nothing was written, and the Unit of Work stays active and must be rolled back (the context
        manager does so). The library resolves a lost answer itself. A cancellation waits for the answer.

        Raises:
            TransactionNotActiveError: It has not begun.
            UnsavedChangesError: A known entity was changed and not saved. Nothing was sent: save it and commit
                again.
            TransactionError: `book_reports` has failed in it: roll back.
            DomainError: `....execution_repeated`: an execution was counted before, so long ago that the entity could
                not know it. Nothing was sent.
            EntityDeletedError: A new entity has an id that was deleted.
            ConcurrencyError: Another writer has changed a stream. Load again, then retry.
            TransactionConflictError: A deadlock or a lock time-out. Safe to retry.
            ConnectionError, TimeoutError: Nothing was sent. Safe to retry.
            TransactionCommitError: `outcome="unknown"`: no answer arrived; not safe to retry.
        """
        self._require_active()
        self._session.resolve_unsaved(self._unsaved)
        self._sending = True
        try:
            await self._session.ask_for_repeats()
            self._session.mark_committing()
            if self._transaction is not None:
                await finish(self._commit_transaction(self._transaction))
            elif self._session.has_unsent:
                self._last_position = None
                await self._backend.append(self._session.unsent, self._note_commit)
            else:
                self._note_commit(AppendResult((), None))
        except ConcurrencyError as conflict:
            raise await self._session.explain(conflict) from conflict.__cause__
        finally:
            self._end_sending()

    async def rollback(self) -> None:
        """Drop the staged events; the entities keep their changes and can be saved again.

        Raises:
            TransactionNotActiveError: It has not begun.
        """
        with self._sending_alone():
            await finish(self._rollback())

    async def flush(self) -> None:
        """Send the staged events now, in a transaction that the commit ends.

        With `unsaved="save"` it also sends unsaved changes. It detects conflicts early, and costs more round
        trips. While the transaction is open, readers of the log in order stop before its positions, so the
        server ends it if it is idle for too long (1 s by default).

        Raises:
            TransactionNotActiveError: It has not begun.
            DomainError, EntityDeletedError, ConcurrencyError, TransactionConflictError, ConnectionError, TimeoutError: As
                for `commit`.
        """
        with self._sending_alone():
            if self._unsaved == "save":
                self._session.resolve_unsaved(self._unsaved)
            if not self._session.unsent:
                return
            await self._session.ask_for_repeats()
            try:
                if self._transaction is None:
                    self._transaction = await self._backend.begin()
                    self._session.storage = self._transaction.storage
                sent = await self._transaction.append(self._session.unsent)
            except ConcurrencyError as conflict:
                await finish(self._end_transaction())
                raise await self._session.explain(conflict) from conflict.__cause__
            except BaseException:
                await finish(self._end_transaction())
                raise
            self._session.mark_sent()
            self._sent_position = sent.last_position

    async def refresh(self, entity: E) -> E:
        """Reload an instance, drop its unsaved changes, and return it.

        Raises:
            TransactionNotActiveError: It has not begun.
            RepositoryError: The instance has staged events.
            EntityNotFoundError: It was never saved, or was deleted.
        """
        return await self.reading().refresh(entity)

    def reading(self) -> Session:
        """Return the session, for repositories.

        Raises:
            TransactionNotActiveError: It has not begun.
        """
        self._require_active()
        return self._session

    def writing(self) -> AbstractAsyncContextManager[Session]:
        """Return the session, for repositories; what is staged in it is sent by the commit."""
        return nullcontext(self.reading())

    async def __aenter__(self) -> Self:
        self._active = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._active:
            return  # committed or rolled back inside the block
        if error is None:
            try:
                await self.commit()
            finally:
                if self._active:
                    await self._leave()
        else:
            await self._leave()

    def _require_active(self) -> None:
        if not self._active:
            raise TransactionNotActiveError(
                "this Unit of Work has not begun: use `async with uow:` or `await uow.begin_transaction()`"
            )
        if self._sending:
            raise TransactionError(
                "another task commits, flushes or rolls back this Unit of Work: give each task its own Unit of Work"
            )

    @contextmanager
    def _sending_alone(self) -> Iterator[None]:
        # An event that another task stages during the send would count as saved without being in the log.
        self._require_active()
        self._sending = True
        try:
            yield
        finally:
            self._end_sending()

    def _end_sending(self) -> None:
        self._sending = False
        if self._sent is not None:
            self._sent.set()

    async def _leave(self) -> None:
        """Roll back at the end of the block, after other tasks that still send: `gather` leaves them running."""
        if not self._sending:
            await self.rollback()
            return
        await finish(self._leave_after_others())

    async def _leave_after_others(self) -> None:
        while self._sending:
            self._sent = asyncio.Event()
            await self._sent.wait()
        self._sent = None
        if self._active:
            await self.rollback()

    def _note_commit(self, result: AppendResult) -> None:
        self._last_position = result.last_position or None
        self._session.mark_saved()
        self._active = False

    async def _commit_transaction(self, transaction: BackendTransaction) -> None:
        self._last_position = None
        try:
            if self._session.unsent:
                self._sent_position = (await transaction.append(self._session.unsent)).last_position
        except BaseException as error:
            await self._end_transaction()
            if not _has_rolled_back(error):
                raise
            # The server has rolled back what was flushed, so all of it is sent again.
            await self._backend.append(self._session.staged, self._note_commit)
            return
        self._transaction = None
        self._session.storage = self._backend.storage
        try:
            await transaction.commit()
        except BaseException as error:
            self._session.mark_unsent()
            if _is_unknown(error):
                # The same append sent again waits for the first one, and returns its outcome.
                await self._backend.append_again(self._session.staged, self._note_commit, error)
            elif _has_rolled_back(error):
                await self._backend.append(self._session.staged, self._note_commit)
            else:
                raise
        else:
            self._session.mark_saved()
            self._last_position = self._sent_position
            self._active = False

    async def _rollback(self) -> None:
        try:
            await self._end_transaction()
        finally:
            self._session.forget()
            self._active = False

    async def _end_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        self._session.storage = self._backend.storage
        self._session.mark_unsent()
        if transaction is not None:
            await transaction.rollback()


def _has_rolled_back(error: BaseException) -> bool:
    """Whether the server has rolled back the transaction for a reason that is no fault of its events."""
    if isinstance(error, TransactionError):
        return error.sqlstate == FAILED
    return isinstance(error, ConnectionError) and error.retryable


def _is_unknown(error: BaseException) -> TypeGuard[Exception]:
    """Whether a commit that raised this may have been applied."""
    if isinstance(error, TimeoutError):
        return error.sqlstate is None  # otherwise the server reports that it has failed
    return isinstance(error, ServerChangedError) or (
        isinstance(error, ConnectionError) and not error.retryable
    )
