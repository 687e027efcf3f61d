"""The law of the log, over classes that are drawn: what an event holds comes back equal, type and all, or it is refused.

A class is drawn with fields of every kind of type that pydantic allows, nested, with defaults, aliases, validators, computed
fields and settings; then values that it accepts. What is read goes through a model of jsonb that is no part of the library, or
through a server. What is equal is told by a comparison of the test's own.
"""

# mypy: disable-error-code="no-untyped-call, prop-decorator"

from __future__ import annotations

import collections
import dataclasses
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, event as note, given, settings, strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    WrapValidator,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from eventstore.core.event import Event, PendingEvent
from eventstore.core.registry import EventRegistry
from eventstore.core.types import Money, Name, Quantity, UtcDatetime
from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.errors import ConfigurationError, DomainError, EventEncodingError
from eventstore.log import EventLog, StreamAppend
from eventstore.log.records import COLUMNS, StagedEvent, decode_page, to_columns
from tests.scale import examples

pytestmark = pytest.mark.filterwarnings("ignore")

_D = Decimal


@dataclass(frozen=True)
class Kind:
    """A type, what values of it are drawn from, and a name for the statistics."""

    annotation: Any
    values: st.SearchStrategy[Any]
    name: str


class Colour(enum.StrEnum):
    """An enum of texts."""

    RED = "red"
    BLUE = "blue"


class Ratio(enum.Enum):
    """An enum of decimals and a float."""

    HALF = _D("0.50")
    THIRD = 1 / 3


class Level(enum.IntEnum):
    """An enum of integers."""

    LOW = 0
    HIGH = 2**70


@dataclasses.dataclass
class Charge:
    """A dataclass."""

    amount: _D
    note: str | None


class Pair(NamedTuple):
    """A named tuple."""

    a: Any
    b: Any


class Base(BaseModel):
    """A model that has subclasses."""

    a: int = 0
    b: _D | None = None


class Derived(Base):
    """A subclass."""

    c: str = ""


class Weighted(RootModel[dict[str, float | None]]):
    """A root model."""


def _numbers() -> st.SearchStrategy[float]:
    whole = st.sampled_from([1e15, 1e16, -1e22, 1e300, 0.0, -0.0, 5e-324, 1.0])
    return st.one_of(st.floats(), whole)


_TEXT = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["1.50", "null", "NaN", "2026-01-01", str(UUID(int=7)), "a\x00", "\ud800", "red", "true", "1"]
    ),
)
_DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.sampled_from([_D("-0"), _D("1E+3"), _D("1E-30"), _D("1.50"), _D("0E+2"), _D(10) ** 40]),
)
_INTEGERS = st.one_of(st.integers(-5, 5), st.integers(-(2**80), 2**80))
_DAYS = st.dates()
_TIMES = st.one_of(
    st.datetimes(),
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.timezones()),
    st.builds(lambda at: at.replace(tzinfo=UTC), st.datetimes()),
    st.just(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),
    st.just(datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))),
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), _INTEGERS, _numbers(), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)
_ANYTHING = st.one_of(
    _JSON,
    _DECIMALS,
    st.tuples(_INTEGERS),
    st.sampled_from([Colour.RED, Ratio.HALF, Base(a=1), {1, 2}, b"a", date(2026, 1, 1), object()]),
    st.builds(lambda key, value: {key: value}, _INTEGERS, _TEXT),
)

