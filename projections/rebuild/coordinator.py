"""Rebuilding a table: built beside the live one, proved equal to an independent fold, and swapped with it.

    lease -> build in steps -> indexes and proof -> | lock the partitions, last events, prove them, swap |
                                                    |                  one transaction                  |

Readers and writers are never stopped: the live table is locked only for the moment of its rename. A killed rebuild is
continued where it was.

A table that is published to subscribers is not replaced: otherwise subscribers would receive the rows of a table that
they do not have. It is rebuilt in place. The table beside is UNLOGGED, so no publication includes it. The swap's
transaction writes only the differences into the live table, and they reach subscribers like any change of a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from eventstore.database.access import limit_lock_waits, limit_statements, reading, writing
from eventstore.database.cancellation import end
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import RebuildError
from eventstore.garbage_collection import collecting_rarely
from eventstore.limits import check_count, check_seconds
from eventstore.log.event_log import EventLog
from eventstore.loop_stalls import Stopwatch
from eventstore.sql import filled, load, qualified, schema_of
from projections.engine.lease import LEASE_S
from projections.engine.versions import version_differs
from projections.projection import Projection
from projections.quarantine.skip_list import read_discards
from projections.rebuild.builder import Build, BuildShard
from projections.rebuild.independent_fold import digest_text
from projections.rebuild.lease import RebuildLease
from projections.rebuild.limits import USUAL_LIMITS, RebuildLimits
from projections.rebuild.new_table import (
    BUILD_TIMEOUT_S,
    PublishedError,
    describe_beside,
    drop_beside,
    list_publications,
    require_owner,
)
from projections.rebuild.process_pool import PROCESSES_MAX, ProcessPool, process_pool, usual_processes
from projections.rebuild.proof import ProofError, Proved, prove, prove_step
from projections.rebuild.shards import WHOLE, Shard

_SWAP_TIMEOUT_S = 60.0
_CATCH_UP_EVENTS_MAX = 2_000  # at most so many are left to the swap's transaction, in which the workers wait
_CATCH_UP_ROUNDS_MAX = 50
# New readers queue behind the lock that the swap waits for, so it waits briefly, and tries again.
_LOCK_TIMEOUT_S = 0.1
_LOCK_ATTEMPTS = 10
_PAUSE_S = 0.1
_IN_THE_WAY_OF_ROWS = ("child", "parent")
"""What prevents even a rebuild in place: rows that the table shares with another table."""
_SHORT_EVENTS = 200_000  # a few seconds of work, of which starting processes would take a large share


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """The progress of a rebuild.

    Attributes:
        projection: The projection's name.
        stage: `build`, `index`, `catch up`, `prove` or `swap`.
        position: The position reached.
        target: The position to reach, as far as it is known; it moves while events are appended.
        events: The number of events folded in this stage.
    """

    projection: str
    stage: str
    position: int
    target: int
    events: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of a rebuild whose table is the live one now.

    Attributes:
        projection: The projection's name.
        version: The version of the code that built it.
        position: Every event up to this position is in it.
        events: The number of events that were folded.
        rows: The number of its rows.
        digest: The digest of all rows, equal on both sides of the proof; hexadecimal.
        quarantined: The number of keys that could not be folded.
        folded_again: The positions of the discarded events that could be folded after all.
        rows_changed: The number of rows of the live table that a rebuild in place changed; None if it was replaced.
    """

    projection: str
    version: int
    position: int
    events: int
    rows: int
    digest: str
    quarantined: int
    folded_again: tuple[int, ...]
    rows_changed: int | None = None


