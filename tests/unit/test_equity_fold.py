"""The fold of columns to a curve of equity: its sums have the digits that a sum of all results has, or it refuses."""

from __future__ import annotations

import decimal
from array import array
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from eventstore.core.context import decimal_arithmetic
from eventstore.domain.average_cost import NOTHING
from eventstore.replay.equity_fold import (
    CREATED,
    MARKED,
    NEVER_NS,
    TRADED,
    Columns,
    EquityFold,
    Held,
    NotInColumns,
    Points,
    Result,
    _Sum,
)

D = Decimal
PORTFOLIO = 0
# Zeros of several exponents, few digits, and more than fit together into 34.
AMOUNTS = st.builds(
    lambda coefficient, decimals: D(coefficient).scaleb(-decimals),
    st.one_of(st.sampled_from([0, 10, -10, 25]), st.integers(-(10**20), 10**20)),
    st.sampled_from([0, 0, 2, 2, 3, 24, 29]),
)


def columns(*events: tuple[int, int, str]) -> Columns:
    """Events one microsecond after the other, each a stream's number, a kind and a price."""
    numbers, kinds, firsts = (list(one) for one in zip(*events, strict=True))
    times = array("q", range(len(events)))
    return Columns(numbers, times, times, array("h", kinds), firsts, [""] * len(events))


@given(st.lists(st.tuples(st.integers(0, 4), AMOUNTS), max_size=30))
def test_a_running_sum_has_the_digits_of_a_sum_of_all(changes: list[tuple[int, Decimal]]):
    """Whatever decimals results have, come and go with: the same digits, also zeros at the end; or it says that one was rounded away."""
    results = [Result() for _ in range(5)]
    running = _Sum(len(results))
    with decimal_arithmetic():
        flags = decimal.getcontext().flags
        for number, amount in changes:
            try:
                running.change(results[number], amount)
            except NotInColumns:
                return
            if flags[decimal.Rounded]:
                return
            assert str(running.amount) == str(sum([one.amount for one in results], D(0)))


def test_a_zero_that_was_rounded_away_is_noticed():
    """A sum of results of streams that are folded from events has 35 digits, the last a 0: the columns are refused."""
    results = iter([D("99999." + 29 * "0"), D("1." + 29 * "0")])
    whole = dict.fromkeys((1, 2), lambda: (next(results),))
    fold = EquityFold({}, PORTFOLIO, (D(0),), whole, Points())
    with pytest.raises(NotInColumns):
        fold.add(columns((PORTFOLIO, CREATED, ""), (1, 0, ""), (2, 0, ""), (PORTFOLIO, CREATED, "")), 0, 4)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_the_last_event_of_a_time_counts(split: int):
    """Two events at one time make one point, in whatever parts they are folded."""
    held = {1: Held(NOTHING._replace(quantity=D(2), cost=D(20)), None, NEVER_NS, D(1))}
    points = Points()
    page = columns((PORTFOLIO, CREATED, ""), (1, MARKED, "11"), (1, MARKED, "12"), (1, MARKED, "13"))
    page.times[2] = page.times[1]
    fold = EquityFold(held, PORTFOLIO, (D(1000),), {}, points)
    fold.add(page, 0, split)
    fold.add(page, split, 4)
    assert (points.times.tolist(), points.amounts) == ([0, 1, 3], [D(1000), D(1004), D(1006)])


def test_a_sum_that_the_domain_would_round_is_noticed():
    """999 + a result of 31 decimals has 34 digits; the domain adds it to 1000 and takes the commission off after that."""
    fold = EquityFold({}, PORTFOLIO, (D(1000),), {}, Points())
    page = columns((PORTFOLIO, CREATED, ""), (PORTFOLIO, TRADED, ""), (PORTFOLIO, TRADED, "0." + 31 * "1"))
    page.seconds[1] = "1"
    with pytest.raises(NotInColumns):
        fold.add(page, 0, 3)


def test_open_results_that_the_domain_would_round_are_noticed():
    """One of 11 digits and later one of 24 decimals have 34 digits and more in some order of sums, though not in this one."""
    large = Held(NOTHING._replace(quantity=D(1), cost=D(0)), None, NEVER_NS, D(1))
    fine = Held(NOTHING._replace(quantity=D(1), cost=D(0)), None, NEVER_NS, D(1))
    fold = EquityFold({1: large, 2: fine}, PORTFOLIO, (D(1000),), {}, Points())
    with pytest.raises(NotInColumns):
        fold.add(
            columns(
                (PORTFOLIO, CREATED, ""),
                (1, MARKED, "1" + 10 * "0"),
                (1, MARKED, "1"),
                (2, MARKED, "1." + 24 * "1"),
            ),
            0,
            4,
        )
