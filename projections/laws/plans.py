"""What is tried: a log, what is done with it, and the laws that it may break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.core.event import RecordedEvent
from eventstore.portable import PortableError
from eventstore.testing.strategies import LoggedEvent
from projections.projection import Projection

LAWS: Mapping[str, str] = {
    "totality": "key and evolve accept every event of the logs, and raise no error",
    "purity": "evolve returns the same row for the same arguments each time, and does not change them",
    "batches": "any split into batches gives the same rows",
    "restarts": "a crash and a restart anywhere give the same rows",
    "rebuild": "a rebuild gives the same rows as the table that grew",
    "interleavings": "any interleaving of the keys gives the same rows",
    "round trip": "PostgreSQL returns a row unchanged, under the key of its events",
    "fresh reads": "the row and the events after it give what the table has when it has caught up",
}
"""The laws by name, in the order in which they are tried."""


class BrokenLawError(PortableError, AssertionError):
    """A log that breaks a law.

    Attributes:
        law: The law's name.
    """

    def __init__(self, law: str, found: str, log: Sequence[LoggedEvent]) -> None:
        events = "\n".join(f"    {number} {event!r}" for number, event in enumerate(log, 1))
        super().__init__(f"law broken: {law} ({LAWS[law]})\n  {found}\n  the events:\n{events}")
        self.law = law


@dataclass(frozen=True)
class Plan:
    """A log, and what is done with it.

    Attributes:
        log: The events in order.
        cuts: The sizes of batches, in order, repeated.
        at: Where a crash or a read happens.
        order: Which key comes next when the keys are interleaved.
    """

    log: tuple[LoggedEvent, ...]
    cuts: tuple[int, ...]
    at: int
    order: tuple[int, ...]


def interleaved(
    events: Sequence[RecordedEvent], projection: Projection[Any], choices: Sequence[int]
) -> list[int]:
    """Return another order of a log, as indices into it, that keeps the order of each stream and of each key."""
    before: dict[int, set[int]] = {index: set() for index in range(len(events))}
    last: dict[Any, int] = {}
    for index, event in enumerate(events):
        keys = [("key", *projection.key_of(part)) for part in projection.taken(event)]
        for owner in (("stream", event.stream_id), *keys):
            if owner in last:
                before[index].add(last[owner])
            last[owner] = index
    order: list[int] = []
    while len(order) < len(events):
        ready = [index for index, needs in before.items() if index not in order and needs <= set(order)]
        order.append(ready[choices[len(order) % len(choices)] % len(ready)])
    return order
