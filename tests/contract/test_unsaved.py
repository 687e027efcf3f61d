"""A commit never loses a change of an entity that it knows: it is refused, or it saves the change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest

from eventstore.core import Entity
from eventstore.domain import Order, OrderSide, Position
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    RepositoryError,
    TransactionNotActiveError,
    UnsavedChangesError,
)
from eventstore.repositories import (
    PostgreSQLOrderRepository,
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWork,
)
from tests.contract.databases import (
    Database,
    Strategy,
    a_portfolio,
    a_position,
    an_order,
    load,
    save,
    types,
)


def saving(database: Database) -> PostgreSQLUnitOfWork:
    """A Unit of Work that saves what was forgotten."""
    return PostgreSQLUnitOfWork(database.unit_of_work()._backend, unsaved="save")


def submit(order: Any) -> None:
    order.submit("B-1")


def assign(order: Any) -> None:
    order.tags = ("x",)


def delete(order: Any) -> None:
    order.delete()


CHANGES = {
    "command": (submit, "OrderSubmitted"),
    "assignment": (assign, "OrderAmended of tags"),
    "deletion": (delete, "OrderDeleted"),
}


async def by_id(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    return await uow.orders.get_order_by_id(order.id)


async def by_list(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    (found,) = await uow.orders.get_active_orders()
    assert found.id == order.id
    return found


async def by_save(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    return await uow.orders.save_order(order)


async def by_update(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    order.multiplier = Decimal(2)
    return await uow.orders.update_order(order)


async def by_refresh(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    return await uow.refresh(order)


async def by_entities(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    return await uow.entities(Order).get(order.id)


async def by_hand(uow: PostgreSQLUnitOfWork, order: Order) -> Any:
    built = Order(**{**order.model_dump(exclude={"version", "executions"}), "multiplier": Decimal(3)})
    return await uow.orders.save_order(built)


WAYS = [by_id, by_list, by_save, by_update, by_refresh, by_entities, by_hand]
Way = Callable[[PostgreSQLUnitOfWork, Order], Awaitable[Any]]


class TestRefused:
    """A commit that would lose a change is refused before anything is sent."""

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
    @pytest.mark.parametrize("change", CHANGES)
    async def test_a_change_that_is_not_saved(self, database: Database, way: Way, change: str):
        """However the Unit of Work came to know the entity, and whatever was done to it."""
        order, other = an_order(), an_order(1)
        await save(database, order)
        before = await types(database, order.id)
        uow = database.unit_of_work()
        await uow.begin_transaction()
        known = await way(uow, order)
        await uow.orders.save_order(other)
        CHANGES[change][0](known)
        with pytest.raises(UnsavedChangesError, match=f"order {order.id}") as raised:
            await uow.commit()
        assert (raised.value.category, raised.value.entity_id) == ("order", order.id)
        assert raised.value.events == (CHANGES[change][1],)
        assert CHANGES[change][1] in str(raised.value)
        assert not raised.value.retryable
        assert (await types(database, order.id), await types(database, other.id)) == (before, [])
        # The Unit of Work goes on.
        await uow.orders.save_order(known)
        await uow.commit()
        assert (await types(database, order.id))[-1] == CHANGES[change][1].split()[0]
        assert await types(database, other.id) == ["OrderCreated"]

    async def test_a_block_is_rolled_back(self, database: Database):
        """At the end of a block nothing is written, the Unit of Work is over, and the entity can be saved in another."""
        order = an_order()
        uow = database.unit_of_work()
        with pytest.raises(UnsavedChangesError):  # noqa: PT012 - the end of the block raises
            async with uow:
                await uow.orders.save_order(order)
                order.submit("B-1")
        assert not uow.is_active
        assert await types(database, order.id) == []
        await save(database, order)
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_a_users_own_entities(self, database: Database):
        """Entities of any class are held to it."""
        strategy = Strategy(name="trend")
        with pytest.raises(UnsavedChangesError) as raised:  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.entities(Strategy).save(strategy)
                strategy.tune(Decimal(1))
        assert (raised.value.category, raised.value.events) == ("contract strategy", ("StrategyTuned",))

    async def test_all_of_them_are_named(self, database: Database):
        """The error has each entity with its events; its text names the first ones."""
        orders = [an_order(number) for number in range(5)]
        portfolio = a_portfolio()
        with pytest.raises(UnsavedChangesError) as raised:  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_many(orders)
                await uow.portfolios.save_portfolio(portfolio)
                for order in orders:
                    order.submit("B-1")
                    order.cancel()
                portfolio.deposit(Decimal(1))
        assert raised.value.changes == (
            *(("order", order.id, ("OrderSubmitted", "OrderCancelled")) for order in orders),
            ("portfolio", portfolio.id, ("PortfolioCashMoved",)),
        )
        assert "and 3 more" in str(raised.value)
        assert "\n" not in str(raised.value)

    async def test_after_a_flush(self, database: Database):
        """What was flushed is not committed without what was forgotten; both are, once it is saved."""
        order = an_order()
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            order.submit("B-1")
            with pytest.raises(UnsavedChangesError):
                await uow.commit()
            assert await types(database, order.id) == []
            await uow.orders.save_order(order)
            await uow.flush()
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_an_instance_that_another_one_has_replaced(self, database: Database):
        """A second object of the same id takes the first one's place; what the first one is told then is not lost."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            first = await load(uow, order.id)
            order.submit("B-1")
            await uow.orders.save_order(order)
            first.cancel()
            with pytest.raises(UnsavedChangesError) as raised:
                await uow.commit()
            assert raised.value.events == ("OrderCancelled",)
            await uow.rollback()

    async def test_an_instance_that_was_deleted_elsewhere(self, database: Database):
        """An entity that a later read did not find any more is still known."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            async with database.unit_of_work() as other:
                await other.orders.delete_order(order.id)
            assert await uow.orders.get_order_by_id(order.id) is None
            mine.submit("B-1")
            with pytest.raises(UnsavedChangesError):
                await uow.commit()
            await uow.rollback()

    async def test_the_opposite_position_of_a_flip(self, database: Database):
        """A fill through zero makes a second position: a commit without it would lose half of the fill."""
        position = a_position()
        with pytest.raises(UnsavedChangesError) as raised:  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                opposite = position.apply_fill(OrderSide.SELL, Decimal(150), Decimal(151), "E-1")
                await uow.positions.save_position(position)
        assert isinstance(opposite, Position)
        assert (raised.value.entity_id, raised.value.events) == (opposite.id, ("PositionOpened",))
        await save(database, position, opposite)
        async with database.unit_of_work() as uow:
            await uow.positions.get_active_positions()

    async def test_operations_of_a_transaction_manager(self, database: Database):
        """What an operation forgets to save is found, and it is not run again."""
        order = an_order()
        await save(database, order)
        runs = 0

        class Factory:
            """Makes Units of Work of the database."""

            async def create_unit_of_work_async(self, **_: Any) -> PostgreSQLUnitOfWork:
                """A new one."""
                return database.unit_of_work()

        async def forget(uow: Any) -> None:
            nonlocal runs
            runs += 1
            (await load(uow, order.id)).cancel()

        manager = PostgreSQLTransactionManager(Factory())  # type: ignore[arg-type]
        for run in (manager.execute_in_transaction, manager.execute_with_retry):
            with pytest.raises(UnsavedChangesError):
                await run(forget)
        with pytest.raises(UnsavedChangesError):
            await manager.execute_batch([forget])
        assert runs == 3
        assert await types(database, order.id) == ["OrderCreated"]


class TestNotRefused:
    """Where nothing is lost, or its loss is known, nothing is said."""

    async def test_a_value_assigned_and_taken_back(self, database: Database):
        """An assignment that changed nothing in the end is no change."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            mine.tags = ("x",)
            mine.tags = ()
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_a_roll_back_and_an_error_in_the_block(self, database: Database):
        """A Unit of Work that is rolled back, or fails, says what happened, and nothing of changes on top."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            (await load(uow, order.id)).cancel()
            await uow.rollback()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                (await load(uow, order.id)).cancel()
                raise ZeroDivisionError
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            order.submit("B-1")
            await save(database, order)
            mine.cancel()
            await uow.orders.update_order(mine)
            with pytest.raises(ConcurrencyError):
                await uow.commit()
            await uow.rollback()

    async def test_changes_that_were_dropped(self, database: Database):
        """`refresh` drops changes on purpose."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            mine.cancel()
            await uow.refresh(mine)
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_changes_before_and_after_the_unit_of_work(self, database: Database):
        """Entities that it does not know, and those that it knew before it began again, are somebody else's."""
        known, unknown = an_order(), an_order(1)
        uow = database.unit_of_work()
        async with uow:
            await uow.orders.save_order(known)
        known.submit("B-1")
        unknown.submit("B-2")
        async with uow:
            assert uow.is_active
        await save(database, known, unknown)
        assert (known.version, unknown.version) == (2, 2)


