"""How much a rebuild does in one transaction, and how much it holds in memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

from eventstore.limits import check_count


@dataclass(frozen=True, slots=True)
class RebuildLimits:
    """The limits of a rebuild's steps. The defaults suit a process with a gigabyte of memory.

    With more events in a step, a row that changes often is written fewer times. With fewer events, less is repeated
    after a kill.

    Attributes:
        step_events_max: The maximum number of events of one step, which is one transaction.
        page_events_max: The maximum number of events that are read at a time.
        last_positions_max: The maximum number of positions left to the transaction in which a table is compared.
        rows_kept_max: The maximum number of rows kept in memory between two steps, those of the proof included. Of the others
            the proof keeps the digests.
        digests_kept_max: The maximum number of rows of which the proof keeps the digest, 300 bytes for each. Beyond it, the
            proof reads and folds the log again.
        proof_rows_max: The maximum number of rows of a shard of the proof, which holds them all in memory.

    Raises:
        LimitError: A limit is below 1.
    """

    step_events_max: int = 50_000
    page_events_max: int = 1_000
    last_positions_max: int = 2_000
    rows_kept_max: int = 200_000
    digests_kept_max: int = 2_000_000
    proof_rows_max: int = 200_000

    def __post_init__(self) -> None:
        for each in fields(self):
            check_count(each.name, getattr(self, each.name))


USUAL_LIMITS = RebuildLimits()
"""The default limits of a rebuild."""
