"""Streams whose next versions an open transaction of someone else holds."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from eventstore.log.records import to_columns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.log import EventLog, StreamAppend


@asynccontextmanager
async def held(log: EventLog, stream: StreamAppend) -> AsyncIterator[None]:
    """Hold the keys of a stream in an open transaction of someone else, and roll it back at the end."""
    async with log.connection.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await log.append_in(connection, to_columns(stream.staged({})))
        try:
            yield
        finally:
            await transaction.rollback()
