"""The statement that stores log segments joins its streams: it never searches a list of them from its beginning for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore import EventStore


async def test_many_streams_are_joined_whatever_memory_there_is(store: EventStore):
    """If a list of streams is too large to be hashed, each look-up in it would take as long as the list."""
    async with store.connection.acquire_for_user() as connection, connection.transaction():
        await connection.execute("SET LOCAL work_mem = '64kB'; SET LOCAL hash_mem_multiplier = 1")
        statement = load("replay/keep_log_segments", connection)
        values = ("'order'", "1000000", "2000", "8")
        for number, value in enumerate(values, 1):
            statement = statement.replace(f"${number}::", f"{value}::")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}"))
    assert "Anti Join" in plan
    assert "(ANY (" not in plan
