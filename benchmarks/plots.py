"""A plot of each scaling curve, as SVG."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.workload import Point

__all__ = ["draw"]


def draw(folder: Path, points: Iterable[Point]) -> list[str]:
    """Draw the curves, and return a line for each that says where it is; or why there is none."""
    curves: dict[str, dict[str, dict[float, list[float]]]] = {}
    for point in points:
        series = curves.setdefault(point.curve, {}).setdefault(point.series, {})
        series.setdefault(point.x, []).append(point.y)
    if not curves:
        return []
    try:
        from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - an extra
    except ImportError:
        return ["no plots: pip install 'trading-eventstore[bench]' brings matplotlib"]
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for curve, series_of in curves.items():
        canvas: Any = Canvas(figsize=(7, 4.2), layout="constrained")
        axes = canvas.subplots()
        for name, values in series_of.items():
            xs = sorted(values)
            axes.plot(xs, [statistics.median(values[x]) for x in xs], marker="o", label=name)
        what, _, by = curve.partition(" by ")
        axes.set(xlabel=by, ylabel=what, xscale="log")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        path = folder / f"{re.sub(r'[^a-z0-9]+', '_', curve.lower())}.svg"
        canvas.savefig(path)
        lines.append(f"plot: {path}")
    return lines
