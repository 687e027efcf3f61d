"""A process that rebuilds orders with a second process, and kills itself in the midst of it; the argument is the database's URL.

Before that it writes the process ids of those that it has started.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys

from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.log import EventLog
from projections import OrdersProjection
from projections.rebuild import RebuildLimits, RebuildProgress, rebuild


def kill(progress: RebuildProgress) -> None:
    """End this process as SIGKILL does: it cannot tell anybody."""
    if progress.events > 3:
        pids = (str(child.pid) for child in multiprocessing.active_children())
        sys.stdout.write(f"{' '.join(pids)}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


async def run() -> None:
    """Rebuild."""
    connection = await ConnectionFactory.create_connection(DatabaseConfig.from_url(sys.argv[1]))
    limits = RebuildLimits(step_events_max=1, page_events_max=1)
    await rebuild(
        EventLog(connection), OrdersProjection(), processes=2, on_progress=kill, lease_s=0.3, limits=limits
    )


if __name__ == "__main__":
    asyncio.run(run())
