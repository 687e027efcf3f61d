"""The types of fields: decimals that survive the database, times in UTC, text that JSONB can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from eventstore.domain.context import plain

__all__ = ["Amount", "Money", "Price", "Quantity", "Text", "UtcDatetime"]


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("text must not contain the character NUL: PostgreSQL cannot store it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text must be valid Unicode: it holds half of a surrogate pair") from error
    return value


UtcDatetime = Annotated[datetime, AfterValidator(_utc)]
"""An aware time in UTC, to the microsecond; a naive datetime means local time."""

Text = Annotated[str, AfterValidator(_storable)]
"""Any text that PostgreSQL can store: valid Unicode without NUL."""

# 34 digits is the width of the decimal context: what is wider could not be folded exactly.
Amount = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=34), AfterValidator(plain)]
"""A finite decimal of at most 34 digits, of either sign."""

Money = Amount
"""An amount of the account's currency, of either sign."""

Price = Amount
"""A price in the account's currency; futures spreads and some commodities trade below zero."""

Quantity = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=34), AfterValidator(plain)]
"""A positive quantity of shares, contracts or coins."""
