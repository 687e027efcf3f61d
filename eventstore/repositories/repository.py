"""What all repositories have in common, and the repository of a user's own entities."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.core.entity import Entity, require_storable
from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.errors import ConfigurationError, EntityNotFoundError, RepositoryError
from eventstore.repositories.adapter_session import source_of
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query
from eventstore.repositories.session import Consistency, SessionSource

E = TypeVar("E", bound=Entity)


class Repository(Generic[E]):
    """Saves, loads and lists entities of one class.

    Args:
        source: A Unit of Work, whose commit appends what is staged; or an adapter, on which each call appends its
            events at once, or in the adapter's open transaction.
    """

    _kind: type[E]
    _not_found: type[EntityNotFoundError] = EntityNotFoundError

    def __init__(self, source: SessionSource | PostgreSQLAdapter) -> None:
        self._source = source_of(source)

    async def _save(self, entity: E) -> E:
        if type(entity) is not self._kind:
            check_kind(self._kind, entity)
        async with self._source.writing() as session:
            return await session.save(entity)

    async def _save_many(self, entities: Iterable[E]) -> list[E]:
        async with self._source.writing() as session:
            saved = list(entities)
            for entity in saved:
                check_kind(self._kind, entity)
            with session.all_or_none():
                return [await session.save(entity) for entity in saved]

    async def _update(self, entity: E) -> E:
        check_kind(self._kind, entity)
        async with self._source.writing() as session:
            return await session.update(
                entity, lambda entity_id: self._not_found(entity_id, category=self._kind.category)
            )

    async def _delete(self, entity: UUID | E) -> bool:
        async with self._source.writing() as session:
            return await session.delete(self._kind, entity)

    async def _get(self, entity: UUID | E) -> E | None:
        return await self._source.reading().get(self._kind, entity)

    async def _find(
        self,
        query: Query[E],
        *,
        after: E | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[E]:
        return await self._source.reading().find(
            self._kind, query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def _first(self, query: Query[E]) -> E | None:
        found = await self._find(query, limit=1)
        return found[0] if found else None


class EntityRepository(Repository[E]):
    """Saves and loads entities of a user's own class. `uow.entities(Strategy)` returns one.

    A class without a read table is folded from its stream at each `get`.
    """

    def __init__(self, kind: type[E], source: SessionSource | PostgreSQLAdapter) -> None:
        super().__init__(source)
        self._kind = kind

    async def save(self, entity: E) -> E:
        """Stage the new events of an entity, and return it.

        Raises:
            RepositoryError: It is an entity of another class.
            EntityDeletedError: Its id was deleted.
            EventStoreError: It had to be looked up, and the lookup failed.
        """
        return await self._save(entity)

    async def get(self, entity_id: UUID | E) -> E | None:
        """Return an entity, up to date; None if it does not exist.

        Raises:
            RepositoryError: The argument is neither an id nor an entity of this class.
            ConcurrencyError: It has unsaved changes, and another writer has changed its stream.
            EventStoreError: It could not be read.
        """
        return await self._get(entity_id)

    async def update(self, entity: E) -> E:
        """Stage the changes of an entity that was saved before, and return it.

        Raises:
            RepositoryError: It is an entity of another class.
            EntityNotFoundError: No entity has its id.
            EventStoreError: It had to be looked up, and the lookup failed.
        """
        return await self._update(entity)

    async def delete(self, entity_id: UUID | E) -> bool:
        """Stage the tombstone of an entity, and return whether the entity existed.

        Raises:
            RepositoryError: The argument is neither an id nor an entity of this class.
            EventStoreError: It could not be read.
        """
        return await self._delete(entity_id)


def check_kind(kind: type[Entity], entity: object) -> None:
    """Refuse to save an entity in the repository of another class.

    Raises:
        ConfigurationError: It is of a subclass with a field that is in no event.
        RepositoryError: It is not an entity of the class, or is of a subclass that has its own streams.
    """
    if not isinstance(entity, kind):
        raise RepositoryError(
            f"this repository keeps {kind.__name__} entities, not {type(entity).__name__}: "
            "use the repository of its class"
        )
    if type(entity) is not kind:
        require_storable(type(entity))
        if type(entity).created_event is not kind.created_event:
            raise RepositoryError(
                f"this repository keeps {kind.__name__} entities, but {type(entity).__name__} has its own streams: "
                f"save it with uow.entities({type(entity).__name__})"
            )


def time_range(start_date: datetime, end_date: datetime) -> tuple[datetime, datetime]:
    """Return both ends as aware times; a naive datetime means local time.

    Raises:
        ConfigurationError: An end is not a datetime, or the range ends before it starts.
    """
    start, end = bound_in_utc(start_date), bound_in_utc(end_date)
    if end < start:
        raise ConfigurationError(f"the range ends at {end}, before it starts at {start}: swap the two")
    return start, end
