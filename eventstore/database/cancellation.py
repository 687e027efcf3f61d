"""Finishing what must not be left half done when its caller is cancelled.

A cancellation that waits for the end of such work is raised afterwards as it came: the `CancelledError` of the event loop, with
its message. anyio, for one, knows its own cancellations by their messages. Where several came, the last one is raised,
as the event loop does, and the earlier ones are its `__context__`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
_CHAIN_MAX = 100  # of one exception's contexts; a longer chain is a loop


class Outcome(asyncio.Future[_T]):
    """A future that the cancellation of a task which waits for it does not cancel.

    The event loop remembers the cancellation, and raises it in the task once the outcome is known.
    """

    _messages: tuple[Any, ...] = ()

    def cancel(self, msg: Any | None = None) -> bool:
        """Take note of a cancellation of the waiting task, and go on."""
        if msg not in self._messages:  # anyio cancels again and again
            self._messages += (msg,)
        return False

    def give_up(self) -> None:
        """Cancel it after all, since nobody will ever know the outcome, as at the end of the event loop."""
        super().cancel()

    def add_earlier(self, cancelled: asyncio.CancelledError) -> None:
        """Add the cancellations that came before the one which is raised, as its contexts."""
        error: BaseException = cancelled
        while error.__context__ is not None:
            error = error.__context__
        last = cancelled.args[0] if cancelled.args else None
        for message in reversed(self._messages):
            if message != last:
                error.__context__ = asyncio.CancelledError(*([] if message is None else [message]))
                error = error.__context__


async def finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end even where the caller is cancelled, then let the cancellation go on.

    The work must bound its own time, since nothing interrupts it.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended, and its result or error is lost.
    """
    task = asyncio.ensure_future(work)
    if not task.done():
        ended: Outcome[None] = Outcome(loop=task.get_loop())
        task.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        try:
            await ended
        except asyncio.CancelledError as cancelled:
            if not task.cancelled():
                task.exception()  # marks it as retrieved
            ended.add_earlier(cancelled)
            raise
    return task.result()


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until they have ended; what they raise is left to those who await them.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the tasks have ended.
    """
    for task in tasks:
        task.cancel()
    await finish(_ended(tasks))


async def _ended(tasks: tuple[asyncio.Future[Any], ...]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def cancelling() -> int:
    """Return how many cancellations of the running task are neither over nor taken back; 0 outside of tasks."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    return 0 if task is None else task.cancelling()


def cancelled_within(error: BaseException) -> asyncio.CancelledError | None:
    """Return the cancellation that was under way when `error` was raised; None where there was none.

    Cleaning up after a cancellation may fail, as on a lost connection, and the error then stands in the place of the
    cancellation.
    """
    one: BaseException | None = error
    for _ in range(_CHAIN_MAX):
        if one is None or isinstance(one, asyncio.CancelledError):
            return one
        one = one.__context__
    return None
