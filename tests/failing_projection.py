"""A projection of a user's own that fails at a quantity which the environment names, as code does before it is repaired."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.domain.order import OrderCreated
from projections import Projection, Table

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore


@dataclass(frozen=True)
class Sum:
    """How much was ordered of a symbol."""

    symbol: str
    quantity: Decimal


class Spoilt(Projection[Sum]):
    """The sum of the quantities of each symbol."""

    name = "spoilt"
    table = Table("spoilt", row=Sum, key=("symbol",))
    events = (OrderCreated,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        assert isinstance(event.event, OrderCreated)
        return (event.event.symbol,)

    def evolve(self, row: Sum | None, event: RecordedEvent) -> Sum:
        """One order more."""
        assert isinstance(event.event, OrderCreated)
        if str(event.event.quantity) == os.environ.get("SPOILT_AT"):
            raise ValueError(f"cannot take {event.event.quantity}")
        row = row or Sum(event.event.symbol, Decimal(0))
        return replace(row, quantity=row.quantity + (event.event.quantity or 0))

    @staticmethod
    async def sums(store: EventStore) -> dict[str, Decimal]:
        """What the table has."""
        async with store.connection.acquire() as connection:
            rows = await connection.fetch("SELECT symbol, quantity FROM spoilt")
        return {row["symbol"]: row["quantity"] for row in rows}


async def spoilt_table(store: EventStore) -> None:
    """Make the table."""
    async with store.connection.acquire() as connection:
        await connection.execute(Spoilt.table.create())
