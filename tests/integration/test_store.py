"""The store: what it starts, what it waits for, and what is left when it closes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConfigurationError, FactoryError, NotMigratedError, TimeoutError
from eventstore.repositories import PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory
from eventstore.store import EventStore
from tests.entities import everything
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.repositories import IUnitOfWork


def new_order() -> Order:
    """A new order."""
    return Order.create_market_order("ES", Decimal(10), OrderSide.BUY)


def running() -> set[str]:
    """The projections that tasks of this event loop keep up to date."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return {name.split()[2] for name in names if name.startswith("eventstore projection ")}


async def test_workers_fold_what_is_committed_and_end_with_the_store(migrated_config: DatabaseConfig):
    """With workers the tables follow; `wait_for` returns when they have; closing leaves no task."""
    async with EventStore.open(migrated_config) as store:
        assert running() >= {"orders", "portfolios", "positions"}
        order = new_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        assert uow.last_position is not None
        await store.wait_for(uow.last_position)
        async with store.unit_of_work() as uow:
            assert await uow.orders.get_active_orders(consistency="eventual") == [order]
        await store.start_workers()
        assert running() >= {"orders", "portfolios", "positions"}
    assert running() == set()


async def test_waiting_without_a_worker_ends_at_its_limit(store: EventStore):
    """The error names the position and the limit; an unknown projection is a configuration error."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(new_order())
    with pytest.raises(TimeoutError, match=r"0\.05 s \(timeout_s\)"):
        await store.wait_for(await store.log.head(), timeout_s=0.05)
    with pytest.raises(ConfigurationError, match="orders"):
        await store.wait_for(1, projections=["nothing"])


async def test_a_database_that_is_not_migrated_says_so(database_config: DatabaseConfig):
    """Opening it fails at once with what to do; `migrate=True` brings it up to date."""
    for workers in (True, False):
        with pytest.raises(NotMigratedError, match="migrate"):
            async with EventStore.open(database_config, workers=workers):
                pass
    async with EventStore.open(database_config, migrate=True, workers=False) as store:
        assert await everything(store.connection) == []


async def test_a_factory_starts_workers_and_finds_the_open_connection(migrated_config: DatabaseConfig):
    """Without a connection it takes the oldest open one; the workers start with the first Unit of Work, if wanted."""
    with pytest.raises(FactoryError):
        PostgreSQLUnitOfWorkFactory().create_unit_of_work()
    connection = await ConnectionFactory.create_connection(migrated_config)
    quiet = await PostgreSQLUnitOfWorkFactory(workers=False).create_unit_of_work_async()
    assert running() == set()
    order = new_order()
    async with quiet as uow:
        await uow.orders.save_order(order)
    async with PostgreSQLUnitOfWorkFactory().create_unit_of_work() as uow:
        assert await uow.orders.get_order_by_id(order.id) == order
    await until(lambda: running() >= {"orders", "portfolios", "positions"})
    await connection.close()
    assert running() == set()
    with pytest.raises(FactoryError):
        await PostgreSQLUnitOfWorkFactory(connection).create_unit_of_work_async()


async def test_operations_are_retried_until_they_win(store: EventStore):
    """Ten tasks count on one order through retries: every fill is there; a rule that forbids is raised at once."""
    manager = PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))
    order = new_order()

    async def save(uow: IUnitOfWork) -> None:
        await uow.orders.save_order(order)

    await manager.execute_in_transaction(save)
    attempts = 0

    def fill(number: int):
        async def operation(uow: IUnitOfWork) -> int:
            nonlocal attempts
            attempts += 1
            mine = await uow.orders.get_order_by_id(order.id)
            assert mine is not None
            mine.fill(Decimal(1), Decimal(5), f"E-{number}")
            await uow.orders.update_order(mine)
            return number

        return operation

    results = await asyncio.gather(
        *(
            manager.execute_with_retry(fill(number), max_retries=50, backoff_factor=0.2)
            for number in range(10)
        )
    )
    assert results == list(range(10))
    assert attempts > 10
    filled = Order.fold(await store.history(order.id))
    assert filled is not None
    assert (filled.filled_quantity, filled.version) == (Decimal(10), 11)
    before = attempts
    with pytest.raises(ValueError, match="overfill"):
        await manager.execute_with_retry(fill(11))
    assert attempts == before + 1


async def test_a_batch_is_one_unit_of_work(store: EventStore):
    """Results come in order; one error and nothing of any is written."""
    manager = PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))

    async def save(uow: IUnitOfWork) -> str:
        await uow.orders.save_order(new_order())
        return "saved"

    async def fail(_: IUnitOfWork) -> None:
        raise ZeroDivisionError

    assert await manager.execute_batch([save, save]) == ["saved", "saved"]
    with pytest.raises(ZeroDivisionError):
        await manager.execute_batch([save, fail])
    assert len(await everything(store.connection)) == 2
