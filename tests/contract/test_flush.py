"""The contract of `flush`: a real transaction, with its waits and its end."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from eventstore.domain import Order, OrderStatus
from eventstore.errors import ConcurrencyError, TransactionConflictError
from eventstore.repositories import PostgreSQLUnitOfWork
from tests.contract.databases import Database, a_position, an_order, minute, save, types


async def staged(uow: PostgreSQLUnitOfWork, order: Order, price: int) -> Order:
    """The order as this Unit of Work has it, with a new price that is staged."""
    mine = await uow.orders.get_order_by_id(order.id)
    assert mine is not None
    mine.limit_price = Decimal(price)
    return await uow.orders.update_order(mine)


class TestFlush:
    """What one Unit of Work sees of its own."""

    @pytest.mark.parametrize("after_flush", [False, True], ids=["all flushed", "more after the flush"])
    async def test_the_last_position_is_known(self, database: Database, after_flush: bool):
        """A commit that ends a flushed transaction knows the highest position that it was given."""
        order = an_order()
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            if after_flush:
                order.submit("B-1", occurred_at=minute(1))
                await uow.orders.update_order(order)
        history = await database.history(order.id)
        assert uow.last_position == history[-1].position

    async def test_a_commit_keeps_it(self, tables: Database):
        """What was flushed, and what was staged after it, is committed together."""
        order, position = an_order(), a_position()
        async with tables.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            order.submit("B-1", occurred_at=minute(1))
            await uow.orders.update_order(order)
            await uow.positions.save_position(position)
            await uow.flush()
            await uow.flush()
            order.cancel(occurred_at=minute(2))
            await uow.orders.update_order(order)
        await tables.catch_up()
        assert (order.version, position.version) == (3, 1)
        assert await types(tables, order.id) == ["OrderCreated", "OrderSubmitted", "OrderCancelled"]
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(order.id) == order

    async def test_a_roll_back_undoes_it(self, database: Database):
        """Nothing of it was written, and the entities can be saved again."""
        order = an_order()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(order)
                await uow.flush()
                raise ZeroDivisionError
        assert order.version == 0
        assert await types(database, order.id) == []
        await save(database, order)
        assert await types(database, order.id) == ["OrderCreated"]

    async def test_nobody_else_sees_it(self, tables: Database):
        """Before the commit others see nothing; its own reads do."""
        order, old = an_order(1), an_order(0)
        await save(tables, old)
        async with tables.unit_of_work() as uow, tables.unit_of_work() as other:
            await uow.orders.save_order(order)
            await uow.orders.delete_order(old.id)
            await uow.flush()
            assert await uow.orders.get_active_orders() == [order]
            assert await uow.orders.get_order_by_id(order.id) is order
            assert await other.orders.get_active_orders() == [old]
            assert await other.orders.get_order_by_id(order.id) is None

    async def test_it_sees_what_others_commit_meanwhile(self, database: Database):
        """An open transaction reads what is committed, as READ COMMITTED does."""
        mine, theirs = an_order(0), an_order(1)
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(mine)
            await uow.flush()
            await save(database, theirs)
            assert await uow.orders.get_active_orders() == [mine, theirs]

    async def test_a_conflict_shows_early(self, database: Database):
        """`flush` raises it, and after a roll-back the Unit of Work can be used again."""
        order = an_order()
        await save(database, order)
        uow = database.unit_of_work()
        await uow.begin_transaction()
        await staged(uow, order, 1)
        order.submit("B-1")
        await save(database, order)
        with pytest.raises(ConcurrencyError) as raised:
            await uow.flush()
        assert (raised.value.stream_id, raised.value.expected, raised.value.actual) == (order.id, 1, 2)
        await uow.rollback()
        async with uow:
            await staged(uow, order, 2)
        assert (await types(database, order.id))[1:] == ["OrderSubmitted", "OrderAmended"]

    async def test_a_conflict_after_a_flush_undoes_the_flush(self, database: Database):
        """A commit that fails takes back what was flushed before."""
        first, second = an_order(), an_order()
        await save(database, second)
        with pytest.raises(ConcurrencyError):  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(first)
                await uow.flush()
                await staged(uow, second, 1)
                second.submit("B-1")
                await save(database, second)
        assert await types(database, first.id) == []
        assert first.version == 0

    async def test_refresh_reads_inside_the_transaction(self, database: Database):
        """After a flush, `refresh` of another entity still works."""
        order, other = an_order(), an_order()
        await save(database, other)
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            other.submit("B-1")
            await save(database, other)
            mine = await uow.orders.get_order_by_id(other.id)
            assert mine is not None
            assert (await uow.refresh(mine)).status is OrderStatus.SUBMITTED


class TestTwoWriters:
    """An append at a version that an open transaction holds waits for its end."""

    @pytest.mark.parametrize("flushes", [True, False])
    async def test_the_first_commits(self, database: Database, flushes: bool):
        """Then the second, which flushes or commits, has a conflict."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as first:
            await staged(first, order, 1)
            await first.flush()
            second = database.unit_of_work()
            await second.begin_transaction()
            await staged(second, order, 2)
            waiting = asyncio.create_task(second.flush() if flushes else second.commit())
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
        with pytest.raises(ConcurrencyError) as raised:
            await waiting
        assert raised.value.stream_id == order.id
        await second.rollback()
        assert len(await types(database, order.id)) == 2

    @pytest.mark.parametrize("flushes", [True, False])
    async def test_the_first_rolls_back(self, database: Database, flushes: bool):
        """Then the second succeeds."""
        order = an_order()
        await save(database, order)
        first, second = database.unit_of_work(), database.unit_of_work()
        await first.begin_transaction()
        await second.begin_transaction()
        await staged(first, order, 1)
        await staged(second, order, 2)
        await first.flush()
        waiting = asyncio.create_task(second.flush() if flushes else second.commit())
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        await first.rollback()
        await waiting
        if flushes:
            await second.commit()
        events = await database.history(order.id)
        assert events[1].event.changes == {"limit_price": 2}  # type: ignore[attr-defined]

    async def test_others_do_not_wait(self, database: Database):
        """An append to other streams goes through while a transaction is open."""
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(an_order())
            await uow.flush()
            await asyncio.wait_for(save(database, an_order()), 0.9)

    async def test_a_deadlock(self, database: Database):
        """Of two transactions that wait for each other one gets a retryable error, the other goes on."""
        first_order, second_order = an_order(), an_order()
        await save(database, first_order, second_order)
        first, second = database.unit_of_work(), database.unit_of_work()
        await first.begin_transaction()
        await second.begin_transaction()
        await staged(first, first_order, 1)
        await first.flush()
        await staged(second, second_order, 2)
        await second.flush()
        await staged(first, second_order, 1)
        await staged(second, first_order, 2)

        async def ended(uow: PostgreSQLUnitOfWork) -> BaseException | None:
            try:
                await uow.flush()
            except TransactionConflictError as error:
                await uow.rollback()
                return error
            await uow.commit()
            return None

        outcomes = await asyncio.gather(ended(first), ended(second))
        errors = [outcome for outcome in outcomes if outcome is not None]
        assert len(errors) == 1
        assert isinstance(errors[0], TransactionConflictError)
        assert errors[0].retryable
        assert len(await types(database, first_order.id)) == 2
        assert len(await types(database, second_order.id)) == 2

    async def test_a_forgotten_transaction_does_not_hold_up_others_for_ever(self, database: Database):
        """One that stands idle is ended; its own commit then finds the version taken."""
        order = an_order()
        await save(database, order)
        forgotten = database.unit_of_work()
        await forgotten.begin_transaction()
        await staged(forgotten, order, 1)
        await forgotten.flush()
        async with database.unit_of_work() as uow:
            await staged(uow, order, 2)
        with pytest.raises(ConcurrencyError):
            await forgotten.commit()
        await forgotten.rollback()
        events = await database.history(order.id)
        assert [event.event.changes for event in events[1:]] == [{"limit_price": 2}]  # type: ignore[attr-defined]
