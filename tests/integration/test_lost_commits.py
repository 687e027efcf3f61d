"""The answer to the COMMIT of a flushed Unit of Work is lost, and the server stays away for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from eventstore import Order
from eventstore.database import PostgreSQLAdapter
from eventstore.errors import EventStoreError, TimeoutError, TransactionCommitError
from eventstore.repositories import PostgreSQLOrderRepository
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore
from tests.relayed_connections import connected, relay
from tests.saved_orders import new_order, stored_versions

if TYPE_CHECKING:
    from tests.relay import Relay

__all__ = ["relay"]


async def flushed(store: EventStore) -> tuple[PostgreSQLUnitOfWork, Order]:
    """A Unit of Work that has flushed an order, and the order."""
    order = new_order()
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(order)
    await uow.flush()
    return uow, order


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_an_outcome_that_nobody_knows_is_not_said_to_be_retryable(relay: Relay, when: str):
    """COMMIT was sent, and no server answers any more: who ran it all again could do it twice, so the error forbids that.

    The same commit may be repeated: it finds what is there.
    """
    async with connected(relay, connect_timeout=0.2, min_pool_size=0) as connection:
        store = EventStore.of(connection)
        store.log._resend_within_s = 0.3
        uow, order = await flushed(store)
        setattr(relay, when, b"COMMIT")
        relay.refuse = True
        with pytest.raises(TransactionCommitError) as caught:
            await uow.commit()
        assert (caught.value.outcome, caught.value.retryable, order.version) == ("unknown", False, 0)
        relay.refuse = False
        await uow.commit()
        assert (order.version, await stored_versions(store, order.id)) == (1, [1])


async def test_it_is_sent_again_until_the_server_is_back(relay: Relay):
    """The server is away for longer than a connection may take: the commit succeeds, once."""
    async with connected(relay, connect_timeout=0.1, min_pool_size=0) as connection:
        store = EventStore.of(connection)
        order = new_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            relay.lose_after, relay.refuse = b"COMMIT", True
            asyncio.get_running_loop().call_later(0.5, setattr, relay, "refuse", False)
        assert (order.version, await stored_versions(store, order.id)) == (1, [1])


async def test_a_commit_that_failed_is_not_taken_for_sent(relay: Relay):
    """The next commit of the same Unit of Work sends all of it, and none of it counts as saved before."""
    async with connected(relay, connect_timeout=0.1, min_pool_size=0) as connection:
        store = EventStore.of(connection)
        store.log._resend_within_s = 0.3
        uow, order = await flushed(store)
        relay.lose_before, relay.refuse = b"COMMIT", True
        with pytest.raises(EventStoreError):
            await uow.commit()
        assert order.version == 0
        relay.refuse = False
        await uow.commit()
        assert await stored_versions(store, order.id) == [order.version]


async def test_metadata_that_is_changed_before_it_is_sent_again(relay: Relay):
    """The commit was applied, and its answer lost; the program changes its mapping meanwhile: it is still the same append."""
    async with connected(relay) as connection:
        store, order, metadata = EventStore.of(connection), new_order(), {"row": 1}
        async with store.unit_of_work(metadata=metadata) as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            metadata["row"] = 2
            relay.lose_after = b"COMMIT"
        (event,) = await store.log.read_stream(order.id)
        assert (order.version, event.metadata) == (1, {"row": 1})


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["failed", "cancelled"])
async def test_a_roll_back_without_an_answer_hides_nothing(relay: Relay, is_cancelled: bool):
    """The network is cut after a flush: what ended the block is raised, and not the time-out of the roll-back."""
    async with connected(relay, command_timeout=0.3) as connection:
        store = EventStore.of(connection)
        flushed = asyncio.Event()

        async def work() -> None:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(new_order())
                await uow.flush()
                relay.silent = True
                flushed.set()
                if is_cancelled:
                    await asyncio.Event().wait()
                raise ZeroDivisionError

        working = asyncio.ensure_future(work())
        await flushed.wait()
        if is_cancelled:
            working.cancel()
        with pytest.raises(asyncio.CancelledError if is_cancelled else ZeroDivisionError):
            await working


async def test_an_append_that_answers_too_late_is_not_committed(relay: Relay):
    """A call inside an adapter's transaction has failed after its time limit, though the server ran it: the commit is refused."""
    async with connected(relay, command_timeout=0.3, max_pool_size=1) as connection:
        store, adapter = EventStore.of(connection), PostgreSQLAdapter(connection)
        orders = PostgreSQLOrderRepository(adapter)
        order = new_order()
        await adapter.begin_transaction()
        await orders.save_order(new_order())  # the statement is prepared from here on
        relay.passing.clear()
        asyncio.get_running_loop().call_later(0.5, relay.passing.set)
        with pytest.raises(TimeoutError):
            await orders.save_order(order)
        with pytest.raises(TransactionCommitError) as caught:
            await adapter.commit_transaction()
        assert caught.value.outcome == "not_applied"
        assert (order.version, await stored_versions(store, order.id)) == (0, [0])
        await orders.save_order(order)
        assert await stored_versions(store, order.id) == [order.version] == [1]
