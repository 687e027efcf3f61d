"""What an event holds comes back equal, type and all, or the event is refused: a table of types, each with its values.

What is read is what PostgreSQL gives back of the JSON as jsonb; `tests/properties/test_read_back_laws.py` asks a server.
"""

# mypy: disable-error-code="no-untyped-call, type-arg, misc"

from __future__ import annotations

import collections
import dataclasses
import enum
import ipaddress
import math
import re
import sys
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    TypedDict,
    TypeVar,
    cast,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pandas as pd
import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
)

from eventstore.core.event import Event, PendingEvent
from eventstore.core.event_codec import event_codecs
from eventstore.core.read_back import first_difference
from eventstore.core.registry import EventRegistry
from eventstore.core.types import UtcDatetime
from eventstore.errors import ConfigurationError, DomainError, EventEncodingError
from eventstore.log.records import StagedEvent, to_columns

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

D = Decimal
ONE = D(1)
T = TypeVar("T")
BERLIN = ZoneInfo("Europe/Berlin")
classes = EventRegistry()


class Side(enum.StrEnum):
    """An enum of texts."""

    BUY = "B"
    SELL = "S"


class Tick(enum.Enum):
    """An enum of decimals."""

    QUARTER = D("0.25")
    HALF = D("0.50")


class Pair(enum.Enum):
    """An enum of tuples."""

    ONE = (1, 2)
    OTHER = (3, 4)


class Flags(enum.IntFlag):
    """Numbers that add up."""

    A = 1
    B = 2


class Mixed(enum.Enum):
    """Two members that JSON cannot tell apart."""

    TEXT = "1.5"
    NUMBER = D("1.5")


class Letter(enum.Enum):
    """An enum of bytes, which are written as the configuration says."""

    Y = b"y"
    Z = b"\xff"


class Mark(bytes, enum.Enum):
    """Bytes that are members."""

    Y = b"y"


class Span(enum.Enum):
    """An enum of durations."""

    SECOND = timedelta(seconds=1)
    DAY = timedelta(days=1)


class PointInTime(enum.Enum):
    """An enum of times."""

    FIRST = datetime(2026, 1, 1, tzinfo=UTC)


class Bound(enum.Enum):
    """An enum of floats."""

    NONE = math.inf
    ONE = 1.0


class Leg(BaseModel):
    """A model that may be a part."""

    price: D
    note: str | None = None


class LongLeg(Leg):
    """A subclass of it."""

    ratio: int = 1


class Frozen(BaseModel):
    """A part of which no subclass and no change can get in."""

    model_config = ConfigDict(frozen=True, revalidate_instances="subclass-instances")
    price: D


class Aliased(BaseModel):
    """A part with an alias."""

    model_config = ConfigDict(serialize_by_alias=True)
    quantity: int = Field(alias="orderQty")


class Open(BaseModel):
    """A part that takes anything."""

    model_config = ConfigDict(extra="allow")
    code: int


