"""Waiting for something to hold that sends no event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], *, limit_s: float = 60.0) -> None:
    """Look again and again until something holds; it fails after the limit."""
    async with asyncio.timeout(limit_s):
        while True:
            holds = condition()
            if not isinstance(holds, bool):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.005)
