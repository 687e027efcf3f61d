"""Amounts of several currencies, apart, or turned into one by rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from eventstore.core.context import exact, plain
from eventstore.domain.money import CurrencyAmount, RateTable, no_rate
from eventstore.errors import ConfigurationError

ZERO = Decimal(0)
"""No amount."""

Rates = Mapping[str, Decimal]
"""What one unit of a currency is worth, by its code or by a pair of codes."""


@dataclass(frozen=True, slots=True)
class Converter:
    """Turns amounts into one currency, if there are rates; otherwise each keeps its own.

    Attributes:
        base: The currency that amounts are turned into.
        table: The rates; None: nothing is converted.
    """

    base: str | None = None
    table: RateTable | None = None

    @classmethod
    def of(
        cls,
        base: str | None,
        rates: Rates | None,
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
            require_rates_for(base)
            return cls()
        table = RateTable(rates, base=base)
        known = set(currencies) if base is None else {base}
        if len(known) > 1:
            raise ConfigurationError(f"{_having(known)}: give base, or one portfolio")
        if not known and is_empty:
            return cls(None, table)
        if not known:
            raise ConfigurationError(
                "there is no portfolio whose currency amounts could be converted into: give base"
            )
        return cls(known.pop(), table)

    def currency(self, currency: str | None) -> str | None:
        """Return the currency in which amounts of a currency are shown."""
        return currency if self.table is None else self.base

    @exact
    def convert(self, amount: Decimal, currency: str | None) -> Decimal:
        """Return an amount in the currency in which it is shown.

        Raises:
            DomainError: `money.rate`: no rates lead from its currency.
        """
        if self.table is None or currency == self.base or not amount:
            return amount
        rate = None if currency is None else self.table.into(self.base).get(currency)
        if rate is None:
            raise no_rate(f"{amount:f} {currency or 'without a currency'}", currency, self.base)
        return plain(amount * rate)


def rates_in(of: str, texts: Iterable[str]) -> dict[str, Decimal]:
    """Return the rates that texts such as `EUR=1.0842` and `EUR/USD=1.0842` say.

    Args:
        of: What the texts were written for, for the error.
        texts: The texts.

    Raises:
        ConfigurationError: A text is not a currency or a pair of currencies and a positive number, or a rate is given twice.
    """
    found: dict[str, Decimal] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        codes = [one.strip() for one in name.split("/")]
        try:
            rate = Decimal(number.strip())
        except InvalidOperation:
            rate = ZERO
        is_name = all(codes) and len(codes) <= len(("of", "in")) and len(set(codes)) == len(codes)
        if not (is_name and equals and rate.is_finite() and rate > 0):
            raise ConfigurationError(f"{of} {text!r} is not a rate: write EUR=1.0842 or EUR/USD=1.0842")
        if found.setdefault("/".join(codes), rate) != rate:
            raise ConfigurationError(f"{of} {'/'.join(codes)} is given twice, with two values")
    return found


def require_rates_for(base: str | None) -> None:
    """Check, where there are no rates, that there is no base.

    Raises:
        ConfigurationError: There is one.
    """
    if base is not None:
        raise ConfigurationError("base is what rates convert into: give rates, too")


def rates_of_each(
    rates: Rates | None, base: str | None, currencies: Iterable[str | None]
) -> RateTable | None:
    """Return the rates of a report in which each portfolio is in the base, or in its own currency if there is none.

    Raises:
        DomainError: `money.rate`: a rate is no decimal or below 0.
        ConfigurationError: There is a base without rates; or there is none, the portfolios have several currencies, and a rate
            does not say in which currency it is.
    """
    if rates is None:
        require_rates_for(base)
        return None
    table, found = RateTable(rates, base=base), set(currencies)
    if base is None and len(found) > 1 and not table.is_of_pairs:
        raise ConfigurationError(f"{_having(found)}: give base, one portfolio or currency, or rates of pairs")
    return table


def _having(currencies: Iterable[str | None]) -> str:
    names = ", ".join(sorted("(none)" if one is None else one for one in currencies))
    return f"the portfolios have the currencies {names}"


@exact
def added(*amounts: Decimal) -> Decimal:
    """Return the sum of amounts of one currency."""
    return plain(sum(amounts, ZERO))


def split_amounts(text: str) -> list[tuple[Decimal, str]]:
    """Return the amounts and currencies of a text that `told` has made."""
    pairs = (one.partition(" ") for one in text.split(", "))
    return [(Decimal(amount), currency) for amount, _, currency in pairs]


def told(amounts: Iterable[CurrencyAmount]) -> str | None:
    """Return amounts of other currencies as one text, such as `0.02 BNB, 1.5 EUR`; None if there are none."""
    return ", ".join(f"{one.amount:f} {one.currency}" for one in amounts) or None
