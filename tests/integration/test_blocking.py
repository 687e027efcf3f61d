"""An event store for code without an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import Order, OrderSide
from eventstore.blocking import BlockingStore
from eventstore.core.context import use_clock
from eventstore.errors import ConcurrencyError, ConfigurationError, ConnectionClosedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.database import DatabaseConfig

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def blocking(migrated_config: DatabaseConfig) -> Iterator[BlockingStore]:
    """A store that any thread may use; no worker runs."""
    with BlockingStore.open(migrated_config, workers=False) as opened:
        yield opened


def _order() -> Order:
    return Order.create_limit_order("ES", Decimal(5), OrderSide.BUY, limit_price=Decimal(100))


def _placed(blocking: BlockingStore) -> Order:
    order = _order()
    with blocking.unit_of_work(actor="desk") as uow:
        blocking.run(uow.orders.save_order, order)
    return order


def test_a_block_that_leaves_has_committed(blocking: BlockingStore):
    """What one block writes, the next one reads, with the metadata of the first."""
    order = _placed(blocking)
    with blocking.unit_of_work() as uow:
        found = blocking.run(uow.orders.get_order_by_id, order.id)
    assert found == order
    (event,) = blocking.run(blocking.store.log.read_stream, order.id)
    assert event.metadata["actor"] == "desk"


def test_an_error_in_the_block_rolls_back(blocking: BlockingStore):
    """Nothing of a block that fails is written, and its error reaches the caller."""
    order = _order()

    def fail() -> None:
        with blocking.unit_of_work() as uow:
            blocking.run(uow.orders.save_order, order)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert blocking.run(blocking.store.log.head) == 0


def test_the_error_of_a_commit_reaches_the_caller(blocking: BlockingStore):
    """A conflict is the same exception as with `await`."""
    order = _placed(blocking)

    def cancel_twice() -> None:
        with blocking.unit_of_work() as first:
            mine = blocking.run(first.orders.get_order_by_id, order.id)
            assert mine is not None
            with blocking.unit_of_work() as second:
                theirs = blocking.run(second.orders.get_order_by_id, order.id)
                assert theirs is not None
                theirs.cancel()
                blocking.run(second.orders.update_order, theirs)
            mine.cancel()
            blocking.run(first.orders.update_order, mine)

    with pytest.raises(ConcurrencyError):
        cancel_twice()


def test_the_callers_context_holds(blocking: BlockingStore):
    """A clock that the caller's thread has set is that of the calls."""

    async def make() -> Order:
        await asyncio.sleep(0)
        return _order()

    with use_clock(lambda: NOON):
        assert blocking.run(make).created_at == NOON
    assert blocking.run(make).created_at > NOON


def test_a_past_and_an_iteration(blocking: BlockingStore):
    """Asynchronous context managers and iterables work in `with` and `for`."""
    order = _placed(blocking)
    with blocking.enter(blocking.store.as_of(position=1)) as past:
        assert blocking.run(past.orders.get_order_by_id, order.id) == order
    assert [event.type for event in blocking.iterate(blocking.store.replay())] == ["OrderCreated"]


def test_many_threads(blocking: BlockingStore):
    """Calls of several threads run concurrently, and all of them commit."""
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(lambda _: _placed(blocking), range(40)))
    assert len({order.id for order in orders}) == 40
    with blocking.unit_of_work() as uow:
        assert len(blocking.run(uow.orders.get_active_orders)) == 40


def test_an_interrupted_call_is_cancelled_and_has_ended(blocking: BlockingStore):
    """Ctrl-C ends the call, and nothing of it runs on behind the caller."""
    ended: list[str] = []

    async def sleep() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append("ended")

    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        blocking.run(sleep)
    assert ended == ["ended"]


def test_the_loop_of_the_store_does_not_wait_for_itself(blocking: BlockingStore):
    """A call from inside a call would wait for ever; it is refused in one line."""

    async def inside() -> None:
        await asyncio.sleep(0)
        blocking.run(blocking.store.log.head)

    with pytest.raises(ConfigurationError, match="cannot wait for itself"):
        blocking.run(inside)


def test_after_the_close(migrated_config: DatabaseConfig):
    """A closed store says so; closing twice is safe; its thread has ended."""
    before = threading.active_count()
    blocking = BlockingStore.open(migrated_config, workers=True)
    blocking.close()
    blocking.close()
    assert blocking.is_closed
    assert threading.active_count() == before
    with pytest.raises(ConnectionClosedError, match="was closed"):
        blocking.run(blocking.store.log.head)


def test_a_store_that_cannot_be_opened_leaves_no_thread():
    """The error of `open` is that of `EventStore.open`, and nothing stays behind."""
    before = threading.active_count()
    with pytest.raises(ConfigurationError):
        BlockingStore.open("mysql://localhost/trading")
    assert threading.active_count() == before


def _try(blocking: BlockingStore, results: Any) -> None:
    try:
        blocking.run(blocking.store.log.head)
    except ConfigurationError as error:
        results.put(str(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_told(blocking: BlockingStore):
    """A forked process has no thread that could answer, so the call is refused instead of waiting for ever."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_try, args=(blocking, results))
    process.start()
    assert "forked" in results.get(timeout=20)
    process.join(timeout=20)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "anyio.from_thread", None)
    with pytest.raises(ConfigurationError, match=r"trading-eventstore\[sync\]"):
        BlockingStore.open("postgresql://localhost/trading")
