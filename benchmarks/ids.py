"""What an index costs as it grows: time-ordered ids (UUIDv7) beside random ones, in a table of nothing but keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.bench import Bench
from benchmarks.history import ASCENDING_ID, TIMEOUT_S

__all__ = ["KINDS", "index_costs"]

KINDS = {
    "UUIDv7": ASCENDING_ID.format(n="number"),
    "random": "h::uuid",
}
"""SQL of an id of each kind, from a number and 32 hexadecimal digits `h`."""

_TABLE = "CREATE TABLE keys (stream_id uuid, version integer, PRIMARY KEY (stream_id, version))"
_INSERT = """
INSERT INTO keys
SELECT {id}, 1 FROM generate_series($1::bigint, $2::bigint) AS number, md5('k' || number) AS h
"""
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
_NEW_KEYS = 20_000


async def index_costs(bench: Bench, size: int) -> dict[str, float]:
    """Return for each kind of id what the primary key takes, and what each new key adds to the write-ahead log.

    Args:
        bench: Where to measure.
        size: Keys that the table has.
    """
    found: dict[str, float] = {}
    new = min(_NEW_KEYS, size)
    for kind, expression in KINDS.items():
        insert = _INSERT.format(id=expression)
        async with _keys(bench) as connection:
            await connection.execute(insert, 1, size - new, timeout=TIMEOUT_S)
            # The first change of a page after a checkpoint logs all of it, as in a database that is long at work.
            await connection.execute("CHECKPOINT", timeout=TIMEOUT_S)
            before = await connection.fetchval(_WAL)
            await connection.execute(insert, size - new + 1, size, timeout=TIMEOUT_S)
            found[f"WAL of a new key, {kind}"] = (await connection.fetchval(_WAL) - before) / new
            found[f"primary key, {kind}"] = (
                await connection.fetchval("SELECT pg_relation_size('keys_pkey')") / size
            )
    return found


@asynccontextmanager
async def _keys(bench: Bench) -> AsyncIterator[Any]:
    async with bench.plain.acquire() as connection:
        await connection.execute(_TABLE)
        try:
            yield connection
        finally:
            await connection.execute("DROP TABLE keys")
