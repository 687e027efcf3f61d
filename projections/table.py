"""The table of a projection, and the statements that follow from its columns.

A user's projection has its own table, so its (quoted) column names and its types fill the slots of the templates
in `eventstore/sql/tables`:

    {table}, {live}, {beside}   a table, with its schema
    {columns}, {key}            names of columns; after SELECT, with the casts for reading
    {given}                     the arrays of the parameters as rows
    {values}, {key_values}      the columns of `given`, each cast to the type of its column
    {updates}                   the assignments of an UPDATE
    {same_key}, {differ}        the predicates over the rows `old` and `new`
    {constraint}                the name of the primary key
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Generic, TypeVar

import orjson

from eventstore.core.context import plain
from eventstore.database.protocols import Record
from eventstore.errors import ConfigurationError
from eventstore.mapping.copied_text import CopiedText
from eventstore.mapping.rows import Column, RowCodec
from eventstore.sql import (
    filled,
    qualified,
    quoted,
    require_name,
    type_name,
    uuid_hash,
    with_end,
)
from projections.keys import normal_form

R = TypeVar("R")

LAST_POSITION = "last_position"
"""The column with the position of the last event folded into the row."""


_STATEMENTS_MAX = 64  # each rebuild writes another table


class Table(Generic[R]):
    """A table that a projection folds events into.

    Besides the model's fields it has the column `last_position bigint`.

    Args:
        name: The table's name.
        row: The model of a row: a pydantic model or a dataclass.
        key: The fields that identify a row, in the order of the primary key.
        types: The PostgreSQL types of fields that do not have the usual one, such as enums.

    Raises:
        ConfigurationError: The key is empty, or names something that is not a field of the row or is stored as
            JSON; PostgreSQL does not allow the name of the table or of a field; or a field is called `last_position`.
    """

    def __init__(
        self, name: str, *, row: type[R], key: Sequence[str], types: Mapping[str, str] | None = None
    ) -> None:
        require_name(name)
        self.name = name
        self.row = row
        self.codec: RowCodec[R] = RowCodec(row, types=types)
        by_name = {column.name: column for column in self.codec.columns}
        for field in by_name:
            require_name(field)
        if LAST_POSITION in by_name:
            raise ConfigurationError(
                f"table {name}: {row.__name__} has a field {LAST_POSITION}, the name of a column that "
                "every projection has: rename the field"
            )
        unknown = [field for field in key if field not in by_name]
        if unknown or not key:
            raise ConfigurationError(
                f"table {name}: the key must name fields of {row.__name__}, not {', '.join(unknown) or 'nothing'}"
            )
        self.key: tuple[Column, ...] = tuple(by_name[field] for field in key)
        for column in self.key:
            if column.is_json:
                raise ConfigurationError(
                    f"table {name}: {column.name} ({column.field_type}) is stored as JSON, whose text may differ for "
                    "equal values: a key must be of Decimal, UUID, datetime, date, str, int, bool or an enum"
                )
        self._width = len(self.codec.columns)
        self._copied = CopiedText([*(column.parameter_type for column in self.codec.columns), "bigint"])
        self._key_fields = _getter([column.name for column in self.key])
        self._key_indices = [self.codec.columns.index(column) for column in self.key]
        forms = [(place, normal_form(column)) for place, column in enumerate(self.key)]
        columns = list(enumerate(self.codec.columns))
        self._times = [place for place, column in columns if column.parameter_type == "timestamptz"]
        self._numbers = [place for place, column in columns if column.parameter_type == "numeric"]
        self._json = [
            (place, _exactly_sorted_json if column.is_wide else _sorted_json)
            for place, column in columns
            if column.is_json
        ]
        self._statements: dict[tuple[str, str | None, str | None], str] = {}
        self._normal_forms = [(place, form) for place, form in forms if form is not None]

    def _once(
        self, make: Callable[[str | None, str | None], str], name: str | None, schema: str | None
    ) -> str:
        """Return a statement that each batch needs; made once, since it takes as long as to fold ten events."""
        key = (make.__name__, name, schema)
        statement = self._statements.get(key)
        if statement is None:
            if len(self._statements) >= _STATEMENTS_MAX:
                self._statements.clear()
            statement = self._statements[key] = make(name, schema)
        return statement

    def _target(self, name: str | None, schema: str | None) -> str:
        return quoted(name or self.name) if schema is None else qualified(schema, name or self.name)

    def normal(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the normal form of a key, so that equal keys have the same text and the same partition."""
        if not self._normal_forms:
            return key
        values = list(key)
        for place, form in self._normal_forms:
            values[place] = form(values[place])
        return tuple(values)

    def key_of(self, encoded: Sequence[Any] | Record) -> tuple[Any, ...]:
        """Return the key of an encoded row."""
        return tuple(encoded[index] for index in self._key_indices)

    def decode(self, record: Record) -> R:
        """Return the row of a record that one of the statements below returned: its first values are the columns."""
        return self.codec.decode_values(record[: self._width])

    def copied_line(self, row: R, last_position: int) -> str:
        """Return a row as a line of COPY's text format: its columns, then the position of its last event."""
        return self._copied.line((*self.codec.encode(row), last_position))

    def is_of(self, row: R, key: tuple[Any, ...]) -> bool:
        """Whether the fields of a row are the values of a key."""
        fields = self._key_fields(row)
        return (fields if len(key) > 1 else (fields,)) == key

    def create(self, name: str | None = None, *, schema: str | None = None) -> str:
        """Return the statement that creates the table, for a migration: the fields, `last_position` and the key.

        Args:
            name: The name of the table; None for the projection's table.
            schema: The schema of the store; None leaves it to the search path.
        """
        columns = ",\n    ".join(
            f"{quoted(column.name)} {column.type if schema is None else type_name(column.type, schema)}"
            f"{'' if column.is_nullable else ' NOT NULL'}"
            for column in self.codec.columns
        )
        return filled(
            "tables/create",
            table=self._target(name, schema),
            columns=columns,
            constraint=quoted(with_end(name or self.name, "_pkey")),
            key=_names(self.key),
        )

    def select_by_keys(self, name: str | None = None, *, schema: str | None = None) -> str:
        """Return the statement that reads rows, each number as its text; its arguments are the keys, column by column."""
        return self._once(self._select_by_keys, name, schema)

    def _select_by_keys(self, name: str | None, schema: str | None) -> str:
        return filled(
            "tables/select_by_keys",
            table=self._target(name, schema),
            columns=self._selected(),
            **self._given_keys(schema),
        )

    def select_all(self, name: str | None = None, *, schema: str | None = None) -> str:
        """Return the statement that reads every row, each number as its text, in the order of the key."""
        return filled(
            "tables/select_all",
            table=self._target(name, schema),
            columns=self._selected(),
            key=_names(self.key),
        )

    def select_for_proof(self, name: str, *, schema: str, keyed_by_stream: bool) -> str:
        """Return the statement that reads all rows, in any order, with each number as its text.

        Args:
            name: The table's name.
            schema: Its schema.
            keyed_by_stream: Read only the rows of a shard; the statement's arguments are those of `Shard.bounds`.
        """
        columns, table = self._selected(), qualified(schema, name)
        if not keyed_by_stream:
            return filled("tables/select_for_proof", table=table, columns=columns)
        return filled(
            "tables/select_shard_for_proof",
            table=table,
            columns=columns,
            key_hash=uuid_hash(quoted(self.key[0].name)),
        )

    def _selected(self) -> str:
        # The driver decodes a text in a tenth of the time of a Decimal.
        return ", ".join(
            f"{_number(column)}::pg_catalog.text AS {quoted(column.name)}"
            if column.parameter_type == "numeric" and column not in self.key
            else column.selected
            for column in self.codec.columns
        )

    def told(self, values: Iterable[Any], last_position: int) -> bytes:
        """Return a row in a form that differs if anything of it differs, to the last digit.

        An encoded row and the record of it in `select_for_proof` have the same form, except where a column returns a
        value in another way than it was given.

        Args:
            values: The values of the columns, encoded or as the driver returns them.
            last_position: The position of the last event in the row.
        """
        row = [*values]
        for place in self._numbers:
            if (number := row[place]) is not None:
                row[place] = _digits(number)
        for place in self._times:
            if (when := row[place]) is not None and (when.tzinfo is not UTC or type(when) is not datetime):
                row[place] = _time(when)
        texts = []
        for place, in_order in self._json:
            text, row[place] = row[place], None
            texts.append(b"" if text is None else b"[]" if text == "[]" else in_order(text))
        try:
            told = orjson.dumps((row, last_position), default=str)
        except TypeError:  # an integer of more than 64 bits
            told = repr((row, last_position)).encode()
        return b"\n".join((told, *texts))

    def told_of(self, record: Record) -> bytes:
        """Return what `told` returns, for a record that one of the statements below returned."""
        return self.told(record[: self._width], record[LAST_POSITION])

    def upsert(self, name: str | None = None, *, schema: str | None = None) -> str:
        """Return the statement that writes rows; its arguments are the columns, then their last positions."""
        return self._once(self._upsert, name, schema)

    def _upsert(self, name: str | None, schema: str | None) -> str:
        columns = self.codec.columns
        # The new row's key may be an equal decimal with other digits.
        fixed = {column.name for column in self.key if column.type != "numeric"}
        changed = [quoted(column.name) for column in columns if column.name not in fixed]
        changed.append(quoted(LAST_POSITION))
        return filled(
            "tables/upsert",
            table=self._target(name, schema),
            columns=_names(columns),
            key=_names(self.key),
            updates=", ".join(f"{column} = EXCLUDED.{column}" for column in changed),
            **self._given_rows(schema),
        )

    def as_stored(self, *, schema: str | None = None) -> str:
        """Return the statement that returns rows as the table would return them; its arguments are as for `upsert`."""
        return filled("tables/as_stored", **self._given_rows(schema))

    def delete_by_keys(self, name: str | None = None, *, schema: str | None = None) -> str:
        """Return the statement that deletes rows; its arguments are the keys, column by column."""
        return filled("tables/delete_by_keys", table=self._target(name, schema), **self._given_keys(schema))

    def _given_keys(self, schema: str | None) -> dict[str, str]:
        return {
            "key": _names(self.key),
            "key_values": _casts(self.key, schema),
            "given": _unnest(self.key, first=1),
        }

    def _given_rows(self, schema: str | None) -> dict[str, str]:
        columns = self.codec.columns
        last = f"${len(columns) + 1}::bigint[]"
        given = [column.as_text for column in columns]
        return {
            "values": _casts(given, schema),
            "given": _unnest(given, first=1, more=(last, quoted(LAST_POSITION))),
        }

    def remove_unless_in(self, live: str, beside: str, *, schema: str, changed_too: bool = False) -> str:
        """Return the statement that deletes the rows whose key another table lacks.

        Args:
            live: The table.
            beside: The other table.
            schema: The schema of both.
            changed_too: Also delete the rows for which the other table has other values.
        """
        tables = {"live": qualified(schema, live), "beside": qualified(schema, beside)}
        if not changed_too:
            return filled("tables/remove_missing", **tables, same_key=self._same_key())
        return filled(
            "tables/remove_missing_and_changed", **tables, same_key=self._same_key(), differ=self._differ()
        )

    def change_to(self, live: str, beside: str, *, schema: str) -> str:
        """Return the statement that gives differing rows the values which another table has for their key."""
        return filled(
            "tables/change_to",
            live=qualified(schema, live),
            beside=qualified(schema, beside),
            updates=", ".join(f"{name} = new.{name}" for name in self._all_names()),
            same_key=self._same_key(),
            differ=self._differ(),
        )

    def add_from(self, live: str, beside: str, *, schema: str) -> str:
        """Return the statement that adds the rows of another table whose key the table lacks."""
        return filled(
            "tables/add_from",
            live=qualified(schema, live),
            beside=qualified(schema, beside),
            columns=", ".join(self._all_names()),
            same_key=self._same_key(),
        )

    def compare(self, live: str, beside: str, *, schema: str) -> str:
        """Return the statement that counts the keys with `equal` and with `different` rows in two tables, digits included."""
        return filled("tables/compare", **self._joined(live, beside, schema))

    def differences(self, live: str, beside: str, *, schema: str) -> str:
        """Return the statement that names keys whose rows differ or exist in only one table; its argument is how many."""
        names = [quoted(column.name) for column in self.key]
        key = ", ".join(f"coalesce(old.{name}, new.{name})" for name in names)
        return filled("tables/differences", key=key, **self._joined(live, beside, schema))

    def _joined(self, live: str, beside: str, schema: str) -> dict[str, str]:
        return {
            "live": qualified(schema, live),
            "beside": qualified(schema, beside),
            "same_key": self._same_key(),
            "differ": self._differ(),
        }

    def _all_names(self) -> list[str]:
        return [*(quoted(column.name) for column in self.codec.columns), quoted(LAST_POSITION)]

    def _same_key(self) -> str:
        return " AND ".join(
            f"new.{name} OPERATOR(pg_catalog.=) old.{name}" for name in (quoted(one.name) for one in self.key)
        )

    def _differ(self) -> str:
        # Compare bytes: 1.5 and 1.50 are equal numbers, but different rows. The casts keep the parser from
        # comparing column by column.
        old, new = (", ".join(f"{side}.{name}" for name in self._all_names()) for side in ("old", "new"))
        return f"ROW({old})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW({new})::pg_catalog.record"


