"""Divides an amount so that its parts sum up to it, and sums of such parts stay exact.

Call these functions in the library's decimal context.
"""

from __future__ import annotations

from decimal import Decimal

from eventstore.core.context import CONTEXT, plain
from eventstore.domain.order_events import ONE

_text = CONTEXT.to_sci_string

COMMISSION_SPLIT_DIGITS = 22
"""Digits of a flip's split commission beyond the last of the whole: cents are split to 24 decimals.

Fewer than the 34 of the arithmetic, so that sums of such parts stay exact, up to some 10**10 for cents."""

COST_SHARE_DECIMALS = 24
"""Decimals of the cost that leaves a position, if the division leaves a remainder: as for a split commission in cents.

So what a position realises has no more, and the results of many positions sum up exactly, up to some 10**10, to what their
portfolio realised. An amount that is finer to begin with, or very small, keeps its own digits."""

_FINEST = ONE.scaleb(-COST_SHARE_DECIMALS)
_DIGITS_OF_UNITS = CONTEXT.prec - COST_SHARE_DECIMALS
_CENT = -2  # its power of ten


def commission_share(commission: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return commission x part / whole, to at most `COMMISSION_SPLIT_DIGITS` beyond the last digit of the whole."""
    return _share(commission, part, whole, finest=exponent_of(commission) - COMMISSION_SPLIT_DIGITS)


def cost_share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return cost x part / whole, to at most `COST_SHARE_DECIMALS`, or to the digits that a cost of its size needs."""
    if cost.same_quantum(_FINEST) and _CENT <= cost.adjusted() < _DIGITS_OF_UNITS:
        # Most costs that a share has left before. What follows gives the same, and takes twice as long.
        share = cost * part / whole
        if share.adjusted() < _DIGITS_OF_UNITS and (rounded := share.quantize(_FINEST)) != share and rounded:
            return rounded
    # A cost below a cent keeps as many digits as one of some units has.
    finest = min(exponent_of(cost), -COST_SHARE_DECIMALS, cost.adjusted() - COST_SHARE_DECIMALS - _CENT)
    return _share(cost, part, whole, finest=finest)


def _share(amount: Decimal, part: Decimal, whole: Decimal, *, finest: int) -> Decimal:
    """Return amount x part / whole, rounded to 10**finest, so that it and the rest sum to `amount` exactly."""
    # Not finer than 34 digits hold, or the rest would be rounded as well.
    finest = max(finest, amount.adjusted() - CONTEXT.prec + 1)
    share = amount * part / whole
    if share and exponent_of(share) < finest:
        share = share.quantize(ONE.scaleb(finest))
    return plain(share)


def exponent_of(amount: Decimal) -> int:
    """Return the exponent of a finite amount: less the number of its decimals."""
    text = _text(amount)
    if "E" not in text:
        point = text.find(".")
        return 0 if point < 0 else point + 1 - len(text)  # a quarter of the time of `as_tuple`
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - a field refuses NaN and the infinities
    return exponent
