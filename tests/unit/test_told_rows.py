"""The form of a row by which a proof compares it: it differs if anything of the row differs, to the last digit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from projections import Table

ID = UUID("018d9bff-0000-7000-8000-000000000001")


class Side(Enum):
    """An enum whose members are no texts."""

    BUY = "B"
    SELL = "S"


@dataclass(frozen=True)
class Wide:
    """A row with a field of each kind."""

    id: UUID = ID
    number: int = 1
    price: Decimal = Decimal("1.50")
    side: Side = Side.BUY
    text: str | None = "a"
    flag: bool = False
    day: date = date(2024, 2, 29)
    at: datetime | None = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    tags: tuple[str, ...] = ("x", "y")
    counts: dict[str, int] | None = None


TABLE = Table("wide", row=Wide, key=("id",))
USUAL = Wide()


def told(row: Wide, last_position: int = 7) -> bytes:
    """The form of an encoded row."""
    return TABLE.told(TABLE.codec.encode(row), last_position)


def told_as_stored(**changes: Any) -> bytes:
    """The form of the usual row as the driver returns it, except for some columns."""
    stored = {
        "id": ID,
        "number": 1,
        "price": "1.50",
        "side": "B",
        "text": "a",
        "flag": False,
        "day": date(2024, 2, 29),
        "at": USUAL.at,
        "tags": '["x", "y"]',
        "counts": None,
    }
    return TABLE.told((stored | changes).values(), 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 2},
        {"number": 2**70},
        {"price": Decimal("1.5")},
        {"price": Decimal("-1.50")},
        {"side": Side.SELL},
        {"text": None},
        {"text": "None"},
        {"text": ""},
        {"flag": True},
        {"day": date(2024, 2, 28)},
        {"at": None},
        {"at": datetime(2024, 1, 2, 3, 4, 5, 7, tzinfo=UTC)},
        {"at": datetime.max},
        {"tags": ("y", "x")},
        {"tags": ()},
        {"counts": {}},
        {"counts": {"a": 2**70}},
        {"counts": {"a": 2**70 + 1}},
    ],
    ids=str,
)
def test_every_difference_shows(changes: dict[str, Any]):
    """Of a digit, of None and a text of it, of the order of a list, and of integers beyond 64 bits."""
    others = {told(USUAL), told(USUAL, 8), told(replace(USUAL, counts={"a": 2**70 - 1}))}
    assert told(replace(USUAL, **changes)) not in others


@pytest.mark.parametrize(
    ("changes", "stored"),
    [
        ({}, {}),
        ({"price": Decimal("1E+3")}, {"price": "1000"}),
        ({"price": Decimal("1E-7")}, {"price": "0.0000001"}),
        ({"price": Decimal("-0.0")}, {"price": "0.0"}),
        ({"at": datetime(2024, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))}, {}),
        ({"at": datetime.min}, {"at": datetime.min}),
        ({"counts": {"b": 1, "aa": 2**70}}, {"counts": f'{{"b": 1, "aa": {2**70}}}'}),
        ({"counts": {"aa": 1, "b": 2}}, {"counts": '{"b": 2, "aa": 1}'}),
        ({"tags": ()}, {"tags": "[]"}),
    ],
    ids=str,
)
def test_a_row_and_what_is_stored_of_it_have_one_form(changes: dict[str, Any], stored: dict[str, Any]):
    """Numbers by their digits, times in UTC, JSON in one order of its keys."""
    assert told(replace(USUAL, **changes)) == told_as_stored(**stored)
