"""An event-sourced persistence store for trading systems, on PostgreSQL and asyncio.

Every change of an order, a position or a portfolio is appended as an event inside a Unit of Work. Projections fold
the events into read tables, the repositories query those, and history can be replayed to rebuild any state.
"""

import sys
from typing import TYPE_CHECKING, Any

from eventstore import installation as _installation
from eventstore.database import (
    ConnectionFactory,
    DatabaseConfig,
    DatabaseConnection,
    MigrationManager,
    PostgreSQLAdapter,
)
from eventstore.domain.causation import caused_by, context_metadata
from eventstore.domain.context import use_clock, use_ids
from eventstore.domain.entity import Entity, applies
from eventstore.domain.event import Event, EventRegistry, RecordedEvent
from eventstore.domain.order import Order, OrderSide, OrderStatus, OrderType, TimeInForce
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.domain.upcasting import EventContext, UpcastEvent, upcaster
from eventstore.errors import ConcurrencyError, DomainError, EventStoreError
from eventstore.log import EventLog, StreamAppend
from eventstore.repositories import (
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWork,
    PostgreSQLUnitOfWorkFactory,
)

if TYPE_CHECKING:
    from eventstore.store import EventStore

__all__ = [
    "ConcurrencyError",
    "ConnectionFactory",
    "DatabaseConfig",
    "DatabaseConnection",
    "DomainError",
    "Entity",
    "Event",
    "EventContext",
    "EventLog",
    "EventRegistry",
    "EventStore",
    "EventStoreError",
    "MigrationManager",
    "Order",
    "OrderSide",
    "OrderStatus",
    "OrderType",
    "Portfolio",
    "Position",
    "PostgreSQLAdapter",
    "PostgreSQLTransactionManager",
    "PostgreSQLUnitOfWork",
    "PostgreSQLUnitOfWorkFactory",
    "RecordedEvent",
    "StreamAppend",
    "TimeInForce",
    "UpcastEvent",
    "applies",
    "caused_by",
    "context_metadata",
    "upcaster",
    "use_clock",
    "use_ids",
]


# pytest imports this package at each start for the plugin in it, also in projects that do not use it: there the first
# import of the store says it.
if "pytest" not in sys.modules:
    _installation.require_package("projections")


def __getattr__(name: str) -> Any:
    # The composition root imports the projections, which import this package: so it is imported when asked for.
    if name == "EventStore":
        from eventstore.store import EventStore  # noqa: PLC0415

        return EventStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
