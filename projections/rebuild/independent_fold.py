"""A fold of the log in memory, one event after another, to compare a table with: it groups, loads and writes nothing.

It shares with a build the projection and the codecs and, if it goes along, the decoded events. So an error in the
projection, in a codec or in an upcaster is in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from contextlib import suppress
from hashlib import blake2b
from operator import ge, itemgetter
from typing import Any, Generic, TypeVar

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity_state import advance
from eventstore.core.event import RecordedEvent
from eventstore.database.access import reading
from eventstore.database.protocols import Connection
from eventstore.errors import RebuildError
from eventstore.garbage_collection import collecting_later
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import BATCH_BYTES_MAX, gap_end
from eventstore.log.unreadable import Readable, UnreadableEvent
from eventstore.sql import load, schema_of
from projections.engine.batch import fetch_by_keys
from projections.engine.delivery_counts import DeliveryCounts, key_of
from projections.engine.reading import decode_for
from projections.keys import key_text, partition_of
from projections.projection import EntityProjection, Projection
from projections.quarantine.skip_list import Discards
from projections.rebuild.shards import WHOLE, Shard
from projections.table import LAST_POSITION, Table

R = TypeVar("R")
Key = tuple[Any, ...]
Line = bytes
"""128 bits of BLAKE2b over a row, to the last digit, with the position of its last event."""

WINDOW_POSITIONS = 2_000
"""The number of positions that are read and folded at a time: what they become is still near the processor."""

_FETCH_ROWS = 2_000


class IndependentFold(Generic[R]):
    """All rows of a projection, by its definition: each event in order, one by one.

    All rows are in memory, or the digests of those that `put_away` was told.

    Args:
        log: The log.
        projection: The projection.
        shard: Which keys to fold.
        position: Begin after this position, with the rows that `begin_with` receives.
        discarded: Events that are left out.
        retry_discarded: Leave them out only if they cannot be folded, as a rebuild does.
        refused: Those of them that the database has refused, as position and key; they are left out too. It may grow.
        held: The position at which each quarantined key stopped, by its text.
        on_progress: Receives the position reached and the one to reach.

    Attributes:
        position: Every event up to this position is folded.
        events: The number of these events.
        read_events: The number of events of the projection's categories that the log gave, each a different one.
        on_progress: As given.
        rows: The existing rows, by their keys, except those that were put away.
        last: The position of the last event in each row.
        away: The digests of the rows that were put away.
        still_left_out: The discarded events that could not be folded, as position and key.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[R],
        *,
        shard: Shard = WHOLE,
        position: int = 0,
        discarded: Discards | None = None,
        retry_discarded: bool = False,
        refused: AbstractSet[tuple[int, str]] = frozenset(),
        held: Mapping[str, int] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.position = position
        self.events = self.read_events = 0
        self.on_progress = on_progress
        self.still_left_out: set[tuple[int, str]] = set()
        self.held: Mapping[str, int] = held or {}
        self._log = log
        self._projection = projection
        self._shard = shard
        self._discarded = discarded or Discards()
        self._refused = refused
        self._retry_discarded = retry_discarded
        self.rows: dict[Key, R] = {}
        self.last: dict[Key, int] = {}
        self.away: dict[Key, Line] = {}
        self._stuck: set[Key] = set()

    async def advance(
        self,
        through: int,
        *,
        partitions: list[int] | None = None,
        delivered: DeliveryCounts | None = None,
        connection: Connection | None = None,
    ) -> None:
        """Fold everything up to a position.

        Args:
            through: The position, final.
            partitions: The positions of the partitions, if they differ: a key is folded up to its partition's position.
            delivered: Counts the events that were folded, or that wait for a quarantined key.
            connection: The connection to read with; None for one of the pool.

        Raises:
            EventStoreError: An event cannot be decoded, or the database failed.
        """
        while self.position < through:
            events, end = await self.read(min(self.position + WINDOW_POSITIONS, through), connection)
            if not events and end < through:  # a window of large events ends before its last position
                end = await self._gap_end(end, through, connection)
            self.fold(events, end, partitions=partitions, delivered=delivered)
            if self.on_progress is not None:
                self.on_progress(end, through)

    async def read(self, through: int, connection: Connection | None = None) -> tuple[list[Readable], int]:
        """Return the events after `position` up to another one, for `fold`; errors as in `advance`.

        Returns:
            The events, and the position that they reach: `through`, or less if the events are large.
        """
        arguments = (self.position, through, *self._shard.bounds(self._projection), BATCH_BYTES_MAX)
        if connection is None:
            async with reading(self._log.connection) as one:
                rows = await one.fetch(load("rebuild/scan_window", one), *arguments)
        else:
            rows = await connection.fetch(load("rebuild/scan_window", connection), *arguments)
        if rows and rows[-1]["is_full"]:
            through = rows[-1]["position"]
        categories = frozenset(self._projection.categories)
        rows = sorted((row for row in rows if row["category"] in categories), key=itemgetter("position"))
        self._count(rows)
        with decimal_arithmetic(), collecting_later():
            events = decode_for(self._log, self._projection, rows)
            if self._shard.of > 1 and not self._projection.keyed_by_stream:
                has, projection = self._shard.has, self._projection
                events = [event for event in events if has(key_of(projection, event))]
        return events, through

    def take(self, rows: Sequence[Any], events: Sequence[Readable], through: int) -> None:
        """Fold a page that a build has read, after the build has folded it.

        Args:
            rows: The rows of the page.
            events: What was decoded of it for the shard.
            through: The position that the page reaches.

        Raises:
            RebuildError: The page is not in order, or not after those before it.
        """
        self._count(rows)
        self.fold(events, through)

    def _count(self, rows: Sequence[Any]) -> None:
        positions = [self.position, *(row["position"] for row in rows)]
        if any(map(ge, positions, positions[1:])):
            raise RebuildError(f"the log gave events after position {self.position} twice, or not in order")
        self.read_events += len(rows)

    async def _gap_end(self, after: int, through: int, connection: Connection | None) -> int:
        if connection is not None:
            return await gap_end(connection, after, through)
        async with reading(self._log.connection) as one:
            return await gap_end(one, after, through)

    def begin_with(self, rows: Mapping[Key, tuple[R, int]]) -> None:
        """Take over rows as the state at `position`, each with the position of its last event."""
        for key, (row, last_position) in rows.items():
            self.rows[key], self.last[key] = row, last_position

    def put_away(self, keys: Iterable[Key]) -> None:
        """Keep nothing but the digests of the rows of some keys, a twentieth of their memory."""
        rows, last, line_of = self.rows, self.last, self._line_of
        for key in keys:
            if key in rows:
                self.away[key] = line_of(key)
                del rows[key], last[key]

    def take_back(self, keys: Iterable[Key], records: Mapping[Key, Any]) -> None:
        """Take rows that were put away from records of the table, before events of theirs are folded.

        A record is taken only if it has the digest of the row. Otherwise the row stays as it was, and its next events are
        not folded, so that the proof finds that the table has another one.
        """
        table = self._projection.table
        for key in keys:
            line = self.away.get(key)
            if line is None:
                continue
            record = records.get(key)
            if record is None or line not in _lines_of(table, record):
                self._stuck.add(key)
                continue
            del self.away[key]
            self.rows[key], self.last[key] = table.decode(record), record[LAST_POSITION]

    def fold(
        self,
        events: Sequence[Readable],
        through: int,
        *,
        partitions: list[int] | None = None,
        delivered: DeliveryCounts | None = None,
    ) -> None:
        """Fold what `read` returned."""
        with decimal_arithmetic(), collecting_later():
            self._fold(events, partitions, delivered)
        self.position = through
        self.events += len(events)

    def _fold(
        self, events: Sequence[Readable], partitions: list[int] | None, delivered: DeliveryCounts | None
    ) -> None:
        projection, rows, stuck = self._projection, self.rows, self._stuck
        fold, discards = _fold_of(projection), bool(self._discarded.pairs)
        is_stream = type(projection).key_of is EntityProjection.key_of
        for event in events:
            key = (event.stream_id,) if is_stream else key_of(projection, event)
            if partitions is not None and event.position > partitions[partition_of(key, len(partitions))]:
                continue
            if delivered is not None:
                delivered.add((event,))
            if (stuck and key in stuck) or (discards and self._is_left_out(event.position, key)):
                continue
            if self.held and event.position >= self.held.get(key_text(key), event.position + 1):
                stuck.add(key)
                continue
            try:
                if isinstance(event, UnreadableEvent):
                    raise event.error  # noqa: TRY301 - handled like an error of evolve
                row = fold(rows.get(key), event, key)
            except Exception:  # noqa: BLE001 - the fold into a table keeps the reason
                if self._discarded.has(event.position, key):
                    self.still_left_out.add((event.position, key_text(key)))
                else:
                    stuck.add(key)
                continue
            self.last[key] = event.position
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row

    def _is_left_out(self, position: int, key: Key) -> bool:
        if not self._discarded.has(position, key):
            return False
        if self._retry_discarded and (position, key_text(key)) not in self._refused:
            return False
        self.still_left_out.add((position, key_text(key)))
        return True

    def lines(self, keys: Iterable[Key] | None = None) -> dict[Key, Line]:
        """Return the digests of the existing rows, of some keys or of all, except those that were put away."""
        chosen = self.rows.keys() if keys is None else [key for key in keys if key in self.rows]
        return {key: self._line_of(key) for key in chosen}

    def line(self, key: Key) -> Line | None:
        """Return the digest of the row of a key; None if there is none."""
        return self._line_of(key) if key in self.rows else self.away.get(key)

    def _line_of(self, key: Key) -> Line:
        table = self._projection.table
        return _digest(table.told(table.codec.encode(self.rows[key]), self.last[key]))


