"""Long computations in slices of time, between which the event loop runs other tasks.

Python that computes for a second keeps the event loop from everything else: timers, answers of the server, other clients. A report
over a million events computes for many seconds. So its loops rest after each slice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from heapq import merge
from itertools import islice, pairwise
from typing import Any, TypeVar

T = TypeVar("T")

SLICE_S = 0.01
"""How long a computation goes on before other tasks run."""

EVENTS_AT_A_TIME = 500
"""How many events are decoded, or decoded and folded, before other tasks run; this takes some milliseconds."""

_LISTED_AT_A_TIME = 50
_SORTED_AT_A_TIME = 5_000  # takes some milliseconds


class Slices:
    """The slices of one computation: call `rest` often, such as for each event."""

    __slots__ = ("_end_s",)

    def __init__(self) -> None:
        self._end_s = time.perf_counter() + SLICE_S

    async def rest(self) -> None:
        """Let other tasks run if the slice is over."""
        if time.perf_counter() >= self._end_s:
            await asyncio.sleep(0)
            self._end_s = time.perf_counter() + SLICE_S


async def listed(values: Iterable[T], where: Callable[[T], bool] | None = None) -> list[T]:
    """Return `list(filter(where, values))`, computed in slices.

    Args:
        values: The values. They are counted, so an iterable must not leave out many by itself.
        where: Which of them; None for all.
    """
    found: list[T] = []
    slices, iterator = Slices(), iter(values)
    while some := list(islice(iterator, _LISTED_AT_A_TIME)):
        found += some if where is None else filter(where, some)
        await slices.rest()
    return found


async def ordered(values: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    """Return `sorted(values, key=key)`, computed in slices; it is fastest if the values are nearly in order."""
    slices, iterator = Slices(), iter(values)
    parts: list[list[T]] = []
    while some := sorted(islice(iterator, _SORTED_AT_A_TIME), key=key):
        parts.append(some)
        await slices.rest()
    if all(key(one[-1]) <= key(other[0]) for one, other in pairwise(parts)):
        return await listed(value for part in parts for value in part)
    return await listed(merge(*parts, key=key))
