"""Causation: the command that an event came from, the event that caused it, and the actor.

Three keys of an event's metadata hold this:

- `correlation_id`: all events that came from one command share it;
- `causation_id`: the id of the event (or command) that caused this one;
- `actor`: who or what acted.

Set them for a task with `context_metadata` and `caused_by`, or for one Unit of Work by its
arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.core.scoped import Scoped
from eventstore.notebook import ROWS_MAX, table

_CORRELATION_ID = "correlation_id"
_CAUSATION_ID = "causation_id"
_ACTOR = "actor"

_INDENT = "\u00a0\u00a0"  # HTML joins common spaces

_NOTHING: Mapping[str, Any] = {}
_context: Scoped[Mapping[str, Any]] = Scoped("eventstore_metadata", _NOTHING)


def current_metadata() -> Mapping[str, Any]:
    """Return the metadata that the context adds to every event that is staged now."""
    return _context.get()


@contextmanager
def context_metadata(
    *,
    correlation_id: str | UUID | None = None,
    causation_id: str | UUID | None = None,
    actor: str | None = None,
    **more: Any,
) -> Iterator[None]:
    """Add metadata to every event that is staged inside the block.

    The metadata holds in this task and in the tasks that are started inside the block. An inner
    block adds keys to those of an outer block, and overrides equal keys. The arguments of a Unit of
    Work override both. The block may be entered in one task and left in another, as around the
    `yield` of an async generator.

    Args:
        correlation_id: The id of the command that the events come from.
        causation_id: The id of the event or command that causes the events.
        actor: Who or what acts.
        **more: Other keys, with any values that JSON can hold.
    """
    added = metadata_of(more, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
    with _context.set({**_context.get(), **kept(added)}):
        yield


@contextmanager
def caused_by(event: RecordedEvent, *, actor: str | None = None) -> Iterator[None]:
    """Name an event of the log as the cause of every event that is staged inside the block.

    The new events get the correlation id of the cause. If the cause has none, its event id becomes
    the correlation id.

    Args:
        event: The cause, such as an event that a subscription yielded.
        actor: Who or what acts; None keeps the actor of the context. It is not copied from the
            event.
    """
    with context_metadata(correlation_id=correlation_of(event), causation_id=event.event_id, actor=actor):
        yield


def correlation_of(event: RecordedEvent) -> str:
    """Return the correlation id of an event, or its event id if it has none."""
    return str(event.metadata.get(_CORRELATION_ID) or event.event_id)


def kept(metadata: Any) -> Any:
    """Return a copy that later changes of the caller do not reach: of mappings, lists and what they hold."""
    if isinstance(metadata, dict):
        return {name: kept(value) for name, value in metadata.items()}
    return [kept(value) for value in metadata] if isinstance(metadata, list) else metadata


def metadata_of(
    metadata: Mapping[str, Any],
    *,
    correlation_id: str | UUID | None = None,
    causation_id: str | UUID | None = None,
    actor: str | None = None,
) -> Mapping[str, Any]:
    """Return `metadata` with those of the three keys that are given, as text."""
    if correlation_id is None and causation_id is None and actor is None:
        return metadata
    named = {_CORRELATION_ID: correlation_id, _CAUSATION_ID: causation_id, _ACTOR: actor}
    given = {name: str(value) for name, value in named.items() if value is not None}
    return {**metadata, **given}


@dataclass(frozen=True, slots=True, eq=False)
class CausationNode:
    """An event and the events that it caused.

    Attributes:
        event: The event.
        caused: The nodes of the events that it caused, in the order of the log.
        cause_id: The causation id in its metadata; None if the metadata has none.
        is_root: Whether its cause is not an event of the tree. The event has no causation id, or
            the id names a command, an event of another correlation, or a later event.
    """

    event: RecordedEvent
    caused: tuple[CausationNode, ...]
    cause_id: str | None
    is_root: bool

    def __repr__(self) -> str:
        # Short: what it caused may be nested to any depth.
        event = self.event
        return f"<CausationNode {event.type} {event.event_id} at {event.position}, caused {len(self.caused)}>"


@dataclass(frozen=True, slots=True, eq=False)
class CausationTree:
    """Everything that came from one command.

    Attributes:
        correlation_id: The correlation id.
        roots: The events that no other event of the tree caused, in the order of the log.
        is_complete: Whether the tree has all events; False if a limit left some out.
    """

    correlation_id: str
    roots: tuple[CausationNode, ...]
    is_complete: bool = True

    @classmethod
    def of(
        cls, correlation_id: str | UUID, events: Iterable[RecordedEvent], *, is_complete: bool = True
    ) -> CausationTree:
        """Return the tree of `events`, which may be in any order.

        A cause precedes its effects, so an event that names itself or a later event is a root. For
        any ids, each event is in the tree exactly once.
        """
        in_order = sorted(events, key=lambda event: event.position)
        first: dict[str, RecordedEvent] = {}
        for event in in_order:
            first.setdefault(str(event.event_id), event)
        caused: dict[int, list[CausationNode]] = {}
        roots: list[CausationNode] = []
        for event in reversed(in_order):  # effects come later, so their nodes exist already
            named = event.metadata.get(_CAUSATION_ID)
            cause_id = None if named is None else str(named)
            cause = None if cause_id is None else first.get(cause_id)
            is_root = cause is None or cause.position >= event.position
            node = CausationNode(event, tuple(reversed(caused.pop(event.position, []))), cause_id, is_root)
            if is_root or cause is None:
                roots.append(node)
            else:
                caused.setdefault(cause.position, []).append(node)
        return cls(str(correlation_id), tuple(reversed(roots)), is_complete)

    def __iter__(self) -> Iterator[tuple[int, CausationNode]]:
        """Yield each event with its depth, 0 for a root: a cause precedes what it caused."""
        waiting = [(0, root) for root in reversed(self.roots)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting.extend((depth + 1, child) for child in reversed(node.caused))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        more = "" if self.is_complete else ", more are left out"
        return f"<CausationTree {self.correlation_id!r}: {len(self)} events{more}>"

    def _repr_html_(self) -> str:
        events = len(self)
        rows = (
            (
                node.event.position,
                f"{_INDENT * depth}{node.event.type}",
                f"{node.event.category} {node.event.stream_id}",
                node.event.recorded_at.isoformat(sep=" ", timespec="milliseconds"),
                node.event.metadata.get(_ACTOR),
            )
            for depth, node in islice(self, ROWS_MAX)
        )
        return table(
            f"Correlation {self.correlation_id}: {events} events",
            ("position", "event", "stream", "recorded at", "actor"),
            rows,
            left_out=max(0, events - ROWS_MAX),
        )
