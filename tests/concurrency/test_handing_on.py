"""What one operation has saved is handed on to the next in its turn: as fresh as a load, and nobody else's instance."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from eventstore.core.context import at
from eventstore.core.entity import Entity, applies
from eventstore.core.event import Event
from eventstore.repositories import PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory, stream_queues
from eventstore.store import EventStore
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory
from tests.concurrency import counting
from tests.conftest import url_of
from tests.relay import Relay
from tests.rival_writers import STEPS, Rivals, elsewhere, new_order
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from uuid import UUID

    from eventstore.database import DatabaseConfig
    from eventstore.domain.order import Order
    from eventstore.log.records import AppendResult, StagedEvent
    from eventstore.repositories import IUnitOfWork
    from eventstore.repositories.backend import OnResult
    from eventstore.repositories.interfaces import IUnitOfWorkFactory

ROOT = Path(__file__).resolve().parents[2]


@pytest_asyncio.fixture(params=[True, False], ids=["group-commit", "each-alone"])
async def either_store(
    migrated_config: DatabaseConfig, request: pytest.FixtureRequest
) -> AsyncIterator[EventStore]:
    """A store on a fresh database, with group commit and without; no worker runs."""
    async with EventStore.open(migrated_config.replace(group_commit=request.param), workers=False) as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True)
async def no_line_is_left() -> AsyncIterator[None]:
    """When all have ended, nothing is kept of a stream."""
    yield
    assert not stream_queues._queues


def factory_of(store: EventStore) -> PostgreSQLUnitOfWorkFactory:
    """What makes Units of Work of a store."""
    return PostgreSQLUnitOfWorkFactory(store.connection, workers=False)


async def saved(factory: IUnitOfWorkFactory) -> Order:
    """An order whose price is 0."""
    order = new_order()
    async with await factory.create_unit_of_work_async() as uow:
        await uow.orders.save_order(order)
    return order


async def count(uow: IUnitOfWork, order_id: UUID, seen: list[Decimal | None]) -> Order:
    """Raise an order's price by one; it is kept in `seen` as it was."""
    order = await uow.orders.get_order_by_id(order_id)
    assert order is not None
    seen.append(order.limit_price)
    order.limit_price = (order.limit_price or Decimal(0)) + 1
    return await uow.orders.update_order(order)


def _is_wanted_by(line: Any, number: int) -> bool:
    return bool(line.wanted_by == number)


@asynccontextmanager
async def queued(
    factory: IUnitOfWorkFactory, stream_id: UUID, *operations: Callable[[IUnitOfWork], Awaitable[Any]]
) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Have operations wait for their turns in this order; they begin when the block is left, and end after it."""
    manager = PostgreSQLTransactionManager(factory)
    tasks: list[asyncio.Task[Any]] = []
    first = stream_queues.StreamQueues()
    async with first.attempt():
        assert await first.take(stream_id)
        for operation in operations:
            tasks.append(elsewhere(manager.execute_with_retry(operation)))
            line = stream_queues._queues[id(asyncio.get_running_loop()), stream_id]
            await until(partial(_is_wanted_by, line, len(tasks) + 1))
    yield tasks
    await asyncio.wait(tasks)


async def test_the_next_state_is_there_before_the_answer(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """What the next operation gets is computed while the commit before it is in flight, and not after it."""
    steps: list[str] = []
    send, state_after = store.log._send, stream_queues._state_after

    async def noted_send(columns: Any, **options: Any) -> AppendResult:
        steps.append("sent")
        result = await send(columns, **options)
        steps.append("answered")
        return result

    def noted_state(*arguments: Any) -> Any:
        steps.append("state")
        return state_after(*arguments)

    factory, seen = factory_of(store), list[Decimal | None]()
    order = await saved(factory)
    monkeypatch.setattr(store.log, "_send", noted_send)
    monkeypatch.setattr(store.log._group_commit, "_send", noted_send)
    monkeypatch.setattr(stream_queues, "_state_after", noted_state)
    async with queued(factory, order.id, *[partial(count, order_id=order.id, seen=seen)] * 2) as tasks:
        pass
    assert [task.exception() for task in tasks] == [None, None]
    assert steps == ["sent", "state", "answered", "sent", "answered"]


async def test_who_has_waited_loads_nothing(migrated_config: DatabaseConfig):
    """Three operations in their turns: one load and three appends go to the server."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with (
        Relay(migrated_config) as relay,
        EventStore.open(relay.config(min_pool_size=1, max_pool_size=1), workers=False) as store,
    ):
        store.log.wakeups.signals = None  # other processes are told by a message that no append waits for
        factory = factory_of(store)
        order = await saved(factory)
        seen: list[Decimal | None] = []
        for _ in range(2):  # the first prepares the statements
            seen.clear()
            before = relay.requests
            async with queued(factory, order.id, *[lambda uow: count(uow, order.id, seen) for _ in range(3)]):
                pass
        assert seen == [3, 4, 5]
        assert relay.requests - before == 4


