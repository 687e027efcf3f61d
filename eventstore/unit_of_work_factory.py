"""The factory of Units of Work: `PostgreSQLUnitOfWorkFactory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from eventstore.database.config import DatabaseConfig, UnsavedChanges
from eventstore.database.connection import ConnectionFactory, DatabaseConnection, require_connection
from eventstore.errors import FactoryError
from eventstore.log.records import NO_METADATA
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore


class PostgreSQLUnitOfWorkFactory:
    """Creates Units of Work on one connection.

    Args:
        connection: The connection; None for the oldest open one of the running event loop. If there is
            none, `create_unit_of_work_async` opens one from the environment.
        workers: Whether this process keeps the read tables up to date, by tasks that start with the first
            Unit of Work and end with `connection.close()`. Pass False if `eventstore work` does it.
        unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save` saves
            them; None for the setting of the connection's configuration.

    Raises:
        ConfigurationError: `connection` is an address of a database instead of a connection.
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
        """Create a Unit of Work, after a check of the schema.

        Args:
            metadata: The metadata of each of its events: any JSON-compatible value.
            correlation_id: The id of the command that caused its events; stored in the metadata, as the
                next two.
            causation_id: The id of the event, or of the command, that caused its events.
            actor: The person or program that acts.
            unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save`
                saves them; None for the setting of the factory.

        Raises:
            FactoryError: The connection is closed.
            ConfigurationError: The environment does not name a database.
            ConnectionError: The database cannot be reached. Safe to retry.
            NotMigratedError: The tables are missing or not up to date.
        """
        connection = self._known_connection()
        if connection is None:
            connection = await ConnectionFactory.create_connection(DatabaseConfig.from_env())
        store = EventStore.of(connection)
        if self._workers:
            await store.start_workers()
        else:
            await store.require_migrated(again=False)
        return store.unit_of_work(
            metadata=metadata,
            correlation_id=correlation_id,
            causation_id=causation_id,
            actor=actor,
            unsaved=self._unsaved if unsaved is None else unsaved,
        )

    def create_unit_of_work(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> PostgreSQLUnitOfWork:
        """Create a Unit of Work without a query; errors of the database appear at its first read.

        Args:
            metadata: The metadata of each of its events: any JSON-compatible value.
            correlation_id: The id of the command that caused its events; stored in the metadata, as the
                next two.
            causation_id: The id of the event, or of the command, that caused its events.
            actor: The person or program that acts.
            unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save`
                saves them; None for the setting of the factory.

        Raises:
            FactoryError: There is no open connection in the running event loop.
        """
        connection = self._known_connection()
        if connection is None:
            raise FactoryError(
                "there is no open connection in this event loop: await ConnectionFactory.create_connection(config) "
                "first, or use create_unit_of_work_async(), which opens one from the environment"
            )
        store = EventStore.of(connection)
        if self._workers:
            store.start_workers_soon()
        return store.unit_of_work(
            metadata=metadata,
            correlation_id=correlation_id,
            causation_id=causation_id,
            actor=actor,
            unsaved=self._unsaved if unsaved is None else unsaved,
        )

    def _known_connection(self) -> DatabaseConnection | None:
        connection = self._connection
        if connection is None:
            return ConnectionFactory.default()
        if connection.is_closed:
            raise FactoryError(
                "the connection of this factory was closed: create a factory with an open connection"
            )
        return connection
