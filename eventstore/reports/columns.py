"""The columns of reports: plain Python, so that a report needs no library for frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "decimal", "integer", "time", "duration", "boolean"]
"""What the values of a column are: str, Decimal, int, datetime in UTC, timedelta or bool; each may be None."""

ValueUnit = Literal["", "price", "quantity", "money", "moneys", "quotient"]
"""How a decimal is rounded when it is shown: by the instrument, by the currency, or to four decimals.

`moneys` is a text of amounts with their currencies.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a report.

    Attributes:
        name: Its name.
        kind: What its values are.
        unit: How its decimals are rounded when they are shown.
        currency: Of amounts of money: the name of the column that says the currency.
        is_average: Whether its values come from a division. In a frame they have at most the digits of a decimal128.
    """

    name: str
    kind: Kind = "text"
    unit: ValueUnit = ""
    currency: str = "currency"
    is_average: bool = False

    @property
    def is_number(self) -> bool:
        """Whether its values are aligned to the right."""
        return self.kind in {"decimal", "integer", "duration"}


def texts(*names: str) -> tuple[Column, ...]:
    """Return columns of texts."""
    return tuple(Column(name) for name in names)


def amounts_apart(*names: str) -> tuple[Column, ...]:
    """Return columns of amounts in other currencies, each one text, such as `0.02 BNB, 1.5 EUR`."""
    return tuple(Column(name, unit="moneys") for name in names)


def times(*names: str) -> tuple[Column, ...]:
    """Return columns of times."""
    return tuple(Column(name, "time") for name in names)


def integers(*names: str) -> tuple[Column, ...]:
    """Return columns of integers."""
    return tuple(Column(name, "integer") for name in names)


def amounts(*names: str, currency: str = "currency") -> tuple[Column, ...]:
    """Return columns of amounts of money."""
    return tuple(Column(name, "decimal", "money", currency) for name in names)


def prices(*names: str) -> tuple[Column, ...]:
    """Return columns of prices."""
    return tuple(Column(name, "decimal", "price") for name in names)


def averages(*names: str) -> tuple[Column, ...]:
    """Return columns of average prices."""
    return tuple(Column(name, "decimal", "price", is_average=True) for name in names)


def quantities(*names: str) -> tuple[Column, ...]:
    """Return columns of quantities."""
    return tuple(Column(name, "decimal", "quantity") for name in names)


def quotients(*names: str) -> tuple[Column, ...]:
    """Return columns of fractions and ratios."""
    return tuple(Column(name, "decimal", "quotient", is_average=True) for name in names)
