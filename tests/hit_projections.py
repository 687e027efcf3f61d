"""Events with a few fields, and projections of a user's own that keep in which order they came, by keys of several types."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from eventstore.core.event import Event, PendingEvent, RecordedEvent
from eventstore.log import StreamAppend
from projections import Projection, ProjectionWorker, Table
from projections.engine.progress import list_partitions

if TYPE_CHECKING:
    from eventstore.store import EventStore


class Hit(Event, category="tested hit"):
    """Something with a number, to be seen once and in order; poison cannot be folded while the code is broken."""

    number: int
    price: Decimal = Decimal(1)
    at: datetime | None = None
    is_poison: bool = False


@dataclass(frozen=True)
class HitsAt:
    """The numbers of the hits at a price, in their order."""

    price: Decimal
    numbers: tuple[int, ...]


class HitsByPrice(Projection[HitsAt]):
    """By a decimal, as each event has it: 1.5 or 1.50."""

    name = "hits"
    table = Table("hits", row=HitsAt, key=("price",))
    events = (Hit,)
    is_broken = True

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The price."""
        return (hit(event).price,)

    def evolve(self, row: HitsAt | None, event: RecordedEvent) -> HitsAt | None:
        """One more."""
        one = hit(event)
        if one.is_poison and self.is_broken:
            raise ValueError(f"poison: {one.number}")
        return HitsAt(one.price, (*(row.numbers if row else ()), one.number))


@dataclass(frozen=True)
class HitsOfNumber:
    """How many hits a number had."""

    number: int
    hits: int


class HitsByNumber(Projection[HitsOfNumber]):
    """By an integer, which may be too large for its column."""

    name = "hits"
    table = Table("hits", row=HitsOfNumber, key=("number",))
    events = (Hit,)
    is_broken = True

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The number."""
        return (hit(event).number,)

    def evolve(self, row: HitsOfNumber | None, event: RecordedEvent) -> HitsOfNumber | None:
        """One more."""
        one = hit(event)
        if one.is_poison and self.is_broken:
            raise ValueError(f"poison: {one.number}")
        return HitsOfNumber(one.number, 1 + (row.hits if row else 0))


class Parity(enum.Enum):
    """An enum whose members are no text."""

    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True)
class HitsOfParity:
    """The numbers of the hits of a parity, in their order."""

    parity: Parity
    numbers: tuple[int, ...]


class HitsByParity(Projection[HitsOfParity]):
    """By an enum."""

    name = "hits"
    table = Table("hits", row=HitsOfParity, key=("parity",))
    events = (Hit,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The parity."""
        return (Parity.ODD if hit(event).number % 2 else Parity.EVEN,)

    def evolve(self, row: HitsOfParity | None, event: RecordedEvent) -> HitsOfParity | None:
        """One more."""
        (parity,) = self.key(event)
        return HitsOfParity(parity, (*(row.numbers if row else ()), hit(event).number))


@dataclass(frozen=True)
class HitsAtTime:
    """The numbers of the hits of a point in time, in their order."""

    at: datetime
    numbers: tuple[int, ...]


class HitsByTime(Projection[HitsAtTime]):
    """By a point in time, as each event has it, by whichever clock."""

    name = "hits"
    table = Table("hits", row=HitsAtTime, key=("at",))
    events = (Hit,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The point in time."""
        return (hit(event).at,)

    def evolve(self, row: HitsAtTime | None, event: RecordedEvent) -> HitsAtTime | None:
        """One more."""
        one = hit(event)
        assert one.at is not None
        return HitsAtTime(one.at, (*(row.numbers if row else ()), one.number))


def hit(event: RecordedEvent) -> Hit:
    """The event itself."""
    assert isinstance(event.event, Hit)
    return event.event


def hits(*events: Hit) -> StreamAppend:
    """A new stream."""
    return StreamAppend(uuid4(), 0, tuple(PendingEvent(uuid4(), event) for event in events))


async def hits_table(store: EventStore, projection: Projection[Any], *more: str) -> None:
    """Make the projection's table, and run what else is to be run."""
    async with store.connection.acquire() as connection:
        for statement in (projection.table.create(), *more):
            await connection.execute(statement)


async def rows_of(store: EventStore, projection: Projection[Any]) -> list[Any]:
    """The rows of the live table, in the order of the key."""
    async with store.connection.acquire() as connection:
        records = await connection.fetch(projection.table.select_all())
    return [projection.table.codec.decode(record) for record in records]


async def fold_all(store: EventStore, projection: Projection[Any], *, batch_events_max: int = 100) -> None:
    """Fold what there is, in every partition, until nothing is left."""
    for partition in range(len(await list_partitions(store.log, projection.name)) or 1):
        worker = ProjectionWorker(
            store.log, projection, partition=partition, batch_events_max=batch_events_max
        )
        while await worker.run_once():
            pass