def _getter(names: Sequence[str]) -> Callable[[Any], Any]:
    """Return a function that gets the attribute with that name, or a tuple of the attributes with these names."""
    if not any("." in name for name in names):  # `attrgetter` would take such a name for a path
        return attrgetter(*names)
    if len(names) == 1:
        return lambda one: getattr(one, names[0])
    return lambda one: tuple(getattr(one, name) for name in names)


def _digits(number: Any) -> str:
    """Return a number, or its text, as the text that numeric has: without an exponent, and without a negative zero."""
    text = str(number)
    if "E" in text or text[0] == "-":
        return f"{plain(Decimal(text)):f}"
    return text


def _time(when: datetime) -> str:
    if when.tzinfo is None and when in _INFINITE:
        return str(when)
    return when.astimezone(UTC).isoformat()


# As the driver returns them.
_INFINITE = (datetime.min, datetime.max)  # noqa: DTZ901 - the driver gives them no time zone


def _sorted_json(text: str) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)


def _exactly_sorted_json(text: str) -> bytes:
    """As `_sorted_json`, which would round an integer of more than 64 bits."""
    return json.dumps(json.loads(text), sort_keys=True).encode()


def _number(column: Column) -> str:
    name = quoted(column.name)
    return name if column.type == "numeric" else f"{name}::{type_name('numeric')}"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(quoted(column.name) for column in columns)


def _casts(columns: Iterable[Column], schema: str | None) -> str:
    return ", ".join(
        quoted(column.name)
        if column.type == column.parameter_type
        else f"{quoted(column.name)}::{type_name(column.type, schema)}"
        for column in columns
    )


def _unnest(columns: Sequence[Column], *, first: int, more: tuple[str, str] | None = None) -> str:
    arrays = [
        f"${number}::{type_name(column.parameter_type, None)}[]"
        for number, column in enumerate(columns, start=first)
    ]
    names = [quoted(column.name) for column in columns]
    if more is not None:
        arrays.append(more[0])
        names.append(more[1])
    # The parser treats an unnest of several arrays as PostgreSQL's own only if its name is not qualified.
    function = "unnest" if len(arrays) > 1 else "pg_catalog.unnest"
    return f"{function}({', '.join(arrays)}) AS given ({', '.join(names)})"
