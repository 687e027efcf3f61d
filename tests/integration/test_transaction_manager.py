"""The transaction manager: what it runs again, what it does not, and how long it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from eventstore.domain import Order, OrderSide
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionError,
    ConnectionLostError,
    DomainError,
    EventStoreError,
    OrderNotFoundError,
    TimeoutError,
    TransactionCommitError,
    TransactionConflictError,
)
from eventstore.log.records import AppendResult, StagedEvent
from eventstore.repositories import (
    IUnitOfWork,
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWorkFactory,
    transaction_manager,
)
from eventstore.repositories.backend import OnResult
from eventstore.store import EventStore
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory


@pytest.fixture
def manager(store: EventStore) -> PostgreSQLTransactionManager:
    """A manager on a migrated database."""
    return PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays that the manager waited for, none of which takes any time; chance takes nothing off them."""
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)

    monkeypatch.setattr(transaction_manager, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(transaction_manager, "random", SimpleNamespace(random=lambda: 1.0))
    return waited


def an_order() -> Order:
    """A new order at 0."""
    return Order.create_limit_order("AAPL", Decimal(1), OrderSide.BUY, limit_price=Decimal(0))


class Failing:
    """An operation that saves a new order and then fails, so many times; each order is kept in `orders`."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.orders: list[Order] = []
        self.units: list[IUnitOfWork] = []
        self.has_run = asyncio.Event()

    async def __call__(self, uow: IUnitOfWork) -> Order:
        """Save, then fail or return."""
        self.units.append(uow)
        self.orders.append(await uow.orders.save_order(an_order()))
        self.has_run.set()
        if self.errors:
            raise self.errors.pop(0)
        return self.orders[-1]


RETRYABLE = [
    ConcurrencyError(UUID(int=1), expected=1, actual=2),
    TransactionConflictError("deadlock"),
    ConnectionError("lost before anything was sent"),
]
FINAL: list[Exception] = [
    DomainError("order.overfill", "too much"),
    OrderNotFoundError(UUID(int=1)),
    ConfigurationError("wrong"),
    TimeoutError("too slow"),
    ConnectionLostError("lost, and perhaps applied"),
    ConnectionClosedError("closed"),
    TransactionCommitError("lost", outcome="unknown"),
    ZeroDivisionError("the user's own"),
    OSError("the user's own connection"),
]


def named(error: Exception) -> str:
    """An error's class, for the names of tests."""
    return type(error).__name__


class TestRetry:
    """execute_with_retry."""

    @pytest.mark.parametrize("error", RETRYABLE, ids=named)
    async def test_what_is_retryable_is_run_again(self, manager, store, delays, error):
        """With a new Unit of Work each time; only the run that succeeded has written."""
        operation = Failing(error, error)
        result = await manager.execute_with_retry(operation)
        assert [order is result for order in operation.orders] == [False, False, True]
        assert len({id(unit) for unit in operation.units}) == 3
        assert [len(await store.history(order.id)) for order in operation.orders] == [0, 0, 1]
        assert len(delays) == 2

    @pytest.mark.parametrize("error", FINAL, ids=named)
    async def test_what_is_not_is_raised_at_once_as_itself(self, manager, store, delays, error):
        """The very error, after one run, and nothing was written."""
        operation = Failing(error)
        with pytest.raises(type(error)) as raised:
            await manager.execute_with_retry(operation, max_retries=9)
        assert raised.value is error
        assert len(operation.orders) == 1
        assert await store.history(operation.orders[0].id) == []
        assert delays == []

    @pytest.mark.parametrize("max_retries", [0, 1, 3])
    async def test_it_gives_up(self, manager, delays, max_retries):
        """After so many retries the last error is raised."""
        errors = [ConcurrencyError(UUID(int=number), expected=1, actual=2) for number in range(9)]
        operation = Failing(*errors)
        with pytest.raises(ConcurrencyError) as raised:
            await manager.execute_with_retry(operation, max_retries=max_retries)
        assert raised.value is errors[max_retries]
        assert len(operation.orders) == max_retries + 1
        assert len(delays) == max_retries

    async def test_the_defaults(self, manager, delays):
        """Three retries, after 20, 40 and 80 ms less chance."""
        with pytest.raises(TransactionConflictError):
            await manager.execute_with_retry(Failing(*(TransactionConflictError("x") for _ in range(9))))
        assert delays == [0.02, 0.04, 0.08]

    async def test_delays_are_bounded(self, manager, delays):
        """They double and end at 5 s, whatever the factor."""
        operation = Failing(*(TransactionConflictError("x") for _ in range(30)))
        await manager.execute_with_retry(operation, max_retries=30, backoff_factor=10.0)
        assert delays[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
        assert set(delays[5:]) == {5.0}

    async def test_any_number_of_retries(self, delays):
        """The 2,000th delay is as long as the 20th: no power of two outgrows a float."""
        manager = PostgreSQLTransactionManager(InMemoryUnitOfWorkFactory())
        await manager.execute_with_retry(
            Failing(*(TransactionConflictError("x") for _ in range(2_000))), max_retries=2_000
        )
        assert (len(delays), delays[-1]) == (2_000, 5.0)

    async def test_a_factor_of_zero_waits_for_nothing(self, manager, delays):
        """For tests of a user's own."""
        await manager.execute_with_retry(Failing(TransactionConflictError("x")), backoff_factor=0)
        assert delays == [0]

    async def test_chance_takes_a_part_of_each_delay(self, manager, delays, monkeypatch):
        """Writers in conflict part: each waits for another part of the delay."""
        chances = iter([0.0, 0.5, 0.25])
        monkeypatch.setattr(transaction_manager, "random", SimpleNamespace(random=lambda: next(chances)))
        await manager.execute_with_retry(Failing(*(TransactionConflictError("x") for _ in range(3))))
        assert delays == [0, 0.02, 0.02]

    @pytest.mark.parametrize(
        "arguments",
        [
            {"max_retries": -1},
            {"max_retries": 2.5},
            {"max_retries": float("nan")},
            {"backoff_factor": -0.1},
            {"backoff_factor": float("nan")},
            {"backoff_factor": float("inf")},
        ],
    )
    async def test_negative_arguments(self, manager, arguments):
        """They are refused before anything runs."""
        operation = Failing()
        with pytest.raises(ConfigurationError, match="0 or more"):
            await manager.execute_with_retry(operation, **arguments)
        assert operation.orders == []

    @pytest.mark.usefixtures("delays")
    async def test_a_conflict_of_the_commit(self, manager, store):
        """What the database found is retried too: the operation loads again, and no change is lost."""
        order = an_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        seen: list[int] = []

        async def operation(uow: IUnitOfWork) -> None:
            mine = await uow.orders.get_order_by_id(order.id)
            assert mine is not None
            seen.append(mine.version)
            mine.submit("B-1")
            await uow.orders.update_order(mine)
            if len(seen) == 1:
                order.limit_price = Decimal(7)
                async with store.unit_of_work() as other:
                    await other.orders.update_order(order)

        await manager.execute_with_retry(operation)
        assert seen == [1, 2]
        assert [event.type for event in await store.history(order.id)] == [
            "OrderCreated",
            "OrderAmended",
            "OrderSubmitted",
        ]

    async def test_a_deadlock_of_two_operations(self, manager, store):
        """Two that flush in crossed order both succeed in the end."""
        first, second = an_order(), an_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_many([first, second])
        both = asyncio.Barrier(2)
        attempts = []

        def crossing(*ids: UUID) -> Any:
            async def operation(uow: IUnitOfWork) -> None:
                attempts.append(ids)
                for number, order_id in enumerate(ids):
                    mine = await uow.orders.get_order_by_id(order_id)
                    assert mine is not None
                    mine.limit_price = (mine.limit_price or Decimal(0)) + 1
                    await uow.orders.update_order(mine)
                    await uow.flush()
                    if number == 0 and attempts.count(ids) == 1:
                        await both.wait()

            return operation

        await asyncio.gather(
            manager.execute_with_retry(crossing(first.id, second.id)),
            manager.execute_with_retry(crossing(second.id, first.id)),
        )
        assert len(attempts) == 3
        async with store.unit_of_work() as uow:
            loaded = [await uow.orders.get_order_by_id(order.id) for order in (first, second)]
        assert [order.limit_price for order in loaded if order is not None] == [2, 2]

    async def test_many_writers_of_one_stream(self, manager, store):
        """Eight tasks that count to ten each: 80 successes, and the count is 80."""
        order = an_order()
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)

        async def count_one(uow: IUnitOfWork) -> None:
            mine = await uow.orders.get_order_by_id(order.id)
            assert mine is not None
            assert mine.limit_price is not None
            mine.limit_price += 1
            await uow.orders.update_order(mine)

        async def count_to_ten() -> None:
            for _ in range(10):
                await manager.execute_with_retry(count_one, max_retries=1_000, backoff_factor=0.1)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(count_to_ten())
        async with store.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded is not None
        assert loaded.limit_price == 80
        assert len(await store.history(order.id)) == 81

    async def test_cancelled_while_it_waits(self, manager, store):
        """It ends at once, and does not run again."""
        operation = Failing(*(TransactionConflictError("x") for _ in range(9)))
        running = asyncio.create_task(manager.execute_with_retry(operation, backoff_factor=1e6))
        await operation.has_run.wait()
        await asyncio.wait([running], timeout=0.05)
        runs = len(operation.orders)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(operation.orders) == runs < 9
        assert [await store.history(order.id) for order in operation.orders] == [[]] * runs


class AnswerLost(InMemoryDatabase):
    """A database that applies an append, and whose answer is lost for good."""

    async def append(self, staged: Sequence[StagedEvent], on_result: OnResult | None = None) -> AppendResult:
        """Append, and say that nobody knows."""
        del on_result
        await super().append(staged)
        raise TransactionCommitError("the answer was lost", outcome="unknown")


@pytest.mark.parametrize("method", ["execute_in_transaction", "execute_with_retry"])
async def test_an_unknown_outcome_is_never_run_again(method):
    """The operation ran once, and was applied once; the error says that nobody knows."""
    database = AnswerLost()
    manager = PostgreSQLTransactionManager(InMemoryUnitOfWorkFactory(database))
    operation = Failing()
    with pytest.raises(TransactionCommitError) as raised:
        await getattr(manager, method)(operation)
    assert raised.value.outcome == "unknown"
    assert len(operation.orders) == len(database.events) == 1


class TestOnce:
    """execute_in_transaction."""

    async def test_it_commits_and_returns(self, manager, store):
        """What the operation returned, after the commit."""
        order = await manager.execute_in_transaction(Failing())
        assert (order.version, len(await store.history(order.id))) == (1, 1)

    @pytest.mark.parametrize("error", [ZeroDivisionError(), *RETRYABLE], ids=named)
    async def test_an_error_is_raised_as_itself(self, manager, store, error):
        """A retryable one too: nothing is run again, nothing was written."""
        operation = Failing(error)
        with pytest.raises(type(error)) as raised:
            await manager.execute_in_transaction(operation)
        assert raised.value is error
        assert await store.history(operation.orders[0].id) == []
        assert len(operation.orders) == 1


class TestBatch:
    """execute_batch."""

    async def test_results_in_order_and_one_commit(self, manager, store):
        """Each sees what those before it staged; all are committed by one statement."""

        async def count(uow: IUnitOfWork) -> int:
            return len(await uow.orders.get_orders_by_symbol("AAPL"))

        save = Failing()
        results = await manager.execute_batch([count, save, count, save, count])
        assert results == [0, save.orders[0], 1, save.orders[1], 2]
        assert len({id(unit) for unit in save.units}) == 1
        recorded = {(await store.history(order.id))[0].recorded_at for order in save.orders}
        assert len(recorded) == 1

    async def test_one_that_fails_undoes_all(self, manager, store):
        """Its error is raised as itself; those after it do not run."""
        before, failing, after = Failing(), Failing(ZeroDivisionError()), Failing()
        with pytest.raises(ZeroDivisionError):
            await manager.execute_batch([before, failing, after])
        assert after.orders == []
        for order in before.orders + failing.orders:
            assert await store.history(order.id) == []

    async def test_any_iterable_and_none_at_all(self, manager):
        """A generator will do, and an empty one gives an empty list."""
        assert len(await manager.execute_batch(Failing() for _ in range(2))) == 2
        assert await manager.execute_batch([]) == []


async def test_every_retryable_error_is_known_here():
    """No class of error is retryable that this suite does not expect to be."""

    def subclasses(kind: type[EventStoreError]) -> set[type[EventStoreError]]:
        return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))

    # A private class is one of its public base to whoever catches it.
    retryable = {kind.__name__.lstrip("_") for kind in subclasses(EventStoreError) if kind.retryable}
    own = {
        name for name in retryable if name not in {"CheckpointMovedError", "VersionTakenError"}
    }  # a worker's, never of an operation
    assert own == {"ConcurrencyError", "TransactionConflictError", "ConnectionError", "ServerChangedError"}