class TypedOpen(BaseModel):
    """A part that takes more values of one type."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, D]
    code: int


class Computing(BaseModel):
    """A part with a computed field."""

    size: int

    @computed_field
    @property
    def double(self) -> int:
        """Twice the size."""
        return 2 * self.size


class Remembering(BaseModel):
    """A part with a private attribute."""

    size: int
    _seen: int = PrivateAttr(default=0)


class Tree(BaseModel):
    """A part that has itself as a part."""

    value: D
    below: tuple[Tree, ...] = ()


class Tags(RootModel[tuple[str, ...]]):
    """A root model."""


class Maybe(RootModel[D | None]):
    """A root model that may be None."""


class Cents(BaseModel):
    """A part whose field has a serializer and a validator that fit each other."""

    price: D

    @field_serializer("price")
    def _as_cents(self, value: D) -> int:
        return int(value * 100)

    @field_validator("price", mode="before")
    @classmethod
    def _of_cents(cls, value: Any) -> Any:
        return D(value) / 100 if type(value) is int else value


class Cat(BaseModel):
    """One of two."""

    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"] = "dog"
    name: str


class Box(BaseModel, Generic[T]):
    """A generic part."""

    value: T


class Point(NamedTuple):
    """A tuple with names."""

    x: D
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Fee:
    """A dataclass."""

    amount: D
    kind: str | None


@dataclasses.dataclass
class Slip:
    """A dataclass with defaults."""

    amount: D = ONE
    kind: str | None = "none"


class Symbol:
    """A type of a user's own."""

    def __init__(self, name: str) -> None:
        self.name = str(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class Nameless:
    """A type of a user's own that has no ==."""

    def __init__(self, name: str) -> None:
        self.name = name


TextOf = PlainSerializer(str)
InSymbol = Annotated[
    Symbol, PlainValidator(lambda value: value if type(value) is Symbol else Symbol(value)), TextOf
]
InNameless = Annotated[
    Nameless,
    PlainValidator(lambda value: value if type(value) is Nameless else Nameless(value)),
    PlainSerializer(lambda value: value.name),
]

numbers = iter(range(10**9))


def event_of(annotation: Any, **field: Any) -> Any:
    """An event with one field of a type."""
    given: Any = (annotation, Field(**field)) if field else (annotation, ...)
    return create_model(
        f"Held{next(numbers)}",
        __base__=Event,
        __module__=__name__,
        __cls_kwargs__={"category": "tested types", "registry": classes},
        value=given,
    )


def encoded(event: Event) -> str:
    """What the append sends of an event."""
    staged = StagedEvent(uuid.UUID(int=1), 1, PendingEvent(uuid.UUID(int=2), event))
    return to_columns([staged], classes=classes).data[0]


def kept(event: Event) -> None:
    """Check that an event comes back."""
    encoded(event)
    back = event_codecs[type(event)].restored(event)
    assert back == event
    assert first_difference(event, back, "") is None


KEPT: list[tuple[Any, list[Any]]] = [
    (str, ["", "é\N{ROCKET}", "\\u0000", "null", "-0.0", "1e400", "\x1f\x7f\u2028"]),
    (int, [0, -(2**63), 2**64, -(2**70), 10**400]),
    (bool, [True, False]),
    (float, [0.1, -0.0, 1.0, 1e15, 1e16, 1e22, 1e300, 5e-324, -1.7976931348623157e308, math.inf, -math.inf]),
    (Annotated[float, Field(strict=True)], [0.1, 1e16, -0.0]),
    (D, [D("1.50"), D("-0"), D("1E+3"), D("1E-400"), D(10) ** 50, D("0E+5")]),
    (Annotated[D, Field(allow_inf_nan=True)], [D("Infinity"), D("-Infinity"), D(1)]),
    (UUID, [UUID(int=7)]),
    (bytes, [b"", b"a", b"\xff\x00\xfe"]),
    (date, [date(2026, 1, 1), date.min, date.max]),
    (Annotated[date, Field(strict=True)], [date(2026, 1, 1)]),
    (time, [time(9, 30), time(9, 30, 0, 1, UTC)]),
    (timedelta, [timedelta(0), timedelta(days=-1, microseconds=1), timedelta(days=400, seconds=3)]),
    (
        datetime,
        [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, 9, 0, 0, 7, BERLIN)],
    ),
    (UtcDatetime, [datetime(2026, 1, 1), pd.Timestamp("2026-01-01 09:00:00.000000001", tz="UTC")]),
    (Side, list(Side)),
    (Tick, list(Tick)),
    (Pair, list(Pair)),
    (Letter, list(Letter)),
    (tuple[Letter, ...], [tuple(Letter)]),
    (Mark, list(Mark)),
    (Span, list(Span)),
    (PointInTime, list(PointInTime)),
    (Bound, list(Bound)),
    (Flags, [Flags.A, Flags.B]),
    (Literal["a", 1, Side.BUY], ["a", 1, Side.BUY]),
    (Literal[True, "x"], [True, "x"]),
    (str | None, [None, ""]),
    (Annotated[str | None, Field(min_length=1)], [None, "a"]),
    (list[int], [[], [1, 2**80]]),
    (list[D | None], [[None, D("1.0")]]),
    (set[D], [{D("1.0"), D(2)}]),
    (frozenset[Side], [frozenset(Side)]),
    (collections.deque[D], [collections.deque([D("1.0")], maxlen=None)]),
    (tuple[D, ...], [(), (D("1.0"), D("1.00"))]),
    (tuple[int, str, D | None], [(1, "a", None)]),
    (tuple[()], [()]),
    (Point, [Point(D("1.0"), 3)]),
    (dict[str, D], [{}, {"a": D("1.0"), "": D(2)}]),
    (dict[str, D | None], [{"a": None}]),
    (dict[int, str], [{1: "a", -2: "b", 2**70: "c"}]),
    (dict[D, Side], [{D("1.50"): Side.BUY}]),
    (dict[date, list[Leg]], [{date(2026, 1, 1): [Leg(price=D(1))]}]),
    (dict[str, Any], [{"a": [1, 1.5, None, True, 1e16, {"b": {}}], "longer": None, "z": 2**65}]),
    (Any, [None, 1, "a", [1], {"a": None}, 1.0]),
    (collections.OrderedDict[str, int], [collections.OrderedDict(a=1, b=2, aa=0)]),
    (collections.defaultdict[str, int], [collections.defaultdict(int, a=1)]),
    (collections.Counter[str], [collections.Counter("aab")]),
    (Leg, [Leg(price=D("1.0")), Leg(price=D(1), note="x")]),
    (Leg | None, [None, Leg(price=D(1))]),
    (LongLeg, [LongLeg(price=D(1), ratio=3)]),
    (Frozen, [Frozen(price=D("1.0"))]),
    (tuple[Leg, ...], [(Leg(price=D(1)), Leg(price=D(2), note="a"))]),
    (Aliased, [Aliased(orderQty=5)]),
    (list[Aliased] | None, [[Aliased(orderQty=5)]]),
    (Aliased | Leg, [Aliased(orderQty=5), Leg(price=D(1))]),
    (Open, [Open(code=1, text="x", more=[None]), Open(code=1)]),
    (TypedOpen, [TypedOpen(code=1, price=D("1.50"))]),
    (Computing, [Computing(size=2)]),
    (Remembering, [Remembering(size=2)]),
    (Tree, [Tree(value=D(1), below=(Tree(value=D("2.0")),))]),
    (Tags, [Tags(("a",))]),
    (Maybe, [Maybe(D("1.0"))]),
    (tuple[Maybe, ...], [(Maybe(None), Maybe(D(1)))]),
    (Cents, [Cents(price=D("1.5"))]),
    (Cat | Dog, [Cat(lives=9), Dog(name="a")]),
    (Annotated[Cat | Dog, Field(discriminator="kind")], [Cat(lives=9), Dog(name="a")]),
    (Box[D], [Box[D](value=D("1.0"))]),
    (Fee, [Fee(D("1.0"), None), Fee(D(1), "a")]),
    (Slip, [Slip(), Slip(D(2), None)]),
    (int | str, [1, "1", "a"]),
    (int | float, [1, 1.0, 1e16, 2.5]),
    (bool | int, [True, 1, 0]),
    (D | int, [1]),
    (D | str, [D("1.50"), "a"]),
    (date | int, [date(2026, 1, 1), 3]),
    (Path, [Path("a/b")]),
    (AnyUrl, [AnyUrl("https://a.b/c?d=1")]),
    (ipaddress.IPv4Address, [ipaddress.IPv4Address("10.0.0.1")]),
    (re.Pattern[str], [re.compile("a+")]),
    (Json[list[int]], ["[1,2]"]),
    (InSymbol, [Symbol("ES")]),
    (Annotated[str, AfterValidator(str.upper)], ["es"]),
    (Annotated[str, AfterValidator(lambda text: text + "!")], ["es"]),
    (Annotated[D, AfterValidator(lambda value: value * 2)], [D("1.5")]),
    (Annotated[Symbol, BeforeValidator(lambda v: v), PlainValidator(Symbol), TextOf], ["ES"]),
    (Annotated[date, AfterValidator(lambda day: day + timedelta(days=1))], [date(2026, 1, 1)]),
]


