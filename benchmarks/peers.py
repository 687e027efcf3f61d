"""Our writers beside those of the other event stores in Python, in one run on one server: `python -m benchmarks.peers`.

    make bench-peers                    python -m benchmarks.peers
    make bench-peers ARGS=--quick       small sizes, three rounds

On distinct streams: 32 writers at once, and one writer, each with one event an append and with ten. Then eight writers
change one entity, each until it has succeeded. Then an entity is loaded by its fold, and every event is read. Ours are
whole Units of Work; a single writer of ours has the workers in its process. Each peer is driven as its documentation has
it at its fastest, and the best of them is what ours is compared with. Needs the extra `peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.appending import inserting, pgbench_rows, save_orders, save_ten_events
from benchmarks.bench import FULL, QUICK, TINY, Bench, Sizes
from benchmarks.command import Parser, at_least_one, console, run_command
from benchmarks.contention import STREAM_WRITERS, OneStream, amend_orders, write_by_hand
from benchmarks.report import shown, write_results
from benchmarks.running import loop_name
from benchmarks.workload import Result, rate as rate_of

__all__ = ["compare", "main"]

_WRITERS = 32
_TEN_EVENTS = 10
_PEER_SHARE = 4
"""Peers append this part of what we do, which takes them longer still."""
_OURS = "ours, whole Units of Work"
_OURS_WITH_WORKERS = "ours, whole Units of Work, workers in the process"
_OURS_WITHOUT = "ours, the same without workers"
_PGBENCH = "pgbench, 32 clients"
_RAW = "raw asyncpg, its own pool"
_BY_HAND = "raw asyncpg, by hand: lock, read, insert, commit"
_NEEDED = ("eventsourcing", "psycopg", "psycopg_pool")
_MISSING = "benchmarks.peers compares with what the extra `peers` installs: pip install -e '.[peers]'"

Rate = Callable[[int], Awaitable[float]]
"""From how many events to append to events a second."""


class Comparison(NamedTuple):
    """One table.

    Attributes:
        name: Its name in the results.
        title: What is appended.
        ours: Which of those that are measured is compared.
        floor: What all are compared with; it is no peer.
        goal: What ours is to be to the best peer.
        writers: How many append at once.
        events: How many events an append has.
    """

    name: str
    title: str
    ours: str
    floor: str
    goal: float
    writers: int = 1
    events: int = 1


_COMPARISONS = (
    Comparison("peers_32_writers", "one event an append, 32 writers", _OURS, _PGBENCH, 5.0, _WRITERS),
    Comparison("peers_1_writer", "one event an append, one writer", _OURS_WITH_WORKERS, _RAW, 1.0),
    Comparison(
        "peers_10_events_1_writer",
        "ten events an append, one writer",
        _OURS_WITH_WORKERS,
        _RAW,
        1.0,
        events=_TEN_EVENTS,
    ),
    Comparison(
        "peers_10_events_32_writers",
        "ten events an append, 32 writers",
        _OURS,
        _PGBENCH,
        1.0,
        _WRITERS,
        _TEN_EVENTS,
    ),
)
_ONE_STREAM = Comparison(
    "peers_one_stream", "one entity, eight writers, none lost", _OURS, _BY_HAND, 1.0, STREAM_WRITERS
)
_OUR_OWN = (_OURS, _OURS_WITH_WORKERS, _OURS_WITHOUT)


async def compare(sizes: Sizes, report: Console, *, results: Path) -> list[Result]:
    """Measure everybody in turn, round after round; print the medians, and write the results of the goals."""
    from benchmarks.peer_reading import compare_reading  # noqa: PLC0415 - of the extra

    found: list[Result] = []
    async with Bench.start(sizes, max_connections="300") as bench:
        for comparison in _COMPARISONS:
            async with _everybody(bench, comparison) as everybody:
                count = sizes.appends if comparison.writers > 1 else sizes.single_appends
                found.append(await _compared(comparison, everybody, count, sizes.rounds, report))
        async with _on_one_stream(bench) as everybody:
            found.append(await _compared(_ONE_STREAM, everybody, sizes.contended, sizes.rounds, report))
        found += await compare_reading(bench, sizes.rounds, report)
    write_results(results, found)
    return found


async def _compared(
    comparison: Comparison, everybody: Mapping[str, Rate], count: int, rounds: int, report: Console
) -> Result:
    measured: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        for name, rate in everybody.items():
            report.print(f"[dim]round {number} of {rounds}: {comparison.title}: {name}[/dim]")
            measured.setdefault(name, []).append(await rate(count))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    best = max(value for name, value in medians.items() if name not in (*_OUR_OWN, comparison.floor))
    report.print(_table(comparison, measured, medians, f"medians of {rounds} rounds, {loop_name()} for ours"))
    value = medians[comparison.ours]
    ratio = value / best
    is_met = ratio >= comparison.goal
    report.print(
        f"ours to the best peer: {ratio:.2f}, goal at least {comparison.goal:g}: {'met' if is_met else 'NOT met'}"
    )
    return Result(
        comparison.name, value, "events/s", best, ratio, comparison.goal, "at_least", is_met, rounds
    )


@asynccontextmanager
async def _everybody(bench: Bench, comparison: Comparison) -> AsyncIterator[Mapping[str, Rate]]:
    """Yield who is measured, in turn: ours, the floor, and each peer that is installed."""
    from benchmarks import peer_eventsourcing  # noqa: PLC0415 - of the extra, which nothing else needs

    writers, events = comparison.writers, comparison.events
    share = _PEER_SHARE if writers > 1 else 1

    def fewer(rate: Rate) -> Rate:
        return lambda count: rate(max(count // share, writers * events))

    async with AsyncExitStack() as stack:
        bench.server.create_database(f"eventsourcing_{comparison.name}")
        config = bench.config(f"eventsourcing_{comparison.name}")
        peers = dict(stack.enter_context(peer_eventsourcing.opened(config, writers, events)))
        if find_spec("eventsource") is not None:
            from benchmarks import peer_eventsource  # noqa: PLC0415 - only from Python 3.13 on

            bench.server.create_database(f"eventsource_{comparison.name}")
            config = bench.config(f"eventsource_{comparison.name}")
            peers |= await stack.enter_async_context(peer_eventsource.opened(config, writers, events))
        ours = _ours_at_once(bench, events) if writers > 1 else _ours_alone(bench, events)
        yield ours | {name: fewer(rate) for name, rate in peers.items()}


def _ours_at_once(bench: Bench, events: int) -> dict[str, Rate]:
    save = save_orders if events == 1 else save_ten_events

    async def ours(count: int) -> float:
        return await save(bench.store, max(count // events, _WRITERS), _WRITERS) * events

    async def floor(count: int) -> float:
        transactions = max(count // events, _WRITERS)
        return await pgbench_rows(bench, clients=32, transactions=transactions, rows=events) or 0.0

    return {_OURS: ours, _PGBENCH: floor} if bench.has_pgbench else {_OURS: ours}


@asynccontextmanager
async def _on_one_stream(bench: Bench) -> AsyncIterator[Mapping[str, Rate]]:
    """Yield who changes one entity, in turn; nobody's success is lost."""
    from benchmarks import peer_eventsourcing  # noqa: PLC0415 - of the extra

    await OneStream().prepare(bench)
    bench.server.create_database("eventsourcing_one_stream")
    with peer_eventsourcing.opened_for_one(bench.config("eventsourcing_one_stream"), STREAM_WRITERS) as peer:
        yield {
            _OURS: lambda count: amend_orders(bench, count),
            _BY_HAND: lambda count: write_by_hand(bench, count),
            "eventsourcing, its aggregates, again after a conflict": lambda count: asyncio.to_thread(
                peer, count // _PEER_SHARE
            ),
        }


def _ours_alone(bench: Bench, events: int) -> dict[str, Rate]:
    save = save_orders if events == 1 else save_ten_events

    async def ours(count: int) -> float:
        async with bench.working_store() as store:
            return await save(store, max(count // events, 1), 1) * events

    async def without(count: int) -> float:
        return await save(bench.store, max(count // events, 1), 1) * events

    async def floor(count: int) -> float:
        return await rate_of(max(count // events, 1), 1, inserting(bench.bare, events)) * events

    return {_OURS_WITH_WORKERS: ours, _OURS_WITHOUT: without, _RAW: floor}


def _table(
    comparison: Comparison,
    measured: Mapping[str, Sequence[float]],
    medians: Mapping[str, float],
    title: str,
) -> Table:
    floor = comparison.floor
    table = Table(
        comparison.title, "events/s", "spread", f"to {floor.partition(',')[0]}", "ours to it", title=title
    )
    for name, values in measured.items():
        table.add_row(
            name,
            shown(medians[name]),
            f"{shown(min(values))} - {shown(max(values))}",
            f"{medians[name] / medians[floor]:.2f}" if floor in medians else "",
            f"{medians[comparison.ours] / medians[name]:.2f}",
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
