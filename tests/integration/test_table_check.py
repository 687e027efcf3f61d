"""A table that does not fit the rows of its projection is found when a worker starts, with both sides named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from eventstore.core.event import RecordedEvent
from eventstore.domain.order import OrderCreated, OrderSide
from eventstore.errors import ConfigurationError
from eventstore.examples.turnover import TurnoverProjection
from eventstore.store import built_in_projections
from projections import Projection, ProjectionRunner, ProjectionWorker, Table
from projections.table_shape import check_table, table_differences

if TYPE_CHECKING:
    from eventstore.store import EventStore

TABLE = """
CREATE TABLE turnover (
    day date NOT NULL, symbol text NOT NULL, strategy text NOT NULL, fills bigint NOT NULL, quantity numeric NOT NULL,
    notional numeric NOT NULL, commission numeric NOT NULL, last_position bigint NOT NULL,
    PRIMARY KEY (day, symbol, strategy)
)
"""
MODEL_COMMISSION = "turnover.commission: the model has Decimal (numeric)"
# What is different about the table, and what is said of it.
MISMATCHES = {
    ("quantity numeric", "quantity integer"): (
        "turnover.quantity: the model has Decimal (numeric), the table has integer"
    ),
    ("quantity numeric", "quantity numeric(10,2)"): (
        "turnover.quantity: the model has Decimal (numeric), the table has numeric(10,2), "
        "which does not keep every value"
    ),
    (
        "fills bigint NOT NULL,",
        "",
    ): "turnover.fills: the model has int (bigint), the table has no such column",
    ("fills bigint NOT NULL", "fills bigint GENERATED ALWAYS AS IDENTITY"): (
        "turnover.fills: the model has int (bigint), the table has a column that the database generates"
    ),
    ("last_position bigint NOT NULL,", ""): (
        "turnover.last_position: every projection keeps it (bigint NOT NULL), the table has no such column"
    ),
    ("last_position bigint", "last_position integer"): (
        "turnover.last_position: every projection keeps it (bigint NOT NULL), the table has integer"
    ),
    ("last_position", "venue text NOT NULL, last_position"): (
        "turnover.venue: the model has no such field, the table has text NOT NULL without a default"
    ),
    ("(day, symbol, strategy)", "(symbol, day, strategy)"): (
        "turnover: the model has the key (day, symbol, strategy), the table has the primary key (symbol, day, strategy)"
    ),
    ("(day, symbol, strategy)", "(day, symbol)"): (
        "turnover: the model has the key (day, symbol, strategy), the table has the primary key (day, symbol)"
    ),
    (",\n    PRIMARY KEY (day, symbol, strategy)", ""): (
        "turnover: the model has the key (day, symbol, strategy), the table has no primary key"
    ),
    (TABLE, "CREATE VIEW turnover AS SELECT 1 AS day"): (
        "turnover: the model needs a table, and this is a view or another relation"
    ),
    (TABLE, "SELECT 1"): "turnover: the model is Turnover, and there is no such table",
}
FITS = {
    "as the model is": ("", ""),
    "a column more that may be NULL": ("last_position", "note text, last_position"),
    "a column more with a default": (
        "last_position",
        "seen_at timestamptz NOT NULL DEFAULT now(), last_position",
    ),
    "a generated column more": (
        "last_position",
        "doubled numeric NOT NULL GENERATED ALWAYS AS (quantity * 2) STORED, last_position",
    ),
    "a column that may be NULL": ("notional numeric NOT NULL", "notional numeric"),
    "another order": (
        "fills bigint NOT NULL, quantity numeric NOT NULL",
        "quantity numeric NOT NULL, fills bigint",
    ),
    "partitioned": (
        "PRIMARY KEY (day, symbol, strategy)\n)",
        "PRIMARY KEY (day, symbol, strategy)\n) PARTITION BY RANGE (day)",
    ),
}


async def differences(
    store: EventStore, statement: str, table: Table[Any] = TurnoverProjection.table
) -> list[str]:
    """Make a table, and look at it."""
    async with store.connection.acquire() as connection:
        await connection.execute(statement)
        return list(await table_differences(connection, table))


@pytest.mark.parametrize(("change", "said"), MISMATCHES.items(), ids=list(MISMATCHES.values()))
async def test_each_mismatch_is_named(store: EventStore, change: tuple[str, str], said: str):
    """One thing about the table is wrong: it is named with both sides, and nothing else is."""
    assert change[0] in TABLE
    assert await differences(store, TABLE.replace(*change)) == [said]


@pytest.mark.parametrize("change", FITS.values(), ids=FITS)
async def test_what_fits_is_let_pass(store: EventStore, change: tuple[str, str]):
    """A table that takes and keeps every row is not complained of."""
    assert change[0] in TABLE
    assert await differences(store, TABLE.replace(*change)) == []


async def test_a_worker_says_all_at_once_when_it_starts(store: EventStore):
    """A worker, and a runner of workers, end at once with every difference; nothing was folded."""
    statement = TABLE.replace("quantity numeric", "quantity integer").replace("fills bigint NOT NULL,", "")
    async with store.connection.acquire() as connection:
        await connection.execute(statement)
    for runs in (ProjectionWorker, ProjectionRunner):
        with pytest.raises(ConfigurationError) as raised:
            async with asyncio.timeout(60):
                await runs(store.log, TurnoverProjection()).run()
        assert "projection turnover does not fit its rows" in str(raised.value)
        assert "turnover.quantity: the model has Decimal (numeric), the table has integer" in str(
            raised.value
        )
        assert "turnover.fills: the model has int (bigint), the table has no such column" in str(raised.value)
    async with store.connection.acquire() as connection:
        assert await connection.fetchval(
            "SELECT bool_and(position = 0 AND lease_owner IS NULL) FROM projection_checkpoints"
        )


async def test_the_read_tables_fit(store: EventStore):
    """The library's own tables are what its own models say."""
    for projection in built_in_projections():
        await check_table(store.log, projection)


