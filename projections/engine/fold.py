"""Folding the events of a key onto its row, in memory: the one loop of the worker, the rebuild and fresh reads.

`projections/rebuild/independent_fold.py` has a separate loop, because it proves the results of this one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.core.entity_state import advance, replica
from eventstore.database.protocols import Connection
from eventstore.log.unreadable import Readable, UnreadableEvent
from eventstore.printable import storable, text_of_error, traceback_of
from eventstore.sql import load
from projections.engine.delivery_counts import key_of
from projections.keys import key_text
from projections.projection import EntityProjection, Projection

Key = tuple[Any, ...]

_ERROR_CHARACTERS_MAX = 2_000
_TRACEBACK_CHARACTERS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class FoldFailure:
    """An event that could not be folded into the row of its key.

    Attributes:
        key: The key.
        event: The event; the key's row contains neither it nor any later event.
        error: The error.
    """

    key: Key
    event: Readable
    error: Exception

    async def quarantine(self, connection: Connection, projection: Projection[Any]) -> None:
        """Put the key in quarantine, in the open transaction of `connection`."""
        await connection.execute(
            load("projections/quarantine_key", connection), projection.name, *self.columns
        )

    @property
    def columns(self) -> tuple[Any, ...]:
        """What is stored of it: key, stream, position and type of the event, error, traceback."""
        return (
            key_text(self.key),
            self.event.stream_id,
            self.event.position,
            self.event.type,
            storable(text_of_error(self.error), characters_max=_ERROR_CHARACTERS_MAX),
            storable(traceback_of(self.error), characters_max=_TRACEBACK_CHARACTERS_MAX),
        )


def by_key(
    projection: Projection[Any], events: Iterable[Readable], takes: Callable[[Key], bool] | None = None
) -> dict[Key, list[Readable]]:
    """Return the events of each key that is taken, in order."""
    of_each: dict[Any, list[Readable]] = defaultdict(list)
    if projection.keyed_by_stream:
        for event in events:
            of_each[event.stream_id.bytes].append(event)  # the driver's UUIDs take long to hash
        of_each = {(its[0].stream_id,): its for its in of_each.values()}
    else:
        for event in events:
            of_each[key_of(projection, event)].append(event)
    return of_each if takes is None else {key: its for key, its in of_each.items() if takes(key)}


def fold_key(
    projection: Projection[Any],
    key: Key,
    row: Any,
    events: Sequence[Readable],
    *,
    leaves_out: Callable[[int, Key], bool] | None = None,
) -> tuple[Any, int, FoldFailure | None]:
    """Fold the events of one key onto its row, up to the first that cannot be folded.

    Args:
        projection: The projection.
        key: The key.
        row: The row before, which is not changed; None if there is none.
        events: The events, in order. An event that could not be decoded counts as one that cannot be folded.
        leaves_out: Whether the event at a position is left out of the row of a key if it cannot be folded, instead of
            ending the fold; None leaves none out.

    Returns:
        The row after the events, None if there is none; the position of the last event in it, 0 if none was folded; and
        the event that ended the fold.
    """
    if is_own_fold(projection):
        try:
            return _fold_at_once(projection, row, events), events[-1].position, None
        except Exception:  # noqa: BLE001, S110 - the loop below finds which event failed
            pass
    position = 0
    for event in events:
        try:
            if isinstance(event, UnreadableEvent):
                raise event.error  # noqa: TRY301 - handled like an error of evolve
            row = projection.fold(row, event, key)
        except Exception as error:  # noqa: BLE001 - the error is stored with the key, for its repair
            if leaves_out is not None and leaves_out(event.position, key):
                continue
            return row, position, FoldFailure(key, event, error)
        position = event.position
    return row, position, None


def is_own_fold(projection: Projection[Any]) -> bool:
    """Whether a row is the state of an entity, made by nothing but its own fold."""
    kind = type(projection)
    return kind.evolve is EntityProjection.evolve and kind.fold is EntityProjection.fold


def _fold_at_once(projection: Projection[Any], before: Any, events: Sequence[Readable]) -> Any:
    """Fold the events of one entity into one copy of its row; `evolve` would make a copy for each event.

    Raises:
        Exception: An event cannot be folded; fold them one by one to find which.
    """
    entity: type[Any] = projection.entity  # type: ignore[attr-defined]  # that of an `EntityProjection`
    row = None if before is None else replica(before)
    one: Any
    for one in events:
        row = advance(entity, row, one)
    return row
