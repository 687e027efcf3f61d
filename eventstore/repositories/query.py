"""Queries: each exists in SQL, for the table, and in Python, for events that are not in the table yet.

A fresh list is read in one statement: the rows that match, and the log's tail with the rows of the entities
that it names, except those that cannot belong to the answer. The tail is folded onto the rows. Then the filter,
the order, `after` and `limit` are applied once more, in Python. A property test checks that both forms agree.
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
"""The sort key of a list: a time, and the id to order entities of the same time."""


def as_id(kind: type[Entity], value: Any) -> Any:
    """Coerce an id to `UUID`, so that equal ids compare equal; an entity stands for its id, None passes through.

    Args:
        kind: The class of the entity that has the id.
        value: The id, as a `UUID` or as text, or the entity.

    Raises:
        RepositoryError: The value is an entity of another class, or not an id.
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
    raise RepositoryError(f"an id must be a UUID or the {kind.__name__} itself, not {shown(value)}")


def check_page(kind: type[Entity], *, after: object, limit: object) -> None:
    """Check the start and the length of a page.

    Raises:
        LimitError: `limit` is not a whole number from 1 to `COUNT_MAX`.
        RepositoryError: `after` is not an entity of the kind.
    """
    if limit is not None:
        check_count("limit", limit)
    if after is not None and not isinstance(after, kind):
        raise RepositoryError(
            f"after must be the last {kind.__name__} of the previous page, not {type(after).__name__}"
        )


@dataclass(frozen=True, slots=True)
class Query(Generic[E]):
    """A query of one read table.

    Attributes:
        statement: The name of its statement.
        arguments: The statement's own arguments, after the common ones.
        matches: Whether an entity belongs to the answer.
        sort_key: The sort key of the answer; unique.
        descending: Whether the answer is in descending order.
    """

    statement: str
    arguments: tuple[Any, ...]
    matches: Callable[[E], bool]
    sort_key: Callable[[E], SortKey]
    descending: bool = False

    def answer(self, entities: Iterable[E], *, after: E | None = None, limit: int | None = None) -> list[E]:
        """Return the matching ones of `entities`, in order, after `after`, at most `limit` of them."""
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
        """Return the two arguments for the start of the page; None and None for the first page."""
        return (None, None) if after is None else self.sort_key(after)
