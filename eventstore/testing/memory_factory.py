"""Making Units of Work in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.log.records import NO_METADATA
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.testing.memory import InMemoryDatabase

__all__ = ["InMemoryUnitOfWorkFactory"]


class InMemoryUnitOfWorkFactory:
    """Makes Units of Work in memory: an `IUnitOfWorkFactory` for tests.

    Args:
        database: What they share; None: a new, empty one.
    """

    def __init__(self, database: InMemoryDatabase | None = None) -> None:
        self.database = InMemoryDatabase() if database is None else database

    async def create_unit_of_work_async(
        self, *, metadata: Mapping[str, Any] = NO_METADATA
    ) -> PostgreSQLUnitOfWork:
        """Make a Unit of Work.

        Args:
            metadata: Kept with each of its events: correlation id, causation id, actor ...
        """
        return self.create_unit_of_work(metadata=metadata)

    def create_unit_of_work(self, *, metadata: Mapping[str, Any] = NO_METADATA) -> PostgreSQLUnitOfWork:
        """As `create_unit_of_work_async`: there is nothing to wait for."""
        return PostgreSQLUnitOfWork(self.database, metadata=metadata)
