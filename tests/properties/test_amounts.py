"""Laws of the decimals that fields take: the short way gives what pydantic's own checks give."""

from __future__ import annotations

import decimal
from decimal import Decimal

import pytest
from hypothesis import example, given, settings, strategies as st
from pydantic import TypeAdapter, ValidationError

from eventstore.core.context import CONTEXT, plain, total
from eventstore.core.types import Amount, Computed, NonNegative, Quantity
from tests.scale import examples


def verdict(adapter: TypeAdapter[Decimal], value: Decimal | str) -> tuple[object, ...] | None:
    """The digits that a field keeps; None where it refuses."""
    try:
        return tuple(adapter.validate_python(value).as_tuple())
    except ValidationError:
        return None


@pytest.mark.parametrize("field", [Amount, Computed, Quantity, NonNegative])
def test_the_short_way_is_no_other_way(field):
    """A decimal is kept, or refused, with the same digits as its text is, which takes the long way."""
    adapter: TypeAdapter[Decimal] = TypeAdapter(field)

    @settings(max_examples=examples(200), deadline=None)
    @given(st.decimals() | st.decimals(-(10**6), 10**6, places=4))
    @example(Decimal("-0.00"))
    @example(Decimal("0.00"))
    @example(Decimal("1E+3"))
    @example(Decimal("0." + "0" * 5 + "1" * 29))
    @example(Decimal("1" * 34))
    @example(Decimal("1" * 35))
    @example(Decimal("1" * 33 + ".5"))
    @example(Decimal("NaN123"))
    @example(Decimal("-Infinity"))
    def law(value):
        assert verdict(adapter, value) == verdict(adapter, str(value))

    law()


amounts = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-(10**6), 10**6, places=4)


@settings(max_examples=examples(300), deadline=None)
@given(amounts, amounts)
@example(Decimal("0.00"), Decimal("-0.0"))
@example(Decimal("1.50"), Decimal("-1.5"))
@example(Decimal(1), Decimal("1E+40"))
@example(Decimal(0), Decimal("1E+3"))
@example(Decimal("9" * 34), Decimal(1))
@example(Decimal("1" * 40), Decimal("-1E+39"))
def test_a_total_is_the_plain_sum(amount, change):
    """The short way to a plain sum gives the digits that the long one gives, where the first amount is plain."""
    with decimal.localcontext(CONTEXT):
        amount = plain(+amount)
        assert total(amount, change).as_tuple() == plain(amount + change).as_tuple()
