"""The benchmarks: the store compared with the limits of the machine, in one run on one embedded server.

    make bench                          python -m benchmarks
    make bench ARGS=--quick             under a minute
    make bench ARGS="--only replay"     one workload; may be repeated
    make bench-large                    the same figures as the log grows
    make bench-large ARGS="--events 10000 --events 200000"

Only the ratios are meaningful, because machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.appending import (
    Concurrent,
    FewStreams,
    ManyWriters,
    OneByOne,
    OneByOneLatency,
    PacedWithWorkers,
    TenByOne,
    WithWorkers,
    WithWorkersConcurrent,
)
from benchmarks.bench import FULL, QUICK, TINY, Bench, Sizes
from benchmarks.bulk import BulkLoad, Storage
from benchmarks.command import Parser, at_least_one, console, run_command
from benchmarks.contention import OneStream, OneStreamLatency
from benchmarks.equity import EquityCurve
from benchmarks.fills import LoadLongPosition, ManyFills
from benchmarks.growth import LOG_SIZES, grow
from benchmarks.past import AsOfBook, AsOfEntity
from benchmarks.plots import draw
from benchmarks.projecting import Lag
from benchmarks.reading import ListBySymbol, LoadOrder, LoadPortfolio
from benchmarks.replaying import CatchUp, Rebuild, Replay
from benchmarks.report import tables, write_results
from benchmarks.running import loop_name
from benchmarks.workload import Figure, Result, Workload, results_of

__all__ = ["WORKLOADS", "main", "measure"]

WORKLOADS: tuple[type[Workload], ...] = (
    Concurrent,
    ManyWriters,
    OneByOne,
    OneByOneLatency,
    TenByOne,
    WithWorkers,
    WithWorkersConcurrent,
    PacedWithWorkers,
    FewStreams,
    OneStream,
    OneStreamLatency,
    LoadOrder,
    LoadPortfolio,
    ListBySymbol,
    AsOfEntity,
    AsOfBook,
    Replay,
    Rebuild,
    CatchUp,
    EquityCurve,
    Lag,
    ManyFills,
    LoadLongPosition,
    BulkLoad,
    Storage,
)
"""In the order of the table of goals."""

_HERE = Path(__file__).parent


async def measure(
    sizes: Sizes, only: Sequence[str], report: Console, *, results: Path, plots: Path
) -> list[Result]:
    """Run workloads with their floors, in turn and several times, and report."""
    workloads = [kind() for kind in WORKLOADS if not only or kind.name in only]
    measured: dict[Workload, list[Figure]] = {workload: [] for workload in workloads}
    async with Bench.start(sizes) as bench:
        for workload in workloads:
            await workload.prepare(bench)
        for number in range(1, sizes.rounds + 1):
            for workload in workloads:
                report.print(f"[dim]round {number} of {sizes.rounds}: {workload.name}[/dim]")
                measured[workload].append(await workload.measure(bench))
    tables(report, measured, f"medians of {sizes.rounds} rounds, {loop_name()}")
    for note in bench.notes:
        report.print(note)
    points = [point for figures in measured.values() for figure in figures for point in figure.points]
    for line in draw(plots, points):
        report.print(line)
    found = [result for workload in workloads for result in results_of(workload, measured[workload])]
    write_results(results, found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = Parser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: under a minute")
    parser.add_argument(
        "--tiny", action="store_true", help="check that everything runs; the figures are meaningless"
    )
    parser.add_argument("--rounds", type=at_least_one, help="how often each workload is measured")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=[kind.name for kind in WORKLOADS],
        help=f"only this workload; may be repeated: {', '.join(kind.name for kind in WORKLOADS)}",
    )
    parser.add_argument(
        "--large", action="store_true", help="how the figures change as the log grows, instead of the goals"
    )
    parser.add_argument(
        "--events",
        type=at_least_one,
        action="append",
        help="with --large: a size of the log; may be repeated (default 10 thousand, 1 and 20 million)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        help="where the results go (default: results.json, or growth.json with --large)",
    )
    parser.add_argument("--plots", type=Path, default=_HERE / "plots", help="the folder for the plots")
    given = parser.parse_args(arguments)
    if given.large and given.only:
        parser.error("--only selects goals, and --large measures no goal: leave one of them out")
    if given.events and not given.large:
        parser.error("--events needs --large")
    sizes = TINY if given.tiny else QUICK if given.quick else FULL
    if given.rounds:
        sizes = replace(sizes, rounds=given.rounds)
    if given.large:
        results = given.results or _HERE / "growth.json"
        return run_command(
            grow(sizes, given.events or LOG_SIZES, console(), results=results, plots=given.plots)
        )
    results = given.results or _HERE / "results.json"
    return run_command(measure(sizes, given.only, console(), results=results, plots=given.plots))


if __name__ == "__main__":
    sys.exit(main())
