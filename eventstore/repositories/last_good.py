"""What is known of a stream: the state after its events, or the last good one if an event cannot be folded."""

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
"""`error`: a list raises `QuarantinedKeysError` while it cannot be right. `last_good`: it has those entities as they were
before the event that cannot be folded; `Page.last_good_ids` names them."""


class Stream(NamedTuple, Generic[E]):
    """What is known of one id.

    Attributes:
        entity: The state; None where there is none, or no longer.
        version: The version of its stream; 0 where there is no such stream. With no entity, above 0: deleted.
        failed: Why later events cannot be folded, so that the state is the last good one; None: they can.
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
        state: The state before, which is changed; None: there is none.
        events: The events, in the order of versions.
        version: The version of the stream before them.

    Raises:
        EventStoreError: An event cannot be folded.
    """
    for event in events:
        if event.category != kind.category:
            return Stream(None, 0)  # the id of an entity of another kind
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
    """Fold the rows of one stream onto a state as far as they can be.

    Args:
        kind: The class of the entity.
        state: The state before; it is not touched.
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
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this entity alone
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
    """Yield what is known of each id: its fold, or where that fails its last good state."""
    for one in ids:
        try:
            yield fold(kind, one)
        except Exception:  # noqa: BLE001 - found again, and told, by the fold that stops before it
            yield last_good_stream(kind, None, rows[one], projection=f"{kind.category}s", classes=classes)


def refusal_of(streams: Iterable[Stream[Any]]) -> QuarantinedKeysError | None:
    """Return the error of a list that has streams which cannot be folded; None where all can."""
    failed = [stream.failed for stream in streams if stream.failed is not None]
    if not failed:
        return None
    error = QuarantinedKeysError(failed[0].projection, sorted(key for one in failed for key in one.keys))
    error.__cause__ = failed[0].__cause__
    return error
