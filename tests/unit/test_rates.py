"""Rates between currencies: of one currency, of pairs, inverted and crossed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, strategies as st

from eventstore.domain.money import CurrencyAmount, RateTable, converted_total
from eventstore.errors import DomainError

D = Decimal
PAIRS = {"EUR/USD": D("1.25"), "USD/JPY": D(160)}


def test_a_rate_of_each_pair_comes_from_two():
    """One euro is 1.25 dollars and one dollar 160 yen: each of the three turns into each other one."""
    table = RateTable(PAIRS)
    assert table.into("USD") == {"EUR": D("1.25"), "JPY": D("0.00625")}
    assert table.into("JPY") == {"USD": D(160), "EUR": D(200)}
    assert table.into("EUR") == {"USD": D("0.8"), "JPY": D("0.005")}
    assert table.into("GBP") == {}
    assert table.is_of_pairs


def test_a_rate_without_a_currency_is_in_the_base():
    """`EUR` alone is in the base if there is one, otherwise in whatever currency is asked for."""
    free = RateTable({"EUR": D("1.25")})
    assert free.into("USD") == free.into(None) == free.into("GBP") == {"EUR": D("1.25")}
    assert not free.is_of_pairs
    based = RateTable({"EUR": D("1.25"), "GBP/EUR": D("1.2")}, base="USD")
    assert based.into("USD") == {"EUR": D("1.25"), "GBP": D("1.5")}
    assert based.into("EUR") == {"USD": D("0.8"), "GBP": D("1.2")}
    assert based.is_of_pairs


def test_what_is_given_comes_before_what_is_crossed():
    """The rate of a pair, then its inverse, then the fewest rates; a rate of the currency alone before all of them."""
    rates = {"EUR/USD": D(2), "USD/JPY": D(3), "EUR/JPY": D(7), "JPY/EUR": D("0.1")}
    assert RateTable(rates).into("JPY")["EUR"] == 7
    assert RateTable({"JPY/EUR": D("0.1"), **PAIRS}).into("JPY")["EUR"] == 10
    assert RateTable({**rates, "EUR": D(5)}).into("JPY")["EUR"] == 5
    long = {"A/B": D(2), "B/C": D(2), "C/D": D(2), "A/X": D(9), "X/D": D(9)}
    assert RateTable(long).into("D")["A"] == 81


def test_a_rate_that_is_given_keeps_all_of_its_digits():
    """A crossed one has 16, so that an amount times it is exact; no float is involved."""
    rate = D("1.08420000000000000000000001")
    assert RateTable({"EUR/USD": rate}).into("USD")["EUR"] == rate
    assert RateTable({"USD/JPY": D(149)}).into("USD")["JPY"] == D("0.006711409395973154")


def test_a_worthless_coin_has_no_inverse():
    """A rate of 0 turns the coin into nothing; nothing turns into the coin."""
    table = RateTable({"LUNA/USD": D(0), "EUR/USD": D(1)})
    assert table.into("USD") == {"LUNA": D(0), "EUR": D(1)}
    assert table.into("EUR")["LUNA"] == 0
    assert table.into("LUNA") == {}


@given(st.lists(st.decimals("0.01", 100, places=2), min_size=4, max_size=4), st.permutations(range(4)))
def test_crossing_is_a_product(values: list[Decimal], order: list[int]):
    """Along a chain of five currencies, in any order of the rates: the product or quotient of what lies between."""
    codes = "ABCDE"
    worth = [Fraction(1)]
    for value in values:
        worth.append(worth[-1] / Fraction(value))  # of one unit of each, in units of A
    pairs = {f"{codes[place]}/{codes[place + 1]}": values[place] for place in order}
    for (one, of), (other, into) in permutations(enumerate(codes), 2):
        exact = worth[one] / worth[other]
        found = Fraction(RateTable(pairs).into(into)[of])
        assert abs(found - exact) <= exact / 10**15


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"EUR/": D(1)}, "of a pair such as EUR/USD"),
        ({"/USD": D(1)}, "of a pair such as EUR/USD"),
        ({"": D(1)}, "of a currency such as EUR"),
        ({"A/B/C": D(1)}, "of a pair such as EUR/USD"),
        ({"USD/USD": D(1)}, "of a pair such as EUR/USD"),
        ({"EUR/USD": D(-1)}, "must be 0 or more"),
        ({"EUR/USD": 1.1}, "a Decimal"),
        ([("EUR", D(1))], "a mapping"),
    ],
)
def test_what_is_no_rate_is_refused(rates: object, words: str):
    """By the rule `money.rate`, with what is wrong."""
    with pytest.raises(DomainError, match=words) as refusal:
        RateTable(rates)  # type: ignore[arg-type]
    assert refusal.value.rule == "money.rate"


def test_a_missing_rate_is_named():
    """The pair that is missing, or the currency if the sum has none."""
    amounts = (CurrencyAmount(currency="GBP", amount=D(2)),)
    with pytest.raises(DomainError, match=r"2 GBP cannot be turned into JPY .*: give the rate GBP/JPY"):
        converted_total(amounts, "JPY", PAIRS)
    with pytest.raises(DomainError, match="give the rate GBP"):
        converted_total(amounts, None, {})
    assert converted_total(amounts, "JPY", {**PAIRS, "GBP/EUR": D("1.2")}) == 480
