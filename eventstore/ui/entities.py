"""One entity: its events on a line of time, what each changed, the state after each, and the difference of any two moments."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.core.entity import Entity
from eventstore.core.event import RecordedEvent
from eventstore.core.registry import registry
from eventstore.errors import EventDecodingError, UnknownEventTypeError
from eventstore.replay.history import HistoryEntry, entity_class_of, entries
from eventstore.time_slices import listed
from eventstore.ui.pages import (
    Parameters,
    id_in_path,
    inspector_of,
    json_answer,
    parameters_of,
    render,
)
from eventstore.ui.rendering import moment, text_of

_EVENTS_MAX = 10_000
_PAGE_EVENTS = 50


async def page(request: Request) -> Response:
    """Show an entity: a page of its history, and its state after the chosen version."""
    kind, entity_id = _named(request)
    given = parameters_of(request)
    told = await _read(request, kind, entity_id)
    chosen = min(given.number("version") or told[-1].version, told[-1].version)
    last = max(1, min(given.number("through") or chosen, told[-1].version))
    shown = told[max(0, last - _PAGE_EVENTS) : last]
    # In a thread: fifty events with all that they changed take a tenth of a second.
    return await asyncio.to_thread(
        render,
        request,
        "entity.html",
        category=kind.category,
        entity_id=entity_id,
        entries=shown[::-1],
        last=told[-1],
        older=shown[0].version - 1 if shown and shown[0].version > 1 else None,
        newer=min(last + _PAGE_EVENTS, told[-1].version) if last < told[-1].version else None,
        chosen=told[chosen - 1] if chosen else None,
        is_cut=len(told) == _EVENTS_MAX,
        text_of=text_of,
    )


async def state(request: Request) -> Response:
    """Return the part of the page that shows the state after one version."""
    kind, entity_id = _named(request)
    told = await _read(request, kind, entity_id)
    version = int(request.path_params["version"])
    if not 0 < version <= len(told):
        raise HTTPException(404, f"There is no version {version}.")
    return render(request, "entity_state.html", chosen=told[version - 1], text_of=text_of)


async def line_of_time(request: Request) -> Response:
    """Return the events of the line of time for the plot."""
    kind, entity_id = _named(request)
    told = await _events(request, kind, entity_id)
    # The library that draws reads tags in its texts.
    return json_answer(
        {
            "at": await listed(moment(event.occurred_at) for event in told),
            "type": [escape(event.type) for event in told],
            "version": [event.version for event in told],
        }
    )


async def difference(request: Request) -> Response:
    """Show what differs between two moments, each a version or a time by the database's clock."""
    kind, entity_id = _named(request)
    given = parameters_of(request)
    a, b = _moment(given, "a"), _moment(given, "b")
    changes = None
    if a is not None and b is not None:
        changes = await inspector_of(request).store.diff(kind, a, b, id=entity_id)
    return render(
        request,
        "difference.html",
        category=kind.category,
        entity_id=entity_id,
        a=given.text("a") or "",
        b=given.text("b") or "",
        changes=changes,
        text_of=text_of,
    )


def _named(request: Request) -> tuple[type[Entity], UUID]:
    category = request.path_params["category"]
    kind = entity_class_of(category, registry)
    if kind is None:
        raise HTTPException(
            404,
            f"This program knows no entity of category {category!r}: give its module with --module, or import it. "
            "The stream browser shows its events all the same.",
        )
    return kind, id_in_path(request, "id")


def _moment(given: Parameters, name: str) -> Any:
    text = given.text(name)
    return given.number(name, most=2**31 - 1) if text and text.isdecimal() else given.time(name)


async def _events(request: Request, kind: type[Entity], entity_id: UUID) -> list[RecordedEvent]:
    """Return the first events of an entity."""
    log = inspector_of(request).store.log
    try:
        found = await log.read_stream(entity_id, limit=_EVENTS_MAX)
    except (EventDecodingError, UnknownEventTypeError) as error:
        raise _not_shown(error) from error
    if not found or found[0].category != kind.category:
        raise HTTPException(404, f"There is no {kind.category} {entity_id}.")
    return found


async def _read(request: Request, kind: type[Entity], entity_id: UUID) -> list[HistoryEntry[Any]]:
    events = await _events(request, kind, entity_id)
    try:
        return await listed(entries(kind, events))
    except (EventDecodingError, UnknownEventTypeError) as error:
        raise _not_shown(error) from error


def _not_shown(error: Exception) -> HTTPException:
    return HTTPException(422, f"{error}. The stream browser shows its events all the same.")


ROUTES = (
    Route("/entities/{category}/{id}", page, name="entity"),
    Route("/entities/{category}/{id}/state/{version:int}", state, name="entity_state"),
    Route("/entities/{category}/{id}/line-of-time", line_of_time, name="entity_line_of_time"),
    Route("/entities/{category}/{id}/difference", difference, name="difference"),
)
"""The addresses of this page."""
