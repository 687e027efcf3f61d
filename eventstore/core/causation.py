"""Causation: which command an event came from, which event made it happen, and who acted.

Three keys of an event's metadata say so:

- `correlation_id`: all events that came from one command have the same one;
- `causation_id`: the id of the event (or command) that made this one happen;
- `actor`: who or what acted.

They are set for a task with `context_metadata` and `caused_by`, or for one Unit of Work by its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.core.scoped import Scoped

_CORRELATION_ID = "correlation_id"
_CAUSATION_ID = "causation_id"
_ACTOR = "actor"

_NOTHING: Mapping[str, Any] = {}
_context: Scoped[Mapping[str, Any]] = Scoped("eventstore_metadata", _NOTHING)


def current_metadata() -> Mapping[str, Any]:
    """Return what the context adds to the metadata of every event that is staged now."""
    return _context.get()


@contextmanager
def context_metadata(
    *,
    correlation_id: str | UUID | None = None,
    causation_id: str | UUID | None = None,
    actor: str | None = None,
    **more: Any,
) -> Iterator[None]:
    """Add to the metadata of every event that is staged inside the block, in this task and in those it starts.

    An inner block adds to what an outer one says, and wins where both say the same. What a Unit of Work is given itself wins
    over both. The block may be entered in one task and left in another, as around the `yield` of an async generator.

    Args:
        correlation_id: The command that it all comes from.
        causation_id: The id of the event, or of the command, that makes it happen.
        actor: Who acts.
        **more: Anything else that JSON can hold.
    """
    added = metadata_of(more, correlation_id=correlation_id, causation_id=causation_id, actor=actor)
    with _context.set({**_context.get(), **added}):
        yield


@contextmanager
def caused_by(event: RecordedEvent, *, actor: str | None = None) -> Iterator[None]:
    """Name an event of the log as the cause of every event that is staged inside the block.

    The correlation is the event's own; where it has none, it is the first of one that is named after it.

    Args:
        event: The cause, such as one that a subscription yielded.
        actor: Who acts; None: as the context says. It is not taken over from the event.
    """
    with context_metadata(correlation_id=correlation_of(event), causation_id=event.event_id, actor=actor):
        yield


def correlation_of(event: RecordedEvent) -> str:
    """Return the correlation id of an event; its own id where it has none."""
    return str(event.metadata.get(_CORRELATION_ID) or event.event_id)


def metadata_of(
    metadata: Mapping[str, Any],
    *,
    correlation_id: str | UUID | None = None,
    causation_id: str | UUID | None = None,
    actor: str | None = None,
) -> Mapping[str, Any]:
    """Return metadata with these three keys, where they are given; ids as text."""
    if correlation_id is None and causation_id is None and actor is None:
        return metadata
    named = {_CORRELATION_ID: correlation_id, _CAUSATION_ID: causation_id, _ACTOR: actor}
    given = {name: str(value) for name, value in named.items() if value is not None}
    return {**metadata, **given}


@dataclass(frozen=True, slots=True, eq=False)
class CausationNode:
    """An event, and the events that it caused.

    Attributes:
        event: The event.
        caused: What it caused, in the order of the log.
        cause_id: The causation id in its metadata; None: it has none.
        is_root: Whether its cause is no event of the tree: it has none, or what it names is a command, an event of another
            correlation, or one that comes later in the log.
    """

    event: RecordedEvent
    caused: tuple[CausationNode, ...]
    cause_id: str | None
    is_root: bool


@dataclass(frozen=True, slots=True, eq=False)
class CausationTree:
    """Everything that came from one command.

    Attributes:
        correlation_id: The correlation.
        roots: The events that no other of them caused, in the order of the log.
        is_complete: Whether these are all; False where a limit left some out.
    """

    correlation_id: str
    roots: tuple[CausationNode, ...]
    is_complete: bool = True

    @classmethod
    def of(
        cls, correlation_id: str | UUID, events: Iterable[RecordedEvent], *, is_complete: bool = True
    ) -> CausationTree:
        """Return the tree of events, which may be in any order.

        A cause comes before what it causes: an event that names itself, or a later one, is a root. So whatever the ids
        say, each event is in the tree once.
        """
        in_order = sorted(events, key=lambda event: event.position)
        first: dict[str, RecordedEvent] = {}
        for event in in_order:
            first.setdefault(str(event.event_id), event)
        caused: dict[int, list[CausationNode]] = {}
        roots: list[CausationNode] = []
        for event in reversed(in_order):  # what an event caused comes after it, so it is put together already
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
        """Yield each event with its depth, 0 for a root: a cause, and then all that came from it."""
        waiting = [(0, root) for root in reversed(self.roots)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting.extend((depth + 1, child) for child in reversed(node.caused))

    def __len__(self) -> int:
        return sum(1 for _ in self)
