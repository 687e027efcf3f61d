"""The overview: the log and its writers, the gaps, the projections and their workers, the last seal. Live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.database.access import read_rows
from eventstore.status import Status, read_status
from eventstore.store import EventStore
from eventstore.ui.pages import inspector_of, render

_RECENT_EVENTS_MAX = 2_000
_RATE_WINDOW_S = 10.0
_GAP_WINDOW_EVENTS = 10_000
_GAPS_MAX = 20


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows.

    Attributes:
        status: The log and the projections.
        workers: Each partition of each projection.
        writers: The open transactions with appended events.
        gaps: The gaps that no projection has passed.
        recent: The delays of the last events.
        rate: Events per second in the last seconds.
        seal: The newest seal; None without one.
        unsealed: The positions after it.
        read_s: How long the statements of this page took.
        pool: The connections of the store.
    """

    status: Status
    workers: Sequence[Any]
    writers: Sequence[Any]
    gaps: Sequence[Any]
    recent: Any
    rate: float
    seal: Any | None
    unsealed: int
    read_s: float
    pool: Any

    @property
    def rate_is_least(self) -> bool:
        """Whether more events may have come than were looked at."""
        return bool(self.recent["events"] >= _RECENT_EVENTS_MAX)


async def read(store: EventStore) -> Overview:
    """Read everything that the page shows."""
    began_s = time.perf_counter()
    source = store.connection
    status = await read_status(source)
    workers = await read_rows(source, "projections/list_workers")
    writers = await read_rows(source, "log/list_open_writers")
    gaps = await read_rows(source, "log/list_gaps", _GAP_WINDOW_EVENTS, _GAPS_MAX)
    recent = (await read_rows(source, "log/recent", _RECENT_EVENTS_MAX, _RATE_WINDOW_S))[0]
    seals = await read_rows(source, "evidence/list_seals", None, 1)
    seal = seals[0] if seals else None
    # If the events that were looked at fill less than the window, the rate is that of their own time.
    looked_at_s = recent["since_s"] if recent["events"] >= _RECENT_EVENTS_MAX else _RATE_WINDOW_S
    return Overview(
        status,
        workers,
        writers,
        gaps,
        recent,
        rate=recent["events"] / max(looked_at_s, 1e-3),
        seal=seal,
        unsealed=max(0, status.head - (seal["through_position"] if seal else 0)),
        read_s=time.perf_counter() - began_s,
        pool=store.connection.statistics(),
    )


async def page(request: Request) -> Response:
    """Show the overview."""
    return render(request, "overview.html", now=await read(inspector_of(request).store))


async def live(request: Request) -> Response:
    """Return the part of the overview that is read again every few seconds."""
    return render(request, "overview_live.html", now=await read(inspector_of(request).store))


ROUTES = (
    Route("/", page, name="overview"),
    Route("/overview/live", live, name="overview_live"),
)
"""The addresses of this page."""
