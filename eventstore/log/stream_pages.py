"""One stream, read page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from eventstore.log.page_size import PageSize

PAGE_EVENTS_MAX = 1_000
"""The maximum number of events of a page, unless the caller says another one."""

Fetch = Callable[[UUID, int, int, int], Awaitable[Sequence[Any]]]
"""Runs `log/read_stream` with its arguments."""


async def stream_pages(
    fetch: Fetch,
    stream_id: UUID,
    *,
    after_version: int = 0,
    limit: int | None = None,
    page_events_max: int | None = None,
) -> AsyncGenerator[Sequence[Any]]:
    """Yield the rows of a stream in the order of versions, in pages bounded in number and in bytes.

    Events of a stream have no gaps and never change, so pages that were read one after the other fit together.

    Args:
        fetch: Runs the statement.
        stream_id: The stream.
        after_version: Begin after this version.
        limit: The maximum number of events; None for all.
        page_events_max: The maximum number of events of a page; None for `PAGE_EVENTS_MAX`.
    """
    most, left = page_events_max or PAGE_EVENTS_MAX, limit
    size = PageSize(most)
    while left is None or left > 0:
        if left is not None:
            size.limit_to(min(left, most))
        rows = await fetch(stream_id, after_version, size.events, size.bytes)
        is_full = size.is_full(rows)
        if rows:
            yield rows
        if not is_full:
            return
        after_version = rows[-1]["version"]
        left = None if left is None else left - len(rows)
