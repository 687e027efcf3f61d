"""The log as it is stored, event by event: the whole log, one stream, or one event. Their types may be unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.database.access import read_rows
from eventstore.entity_names import Named, by_beginning, by_other_ids
from eventstore.errors import ProjectionLagError
from eventstore.log.event_log import EventLog
from eventstore.store import EventStore
from eventstore.ui.pages import Parameters, id_in_path, inspector_of, parameters_of, render

PAGE_EVENTS = 50
"""The number of events of a page."""

_WINDOW_POSITIONS = (
    200_000  # a search that matches nothing still ends within a second; the page offers to go on
)
_NAMED_MAX = 20
_LIST_CHARACTERS_MAX = 4_000
_EVENT_CHARACTERS_MAX = 100_000
_POSITION_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Search:
    """Which events are asked for; None for any.

    Attributes:
        categories: The categories.
        types: The types, as stored.
        metadata: A JSON object that the metadata contains.
        data: A JSON object that the data contains.
        recorded: From and through which time, by the database's clock.
        occurred: From and through which time, by the domain's clock.
    """

    categories: Sequence[str] | None = None
    types: Sequence[str] | None = None
    metadata: str | None = None
    data: str | None = None
    recorded: tuple[datetime | None, datetime | None] = (None, None)
    occurred: tuple[datetime | None, datetime | None] = (None, None)

    @classmethod
    def of(cls, given: Parameters) -> Search:
        """Return the search that the parameters of an address ask for."""
        clock = given.choice("clock", ("recorded", "occurred"))
        times = (given.time("from"), given.time("through"))
        return cls(
            _words(given.text("category")),
            _words(given.text("type")),
            given.json("metadata"),
            given.json("data"),
            **{clock: times},
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, newest first, and where the search goes on.

    Attributes:
        events: The rows.
        older: The position before which older events are searched; None at the beginning of the log.
        newer: The position after which newer events are searched; None at the end of the log.
        searched_after: Every match after this position, and before the first row, is on the page.
        head: The end of the log.
    """

    events: Sequence[Any]
    older: int | None
    newer: int | None
    searched_after: int
    head: int


async def find(
    log: EventLog,
    search: Search,
    *,
    before: int | None = None,
    after: int | None = None,
) -> Found:
    """Return a page of the events before a position, or after one; the newest without either.

    At most `_WINDOW_POSITIONS` positions are searched, except that times narrow the search first. The gap that
    follows them, if there is one, is passed.
    """
    head, limit = await log.head(), PAGE_EVENTS
    first, last = await _span(log, search, head)
    arguments = (
        search.categories,
        search.types,
        search.metadata,
        search.data,
        *search.recorded,
        *search.occurred,
        _LIST_CHARACTERS_MAX,
    )
    if after is not None:
        low = max(after, first - 1)
        high = min(last, low + _WINDOW_POSITIONS) + 1
        rows = await read_rows(log.connection, "log/browse_after", low, high, limit, *arguments)
        end = rows[-1]["position"] if len(rows) == limit else high - 1
        if len(rows) < limit and end < last:
            end = (await read_rows(log.connection, "log/gap_end", end, last))[0]["position"]
        return Found(rows[::-1], low + 1 if low >= first else None, end if end < last else None, low, head)
    high = min(last + 1, _POSITION_END if before is None else before)
    low = max(first - 1, high - 1 - _WINDOW_POSITIONS)
    rows = await read_rows(log.connection, "log/browse_before", low, high, limit, *arguments)
    if len(rows) < limit and low >= first:
        low = (await read_rows(log.connection, "log/gap_begin", first - 1, low))[0]["position"]
    end = rows[-1]["position"] if len(rows) == limit else low + 1
    return Found(
        rows,
        older=end if end > first else None,
        newer=high - 1 if high <= last else None,
        searched_after=end - 1,
        head=head,
    )


async def _span(log: EventLog, search: Search, head: int) -> tuple[int, int]:
    """Return the first and last position that events of the asked times can have."""
    first, last = 1, head
    for name, (begin, end) in (("recorded_at", search.recorded), ("occurred_at", search.occurred)):
        if begin is not None:
            bounds = await log.find_time(**{name: begin})
            # An event at that very time lies at or before `last_through`, perhaps far before it.
            first = max(
                first,
                1
                if name == "occurred_at"
                else min(bounds.first_after or head, _or(bounds.last_through, head)),
            )
        if end is not None:
            bounds = await log.find_time(**{name: end})
            last = min(last, bounds.last_through or 0)
    return first, last


