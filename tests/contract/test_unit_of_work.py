"""The contract of the Unit of Work: what is staged, what is seen, what is committed, what conflicts."""

from __future__ import annotations

import gc
import weakref
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from eventstore.domain import OrderStatus
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    EntityNotFoundError,
    RepositoryError,
    TransactionAlreadyActiveError,
    TransactionNotActiveError,
)
from tests.contract.databases import (
    Database,
    Strategy,
    a_portfolio,
    a_position,
    an_order,
    load,
    minute,
    save,
    types,
)


class TestBeginAndEnd:
    """begin_transaction, commit, rollback, is_active and the context manager."""

    async def test_the_context_manager_commits(self, database: Database):
        """At the end of the block everything is there, and the Unit of Work is not active."""
        order, position, portfolio = an_order(), a_position(), a_portfolio()
        async with database.unit_of_work() as uow:
            assert uow.is_active
            await uow.orders.save_order(order)
            await uow.positions.save_position(position)
            await uow.portfolios.save_portfolio(portfolio)
        assert not uow.is_active
        async with database.unit_of_work() as other:
            assert await other.orders.get_order_by_id(order.id) == order
            assert await other.positions.get_position_by_id(position.id) == position
            assert await other.portfolios.get_portfolio_by_id(portfolio.id) == portfolio

    async def test_an_error_rolls_back(self, database: Database):
        """An error that leaves the block is raised as itself, and nothing was written."""
        order = an_order()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(order)
                raise ZeroDivisionError
        assert not uow.is_active
        assert await types(database, order.id) == []

    async def test_a_commit_that_fails_at_the_end_rolls_back(self, database: Database):
        """The Unit of Work is not active any more, and its next block has nothing of what was staged."""
        known, dropped, kept = an_order(0), an_order(1), an_order(2)
        await save(database, known)
        uow = database.unit_of_work()
        with pytest.raises(ConcurrencyError):  # noqa: PT012 - the end of the block raises
            async with uow:
                mine = await uow.orders.get_order_by_id(known.id)
                assert mine is not None
                mine.submit("B-1")
                await uow.orders.update_order(mine)
                await uow.orders.save_order(dropped)
                known.submit("B-2")
                await save(database, known)
        assert not uow.is_active
        async with uow:
            await uow.orders.save_order(kept)
        assert [await types(database, one.id) for one in (dropped, kept)] == [[], ["OrderCreated"]]

    async def test_by_hand(self, database: Database):
        """begin, save, commit; begin, save, rollback."""
        kept, dropped = an_order(), an_order()
        uow = database.unit_of_work()
        assert not uow.is_active
        await uow.begin_transaction()
        assert uow.is_active
        await uow.orders.save_order(kept)
        await uow.commit()
        assert not uow.is_active
        await uow.begin_transaction()
        await uow.orders.save_order(dropped)
        await uow.rollback()
        assert not uow.is_active
        assert await types(database, kept.id) == ["OrderCreated"]
        assert await types(database, dropped.id) == []

    @pytest.mark.parametrize("ends", ["commit", "rollback"])
    async def test_it_leaves_nothing_to_the_garbage_collector(self, database: Database, ends: str):
        """What nobody refers to any more is gone at once: Units of Work by the thousand do not fill the memory."""
        uow = database.unit_of_work()
        order = an_order()
        await uow.begin_transaction()
        await uow.orders.save_order(order)
        await uow.positions.save_position(a_position())
        await getattr(uow, ends)()
        left: list[weakref.ref[Any]] = [weakref.ref(uow), weakref.ref(order)]
        gc.collect()
        gc.disable()
        try:
            del uow, order
            assert [one() for one in left] == [None, None]
        finally:
            gc.enable()

    async def test_it_can_be_used_again(self, database: Database):
        """After a commit, and after an error, the next block begins anew."""
        uow = database.unit_of_work()
        orders = [an_order(number) for number in range(3)]
        async with uow:
            await uow.orders.save_order(orders[0])
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with uow:
                await uow.orders.save_order(orders[1])
                raise ZeroDivisionError
        async with uow:
            await uow.orders.save_order(orders[2])
        async with uow:
            assert await uow.orders.get_active_orders() == [orders[0], orders[2]]

    async def test_committed_inside_the_block(self, database: Database):
        """A commit inside the block is the block's commit; what follows it is refused."""
        order = an_order()
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.commit()
            with pytest.raises(TransactionNotActiveError):
                await uow.orders.get_order_by_id(order.id)
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_begun_before_the_block(self, database: Database):
        """The block takes over a Unit of Work that has begun."""
        order = an_order()
        uow = database.unit_of_work()
        await uow.begin_transaction()
        await uow.orders.save_order(order)
        async with uow:
            pass
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_the_wrong_order(self, database: Database):
        """Beginning twice, and ending or using what has not begun, raise errors that say so."""
        uow = database.unit_of_work()
        for call in (uow.commit, uow.rollback, uow.flush, uow.orders.get_active_orders):
            with pytest.raises(TransactionNotActiveError):
                await call()
        with pytest.raises(TransactionNotActiveError):
            await uow.orders.save_order(an_order())
        async with uow:
            with pytest.raises(TransactionAlreadyActiveError):
                await uow.begin_transaction()

    async def test_an_empty_commit(self, database: Database):
        """Nothing staged, nothing written."""
        async with database.unit_of_work() as uow:
            pass
        assert uow.last_position is None


