"""An event-sourced persistence store for trading systems, on PostgreSQL and asyncio.

Every change of an order, a position or a portfolio is appended as an event inside a Unit of Work. Projections fold
the events into read tables, the repositories query those, and history can be replayed to rebuild any state.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from eventstore import installation as _installation

if TYPE_CHECKING:
    from eventstore.core.causation import caused_by, context_metadata
    from eventstore.core.context import use_clock, use_ids
    from eventstore.core.entity import Entity, applies
    from eventstore.core.event import Event, RecordedEvent
    from eventstore.core.registry import EventRegistry
    from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster
    from eventstore.database import (
        ConnectionFactory,
        DatabaseConfig,
        DatabaseConnection,
        MigrationManager,
        PostgreSQLAdapter,
    )
    from eventstore.domain.order import Order, OrderSide, OrderStatus, OrderType, TimeInForce
    from eventstore.domain.portfolio import Portfolio
    from eventstore.domain.position import Position
    from eventstore.errors import ConcurrencyError, DomainError, EventStoreError
    from eventstore.log import EventLog, StreamAppend
    from eventstore.repositories import (
        PostgreSQLTransactionManager,
        PostgreSQLUnitOfWork,
        PostgreSQLUnitOfWorkFactory,
    )
    from eventstore.store import EventStore

__version__ = "0.1.0"

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

# The module of each name. A name is imported when it is first used, so that the kernel and the log can be used without
# the trading model, and the store without an import cycle: it imports the projections, which import this package.
_MODULES = {
    "ConcurrencyError": "eventstore.errors",
    "ConnectionFactory": "eventstore.database",
    "DatabaseConfig": "eventstore.database",
    "DatabaseConnection": "eventstore.database",
    "DomainError": "eventstore.errors",
    "Entity": "eventstore.core.entity",
    "Event": "eventstore.core.event",
    "EventContext": "eventstore.core.upcasting",
    "EventLog": "eventstore.log",
    "EventRegistry": "eventstore.core.event",
    "EventStore": "eventstore.store",
    "EventStoreError": "eventstore.errors",
    "MigrationManager": "eventstore.database",
    "Order": "eventstore.domain.order",
    "OrderSide": "eventstore.domain.order",
    "OrderStatus": "eventstore.domain.order",
    "OrderType": "eventstore.domain.order",
    "Portfolio": "eventstore.domain.portfolio",
    "Position": "eventstore.domain.position",
    "PostgreSQLAdapter": "eventstore.database",
    "PostgreSQLTransactionManager": "eventstore.repositories",
    "PostgreSQLUnitOfWork": "eventstore.repositories",
    "PostgreSQLUnitOfWorkFactory": "eventstore.repositories",
    "RecordedEvent": "eventstore.core.event",
    "StreamAppend": "eventstore.log",
    "TimeInForce": "eventstore.domain.order",
    "UpcastEvent": "eventstore.core.upcasting",
    "applies": "eventstore.core.entity",
    "caused_by": "eventstore.core.causation",
    "context_metadata": "eventstore.core.causation",
    "upcaster": "eventstore.core.upcasting",
    "use_clock": "eventstore.core.context",
    "use_ids": "eventstore.core.context",
}

_PACKAGES = ("core", "database", "domain", "errors", "log", "repositories")

# pytest imports this package at each start for its plugin, also in projects that do not use it. In that case the first
# import of the store reports the error.
if "pytest" not in sys.modules:
    _installation.require_package("projections")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A reader of a log needs the event classes of the trading model, which this import registers.
    importlib.import_module("eventstore.domain")
    found = getattr(importlib.import_module(module), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
