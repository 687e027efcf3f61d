"""Typed rows: the mapping between a pydantic model or dataclass and the columns of a table."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter

from eventstore.core import codec
from eventstore.core.context import plain
from eventstore.core.read_back import after_jsonb, first_difference, forms_for_jsonb, parse_json
from eventstore.core.types import INFINITE_TIMES, UtcDatetime
from eventstore.database.protocols import Row
from eventstore.errors import ConfigurationError
from eventstore.sql import quoted, type_name

R = TypeVar("R")

# The PostgreSQL type for each Python type. Other types (tuples, nested models, mappings) are stored as jsonb.
_POSTGRESQL_TYPES: Mapping[Any, str] = {
    Decimal: "numeric",
    UUID: "uuid",
    datetime: "timestamptz",
    date: "date",
    str: "text",
    int: "bigint",
    bool: "boolean",
}


# For each parameter type: the Python types that are stored as they are, and their subclasses that are not.
_DRIVER_TYPES: Mapping[str, tuple[tuple[type, ...], tuple[type, ...]]] = {
    "numeric": ((Decimal, int), (bool,)),
    "uuid": ((UUID,), ()),
    "timestamptz": ((datetime,), ()),
    "date": ((date,), (datetime,)),
    "text": ((str,), ()),
    "bigint": ((int,), (bool,)),
    "boolean": ((bool,), ()),
}
_FITTING_MAX = 1_000  # nullable columns make many combinations; few of them occur


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its PostgreSQL type, and the conversion of its values.

    Attributes:
        name: The name of the field and of the column.
        type: The name of the PostgreSQL type.
        parameter_type: The type that the driver sends and receives: text for enums and JSON.
        is_nullable: Whether the field may be None.
        encode: Converts the field's value to the driver's; None if they are the same.
        decode: Converts the driver's value to the field's; None if they are the same.
        field_type: The Python type of the field, for messages.
        is_json: Whether the value is sent as JSON.
        is_wide: Whether that JSON may contain integers beyond 64 bits.
        is_enum: Whether the field is an enum.
    """

    name: str
    type: str
    parameter_type: str
    is_nullable: bool
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None
    field_type: str = ""
    is_json: bool = False
    is_wide: bool = False
    is_enum: bool = False

    @property
    def selected(self) -> str:
        """The expression of the column in a select list, with a type that the driver need not look up."""
        name = quoted(self.name)
        return (
            name
            if self.type == self.parameter_type
            else f"{name}::{type_name(self.parameter_type)} AS {name}"
        )

    @property
    def as_text(self) -> Column:
        """The column as a parameter that is cheap to send: a number as its text, which the driver encodes ten times faster."""
        return replace(self, parameter_type="text") if self.parameter_type == "numeric" else self


