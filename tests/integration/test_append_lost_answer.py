"""A lost answer: the append is applied once, and its writer gets its positions, or is told that nobody knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConcurrencyError, EventStoreError, TransactionCommitError
from eventstore.log import EventLog
from eventstore.store import EventStore
from tests.conftest import admin_connection
from tests.entities import everything, started, tuned
from tests.relay import Relay
from tests.relayed_connections import connected, relay
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

__all__ = ["relay"]

MARK = "MARKED"


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
@pytest.mark.parametrize("times", [1, 3])
async def test_an_append_whose_answer_is_lost_is_applied_once(
    relay: Relay, when: str, times: int, group_commit: bool
):
    """The connection ends before the request reaches the server, or after it was done: once in the log, positions known.

    Appends of others that shared its statement are applied once as well.
    """
    async with connected(relay) as connection:
        log = EventLog(connection, group_commit=group_commit)
        relay.times = times
        setattr(relay, when, MARK.encode())
        marked = started(MARK, tunings=2)
        others = [started(str(number)) for number in range(6)]
        results = await asyncio.gather(*(log.append(one) for one in (*others[:3], marked, *others[3:])))
        assert relay.lost == times
        stored = await everything(connection)
        assert len(stored) == 9
        by_stream: dict[Any, list[int]] = {}
        for row in stored:
            by_stream.setdefault(row["stream_id"], []).append(row["position"])
        for stream, result in zip((*others[:3], marked, *others[3:]), results, strict=True):
            assert list(result.positions) == by_stream[stream.stream_id]


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_a_lost_answer_to_a_conflict_is_a_conflict(relay: Relay, group_commit: bool):
    """An append that the server refused is refused when it is sent again, and writes nothing."""
    async with connected(relay) as connection:
        log = EventLog(connection, group_commit=group_commit)
        known = started()
        await log.append(known)
        relay.lose_after = MARK.encode()
        with pytest.raises(ConcurrencyError) as caught:
            await log.append(started(MARK), tuned(known.stream_id, 0, 3))
        assert (relay.lost, caught.value.expected, caught.value.actual) == (1, 0, 1)
        assert len(await everything(connection)) == 1


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_a_server_that_does_not_come_back_leaves_the_outcome_unknown(relay: Relay, group_commit: bool):
    """After an answer was lost and no server answers any more, the error says that nobody knows; it is not retryable."""
    async with connected(relay, connect_timeout=0.2) as connection:
        log = EventLog(connection, group_commit=group_commit, resend_within_s=0.3)
        relay.lose_after, relay.refuse = MARK.encode(), True
        marked = started(MARK)
        with pytest.raises(TransactionCommitError) as caught:
            await log.append(marked)
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
        relay.refuse = False
        # The very same append may be sent again: it finds itself.
        assert (await log.append(marked)).repeated
        assert len(await everything(connection)) == 1


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_an_append_that_takes_too_long_is_sent_again(relay: Relay, group_commit: bool):
    """The answer comes too late for the command's limit, which says nothing of the append: it is applied once."""
    async with connected(relay, command_timeout=0.5) as connection:
        log = EventLog(connection, group_commit=group_commit)
        relay.hold_after = MARK.encode()
        marked = started(MARK, tunings=2)
        result = await log.append(marked)
        assert relay.held.is_set()
        assert [row["position"] for row in await everything(connection)] == list(result.positions)