LEAVES = [
    Kind(str, _TEXT, "text"),
    Kind(Name, _TEXT, "name"),
    Kind(int, _INTEGERS, "integer"),
    Kind(Annotated[int, Field(ge=0, le=10)], st.integers(0, 10), "bounded integer"),
    Kind(bool, st.booleans(), "boolean"),
    Kind(float, _numbers(), "float"),
    Kind(Annotated[float, Field(allow_inf_nan=False)], _numbers(), "finite float"),
    Kind(Decimal, _DECIMALS, "decimal"),
    Kind(Annotated[Decimal, Field(allow_inf_nan=True)], st.decimals(), "any decimal"),
    Kind(Annotated[Decimal, Field(max_digits=6, decimal_places=2)], _DECIMALS, "bounded decimal"),
    Kind(Money, _DECIMALS, "money"),
    Kind(Quantity, _DECIMALS, "quantity"),
    Kind(UUID, st.uuids(), "id"),
    Kind(bytes, st.binary(max_size=4), "bytes"),
    Kind(date, st.one_of(_DAYS, _TIMES), "day"),
    Kind(Annotated[date, Field(strict=True)], _DAYS, "strict day"),
    Kind(datetime, _TIMES, "time"),
    Kind(UtcDatetime, _TIMES, "UTC time"),
    Kind(time, st.times(), "time of day"),
    Kind(timedelta, st.timedeltas(), "duration"),
    Kind(Colour, st.sampled_from(Colour), "enum of texts"),
    Kind(Ratio, st.sampled_from(Ratio), "enum of numbers"),
    Kind(Level, st.sampled_from(Level), "enum of integers"),
    Kind(Literal["a", 1, Colour.RED], st.sampled_from(["a", 1, Colour.RED]), "literal"),
    Kind(Any, _ANYTHING, "anything"),
    Kind(dict[str, Any], st.dictionaries(_TEXT, _ANYTHING, max_size=3), "payload"),
    Kind(Charge, st.builds(Charge, _DECIMALS, st.none() | _TEXT), "dataclass"),
    Kind(Pair, st.builds(Pair, _JSON, _JSON), "named tuple"),
    Kind(Base, st.one_of(st.builds(Base, a=_INTEGERS), st.builds(Derived, c=_TEXT)), "base class"),
    Kind(
        Weighted,
        st.builds(Weighted, st.dictionaries(_TEXT, _numbers() | st.none(), max_size=2)),
        "root model",
    ),
    Kind(_D | str, st.one_of(_DECIMALS, _TEXT), "decimal or text"),
    Kind(int | float, st.one_of(_INTEGERS, _numbers()), "integer or float"),
    Kind(bool | int | str, st.one_of(st.booleans(), _INTEGERS, _TEXT), "boolean, integer or text"),
    Kind(date | datetime | str, st.one_of(_DAYS, _TIMES, _TEXT), "day, time or text"),
    Kind(UUID | Colour | str, st.one_of(st.uuids(), st.sampled_from(Colour), _TEXT), "id, colour or text"),
    Kind(
        Base | Charge | None,
        st.one_of(st.none(), st.builds(Base), st.builds(Charge, _DECIMALS, _TEXT)),
        "one of",
    ),
]


def _hashable(kind: Kind) -> bool:
    return kind.name in {
        "text",
        "integer",
        "decimal",
        "id",
        "day",
        "enum of texts",
        "boolean",
        "UTC time",
        "name",
    }


def _around(inner: Kind, other: Kind, key: Kind) -> list[Kind]:
    values, name = inner.values, inner.name
    held: Any = inner.annotation
    mapping: Any = dict
    ordered: Any = collections.OrderedDict
    row: Any = collections.deque
    pair: Any = tuple
    several: Any = list
    group: Any = set
    frozen: Any = frozenset
    found = [
        Kind(held | None, st.none() | values, f"{name} or None"),
        Kind(several[held], st.lists(values, max_size=3), f"list of {name}"),
        Kind(pair[held, ...], st.lists(values, max_size=3).map(tuple), f"tuple of {name}"),
        Kind(pair[held, other.annotation], st.tuples(values, other.values), f"{name} and {other.name}"),
        Kind(
            mapping[key.annotation, held],
            st.dictionaries(key.values, values, max_size=3),
            f"mapping of {key.name} to {name}",
        ),
        Kind(
            ordered[str, held],
            st.dictionaries(_TEXT, values, max_size=3).map(collections.OrderedDict),
            f"ordered mapping to {name}",
        ),
        Kind(row[held], st.lists(values, max_size=2), f"deque of {name}"),
    ]
    if _hashable(inner):
        found += [
            Kind(group[held], st.sets(values, max_size=3), f"set of {name}"),
            Kind(frozen[held], st.frozensets(values, max_size=3), f"frozen set of {name}"),
        ]
    return found


def _twice(value: Any) -> Any:
    is_sum = isinstance(value, str | int | _D | tuple) and not isinstance(value, bool)
    twice: Any = value
    return twice + twice if is_sum else value


_VALIDATORS: list[Callable[[Any], Any]] = [
    lambda annotation: annotation,
    lambda annotation: Annotated[annotation, AfterValidator(_twice)],
    lambda annotation: Annotated[annotation, AfterValidator(lambda value: value)],
    lambda annotation: Annotated[annotation, BeforeValidator(lambda value: value)],
    lambda annotation: Annotated[annotation, WrapValidator(lambda value, inner: _twice(inner(value)))],
    lambda annotation: Annotated[annotation, PlainSerializer(str)],
    lambda annotation: Annotated[annotation, PlainSerializer(lambda value: [value, None])],
    lambda annotation: Annotated[annotation, Field(alias="otherName", serialization_alias="third")],
]


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> Kind:
    """A type with its values."""
    kind = draw(st.sampled_from(LEAVES))
    for _ in range(draw(st.integers(0, depth))):
        if draw(st.integers(0, 4)) == 0:
            kind = draw(models(kind))
        else:
            other = draw(st.sampled_from(LEAVES))
            key = draw(st.sampled_from([each for each in LEAVES if _hashable(each)]))
            kind = draw(st.sampled_from(_around(kind, other, key)))
    return kind


