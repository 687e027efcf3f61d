"""Events in a few streams, and how a projection counted them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.counting_projection import SeenProjection
from tests.entities import started, tuned

if TYPE_CHECKING:
    from eventstore.database import DatabaseConnection
    from eventstore.store import EventStore


STREAMS = 12


async def prepare(store: EventStore) -> dict[UUID, int]:
    """Make the table, append some streams in pieces, and return how many events each stream has."""
    async with store.connection.acquire() as connection:
        await connection.execute(SeenProjection().table.create())
    streams = [started(str(number), tunings=number % 4) for number in range(STREAMS)]
    await store.log.append(*streams)
    expected = {}
    for number, stream in enumerate(streams):
        await store.log.append(tuned(stream.stream_id, len(stream.events), *range(number % 3 + 1)))
        expected[stream.stream_id] = len(stream.events) + number % 3 + 1
    return expected


async def counted(connection: DatabaseConnection) -> dict[UUID, int]:
    """How often the table counted events of each stream; it fails where one was out of order."""
    async with connection.acquire() as one:
        rows = await one.fetch("SELECT stream_id, events, version, out_of_order FROM seen")
    for row in rows:
        assert (row["events"], row["out_of_order"]) == (row["version"], 0)
    return {row["stream_id"]: row["events"] for row in rows}
