"""Folding rows of the log to entities, or decoding them for such a fold, without the envelopes of their events."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity import Entity
from eventstore.core.entity_state import take
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.event_codec import event_codecs
from eventstore.core.registry import EventRegistry, registry
from eventstore.garbage_collection import collecting_later
from eventstore.log.records import NO_METADATA, metadata_of

E = TypeVar("E", bound=Entity)

FOLDED_COLUMNS = (
    "position",
    "stream_id",
    "version",
    "type",
    "schema_version",
    "data",
    "occurred_at",
    "is_full",
)
"""What the statements for folds return. The data is NULL if the whole row has to be looked at."""

CHECKED_COLUMNS = (*FOLDED_COLUMNS[:-1], "metadata", "is_full")
"""What the statements for workers return: the metadata too, since an event counts as one that cannot be read if they cannot."""

UNREAD_ID = UUID(int=0)
"""The `event_id` of an event that was decoded for a fold."""


@collecting_later()
def decode_for_fold(
    rows: Iterable[Iterable[Any]],
    *,
    category: str,
    taken: Container[type[Event]],
    ignored: Container[str] = (),
    classes: EventRegistry = registry,
) -> list[RecordedEvent] | None:
    """Return rows as events for a fold of entities, which looks at position, stream, version and event alone.

    The rest of the envelope is not kept: `event_id` is `UNREAD_ID`, `metadata` is empty, and `recorded_at` is the time of
    occurrence. That saves a worker that catches up a tenth of its time.

    Args:
        rows: For each event the values of `CHECKED_COLUMNS`.
        category: The category of all of them.
        taken: The event classes to return.
        ignored: Types that are left out, whether or not they are known.
        classes: Where event classes are found.

    Returns:
        The events; None if one of them needs an upcaster or cannot be read, so that all have to be decoded from whole rows.
    """
    events: list[RecordedEvent] = []
    add, known = events.append, _Codecs(category, taken, ignored, classes)
    new = tuple.__new__  # takes half the time of the constructor
    try:
        for position, stream_id, version, type_, schema_version, data, occurred_at, metadata, _ in rows:
            codec = known[type_, schema_version]
            if codec is None:
                continue
            if metadata is not None:
                metadata_of(metadata)
            loads, constructors = codec
            fields = loads(data)
            event = constructors[tuple(fields)](fields, occurred_at)
            add(
                new(RecordedEvent, (position, stream_id, version, UNREAD_ID, event, NO_METADATA, occurred_at))
            )
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoding the whole row meets it again, and says which event it is
        return None
    return events


class RowFold(Generic[E]):
    """Folds events of one category that need no upcaster, from rows of `FOLDED_COLUMNS`.

    A fold needs neither the id of an event nor its metadata nor the time of its recording. Reading them and making an
    envelope would take a fifth of the time.

    Args:
        kind: The class of the entities.
        classes: Where event classes are found.
    """

    def __init__(self, kind: type[E], classes: EventRegistry = registry) -> None:
        self._kind = kind
        self._readers = _Readers(kind, classes)

    @collecting_later()
    def fold(
        self, rows: Iterable[Iterable[Any]], states: dict[UUID, E], changed: dict[UUID, E | None]
    ) -> int | None:
        """Fold rows, in the order of positions, until one needs to be read as a whole.

        Args:
            rows: For each event the values of `FOLDED_COLUMNS`.
            states: The states by the ids of their streams; they are changed, and deleted ones are taken out.
            changed: Receives the state of each stream that had an event; None for a deleted one.

        Returns:
            The position of the first event that was not folded: it needs an upcaster, or cannot be read, so decode it with
            its whole row to find its events or its error; None if all are folded.

        Raises:
            EventStoreError: An event cannot be folded.
        """
        kind, readers, state_of = self._kind, self._readers, states.get
        with decimal_arithmetic():
            for position, stream_id, version, type_, schema_version, data, occurred_at, _ in rows:
                try:
                    loads, constructors, applier = readers[type_, schema_version]
                    fields = loads(data)
                    event = constructors[tuple(fields)](fields, occurred_at)
                except MemoryError:
                    raise
                except Exception:  # noqa: BLE001 - decoding the whole row meets it again, and says which event it is
                    return position  # type: ignore[no-any-return]
                state = state_of(stream_id)
                if state is not None and applier is not None:
                    applier(state, event)
                    state.__dict__["version"] = version
                    changed[stream_id] = state
                    continue
                state = take(kind, state, event, stream_id=stream_id, version=version, position=position)
                changed[stream_id] = state
                if state is None:
                    states.pop(stream_id, None)
                else:
                    states[stream_id] = state
        return None


class _Codecs(dict[tuple[str, int], tuple[Any, Any] | None]):
    """By type and schema version: the parser and the constructors of a class of events; None if it is not taken."""

    def __init__(
        self, category: str, taken: Container[type[Event]], ignored: Container[str], classes: EventRegistry
    ) -> None:
        super().__init__()
        self._category = category
        self._taken = taken
        self._ignored = ignored
        self._classes = classes

    def __missing__(self, key: tuple[str, int]) -> tuple[Any, Any] | None:
        found = None
        if key[0] not in self._ignored:
            event_class = self._classes.current[self._category, *key]  # a KeyError: it needs an upcaster
            if event_class in self._taken:
                codec = event_codecs[event_class]
                found = codec.loads, codec.constructors
        self[key] = found
        return found


class _Readers(dict[tuple[str, int], tuple[Any, Any, Callable[[Any, Any], None] | None]]):
    """By type and schema version: the parser and the constructors of a class of events, and the entity's applier for it."""

    def __init__(self, kind: type[Entity], classes: EventRegistry) -> None:
        super().__init__()
        self._kind = kind
        self._classes = classes

    def __missing__(self, key: tuple[str, int]) -> tuple[Any, Any, Callable[[Any, Any], None] | None]:
        event_class = self._classes.current[self._kind.category, *key]  # a KeyError: it needs an upcaster
        codec = event_codecs[event_class]
        applier = self._kind._appliers.get(event_class)  # noqa: SLF001 - as `advance`
        found = self[key] = (codec.loads, codec.constructors, applier)
        return found
