"""A process whose children trade a tape and kill themselves at a statement of choice, as `tests.concurrency.dying` has it.

A child that ends by itself answers with how many statements it ran.
"""

from __future__ import annotations

import sys
from decimal import Decimal

from eventstore.database import DatabaseConfig
from eventstore.examples.engine_restart import trade
from eventstore.examples.mean_reversion import PLANS
from eventstore.examples.ticks import packaged_tape, read_ticks
from tests.concurrency.dying import STATEMENTS, Death, serve

PLANS_PLAYED = tuple(
    plan.__class__(plan.name, lookback, Decimal("0.3"), plan.target_ticks, 2, plan.quantity, 15)
    for plan, lookback in zip(PLANS, (10, 20, 30), strict=False)
)
"""Nervous strategies, so that a short tape makes many decisions."""


def main() -> None:
    """Trade in each child; the tape is read once."""
    url, prints = sys.argv[1], int(sys.argv[2])
    config = DatabaseConfig.from_url(url).replace(min_pool_size=1, max_pool_size=3)
    tape = read_ticks(packaged_tape(), limit=prints)

    async def play(death: Death) -> str:
        death.watch(*STATEMENTS)
        await trade(config, tape, plans=PLANS_PLAYED)
        return str(death.statements)

    serve(play)


if __name__ == "__main__":
    main()
