"""A process whose children trade a tape and kill themselves at a statement of choice.

It reads lines `WHEN N` from its input: `before 3` forks a child that dies by SIGKILL before it sends its third
statement, `sent 3` when the server has it and no answer has come, `after 3` when it has, `never 0` lets it trade to the
end. It answers `killed`, or with how many statements the child ran.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from decimal import Decimal
from typing import Any

import asyncpg

from eventstore.database import DatabaseConfig
from eventstore.examples.engine_restart import trade
from eventstore.examples.mean_reversion import PLANS
from eventstore.examples.ticks import packaged_tape, read_ticks

PLANS_PLAYED = tuple(
    plan.__class__(plan.name, lookback, Decimal("0.3"), plan.target_ticks, 2, plan.quantity, 15)
    for plan, lookback in zip(PLANS, (10, 20, 30), strict=False)
)
"""Nervous strategies, so that a short tape makes many decisions."""


def die_at(when: str, at: int) -> list[int]:
    """Kill this process at its n-th statement; return a list with their number."""
    counted = [0]

    def wrap(name: str) -> None:
        original = getattr(asyncpg.Connection, name)

        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            counted[0] += 1
            mine = counted[0] == at
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            if mine and when == "sent":
                sending = asyncio.ensure_future(original(self, *args, **kwargs))
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGKILL)
                return await sending
            result = await original(self, *args, **kwargs)
            if mine and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(asyncpg.Connection, name, run)

    for name in ("execute", "fetch", "fetchrow", "fetchval"):
        wrap(name)
    return counted


def main() -> None:
    """Serve the lines of the input."""
    url, prints = sys.argv[1], int(sys.argv[2])
    config = DatabaseConfig.from_url(url).replace(min_pool_size=1, max_pool_size=3)
    tape = read_ticks(packaged_tape(), limit=prints)
    for line in sys.stdin:
        when, at = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            counted = die_at(when, int(at))
            asyncio.run(trade(config, tape, plans=PLANS_PLAYED))
            os.write(writing, str(counted[0]).encode())
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
