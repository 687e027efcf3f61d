"""Events are written without pydantic as pydantic writes them, or by pydantic."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Self
from uuid import UUID, uuid4

import pytest
from hypothesis import given

from eventstore import Order, OrderSide
from eventstore.core import Event, event_codec
from eventstore.core.event_codec import EventCodec
from eventstore.core.plain_writer import writer_of
from eventstore.core.registry import EventRegistry
from eventstore.core.types import Text, UtcDatetime
from eventstore.domain.order_events import OrderCreated, OrderFilled, OrderSubmitted
from eventstore.errors import DomainError, EventEncodingError
from tests.event_values import WHEN, Colour, given_values


class Exact(Event, category="plain", registry=EventRegistry()):
    """A class whose events are not checked when they are written."""

    text: Text = "?"
    colour: Colour = Colour.RED
    on: bool = True
    off: bool = False
    names: tuple[Text, ...] = ()
    amounts: tuple[Decimal, ...] = ()
    colours: tuple[Colour, ...] | None = None
    moments: tuple[UtcDatetime, ...] = ()
    ids: tuple[UUID, ...] = ()
    maybe: tuple[bool | None, ...] = ()
    ways: tuple[Literal["in", "out"], ...] = ()
    pairs: tuple[tuple[Text, Decimal], ...] = ()
    amount: Decimal | None = None


class Directed(Event, category="plain", registry=EventRegistry()):
    """A class whose texts are only some."""

    way: Literal["in", "out"] = "in"


class Required(Event, category="plain", registry=EventRegistry()):
    """A class with a tuple that has no default, so that it is always written."""

    names: tuple[Text, ...]


assert writer_of(Exact, envelope="occurred_at") is not None  # or all tests of it compare pydantic with itself


class Labelled(StrEnum):
    """Texts that are not the values of their members."""

    LOW = "low", "Low risk"

    def __new__(cls, value: str, label: str) -> Self:
        """Return the member with this value, which is the label."""
        made = str.__new__(cls, label)
        made._value_ = value
        return made


class Risked(Event, category="plain", registry=EventRegistry()):
    """A class with members that are other texts than their values."""

    label: Labelled = Labelled.LOW
    labels: tuple[Labelled, ...] = ()


class Converted(Event, category="plain", registry=EventRegistry()):
    """A class whose defaults become False and an empty tuple."""

    off: bool = 0  # type: ignore[assignment]
    names: tuple[Text, ...] = []  # type: ignore[assignment]


def _written(event: Event) -> bytes | str:
    try:
        return EventCodec(type(event)).encode(event)
    except EventEncodingError as error:
        return str(error)


def _by_pydantic(event: Event) -> bytes | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_codec, "writer_of", lambda *_, **__: None)
        return _written(event)


@given(drawn=given_values())
def test_the_json_is_what_pydantic_writes(drawn: tuple[type[Event], dict[str, Any]]):
    """Each event that can be made has the same bytes, or the same refusal."""
    kind, values = drawn
    try:
        event = kind(**values)
    except (DomainError, UnicodeEncodeError):
        return
    assert _written(event) == _by_pydantic(event)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"on": False, "off": True},
        {"text": 'é\x01\u2028\U0001f600"\\/', "names": ("a",)},
        {"amount": Decimal("-1.50E+7")},
        {"names": ("a", "", 'é"\\\u2028'), "amounts": (Decimal("1.50"), Decimal("-1E+3"), Decimal("0E-7"))},
        {"colours": (Colour.RED, *Colour), "moments": (WHEN, WHEN.replace(microsecond=1)), "ids": (uuid4(),)},
        {"colours": (), "maybe": (True, None), "ways": ("in", "out"), "pairs": (("a", Decimal("1.0")),)},
    ],
)
def test_each_kind_of_field_is_written_as_pydantic_writes_it(values: dict[str, Any]):
    """Also a flag that is on by default, and a tuple without a default, which are never left out."""
    for event in (Exact(**{"occurred_at": WHEN, **values}), Required(occurred_at=WHEN, names=())):
        assert _written(event) == _by_pydantic(event)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 1), ("text", False), ("text", ()), ("colour", "RED"), ("on", 0), ("off", ()),
        ("names", False), ("names", ["a"]), ("names", ("a", 1)), ("names", (None,)), ("names", (("a",),)),
        ("names", ("\ud800",)), ("amounts", ("1",)), ("amounts", (True,)), ("colours", ("RED",)), ("ways", ("up",)),
        ("pairs", ("a",)), ("ids", ("a",)), ("moments", (WHEN.replace(tzinfo=None),)), ("amount", 1.5), ("amount", "1"), ("text", "\ud800"), ("unknown", 1),
    ],
)  # fmt: skip
def test_what_no_validator_has_seen_is_refused_as_by_pydantic(name: str, value: Any):
    """A value that came into an event behind its validators is not written if pydantic would not write it."""
    event = Exact(occurred_at=WHEN)
    event.__dict__[name] = value
    assert _written(event) == _by_pydantic(event)


@pytest.mark.parametrize(
    "event", [Risked(), Risked(labels=tuple(Labelled)), Converted(), Converted(off=True, names=("a",))]
)
def test_what_is_written_is_what_is_read(event: Event):
    """Also a member that is another text than its value, by which it is read, and a default of another type than its field."""
    assert _written(event) == _by_pydantic(event)
    assert EventCodec(type(event)).restored(event) == event


def test_a_text_that_is_none_of_those_allowed_is_refused():
    """As any other value that no validator has seen."""
    event = Directed(occurred_at=WHEN)
    event.__dict__["way"] = "up"
    assert _written(event) == _by_pydantic(event)


def test_an_order_is_written_without_pydantic(monkeypatch: pytest.MonkeyPatch):
    """The usual events of an order do not need pydantic's serializer."""
    order = Order.create_limit_order(
        "ESU3", Decimal(5), OrderSide.BUY, limit_price=Decimal("1640.25"), tags=("entry", "mean-reversion")
    )
    order.submit("B-1")
    order.fill(Decimal(2), Decimal("1640.25"), "E-1")
    events = [pending.event for pending in order.pending_events]
    assert list(map(type, events)) == [OrderCreated, OrderSubmitted, OrderFilled]

    class Unused:
        """A serializer that must not be called."""

        def to_json(self, *_: Any, **__: Any) -> bytes:
            raise AssertionError

    for event in events:
        monkeypatch.setattr(type(event), "__pydantic_serializer__", Unused())
        assert b'"' in EventCodec(type(event)).encode(event)