def _fold_of(projection: Projection[Any]) -> Callable[[Any, Any, Key], Any]:
    """Return the projection's fold; of entities, one that changes a row itself, and leaves it as it was if it fails."""
    if (
        type(projection).evolve is not EntityProjection.evolve
        or type(projection).fold is not EntityProjection.fold
    ):
        return projection.fold
    entity: type[Any] = projection.entity  # type: ignore[attr-defined]  # that of an `EntityProjection`
    appliers = entity._appliers  # noqa: SLF001 - as `advance`

    def fold(row: Any, event: RecordedEvent, key: Key) -> Any:  # noqa: ARG001 - the signature of `fold`
        if row is None:
            return advance(entity, None, event)
        state = row.__dict__
        before = state.copy()  # a tenth of a copy of the entity
        try:
            applier = appliers.get(type(event.event)) if type(event) is RecordedEvent else None
            if applier is None:
                return advance(entity, row, event)
            applier(row, event.event)
            state["version"] = event.version
        except BaseException:
            state.clear()
            state.update(before)
            raise
        return row

    return fold


async def stored_lines(
    connection: Connection, table: Table[Any], name: str, keys: Iterable[Key] | None = None
) -> dict[Key, Line]:
    """Return the digests of the rows of a table, of some keys or of all, in the open transaction of `connection`."""
    lines: dict[Key, Line] = {}
    if keys is None:
        async for record in connection.cursor(
            table.select_all(name, schema=schema_of(connection)), prefetch=_FETCH_ROWS
        ):
            key, line = _stored_line(table, record)
            lines[key] = line
        return lines
    for record in await fetch_by_keys(connection, table, name, keys):
        key, line = _stored_line(table, record)
        lines[key] = line
    return lines


