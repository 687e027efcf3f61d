"""What worker processes cost while nothing happens."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventstore.store import EventStore
from tests import command_line
from tests.conftest import url_of
from tests.running_workers import place

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

IDLE_S = 10.0
QUIET_S = 3.0


def cpu_s(pid: int) -> float:
    """The time of processors that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_BARE = """
import asyncio, sys, asyncpg

async def main(url, pause_s):
    connection = await asyncpg.connect(url)
    print("connected", flush=True)
    while True:
        await connection.fetchval("SELECT 1")
        await asyncio.sleep(pause_s)

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


async def _bare_percent(url: str, per_s: float) -> float:
    """What a process costs that only sends statements at a rate, in percent of a core."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BARE, url, str(1 / per_s), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        await asyncio.sleep(QUIET_S)
        used, started = cpu_s(process.pid), time.monotonic()
        await asyncio.sleep(IDLE_S)
        return 100 * (cpu_s(process.pid) - used) / (time.monotonic() - started)
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.full
@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the times of another process are read from /proc"
)
async def test_an_idle_worker_process_costs_less_than_one_percent(migrated_config: DatabaseConfig):
    """All projections in one process, nothing appended: under 1 % of one core, and few transactions a second.

    Where the system itself takes long to wake a process, it is at most three times what bare statements cost at that rate.
    """
    process = command_line.start("work", "--url", url_of(migrated_config))
    try:
        async with EventStore.open(migrated_config.replace(max_pool_size=1), workers=False) as store:
            await place(store, 1)
            await store.wait_for(1, timeout_s=60)
            async with store.connection.acquire() as connection:
                await asyncio.sleep(QUIET_S)  # the poll's interval grows to its longest
                query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
                before, used, started = await connection.fetchval(query), cpu_s(process.pid), time.monotonic()
                await asyncio.sleep(IDLE_S)
                passed = time.monotonic() - started
                percent = 100 * (cpu_s(process.pid) - used) / passed
                per_s = (await connection.fetchval(query) - before) / passed
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=30)
    assert per_s < 20, f"{per_s:.1f} transactions a second"
    if percent >= 1:
        bare = await _bare_percent(url_of(migrated_config), per_s)
        assert percent < 3 * bare, f"{percent:.2f} % of a core, and bare statements at that rate {bare:.2f} %"