class TestSaved:
    """With `unsaved="save"` a commit saves what was forgotten."""

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
    @pytest.mark.parametrize("change", CHANGES)
    async def test_a_change_that_is_not_saved(self, database: Database, way: Way, change: str):
        """It is in the log, and the entity has its version."""
        order = an_order()
        await save(database, order)
        async with saving(database) as uow:
            known: Entity = await way(uow, order)
            CHANGES[change][0](known)
        written = await types(database, order.id)
        assert written[-1] == CHANGES[change][1].split()[0]
        assert (known.version, known.has_unsaved_changes) == (len(written), False)

    async def test_in_the_order_of_the_stream(self, database: Database):
        """What was saved comes first, also where it was flushed."""
        order, portfolio = an_order(), a_portfolio()
        async with saving(database) as uow:
            await uow.orders.save_order(order)
            await uow.portfolios.save_portfolio(portfolio)
            order.submit("B-1")
            await uow.flush()
            order.cancel()
            portfolio.deposit(Decimal(1))
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted", "OrderCancelled"]
        assert await types(database, portfolio.id) == ["PortfolioCreated", "PortfolioCashMoved"]

    async def test_the_opposite_positions_of_flips(self, database: Database):
        """Also what a position has made that was made itself by one that was saved."""
        position = a_position()
        async with saving(database) as uow:
            await uow.positions.save_position(position)
            second = position.apply_fill(OrderSide.SELL, Decimal(150), Decimal(151), "E-1")
            assert second is not None
            third = second.apply_fill(OrderSide.BUY, Decimal(70), Decimal(151), "E-2")
            assert third is not None
        assert (position.version, second.version, third.version) == (2, 2, 1)
        assert await types(database, third.id) == ["PositionOpened"]

    async def test_two_instances_with_changes_are_refused(self, database: Database):
        """Which of them is right is for the user to say."""
        order = an_order()
        await save(database, order)
        async with saving(database) as uow:
            first = await load(uow, order.id)
            order.submit("B-1")
            await uow.orders.save_order(order)
            first.cancel()
            with pytest.raises(RepositoryError, match="two instances"):
                await uow.commit()
            await uow.rollback()
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_a_third_word_is_refused(self, database: Database):
        """To lose changes is no choice."""
        with pytest.raises(ConfigurationError, match="unsaved must be 'error' or 'save', not 'lose'"):
            PostgreSQLUnitOfWork(database.unit_of_work()._backend, unsaved="lose")  # type: ignore[arg-type]


