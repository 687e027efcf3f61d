"""Two ways to read a log from its beginning to its end, with several sizes of a page: `python -m benchmarks.paging EVENTS`.

A server-side cursor in one transaction, and a statement for each page, one page ahead: what `Replay` does. Each is
measured raw (JSON parsed, nothing else) and with the events decoded. LAB.md has figures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.order import Order, OrderSide
from eventstore.log.records import decode
from eventstore.replay.pages import Pages, Selection
from eventstore.sql import load
from eventstore.store import EventStore

__all__ = ["main"]

_EVENTS_AN_ORDER = 6
_ORDERS_A_UNIT = 500
_ROUNDS = 3


async def _fill(store: EventStore, events: int) -> None:
    for _ in range(0, events, _EVENTS_AN_ORDER * _ORDERS_A_UNIT):
        async with store.unit_of_work() as uow:
            for _ in range(_ORDERS_A_UNIT):
                order = Order.create_limit_order(
                    "ESU3", Decimal(8), OrderSide.BUY, limit_price=Decimal("1640.25")
                )
                order.submit("B")
                for part in range(4):
                    order.fill(Decimal(2), Decimal("1640.25"), f"E{part}", commission=Decimal("2.05"))
                await uow.orders.save_order(order)
    async with store.connection.acquire() as connection:
        await connection.execute("VACUUM ANALYZE events")


def _parse(rows: list[Any]) -> None:
    for row in rows:
        orjson.loads(row["data"])


def _decode(rows: list[Any]) -> None:
    _ = [decode(row) for row in rows]


async def _cursor(store: EventStore, page: int, use: Callable[[list[Any]], None]) -> None:
    async with store.connection.acquire() as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(load("log/read_range", connection), 0, 2**62, None, None, 2**62)
        while rows := await cursor.fetch(page):
            use(rows)


async def _pages(store: EventStore, page: int, use: Callable[[list[Any]], None]) -> None:
    head = await store.log.head()
    pages = Pages(store.log.connection, Selection(), after=0, through=head, page_events_max=page)
    async for one in pages.read():
        use(one.rows)


async def _measure(events: int) -> None:
    ways: dict[str, Callable[..., Awaitable[None]]] = {"cursor": _cursor, "pages": _pages}
    with EmbeddedServer.start() as server:
        async with EventStore.open(server.config(), workers=False, migrate=True) as store:
            await _fill(store, events)
            total = await store.log.head()
            for name, use in (("parsed", _parse), ("decoded", _decode)):
                for page in (250, 1_000, 4_000, 16_000):
                    for way, read in ways.items():
                        run = partial(read, store, page, use)
                        best_s = min([await _timed(run) for _ in range(_ROUNDS)])
                        print(f"{name:8} {way:7} pages of {page:>6}: {total / best_s:>9,.0f} events/s")


async def _timed(run: Callable[[], Awaitable[None]]) -> float:
    started_s = time.perf_counter()
    await run()
    return time.perf_counter() - started_s


def main() -> None:
    """Measure with so many events as the command line says."""
    asyncio.run(_measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))


if __name__ == "__main__":
    main()
