"""The past of a log in memory, with the semantics of `EventStore.as_of`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.errors import ConfigurationError
from eventstore.opening import Opening
from eventstore.replay.as_of import Past, end_past
from eventstore.replay.past_fold import fold_prefix, fold_selection
from eventstore.replay.point_in_time import PointInTime, point_in_time_of
from eventstore.repositories.last_good import Stream
from eventstore.repositories.query import Query

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.testing.memory import InMemoryDatabase

E = TypeVar("E", bound=Entity)


class InMemoryPastStorage:
    """Folds the streams of an `InMemoryDatabase` up to a point in time, each from its first event.

    Args:
        database: The database.
        point: The point in time.
    """

    def __init__(self, database: InMemoryDatabase, point: PointInTime) -> None:
        self._database = database
        self._point = point

    async def load(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Return the state of one entity.

        Raises:
            UnknownEventTypeError, EventDecodingError: The code does not know an event of the stream.
        """
        await asyncio.sleep(0)
        return self._fold(kind, entity_id)

    async def find(
        self,
        kind: type[E],
        query: Query[E],
        *,
        after: E | None,
        limit: int | None,
        fresh: bool,  # noqa: ARG002 - nothing lags here
    ) -> list[Stream[E]]:
        """Return the entities of a query.

        Raises:
            UnknownEventTypeError, EventDecodingError: The code does not know an event of the category.
        """
        await asyncio.sleep(0)
        streams = [self._fold(kind, each) for each in self._database._categories.get(kind.category, ())]  # noqa: SLF001 - one package
        states = [stream.entity for stream in streams if stream.entity is not None]
        return [Stream(entity, entity.version) for entity in query.answer(states, after=after, limit=limit)]

    def _fold(self, kind: type[E], stream_id: UUID) -> Stream[E]:
        through, recorded_at, occurred_at = self._point.bounds
        records: list[Any] = [
            row
            for row in self._database._streams.get(stream_id, ())  # noqa: SLF001
            if row["position"] <= through
            and (recorded_at is None or row["recorded_at"] <= recorded_at)
            and (occurred_at is None or row["occurred_at"] <= occurred_at or row["version"] == 1)
        ]
        fold = fold_prefix if occurred_at is None else partial(fold_selection, until=occurred_at)
        return fold(kind, None, records, classes=self._database._classes)  # noqa: SLF001


def memory_as_of(
    database: InMemoryDatabase,
    *,
    position: int | None = None,
    recorded_at: datetime | None = None,
    occurred_at: datetime | None = None,
) -> Opening[Past]:
    """Return the repositories of a database in memory as of one point in time, as `EventStore.as_of` does.

    Raises, when it is entered or awaited:
        ConfigurationError: Not exactly one argument is given, or the position is not valid or is beyond the
            end of the log.
    """
    return Opening(
        "as_of(...)",
        lambda: _past(database, point_in_time_of(position, recorded_at, occurred_at)),
        end_past,
    )


async def _past(database: InMemoryDatabase, point: PointInTime) -> Past:
    for writer in list(database._open):  # noqa: SLF001
        rows = [row for stream in writer.rows.values() for row in stream]
        if any(row["position"] <= point.through for row in rows):
            await writer.over.wait()
    await asyncio.sleep(0)
    head = max((stream[-1]["position"] for stream in database._streams.values()), default=0)  # noqa: SLF001
    if not point.is_time and point.through > head:
        raise ConfigurationError(
            f"position {point.through} is beyond the end of the log at position {head}: give a position up to {head}"
        )
    point = replace(point, through=min(point.through, head), final=head)
    return Past(InMemoryPastStorage(database, point), point)
