"""A day of market data, taken by orders and positions."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import OrderNotFoundError
from tools.lint.findings import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore.repositories import PostgreSQLUnitOfWork
    from eventstore.store import EventStore


FILE = "lobster_AAPL_2012-06-21_0930-1030_L50_messages.csv.gz"


FOLDER = Path(os.environ.get("EVENTSTORE_SHARED_DATA") or ROOT.parent / "shared" / "data")


MIDNIGHT = datetime(2012, 6, 21, 4, 0, tzinfo=UTC)  # in New York


ROWS_PER_UNIT_OF_WORK = 1_000


needs_file = pytest.mark.skipif(not (FOLDER / FILE).exists(), reason=f"{FILE} is not in {FOLDER}")


@dataclass(frozen=True)
class Message:
    """A row of the file; its number is its identity, since whole rows repeat."""

    number: int
    occurred_at: datetime
    kind: str
    order: str
    size: Decimal
    price: Decimal
    side: OrderSide

    @property
    def order_id(self) -> UUID:
        """The id of its order in the store."""
        return UUID(int=int(self.order))


def messages() -> Iterator[Message]:
    """The rows of the file, in its order."""
    with gzip.open(FOLDER / FILE, "rt") as file:
        for number, row in enumerate(csv.DictReader(file)):
            microseconds = int(Decimal(row["time"]) * 1_000_000)
            yield Message(
                number,
                MIDNIGHT + timedelta(microseconds=microseconds),
                row["type"],
                row["order_id"],
                Decimal(row["size"]),
                Decimal(row["price"]) / 10_000,
                OrderSide.BUY if row["direction"] == "1" else OrderSide.SELL,
            )


@dataclass
class Tally:
    """What happened to the rows."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    deletes_equal: int = 0
    shares_executed: Decimal = Decimal(0)


async def take(store: EventStore, rows: Sequence[Message], tally: Tally) -> None:
    """Take rows in one Unit of Work.

    The rule: an event on an order whose submission the store does not have is refused (`OrderNotFoundError`), as is a
    hidden execution, which names no order; nothing is made up for either.
    """
    async with store.unit_of_work() as uow:
        known = {row.order_id for row in rows if row.kind in "234"} - {
            row.order_id for row in rows if row.kind == "1"
        }
        limit = asyncio.Semaphore(8)

        async def load(order_id: UUID) -> Order | None:
            async with limit:
                return await uow.orders.get_order_by_id(order_id)

        loaded = await asyncio.gather(*map(load, known))
        orders = {order.id: order for order in loaded if order is not None}
        for row in rows:
            try:
                await take_one(uow, row, orders, tally)
            except OrderNotFoundError:
                tally.refused[row.kind] += 1
            else:
                tally.taken[row.kind] += 1


async def take_one(uow: PostgreSQLUnitOfWork, row: Message, orders: dict[UUID, Order], tally: Tally) -> None:
    """Take one row."""
    if row.kind == "1":
        order = Order.create_limit_order(
            "AAPL", row.size, row.side, limit_price=row.price, id=row.order_id, occurred_at=row.occurred_at
        )
        order.submit(row.order, occurred_at=row.occurred_at)
        await uow.orders.save_order(order)
        orders[order.id] = order
        return
    known = orders.get(row.order_id)
    if known is None:
        raise OrderNotFoundError(row.order_id, category="order")
    if row.kind == "2":
        known.amend(quantity=(known.quantity or 0) - row.size, occurred_at=row.occurred_at)
    elif row.kind == "3":
        assert known.leaves_quantity == row.size, row
        tally.deletes_equal += 1
        known.cancel(occurred_at=row.occurred_at)
    else:
        assert (known.side, known.limit_price) == (row.side, row.price), row
        known.fill(row.size, row.price, str(row.number), occurred_at=row.occurred_at)
        tally.shares_executed += row.size
    await uow.orders.update_order(known)
