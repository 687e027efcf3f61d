"""A process that counts an order up so many times, in operations that are retried."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from eventstore.database import DatabaseConfig
from eventstore.repositories import PostgreSQLTransactionManager, PostgreSQLUnitOfWorkFactory
from eventstore.store import EventStore

if TYPE_CHECKING:
    from eventstore.repositories import IUnitOfWork

_WRITERS = 2


async def _count(uow: IUnitOfWork, order_id: UUID) -> None:
    order = await uow.orders.get_order_by_id(order_id)
    assert order is not None
    assert order.limit_price is not None
    order.limit_price += 1
    await uow.orders.update_order(order)


async def _count_up(url: str, order_id: UUID, times: int) -> None:
    async with EventStore.open(DatabaseConfig.from_url(url), workers=False) as store:
        manager = PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))

        async def writer() -> None:
            for _ in range(times // _WRITERS):
                operation = partial(_count, order_id=order_id)
                await manager.execute_with_retry(operation, max_retries=10_000, backoff_factor=0.1)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_WRITERS):
                tasks.create_task(writer())


if __name__ == "__main__":
    asyncio.run(_count_up(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3])))
