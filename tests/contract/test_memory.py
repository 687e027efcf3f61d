"""What the log in memory has beside the contract: what tests look at, and what it refuses to stand in for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventstore.domain import Order, OrderSide
from eventstore.errors import ConfigurationError, TimeoutError
from eventstore.log.records import StagedEvent
from eventstore.repositories import (
    IUnitOfWorkFactory,
    PostgreSQLOrderRepository,
    PostgreSQLTransactionManager,
)
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory, MockPostgreSQLAdapter
from tests.contract.databases import an_order


async def test_the_adapter_needs_nothing():
    """`PostgreSQLOrderRepository(MockPostgreSQLAdapter())` is a repository of its own empty database."""
    repository = PostgreSQLOrderRepository(MockPostgreSQLAdapter())
    order = await repository.save_order(an_order())
    assert await repository.get_active_orders() == [order]
    assert await PostgreSQLOrderRepository(MockPostgreSQLAdapter()).get_active_orders() == []


async def test_one_database_for_several():
    """A factory and adapters that are given one database see each other's commits."""
    factory: IUnitOfWorkFactory = InMemoryUnitOfWorkFactory()
    assert isinstance(factory, InMemoryUnitOfWorkFactory)
    repository = PostgreSQLOrderRepository(MockPostgreSQLAdapter(factory.database))
    async with await factory.create_unit_of_work_async(metadata={"actor": "me"}) as uow:
        order = await uow.orders.save_order(an_order())
    assert await repository.get_order_by_id(order.id) == order


async def test_events_can_be_looked_at():
    """`events` has all of them in the order of positions, `history` those of one entity."""
    factory = InMemoryUnitOfWorkFactory()
    first, second = an_order(0), an_order(1)
    async with factory.create_unit_of_work() as uow:
        await uow.orders.save_many([second, first])
        second.submit("B-1")
        await uow.orders.update_order(second)
    found = [(event.position, event.stream_id, event.type) for event in factory.database.events]
    assert found == [
        (1, second.id, "OrderCreated"),
        (2, first.id, "OrderCreated"),
        (3, second.id, "OrderSubmitted"),
    ]
    assert [event.version for event in factory.database.history(second.id)] == [1, 2]
    assert factory.database.history(Order.create_market_order("A", Decimal(1), OrderSide.BUY).id) == []


async def test_the_clock_is_the_tests():
    """`recorded_at` comes from the clock that was given."""
    point = datetime(2030, 1, 1, tzinfo=UTC)
    database = InMemoryDatabase(clock=lambda: point)
    await PostgreSQLOrderRepository(MockPostgreSQLAdapter(database)).save_order(an_order())
    assert database.events[0].recorded_at == point


async def test_positions_of_a_roll_back_are_left_out():
    """As a sequence does, the log does not give a drawn position a second time."""
    database = InMemoryDatabase()
    adapter = MockPostgreSQLAdapter(database)
    orders = PostgreSQLOrderRepository(adapter)
    await adapter.begin_transaction()
    await orders.save_order(an_order())
    await adapter.rollback_transaction()
    await orders.save_order(an_order())
    assert [event.position for event in database.events] == [2]


async def test_a_repetition_says_so():
    """The same append again gives the first one's positions."""
    database = InMemoryDatabase()
    order = an_order()
    staged = [StagedEvent(order.id, 1, order.pending_events[0])]
    first = await database.append(staged)
    again = await database.append(staged)
    assert (first.positions, first.repeated) == ((1,), False)
    assert (again.positions, again.repeated, again.recorded_at) == ((1,), True, first.recorded_at)
    assert (await database.append([])).positions == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda adapter: adapter.fetch_one("SELECT 1"),
        lambda adapter: adapter.fetch_all("SELECT 1"),
        lambda adapter: adapter.fetch_value("SELECT $1", 1, timeout_s=1),
        lambda adapter: adapter.execute("DELETE FROM events"),
        lambda adapter: adapter.execute_many("SELECT $1", [(1,)]),
        lambda adapter: adapter.connection_info(),
    ],
)
async def test_it_runs_no_sql(call):
    """What takes a statement says that there is no SQL here, and what was asked for."""
    with pytest.raises(ConfigurationError, match="runs no SQL"):
        await call(MockPostgreSQLAdapter())


@pytest.mark.parametrize("options", [{"isolation": "serializable"}, {"read_only": True}])
async def test_it_has_one_kind_of_transaction(options):
    """What it would have to pretend is refused."""
    adapter = MockPostgreSQLAdapter()
    with pytest.raises(ConfigurationError, match="read committed"):
        await adapter.begin_transaction(**options)
    assert not adapter.has_active_transaction


async def test_it_is_healthy():
    """`health_check` answers: there is no server that could be ill."""
    assert (await MockPostgreSQLAdapter().health_check()).healthy


async def test_a_wait_ends():
    """An append that waits for a transaction that nobody ends fails, and names the limit."""
    database = InMemoryDatabase(lock_timeout_s=0.05)
    holder = MockPostgreSQLAdapter(database)
    order = an_order()
    async with holder.transaction():
        await PostgreSQLOrderRepository(holder).save_order(order)
        with pytest.raises(TimeoutError, match="lock_timeout_s"):
            await PostgreSQLOrderRepository(MockPostgreSQLAdapter(database)).save_order(an_order(id=order.id))
    assert len(database.events) == 1


async def test_writers_meet_as_on_a_server():
    """Each call lets other tasks run, so that writers do conflict, and retries lose no success."""
    factory = InMemoryUnitOfWorkFactory()
    order = an_order()
    async with factory.create_unit_of_work() as uow:
        await uow.orders.save_order(order)
    manager = PostgreSQLTransactionManager(factory)
    attempts = 0

    async def raise_price(uow) -> None:
        nonlocal attempts
        attempts += 1
        mine = await uow.orders.get_order_by_id(order.id)
        mine.limit_price += 1
        await uow.orders.update_order(mine)

    await asyncio.gather(
        *(manager.execute_with_retry(raise_price, max_retries=99, backoff_factor=0.1) for _ in range(8))
    )
    async with factory.create_unit_of_work() as uow:
        loaded = await uow.orders.get_order_by_id(order.id)
    assert loaded is not None
    assert loaded.limit_price == 158
    assert attempts > 8
