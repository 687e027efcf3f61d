"""Amounts of several currencies, kept apart: they are never added up without rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from eventstore.core.context import exact, plain
from eventstore.core.types import Computed, Factor, Name, Price, Quantity
from eventstore.core.validation import Validated, number, shown
from eventstore.domain.executions import OrderSide
from eventstore.errors import DomainError

_ONE = Decimal(1)
_CROSSED = Context(prec=16, rounding=ROUND_HALF_EVEN)


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


class RateTable:
    """Rates between currencies, crossed where no rate leads from one currency to another directly.

    Args:
        rates: How much one unit of a currency is worth, by its code (`EUR`: in `base`, or in whatever currency is asked for) or
            by a pair of codes (`EUR/USD`: one euro in dollars). None for no rates.
        base: The currency of the rates that name none.

    Raises:
        DomainError: `money.rate`: they are no mapping, a rate is no decimal or below 0, or what it is of is neither a currency
            nor a pair.
    """

    def __init__(self, rates: Mapping[str, Decimal] | None = None, *, base: str | None = None) -> None:
        self._of_currencies, self._of_pairs = _checked(rates)
        if base is not None:
            named = {(currency, base): rate for currency, rate in self._of_currencies.items()}
            self._of_currencies, self._of_pairs = {}, named | self._of_pairs
        self._into: dict[str | None, dict[str, Decimal]] = {}

    @classmethod
    def of(cls, rates: RateTable | Mapping[str, Decimal] | None, *, base: str | None = None) -> RateTable:
        """Return the table of some rates; a table is returned as it is."""
        return rates if isinstance(rates, RateTable) else cls(rates, base=base)

    @property
    def is_of_pairs(self) -> bool:
        """Whether each rate says in which currency it is."""
        return not self._of_currencies

    def into(self, currency: str | None) -> Mapping[str, Decimal]:
        """Return how much of one currency one unit of each other currency is worth, as far as the rates say.

        A rate of the pair itself comes first, then its inverse, then what the fewest rates lead to. What is not given itself
        has at most 16 digits, so that amounts times it stay exact. A rate of 0 has no inverse.
        """
        known = self._into.get(currency)
        if known is None:
            known = self._into[currency] = self._crossed(currency)
        return known

    @exact
    def _crossed(self, base: str | None) -> dict[str, Decimal]:
        found = dict(self._of_currencies)
        if base is None or not self._of_pairs:
            return found
        pairs = self._of_pairs | {(one, base): rate for one, rate in self._of_currencies.items()}
        # What one unit is worth: a product of rates, and what it is divided by.
        worth = {base: (_ONE, _ONE)}
        reached = [base]
        for into in reached:
            product, divisor = worth[into]
            for (one, other), rate in pairs.items():
                if other == into and one not in worth:
                    worth[one] = product * rate, divisor
                    reached.append(one)
            for (one, other), rate in pairs.items():
                if one == into and other not in worth and rate:
                    worth[other] = product, divisor * rate
                    reached.append(other)
        del worth[base]
        crossed = {one: plain(_CROSSED.divide(product, divisor)) for one, (product, divisor) in worth.items()}
        direct = {one: rate for (one, into), rate in self._of_pairs.items() if into == base}
        return crossed | direct | found


def _checked(
    rates: Mapping[str, Decimal] | None,
) -> tuple[dict[str, Decimal], dict[tuple[str, str], Decimal]]:
    """Return rates as decimals, validated as fields are: those of currencies, and those of pairs."""
    if not isinstance(rates, Mapping | None):
        raise DomainError("money.rate", f"rates are a mapping of currencies to decimals, not {shown(rates)}")
    of_currencies: dict[str, Decimal] = {}
    of_pairs: dict[tuple[str, str], Decimal] = {}
    for name, rate in ({} if rates is None else rates).items():
        checked = number("money.rate", rate)
        if checked < 0:
            raise DomainError("money.rate", f"the rate of {name} must be 0 or more, not {rate}")
        codes = str(name).split("/")
        if len(codes) == 1 and codes[0]:
            of_currencies[name] = checked
        elif len(codes) == len(("of", "in")) and all(codes) and codes[0] != codes[1]:
            of_pairs[codes[0], codes[1]] = checked
        else:
            raise DomainError(
                "money.rate",
                f"a rate is of a currency such as EUR, or of a pair such as EUR/USD, not of {shown(name)}",
            )
    return of_currencies, of_pairs


def no_rate(of: str, currency: str | None, base: str | None) -> DomainError:
    """Return the error of an amount whose rate is missing.

    Args:
        of: What it is of, with its currency.
        currency: Its currency; None if it has no name, and no rate can be given.
        base: The currency that it should be turned into; None if that has no name.
    """
    into = "an amount without a currency" if base is None else base
    if currency is None:
        return DomainError("money.rate", f"{of} cannot be turned into {into}")
    wanted = currency if base is None else f"{currency}/{base}"
    return DomainError(
        "money.rate", f"{of} cannot be turned into {into} without a rate: give the rate {wanted}"
    )


@exact
def converted_total(
    amounts: Iterable[CurrencyAmount],
    currency: str | None,
    rates: RateTable | Mapping[str, Decimal] | None,
) -> Decimal:
    """Return the sum of the amounts in one currency.

    Args:
        amounts: The amounts.
        currency: The currency of the sum; None if it has no name.
        rates: As for `RateTable`; None if there is no other currency.

    Raises:
        DomainError: `money.rate`: as for `RateTable`, or an amount is of a currency that has no rate.
    """
    known = RateTable.of(rates).into(currency)
    sum_of_all = Decimal(0)
    for one in amounts:
        if one.currency == currency:
            sum_of_all += one.amount
            continue
        rate = known.get(one.currency)
        if rate is None:
            raise no_rate(f"{one.amount} {one.currency}", one.currency, currency)
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
