"""Turns: retried operations of one process that want the same stream take it one after the other.

Only one of several that load a stream at the same version can append to it; the others have worked for nothing, and
do so again. So a stream that a retried operation has met a conflict on is `hot` for as long as anyone waits for it: who
loads it in a retried operation waits for its turn, and keeps it until its attempt has ended. A turn saves work and no
more. The wait is bounded, since an operation may take long, or two may want two streams in opposite orders; after it,
and in every other process, the version check of the append decides, as without turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

__all__ = ["TURN_TIMEOUT_S", "Turns", "current_turns"]

TURN_TIMEOUT_S = 1.0
"""Seconds that an operation waits for its turn on a stream at most."""

_current: ContextVar[Turns | None] = ContextVar("eventstore_turns", default=None)


class _Line:
    """Those who want one stream, in the order in which they came."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted_by = 0


_lines: dict[tuple[int, UUID], _Line] = {}  # by event loop, since a lock belongs to one


def current_turns() -> Turns | None:
    """Return the turns of the retried operation that runs now; None outside of one."""
    return _current.get()


class Turns:
    """The turns that one retried operation holds in its attempts."""

    def __init__(self) -> None:
        self._held: dict[UUID, _Line] = {}

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Let what is loaded in the block wait for its turn; turns are given back at the end of the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            for line in self._held.values():
                line.lock.release()
            for stream_id in list(self._held):
                self._leave(stream_id, self._held.pop(stream_id))

    def holds(self, stream_id: UUID) -> bool:
        """Whether it is this operation's turn on a stream."""
        return stream_id in self._held

    async def load(self, stream_id: UUID) -> None:
        """Wait for a turn on a stream, where it is hot."""
        if (id(asyncio.get_running_loop()), stream_id) in _lines and stream_id not in self._held:
            await self.take(stream_id)

    async def take(self, stream_id: UUID) -> bool:
        """Wait for a turn on a stream, for so long at most; the stream is hot from now on. Return whether it came."""
        line = _lines.setdefault((id(asyncio.get_running_loop()), stream_id), _Line())
        line.wanted_by += 1
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await line.lock.acquire()
        except BaseException as error:
            self._leave(stream_id, line)
            if isinstance(error, TimeoutError):
                return False
            raise
        self._held[stream_id] = line
        return True

    @staticmethod
    def _leave(stream_id: UUID, line: _Line) -> None:
        line.wanted_by -= 1
        if not line.wanted_by:
            _lines.pop((id(asyncio.get_running_loop()), stream_id), None)
