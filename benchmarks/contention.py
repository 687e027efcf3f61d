"""Eight writers on one stream: the store's retries beside a lock on the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from benchmarks.bench import EVENT_JSON, Bench, new_order
from benchmarks.workload import Figure, Goal, Workload, median_us, rate
from eventstore import Order, PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory
from eventstore.repositories.interfaces import IUnitOfWork

__all__ = ["STREAM_WRITERS", "OneStream", "OneStreamLatency", "amend_orders", "write_by_hand"]

STREAM_WRITERS = 8
"""How many write to the stream."""
_RETRIES_MAX = 1_000

_NEWEST = "SELECT version, data FROM bare WHERE stream_id = $1 ORDER BY version DESC LIMIT 1"
_INSERT = """
INSERT INTO bare (occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data, metadata)
VALUES (now(), now(), $1, 1, $2, $3, 'order', 'OrderAmended', $4, '{}')
"""

# The lock of the transaction, which needs a row that is always there: a wait for it ends with the row as it is then.
_HEADS = "CREATE TABLE bare_heads (stream_id uuid PRIMARY KEY, version integer NOT NULL, data jsonb NOT NULL)"
_NEW_HEAD = "INSERT INTO bare_heads (stream_id, version, data) VALUES ($1, 0, $2)"
_LOCK_HEAD = "SELECT version, data FROM bare_heads WHERE stream_id = $1 FOR UPDATE"
_INSERT_AND_MOVE = f"""
WITH event AS ({_INSERT})
UPDATE bare_heads SET version = $1, data = $4 WHERE stream_id = $2
"""

# One round trip, and no state that the client sees: the lock queues the writers on the server, and the INSERT sees what
# the one before committed.
_APPEND = """
CREATE FUNCTION bare_append(stream uuid, event uuid, body jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE drawn integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(stream::text, 0));
    INSERT INTO bare (occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data,
                      metadata)
    SELECT now(), now(), coalesce(max(version), 0) + 1, 1, stream, event, 'order', 'OrderAmended', body, '{}'
    FROM bare WHERE stream_id = stream
    RETURNING version INTO drawn;
    RETURN drawn;
END
$$
"""

Write = Callable[[Any, UUID], Awaitable[None]]
Measured = Callable[[int, int, Callable[[], Awaitable[Any]]], Awaitable[float]]
"""`rate` or `median_us`."""


class OneStream(Workload):
    """Eight writers that load, change and save one order, each until it has succeeded.

    The floor is the same work by hand: read the state, change it in the program and write the next version, in a
    transaction that locks the state. Measured beside: the same without a lock, again after each conflict; and one call
    of a function that takes a lock and inserts, which reads no state, so it serves who needs none to know what to write.
    A worker folds in a second process throughout, as it would; it has nothing to do for the floor. So the rate without a
    worker is measured beside.
    """

    name = "one_stream_8_writers"
    title = "8 writers on one stream with retries, none lost / the same by hand: lock, read, insert, commit"
    unit = "commits/s"
    goals = (Goal(0.9),)

    async def prepare(self, bench: Bench) -> None:
        """Make the table and the function with the locks."""
        await bench.bare.execute(_HEADS)
        await bench.bare.execute(_APPEND)

    async def measure(self, bench: Bench) -> Figure:
        """Measure all; a success that is not in its stream afterwards fails the run."""
        count = bench.sizes.contended
        alone = await amend_orders(bench, count)
        async with bench.worker():
            return Figure(
                await amend_orders(bench, count),
                await _write_bare(bench, _lock_and_write, rate, count),
                {
                    "no worker": alone,
                    "raw asyncpg: read, insert, again after a conflict": await _write_bare(
                        bench, _read_and_write, rate, count
                    ),
                    "raw asyncpg: a function that locks and inserts": await _write_bare(
                        bench, _call, rate, count
                    ),
                },
            )


class OneStreamLatency(Workload):
    """The median time of the same work."""

    name = "one_stream_8_writers_p50"
    title = "the same, median time of an operation / by hand"
    unit = "µs"
    goals = (Goal(1.2, "at_most"),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both."""
        count = bench.sizes.contended
        async with bench.worker():
            return Figure(
                await _amend(bench, count, median_us),
                await _write_bare(bench, _lock_and_write, median_us, count),
            )


async def amend_orders(bench: Bench, count: int) -> float:
    """How often a second eight writers change one order of a store."""
    return await _amend(bench, count, rate)


async def write_by_hand(bench: Bench, count: int) -> float:
    """The same without the library; `OneStream.prepare` was called before."""
    return await _write_bare(bench, _lock_and_write, rate, count)


async def _amend(bench: Bench, count: int, measured: Measured) -> float:
    order = new_order()
    async with bench.store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    manager = PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(bench.store.connection, workers=False))

    async def amend() -> None:
        await manager.execute_with_retry(partial(_change, order_id=order.id), max_retries=_RETRIES_MAX)

    value = await measured(count, STREAM_WRITERS, amend)
    async with bench.store.unit_of_work() as uow:
        amended = await uow.orders.get_order_by_id(order.id)
    if amended is None or amended.version != 1 + count or amended.limit_price != _price_of(order) + count:
        raise RuntimeError(f"{count} successes left {amended!r}")
    return value


async def _change(uow: IUnitOfWork, order_id: UUID) -> Order:
    order = await uow.orders.get_order_by_id(order_id)
    if order is None:
        raise RuntimeError("the order is gone")
    order.limit_price = _price_of(order) + 1
    return await uow.orders.update_order(order)


def _price_of(order: Order) -> Decimal:
    assert order.limit_price is not None
    return order.limit_price


async def _write_bare(bench: Bench, write: Write, measured: Measured, count: int) -> float:
    stream_id = uuid7()
    await bench.bare.execute(_NEW_HEAD, stream_id, EVENT_JSON)
    await bench.bare.execute(_INSERT, 0, stream_id, uuid7(), EVENT_JSON)
    value = await measured(count, STREAM_WRITERS, partial(write, bench.plain, stream_id))
    version = (await bench.bare.fetchrow(_NEWEST, stream_id))["version"]
    if version != count:
        raise RuntimeError(f"{count} successes left {version} events")
    return value


async def _lock_and_write(pool: Any, stream_id: UUID) -> None:
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_LOCK_HEAD, stream_id)
        await connection.execute(
            _INSERT_AND_MOVE, row["version"] + 1, stream_id, uuid7(), _amended(row["data"])
        )


async def _read_and_write(pool: Any, stream_id: UUID) -> None:
    async with pool.acquire() as connection:
        while True:
            row = await connection.fetchrow(_NEWEST, stream_id)
            try:
                await connection.execute(
                    _INSERT, row["version"] + 1, stream_id, uuid7(), _amended(row["data"])
                )
            except asyncpg.UniqueViolationError:
                continue
            return


async def _call(pool: Any, stream_id: UUID) -> None:
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT bare_append($1, $2, $3)", stream_id, uuid7(), EVENT_JSON)


def _amended(data: str) -> str:
    state = orjson.loads(data)
    state["limit_price"] = str(Decimal(state["limit_price"]) + 1)
    return orjson.dumps(state).decode()
