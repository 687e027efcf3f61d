"""Events that somebody has decided to leave out of a projection: each for one key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventstore.database.protocols import Connection, Row
from eventstore.sql import load
from projections.keys import key_text
from projections.projection import Projection


class Discards:
    """Which events are left out. One that upcasters split may be left out for one key and folded for another.

    Args:
        pairs: The position of each, and its key as text.
    """

    def __init__(self, pairs: Iterable[tuple[int, str]] = ()) -> None:
        self.pairs = frozenset(pairs)
        self._positions = frozenset(position for position, _ in self.pairs)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Discards:
        """Return those of the rows of `projections/list_discards`."""
        return cls((row["position"], row["key"]) for row in rows)

    def has(self, position: int, key: tuple[Any, ...]) -> bool:
        """Whether the event at a position is left out of the row of a key."""
        return position in self._positions and (position, key_text(key)) in self.pairs

    def is_any_through(self, position: int) -> bool:
        """Whether there is one up to a position."""
        return any(one <= position for one in self._positions)


async def read_discards(connection: Connection, projection: Projection[Any]) -> Discards:
    """Read the discards of a projection that are in force."""
    return Discards.of(await connection.fetch(load("projections/list_discards", connection), projection.name))
