"""The decimals of Arrow: how many digits they hold, and how many some values need."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

DIGITS_128 = 38
"""The digits of a decimal128."""

DIGITS_256 = 76
"""The digits of a decimal256, the widest."""

WIDE = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, rounding=ROUND_HALF_EVEN)
"""An arithmetic that rounds nothing unless it is asked to."""


def digits_of(values: Iterable[Decimal]) -> tuple[int, int]:
    """Return the most digits before the point and after it that any finite value has; at least 1 before it."""
    before, after = 1, 0
    for value in values:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and value:
            if exponent < -after and exponent < 0:
                exponent = int(value.normalize(WIDE).as_tuple().exponent)
            after = max(after, -exponent)
            before = max(before, value.adjusted() + 1)
    return before, after


def decimal_type(arrow: Any, before: int, after: int) -> Any:
    """Return the narrowest decimal with so many digits before the point and after it, which 76 hold together."""
    if before + after <= DIGITS_128:
        return arrow.decimal128(DIGITS_128, after)
    return arrow.decimal256(DIGITS_256, after)
