"""The composition root: the one place where the write side meets the projections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from uuid import UUID

import eventstore.read_side  # noqa: F401 - refuses a module of the user's in place of `projections`
from eventstore.core.causation import CausationTree, metadata_of
from eventstore.core.entity import Entity
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry_check import require_sound_registry
from eventstore.database.access import reading
from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.cancellation import end
from eventstore.database.config import DatabaseConfig, UnsavedChanges
from eventstore.database.connection import (
    CLOSE_TIMEOUT_S,
    ConnectionFactory,
    DatabaseConnection,
    require_connection,
)
from eventstore.database.migrations import MigrationManager
from eventstore.database.preconditions import Level, require_preconditions
from eventstore.database.protocols import Connection
from eventstore.database.server import Remembered
from eventstore.domain.lots import Chosen, LotMethod, Lots
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.log.causation import causation_tree
from eventstore.log.event_log import EventLog
from eventstore.log.records import NO_METADATA
from eventstore.log.restored import require_whole
from eventstore.log.shared import log_of
from eventstore.log.unreadable import OnUnreadable
from eventstore.opening import Opening
from eventstore.reconciliation import Reconciliation, Statement
from eventstore.reconciliation.reading import checked_tolerance, reconcile
from eventstore.replay.as_of import Past, as_of
from eventstore.replay.bounds import Bound
from eventstore.replay.equity import Clock, EquityCurve, equity_curve
from eventstore.replay.history import (
    Changes,
    History,
    HistoryEntry,
    HistoryOrder,
    class_and_id,
    diff,
    history,
)
from eventstore.replay.last_metadata import LastMetadata, last_metadata, last_metadata_by
from eventstore.replay.lots import TaxLotReport, lots, tax_lots
from eventstore.replay.pages import PAGE_EVENTS_MAX
from eventstore.replay.rebuilding import Where, rebuild_state, replay_states
from eventstore.replay.replay import OnProgress, Replay
from eventstore.replay.state_snapshots import StateSnapshots
from eventstore.repositories.backend import PostgreSQLBackend
from eventstore.repositories.query import as_id
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.sql import load
from eventstore.tasks import started
from projections import (
    InstrumentsProjection,
    OrdersProjection,
    PortfolioSnapshotsProjection,
    PortfoliosProjection,
    PositionsProjection,
    Projection,
    Supervisor,
    Table,
)
from projections.engine.progress import wait_for
from projections.fresh_rows import Corrections, FreshRows

if TYPE_CHECKING:
    from eventstore.reports import Reports

_logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Entity)

_WAIT_TIMEOUT_S = 30.0


class EventStore:
    """A database of events, its Units of Work and its projections.

    Example:
        async with EventStore.open(DatabaseConfig.from_env()) as store:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(order)

        store = await EventStore.open("postgresql://trader@localhost/trading")
        ...
        await store.close()

    Attributes:
        connection: The pool.
        log: The event log.
        state_snapshots: What workers store to make `as_of` fast at any moment.
    """

    def __init__(self, connection: DatabaseConnection) -> None:
        self.connection = connection
        self.log: EventLog = log_of(connection)
        self._backend = PostgreSQLBackend(self.log, READ_TABLES)
        self._workers = Supervisor(self.log, built_in_projections())
        self._tasks = self._workers.tasks
        self._versions = {one.name: one.version for one in self._workers.projections}
        self.state_snapshots = StateSnapshots(self.log, READ_TABLES, versions=self._versions)
        self._starting: asyncio.Task[None] | None = None
        self._checked = Remembered(connection.server, list[bool])
        self._has_warned = False
        self._is_closing = False

    @classmethod
    def open(
        cls, config: DatabaseConfig | str | None = None, *, workers: bool = True, migrate: bool = False
    ) -> Opening[EventStore]:
        """Connect: `async with` closes at the end of the block; after `store = await ...`, `close` does.

        Args:
            config: The configuration of the database, or its URL; None for the configuration of the
                environment.
            workers: Whether this process keeps the read tables up to date. Pass False if `eventstore work`
                does it, or if nobody should.
            migrate: Whether to migrate the schema first; otherwise it must be up to date.

        Raises, when it is entered or awaited:
            ConfigurationError: A setting is wrong, or the server is older than PostgreSQL 15; or an upcaster is missing.
            ConnectionError: The database cannot be reached. Safe to retry.
            NotMigratedError: The tables are missing or not up to date.
            PreconditionError: A precondition of the database does not hold: the message has the statement
                that repairs it.
            RestoredLogError: A restore has lost events that were read: run `eventstore repair`.
        """

        async def open_store() -> EventStore:
            require_sound_registry()
            connection = await ConnectionFactory.create_connection(config)
            try:
                store = cls.of(connection)
                if migrate:
                    manager = MigrationManager(PostgreSQLAdapter(connection))
                    await manager.initialize()
                    await manager.migrate_to_latest()
                if workers:
                    await store.start_workers()
                else:
                    await store.require_migrated()
            except BaseException:
                await connection.close()
                raise
            return store

        return Opening("EventStore.open(...)", open_store, cls.close)

    async def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """End the workers of this process and close the connection; closing twice is safe.

        Args:
            timeout_s: Seconds that running work has; then its connections are terminated, and the server
                rolls back open transactions.

        Raises:
            LimitError: `timeout_s` is not above 0.
        """
        await self.connection.close(timeout_s=timeout_s)

    @property
    def is_closed(self) -> bool:
        """Whether the connection of the store was closed."""
        return self.connection.is_closed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def reports(self) -> Reports:
        """Orders, fills, positions, P&L, equity and more, as rows and frames."""
        from eventstore.reports import Reports  # noqa: PLC0415 - most programs need no report

        return Reports(self)

    @classmethod
    def of(cls, connection: DatabaseConnection) -> EventStore:
        """Return the store of a connection; the same one each time.

        Raises:
            ConfigurationError: The argument is an address of a database instead of a connection: use `open`.
        """
        require_connection(connection, "EventStore.of")
        store = connection.attachments.get(EventStore)
        if not isinstance(store, EventStore):
            store = connection.attachments[EventStore] = cls(connection)
            connection.at_close(store._end_workers)
        return store

    def unit_of_work(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> PostgreSQLUnitOfWork:
        """Return a new Unit of Work.

        Args:
            metadata: The metadata of each of its events: any JSON-compatible value.
            correlation_id: The id of the command that caused its events; stored in the metadata, as the
                next two.
            causation_id: The id of the event, or of the command, that caused its events.
            actor: The person or program that acts.
            unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save`
                saves them; None for the setting of the configuration.

        Raises:
            ConfigurationError: `unsaved` is neither `error` nor `save`.
        """
        named = metadata_of(metadata, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
        return PostgreSQLUnitOfWork(
            self._backend,
            metadata=named,
            unsaved=self.connection.config.unsaved if unsaved is None else unsaved,
        )

    async def caused(self, correlation_id: str | UUID) -> list[RecordedEvent]:
        """Return the events of one correlation, in the order of the log; 10,000 at most.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await self.log.find_correlated(correlation_id)

    async def causation_tree(self, id: str | UUID) -> CausationTree:
        """Return the events of one command, as a tree.

        Args:
            id: A correlation id, or the id of any event of the correlation.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await causation_tree(self.log, id)

    async def last_metadata(
        self, key: str, *, stream: UUID | Entity | None = None, after: int = 0
    ) -> LastMetadata | None:
        """Return the last value of a key of the metadata: where an engine continues, without a replay.

        It waits for every append in flight at the call, also one of a process that was killed. It searches from the end of
        the log backwards, so the search for a key that was written recently is short.

        Example:
            last = await store.last_metadata("feed_sequence")
            await feed.subscribe(after=0 if last is None else last.value)

        Args:
            key: The key.
            stream: Only events of this stream, given by its id or its entity.
            after: Only events after this position.

        Returns:
            The value with its event; None if no event has the key.

        Raises:
            LimitError: `after` is not a position.
            ConfigurationError: `key` is not a text, or contains NUL; the server is a standby.
            ConnectionError, TimeoutError: Safe to retry.
        """
        of_stream = None if stream is None else as_id(Entity, stream)
        return await last_metadata(self.log, key, stream=of_stream, after=after)

    async def last_metadata_by(
        self, key: str, *, by: str, among: Collection[str] | None = None, after: int = 0
    ) -> dict[str, LastMetadata]:
        """Return the last value of a key of the metadata for each value of another key, such as a strategy or a feed.

        As `last_metadata`. It ends when each value of `among` is found. Without `among` it reads the metadata of the whole
        log, about a second for a million events: give `among`, or `after`.

        Example:
            rows = await store.last_metadata_by("row", by="strategy", among=["trend", "reversion"])

        Args:
            key: The key.
            by: The other key, whose values are compared as text.
            among: The values of the other key to look for; None for all.
            after: Only events after this position.

        Returns:
            By the value of the other key. A value that no event has is missing.

        Raises:
            LimitError: `after` is not a position.
            ConfigurationError: `among` is a text; a key or a value is not a text, or contains NUL; the server is a standby.
            ConnectionError, TimeoutError: Safe to retry.
        """
        return await last_metadata_by(self.log, key, by=by, among=among, after=after)

    def as_of(
        self,
        *,
        position: int | None = None,
        recorded_at: datetime | None = None,
        occurred_at: datetime | None = None,
    ) -> Opening[Past]:
        """Open read-only repositories as of one point in time for a block; pass exactly one argument.

        All queries of the block see that point in time, whatever is written meanwhile. The block begins when
        everything up to the point in time is final; it holds no transaction open. A future time is treated as
        now. A naive time is local time.

        Args:
            position: Right after this position; 0 is before every event.
            recorded_at: What was known: the events of each stream that were recorded up to this time,
                inclusive, by the database's clock.
            occurred_at: What was true, as it is known now: the events that occurred up to this time,
                inclusive, by the domain's clock and in its order, so late reports count at their own time.

        Raises:
            ConfigurationError: Not exactly one argument is given, or the position is not valid or is beyond
                the end of the log.
            ConnectionError, TimeoutError: Safe to retry.
        """
        return as_of(
            self.log,
            READ_TABLES,
            position=position,
            recorded_at=recorded_at,
            occurred_at=occurred_at,
            versions=self._versions,
        )

    def replay(
        self,
        *,
        categories: Collection[str] | None = None,
        types: Collection[str | type[Event]] | None = None,
        streams: Collection[UUID | Entity] | None = None,
        after: Bound = 0,
        through: Bound | None = None,
        page_events_max: int = PAGE_EVENTS_MAX,
        on_progress: OnProgress | None = None,
        on_unreadable: OnUnreadable = "raise",
    ) -> Replay:
        """Return a replay of events in order, in constant memory: iterate over it, or over its `pages()`.

        Args:
            categories: Only these categories; None for all.
            types: Only these types, each a name or an event class, after upcasting; None for all.
            streams: Only these streams, each by its id or its entity; None for all.
            after: Begin after this position, exclusive; or after this point in time, exclusive, by `recorded_at`.
            through: End with this position, inclusive; or with this point in time, inclusive, by
                `recorded_at`; None for the last event that exists when the iteration begins. A naive
                datetime means local time.
            page_events_max: The maximum number of events that one statement reads; at least 1.
            on_progress: Receives the progress after each page.
            on_unreadable: What to do with an event that cannot be read, after the events before it were
                yielded: stop with its error (`raise`), leave it out with a warning (`skip`), or call a
                function with the `UnreadableEvent`. The function may raise; if it returns, the replay goes on.

        Raises:
            ConfigurationError: A bound is negative or of another type, the size of a page is not positive, or
                `on_unreadable` is not one of these.
        """
        return Replay(
            self.log,
            categories=categories,
            types=types,
            streams=None if streams is None else [as_id(Entity, one) for one in streams],
            after=after,
            through=through,
            page_events_max=page_events_max,
            on_progress=on_progress,
            on_unreadable=on_unreadable,
        )

    async def events_frame(
        self,
        types: str | type[Event] | Collection[str | type[Event]],
        *,
        columns: Collection[str] | None = None,
        after: Bound = 0,
        through: Bound | None = None,
        decimal_scale: int | None = None,
    ) -> Any:
        """Return the events of some types as a `pyarrow.Table`, with a typed column for each field. Extra: `frames`.

        The columns of the envelope come first: `position`, `stream_id`, `version`, `type`, `occurred_at`, `recorded_at` and
        `metadata`. Then come the fields, named as in the classes; a field with the name of one of these is `data_NAME`.
        Decimals are exact, times in microseconds and UTC; ids, enums and texts are text; all other fields are JSON as text.
        Old events are upcast. Only final events are read; the schema's metadata has `eventstore.position`, the position
        through which they were.

        A decimal column is a decimal128 with 18 digits after the point, or with as many digits as its values need, as a
        decimal256 if they are more than 38.

        The time grows with the number of events between `after` and `through`, whatever their type. Memory is that of the
        columns of the result, and some 150 to 300 MB while it is read. `events_batches` needs only some 150 MB.

        Args:
            types: The types, each an event class or a name, or one of them; a class stands for those derived from it, too.
            columns: Only these columns, in this order: fewer are faster; None for all.
            after: As for `replay`.
            through: As for `replay`.
            decimal_scale: The digits after the point of each decimal column, as a decimal128.

        Raises:
            ConfigurationError: pyarrow is not installed; a type or a column is unknown; a field is of different types in two
                classes; a value does not fit its column, which is named; or a bound is negative.
            LimitError: `decimal_scale` is not from 0 to 38.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        from eventstore.export.event_frames import events_frame  # noqa: PLC0415 - most programs need no frame

        return await events_frame(
            self.log, types, columns=columns, after=after, through=through, decimal_scale=decimal_scale
        )

    def events_batches(
        self,
        types: str | type[Event] | Collection[str | type[Event]],
        *,
        columns: Collection[str] | None = None,
        after: Bound = 0,
        through: Bound | None = None,
        decimal_scale: int = 18,
    ) -> AsyncGenerator[Any]:
        """Yield the events of some types as `pyarrow.RecordBatch`es of one schema, in constant memory.

        As `events_frame`, for logs of any length: a batch has some tens of thousands of events. Close the iterator if you
        leave it early (`contextlib.aclosing`).

        Args:
            types: As for `events_frame`.
            columns: As for `events_frame`.
            after: As for `replay`.
            through: As for `replay`.
            decimal_scale: The digits after the point of each decimal column; a value that needs more is an error.

        Raises:
            EventStoreError: As for `events_frame`, when it is iterated over.
        """
        from eventstore.export.event_frames import events_batches  # noqa: PLC0415 - most programs need no frame

        return events_batches(
            self.log, types, columns=columns, after=after, through=through, decimal_scale=decimal_scale
        )

    async def rebuild_state(
        self,
        entity_class: type[E],
        *,
        ids: Collection[UUID | E] | None = None,
        where: Where[E] | None = None,
        through: Bound | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[UUID, E]:
        """Fold the streams of many entities in one pass over the log, without the read tables.

        During the pass it holds all entities of the category in memory, or only those of `ids`. At the end
        it keeps those that match `where`.

        Args:
            entity_class: The class, such as `Order`.
            ids: Only these, each by its id or as an entity; None for all. An id without events or of another
                category is left out.
            where: Only entities for which a predicate is true, `where=lambda order: order.is_active`, or
                whose fields and properties have these values, `where={"symbol": "ESU3"}`; None for all.
            through: The state at this position, or recorded up to this point in time; None for now.
            on_progress: Receives the progress.

        Returns:
            The entities by id, each with the version of its stream, ready to be changed and saved. Deleted
            entities are left out.

        Raises:
            ConfigurationError: The class has no category, `where` names an unknown field, or a bound is negative.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await rebuild_state(
            self.log,
            entity_class,
            ids=None if ids is None else [as_id(entity_class, one) for one in ids],
            where=where,
            through=through,
            on_progress=on_progress,
        )

    def replay_states(
        self,
        entity_class: type[E],
        *,
        states: dict[UUID, E] | None = None,
        ids: Collection[UUID | E] | None = None,
        through: Bound | None = None,
        on_progress: OnProgress | None = None,
    ) -> AsyncGenerator[dict[UUID, E | None]]:
        """Fold the streams of a category page by page, the fastest way from the log to entities.

        After each page it yields the entities that had events in the page, as they are after it. Nothing but the states
        and two pages is in memory.

        Example:
            orders: dict[UUID, Order] = {}
            async for changed in store.replay_states(Order, states=orders):
                for order in changed.values():
                    if order is not None and not order.is_active:
                        del orders[order.id]

        Args:
            entity_class: The class, such as `Order`.
            states: Where the states are kept, by id; empty at first. A state that you take out is let go: then no later
                event of its stream may come. None if you need only what is yielded.
            ids: Only these, each by its id or as an entity; None for all.
            through: End with this position, inclusive, or with this point in time, by `recorded_at`; None for now.
            on_progress: Receives the progress after each page.

        Yields:
            The entities that changed, by id; None in the place of one that was deleted. The next page changes them again.

        Raises:
            ConfigurationError: The class has no category, or a bound is negative.
            ConnectionError, TimeoutError: Begin anew, with empty states.
            UnknownEventTypeError, EventDecodingError: The code does not know an event, or the state of its stream was taken
                out.
        """
        return replay_states(
            self.log,
            entity_class,
            states=states,
            ids=None if ids is None else [as_id(entity_class, one) for one in ids],
            through=through,
            on_progress=on_progress,
        )

    @overload
    async def history(self, entity: UUID) -> list[RecordedEvent]: ...
    @overload
    async def history(
        self, entity: type[E], id: UUID, *, order: HistoryOrder = "version"
    ) -> list[HistoryEntry[E]]: ...
    @overload
    async def history(self, entity: E, *, order: HistoryOrder = "version") -> list[HistoryEntry[E]]: ...
    async def history(
        self, entity: UUID | E | type[E], id: UUID | None = None, *, order: HistoryOrder = "version"
    ) -> list[Any]:
        """Return the history of one entity, in order; empty if it has no events.

        Args:
            entity: The entity or its class; or only an id, for the events alone.
            id: The id, required if `entity` is a class.
            order: `version`, the order in which the events were recorded, which is that of every other read; or
                `occurred_at`, the order in which they happened. The states of the two may differ, because what a
                fill realises depends on the fills before it.

        Returns:
            Each event with what it changed and the state after it, all in memory; for only an id, its events.

        Raises:
            ConfigurationError: The class is given without an id, or the id is of another category.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        if isinstance(entity, UUID):
            return History(await self.log.read_stream(entity))
        return await history(self.log, *class_and_id(entity, id), order=order)

    async def diff(
        self, entity: E | type[E], a: int | datetime, b: int | datetime, *, id: UUID | None = None
    ) -> Changes:
        """Return the fields of an entity that differ between two of its states.

        Args:
            entity: The entity, or its class.
            a: The first state: a version, 0 for before the entity existed; or a point in time, by `recorded_at`.
            b: The second state, given like `a`; it may be the earlier one.
            id: The id, required if `entity` is a class.

        Raises:
            ConfigurationError: The class is given without an id, the id is of another category, or the version
                does not exist.
            EntityNotFoundError: No event has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await diff(self.log, *class_and_id(entity, id), a, b)

    async def equity_curve(
        self,
        portfolio: Portfolio | UUID,
        *,
        clock: Clock = "occurred_at",
        after: datetime | None = None,
        through: Bound | None = None,
        rates: Mapping[str, Decimal] | None = None,
        base: str | None = None,
    ) -> EquityCurve:
        """Return the equity of a portfolio over time, from its events and those of its positions.

        At each point in time it is `PortfolioTotals.equity`: initial capital + net deposits + realised +
        unrealised results + income - commissions. Deleted positions are included. A position that was never marked
        is valued at its entry prices.

        Args:
            portfolio: The portfolio or its id.
            clock: `occurred_at`, when events happened (a fill that was reported late counts at its own time), or
                `recorded_at`, when they became known.
            after: Only points after this point in time; None for all from the beginning.
            through: Only the log up to this position, or recorded up to this point in time; None for all.
            rates: How much of `base` one unit of each other currency is worth (`EUR`), or what one currency is worth in
                another (`EUR/USD`), over all of the curve; pairs are crossed. None if all is in one currency.
            base: The currency of the curve; None for the portfolio's.

        Raises:
            DomainError: `money.rate`: a rate is no decimal or below 0, or an amount is of another currency that no rates
                lead from.
            ConfigurationError: The clock is neither of the two, or a bound is negative.
            RepositoryError: It is an entity of another class, or not an id.
            PortfolioNotFoundError: No portfolio has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        portfolio_id: UUID = as_id(Portfolio, portfolio)
        return await equity_curve(
            self.log, portfolio_id, clock=clock, after=after, through=through, rates=rates, base=base
        )

    async def lots(
        self,
        position: Position | UUID,
        *,
        method: LotMethod = LotMethod.FIFO,
        chosen: Chosen | None = None,
        through: Bound | None = None,
    ) -> Lots:
        """Return the lots of a position: what is open, what was closed, and what that realised.

        They are folded from the executions in the log, so they are right without workers. Executions count in the order in
        which they occurred, whatever was reported late; a bust takes its execution out of the fold.

        Args:
            position: The position or its id; a deleted one still has its history.
            method: Which open lot a trade closes first.
            chosen: With `LotMethod.BY_ID`, for the id of a closing execution the ids of the executions that opened the
                lots that it closes, in order. What they leave is closed as FIFO; a match says whether it was chosen.
            through: Only the log up to this position, or recorded up to this point in time; None for all.

        Raises:
            DomainError: `lots.method` (unknown, or lots are chosen for another one than BY_ID); `lots.chosen` (the
                position has no execution of this id).
            ConfigurationError: A bound is negative.
            RepositoryError: It is an entity of another class, or not an id.
            PositionNotFoundError: No position has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        position_id: UUID = as_id(Position, position)
        return await lots(self.log, position_id, method=method, chosen=chosen, through=through)

    async def tax_lots(
        self,
        portfolio: Portfolio | UUID,
        *,
        method: LotMethod = LotMethod.FIFO,
        year: int | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        chosen: Chosen | None = None,
        through: Bound | None = None,
    ) -> TaxLotReport:
        """Return what a portfolio closed in a time, lot by lot, with the sums by currency.

        It has the closes of all positions of the portfolio, closed and deleted ones too. All executions of these positions are
        in memory at once.

        Args:
            portfolio: The portfolio or its id.
            method: Which open lot a trade closes first.
            year: Only closes in this calendar year, in UTC; for a year of another time zone give `start` and `end`.
            start: Only closes at this time or later; a naive time is local time.
            end: Only closes before this time.
            chosen: As for `lots`.
            through: As for `lots`.

        Raises:
            DomainError: As for `lots`.
            ConfigurationError: Both a year and a range are given, the year is no year, the range ends before it starts, or a
                bound is negative.
            RepositoryError: It is an entity of another class, or not an id.
            PortfolioNotFoundError: No portfolio has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        portfolio_id: UUID = as_id(Portfolio, portfolio)
        return await tax_lots(
            self.log,
            portfolio_id,
            method=method,
            year=year,
            start=start,
            end=end,
            chosen=chosen,
            through=through,
        )

    async def reconcile(self, statement: Statement, *, tolerance: Decimal = Decimal(0)) -> Reconciliation:
        """Compare a broker's statement with the store as of its time, by `occurred_at`. Nothing is changed.

        Quantities and the prices of executions must be equal. Cash, costs, commissions and average prices agree if they do to
        the last digit that the statement shows, and in any case to half a cent. Positions of one symbol are netted. To
        compare executions, it reads every event of an execution in the log once.

        Args:
            statement: The statement; a part that is not on it is not compared.
            tolerance: How much more cash and the cost of a position may differ.

        Returns:
            What agrees, what is missing on which side, what differs, and what would make the store agree.

        Raises:
            ConfigurationError: It is no statement, or the tolerance is below 0.
            DomainError: `statement.tolerance`: it is no decimal.
            PortfolioNotFoundError: The portfolio did not exist at that time.
            ConnectionError, TimeoutError: Safe to retry.
            QuarantinedKeysError, ProjectionLagError: As for every list.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        if not isinstance(statement, Statement):
            raise ConfigurationError(f"reconcile takes a Statement, not {type(statement).__name__}")
        checked = checked_tolerance(tolerance)
        with self.log.server.steady():  # all that is compared is of one server
            async with self.as_of(occurred_at=statement.as_of) as past:
                return await reconcile(self.log, past, statement, tolerance=checked)

    async def require_migrated(self, *, again: bool = True, workers: bool = False) -> None:
        """Check that the schema is up to date, every precondition holds, and no restore has lost events.

        Args:
            again: Whether to check again if this store has passed the check before.
            workers: Whether workers will run, which have more preconditions than readers.

        Raises:
            NotMigratedError: The schema is not up to date.
            PreconditionError: A precondition does not hold: the message has the statement that repairs it.
            RestoredLogError: Positions would be assigned again, or a read table has events that the log lost. The
                message says what to do.
            ConnectionError: The database cannot be reached.
        """
        checked = self._checked.value
        if checked and not again:
            return
        await MigrationManager(PostgreSQLAdapter(self.connection)).ensure_current()
        levels = [Level.MIGRATE, Level.OPEN]
        if workers or self.connection.config.target_session_attrs == "primary":
            levels.append(Level.PRIMARY)
        if workers:
            levels.append(Level.WORKERS)
        tables = [one.table.name for one in self._workers.projections]
        async with reading(self.connection) as connection:
            for named in await require_preconditions(connection, tables, levels=levels):
                _logger.info("%s: %s", named.what, named.repair)
        await require_whole(self.log)
        checked.append(True)

    # ---- workers ---------------------------------------------------------------------------------------------

    async def start_workers(self) -> None:
        """Start tasks of this process that keep the read tables up to date; calling it twice is safe.

        Raises:
            NotMigratedError: The tables are missing or not up to date.
            PreconditionError, RestoredLogError: As for `require_migrated`.
            ConnectionError: The database cannot be reached.
        """
        if self._tasks:
            return
        may_work = await self._may_work()
        await self.require_migrated(workers=may_work)
        if may_work and not (self._is_closing or self.connection.is_closed):
            self._workers.start()

    async def _may_work(self) -> bool:
        tables = ["projection_checkpoints", *(one.table.name for one in self._workers.projections)]
        if not self._has_warned:
            async with reading(self.connection) as connection:
                if await connection.fetchval(load("database/may_write", connection), tables):
                    return True
            self._has_warned = True
            _logger.warning(
                "the role %s may not write the read tables, so no worker runs in this process: pass workers=False here, "
                "and run `eventstore work` as a role that `eventstore grant --projector` names",
                self.connection.config.user,
            )
        return False

    def start_workers_soon(self) -> None:
        """As `start_workers`, from synchronous code; it starts no worker if the database is not migrated.

        If the server could not be reached, the next call tries again.
        """
        may_start = self._starting is None or _was_in_vain(self._starting)
        if may_start and not (self._tasks or self._is_closing):
            self._starting = started(self.start_workers(), name="eventstore start of the workers")

    async def stop_workers(self) -> None:
        """End the tasks that keep the read tables up to date; their unfinished batches are rolled back."""
        starting, self._starting = self._starting, None
        if starting is not None:
            await end(starting)
        await self._workers.stop()

    async def _end_workers(self) -> None:
        """Stop the workers for good: a Unit of Work that begins while the connection is being closed starts none."""
        self._is_closing = True
        await self.stop_workers()

    async def wait_for(
        self,
        position: int,
        *,
        projections: Sequence[str | Projection[Any]] | None = None,
        timeout_s: float = _WAIT_TIMEOUT_S,
    ) -> None:
        """Wait until the read tables themselves have every event up to a position.

        Reads of the repositories need no waiting; use this if you query the tables directly. Any process may
        fold the events. It does not wait for the rows of keys in quarantine.

        Args:
            position: The position, such as a Unit of Work's `last_position`.
            projections: The projections to wait for, or their names, also your own; None for all built-in
                projections.
            timeout_s: The longest time to wait, in seconds.

        Raises:
            ConfigurationError: No worker has ever folded a projection with one of the names.
            TimeoutError: The time limit was exceeded.
            ProjectionError: The worker of a projection has ended with an error, which is its cause.
            ConnectionError: The database cannot be reached. Safe to retry.
        """
        names = [
            one if isinstance(one, str) else one.name
            for one in (self._workers.projections if projections is None else projections)
        ]
        await wait_for(self.log, position, names, known=self._versions, timeout_s=timeout_s)


def built_in_projections() -> Iterable[Projection[Any]]:
    """Return new instances of the projections of the library's read tables."""
    return (
        OrdersProjection(),
        PositionsProjection(),
        PortfoliosProjection(),
        PortfolioSnapshotsProjection(),
        InstrumentsProjection(),
    )


def projection_of_table(name: str) -> Projection[Any] | None:
    """Return the projection that keeps a table: a built-in one, or a user's whose class is loaded.

    Args:
        name: The name of the table, or of the projection.

    Returns:
        The projection; None if no class in this process keeps the table.

    Raises:
        ConfigurationError: Several classes keep it, or the class needs constructor arguments.
    """
    for one in built_in_projections():
        if name in (one.table.name, one.name):
            return one
    found = [
        kind
        for kind in dict.fromkeys(_subclasses(Projection))
        if "table" in vars(kind) and isinstance(kind.table, Table) and kind.table.name == name
    ]
    if not found:
        return None
    if len(found) > 1:
        paths = " and ".join(sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in found))
        raise ConfigurationError(f"several projections have the table {name}, {paths}: pass one of them")
    try:
        made: Projection[Any] = found[0]()
    except TypeError as error:
        raise ConfigurationError(
            f"the projection {found[0].__qualname__} of the table {name} takes arguments: pass the projection itself"
        ) from error
    return made


async def fresh_corrections(
    log: EventLog, projection: Projection[Any], connection: Connection
) -> Corrections:
    """Return the corrections that make the rows of a projection's table fresh, as `FreshRows.corrections`."""
    return await FreshRows(log, projection).corrections(connection)


def _was_in_vain(task: asyncio.Task[None]) -> bool:
    """Whether a task has failed for a reason that may pass."""
    error = task.exception() if task.done() and not task.cancelled() else None
    return isinstance(error, EventStoreError) and error.is_transient


def _subclasses(parent: Any) -> Iterator[Any]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