class RowCodec(Generic[R]):
    """Converts rows of a table to instances of a model and back, field by field.

    Args:
        model: A pydantic model or a dataclass; its fields are the columns.
        types: The PostgreSQL types of fields that differ from the default, such as an enum.
        renamed: The column names of decoded records that differ from the field's name, by field.
    """

    def __init__(
        self,
        model: type[R],
        *,
        types: Mapping[str, str] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        known = dict(types or {})
        for text in known.values():
            type_name(text)  # raises if the text is not the name of a type
        self.columns = tuple(
            replace(_column(name, annotation, known.pop(name, None)), field_type=_shown(annotation))
            for name, annotation in _annotations(model)
        )
        if known:
            raise ConfigurationError(f"{model.__name__} has no field {min(known)} to give a type to")
        self._names = tuple(column.name for column in self.columns)
        column_names = [(renamed or {}).get(name, name) for name in self._names]
        self._picked: Callable[[Row], Iterable[Any]] = _items(column_names)
        self._decoders = tuple(
            (column.name, column.decode) for column in self.columns if column.decode is not None
        )
        self._encoders = tuple(
            (place, column.encode) for place, column in enumerate(self.columns) if column.encode is not None
        )
        self._numbers = [
            place for place, column in enumerate(self.columns) if column.parameter_type == "numeric"
        ]
        self._times = [
            place
            for place, column in enumerate(self.columns)
            if column.parameter_type == "timestamptz" and not _is_validated(model, column.name)
        ]
        self._values_of: Callable[[Any], Iterable[Any]] = _state_of(model, self._names)
        self._fitting: set[tuple[type, ...]] = set()
        """The types of values that were found to fit the columns."""
        self._make: Callable[[dict[str, Any]], R] = (
            codec.maker(model).of_all_fields()
            if issubclass(model, BaseModel)
            else lambda values: model(**values)
        )

    def decode(self, row: Row) -> R:
        """Convert a row to an instance without validation, because it was valid when it was written.

        A number may come as text: the driver decodes text faster than a Decimal, and text keeps the stored
        digits.
        """
        return self.decode_values(self._picked(row))

    def decode_values(self, values: Iterable[Any]) -> R:
        """As `decode`, but faster: it takes the values of all columns in their order."""
        fields = dict(zip(self._names, values, strict=True))
        for name, decode in self._decoders:
            value = fields[name]
            if value is not None:
                fields[name] = decode(value)
        return self._make(fields)

    def encode(self, row: R) -> list[Any]:
        """Return the driver's values of an instance, in the order of the columns.

        What is stored does not depend on the way that it is written, as parameters or by COPY: a value that one of them would
        refuse or change is refused.

        Raises:
            TypeError: A value is not of its column's type.
            ValueError: A value would be read back changed: a time that is stored as infinity, or one in JSON.
        """
        values = [*self._values_of(row)]
        for place, encode in self._encoders:
            value = values[place]
            if value is not None:
                values[place] = encode(value)
        if (given := tuple(map(type, values))) not in self._fitting:
            self._require_types(values)
            if len(self._fitting) < _FITTING_MAX:
                self._fitting.add(given)
        for place in self._times:
            value = values[place]
            if value is not None and not 1 < value.year < 9999 and _is_infinite(value):  # noqa: PLR2004 - the first and the last
                raise ValueError(f"{self._names[place]} is {value}, which the driver stores as infinity")
        return values

    def _require_types(self, values: Sequence[Any]) -> None:
        for column, value in zip(self.columns, values, strict=True):
            wanted, refused = _DRIVER_TYPES[column.parameter_type]
            if value is not None and (not isinstance(value, wanted) or isinstance(value, refused)):
                raise TypeError(
                    f"{column.name} is of {column.parameter_type}, and {value!r} is of {type(value).__name__}"
                )

    def encode_columns(self, rows: Sequence[R]) -> list[list[Any]]:
        """Return the driver's values of many instances, column by column, each number as its text."""
        if not rows:
            return [[] for _ in self.columns]
        columns = [list(column) for column in zip(*map(self.encode, rows), strict=True)]
        for place in self._numbers:
            columns[place] = [None if number is None else str(number) for number in columns[place]]
        return columns


def _is_validated(model: type[Any], name: str) -> bool:
    """Whether a field is of type `UtcDatetime`, which refuses the times that are stored as infinity."""
    if not issubclass(model, BaseModel):
        return False
    field = model.model_fields[name]
    return UtcDatetime in (field.annotation, *typing.get_args(field.annotation)) or any(
        one in field.metadata for one in typing.get_args(UtcDatetime)
    )


def _is_infinite(value: datetime) -> bool:
    """Whether a time would be read back as another. The naive ones are stored as infinity, too, and come back."""
    if value.tzinfo is None:
        return False
    try:
        return value.astimezone(UTC) in INFINITE_TIMES
    except OverflowError:
        return True  # it lies outside the years 1 to 9999 in UTC


def _items(names: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Return a function that gets the values of these names from a mapping."""
    return itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names]


def _state_of(model: type[Any], names: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Return a function that gets the values of fields from an instance, in a third of the time of `getattr`."""
    if not issubclass(model, BaseModel):
        return lambda row: [getattr(row, name) for name in names]
    items = _items(names)
    return lambda row: items(row.__dict__)


def _annotations(model: type[Any]) -> list[tuple[str, Any]]:
    if issubclass(model, BaseModel):
        return [(name, field.annotation) for name, field in model.model_fields.items()]
    if is_dataclass(model):
        hints = typing.get_type_hints(model)
        return [(field.name, hints[field.name]) for field in fields(model)]
    raise ConfigurationError(f"{model!r} cannot describe a row: give a pydantic model or a dataclass")


def _column(name: str, annotation: Any, given: str | None) -> Column:
    bare, is_nullable = _without_none(annotation)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        members = {member.value: member for member in bare}
        # A member of a StrEnum is a text itself; of another enum, its value is the text.
        encode = None if issubclass(bare, str) else _enum_value
        return Column(name, given or "text", "text", is_nullable, encode, members.__getitem__, is_enum=True)
    usual = _POSTGRESQL_TYPES.get(bare)
    if bare is Decimal:
        return Column(name, given or "numeric", "numeric", is_nullable, None, _decimals.__getitem__)
    if usual is not None:
        return Column(name, given or usual, usual, is_nullable, None, None)
    encode_json, decode_json, is_wide = _json_codec(name, bare)
    return Column(
        name, given or "jsonb", "text", is_nullable, encode_json, decode_json, is_json=True, is_wide=is_wide
    )


def _json_codec(name: str, annotation: Any) -> tuple[Callable[[Any], str], Callable[[str], Any], bool]:
    """Return the functions that write a value as JSON and read it back from the JSON of the table, and if it is wide.

    Writing raises ValueError for a value that would be read back changed: the row would then differ from
    its projection.
    """
    try:
        adapter, config = TypeAdapter(annotation, config=_JSON_OF_VALUES), _JSON_OF_VALUES
    except PydanticUserError:  # the annotation is a model with its own configuration
        adapter, config = TypeAdapter(annotation), ConfigDict()
    reader = codec.reader_of(adapter, config)
    to_json, read = adapter.serializer.to_json, reader.read or _same
    loads: Callable[[str], Any] = parse_json if reader.is_wide else orjson.loads

    leaves_out_none = reader.keeps_none

    def write(value: Any) -> str:
        # An execution has eighteen fields, most of which are None.
        return to_json(value, by_alias=False, round_trip=True, exclude_none=leaves_out_none).decode()

    def write_checked(value: Any) -> str:
        problem: Any = None
        for form in forms_for_jsonb(write(value)):
            found = first_difference(value, read(after_jsonb(form)), name)
            if found is None:
                return form
            problem = problem or found
        raise ValueError(f"the row would be read back changed: {problem}")

    encode = write if reader.is_exact else write_checked
    if typing.get_origin(annotation) is tuple:  # most rows have no tags, and many no executions
        return (
            lambda value: "[]" if value == () else encode(value),
            lambda text: () if text == "[]" else read(loads(text)),
            reader.is_wide,
        )
    return encode, loads if reader.read is None else lambda text: read(loads(text)), reader.is_wide


_JSON_OF_VALUES = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")


def _same(value: Any) -> Any:
    return value


class _Decimals(codec.Remembered):
    """Decimals by their text, or as the driver returns them."""

    def __missing__(self, value: Any) -> Any:
        if type(value) is not Decimal:
            return super().__missing__(value)
        # asyncpg returns 100000 as 1.0E+5, an equal number with other digits. Only such a text contains an E.
        return plain(value) if "E" in str(value) else value


_decimals = _Decimals(Decimal)


def _enum_value(member: enum.Enum) -> Any:
    return member.value


def _shown(annotation: Any) -> str:
    bare, is_nullable = _without_none(annotation)
    name = bare.__name__ if isinstance(bare, type) and not typing.get_args(bare) else str(bare)
    return f"{name} | None" if is_nullable else name


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _without_none(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(annotation) if option is not types.NoneType]
        if len(options) == 1:
            return _without_none(options[0])[0], True
    return annotation, False