class TestFresh:
    """A state is handed on to those alone whose reads began before it was committed."""

    async def test_who_comes_after_the_commit_was_sent_loads(self):
        """While a commit's answer is on its way another process writes, and then an operation comes: it sees both."""
        database = Answering()
        factory = InMemoryUnitOfWorkFactory(database)
        order = await saved(factory)
        late: list[Decimal | None] = []
        tasks: list[asyncio.Task[Any]] = []

        async def on_its_way() -> None:
            await elsewhere(PostgreSQLTransactionManager(factory).execute_in_transaction(stranger))
            manager = PostgreSQLTransactionManager(factory)
            tasks.append(elsewhere(manager.execute_with_retry(lambda uow: count(uow, order.id, late))))
            for _ in range(10):
                await asyncio.sleep(0)

        async def stranger(uow: IUnitOfWork) -> None:
            await count(uow, order.id, [])

        database.on_its_way = on_its_way
        async with queued(factory, order.id, lambda uow: count(uow, order.id, [])):
            pass
        await asyncio.gather(*tasks)
        assert late == [2]

    async def test_a_write_of_another_process_in_between(self, either_store):
        """It is a conflict of the next one, which is run again and sees it; all three are in the stream."""
        factory = factory_of(either_store)
        order = await saved(factory)
        seen: list[Decimal | None] = []

        async def disturbed(uow: IUnitOfWork) -> None:
            await count(uow, order.id, seen)
            if len(seen) == 1:
                async with EventStore.open(either_store.connection.config, workers=False) as other:
                    manager = PostgreSQLTransactionManager(factory_of(other))
                    await elsewhere(manager.execute_in_transaction(lambda uow: count(uow, order.id, [])))

        async with queued(factory, order.id, lambda uow: count(uow, order.id, []), disturbed) as tasks:
            pass
        assert [task.exception() for task in tasks] == [None, None]
        assert seen == [1, 2]
        assert len(await either_store.history(order.id)) == 4

    async def test_another_database_has_states_of_its_own(self):
        """The same id in two databases of one process: each operation sees its own."""
        first, second = InMemoryUnitOfWorkFactory(), InMemoryUnitOfWorkFactory()
        order = await saved(first)
        async with second.create_unit_of_work() as uow:
            copy = type(order)(
                id=order.id,
                **order.model_dump(include={"symbol", "quantity", "side"}),
                limit_price=Decimal(50),
                order_type=order.order_type,
            )
            await uow.orders.save_order(copy)
        seen: list[Decimal | None] = []

        async def in_the_second(_: IUnitOfWork) -> None:
            async with second.create_unit_of_work() as uow:
                await count(uow, order.id, seen)

        async with queued(first, order.id, lambda uow: count(uow, order.id, []), in_the_second):
            pass
        assert seen == [50]


