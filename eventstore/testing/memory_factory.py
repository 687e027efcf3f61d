"""Units of Work in memory: `InMemoryUnitOfWorkFactory`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from eventstore.core.causation import metadata_of
from eventstore.database.config import UnsavedChanges
from eventstore.log.records import NO_METADATA
from eventstore.opening import Opening
from eventstore.replay.as_of import Past
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.testing.memory import InMemoryDatabase
from eventstore.testing.memory_past import memory_as_of


class InMemoryUnitOfWorkFactory:
    """Creates Units of Work in memory: an `IUnitOfWorkFactory` for tests.

    Args:
        database: The database that they share; None for a new, empty one.
        unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save` saves
            them.
    """

    def __init__(
        self, database: InMemoryDatabase | None = None, *, unsaved: UnsavedChanges = "error"
    ) -> None:
        self._unsaved: UnsavedChanges = unsaved
        self.database = InMemoryDatabase() if database is None else database

    async def create_unit_of_work_async(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> PostgreSQLUnitOfWork:
        """Create a Unit of Work.

        Args:
            metadata: The metadata of each of its events: any JSON-compatible value.
            correlation_id: The id of the command that caused its events; stored in the metadata, as the
                next two.
            causation_id: The id of the event, or of the command, that caused its events.
            actor: The person or program that acts.
            unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save`
                saves them; None for the setting of the factory.
        """
        return self.create_unit_of_work(
            metadata=metadata,
            correlation_id=correlation_id,
            causation_id=causation_id,
            actor=actor,
            unsaved=unsaved,
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
        """As `create_unit_of_work_async`, without waiting."""
        named = metadata_of(metadata, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
        return PostgreSQLUnitOfWork(
            self.database, metadata=named, unsaved=self._unsaved if unsaved is None else unsaved
        )

    def as_of(
        self,
        *,
        position: int | None = None,
        recorded_at: datetime | None = None,
        occurred_at: datetime | None = None,
    ) -> Opening[Past]:
        """Open read-only repositories as of one point in time for a block, as `EventStore.as_of` does.

        Args:
            position: Right after this position; 0 is before every event.
            recorded_at: What was known at this time, inclusive, by the clock of the database.
            occurred_at: What was true at this time, inclusive, as it is known now, by the domain's clock.

        Raises:
            ConfigurationError: Not exactly one argument is given, or the position is not valid or is beyond
                the end of the log.
        """
        return memory_as_of(
            self.database, position=position, recorded_at=recorded_at, occurred_at=occurred_at
        )
