"""How long a task keeps the event loop busy, told by another task that only takes turns."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

_LONGEST_OF_ALL = 0.2
_SHORT_S = 0.02


@dataclass(frozen=True)
class Busy:
    """What the loop's thread did while something was awaited. Processor time does not depend on other programs.

    Attributes:
        longest_s: The most processor time between two turns of another task.
        total_s: The processor time of all.
        turns: How many turns there were.
    """

    longest_s: float
    total_s: float
    turns: int


async def busy(awaited: Awaitable[object]) -> Busy:
    """Await something, and return how it kept the event loop busy. The garbage collector, which has pauses too, is off meanwhile."""
    longest_s, last_s, turns = 0.0, 0.0, 0

    def take_turn() -> None:
        nonlocal longest_s, last_s, turns
        now_s = time.thread_time()
        longest_s, last_s, turns = max(longest_s, now_s - last_s), now_s, turns + 1

    async def take_turns() -> None:
        while True:
            take_turn()
            await asyncio.sleep(0.001)

    gc.collect()
    gc.disable()
    try:
        began_s = last_s = time.thread_time()
        other = asyncio.create_task(take_turns())
        await asyncio.sleep(0)
        await awaited
        take_turn()
        other.cancel()
        total_s = time.thread_time() - began_s
        await asyncio.wait({other})
    finally:
        gc.enable()
    return Busy(longest_s, total_s, turns)


async def turns_during(awaited: Awaitable[object]) -> int:
    """Await something, and return how often another task took a turn meanwhile, as often as it can."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await awaited
    other.cancel()
    return turns


def names_of_the_late(found: Mapping[str, Busy]) -> list[str]:
    """Return what let others wait for more than a fifth of its processor time, if that is long at all.

    What never lets go has nearly all of its time in one turn.
    """
    return [
        f"{name}: {one.longest_s * 1000:.0f} of {one.total_s * 1000:.0f} ms"
        for name, one in found.items()
        if one.longest_s > max(_SHORT_S, _LONGEST_OF_ALL * one.total_s)
    ]
