"""A long log: the lives of orders, made by the domain once and multiplied by the server with new ids and times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from benchmarks.bench import Bench
from eventstore import EventStore, Order, OrderSide
from projections import OrdersProjection, ProjectionWorker

__all__ = [
    "ASCENDING_ID",
    "BEGIN",
    "EVENTS_OF_AN_ORDER",
    "TIMEOUT_S",
    "History",
    "fold_by_server",
    "history",
    "life_of_an_order",
]

EVENTS_OF_AN_ORDER = 5
_SYMBOLS = 20
_AT_ONCE = 100
"""Orders whose events are interleaved: as many as are alive at a time."""
BEGIN = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)

_TEMPLATE = """
CREATE TEMPORARY TABLE template (number integer, version integer, type text, data text, occurred_at timestamptz)
"""
ASCENDING_ID = (
    "(lpad(to_hex(1704205800000 + {n}), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid"
)
"""SQL of an id that ascends with time, as UUIDv7 does: the milliseconds `n`, then digits `h` that look random."""

_MULTIPLY = f"""
INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type,
                    data, metadata)
SELECT position, occurred_at, occurred_at, version, 1,
       (SELECT {ASCENDING_ID.format(n="copy * 100 + number")} FROM md5('s' || (copy * 100 + number)) AS h),
       (SELECT {ASCENDING_ID.format(n="position")} FROM md5('e' || position) AS h),
       'order', type, data::jsonb, '{{}}'
FROM (
    SELECT copy, number, version, type, data,
           occurred_at + copy * interval '1 second' AS occurred_at,
           copy * {_AT_ONCE * EVENTS_OF_AN_ORDER} + (version - 1) * {_AT_ONCE} + number + 1 AS position
    FROM generate_series($1::bigint, $2::bigint) AS copy CROSS JOIN template
) AS multiplied
ORDER BY position
"""
_COPIES_AT_A_TIME = 400
TIMEOUT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class History:
    """A database with a long log.

    Attributes:
        store: The store.
        events: How many events of orders it has; the last position.
    """

    store: EventStore
    events: int

    async def forget_rows(self) -> None:
        """Empty the table of orders, and let its projection begin anew."""
        async with self.store.connection.acquire() as connection:
            await connection.execute("TRUNCATE orders")
            await connection.execute("DELETE FROM projection_checkpoints WHERE projection = 'orders'")


async def history(bench: Bench, events: int, name: str = "history") -> History:
    """Return a database with a log of so many events, made at the first call."""
    store = await bench.database(name)
    have = await store.log.head()
    if have < events:
        async with store.connection.acquire_for_user() as connection:
            await _make(connection, have, events)
    return History(store, await store.log.head())


async def _make(connection: Any, have: int, events: int) -> None:
    per_copy = _AT_ONCE * EVENTS_OF_AN_ORDER
    await connection.execute(_TEMPLATE)
    await connection.copy_records_to_table("template", records=_records())
    first, last = have // per_copy, max((events + per_copy - 1) // per_copy, 1) - 1
    # Indexes are made when the rows are in: they are what right-edge inserts would have made, sooner.
    await connection.execute(
        "ALTER TABLE events DROP CONSTRAINT events_pkey, DROP CONSTRAINT events_position_key"
    )
    for start in range(first, last + 1, _COPIES_AT_A_TIME):
        end = min(start + _COPIES_AT_A_TIME - 1, last)
        await connection.execute(_MULTIPLY, start, end, timeout=TIMEOUT_S)
    await connection.execute(
        "ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (stream_id, version), "
        "ADD CONSTRAINT events_position_key UNIQUE (position)",
        timeout=TIMEOUT_S,
    )
    await connection.execute("SELECT setval('events_position_seq', (SELECT max(position) FROM events))")
    await connection.execute("VACUUM ANALYZE events", timeout=TIMEOUT_S)


async def fold_by_server(found: History) -> None:
    """Bring the table of orders up to the end of the log.

    The first orders are folded by the projection; the rows of all others are theirs, with other ids and times.
    """
    projection = OrdersProjection()
    worker = ProjectionWorker(found.store.log, projection)
    await worker.catch_up(_AT_ONCE * EVENTS_OF_AN_ORDER)
    folded = await worker.checkpoint() // (_AT_ONCE * EVENTS_OF_AN_ORDER)
    chosen = []
    for column in projection.table.codec.columns:
        if column.name == "id":
            digits = "md5('s' || (copy * 100 + number)) AS h"
            chosen.append(f"(SELECT {ASCENDING_ID.format(n='copy * 100 + number')} FROM {digits})")
        elif column.type == "timestamptz":
            chosen.append(f"{column.name} + copy * interval '1 second'")
        else:
            chosen.append(column.name)
    names = ", ".join(column.name for column in projection.table.codec.columns)
    async with found.store.connection.acquire() as connection:
        await connection.execute(
            f"INSERT INTO orders ({names}, last_position) "
            f"SELECT {', '.join(chosen)}, last_position + copy * {_AT_ONCE * EVENTS_OF_AN_ORDER} "
            "FROM generate_series($1::bigint, $2::bigint) AS copy CROSS JOIN "
            f"(SELECT *, last_position - {_AT_ONCE * (EVENTS_OF_AN_ORDER - 1) + 1} AS number FROM orders "
            f"WHERE last_position <= {_AT_ONCE * EVENTS_OF_AN_ORDER}) AS folded",
            folded,
            found.events // (_AT_ONCE * EVENTS_OF_AN_ORDER) - 1,
            timeout=TIMEOUT_S,
        )
        await connection.execute(
            "UPDATE projection_checkpoints SET position = $1 WHERE projection = 'orders'", found.events
        )
        await connection.execute("VACUUM ANALYZE orders", timeout=TIMEOUT_S)


def _records() -> list[tuple[int, int, str, str, datetime]]:
    records = []
    for number in range(_AT_ONCE):
        order = life_of_an_order(number)
        for version, pending in enumerate(order.pending_events, start=1):
            event = pending.event
            records.append((number, version, event.type, event.to_json().decode(), event.occurred_at))
    return records


def life_of_an_order(number: int) -> Order:
    """An order of five events: made, submitted, filled twice in part and once to the end."""
    began = BEGIN + timedelta(milliseconds=number)
    order = Order.create_limit_order(
        f"SYM{number % _SYMBOLS}",
        Decimal(300),
        OrderSide.BUY if number % 2 else OrderSide.SELL,
        limit_price=Decimal("585.33") + number,
        strategy="mean-reversion",
        occurred_at=began,
    )
    order.submit(f"B-{number}", occurred_at=began + timedelta(milliseconds=200))
    for fill in range(EVENTS_OF_AN_ORDER - 2):
        order.fill(
            Decimal(100),
            Decimal("585.33") + number,
            f"E-{number}-{fill}",
            commission=Decimal("0.35"),
            occurred_at=began + timedelta(milliseconds=400 + fill),
        )
    return order
