"""What a row holds beside numbers, ids, times and texts is kept as JSON, and comes back equal, type and all."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from eventstore.core.read_back import after_jsonb, first_difference
from eventstore.mapping.rows import RowCodec

D = Decimal


class Step(enum.Enum):
    """An enum of decimals."""

    HALF = D("0.5")


class Part(BaseModel):
    """A part of a row."""

    price: D
    note: str | None = "none"


class LongPart(Part):
    """A subclass of it."""

    more: int = 0


@dataclass
class Row:
    """A row with columns of JSON."""

    key: str
    ratio: float
    raw: bytes
    payload: dict[str, Any]
    steps: tuple[Step, ...]
    counts: dict[int, int]
    part: Part | None
    sizes: list[int]


ROW = Row(
    "a",
    1e16,
    b"\xff\x00",
    {"a": [None, 1.0, 2**70]},
    (Step.HALF,),
    {1: 2**70},
    Part(price=D("1.50"), note=None),
    [2**64, 1],
)
CODEC = RowCodec(Row)


def kept(row: Row) -> Row:
    """The row that is read once PostgreSQL has kept it."""
    import json

    values = dict(zip([column.name for column in CODEC.columns], CODEC.encode(row), strict=True))
    texts = {
        column.name: json.dumps(after_jsonb(values[column.name]))
        for column in CODEC.columns
        if column.is_json and values[column.name] is not None
    }
    return CODEC.decode(values | texts)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ratio": -0.0},
        {"ratio": math.inf},
        {"ratio": 0.1},
        {"part": None},
        {"steps": ()},
        {"steps": (Step.HALF, Step.HALF)},
    ],
)
def test_a_row_comes_back(changes: dict[str, Any]):
    """With its numbers, enums and None."""
    row = Row(**{**vars(ROW), **changes})
    back = kept(row)
    assert back == row
    assert first_difference(row, back, "row") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratio": math.nan}, "ratio is nan"),
        ({"payload": {"at": D(1)}}, r"payload\['at'\] is Decimal\('1'\)"),
        ({"payload": {"at": (1,)}}, r"payload\['at'\] is \(1,\) \(tuple\)"),
        ({"part": LongPart(price=D(1))}, "part is LongPart"),
    ],
)
def test_a_value_that_its_column_would_change_is_refused(changes: dict[str, Any], words: str):
    """So that its key is put in quarantine, and no row says something else than the projection."""
    with pytest.raises(ValueError, match=words):
        CODEC.encode(Row(**{**vars(ROW), **changes}))


class Noted(BaseModel):
    """A part whose default is not None, so that None says something."""

    note: str | None = "none"


class Rated(BaseModel):
    """A part whose defaults are all None."""

    rate: D | None = None
    why: str | None = None


@dataclass
class Parts:
    """A row of both."""

    rated: tuple[Rated, ...]
    noted: tuple[Noted, ...]


def test_what_is_none_by_default_is_left_out_of_the_json():
    """It comes back all the same; where None is not the default, it is kept."""
    codec = RowCodec(Parts)
    row = Parts((Rated(rate=D("1.50")), Rated()), (Noted(note=None), Noted()))
    assert codec.encode(row) == ['[{"rate":"1.50"},{}]', '[{"note":null},{"note":"none"}]']
    assert codec.decode_values(codec.encode(row)) == row