@pytest.mark.parametrize(
    ("annotation", "values"), KEPT, ids=lambda value: str(value)[:60] if not isinstance(value, list) else ""
)
def test_these_come_back(annotation: Any, values: list[Any]) -> None:
    """Each value of each of these types is read as it was written, in a field and in parts of one."""
    one = event_of(annotation)
    for value in values:
        kept(one(value=value))
    parts: list[tuple[Any, Callable[[Any], Any]]] = [
        (tuple[annotation, ...], lambda value: [value, value]),
        (list[annotation | None], lambda value: [None, value]),
        (dict[str, annotation], lambda value: {"key": value}),
    ]
    for outer, around in parts:
        whole = event_of(outer)
        for value in values:
            kept(whole(value=around(value)))


REFUSED: list[tuple[Any, Any, str]] = [
    (float, math.nan, "nan"),
    (Annotated[D, Field(allow_inf_nan=True)], D("NaN"), "NaN"),
    (list[float], [1.0, math.nan], r"value\[1\] is nan"),
    (Leg, LongLeg(price=D(1)), "declare the field as LongLeg"),
    (tuple[Leg, ...], (Leg(price=D(1)), LongLeg(price=D(1))), r"value\[1\]"),
    (SerializeAsAny[Leg], LongLeg(price=D(1)), "LongLeg"),
    (D | str, "1.50", r"value is '1.50' \(str\), and would be read back as Decimal\('1.50'\)"),
    (UUID | str, str(UUID(int=7)), "declare the field as str alone, or give a UUID"),
    (dict[str, Any], {"price": D("1.5")}, r"value\['price'\] is Decimal\('1.5'\)"),
    (dict[str, Any], {"at": datetime(2026, 1, 1, tzinfo=UTC)}, "datetime"),
    (dict[str, Any], {"pair": (1, 2)}, "tuple"),
    (dict[int | str, str], {1: "a", "1": "b"}, "value"),
    (Any, Leg(price=D(1)), "Leg"),
    (Any, {1, 2}, "set"),
    (Maybe, Maybe(None), "Maybe"),
    (Mixed, Mixed.NUMBER, "Mixed"),
    (datetime, pd.Timestamp("2026-01-01"), "Timestamp"),
    (timedelta, pd.Timedelta(1), "Timedelta"),
    (datetime, datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), "datetime"),
    (datetime, datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=3208))), "datetime"),
    (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2), "OrderedDict"),
    (str, "a\x00b", "NUL"),
    (dict[str, int], {"a\x00": 1}, "NUL"),
    (str, "\ud800", "cannot be written as JSON"),
    (Annotated[D, PlainSerializer(float)], D("1.50"), r"1\.50"),
    (Annotated[float, AfterValidator(lambda value: D(repr(value)))], 1.5, "Decimal"),
    (Annotated[str, PlainSerializer(lambda _: "x")], "abc", "abc"),
    (Annotated[str | None, PlainSerializer(lambda value: value or "")], None, "None"),
    (InNameless, Nameless("a"), "Nameless"),
]


