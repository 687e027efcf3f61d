"""Creation of events from usual values: as pydantic does it, and without pydantic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given
from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from eventstore import Order, OrderSide
from eventstore.core import Event
from eventstore.core.event import Amended
from eventstore.core.registry import EventRegistry
from eventstore.core.usual import creates
from eventstore.domain.order_events import OrderCreated, OrderFilled
from eventstore.errors import DomainError
from tests.event_values import VALUES, WHEN, Noted, given_values


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


@given(drawn=given_values())
def test_an_event_is_as_pydantic_makes_it(drawn: tuple[type[Event], dict[str, Any]]):
    """Whatever is given, usual or not: the same state in value, type and order, the same fields set, or the same error."""
    with pytest.MonkeyPatch.context() as patch:
        _require_same(patch, *drawn)


@pytest.mark.parametrize("name", Noted.model_fields)
def test_each_value_of_each_kind_of_field_is_as_pydantic_takes_it(name: str, monkeypatch: pytest.MonkeyPatch):
    """Each kind of field takes, changes and refuses the same values."""
    for value in VALUES:
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


_OWN = EventRegistry()


class Hedge(Event, category="hedge", registry=_OWN):
    """A field whose validator looks at another field, and is None where it is not given."""

    size: int
    reason: str | None = None

    @field_validator("reason")
    @classmethod
    def needs_reason(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A large one needs a reason."""
        if value is None and info.data["size"] > 100:
            raise ValueError("a large hedge needs a reason")
        return value


class Counted(Event, category="counted", registry=_OWN):
    """A validator that returns another value at each run, and a factory that looks at the fields before it."""

    runs: ClassVar[list[int]] = []
    a: int = 0
    number: int = 0
    b: int = Field(default_factory=lambda fields: fields.get("c", -1) + fields["a"])
    c: int = 5

    @field_validator("number")
    @classmethod
    def count(cls, value: int) -> int:
        """The number of this run."""
        cls.runs.append(value)
        return len(cls.runs)


def test_a_rule_for_a_field_that_is_not_given_holds():
    """The user's validator of a field runs although nothing was given for it."""
    with pytest.raises(DomainError, match="a large hedge needs a reason"):
        Hedge(size=500)
    assert Hedge(size=5).reason is None
    assert Hedge(size=500, reason="roll").reason == "roll"


def test_a_default_that_is_made_anew_each_time_is():
    """A validator that changes the default runs for each event; a factory sees only the fields before its own."""
    first, second = Counted(a=1), Counted(a=1)
    assert first.number != second.number
    assert first.b == Counted(a=1, c=9).b == 0


def test_events_do_not_share_the_set_of_given_fields():
    """What one event says about its given fields is not what another one says."""

    class Moved(Amended, category="moved", registry=_OWN):
        x: int = 0
        y: int = 0

    one = Moved(x=5)
    Moved.model_construct({"y"}, x=7)
    one.model_fields_set.add("y")
    assert Moved(x=6).changes == {"x": 6}
    assert Moved(x=6).to_json() == b'{"x":6}'
