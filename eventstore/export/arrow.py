"""Events and read tables as Arrow record batches and Parquet files (extra: `frames`)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from eventstore.arrow_decimals import DIGITS_128, DIGITS_256, digits_of
from eventstore.database.access import reading
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import microseconds
from eventstore.export.files import replacing
from eventstore.export.lines import final_pages
from eventstore.extras import imported
from eventstore.limits import check_count
from eventstore.log.names import require_known_names
from eventstore.printable import printable
from eventstore.sql import filled, load, qualified, quoted, schema_of
from eventstore.store import fresh_corrections, projection_of_table

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

__all__ = [
    "DECIMAL_PRECISION",
    "DECIMAL_SCALE",
    "EVENTS",
    "Consistency",
    "Decimals",
    "KeepsTable",
    "read_batches",
    "to_arrow",
    "write_parquet",
]

EVENTS = "events"
"""The name under which the log itself is exported."""

DECIMAL_PRECISION = 38
"""The precision, in digits, if a scale is given without one: the most that decimal128 holds."""

DECIMAL_SCALE = 18
"""The default scale if the values of a column need no more digits; it leaves 20 before the point."""

Decimals = Literal["exact", "text", "float"]
"""How decimals are exported: as Arrow decimals, as text, or as float64, which is not exact."""

Consistency = Literal["fresh", "eventual"]
"""Whether a read table includes every event that was committed before, or is exported as it is."""

_logger = logging.getLogger(__name__)


class KeepsTable(Protocol):
    """A projection that keeps a read table.

    Attributes:
        name: The name of the projection.
        table: The read table.
    """

    name: ClassVar[str]
    table: Any


_BATCH_ROWS = 10_000
_FIRST_US = microseconds(datetime(1, 1, 1, tzinfo=UTC))
_LAST_US = microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
_PLAIN = {
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "bool": "bool_",
    "float4": "float32",
    "float8": "float64",
    "date": "date32",
    "bytea": "binary",
    "text": "string",
    "varchar": "string",
    "json": "string",
    "jsonb": "string",
}
_EVENT_TYPES = {
    "position": "int8",
    "stream_id": "uuid",
    "version": "int4",
    "event_id": "uuid",
    "category": "text",
    "type": "text",
    "schema_version": "int2",
    "data": "jsonb",
    "metadata": "jsonb",
    "occurred_at": "timestamptz",
    "recorded_at": "timestamptz",
    "append_digest": "int4",
}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: Any
    convert: Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Options:
    """The options for values and rows."""

    decimals: Decimals
    precision: int | None
    scale: int | None
    consistency: Consistency
    batch_rows_max: int

    def __post_init__(self) -> None:
        check_count("batch_rows_max", self.batch_rows_max)
        for name, value, allowed in (
            ("decimals", self.decimals, get_args(Decimals)),
            ("consistency", self.consistency, get_args(Consistency)),
        ):
            if value not in allowed:
                raise ConfigurationError(
                    f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}, not {value!r}"
                )
        if self.precision is self.scale is None:
            return
        if self.decimals != "exact":
            raise ConfigurationError(
                f"decimals={self.decimals!r} has no precision and no scale: leave them out"
            )
        precision, scale = self.digits
        if not 1 <= precision <= DIGITS_256 or not 0 <= scale <= precision:
            raise ConfigurationError(
                f"a decimal must have 1 to {DIGITS_256} digits and a scale within them, not precision "
                f"{precision} and scale {scale}"
            )

    @property
    def is_fitted(self) -> bool:
        """Whether the type of a decimal column depends on its values."""
        return self.decimals == "exact" and self.precision is self.scale is None

    @property
    def digits(self) -> tuple[int, int]:
        """The precision and the scale, if they do not depend on the values."""
        precision = DECIMAL_PRECISION if self.precision is None else self.precision
        return precision, min(DECIMAL_SCALE, precision) if self.scale is None else self.scale


@dataclass(frozen=True, slots=True)
class _Opened:
    """An open table: its schema, and its rows in batches."""

    schema: Any
    batches: AsyncGenerator[Any, None]


async def to_arrow(
    log: EventLog,
    table: str | KeepsTable,
    *,
    categories: Sequence[str] | None = None,
    decimals: Decimals = "exact",
    decimal_precision: int | None = None,
    decimal_scale: int | None = None,
    consistency: Consistency = "fresh",
) -> Any:
    """Return the events, or a read table, as a `pyarrow.Table`.

    The table has `.to_pandas()`, and `polars.from_arrow` accepts it. Arguments and errors are those of
    `read_batches`.
    """
    arrow = imported("pyarrow", "frames")
    options = _Options(decimals, decimal_precision, decimal_scale, consistency, _BATCH_ROWS)
    async with _opened(log, table, categories, options) as opened:
        return arrow.Table.from_batches([batch async for batch in opened.batches], schema=opened.schema)


async def write_parquet(
    log: EventLog,
    table: str | KeepsTable,
    path: Path | str,
    *,
    categories: Sequence[str] | None = None,
    decimals: Decimals = "exact",
    decimal_precision: int | None = None,
    decimal_scale: int | None = None,
    consistency: Consistency = "fresh",
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write the events, or a read table, to a Parquet file, and return the number of rows.

    Only some rows are in memory at a time. The file at the path stays unchanged until the new file is
    complete; the new file keeps its mode and its owner. `on_progress` is called with the number of rows
    so far. Other arguments and errors are those of `read_batches`.

    Raises:
        OSError: The file cannot be written.
    """
    parquet = imported("pyarrow.parquet", "frames")
    options = _Options(decimals, decimal_precision, decimal_scale, consistency, _BATCH_ROWS)
    rows = 0
    async with _opened(log, table, categories, options) as opened:
        with (
            replacing(path) as new,
            new.open() as file,
            parquet.ParquetWriter(file, opened.schema) as writer,
        ):
            async for batch in opened.batches:
                writer.write_batch(batch)
                rows += batch.num_rows
                if on_progress is not None:
                    on_progress(rows)
    return rows


