"""The proof that the read tables are what the log says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventstore.log.event_log import EventLog
from eventstore.store import EventStore, built_in_projections
from projections import Projection
from projections.check import Comparison, compare_with_fold, compare_with_rebuild

CATCH_UP_TIMEOUT_S = 600.0
"""How long the workers may take to fold what is left."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One way to compute the read tables again, and what came of it.

    Attributes:
        name: What was done: `rebuild` or `fold`.
        comparisons: One for each projection.
    """

    name: str
    comparisons: tuple[Comparison, ...]

    @property
    def is_equal(self) -> bool:
        """Whether no row of any table differs."""
        return all(comparison.is_equal for comparison in self.comparisons)

    @property
    def line(self) -> str:
        """What came of it, in one line."""
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
    """Wait until the read tables have every event, and compute them twice again from the log alone.

    Once by the projections' own batches into a table beside each, compared by the database row by row; and once by a
    fold of each stream in memory.

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
        ProjectionError: One was never folded.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    return Proof(
        "rebuild", tuple([await compare_with_rebuild(log, projection) for projection in projections])
    )