async def rebuild(
    log: EventLog,
    projection: Projection[Any],
    *,
    restart: bool = False,
    in_place: bool = False,
    processes: int | None = 1,
    on_progress: Callable[[RebuildProgress], None] | None = None,
    swap_timeout_s: float = _SWAP_TIMEOUT_S,
    lease_s: float = LEASE_S,
    limits: RebuildLimits = USUAL_LIMITS,
) -> Rebuilt:
    """Rebuild a projection's table from the log, prove it, and swap it with the live one.

    Workers, readers and writers continue. It may be run again after any failure, and then continues with what was
    built. Keys in quarantine are folded again, and so is each discarded event: one that can be folded now is no longer
    left out.

    Args:
        log: The log.
        projection: The projection. Its table exists; it need not have been folded, and may be of another version.
        restart: Start from the beginning, even if another process has left a half-built table.
        in_place: Change the rows of the live table that differ instead of replacing the table, so that views,
            functions, triggers, foreign keys and policies are unchanged. The projection's workers wait meanwhile. A
            table that is published to subscribers is always rebuilt in place.
        processes: The number of processes that build and prove the table, each a shard of its keys; at most 64. One is
            this process. Several are started for the rebuild and end with it, and this one only directs them. Each
            imports the main module again, as always with `multiprocessing`. None for one if the log is short, otherwise
            for the number of processors, at most four.
        on_progress: Receives the progress.
        swap_timeout_s: The maximum number of seconds to wait for open transactions that have read the live table.
        lease_s: Seconds after which another process may continue if this one was killed.
        limits: How much is done in one transaction and held in memory.

    Raises:
        LimitError: `processes` is not 1 to 64, or `swap_timeout_s` or `lease_s` is not above 0.
        ConfigurationError: The projection or the classes of its events cannot be loaded in another process; or this
            role does not own the table.
        RebuildError: Another rebuild is running; something depends on the table itself, such as a view, and it is not
            rebuilt in place; a relation that no rebuild has made has the name of the table beside; the proof failed
            for the named keys; or the table is in use for too long. The live table is unchanged.
        ProjectionVersionError: The live table was built by newer code.
        NotMigratedError: The table does not exist.
        ConnectionError, TimeoutError: Safe to run again.
        EventStoreError: An event cannot be decoded, or the database failed.
    """
    if processes is not None:
        check_count("processes", processes, most=PROCESSES_MAX)
    check_seconds("swap_timeout_s", swap_timeout_s)
    check_seconds("lease_s", lease_s, is_finite=True)
    with collecting_rarely():
        return await _Rebuild(
            log, projection, processes, on_progress, swap_timeout_s, in_place=in_place, limits=limits
        ).run(restart=restart, lease_s=lease_s)


async def abandon(log: EventLog, projection: Projection[Any]) -> bool:
    """Drop what an abandoned rebuild has left; return whether there was anything.

    Raises:
        RebuildError: The rebuild is running, or a relation that no rebuild has made has the name of its table.
        ConnectionError, TimeoutError: Safe to run again.
    """
    async with reading(log.connection) as connection:
        await describe_beside(connection, projection)
    lease = await RebuildLease.take(log, projection)
    async with writing(log.connection) as connection:
        existed = await describe_beside(connection, projection) is not None
        await drop_beside(connection, projection, lease)
    return existed