class TestIsolation:
    """Nobody sees what another one has not committed."""

    async def test_what_is_done_to_an_instance_afterwards(self, either_store):
        """It is changed after the commit, and not saved: the next one does not see it."""
        factory = factory_of(either_store)
        order = await saved(factory)
        seen: list[Decimal | None] = []

        async def first(uow: IUnitOfWork) -> None:
            mine = await count(uow, order.id, seen)
            await uow.commit()
            mine.limit_price = Decimal(99)

        async with queued(factory, order.id, first, *[lambda uow: count(uow, order.id, seen)] * 2):
            pass
        assert seen == [0, 1, 2]

    async def test_one_that_fails_after_it_saved(self, either_store):
        """Nothing of it is seen by those after it, and none of theirs is lost."""
        factory = factory_of(either_store)
        order = await saved(factory)
        seen: list[Decimal | None] = []

        async def failing(uow: IUnitOfWork) -> None:
            await count(uow, order.id, seen)
            raise ZeroDivisionError

        def counting(uow: IUnitOfWork) -> Awaitable[Order]:
            return count(uow, order.id, seen)

        async with queued(factory, order.id, counting, failing, counting, counting) as tasks:
            pass
        assert [type(task.exception()) for task in tasks] == [
            type(None),
            ZeroDivisionError,
            type(None),
            type(None),
        ]
        assert seen == [0, 1, 1, 2]

    async def test_a_deleted_one(self, either_store):
        """Who comes next finds none."""
        factory = factory_of(either_store)
        order = await saved(factory)
        found: list[Order | None] = []

        async def looking(uow: IUnitOfWork) -> None:
            found.append(await uow.orders.get_order_by_id(order.id))

        async with queued(factory, order.id, looking, lambda uow: uow.orders.delete_order(order.id), looking):
            pass
        assert [one is None for one in found] == [False, True]

    async def test_values_that_can_change(self, store):
        """A list in a field, against the rule, is changed in place and not saved: the next one does not see it."""
        book = Book.create(BookOpened(occurred_at=at(None)))
        book.note("first")
        async with store.unit_of_work() as uow:
            await uow.entities(Book).save(book)
        seen: list[list[str]] = []

        async def note(uow: Any) -> None:
            mine = await uow.entities(Book).get(book.id)
            seen.append(list(mine.notes))
            mine.notes.append("changed in place")
            mine.note("next")
            await uow.entities(Book).update(mine)

        async with queued(factory_of(store), book.id, note, note, note):
            pass
        assert seen == [["first"], ["first", "next"], ["first", "next", "next"]]


@pytest.mark.parametrize("at_step", range(1, 25))
async def test_a_cancelled_one(either_store, at_step):
    """Wherever it is cancelled, it has committed or not, and those after it see which."""
    factory = factory_of(either_store)
    order = await saved(factory)
    seen: list[Decimal | None] = []

    def counting(uow: IUnitOfWork) -> Awaitable[Order]:
        return count(uow, order.id, seen)

    async with queued(factory, order.id, counting, counting, counting, counting) as tasks:
        for _ in range(at_step):
            await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        tasks[1].cancel()
    assert [task.exception() for task in tasks[2:]] == [None, None]
    events = await either_store.history(order.id)
    assert seen[-2:] == [len(events) - 3, len(events) - 2]


async def test_rivals_in_two_processes(either_store):
    """Tasks that count, fail, flush, list and are cancelled beside a process that counts: all that each read was the newest."""
    factory = factory_of(either_store)
    order = await saved(factory)
    chance = Random(6)
    rivals = Rivals(factory, either_store.log.read_stream, order.id)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            counting.__name__,
            url_of(either_store.connection.config),
            str(order.id),
            "40",
        ),
        cwd=ROOT,
    )
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(rivals.run(chance.choices(STEPS, k=15), chance.randrange(4)))
    assert await process.wait() == 0
    rivals.counted += 40
    await rivals.check()


class Answering(InMemoryDatabase):
    """A database in whose next answer to an append something else happens on its way."""

    on_its_way: Callable[[], Awaitable[None]] | None = None

    async def append(self, staged: Sequence[StagedEvent], on_result: OnResult | None = None) -> AppendResult:
        """Append; then what is to happen; then tell it."""
        result = await super().append(staged)
        happening, self.on_its_way = self.on_its_way, None
        if happening is not None:
            await happening()
        if on_result is not None:
            on_result(result)
        return result


class BookOpened(Event, category="tested book"):
    """A book was opened."""


class BookNoted(Event, category="tested book"):
    """Something was noted in it."""

    note: str


class Book(Entity, category="tested book", created=BookOpened):
    """A book with a list, which no entity should have."""

    notes: list[str] = []  # noqa: RUF012 - pydantic makes each its own

    def note(self, note: str) -> None:
        """Note something."""
        self.emit(BookNoted(occurred_at=at(None), note=note))

    @applies(BookNoted)
    def _noted(self, event: BookNoted) -> None:
        self.set(notes=[*self.notes, event.note])
