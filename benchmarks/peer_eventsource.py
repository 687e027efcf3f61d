"""The peer `eventsource-py`, on asyncpg through SQLAlchemy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

from eventsource import DomainEvent, ExpectedVersion, PostgreSQLEventStore, StreamId, create_async_engine
from uuid_utils.compat import uuid7

from benchmarks.workload import rate
from eventstore.database.config import DatabaseConfig

__all__ = ["opened"]


class OrderCreated(DomainEvent):
    """The creation of an order with the fields of ours."""

    aggregate_type: str = "order"
    symbol: str
    quantity: Decimal
    side: str
    order_type: str
    limit_price: Decimal


@asynccontextmanager
async def opened(
    config: DatabaseConfig, writers: int, events: int = 1
) -> AsyncIterator[dict[str, Callable[[int], Awaitable[float]]]]:
    """Yield its way to append by name, from how many events to events a second; the events of an append share a stream."""
    url = f"postgresql+asyncpg://{config.user}@/{config.database}?host={config.host}&port={config.port}"
    engine = create_async_engine(url, pool_size=writers, max_overflow=0)
    store = PostgreSQLEventStore(engine, create_schema=True)

    async def append() -> None:
        stream = StreamId(uuid7(), "order")
        made = [
            OrderCreated(
                event_id=uuid7(),
                aggregate_id=stream.aggregate_id,
                symbol="ESU3",
                quantity=Decimal(5),
                side="BUY",
                order_type="LIMIT",
                limit_price=Decimal("1640.25"),
            )
            for _ in range(events)
        ]
        await store.append(stream, made, ExpectedVersion.no_stream())

    async def appended(count: int) -> float:
        await rate(writers, writers, append)  # connected, and the statements prepared
        return await rate(max(count // events, 1), writers, append) * events

    try:
        yield {f"eventsource-py, its store, {writers} tasks": appended}
    finally:
        await engine.dispose()
