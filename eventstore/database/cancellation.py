"""Work that must finish even if its caller is cancelled.

A cancellation that arrives during such work is raised unchanged afterwards: the `CancelledError` of the
event loop, with its message. (anyio, for example, recognises its own cancellations by their messages.)
If several arrive, the last one is raised, as the event loop does, and the earlier ones are its
`__context__`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
_CHAIN_MAX = 100  # contexts of one exception; a longer chain is a cycle


class Outcome(asyncio.Future[_T]):
    """A future that is not cancelled when a task that waits for it is cancelled.

    The event loop remembers the cancellation, and raises it in the task when the outcome is known.
    """

    _messages: tuple[Any, ...] = ()

    def cancel(self, msg: Any | None = None) -> bool:
        """Record a cancellation of the waiting task, and continue to wait."""
        if msg not in self._messages:  # anyio repeats its cancellation
            self._messages += (msg,)
        return False

    def give_up(self) -> bool:
        """Cancel the future, because the outcome will never be known, as at the end of the event loop."""
        return super().cancel()

    def add_earlier(self, cancelled: asyncio.CancelledError) -> None:
        """Add the earlier cancellations to the raised one, as its contexts."""
        error: BaseException = cancelled
        while error.__context__ is not None:
            error = error.__context__
        last = cancelled.args[0] if cancelled.args else None
        for message in reversed(self._messages):
            if message != last:
                error.__context__ = asyncio.CancelledError(*([] if message is None else [message]))
                error = error.__context__


async def finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end even if the caller is cancelled, then raise the cancellation.

    The work must bound its own time, since nothing interrupts it.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended, and its result or error is
            lost.
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
    """Cancel tasks, and wait until they have ended; their exceptions reach only code that awaits them.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the tasks have ended.
    """
    for task in tasks:
        task.cancel()
    await finish(_ended(tasks))


async def _ended(tasks: tuple[asyncio.Future[Any], ...]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def cancelling() -> int:
    """Return the number of pending cancellations of the running task; 0 outside a task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    return 0 if task is None else task.cancelling()


def cancelled_within(error: BaseException) -> asyncio.CancelledError | None:
    """Return the cancellation that was pending when `error` was raised; None if there was none.

    Cleaning up after a cancellation may fail, such as on a lost connection. The error then replaces the
    cancellation.
    """
    one: BaseException | None = error
    for _ in range(_CHAIN_MAX):
        if one is None or isinstance(one, asyncio.CancelledError):
            return one
        one = one.__context__
    return None
