"""An account's history: its rows, its instruments, and what it is worth in its base currency at some dates."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

_NUMBERS = {"quantity", "price", "fee", "rate", "amount"}


@dataclass(frozen=True)
class Row:
    """One report; the package describes the columns."""

    time: datetime
    kind: str
    id: str | None
    corrects: str | None
    order: str | None
    symbol: str | None
    side: str | None
    quantity: Decimal | None
    price: Decimal | None
    fee: Decimal | None
    fee_currency: str | None
    rate: Decimal | None
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True)
class Traded:
    """An instrument.

    Attributes:
        currency: The currency of its price.
        multiplier: Currency per point of price and contract.
        on_margin: Whether a trade pays only what it realises, and not its value.
    """

    currency: str
    multiplier: int = 1
    on_margin: bool = False


@dataclass(frozen=True)
class Answer:
    """What an account comes to at one date, worked out by hand.

    Attributes:
        rates: What one unit of each other currency is worth in the base currency.
        positions: Quantity and average price of what is open.
        realized: What was realised, before commissions, by currency: what the positions have.
        commissions: By currency or coin.
        cash: By currency or coin.
        income: Dividends, taxes, funding, interest and fees of the account, by currency.
        equity: In the base currency.
        trades: How many trades were closed, won and lost.
        recorded: What the portfolio has as realised, if it is not the same: a trade's result is recorded with the trade,
            and a trade that is reported late knows what happened after it.
    """

    rates: Mapping[str, Fraction]
    positions: Mapping[str, tuple[Fraction, Fraction]]
    realized: Mapping[str, Fraction]
    commissions: Mapping[str, Fraction]
    cash: Mapping[str, Fraction]
    income: Mapping[str, Fraction]
    equity: Fraction
    trades: tuple[int, int, int] | None = None
    recorded: Mapping[str, Fraction] | None = None


@dataclass(frozen=True)
class History:
    """An account.

    Attributes:
        name: The name of its file.
        base: Its base currency.
        venue: Where it trades.
        instruments: What it trades.
        answers: What it comes to at each of some dates, the last one after everything.
        rows: Its rows, in the order of report.
    """

    name: str
    base: str
    venue: str
    instruments: Mapping[str, Traded]
    answers: Mapping[datetime, Answer]
    rows: tuple[Row, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _read(Path(__file__).with_name(f"{self.name}.csv")))

    def by_time(self) -> History:
        """Return it as it would be if each report had come when it happened."""
        sorted_ = replace(self)
        object.__setattr__(sorted_, "rows", tuple(sorted(self.rows, key=lambda row: row.time)))
        return sorted_

    @property
    def end(self) -> datetime:
        """The last date, after everything."""
        return max(self.answers)


def _read(path: Path) -> tuple[Row, ...]:
    names = [one.name for one in fields(Row)]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == names
        return tuple(Row(**{name: _value(name, line[name]) for name in names}) for line in reader)


def _value(name: str, text: str) -> Any:
    if name == "time":
        return datetime.fromisoformat(text)
    if not text:
        return None
    return Decimal(text) if name in _NUMBERS else text
