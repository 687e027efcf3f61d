"""A projection of a user's own that counts, so that an event folded twice or out of order shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from projections import Projection, Table
from tests.entities import StrategyStarted, StrategyStopped, StrategyTuned


@dataclass(frozen=True)
class Seen:
    """What a projection has counted of one stream."""

    stream_id: UUID
    events: int
    version: int
    out_of_order: int


class SeenProjection(Projection[Seen]):
    """Counts each event, and each that does not follow the one before."""

    name = "seen"

    def __init__(self) -> None:
        self.table = Table("seen", row=Seen, key=("stream_id",))
        self.events = (StrategyStarted, StrategyTuned, StrategyStopped)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The stream."""
        return (event.stream_id,)

    def evolve(self, row: Seen | None, event: RecordedEvent) -> Seen | None:
        """One more."""
        before = row or Seen(event.stream_id, 0, 0, 0)
        wrong = event.version != before.version + 1
        return Seen(event.stream_id, before.events + 1, event.version, before.out_of_order + wrong)
