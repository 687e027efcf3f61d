"""Reports as frames of Arrow, polars and pandas (extras: `frames`, `pandas`, `polars`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from eventstore.arrow_decimals import DIGITS_128, DIGITS_256, WIDE, decimal_type, digits_of
from eventstore.errors import ConfigurationError
from eventstore.extras import imported
from eventstore.reports.columns import Column


def arrow_table(
    name: str, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], metadata: Mapping[str, str]
) -> Any:
    """Return a `pyarrow.Table` of rows.

    Raises:
        ConfigurationError: pyarrow is not installed, or a decimal does not fit the widest of Arrow.
    """
    arrow = imported("pyarrow", "frames")
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays, fields = [], []
    for column, of_column in zip(columns, values, strict=True):
        array = _array(arrow, name, column, of_column)
        arrays.append(array)
        fields.append(arrow.field(column.name, array.type))
    return arrow.Table.from_arrays(arrays, schema=arrow.schema(fields, metadata=dict(metadata)))


def _array(arrow: Any, name: str, column: Column, values: Sequence[Any]) -> Any:
    if column.kind == "decimal":
        return _decimals(arrow, f"{name}.{column.name}", values, is_average=column.is_average)
    types = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "time": arrow.timestamp("us", tz="UTC"),
        "duration": arrow.duration("us"),
        "boolean": arrow.bool_(),
    }
    return arrow.array(values, type=types[column.kind])


def _decimals(arrow: Any, of: str, values: Sequence[Decimal | None], *, is_average: bool) -> Any:
    before, after = digits_of(one for one in values if one is not None)
    if is_average and before + after > DIGITS_128:
        after = max(DIGITS_128 - before, 0)
        unit = Decimal(1).scaleb(-after)
        values = [None if one is None else one.quantize(unit, context=WIDE) for one in values]
    digits = before + after
    if digits > DIGITS_256:
        raise ConfigurationError(
            f"{of} needs {before} digits before the point and {after} after it: Arrow's widest decimal has {DIGITS_256}"
        )
    return arrow.array(values, type=decimal_type(arrow, before, after))


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
