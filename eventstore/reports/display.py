"""How values are shown: rounded to the increments of the instrument or to the scale of the currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import starmap
from typing import Any

from eventstore.arrow_decimals import WIDE
from eventstore.domain.instrument import Instrument
from eventstore.printable import printable
from eventstore.reports.columns import Column
from eventstore.reports.money import split_amounts

_DECIMALS_MAX = 8
"""Decimals of a value whose instrument or currency does not say how many it has: coins are counted to 1E-8."""
_QUOTIENT_DECIMALS = 4
# The minor units of ISO 4217: all other currencies of three letters that it lists have two decimals.
_ISO_DECIMALS = dict.fromkeys(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ),
    0,
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
_ISO_OF_TWO = frozenset(
    [
        "AED",
        "AUD",
        "BGN",
        "BRL",
        "CAD",
        "CHF",
        "CNH",
        "CNY",
        "COP",
        "CZK",
        "DKK",
        "EGP",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "KES",
        "MAD",
        "MXN",
        "MYR",
        "NGN",
        "NOK",
        "NZD",
        "PEN",
        "PHP",
        "PKR",
        "PLN",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "SAR",
        "SEK",
        "SGD",
        "THB",
        "TRY",
        "TWD",
        "UAH",
        "USD",
        "UYU",
        "ZAR",
    ]
)


@dataclass(frozen=True, slots=True)
class Increments:
    """The decimals of the prices and quantities of one instrument; None where it has no increment."""

    price: int | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Display:
    """What says how values are rounded.

    Attributes:
        increments: The increments by symbol.
    """

    increments: Mapping[str, Increments] = field(default_factory=dict)

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> Display:
        """Return the display of some instruments; of one symbol at several venues the finest increments count."""
        found: dict[str, Increments] = {}
        for one in instruments:
            known = found.get(one.symbol, Increments())
            found[one.symbol] = Increments(
                _finest(known.price, one.tick_size), _finest(known.quantity, one.lot_size)
            )
        return cls(found)

    def shown(self, column: Column, value: Any, row: Mapping[str, Any]) -> str:
        """Return the text of a value, on one line; empty for None."""
        if value is None:
            return ""
        if isinstance(value, Decimal):
            return self._decimal(column, value, row)
        if isinstance(value, datetime):
            spec = "milliseconds" if value.microsecond else "seconds"
            return value.replace(tzinfo=None).isoformat(" ", spec)
        if isinstance(value, timedelta):
            return _duration(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if column.unit == "moneys":
            value = ", ".join(starmap(_with_currency, split_amounts(value)))
        return printable(str(value))

    def _decimal(self, column: Column, value: Decimal, row: Mapping[str, Any]) -> str:
        if column.unit == "money":
            return amount_text(value, row.get(column.currency))
        if column.unit == "quotient":
            return _trimmed(value, _QUOTIENT_DECIMALS)
        known = self.increments.get(row.get("symbol") or "", Increments())
        decimals = known.price if column.unit == "price" else known.quantity
        return _trimmed(value, _DECIMALS_MAX) if decimals is None else f"{_rounded(value, decimals):f}"


def _with_currency(amount: Decimal, currency: str) -> str:
    return f"{amount_text(amount, currency)} {currency}"


def amount_text(amount: Decimal, currency: str | None) -> str:
    """Return an amount of money with the decimals of its currency, and separators of thousands.

    A coin, and what names no currency, has two decimals to eight.
    """
    decimals = None if currency is None else _currency_decimals(currency)
    if decimals is None:
        return _trimmed(amount, _DECIMALS_MAX, least=2, grouped=True)
    return f"{_rounded(amount, decimals):,f}"


def price_text(value: Decimal) -> str:
    """Return a price or an average price of which nothing says how many decimals it has, with separators of thousands."""
    return _trimmed(value, _DECIMALS_MAX, grouped=True)


def _finest(known: int | None, increment: Decimal | None) -> int | None:
    if increment is None:
        return known
    exponent = increment.normalize(WIDE).as_tuple().exponent
    decimals = max(-int(exponent), 0)
    return decimals if known is None else max(known, decimals)


def _currency_decimals(currency: str) -> int | None:
    if currency in _ISO_OF_TWO:
        return 2
    return _ISO_DECIMALS.get(currency)


def _rounded(value: Decimal, decimals: int) -> Decimal:
    rounded = value.quantize(Decimal(1).scaleb(-decimals), context=WIDE)
    return rounded or rounded.copy_abs()


def _trimmed(value: Decimal, most: int, *, least: int = 0, grouped: bool = False) -> str:
    """Return a value with at most so many decimals, without zeros at its end."""
    rounded = _rounded(value, most)
    exponent = int(rounded.normalize(WIDE).as_tuple().exponent) if rounded else 0
    rounded = _rounded(rounded, max(-exponent, least))
    return f"{rounded:,f}" if grouped else f"{rounded:f}"


def _duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{value.days}d " if value.days else ""
    return f"{sign}{days}{hours:02}:{minutes:02}:{seconds:02}"