@pytest.mark.parametrize(("annotation", "value", "words"), REFUSED)
def test_these_are_refused(annotation: Any, value: Any, words: str) -> None:
    """A value that would be read as another one is refused in one line, which names event, field and stream."""
    event_class = event_of(annotation)
    event = event_class(value=value)
    if (
        annotation == Literal[1, True]
    ):  # told apart by neither Python nor JSON: whichever it is, it comes back
        kept(event)
        return
    with pytest.raises(EventEncodingError, match=words) as caught:
        encoded(event)
    assert "\n" not in str(caught.value)
    assert caught.value.stream_id == UUID(int=1)
    assert f"tested types/{event_class.type} of stream" in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)


def test_an_integer_that_python_would_not_parse_is_refused():
    """It takes no text of more than 4,300 digits for a number."""
    with pytest.raises(EventEncodingError):
        encoded(event_of(int)(value=10**5000))


def test_the_sign_of_zero_is_kept_in_a_field_that_is_a_float():
    """Jsonb has no -0.0: in a field that takes anything, it is read as 0.0, which is equal."""
    for annotation, value in ((float, -0.0), (list[float], [-0.0, 1.0]), (dict[str, float], {"a": -0.0})):
        back: Any = event_codecs[one].restored(one(value=value)) if (one := event_of(annotation)) else None
        assert repr(back.value) == repr(value)
    anything = event_of(dict[str, Any])
    back = event_codecs[anything].restored(anything(value={"a": -0.0, "b": 1e16}))
    assert repr(back.value) == repr({"a": 0.0, "b": 1e16})


UNSTORABLE: list[tuple[str, dict[str, Any]]] = [
    ("a secret text", {"key": (SecretStr, ...)}),
    ("a list of secrets", {"key": (list[SecretBytes] | None, None)}),
    ("a secret number", {"key": (Secret[int], ...)}),
    ("an iterator", {"values": (collections.abc.Iterable[int], ...)}),
    ("a function", {"rule": (collections.abc.Callable[[], int], ...)}),
    ("a class", {"kind": (type[int], ...)}),
    ("excluded", {"note": (str, Field(default="", exclude=True))}),
]


