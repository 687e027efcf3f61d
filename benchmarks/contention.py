"""Eight writers on one stream: the store's retries beside a lock on the server."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from benchmarks.bench import EVENT_JSON, Bench, new_order
from benchmarks.workload import Figure, Goal, Workload, rate
from eventstore import Order, PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory
from eventstore.repositories.interfaces import IUnitOfWork

__all__ = ["OneStream"]

_WRITERS = 8
_RETRIES_MAX = 1_000

# One round trip: the lock queues the writers on the server, and the INSERT sees what the one before committed.
_LOCKED = """
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


class OneStream(Workload):
    """Eight writers that load, change and save one order, each until it has succeeded."""

    name = "one_stream_8_writers"
    title = "8 writers on one stream with retries, none lost / raw asyncpg with a lock on the server"
    unit = "commits/s"
    goals = (Goal(0.9),)

    async def prepare(self, bench: Bench) -> None:
        """Make the function with the lock."""
        await bench.bare.execute(_LOCKED)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both; a success that is not in the stream afterwards fails the run."""
        count = bench.sizes.contended
        order = new_order()
        async with bench.store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        manager = PostgreSQLTransactionManager(
            PostgreSQLUnitOfWorkFactory(bench.store.connection, workers=False)
        )
        number = 0

        async def amend() -> None:
            nonlocal number
            number += 1
            await manager.execute_with_retry(
                partial(_amend, order_id=order.id, price=Decimal(number)), max_retries=_RETRIES_MAX
            )

        value = await rate(count, _WRITERS, amend)
        events = await bench.store.log.read_stream(order.id)
        if len(events) != 1 + count:
            raise RuntimeError(f"{count} successes left {len(events) - 1} events")
        stream_id = uuid7()

        async def append() -> None:
            async with bench.plain.acquire() as connection:
                await connection.fetchval("SELECT bare_append($1, $2, $3)", stream_id, uuid7(), EVENT_JSON)

        return Figure(value, await rate(count, _WRITERS, append))


async def _amend(uow: IUnitOfWork, order_id: UUID, price: Decimal) -> Order:
    order = await uow.orders.get_order_by_id(order_id)
    if order is None:
        raise RuntimeError("the order is gone")
    order.limit_price = price
    return await uow.orders.update_order(order)
