"""An entity of a user's own, in no way about trading, and what tests of the log append."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from eventstore.core.context import at
from eventstore.core.entity import Entity, applies
from eventstore.core.event import Event, PendingEvent
from eventstore.errors import DomainError
from eventstore.log import StreamAppend

if TYPE_CHECKING:
    from uuid import UUID

CATEGORY = "tested strategy"


class StrategyStarted(Event, category=CATEGORY):
    """A strategy began."""

    name: str


class StrategyTuned(Event, category=CATEGORY):
    """A parameter got a value."""

    parameter: str
    value: Decimal


class StrategyStopped(Event, category=CATEGORY):
    """A strategy ended."""

    reason: str | None = None


class Strategy(Entity, category=CATEGORY, created=StrategyStarted):
    """A strategy that is started, tuned and stopped."""

    name: str
    parameters: tuple[tuple[str, Decimal], ...] = ()
    stopped: bool = False

    @classmethod
    def start(cls, name: str) -> Self:
        """Begin."""
        return cls.create(StrategyStarted(occurred_at=at(None), name=name))

    def tune(self, parameter: str, value: Decimal | int) -> None:
        """Give a parameter a value."""
        if self.stopped:
            raise DomainError("strategy.stopped", f"{self.name} was stopped")
        self.emit(StrategyTuned(occurred_at=at(None), parameter=parameter, value=Decimal(value)))

    def stop(self, reason: str | None = None) -> None:
        """End."""
        self.emit(StrategyStopped(occurred_at=at(None), reason=reason))

    @applies(StrategyTuned)
    def _tuned(self, event: StrategyTuned) -> None:
        kept = dict(self.parameters) | {event.parameter: event.value}
        self.set(parameters=tuple(kept.items()))

    @applies(StrategyStopped)
    def _stopped(self, _: StrategyStopped) -> None:
        self.set(stopped=True)


def started(name: str = "a", *, tunings: int = 0) -> StreamAppend:
    """A new stream: a start and so many tunings."""
    strategy = Strategy.start(name)
    for number in range(tunings):
        strategy.tune("x", number)
    return StreamAppend(strategy.id, 0, strategy.pending_events)


def tuned(stream_id: UUID, expected_version: int, *values: int) -> StreamAppend:
    """More events of a stream."""
    events = tuple(pending(StrategyTuned(parameter="x", value=Decimal(value)), uuid4()) for value in values)
    return StreamAppend(stream_id, expected_version, events)


def pending(event: Event, event_id: UUID) -> PendingEvent:
    """An event with a chosen id."""
    return PendingEvent(event_id, event)


async def everything(connection: Any) -> list[dict[str, Any]]:
    """Every row of the log, in order."""
    async with connection.acquire() as one:
        rows = await one.fetch("SELECT stream_id, version, position, event_id FROM events ORDER BY position")
    return [dict(row) for row in rows]
