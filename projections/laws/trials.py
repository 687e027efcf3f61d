"""Trying one log against one law of projections, for the search of `projections.laws.checker`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg

from eventstore.core.event import RecordedEvent
from eventstore.errors import QuarantinedKeysError, RepositoryError
from eventstore.log.event_log import EventLog
from eventstore.printable import text_of_error
from eventstore.sql import filled, qualified, schema_of
from eventstore.testing.scratch import ScratchDatabase
from eventstore.testing.strategies import LoggedEvent, staged_log
from projections.check.comparison import compare_with_rebuild
from projections.engine.worker import ProjectionWorker
from projections.fresh_rows import FreshRows
from projections.keys import key_text
from projections.laws.plans import BrokenLawError, Plan, interleaved
from projections.projection import Projection
from projections.quarantine.operations import list_quarantined
from projections.table_shape import check_table, table_differences

Key = tuple[Any, ...]
Rows = Mapping[str, str]

_ALL = 10_000
_HELD = "in quarantine"


class _CrashError(BaseException):
    """The process ends here."""


class Trial:
    """Tries a projection on a scratch database.

    Args:
        scratch: The database.
        make: Makes a projection, as another process would have it.
        refusals: The errors by which the projection refuses events on purpose.
    """

    def __init__(
        self,
        scratch: ScratchDatabase,
        make: Callable[[], Projection[Any]],
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        self._scratch = scratch
        self._refusals = refusals
        self._make = make
        self._table = make().table
        self._log = EventLog(scratch.connection, group_commit=False)

    async def prepare(self) -> None:
        """Create the projection's table if no migration has created it, and check that its rows fit.

        Raises:
            ConfigurationError: They do not fit.
        """
        async with self._scratch.connection.acquire() as connection:
            found = await table_differences(connection, self._table)
            if any("no such table" in line for line in found):
                await connection.execute(self._table.create(schema=schema_of(connection)))
        await check_table(self._log, self._make())

    async def run(self, law: str, plan: Plan) -> int:
        """Try one log against one law.

        Returns:
            How many rows were compared; 0 if the log showed nothing.

        Raises:
            BrokenLawError: The log breaks the law.
        """
        laws: Mapping[str, Callable[[Plan], Awaitable[tuple[str | None, int]]]] = {
            "totality": self._totality,
            "purity": self._purity,
            "batches": self._batches,
            "restarts": self._restarts,
            "rebuild": self._rebuild,
            "interleavings": self._interleavings,
            "round trip": self._round_trip,
            "fresh reads": self._fresh_reads,
        }
        try:
            found, rows = await laws[law](plan)
        except (RepositoryError, asyncpg.PostgresError) as error:
            # If the database refuses a row only together with others, the key it belongs to is unknown.
            raise BrokenLawError(law, f"the database refused the folded rows: {error}", plan.log) from error
        if found is not None:
            raise BrokenLawError(law, found, plan.log)
        return rows

    # ---- the laws --------------------------------------------------------------------------------------------

    async def _totality(self, plan: Plan) -> tuple[str | None, int]:
        projection = self._make()
        rows: dict[Key, Any] = {}
        refused: set[Key] = set()
        seen = 0
        for event in await self._append(plan.log):
            try:
                parts = [(projection.key_of(part), part) for part in projection.taken(event)]
            except Exception as error:  # noqa: BLE001 - any error would stop the projection
                return f"key() failed at {_named(event)}: {text_of_error(error.__cause__ or error)}", seen
            for key, part in parts:
                if key in refused:
                    continue
                before = rows.get(key)
                row = _outcome(projection, before, part)
                if isinstance(row, self._refusals):
                    refused.add(key)
                elif isinstance(row, Exception):
                    return (
                        f"evolve raised {text_of_error(row)} at {_named(part)}, given {self._told(before)}",
                        seen,
                    )
                else:
                    rows[key] = row
                    seen += 1
        return None, seen

    async def _purity(self, plan: Plan) -> tuple[str | None, int]:
        projection = self._make()
        rows: dict[Key, Any] = {}
        seen = 0
        for event in self._taken(projection, await self._append(plan.log)):
            key = projection.key_of(event)
            before = rows.get(key)
            told = self._arguments(before, event)
            outcomes = [_outcome(projection, before, event) for _ in range(2)]
            if self._arguments(before, event) != told:
                return f"evolve changed its arguments at {_named(event)}: {told} became " + self._arguments(
                    before, event
                ), seen
            first, second = (self._told(outcome) for outcome in outcomes)
            if first != second:
                return f"evolve gave {first} and then {second} at {_named(event)}", seen
            if not isinstance(outcomes[0], Exception):
                rows[key] = outcomes[0]
                seen += 1
        return None, seen

    async def _batches(self, plan: Plan) -> tuple[str | None, int]:
        await self._append(plan.log)
        whole = await self._folded([_ALL])
        await self._empty_table()
        split = await self._folded(plan.cuts)
        return _difference("in one batch", whole, f"in batches of {_shown(plan.cuts)}", split), _live(whole)

    async def _restarts(self, plan: Plan) -> tuple[str | None, int]:
        await self._append(plan.log)
        calm = await self._folded(plan.cuts)
        await self._empty_table()
        crash_at = plan.at % len(plan.log)
        crashed = await self._folded(plan.cuts, crash_at=crash_at)
        said = f"with batches of {_shown(plan.cuts)} and a crash at the event {crash_at + 1} that it folds"
        return _difference("without a crash", calm, said, crashed), _live(calm)

    async def _rebuild(self, plan: Plan) -> tuple[str | None, int]:
        await self._append(plan.log)
        projection = self._named_anew()
        grown = await self._folded([_ALL], projection=projection)
        # Without a proof, which would find rows that PostgreSQL changes: that is another law.
        compared = await compare_with_rebuild(self._log, projection, proves=False)
        if compared.is_equal:
            return None, _live(grown)
        keys = ", ".join(compared.different_keys)
        return (
            f"{compared.rows_different} row(s) differ from those of a rebuild, with the keys {keys}",
            _live(grown),
        )

    async def _interleavings(self, plan: Plan) -> tuple[str | None, int]:
        recorded = await self._append(plan.log)
        first = await self._folded([_ALL])
        order = interleaved(recorded, self._make(), plan.order)
        await self._append([plan.log[index] for index in order])
        second = await self._folded([_ALL])
        said = "in the order " + " ".join(str(index + 1) for index in order)
        return _difference("as the events came", first, said, second), _live(first)

    async def _round_trip(self, plan: Plan) -> tuple[str | None, int]:
        projection = self._make()
        rows: dict[Key, Any] = {}
        seen = 0
        for event in self._taken(projection, await self._append(plan.log)):
            key = projection.key_of(event)
            row = _outcome(projection, rows.get(key), event)
            if isinstance(row, Exception):
                continue
            rows[key] = row
            if row is None:
                continue
            seen += 1
            try:
                back = await self._stored(key, row)
            except Exception as error:  # noqa: BLE001 - any error that refuses the row is the answer
                said = f"{type(error).__name__}: {error}"
                return (
                    f"PostgreSQL does not accept {self._told(row)}, the row at {_named(event)}: {said}",
                    seen,
                )
            if self._told(back) != self._told(row):
                return f"{self._told(row)}, the row at {_named(event)}, came back as {self._told(back)}", seen
        return None, seen

    async def _fresh_reads(self, plan: Plan) -> tuple[str | None, int]:
        recorded = await self._append(plan.log)
        through = plan.at % (len(recorded) + 1)
        name = f"law_{uuid4().hex}"
        if through:
            await self._step(self._named_anew(name), through)
        reader = self._named_anew(name)
        fresh = FreshRows(self._log, reader)
        read: list[Rows] = []
        for _ in range(2 if through else 1):
            try:
                rows = await fresh.list()
            except QuarantinedKeysError:
                return None, 0  # its events cannot be folded at all
            # What PostgreSQL changes in a row is another law.
            read.append(await self._normal(rows))
        final = self._named_anew(name)
        while await self._step(final, _ALL):
            pass
        caught_up = await self._rows(final)
        said = f"read when {through} of {len(recorded)} events were folded"
        found = _difference(said, read[0], "read again", read[-1])
        return found or _difference(said, read[0], "in the table when it had caught up", caught_up), _live(
            caught_up
        )

    # ---- the database ----------------------------------------------------------------------------------------

    def _named_anew(self, name: str | None = None) -> Projection[Any]:
        """Make a projection with a unique name, so that its checkpoint is its own."""
        projection = self._make()
        projection.__dict__["name"] = name or f"law_{uuid4().hex}"
        return projection

    async def _append(self, log: Sequence[LoggedEvent]) -> list[RecordedEvent]:
        """Replace the log with these events, and return them."""
        await self._scratch.empty(self._table.name)
        self._log.high_water_mark.reset()
        staged = staged_log(log)
        # One append takes consecutive positions: two appends leave a gap between them.
        begins = [0, *(place for place, one in enumerate(log) if one.gap and place), len(log)]
        for begin, end in pairwise(begins):
            if gap := log[begin].gap:
                await self._scratch.skip_positions(gap)
            await self._log.append_staged(staged[begin:end])
        through = len(log) + sum(one.gap for one in log)
        await self._log.high_water_mark.wait_until_final(through)
        return await self._log.read_range(after=0, through=through, limit=_ALL)

    def _taken(self, projection: Projection[Any], events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        return [part for event in events for part in projection.taken(event)]

    async def _folded(
        self,
        cuts: Sequence[int],
        *,
        crash_at: int | None = None,
        projection: Projection[Any] | None = None,
    ) -> Rows:
        """Fold the log in batches of these sizes, and return the rows.

        Args:
            cuts: The sizes, in order, repeated.
            crash_at: Before which call of `evolve` the process ends once; a new one replaces it.
            projection: The projection to fold; None for a new one.
        """
        one = projection or self._named_anew()
        if crash_at is not None:
            _crash(one, crash_at)
        number = 0
        while True:
            try:
                if not await self._step(one, cuts[number % len(cuts)]):
                    return await self._rows(one)
            except _CrashError:
                one = self._named_anew(one.name)
                continue
            number += 1

    async def _step(self, projection: Projection[Any], events_max: int) -> bool:
        worker = ProjectionWorker(self._log, projection, batch_events_max=events_max)
        return await worker.run_once()

    async def _rows(self, projection: Projection[Any]) -> Rows:
        """Return the rows of the table as text; a row of a quarantined key is reduced to a marker."""
        held = {one.key for one in await list_quarantined(self._log, projection.name)}
        async with self._scratch.connection.acquire() as connection:
            records = await connection.fetch(self._table.select_all(schema=schema_of(connection)))
        names = [column.name for column in self._table.key]
        rows = {
            key_text(self._table.normal(tuple(record[name] for name in names))): self._told(
                self._table.decode(record)
            )
            for record in records
        }
        return rows | dict.fromkeys(held, _HELD)

    async def _empty_table(self) -> None:
        async with self._scratch.connection.acquire() as connection:
            await connection.execute(
                filled("commands/remove_all", table=qualified(schema_of(connection), self._table.name))
            )

    async def _stored(self, key: Key, row: Any) -> Any:
        """Write a row as a worker does, and read it by the key of its event."""
        table = self._table
        async with self._scratch.connection.acquire() as connection:
            await connection.execute(
                table.upsert(schema=schema_of(connection)), *table.codec.encode_columns([row]), [1]
            )
            records = await connection.fetch(
                table.select_by_keys(schema=schema_of(connection)), *[[value] for value in key]
            )
            await connection.execute(
                filled("commands/remove_all", table=qualified(schema_of(connection), table.name))
            )
        return table.decode(records[0]) if records else None

    async def _normal(self, rows: Sequence[Any]) -> Rows:
        """Return rows as PostgreSQL returns them."""
        keys = [tuple(getattr(row, column.name) for column in self._table.key) for row in rows]
        async with self._scratch.connection.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                if rows:
                    columns = self._table.codec.encode_columns(rows)
                    await connection.execute(
                        self._table.upsert(schema=schema_of(connection)), *columns, [1] * len(rows)
                    )
                arguments = [list(column) for column in zip(*keys, strict=True)]
                records = (
                    await connection.fetch(
                        self._table.select_by_keys(schema=schema_of(connection)), *arguments
                    )
                    if rows
                    else []
                )
            finally:
                await transaction.rollback()
        names = [column.name for column in self._table.key]
        return {
            key_text(self._table.normal(tuple(record[name] for name in names))): self._told(
                self._table.decode(record)
            )
            for record in records
        }

    # ---- what is said ----------------------------------------------------------------------------------------

    def _told(self, row: Any) -> str:
        """Return a row or an error as text, to the last digit and with types."""
        if row is None or isinstance(row, Exception):
            return "no row" if row is None else f"{type(row).__name__}"
        values = self._table.codec.encode(row)
        fields = zip(self._table.codec.columns, values, strict=True)
        return ", ".join(f"{column.name}={_value(value)}" for column, value in fields)

    def _arguments(self, row: Any, event: RecordedEvent) -> str:
        return f"({self._told(row)}; {event.event!r}; {dict(event.metadata)!r})"


def _value(value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)  # the same point in time in any time zone
    return str(value) if not isinstance(value, str) else repr(value)


def _outcome(projection: Projection[Any], row: Any, event: RecordedEvent) -> Any:
    try:
        return projection.evolve(row, event)
    except Exception as error:  # noqa: BLE001 - a refusal is an outcome: the key goes to quarantine
        return error


def _named(event: RecordedEvent) -> str:
    return f"event {event.position} ({event.type})"


def _crash(projection: Projection[Any], at: int) -> None:
    """Make the process end before the call of `evolve` with this number, from 0."""
    evolve = projection.evolve
    calls = 0

    def crashing(row: Any, event: RecordedEvent) -> Any:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise _CrashError
        return evolve(row, event)

    projection.__dict__["evolve"] = crashing


def _difference(one: str, left: Rows, other: str, right: Rows) -> str | None:
    """Describe the first row that differs; None if all are equal."""
    for key in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(key, "no row"), right.get(key, "no row")
        if mine != theirs:
            return f"the row {key} is, {one}: {mine}\n  and, {other}: {theirs}"
    return None


def _live(rows: Rows) -> int:
    return sum(row != _HELD for row in rows.values())


def _shown(cuts: Sequence[int]) -> str:
    return ", ".join(map(str, cuts))