@pytest.mark.parametrize(("why", "fields"), UNSTORABLE)
def test_a_class_that_can_never_be_read_back_is_refused_where_it_is_defined(why: str, fields: Any) -> None:
    """In one line that names class and field, before there is an event; and it is not registered."""
    keywords: dict[str, Any] = {"category": "tested types", "registry": classes}
    with pytest.raises(ConfigurationError, match=f"field {next(iter(fields))} of Refused") as caught:
        create_model("Refused", __base__=Event, __module__=__name__, __cls_kwargs__=keywords, **fields)
    assert "\n" not in str(caught.value)
    assert ("tested types", "Refused") not in classes._classes, why


def test_a_secret_inside_of_a_part_is_found():
    """However deep it lies."""

    class Account(BaseModel):
        keys: dict[str, tuple[SecretStr, ...]]

    with pytest.raises(ConfigurationError, match="a secret is written as asterisks"):
        event_of(list[Account] | None)


@pytest.mark.parametrize("name", ["type", "category", "schema_version", "to_json", "from_stored"])
def test_a_field_that_hides_what_events_go_by_is_refused(name: str) -> None:
    """Pydantic warns at most."""
    fields: dict[str, Any] = {name: (str, ...)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigurationError, match=f"Hiding has a field '{name}'"):
            create_model(
                "Hiding",
                __base__=Event,
                __module__=__name__,
                __cls_kwargs__={"category": "tested types", "registry": classes},
                **fields,
            )


def test_occurred_at_cannot_be_defined_anew():
    """The envelope has it, in UTC and finite."""
    with pytest.raises(ConfigurationError, match="redefines occurred_at"):

        class Odd(Event, category="tested types", registry=classes):
            occurred_at: datetime


def test_a_serializer_of_the_whole_event_is_refused():
    """What it writes is not what the log keeps."""
    with pytest.raises(ConfigurationError, match="Rewritten has a custom serializer"):

        class Rewritten(Event, category="tested types", registry=classes):
            value: int

            @model_serializer
            def _write(self) -> dict[str, Any]:
                return {"other": self.value}


class Quoted(Event, category="tested types", registry=classes):
    """An event with everything that pydantic adds to a class."""

    model_config = ConfigDict(serialize_by_alias=True)

    quantity: int = Field(alias="orderQty")
    made: int | None = Field(default_factory=lambda data: data["quantity"])
    none: str | None = "default"
    price: D = 0  # type: ignore[assignment]  # validated, as all defaults are
    ratio: float = 1
    tags: list[str] = []  # noqa: RUF012 - as users write it

    @computed_field
    @property
    def notional(self) -> D:
        """What it comes to."""
        return self.quantity * self.price


def test_aliases_defaults_and_computed_fields():
    """A field is stored under its name, None is not mistaken for a default, and what is computed is not stored."""
    made: Any = Quoted  # mypy knows one name alone
    event = made(orderQty=5, made=None, none=None)
    kept(event)
    assert event == Quoted(quantity=5, made=None, none=None, occurred_at=event.occurred_at)
    assert made(orderQty=5).made == 5
    assert (type(event.price), type(event.ratio)) == (D, float)
    assert encoded(event) == '{"quantity":5,"made":null,"none":null,"price":"0","ratio":1.0,"tags":[]}'
    one, other = (Quoted.from_stored({"quantity": 5}, event.occurred_at) for _ in range(2))
    assert (one.made, one.none, one.price, one.ratio) == (5, "default", D(0), 1.0)
    assert one.tags is not other.tags


def test_a_private_attribute_that_was_set_is_refused():
    """It is in no JSON; one that is as it was made comes back."""

    class Counted(Event, category="tested types", registry=classes):
        value: int
        _seen: int = PrivateAttr(default=0)

    kept(Counted(value=1))
    event = Counted(value=1)
    event._seen = 1
    with pytest.raises(EventEncodingError, match="_seen is 1"):
        encoded(event)


def test_what_was_changed_in_place_is_looked_at():
    """A list may have been added to since it was validated."""
    event = event_of(list[D])(value=[D(1)])
    kept(event)
    event.value.append(2)
    with pytest.raises(EventEncodingError, match=r"value\[1\] is 2 \(int\)"):
        encoded(event)