class TestOnAnAdapter:
    """A transaction of an adapter is held to the same."""

    async def test_a_commit_is_refused_and_can_be_repeated(self, database: Database):
        """The transaction stays open, and what was forgotten can be saved in it."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order = an_order()
        await adapter.begin_transaction()
        await orders.save_order(order)
        order.submit("B-1")
        with pytest.raises(UnsavedChangesError):
            await adapter.commit_transaction()
        assert adapter.has_active_transaction
        assert await types(database, order.id) == []
        await orders.update_order(order)
        await adapter.commit_transaction()
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]
        assert (order.version, order.has_unsaved_changes) == (2, False)

    async def test_a_block_is_rolled_back(self, database: Database):
        """Nothing of it is in the log, and the adapter can be used again."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order = await orders.save_order(an_order())
        with pytest.raises(UnsavedChangesError):  # noqa: PT012 - the end of the block raises
            async with adapter.transaction():
                await orders.save_order(an_order(1))
                (await orders.get_active_orders())[0].cancel()
        assert not adapter.has_active_transaction
        assert await types(database, order.id) == ["OrderCreated"]
        assert len(await orders.get_active_orders()) == 1
        with pytest.raises(TransactionNotActiveError):
            await adapter.commit_transaction()

    async def test_what_a_savepoint_took_back_is_known(self, database: Database):
        """It was rolled back on purpose; what comes after it is not."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        kept, undone = an_order(), an_order(1)
        for later in (False, True):
            with pytest.raises(UnsavedChangesError) if later else nullcontext():
                async with adapter.transaction():
                    await orders.save_order(kept)
                    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
                        async with adapter.savepoint():
                            kept.tags = (*kept.tags, "x")
                            await orders.save_order(kept)
                            await orders.save_order(undone)
                            raise ZeroDivisionError
                    if later:
                        kept.tags = (*kept.tags, "y")
            assert (await types(database, kept.id), await types(database, undone.id)) == (
                ["OrderCreated"],
                [],
            )

    async def test_a_call_that_failed_is_known(self, database: Database):
        """What it could not save was reported when it failed."""
        adapter = database.adapter()
        orders = PostgreSQLOrderRepository(adapter)
        order, other = await orders.save_order(an_order()), an_order(1)
        stale = await orders.get_order_by_id(order.id)
        assert stale is not None
        order.submit("B-1")
        await orders.update_order(order)
        stale.cancel()
        await adapter.begin_transaction()
        with pytest.raises(ConcurrencyError):
            await orders.update_order(stale)
        await adapter.rollback_transaction()
        async with adapter.transaction():
            await orders.save_order(other)
        assert await types(database, other.id) == ["OrderCreated"]
