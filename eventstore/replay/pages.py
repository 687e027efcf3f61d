"""Reading a final range of the log page by page, one page ahead of the reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore.database.access import ConnectionSource, read_rows, reading
from eventstore.database.protocols import Connection
from eventstore.database.server import KnownServer
from eventstore.log.page_size import BYTES_UNBOUNDED, WINDOW_POSITIONS_MAX, PageSize, Window
from eventstore.sql import load
from eventstore.tasks import retrieve

PAGE_EVENTS_MAX = 1_000
"""The default number of events of a page: larger pages are slower, because more objects are alive at a time."""

_WHOLE = "replay/read_page", "replay/read_streams_page"
_FOLDED = "replay/fold_page", "replay/fold_streams_page"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events of the log are selected; None for all.

    Attributes:
        categories: The categories.
        types: The types, as they are stored.
        streams: The streams.
    """

    categories: Sequence[str] | None = None
    types: Sequence[str] | None = None
    streams: Sequence[UUID] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no event can match."""
        return any(part is not None and not part for part in (self.categories, self.types, self.streams))


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of the log.

    Attributes:
        rows: The rows, in the order of their positions.
        through: Every selected row up to this position has been read.
    """

    rows: list[Any]
    through: int


class Pages:
    """The rows of a range, in pages. While the reader uses one page, the next one is fetched, and no more.

    Each page is one statement on a connection of the pool, which is returned before the page is yielded.
    So a reader that pauses or stops holds nothing.

    Args:
        source: Lends the connections.
        selection: Which events.
        after: Begin after this position.
        through: End with this position; everything up to it is final.
        page_events_max: The maximum number of events of a page; a page of large events has fewer.
        generation: The generation of the server on which the range is final; None for the current one.
        for_fold: Whether the rows have the `FOLDED_COLUMNS` of a fold, and not all columns.
    """

    def __init__(
        self,
        source: ConnectionSource,
        selection: Selection,
        *,
        after: int,
        through: int,
        page_events_max: int = PAGE_EVENTS_MAX,
        generation: int | None = None,
        for_fold: bool = False,
    ) -> None:
        self._source = source
        self._server = getattr(source, "server", None) or KnownServer()
        self._generation = self._server.generation if generation is None else generation
        self._selection = selection
        self._after = after
        self._through = through
        self._page_events_max = page_events_max
        self._size = PageSize(page_events_max)
        self._statements = _FOLDED if for_fold else _WHOLE
        self._is_of_streams = False
        self._positions_max = WINDOW_POSITIONS_MAX

    async def read(self) -> AsyncGenerator[Page]:
        """Yield page after page; a page may have no rows.

        Raises:
            ServerChangedError: Another server has replaced the one on which the range was final.
            ConnectionError, TimeoutError: Safe to retry after the last page's `through`.
        """
        if self._after >= self._through or self._selection.is_empty:
            return
        await self._choose_statement()
        ahead: asyncio.Task[Page] | None = self._fetch_ahead(self._after)
        try:
            while ahead is not None:
                page = await ahead
                ahead = self._fetch_ahead(page.through) if page.through < self._through else None
                await asyncio.sleep(0)  # the statement is sent before the reader decodes this page
                yield page
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()
                await asyncio.wait({ahead})

    def _fetch_ahead(self, after: int) -> asyncio.Task[Page]:
        task = asyncio.create_task(self._read(after), name="eventstore replay, page ahead")
        task.add_done_callback(retrieve)  # the next reader reads the page again
        return task

    async def _read(self, after: int) -> Page:
        window, size = Window(after, self._through, self._positions_max), self._size
        with self._server.steady(self._generation):
            async with reading(self._source) as connection:
                rows = await self._rows(
                    connection, self._statements, after, window.end, size.events, size.bytes
                )
                passed = await window.passed(connection, len(rows))
        return Page(rows, rows[-1]["position"] if size.is_full(rows) else passed)

    async def read_whole(self, page: Page, *, after: int) -> list[Any]:
        """Return the rows of a page after a position once more, with all columns.

        Raises:
            EventStoreError: As `read`.
        """
        with self._server.steady(self._generation):
            async with reading(self._source) as connection:
                return await self._rows(
                    connection, _WHOLE, after, page.through, len(page.rows), BYTES_UNBOUNDED
                )

    async def _rows(  # noqa: PLR0917 - the bounds of a page
        self,
        connection: Connection,
        statements: tuple[str, str],
        after: int,
        through: int,
        events_max: int,
        bytes_max: int,
    ) -> list[Any]:
        selection = self._selection
        return await connection.fetch(
            load(statements[self._is_of_streams], connection),
            after,
            through,
            events_max,
            selection.categories,
            selection.types,
            selection.streams,
            bytes_max,
        )

    async def _choose_statement(self) -> None:
        """Read streams through their own index if that costs less than reading the whole range.

        Each page read through that index starts with all events of the streams, so the cost is quadratic.
        """
        if self._selection.streams is None:
            return
        range_cost = self._through - self._after
        events_max = int((2 * range_cost * self._page_events_max) ** 0.5) + 1
        (counted,) = await read_rows(
            self._source, "replay/count_events", self._selection.streams, min(events_max, range_cost)
        )
        if counted["events"] < min(events_max, range_cost):
            self._is_of_streams, self._positions_max = True, range_cost
