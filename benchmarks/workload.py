"""What a workload is: it measures the store and its floor in turn, and says what ratio it is to reach."""

from __future__ import annotations

import asyncio
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from benchmarks.bench import Bench

__all__ = [
    "Figure",
    "Goal",
    "Point",
    "Result",
    "Workload",
    "in_turn",
    "median_us",
    "rate",
    "results_of",
    "seconds",
]

GoalIs = Literal["at_least", "at_most"]

_BUNCH = 10  # a few milliseconds: the next one begins with warm caches, and before the pace of others changes


@dataclass(frozen=True, slots=True)
class Goal:
    """What a workload is to reach.

    Attributes:
        ratio: The value to the floor.
        goal_is: Whether more is better, or less.
        floor: Where the goal is a number and no ratio: that number, which then stands as the floor.
        suffix: What tells the goals of one workload apart.
    """

    ratio: float
    goal_is: GoalIs = "at_least"
    floor: float | None = None
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a scaling curve; its median over the rounds is plotted.

    Attributes:
        curve: The plot, such as `writers`.
        series: The line in it.
        x: What grows.
        y: What was measured.
    """

    curve: str
    series: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What one round measured.

    Attributes:
        value: The store's figure.
        floor: The floor's, in the same unit.
        beside: Other figures of the round by name, in the same unit; they have no goal.
        points: Points of scaling curves.
    """

    value: float
    floor: float
    beside: Mapping[str, float] = field(default_factory=dict)
    points: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One goal and the medians that were measured for it; a line of `results.json`."""

    workload: str
    value: float
    unit: str
    floor: float
    ratio: float
    goal: float
    goal_is: GoalIs
    met: bool
    runs: int


class Workload(ABC):
    """One line of the table of goals.

    Attributes:
        name: Its name for `--only` and in `results.json`.
        title: What is measured, in words, and the floor after a slash.
        unit: The unit of its figures.
        goals: What it is to reach.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "1/s"
    goals: ClassVar[tuple[Goal, ...]]

    async def prepare(self, bench: Bench) -> None:  # noqa: B027 - most need nothing
        """Make what the rounds need; called once, before the first."""

    @abstractmethod
    async def measure(self, bench: Bench) -> Figure:
        """Measure the store and the floor, one after the other."""


def results_of(workload: Workload, figures: Sequence[Figure]) -> list[Result]:
    """Return a result for each goal of a workload, from the medians of its rounds."""
    results = []
    for goal in workload.goals:
        value = statistics.median(figure.value for figure in figures)
        floor = statistics.median(figure.floor for figure in figures) if goal.floor is None else goal.floor
        ratio = value / floor
        met = ratio >= goal.ratio if goal.goal_is == "at_least" else ratio <= goal.ratio
        results.append(
            Result(
                workload.name + goal.suffix,
                value,
                workload.unit,
                floor,
                ratio,
                goal.ratio,
                goal.goal_is,
                met,
                len(figures),
            )
        )
    return results


async def rate(count: int, writers: int, work: Callable[[], Awaitable[Any]]) -> float:
    """How often a second `work` is done by so many tasks at once."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await work()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(worker())
    return count / (time.perf_counter() - began)


async def median_us(count: int, writers: int, work: Callable[[], Awaitable[Any]]) -> float:
    """How many microseconds `work` takes in the median, done so often by so many tasks at once."""
    took: list[float] = []

    async def timed() -> None:
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)

    await rate(count, writers, timed)
    return statistics.median(took) * 1e6


async def in_turn(count: int, *works: Callable[[], Awaitable[Any]]) -> list[float]:
    """How many seconds each of several takes on average, done so often: some times the one, some times the next.

    So all of them meet the same seconds of the machine and of those who write meanwhile.
    """
    took = [0.0] * len(works)
    for done in range(0, count, _BUNCH):
        for number, work in enumerate(works):
            began = time.perf_counter()
            for _ in range(min(_BUNCH, count - done)):
                await work()
            took[number] += time.perf_counter() - began
    return [each / count for each in took]


async def seconds(work: Awaitable[Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began
