"""Amounts of several currencies, apart, or turned into one by rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from eventstore.core.context import exact, plain
from eventstore.domain.money import CurrencyAmount, checked_rates
from eventstore.errors import ConfigurationError, DomainError

ZERO = Decimal(0)
"""No amount."""


@dataclass(frozen=True, slots=True)
class Converter:
    """Turns amounts into one currency, if there are rates; otherwise each keeps its own.

    Attributes:
        base: The currency that amounts are turned into.
        rates: How much of it one unit of each other currency is worth; None: nothing is converted.
    """

    base: str | None = None
    rates: Mapping[str, Decimal] | None = None

    @classmethod
    def of(
        cls,
        base: str | None,
        rates: Mapping[str, Decimal] | None,
        currencies: Iterable[str | None] = (),
        *,
        is_empty: bool = False,
    ) -> Converter:
        """Return a converter.

        Args:
            base: The currency; None for the one that all `currencies` are.
            rates: The rates; None for none.
            currencies: The currencies of the portfolios concerned.
            is_empty: Whether there are no amounts, so that no base is needed.

        Raises:
            DomainError: `money.rate`: a rate is no decimal or below 0.
            ConfigurationError: There is a base without rates, or there are rates and no one base.
        """
        if rates is None:
            if base is not None:
                raise ConfigurationError("base is what rates convert into: give rates, too")
            return cls()
        known = set(currencies) if base is None else {base}
        if len(known) > 1:
            names = ", ".join(sorted(map(str, known)))
            raise ConfigurationError(
                f"the portfolios have the currencies {names}: give base, or one portfolio"
            )
        if not known and is_empty:
            return cls(None, checked_rates(rates))
        if not known:
            raise ConfigurationError(
                "there is no portfolio whose currency amounts could be converted into: give base"
            )
        return cls(known.pop(), checked_rates(rates))

    def currency(self, currency: str | None) -> str | None:
        """Return the currency in which amounts of a currency are shown."""
        return currency if self.rates is None else self.base

    @exact
    def convert(self, amount: Decimal, currency: str | None) -> Decimal:
        """Return an amount in the currency in which it is shown.

        Raises:
            DomainError: `money.rate`: there is no rate for its currency.
        """
        if self.rates is None or currency is None or currency == self.base or not amount:
            return amount
        rate = self.rates.get(currency)
        if rate is None:
            raise DomainError(
                "money.rate",
                f"{amount} {currency} cannot be turned into {self.base}: give rates={{{currency!r}: ...}}",
            )
        return plain(amount * rate)


@exact
def added(*amounts: Decimal) -> Decimal:
    """Return the sum of amounts of one currency."""
    return plain(sum(amounts, ZERO))


def told(amounts: Iterable[CurrencyAmount]) -> str | None:
    """Return amounts of other currencies as one text, such as `0.02 BNB, 1.5 EUR`; None if there are none."""
    return ", ".join(f"{one.amount:f} {one.currency}" for one in amounts) or None
