"""Ours beside the other event stores in Python, in one run on one server: `python -m benchmarks.peers`.

    make bench-peers                    python -m benchmarks.peers
    make bench-peers ARGS=--quick       small sizes, three rounds

One event an append, distinct streams, 32 writers at once; then an entity loaded by its fold, and every event read. Each peer is driven as its documentation has it at its
fastest, and the best of them is what ours is compared with. Needs the extra `peers`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.appending import pgbench_one_row, save_orders
from benchmarks.bench import FULL, QUICK, TINY, Bench, Sizes
from benchmarks.command import Parser, at_least_one, console, run_command
from benchmarks.report import shown, write_results
from benchmarks.running import loop_name
from benchmarks.workload import Result

__all__ = ["compare", "main"]

_GOAL = 5.0
_WRITERS = 32
_PEER_SHARE = 4
"""Peers append this part of what we do, which takes them longer still."""
_OURS = "ours, whole Units of Work"
_FLOOR = "pgbench, 32 clients"
_NEEDED = ("eventsourcing", "psycopg", "psycopg_pool")
_MISSING = "benchmarks.peers compares with what the extra `peers` installs: pip install -e '.[peers]'"

Rate = Callable[[int], Awaitable[float]]
"""From how many events to append to events a second."""


async def compare(sizes: Sizes, report: Console, *, results: Path) -> list[Result]:
    """Measure everybody in turn, round after round; print the medians, and write the results of the goals."""
    measured: dict[str, list[float]] = {}
    async with Bench.start(sizes, max_connections="300") as bench, _everybody(bench) as everybody:
        for number in range(1, sizes.rounds + 1):
            for name, rate in everybody.items():
                report.print(f"[dim]round {number} of {sizes.rounds}: {name}[/dim]")
                measured.setdefault(name, []).append(await rate(sizes.appends))
        from benchmarks.peer_reading import compare_reading  # noqa: PLC0415 - of the extra

        reading = await compare_reading(bench, sizes.rounds, report)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    best = max(value for name, value in medians.items() if name not in (_OURS, _FLOOR))
    report.print(_table(measured, medians, f"medians of {sizes.rounds} rounds, {loop_name()} for ours"))
    ratio = medians[_OURS] / best
    result = Result(
        "peers_32_writers",
        medians[_OURS],
        "events/s",
        best,
        ratio,
        _GOAL,
        "at_least",
        ratio >= _GOAL,
        sizes.rounds,
    )
    report.print(
        f"ours to the best peer: {ratio:.2f}, goal at least {_GOAL:g}: {'met' if result.met else 'NOT met'}"
    )
    write_results(results, [result, *reading])
    return [result, *reading]


@asynccontextmanager
async def _everybody(bench: Bench) -> AsyncIterator[Mapping[str, Rate]]:
    """Yield who is measured, in turn: ours, the floor where there is a `pgbench`, and each peer that is installed."""
    from benchmarks import peer_eventsourcing  # noqa: PLC0415 - of the extra, which nothing else needs

    async def ours(count: int) -> float:
        return await save_orders(bench.store, count, _WRITERS)

    async def floor(count: int) -> float:
        return await pgbench_one_row(bench, clients=32, transactions=count) or 0.0

    def fewer(rate: Rate) -> Rate:
        return lambda count: rate(max(count // _PEER_SHARE, _WRITERS))

    everybody: dict[str, Rate] = {_OURS: ours}
    if bench.has_pgbench:
        everybody[_FLOOR] = floor
    async with AsyncExitStack() as stack:
        bench.server.create_database("eventsourcing")
        peers = dict(stack.enter_context(peer_eventsourcing.opened(bench.config("eventsourcing"), _WRITERS)))
        if find_spec("eventsource") is not None:
            from benchmarks import peer_eventsource  # noqa: PLC0415 - only from Python 3.13 on

            bench.server.create_database("eventsource")
            peers |= await stack.enter_async_context(
                peer_eventsource.opened(bench.config("eventsource"), _WRITERS)
            )
        yield everybody | {name: fewer(rate) for name, rate in peers.items()}


def _table(measured: Mapping[str, Sequence[float]], medians: Mapping[str, float], title: str) -> Table:
    table = Table(
        "one event an append, 32 writers", "events/s", "spread", "to pgbench", "ours to it", title=title
    )
    for name, values in measured.items():
        table.add_row(
            name,
            shown(medians[name]),
            f"{shown(min(values))} - {shown(max(values))}",
            f"{medians[name] / medians[_FLOOR]:.2f}" if _FLOOR in medians else "",
            f"{medians[_OURS] / medians[name]:.2f}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 2 where the peers are not installed."""
    parser = Parser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--tiny", action="store_true", help="to see that it runs: its figures mean nothing")
    parser.add_argument("--rounds", type=at_least_one, help="how often everybody is measured")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "peers.json",
        help="where the result goes (default: peers.json)",
    )
    given = parser.parse_args(arguments)
    if any(find_spec(name) is None for name in _NEEDED):
        print(_MISSING, file=sys.stderr)
        return 2
    sizes = TINY if given.tiny else replace(QUICK, rounds=3) if given.quick else FULL
    if given.rounds:
        sizes = replace(sizes, rounds=given.rounds)
    return run_command(compare(sizes, console(), results=given.results))


if __name__ == "__main__":
    sys.exit(main())
