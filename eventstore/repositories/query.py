"""Queries: each has a form in SQL, for the table, and one in Python, for what the table does not have yet.

A fresh list is read in one statement: the rows that match, and the log's tail with the rows of every entity that it
names, but for those that cannot belong to the answer. The tail is folded onto the rows, and then filter, order, `after`
and `limit` are applied once more, in Python. The two forms of each query must agree; a property test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.validation import shown
from eventstore.errors import RepositoryError
from eventstore.limits import check_count

E = TypeVar("E", bound=Entity)

SortKey = tuple[Any, UUID]
"""What a list is ordered by: a time, and the id to tell entities of one time apart."""


def as_id(kind: type[Entity], value: Any) -> Any:
    """Return the id that is meant, as a `UUID`: an entity stands for its own id. None stays None.

    Args:
        kind: The class of entities whose id it is.
        value: The id, as a `UUID` or as text, or the entity.

    Raises:
        RepositoryError: It is an entity of another class, or no id.
    """
    if value is None or isinstance(value, UUID):
        return value
    if isinstance(value, kind):
        return value.id
    if not isinstance(value, Entity):
        try:
            return UUID(value)
        except (AttributeError, TypeError, ValueError):
            pass
    raise RepositoryError(f"an id is a UUID, or the {kind.__name__} itself, not {shown(value)}")


def check_page(kind: type[Entity], *, after: object, limit: object) -> None:
    """Check where a page is to begin, and its length.

    Raises:
        LimitError: `limit` is no whole number from 1 to `COUNT_MAX`.
        RepositoryError: `after` is no entity of the kind.
    """
    if limit is not None:
        check_count("limit", limit)
    if after is not None and not isinstance(after, kind):
        raise RepositoryError(
            f"after must be the last {kind.__name__} of the page before, not {type(after).__name__}"
        )


@dataclass(frozen=True, slots=True)
class Query(Generic[E]):
    """A question to one read table.

    Attributes:
        statement: The name of its SQL file.
        arguments: The statement's own arguments, after the common ones.
        matches: Whether an entity belongs to the answer.
        sort_key: What the answer is ordered by; unique.
        descending: Whether the last comes first.
    """

    statement: str
    arguments: tuple[Any, ...]
    matches: Callable[[E], bool]
    sort_key: Callable[[E], SortKey]
    descending: bool = False

    def answer(self, entities: Iterable[E], *, after: E | None = None, limit: int | None = None) -> list[E]:
        """Return those of `entities` that match, in order, after `after`, `limit` of them at most."""
        found = sorted(filter(self.matches, entities), key=self.sort_key, reverse=self.descending)
        if after is not None:
            bound = self.sort_key(after)
            found = [
                entity
                for entity in found
                if (self.sort_key(entity) < bound if self.descending else self.sort_key(entity) > bound)
            ]
        return found if limit is None else found[:limit]

    def page_arguments(self, after: E | None) -> Sequence[Any]:
        """Return the two arguments that say where the page begins; None and None: at the start."""
        return (None, None) if after is None else self.sort_key(after)
