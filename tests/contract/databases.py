"""What the contract runs against: one face for the log in memory and the one in PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from eventstore.core import Entity, applies
from eventstore.core.event import Event, RecordedEvent
from eventstore.database import PostgreSQLAdapter
from eventstore.domain import Instrument, Order, OrderSide, Portfolio, Position
from eventstore.repositories import PostgreSQLUnitOfWork
from eventstore.store import EventStore, built_in_projections
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory, MockPostgreSQLAdapter
from projections import ProjectionWorker

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from eventstore.replay.as_of import Past

START = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)


class Database(Protocol):
    """A database of events, whatever holds it."""

    def unit_of_work(self, **metadata: Any) -> PostgreSQLUnitOfWork:
        """A new Unit of Work."""

    def adapter(self) -> Any:
        """A new adapter."""

    async def history(self, stream_id: UUID) -> list[RecordedEvent]:
        """The committed events of one stream."""

    def as_of(self, **when: Any) -> AbstractAsyncContextManager[Past]:
        """The repositories of a point in time."""

    async def catch_up(self) -> None:
        """Bring the read tables up to date, where this database is one that does so."""


class MemoryDatabase:
    """The log in memory."""

    def __init__(self) -> None:
        self.memory = InMemoryDatabase()
        self.factory = InMemoryUnitOfWorkFactory(self.memory)

    def unit_of_work(self, **metadata: Any) -> PostgreSQLUnitOfWork:
        """A new Unit of Work."""
        return self.factory.create_unit_of_work(metadata=metadata)

    def adapter(self) -> MockPostgreSQLAdapter:
        """A new adapter."""
        return MockPostgreSQLAdapter(self.memory)

    async def history(self, stream_id: UUID) -> list[RecordedEvent]:
        """The committed events of one stream."""
        return self.memory.history(stream_id)

    def as_of(self, **when: Any) -> AbstractAsyncContextManager[Past]:
        """The repositories of a point in time."""
        return self.factory.as_of(**when)

    async def catch_up(self) -> None:
        """Nothing lags here."""


class StoreDatabase:
    """A store on PostgreSQL; the read tables stay empty, or `catch_up` fills them."""

    def __init__(self, store: EventStore, *, projected: bool) -> None:
        self.store = store
        self._projected = projected

    def unit_of_work(self, **metadata: Any) -> PostgreSQLUnitOfWork:
        """A new Unit of Work."""
        return self.store.unit_of_work(metadata=metadata)

    def adapter(self) -> PostgreSQLAdapter:
        """A new adapter."""
        return PostgreSQLAdapter(self.store.connection)

    async def history(self, stream_id: UUID) -> list[RecordedEvent]:
        """The committed events of one stream."""
        return await self.store.history(stream_id)

    def as_of(self, **when: Any) -> AbstractAsyncContextManager[Past]:
        """The repositories of a point in time."""
        return self.store.as_of(**when)

    async def catch_up(self) -> None:
        """Fold what is in the log into the tables."""
        if self._projected:
            head = await self.store.log.head()
            for projection in built_in_projections():
                await ProjectionWorker(self.store.log, projection).catch_up(head)


# ---- what the tests save -------------------------------------------------------------------------------------------


class StrategyTuned(Event, category="contract strategy"):
    """The threshold of a strategy was set."""

    threshold: Decimal


class Strategy(Entity, category="contract strategy"):
    """An entity of a user's own, without a read table."""

    name: str
    threshold: Decimal = Decimal(0)

    def tune(self, threshold: Decimal) -> None:
        """Set the threshold."""
        self.emit(StrategyTuned(threshold=threshold))

    @applies(StrategyTuned)
    def _tuned(self, event: StrategyTuned) -> None:
        self.set(threshold=event.threshold)


def minute(number: float) -> datetime:
    """A time so many minutes after the first."""
    return START + timedelta(minutes=number)


def an_order(at: float = 0, *, symbol: str = "AAPL", **details: Any) -> Order:
    """A limit order made `at` minutes after the first."""
    return Order.create_limit_order(
        symbol,
        Decimal(100),
        OrderSide.BUY,
        limit_price=Decimal("150.00"),
        occurred_at=minute(at),
        **details,
    )


def a_position(at: float = 0, *, symbol: str = "AAPL", quantity: int = 100, **details: Any) -> Position:
    """A position opened `at` minutes after the first, at 150.50."""
    return Position.open_position(
        symbol, Decimal(quantity), Decimal("150.50"), Decimal(1), occurred_at=minute(at), **details
    )


def a_portfolio(at: float = 0, *, name: str = "Main", **details: Any) -> Portfolio:
    """A portfolio of 100,000 made `at` minutes after the first."""
    return Portfolio(name=name, initial_capital=Decimal(100_000), created_at=minute(at), **details)


async def save(database: Database, *entities: Entity) -> None:
    """Save entities in one Unit of Work, and let the tables come up to date."""
    async with database.unit_of_work() as uow:
        for entity in entities:
            if isinstance(entity, Order):
                await uow.orders.save_order(entity)
            elif isinstance(entity, Position):
                await uow.positions.save_position(entity)
            elif isinstance(entity, Portfolio):
                await uow.portfolios.save_portfolio(entity)
            elif isinstance(entity, Instrument):
                await uow.instruments.save_instrument(entity)
            else:
                await uow.entities(type(entity)).save(entity)
    await database.catch_up()


async def types(database: Database, stream_id: UUID) -> list[str]:
    """The types of the events of one stream."""
    return [event.type for event in await database.history(stream_id)]


async def load(uow: PostgreSQLUnitOfWork, order_id: UUID) -> Order:
    """The order of this id, which is there."""
    order = await uow.orders.get_order_by_id(order_id)
    assert order is not None
    return order
