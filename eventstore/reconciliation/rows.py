"""Reads statements from rows: of comma-separated values, or of a frame."""

from __future__ import annotations

import csv
import io
import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from eventstore.core.context import exact, plain
from eventstore.core.types import Name, UtcDatetime
from eventstore.core.validation import Validated, shown
from eventstore.errors import ConfigurationError, DomainError
from eventstore.reconciliation.stated import Section, StatedCash, StatedExecution, StatedPosition
from eventstore.suggestions import suggestion

_KIND = "kind"
_CLASSES: dict[str, type[Validated]] = {
    "position": StatedPosition,
    "cash": StatedCash,
    "execution": StatedExecution,
}
_SECTIONS: dict[str, Section] = {"position": "positions", "cash": "cash", "execution": "executions"}
_OF_STATEMENT: dict[str, TypeAdapter[Any]] = {
    "time": TypeAdapter(UtcDatetime),
    "since": TypeAdapter(UtcDatetime),
    "portfolio_id": TypeAdapter(UUID),
    "account": TypeAdapter(Name),
}
_FIELDS: dict[str, Collection[str]] = {
    "statement": tuple(_OF_STATEMENT),
    **{kind: tuple(stated.model_fields) for kind, stated in _CLASSES.items()},
}
_TEXTS = {
    "account",
    "broker_order_id",
    "client_order_id",
    "commission_currency",
    "currency",
    "execution_id",
    "symbol",
    "venue",
}
_FLOAT_INTEGER_MAX = 2**53
_COLUMNS = sorted({_KIND, *(name for names in _FIELDS.values() for name in names)})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input.

    Attributes:
        place: Where it is, for errors.
        values: What it says, by column; without those that say nothing.
    """

    place: str
    values: Mapping[str, Any]


def read_csv(source: str | Path) -> list[Row]:
    """Return the rows of a file, or of a text with a line break.

    Raises:
        ConfigurationError: The file cannot be read, a column is unknown, or a line has more values than columns.
    """
    text = source if isinstance(source, str) and "\n" in source else _read(source)
    try:
        lines = list(_lines(csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)))
    except csv.Error as error:
        raise ConfigurationError(
            f"the statement cannot be read as comma-separated values: {error}"
        ) from error
    if not lines:
        raise ConfigurationError("the statement is empty: the first line must name the columns")
    names = [name.strip() for name in lines[0][1]]
    _check_columns(names)
    rows = []
    for number, (line, cells) in enumerate(lines[1:], 1):
        place = f"row {number} (line {line})"
        if len(cells) > len(names):
            raise ConfigurationError(
                f"statement, {place}: {len(cells)} values for {len(names)} columns: quote a value that has a comma"
            )
        texts = (cell.strip() for cell in cells)
        rows.append(Row(place, {name: cell for name, cell in zip(names, texts, strict=False) if cell}))
    return rows


def _read(source: str | Path) -> str:
    try:
        return Path(source).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the statement {source} cannot be read: {error}") from error


def _lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def read_frame(frame: Any) -> list[Row]:
    """Return the rows of a frame of pandas, polars or Arrow, or of a list of dicts.

    Raises:
        ConfigurationError: It is none of these, or a column is unknown.
    """
    records = _records(frame)
    names = dict.fromkeys(name for record in records for name in record)
    _check_columns([str(name) for name in names] if records else [_KIND])
    return [
        Row(
            f"row {number}",
            {name: _python(value) for name, value in record.items() if not _is_missing(value)},
        )
        for number, record in enumerate(records, 1)
    ]


def _records(frame: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(frame, list | tuple) and all(isinstance(one, Mapping) for one in frame):
        return frame
    if hasattr(frame, "to_pylist"):  # Arrow
        return list(frame.to_pylist())
    if hasattr(frame, "to_dicts"):  # polars
        return list(frame.to_dicts())
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):  # pandas
        return list(frame.to_dict(orient="records"))
    raise ConfigurationError(
        "a frame is a pandas.DataFrame, a polars.DataFrame, a pyarrow.Table or a list of dicts, "
        f"not {type(frame).__name__}"
    )


def _is_missing(value: Any) -> bool:
    """Whether it is None, an empty text, or one of the values of pandas that are not equal to themselves."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN and NaT
    except TypeError:  # pandas' NA
        return True


def _python(value: Any) -> Any:
    """Return a float as the shortest decimal that it prints, an integer of NumPy as an int."""
    if isinstance(value, float):
        return Decimal(repr(float(value)))
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, Decimal | datetime | UUID | bool):
        try:
            return operator.index(value)
        except TypeError:
            if hasattr(value, "item"):  # a float of NumPy other than float64
                return _python(value.item())
    return value


def _check_columns(names: Sequence[str]) -> None:
    for name in names:
        if name not in _COLUMNS:
            raise ConfigurationError(
                f"the statement has an unknown column {name!r}: {suggestion(name, _COLUMNS)}"
            )
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigurationError(f"the statement has the column {repeated!r} twice")
    if _KIND not in names:
        raise ConfigurationError(f"the statement has no column {_KIND!r}, which says what a row is of")