def test_a_copy_with_other_values_is_validated():
    """Pydantic's own would take anything."""
    event = Quoted(quantity=5)
    assert event.model_copy(update={"quantity": 6}) == Quoted(
        quantity=6, made=5, occurred_at=event.occurred_at
    )
    assert event.model_copy() == event
    twice = event_of(Annotated[D, AfterValidator(lambda value: value * 2)])(value=D(1))
    assert twice.model_copy(update={"occurred_at": twice.occurred_at}) == twice
    with pytest.raises(ValueError, match="quantity"):
        event.model_copy(update={"quantity": "many"})


@pytest.mark.parametrize(
    ("option", "annotation", "value"),
    [
        ({"ser_json_bytes": "hex", "val_json_bytes": "hex"}, Letter, Letter.Y),
        ({"ser_json_bytes": "utf8", "val_json_bytes": "utf8"}, Letter, Letter.Y),
        ({"ser_json_timedelta": "float"}, Span, Span.DAY),
        ({"ser_json_temporal": "seconds"}, PointInTime, PointInTime.FIRST),
        ({"ser_json_inf_nan": "constants"}, Bound, Bound.ONE),
    ],
)
def test_members_are_read_however_the_configuration_writes_them(option: Any, annotation: Any, value: Any):
    """Of an enum the JSON is that of its values, which the configuration may change."""

    class Configured(Event, category="tested types", registry=classes):
        model_config = cast("ConfigDict", option)
        value: Any

    kind: Any = create_model(
        f"Held{next(numbers)}",
        __base__=Configured,
        __module__=__name__,
        __cls_kwargs__={"category": "tested types", "registry": classes},
        value=(annotation, ...),
    )
    kept(kind(value=value))


def test_members_of_a_part_are_written_as_the_event_says():
    """The part's own configuration says nothing of them."""

    class Part(BaseModel):
        model_config = ConfigDict(frozen=True, revalidate_instances="always")
        letter: Letter

    kept(event_of(Part)(value=Part(letter=Letter.Z)))


def test_an_event_is_validated_however_it_is_made():
    """Pydantic's `model_construct` would take anything, and leave out what is required."""
    kind = event_of(D)
    assert kind.model_construct(value=1).value == ONE
    assert kind.model_construct({"value"}, value=1).model_fields_set == {"value"}
    for values in ({}, {"value": None}, {"value": "many"}):
        with pytest.raises(DomainError):
            kind.model_construct(**values)


@pytest.mark.filterwarnings("error")
def test_a_value_that_was_put_past_the_validators_is_refused():
    """Also in a class whose events are not read back when they are written."""
    for value in (1, 1.5, "1.5"):
        event = event_of(D)(value=ONE)
        event.__dict__["value"] = value
        with pytest.raises(EventEncodingError, match="cannot be written"):
            encoded(event)


def test_the_default_of_a_dictionary_is_not_lost():
    """A dictionary that makes what is missing is read with what its type makes."""
    kind = event_of(collections.defaultdict[str, int])
    kept(kind(value=collections.defaultdict(int, a=1)))
    with pytest.raises(EventEncodingError):
        encoded(kind(value=collections.defaultdict(lambda: 5, a=1)))


@pytest.mark.parametrize("value", [datetime(2026, 10, 25, 2, 30, fold=1), time(2, 30, fold=1)])
def test_the_second_of_two_equal_times_is_refused(value: Any):
    """A time without an offset may be twice in a night; JSON keeps the first."""
    with pytest.raises(EventEncodingError, match="fold=1"):
        encoded(event_of(type(value))(value=value))


class Odd(Event, category="tested types", registry=classes):
    """Code of a user's puts what no validator has seen into a field."""

    value: D


class Initialised(Odd):
    """In its constructor."""

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        self.__dict__["value"] = 1.5


class Finished(Odd):
    """After its constructor."""

    def model_post_init(self, _context: Any, /) -> None:
        """Change it."""
        self.__dict__["value"] = 1.5


class Changeable(Odd):
    """Whenever it likes."""

    model_config = ConfigDict(frozen=False)


@pytest.mark.parametrize("kind", [Initialised, Finished, Changeable])
def test_a_value_that_no_validator_has_seen_is_looked_at(kind: Any):
    """An event of such a class is never taken for what its types say."""
    event = kind(value=D(1))
    if kind is Changeable:
        kept(event)
        event.value = 1.5
    with pytest.raises(EventEncodingError, match=r"value is 1.5 \(float\)"):
        encoded(event)


