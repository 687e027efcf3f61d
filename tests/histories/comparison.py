"""What the library says an account comes to, beside what the calculator says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from eventstore.domain.money import CurrencyAmount
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from tests.histories.calculator import Account, amounts

Pairs = Iterator[tuple[str, Fraction, Fraction]]
"""Names of amounts, each with what the library and what the calculator says."""

_ROUNDED = Fraction(1, 10**18)
"""What 24 decimals of a share of a cost may leave of a sum of some of them."""


@dataclass(frozen=True)
class Found:
    """An account as the library has it."""

    portfolio: Portfolio
    positions: Collection[Position]
    orders: Mapping[str, Order]


def differences(
    found: Found,
    wanted: Account,
    *,
    results: tuple[Mapping[str, Fraction], tuple[int, int, int]] | None = None,
    is_marked: bool = True,
) -> list[str]:
    """What differs, in words.

    Args:
        found: What the library says.
        wanted: What the calculator says.
        results: What the portfolio realised and how many trades it closed, won and lost, by the order of report; None if
            the reports came in another order: then what depends on it is not compared.
        is_marked: Whether each position was told the prices of its time.
    """
    compared = [*_of_portfolio(found.portfolio, wanted), *_of_positions(found.positions, wanted, is_marked)]
    if results is not None:
        compared += [*_of_results(found.portfolio, wanted, *results), *_of_averages(found.positions, wanted)]
    return [
        f"{name}: {float(one)} instead of {float(other)}"
        for name, one, other in compared
        if abs(one - other) > _ROUNDED
    ] + _of_orders(found, wanted)


def _of_portfolio(portfolio: Portfolio, wanted: Account) -> Pairs:
    """The sums over facts: of cash, without what trades on margin realised."""
    own = str(portfolio.currency)
    results = by_currency(own, portfolio.total_realized_pnl, portfolio.other_realized_pnl)
    cash = by_currency(own, portfolio.cash_balance, portfolio.other_balances)
    realized, expected = amounts(), amounts()
    for holding in wanted.holdings.values():
        if holding.traded.on_margin:
            currency = holding.traded.currency
            realized[currency] = results.get(currency, Fraction(0))
            expected[currency] += holding.realized
    yield from _each("cash", _less(cash, realized), _less(wanted.cash, expected))
    commissions = by_currency(own, portfolio.total_commission_paid, portfolio.other_commissions)
    yield from _each("commissions", commissions, wanted.commissions)
    income = by_currency(own, portfolio.total_income, portfolio.other_income)
    yield from _each("income", income, wanted.income)
    capital = by_currency(own, portfolio.initial_capital + portfolio.net_deposits, portfolio.other_deposits)
    yield from _each("capital", capital, wanted.capital)
    yield from _each("conversions", by_currency(own, Decimal(0), portfolio.conversions), wanted.conversions)


def _of_results(
    portfolio: Portfolio, wanted: Account, realized: Mapping[str, Fraction], trades: tuple[int, int, int]
) -> Pairs:
    """What depends on the order of report."""
    own = str(portfolio.currency)
    results = by_currency(own, portfolio.total_realized_pnl, portfolio.other_realized_pnl)
    yield from _each("realized", results, realized)
    counts = (portfolio.trades_count, portfolio.winning_trades, portfolio.losing_trades)
    for name, one, other in zip(("trades", "won", "lost"), counts, trades, strict=True):
        yield name, Fraction(one), Fraction(other)
    if all(one.traded.on_margin for one in wanted.holdings.values()):
        cash = by_currency(own, portfolio.cash_balance, portfolio.other_balances)
        yield from _each("whole cash", cash, wanted.cash)


def _of_positions(positions: Collection[Position], wanted: Account, is_marked: bool) -> Pairs:
    """Quantities, and what was realised and would be realised together: sums over facts."""
    commissions = amounts()
    for symbol, holding in wanted.holdings.items():
        of_symbol = [one for one in positions if one.symbol == symbol]
        yield f"{symbol} quantity", _sum(one.quantity for one in of_symbol), holding.quantity
        if is_marked:
            result = _sum(one.realized_pnl + (one.unrealized_pnl or 0) for one in of_symbol)
            yield f"{symbol} result", result, holding.realized + holding.unrealized
    for position in positions:
        paid = by_currency(str(position.currency), position.commission_paid, position.other_commissions)
        for currency, amount in paid.items():
            commissions[currency] += amount
    yield from _each("commissions of positions", commissions, wanted.commissions)


def _of_averages(positions: Collection[Position], wanted: Account) -> Pairs:
    """What depends on the order of report."""
    for symbol, holding in wanted.holdings.items():
        of_symbol = [one for one in positions if one.symbol == symbol]
        yield f"{symbol} cost", _sum(one.cost for one in of_symbol), holding.cost
        yield f"{symbol} realized", _sum(one.realized_pnl for one in of_symbol), holding.realized


def _of_orders(found: Found, wanted: Account) -> list[str]:
    """What differs in orders."""
    told = {
        name: (str(one.status), Fraction(one.filled_quantity), Fraction(one.filled_cost))
        for name, one in found.orders.items()
    }
    expected = {name: (one.status, one.filled, one.cost) for name, one in wanted.orders.items()}
    return [
        f"order {name}: {told.get(name)} instead of {expected.get(name)}"
        for name in sorted(told.keys() | expected.keys())
        if told.get(name) != expected.get(name)
    ]


def by_currency(currency: str, own: Decimal, others: Iterable[CurrencyAmount]) -> dict[str, Fraction]:
    """The amounts of all currencies."""
    found = {currency: Fraction(own)}
    for one in others:
        found[one.currency] = found.get(one.currency, Fraction(0)) + Fraction(one.amount)
    return found


def _each(name: str, one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> Pairs:
    for currency in sorted({*one, *other}):
        yield f"{name} {currency}", one.get(currency, Fraction(0)), other.get(currency, Fraction(0))


def _less(one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {name: amount - other.get(name, 0) for name, amount in one.items()}


def _sum(values: Iterable[Decimal]) -> Fraction:
    return sum(map(Fraction, values), Fraction(0))


def named(orders: Iterable[Order], ids: Mapping[str, UUID]) -> dict[str, Order]:
    """The orders by the names that the history gives them."""
    names = {id: name for name, id in ids.items()}
    return {names[one.id]: one for one in orders}
