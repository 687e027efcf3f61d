"""Repositories, the Unit of Work and the transaction manager."""

from eventstore.repositories.factory import PostgreSQLUnitOfWorkFactory
from eventstore.repositories.interfaces import (
    IEntityRepository,
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
from eventstore.repositories.transaction_manager import PostgreSQLTransactionManager
from eventstore.repositories.unit_of_work import EntityRepository, PostgreSQLUnitOfWork

__all__ = [
    "EntityRepository",
    "IEntityRepository",
    "IOrderRepository",
    "IPortfolioRepository",
    "IPositionRepository",
    "ITransactionManager",
    "IUnitOfWork",
    "IUnitOfWorkFactory",
    "Page",
    "PostgreSQLOrderRepository",
    "PostgreSQLPortfolioRepository",
    "PostgreSQLPositionRepository",
    "PostgreSQLTransactionManager",
    "PostgreSQLUnitOfWork",
    "PostgreSQLUnitOfWorkFactory",
]
