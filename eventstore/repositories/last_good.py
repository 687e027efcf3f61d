"""The state of a stream after its events, or the last good one if an event cannot be folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import orjson

from eventstore.core.entity import Entity
from eventstore.core.entity_state import advance, evolve
from eventstore.core.event import RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.errors import QuarantinedKeysError
from eventstore.log.records import decode

E = TypeVar("E", bound=Entity)

Quarantined = Literal["error", "last_good"]
"""`error`: a list raises `QuarantinedKeysError` while it may be wrong. `last_good`: it has the affected entities
with their states before the event that cannot be folded, and `Page.last_good_ids` names them."""


class Stream(NamedTuple, Generic[E]):
    """The state of one stream.

    Attributes:
        entity: The state; None if there is no entity, or it was deleted.
        version: The version of its stream; 0 if there is no such stream. Above 0 without an entity: deleted.
        failed: Why later events cannot be folded, so that the state is the last good one; None if all can be.
    """

    entity: E | None
    version: int
    failed: QuarantinedKeysError | None = None


def fold_stream(
    kind: type[E], state: E | None, events: Iterable[RecordedEvent], *, version: int
) -> Stream[E]:
    """Fold the events of one stream onto a state.

    Args:
        kind: The class of the entity.
        state: The state before, which is changed; None if there is none.
        events: The events, in the order of versions.
        version: The version of the stream before them.

    Raises:
        EventStoreError: An event cannot be folded.
    """
    category = kind.category
    for event in events:
        if event.category != category:
            return Stream(None, 0)  # the id belongs to an entity of another class
        state, version = advance(kind, state, event), event.version
    return Stream(state, version)


def last_good_stream(
    kind: type[E],
    state: E | None,
    rows: Iterable[Mapping[str, Any]],
    *,
    projection: str,
    classes: EventRegistry,
) -> Stream[E]:
    """Fold the rows of one stream onto a state, up to the first that cannot be folded.

    Args:
        kind: The class of the entity.
        state: The state before; it is not changed.
        rows: The events, in the order of versions.
        projection: The projection that the error names.
        classes: Where event classes are found.
    """
    version = 0 if state is None else state.version
    for row in rows:
        try:
            event = decode(row, classes=classes)
            if event.version > version:
                state, version = evolve(kind, state, event), event.version
        except Exception as error:  # noqa: BLE001 - any error concerns only this entity
            failed = QuarantinedKeysError(projection, [orjson.dumps([str(row["stream_id"])]).decode()])
            failed.__cause__ = error
            return Stream(state, version, failed)
    return Stream(state, version)


def each_stream(
    kind: type[E],
    ids: Iterable[UUID],
    fold: Callable[[type[E], UUID], Stream[E]],
    rows: Mapping[UUID, Sequence[Mapping[str, Any]]],
    classes: EventRegistry,
) -> Iterator[Stream[E]]:
    """Yield the stream of each id: its fold or, if that fails, its last good state."""
    for one in ids:
        try:
            yield fold(kind, one)
        except Exception:  # noqa: BLE001 - `last_good_stream` meets the error again and reports it
            yield last_good_stream(kind, None, rows[one], projection=f"{kind.category}s", classes=classes)


def refusal_of(streams: Iterable[Stream[Any]]) -> QuarantinedKeysError | None:
    """Return the error of a list with streams that cannot be folded; None if all can."""
    failed = [stream.failed for stream in streams if stream.failed is not None]
    if not failed:
        return None
    error = QuarantinedKeysError(failed[0].projection, sorted(key for one in failed for key in one.keys))
    error.__cause__ = failed[0].__cause__
    return error
