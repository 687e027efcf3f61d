"""Reads entities as of a point in time: backwards from now or forwards from a state snapshot, whichever is nearer.

An answer consists of the rows of a base and of the streams that differ from it:

* the base is the read table as it is now, a state snapshot, or nothing at all;
* a stream differs from the read table if one of its events lies outside the point in time or is not folded
  into its row yet; it differs from a state snapshot if one of its events lies between the two;
* those streams are folded again, each from the nearest state that holds no event outside the point in time.

No database snapshot is needed: everything that belongs to the point in time is final, and what workers fold
in the meantime is detected by the events that they fold. So no transaction is held open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.entity_state import replica
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import QuarantinedKeysError
from eventstore.replay.past_fold import Base, fold_prefix, fold_selection
from eventstore.replay.point_in_time import guess_position
from eventstore.replay.state_snapshot_tables import category_hash, of_table
from eventstore.repositories.last_good import Stream
from eventstore.repositories.query import Query
from eventstore.sql import Named, text_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog
    from eventstore.replay.point_in_time import PointInTime
    from eventstore.repositories.storage import ReadTable

E = TypeVar("E", bound=Entity)
Run = Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]]

NO_VERSIONS: Mapping[str, int] = {}
"""Every projection has version 1."""

_STREAMS_AT_A_TIME = 1_000
_SPARE_ROWS = 100  # read this many more matches, to replace those that differ


@dataclass(slots=True)
class _Plan:
    """The base of the lists of one class of entities.

    Attributes:
        state_snapshot: The id of the state snapshot that is the base; None if the base is not one.
        position: The position of the state snapshot; 0 without one.
        is_live: Whether the read table is the base.
        differing: The streams that differ from the base, as of the point in time; only this plan uses them.
    """

    state_snapshot: int | None
    position: int
    is_live: bool
    differing: dict[UUID, Stream[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Folded:
    """How far a projection has folded, and what it leaves out."""

    position: int = 0
    quarantined: frozenset[UUID] = frozenset()
    discarded: frozenset[int] = frozenset()


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
                del self._plans[
                    kind
                ]  # its base is gone: the state snapshot was dropped or the table's version changed
                self._projections.clear()
                continue
            differing = [each.entity for each in plan.differing.values() if each.entity is not None]
            found = [replica(entity) for entity in query.answer(differing, after=after, limit=limit)]
            return [Stream(entity, entity.version) for entity in (*rows, *found)]

    # ---- the states of given streams -------------------------------------------------------------------------

    async def states(self, kind: type[E], ids: Sequence[UUID]) -> dict[UUID, Stream[E]]:
        """Return the state of each given stream, folded from the nearest state within the point in time.

        Raises:
            EventStoreError: As for `load`.
        """
        found: dict[UUID, Stream[E]] = {}
        for begin in range(0, len(ids), _STREAMS_AT_A_TIME):
            some = ids[begin : begin + _STREAMS_AT_A_TIME]
            bases = await self._bases(kind, some)
            records = await self._records(some, bases)
            discarded = (await self._folded(kind)).discarded
            until = self.point.occurred_at
            fold = fold_prefix if until is None else partial(fold_selection, until=until)
            for stream_id in some:
                try:
                    found[stream_id] = fold(
                        kind,
                        bases.get(stream_id),
                        records[stream_id],
                        classes=self._log.classes,
                        discarded=discarded,
                    )
                except Exception as error:
                    folded = await self._folded(kind)
                    if stream_id not in folded.quarantined:
                        raise
                    raise QuarantinedKeysError(self._tables[kind].projection, [f'["{stream_id}"]']) from error
        return found

    async def _bases(self, kind: type[E], ids: Sequence[UUID]) -> dict[UUID, Base[E]]:
        table: ReadTable[E] | None = self._tables.get(kind)
        bases: dict[UUID, Base[E]] = {}
        if table is None:
            return bases
        rows = await self.fetch(
            of_table("replay/rows_within", table.projection),
            ids,
            *self.point.bounds,
            table.projection,
            self._version(table),
        )
        for row in rows:
            bases[row["id"]] = Base(table.decode(row), row["version"])
        states = await self.fetch(
            of_table("replay/states_within", table.projection),
            [each for each in ids if each not in bases],
            *self.point.bounds,
            await self.schema_hash(kind),
        )
        for row in states:
            bases[row["id"]] = Base(table.decode(row), row["stream_version"])
        return bases

    async def _records(
        self, ids: Sequence[UUID], bases: Mapping[UUID, Base[Any]]
    ) -> dict[UUID, list[Mapping[str, Any]]]:
        records: dict[UUID, list[Mapping[str, Any]]] = {stream_id: [] for stream_id in ids}
        if ids:
            versions = [bases[each].version if each in bases else 0 for each in ids]
            rows = await self.fetch(
                Named("replay/events_of_streams"), list(ids), versions, *self.point.bounds
            )
            for stream_id, group in groupby(rows, key=lambda row: row["stream_id"]):
                records[stream_id] = list(group)
        return records

    # ---- lists -----------------------------------------------------------------------------------------------

    async def _candidates(
        self, kind: type[E], plan: _Plan, query: Query[E], after: E | None, limit: int | None
    ) -> list[E] | None:
        """Return enough matching rows of the base; None if the base is gone."""
        table: ReadTable[E] = self._tables[kind]
        if not plan.is_live and plan.state_snapshot is None:
            return []
        wanted = None if limit is None else limit + min(len(plan.differing), _SPARE_ROWS)
        while True:
            arguments = (0, wanted, *query.page_arguments(after), *query.arguments)
            if plan.is_live:
                records = await self.fetch(table.lists[query.statement].statement(), *arguments)
                holds = await self._note_moved(kind, plan)
            else:
                statement = table.lists[query.statement].statement_at_state_snapshot()
                records = await self.fetch(statement, *arguments, plan.position)
                # The states of a state snapshot are dropped together with it.
                holds = (await self.fetch(Named("replay/state_snapshot_exists"), plan.state_snapshot))[0][
                    "exists"
                ]
            if not holds:
                return None
            rows = [record for record in records if record["id"] not in plan.differing]
            if wanted is None or limit is None or len(rows) >= limit or len(records) < wanted:
                return [table.decode(row) for row in rows[:limit]]
            wanted *= 2  # too many of the rows differ

    async def _note_moved(self, kind: type[Any], plan: _Plan) -> bool:
        """Add the streams that may have been folded further since; return whether the table's version is unchanged.

        This statement must begin after the rows were read: then it sees the events of every row that a
        worker has folded further.
        """
        table = self._tables[kind]
        final, version = self.point.final, self._version(table)
        now = await self.fetch(Named("replay/moved_since"), kind.category, final, table.projection, version)
        moved = {row["stream_id"] for row in now} - plan.differing.keys() - {None}
        if moved:
            plan.differing.update(await self.states(kind, sorted(moved)))
        return bool(now[0]["is_current"])

    async def _plan(self, kind: type[Any]) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            point = self.point
            folded = await self._folded(kind)
            stored = await self.fetch(
                Named("replay/nearest_state_snapshot"),
                kind.category,
                await self.schema_hash(kind),
                *point.bounds,
            )
            state_snapshot, position = (stored[0]["id"], stored[0]["position"]) if stored else (None, 0)
            here = await self._position()
            to_now = point.final - min(here, folded.position)
            is_live = folded.position > 0 and to_now <= here - position
            plan = _Plan(state_snapshot, position, is_live)
            differing = (
                await self._differing_from_table(kind, folded)
                if is_live
                else await self._differing_from_state_snapshot(kind, position)
            )
            plan.differing.update(await self.states(kind, sorted(differing)))
            self._plans[kind] = plan
        return plan

    async def _differing_from_table(self, kind: type[Any], folded: _Folded) -> set[UUID]:
        through, recorded_at, occurred_at = self.point.bounds
        streams, final = self._streams, self.point.final
        if recorded_at is not None:
            differing = await streams("replay/streams_recorded_after", kind, recorded_at, through)
        elif occurred_at is not None:
            differing = await streams("replay/streams_occurred_after", kind, occurred_at, through)
        else:
            differing = await streams("replay/streams_after", kind, min(through, folded.position), final)
        if folded.position < final:
            differing |= await streams("replay/streams_after", kind, folded.position, final)
        return differing | folded.quarantined

    async def _differing_from_state_snapshot(self, kind: type[Any], position: int) -> set[UUID]:
        through, recorded_at, occurred_at = self.point.bounds
        if recorded_at is not None:
            return await self._streams("replay/streams_recorded_until", kind, recorded_at, position, through)
        if occurred_at is not None:
            return await self._streams("replay/streams_occurred_until", kind, occurred_at, position, through)
        return await self._streams("replay/streams_after", kind, position, through)

    async def _streams(self, statement: str, kind: type[Any], *bounds: Any) -> set[UUID]:
        rows = await self.fetch(Named(statement), kind.category, *bounds)
        return {row["stream_id"] for row in rows}

    async def _folded(self, kind: type[Any]) -> _Folded:
        table = self._tables.get(kind)
        if table is None:
            return _Folded()
        known = self._projections.get(table.projection)
        if known is None:
            row = (await self.fetch(Named("replay/folded"), table.projection, self._version(table)))[0]
            known = _Folded(row["position"], frozenset(row["quarantined"]), frozenset(row["discarded"]))
            self._projections[table.projection] = known
        return known

    def _version(self, table: ReadTable[Any]) -> int:
        return self._versions.get(table.projection, 1)

    async def schema_hash(self, kind: type[Any]) -> int:
        """Return the schema hash of the state snapshots that may be read.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        discarded = (await self._folded(kind)).discarded
        return category_hash(kind, self._version(self._tables[kind]), discarded)

    async def _position(self) -> int:
        if self._guess is None:
            self._guess = await guess_position(self._log, self.point)
        return self._guess

    # ---- statements ------------------------------------------------------------------------------------------

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        """Run a statement.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            NotMigratedError: A table is missing.
        """
        rows: Sequence[Any] = await self._run(
            lambda connection: connection.fetch(text_of(statement, connection), *arguments)
        )
        return rows

    async def _run_on_pool(self, statement: Callable[[Connection], Awaitable[Any]]) -> Any:
        # The positions of a point in time belong to one server.
        with self._log.server.steady(self.point.generation):
            async with reading(self._log.connection) as connection:
                return await statement(connection)
