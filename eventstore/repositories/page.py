"""The answer of a list: entities in order, and which of them are not up to date."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar, overload
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.notebook import ROWS_MAX, table

_SHOWN_MAX = 5
"""How many entities the repr of a page shows."""

E_co = TypeVar("E_co", bound=Entity, covariant=True)


class Page(Sequence[E_co]):
    """The entities that a list of a repository returned, in its order.

    It reads like a list, equals a list of the same entities, and cannot be changed. A slice, a sum and a copy
    keep the information about its entities. `list(page)` returns a plain list, which does not have it.

    Args:
        entities: The entities.
        last_good_ids: The ids of the entities that are not up to date; other ids are dropped.
    """

    __slots__ = ("_entities", "_last_good_ids")
    __hash__ = None  # type: ignore[assignment]  # its entities change

    def __init__(
        self, entities: Iterable[E_co] = (), *, last_good_ids: Collection[UUID] = frozenset()
    ) -> None:
        self._entities = tuple(entities)
        self._last_good_ids = (
            frozenset(one.id for one in self._entities if one.id in last_good_ids)
            if last_good_ids
            else frozenset[UUID]()
        )

    @property
    def last_good_ids(self) -> frozenset[UUID]:
        """The ids of the entities that are not up to date, because one of their events cannot be folded.

        Empty unless the list was read with `quarantined="last_good"`. Saving a change of such an entity raises
        `ConcurrencyError`.
        """
        return self._last_good_ids

    @property
    def is_up_to_date(self) -> bool:
        """Whether every event of all its entities could be folded."""
        return not self._last_good_ids

    def __len__(self) -> int:
        return len(self._entities)

    @overload
    def __getitem__(self, index: int) -> E_co: ...
    @overload
    def __getitem__(self, index: slice) -> Page[E_co]: ...
    def __getitem__(self, index: int | slice) -> E_co | Page[E_co]:
        if isinstance(index, slice):
            return Page(self._entities[index], last_good_ids=self._last_good_ids)
        return self._entities[index]

    def __add__(self, others: Page[E_co] | list[E_co]) -> Page[E_co]:
        if not isinstance(others, Page | list):
            return NotImplemented
        return Page((*self, *others), last_good_ids=self._last_good_ids | _last_good_ids(others))

    def __radd__(self, others: list[E_co]) -> Page[E_co]:
        if not isinstance(others, list):
            return NotImplemented
        return Page((*others, *self), last_good_ids=self._last_good_ids)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Page):
            return self._entities == other._entities
        return list(self._entities) == other if isinstance(other, list) else NotImplemented

    def __repr__(self) -> str:
        some = ", ".join(map(repr, self._entities[:_SHOWN_MAX]))
        left = len(self) - _SHOWN_MAX
        more = f", ... {left} more" if left > 0 else ""
        noted = ""
        if self._last_good_ids:
            ids = ", ".join(map(str, sorted(self._last_good_ids)[:_SHOWN_MAX]))
            noted = f", {len(self._last_good_ids)} last_good_ids: {ids}"
        return f"Page([{some}{more}]{noted})"

    def _repr_html_(self) -> str:
        kinds = {type(one) for one in self._entities}
        names = list(dict.fromkeys(name for kind in kinds for name in kind.shown_fields))
        rows = (
            (
                type(one).__name__,
                one.id,
                one.version,
                *(getattr(one, name, None) for name in names),
                "no" if one.id in self._last_good_ids else "yes",
            )
            for one in self._entities[:ROWS_MAX]
        )
        return table(
            f"Page: {len(self)} entities",
            ("entity", "id", "version", *names, "up to date"),
            rows,
            left_out=max(0, len(self) - ROWS_MAX),
        )


def _last_good_ids(entities: Any) -> frozenset[UUID]:
    return entities.last_good_ids if isinstance(entities, Page) else frozenset()
