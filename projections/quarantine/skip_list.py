"""The skip list: events that somebody has decided to leave out of a projection, each for one key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventstore.database.protocols import Connection, Row
from eventstore.sql import load
from projections.keys import key_text
from projections.projection import Projection


class Discards:
    """The events that are left out. An event that upcasters split may be left out for one key and folded for another.

    Args:
        pairs: The position of each event, and its key as text.
    """

    def __init__(self, pairs: Iterable[tuple[int, str]] = ()) -> None:
        self.pairs = frozenset(pairs)
        self._positions = frozenset(position for position, _ in self.pairs)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Discards:
        """Make one from the rows of `projections/list_discards`."""
        return cls((row["position"], row["key"]) for row in rows)

    def has(self, position: int, key: tuple[Any, ...]) -> bool:
        """Whether the event at a position is left out of the row of a key."""
        return position in self._positions and (position, key_text(key)) in self.pairs

    def is_any_through(self, position: int) -> bool:
        """Whether any event up to a position is left out."""
        return any(one <= position for one in self._positions)


async def read_discards(connection: Connection, projection: Projection[Any]) -> Discards:
    """Read the discards of a projection that are in effect."""
    return Discards.of(await connection.fetch(load("projections/list_discards", connection), projection.name))


@dataclass(frozen=True, slots=True)
class Skipped:
    """The events that a live table does not have: the discarded ones, and those that wait for a quarantined key.

    Attributes:
        discards: The discarded events.
        held: The position at which each quarantined key stopped, by its text.
    """

    discards: Discards = field(default_factory=Discards)
    held: Mapping[str, int] = field(default_factory=dict)

    def has(self, position: int, key: tuple[Any, ...]) -> bool:
        """Whether the event at a position is skipped for a key."""
        if self.held and position >= self.held.get(key_text(key), position + 1):
            return True
        return self.discards.has(position, key)

    def is_same_through(self, position: int, other: Skipped) -> bool:
        """Whether another instance skips the same events up to a position."""
        return self.discards.pairs == other.discards.pairs and all(
            self.held.get(key) == other.held.get(key)
            for key in self.held.keys() | other.held.keys()
            if min(one.held.get(key, position + 1) for one in (self, other)) <= position
        )


async def read_skipped(connection: Connection, projection: Projection[Any]) -> Skipped:
    """Read which events the live table of a projection does not have."""
    discards = await read_discards(connection, projection)
    held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
    return Skipped(discards, {row["key"]: row["position"] for row in held})