async def test_a_server_that_cannot_be_reached_was_sent_nothing(relay: Relay):
    """Where nothing was sent the error is retryable, and not about an outcome."""
    async with connected(relay, connect_timeout=0.2, min_pool_size=0) as connection:
        log = EventLog(connection)
        relay.refuse = True
        with pytest.raises(EventStoreError) as caught:
            await log.append(started())
        assert caught.value.retryable
        assert not isinstance(caught.value, TransactionCommitError)


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_an_error_after_a_lost_answer_says_nothing_of_the_first_try(
    relay: Relay, migrated_config: DatabaseConfig, group_commit: bool
):
    """The append was applied, its answer was lost, and then the server refuses writing: that is no `not applied`."""
    async with connected(relay) as connection:
        log = EventLog(connection, group_commit=group_commit, resend_within_s=0.3)
        relay.lose_after = MARK.encode()
        marked = started(MARK)
        admin = await admin_connection(migrated_config)
        name = migrated_config.database
        try:
            appending = asyncio.ensure_future(log.append(marked))
            await relay.arrived.wait()
            # Every later transaction is read-only: what sends the append again meets an error of the server.
            await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with pytest.raises(TransactionCommitError) as caught:
                await appending
            assert caught.value.outcome == "unknown"
            await admin.execute("SET default_transaction_read_only = off")
            assert await admin.fetchval("SELECT count(*) FROM events") == 1
        finally:
            await admin.close()


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_a_backend_that_is_terminated_in_an_append_loses_nothing(
    migrated_config: DatabaseConfig, group_commit: bool
):
    """An administrator ends every backend again and again while many append: each append is in the log once."""
    connection = await ConnectionFactory.create_connection(migrated_config)
    admin = await admin_connection(migrated_config)
    try:
        log = EventLog(connection, group_commit=group_commit)
        results: dict[Any, tuple[int, ...]] = {}

        async def write(number: int) -> None:
            for _ in range(15):
                stream = started(str(number), tunings=1)
                while stream.stream_id not in results:
                    try:
                        results[stream.stream_id] = (await log.append(stream)).positions
                    except EventStoreError as error:
                        assert error.retryable  # noqa: PT017 - an outcome that nobody knows would fail here

        writers = asyncio.gather(*(write(number) for number in range(12)))
        terminated = 0
        for reached in range(10, 180, 25):
            await until(lambda reached=reached: len(results) >= reached)  # type: ignore[misc]
            terminated += await admin.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await writers
        assert terminated > 0
        stored: dict[Any, list[int]] = {}
        # Not with the pool: an idle connection of it may have been ended a moment ago, and a read is not sent again.
        for row in await admin.fetch("SELECT stream_id, position FROM events ORDER BY position"):
            stored.setdefault(row["stream_id"], []).append(row["position"])
        assert {key: tuple(positions) for key, positions in stored.items()} == results
        assert len(stored) == 180
    finally:
        await admin.close()
        await connection.close(timeout_s=5)


def market_order() -> Order:
    """A new order."""
    from decimal import Decimal

    return Order.create_market_order(MARK, Decimal(10), OrderSide.BUY)


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_unit_of_work_whose_commit_is_lost_is_saved_once(relay: Relay, when: str):
    """The commit of a Unit of Work that sent nothing before: the entity has the version that the log has."""
    async with connected(relay) as connection:
        store = EventStore.of(connection)
        order = market_order()
        setattr(relay, when, MARK.encode())
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        assert (relay.lost, order.version, order.pending_events) == (1, 1, ())
        assert len(await everything(connection)) == 1


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_flushed_unit_of_work_whose_commit_is_lost_is_saved_once(relay: Relay, when: str):
    """COMMIT never reached the server, or was done and not answered: either way all is in the log once."""
    async with connected(relay) as connection:
        store = EventStore.of(connection)
        order = market_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            await uow.flush()
            order.submit("B-1")
            await uow.orders.update_order(order)
            await uow.flush()
            order.cancel()
            await uow.orders.update_order(order)
            setattr(relay, when, b"COMMIT")
        assert (relay.lost, order.version, order.pending_events) == (1, 3, ())
        assert [row["version"] for row in await everything(connection)] == [1, 2, 3]


async def test_a_commit_that_takes_too_long_is_resolved(relay: Relay, migrated_config: DatabaseConfig):
    """The answer to the COMMIT of a flushed Unit of Work comes too late for the command's limit: it is asked again."""
    async with connected(relay, command_timeout=0.5) as connection:
        store = EventStore.of(connection)
        admin = await admin_connection(migrated_config)
        try:
            # A deferred trigger makes the server slow at COMMIT, and at nothing else.
            await admin.execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; "
                "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION dawdle()"
            )
            order = market_order()
            uow = store.unit_of_work()
            await uow.begin_transaction()
            await uow.orders.save_order(order)
            await uow.flush()
            committing = asyncio.ensure_future(uow.commit())

            async def sleeps() -> bool:
                count: int = await admin.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND wait_event = 'PgSleep'"
                )
                return count > 0

            await until(sleeps)
            await admin.execute("ALTER TABLE events DISABLE TRIGGER dawdle")
            await committing
            assert order.version == 1
            assert len(await everything(connection)) == 1
        finally:
            await admin.close()
