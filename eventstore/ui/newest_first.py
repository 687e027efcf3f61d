"""Lists of the read tables for people: in either direction of time, by any of their filters at once.

The most selective filter that is given has an index, in which a page is found at once among any number of rows. The other filters
are tried on the rows that it returns, up to a number of rows; then the page says how far it has looked, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ProjectionLagError
from eventstore.log.event_log import EventLog
from eventstore.repositories.query import Query
from eventstore.repositories.read_tables import LISTS
from eventstore.repositories.session import Session
from eventstore.repositories.storage import PostgreSQLStorage, ReadTable

E = TypeVar("E", bound=Entity)

_LOOKED_AT_MAX = 2_000
_BATCH = 200
_NEWEST = "newest/"
_BOTH = {
    **LISTS,
    **{f"{_NEWEST}{name}": replace(one, is_descending=not one.is_descending) for name, one in LISTS.items()},
}
_TABLES: Mapping[type[Entity], ReadTable[Any]] = {
    Order: ReadTable(Order, projection="orders", lists=_BOTH),
    Position: ReadTable(Position, projection="positions", lists=_BOTH),
    Portfolio: ReadTable(Portfolio, projection="portfolios", lists=_BOTH),
}


@dataclass(frozen=True, slots=True)
class Filter(Generic[E]):
    """A condition on the entities of a list.

    Attributes:
        statement: The list that has it, ascending, with an index; None if no list has it.
        arguments: The arguments of the list.
        matches: Whether an entity fulfils it.
    """

    statement: str | None
    arguments: tuple[Any, ...]
    matches: Callable[[E], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after the entity with this time and id."""

    at: datetime
    id: UUID

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that an address names.

        Raises:
            ValueError: The text names none.
        """
        at, _, id = text.rpartition("_")
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            raise ValueError(text)
        return cls(found, UUID(id))

    def __str__(self) -> str:
        return f"{self.at.isoformat().replace('+00:00', 'Z')}_{self.id}"


@dataclass(frozen=True, slots=True)
class Listed(Generic[E]):
    """A page.

    Attributes:
        entities: The entities.
        next: Where the next page begins; None at the end.
        is_fresh: Whether it has every event that was committed before; False if the read table lags too far behind.
        last_good_ids: The entities with an event that cannot be folded.
        is_full: Whether the page has as many entities as it may have; otherwise the search has only come so far.
    """

    entities: Sequence[E]
    next: Place | None
    is_fresh: bool
    last_good_ids: frozenset[UUID]
    is_full: bool


@dataclass(frozen=True, slots=True)
class _PageQuery(Query[E]):
    """A query that begins at a place; the entity that was there may not exist any more."""

    place: Place | None = None

    def answer(self, entities: Iterable[E], *, after: E | None = None, limit: int | None = None) -> list[E]:
        """Return the matching ones beyond the place, in order, at most `limit` of them."""
        if self.place is not None:
            key = (self.place.at, self.place.id)
            entities = [
                one
                for one in entities
                if (self.sort_key(one) < key if self.descending else self.sort_key(one) > key)
            ]
        return Query.answer(self, entities, after=after, limit=limit)

    def page_arguments(self, after: E | None) -> Sequence[Any]:  # noqa: ARG002 - the place is the start
        """Return the two arguments for the start of the page."""
        return (None, None) if self.place is None else (self.place.at, self.place.id)


async def list_page(
    log: EventLog,
    kind: type[E],
    filters: Sequence[Filter[E]],
    *,
    time_of: Callable[[E], datetime],
    is_descending: bool,
    after: Place | None,
    limit: int,
) -> Listed[E]:
    """Return a page of the entities that fulfil all filters; the first one needs a list, and should be the most selective."""
    first = filters[0]
    found: list[E] = []
    last_good: set[UUID] = set()
    looked_at, is_fresh = 0, True
    while True:
        session = Session(PostgreSQLStorage(log, _TABLES))
        batch_length = limit + 1 if len(filters) == 1 else _BATCH
        query = _PageQuery(
            f"{_NEWEST}{first.statement}" if is_descending else str(first.statement),
            first.arguments,
            first.matches,
            lambda one: (time_of(one), one.id),
            descending=is_descending,
            place=after,
        )
        try:
            batch = await session.find(
                kind,
                query,
                limit=batch_length,
                consistency="fresh" if is_fresh else "eventual",
                quarantined="last_good",
            )
        except ProjectionLagError:
            if not is_fresh:
                raise
            is_fresh = False
            continue
        last_good |= batch.last_good_ids
        for one in batch:
            if len(found) == limit:
                return Listed(found, after, is_fresh, frozenset(last_good), is_full=True)
            after = Place(time_of(one), one.id)
            if all(each.matches(one) for each in filters):
                found.append(one)
        looked_at += len(batch)
        if len(batch) < batch_length:
            return Listed(found, None, is_fresh, frozenset(last_good), is_full=True)
        if looked_at >= _LOOKED_AT_MAX:
            return Listed(found, after, is_fresh, frozenset(last_good), is_full=False)
