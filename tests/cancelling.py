"""Cancelling a coroutine at a chosen await."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


MESSAGE = "cancelled by a test"


class _Steps:
    """An awaitable that runs a coroutine and cancels its task when it is suspended for the k-th time."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int) -> None:
        self._work = work
        self._at = at
        self.suspended = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = self._work.throw(thrown) if thrown else self._work.send(sent)
            except StopIteration as stop:
                return stop.value
            self.suspended += 1
            if self.suspended == self._at:
                task = asyncio.current_task()
                assert task is not None
                # After the task has begun to wait, as a cancellation from another task would come.
                asyncio.get_running_loop().call_soon(task.cancel, MESSAGE)
            sent, thrown = None, None
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine as it is
                thrown = error


async def cancelled_at(at: int, work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[bool, int]:
    """Run `work()` in a task that is cancelled when it suspends for the `at`-th time.

    Returns:
        Whether it ended cancelled, and how often it was suspended; fewer times than `at` means that the
        end was reached first.

    Raises:
        AssertionError: The cancellation that was raised is not the one that was asked for.
        Exception: What the work raised, unless it was the cancellation.
    """
    steps = _Steps(work(), at)

    async def run() -> Any:
        return await steps

    task = asyncio.ensure_future(run())
    try:
        await task
    except asyncio.CancelledError as error:
        if error.args != (MESSAGE,):
            raise AssertionError(f"{error!r} is not the cancellation that came") from error
        return True, steps.suspended
    return False, steps.suspended
