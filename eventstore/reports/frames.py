"""Reports as frames of Arrow, polars and pandas (extras: `frames`, `pandas`, `polars`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from eventstore.arrow_decimals import DIGITS_128, DIGITS_256, WIDE, decimal_type, digits_of
from eventstore.errors import ConfigurationError
from eventstore.extras import imported
from eventstore.reports.columns import Column

_AT_A_TIME = 10_000  # pyarrow keeps the interpreter while it reads Python's objects: other threads wait for it some milliseconds


def arrow_table(
    name: str, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], metadata: Mapping[str, str]
) -> Any:
    """Return a `pyarrow.Table` of rows.

    Raises:
        ConfigurationError: pyarrow is not installed, or a decimal does not fit the widest of Arrow.
    """
    arrow = imported("pyarrow", "frames")
    arrays, fields = [], []
    for place, column in enumerate(columns):
        type_, convert = _type(arrow, name, column, (row[place] for row in rows))
        chunks = [
            arrow.array([convert(row[place]) for row in rows[begin : begin + _AT_A_TIME]], type=type_)
            for begin in range(0, len(rows), _AT_A_TIME)
        ]
        arrays.append(arrow.chunked_array(chunks, type=type_))
        fields.append(arrow.field(column.name, type_))
    return arrow.Table.from_arrays(arrays, schema=arrow.schema(fields, metadata=dict(metadata)))


def _type(arrow: Any, name: str, column: Column, values: Iterable[Any]) -> tuple[Any, Callable[[Any], Any]]:
    """Return the type of a column, and what makes a value fit it."""
    if column.kind == "decimal":
        return _decimal_type(arrow, f"{name}.{column.name}", values, is_average=column.is_average)
    types = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "time": arrow.timestamp("us", tz="UTC"),
        "duration": arrow.duration("us"),
        "boolean": arrow.bool_(),
    }
    return types[column.kind], _same


def _decimal_type(
    arrow: Any, of: str, values: Iterable[Decimal | None], *, is_average: bool
) -> tuple[Any, Callable[[Any], Any]]:
    before, after = digits_of(one for one in values if one is not None)
    convert: Callable[[Any], Any] = _same
    if is_average and before + after > DIGITS_128:
        after = max(DIGITS_128 - before, 0)
        unit = Decimal(1).scaleb(-after)

        def convert(value: Decimal | None) -> Decimal | None:
            return None if value is None else value.quantize(unit, context=WIDE)

    digits = before + after
    if digits > DIGITS_256:
        raise ConfigurationError(
            f"{of} needs {before} digits before the point and {after} after it: Arrow's widest decimal has {DIGITS_256}"
        )
    return decimal_type(arrow, before, after), convert


def _same(value: Any) -> Any:
    return value


def to_polars(table: Any) -> Any:
    """Return a `polars.DataFrame` of a table.

    Raises:
        ConfigurationError: polars is not installed, or a column is wider than the decimals of polars.
    """
    polars = imported("polars", "polars")
    arrow = imported("pyarrow", "frames")
    for field in table.schema:
        if arrow.types.is_decimal256(field.type):
            raise ConfigurationError(
                f"the column {field.name} needs more than the {DIGITS_128} digits of a decimal of polars: use `table` or `rows()`"
            )
    return polars.from_arrow(table)


def to_pandas(table: Any, *, floats: bool) -> Any:
    """Return a `pandas.DataFrame` of a table: decimals as objects, or as floats.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    pandas = imported("pandas", "pandas")
    arrow = imported("pyarrow", "frames")
    if floats:
        fields = [
            arrow.field(one.name, arrow.float64()) if arrow.types.is_decimal(one.type) else one
            for one in table.schema
        ]
        table = table.cast(arrow.schema(fields, metadata=table.schema.metadata))
    types = {arrow.int64(): pandas.Int64Dtype(), arrow.bool_(): pandas.BooleanDtype()}
    return table.to_pandas(types_mapper=types.get)
