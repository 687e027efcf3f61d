"""An event to load in bulk, and what a log holds after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.core.event import Event
from eventstore.log import StagedEvent, StreamAppend
from tests.entities import started

if TYPE_CHECKING:
    from collections.abc import Iterable


CONTENT = (
    "SELECT stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at FROM events "
    "ORDER BY position"
)


class BulkNoted(Event, category="tested bulk"):
    """An event whose field nobody validates."""

    text: Any


def history(streams: int = 6, tunings: int = 3) -> list[StreamAppend]:
    """Streams of different lengths, in descending order of their ids."""
    made = [started(str(number), tunings=number % (tunings + 1)) for number in range(streams)]
    return sorted(made, key=lambda stream: stream.stream_id, reverse=True)


async def content(log: Any) -> list[tuple[Any, ...]]:
    """All that the log has but positions and the clock of the database, in order."""
    async with log.connection.acquire() as connection:
        return [tuple(row) for row in await connection.fetch(CONTENT)]


def expected_content(events: Iterable[StagedEvent]) -> list[tuple[Any, ...]]:
    """The same of events about to be imported, written down without the code under test."""
    return [(one.stream_id, one.version, one.pending.event_id) for one in events]
