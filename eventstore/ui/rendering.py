"""From values to HTML: everything that a template shows passes through `shown`, and Jinja escapes it.

Values come from the log, so from brokers, users and other programs. None of them is HTML, and in none of them is a character
invisible; a long one is cut, with a note.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel

from eventstore.domain.money import CurrencyAmount
from eventstore.printable import printable
from eventstore.reports.display import amount_text, price_text
from eventstore.stored_json import pairs, time_text

CHARACTERS_MAX = 2_000
"""How much of one text is shown."""

_DIGITS = Context(prec=400)  # no amount of the library is longer; rounding with fewer digits would fail
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_MINUS = "\u2212"


def environment() -> Environment:
    """Return the environment of the templates."""
    made = Environment(
        loader=PackageLoader("eventstore.ui"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        amount=amount,
        money=money,
        amounts=amounts,
        rounded=rounded,
        pair=lambda text: (text, text),
        duration=duration,
        moment=moment,
        members=members,
        lines=lines,
    )
    return made


def shown(value: Any) -> Any:
    """Return what is shown of a value: one line of visible characters, not longer than `CHARACTERS_MAX`."""
    if isinstance(value, Markup):  # made by a macro, whose own values have been here
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Decimal):
        return amount(value)
    return cut(value if isinstance(value, str) else str(value))


def cut(text: str, characters_max: int = CHARACTERS_MAX) -> str:
    """Return a text in visible characters, cut with a note if it is long."""
    left_out = len(text) - characters_max
    if left_out <= 0:
        return printable(text)
    return f"{printable(text[:characters_max])} … ({left_out:,} more characters are left out)"


def lines(text: str) -> Iterator[str]:
    """Yield the lines of a text such as a traceback; each is shown like any other text."""
    yield from text.split("\n")


def number(value: int) -> str:
    """Return a whole number with separators."""
    return f"{value:,}".replace("-", _MINUS)


def amount(value: Decimal | None) -> str:
    """Return a decimal with all of its digits, without an exponent."""
    if value is None:
        return ""
    if not value.is_finite() or abs(value.adjusted()) > _DIGITS.prec:
        return printable(str(value))
    return f"{value:,f}".replace("-", _MINUS)


def money(value: Decimal | None, currency: str | None = None) -> str:
    """Return an amount of money with the decimals of its currency; the page shows the exact value beside it where it differs."""
    if value is None or not value.is_finite() or abs(value.adjusted()) > _DIGITS.prec:
        return amount(value)
    return amount_text(value, currency).replace("-", _MINUS)


def amounts(own: Decimal, others: Iterable[CurrencyAmount], currency: str | None) -> str:
    """Return an amount and those of other currencies, such as `12.50; 0.002 BNB`; only those if the own one is 0."""
    told = [f"{money(one.amount, one.currency)} {one.currency}" for one in others]
    return "; ".join([money(own, currency), *told] if own or not told else told)


def rounded(value: Decimal | None) -> str:
    """Return an average price with as many decimals as reports show, without the zeros at its end."""
    if value is None or not value.is_finite() or abs(value.adjusted()) > _DIGITS.prec:
        return amount(value)
    return price_text(value).replace("-", _MINUS)


def duration(seconds: float | None) -> str:
    """Return a number of seconds in a fitting unit."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return str(seconds)
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:,.1f} {unit}"
    if abs(seconds) >= 1 or seconds == 0:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms"


def moment(value: datetime) -> str:
    """Return a time in the form that a field of a form takes back: ISO 8601, in UTC, to the microsecond."""
    if value.tzinfo is None:
        return time_text(value)
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def members(value: Any, characters: int | None = None) -> list[tuple[str, str]]:
    """Return names and values: of the JSON of an event, of an entity, or of a mapping.

    Args:
        value: JSON text, an entity or a mapping.
        characters: The length of the whole JSON; if the text is shorter, it was cut, and is one value.
    """
    if isinstance(value, str):
        return (
            [("(cut)", value)] if characters is not None and characters > len(value) else list(pairs(value))
        )
    items: Mapping[str, Any] = value.__dict__ if isinstance(value, BaseModel) else value
    return [(name, text_of(item)) for name, item in items.items()]


def text_of(value: Any) -> str:
    """Return a field of an entity as text, in one line."""
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return ", ".join(
            f"{name}={text_of(item)}" for name, item in value.__dict__.items() if item is not None
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "; ".join(map(text_of, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text_of(item)}" for name, item in value.items())
    return str(shown(value)) if isinstance(value, bool | Decimal | datetime) else str(value)


def query(**values: Any) -> str:
    """Return the query of an address; values that are None or empty are left out."""
    given = {name: moment(one) if isinstance(one, datetime) else str(one) for name, one in values.items()
             if one is not None and one != ""}  # fmt: skip
    return urlencode(given, errors="backslashreplace")
