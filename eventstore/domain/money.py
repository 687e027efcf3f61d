"""Amounts of several currencies, kept apart: they are never added up without rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pydantic import ConfigDict

from eventstore.core.context import exact, plain
from eventstore.core.types import Computed, Name
from eventstore.core.validation import Validated
from eventstore.errors import DomainError


class CurrencyAmount(Validated):
    """An amount of one currency, or of one coin.

    Attributes:
        currency: Its code (FIX Currency, 15), such as USD or BTC.
        amount: How much; negative for what is owed.
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    currency: Name
    amount: Computed


@exact
def add_amount(
    amounts: tuple[CurrencyAmount, ...], currency: str, amount: Decimal
) -> tuple[CurrencyAmount, ...]:
    """Return the amounts with one more, ordered by currency; a currency whose sum is 0 is left out."""
    sums = {one.currency: one.amount for one in amounts}
    sums[currency] = plain(sums.get(currency, Decimal(0)) + amount)
    return tuple(CurrencyAmount(currency=code, amount=sums[code]) for code in sorted(sums) if sums[code])


def amount_in(amounts: Iterable[CurrencyAmount], currency: str) -> Decimal:
    """Return the amount of one currency; 0 if there is none."""
    return next((one.amount for one in amounts if one.currency == currency), Decimal(0))


@exact
def converted_total(
    amounts: Iterable[CurrencyAmount], currency: str, rates: Mapping[str, Decimal] | None
) -> Decimal:
    """Return the sum of the amounts in one currency.

    Args:
        amounts: The amounts.
        currency: The currency of the sum.
        rates: How much of `currency` one unit of each other currency is worth; None: there must be no other.

    Raises:
        DomainError: `money.rate`: an amount is of a currency that has no rate.
    """
    sum_of_all = Decimal(0)
    for one in amounts:
        if one.currency == currency:
            sum_of_all += one.amount
            continue
        rate = (rates or {}).get(one.currency)
        if rate is None:
            raise DomainError(
                "money.rate",
                f"{one.amount} {one.currency} cannot be added to {currency} without a rate: "
                f"give rates={{{one.currency!r}: ...}}",
            )
        sum_of_all += one.amount * rate
    return plain(sum_of_all)
