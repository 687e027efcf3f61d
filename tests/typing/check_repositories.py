"""What a type checker makes of the repositories, the Unit of Work and the store: checked by mypy, never run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from eventstore.core import Entity
from eventstore.database import ConnectionFactory, DatabaseConnection, PostgreSQLAdapter
from eventstore.domain import Order, OrderStatus, Portfolio, Position
from eventstore.repositories import (
    IOrderRepository,
    IPortfolioRepository,
    IPositionRepository,
    ITransactionManager,
    IUnitOfWork,
    IUnitOfWorkFactory,
    Page,
    PostgreSQLOrderRepository,
    PostgreSQLPortfolioRepository,
    PostgreSQLPositionRepository,
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWork,
    PostgreSQLUnitOfWorkFactory,
)
from eventstore.store import EventStore


class Strategy(Entity, category="strategy"):
    """An entity of a user's own."""

    name: str
    threshold: Decimal = Decimal(0)


def implementations(adapter: PostgreSQLAdapter, connection: DatabaseConnection) -> None:
    """Each class is what its interface asks for."""
    orders: IOrderRepository = PostgreSQLOrderRepository(adapter)
    positions: IPositionRepository = PostgreSQLPositionRepository(adapter)
    portfolios: IPortfolioRepository = PostgreSQLPortfolioRepository(adapter)
    factory: IUnitOfWorkFactory = PostgreSQLUnitOfWorkFactory(connection)
    unit: IUnitOfWork = PostgreSQLUnitOfWorkFactory().create_unit_of_work()
    manager: ITransactionManager = PostgreSQLTransactionManager(factory)
    assert [orders, positions, portfolios, unit, manager]


async def repositories(uow: PostgreSQLUnitOfWork, order: Order, order_id: UUID) -> None:
    """What is saved comes back as itself; what may be missing may be None; lists are lists of entities."""
    async with uow as entered:
        assert_type(entered, PostgreSQLUnitOfWork)
    assert_type(await uow.orders.save_order(order), Order)
    assert_type(await uow.orders.get_order_by_id(order_id), Order | None)
    assert_type(await uow.orders.get_orders_by_status(OrderStatus.FILLED), Page[Order])
    assert_type(await uow.orders.get_active_orders(limit=10, after=order), Page[Order])
    assert_type((await uow.orders.get_active_orders())[:2], Page[Order])
    assert_type((await uow.orders.get_active_orders())[0], Order)
    assert_type(await uow.orders.delete_order(order_id), bool)
    assert_type(await uow.positions.get_position_by_symbol("ES", strategy="mean"), Position | None)
    assert_type(await uow.positions.close_position(order_id, exit_price=Decimal(1)), bool)
    assert_type(await uow.portfolios.get_current_portfolio(), Portfolio | None)
    await uow.orders.save_order(order_id)  # type: ignore[arg-type]
    await uow.orders.get_orders_by_status("FILLED")  # type: ignore[arg-type]


async def own_entities(uow: PostgreSQLUnitOfWork, strategy_id: UUID) -> None:
    """A repository of a user's entity knows its class; `refresh` too."""
    strategies = uow.entities(Strategy)
    strategy = await strategies.get(strategy_id)
    assert_type(strategy, Strategy | None)
    if strategy is not None:
        assert_type(await strategies.save(strategy), Strategy)
        assert_type(await uow.refresh(strategy), Strategy)


async def operations(factory: PostgreSQLUnitOfWorkFactory) -> None:
    """The transaction manager hands on what the operation returns."""

    async def count(uow: IUnitOfWork) -> int:
        return len(await uow.orders.get_active_orders())

    manager = PostgreSQLTransactionManager(factory)
    assert_type(await manager.execute_in_transaction(count), int)
    assert_type(await manager.execute_with_retry(count, max_retries=3, backoff_factor=1.0), int)
    assert_type(await manager.execute_with_retry(operation=count), int)
    assert_type(await manager.execute_batch([count, count]), list[Any])


async def store() -> None:
    """The store is opened for a block."""
    async with EventStore.open(workers=False) as opened:
        assert_type(opened, EventStore)
        assert_type(opened.unit_of_work(), PostgreSQLUnitOfWork)
        await opened.wait_for(10, timeout_s=1)
    assert_type(ConnectionFactory.default(), DatabaseConnection | None)