class _Rebuild:
    def __init__(
        self,
        log: EventLog,
        projection: Projection[Any],
        processes: int | None,
        on_progress: Callable[[RebuildProgress], None] | None,
        swap_timeout_s: float,
        *,
        in_place: bool,
        limits: RebuildLimits,
    ) -> None:
        self._limits = limits
        self._log = log
        self._projection = projection
        self._processes = processes
        self._on_progress = on_progress
        self._swap_timeout_s = swap_timeout_s
        self._in_place = in_place
        self._stage = ""
        self._target = 0

    async def run(self, *, restart: bool, lease_s: float) -> Rebuilt:
        # What was built, proved and known to be final is valid only for the server that it was read from.
        with self._log.server.steady():
            return await self._run(restart=restart, lease_s=lease_s)

    async def _run(self, *, restart: bool, lease_s: float) -> Rebuilt:
        await self._prepare()
        lease = await RebuildLease.take(self._log, self._projection, lease_s=lease_s)
        restart = restart or lease.is_comparison or lease.version != self._projection.version
        async with (
            lease.kept(),
            process_pool(self._log, self._projection, await self._count_processes()) as pool,
        ):
            while True:
                try:
                    return await self._build_and_swap(lease, pool, restart=restart)
                except _DiscardedMeanwhileError:
                    restart = True
                except PublishedError:
                    self._in_place = restart = True
                except ProofError as error:
                    await self._give_up(lease)
                    raise RebuildError(str(error)) from None

    async def _count_processes(self) -> int:
        if self._processes is None:
            return usual_processes() if await self._log.head() > _SHORT_EVENTS else 1
        return self._processes

    async def _build_and_swap(self, lease: RebuildLease, pool: ProcessPool, *, restart: bool) -> Rebuilt:
        self._stage = "build"
        build: Build[Any] = Build(self._log, self._projection, lease.epoch, self._tell, limits=self._limits)
        await build.open(restart=restart, reached=lease.position, is_unlogged=self._in_place)
        if not await self._build_shards(build, pool, lease):
            if pool.processes == 1:
                build.fold_along()
            await self._catch_up(build)
            pool.leave(WHOLE, build.along)
            build.is_folded = build.along is not None
            build.along = None
        await build.let_go()  # the proof needs the memory
        build.is_folded = build.is_folded and not await build.failures()
        if build.is_folded:
            proved = await self._index_and_prove(build, pool)
        else:
            self._begin_stage("index", build)
            await build.make_indexes(all_of_them=not self._in_place)
            self._begin_stage("catch up", build)
            await self._catch_up(build)
            self._begin_stage("prove", build)
            proved = await prove(self._projection, build, pool, self._tell)
        return await self._swap(build, proved, lease)

    def _begin_stage(self, stage: str, build: Build[Any]) -> None:
        self._stage, self._target = stage, build.position
        self._tell(build.position, build.events)

    async def _index_and_prove(self, build: Build[Any], pool: ProcessPool) -> Proved:
        """Let the server make the indexes while the processes prove the table, which reads it once, without an index."""
        self._begin_stage("index", build)
        indexes = asyncio.create_task(build.make_indexes(all_of_them=not self._in_place))
        try:
            self._begin_stage("prove", build)
            proved = await prove(self._projection, build, pool, self._tell)
            await indexes
        finally:
            await end(indexes)
        return proved

    async def _build_shards(self, build: Build[Any], pool: ProcessPool, lease: RebuildLease) -> bool:
        """Fold the existing events in shards, if that has begun or if there are several processes for it; return whether."""
        _, has_rules = await build.estimate()
        # With a rule between rows, the order in which they are written matters.
        shards = await build.divide(1 if has_rules else pool.processes)
        if shards == 1:
            return False
        for _ in range(_CATCH_UP_ROUNDS_MAX):
            self._target = await self._log.head()
            await self._log.high_water_mark.wait_until_final(self._target)
            jobs = [
                BuildShard(Shard(number, shards), lease.epoch, self._target, build.discarded, self._limits)
                for number in range(shards)
            ]
            built = await pool.run(jobs, self._tell)
            build.refused.update(*(one.refused for one in built))
            if await self._log.head() - self._target <= _CATCH_UP_EVENTS_MAX:
                break
        await build.join(self._target)
        build.is_folded = shards == pool.processes and all(one.is_folded for one in built)
        return True

    async def _prepare(self) -> None:
        projection = self._projection
        async with writing(self._log.connection) as connection:
            await require_owner(connection, self._projection)
            await connection.execute(
                load("projections/register", connection), projection.name, projection.version
            )
            row = the_row(
                await connection.fetchrow(load("projections/read_version", connection), projection.name)
            )
            if row["version"] > projection.version:
                raise version_differs(projection, row["version"])
            hanging = await connection.fetch(
                load("rebuild/list_dependents", connection),
                qualified(schema_of(connection), projection.table.name),
            )
            published = await list_publications(connection, projection.table.name)
            await describe_beside(connection, projection)
        self._in_place = self._in_place or bool(published)
        if self._in_place:
            hanging = [row for row in hanging if row["kind"] in _IN_THE_WAY_OF_ROWS]
        if hanging:
            named = ", ".join(f"{row['kind']} {row['name']}" for row in hanging)
            advice = "drop it, rebuild, and create it again"
            if not self._in_place:
                advice += ", or rebuild the table in place (in_place=True, --in-place)"
            raise RebuildError(
                f"table {projection.table.name} has objects that a new table would not have: {named}: {advice}"
            )

    def _tell(self, position: int, events: int) -> None:
        if self._on_progress is not None:
            target = max(self._target, position)
            self._on_progress(RebuildProgress(self._projection.name, self._stage, position, target, events))

    async def _catch_up(self, build: Build[Any]) -> None:
        """Fold final events until few are left."""
        for _ in range(_CATCH_UP_ROUNDS_MAX):
            self._target = await self._log.head()
            if build.position < self._target:
                await self._log.high_water_mark.wait_until_final(self._target)
                while build.position < self._target:
                    await build.step(self._target)
            if await self._log.head() - build.position <= _CATCH_UP_EVENTS_MAX:
                return

    # ---- the swap --------------------------------------------------------------------------------------------

    async def _prove_on(self, build: Build[Any], proved: Proved) -> Proved:
        """Catch up as `_catch_up`, and prove what that changes."""
        for _ in range(_CATCH_UP_ROUNDS_MAX):
            target = await self._log.head()
            if target - build.position <= _CATCH_UP_EVENTS_MAX:
                break
            await self._log.high_water_mark.wait_until_final(target)
            while build.position < target:
                async with build.stepping() as connection:
                    step = await prove_step(connection, self._log, self._projection, build, proved, target)
                proved = step
        return proved

    async def _swap(self, build: Build[Any], proved: Proved, lease: RebuildLease) -> Rebuilt:
        self._stage = "swap"
        taken = Stopwatch()
        while True:
            proved = await self._prove_on(build, proved)
            async with writing(self._log.connection) as connection:
                with suppress(_InUseError):
                    async with connection.transaction():
                        return await self._swap_in(connection, build, proved, lease)
                await build.look_again(connection)
                if taken.elapsed_s > self._swap_timeout_s:
                    raise await self._held_up(connection)
            await asyncio.sleep(_PAUSE_S)

    async def _swap_in(
        self, connection: Connection, build: Build[Any], proved: Proved, lease: RebuildLease
    ) -> Rebuilt:
        """Swap, in the open transaction of `connection`; raise `_InUseError` if the live table is in use."""
        name = self._projection.name
        schema = schema_of(connection)
        live, beside = qualified(schema, self._projection.table.name), qualified(schema, build.table)
        partitions = await connection.fetch(load("projections/pin_partitions", connection), name)
        if (await read_discards(connection, self._projection)).pairs != build.discarded.pairs:
            raise _DiscardedMeanwhileError  # no more can come while the partitions are locked
        # What workers have folded is final. A partition beyond the log's end has folded events that a restore lost.
        head = await connection.fetchval(load("rebuild/read_head", connection))
        target = max(build.position, min(head, max(partition["position"] for partition in partitions)))
        while build.position < target:
            proved = await prove_step(connection, self._log, self._projection, build, proved, target)
        failures = await build.failures(connection)
        rows_changed = None
        if self._in_place:
            await _lock(connection, live, "SHARE ROW EXCLUSIVE")
            rows_changed = await _change_rows(connection, self._projection, build.table)
            await lease.hold_in(connection)
            await connection.execute(filled("commands/drop", table=beside))
        else:
            await _lock(connection, live, "ACCESS EXCLUSIVE")
            await lease.hold_in(connection)
            if publications := await list_publications(connection, self._projection.table.name):
                raise PublishedError(f"publication {publications[0]} sends the rows of {live}")
            for row in await connection.fetch(load("rebuild/swap_statements", connection), live, beside):
                await connection.execute(row["statement"])
        epoch = max(partition["epoch"] for partition in partitions) + 1
        await connection.execute(
            load("rebuild/swap_partitions", connection), name, self._projection.version, build.position, epoch
        )
        await connection.execute(load("rebuild/quarantine_failures", connection), name)
        again = await connection.fetch(
            load("rebuild/apply_discards", connection),
            name,
            [position for position, _ in proved.left_out],
            [key for _, key in proved.left_out],
        )
        await connection.execute(load("rebuild/clear_delivery_counts", connection), name)
        await connection.execute(load("rebuild/replace_delivery_counts", connection), name)
        await connection.execute(load("rebuild/finish", connection), name, lease.epoch)
        return Rebuilt(
            name,
            self._projection.version,
            build.position,
            build.events,
            proved.rows,
            digest_text(proved.digest),
            len(failures),
            tuple(sorted(row["position"] for row in again)),
            rows_changed,
        )

    async def _held_up(self, connection: Connection) -> RebuildError:
        table = self._projection.table.name
        row = await connection.fetchrow(
            load("rebuild/list_holders", connection), qualified(schema_of(connection), table)
        )
        by = "" if row is None else f", the oldest by backend {row['pid']} for {row['age_s']:.0f} s"
        return RebuildError(
            f"table {table} was in use by open transactions for {self._swap_timeout_s:.0f} s{by}: end them and run it "
            "again; what was built is kept"
        )

    async def _give_up(self, lease: RebuildLease) -> None:
        async with writing(self._log.connection) as connection:
            await drop_beside(connection, self._projection, lease)


