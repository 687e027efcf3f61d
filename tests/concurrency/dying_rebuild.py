"""A process whose children rebuild a projection and kill themselves at a statement of choice.

It reads lines `WHEN N` from its input: `before 3` forks a child that dies by SIGKILL before its third statement, `after 3`
after its answer has come, `never 0` lets it finish. It answers with how many statements the child ran, and the position
at which it began, where it ended by itself; and with `killed` where it did not.
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
from projections import build
from projections.rebuild import RebuildProgress, rebuild
from tests.seen import SeenProjection

LEASE_S = 0.3
STEP_EVENTS_MAX = 40


async def run(url: str, when: str, at: int) -> str:
    """Rebuild; return the number of statements and the first position that was reached."""
    count = 0
    reached: list[int] = []

    def counted(name: str) -> None:
        original = getattr(asyncpg.Connection, name)

        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            # The claim is renewed by the clock, beside the statements of the rebuild.
            if args and isinstance(args[0], str) and "expires_at = clock_timestamp()" in args[0]:
                return await original(self, *args, **kwargs)
            count += 1
            mine = count
            if (when, at) == ("before", mine):
                os.kill(os.getpid(), signal.SIGKILL)
            result = await original(self, *args, **kwargs)
            if (when, at) == ("after", mine):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(asyncpg.Connection, name, call)

    def note(progress: RebuildProgress) -> None:
        reached.append(progress.position)

    connection = await ConnectionFactory.create_connection(
        DatabaseConfig.from_url(url).replace(min_pool_size=1, max_pool_size=3)
    )
    for name in ("execute", "fetch", "fetchrow", "fetchval", "copy_records_to_table"):
        counted(name)
    await rebuild(EventLog(connection), SeenProjection(), lease_s=LEASE_S, on_progress=note)
    ran = count
    await connection.close()
    return f"{ran} {reached[0]}"


def main() -> None:
    """Serve the lines of the input."""
    build._STEP_EVENTS_MAX = STEP_EVENTS_MAX
    build._PAGE_EVENTS_MAX = STEP_EVENTS_MAX
    for line in sys.stdin:
        when, at = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            answer = asyncio.run(run(sys.argv[1], when, int(at)))
            os.write(writing, answer.encode())
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
