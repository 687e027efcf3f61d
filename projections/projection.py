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
        keyed_by_stream: Whether `key` is always `(event.stream_id,)`. Then an event that cannot be decoded concerns one
            key alone, which is put in quarantine; else it stops the projection.
        version: Raise it when `evolve`, `key` or the table give other rows than before: then nothing more is folded
            into the old table, and a rebuild brings the new one.
        ignored_types: Types of events that pass it by even where no class is known for them.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    keyed_by_stream: ClassVar[bool] = False
    ignored_types: ClassVar[frozenset[str]] = frozenset()
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

    def taken(self, event: RecordedEvent) -> tuple[RecordedEvent, ...]:
        """Return what of a stored event is folded: each with one call of `evolve`.

        An event that upcasters turned into several is folded as those of them that are of the classes in `events`, and
        one that they dropped as nothing.
        """
        return tuple(part for part in event.parts if type(part.event) in self.events)


class EntityProjection(Projection[E]):
    """A table with one row for each entity: the row is the entity's whole state.

    Args:
        entity: The class of the entity.
        table: Its table; the key is the entity's id.
    """

    keyed_by_stream: ClassVar[bool] = True

    def __init__(self, entity: type[E], table: Table[E]) -> None:
        self.entity = entity
        self.table = table
        self.events = entity.event_classes()

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the stream's id, which is the entity's."""
        return (event.stream_id,)

    def taken(self, event: RecordedEvent) -> tuple[RecordedEvent, ...]:
        """Return the event, whole: the row has the stream's version, also after one that upcasters dropped."""
        if type(event) is RecordedEvent and type(event.event) not in self.events:
            return ()
        return (event,)

    def evolve(self, row: E | None, event: RecordedEvent) -> E | None:
        """Return the entity after `event`: the same fold that the entity itself runs."""
        return self.entity.evolve(row, event)
