"""From JSON to models without validation: the same values as with it."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call"

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, Field, PrivateAttr

from eventstore.core import codec
from eventstore.core.registry import registry
from eventstore.core.types import UtcDatetime
from eventstore.domain.order import Execution, Order, OrderSide

NINE = datetime(2024, 1, 2, 9, 0, 0, 123456, tzinfo=UTC)


class Part(BaseModel):
    """Nested."""

    price: Decimal
    side: OrderSide = OrderSide.BUY


class Whole(BaseModel):
    """One field of each kind."""

    text: str
    number: int
    yes: bool
    price: Decimal
    maybe: Decimal | None = None
    id: UUID
    point: UtcDatetime
    day: date
    side: OrderSide
    kind: Literal["a", "b"]
    tags: tuple[str, ...] = ()
    prices: tuple[Decimal, ...]
    parts: tuple[Part, ...]
    part: Part | None = None
    pair: tuple[int, Decimal]
    by_name: dict[str, Decimal]
    limited: Annotated[int, Field(ge=0)] = 3
    made: list[int] = Field(default_factory=list)


WHOLE = Whole(
    text="é\N{ROCKET}",
    number=2**53 + 1,
    yes=True,
    price=Decimal("150.00"),
    id=UUID(int=7),
    point=NINE,
    day=date(2024, 1, 2),
    side=OrderSide.SELL,
    kind="b",
    prices=(Decimal("0.1"), Decimal("1E-7")),
    parts=(Part(price=Decimal("-3.10")), Part(price=Decimal(0), side=OrderSide.SELL)),
    part=Part(price=Decimal(2)),
    pair=(1, Decimal("2.50")),
    by_name={"x": Decimal("1.0")},
)


def test_every_kind_of_field_comes_back_as_validation_gives_it():
    """The constructed model equals the validated one, digit for digit, with the same types and field order."""
    data = orjson.loads(WHOLE.model_dump_json())
    constructed = codec.construct(Whole, data)
    validated = Whole.model_validate_json(WHOLE.model_dump_json())
    assert constructed == validated == WHOLE
    assert constructed.model_dump_json() == validated.model_dump_json()
    assert list(constructed.__dict__) == list(Whole.model_fields)
    for name in Whole.model_fields:
        assert type(getattr(constructed, name)) is type(getattr(validated, name))


def test_known_values_are_taken_as_they_are():
    """A value that has its Python type already passes the converters by."""
    data = orjson.loads(WHOLE.model_dump_json(exclude={"when"}))
    assert codec.construct(Whole, data, point=NINE) == WHOLE


def test_a_missing_field_takes_its_default():
    """Defaults, also made ones, fill in; each model gets its own made one."""
    data = orjson.loads(WHOLE.model_dump_json(exclude={"limited", "made", "tags"}))
    one, other = codec.construct(Whole, data), codec.construct(Whole, data)
    assert (one.limited, one.made, one.tags) == (3, [], ())
    assert one.made is not other.made
    assert "limited" not in one.model_fields_set


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda data: data.pop("price"), KeyError, "price"),
        (lambda data: data.update(colour="red"), KeyError, "colour"),
        (lambda data: data.update(side="HOLD"), KeyError, "HOLD"),
        (lambda data: data.update(point="yesterday"), ValueError, "yesterday"),
        (lambda data: data.update(kind="c"), ValueError, "'a' or 'b'"),
    ],
)
def test_what_does_not_fit_is_an_error(change, error, match):
    """Stored JSON that is not of the class is refused, not half taken."""
    data = orjson.loads(WHOLE.model_dump_json())
    change(data)
    with pytest.raises(error, match=match):
        codec.construct(Whole, data)


class Kept(BaseModel):
    """A model with private attributes: one plain, one made anew for each instance."""

    price: Decimal
    _seen: int = PrivateAttr(default=0)
    _notes: list[str] = PrivateAttr(default_factory=list)


class Remembering(Kept):
    """The same with a hook of its own."""

    def model_post_init(self, context: object, /) -> None:
        """Remember something."""
        super().model_post_init(context)
        self._seen = 7


def test_private_attributes_are_as_the_constructor_makes_them():
    """Each instance has its own, and a hook of the model is run."""
    one, other = (codec.fill(Kept, {"price": Decimal(1)}) for _ in range(2))
    one._notes.append("mine")
    assert (one._seen, one._notes, other._notes) == (0, ["mine"], [])
    assert codec.fill(Remembering, {"price": Decimal(1)})._seen == Remembering(price=Decimal(1))._seen == 7


def test_an_entity_comes_back_from_its_row():
    """An order with executions comes back equal, and can go on."""
    order = Order.create_market_order("ES", Decimal(10), OrderSide.BUY, occurred_at=NINE)
    order.fill(Decimal(3), Decimal("4500.25"), "E-1", transact_time_ns=1_704_186_000_123_456_789)
    data = orjson.loads(order.model_dump_json())
    again = codec.construct(Order, data)
    assert again.model_dump_json() == order.model_dump_json()
    assert isinstance(again.executions[0], Execution)
    assert not again.pending_events
    assert again.fill(Decimal(7), Decimal(4500), "E-2")


def test_every_event_of_the_library_is_exact():
    """Whatever an event of this library accepts comes back: no append has to look at its values."""
    for event_class in registry:
        if event_class.__module__.startswith("eventstore."):
            form = codec.form_of(event_class)
            assert {name for name, reader in form.readers.items() if not reader.is_exact} == set()
            assert (form.is_exact, form.is_wide, form.keeps_none) == (True, False, True), event_class


class Amendable(BaseModel):
    """A model whose fields can be set later."""

    price: Decimal
    note: str | None = None


def test_values_that_are_made_once_are_told_apart_by_their_digits():
    """Decimals come back digit for digit, in whatever order equal ones with other digits came before."""
    texts = ["1.0", "1", "1.00", "-0", "0", "1E+2", "100"]
    for given in (texts, texts[::-1]):
        assert [str(codec.construct(Amendable, {"price": text}).price) for text in given] == given
    # What no JSON of ours has, an upcaster may give.
    assert [
        str(codec.construct(Amendable, {"price": value}).price) for value in (1, Decimal("1.00"), "1.0")
    ] == [
        "1",
        "1.00",
        "1.0",
    ]


def test_the_given_fields_of_one_model_are_not_another_s():
    """Setting a field of one model later does not show in another of the same shape."""
    one, other = (codec.construct(Amendable, {"price": "1"}) for _ in range(2))
    one.note = "mine"
    assert (one.model_fields_set, other.model_fields_set) == ({"price", "note"}, {"price"})


def test_what_is_kept_is_bounded(monkeypatch):
    """Neither the constructors of a model nor the values of a type grow without end."""
    monkeypatch.setattr(codec, "_SHAPES_MAX", 2)
    monkeypatch.setattr(codec, "_REMEMBERED_MAX", 3)
    data = orjson.loads(WHOLE.model_dump_json())
    for name in ("limited", "made", "tags", "part", "maybe"):
        codec.construct(Whole, {key: value for key, value in data.items() if key != name})
    for price in range(987_650_000, 987_650_050):  # which no other test has made known
        assert codec.construct(Amendable, {"price": str(price)}).price == price
    assert len(codec.maker(Whole).constructors) <= 2
    assert len(codec._remembered(Decimal)) <= 3


def test_a_value_for_no_field_is_refused():
    """A row that has more than its model does not become a model with a field that nobody knows."""
    with pytest.raises(KeyError, match="colour"):
        codec.fill(Amendable, {"price": Decimal(1), "colour": "red"})
