"""The base class of projections: a name, a table, the event classes, a key, and one pure function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from eventstore.core.context import exactly, in_decimal_arithmetic
from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.event import Event, RecordedEvent, UpcastEvents
from eventstore.errors import ProjectionError
from eventstore.printable import text_of_error
from projections.table import Table

R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class Projection(ABC, Generic[R]):
    """A pure fold from events to the rows of a table. Subclass it; the worker does the rest.

    `evolve` must be pure: no I/O, no clock, no randomness, and it must not change its arguments. Then each event
    counts exactly once, even if the worker, the server or the network fails.

    Attributes:
        name: The projection's name, under which its checkpoint is stored.
        table: The table of its rows.
        events: The event classes it folds; it ignores other events.
        keyed_by_stream: Whether `key` is always `(event.stream_id,)`. Then an event that cannot be decoded affects
            only one key, which is put in quarantine; otherwise such an event stops the projection.
        version: Raise it when `evolve`, `key` or the table give other rows than before. Then nothing more is folded
            into the old table, and a rebuild makes the new one.
        ignored_types: Types of events that it ignores even if no class is known for them.
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
            row: The row before; None if there is none.
            event: An event of one of the classes in `events`.

        Returns:
            The new row; None for no row.
        """

    @property
    def categories(self) -> list[str]:
        """The categories of its events."""
        return sorted({event.category for event in self.events})

    def taken(self, event: RecordedEvent) -> tuple[RecordedEvent, ...]:
        """Return what to fold of a stored event: the event, or nothing; if it was split, one part for each key.

        The parts for one key are folded together by one call of `fold`, or not at all.
        """
        parts = [part for part in event.upcast_events if type(part.event) in self.events]
        if len(parts) < 2 or not isinstance(event, UpcastEvents):  # noqa: PLR2004 - several
            return tuple(parts)
        by_key: dict[tuple[Any, ...], list[RecordedEvent]] = {}
        for part in parts:
            by_key.setdefault(self.key_of(part), []).append(part)
        return tuple(its[0] if len(its) == 1 else event.with_events(its) for its in by_key.values())

    def key_of(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the key of what `taken` returned, in its normal form, which all equal keys share.

        Raises:
            ProjectionError: `key` failed. It is unknown which row is affected, so the projection stops.
        """
        part = event.upcast_events[0] if isinstance(event, UpcastEvents) else event
        try:
            found = self.key(part) if in_decimal_arithmetic() else exactly(self.key, part)
            return self.table.normal(found)
        except Exception as error:
            raise ProjectionError(
                f"key() of projection {self.name} failed at position {part.position} (event {part.type} of stream "
                f"{part.stream_id}, version {part.version}): {text_of_error(error)}"
            ) from error

    def fold(self, row: R | None, event: RecordedEvent, key: tuple[Any, ...]) -> R | None:
        """Return the row after what `taken` returned: call `evolve` once for each part of it.

        Args:
            row: The row of the key; None if there is none.
            event: What `taken` returned.
            key: What `key_of` returned for it.

        Raises:
            ProjectionError: The new row has another key, so it would replace another row.
        """
        if not isinstance(event, UpcastEvents):
            return self._of_key(self.evolve(row, event), key)
        for part in event.upcast_events:
            row = self.evolve(row, part)
        return self._of_key(row, key)

    def _of_key(self, row: R | None, key: tuple[Any, ...]) -> R | None:
        if row is None or self.table.is_of(row, key):
            return row
        # The table may return a value in another type: an enum as its text.
        found = self.table.key_of(self.table.codec.encode(row))
        if found != key:
            raise ProjectionError(
                f"evolve of projection {self.name} returned a row with the key {found} for an event with the key "
                f"{key}: the key fields of the row must equal what key() returns"
            )
        return row


class EntityProjection(Projection[E]):
    """A table with one row for each entity: the row is the entity's whole state.

    The fold of an entity does not look at ids, metadata and times of recording, so workers and rebuilds do not read them. If a
    subclass overrides a method that is given events, they read whole events.

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
        """Return the whole event: the row has the stream's version, even after an event that upcasters dropped."""
        if not isinstance(event, UpcastEvents) and type(event.event) not in self.events:
            return ()
        return (event,)

    def key_of(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Return the stream's id, even for an event that upcasters dropped."""
        return self.key(event)

    def fold(self, row: E | None, event: RecordedEvent, key: tuple[Any, ...]) -> E | None:
        """Return the entity after `event`, with the version of its stream."""
        return self._of_key(self.evolve(row, event), key)

    def evolve(self, row: E | None, event: RecordedEvent) -> E | None:
        """Return the entity after `event`: the same fold that the entity itself runs."""
        return evolve(self.entity, row, event)
