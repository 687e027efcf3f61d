"""Making Units of Work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from eventstore.core.causation import metadata_of
from eventstore.database.config import DatabaseConfig, UnsavedChanges
from eventstore.database.connection import ConnectionFactory, DatabaseConnection, require_connection
from eventstore.errors import FactoryError
from eventstore.log.records import NO_METADATA
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore


class PostgreSQLUnitOfWorkFactory:
    """Makes Units of Work on one connection.

    Args:
        connection: The connection; None: the oldest open one of the running event loop, and where there is none,
            `create_unit_of_work_async` opens one from the environment.
        workers: Whether this process keeps the read tables up to date, by tasks that start with the first Unit of
            Work and end with `connection.close()`. False where `eventstore work` runs elsewhere.
        unsaved: What a commit does with changes of an entity that were not saved after them: `error` refuses the commit,
            `save` saves them; None: as the connection's configuration says.

    Raises:
        ConfigurationError: `connection` is the address of a database, and no connection to it.
    """

    def __init__(
        self,
        connection: DatabaseConnection | None = None,
        *,
        workers: bool = True,
        unsaved: UnsavedChanges | None = None,
    ) -> None:
        require_connection(connection, "a PostgreSQLUnitOfWorkFactory")
        self._connection = connection
        self._workers = workers
        self._unsaved = unsaved

    async def create_unit_of_work_async(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> PostgreSQLUnitOfWork:
        """Make a Unit of Work, after a look at the schema.

        Args:
            metadata: Kept with each of its events: anything that JSON can hold.
            correlation_id: The command that its events come from; kept in the metadata, as the next two.
            causation_id: The id of the event, or of the command, that made them happen.
            actor: Who acts.
            unsaved: What a commit does with changes of an entity that were not saved after them: `error` refuses the
                commit, `save` saves them; None: as the factory says.

        Raises:
            FactoryError: The connection is closed.
            ConfigurationError: The environment does not say where the database is.
            ConnectionError: The database cannot be reached. Safe to retry.
            NotMigratedError: Its tables are missing or not the newest.
        """
        connection = self._known_connection()
        if connection is None:
            connection = await ConnectionFactory.create_connection(DatabaseConfig.from_env())
        store = self._store(connection)
        if self._workers:
            await store.start_workers()
        else:
            await store.require_migrated(again=False)
        named = metadata_of(metadata, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
        return store.unit_of_work(metadata=named, unsaved=self._unsaved if unsaved is None else unsaved)

    def create_unit_of_work(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> PostgreSQLUnitOfWork:
        """Make a Unit of Work without asking the database anything; what is wrong shows at its first read.

        Args:
            metadata: Kept with each of its events: anything that JSON can hold.
            correlation_id: The command that its events come from; kept in the metadata, as the next two.
            causation_id: The id of the event, or of the command, that made them happen.
            actor: Who acts.
            unsaved: What a commit does with changes of an entity that were not saved after them: `error` refuses the
                commit, `save` saves them; None: as the factory says.

        Raises:
            FactoryError: There is no open connection in the running event loop.
        """
        connection = self._known_connection()
        if connection is None:
            raise FactoryError(
                "there is no open connection in this event loop: await ConnectionFactory.create_connection(config) "
                "first, or use create_unit_of_work_async(), which opens one from the environment"
            )
        store = self._store(connection)
        if self._workers:
            store.start_workers_soon()
        named = metadata_of(metadata, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
        return store.unit_of_work(metadata=named, unsaved=self._unsaved if unsaved is None else unsaved)

    def _known_connection(self) -> DatabaseConnection | None:
        connection = self._connection
        if connection is None:
            return ConnectionFactory.default()
        if connection.is_closed:
            raise FactoryError("the connection of this factory was closed: make a factory with an open one")
        return connection

    @staticmethod
    def _store(connection: DatabaseConnection) -> EventStore:
        return EventStore.of(connection)
