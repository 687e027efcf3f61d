"""Fresh rows of any projection: the table, corrected by the events of the log that are not folded into it yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventstore.core.context import decimal_arithmetic
from eventstore.database.access import reading
from eventstore.database.protocols import Connection, Record, Row
from eventstore.errors import ProjectionLagError, QuarantinedKeysError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import BYTES_UNBOUNDED
from eventstore.log.unreadable import Readable
from eventstore.sql import filled, load, qualified, schema_of
from projections.engine.batch import fetch_by_keys
from projections.engine.delivery_counts import key_of
from projections.engine.fold import FoldFailure, by_key, fold_key
from projections.engine.reading import decode_for
from projections.engine.versions import require_version
from projections.keys import key_text, partition_of
from projections.projection import Projection
from projections.quarantine.skip_list import Discards
from projections.table import LAST_POSITION

R = TypeVar("R")
Key = tuple[Any, ...]

TAIL_EVENTS_MAX = 10_000
"""The maximum number of events not folded into the table yet that a read folds itself."""

_END = 2**63 - 1


class FreshRows(Generic[R]):
    """Reads the current rows of a projection, however far its worker has folded, and even if no worker runs.

    A read costs the table's rows and the events after the checkpoint. If a key is in quarantine, the read also
    needs the events that wait for that key.

    Example:
        turnover = await FreshRows(store.log, TurnoverProjection()).get(day, "ES", "mean-reversion")

    Args:
        log: The log.
        projection: The projection.
    """

    def __init__(self, log: EventLog, projection: Projection[R]) -> None:
        self._log = log
        self._projection = projection

    async def get(self, *key: Any) -> R | None:
        """Return the row of a key, with every event that was committed before the call; None if there is none.

        Args:
            key: The values of the key, in the order of the table's key.

        Raises:
            ProjectionVersionError: Another version of the projection's code has built the table.
            ProjectionLagError: Too many events are not folded into the table.
            QuarantinedKeysError: An event of the key cannot be folded, or cannot be read where the projection's key is the stream.
            UnknownEventTypeError, EventDecodingError: An event of the tail cannot be read, so its key is unknown.
            ConfigurationError: A class of the projection was defined again, as happens in a notebook.
            ConnectionError, TimeoutError: Safe to retry.
        """
        normal = self._projection.table.normal(key)
        return (await self._read(normal)).get(normal)

    async def list(self, matches: Callable[[R], bool] = lambda _: True) -> list[R]:
        """Return all rows that match, in the order of the key, with every event committed before the call.

        It reads the whole table. Text is ordered by its code points.

        Args:
            matches: Which rows to return.

        Raises:
            EventStoreError: As for `get`; `QuarantinedKeysError` for any key.
        """
        return [row for row in (await self._read(None)).values() if matches(row)]

    async def corrections(self, connection: Connection) -> Corrections:
        """Return the current rows of the keys whose rows in the table lack events, for a caller that reads the table.

        The table, read in the same transaction and corrected by these rows, has every event committed before
        the transaction began.

        Args:
            connection: An asyncpg connection with an open transaction at REPEATABLE READ and no statement run so far.

        Raises:
            EventStoreError: As for `list`.
        """
        projection, table = self._projection, self._projection.table
        tail, events = await self._read_tail(connection, None)
        keys = {key_of(projection, event): None for event in events}
        records = await fetch_by_keys(connection, table, table.name, keys)
        folded = tail.folded_onto(records, events)
        live = {key: row for key, row in folded.rows.items() if key in folded.changed and row is not None}
        stored: Sequence[Row] = []
        if live:
            columns = table.codec.encode_columns(list(live.values()))
            last = [folded.last[key] for key in live]
            stored = await connection.fetch(table.as_stored(schema=schema_of(connection)), *columns, last)
        position = await connection.fetchval(load("rebuild/read_head", connection))
        gone: dict[Key, Row | None] = dict.fromkeys(folded.changed)
        return Corrections(position, gone | dict(zip(live, stored, strict=True)))

    async def _read(self, key: Key | None) -> dict[Key, R]:
        table = self._projection.table
        async with (
            reading(self._log.connection) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            tail, events = await self._read_tail(connection, key)
            if key is None:
                records = await connection.fetch(table.select_all(schema=schema_of(connection)))
            else:
                keys = [[value] for value in key]
                records = await connection.fetch(table.select_by_keys(schema=schema_of(connection)), *keys)
        rows = tail.folded_onto(records, events).rows
        left = {key: row for key, row in rows.items() if row is not None}
        return dict(sorted(left.items(), key=_in_order))

    async def _read_tail(
        self, connection: Connection, key: Key | None
    ) -> tuple[_Tail[R], Sequence[Readable]]:
        projection = self._projection
        # Before the snapshot: until this lock is held, a rebuild may replace the table.
        await connection.execute(
            filled(
                "commands/lock",
                table=qualified(schema_of(connection), projection.table.name),
                mode="ACCESS SHARE",
            )
        )
        await require_version(connection, projection)
        partitions = await connection.fetch(load("projections/list_partitions", connection), projection.name)
        held = await connection.fetch(load("projections/list_quarantine", connection), projection.name)
        discards = await connection.fetch(load("projections/list_discards", connection), projection.name)
        tail = _Tail(projection, partitions, held, discards, only=key)
        rows = await connection.fetch(
            load("log/read_range", connection),
            tail.after,
            _END,
            TAIL_EVENTS_MAX + 1,
            projection.categories,
            BYTES_UNBOUNDED,
        )
        if len(rows) > TAIL_EVENTS_MAX:
            raise ProjectionLagError(
                projection.name,
                lag_events=len(rows),
                lag_events_max=TAIL_EVENTS_MAX,
                cause="let its worker catch up, or repair what is in quarantine",
            )
        return tail, decode_for(self._log, projection, rows)


@dataclass(frozen=True, slots=True)
class Corrections:
    """The current rows of the keys whose rows in the table lack events.

    Attributes:
        position: The table and these rows together have every event up to this position.
        rows: By key, as the table would return them, with `last_position`; None if the row no longer exists.
    """

    position: int
    rows: Mapping[Key, Row | None]


@dataclass(frozen=True, slots=True)
class _Folded(Generic[R]):
    rows: dict[Key, R | None]
    last: dict[Key, int]
    changed: set[Key]


class _Tail(Generic[R]):
    """The events that are not in the rows yet."""

    def __init__(
        self,
        projection: Projection[R],
        partitions: Sequence[Row],
        held: Sequence[Row],
        discards: Sequence[Row],
        only: Key | None,
    ) -> None:
        self._projection = projection
        self._only = only
        self._folded = [partition["position"] for partition in partitions] or [0]
        self._discarded = Discards.of(discards)
        wanted = None if only is None else key_text(only)
        self._held = {row["key"]: row["position"] for row in held if wanted in (None, row["key"])}
        self.after = min([*self._folded, *(position - 1 for position in self._held.values())])

    def folded_onto(self, records: Iterable[Record], events: Iterable[Readable]) -> _Folded[R]:
        projection, table = self._projection, self._projection.table
        names = [column.name for column in table.key]
        rows: dict[Key, R | None] = {}
        last: dict[Key, int] = {}
        changed: set[Key] = set()
        for record in records:
            key = tuple(record[name] for name in names)
            rows[key], last[key] = table.decode(record), record[LAST_POSITION]
        failed: list[FoldFailure] = []
        of_each = by_key(projection, events, lambda key: self._only in (None, key))
        for key, its_events in of_each.items():
            has, at = self._discarded.has, last.get(key)
            waiting = [one for one in its_events if not has(one.position, key) and self._waits(key, one, at)]
            with decimal_arithmetic():
                row, position, failure = fold_key(projection, key, rows.get(key), waiting)
            if position:
                rows[key], last[key] = row, position
                changed.add(key)
            if failure is not None:
                failed.append(failure)
        if failed:
            failed.sort(key=lambda failure: failure.event.position)
            raise QuarantinedKeysError(
                projection.name, [key_text(failure.key) for failure in failed]
            ) from failed[0].error
        return _Folded(rows, last, changed)

    def _waits(self, key: Key, event: Readable, last: int | None) -> bool:
        if last is not None:
            return event.position > last
        held_at = self._held.get(key_text(key))
        if held_at is not None:
            return bool(event.position >= held_at)
        return bool(event.position > self._folded[partition_of(key, len(self._folded))])


def _in_order(item: tuple[Key, Any]) -> list[Any]:
    return list(item[0])