_CONFIGS: list[ConfigDict] = [
    ConfigDict(),
    ConfigDict(extra="allow"),
    ConfigDict(frozen=True, revalidate_instances="subclass-instances"),
    ConfigDict(serialize_by_alias=True, populate_by_name=True),
    ConfigDict(use_enum_values=True),
    ConfigDict(ser_json_timedelta="float"),
    ConfigDict(strict=True),
    ConfigDict(str_to_upper=True),
]


class Computing(BaseModel):
    """It has a computed field, and a validator of the whole."""

    @computed_field
    @property
    def computed(self) -> str:
        """Something."""
        return "computed"

    @model_validator(mode="after")
    def _check(self) -> Any:
        return self


class Writing(BaseModel):
    """It has a serializer of a field."""

    written: int = 1

    @field_serializer("written")
    def _write(self, value: int) -> str:
        return f"{value} of them"

    @field_validator("written", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return int(value.partition(" ")[0]) if isinstance(value, str) else value


@st.composite
def fields_of(draw: st.DrawFn, kind: Kind) -> Any:
    """A field: its type, and a default or none."""
    annotation = draw(st.sampled_from(_VALIDATORS))(kind.annotation)
    choice = draw(st.integers(0, 4))
    if choice == 0:
        return (annotation | None, None)
    if choice == 1:
        default = draw(kind.values)
        return (annotation, Field(default_factory=lambda: default))
    if choice == 2:
        return (annotation, draw(kind.values))
    return (annotation, ...)


@st.composite
def models(draw: st.DrawFn, kind: Kind) -> Kind:
    """A nested model with a field of a type."""
    config = draw(st.sampled_from(_CONFIGS))
    parent = draw(st.sampled_from([BaseModel, BaseModel, Computing, Writing]))
    base = type("Parent", (parent,), {"__module__": __name__, "model_config": config})
    model: Any = create_model(
        f"Part{next(_numbers_of_classes)}", __base__=base, __module__=__name__, field=draw(fields_of(kind))
    )
    more = (
        st.fixed_dictionaries({}, optional={"extra": _JSON})
        if config.get("extra") == "allow"
        else st.just({})
    )

    def make(given: tuple[Any, dict[str, Any]]) -> Any:
        value, others = given
        for name in ("field", "otherName"):
            try:
                return model(**{name: value}, **others)
            except Exception:  # noqa: BLE001 - not a value that it accepts
                continue
        return None

    values = st.tuples(kind.values, more).map(make)
    return Kind(model, values, f"model of {kind.name}")


_numbers_of_classes = iter(range(10**9))


@st.composite
def events(draw: st.DrawFn, classes: EventRegistry) -> Event | None:
    """An event of a class that is drawn; None where the class or its values are refused before."""
    drawn = draw(st.lists(kinds(), min_size=1, max_size=3))
    config = draw(st.sampled_from([ConfigDict(), ConfigDict(), *_CONFIGS]))
    parent = type("Parent", (Event,), {"__module__": __name__, "model_config": config})
    parents = draw(st.sampled_from([(parent,), (parent,), (Computing, parent), (Writing, parent)]))
    fields: Any = {f"field_{number}": draw(fields_of(kind)) for number, kind in enumerate(drawn)}
    try:
        event_class: Any = create_model(
            f"Drawn{next(_numbers_of_classes)}",
            __base__=parents,
            __module__=__name__,
            __cls_kwargs__={"category": "drawn", "registry": classes},
            **fields,
        )
    except (ConfigurationError, TypeError) as error:
        note("class refused: " + type(error).__name__)
        return None
    given: dict[str, Any] = {}
    for number, kind in enumerate(drawn):
        if fields[f"field_{number}"][1] is ... or draw(st.booleans()):
            given[f"field_{number}"] = draw(kind.values)
    try:
        made = event_class(**given)
    except (DomainError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        note("value refused by the class: " + type(error).__name__)
        return None
    return cast("Event", made)


def same(written: Any, read: Any) -> bool:
    """Whether two values are equal, type and all: a comparison of the test's own, by their parts."""
    if type(written) is not type(read):
        return False
    parts = [_parts(each) for each in (written, read)]
    if parts[0] is not None:
        return len(parts[0]) == len(parts[1]) and all(map(same, *parts))
    if isinstance(written, Decimal):
        return str(written) == str(read)
    if isinstance(written, datetime) and written.utcoffset() != read.utcoffset():
        return False
    return bool(written == read)


def _parts(value: Any) -> Any:
    """What a value consists of, in an order that equal ones share; None: it has no parts."""
    if isinstance(value, BaseModel):
        return [
            *(value.__dict__[name] for name in type(value).model_fields),
            value.__pydantic_extra__,
            value.__pydantic_private__,
        ]
    if dataclasses.is_dataclass(value):
        return [getattr(value, each.name) for each in dataclasses.fields(value)]
    if isinstance(value, collections.OrderedDict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, dict):
        return [part for pair in sorted(value.items(), key=lambda pair: repr(pair[0])) for part in pair]
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return list(value) if isinstance(value, list | tuple | collections.deque) else None


def as_jsonb(text: str) -> str:
    """What PostgreSQL writes of a document that it has kept as jsonb; a model of its own, by the manual."""

    def numeral(token: str) -> Any:
        number = Decimal(token)
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        plain = f"{abs(number) if not any(digits) else number:f}"
        return _Numeral(plain)

    def in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(sorted(dict(pairs).items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode())))

    def written(value: Any) -> str:
        if isinstance(value, _Numeral):
            return str(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)}: {written(each)}" for key, each in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        return json.dumps(value)

    parsed = json.loads(text, parse_float=numeral, parse_int=numeral, object_pairs_hook=in_order)
    return written(parsed)


