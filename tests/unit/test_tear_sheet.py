"""The numbers of a tear sheet: sums of portfolios, drawdowns and returns; and what plotly is given."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from eventstore.tear_sheet import plots, sheet
from eventstore.tear_sheet.series import Point, Series, of_period, thinned, total

D = Decimal
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def point(day: int, equity: int, capital: int = 100) -> Point:
    """The equity on a day."""
    return Point(BEGIN + timedelta(days=day), D(equity), D(capital))


def series(*points: Point, name: str = "main") -> Series:
    """A series of points."""
    return Series(name, "USD", points)


def test_a_return_does_not_count_deposits_and_withdrawals():
    """10 % before and 10 % after a deposit are 21 %, whatever came in between; a withdrawal changes nothing either."""
    deposit = series(point(0, 100), point(1, 110), point(2, 1110, 1100), point(3, 1221, 1100))
    assert deposit.total_return == pytest.approx(0.21)
    assert deposit.pnl == 121
    withdrawal = series(point(0, 100), point(1, 110), point(2, 55, 45), point(3, D("60.5"), 45))  # type: ignore[arg-type]
    assert withdrawal.total_return == pytest.approx(0.21)


def test_a_return_of_nothing_is_not_known():
    """Without equity there is no return; without a result it is 0."""
    assert series(point(0, 0, 0), point(1, 5, 0)).total_return is None
    assert series(point(0, -10, 0), point(1, -5, 0)).total_return is None
    assert series(
        point(0, 0, 0), point(1, 0, 0), point(2, 100, 100), point(3, 110, 100)
    ).total_return == pytest.approx(0.1)


def test_months_are_those_of_the_zone():
    """What happened at noon of the last day of a month in UTC belongs to the next one in the far east."""
    one = series(point(-1, 100), point(0, 110), point(1, 99))
    assert one.months(UTC) == {(2026, 1): pytest.approx(0.1), (2026, 2): pytest.approx(-0.1)}
    assert one.months(ZoneInfo("Pacific/Kiritimati")) == {(2026, 2): pytest.approx(-0.01)}


def test_a_drawdown_is_below_the_highest_result():
    """A deposit is no new peak and a withdrawal no fall."""
    one = series(point(0, 100), point(1, 120), point(2, 220, 200), point(3, 160, 150), point(4, 152, 150))
    falls = one.falls()
    assert [fall.amount for fall in falls] == [0, 0, 0, 10, 18]
    assert falls[-1].fraction == pytest.approx(18 / 170)


def test_the_sum_of_portfolios():
    """At each time what each has then; one that begins later brings its capital."""
    first = series(point(0, 100), point(2, 120), name="a")
    second = series(point(1, 50, 50), point(2, 55, 50), name="b")
    whole = total("all", [first, second])
    assert [(int(one.equity), int(one.capital)) for one in whole.points] == [
        (100, 100),
        (150, 150),
        (175, 150),
    ]
    assert whole.pnl == first.pnl + second.pnl
    assert whole.total_return == pytest.approx(25 / 150)


amounts = st.integers(-1_000, 1_000)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 50), amounts, amounts), min_size=1, max_size=8),
        min_size=1,
        max_size=4,
    )
)
def test_a_sum_ends_at_the_sum_of_the_ends(rows):
    """For any points of any portfolios: the last equity and capital; one point a time, but two at the first one; in order."""
    some = [series(*(point(*row) for row in sorted(one, key=lambda row: row[0]))) for one in rows]
    whole = total("all", some)
    assert whole.points[-1].equity == sum(one.points[-1].equity for one in some)
    assert whole.points[-1].capital == sum(one.points[-1].capital for one in some)
    times = [one.at for one in whole.points]
    assert times == sorted(times)
    assert len(whole.points) == 1 or len(some) == 1 or len(set(times[1:])) == len(times[1:])
    assert min(fall.amount for fall in whole.falls()) == 0


def test_a_period_begins_with_what_was_there():
    """The equity before it is its first point; of a portfolio that began in it, its own first one."""
    points = [point(0, 100), point(1, 120), point(3, 150)]
    assert [one.equity for one in of_period(points, BEGIN + timedelta(days=2))] == [120, 150]
    assert of_period(points, BEGIN + timedelta(days=2))[0].at == BEGIN + timedelta(days=2)
    assert [one.equity for one in of_period(points, BEGIN - timedelta(days=2))] == [100, 120, 150]
    assert [one.equity for one in of_period(points, BEGIN + timedelta(days=9))] == [150]
    assert [one.equity for one in of_period([point(0, 130)], None)] == [100, 130]


def test_a_sum_has_what_each_made_at_its_first_point():
    """Also where both begin at one time, where one begins at the time of a point of the other, and after a period began."""
    begun = series(*of_period([point(0, 130)], None), name="a")
    other = series(*of_period([point(0, 95), point(1, 97)], None), name="b")
    later = series(*of_period([point(1, 105)], None), name="c")
    for some in ([begun, other], [other, begun], [other, later], [later, other], [begun, other, later]):
        whole = total("all", some)
        assert whole.pnl == sum(one.pnl for one in some)
        assert whole.points[0].pnl == 0
    since = BEGIN + timedelta(days=1)
    known = [
        series(*of_period([point(0, 130), point(2, 140)], since)),
        series(*of_period([point(0, 150)], since)),
        series(*of_period([point(1, 107)], since)),
    ]
    assert total("all", known).pnl == 10 + 0 + 7


def test_a_portfolio_that_begins_in_the_period_made_nothing_before():
    """Its first point is a result of the period: in front of it stands its capital."""
    begun = of_period([point(0, 130), point(1, 135)], BEGIN - timedelta(days=1))
    assert [one.equity for one in begun] == [Decimal(100), Decimal(130), Decimal(135)]
    assert {one.capital for one in begun} == {Decimal(100)}
    assert of_period([point(0, 130)], BEGIN + timedelta(days=1))[0].equity == 130


@given(st.lists(amounts, min_size=1, max_size=400), st.integers(3, 60))
def test_a_thinned_curve_keeps_its_extremes(values, most):
    """Its lowest, its highest and its last point, in order, and not more points than asked for."""
    kept = thinned(list(enumerate(values)), lambda one: one[1], most)
    assert len(kept) <= most or len(values) <= most
    assert kept == sorted(kept)
    assert {min(values), max(values)} <= {value for _, value in kept}
    assert kept[-1] == (len(values) - 1, values[-1])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ('<a href="javascript:alert(1)">', '&lt;a href="javascript:alert(1)"&gt;'),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("a\nb\x1b", "a\\nb\\x1b"),
        (None, "(none)"),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_a_label_is_text(text: str | None, shown: str):
    """Plotly reads tags and entities in labels; a name of the log has none."""
    assert plots.label(text) == shown


def test_an_amount_beyond_floats_is_a_gap():
    """JSON has no infinity, which would keep the page from being read."""
    drawn = plots.equity_plot(series(point(0, 1), Point(BEGIN, D("1E+400"), D(0))), [], UTC)
    assert drawn["data"][0]["y"] == [1.0, None]


def test_the_script_does_not_end_its_element():
    """Plotly's script stands in the page, so it must not have the end of a script in it."""
    script = plots.script()
    assert "</script" not in script
    assert len(script) > 1_000_000


def test_what_comes_in_counts_for_the_result_of_the_same_time():
    """10 made at the time of a deposit of 100 are 5 % of what was there then."""
    assert series(point(0, 100), point(1, 210, 200)).total_return == pytest.approx(0.05)


def test_the_json_of_the_plots_does_not_end_its_element():
    """Whatever text is in a plot: the page has no element of it, and the script reads it back equal."""
    hostile = "</script><script>alert(1)</script>&<!--\u2028"
    names = {"title": "", "subtitle": "", "sections": [], "plotly": "", "draw": "", "hashes": ""}
    html = sheet._template().render(**names, drawn=[{"name": hostile}])
    (written,) = re.findall(r'<script type="application/json" id="drawn">(.*?)</script>', html, re.DOTALL)
    assert html.count("<script") == 3
    assert json.loads(written) == [{"name": hostile}]