class Mood(StrEnum):
    """An enum that PostgreSQL keeps as text, or as a type of its own."""

    GOOD = "good"


@dataclass(frozen=True)
class Everything:
    """A field of each type."""

    text: str
    whole: int
    exact: Decimal
    flag: bool
    at: datetime
    day: date
    who: UUID
    mood: Mood
    tags: tuple[str, ...]
    maybe: Decimal | None


class EverythingProjection(Projection[Everything]):
    """A table with a name that needs quotes."""

    name = "everything"
    table = Table('Every"thing', row=Everything, key=("who", "day"))
    events = (OrderCreated,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """Never called."""
        raise NotImplementedError

    def evolve(self, row: Everything | None, event: RecordedEvent) -> Everything | None:
        """Never called."""
        raise NotImplementedError


async def test_the_generated_table_fits(store: EventStore):
    """What `Table.create` makes has a named key and fits, whatever the types of the fields and the table's name."""
    table = EverythingProjection.table
    assert await differences(store, table.create(), table) == []
    assert 'CONSTRAINT "Every""thing_pkey" PRIMARY KEY' in table.create()
    async with store.connection.acquire() as connection:
        for column in ("text", "whole", "exact", "flag", "at", "day", "who", "mood", "tags", "maybe"):
            await connection.execute(f"""ALTER TABLE "Every""thing" RENAME {column} TO gone_{column}""")
        found = await table_differences(connection, table)
    shown = {line.split(": ")[0]: line for line in found}
    assert (
        "the model has Decimal | None (numeric), the table has no such column" in shown['Every"thing.maybe']
    )
    assert "the model has tuple[str, ...] (jsonb)" in shown['Every"thing.tags']
    assert "the model has Mood (text)" in shown['Every"thing.mood']


async def test_a_type_of_the_users_own_is_compared_by_what_it_is(store: EventStore):
    """An enum's type is taken as given: the same passes, another or a missing one does not, and None needs NULL."""

    @dataclass(frozen=True)
    class Sided:
        symbol: str
        side: OrderSide
        code: str | None

    columns = (
        "symbol text PRIMARY KEY, side order_side NOT NULL, code varchar(8) NOT NULL, last_position bigint"
    )
    types = {"side": "order_side", "code": "varchar(8)"}
    table = Table("sided", row=Sided, key=("symbol",), types=types)
    assert await differences(store, f"CREATE TABLE sided ({columns})", table) == [
        "sided.code: the model may have None, the table has NOT NULL"
    ]
    wrong = Table("sided", row=Sided, key=("symbol",), types={"side": "order_status", "code": "no_such_type"})
    assert await differences(store, "SELECT 1", wrong) == [
        "sided.side: the model has OrderSide (order_status), the table has order_side",
        "sided.code: the model has str | None (no_such_type), and the database knows no such type",
        "sided.code: the model may have None, the table has NOT NULL",
    ]


def test_a_type_cannot_carry_a_statement():
    """The types that a table gives its columns are names of types and nothing else."""
    for text in ("text); DROP TABLE events; --", "text NOT NULL DEFAULT now()", ""):
        with pytest.raises(ConfigurationError, match="not the name of a PostgreSQL type"):
            Table("t", row=Everything, key=["text"], types={"text": text})
