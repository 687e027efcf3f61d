"""A process whose children rebuild a projection, or compare it with a rebuild, and kill themselves at a statement of choice.

As `tests.concurrency.dying` has it. The arguments are the database's URL and `rebuild` or `compare`. A child that ends by
itself answers with how many statements it ran, and the position at which a rebuild began, or the rows found equal.
"""

from __future__ import annotations

import sys
from typing import Any

from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.log import EventLog
from projections.check import compare_with_rebuild
from projections.rebuild import RebuildLimits, RebuildProgress, rebuild
from tests.concurrency.dying import STATEMENTS, Death, serve
from tests.counting_projection import SeenProjection

LEASE_S = 0.3
LIMITS = RebuildLimits(step_events_max=40, page_events_max=40)


async def run(death: Death) -> str:
    """Rebuild."""
    reached: list[int] = []

    def note(progress: RebuildProgress) -> None:
        reached.append(progress.position)

    connection = await ConnectionFactory.create_connection(
        DatabaseConfig.from_url(sys.argv[1]).replace(min_pool_size=1, max_pool_size=3)
    )
    death.watch(*STATEMENTS, "copy_to_table", passes=_renews_the_claim)
    log, projection = EventLog(connection), SeenProjection()
    if sys.argv[2] == "compare":
        compared = await compare_with_rebuild(log, projection, lease_s=LEASE_S, limits=LIMITS)
        reached.append(compared.rows_equal)
    else:
        await rebuild(log, projection, lease_s=LEASE_S, on_progress=note, limits=LIMITS)
    ran = death.statements
    await connection.close()
    return f"{ran} {reached[0]}"


def _renews_the_claim(arguments: tuple[Any, ...]) -> bool:
    # It is renewed by the clock, beside the statements of the rebuild.
    return (
        bool(arguments)
        and isinstance(arguments[0], str)
        and "lease_expires_at = pg_catalog.clock_timestamp()" in arguments[0]
    )


if __name__ == "__main__":
    serve(run)
