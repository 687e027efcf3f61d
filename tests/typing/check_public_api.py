"""What a type checker makes of the public API: checked by mypy, never run.

A function here that type-checks is the test; `assert_type` says what a user's editor must show, and a line marked
`type: ignore` must be an error (mypy warns where it is none).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

import asyncpg

from eventstore.core import Event, RecordedEvent, use_clock
from eventstore.database import (
    ConnectionFactory,
    ConnectionInfo,
    DatabaseConfig,
    DatabaseConnection,
    HealthStatus,
    MigrationManager,
    PoolStatistics,
    PostgreSQLAdapter,
)
from eventstore.domain import Order, OrderSide, OrderStatus, Portfolio, Position
from eventstore.errors import ConcurrencyError, DomainError, EventStoreError
from eventstore.log import AppendResult, EventLog


def configuration() -> None:
    """Every way to a configuration gives one."""
    assert_type(DatabaseConfig.from_env(), DatabaseConfig)
    assert_type(DatabaseConfig.from_url("postgresql:///trading"), DatabaseConfig)
    config = DatabaseConfig(
        host="localhost", port=5432, database="ai_trader", user="trader", max_pool_size=20
    )
    assert_type(config.max_pool_size, int)


async def connections(config: DatabaseConfig, query: str) -> None:
    """A connection lends asyncpg's own; what is read has no type that we could know."""
    connection = await ConnectionFactory.create_connection(config)
    assert_type(connection, DatabaseConnection)
    assert_type(ConnectionFactory.default(), DatabaseConnection | None)
    assert_type(connection.statistics(), PoolStatistics)
    assert_type(await connection.health_check(), HealthStatus)
    lent: AbstractAsyncContextManager[asyncpg.Connection] = connection.acquire(timeout_s=1)
    async with lent:
        pass
    adapter = PostgreSQLAdapter(connection)
    assert_type(await adapter.fetch_all(query, 1, timeout_s=0.5), list[Any])
    assert_type(await adapter.execute(query), str)
    assert_type(adapter.has_active_transaction, bool)
    assert_type(await adapter.connection_info(), ConnectionInfo)
    assert_type(await MigrationManager(adapter).migrate_to_version("003"), int)
    await adapter.fetch_one(query, timeout=1)  # type: ignore[call-arg]


def orders(portfolio: Portfolio) -> None:
    """Entities keep their own types through factories and methods."""
    order = Order.create_limit_order(
        "ES", Decimal(2), OrderSide.BUY, limit_price=Decimal(100), strategy="mean"
    )
    assert_type(order, Order)
    assert_type(order.id, UUID)
    assert_type(order.version, int)
    assert_type(order.status, OrderStatus)
    assert_type(order.average_fill_price, Decimal | None)
    assert_type(order.created_at, datetime)
    order.fill(Decimal(1), Decimal("99.75"), "X-1", commission=Decimal("0.1"))
    order.fill(1.5, Decimal(1), "X-2")  # type: ignore[arg-type]
    Order.create_limit_order("ES", Decimal(2), OrderSide.BUY)  # type: ignore[call-arg]
    Order.create_market_order("ES", Decimal(2), "BUY")  # type: ignore[arg-type]
    position = Position.open_position("ES", Decimal(2), Decimal(100))
    assert_type(position, Position)
    assert_type(position.apply_fill(OrderSide.SELL, Decimal(3), Decimal(101), "X-3"), Position | None)
    assert_type(portfolio.total_return, Decimal | None)


def folds(events: Iterator[RecordedEvent]) -> None:
    """A fold gives the entity that was asked for, or none; an event's class tells its fields."""
    assert_type(Order.fold(events), Order | None)
    for recorded in events:
        assert_type(recorded.event, Event)
        assert_type(Position.fold([recorded]), Position | None)


async def logs(log: EventLog, stream_id: UUID) -> None:
    """What is read from the log are recorded events."""
    assert_type(await log.append(), AppendResult)
    assert_type(await log.read_stream(stream_id), list[RecordedEvent])
    async for recorded in log.read_all(after=10, categories=["order"]):
        assert_type(recorded, RecordedEvent)
    async for recorded in log.subscribe():
        assert_type(recorded.position, int)


def failures(error: ConcurrencyError, refused: DomainError, any_error: EventStoreError) -> None:
    """Errors carry what a program needs, typed."""
    assert_type(error.stream_id, UUID)
    assert_type(error.actual, int | None)
    assert_type(refused.rule, str)
    assert_type(any_error.retryable, bool)


def clocks(point: datetime) -> None:
    """A clock is set for a block."""
    block: AbstractContextManager[None] = use_clock(lambda: point)
    with block:
        pass