async def read_batches(
    log: EventLog,
    table: str | KeepsTable,
    *,
    categories: Sequence[str] | None = None,
    decimals: Decimals = "exact",
    decimal_precision: int | None = None,
    decimal_scale: int | None = None,
    consistency: Consistency = "fresh",
    batch_rows_max: int = _BATCH_ROWS,
) -> AsyncIterator[Any]:
    """Yield the events in order, or the rows of a read table in one snapshot, as `pyarrow.RecordBatch`es.

    The rows of a projection's table are fresh, as in a repository: they include every event that was
    committed before, whether or not its worker has folded it. If this process does not know the code
    of the projection, the table is exported as it is; if it lags, a warning in the log says how far.
    The schema's metadata has `eventstore.consistency` and `eventstore.position`: the rows include
    every event up to that position.

    Decimals are exact: a column is a decimal128 with 18 digits after the point, or with the scale that
    its values need if they need more. Values that do not fit make it a decimal256, or text beyond that.
    Give `decimal_scale` for a type that does not depend on the values. Times are in microseconds and
    UTC; ids and JSON are text.

    Args:
        log: The log of the database.
        table: `events`, the name of a read table, or the projection that keeps it.
        categories: Only events of these categories; None for all.
        decimals: `exact`; `text` for every digit as a string; `float` for float64, for plots and
            statistics.
        decimal_precision: The number of digits, up to 76; None for 38 with `decimal_scale`, and
            otherwise for as many as the values need.
        decimal_scale: The number of digits after the point; None for as many as the values need.
        consistency: `eventual` exports a read table as it is, and logs a warning if it lags.
        batch_rows_max: The most rows of one batch.

    Raises:
        LimitError: `batch_rows_max` is below 1.
        ConfigurationError: pyarrow is not installed; the table or category does not exist; Arrow has
            no type for a column; or a decimal, which is named, does not fit the given digits.
        ProjectionLagError: Too many events are not folded into the table.
        QuarantinedKeysError: Events of some keys cannot be folded: give `consistency="eventual"` for
            the rows without these events.
        ProjectionVersionError: Another version of the projection has built the table.
        UnknownEventTypeError, EventDecodingError: The code does not know an event that is not folded yet.
        ConnectionError, TimeoutError: Safe to begin again.
    """
    options = _Options(decimals, decimal_precision, decimal_scale, consistency, batch_rows_max)
    async with _opened(log, table, categories, options) as opened:
        async for batch in opened.batches:
            yield batch


