"""Where the time of the hottest paths goes: `python -m benchmarks.profiles` prints a table of functions for each.

The share of a function is its own time in a profile by cProfile, without what it calls. A profiler makes small functions look
larger than they are, so compare shares, not times.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.appending import save_orders
from benchmarks.bench import QUICK, Bench
from benchmarks.history import history
from benchmarks.replaying import replay_orders
from benchmarks.running import run
from projections import OrdersProjection, ProjectionWorker

__all__ = ["main"]

_FUNCTIONS = 12
_ROOT = Path(__file__).resolve().parents[1]


def _place(file: str, name: str) -> str:
    if file == "~":
        return name.strip("{}<>").replace("built-in ", "").split(" of ")[0].replace("method ", "")
    path = Path(file)
    shown = (
        path.relative_to(_ROOT)
        if path.is_relative_to(_ROOT) and "site-packages" not in file
        else Path(path.name)
    )
    return f"{shown}: {name}"


async def _profile(title: str, work: Coroutine[Any, Any, Any]) -> None:
    profile = cProfile.Profile()
    profile.enable()
    try:
        await work
    finally:
        profile.disable()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    idle = sum(own for (file, _, name), (_, _, own, _, _) in stats.items() if file == "~" and "poll" in name)
    total = sum(own for _, _, own, _, _ in stats.values()) - idle
    print(f"\n### {title}\n\n| function | calls | own time |\n|---|---|---|")
    hottest = sorted(stats.items(), key=lambda item: -item[1][2])
    for (file, _, name), (_, calls, own, _, _) in hottest[: _FUNCTIONS + 1]:
        if not (file == "~" and "poll" in name):
            print(f"| `{_place(file, name)}` | {calls:,} | {own / total:.1%} |")


async def main() -> None:
    """Profile an append with 32 writers, a replay to folded orders, and a worker that catches up."""
    async with Bench.start(replace(QUICK, history_events=20_000)) as bench:
        await save_orders(bench.store, 500, 32)
        await _profile("32 writers, one order in each Unit of Work", save_orders(bench.store, 4_000, 32))
        found = await history(bench, bench.sizes.history_events)
        await _profile("A replay to folded orders", replay_orders(found))
        await found.forget_rows()
        worker = ProjectionWorker(found.store.log, OrdersProjection())
        await _profile("A worker that catches up", worker.catch_up(found.events))


if __name__ == "__main__":
    sys.exit(run(main()))
