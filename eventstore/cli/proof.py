"""The proof that the read tables equal the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventstore.log.event_log import EventLog
from eventstore.store import EventStore, built_in_projections
from projections import Projection
from projections.check import Comparison, compare_with_fold, compare_with_rebuild

CATCH_UP_TIMEOUT_S = 600.0
"""How long the workers may take to fold the remaining events."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of computing the read tables again in one way.

    Attributes:
        name: The way: `rebuild` or `fold`.
        comparisons: One comparison for each projection.
    """

    name: str
    comparisons: tuple[Comparison, ...]

    @property
    def is_equal(self) -> bool:
        """Whether no row of any table differs."""
        return all(comparison.is_equal for comparison in self.comparisons)

    @property
    def line(self) -> str:
        """The result in one line."""
        equal = sum(comparison.rows_equal for comparison in self.comparisons)
        different = sum(comparison.rows_different for comparison in self.comparisons)
        return f"{self.name}: {equal} rows equal, {different} different"

    @property
    def differences(self) -> tuple[str, ...]:
        """A line for each projection that differs, with the keys of some of its rows."""
        return tuple(
            f"{one.projection}: {one.rows_different} different, such as {', '.join(one.different_keys)}"
            for one in self.comparisons
            if not one.is_equal
        )


async def prove(store: EventStore) -> tuple[Proof, Proof]:
    """Wait until the read tables have every event, and compute them again from the log in two ways.

    The first way rebuilds each table beside the live one, and the database compares them row by row.
    The second way folds each stream in memory.

    Raises:
        TimeoutError: The workers did not catch up.
        ProjectionError: A worker has ended with an error.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    await store.wait_for(await store.log.head(), timeout_s=CATCH_UP_TIMEOUT_S)
    projections = tuple(built_in_projections())
    return (
        await compare_all(store.log, projections),
        Proof("fold", tuple([await compare_with_fold(store.log, one) for one in projections])),
    )


async def compare_all(log: EventLog, projections: Iterable[Projection[Any]]) -> Proof:
    """Rebuild the tables of projections beside the live ones, and compare every row.

    Raises:
        ProjectionError: A projection was never folded.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    return Proof(
        "rebuild", tuple([await compare_with_rebuild(log, projection) for projection in projections])
    )
