"""The contract of repositories on a bare adapter: per call, and inside its transaction."""

from __future__ import annotations

from decimal import Decimal

import pytest

from eventstore.domain import OrderStatus
from eventstore.errors import (
    ConcurrencyError,
    EntityNotFoundError,
    OrderNotFoundError,
    RepositoryError,
    TransactionAlreadyActiveError,
    TransactionNotActiveError,
)
from eventstore.repositories import (
    EntityRepository,
    PostgreSQLOrderRepository,
    PostgreSQLPortfolioRepository,
    PostgreSQLPositionRepository,
)
from tests.contract.databases import (
    Database,
    Strategy,
    a_portfolio,
    a_position,
    an_order,
    minute,
    save,
    types,
)


class TestPerCall:
    """Without a transaction each call is one."""

    async def test_each_call_appends(self, tables: Database):
        """What a call saved is committed when it returns, and others see it."""
        orders = PostgreSQLOrderRepository(tables.adapter())
        others = PostgreSQLOrderRepository(tables.adapter())
        order = an_order()
        assert await orders.save_order(order) is order
        assert order.version == 1
        await tables.catch_up()
        loaded = await others.get_order_by_id(order.id)
        assert loaded == order
        assert loaded is not order
        order.submit("B-1")
        assert await orders.update_order(order) is order
        assert await others.get_orders_by_broker_id("B-1") == [order]
        assert await orders.delete_order(order.id) is True
        assert await others.get_order_by_id(order.id) is None

    async def test_each_read_is_an_instance_of_its_own(self, database: Database):
        """There is no Unit of Work in which an id could be one instance."""
        orders = PostgreSQLOrderRepository(database.adapter())
        order = await orders.save_order(an_order())
        assert await orders.get_order_by_id(order.id) is not await orders.get_order_by_id(order.id)

    async def test_all_three(self, database: Database):
        """Positions and portfolios too, with what only they have."""
        adapter = database.adapter()
        positions, portfolios = PostgreSQLPositionRepository(adapter), PostgreSQLPortfolioRepository(adapter)
        portfolio = await portfolios.save_portfolio(a_portfolio())
        position = await positions.save_position(a_position(portfolio_id=portfolio.id))
        assert await positions.close_position(position.id, Decimal(151)) is True
        assert await positions.get_position_by_symbol("AAPL") is None
        assert await portfolios.get_current_portfolio() == portfolio
        snapshot = await portfolios.create_portfolio_snapshot(portfolio.id)
        history = await portfolios.get_portfolio_history(portfolio.id, snapshot.taken_at, snapshot.taken_at)
        assert history == [snapshot]

    async def test_a_conflict(self, database: Database):
        """A stale entity is refused, with its stream and versions, and keeps its changes."""
        orders = PostgreSQLOrderRepository(database.adapter())
        order = await orders.save_order(an_order())
        stale = await orders.get_order_by_id(order.id)
        assert stale is not None
        order.submit("B-1")
        await orders.update_order(order)
        stale.limit_price = Decimal(1)
        with pytest.raises(ConcurrencyError) as raised:
            await orders.update_order(stale)
        assert (raised.value.stream_id, raised.value.expected, raised.value.actual) == (order.id, 1, 2)
        assert (stale.version, stale.has_unsaved_changes) == (1, True)

    async def test_save_many_is_one_append(self, database: Database):
        """One that is stale keeps all of them out."""
        orders = PostgreSQLOrderRepository(database.adapter())
        order = await orders.save_order(an_order())
        stale = await orders.get_order_by_id(order.id)
        assert stale is not None
        order.submit("B-1")
        await orders.update_order(order)
        stale.cancel()
        new = an_order()
        with pytest.raises(ConcurrencyError):
            await orders.save_many([new, stale])
        assert await types(database, new.id) == []
        assert new.version == 0

    async def test_an_unknown_id(self, database: Database):
        """`update_order` raises, and the adapter can be used on."""
        orders = PostgreSQLOrderRepository(database.adapter())
        order = an_order()
        with pytest.raises(OrderNotFoundError):
            await orders.update_order(order)
        await orders.save_order(order)
        assert await types(database, order.id) == ["OrderCreated"]