def _or(position: int | None, default: int) -> int:
    return default if position is None else position


async def page(request: Request) -> Response:
    """Show the events of the log, newest first."""
    given = parameters_of(request)
    search = Search.of(given)
    found = await find(
        inspector_of(request).store.log,
        search,
        before=given.position("before"),
        after=given.position("after"),
    )
    return render(request, "events.html", found=found, asked=_asked(request.query_params))


async def stream(request: Request) -> Response:
    """Show the events of one stream, in the order of versions."""
    stream_id = id_in_path(request, "id")
    after = parameters_of(request).number("after") or 0
    rows = await read_rows(
        inspector_of(request).store.connection,
        "log/browse_stream",
        stream_id,
        after,
        PAGE_EVENTS + 1,
        _LIST_CHARACTERS_MAX,
    )
    if not rows and after == 0:
        raise HTTPException(404, f"There is no stream {stream_id}.")
    return render(
        request,
        "stream.html",
        stream_id=stream_id,
        events=rows[:PAGE_EVENTS],
        after=after,
        next_after=rows[PAGE_EVENTS - 1]["version"] if len(rows) > PAGE_EVENTS else None,
    )


async def event(request: Request) -> Response:
    """Show one event, with everything that is stored of it."""
    row = await read_event(inspector_of(request).store.log, int(request.path_params["position"]))
    if row is None:
        raise HTTPException(404, f"No event has position {request.path_params['position']}.")
    return render(request, "event.html", event=row)


async def event_by_id(request: Request) -> Response:
    """Show the event with an id."""
    event_id = id_in_path(request, "id")
    rows = await read_rows(inspector_of(request).store.connection, "log/find_event", event_id)
    if not rows:
        raise HTTPException(404, f"No event has the id {event_id}.")
    row = await read_event(inspector_of(request).store.log, rows[0]["position"])
    return render(request, "event.html", event=row)


async def read_event(log: EventLog, position: int) -> Any | None:
    """Return the row of one event; None if there is none."""
    if not 0 < position < _POSITION_END:
        return None
    nothing = (None,) * 8
    rows = await read_rows(
        log.connection,
        "log/browse_before",
        position - 1,
        position + 1,
        1,
        *nothing,
        _EVENT_CHARACTERS_MAX,
    )
    return rows[0] if rows else None


async def search(request: Request) -> Response:
    """List what a text may name: an event, a stream, a correlation, an order, a portfolio, the beginning of an id."""
    given = parameters_of(request).text("id") or ""
    store = inspector_of(request).store
    known: UUID | None = None
    with suppress(ValueError):
        known = UUID(given)
    entities, is_lagging = await _named(store, given, known)
    event: Any | None = None
    if given.isascii() and given.isdecimal() and len(given) < 19:  # noqa: PLR2004 - digits of a bigint
        event = await read_event(store.log, int(given))
        if event is not None and not entities:
            return render(request, "event.html", event=event)
    stream: list[Any] = []
    if known is not None:
        stream = await read_rows(store.connection, "log/browse_stream", known, 0, 1, 0)
        event = next(iter(await read_rows(store.connection, "log/find_event", known)), None)
    correlated = await read_rows(store.connection, "log/find_correlated", given, known, 1) if given else []
    return render(
        request,
        "found.html",
        given=given,
        stream=stream[0] if stream else None,
        event=event,
        is_correlation=bool(correlated),
        entities=list(entities.items())[:_NAMED_MAX],
        has_more=len(entities) > _NAMED_MAX,
        is_lagging=is_lagging,
    )


async def _named(store: EventStore, given: str, known: UUID | None) -> tuple[dict[UUID, Named], bool]:
    """Return the entities that a text names, and whether the read tables lag too far behind to look in them."""
    if not given:
        return {}, False
    is_lagging, found = False, dict[UUID, Named]()
    try:
        found = await by_other_ids(store, given, limit=_NAMED_MAX + 1)
    except ProjectionLagError:
        is_lagging = True
    return found | (
        await by_beginning(store, given, limit=_NAMED_MAX + 1) if known is None else {}
    ), is_lagging


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word for word in map(str.strip, text.split(",")) if word] or None


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    names = ("category", "type", "metadata", "data", "from", "through", "clock")
    return {name: query.get(name, "") for name in names}


ROUTES = (
    Route("/events", page, name="events"),
    Route("/events/{position:int}", event, name="event"),
    Route("/event-ids/{id}", event_by_id, name="event_by_id"),
    Route("/streams/{id}", stream, name="stream"),
    Route("/search", search, name="search"),
)
"""The addresses of this page."""
