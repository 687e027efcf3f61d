"""What is finished in spite of a cancellation, and how the cancellation goes on afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import asyncpg
import pytest

from eventstore import errors
from eventstore.database.cancellation import Outcome, cancelled_within, end, finish
from eventstore.database.error_mapping import mapped_errors


class Work:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.is_done = False

    async def run(self) -> str:
        """Wait, and end."""
        self.begun.set()
        await self.may_end.wait()
        self.is_done = True
        return "done"


async def _finish(work: Work) -> str:
    return await finish(work.run())


async def _outcome(work: Work) -> str:
    outcome: Outcome[str] = Outcome(loop=asyncio.get_running_loop())

    async def run() -> None:
        outcome.set_result(await work.run())

    task = asyncio.create_task(run())
    try:
        return await outcome
    except asyncio.CancelledError as cancelled:
        outcome.add_earlier(cancelled)
        raise
    finally:
        await task


WAYS: list[Callable[[Work], Coroutine[Any, Any, str]]] = [_finish, _outcome]


@pytest.fixture(params=["later", "eager"], autouse=True)
async def each_task_factory(request: pytest.FixtureRequest) -> None:
    """Tasks that begin in a later turn of the event loop, and tasks that begin where they are made (Python 3.12)."""
    if request.param == "eager":
        if not hasattr(asyncio, "eager_task_factory"):
            pytest.skip("eager tasks came with Python 3.12")
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


@pytest.fixture(params=WAYS, ids=["finish", "outcome"], name="way")
async def each_way(request: pytest.FixtureRequest) -> Callable[[Work], Coroutine[Any, Any, str]]:
    """A way to wait for the end of work."""
    way: Callable[[Work], Coroutine[Any, Any, str]] = request.param
    return way


async def _limited(waiting: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.timeout(0.01), asyncio.timeout(0.02):
        await waiting


async def _cancelled(task: asyncio.Task[Any]) -> asyncio.CancelledError:
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_the_cancellation_that_came_is_raised(way):
    """Its message says who has cancelled; it is raised when the work has ended."""
    work = Work()
    task = asyncio.create_task(way(work))
    await work.begun.wait()
    reason = object()
    task.cancel(reason)
    await asyncio.sleep(0)
    assert not task.done()
    work.may_end.set()
    error = await _cancelled(task)
    assert error.args == (reason,)
    assert work.is_done


async def test_of_several_cancellations_the_last_is_raised_and_the_others_are_its_contexts(way):
    """Whoever looks for the message of his own finds it, and each counts once."""
    work = Work()
    counts: list[int] = []

    async def run() -> None:
        try:
            await way(work)
        finally:
            task = asyncio.current_task()
            assert task is not None
            counts.append(task.cancelling())

    task = asyncio.create_task(run())
    await work.begun.wait()
    for message in ("one", "two", "two", None):
        task.cancel(message)
        await asyncio.sleep(0)
    work.may_end.set()
    error: BaseException | None = await _cancelled(task)
    found = []
    while error is not None:
        found.append(error.args)
        error = error.__context__
    assert found == [(), ("two",), ("one",)]
    assert counts == [4]


async def test_a_time_limit_inside_a_cancelled_scope_does_not_hide_it(way):
    """A scope of anyio ends before asyncio's own limit inside it does, while both wait for the work."""
    work = Work()

    async def run() -> str:
        with anyio.move_on_after(0.01) as scope:
            async with asyncio.timeout(0.02):
                await way(work)
        return "cancelled" if scope.cancelled_caught else "not"

    task = asyncio.create_task(run())
    asyncio.get_running_loop().call_later(0.05, work.may_end.set)
    assert await task == "cancelled"
    assert task.cancelling() == 0


@pytest.mark.parametrize("scope_s", [0.01, 0.02], ids=["scope-first", "task-first"])
async def test_a_cancelled_task_is_cancelled_whatever_scopes_it_is_in(way, scope_s):
    """Neither a scope nor a time limit takes the cancellation of the whole task for its own."""
    work = Work()

    async def run() -> None:
        with anyio.move_on_after(scope_s):
            async with asyncio.timeout(scope_s):
                await way(work)

    task = asyncio.create_task(run())
    loop = asyncio.get_running_loop()
    loop.call_later(0.015, task.cancel)
    loop.call_later(0.05, work.may_end.set)
    await _cancelled(task)


async def test_nested_time_limits_count_their_own_cancellations(way):
    """The limit that was passed gives TimeoutError; the outer one is not passed, and the task goes on."""
    work = Work()
    asyncio.get_running_loop().call_later(0.05, work.may_end.set)
    async with asyncio.timeout(60) as outer:
        with pytest.raises(TimeoutError):
            await _limited(way(work))
        await asyncio.sleep(0)
    assert not outer.expired()


async def test_a_task_group_ends_with_the_error_of_its_member(way):
    """A sibling's failure cancels the wait; the group raises that failure alone, when the work has ended."""
    work = Work()

    async def fail() -> None:
        await work.begun.wait()
        asyncio.get_running_loop().call_later(0.01, work.may_end.set)
        raise LookupError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(way(work))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert work.is_done


async def test_wait_for_gives_a_time_out(way):
    """`asyncio.wait_for` waits for the work, and then says that it took too long."""
    work = Work()
    asyncio.get_running_loop().call_later(0.05, work.may_end.set)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(way(work), 0.01)
    assert work.is_done


async def test_finish_gives_the_result_or_the_error_of_the_work():
    """Without a cancellation it is as if the work had been awaited."""
    work = Work()
    work.may_end.set()
    assert await finish(work.run()) == "done"

    async def fail() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await finish(fail())


async def test_work_that_was_cancelled_itself_raises_that():
    """As at the end of the event loop, which cancels every task."""
    begun: asyncio.Future[asyncio.Task[Any] | None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        begun.set_result(asyncio.current_task())
        await asyncio.Event().wait()

    waiting = asyncio.create_task(finish(work()))
    task = await begun
    assert task is not None
    task.cancel("end of the loop")
    error = await _cancelled(waiting)
    assert error.args == ("end of the loop",)
    assert waiting.cancelling() == 0


async def test_ended_tasks_have_ended_also_where_the_caller_is_cancelled():
    """A cancellation during the wait is neither lost nor does it leave a task behind."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    task = asyncio.create_task(stubborn())
    await begun.wait()
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel("again")
    for _ in range(3):
        await asyncio.sleep(0)
    assert not ending.done()
    may_end.set()
    assert (await _cancelled(ending)).args == ("again",)
    assert task.cancelled()


async def test_a_failed_clean_up_does_not_stand_in_the_place_of_the_cancellation():
    """The driver cannot roll back on a lost connection; the task was cancelled all the same."""

    async def run() -> None:
        with mapped_errors():
            try:
                await asyncio.Event().wait()
            finally:
                raise asyncpg.InterfaceError("connection is closed")

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel("shutdown")
    error = await _cancelled(task)
    assert error.args == ("shutdown",)
    assert isinstance(error.__context__, asyncpg.InterfaceError)


async def test_an_earlier_cancellation_does_not_hide_an_error():
    """What fails in a handler of the cancellation, in a block of its own, is that error."""

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with mapped_errors():
                raise asyncpg.InterfaceError("connection is closed") from None

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(errors.RepositoryError):
        await task


async def test_errors_are_mapped_outside_of_tasks():
    """The mapping needs neither a task nor an event loop."""

    def fail() -> None:
        with mapped_errors():
            raise asyncpg.InterfaceError("x")

    with pytest.raises(errors.RepositoryError):
        await asyncio.to_thread(fail)
    assert cancelled_within(LookupError()) is None
