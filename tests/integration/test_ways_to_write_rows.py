"""A row is stored alike by INSERT and by COPY, or refused by both: it does not matter how many rows a batch has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from eventstore.database.protocols import the_row
from eventstore.sql import schema_of
from projections.engine.batch import copy_rows, is_of_row
from projections.table import Table

if TYPE_CHECKING:
    from eventstore import EventStore
    from eventstore.database.protocols import Connection


@dataclass
class Measured:
    """A row of a user's own, whose fields nobody validates."""

    name: str
    number: Decimal | None = None
    count: int | None = None
    is_set: bool | None = None
    id: UUID | None = None
    at: datetime | None = None
    day: date | None = None


TABLE = Table("measured", row=Measured, key=["name"])
TICK = timedelta(microseconds=1)
LAST, FIRST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
WEST = timezone(timedelta(hours=-5))

STORED = [
    {"number": Decimal("1.50")},
    {"number": Decimal("1E+3")},
    {"number": 7},
    {"count": -(2**63)},
    {"is_set": False},
    {"id": UUID(int=7)},
    {"at": LAST - TICK},
    {"at": FIRST + TICK},
    {"at": datetime.max},
    {"at": datetime.min},
    {"at": datetime(2026, 3, 8, 2, 30, tzinfo=WEST)},
    {"day": date.max},
    {"day": date.min},
    {"name": "a\tb\\N\n"},
]
REFUSED = [
    {"number": 1.5},
    {"number": "1"},
    {"number": True},
    {"count": "7"},
    {"count": 1.0},
    {"count": True},
    {"count": 2**63},
    {"is_set": 1},
    {"is_set": "t"},
    {"id": str(UUID(int=7))},
    {"at": LAST},
    {"at": FIRST},
    {"at": datetime.max.replace(tzinfo=WEST)},
    {"at": date(2026, 1, 2)},
    {"at": "2026-01-02"},
    {"day": datetime(2026, 1, 2, tzinfo=UTC)},
    {"day": "today"},
    {"name": 5},
    {"name": None},
    {"name": "a\0b"},
]


async def written(connection: Connection, values: dict[str, Any], way: str) -> Any:
    """Write a row one way; return the table's text of it, or None if it is refused as the error of the row."""
    row = Measured(**{"name": "x"} | values)
    try:
        async with connection.transaction():
            if way == "copy":
                await copy_rows(connection, TABLE, None, [(row, 1)])
            else:
                columns = TABLE.codec.encode_columns([row])
                await connection.execute(TABLE.upsert(schema=schema_of(connection)), *columns, [1])
    except Exception as error:
        if not is_of_row(error):
            raise
        return None
    stored = the_row(await connection.fetchrow("SELECT measured::text AS row, measured.* FROM measured"))
    await connection.execute("DELETE FROM measured")
    assert TABLE.decode(list(stored)[1:]) == row  # type: ignore[arg-type]  # a record, too, is a sequence
    return stored["row"]


@pytest.mark.parametrize("values", STORED + REFUSED, ids=str)
async def test_both_ways_write_the_same(store: EventStore, values: dict[str, Any]):
    """What is stored is the same text, and equal to the row when it is read back; what would not be is refused."""
    async with store.connection.acquire() as connection:
        await connection.execute(TABLE.create(schema=schema_of(connection)))
        inserted, copied = [await written(connection, values, way) for way in ("insert", "copy")]
    assert inserted == copied
    assert (inserted is None) == any(values is one for one in REFUSED)
