"""Clock, ids and the decimal context; and the types of fields that rest on them."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def"

from __future__ import annotations

import decimal
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from eventstore.core.context import (
    CONTEXT,
    at,
    exact,
    in_decimal_arithmetic,
    new_id,
    now,
    plain,
    use_clock,
    use_ids,
)
from eventstore.core.types import Amount, Computed, Name, Nanoseconds, Quantity, Text
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import DomainError

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)


def test_the_clock_can_be_set_for_a_block():
    """Inside the block the given clock counts, in UTC; outside, the wall's."""
    with use_clock(lambda: NINE.astimezone(timezone(timedelta(hours=9)))):
        assert now() == NINE
        assert now().tzinfo is UTC
    assert abs(now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_ids_can_be_set_and_ascend():
    """New ids are version 7 and ascend; a source can be given for a block."""
    with use_ids(lambda: UUID(int=1)):
        assert new_id() == UUID(int=1)
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}


@pytest.mark.parametrize(
    ("occurred_at", "nanoseconds", "expected"),
    [
        (NINE, None, NINE),
        (NINE, 0, NINE),
        (None, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        (None, 1_704_186_000_123_456_789, datetime(2024, 1, 2, 9, 0, 0, 123456, tzinfo=UTC)),
        (None, None, NINE + timedelta(days=1)),
        (NINE.replace(tzinfo=None), None, NINE.replace(tzinfo=None).astimezone(UTC)),
    ],
)
def test_when_something_happened(occurred_at, nanoseconds, expected):
    """The given time wins, then the venue's, then the clock; a naive time is local."""
    with use_clock(lambda: NINE + timedelta(days=1)):
        point = at(occurred_at, nanoseconds)
    assert point == expected
    assert point.tzinfo is UTC


def test_exact_has_34_digits_whatever_the_caller_has():
    """Inside `exact` the library's context counts, outside the caller's."""

    @exact
    def third() -> Decimal:
        return Decimal(1) / 3

    with decimal.localcontext(prec=5):
        assert third() == Decimal("0." + "3" * 34)
        assert Decimal(1) / 3 == Decimal("0.33333")


def test_exact_gives_the_context_back():
    """After a return, an error and a call inside another, the caller has its own context, whatever was set meanwhile."""

    @exact
    def fail(times: int) -> None:
        assert in_decimal_arithmetic()
        decimal.getcontext().prec = 3
        if times:
            fail(times - 1)
        raise ZeroDivisionError

    with decimal.localcontext(prec=5) as own:
        for times in (0, 1):
            with pytest.raises(ZeroDivisionError):
                fail(times)
            assert decimal.getcontext() is own
            assert own.prec == 5
            assert not in_decimal_arithmetic()
    order = Order.create_market_order("AAPL", Decimal(3), OrderSide.BUY)
    order.fill(Decimal(1), Decimal(1) + Decimal("1E-30"), "E-1")
    assert order.filled_notional == Decimal(1) + Decimal("1E-30")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1E+3", "1000"),
        ("-1.5E+3", "-1500"),
        ("0E+3", "0"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("1.50", "1.50"),
        ("1E-7", "1E-7"),
        ("0E-7", "0E-7"),
    ],
)
def test_plain_is_what_numeric_gives_back(value, expected):
    """No positive exponent and no negative zero; scale and digits stay."""
    given, wanted = Decimal(value), Decimal(expected)
    assert plain(given).as_tuple() == wanted.as_tuple()
    assert plain(given) == given


@pytest.mark.parametrize("value", [Decimal("1.50"), 2, "3.25", Decimal("1E+3"), Decimal("1E+33")])
def test_what_a_field_takes(value):
    """Decimals, ints and strings are taken at their exact value."""
    assert TypeAdapter(Amount).validate_python(value) == Decimal(value)


class _Float32:
    """What NumPy's narrow floats are to us: a number that is no float and no int."""

    def __float__(self) -> float:
        return 1.5


class _Int64:
    """What NumPy's integers are to us."""

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize("kind", [Amount, Computed, Quantity])
def test_floats_are_refused_and_integers_of_any_kind_taken(kind):
    """A binary float is no price, also where it comes from NumPy; its integers are integers."""
    for value in (1.5, 1.0, float("nan"), _Float32(), True, None, [1]):
        with pytest.raises(ValidationError, match="must be a Decimal, an int or a str"):
            TypeAdapter(kind).validate_python(value)
    assert TypeAdapter(kind).validate_python(_Int64()) == 7


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Amount, Decimal("NaN")),
        (Amount, Decimal("-Infinity")),
        (Amount, Decimal("1E+34")),
        (Amount, Decimal("1E-35")),
        (Amount, Decimal("1." + "1" * 34)),
        (Amount, "ten"),
        (Computed, Decimal("1." + "1" * 34)),
        (Computed, Decimal("1E+1000")),
        (Computed, Decimal("0E-1000")),
        (Computed, Decimal("sNaN")),
        (Quantity, Decimal(0)),
        (Quantity, Decimal(-1)),
        (Nanoseconds, -1),
        (Nanoseconds, 2**63),
        (Nanoseconds, 1.0),
        (Nanoseconds, True),
        (Nanoseconds, "1"),
        (Text, "a\x00"),
        (Text, "\ud83d"),
        (Name, ""),
        (Name, "x" * 201),
        (Name, "a\x00"),
    ],
)
def test_what_a_field_refuses(kind, value):
    """What could not be stored, indexed or folded exactly is refused."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


def test_computed_takes_every_product_of_the_context():
    """What the arithmetic gives is taken, at 34 significant digits and any exponent it can have."""
    with decimal.localcontext(CONTEXT):
        value = plain(Decimal("0.1234567890123456789012345678901234") * Decimal("1E-34") / 7)
    assert TypeAdapter(Computed).validate_python(value) == value


@pytest.mark.parametrize(
    "when",
    [
        "yesterday",
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_a_time_that_is_none_in_utc_is_refused_by_name(when):
    """What is no time, or lies outside the years 1 to 9999 in UTC, is a `DomainError`, and nothing changes."""
    order = Order.create_market_order("AAPL", Decimal(100), OrderSide.BUY, occurred_at=NINE)
    order.submit("B-1", occurred_at=NINE)
    refused = [
        lambda: Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY, occurred_at=when),
        lambda: order.fill(Decimal(1), Decimal(150), "E-1", occurred_at=when),
        lambda: order.amend(quantity=Decimal(50), occurred_at=when),
        lambda: order.cancel(occurred_at=when),
        lambda: order.delete(occurred_at=when),
    ]
    for call in refused:
        with pytest.raises(DomainError) as refusal:
            call()
        assert refusal.value.rule == "order.occurred_at"
    with pytest.raises(DomainError) as refusal:
        order.filled_at = when
    assert refusal.value.rule == "order.filled_at"
    assert [pending.event.type for pending in order.pending_events] == ["OrderCreated", "OrderSubmitted"]