def _as_texts(document: str) -> Any:
    """What a JSON document holds, in its order, each number as it is written."""
    return json.loads(document, parse_float=_Numeral, parse_int=_Numeral, object_pairs_hook=list)


class _Numeral(str):
    __slots__ = ()


def row_of(made: Event, classes: EventRegistry) -> list[Any] | None:
    """The columns that are read of an event, in the order of `COLUMNS`; None where the append refuses it."""
    staged = StagedEvent(UUID(int=1), 1, PendingEvent(uuid4(), made))
    try:
        columns = to_columns([staged], classes=classes)
    except EventEncodingError as error:
        text = str(error)
    else:
        note("kept")
        return [1, *(column[0] for column in columns.per_event), made.occurred_at]
    assert "\n" not in text
    assert len(text) < 2_000
    note(f"refused: {text.partition(' of stream ')[2][37:67]}")
    return None


def read(row: list[Any], classes: EventRegistry, text: str) -> Event:
    """The event that is read of a row whose data is this text."""
    row[COLUMNS.index("data")] = text
    (recorded,) = decode_page([row], classes=classes)
    return recorded.event


LAW = settings(suppress_health_check=list(HealthCheck), deadline=None)


@settings(LAW, max_examples=examples(400))
@given(st.data())
def test_what_is_appended_comes_back_or_is_refused(data: st.DataObject) -> None:
    """Whatever the class and the value, through the text that jsonb gives back."""
    classes = EventRegistry()
    made = data.draw(events(classes))
    if made is not None and (row := row_of(made, classes)) is not None:
        text = row[COLUMNS.index("data")]
        back = read(row, classes, as_jsonb(text))
        assert same(made, back), f"{made!r} came back as {back!r} from {text}"


@settings(LAW, max_examples=examples(100))
@given(st.data())
async def test_a_server_gives_back_what_the_model_says(
    migrated_config: DatabaseConfig, data: st.DataObject
) -> None:
    """The law once more with PostgreSQL's own jsonb, and with the log that an event is appended to."""
    classes = EventRegistry()
    made = data.draw(events(classes))
    if made is None or (row := row_of(made, classes)) is None:
        return
    text = row[COLUMNS.index("data")]
    async with await ConnectionFactory.create_connection(migrated_config) as connection:
        log = EventLog(connection, classes=classes)
        async with connection.acquire() as one:
            stored = await one.fetchval("SELECT $1::text::jsonb::text", text)
        assert _as_texts(stored) == _as_texts(as_jsonb(text))
        stream_id = uuid4()
        await log.append(StreamAppend(stream_id, 0, (PendingEvent(uuid4(), made),)))
        (recorded,) = await log.read_stream(stream_id)
    assert same(made, read(row, classes, stored))
    assert same(made, recorded.event)
