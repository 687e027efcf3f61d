"""Streams in which an event occurred before its predecessor.

An as-of read by `occurred_at` folds such a stream in another order than its row. A stream is in order if
and only if each event occurred no earlier than the one before it. So the log is searched once, range by
range, and the streams that are found are stored in `disordered_streams`. Appends pay nothing and readers
never write: a reader scans the range that has not been searched yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.database.access import writing
from eventstore.errors import EventStoreError
from eventstore.sql import Named, text_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

Fetch = Callable[..., Awaitable[Sequence[Any]]]

_logger = logging.getLogger(__name__)

_POSITIONS_AT_A_TIME = 10_000
_BATCH_POSITIONS_MIN = 500  # scanning fewer costs a reader less than a millisecond
_POLL_S = 1.0
_RETRY_S = 5.0


class Disorder:
    """The streams that are out of order up to a position, including the range not searched yet.

    Args:
        fetch: Runs a statement.
        through: The position.
    """

    def __init__(self, fetch: Fetch, through: int) -> None:
        self._fetch = fetch
        self._through = through
        self._unsearched: dict[UUID, tuple[str, int]] | None = None

    async def of_category(self, category: str) -> set[UUID]:
        """Return the streams of a category that are out of order.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        unsearched = await self._search()
        kept = await self._fetch(Named("replay/disordered_of_category"), category)
        found = {stream_id for stream_id, (its, _) in unsearched.items() if its == category}
        return found | {row["stream_id"] for row in kept}

    async def among(self, stream_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the given streams that are out of order, each with its first version that is.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        unsearched = await self._search()
        found = {each: unsearched[each][1] for each in stream_ids if each in unsearched}
        kept = await self._fetch(Named("replay/disordered_among"), stream_ids)
        found.update((row["stream_id"], row["version"]) for row in kept)
        return found

    async def _search(self) -> dict[UUID, tuple[str, int]]:
        if self._unsearched is None:
            searched = (await self._fetch(Named("replay/disorder_searched")))[0]["position"]
            unsearched: dict[UUID, tuple[str, int]] = {}
            while searched < self._through:
                end = (await self._fetch(Named("log/gap_end"), searched, self._through))[0]["position"]
                through = min(self._through, max(end, searched + _POSITIONS_AT_A_TIME))
                for row in await self._fetch(Named("replay/find_disorder"), searched, through):
                    unsearched.setdefault(row["stream_id"], (row["category"], row["version"]))
                searched = through
            self._unsearched = unsearched
        return self._unsearched


class DisorderSearch:
    """Searches the log for streams that are out of order and stores them. Any number of processes may run it.

    Args:
        log: The log, on the primary.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def run(self) -> None:
        """Search new positions until cancelled; log errors, wait and try again."""
        while True:
            try:
                if not await self.run_once():
                    await asyncio.sleep(_POLL_S)
            except EventStoreError as error:
                _logger.warning("could not search for streams out of order, trying again", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def run_once(self, *, positions_min: int = _BATCH_POSITIONS_MIN) -> bool:
        """Search one range of positions. Return False if there was too little to search.

        Args:
            positions_min: Leave a range shorter than this to the readers.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
            NotMigratedError: The tables are missing.
            ConfigurationError: The server is a standby.
        """
        with self._log.server.steady():
            after = (await self._fetch(Named("replay/disorder_searched")))[0]["position"]
            final = await self._log.high_water_mark.advance(after, wait=False)
            if final - after < positions_min:
                return False
            through = await self._window_end(after, final)
            await self._fetch(Named("replay/search_disorder"), after, through)
            return True

    async def run_through(self, position: int) -> None:
        """Search everything up to a final position.

        Raises:
            EventStoreError: As for `run_once`.
        """
        while True:
            after = (await self._fetch(Named("replay/disorder_searched")))[0]["position"]
            if after >= position:
                return
            through = await self._window_end(after, position)
            await self._fetch(Named("replay/search_disorder"), after, through)

    async def _window_end(self, after: int, through: int) -> int:
        end = (await self._fetch(Named("log/gap_end"), after, through))[0]["position"]
        return int(min(through, max(end, after + _POSITIONS_AT_A_TIME)))

    async def _fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        async with writing(self._log.connection) as connection:
            rows: Sequence[Any] = await connection.fetch(text_of(statement, connection), *arguments)
            return rows
