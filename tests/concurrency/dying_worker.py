"""A process whose children fold the log and kill themselves at a statement of choice.

It reads lines `WHEN N` from its input: `before 3` forks a child that dies by SIGKILL before its third statement,
`after 3` after its answer has come, `never 0` lets it catch up. It answers with how many statements the child ran
where it ended by itself, and with `killed` where it did not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import asyncpg

from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.log import EventLog
from projections import ProjectionWorker
from tests.seen import SeenProjection


async def fold(url: str, when: str, at: int, batch_events_max: int) -> int:
    """Fold until nothing is left; return the number of statements."""
    count = 0

    def counted(name: str) -> None:
        original = getattr(asyncpg.Connection, name)

        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if (when, at) == ("before", mine):
                os.kill(os.getpid(), signal.SIGKILL)
            result = await original(self, *args, **kwargs)
            if (when, at) == ("after", mine):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(asyncpg.Connection, name, run)

    connection = await ConnectionFactory.create_connection(
        DatabaseConfig.from_url(url).replace(min_pool_size=1, max_pool_size=2)
    )
    for name in ("execute", "fetch", "fetchrow", "fetchval"):
        counted(name)
    worker = ProjectionWorker(EventLog(connection), SeenProjection(), batch_events_max=batch_events_max)
    while await worker.run_once():
        pass
    ran = count
    await connection.close()
    return ran


def main() -> None:
    """Serve the lines of the input."""
    url, batch_events_max = sys.argv[1], int(sys.argv[2])
    for line in sys.stdin:
        when, at = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            ran = asyncio.run(fold(url, when, int(at), batch_events_max))
            os.write(writing, str(ran).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        answer = os.read(reading, 100).decode()
        os.close(reading)
        if os.WIFSIGNALED(status):
            answer = "killed"
        sys.stdout.write(f"{answer or 'failed'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
