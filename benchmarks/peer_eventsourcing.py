"""The peer `eventsourcing`, with psycopg and its database functions switched on: its recorder, and its aggregates.

Its functions do not lock the table, which is faster, and lets a subscriber lose events; its own default does not.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, StoredEvent
from uuid_utils.compat import uuid7

from benchmarks.bench import EVENT_JSON
from eventstore.database.config import DatabaseConfig

__all__ = ["Readers", "opened", "opened_for_one", "opened_for_reading"]

_FEWER_THREADS = 8
"""With fewer than the writers it is faster: Python's threads wait for each other."""
_STATE = EVENT_JSON.encode()
_PAGE_EVENTS = 1_000


class PeerOrder(Aggregate):
    """An order with the fields of ours, as the peer's documentation has an aggregate."""

    @event("Created")
    def __init__(
        self, symbol: str, quantity: Decimal, side: str, order_type: str, limit_price: Decimal
    ) -> None:
        self.symbol = symbol
        self.quantity = quantity
        self.side = side
        self.order_type = order_type
        self.limit_price = limit_price

    @event("Submitted")
    def submit(self, broker_order_id: str) -> None:
        """As ours."""
        self.broker_order_id = broker_order_id

    @event("Filled")
    def fill(self, quantity: Decimal, price: Decimal, execution_id: str) -> None:
        """As ours, without its rules."""
        self.filled = (quantity, price, execution_id)

    @event("Amended")
    def amend(self, limit_price: Decimal) -> None:
        """As ours."""
        self.limit_price = limit_price

    @staticmethod
    def create_id(*_: Any, **__: Any) -> UUID:
        """Time-ordered, as our ids are."""
        return uuid7()


class PeerMeter(Aggregate):
    """An aggregate whose every event adds to a sum."""

    @event("Created")
    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    @event("Read")
    def read(self, amount: Decimal, source: str) -> None:
        """Add an amount."""
        self.total += amount
        self.count += 1
        self.source = source


@dataclass(frozen=True)
class Readers:
    """Its ways to read; each returns the number of events.

    Attributes:
        load: Loads each aggregate by its fold.
        read_all: Reads every event of the log as a domain event.
    """

    load: Callable[[], int]
    read_all: Callable[[], int]


def _application(config: DatabaseConfig, connections: int) -> Any:
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_HOST": config.host,
            "POSTGRES_PORT": str(config.port),
            "POSTGRES_DBNAME": config.database,
            "POSTGRES_USER": config.user,
            "POSTGRES_PASSWORD": "none",  # the server trusts its socket; the peer wants one all the same
            "POSTGRES_POOL_SIZE": str(connections),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_ENABLE_DB_FUNCTIONS": "yes",
        }
    )


@contextmanager
def opened_for_reading(config: DatabaseConfig, *, streams: int, events: int) -> Iterator[Readers]:
    """Save aggregates of so many events each, and yield what reads them."""
    application = _application(config, 2)
    try:
        ids = []
        for _ in range(streams):
            meter = PeerMeter()
            for number in range(events - 1):
                meter.read(Decimal(number) / 4, "line A")
            application.save(meter)
            ids.append(meter.id)

        def load() -> int:
            return sum(application.repository.get(one).version for one in ids)

        def read_all() -> int:
            found = 0
            while some := application.recorder.select_notifications(start=found + 1, limit=_PAGE_EVENTS):
                for one in some:
                    application.mapper.to_domain_event(one)
                found += len(some)
            return found

        yield Readers(load, read_all)
    finally:
        application.close()


@contextmanager
def opened_for_one(config: DatabaseConfig, writers: int) -> Iterator[Callable[[int], float]]:
    """Yield its way to change one aggregate by so many threads, from how often to times a second.

    Each thread loads it, changes it and saves it, and again if another was first.
    """
    application = _application(config, writers)

    def changed(count: int) -> float:
        order = PeerOrder("ESU3", Decimal(5), "BUY", "LIMIT", Decimal("1640.25"))
        application.save(order)

        def change() -> None:
            while True:
                found = application.repository.get(order.id)
                found.amend(found.limit_price + 1)
                try:
                    application.save(found)
                except IntegrityError:
                    continue
                return

        done = _rate(count, writers, change)
        # Each thread has done it once before, too.
        if application.repository.get(order.id).version != 1 + writers + max(count // writers, 1) * writers:
            raise RuntimeError("a change was lost")
        return done

    try:
        yield changed
    finally:
        application.close()


@contextmanager
def opened(
    config: DatabaseConfig, writers: int, events: int = 1
) -> Iterator[dict[str, Callable[[int], Awaitable[float]]]]:
    """Yield its ways to append by name, each from how many events to events a second.

    Args:
        config: Its database.
        writers: How many threads append at once; with many, it is measured with fewer too.
        events: How many events an append has: 1 of one aggregate, or 10 of three.
    """
    application = _application(config, writers)

    def record() -> None:
        stored = [StoredEvent(uuid7(), 1, "orders:Order.Created", _STATE) for _ in range(events)]
        application.recorder.insert_events(stored)

    def save() -> None:
        orders = [PeerOrder("ESU3", Decimal(5), "BUY", "LIMIT", Decimal("1640.25"))]
        if events > 1:
            orders += [PeerOrder("ESU3", Decimal(5), "BUY", "LIMIT", Decimal("1640.25")) for _ in range(2)]
            for order, fills in zip(orders, (2, 1, 1), strict=True):
                order.submit("B-1")
                for number in range(fills):
                    order.fill(Decimal(1), Decimal("1640.25"), f"E-{number}")
        application.save(*orders)

    def by_threads(work: Callable[[], Any], threads: int) -> Callable[[int], Awaitable[float]]:
        async def measured(count: int) -> float:
            return await asyncio.to_thread(_rate, max(count // events, 1), threads, work) * events

        return measured

    try:
        yield {
            f"eventsourcing, {what}, {threads} threads": by_threads(work, threads)
            for what, work in (("its recorder", record), ("its aggregates", save))
            for threads in sorted({writers, min(writers, _FEWER_THREADS)}, reverse=True)
        }
    finally:
        application.close()


def _rate(count: int, threads: int, work: Callable[[], Any]) -> float:
    """How often a second `work` is done by so many threads, each of which has done it once before."""
    began = threading.Barrier(threads + 1)
    share = max(count // threads, 1)

    def writer() -> None:
        work()  # a connection is open, and the statement prepared
        began.wait()
        for _ in range(share):
            work()

    running = [threading.Thread(target=writer) for _ in range(threads)]
    for thread in running:
        thread.start()
    began.wait()
    started_s = time.perf_counter()
    for thread in running:
        thread.join()
    return share * threads / (time.perf_counter() - started_s)
