"""The types of fields: decimals that the database keeps exactly, times in UTC, storable text."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from eventstore.core.codec import comes_back, keeps_type
from eventstore.core.context import CONTEXT, in_utc, plain
from eventstore.core.usual import returns_usual

NAME_CHARACTERS_MAX = 200
"""Maximum length of a name in characters.

Three names of this length, at 4 bytes per character, fit into one B-tree entry (2,704 bytes).
"""


DIGITS_MAX = 34
"""Maximum digits of a decimal: those of the decimal context, so that every fold is exact."""

COMPUTED_EXPONENT_MAX = 999
"""Largest exponent of a computed amount: beyond products of three fields, well within `numeric`."""


def _is_plain_time(value: datetime) -> bool:
    """Whether a time is in UTC and none of those that the driver stores as infinity."""
    return value.tzinfo is UTC and not value.fold and 1 < value.year < 9999  # noqa: PLR2004 - the first and the last


INFINITE_TIMES = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""The times that the driver stores as infinity, and reads back as others."""


@returns_usual(_is_plain_time)
@comes_back
def _utc(value: datetime) -> datetime:
    try:
        value = in_utc(value)
    except OverflowError as error:
        raise ValueError("must lie between the years 1 and 9999 in UTC too") from error
    except TypeError as error:
        raise ValueError(f"must be a time, not {value!r}") from error
    if value in INFINITE_TIMES:
        raise ValueError(
            "must be a finite time: the driver stores the first and the last datetime as infinity"
        )
    return value


@returns_usual(lambda value: value.isascii() and "\x00" not in value)
@keeps_type
def _storable(value: str) -> str:
    if value.isascii() and "\x00" not in value:
        return value
    if "\x00" in value:
        raise ValueError("text must not contain the character NUL: PostgreSQL cannot store it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text must be valid Unicode: it contains half of a surrogate pair") from error
    return value


def _number(value: Any) -> Any:
    """Accept values with an exact decimal value, including NumPy's integers, and refuse floats."""
    if isinstance(value, Decimal | str):
        return value
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ValueError(
        f"must be a Decimal, an int or a str, not {type(value).__name__} {value!r}: "
        "a binary float may differ from the number that it prints, so write Decimal('0.1') or Decimal(str(value))"
    )


@returns_usual(lambda value: type(value) is int)
def _integer(value: Any) -> Any:
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ValueError(f"must be an int, not {type(value).__name__} {value!r}")


@keeps_type
def _foldable(value: Decimal) -> Decimal:
    if abs(value.adjusted()) > COMPUTED_EXPONENT_MAX:
        raise ValueError(f"must lie between 1E-{COMPUTED_EXPONENT_MAX} and 1E+{COMPUTED_EXPONENT_MAX}")
    if CONTEXT.plus(value) != value:
        raise ValueError("must have at most 34 significant digits: a wider number cannot be folded exactly")
    return plain(value)


_text = CONTEXT.to_sci_string


def _is_usual(value: Any) -> bool:
    """Whether a value is a usual decimal, which the rules for amounts neither refuse nor change.

    Pydantic checks the digits of a decimal in Python, with one function after another. For most
    decimals their text is enough: a text of at most 34 characters without an exponent has at most
    34 digits. `plain` does not change such a decimal, unless it is a negative zero.
    """
    if type(value) is not Decimal or not value.is_finite():
        return False
    text = _text(value)
    return len(text) <= DIGITS_MAX and "E" not in text and (text[0] != "-" or bool(value))


def _is_usual_positive(value: Any) -> bool:
    return _is_usual(value) and value > 0


def _is_usual_non_negative(value: Any) -> bool:
    return _is_usual(value) and value >= 0


@returns_usual(_is_usual)
@keeps_type
def _usual_first(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    return value if _is_usual(value) else validate(value)


@returns_usual(_is_usual_positive)
@keeps_type
def _usual_positive_first(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    return value if _is_usual_positive(value) else validate(value)


@returns_usual(_is_usual_non_negative)
@keeps_type
def _usual_non_negative_first(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    return value if _is_usual_non_negative(value) else validate(value)


UtcDatetime = Annotated[datetime, AfterValidator(_utc)]
"""An aware time in UTC, to the microsecond; a naive datetime means local time. The first and the last datetime are refused."""

Text = Annotated[str, AfterValidator(_storable)]
"""Any text that PostgreSQL can store: valid Unicode without NUL."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX), AfterValidator(_storable)]
"""A symbol, external id, strategy or tag: text of 1 to 200 characters, which an index can hold."""


def _pairs(value: Any) -> Any:
    """Accept a mapping as its pairs, ordered by name."""
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


@keeps_type
def _of_different_names(value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if len({name for name, _ in value}) < len(value):
        raise ValueError("must have each name once")
    return value


Details = Annotated[
    tuple[tuple[Name, Text], ...], BeforeValidator(_pairs), AfterValidator(_of_different_names)
]
"""Texts of the user by name, immutable: given as a mapping, kept as pairs."""

Amount = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(allow_inf_nan=False, max_digits=DIGITS_MAX),
    AfterValidator(plain),
    WrapValidator(_usual_first),
]
"""A finite decimal of either sign, with at most 34 digits in total. Floats are refused."""

Money = Amount
"""An amount of the account's currency, of either sign."""

Price = Amount
"""A price in the account's currency; futures spreads and some commodities trade below zero."""

Computed = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(allow_inf_nan=False),
    AfterValidator(_foldable),
    WrapValidator(_usual_first),
]
"""A finite decimal computed by the library: at most 34 significant digits, exponents up to 999."""

Quantity = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, allow_inf_nan=False, max_digits=DIGITS_MAX),
    AfterValidator(plain),
    WrapValidator(_usual_positive_first),
]
"""A positive quantity of shares, contracts or coins."""

NonNegative = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(ge=0, allow_inf_nan=False, max_digits=DIGITS_MAX),
    AfterValidator(plain),
    WrapValidator(_usual_non_negative_first),
]
"""A quantity, an amount or a limit that is zero or positive."""

Factor = Quantity
"""A positive factor, such as FIX ContractMultiplier (231)."""

Nanoseconds = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=2**63 - 1)]
"""A time in nanoseconds since 1970-01-01T00:00:00Z, as a venue stamps it (FIX TransactTime, 60)."""
