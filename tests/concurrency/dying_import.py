"""A process whose children import a file and kill themselves at a statement of choice.

As `tests.concurrency.dying` has it. A child that ends by itself answers with how many statements it ran.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.export import import_lines, restore
from eventstore.log import EventLog
from tests.concurrency.dying import STATEMENTS, Death, serve

BATCH_EVENTS = 5


async def run(death: Death) -> str:
    """Import."""
    connection = await ConnectionFactory.create_connection(
        DatabaseConfig.from_url(sys.argv[1]).replace(min_pool_size=1, max_pool_size=3)
    )
    # The transaction's BEGIN and COMMIT go through `execute` too.
    death.watch(*STATEMENTS, "copy_records_to_table")
    await import_lines(EventLog(connection), LINES)
    ran = death.statements
    await connection.close()
    return str(ran)


if __name__ == "__main__":
    restore._BATCH_EVENTS = BATCH_EVENTS
    LINES = Path(sys.argv[2]).read_bytes().splitlines(keepends=True)
    serve(run)
