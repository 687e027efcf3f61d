"""The proof of a rebuild: every row of the table beside is compared with an independent fold of the log.

The whole table is proved at one position: one shard after another, so that only the rows of one shard are in memory,
or the shards at the same time in several processes. What is folded after that position is proved key by key: the
independent fold continues from the rows proved so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.database.access import limit_statements, reading
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import gap_end
from eventstore.sql import load
from projections.engine.delivery_counts import key_of
from projections.keys import key_text
from projections.projection import Projection
from projections.quarantine.skip_list import Discards, Skipped
from projections.rebuild.builder import Build
from projections.rebuild.independent_fold import (
    WINDOW_POSITIONS,
    IndependentFold,
    differences,
    digest_of,
    stored_lines,
    stored_rows,
)
from projections.rebuild.new_table import BUILD_TIMEOUT_S, beside_name
from projections.rebuild.process_pool import ProcessPool
from projections.rebuild.shards import Shard

Key = tuple[Any, ...]

_KEYS_SHOWN_MAX = 10


class ProofError(EventStoreError):
    """The rebuilt table does not match the log."""


@dataclass(frozen=True, slots=True)
class Proved:
    """What has been proved of a table.

    Attributes:
        position: The position at which it was proved.
        rows: The number of its rows.
        digest: The sum of their digests.
        left_out: The discarded events that could not be folded this time either, as position and key.
    """

    position: int
    rows: int
    digest: int
    left_out: frozenset[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class _ShardProved:
    read_events: int
    rows: int
    digest: int
    left_out: frozenset[tuple[int, str]]
    wrong: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class _ProveShard:
    """The proof of a shard of the table; it changes nothing."""

    shard: Shard
    position: int
    discarded: Discards
    refused: frozenset[tuple[int, str]]
    skipped: Skipped | None

    async def run(
        self,
        log: EventLog,
        projection: Projection[Any],
        on_progress: Callable[[int, int], None],
        left: dict[Any, Any],
    ) -> _ShardProved:
        """Fold the shard and compare its rows; go on with the fold that went along with the build, if there is one."""
        async with reading(log.connection) as connection:
            failures = await connection.fetch(load("rebuild/list_failures", connection), projection.name)
        along: IndependentFold[Any] | None = left.pop(self.shard, None)
        for other in [shard for shard in left if shard.of != self.shard.of]:
            del left[other]  # the proof divides the keys in another way
        is_usable = not (failures or self.discarded.pairs) and self.skipped is None
        if along is None or along.position != self.position or not is_usable:
            along = IndependentFold(
                log,
                projection,
                shard=self.shard,
                discarded=self.discarded,
                retry_discarded=self.skipped is None,
                refused=self.refused,
                held={
                    **(self.skipped.held if self.skipped is not None else {}),
                    **{row["key"]: row["position"] for row in failures},
                },
            )
        fold = along
        fold.on_progress = lambda position, _: on_progress(position, fold.events)
        await fold.advance(self.position)
        on_progress(fold.position, fold.events)
        async with reading(log.connection) as connection, connection.transaction():
            await limit_statements(connection, BUILD_TIMEOUT_S)
            wrong, rows, digest = await differences(
                connection, projection, beside_name(projection), fold, self.shard
            )
        return _ShardProved(fold.read_events, rows, digest, frozenset(fold.still_left_out), wrong)


async def prove(
    projection: Projection[Any], build: Build[Any], pool: ProcessPool, on_progress: Callable[[int, int], None]
) -> Proved:
    """Compare every row at the position of the table.

    Raises:
        ProofError: Rows differ; some of their keys are named.
    """
    shards = pool.processes
    if not build.is_folded:
        rows, _ = await build.estimate()
        shards *= max(1, -(-rows // (pool.processes * build.limits.proof_rows_max)))
    position = build.position
    jobs = [
        _ProveShard(Shard(number, shards), position, build.discarded, frozenset(build.refused), build.skipped)
        for number in range(shards)
    ]
    proved = await pool.run(jobs, on_progress)
    await _require_all_read(projection, build, [one.read_events for one in proved])
    _require_equal(projection, position, {key: where for one in proved for key, where in one.wrong.items()})
    return Proved(
        position,
        sum(one.rows for one in proved),
        sum(one.digest for one in proved),
        frozenset().union(*(one.left_out for one in proved)),
    )


async def _require_all_read(projection: Projection[Any], build: Build[Any], read: Sequence[int]) -> None:
    """Check that the folds of the proof had every event of the log: each one had different events, in order."""
    counted = await build.count_events()
    events = sum(counted.get(category, 0) for category in projection.categories)
    # Without the key in the stream's id, each shard reads all of them.
    if (sum(read) != events) if projection.keyed_by_stream else any(one != events for one in read):
        raise ProofError(
            f"the proof of projection {projection.name} has read {sum(read)} events of the log up to position "
            f"{build.position} in {len(read)} part(s), and the log has {events}"
        )


async def prove_step(  # noqa: PLR0917 - six different things
    connection: Connection,
    log: EventLog,
    projection: Projection[Any],
    build: Build[Any],
    proved: Proved,
    through: int,
) -> Proved:
    """Build a proved table further, up to a position or by one window, and prove what that changed.

    All of this happens in the open transaction of `connection`; if it is rolled back, `proved` remains valid.

    Raises:
        ProofError: As for `prove`.
        RebuildError: Another process has taken over.
    """
    table = projection.table
    fold: IndependentFold[Any] = IndependentFold(
        log,
        projection,
        position=build.position,
        discarded=build.discarded,
        retry_discarded=True,
        refused=build.refused,
    )
    following = await gap_end(connection, build.position, through)
    window_end = min(through, max(following, build.position + WINDOW_POSITIONS))
    events, end = await fold.read(window_end, connection)
    keys = {key_of(projection, event) for event in events}
    fold.begin_with(await stored_rows(connection, table, build.table, keys))
    before = fold.lines(keys)
    while build.position < end:
        await build.step_in(connection, end)
    fold.held = await build.failures(connection)
    fold.fold(events, end)
    after = fold.lines(keys)
    stored = await stored_lines(connection, table, build.table, keys)
    _require_equal(
        projection,
        end,
        {key: _where(key, stored, after) for key in keys if stored.get(key) != after.get(key)},
    )
    return Proved(
        end,
        proved.rows + len(after) - len(before),
        proved.digest + digest_of(after.values()) - digest_of(before.values()),
        proved.left_out | fold.still_left_out,
    )


def _where(key: Key, stored: Mapping[Key, bytes], folded: Mapping[Key, bytes]) -> str:
    if key in stored and key in folded:
        return "in both"
    return "in the table" if key in stored else "in the fold"


def _require_equal(projection: Projection[Any], position: int, wrong: Mapping[Key, str]) -> None:
    if not wrong:
        return
    some: Iterable[Key] = sorted(wrong, key=str)[:_KEYS_SHOWN_MAX]
    named = ", ".join(f"{key_text(key)} ({wrong[key]})" for key in some)
    raise ProofError(
        f"the rebuilt table of projection {projection.name} does not match the log at position {position}, and was "
        f"dropped; {len(wrong)} row(s) differ: {named}; is evolve a pure function?"
    )
