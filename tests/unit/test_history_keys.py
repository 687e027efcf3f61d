"""The answer keys of the three account histories: the calculator meets the numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest

from tests.histories.calculator import account
from tests.histories.futures import FUTURES
from tests.histories.history import History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.shares import SHARES

HISTORIES = pytest.mark.parametrize("history", [PERPETUALS, SHARES, FUTURES], ids=lambda one: one.name)


def not_zero(amounts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The amounts that are not 0."""
    return {currency: amount for currency, amount in amounts.items() if amount}


@HISTORIES
def test_the_calculator_meets_the_numbers_worked_out_by_hand(history: History):
    """At each date: quantities, average prices, results, commissions, cash, income and equity, to the last digit."""
    for date, answer in history.answers.items():
        found = account(history, date)
        opened = {
            symbol: (one.quantity, one.average) for symbol, one in found.holdings.items() if one.quantity
        }
        assert opened == answer.positions, date
        assert not_zero(found.realized) == answer.realized, date
        assert not_zero(found.commissions) == answer.commissions, date
        assert not_zero(found.cash) == answer.cash, date
        assert not_zero(found.income) == answer.income, date
        assert found.equity(answer.rates) == answer.equity, date
        assert answer.trades in (None, found.trades), date


@HISTORIES
def test_equity_is_the_same_by_cash_and_by_facts(history: History):
    """After each row, cash and what is open come to what the sums of the facts come to, whatever was reported late."""
    rates = history.answers[history.end].rates
    for row in history.rows:
        found = account(history, row.time)
        assert found.equity(rates) == found.equity_by_facts(rates), row.time
    assert account(history).equity(rates) == history.answers[history.end].equity


def test_funding_is_what_was_held_by_mark_and_rate():
    """Each funding payment is the quantity held at its time x mark x rate: a long position pays a positive rate."""
    payments = [row for row in PERPETUALS.rows if row.kind == "funding"]
    assert len(payments) == 18
    for row in payments:
        assert row.quantity is not None
        assert row.price is not None
        assert row.rate is not None
        held = account(PERPETUALS, row.time).holdings[str(row.symbol)].quantity
        assert held == row.quantity, row.id
        assert row.amount == -row.quantity * row.price * row.rate, row.id


def test_dividends_are_of_what_was_held():
    """Each dividend is shares x dividend of one, and the tax withheld is its rate of the dividend, to the cent or the yen."""
    paid = {}
    for row in SHARES.rows:
        if row.kind == "dividend":
            assert row.quantity is not None
            assert row.price is not None
            assert row.amount == row.quantity * row.price, row.id
            paid[row.symbol] = row.amount
        elif row.kind == "tax":
            assert row.amount is not None
            assert row.rate is not None
            assert abs(row.amount + paid[row.symbol] * row.rate) <= 1 / Fraction(200), row.id
