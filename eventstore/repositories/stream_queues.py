"""Turns: retried operations of one process that want the same stream take it one after the other.

Only one of several that load a stream at the same version can append to it; the others have worked for nothing, and
do so again. So a stream that a retried operation has met a conflict on is `hot` for as long as anyone waits for it: who
loads it in a retried operation waits for its turn, and keeps it until its attempt has ended. A turn saves work and no
more: the version check of the append decides, as without queues and as in every other process.

An operation may take long, or two may want two streams in opposite orders. So the turn passes on where the line has not moved
for a second, and the operation that had it goes on without. The wait has no other bound: if all went on without a turn after
a second, a thousand operations on one stream would be in conflict with each other, again and again.

Who has waited does not load what the one before has saved: it is given a copy. That is as fresh as a load. A read shows
every event that was committed before it began, and it began before the commit at whose version the state was proved to
be the newest. So a state is for those alone who had come when its commit was sent; whoever came later loads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.entity_state import advance, replica
from eventstore.core.event import PendingEvent, RecordedEvent
from eventstore.core.event_codec import event_codecs
from eventstore.core.scoped import Scoped
from eventstore.log.records import NO_METADATA
from eventstore.repositories.last_good import Stream
from eventstore.repositories.storage import Storage

E = TypeVar("E", bound=Entity)

HOLD_TIMEOUT_S = 1.0
"""Seconds that an operation keeps its turn on a stream at most while others wait for it."""

# So that the next one's commit is sent before the one that has ended goes on: one for it to run, one for its statement.
_STEPS_TO_SEND = 2

_current: Scoped[StreamQueues | None] = Scoped("eventstore_stream_queues", None)


@dataclass(frozen=True, slots=True)
class _State:
    """A committed state of an entity, which nobody else ever gets but as a copy.

    Attributes:
        storage: Where it was read: another database may have the same stream.
        entity: The state.
        asked_by: The last one in the line who had come when its commit was sent; 0: it is for nobody else.
        generation: Of the server that it was read from: one that another server has replaced may have had another state.
    """

    storage: Storage
    entity: Entity
    asked_by: int = 0
    generation: int | None = None


class _Line:
    """Those who want one stream, in the order in which they came.

    Attributes:
        wanted_by: How many want it, with the one whose turn it is.
        come: How many have ever come.
        saved: What the last one has committed, for the next one.
    """

    def __init__(self, stream_id: UUID, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wanted_by = 0
        self.come = 0
        self.saved: _State | None = None
        self._stream_id = stream_id
        self._holder: StreamQueues | None = None
        self._waiting: deque[tuple[StreamQueues, asyncio.Future[None]]] = deque()
        self._moved_s = 0.0
        self._watch: asyncio.TimerHandle | None = None

    async def wait(self, queues: StreamQueues) -> None:
        """Wait until it is the turn of `queues`."""
        self.wanted_by += 1
        self.come += 1
        if self._holder is None:
            self._give(queues)
            return
        given: asyncio.Future[None] = self.loop.create_future()
        if not self._waiting:
            self._moved_s = self.loop.time()
        self._waiting.append((queues, given))
        if self._watch is None:
            self._watch_from(self._moved_s)
        try:
            await given
        except asyncio.CancelledError:
            if given.cancelled():
                self._leave()
            elif self._holder is queues:  # it was given the turn meanwhile
                self.release()
            raise

    def release(self) -> None:
        """Give the turn to the next in the line."""
        if self._holder is not None:
            self._holder.lose(self._stream_id)
            self._holder = None
            self._leave()
        while self._waiting:
            queues, given = self._waiting.popleft()
            if not given.done():  # else it was cancelled, and has left
                self._give(queues)
                given.set_result(None)
                return

    def _give(self, queues: StreamQueues) -> None:
        self._holder = queues
        self._moved_s = self.loop.time()
        queues.gain(self._stream_id, self)

    def _leave(self) -> None:
        self.wanted_by -= 1
        if not self.wanted_by:
            _lines.pop((id(self.loop), self._stream_id), None)
            if self._watch is not None:
                self._watch.cancel()

    def _watch_from(self, moved_s: float) -> None:
        # One timer for the line, and not one for each that waits: they may be thousands.
        self._watch = self.loop.call_at(moved_s + HOLD_TIMEOUT_S, self._look)

    def _look(self) -> None:
        """Pass the turn on where the line has not moved for too long."""
        self._watch = None
        if self._waiting and self.loop.time() - self._moved_s >= HOLD_TIMEOUT_S:
            self.saved = None
            self.release()
        if self._waiting:
            self._watch_from(self._moved_s)


_lines: dict[tuple[int, UUID], _Line] = {}  # by event loop, since a future belongs to one


def current_queues() -> StreamQueues | None:
    """Return the queues of the retried operation that runs now; None outside of one."""
    return _current.get()


class StreamQueues:
    """The queues that one retried operation holds in its attempts."""

    def __init__(self) -> None:
        self._held: dict[UUID, _Line] = {}
        self._known: dict[UUID, _State] = {}

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Let what is loaded in the block wait for its turn; queues are given back at the end of the block."""
        is_waited_for = False
        try:
            with _current.set(self):
                yield
            is_waited_for = any(line.wanted_by > 1 for line in self._held.values())
        finally:
            for stream_id, line in list(self._held.items()):
                if line.saved is not self._known.get(stream_id):
                    line.saved = None  # left by one before, and perhaps no longer the newest
                line.release()
            self._known.clear()
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
            line = _line_of(stream_id)
            if line is not None:
                place = line.come + 1
                if await self.take(stream_id):
                    saved, line.saved = line.saved, None
        generation = getattr(storage, "generation", None)
        if (
            saved is not None
            and place <= saved.asked_by
            and saved.storage is storage
            and saved.generation == generation
            and type(saved.entity) is kind
        ):
            self._known[stream_id] = saved
            return Stream(replica(saved.entity), saved.entity.version)
        stream = await storage.load(kind, stream_id)
        if stream_id in self._held and stream.entity is not None:
            self._known[stream_id] = _State(storage, replica(stream.entity), generation=generation)
        return stream

    async def take(self, stream_id: UUID) -> bool:
        """Wait for a turn on a stream, which is hot from now on; return whether it is still this one's turn."""
        loop = asyncio.get_running_loop()
        line = _line_of(stream_id)
        if line is None:
            line = _lines[id(loop), stream_id] = _Line(stream_id, loop)
        await line.wait(self)
        return stream_id in self._held

    def gain(self, stream_id: UUID, line: _Line) -> None:
        """Have the turn on a stream; for the line's use."""
        self._held[stream_id] = line

    def lose(self, stream_id: UUID) -> None:
        """Have the turn on a stream no longer; for the line's use."""
        self._held.pop(stream_id, None)

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
            line.saved = self._known[stream_id] = _State(
                known.storage, entity, asked.get(stream_id, 0), known.generation
            )


def _line_of(stream_id: UUID) -> _Line | None:
    """Return the line of a stream in the running event loop; None where nobody wants it."""
    loop = asyncio.get_running_loop()
    line = _lines.get((id(loop), stream_id))
    return line if line is not None and line.loop is loop else None  # another loop had the same id


def _after(entity: Entity, events: Sequence[PendingEvent]) -> Entity | None:
    """Return the state after events, which go through the JSON that the log keeps, as if they were loaded; None: deleted.

    Raises:
        TypeError: A field holds what can change, and copies of the state would share it.
    """
    state: Entity | None = replica(entity)
    for version, pending in enumerate(events, entity.version + 1):
        event, occurred_at = pending.event, pending.event.occurred_at
        stored = event_codecs[type(event)].restored(event)
        state = advance(
            type(entity),
            state,
            RecordedEvent(0, entity.id, version, pending.event_id, stored, NO_METADATA, occurred_at),
        )
    if state is not None:
        hash(tuple(state.__dict__.values()))
    return state
