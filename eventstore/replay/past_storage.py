"""Reads entities as of a point in time, from the read table and the streams that differ from it.

An answer consists of the rows up to a position, the base, and of the streams that differ there:

* the base is the end of a segment of the log that is near the point in time, the position up to which the table is
  folded, or 0;
* a row counts if no event after the base is folded into it;
* a stream differs if it has an event up to the base outside the point in time, or one after the base inside; or if it
  began before the base and has later events, so that its row does not count;
* those streams are folded again, each from the nearest state that holds no event outside the point in time.

No database snapshot is needed: everything that belongs to the point in time is final, and what workers fold
in the meantime is detected by the events that they fold. So no transaction is held open.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import orjson

from eventstore.core import codec
from eventstore.core.entity import Entity
from eventstore.core.entity_state import replica
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import QuarantinedKeysError
from eventstore.log.page_size import BATCH_BYTES_MAX
from eventstore.replay.past_fold import Base, Record, fold_prefix, fold_selection
from eventstore.replay.point_in_time import guess_position
from eventstore.replay.schema_hash import of_table, schema_hash
from eventstore.repositories.last_good import Stream
from eventstore.repositories.query import Query, SortKey
from eventstore.sql import Named, planned_for, text_of
from eventstore.time_slices import EVENTS_AT_A_TIME, listed, ordered

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog
    from eventstore.replay.point_in_time import PointInTime
    from eventstore.repositories.storage import ReadTable

E = TypeVar("E", bound=Entity)
Run = Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]]

NO_VERSIONS: Mapping[str, int] = {}
"""Every projection has version 1."""

_STREAMS_AT_A_TIME = 1_000
_VERSION_MAX = 2**31 - 1
_NO_BOUND = (None, None)
_SPARE_ROWS = 100  # read this many more matches, to replace those that differ


@dataclass(slots=True)
class _Plan:
    """The base of the lists of one class of entities.

    Attributes:
        base: The position up to which rows count.
        final: The position up to which it has the streams that differ; at least the base.
        differing: The streams that differ there, as of the point in time; only this plan uses them.
        matching: Those of them that the last query asked for; the pages of a list ask for them one after the other.
        moves: How often streams were added to those that differ.
    """

    base: int
    final: int
    differing: dict[UUID, Stream[Any]] = field(default_factory=dict)
    matching: _Matching | None = None
    moves: int = 0


@dataclass(frozen=True, slots=True)
class _Matching:
    """Entities that match a query, in ascending order.

    Attributes:
        asked: The statement of the query, and its arguments.
        entities: The entities.
        keys: Their sort keys.
    """

    asked: tuple[str, tuple[Any, ...]]
    entities: Sequence[Any]
    keys: Sequence[SortKey]

    def page(self, query: Query[Any], after: Any, limit: int | None) -> Sequence[Any]:
        """Return those of a page."""
        bound = tuple(query.page_arguments(after))
        count = len(self.entities) if limit is None else limit
        if query.descending:
            end = len(self.keys) if bound == _NO_BOUND else bisect_left(self.keys, bound)
            return self.entities[max(0, end - count) : end]
        begin = 0 if bound == _NO_BOUND else bisect_right(self.keys, bound)
        return self.entities[begin : begin + count]


@dataclass(frozen=True, slots=True)
class _Folded:
    """How far a projection has folded, and what it leaves out.

    Attributes:
        position: Everything up to it is folded.
        quarantined: The streams whose events wait.
        discarded: The positions of the events that are left out.
        doubtful_from: The version from which on the stored states of a stream may or may not hold an event that is or
            was left out.
    """

    position: int = 0
    quarantined: frozenset[UUID] = frozenset()
    discarded: frozenset[int] = frozenset()
    doubtful_from: Mapping[UUID, int] = field(default_factory=dict)


class PastStorage:
    """Reads entities as of a point in time; every answer is of the same point.

    Args:
        log: The log.
        tables: The read table of each class that has one; entities of other classes are folded from their streams.
        point: The point in time.
        versions: The version of the code's projection of each read table, by name; 1 by default.
        run: Runs a function on a connection; None takes a connection of the pool for each call.
    """

    def __init__(
        self,
        log: EventLog,
        tables: Mapping[type[Entity], ReadTable[Any]],
        point: PointInTime,
        *,
        versions: Mapping[str, int] = NO_VERSIONS,
        run: Run | None = None,
    ) -> None:
        self._versions = versions
        self.point = point
        self._log = log
        self._tables = tables
        self._run = run or self._run_on_pool
        self._plans: dict[type[Entity], _Plan] = {}
        self._projections: dict[str, _Folded] = {}
        self._guess: int | None = None

    async def load(self, kind: type[E], entity_id: UUID) -> Stream[E]:
        """Return the state of one entity.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            NotMigratedError: The tables are missing.
            UnknownEventTypeError, EventDecodingError: The code does not know an event of the stream.
        """
        return (await self.states(kind, [entity_id]))[entity_id]

    async def find(
        self,
        kind: type[E],
        query: Query[E],
        *,
        after: E | None,
        limit: int | None,
        fresh: bool,  # noqa: ARG002 - the past does not lag
    ) -> list[Stream[E]]:
        """Return all entities that may belong to the answer; the caller filters and sorts them.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            NotMigratedError: The tables are missing.
            QuarantinedKeysError: Events of a quarantined key cannot be folded.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        while True:
            plan = await self._plan(kind)
            rows = await self._candidates(kind, plan, query, after, limit)
            if rows is None:
                # The table was replaced by another one. Another task may have seen that before.
                self._plans.pop(kind, None)
                self._projections.clear()
                continue
            differing = (await self._matching(plan, query)).page(query, after, limit)
            found = [replica(entity) for entity in differing]
            return [Stream(entity, entity.version) for entity in (*rows, *found)]

    async def _matching(self, plan: _Plan, query: Query[Any]) -> _Matching:
        """Return the entities that differ and match a query."""
        asked = query.statement, query.arguments
        if plan.matching is not None and plan.matching.asked == asked:
            return plan.matching
        # What another task adds from here on differs from rows that this one has read before.
        moves, every = plan.moves, list(plan.differing.values())
        entities = (each.entity for each in every)
        some = await listed(entities, lambda one: one is not None and query.matches(one))
        in_order = await ordered(some, query.sort_key)
        matching = _Matching(asked, in_order, await listed(map(query.sort_key, in_order)))
        if plan.moves == moves:
            plan.matching = matching
        return matching

    # ---- the states of given streams -------------------------------------------------------------------------

    async def states(self, kind: type[E], ids: Sequence[UUID]) -> dict[UUID, Stream[E]]:
        """Return the state of each given stream, folded from the nearest state within the point in time.

        Raises:
            EventStoreError: As for `load`.
        """
        found: dict[UUID, Stream[E]] = {}
        for begin in range(0, len(ids), _STREAMS_AT_A_TIME):
            some = sorted(ids[begin : begin + _STREAMS_AT_A_TIME])  # as the statement orders their events
            bases = await self._bases(kind, some)
            folded = (await self._folded(kind)).position
            after = {one: bases[one].version if one in bases else 0 for one in some}
            held: list[Record] = []
            while some:
                rows = await self.fetch(
                    Named("replay/events_of_streams"),
                    some,
                    [after[one] for one in some],
                    *self.point.bounds,
                    BATCH_BYTES_MAX,
                    folded=folded,
                )
                records = {one: list(group) for one, group in groupby(rows, key=itemgetter("stream_id"))}
                records[some[0]] = held + records.get(some[0], [])
                # A stream of which more may follow is folded so far, if it can be, and read on after that.
                last = rows[-1]["stream_id"] if rows and rows[-1]["is_full"] else None
                through = len(some) if last is None else some.index(last) + 1
                await self._fold(kind, some[:through], bases, records, found)
                some = some[through:]
                held = []
                if last is None:
                    continue
                after[last] = rows[-1]["version"]
                if self._needs_all(bases.get(last), records[last]):
                    held = records[last]
                elif found[last].version < after[last] and self.point.occurred_at is None:
                    continue  # it ends before events that do not belong to the point in time
                else:
                    bases[last] = Base(found[last].entity, found[last].version)
                some.insert(0, last)
        return found

    async def _fold(
        self,
        kind: type[E],
        ids: Sequence[UUID],
        bases: Mapping[UUID, Base[E]],
        records: Mapping[UUID, Sequence[Record]],
        found: dict[UUID, Stream[E]],
    ) -> None:
        """Fold the records of streams onto their bases."""
        discarded = (await self._folded(kind)).discarded
        until = self.point.occurred_at
        fold = fold_prefix if until is None else partial(fold_selection, until=until)
        events = 0
        for stream_id in ids:
            some = records.get(stream_id, ())
            try:
                found[stream_id] = fold(
                    kind, bases.get(stream_id), some, classes=self._log.classes, discarded=discarded
                )
            except Exception as error:
                folded = await self._folded(kind)
                if stream_id not in folded.quarantined:
                    raise
                raise QuarantinedKeysError(self._tables[kind].projection, [f'["{stream_id}"]']) from error
            events += len(some)
            if events >= EVENTS_AT_A_TIME:
                events = 0
                await asyncio.sleep(0)

    def _needs_all(self, base: Base[Any] | None, records: Sequence[Record]) -> bool:
        """Whether the first state depends on later events: the creating event had not happened yet."""
        until = self.point.occurred_at
        return until is not None and base is None and records[0]["occurred_at"] > until

    async def _bases(self, kind: type[E], ids: Sequence[UUID]) -> dict[UUID, Base[E]]:
        table: ReadTable[E] | None = self._tables.get(kind)
        bases: dict[UUID, Base[E]] = {}
        if table is None:
            return bases
        folded = await self._folded(kind)
        rows = await self.fetch(
            of_table("replay/rows_within", table.projection),
            ids,
            *self.point.bounds,
            table.projection,
            self._version(table),
            folded=folded.position,
        )
        for row in rows:
            bases[row["id"]] = Base(table.decode(row), row["version"])
        missing = [each for each in ids if each not in bases]
        states = await self.fetch(
            Named("replay/states_within"),
            missing,
            [folded.doubtful_from.get(each, _VERSION_MAX) for each in missing],
            *self.point.bounds,
            schema_hash(kind, self._version(table)),
            folded=folded.position,
        )
        for row in states:
            fields = orjson.loads(zlib.decompress(row["state"]))
            bases[row["id"]] = Base(codec.construct(kind, fields), row["version"])
        return bases

    # ---- lists -----------------------------------------------------------------------------------------------

    async def _candidates(
        self, kind: type[E], plan: _Plan, query: Query[E], after: E | None, limit: int | None
    ) -> list[E] | None:
        """Return enough matching rows of the base; None if the base is gone."""
        table: ReadTable[E] = self._tables[kind]
        if not plan.base:
            return []
        wanted = None if limit is None else limit + min(len(plan.differing), _SPARE_ROWS)
        while True:
            records = await self.fetch(
                table.lists[query.statement].statement_up_to_position(),
                0,
                wanted,
                *query.page_arguments(after),
                *query.arguments,
                plan.base,
                folded=(await self._folded(kind)).position,
            )
            if not await self._note_moved(kind, plan):
                return None
            rows = [record for record in records if record["id"] not in plan.differing]
            if wanted is None or limit is None or len(rows) >= limit or len(records) < wanted:
                return [table.decode(row) for row in rows[:limit]]
            wanted *= 2  # too many of the rows differ

    async def _note_moved(self, kind: type[Any], plan: _Plan) -> bool:
        """Add the streams that may have been folded further since; return whether the table is still the same.

        This statement must begin after the rows were read: then it sees the events of every row that a
        worker has folded further.
        """
        table = self._tables[kind]
        now = await self.fetch(
            Named("replay/moved_since"),
            kind.category,
            plan.final,
            table.projection,
            self._version(table),
            plan.base,
        )
        moved = {row["stream_id"] for row in now} - plan.differing.keys() - {None}
        if moved:
            states = await self.states(kind, sorted(moved))
            plan.differing.update(states)
            plan.matching = None
            plan.moves += 1
        return bool(now[0]["is_current"])

    async def _plan(self, kind: type[Any]) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            folded = await self._folded(kind)
            final = self.point.final
            if not self.point.is_time:
                # What is known to be final may be long ago. What is folded is final, and outside if it comes after the position.
                final = max(final, folded.position)
            rows = await self.fetch(
                Named("replay/differing"),
                kind.category,
                *self.point.bounds,
                min(folded.position, final),
                final,
                await self._position(),
                folded=folded.position,
            )
            differing = {row["stream_id"] for row in rows} - {None} | folded.quarantined
            plan = _Plan(rows[0]["base"], final)
            plan.differing.update(await self.states(kind, sorted(differing)))
            self._plans[kind] = plan
        return plan

    async def _folded(self, kind: type[Any]) -> _Folded:
        table = self._tables.get(kind)
        if table is None:
            return _Folded()
        known = self._projections.get(table.projection)
        if known is None:
            row = (await self.fetch(Named("replay/folded"), table.projection, self._version(table)))[0]
            known = _Folded(
                row["position"],
                frozenset(row["quarantined"]),
                frozenset(row["discarded"]),
                dict(zip(row["doubtful"], row["doubtful_from"], strict=True)),
            )
            self._projections[table.projection] = known
        return known

    def _version(self, table: ReadTable[Any]) -> int:
        return self._versions.get(table.projection, 1)

    async def _position(self) -> int:
        if self._guess is None:
            self._guess = await guess_position(self._log, self.point)
        return self._guess

    # ---- statements ------------------------------------------------------------------------------------------

    async def fetch(self, statement: str, *arguments: Any, folded: int = 0) -> Sequence[Any]:
        """Run a statement.

        Args:
            statement: The statement.
            arguments: Its arguments.
            folded: The position up to which the log is folded into what the statement reads; 0 if it reads the log alone.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            NotMigratedError: A table is missing.
        """
        rows: Sequence[Any] = await self._run(
            lambda connection: connection.fetch(
                planned_for(text_of(statement, connection), self.point.final, folded), *arguments
            )
        )
        return rows

    async def _run_on_pool(self, statement: Callable[[Connection], Awaitable[Any]]) -> Any:
        # The positions of a point in time belong to one server.
        with self._log.server.steady(self.point.generation):
            async with reading(self._log.connection) as connection:
                return await statement(connection)
