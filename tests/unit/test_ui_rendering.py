"""How the inspector shows values."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventstore.domain.money import CurrencyAmount
from eventstore.domain.order import Order
from eventstore.ui.rendering import (
    CHARACTERS_MAX,
    amount,
    amounts,
    cut,
    duration,
    environment,
    members,
    money,
    query,
    rounded,
    shown,
)
from eventstore.ui.sorted_lists import SORTS, Place

MINUS = "\u2212"


@pytest.mark.parametrize(
    ("value", "exact", "to_the_cent", "as_quotient"),
    [
        ("1234.5", "1,234.5", "1,234.50", "1,234.5"),
        ("-0.005", f"{MINUS}0.005", "0.00", f"{MINUS}0.005"),
        ("-1.239", f"{MINUS}1.239", f"{MINUS}1.24", f"{MINUS}1.239"),
        ("0.33333333333333333333", "0.33333333333333333333", "0.33", "0.33333333"),
        ("0E-8", "0.00000000", "0.00", "0"),
        ("1E+3", "1,000", "1,000.00", "1,000"),
        ("NaN", "NaN", "NaN", "NaN"),
        ("1E+999999", "1E+999999", "1E+999999", "1E+999999"),
    ],
)
def test_amounts(value: str, exact: str, to_the_cent: str, as_quotient: str):
    """All digits where they are exact; dollars to the cent, a quotient to eight places, as in reports; never an exponent that can be avoided."""
    one = Decimal(value)
    assert (amount(one), money(one, "USD"), rounded(one)) == (exact, to_the_cent, as_quotient)


def test_money_has_the_decimals_of_its_currency():
    """None for yen, three for dinars, up to eight for a coin and for what names no currency; as in the reports."""
    one = Decimal("1234.56789")
    assert [money(one, currency) for currency in ("JPY", "KWD", "BTC", None)] == [
        "1,235",
        "1,234.568",
        "1,234.56789",
        "1,234.56789",
    ]
    bnb = CurrencyAmount(currency="BNB", amount=Decimal("0.002"))
    assert amounts(Decimal("12.5"), (bnb,), "USD") == "12.50; 0.002 BNB"
    assert amounts(Decimal(0), (bnb,), "USD") == "0.002 BNB"
    assert amounts(Decimal(0), (), "JPY") == "0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0.0 s"),
        (0.0123, "12.3 ms"),
        (1.0, "1.0 s"),
        (90.0, "1.5 min"),
        (7200.0, "2.0 h"),
        (172_800.0, "2.0 d"),
    ],
)
def test_durations(seconds: float | None, text: str):
    """In the unit that fits."""
    assert duration(seconds) == text


def test_a_text_is_one_visible_line():
    """Control characters are escaped, and what is too long is cut with a note."""
    assert shown("a\nb\x1b\u202e") == "a\\nb\\x1b\\u202e"
    assert shown(None) == ""
    assert shown(value=True) == "yes"
    long = shown("x" * (CHARACTERS_MAX + 7))
    assert long.startswith("x" * CHARACTERS_MAX)
    assert long.endswith("(7 more characters are left out)")
    assert cut("abc", 3) == "abc"


def test_everything_that_a_template_shows_is_escaped():
    """Also what a macro shows, and a text that looks like a template."""
    template = environment().from_string(
        '{% macro say(text) %}<b title="{{ text }}">{{ text }}</b>{% endmacro %}{{ say(text) }}{{ text }}'
    )
    html = template.render(text="<i>\"'{{ 7*7 }}\u202e")
    once = "&lt;i&gt;&#34;&#39;{{ 7*7 }}\\u202e"
    assert html == f'<b title="{once}">{once}</b>{once}'


def test_members_of_json_are_as_stored():
    """Digits are not changed; a text that was cut is one value."""
    assert members('{"a": 1.10, "b": "x"}', 21) == [("a", "1.10"), ("b", "x")]
    assert members('{"a": "xxx', 999) == [("(cut)", '{"a": "xxx')]
    assert members("[1, 2]", 6) == [("data", "[1, 2]")]


def test_a_query_leaves_out_what_is_not_given():
    """Times are in UTC, to the microsecond."""
    at = datetime(2026, 3, 2, 15, 0, 0, 5, tzinfo=UTC)
    assert query(a=None, b="", c="x y", at=at) == "c=x+y&at=2026-03-02T15%3A00%3A00.000005Z"


def test_a_place_is_read_back():
    """The start of a page travels in an address."""
    text = "2026-03-02T15:00:00.000005Z_0190d1f2-7c1e-7000-8000-000000000001"
    by_time = SORTS[Order]["created_at"]
    assert str(Place.parse(text, by_time)) == text
    for wrong in (
        "",
        "x",
        "2026-03-02T15:00:00_0190d1f2-7c1e-7000-8000-000000000001",
        "2026-03-02T15:00:00Z_1",
    ):
        with pytest.raises(ValueError):
            Place.parse(wrong, by_time)
