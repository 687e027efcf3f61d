"""The Unit of Work while its events are on their way, and after: `flush`, other tasks, and the next use."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.errors import (
    ConcurrencyError,
    ConnectionError,
    IntegrityError,
    TimeoutError,
    TransactionError,
    UnsavedChangesError,
)
from tests.entities import everything, tuned
from tests.saved_orders import new_order, saved, stored_versions

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal


async def test_flush_sends_now_and_commits_later(store: EventStore):
    """What is flushed is seen inside, by nobody else before the commit, and conflicts show at the flush."""
    order, other = new_order(), new_order()
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.flush()
        await uow.flush()
        order.submit("B")
        await uow.orders.update_order(order)
        await uow.flush()
        await uow.orders.save_order(other)
        assert await uow.orders.get_orders_by_symbol("ES") == [order, other]
        async with store.unit_of_work() as outside:
            assert await outside.orders.get_order_by_id(order.id) is None
        assert order.version == 0
    assert (order.version, other.version) == (2, 1)
    assert len(await everything(store.connection)) == 3


async def test_a_failed_flush_rolls_back_the_ones_before(store: EventStore):
    """After a conflict in the second flush nothing is in the log, and the Unit of Work can only be rolled back."""
    first, stale = new_order("a"), new_order("b")
    await saved(store, stale)
    await store.log.append(tuned(stale.id, 1, 1))
    stale.cancel()
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(first)
    await uow.flush()
    await uow.orders.update_order(stale)
    with pytest.raises(ConcurrencyError):
        await uow.flush()
    async with store.connection.acquire() as connection:
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'"
            )
            == 0
        )
    with pytest.raises(ConcurrencyError):  # of all that was staged: no half of it can be committed
        await uow.commit()
    assert len(await everything(store.connection)) == 2
    await uow.rollback()
    await saved(store, first)
    assert await stored_versions(store, first.id) == [1]


async def test_a_commit_after_a_failed_flush_has_what_was_flushed_before(store: EventStore):
    """The connection is lost between two flushes: what the first one sent is gone with it, and is sent by the commit."""
    first, second = new_order("a"), new_order("b")
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(first)
    await uow.flush()
    async with store.connection.acquire() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state ~ 'in transaction'"
        )
    await uow.orders.save_order(second)
    with pytest.raises(ConnectionError):
        await uow.flush()
    await uow.commit()
    assert await stored_versions(store, first.id) == await stored_versions(store, second.id) == [1]
    assert (first.version, second.version) == (1, 1)


@pytest.mark.parametrize("sqlstate", ["57014", "23514"], ids=["a time-out", "a refusal"])
async def test_a_commit_that_the_server_refuses_can_be_repeated(store: EventStore, sqlstate: str):
    """What was flushed was rolled back with it, so the next commit sends all of it again."""
    async with store.connection.acquire() as connection:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$; "
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    order = new_order("a")
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(order)
    await uow.flush()
    with pytest.raises(TimeoutError if sqlstate == "57014" else IntegrityError):
        await uow.commit()
    assert await everything(store.connection) == []
    async with store.connection.acquire() as connection:
        await connection.execute("DROP FUNCTION refuse CASCADE")
    await uow.commit()
    assert await stored_versions(store, order.id) == [1]
    assert order.version == 1


async def test_reads_after_a_roll_back_leave_the_connection_to_others(store: EventStore):
    """The connection of a flush is given back by the roll-back: whatever becomes of it, reads use one of the pool."""
    known = new_order("a")
    await saved(store, known)
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(new_order("b"))
    await uow.flush()
    async with store.connection.acquire() as connection:
        pid = await connection.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'"
        )
        await uow.rollback()
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await uow.begin_transaction()
    assert await uow.orders.get_order_by_id(known.id) == known
    await uow.rollback()


async def test_a_forgotten_flush_is_ended_by_the_server(store: EventStore):
    """An open flush that stands idle is ended after its limit; the commit then sends all of it again, and once."""
    from eventstore.repositories.backend import PostgreSQLBackend
    from eventstore.repositories.read_tables import READ_TABLES
    from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
    from tests.waiting import until

    backend = PostgreSQLBackend(store.log, READ_TABLES, idle_in_transaction_timeout_s=0.05)
    order = new_order()

    async def nobody_writes() -> bool:
        async with store.connection.acquire() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND mode = 'RowExclusiveLock'"
            )
            return count == 0

    async with PostgreSQLUnitOfWork(backend) as uow:
        await uow.orders.save_order(order)
        await uow.flush()
        assert not await nobody_writes()
        await until(nobody_writes)
    assert (order.version, await stored_versions(store, order.id)) == (1, [1])


@pytest.mark.parametrize("ending", ["commit", "flush"])
async def test_what_another_task_stages_during_a_commit_is_never_lost(store: EventStore, ending: str):
    """A second task uses the Unit of Work while it is being sent: it is refused, or its change is in the log.

    Never is an entity taken to be saved whose event is not in the log.
    """
    refusals = 0
    for loops in range(1, 12):
        first, second = new_order("a"), new_order("b")
        uow = store.unit_of_work()
        await uow.begin_transaction()
        await uow.orders.save_order(first)
        sending = asyncio.ensure_future(uow.commit() if ending == "commit" else uow.flush())
        for _ in range(loops):
            await asyncio.sleep(0)
        busy = loops > 1 and not sending.done()
        refused = 0
        for order in (second, first):
            try:
                if order is first:
                    first.submit("B")
                await uow.orders.save_order(order)
            except TransactionError:
                refused += 1
        await sending
        if uow.is_active:
            if refused:
                with pytest.raises(UnsavedChangesError):
                    await uow.commit()
                await uow.orders.save_order(first)
            await uow.commit()
        assert await stored_versions(store, first.id, second.id) == [first.version, second.version]
        if busy:
            assert refused == 2
            refusals += 1
        for order in (first, second):
            await saved(store, order)
        assert await stored_versions(store, first.id, second.id) == [first.version, 1]
    assert refusals > 0


async def test_it_is_usable_again_after_commit_and_after_rollback(store: EventStore):
    """One Unit of Work, many times; nothing of an earlier time comes along."""
    uow = store.unit_of_work()
    orders = [new_order(str(number)) for number in range(6)]
    for number, order in enumerate(orders):
        try:
            async with uow:
                await uow.orders.save_order(order)
                if number % 3 == 1:
                    await uow.flush()
                if number % 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert await stored_versions(store, *(order.id for order in orders)) == [1, 0, 1, 0, 1, 0]
