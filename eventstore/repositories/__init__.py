"""Repositories, the Unit of Work and the transaction manager.

`PostgreSQLUnitOfWorkFactory` is imported on first use: it makes stores, and a store consists of these repositories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.repositories.booking import Book, Booking
from eventstore.repositories.instrument_repository import PostgreSQLInstrumentRepository
from eventstore.repositories.interfaces import (
    IEntityRepository,
    IInstrumentRepository,
    IOrderRepository,
    IPortfolioRepository,
    IPositionRepository,
    ITransactionManager,
    IUnitOfWork,
    IUnitOfWorkFactory,
)
from eventstore.repositories.order_repository import PostgreSQLOrderRepository
from eventstore.repositories.page import Page
from eventstore.repositories.portfolio_repository import PostgreSQLPortfolioRepository
from eventstore.repositories.position_repository import PostgreSQLPositionRepository
from eventstore.repositories.repository import EntityRepository
from eventstore.repositories.transaction_manager import PostgreSQLTransactionManager
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork

if TYPE_CHECKING:
    from eventstore.unit_of_work_factory import PostgreSQLUnitOfWorkFactory

__all__ = [
    "Book",
    "Booking",
    "EntityRepository",
    "IEntityRepository",
    "IInstrumentRepository",
    "IOrderRepository",
    "IPortfolioRepository",
    "IPositionRepository",
    "ITransactionManager",
    "IUnitOfWork",
    "IUnitOfWorkFactory",
    "Page",
    "PostgreSQLInstrumentRepository",
    "PostgreSQLOrderRepository",
    "PostgreSQLPortfolioRepository",
    "PostgreSQLPositionRepository",
    "PostgreSQLTransactionManager",
    "PostgreSQLUnitOfWork",
    "PostgreSQLUnitOfWorkFactory",
]


def __getattr__(name: str) -> Any:
    if name == "PostgreSQLUnitOfWorkFactory":
        from eventstore.unit_of_work_factory import PostgreSQLUnitOfWorkFactory  # noqa: PLC0415

        return PostgreSQLUnitOfWorkFactory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
