"""Building a table beside the live one, in steps that are each one transaction, so that it can continue after a kill.

Events are folded in memory, many to a row, and rows are written once a step, new ones by COPY. The checkpoint of the
build moves in the same transaction as its rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence, Set as AbstractSet
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from eventstore.core.context import decimal_arithmetic
from eventstore.database.access import writing
from eventstore.database.cancellation import end
from eventstore.database.protocols import Connection
from eventstore.garbage_collection import collecting_later
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import BYTES_UNBOUNDED, PageSize, Window
from eventstore.log.unreadable import Readable
from eventstore.sql import load, schema_of
from eventstore.time_slices import Slices
from projections.engine.batch import copy_rows, fetch_by_keys, fold_into, is_of_row
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.fold import FoldFailure, by_key, fold_key
from projections.engine.reading import decode_for, read_batch
from projections.keys import key_text
from projections.projection import Projection
from projections.quarantine.skip_list import Discards
from projections.rebuild.independent_fold import IndependentFold
from projections.rebuild.lease import taken_over
from projections.rebuild.limits import RebuildLimits
from projections.rebuild.new_table import BUILD_TIMEOUT_S, Kept, TableBeside, without_limit
from projections.rebuild.shards import Shard
from projections.table import LAST_POSITION

R = TypeVar("R")
Key = tuple[Any, ...]

_WHOLE, _FOLDED = "rebuild/read_shard", "rebuild/fold_shard"
_PUT_AWAY_AT_ONCE = 1_000  # some milliseconds; then other tasks run

# The partition under which deliveries are counted; shard 1 counts under the next lower number, and so on.
_DELIVERED_TO_BUILD = -1


@dataclass(frozen=True, slots=True)
class _PageRead:
    """A page of the log.

    Attributes:
        rows: Its rows.
        after: It begins after this position.
        through: Everything up to this position has been read.
        is_folded: Whether the rows have the few columns of a fold, and not all.
    """

    rows: Sequence[Any]
    after: int
    through: int
    is_folded: bool


class Build(TableBeside[R]):
    """The steps that fill the table beside, each one transaction.

    Attributes:
        along: The fold of the proof, which takes the same pages of the log if it can; None if the proof has to read them.
        is_folded: Whether each process has such a fold of its shard of the whole table.
    """

    along: IndependentFold[R] | None = None
    is_folded = False
    _read_ahead: Callable[[], None] | None = None

    def fold_along(self) -> None:
        """Let the fold of the proof take the pages of this build, if it begins at the beginning and leaves nothing out."""
        if self.position == 0 and self.skipped is None and not self.discarded.pairs:
            self.along = IndependentFold(self._log, self._projection, shard=self._shard)

    # ---- steps -----------------------------------------------------------------------------------------------

    async def step(self, through: int) -> None:
        """Fold the next events, up to a position, and write their rows; one transaction."""
        async with self.stepping() as connection:
            await self.step_in(connection, through)

    @asynccontextmanager
    async def stepping(self) -> AsyncIterator[Connection]:
        """Open a transaction for `step_in`, and forget what is in memory if it is rolled back."""
        async with writing(self._log.connection) as connection:
            try:
                async with without_limit(connection):
                    yield connection
                    await self.require_unpublished(connection)
            except BaseException:
                self.forget()
                self.along = None
                raise

    def forget(self) -> None:
        """Drop the rows in memory; they are read again when they are needed."""
        self._rows.clear()
        self._has_all_rows = False

    async def let_go(self) -> None:
        """Do as `forget`, in slices of time: freeing a million rows takes seconds."""
        slices = Slices()
        while self._rows:
            self._rows.popitem()
            await slices.rest()
        self.forget()

    async def step_in(self, connection: Connection, through: int) -> None:
        """Do as `step`, inside the open transaction of `connection`; after a rollback, call `look_again`."""
        before, after, events = self.position, self.position, 0
        stuck_before = frozenset(self._stuck)
        touched: dict[Key, Kept[R]] = {}
        failed: list[FoldFailure] = []
        delivered = DeliveryCounts()
        async with aclosing(self._pages(connection, before, through)) as pages:
            async for page in pages:
                # A page in few columns may have to be read again, by the connection that would read the next one.
                if self._has_all_rows and not page.is_folded:
                    await self._begin_next_page()
                taken, after = await self._decoded(connection, page), page.through
                with decimal_arithmetic(), collecting_later():
                    delivered.add(taken)
                    taken = self._unless_skipped(taken)
                if not self._has_all_rows:
                    await self._load(connection, taken)
                await self._begin_next_page()
                with decimal_arithmetic(), collecting_later():
                    self._fold(taken, touched, failed)
                if self.along is not None:
                    self.along.take(page.rows, taken, after)
                events += len(taken)
                self._on_step(after, self.events + events)
        await self._move(connection, before, after, events)
        try:
            async with connection.transaction():
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                await self._write(connection, touched)
        except Exception as error:
            if not is_of_row(error):
                raise
            self.forget()
            self._stuck = set(stuck_before)
            failed = await self._fold_singly(connection, before, after)
        for failure in failed:
            await self._note(connection, failure)
        await connection.execute(
            load("projections/add_delivery_counts", connection),
            self._projection.name,
            _DELIVERED_TO_BUILD - self._shard.number,
            *delivered.columns,
        )
        self.position, self.events = after, self.events + events
        await self._put_away(touched.keys())

    async def _put_away(self, touched: AbstractSet[Key]) -> None:
        """If too many rows are in memory, let those go that the step has not changed, or all of them."""
        along, most = self.along, self.limits.rows_kept_max
        if len(self._rows) + (0 if along is None else len(along.rows)) <= most:
            return
        kept = {} if len(touched) > most // 2 else {key: self._rows[key] for key in touched}
        self.forget()
        self._rows.update(kept)
        if along is None:
            return
        if len(along.away) + len(along.rows) > self.limits.digests_kept_max:
            self.along = None
            return
        away = iter([key for key in along.rows if key not in kept])
        while some := list(islice(away, _PUT_AWAY_AT_ONCE)):
            with decimal_arithmetic(), collecting_later():
                along.put_away(some)
            await asyncio.sleep(0)

    async def _move(self, connection: Connection, before: int, after: int, events: int) -> None:
        arguments = (self._projection.name, self._epoch, before, after, events)
        if self._shard.of == 1:
            moved = await connection.fetchval(load("rebuild/move", connection), *arguments)
        else:
            moved = await connection.fetchval(
                load("rebuild/move_shard", connection), *arguments, self._shard.number
            )
        if moved is None:
            raise taken_over(self._projection.name)

    def _of_shard(self, events: list[Readable]) -> list[Readable]:
        if self._shard.of == 1 or self._projection.keyed_by_stream:
            return events
        has, projection = self._shard.has, self._projection
        return [event for event in events if has(key_of(projection, event))]

    def _unless_skipped(self, events: list[Readable]) -> list[Readable]:
        if self.skipped is None:
            return events
        has, projection = self.skipped.has, self._projection
        return [event for event in events if not has(event.position, key_of(projection, event))]

    async def _pages(
        self, connection: Connection, after: int, through: int
    ) -> AsyncGenerator[_PageRead, None]:
        """Yield the rows of a step, page by page."""
        size = self._size = self._size or PageSize(self.limits.page_events_max)

        async def fetch() -> _PageRead:
            is_folded = self._columns.suffice()
            statement, window = _FOLDED if is_folded else _WHOLE, Window(after, through)
            rows = await self._fetch(
                connection, statement, after, window.end, events_max=size.events, bytes_max=size.bytes
            )
            passed = await window.passed(connection, len(rows))
            reached = rows[-1]["position"] if size.is_full(rows) else passed
            return _PageRead(rows, after, reached, is_folded)

        ahead: asyncio.Future[_PageRead] | None = None

        def begin() -> None:
            nonlocal ahead
            ahead = asyncio.ensure_future(fetch())

        try:
            for left in reversed(range(0, self.limits.step_events_max, self.limits.page_events_max)):
                reading = ahead or fetch()
                ahead, page = None, await reading
                after = page.through
                self._read_ahead = begin if left and after < through else None
                yield page
                if after == through:
                    return
        finally:
            if ahead is not None:
                await end(ahead)

    async def _fetch(
        self,
        connection: Connection,
        statement: str,
        after: int,
        through: int,
        *,
        events_max: int,
        bytes_max: int,
    ) -> Sequence[Any]:
        projection = self._projection
        rows: Sequence[Any] = await connection.fetch(
            load(statement, connection),
            after,
            through,
            events_max,
            projection.categories,
            *self._shard.bounds(projection),
            bytes_max,
            timeout=BUILD_TIMEOUT_S,
        )
        return rows

    async def _decoded(self, connection: Connection, page: _PageRead) -> list[Readable]:
        """Return the events of a page that belong to the shard."""
        rows = page.rows
        if page.is_folded:
            with decimal_arithmetic():
                events = self._columns.decode(rows)
            if events is not None:
                return self._of_shard(events)
            rows = await self._fetch(
                connection, _WHOLE, page.after, page.through, events_max=len(rows), bytes_max=BYTES_UNBOUNDED
            )
        with decimal_arithmetic(), collecting_later():
            return self._of_shard(decode_for(self._log, self._projection, rows))

    async def _begin_next_page(self) -> None:
        """Let the server read the next page while this one is folded; folding needs nothing else of the server."""
        if self._read_ahead is not None:
            self._read_ahead()
            self._read_ahead = None
            await asyncio.sleep(0)

    def _fold(
        self, events: Sequence[Readable], touched: dict[Key, Kept[R]], failed: list[FoldFailure]
    ) -> None:
        projection, rows, leaves_out = self._projection, self._rows, self.discarded.has
        for key, its_events in by_key(projection, events).items():
            if self._stuck and key_text(key) in self._stuck:
                continue
            kept = rows.get(key)
            if kept is None:
                kept = rows[key] = Kept(None)
            row, position, failure = fold_key(projection, key, kept.row, its_events, leaves_out=leaves_out)
            if position:
                kept.row, kept.position = row, position
                touched[key] = kept
            if failure is not None:
                failed.append(failure)
                self._stuck.add(key_text(key))

    async def _load(self, connection: Connection, events: Sequence[Readable]) -> None:
        table, rows, stuck, keys = self._projection.table, self._rows, self._stuck, set[Key]()
        begins_streams = self._projection.keyed_by_stream
        for event in events:
            key = key_of(self._projection, event)
            if key in rows or (stuck and key_text(key) in stuck):
                continue
            rows[key] = Kept(None)
            if event.version > 1 or not begins_streams:
                keys.add(key)
        if not keys:
            return
        records = {
            table.normal(table.key_of(record)): record
            for record in await fetch_by_keys(connection, table, self.table, keys)
        }
        for key, record in records.items():
            rows[key] = Kept(table.decode(record), record[LAST_POSITION], is_stored=True)
        if self.along is not None:
            self.along.take_back(keys, records)

    async def _write(self, connection: Connection, touched: dict[Key, Kept[R]]) -> None:
        table = self._projection.table
        added = [kept for kept in touched.values() if kept.row is not None and not kept.is_stored]
        changed = [kept for kept in touched.values() if kept.row is not None and kept.is_stored]
        removed = [key for key, kept in touched.items() if kept.row is None and kept.is_stored]
        if added:
            rows = [(kept.row, kept.position) for kept in added]
            await copy_rows(connection, table, self.table, rows, timeout_s=BUILD_TIMEOUT_S)
        if changed:
            columns = table.codec.encode_columns([kept.row for kept in changed])  # type: ignore[misc]
            positions = [kept.position for kept in changed]
            await connection.execute(
                table.upsert(self.table, schema=schema_of(connection)),
                *columns,
                positions,
                timeout=BUILD_TIMEOUT_S,
            )
        if removed:
            await connection.execute(
                table.delete_by_keys(self.table, schema=schema_of(connection)),
                *map(list, zip(*removed, strict=True)),
            )
        for kept in touched.values():
            kept.is_stored = kept.row is not None

    async def _fold_singly(self, connection: Connection, before: int, after: int) -> list[FoldFailure]:
        """Fold events again, writing each row separately, because the database has refused one of them."""
        refused: list[FoldFailure] = []
        size = PageSize(self.limits.page_events_max)
        while before < after:
            batch = await read_batch(
                self._log,
                self._projection,
                after=before,
                through=after,
                size=size,
                connection=connection,
            )
            has = self._shard.has
            ours = [one for one in batch.events if has(key_of(self._projection, one))]
            refused += await self._fold_batch_singly(
                connection,
                self._unless_skipped(ours),
                self._stuck | {key_text(failure.key) for failure in refused},
            )
            before = batch.through
        self._stuck |= {key_text(failure.key) for failure in refused}
        return refused

    async def _fold_batch_singly(
        self, connection: Connection, events: Sequence[Readable], stuck: AbstractSet[str]
    ) -> list[FoldFailure]:
        refused: list[FoldFailure] = []
        while events:
            failed: list[FoldFailure] = []
            await fold_into(
                connection,
                self._projection,
                events,
                table=self.table,
                takes=lambda key: key_text(key) not in stuck,
                singly=True,
                on_error=failed,
            )
            discarded = {one.key: one for one in failed if self.discarded.has(one.event.position, one.key)}
            refused += [one for one in failed if one.key not in discarded]
            self.refused |= {(one.event.position, key_text(one.key)) for one in discarded.values()}
            # Without the refused event, the key goes on.
            keyed = ((key_of(self._projection, event), event) for event in events)
            events = [
                event
                for key, event in keyed
                if key in discarded and event.position > discarded[key].event.position
            ]
        return refused

    async def _note(self, connection: Connection, failure: FoldFailure) -> None:
        await connection.execute(
            load("rebuild/note_failure", connection), self._projection.name, *failure.columns
        )


@dataclass(frozen=True, slots=True)
class ShardBuilt:
    """What the building of a shard has left.

    Attributes:
        refused: The discarded events that the database has refused, as position and key.
        is_folded: Whether the fold of the proof went along.
    """

    refused: frozenset[tuple[int, str]]
    is_folded: bool


@dataclass(frozen=True, slots=True)
class BuildShard:
    """The building of one shard of the table, as a job for any process; the next process continues an unfinished one.

    Attributes:
        shard: The shard.
        epoch: The epoch of the rebuild's lease.
        through: The position to reach.
        discarded: The discarded events.
        limits: The limits of its steps.
    """

    shard: Shard
    epoch: int
    through: int
    discarded: Discards
    limits: RebuildLimits

    async def run(
        self,
        log: EventLog,
        projection: Projection[Any],
        on_progress: Callable[[int, int], None],
        left: dict[Any, Any],
    ) -> ShardBuilt:
        """Build the shard."""
        build: Build[Any] = Build(
            log, projection, self.epoch, on_progress, shard=self.shard, limits=self.limits
        )
        await build.take_up(self.discarded)
        along: IndependentFold[Any] | None = left.pop(self.shard, None)
        if along is not None and along.position == build.position:
            build.along = along
        else:
            build.fold_along()
        while build.position < self.through:
            await build.step(self.through)
        on_progress(build.position, build.events)
        left[self.shard] = build.along
        return ShardBuilt(frozenset(build.refused), build.along is not None)