def test_type_and_category_may_be_class_variables():
    """As they are of the base class."""

    class Named(Event, registry=classes):
        category: ClassVar[str] = "tested types"
        type: ClassVar[str] = "NamedOtherwise"

    assert classes.find("tested types", "NamedOtherwise") is Named
    kept(Named())


EXACT: list[Any] = [str, int, D, bool, UUID, UtcDatetime, Side, tuple[D, ...], Frozen, Literal["a"], D | None]
LOOKED_AT: list[Any] = [float, datetime, date, Any, Leg, list[int], dict[str, D], D | str, Mixed]


def test_an_exact_class_is_not_read_back_when_it_is_written():
    """Of most classes it is known once and for all; the others are looked at value by value."""
    assert all(event_codecs[event_of(one)].is_exact for one in EXACT)
    assert not any(event_codecs[event_of(one)].is_exact for one in LOOKED_AT)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="pydantic takes those of typing from Python 3.12 on")
def test_typed_dictionaries_come_back():
    """With keys that may be missing."""

    class Half(TypedDict):
        price: D
        note: NotRequired[str]

    for value in ({"price": D("1.0")}, {"price": D(1), "note": "a"}):
        kept(event_of(Half)(value=value))


class Flagged(Event, category="flagged"):
    """An event with flags and tuples."""

    is_off: bool = False
    is_on: bool = True
    none: tuple[int, ...] = ()
    some: tuple[int, ...] = (1,)
    zero: int = 0
    required: bool


def test_a_flag_that_is_off_and_an_empty_tuple_are_left_out_if_that_is_their_default():
    """Only False and () of such fields are: 0, another default, and a required field are stored; all come back equal."""
    event = Flagged(required=False)
    assert orjson.loads(event.to_json()) == {"is_on": True, "some": [1], "zero": 0, "required": False}
    other = Flagged(required=True, is_off=True, is_on=False, none=(2,), some=())
    assert orjson.loads(other.to_json()) == {
        "is_off": True,
        "is_on": False,
        "none": [2],
        "some": [],
        "zero": 0,
        "required": True,
    }
    for each in (event, other):
        assert event_codecs[Flagged].restored(each) == each


class Switched(Event, category="switched", registry=classes):
    """An event whose flags and tuples may be unknown, though their defaults are False and ()."""

    is_known: bool | None = False
    names: tuple[str, ...] | None = ()
    way: Literal[False, True] | None = False


class SwitchedToo(Event, category="switched", registry=classes):
    """An event with defaults of False and (), and other values that count as false."""

    count: int | bool = False
    text: tuple[str, ...] | str = ()


@pytest.mark.parametrize(
    "event",
    [
        Switched(),
        Switched(is_known=None),
        Switched(names=None),
        Switched(way=None),
        Switched(is_known=None, names=None, way=None),
        Switched(is_known=True, names=None),
        SwitchedToo(),
        SwitchedToo(count=0),
        SwitchedToo(text=""),
    ],
)
def test_only_false_and_an_empty_tuple_are_left_out(event: Event):
    """A value that merely counts as false, such as None, is stored where the default is False or ()."""
    kept(event)


@pytest.mark.skipif(
    "ser_json_temporal" not in ConfigDict.__annotations__, reason="pydantic has it from 2.12 on"
)
def test_times_that_are_written_as_numbers_are_read_back_or_refused():
    """Where a class sets that, its events are checked when they are written: also the times of models in them."""

    class Slot(BaseModel):
        model_config = ConfigDict(
            frozen=True, revalidate_instances="always", ser_json_temporal="milliseconds"
        )

        at: UtcDatetime

    class Timed(Event, category="timed", registry=classes):
        model_config = ConfigDict(ser_json_temporal="milliseconds")

        at: UtcDatetime | None = None
        day: date | None = None

    class Slotted(Event, category="timed", registry=classes):
        slot: Slot

    when, early = datetime(2026, 1, 1, 9, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    for event in (Timed(at=when, day=when.date()), Slotted(slot=Slot(at=when))):
        kept(event)
    for event in (Timed(at=early), Slotted(slot=Slot(at=early))):
        with pytest.raises(EventEncodingError, match="would not be read back equal"):
            encoded(event)
