"""A statement whose answer is awaited in the task of its caller, even if the caller is cancelled.

`finish` would need a task of its own for that, which costs a third of what a lone append costs in Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from eventstore.database.cancellation import Outcome
from eventstore.loop_stalls import FairLoop
from eventstore.tasks import retrieve


class Answer(Outcome[Any]):
    """The future of an answer: it is not cancelled by its task, unless the event loop is ending."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Record a cancellation of the waiting task, and continue to wait."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # `asyncio.run` cancels what is left when its loop has stopped
            return self.give_up()
        return super().cancel(msg)


class AnswerLoop(FairLoop):
    """The event loop of one connection of the driver, which waits for each answer with a new future.

    Attributes:
        kept: The futures made for the statement that runs, in order; None if a cancellation interrupts it.
        copying: The futures made for the COPY that runs; None if none runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.kept: list[Answer] | None = None
        self.copying: list[asyncio.Future[Any]] | None = None

    def create_future(self) -> asyncio.Future[Any]:
        """As the loop's."""
        if self.kept is not None:
            answer = Answer(loop=self.loop)
            self.kept.append(answer)
            return answer
        future = self.loop.create_future()
        if self.copying is not None:
            self.copying.append(future)
        return future

    @contextmanager
    def copies(self) -> Iterator[None]:
        """Run a COPY in the block.

        If the connection was lost before it begins, the driver raises that and forgets the future of the answer, whose
        error would later be reported as one that nobody has retrieved.
        """
        made = self.copying = list[asyncio.Future[Any]]()
        try:
            yield
        except asyncpg.InternalClientError:
            for future in made:
                future.add_done_callback(retrieve)
            raise
        finally:
            self.copying = None


class Sent:
    """What is known of an append whose caller may be cancelled while the answer is awaited.

    Attributes:
        cancelled: The cancellation that arrived before the answer did; it must be raised in the end.
        is_open: Whether the log may have the append although its result is not known. An append that is cancelled then is
            sent again, which finds that out.
        result: The result of the append, once the answer was received.
    """

    __slots__ = ("cancelled", "is_open", "result")

    def __init__(self) -> None:
        self.cancelled: asyncio.CancelledError | None = None
        self.is_open = False
        self.result: Any = None
