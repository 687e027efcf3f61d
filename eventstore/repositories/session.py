"""The session of a Unit of Work: one instance for each id, and the events staged for its append."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from eventstore.core.causation import current_metadata, kept
from eventstore.core.entity import Entity, require_storable
from eventstore.core.entity_state import (
    become,
    has_changes_after,
    has_pending_events,
    is_clean,
    made_entities,
    mark_saved,
    recorded_events,
)
from eventstore.core.event import Event, PendingEvent, RecordedEvent
from eventstore.database.config import UnsavedChanges
from eventstore.errors import (
    ConcurrencyError,
    EntityDeletedError,
    EntityNotFoundError,
    EventStoreError,
    ReadOnlyError,
    RepositoryError,
    TransactionError,
    UnsavedChangesError,
)
from eventstore.log.records import NO_METADATA, StagedEvent
from eventstore.repositories.last_good import Quarantined, Stream, refusal_of
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query, as_id, check_page
from eventstore.repositories.storage import Storage, StreamReader
from eventstore.repositories.stream_queues import StreamQueues, current_queues

E = TypeVar("E", bound=Entity)

Consistency = Literal["fresh", "eventual"]
"""`fresh`: the read sees every event committed before it began. `eventual`: it reads only the table."""


class SessionSource(Protocol):
    """Where a repository gets its session from: a Unit of Work, or an adapter that appends per call."""

    def reading(self) -> Session:
        """Return a session to read with."""

    def writing(self) -> AbstractAsyncContextManager[Session]:
        """Return a session to stage changes in; the source decides what happens at the end of the block."""


@dataclass(slots=True)
class _Staging:
    """The events of one entity that this session has staged; the first `sent` were sent in the open transaction."""

    entity: Entity
    base_version: int
    events: list[PendingEvent] = field(default_factory=list)
    sent: int = 0

    @property
    def version(self) -> int:
        return self.base_version + len(self.events)

    def last_of(self, entity: Entity) -> PendingEvent | None:
        """The last staged event of this particular instance."""
        return self.events[-1] if self.entity is entity and self.events else None


class Session:
    """One instance for each id, and the staged events in their order.

    Args:
        storage: Where entities are read from.
        metadata: Stored with every event that is staged, as it is now; it overrides what the context adds.
    """

    def __init__(self, storage: Storage, *, metadata: Mapping[str, Any] = NO_METADATA) -> None:
        self.storage = storage
        # The same append sent again must have the same bytes, and a program may use one mapping for everything.
        metadata = kept(metadata)
        self.metadata = metadata
        self._entities: dict[UUID, Entity] = {}
        # Known instances that are not, or no longer, the one of their id: their changes must not be lost either.
        self._others: list[Entity] = []
        # By instance, the last pending event that a rollback to a savepoint dropped: the user knows about it.
        self._rolled_back: dict[int, PendingEvent] = {}
        self._staging: dict[UUID, _Staging] = {}
        self._order: list[StagedEvent] = []
        self._sent = 0
        self._merged: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, metadata)
        self._queues: StreamQueues | None = None
        self._asked: Mapping[UUID, int] = {}
        self._failed: str | None = None
        self._generation: int | None = None

    def _note_server(self) -> None:
        """Before the first read, record the generation of the server: its states may only be saved on that server."""
        if self._generation is None:
            self._generation = getattr(self.storage, "generation", None)

    # ---- reading -------------------------------------------------------------------------------------------

    async def get(self, kind: type[E], entity: UUID | E) -> E | None:
        """Return the one instance of this id, up to date; None if the entity does not exist or was deleted.

        Args:
            kind: The class of the entity.
            entity: Its id; or an instance, which then counts as known, so that its changes are not lost silently.

        Raises:
            ConcurrencyError: The instance has unsaved changes, and another writer has changed the stream.
            RepositoryError: The argument is neither an id nor an entity of that class.
            EventStoreError: As for the storage's `load`.
        """
        require_storable(kind)
        entity_id: UUID = as_id(kind, entity)
        if isinstance(entity, Entity) and self._entities.get(entity_id) is not entity:
            self._others.append(entity)
        self._note_server()
        queues = current_queues()
        stream = (
            await self.storage.load(kind, entity_id)
            if queues is None
            else await queues.load(self.storage, kind, entity_id)
        )
        return self._reconcile(kind, entity_id, stream)

    def known_one(self, kind: type[E], entity_id: UUID) -> E | None:
        """Return an instance that this session has read or saved; None if it has not, or it was deleted."""
        entity = self._entities.get(entity_id)
        return entity if isinstance(entity, kind) and not entity.is_deleted else None

    def known(self, kind: type[E]) -> Iterator[E]:
        """Yield the instances of a class that this session has read or saved, unless they were deleted."""
        for entity in self._entities.values():
            if isinstance(entity, kind) and not entity.is_deleted:
                yield entity

    async def find(
        self,
        kind: type[E],
        query: Query[E],
        *,
        after: E | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[E]:
        """Return the entities that match a query, including this session's own changes.

        Raises:
            LimitError: `limit` is below 1.
            RepositoryError: `after` is not such an entity, or `consistency` or `quarantined` has an unknown value.
            QuarantinedKeysError: Events of entities that may belong to the answer cannot be folded.
            ConcurrencyError: As for `get`.
            EventStoreError: As for the storage's `find`.
        """
        check_page(kind, after=after, limit=limit)
        if consistency not in ("fresh", "eventual"):
            raise RepositoryError(f"consistency must be 'fresh' or 'eventual', not {consistency!r}")
        if quarantined not in ("error", "last_good"):
            raise RepositoryError(f"quarantined must be 'error' or 'last_good', not {quarantined!r}")
        self._note_server()
        own = [
            entity
            for entity in self._entities.values()
            if isinstance(entity, kind) and entity.has_unsaved_changes
        ]
        streams = await self.storage.find(
            kind,
            query,
            after=after,
            limit=None if limit is None else limit + len(own),
            fresh=consistency == "fresh",
        )
        refusal = refusal_of(streams)
        if refusal is not None and quarantined == "error":
            raise refusal
        last_good: set[UUID] = set()
        found: dict[UUID, E] = {entity.id: entity for entity in own if not entity.is_deleted}
        for stream in streams:
            read, _, failed = stream
            if read is None:
                continue
            if failed is None:
                entity = self._reconcile(kind, read.id, stream)
                if entity is not None:
                    found[read.id] = entity
            elif read.id not in found:
                # This is not the session's one instance, so that no other read uses an old state.
                found[read.id] = read
                last_good.add(read.id)
                self._others.append(read)
        return Page(query.answer(found.values(), after=after, limit=limit), last_good_ids=last_good)

    async def refresh(self, entity: E) -> E:
        """Reload an instance, and drop its unsaved changes.

        Raises:
            RepositoryError: It has staged events: commit or roll back first.
            EntityNotFoundError: It was never saved, or was deleted.
            EventStoreError: As for the storage's `load`.
        """
        if entity.id in self._staging:
            raise RepositoryError(
                f"{entity.category} {entity.id} has staged events: commit or roll back before refreshing it"
            )
        self._note_server()
        stream = await self.storage.load(type(entity), entity.id)
        if stream.entity is None:
            raise EntityNotFoundError(entity.id, category=entity.category)
        become(entity, stream.entity)
        self._know(entity)
        return entity

    def _know(self, entity: Entity) -> None:
        """Make this instance the one of its id."""
        known = self._entities.get(entity.id)
        if known is not None and known is not entity:
            self._others.append(known)
        self._entities[entity.id] = entity

    def _reconcile(self, kind: type[E], entity_id: UUID, stream: Stream[E]) -> E | None:
        """Return the one instance for a stream that was read."""
        known = self._entities.get(entity_id)
        if known is None:
            if stream.entity is not None:
                self._entities[entity_id] = stream.entity
            return stream.entity
        if not isinstance(known, kind):
            if stream.entity is None:
                return None
            raise RepositoryError(f"{entity_id} is a {type(known).__name__} here, not a {kind.__name__}")
        staging = self._staging.get(entity_id)
        seen = known.version if staging is None else staging.base_version + staging.sent
        if stream.version > seen:
            if known.has_unsaved_changes:
                raise ConcurrencyError(entity_id, expected=known.version, actual=stream.version)
            if stream.entity is None:
                self._others.append(self._entities.pop(entity_id))
                return None
            become(known, stream.entity)
        return None if known.is_deleted else known

    # ---- writing -------------------------------------------------------------------------------------------

    async def save(self, entity: E) -> E:
        """Stage the new events of an entity: a creating event if it is new, otherwise its changes.

        Only an entity that was built by hand with a given id is looked up: it is compared with the stored one,
        in the fields that were given.

        Raises:
            ConfigurationError: A field of its class is in none of its events, so its value would be lost.
            EntityDeletedError: Its id was deleted.
            RepositoryError: One of its events is of another category, or another instance of its id has changes
                in this session.
            EventStoreError: As for the storage's `load`.
        """
        require_storable(type(entity))
        if not has_pending_events(entity) and _built_by_hand(entity):
            self._note_server()
            stream = await self.storage.load(type(entity), entity.id)
            self._adopt(entity, stream)
        if entity.is_deleted and self._is_gone(entity):
            raise EntityDeletedError(entity.id, category=entity.category)
        self._stage(entity)
        return entity

    async def update(self, entity: E, not_found: Callable[[UUID], EntityNotFoundError]) -> E:
        """Stage changes as `save` does, but require that the entity was saved before.

        Raises:
            EntityNotFoundError: No entity has its id; `not_found` makes the error.
            EventStoreError: As for `save`.
        """
        require_storable(type(entity))
        if entity.version == 0 and entity.id not in self._staging:
            self._note_server()
            stream = await self.storage.load(type(entity), entity.id)
            if stream.entity is None:
                raise not_found(entity.id)
            if _built_by_hand(entity):
                self._adopt(entity, stream)
        if entity.is_deleted and self._is_gone(entity):
            raise not_found(entity.id)
        self._stage(entity)
        return entity

    async def delete(self, kind: type[E], entity: UUID | E) -> bool:
        """Stage the tombstone of an entity; return whether the entity existed.

        Raises:
            EventStoreError: As for `get`.
        """
        found = await self.get(kind, entity)
        if found is None:
            return False
        found.delete()
        self._stage(found)
        return True

    def _is_gone(self, entity: Entity) -> bool:
        """Whether the instance itself is known to be deleted, so that none of its changes can be saved any more."""
        staging = self._staging.get(entity.id)
        return len(entity.pending_events) == (0 if staging is None else len(staging.events))

    def _adopt(self, entity: Entity, stream: Stream[Any]) -> None:
        """Turn an entity built by hand into the stored one; the fields that were given become its changes."""
        if stream.entity is None:
            if stream.version:
                raise EntityDeletedError(entity.id, category=entity.category)
            return
        given = {
            name: getattr(entity, name) for name in entity.model_fields_set if name not in ("id", "version")
        }
        known = self._entities.get(entity.id)
        if known is not None and known is not entity and known.has_unsaved_changes:
            raise _two_instances(entity)
        stream.entity.amend_to(given)  # before anything changes, since it may refuse what was given
        become(entity, stream.entity)
        self._know(entity)

    def _stage(self, entity: Entity) -> None:
        entity_id = entity.id
        known = self._entities.get(entity_id)
        if known is not entity:
            if known is None:
                self._entities[entity_id] = entity
            elif known.has_unsaved_changes:
                raise _two_instances(entity)
            else:
                self._know(entity)
        events = recorded_events(entity)
        staging = self._staging.get(entity_id)
        if staging is not None:
            staged = {pending.event_id for pending in staging.events}
            events = tuple(pending for pending in events if pending.event_id not in staged)
        if not events:
            return
        category = entity.category
        for pending in events:
            if pending.event.category != category:
                raise _of_another_category(entity, pending.event)
        if staging is None:
            staging = self._staging[entity_id] = _Staging(entity, entity.version)
        generation = self._generation if staging.base_version else None
        metadata = self._metadata_now()
        new = tuple.__new__  # takes half the time of the constructor
        self._order += [
            new(StagedEvent, (entity_id, version, pending, metadata, generation))
            for version, pending in enumerate(events, staging.version + 1)
        ]
        staging.events.extend(events)

    def _metadata_now(self) -> Mapping[str, Any]:
        # The same object as long as the context is the same, so that it is encoded once.
        context = current_metadata()
        if context is not self._merged[0]:
            self._merged = (context, {**context, **self.metadata} if context else self.metadata)
        return self._merged[1]

    # ---- changes that were not saved --------------------------------------------------------------------------

    def resolve_unsaved(self, unsaved: UnsavedChanges) -> None:
        """Before a commit, handle the unsaved changes of known entities: refuse them, or stage them.

        Args:
            unsaved: `error` or `save`.

        Raises:
            UnsavedChangesError: There are such changes, and `unsaved` is `error`.
            RepositoryError: Two instances of one id have changes.
        """
        if self._is_clean():
            return
        found = self._unsaved()
        if not found:
            return
        if unsaved == "error":
            raise UnsavedChangesError.of([(one.category, one.id, self._unsaved_types(one)) for one in found])
        while found:
            for entity in found:
                self._stage(entity)
            found = self._unsaved()  # staging may have changed other entities

    def _is_clean(self) -> bool:
        """Whether a quick check shows that nothing is unsaved, which is nearly always the case."""
        if self._others:
            return False
        staging = self._staging
        for staged in staging.values():
            if not is_clean(staged.entity, staged.events[-1]):
                return False
        # Each staged instance is known: if `_others` is empty, it is the one of its id.
        return len(staging) == len(self._entities) or all(
            is_clean(entity, None) for entity_id, entity in self._entities.items() if entity_id not in staging
        )

    def _unsaved(self) -> list[Entity]:
        known: Iterable[Entity] = self._entities.values()
        if self._others:
            known = {id(entity): entity for entity in (*known, *self._others)}.values()
        found: list[Entity] = []
        for entity in known:
            staging = self._staging.get(entity.id)
            last = None if staging is None else staging.last_of(entity)
            if has_changes_after(entity, last) and not self._was_rolled_back(entity):
                found.append(entity)
            found += [one for one in made_entities(entity) if self._is_new(one)]
        return found

    def _was_rolled_back(self, entity: Entity) -> bool:
        """Whether all pending events of an entity were rolled back to a savepoint, which the user knows about."""
        last = self._rolled_back.get(id(entity))
        return last is not None and not has_changes_after(entity, last)

    def _is_new(self, entity: Entity) -> bool:
        """Whether an entity that another one has made is neither saved nor known here."""
        return (
            entity.version == 0
            and self._entities.get(entity.id) is not entity
            and not self._was_rolled_back(entity)
        )

    def _unsaved_types(self, entity: Entity) -> tuple[str, ...]:
        staging = self._staging.get(entity.id)
        staged = set() if staging is None else {pending.event_id for pending in staging.events}
        types = [pending.event.type for pending in entity.pending_events if pending.event_id not in staged]
        assigned = entity.assigned_fields
        return (*types, *([f"{entity.amended_event.type} of {', '.join(assigned)}"] if assigned else []))

    # ---- the append ------------------------------------------------------------------------------------------

    async def ask_for_repeats(self) -> None:
        """Before an append, ask the log for executions that an entity counted without knowing whether they are repeats.

        Raises:
            TransactionError: Something failed halfway in this Unit of Work: roll back.
            DomainError: One of them was counted before. Nothing was sent.
            EventStoreError: The log could not be read.
        """
        if self._failed is not None:
            raise TransactionError(
                f"{self._failed} has failed in this Unit of Work, and what it had done until then is not to be committed: "
                "roll back, and begin again"
            )
        for staging in self._staging.values():
            execution_ids = staging.entity._ids_to_ask()  # noqa: SLF001 - the entity's hook for this
            if execution_ids:
                await self.recall(staging.entity, execution_ids)

    def fail(self, what: str) -> None:
        """Refuse each commit from now on until a rollback, since `what` was done in part."""
        self._failed = what

    async def recall(self, entity: Entity, execution_ids: Collection[str]) -> None:
        """Let an entity know all that the log has of these execution ids; errors as for `ask_for_repeats`."""
        self._note_server()
        found = await self._streams().find_executions(entity.id, execution_ids)
        entity._recall(execution_ids, found)  # noqa: SLF001

    async def read_stream(self, entity: Entity) -> Sequence[RecordedEvent]:
        """Return all events that the log has of an entity; errors as for the storage's `load`."""
        return await self._streams().read_stream(entity.id)

    def _streams(self) -> StreamReader:
        if not isinstance(self.storage, StreamReader):
            raise ReadOnlyError("a past state cannot be changed")
        return self.storage

    async def explain(self, conflict: ConcurrencyError) -> EventStoreError:
        """Return what a conflict means: that the id of a new entity was deleted, or the conflict itself.

        Call it after the transaction has ended, so that the entity can be read.
        """
        staging = self._staging.get(conflict.stream_id)
        if staging is None or staging.base_version:
            return conflict
        try:
            stream = await self.storage.load(type(staging.entity), conflict.stream_id)
        except EventStoreError:
            return conflict  # it is true in any case, and safe to retry
        if stream.entity is None and stream.version:
            return EntityDeletedError(conflict.stream_id, category=staging.entity.category)
        return conflict

    @property
    def staged(self) -> list[StagedEvent]:
        """All staged events, in order."""
        return list(self._order)

    @property
    def unsent(self) -> list[StagedEvent]:
        """The staged events that have not been sent yet, in order."""
        return self._order[self._sent :]

    @property
    def has_unsent(self) -> bool:
        """Whether any staged event has not been sent yet."""
        return len(self._order) > self._sent

    def mark_sent(self) -> None:
        """Record that all staged events were sent inside an open transaction."""
        self._sent = len(self._order)
        for staging in self._staging.values():
            staging.sent = len(staging.events)

    def mark_unsent(self) -> None:
        """Record that the transaction was rolled back: no staged event is in the log."""
        self._sent = 0
        for staging in self._staging.values():
            staging.sent = 0

    def mark_committing(self) -> None:
        """Record that a commit is about to be sent: operations that are in a queue by now may reuse what it saves."""
        self._queues = current_queues()
        if self._queues is not None:
            self._asked = self._queues.asked()
            # The second step comes after the statement was sent.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._prepare_next)

    def _prepare_next(self) -> None:
        """While a commit is in flight, compute the states that it leaves to the next operations in the queues."""
        if self._queues is not None:
            for stream_id, staging in self._staging.items():
                self._queues.prepare(stream_id, staging.events, after_version=staging.base_version)

    def mark_saved(self) -> None:
        """Record that all staged events are committed: their entities have new versions."""
        for stream_id, staging in self._staging.items():
            mark_saved(staging.entity, version=staging.version, events=tuple(staging.events))
            if self._queues is not None:
                self._queues.hand_on(
                    stream_id, staging.events, after_version=staging.base_version, asked=self._asked
                )
        self.forget()

    def mark(self) -> int:
        """Return how many events are staged, for `return_to`."""
        return len(self._order)

    def return_to(self, mark: int) -> None:
        """Unstage what was staged since `mark` was called; its events stay pending, so it can be saved again."""
        while len(self._order) > mark:
            stream_id = self._order.pop().stream_id
            staging = self._staging[stream_id]
            staging.events.pop()
            staging.sent = min(staging.sent, len(staging.events))
            self._rolled_back[id(staging.entity)] = staging.entity.pending_events[-1]
            if not staging.events:
                del self._staging[stream_id]
                if stream_id in self._entities:
                    self._others.append(self._entities.pop(stream_id))
        self._sent = min(self._sent, mark)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Unstage what the block has staged if it raises."""
        staged = self.mark()
        try:
            yield
        except BaseException:
            self.return_to(staged)
            raise

    def forget(self) -> None:
        """Forget instances and staged events; after a rollback the entities keep their events as pending."""
        self._entities.clear()
        self._others.clear()
        self._rolled_back.clear()
        self._staging.clear()
        self._order.clear()
        self._sent = 0
        self._generation = None
        self._failed = None


def _built_by_hand(entity: Entity) -> bool:
    return entity.version == 0 and not entity.pending_events and "id" in entity.model_fields_set


def _two_instances(entity: Entity) -> RepositoryError:
    return RepositoryError(
        f"two instances of {entity.category} {entity.id} have changes in one Unit of Work: "
        "change only the instance that the Unit of Work returned"
    )


def _of_another_category(entity: Entity, event: Event) -> RepositoryError:
    return RepositoryError(
        f"{type(entity).__name__} {entity.id} is of category {entity.category}, and its event {event.type} is of "
        f"{event.category or 'none'}: it could not be found again, so define events of category {entity.category}"
    )
