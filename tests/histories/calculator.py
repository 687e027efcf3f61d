"""What a history comes to, by the definitions, in fractions: nothing is rounded and nothing is shared with the library.

The accounting is the average cost method, over the executions in the order of report. A fill on the side of what is open
adds to its cost. A fill on the other side takes the same share of the cost as of the quantity, and realises the
difference. A busted execution never was; a corrected one was what the correction says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from tests.histories.history import History, Row, Traded

Amounts = defaultdict[str, Fraction]

CAPITAL = {"open", "deposit", "withdrawal"}
"""What brings capital in or out, so that it is no result."""
INCOME = {"dividend", "tax", "funding", "interest", "account_fee", "rebate", "adjustment"}


def exact(number: Decimal | None) -> Fraction:
    """The fraction that a number is."""
    assert number is not None
    return Fraction(number)


def amounts() -> Amounts:
    """No amount of any currency."""
    return defaultdict(Fraction)


@dataclass
class Holding:
    """What an account has of one instrument, and what it realised in it.

    Attributes:
        quantity: Negative if it is short.
        cost: The signed quantity x price of what is open.
        realized: Before commissions, in the instrument's currency.
        paid: The sum of signed quantity x price of all executions.
        price: Of the latest mark since it was opened; None: it was not marked.
    """

    traded: Traded
    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realized: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)
    price: Fraction | None = None
    priced_at: datetime | None = None
    results: list[Fraction] = field(default_factory=list)

    @property
    def average(self) -> Fraction:
        """The average price of what is open."""
        return self.cost / self.quantity

    @property
    def unrealized(self) -> Fraction:
        """What closing all at the current price would realise; 0 if it was not marked."""
        if self.price is None:
            return Fraction(0)
        return (self.quantity * self.price - self.cost) * self.traded.multiplier

    @property
    def value(self) -> Fraction:
        """What is open at the current price, or at its entry prices if it was not marked."""
        return self.cost * self.traded.multiplier + self.unrealized

    def trade(self, signed: Fraction, price: Fraction) -> None:
        """Count one execution."""
        self.paid += signed * price
        if self.quantity * signed < 0:
            closed = min(abs(signed), abs(self.quantity)) * (1 if signed > 0 else -1)
            cost = self.cost * -closed / self.quantity
            result = (-closed * price - cost) * self.traded.multiplier
            self.realized += result
            self.results.append(result)
            self.quantity += closed
            self.cost -= cost
            signed -= closed
            if not self.quantity:
                self.price = self.priced_at = None
        self.quantity += signed
        self.cost += signed * price

    def mark(self, price: Fraction, when: datetime) -> None:
        """Take in a price, unless a later one is known."""
        if self.quantity and (self.priced_at is None or when >= self.priced_at):
            self.price, self.priced_at = price, when

    def split(self, ratio: Fraction) -> None:
        """Have `ratio` shares for each one."""
        self.quantity *= ratio
        if self.price is not None:
            self.price /= ratio


@dataclass
class Worked:
    """An order.

    Attributes:
        quantity: What was ordered.
        filled: What was filled.
        cost: The sum of quantity x price of the fills.
        cancelled: Whether it was cancelled.
    """

    quantity: Fraction
    filled: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    cancelled: bool = False

    @property
    def status(self) -> str:
        """Its status, in the words of FIX."""
        if self.cancelled:
            return "CANCELLED"
        if self.filled >= self.quantity:
            return "FILLED"
        return "PARTIALLY_FILLED" if self.filled else "SUBMITTED"


@dataclass
class Account:
    """What a history comes to at one time; amounts are by currency or coin."""

    holdings: dict[str, Holding]
    orders: dict[str, Worked]
    commissions: Amounts
    capital: Amounts
    conversions: Amounts
    income: Amounts
    cash: Amounts

    @property
    def realized(self) -> Amounts:
        """What was realised, before commissions."""
        sums = amounts()
        for one in self.holdings.values():
            sums[one.traded.currency] += one.realized
        return sums

    @property
    def trades(self) -> tuple[int, int, int]:
        """How many trades were closed in part or in full, how many were won, how many lost."""
        results = [result for one in self.holdings.values() for result in one.results]
        return len(results), sum(one > 0 for one in results), sum(one < 0 for one in results)

    def equity(self, rates: Mapping[str, Fraction]) -> Fraction:
        """The cash, and what is open: its value if it was paid, its unrealised result if it is held on margin."""
        sums = amounts()
        for currency, amount in self.cash.items():
            sums[currency] += amount
        for one in self.holdings.values():
            sums[one.traded.currency] += one.unrealized if one.traded.on_margin else one.value
        return _total(sums, rates)

    def equity_by_facts(self, rates: Mapping[str, Fraction]) -> Fraction:
        """The same by sums over facts alone, which know no average price, no result and no order of report."""
        sums = amounts()
        for facts, sign in (
            (self.capital, 1),
            (self.conversions, 1),
            (self.income, 1),
            (self.commissions, -1),
        ):
            for currency, amount in facts.items():
                sums[currency] += sign * amount
        for one in self.holdings.values():
            sums[one.traded.currency] += one.value - one.paid * one.traded.multiplier
        return _total(sums, rates)


@dataclass(frozen=True)
class Recorded:
    """What one report added to the results, as they were when it came."""

    time: datetime
    realized: Amounts
    trades: tuple[int, int, int]


def recorded(history: History) -> list[Recorded]:
    """What each report of a history added to the results: it knows all reports before it, also of what happened later."""
    before, added = account(history, reports=0), []
    for reports, row in enumerate(history.rows, 1):
        after = account(history, reports=reports)
        realized = amounts()
        for currency in after.realized.keys() | before.realized.keys():
            realized[currency] = after.realized[currency] - before.realized[currency]
        closed, won, lost = (new - old for new, old in zip(after.trades, before.trades, strict=True))
        added.append(Recorded(row.time, realized, (closed, won, lost)))
        before = after
    return added


def results_at(reports: Iterable[Recorded], until: datetime | None) -> tuple[Amounts, tuple[int, int, int]]:
    """Sum up the results of what happened up to a time: by currency, and how many trades were closed, won and lost."""
    realized, counts = amounts(), [0, 0, 0]
    for one in reports:
        if until is None or one.time <= until:
            for currency, amount in one.realized.items():
                realized[currency] += amount
            counts = [old + new for old, new in zip(counts, one.trades, strict=True)]
    return realized, (counts[0], counts[1], counts[2])


def account(history: History, until: datetime | None = None, *, reports: int | None = None) -> Account:
    """What a history comes to.

    Args:
        history: The history.
        until: By what happened up to this time, inclusive; None: by all of it.
        reports: By so many first reports; None: by all.
    """
    told = [row for row in history.rows[:reports] if until is None or row.time <= until]
    counted = _executions(told)
    orders = {row.id: Worked(exact(row.quantity)) for row in told if row.kind == "order" and row.id}
    found = Account(
        {symbol: Holding(traded) for symbol, traded in history.instruments.items()},
        orders,
        *(amounts() for _ in range(5)),
    )
    for row in told:
        if row.kind == "fill":
            if (row.order, row.id) in counted:
                _trade(found, counted[row.order, row.id])
        elif row.kind == "cancel":
            found.orders[str(row.order)].cancelled = True
        elif row.kind == "mark":
            found.holdings[str(row.symbol)].mark(exact(row.price), row.time)
        elif row.kind == "split":
            found.holdings[str(row.symbol)].split(exact(row.quantity))
        elif row.kind not in {"order", "bust", "correct"}:
            _move(found, row)
    return found


def _executions(told: list[Row]) -> dict[tuple[str | None, str | None], Row]:
    """Return the executions that count, by their order and their first id, as the last correction has them."""
    first: dict[tuple[str | None, str | None], tuple[str | None, str | None]] = {}
    counted: dict[tuple[str | None, str | None], Row] = {}
    for row in told:
        key = (row.order, row.id)
        if row.kind == "fill":
            first[key] = key
            counted[key] = row
        elif row.kind == "bust":
            del counted[first[key]]
        elif row.kind == "correct":
            first[key] = first[row.order, row.corrects]
            counted[first[key]] = row
    return counted


def _trade(found: Account, row: Row) -> None:
    assert row.symbol is not None
    assert row.fee_currency is not None
    quantity, price, fee = exact(row.quantity), exact(row.price), exact(row.fee)
    holding, signed = found.holdings[row.symbol], quantity if row.side == "BUY" else -quantity
    realized = holding.realized
    holding.trade(signed, price)
    traded = holding.traded
    paid = holding.realized - realized if traded.on_margin else -signed * price * traded.multiplier
    found.cash[traded.currency] += paid
    found.cash[row.fee_currency] -= fee
    found.commissions[row.fee_currency] += fee
    order = found.orders[str(row.order)]
    order.filled += quantity
    order.cost += quantity * price


def _move(found: Account, row: Row) -> None:
    assert row.currency is not None
    found.cash[row.currency] += exact(row.amount)
    if row.kind == "conversion":
        assert row.symbol is not None
        quantity = exact(row.quantity) * (1 if row.side == "BUY" else -1)
        found.cash[row.symbol] += quantity
        found.conversions[row.symbol] += quantity
        found.conversions[row.currency] += exact(row.amount)
    elif row.kind in CAPITAL:
        found.capital[row.currency] += exact(row.amount)
    else:
        assert row.kind in INCOME, row.kind
        found.income[row.currency] += exact(row.amount)


def _total(sums: Amounts, rates: Mapping[str, Fraction]) -> Fraction:
    """Return the sum in the base currency, whose own rate is 1."""
    return sum((amount * rates.get(currency, 1) for currency, amount in sums.items()), Fraction(0))
