"""Turns: retried operations of one process that want the same stream take it one after the other.

Only one of several that load a stream at the same version can append to it; the others have worked for nothing, and
do so again. So a stream that a retried operation has met a conflict on is `hot` for as long as anyone waits for it: who
loads it in a retried operation waits for its turn, and keeps it until its attempt has ended. A turn saves work and no
more. The wait is bounded, since an operation may take long, or two may want two streams in opposite orders; after it,
and in every other process, the version check of the append decides, as without turns.

Who has waited does not load what the one before has saved: it is given a copy. That is as fresh as a load. A read shows
every event that was committed before it began, and it began before the commit at whose version the state was proved to
be the newest. So a state is for those alone who had come when its commit was sent; whoever came later loads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from eventstore.domain.entity import Entity
from eventstore.domain.event import PendingEvent, recorded
from eventstore.domain.event_codec import event_codecs
from eventstore.domain.scoped import Scoped
from eventstore.log.records import NO_METADATA
from eventstore.repositories.storage import Storage, Stream

__all__ = ["TURN_TIMEOUT_S", "Turns", "current_turns"]

E = TypeVar("E", bound=Entity)

TURN_TIMEOUT_S = 1.0
"""Seconds that an operation waits for its turn on a stream at most."""

# So that the next one's commit is sent before the one that has ended goes on: one for it to run, one for its statement.
_STEPS_TO_SEND = 2

_current: Scoped[Turns | None] = Scoped("eventstore_turns", None)


@dataclass(frozen=True, slots=True)
class _State:
    """A committed state of an entity, which nobody else ever gets but as a copy.

    Attributes:
        storage: Where it was read: another database may have the same stream.
        entity: The state.
        asked_by: The last one in the line who had come when its commit was sent; 0: it is for nobody else.
    """

    storage: Storage
    entity: Entity
    asked_by: int = 0


class _Line:
    """Those who want one stream, in the order in which they came."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted_by = 0
        self.come = 0
        self.saved: _State | None = None


_lines: dict[tuple[int, UUID], _Line] = {}  # by event loop, since a lock belongs to one


def current_turns() -> Turns | None:
    """Return the turns of the retried operation that runs now; None outside of one."""
    return _current.get()


class Turns:
    """The turns that one retried operation holds in its attempts."""

    def __init__(self) -> None:
        self._held: dict[UUID, _Line] = {}
        self._known: dict[UUID, _State] = {}

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Let what is loaded in the block wait for its turn; turns are given back at the end of the block."""
        is_waited_for = False
        try:
            with _current.set(self):
                yield
            is_waited_for = any(line.wanted_by > 1 for line in self._held.values())
        finally:
            for stream_id, line in self._held.items():
                if line.saved is not self._known.get(stream_id):
                    line.saved = None  # left by one before, and perhaps no longer the newest
                line.lock.release()
            self._known.clear()
            for stream_id in list(self._held):
                self._leave(stream_id, self._held.pop(stream_id))
        if is_waited_for:
            for _ in range(_STEPS_TO_SEND):
                await asyncio.sleep(0)

    def holds(self, stream_id: UUID) -> bool:
        """Whether it is this operation's turn on a stream."""
        return stream_id in self._held

    async def load(self, storage: Storage, kind: type[E], stream_id: UUID) -> Stream[E]:
        """Return the state of an entity, as of now; where its stream is hot, after a wait for the turn.

        Raises:
            EventStoreError: As the storage's `load`.
        """
        saved = None
        if stream_id not in self._held:
            line = _lines.get((id(asyncio.get_running_loop()), stream_id))
            if line is not None:
                place = line.come + 1
                if await self.take(stream_id):
                    saved, line.saved = line.saved, None
        if (
            saved is not None
            and place <= saved.asked_by
            and saved.storage is storage
            and type(saved.entity) is kind
        ):
            self._known[stream_id] = saved
            return Stream(saved.entity.replica(), saved.entity.version)
        stream = await storage.load(kind, stream_id)
        if stream_id in self._held and stream.entity is not None:
            self._known[stream_id] = _State(storage, stream.entity.replica())
        return stream

    async def take(self, stream_id: UUID) -> bool:
        """Wait for a turn on a stream, for so long at most; the stream is hot from now on. Return whether it came."""
        line = _lines.setdefault((id(asyncio.get_running_loop()), stream_id), _Line())
        line.wanted_by += 1
        line.come += 1
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

    def asked(self) -> Mapping[UUID, int]:
        """Return the last one in each line whose turn is held; `hand_on` is told who that was before a commit was sent."""
        return {stream_id: line.come for stream_id, line in self._held.items()}

    def hand_on(
        self,
        stream_id: UUID,
        events: Sequence[PendingEvent],
        *,
        after_version: int,
        asked: Mapping[UUID, int],
    ) -> None:
        """Keep the state that committed events have made of a stream, for the next in its line.

        Args:
            stream_id: The stream.
            events: The events.
            after_version: The version before the first of them.
            asked: What `asked` returned before they were sent.
        """
        line, known = self._held.get(stream_id), self._known.pop(stream_id, None)
        if line is None:
            return
        line.saved = None
        if known is None or known.entity.version != after_version or line.wanted_by == 1:
            return
        try:
            entity = _after(known.entity, events)
        except Exception:  # noqa: BLE001 - the commit stands; the next one loads, and is told
            return
        if entity is not None:
            line.saved = self._known[stream_id] = _State(known.storage, entity, asked.get(stream_id, 0))

    @staticmethod
    def _leave(stream_id: UUID, line: _Line) -> None:
        line.wanted_by -= 1
        if not line.wanted_by:
            _lines.pop((id(asyncio.get_running_loop()), stream_id), None)


def _after(entity: Entity, events: Sequence[PendingEvent]) -> Entity | None:
    """Return the state after events, which go through the JSON that the log keeps, as if they were loaded; None: deleted.

    Raises:
        TypeError: A field holds what can change, and copies of the state would share it.
    """
    state: Entity | None = entity.replica()
    for version, pending in enumerate(events, entity.version + 1):
        event, occurred_at = pending.event, pending.event.occurred_at
        stored = event_codecs[type(event)].restored(event)
        state = entity.advance(
            state, recorded(0, entity.id, version, pending.event_id, stored, NO_METADATA, occurred_at)
        )
    if state is not None:
        hash(tuple(state.__dict__.values()))
    return state
