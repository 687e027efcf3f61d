"""Creation of events from usual values: as pydantic does it, and without pydantic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from eventstore import Order, OrderSide
from eventstore.core import Event
from eventstore.core.registry import EventRegistry, registry as shared
from eventstore.core.types import NonNegative, Price, Quantity, Text
from eventstore.core.usual import creates
from eventstore.domain.executions import Execution, ExecutionStatus, SplitRatio
from eventstore.domain.order import OrderType
from eventstore.domain.order_events import OrderCreated, OrderFilled
from eventstore.errors import DomainError

ID = UUID("0197b7f5-0000-7000-8000-000000000000")
WHEN = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


class Colour(Enum):
    """An enum of texts."""

    RED = "RED"


class Level(IntEnum):
    """An enum whose members are integers."""

    LOW = 1


class Word(str):
    """Text of another type."""

    __slots__ = ()


class Moment(datetime):
    """A time of another type."""


class Noted(Event, category="usual", registry=EventRegistry()):
    """One field of each kind."""

    text: str = "?"
    short: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    storable: Text | None = None
    matched: Annotated[str, Field(pattern="^a")] = "a"
    whole: int = 0
    small: Annotated[int, Field(ge=1, le=9)] = 1
    odd: Annotated[int, Field(multiple_of=3)] = 3
    real: float | None = None
    positive: Annotated[float, Field(gt=0)] = 1.0
    flag: bool = False
    colour: Colour | None = None
    level: Level = Level.LOW
    price: Price | None = None
    quantity: Quantity = Decimal(1)
    least: NonNegative = Decimal(0)
    doubled: Annotated[int, AfterValidator(lambda value: value * 2)] = 1
    ids: tuple[UUID, ...] = ()
    pair: tuple[str, int] | None = None
    names: tuple[Annotated[str, Field(max_length=2)], ...] = ()
    split: SplitRatio | None = None
    either: int | str = 0


_EXECUTION = Execution(
    execution_id="E", side=OrderSide.BUY, quantity=Decimal(1), price=Decimal(2), occurred_at=WHEN
)
_VALUES: list[Any] = [
    None, True, False, 0, 1, 7, -1, 2**63, 10**40, 1.5, float("nan"), float("inf"),
    "", "a", "ESU3", "é", "a\x00", "\ud800", "x" * 201, Word("a"), "RED", "BUY",
    *map(Decimal, ("0", "-0", "1", "-2.50", "1E+3", "NaN", "Infinity", "1" * 35, "0." + "1" * 33)),
    WHEN, WHEN.replace(fold=1), WHEN.replace(tzinfo=None), WHEN.astimezone(timezone(timedelta(hours=2))),
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), Moment(2026, 1, 2, tzinfo=UTC), WHEN.date(),
    ID, str(ID), (), (ID,), (str(ID),), ("a", "bc"), ("abc",), ["a"], ("a", 1), [], {}, {"a": "b"}, {"new": 2, "old": 1},
    SplitRatio(new=2, old=1), _EXECUTION, (_EXECUTION,),
    Colour.RED, Level.LOW, OrderSide.BUY, OrderType.LIMIT, OrderType.MARKET, ExecutionStatus.COUNTED,
]  # fmt: skip
_USUAL_ORDER = {
    "symbol": "ESU3",
    "side": OrderSide.BUY,
    "order_type": OrderType.MARKET,
    "quantity": Decimal(1),
}
_USUAL_FILL = {"quantity": Decimal(1), "price": Decimal(2)}


def _outcome(kind: type[Event], values: dict[str, Any]) -> Any:
    """The state of the event in order, with types, and the given fields; or the error."""
    try:
        event = kind(**values)
    except (DomainError, UnicodeEncodeError) as error:
        return type(error), str(error)
    state = [(name, type(value), repr(value)) for name, value in event.__dict__.items()]
    return state, event.model_fields_set, event.model_extra


def _require_same(monkeypatch: pytest.MonkeyPatch, kind: type[Event], values: dict[str, Any]) -> None:
    outcome = _outcome(kind, values)
    with monkeypatch.context() as patch:
        patch.setitem(creates, kind, lambda *_: False)
        assert outcome == _outcome(kind, values)


@given(data=st.data())
def test_an_event_is_as_pydantic_makes_it(data: st.DataObject):
    """Whatever is given, usual or not: the same state in value, type and order, the same fields set, or the same error."""
    kinds: list[type[Event]] = [Noted, *sorted(shared, key=lambda one: one.__name__)]
    kind = data.draw(st.sampled_from(kinds))
    names = [name for name in kind.model_fields if name not in ("occurred_at", "created_at")]
    values: dict[str, Any] = {
        "occurred_at": WHEN,
        **({"created_at": WHEN} if "created_at" in kind.model_fields else {}),
    }
    if kind is OrderCreated:
        values.update(_USUAL_ORDER)
    elif kind is OrderFilled:
        values.update(_USUAL_FILL)
    drawn = st.dictionaries(st.sampled_from([*names, "unknown"]), st.sampled_from(_VALUES), max_size=4)
    with pytest.MonkeyPatch.context() as patch:
        _require_same(patch, kind, {**values, **data.draw(drawn)})


@pytest.mark.parametrize("name", Noted.model_fields)
def test_each_value_of_each_kind_of_field_is_as_pydantic_takes_it(name: str, monkeypatch: pytest.MonkeyPatch):
    """Each kind of field takes, changes and refuses the same values."""
    for value in _VALUES:
        _require_same(monkeypatch, Noted, {"occurred_at": WHEN, name: value})


def test_an_order_of_usual_values_needs_no_validator(monkeypatch: pytest.MonkeyPatch):
    """The commands of an order make events of usual values without pydantic."""
    for kind in (OrderCreated, OrderFilled):
        assert creates[kind] is not None
        monkeypatch.setattr(kind, "__pydantic_validator__", None)
    order = Order.create_limit_order("ESU3", Decimal(5), OrderSide.BUY, limit_price=Decimal("1640.25"))
    assert order.fill(Decimal(2), Decimal("1640.25"), "E-1")
    assert order.filled_quantity == 2


def test_a_user_s_validator_of_a_model_is_called_once():
    """A validator of a whole event that a user wrote may have effects: only pydantic calls it."""
    calls: list[object] = []

    class Checked(Event, category="usual", registry=EventRegistry()):
        text: str

        @model_validator(mode="before")
        @classmethod
        def _note(cls, values: Any) -> Any:
            calls.append(values)
            return values

    Checked(text="é")
    assert len(calls) == 1


def test_settings_that_change_values_hold():
    """Pydantic applies the settings of the class to values that would be usual without them."""

    class Lower(Event, category="usual", registry=EventRegistry()):
        model_config = ConfigDict(str_to_lower=True)
        text: str

    class Renamed(Event, category="usual", registry=EventRegistry()):
        model_config = ConfigDict(populate_by_name=False)
        text: str = Field(alias="words")

    assert Lower(text="ABC").text == "abc"
    by_name: dict[str, Any] = {"text": "a"}
    with pytest.raises(DomainError, match="words"):
        Renamed(**by_name)
    assert Renamed(words="a").text == "a"
