"""Queues for streams: retried operations of one process that change the same stream take it one after the other.

Of several operations that load a stream at the same version, only one can append to it. The others have
worked for nothing and try again. So once a retried operation meets a conflict on a stream, the stream is
`hot` for as long as any operation wants it: a retried operation that loads it waits in the queue, and then
holds the stream until its attempt ends. Queues only save work. The version check of the append decides, as
it does without queues and between processes.

An operation may take long, and two operations may want two streams in opposite orders. So if the queue has
not advanced for a second, the stream passes to the next operation, and its holder goes on without it. The
wait has no other limit: if every operation went on without the stream after a second, a thousand operations
on one stream would conflict with each other again and again.

A waiter gets a copy of the state its predecessor committed instead of reloading it. It is computed while the
commit is in flight, so that nobody waits for it. The copy is as fresh as a load: a load only shows events
that were committed before it began, and the waiter's load would have begun before the commit that proved
this state to be the newest. So only an operation that had joined the queue when that commit was sent gets the
copy; an operation that joined later loads.
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
"""The most seconds that an operation holds a stream while others wait for it."""

# Lets the next operation send its commit before this one goes on: one step to run it, one to send its statement.
_STEPS_TO_SEND = 2

_current: Scoped[StreamQueues | None] = Scoped("eventstore_stream_queues", None)


@dataclass(frozen=True, slots=True)
class _State:
    """A committed state of an entity, which others get only as a copy.

    Attributes:
        storage: Where it was read: another database may have the same stream.
        entity: The state.
        asked_by: The number of the last operation that had joined the queue when the commit was sent; 0 if
            no other operation may get the state.
        generation: The generation of the server that it was read from; another server may have had another state.
    """

    storage: Storage
    entity: Entity
    asked_by: int = 0
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The state of an entity after events that were sent and not yet answered.

    Attributes:
        before: The state before the events.
        events: The events.
        entity: The state after them; None if the entity is deleted, or no copy can be taken.
    """

    before: Entity
    events: tuple[PendingEvent, ...]
    entity: Entity | None


