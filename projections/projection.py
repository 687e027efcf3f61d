"""What a projection is: a name, a table, the events it takes, a key, and one pure function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from eventstore.domain.entity import Entity
from eventstore.domain.event import Event, RecordedEvent
from projections.table import Table

__all__ = ["EntityProjection", "Projection"]

R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class Projection(ABC, Generic[R]):
    """A pure fold from events to the rows of a table. Subclass it, and the worker does the rest.

    `evolve` must be pure: no I/O, no clock, no randomness, and it must not change its arguments. Then each event
    counts exactly once, whatever dies.

    Attributes:
        name: The projection's name; its checkpoint is kept under it.
        table: Where the rows are.
        events: The event classes it takes; others pass it by.
    """

    name: ClassVar[str]
    table: Table[R]
    events: tuple[type[Event], ...]

    @abstractmethod
    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the key of the row that `event` changes, in the order of the table's key."""

    @abstractmethod
    def evolve(self, row: R | None, event: RecordedEvent) -> R | None:
        """Return the row after `event`.

        Args:
            row: The row before; None where there is none.
            event: An event of one of the classes in `events`.

        Returns:
            The new row; None to have none.
        """

    @property
    def categories(self) -> list[str]:
        """The categories that its events are of."""
        return sorted({event.category for event in self.events})


class EntityProjection(Projection[E]):
    """A table with one row for each entity: the row is the entity's whole state.

    Args:
        entity: The class of the entity.
        table: Its table; the key is the entity's id.
    """

    def __init__(self, entity: type[E], table: Table[E]) -> None:
        self.entity = entity
        self.table = table
        self.events = entity.event_classes()

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the stream's id, which is the entity's."""
        return (event.stream_id,)

    def evolve(self, row: E | None, event: RecordedEvent) -> E | None:
        """Return the entity after `event`: the same fold that the entity itself runs."""
        return self.entity.evolve(row, event)