async def stored_rows(
    connection: Connection, table: Table[R], name: str, keys: Iterable[Key]
) -> dict[Key, tuple[R, int]]:
    """Return the rows of some keys, each with the position of its last event."""
    return {
        table.normal(tuple(record[column.name] for column in table.key)): (
            table.decode(record),
            record[LAST_POSITION],
        )
        for record in await fetch_by_keys(connection, table, name, keys)
    }


def _stored_line(table: Table[Any], record: Any) -> tuple[Key, Line]:
    key = table.normal(tuple(record[column.name] for column in table.key))
    try:
        return key, _digest(table.told(table.codec.encode(table.decode(record)), record[LAST_POSITION]))
    except Exception:  # noqa: BLE001 - what is stored there is not a row of this model
        return key, b""


def _lines_of(table: Table[Any], record: Any) -> Iterator[Line]:
    """Yield the digest of what a record has, and that of the row which is read from it, a sixth as fast."""
    with suppress(ValueError):  # it is not JSON
        yield _digest(table.told_of(record))
    yield _stored_line(table, record)[1]


async def differences(
    connection: Connection, projection: Projection[R], name: str, fold: IndependentFold[R], shard: Shard
) -> tuple[dict[Key, str], int, int]:
    """Compare the rows of a shard of a table with those of a fold, in the open transaction of `connection`.

    Returns:
        For each key whose row differs, where it is: "in both", "in the table" or "in the fold"; also the number of rows
        of the fold, and the sum of their digests.
    """
    table = projection.table
    bounds = shard.bounds(projection)
    statement = table.select_for_proof(name, schema=schema_of(connection), keyed_by_stream=bounds[0] > 1)
    wrong: dict[Key, str] = {}
    total = 0
    left = {*fold.rows, *fold.away}
    rows = len(left)
    cursor = await connection.cursor(statement, *(bounds if bounds[0] > 1 else ()))
    while records := await cursor.fetch(_FETCH_ROWS):
        for record in records:
            key = table.normal(table.key_of(record))
            if bounds[0] == 1 and not shard.has(key):
                continue
            line = fold.line(key)
            if line is None:
                wrong[key] = "in the table"
                continue
            left.discard(key)
            total += int.from_bytes(line, "big")
            if line not in _lines_of(table, record):
                wrong[key] = "in both"
    wrong.update(dict.fromkeys(left, "in the fold"))
    return wrong, rows, total


def digest_of(lines: Iterable[Line]) -> int:
    """Return the sum of the digests of rows: a digest of all of them, the same in any order."""
    return sum(int.from_bytes(line, "big") for line in lines)


def digest_text(digest: int) -> str:
    """Return a digest of rows in hexadecimal."""
    return f"{digest % 2**128:032x}"


def _digest(told: bytes) -> Line:
    return blake2b(told, digest_size=16).digest()