class TestInsideATransaction:
    """All calls between begin and commit are one."""

    async def test_a_commit_keeps_all(self, database: Database):
        """Of every repository; others see nothing before it, and the versions are new after it."""
        adapter = database.adapter()
        orders, positions = PostgreSQLOrderRepository(adapter), PostgreSQLPositionRepository(adapter)
        others = PostgreSQLOrderRepository(database.adapter())
        order, position = an_order(), a_position()
        assert not adapter.has_active_transaction
        await adapter.begin_transaction()
        assert adapter.has_active_transaction
        await orders.save_order(order)
        order.submit("B-1")
        await orders.update_order(order)
        await positions.save_position(position)
        assert await others.get_order_by_id(order.id) is None
        assert await others.get_active_orders() == []
        assert order.version == 0
        await adapter.commit_transaction()
        assert not adapter.has_active_transaction
        assert (order.version, position.version) == (2, 1)
        assert await others.get_active_orders() == [order]

    async def test_a_roll_back_keeps_nothing(self, database: Database):
        """The entities have their changes pending again, and can be saved."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order = an_order()
        await adapter.begin_transaction()
        await orders.save_order(order)
        await adapter.rollback_transaction()
        assert order.version == 0
        assert await types(database, order.id) == []
        await orders.save_order(order)
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_its_reads_see_its_own(self, tables: Database):
        """By id and in lists, and one id is one instance in it."""
        old = an_order(0)
        await save(tables, old)
        adapter = tables.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        new = an_order(1)
        async with adapter.transaction():
            mine = await orders.get_order_by_id(old.id)
            assert mine is not None
            mine.submit("B-1", occurred_at=minute(2))
            await orders.update_order(mine)
            await orders.save_order(new)
            assert await orders.get_order_by_id(old.id) is mine
            assert await PostgreSQLOrderRepository(adapter).get_order_by_id(new.id) is new
            assert await orders.get_orders_by_status(OrderStatus.PENDING) == [new]
            assert await orders.get_active_orders() == [mine, new]
        assert await orders.get_order_by_id(old.id) is not mine

    async def test_an_error_in_the_block(self, database: Database):
        """`async with adapter.transaction()` rolls back and raises it as itself."""
        adapter = database.adapter()
        order = an_order()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with adapter.transaction():
                await PostgreSQLOrderRepository(adapter).save_order(order)
                raise ZeroDivisionError
        assert not adapter.has_active_transaction
        assert await types(database, order.id) == []

    async def test_the_wrong_order(self, database: Database):
        """Beginning twice, and ending what has not begun, raise errors that say so."""
        adapter = database.adapter()
        for call in (adapter.commit_transaction, adapter.rollback_transaction):
            with pytest.raises(TransactionNotActiveError):
                await call()
        with pytest.raises(TransactionNotActiveError):
            await adapter.savepoint().__aenter__()
        async with adapter.transaction():
            with pytest.raises(TransactionAlreadyActiveError):
                await adapter.begin_transaction()

    async def test_two_adapters_are_apart(self, database: Database):
        """The transaction of one is nothing to the other, nor to a Unit of Work."""
        adapter = database.adapter()
        async with adapter.transaction():
            order = await PostgreSQLOrderRepository(adapter).save_order(an_order())
            other = await PostgreSQLOrderRepository(database.adapter()).save_order(an_order(1))
            async with database.unit_of_work() as uow:
                assert await uow.orders.get_active_orders() == [other]
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_a_call_that_failed_left_nothing(self, database: Database):
        """A conflict that is caught does not make the stale entity look saved, nor do its events come along later."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order, good, new = an_order(), an_order(), an_order()
        await save(database, order)
        stale = await orders.get_order_by_id(order.id)
        assert stale is not None
        order.submit("B-1")
        await save(database, order)
        stale.limit_price = Decimal(1)
        async with adapter.transaction():
            with pytest.raises(ConcurrencyError):
                await orders.save_many([new, stale])
            await orders.save_order(good)
        assert (stale.version, stale.has_unsaved_changes, new.version) == (1, True, 0)
        assert good.version == 1
        assert await types(database, new.id) == []
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]
        await orders.save_order(new)
        assert new.version == 1