class _InUseError(Exception):
    """Open transactions are using the live table."""


class _DiscardedMeanwhileError(Exception):
    """An event was discarded that the rebuild did not know to be discarded."""


async def _lock(connection: Connection, live: str, mode: str) -> None:
    """Lock the live table, or raise `_InUseError` if it is in use; nobody waits for long."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            async with connection.transaction():
                await limit_lock_waits(connection, _LOCK_TIMEOUT_S)
                await connection.execute(filled("commands/lock", table=live, mode=mode))
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(_PAUSE_S)
        else:
            await connection.execute("SET LOCAL lock_timeout TO DEFAULT")
            return
    raise _InUseError


async def _change_rows(connection: Connection, projection: Projection[Any], beside: str) -> int:
    """Give the live table the rows of the one beside, in the open transaction; return how many rows were changed.

    Raises:
        RebuildError: The live table has other rows after that.
    """
    table, schema = projection.table, schema_of(connection)
    names = (table.name, beside)
    await limit_statements(connection, BUILD_TIMEOUT_S)

    async def run(*statements: str) -> int:
        async with connection.transaction():
            tags = [await connection.execute(one, timeout=BUILD_TIMEOUT_S) for one in statements]
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return sum(int(tag.rpartition(" ")[2]) for tag in tags)

    add = table.add_from(*names, schema=schema)
    try:
        changed = await run(
            table.remove_unless_in(*names, schema=schema), table.change_to(*names, schema=schema), add
        )
    except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError):
        # A row may need a unique value that another row still has: so all differing rows are deleted first.
        changed = await run(table.remove_unless_in(*names, schema=schema, changed_too=True), add)
    counted = the_row(
        await connection.fetchrow(table.compare(*names, schema=schema), timeout=BUILD_TIMEOUT_S)
    )
    if counted["different"]:
        raise RebuildError(
            f"{counted['different']} row(s) of table {table.name} have other values than were written: a trigger, a rule "
            "or a policy changes them: drop or disable it, and run it again"
        )
    return changed
