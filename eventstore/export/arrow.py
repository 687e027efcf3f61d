"""Events and read tables as Arrow record batches and Parquet files (extra: `arrow`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.database.error_mapping import mapped_errors
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import microseconds
from eventstore.export.files import replacing
from eventstore.export.lines import settled_pages
from eventstore.limits import check_count
from eventstore.sql import qualified, schema_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

__all__ = ["DECIMAL_PRECISION", "DECIMAL_SCALE", "EVENTS", "read_batches", "to_arrow", "write_parquet"]

EVENTS = "events"
"""The name under which the log itself is exported."""

DECIMAL_PRECISION = 38
"""Digits of a decimal in all, unless told otherwise: what decimal128 holds. More make it decimal256, up to 76."""

DECIMAL_SCALE = 18
"""Digits after the point, unless told otherwise; 20 are left before it."""

_BATCH_ROWS = 10_000
_FIRST_US = microseconds(datetime(1, 1, 1, tzinfo=UTC))
_LAST_US = microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
_DECIMAL128_DIGITS_MAX = 38
_DECIMAL256_DIGITS_MAX = 76
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
}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: Any
    convert: Callable[[Any], Any] | None


async def to_arrow(
    log: EventLog,
    table: str,
    *,
    categories: Sequence[str] | None = None,
    decimal_precision: int = DECIMAL_PRECISION,
    decimal_scale: int = DECIMAL_SCALE,
) -> Any:
    """Return the events, or a read table, as a `pyarrow.Table`: `.to_pandas()` and `polars.from_arrow` take it from there.

    Arguments and errors are those of `read_batches`.
    """
    arrow = _arrow()
    columns, batches = await _open(log, table, categories, (decimal_precision, decimal_scale), _BATCH_ROWS)
    async with aclosing(batches):
        return arrow.Table.from_batches([batch async for batch in batches], schema=_schema(arrow, columns))


async def write_parquet(
    log: EventLog,
    table: str,
    path: Path | str,
    *,
    categories: Sequence[str] | None = None,
    decimal_precision: int = DECIMAL_PRECISION,
    decimal_scale: int = DECIMAL_SCALE,
) -> int:
    """Write the events, or a read table, to a Parquet file, some rows at a time in memory; return how many rows.

    What is at the path stays as it is until all of the new file is written.

    Other arguments and errors are those of `read_batches`.

    Raises:
        OSError: The file cannot be written.
    """
    arrow, parquet = _arrow(), _arrow("pyarrow.parquet")
    columns, batches = await _open(log, table, categories, (decimal_precision, decimal_scale), _BATCH_ROWS)
    rows = 0
    async with aclosing(batches):
        with (
            replacing(path) as new,
            new.open() as file,
            parquet.ParquetWriter(file, _schema(arrow, columns)) as writer,
        ):
            async for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


async def read_batches(
    log: EventLog,
    table: str,
    *,
    categories: Sequence[str] | None = None,
    decimal_precision: int = DECIMAL_PRECISION,
    decimal_scale: int = DECIMAL_SCALE,
    batch_rows_max: int = _BATCH_ROWS,
) -> AsyncIterator[Any]:
    """Yield the events in order, or the rows of a read table in one snapshot, as `pyarrow.RecordBatch`es.

    Decimals are decimals, exact or not at all; times are in microseconds and UTC; ids and JSON are text.

    Args:
        log: The log of the database.
        table: `events`, or the name of a read table, a user's own projections included.
        categories: Only events of these categories; None: all.
        decimal_precision: Digits of a decimal in all, up to 76.
        decimal_scale: Digits after the point.
        batch_rows_max: The most rows of one batch.

    Raises:
        ConfigurationError: pyarrow is not installed; there is no such table; a column's type has no form in Arrow; or a
            decimal does not fit, which is named.
        ConnectionError, TimeoutError: Safe to begin again.
    """
    _, batches = await _open(log, table, categories, (decimal_precision, decimal_scale), batch_rows_max)
    async with aclosing(batches):
        async for batch in batches:
            yield batch


async def _open(
    log: EventLog,
    table: str,
    categories: Sequence[str] | None,
    digits: tuple[int, int],
    batch_rows_max: int,
) -> tuple[list[_Column], AsyncGenerator[Any, None]]:
    arrow = _arrow()
    precision, scale = digits
    check_count("batch_rows_max", batch_rows_max)
    if not 1 <= precision <= _DECIMAL256_DIGITS_MAX or not 0 <= scale <= precision:
        raise ConfigurationError(
            f"a decimal has 1 to {_DECIMAL256_DIGITS_MAX} digits and a scale within them, not precision {precision}, "
            f"scale {scale}"
        )
    if table == EVENTS:
        types = _EVENT_TYPES
    elif categories is not None:
        raise ConfigurationError(f"only events have categories, the table {table} has none")
    else:
        types = await _types_of(log, table)
    columns = [_column(arrow, table, (name, type_), digits) for name, type_ in types.items()]
    rows = (
        _event_rows(log, categories, batch_rows_max)
        if table == EVENTS
        else _table_rows(log, table, batch_rows_max)
    )
    return columns, _batches(arrow, table, columns, rows)


async def _types_of(log: EventLog, table: str) -> dict[str, str]:
    async with log.connection.acquire() as connection:
        with mapped_errors(reads_only=True, connection=connection):
            if await connection.fetchval(
                "SELECT pg_catalog.to_regclass($1) IS NULL", qualified(schema_of(connection), table)
            ):
                raise ConfigurationError(
                    f"there is no table {table}: give events, or the table of a projection"
                )
            async with (
                connection.transaction()
            ):  # a statement that is prepared outside of one leaves one open
                statement = await connection.prepare(_select(table, schema_of(connection)))
                attributes = statement.get_attributes()
    return {
        one.name: "text" if one.type.kind == "scalar" and one.type.schema != "pg_catalog" else one.type.name
        for one in attributes
    }


def _select(table: str, schema: str) -> str:
    return f"SELECT * FROM {qualified(schema, table)}"


async def _event_rows(
    log: EventLog, categories: Sequence[str] | None, size: int
) -> AsyncGenerator[list[Any], None]:
    through = await log.head()
    async for page in settled_pages(log, after=0, through=through, categories=categories, page_events=size):
        yield page


async def _table_rows(log: EventLog, table: str, size: int) -> AsyncGenerator[list[Any], None]:
    async with log.connection.acquire() as connection:
        with mapped_errors(reads_only=True, connection=connection):
            async with connection.transaction():
                # One statement, one snapshot, however long it is read from.
                cursor = await connection.cursor(_select(table, schema_of(connection)))
                while rows := await _fetch(cursor, table, size):
                    yield rows


async def _fetch(cursor: Any, table: str, size: int) -> list[Any]:
    try:
        rows: list[Any] = await cursor.fetch(size)
    except OverflowError as error:
        raise ConfigurationError(
            f"{table} holds a time before the year 1 or after 9999, which has no form here: correct it"
        ) from error
    return rows


async def _batches(
    arrow: Any, table: str, columns: list[_Column], pages: AsyncGenerator[list[Any], None]
) -> AsyncGenerator[Any, None]:
    schema = _schema(arrow, columns)
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
            f"{table}.{column.name} has a value that {column.type} does not hold exactly ({error}): "
            "raise decimal_precision or decimal_scale"
        ) from error


def _column(arrow: Any, table: str, given: tuple[str, str], digits: tuple[int, int]) -> _Column:
    (name, type_), (precision, scale) = given, digits
    if type_ in _PLAIN:
        return _Column(name, getattr(arrow, _PLAIN[type_])(), None)
    if type_ == "uuid":
        return _Column(name, arrow.string(), str)
    if type_ == "numeric":
        make = arrow.decimal128 if precision <= _DECIMAL128_DIGITS_MAX else arrow.decimal256
        return _Column(name, make(precision, scale), lambda value: _finite(value, f"{table}.{name}"))
    if type_ == "timestamptz":
        return _Column(name, arrow.timestamp("us", tz="UTC"), lambda value: _moment(value, f"{table}.{name}"))
    raise ConfigurationError(
        f"{table}.{name} is of type {type_}, which has no form in Arrow here: leave the table out"
    )


def _finite(value: Decimal, of: str) -> Decimal:
    # pyarrow would make it null.
    if not value.is_finite():
        raise ConfigurationError(f"{of} holds {value}, which is no decimal of Arrow")
    return value


def _moment(value: bytes | datetime, of: str) -> int:
    if isinstance(value, datetime) and value.tzinfo is None:  # as the driver gives infinity
        raise ConfigurationError(f"{of} holds an infinite time, which is no time of Arrow")
    moment = microseconds(value)
    if not _FIRST_US <= moment <= _LAST_US:
        raise ConfigurationError(
            f"{of} holds a time that is infinite, before the year 1 or after 9999: no time of Arrow's users"
        )
    return moment


def _schema(arrow: Any, columns: list[_Column]) -> Any:
    return arrow.schema([arrow.field(column.name, column.type) for column in columns])


def _arrow(name: str = "pyarrow") -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise ConfigurationError(
            "pyarrow is not installed: pip install 'trading-eventstore[arrow]'"
        ) from None