def statement_values(
    rows: Iterable[Row],
    *,
    as_of: datetime | None,
    portfolio_id: UUID | None,
    account: str | None,
    since: datetime | None,
    sections: Collection[Section],
) -> dict[str, Any]:
    """Return the values of the statement that rows say.

    Raises:
        ConfigurationError: A row has an unknown kind, a value is missing or wrong, or `sections` names no part.
    """
    found: dict[str, list[Any]] = {}
    for section in sections:
        if section not in _SECTIONS.values():
            raise ConfigurationError(f"sections are of {', '.join(_SECTIONS.values())}, not {section!r}")
        found[section] = []
    of_it: dict[str, Any] | None = None
    for row in rows:
        kind = row.values.get(_KIND)
        if kind == "statement":
            if of_it is not None:
                raise ConfigurationError(f"statement, {row.place}: a second row of the kind 'statement'")
            of_it = _of_statement(row)
        elif kind in _CLASSES:
            found.setdefault(_SECTIONS[kind], []).append(_stated(_CLASSES[kind], row))
        else:
            raise ConfigurationError(
                f"statement, {row.place}, column {_KIND}: must be one of {', '.join(_FIELDS)}, not {shown(kind)}"
            )
    said = of_it or {}
    time = as_of if as_of is not None else said.get("time")
    if time is None:
        raise ConfigurationError(
            "the time of the statement is missing: give as_of, or a row of the kind 'statement'"
        )
    return {
        "as_of": time,
        "portfolio_id": portfolio_id if portfolio_id is not None else said.get("portfolio_id"),
        "account": account if account is not None else said.get("account"),
        "since": since if since is not None else said.get("since"),
        "positions": _added_up(found["positions"]) if "positions" in found else None,
        "cash": tuple(found["cash"]) if "cash" in found else None,
        "executions": tuple(found["executions"]) if "executions" in found else None,
    }


def _given(row: Row) -> dict[str, Any]:
    """Return what a row says, without its kind; a value in a column of other kinds is refused."""
    kind = row.values[_KIND]
    for name in row.values:
        if name not in (_KIND, *_FIELDS[kind]):
            raise ConfigurationError(
                f"statement, {row.place}, column {name}: a row of the kind {kind!r} has no such value, "
                f"not {shown(row.values[name])}"
            )
    return {
        name: _text(row, name, value) if name in _TEXTS else value
        for name, value in row.values.items()
        if name != _KIND
    }


def _text(row: Row, name: str, value: Any) -> Any:
    """Return a number in a column of texts as its text, as far as it is exact."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        if abs(value) >= _FLOAT_INTEGER_MAX:
            raise ConfigurationError(
                f"statement, {row.place}, column {name}: {value} is a number that may have lost digits: "
                "read the column as text"
            )
        return str(int(value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _of_statement(row: Row) -> dict[str, Any]:
    values = _given(row)
    for name, value in values.items():
        try:
            values[name] = _OF_STATEMENT[name].validate_python(value)
        except ValidationError as error:
            raise _wrong(row, error, name) from error
    return values


def _stated(stated: type[Validated], row: Row) -> Any:
    values = _given(row)
    if isinstance(side := values.get("side"), str):
        values["side"] = side.upper()
    try:
        return stated(**values)
    except DomainError as error:
        cause = error.__cause__
        raise (_wrong(row, cause) if isinstance(cause, ValidationError) else error) from error


def _wrong(row: Row, error: ValidationError, name: str | None = None) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    column = name or ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return ConfigurationError(
            f"statement, {row.place}, column {column}: a row of the kind {row.values[_KIND]!r} needs a value"
        )
    why = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return ConfigurationError(
        f"statement, {row.place}, column {column}: {why[:1].lower()}{why[1:]}, not {shown(row.values.get(column))}"
    )


@exact
def _added_up(positions: Iterable[StatedPosition]) -> tuple[StatedPosition, ...]:
    """Return one position for each symbol and currency."""
    sums: dict[tuple[str, str | None], list[StatedPosition]] = {}
    for one in positions:
        sums.setdefault((one.symbol, one.currency), []).append(one)
    return tuple(its[0] if len(its) == 1 else _sum(its) for its in sums.values())


def _sum(its: Sequence[StatedPosition]) -> StatedPosition:
    costs = [one.cost for one in its]
    quantity = sum((one.quantity for one in its), Decimal(0))
    return StatedPosition(
        symbol=its[0].symbol,
        currency=its[0].currency,
        quantity=plain(quantity),
        cost=None if None in costs else plain(sum((cost for cost in costs if cost is not None), Decimal(0))),
        price=_average(its, quantity),
    )


def _average(its: Sequence[StatedPosition], quantity: Decimal) -> Decimal | None:
    if not quantity or any(one.price is None for one in its):
        return None
    value = sum((one.quantity * one.price for one in its if one.price is not None), Decimal(0))
    return plain(value / quantity)
