"""Stored rows of the log, the last ones and new ones as they come, for inspection; event types may be unknown."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from eventstore.database.access import read_rows
from eventstore.errors import ServerChangedError
from eventstore.log.event_log import EventLog
from eventstore.log.subscription import FollowedPlace
from eventstore.replay.pages import Pages, Selection


async def last_rows(log: EventLog, selection: Selection, *, count: int) -> tuple[list[Any], int]:
    """Return the last rows of a selection, in order, and the final position up to which they were read.

    Args:
        log: The log.
        selection: Which events; its streams are ignored.
        count: The maximum number of rows.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
        ConfigurationError: The server is a standby.
    """
    with log.server.steady():
        end = await log.head()
        await log.high_water_mark.wait_until_final(end)
        asked = (end, count, selection.categories, selection.types)
        rows = await read_rows(log.connection, "replay/read_last", *asked)
    return rows[::-1], end


async def follow(log: EventLog, selection: Selection, *, after: int) -> AsyncGenerator[Any]:
    """Yield each row of a selection after a position, in order, once it is final. Never ends.

    Raises:
        RestoredLogError: The log ends before `after`, or another server has taken over and its log lacks
            rows that were yielded.
        ConnectionError, TimeoutError: Safe to retry, after the last row's position.
        ConfigurationError: The server is a standby.
    """
    place = FollowedPlace(log, after)
    with log.wakeups.listen() as listener:
        while True:
            listener.begin()
            try:
                through = await place.advance()
                if through == place.position:
                    await listener.wait()
                    continue
                listener.found()
                pages = Pages(
                    log.connection,
                    selection,
                    after=place.position,
                    through=through,
                    generation=place.generation,
                )
                async with aclosing(pages.read()) as read:
                    async for page in read:
                        for row in page.rows:
                            place.reach(row["position"], row["event_id"])
                            yield row
            except ServerChangedError:
                continue  # that range belongs to the previous server
            place.position = through
