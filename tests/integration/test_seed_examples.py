"""A user of the classic layer keeps its calls: the same names, calls and arguments, from this library's modules."""

# ruff: noqa: FURB157 - amounts are written as the classic layer's users write them

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import pytest
import pytest_asyncio

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
from eventstore.repositories import (
    IUnitOfWork,
    PostgreSQLOrderRepository,
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWorkFactory,
)
from eventstore.testing import MockPostgreSQLAdapter
from tests.conftest import url_of


@pytest.fixture
def environment(migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> DatabaseConfig:
    """The variables of a process that runs against a migrated database."""
    for name, value in {
        "HOST": migrated_config.host,
        "PORT": migrated_config.port,
        "NAME": migrated_config.database,
        "USER": migrated_config.user,
        "MIN_POOL_SIZE": 5,
        "MAX_POOL_SIZE": 20,
        "MAX_IDLE_TIME": "300.0",
        "MAX_LIFETIME": "3600.0",
        "SSL_MODE": migrated_config.ssl_mode,
    }.items():
        monkeypatch.setenv(f"DATABASE_{name}", str(value))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if migrated_config.password is not None:
        monkeypatch.setenv("DATABASE_PASSWORD", migrated_config.password.get_secret_value())
    return migrated_config


@pytest_asyncio.fixture
async def connected(environment: DatabaseConfig) -> AsyncIterator[DatabaseConnection]:
    """The connection that a process opens at its start."""
    config = DatabaseConfig.from_env()
    connection = await ConnectionFactory.create_connection(config)
    yield connection
    await connection.close(timeout_s=5)


def a_limit_order() -> Order:
    """The order of the examples."""
    return Order.create_limit_order(
        symbol="AAPL", quantity=Decimal("100"), side=OrderSide.BUY, limit_price=Decimal("150.00")
    )


class TestConfiguration:
    """`DatabaseConfig`, three ways."""

    def test_from_the_environment(self, environment: DatabaseConfig):
        """The variables, with those that may be left out."""
        config = DatabaseConfig.from_env()
        assert (config.database, config.min_pool_size, config.max_pool_size) == (environment.database, 5, 20)
        assert (config.max_idle_time, config.max_lifetime) == (300.0, 3600.0)

    def test_from_a_url(self):
        """One line for all of it."""
        config = DatabaseConfig.from_url("postgresql://user:pass@host:5432/db?sslmode=require")
        assert (config.user, config.host, config.database, config.ssl_mode) == (
            "user",
            "host",
            "db",
            "require",
        )

    def test_by_hand(self):
        """By keywords."""
        config = DatabaseConfig(
            host="localhost",
            port=5432,
            database="ai_trader",
            user="trader",
            min_pool_size=5,
            max_pool_size=20,
        )
        assert (config.host, config.port, config.user, config.max_pool_size) == (
            "localhost",
            5432,
            "trader",
            20,
        )

    async def test_a_url_in_the_environment(self, migrated_config, monkeypatch):
        """`DATABASE_URL` says all of it, and wins."""
        monkeypatch.setenv("DATABASE_URL", url_of(migrated_config))
        monkeypatch.setenv("DATABASE_NAME", "another")
        assert DatabaseConfig.from_env().database == migrated_config.database


class TestUnitOfWork:
    """The Unit of Work, as a context manager and by hand."""

    @pytest.mark.usefixtures("environment")
    async def test_basic_setup(self):
        """A connection from the environment; a factory that is told of none takes it."""
        config = DatabaseConfig.from_env()
        connection = await ConnectionFactory.create_connection(config)
        factory = PostgreSQLUnitOfWorkFactory()
        uow = await factory.create_unit_of_work_async()
        assert not uow.is_active
        assert ConnectionFactory.default() is connection
        await connection.close()

    async def test_a_factory_alone(self, environment: DatabaseConfig):
        """Without a connection in the loop, the factory opens one from the environment."""
        factory = PostgreSQLUnitOfWorkFactory()
        uow = await factory.create_unit_of_work_async()
        async with uow:
            assert await uow.orders.get_active_orders() == []
        opened = ConnectionFactory.default()
        assert opened is not None
        assert opened.config.database == environment.database
        await opened.close()

    @pytest.mark.usefixtures("connected")
    async def test_as_a_context_manager(self):
        """Three repositories, one commit; what save and update return is the entity."""
        factory = PostgreSQLUnitOfWorkFactory()
        uow = await factory.create_unit_of_work_async()
        new_order = a_limit_order()
        new_position = Position.open_position("AAPL", Decimal("100"), Decimal("150.50"))
        updated_portfolio = Portfolio(name="Trading Portfolio", initial_capital=Decimal("100000"))
        async with uow:
            await uow.portfolios.save_portfolio(updated_portfolio)
        updated_portfolio.cash_balance = Decimal("84949")
        async with uow:
            order = await uow.orders.save_order(new_order)
            position = await uow.positions.save_position(new_position)
            portfolio = await uow.portfolios.update_portfolio(updated_portfolio)
        async with uow:
            assert await uow.orders.get_order_by_id(order.id) == order
            assert await uow.positions.get_position_by_id(position.id) == position
            assert await uow.portfolios.get_portfolio_by_id(portfolio.id) == portfolio

    @pytest.mark.usefixtures("connected")
    async def test_by_hand(self):
        """begin, try, commit; except, roll back."""
        uow = await PostgreSQLUnitOfWorkFactory().create_unit_of_work_async()
        order = a_limit_order()
        await uow.begin_transaction()
        try:
            await uow.orders.save_order(order)
            await uow.commit()
        except Exception:
            await uow.rollback()
            raise
        async with uow:
            assert await uow.orders.get_order_by_id(order.id) == order


async def test_transaction_manager(connected: DatabaseConnection):
    """`execute_with_retry` with its keywords, and `execute_batch` with a list."""
    factory = PostgreSQLUnitOfWorkFactory()
    manager = PostgreSQLTransactionManager(factory)

    async def my_operation(uow: IUnitOfWork) -> Order:
        return await uow.orders.save_order(a_limit_order())

    async def count(uow: IUnitOfWork) -> int:
        return len(await uow.orders.get_orders_by_symbol("AAPL"))

    result = await manager.execute_with_retry(operation=my_operation, max_retries=3, backoff_factor=1.0)
    assert result.version == 1
    results = await manager.execute_batch([my_operation, my_operation, count])
    assert [type(one) for one in results] == [Order, Order, int]
    assert results[-1] == 3


async def test_migrations(database_config: DatabaseConfig):
    """A fresh database: initialise, migrate to the latest, to a version, and ask where it stands."""
    connection = await ConnectionFactory.create_connection(database_config)
    adapter = PostgreSQLAdapter(connection)
    manager = MigrationManager(adapter)
    await manager.initialize()
    count = await manager.migrate_to_latest()
    assert count >= 4
    assert await manager.migrate_to_version("003") == count - 3
    status = await manager.get_status()
    assert status.current == 3
    assert await manager.migrate_to_latest() == count - 3
    await connection.close()


async def test_order_management(connected: DatabaseConnection):
    """Create, save, submit, update and query, in one Unit of Work."""
    uow = await PostgreSQLUnitOfWorkFactory().create_unit_of_work_async()
    order = a_limit_order()
    assert (order.order_type, order.time_in_force) == (OrderType.LIMIT, TimeInForce.DAY)
    async with uow:
        saved_order = await uow.orders.save_order(order)
        order.submit("BROKER-12345")
        updated_order = await uow.orders.update_order(order)
        active_orders = await uow.orders.get_active_orders()
        apple_orders = await uow.orders.get_orders_by_symbol("AAPL")
    assert saved_order is updated_order is order
    assert active_orders == apple_orders == [order]
    async with uow:
        assert await uow.orders.get_orders_by_broker_id("BROKER-12345") == [order]
        assert await uow.orders.get_orders_by_status(OrderStatus.SUBMITTED) == [order]


async def test_position_tracking(connected: DatabaseConnection):
    """Open, save, assign the market's price and a naive time, update and query."""
    uow = await PostgreSQLUnitOfWorkFactory().create_unit_of_work_async()
    position = Position.open_position(
        symbol="AAPL", quantity=Decimal("100"), entry_price=Decimal("150.50"), commission=Decimal("1.00")
    )
    async with uow:
        saved_position = await uow.positions.save_position(position)
        position.current_price = Decimal("152.00")
        position.last_updated = datetime.now()
        await uow.positions.update_position(position)
        active_positions = await uow.positions.get_active_positions()
        apple_position = await uow.positions.get_position_by_symbol("AAPL")
    assert saved_position is apple_position is position
    assert active_positions == [position]
    async with uow:
        loaded = await uow.positions.get_position_by_id(position.id)
    assert loaded is not None
    assert (loaded.current_price, loaded.unrealized_pnl) == (Decimal("152.00"), Decimal("150.00"))
    assert loaded.last_updated is not None
    assert abs((loaded.last_updated - datetime.now().astimezone()).total_seconds()) < 60


async def test_portfolio_management(connected: DatabaseConnection):
    """Construct, save, assign metrics, update, and get the current one."""
    uow = await PostgreSQLUnitOfWorkFactory().create_unit_of_work_async()
    portfolio = Portfolio(
        name="Trading Portfolio",
        initial_capital=Decimal("100000"),
        cash_balance=Decimal("95000"),
        max_position_size=Decimal("10000"),
    )
    async with uow:
        saved_portfolio = await uow.portfolios.save_portfolio(portfolio)
        portfolio.total_realized_pnl = Decimal("1250.00")
        portfolio.trades_count = 15
        portfolio.winning_trades = 10
        await uow.portfolios.update_portfolio(portfolio)
        current = await uow.portfolios.get_current_portfolio()
    assert saved_portfolio is current is portfolio
    async with uow:
        loaded = await uow.portfolios.get_current_portfolio()
    assert loaded == portfolio
    assert loaded is not None
    assert (loaded.cash_balance, loaded.trades_count) == (Decimal(95000), 15)


async def test_for_users_tests(migrated_config: DatabaseConfig):
    """A repository on the double, and a connection that is told its database by keyword."""
    test_adapter = MockPostgreSQLAdapter()
    test_repository = PostgreSQLOrderRepository(test_adapter)
    order = await test_repository.save_order(a_limit_order())
    assert await test_repository.get_order_by_id(order.id) == order

    test_config = DatabaseConfig(
        database=migrated_config.database,
        host=migrated_config.host,
        port=migrated_config.port,
        user=migrated_config.user,
        password=migrated_config.password,
    )
    test_connection = await ConnectionFactory.create_connection(test_config)
    assert (await test_connection.health_check()).healthy
    await test_connection.close()


@pytest.mark.parametrize(
    ("classic", "builtin"),
    [
        ("ConnectionError", ConnectionError),
        ("RepositoryError", Exception),
        ("EntityNotFoundError", Exception),
        ("TransactionError", Exception),
        ("IntegrityError", Exception),
        ("TimeoutError", TimeoutError),
    ],
)
def test_errors_keep_their_names(classic: str, builtin: type[Exception]):
    """The six errors that the classic layer maps to are there, and two of them are the built-ins too."""
    from eventstore import errors

    error = getattr(errors, classic)
    assert issubclass(error, builtin)
    assert issubclass(error, errors.EventStoreError)
