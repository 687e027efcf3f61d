"""The benchmarks: the store beside the limits of the machine, in one run on one server of its own.

    make bench                          python -m benchmarks
    make bench ARGS=--quick             under a minute
    make bench ARGS="--only replay"     one workload; may be given again

Only the ratios mean something: machines differ, and are noisy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.appending import Concurrent, FewStreams, ManyWriters, OneByOne
from benchmarks.bench import FULL, QUICK, TINY, Bench, Sizes
from benchmarks.bulk import Storage
from benchmarks.contention import OneStream
from benchmarks.projecting import Lag
from benchmarks.reading import ListBySymbol, LoadOrder, LoadPortfolio
from benchmarks.replaying import CatchUp, Rebuild, Replay
from benchmarks.report import tables, write_results
from benchmarks.running import loop_name, run
from benchmarks.workload import Figure, Result, Workload, results_of

__all__ = ["WORKLOADS", "main", "measure"]

WORKLOADS: tuple[type[Workload], ...] = (
    Concurrent,
    ManyWriters,
    OneByOne,
    FewStreams,
    OneStream,
    LoadOrder,
    LoadPortfolio,
    ListBySymbol,
    Replay,
    Rebuild,
    CatchUp,
    Lag,
    Storage,
)
"""In the order of the table of goals."""

_HERE = Path(__file__).parent


async def measure(sizes: Sizes, only: Sequence[str], console: Console, *, results: Path) -> list[Result]:
    """Run workloads with their floors, in turn and several times, and report."""
    workloads = [kind() for kind in WORKLOADS if not only or kind.name in only]
    measured: dict[Workload, list[Figure]] = {workload: [] for workload in workloads}
    async with Bench.start(sizes) as bench:
        for workload in workloads:
            await workload.prepare(bench)
        for number in range(1, sizes.rounds + 1):
            for workload in workloads:
                console.print(f"[dim]round {number} of {sizes.rounds}: {workload.name}[/dim]")
                measured[workload].append(await workload.measure(bench))
        notes = bench.notes
    tables(console, measured, f"medians of {sizes.rounds} rounds, {loop_name()}")
    for note in notes:
        console.print(note)
    found = [result for workload in workloads for result in results_of(workload, measured[workload])]
    write_results(results, found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: under a minute")
    parser.add_argument(
        "--tiny", action="store_true", help="to see that everything runs; no figure means anything"
    )
    parser.add_argument("--rounds", type=int, help="how often each workload is measured")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=[kind.name for kind in WORKLOADS],
        help="only this workload; may be given again",
    )
    parser.add_argument("--results", type=Path, default=_HERE / "results.json", help="where the results go")
    given = parser.parse_args(arguments)
    sizes = TINY if given.tiny else QUICK if given.quick else FULL
    if given.rounds:
        sizes = replace(sizes, rounds=given.rounds)
    console = Console(width=150) if not sys.stdout.isatty() else Console()
    run(measure(sizes, given.only, console, results=given.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
