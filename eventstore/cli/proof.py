"""The proof that the read tables equal the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eventstore.cli.output import Bars
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


async def prove(store: EventStore, shown: Bars | None = None) -> tuple[Proof, Proof]:
    """Wait until the read tables have every event, and compute them again from the log in two ways.

    The first way rebuilds each table beside the live one, and the database compares them row by row.
    The second way folds each stream in memory; so the rebuild itself needs no such proof.

    Args:
        store: The store.
        shown: Where bars show the progress; None for nowhere.

    Raises:
        TimeoutError: The workers did not catch up.
        ProjectionError: A worker has ended with an error.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    await store.wait_for(await store.log.head(), timeout_s=CATCH_UP_TIMEOUT_S)
    projections = tuple(built_in_projections())
    rebuilt = await compare_all(store.log, projections, shown, proves=False)
    folds = [
        await compare_with_fold(store.log, one, on_progress=_progress(shown, f"folding {one.name}"))
        for one in projections
    ]
    return rebuilt, Proof("fold", tuple(folds))


async def compare_all(
    log: EventLog,
    projections: Iterable[Projection[Any]],
    shown: Bars | None = None,
    *,
    proves: bool = True,
) -> Proof:
    """Rebuild the tables of projections beside the live ones, and compare every row.

    Args:
        log: The log.
        projections: The projections.
        shown: Where bars show the progress; None for nowhere.
        proves: Whether to prove each rebuilt table by a fold before the comparison.

    Raises:
        ProjectionError: A projection was never folded.
        EventStoreError: An event cannot be folded, or the database failed.
    """
    found = [
        await compare_with_rebuild(
            log, one, on_progress=_progress(shown, f"rebuilding {one.name}"), proves=proves
        )
        for one in projections
    ]
    return Proof("rebuild", tuple(found))


def _progress(shown: Bars | None, description: str) -> Callable[[int, int], None] | None:
    """Return what shows the progress of a comparison as a new bar."""
    if shown is None:
        return None
    bar = shown.add(description, total=None)
    return lambda position, target: shown.update(bar, completed=position, total=max(target, 1))
