"""What is printed, and what is written to `results.json`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.workload import Figure, Result, Workload, results_of

__all__ = ["shown", "tables", "write_objects", "write_results"]


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write one object for each goal."""
    write_objects(path, [asdict(result) for result in results])


def write_objects(path: Path, objects: Sequence[Mapping[str, Any]]) -> None:
    """Write objects as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(objects, option=orjson.OPT_INDENT_2))


def tables(console: Console, measured: Mapping[Workload, Sequence[Figure]], title: str) -> None:
    """Print the goals, and then the figures beside them."""
    goals = Table(
        "workload / floor", "median", "spread", "floor", "ratio", "goal", "met", title=title, expand=False
    )
    for workload, figures in measured.items():
        values = [figure.value for figure in figures]
        for result in results_of(workload, figures):
            sign = ">=" if result.goal_is == "at_least" else "<="
            goals.add_row(
                f"{workload.title}",
                f"{shown(result.value)} {result.unit}",
                f"{shown(min(values))} - {shown(max(values))}",
                shown(result.floor),
                f"{result.ratio:.2f}",
                f"{sign} {result.goal:g}",
                "yes" if result.met else "NO",
            )
    console.print(goals)
    beside = Table("workload", "beside it", "median", "to the floor", title="the same rounds, without a goal")
    for workload, figures in measured.items():
        floor = statistics.median(figure.floor for figure in figures)
        for name in figures[0].beside:
            value = statistics.median(figure.beside[name] for figure in figures)
            beside.add_row(workload.name, name, f"{shown(value)} {workload.unit}", f"{value / floor:.2f}")
    if beside.row_count:
        console.print(beside)


def shown(number: float) -> str:
    """A number as the tables have it: whole where it is large."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"