class TestSavepoints:
    """Blocks of a transaction that are undone by themselves."""

    async def test_a_block_that_ends_well(self, database: Database):
        """What was saved in it is committed with the rest."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order = an_order()
        async with adapter.transaction():
            async with adapter.savepoint():
                await orders.save_order(order)
            order.submit("B-1")
            await orders.update_order(order)
        assert order.version == 2
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_a_block_that_fails(self, database: Database):
        """What was saved in it is undone, and what was saved before it is not."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        before, inside = an_order(0), an_order(1)
        async with adapter.transaction():
            await orders.save_order(before)
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                async with adapter.savepoint():
                    before.submit("B-1")
                    await orders.update_order(before)
                    await orders.save_order(inside)
                    raise ZeroDivisionError
            assert await orders.get_order_by_id(inside.id) is None
        assert (before.version, inside.version) == (1, 0)
        assert before.has_unsaved_changes
        assert await types(database, before.id) == ["OrderCreated"]
        assert await types(database, inside.id) == []

    async def test_what_was_undone_can_be_saved_again(self, database: Database):
        """In the same transaction, with the same events, which are then committed."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order = an_order()
        async with adapter.transaction():
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                async with adapter.savepoint():
                    await orders.save_order(order)
                    raise ZeroDivisionError
            await orders.save_order(order)
        assert order.version == 1
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_nested_blocks(self, database: Database):
        """The inner one that fails undoes only itself; the outer one both."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        outer, inner = an_order(0), an_order(1)
        async with adapter.transaction():
            async with adapter.savepoint():
                await orders.save_order(outer)
                with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                    async with adapter.savepoint():
                        await orders.save_order(inner)
                        raise ZeroDivisionError
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                async with adapter.savepoint():
                    async with adapter.savepoint():
                        await orders.save_order(inner)
                    raise ZeroDivisionError
            assert await orders.get_active_orders() == [outer]
        assert await types(database, outer.id) == ["OrderCreated"]
        assert await types(database, inner.id) == []

    async def test_a_repository_made_inside_the_block(self, database: Database):
        """What its first call saved is undone with the block: it does not count as saved, and can be saved again."""
        adapter = database.adapter()
        first, second = an_order(0), an_order(1)
        async with adapter.transaction():
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                async with adapter.savepoint():
                    async with adapter.savepoint():
                        await PostgreSQLOrderRepository(adapter).save_order(first)
                    await PostgreSQLOrderRepository(adapter).save_order(second)
                    raise ZeroDivisionError
        assert (first.version, second.version) == (0, 0)
        await PostgreSQLOrderRepository(adapter).save_many([first, second])
        for order in (first, second):
            assert await types(database, order.id) == ["OrderCreated"]


async def test_entities_of_a_users_own_on_an_adapter(database: Database):
    """Each call appends by itself, or in the adapter's transaction, as those of the other repositories do."""
    strategies = EntityRepository(Strategy, database.adapter())
    made = await strategies.save(Strategy(name="mean"))
    made.tune(Decimal(2))
    await strategies.update(made)
    assert await EntityRepository(Strategy, database.adapter()).get(made.id) == made
    with pytest.raises(EntityNotFoundError):
        await strategies.update(Strategy(name="another"))
    with pytest.raises(RepositoryError, match="keeps Strategy entities, not Order"):
        await strategies.save(an_order())  # type: ignore[arg-type]
    assert await strategies.delete(made.id)
    assert await strategies.get(made.id) is None