@asynccontextmanager
async def _opened(
    log: EventLog, table: str | KeepsTable, categories: Sequence[str] | None, options: _Options
) -> AsyncIterator[_Opened]:
    arrow = imported("pyarrow", "frames")
    if isinstance(table, str) and table == EVENTS:
        await require_known_names(log, categories=categories)
        columns = [_column(arrow, table, one, options, None) for one in _EVENT_TYPES.items()]
        with log.server.steady() as generation:
            through = await log.head()
        schema = _schema(arrow, columns, "fresh", through)
        rows = final_pages(
            log,
            after=0,
            through=through,
            categories=categories,
            page_events=options.batch_rows_max,
            generation=generation,
        )
        async with aclosing(_batches(arrow, table, columns, schema, rows)) as batches:
            yield _Opened(schema, batches)
        return
    projection: Any = projection_of_table(table) if isinstance(table, str) else table
    name = table if isinstance(table, str) else table.table.name
    if categories is not None:
        raise ConfigurationError(
            f"the table {name} has no categories, only events have: leave out categories"
        )
    types = await _types_of(log, name)
    async with (
        reading(log.connection) as connection,
        # One snapshot for all statements of the export, however long it takes.
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if projection is not None and options.consistency == "fresh":
            corrections = await fresh_corrections(log, projection, connection)
            reader = _TableReader(connection, name, projection, corrections)
            position: int | None = corrections.position
        else:
            reader = _TableReader(connection, name, None, None)
            position = await _position_of(connection, name if projection is None else projection.name)
        digits = await reader.digits(types) if options.is_fitted else {}
        columns = [_column(arrow, name, one, options, digits.get(one[0])) for one in types.items()]
        consistency: Consistency = "eventual" if reader.corrections is None else "fresh"
        schema = _schema(arrow, columns, consistency, position)
        pages = reader.pages(options.batch_rows_max, [column.name for column in columns])
        async with aclosing(_batches(arrow, name, columns, schema, pages)) as batches:
            yield _Opened(schema, batches)


async def _types_of(log: EventLog, table: str) -> dict[str, str]:
    async with log.connection.acquire() as connection:
        with mapped_errors(reads_only=True, connection=connection):
            if await connection.fetchval(
                "SELECT pg_catalog.to_regclass($1) IS NULL", qualified(schema_of(connection), table)
            ):
                raise ConfigurationError(
                    f"there is no table {table}: give events, or the name of a projection's table"
                )
            async with (
                connection.transaction()
            ):  # a statement that is prepared outside a transaction leaves one open
                statement = await connection.prepare(_select(table, schema_of(connection)))
                attributes = statement.get_attributes()
    return {
        one.name: "text" if one.type.kind == "scalar" and one.type.schema != "pg_catalog" else one.type.name
        for one in attributes
    }


def _select(table: str, schema: str) -> str:
    return filled("commands/read_all_columns", table=qualified(schema, table))


async def _position_of(connection: Connection, projection: str) -> int | None:
    """Return the checkpoint of a projection, and warn if it lags; None if there is no such projection."""
    rows = await connection.fetch(load("projections/list_checkpoints", connection))
    position: int | None = min(
        (row["position"] for row in rows if row["projection"] == projection), default=None
    )
    if position is None:
        return None
    head = await connection.fetchval(load("rebuild/read_head", connection))
    if head > position:
        _logger.warning(
            "the table of projection %s is exported as it is: it has the events up to position %d, and the log ends at %d",
            printable(projection),
            position,
            head,
        )
    return position


@dataclass(frozen=True, slots=True)
class _TableReader:
    """Reads a table in an open transaction, and corrects the rows that lag."""

    connection: Connection
    name: str
    projection: Any | None
    corrections: Any | None

    async def digits(self, types: Mapping[str, str]) -> dict[str, tuple[int, int]]:
        """Return the most digits before and after the point in each decimal column."""
        names = [name for name, type_ in types.items() if type_ == "numeric"]
        if not names:
            return {}
        asked = ", ".join(
            f"pg_catalog.max(pg_catalog.length(pg_catalog.trunc(pg_catalog.abs({quoted(name)}))::pg_catalog.text)), "
            f"pg_catalog.max(pg_catalog.min_scale({quoted(name)}))"
            for name in names
        )
        target = qualified(schema_of(self.connection), self.name)
        found = the_row(
            await self.connection.fetchrow(filled("commands/read_columns", expressions=asked, table=target))
        )
        digits = {
            name: (found[2 * place] or 0, found[2 * place + 1] or 0) for place, name in enumerate(names)
        }
        for row in self._corrected.values():
            for name in names if row is not None else ():
                value = row.get(name)  # type: ignore[union-attr]  # not None
                if value is not None:
                    before, after = digits[name]
                    more_before, more_after = digits_of((value,))
                    digits[name] = (max(before, more_before), max(after, more_after))
        return digits

    async def pages(self, size: int, names: Sequence[str]) -> AsyncGenerator[list[Any], None]:
        """Yield the rows in pages: the corrected rows of the table, then the rows that it lacks."""
        waiting = dict(self._corrected)
        key = () if self.projection is None else tuple(column.name for column in self.projection.table.key)
        cursor = await self.connection.cursor(_select(self.name, schema_of(self.connection)))
        while records := await _fetch(cursor, self.name, size):
            if waiting:
                records = list(_merged(records, key, waiting))
            if records:
                yield records
        added = [dict.fromkeys(names) | dict(row) for row in waiting.values() if row is not None]
        for start in range(0, len(added), size):
            yield added[start : start + size]

    @property
    def _corrected(self) -> Mapping[tuple[Any, ...], Mapping[str, Any] | None]:
        return {} if self.corrections is None else self.corrections.rows


def _merged(
    records: Iterable[Any],
    key: Sequence[str],
    waiting: dict[tuple[Any, ...], Mapping[str, Any] | None],
) -> Iterator[Any]:
    """Yield the corrected rows of a table, and remove them from `waiting`."""
    for record in records:
        place = tuple(record[name] for name in key)
        if place not in waiting:
            yield record
        elif (row := waiting.pop(place)) is not None:
            yield dict(record) | dict(row)


async def _fetch(cursor: Any, table: str, size: int) -> list[Any]:
    try:
        rows: list[Any] = await cursor.fetch(size)
    except OverflowError as error:
        raise ConfigurationError(
            f"{table} contains a time before the year 1 or after 9999, which cannot be exported: correct it"
        ) from error
    return rows


async def _batches(
    arrow: Any, table: str, columns: list[_Column], schema: Any, pages: AsyncGenerator[list[Any], None]
) -> AsyncGenerator[Any, None]:
    async with aclosing(pages):
        async for rows in pages:
            arrays = [_array(arrow, table, column, [row[column.name] for row in rows]) for column in columns]
            yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _array(arrow: Any, table: str, column: _Column, values: list[Any]) -> Any:
    if column.convert is not None:
        values = [None if value is None else column.convert(value) for value in values]
    try:
        return arrow.array(values, type=column.type)
    except (arrow.ArrowInvalid, OverflowError) as error:
        raise ConfigurationError(
            f"{table}.{column.name} has a value that {column.type} cannot hold exactly ({error}): "
            "raise decimal_precision or decimal_scale, leave both out, or give decimals='text'"
        ) from error


def _column(
    arrow: Any, table: str, given: tuple[str, str], options: _Options, needed: tuple[int, int] | None
) -> _Column:
    name, type_ = given
    if type_ in _PLAIN:
        return _Column(name, getattr(arrow, _PLAIN[type_])(), None)
    if type_ == "uuid":
        return _Column(name, arrow.string(), str)
    if type_ == "numeric":
        return _decimal_column(arrow, table, name, options, needed)
    if type_ == "timestamptz":
        return _Column(name, arrow.timestamp("us", tz="UTC"), lambda value: _time(value, f"{table}.{name}"))
    raise ConfigurationError(
        f"{table}.{name} has the type {type_}, which cannot be exported to Arrow: leave the table out"
    )


def _decimal_column(
    arrow: Any, table: str, name: str, options: _Options, needed: tuple[int, int] | None
) -> _Column:
    if options.decimals == "float":
        return _Column(name, arrow.float64(), float)
    precision, scale = options.digits
    if options.decimals == "text":
        precision = DIGITS_256 + 1
    elif needed is not None:
        before, after = needed
        if after > scale or before > precision - scale:
            precision, scale = max(before + after, DECIMAL_PRECISION), after
    if precision > DIGITS_256:
        return _Column(name, arrow.string(), lambda value: f"{value:f}")
    make = arrow.decimal128 if precision <= DIGITS_128 else arrow.decimal256
    return _Column(name, make(precision, scale), lambda value: _finite(value, f"{table}.{name}"))


def _finite(value: Decimal, of: str) -> Decimal:
    # pyarrow would convert it to null.
    if not value.is_finite():
        raise ConfigurationError(f"{of} contains {value}, which Arrow cannot represent: give decimals='text'")
    return value


def _time(value: bytes | datetime, of: str) -> int:
    if isinstance(value, datetime) and value.tzinfo is None:  # the driver returns infinity so
        raise ConfigurationError(f"{of} contains an infinite time, which Arrow cannot represent: correct it")
    when = microseconds(value)
    if not _FIRST_US <= when <= _LAST_US:
        raise ConfigurationError(
            f"{of} contains a time that is infinite, before the year 1 or after 9999, and Python cannot read it: correct it"
        )
    return when


def _schema(arrow: Any, columns: list[_Column], consistency: Consistency, position: int | None) -> Any:
    metadata: dict[str, str] = {"eventstore.consistency": consistency}
    if position is not None:
        metadata["eventstore.position"] = str(position)
    return arrow.schema([arrow.field(column.name, column.type) for column in columns], metadata=metadata)
