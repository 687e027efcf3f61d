"""A process whose children fold the log and kill themselves at a statement of choice, as `tests.concurrency.dying` has it.

A child that ends by itself answers with how many statements it ran.
"""

from __future__ import annotations

import sys

from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.log import EventLog
from projections import ProjectionWorker
from projections.engine import batch
from tests.concurrency.dying import STATEMENTS, Death, serve
from tests.counting_projection import SeenProjection


async def fold(death: Death) -> str:
    """Fold until nothing is left."""
    url, batch_events_max = sys.argv[1], int(sys.argv[2])
    connection = await ConnectionFactory.create_connection(
        DatabaseConfig.from_url(url).replace(min_pool_size=1, max_pool_size=2)
    )
    death.watch(*STATEMENTS, "copy_to_table")
    batch._COPY_VALUES_MIN = 8  # two rows
    worker = ProjectionWorker(EventLog(connection), SeenProjection(), batch_events_max=batch_events_max)
    while await worker.run_once():
        pass
    ran = death.statements
    await connection.close()
    return str(ran)


if __name__ == "__main__":
    serve(fold)
