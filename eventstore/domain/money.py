"""Amounts of several currencies, kept apart: they are never added up without rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from eventstore.core.context import exact, plain
from eventstore.core.types import Computed, Factor, Name, Price, Quantity
from eventstore.core.validation import Validated, number, shown
from eventstore.domain.executions import OrderSide
from eventstore.errors import DomainError


class Settlement(StrEnum):
    """What a fill does to the cash.

    Attributes:
        IN_FULL: The value is paid or received: shares, bonds, coins, options.
        ON_MARGIN: Only what is realised is paid or received: futures, perpetuals.
    """

    IN_FULL = "IN_FULL"
    ON_MARGIN = "ON_MARGIN"


class CurrencyAmount(Validated):
    """An amount of one currency, or of one coin.

    Attributes:
        currency: Its code (FIX Currency, 15), such as USD or BTC.
        amount: How much; negative for what is owed.
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    category: ClassVar[str] = "money"

    currency: Name
    amount: Computed


@exact
def add_amount(
    amounts: tuple[CurrencyAmount, ...], currency: str, amount: Decimal
) -> tuple[CurrencyAmount, ...]:
    """Return the amounts with one more, ordered by currency; a currency whose sum is 0 is left out.

    Raises:
        DomainError: `money.amount`: the amount is no decimal; `money.currency`: the currency is no name.
    """
    added = CurrencyAmount(currency=currency, amount=amount)
    sums = {one.currency: one.amount for one in amounts}
    sums[added.currency] = plain(sums.get(added.currency, Decimal(0)) + added.amount)
    return tuple(CurrencyAmount(currency=code, amount=sums[code]) for code in sorted(sums) if sums[code])


def amount_in(amounts: Iterable[CurrencyAmount], currency: str) -> Decimal:
    """Return the amount of one currency; 0 if there is none."""
    return next((one.amount for one in amounts if one.currency == currency), Decimal(0))


def checked_rates(rates: Mapping[str, Decimal] | None) -> dict[str, Decimal]:
    """Return rates as decimals, validated as fields are; none for None.

    Raises:
        DomainError: `money.rate`: they are no mapping, or a rate is no decimal, or below 0.
    """
    if not isinstance(rates, Mapping | None):
        raise DomainError("money.rate", f"rates are a mapping of currencies to decimals, not {shown(rates)}")
    checked = {}
    for currency, rate in ({} if rates is None else rates).items():
        checked[currency] = number("money.rate", rate)
        if checked[currency] < 0:
            raise DomainError("money.rate", f"the rate of {currency} must be 0 or more, not {rate}")
    return checked


@exact
def converted_total(
    amounts: Iterable[CurrencyAmount], currency: str | None, rates: Mapping[str, Decimal] | None
) -> Decimal:
    """Return the sum of the amounts in one currency.

    Args:
        amounts: The amounts.
        currency: The currency of the sum; None if it has no name.
        rates: How much of `currency` one unit of each other currency is worth; None if there is no other.

    Raises:
        DomainError: `money.rate`: a rate is no decimal or below 0, or an amount is of a currency that has no rate.
    """
    known = checked_rates(rates)
    sum_of_all = Decimal(0)
    for one in amounts:
        if one.currency == currency:
            sum_of_all += one.amount
            continue
        rate = known.get(one.currency)
        if rate is None:
            base = "an amount without a currency" if currency is None else currency
            raise DomainError(
                "money.rate",
                f"{one.amount} {one.currency} cannot be added to {base} without a rate: "
                f"give rates={{{one.currency!r}: ...}}",
            )
        sum_of_all += one.amount * rate
    return plain(sum_of_all)


class _PaidInFull(Validated):
    """A fill that is paid in full, to validate it."""

    category: ClassVar[str] = "portfolio"

    side: OrderSide
    quantity: Quantity
    price: Price
    multiplier: Factor
    commission: Computed


@exact
def settled_cash_flow(
    side: OrderSide,
    quantity: Decimal,
    price: Decimal,
    *,
    multiplier: Decimal = Decimal(1),
    commission: Decimal = Decimal(0),
) -> Decimal:
    """Return what a fill paid in full does to the cash: minus what was bought or plus what was sold, less commission.

    For shares, bonds and coins; margined instruments settle by their realised result instead.

    Args:
        side: The fill's side.
        quantity: Shares or contracts; positive.
        price: The price of one.
        multiplier: Currency per point of price and contract.
        commission: In the currency of the price; a rebate is negative. A commission in another currency is no part of
            this cash flow: leave it out here.

    Raises:
        DomainError: A bad value: `portfolio.side`, `portfolio.quantity`, `portfolio.price`, `portfolio.multiplier`,
            `portfolio.commission`.
    """
    fill = _PaidInFull(
        side=side, quantity=quantity, price=price, multiplier=multiplier, commission=commission
    )
    return plain(-fill.side.sign * fill.quantity * fill.price * fill.multiplier - fill.commission)
