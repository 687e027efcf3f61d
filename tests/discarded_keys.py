"""Keys that a rebuild may leave out, and how they are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.check import check
from projections.quarantine import discard
from tests.hit_projections import HitsByNumber, rows_of

if TYPE_CHECKING:
    from eventstore.store import EventStore


AT_MOST_TWO = "ALTER TABLE hits ADD CONSTRAINT at_most_two CHECK (hits < 3)"


async def leave_out(store: EventStore, projection: HitsByNumber, key: str) -> None:
    """Discard the event that a key waits at."""
    await discard(store.log, projection, key, discarded_by="risk desk", reason="a test")


async def counts(store: EventStore, projection: HitsByNumber) -> dict[int, int]:
    """The table."""
    return {row.number: row.hits for row in await rows_of(store, projection)}


async def kinds(store: EventStore, projection: HitsByNumber) -> list[str]:
    """What a check finds."""
    return [one.kind for one in (await check(store.log, [projection])).findings]
