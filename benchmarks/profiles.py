"""Where the processor time of the hottest paths goes: `python -m benchmarks.profiles` prints a table of functions for each.

It prints the tables of `docs/performance.md`. Shares are of the processor time of this process, measured by cProfile: the own time of a
Python function, which includes the C functions that it calls, and its time with all that it calls. A profiler makes small functions
look larger than they are, so compare shares, and not times.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import sysconfig
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.appending import save_orders
from benchmarks.bench import QUICK, TINY, Bench, Sizes
from benchmarks.command import Parser, run_command
from benchmarks.history import history
from benchmarks.replaying import replay_orders
from projections import OrdersProjection, ProjectionWorker

__all__ = ["main"]

_FUNCTIONS = 12
_EVENTS = 20_000
_FOLDERS = (
    sysconfig.get_path("purelib"),
    sysconfig.get_path("stdlib"),
    str(Path(__file__).resolve().parents[1]),
)


def _place(file: str, name: str) -> str:
    for folder in _FOLDERS:
        if file.startswith(f"{folder}/"):
            return f"{file.removeprefix(f'{folder}/')}: {name}"
    return f"{Path(file).name}: {name}"


async def _profile(title: str, work: Coroutine[Any, Any, Any]) -> None:
    profile = cProfile.Profile(time.process_time, builtins=False)
    profile.enable()
    try:
        await work
    finally:
        profile.disable()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    print(f"\n### {title}\n\n| function | calls | own time | with its calls |\n|---|---|---|---|")
    hottest = sorted(stats.items(), key=lambda item: -item[1][2])
    for (file, _, name), (_, calls, own, with_calls, _) in hottest[:_FUNCTIONS]:
        print(f"| `{_place(file, name)}` | {calls:,} | {own / total:.1%} | {with_calls / total:.1%} |")


async def _profile_all(sizes: Sizes) -> None:
    async with Bench.start(sizes) as bench:
        for writers, title in ((1, "One writer"), (32, "32 writers")):
            count = sizes.single_appends if writers == 1 else sizes.appends
            await save_orders(
                bench.store, max(count // 8, 1), writers
            )  # connections and statements are ready
            await _profile(
                f"{title}, one order in each Unit of Work", save_orders(bench.store, count, writers)
            )
        found = await history(bench, sizes.history_events)
        await _profile("A replay to folded orders", replay_orders(found))
        await found.forget_rows()
        worker = ProjectionWorker(found.store.log, OrdersProjection())
        await _profile("A worker that catches up", worker.catch_up(found.events))


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the commits of one writer and of 32, a replay to folded orders, and a worker that catches up."""
    parser = Parser(
        prog="python -m benchmarks.profiles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tiny", action="store_true", help="check that everything runs; the figures are meaningless"
    )
    given = parser.parse_args(arguments)
    sizes = (
        TINY if given.tiny else replace(QUICK, single_appends=2_000, appends=4_000, history_events=_EVENTS)
    )
    return run_command(_profile_all(sizes))


if __name__ == "__main__":
    sys.exit(main())