class _Queue:
    """The operations that want one stream, in the order in which they joined.

    Attributes:
        wanted_by: How many want it, including its holder.
        come: How many have ever joined.
        saved: What the last holder committed, for the next one.
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
        """Wait until `queues` holds the stream."""
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
            elif self._holder is queues:  # it received the stream meanwhile
                self.release()
            raise

    def release(self) -> None:
        """Pass the stream to the next operation in the queue."""
        if self._holder is not None:
            self._holder.lose(self._stream_id)
            self._holder = None
            self._leave()
        while self._waiting:
            queues, given = self._waiting.popleft()
            if not given.done():  # otherwise it was cancelled, and has left
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
            _queues.pop((id(self.loop), self._stream_id), None)
            if self._watch is not None:
                self._watch.cancel()

    def _watch_from(self, moved_s: float) -> None:
        # One timer for the queue, not one for each waiter: there may be thousands.
        self._watch = self.loop.call_at(moved_s + HOLD_TIMEOUT_S, self._look)

    def _look(self) -> None:
        """Pass the stream on if the queue has not advanced for too long."""
        self._watch = None
        if self._waiting and self.loop.time() - self._moved_s >= HOLD_TIMEOUT_S:
            self.saved = None
            self.release()
        if self._waiting:
            self._watch_from(self._moved_s)


_queues: dict[tuple[int, UUID], _Queue] = {}  # by event loop, since a future belongs to one loop


def current_queues() -> StreamQueues | None:
    """Return the queues of the retried operation that runs now; None outside of one."""
    return _current.get()


class StreamQueues:
    """The streams that one retried operation holds in its attempts, and their queues."""

    def __init__(self) -> None:
        self._held: dict[UUID, _Queue] = {}
        self._known: dict[UUID, _State] = {}
        self._prepared: dict[UUID, _Prepared] = {}

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Make loads in the block wait in the queue of a hot stream; release all streams at the end of the block."""
        is_waited_for = False
        try:
            with _current.set(self):
                yield
            is_waited_for = any(queue.wanted_by > 1 for queue in self._held.values())
        finally:
            for stream_id, queue in list(self._held.items()):
                if queue.saved is not self._known.get(stream_id):
                    queue.saved = None  # left by a predecessor, and perhaps no longer the newest
                queue.release()
            self._known.clear()
            self._prepared.clear()
        if is_waited_for:
            for _ in range(_STEPS_TO_SEND):
                await asyncio.sleep(0)

    def holds(self, stream_id: UUID) -> bool:
        """Whether this operation holds a stream."""
        return stream_id in self._held

    async def load(self, storage: Storage, kind: type[E], stream_id: UUID) -> Stream[E]:
        """Return the current state of an entity; if its stream is hot, wait in its queue first.

        Raises:
            EventStoreError: As for the storage's `load`.
        """
        saved = None
        if stream_id not in self._held:
            queue = _queue_of(stream_id)
            if queue is not None:
                place = queue.come + 1
                if await self.take(stream_id):
                    saved, queue.saved = queue.saved, None
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
        """Wait in the queue of a stream, which is hot from now on; return whether this operation still holds it."""
        loop = asyncio.get_running_loop()
        queue = _queue_of(stream_id)
        if queue is None:
            queue = _queues[id(loop), stream_id] = _Queue(stream_id, loop)
        await queue.wait(self)
        return stream_id in self._held

    def gain(self, stream_id: UUID, queue: _Queue) -> None:
        """Record that this operation holds a stream; called by the queue."""
        self._held[stream_id] = queue

    def lose(self, stream_id: UUID) -> None:
        """Record that this operation no longer holds a stream; called by the queue."""
        self._held.pop(stream_id, None)

    def asked(self) -> Mapping[UUID, int]:
        """Return the number of the last operation in each held queue. Call it before a commit, for `hand_on`."""
        return {stream_id: queue.come for stream_id, queue in self._held.items()}

    def prepare(self, stream_id: UUID, events: Sequence[PendingEvent], *, after_version: int) -> None:
        """Compute the state after events of a stream that were sent, if an operation waits for it.

        Call it while they are in flight; `hand_on` keeps the state once they are committed.

        Args:
            stream_id: The stream.
            events: The events.
            after_version: The version before the first of them.
        """
        queue, known = self._held.get(stream_id), self._known.get(stream_id)
        if queue is None or known is None or known.entity.version != after_version or queue.wanted_by == 1:
            return
        state = _state_after(known.entity, events)
        self._prepared[stream_id] = _Prepared(known.entity, tuple(events), state)

    def hand_on(
        self,
        stream_id: UUID,
        events: Sequence[PendingEvent],
        *,
        after_version: int,
        asked: Mapping[UUID, int],
    ) -> None:
        """Keep the state after committed events of a stream for the next operation in its queue.

        Args:
            stream_id: The stream.
            events: The committed events.
            after_version: The version before the first of them.
            asked: What `asked` returned before they were sent.
        """
        queue, known = self._held.get(stream_id), self._known.pop(stream_id, None)
        prepared = self._prepared.pop(stream_id, None)
        if queue is None:
            return
        queue.saved = None
        if known is None or known.entity.version != after_version or queue.wanted_by == 1:
            return
        if prepared is not None and prepared.before is known.entity and prepared.events == tuple(events):
            entity = prepared.entity
        else:
            entity = _state_after(known.entity, events)
        if entity is not None:
            queue.saved = self._known[stream_id] = _State(
                known.storage, entity, asked.get(stream_id, 0), known.generation
            )


def _queue_of(stream_id: UUID) -> _Queue | None:
    """Return the queue of a stream in the running event loop; None if no operation wants the stream."""
    loop = asyncio.get_running_loop()
    queue = _queues.get((id(loop), stream_id))
    return (
        queue if queue is not None and queue.loop is loop else None
    )  # an earlier loop may have had the same id


def _state_after(entity: Entity, events: Sequence[PendingEvent]) -> Entity | None:
    """Return the state after events; None if the entity is deleted, or if the next operation has to load it."""
    try:
        return _after(entity, events)
    except Exception:  # noqa: BLE001 - the commit may succeed nevertheless; who loads meets the error
        return None


def _after(entity: Entity, events: Sequence[PendingEvent]) -> Entity | None:
    """Return the state after events, which pass through the log's JSON as if they were loaded; None if deleted.

    Raises:
        TypeError: A field holds a mutable value, which copies of the state would share.
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