class TestVisibility:
    """Who sees what, and when."""

    async def test_nothing_is_seen_before_the_commit(self, database: Database):
        """Neither by id nor in a list does another Unit of Work see what is staged."""
        order = an_order()
        async with database.unit_of_work() as uow, database.unit_of_work() as other:
            await uow.orders.save_order(order)
            assert await other.orders.get_order_by_id(order.id) is None
            assert await other.orders.get_active_orders() == []
            assert order.version == 0
        assert order.version == 1

    async def test_own_changes_are_seen(self, tables: Database):
        """Lists have what is staged: a new order, a changed one in its new list, no deleted one."""
        changed, deleted, new = an_order(0), an_order(1), an_order(2)
        await save(tables, changed, deleted)
        async with tables.unit_of_work() as uow:
            mine = await load(uow, changed.id)
            mine.submit("B-1")
            await uow.orders.update_order(mine)
            await uow.orders.delete_order(deleted.id)
            await uow.orders.save_order(new)
            assert await uow.orders.get_orders_by_status(OrderStatus.SUBMITTED) == [mine]
            assert await uow.orders.get_orders_by_status(OrderStatus.PENDING) == [new]
            assert await uow.orders.get_orders_by_symbol("AAPL") == [mine, new]
            assert await uow.orders.get_orders_by_broker_id("B-1") == [mine]

    async def test_one_id_is_one_instance(self, tables: Database):
        """By id or in a list, loaded or saved, it is the same object."""
        order, saved = an_order(0), an_order(1)
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            await uow.orders.save_order(saved)
            mine = await load(uow, order.id)
            found = await uow.orders.get_orders_by_symbol("AAPL")
            assert found[0] is mine
            assert found[1] is saved
            assert await load(uow, order.id) is mine
            assert await load(uow, saved.id) is saved
            as_text: Any = str(order.id)
            assert await uow.orders.get_order_by_id(as_text) is mine

    async def test_an_unchanged_instance_is_brought_up_to_date(self, tables: Database):
        """A second read shows what was committed since the first, in the same object."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            mine = await load(uow, order.id)
            order.submit("B-1", occurred_at=minute(1))
            await save(tables, order)
            assert await load(uow, order.id) is mine
            assert (mine.status, mine.version) == (OrderStatus.SUBMITTED, 2)

    async def test_a_changed_instance_is_not_overwritten(self, tables: Database):
        """Reading again what this Unit of Work and another have changed raises `ConcurrencyError`."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            mine = await load(uow, order.id)
            mine.limit_price = Decimal(1)
            order.submit("B-1")
            await save(tables, order)
            with pytest.raises(ConcurrencyError) as raised:
                await uow.orders.get_order_by_id(order.id)
            await uow.rollback()
        assert (raised.value.stream_id, raised.value.expected, raised.value.actual) == (order.id, 1, 2)

    async def test_instances_of_two_units_of_work_are_apart(self, database: Database):
        """Changing one does not change the other."""
        order = an_order(tags=("a",))
        await save(database, order)
        async with database.unit_of_work() as uow, database.unit_of_work() as other:
            mine, theirs = await load(uow, order.id), await load(other, order.id)
            assert mine is not theirs
            mine.tags = ("b",)
            assert theirs.tags == ("a",)
            await uow.rollback()

    async def test_what_is_not_saved_changes_nothing(self, database: Database):
        """An instance of a list that was changed and not saved leaves no trace in what others read."""
        order = an_order(tags=("a",))
        await save(database, order)
        async with database.unit_of_work() as uow:
            (mine,) = await uow.orders.get_active_orders()
            mine.tags = ("b",)
            await uow.rollback()
        async with database.unit_of_work() as uow:
            (again,) = await uow.orders.get_active_orders()
            assert again.tags == ("a",)
            assert (await load(uow, order.id)).tags == ("a",)

    async def test_two_instances_with_changes(self, database: Database):
        """Two objects of one id that both have changes are refused in one Unit of Work."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as other:
            copy = await load(other, order.id)
        async with database.unit_of_work() as uow:
            order.submit("B-1")
            await uow.orders.update_order(order)
            copy.limit_price = Decimal(1)
            with pytest.raises(RepositoryError, match="two instances"):
                await uow.orders.update_order(copy)


class TestRefresh:
    """refresh."""

    async def test_it_shows_what_was_committed(self, database: Database):
        """The same object has the newest state, and its unsaved changes are gone."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            mine.limit_price = Decimal(1)
            order.submit("B-1")
            await save(database, order)
            assert await uow.refresh(mine) is mine
            assert mine == order
            assert not mine.has_unsaved_changes
            assert await load(uow, order.id) is mine

    async def test_an_instance_from_elsewhere(self, database: Database):
        """It becomes the one instance of its id here."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as other:
            mine = await load(other, order.id)
        order.submit("B-1")
        await save(database, order)
        async with database.unit_of_work() as uow:
            await uow.refresh(mine)
            assert mine.status is OrderStatus.SUBMITTED
            assert await load(uow, order.id) is mine

    async def test_staged_events_are_not_dropped(self, database: Database):
        """An instance with staged events is refused."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
            mine.submit("B-1")
            await uow.orders.update_order(mine)
            with pytest.raises(RepositoryError, match="staged"):
                await uow.refresh(mine)

    async def test_what_is_not_there(self, database: Database):
        """An entity that was never saved, and one that was deleted, raise `EntityNotFoundError`."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            await uow.orders.delete_order(order.id)
        async with database.unit_of_work() as uow:
            for entity in (an_order(), order):
                with pytest.raises(EntityNotFoundError):
                    await uow.refresh(entity)


class TestOwnEntities:
    """`uow.entities(Strategy)`: a class of the user's own, without a read table."""

    async def test_its_life(self, database: Database):
        """save, get, update, delete."""
        strategy = Strategy(name="mean reversion")
        async with database.unit_of_work() as uow:
            strategies = uow.entities(Strategy)
            assert await strategies.save(strategy) is strategy
            assert await strategies.get(strategy.id) is strategy
        async with database.unit_of_work() as uow:
            strategies = uow.entities(Strategy)
            mine = await strategies.get(strategy.id)
            assert mine == strategy
            assert mine is not None
            mine.tune(Decimal("1.50"))
            assert await strategies.update(mine) is mine
        async with database.unit_of_work() as uow:
            strategies = uow.entities(Strategy)
            again = await strategies.get(strategy.id)
            assert again is not None
            assert (str(again.threshold), again.version) == ("1.50", 2)
            assert await strategies.delete(strategy.id) is True
            assert await strategies.get(strategy.id) is None
            assert await strategies.delete(strategy.id) is False
        assert await types(database, strategy.id) == ["StrategyCreated", "StrategyTuned", "StrategyDeleted"]

    async def test_unknown_ids(self, database: Database):
        """`get` gives None, `delete` False, and `update` raises with the category."""
        strategy = Strategy(name="a")
        async with database.unit_of_work() as uow:
            strategies = uow.entities(Strategy)
            assert await strategies.get(uuid4()) is None
            assert await strategies.delete(uuid4()) is False
            with pytest.raises(EntityNotFoundError) as raised:
                await strategies.update(strategy)
        assert raised.value.category == "contract strategy"

    async def test_text_that_cannot_be_stored(self, database: Database):
        """NUL in a text of a user's own is refused before anything is written."""
        strategy = Strategy(name="a\x00b")
        with pytest.raises(ConfigurationError, match="NUL"):
            await save(database, strategy)
        assert await types(database, strategy.id) == []

    async def test_together_with_orders(self, database: Database):
        """One commit holds both kinds; a conflict on one keeps out the other."""
        strategy, order = Strategy(name="a"), an_order()
        await save(database, strategy, order)
        async with database.unit_of_work() as uow:
            stale = await uow.entities(Strategy).get(strategy.id)
        assert stale is not None
        strategy.tune(Decimal(1))
        await save(database, strategy)
        stale.tune(Decimal(2))
        order.submit("B-1")
        with pytest.raises(ConcurrencyError):
            await save(database, order, stale)
        assert await types(database, order.id) == ["OrderCreated"]
