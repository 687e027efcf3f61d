"""Evidence: the seals of the log, their verification, and the proof of one event to download."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.database.access import read_rows
from eventstore.evidence import Head, prove, seal, verify
from eventstore.ui.jobs import Job
from eventstore.ui.pages import inspector_of, parameters_of, redirect, render

_PAGE_SEALS = 50
_VERIFICATION = "verification"
_SEALING = "sealing"


async def page(request: Request) -> Response:
    """Show the seals, the newest first, and the last verification."""
    inspector = inspector_of(request)
    before = parameters_of(request).number("before")
    rows = await read_rows(inspector.store.connection, "evidence/list_seals", before, _PAGE_SEALS + 1)
    seals = rows[:_PAGE_SEALS]
    newest = seals[0] if seals and before is None else None
    return render(
        request,
        "evidence.html",
        seals=seals,
        before=before,
        older=seals[-1]["block"] if len(rows) > _PAGE_SEALS else None,
        head=None if newest is None else Head(newest["block"], newest["seal"]),
        log_head=await inspector.store.log.head(),
        job=inspector.jobs.get(_VERIFICATION),
        sealing=inspector.jobs.get(_SEALING),
        against=parameters_of(request).text("against") or "",
    )


async def begin_verification(request: Request) -> Response:
    """Begin to hash every sealed event again, in the background; it only reads."""
    inspector = inspector_of(request)
    against = parameters_of(request).text("against")
    kept = None if against is None else Head.parse(against)

    async def work(_: Job) -> Any:
        return await verify(inspector.store.log, against=kept)

    inspector.jobs.begin(_VERIFICATION, work, by=request.state.caller)
    return redirect(request, "evidence")


async def verification(request: Request) -> Response:
    """Return the part of the page that shows the last verification."""
    return render(request, "verification.html", job=inspector_of(request).jobs.get(_VERIFICATION))


async def begin_sealing(request: Request) -> Response:
    """Seal every event that is final and not sealed yet."""
    inspector = inspector_of(request)
    await inspector.access.form_of_change(request)

    async def work(_: Job) -> Any:
        return await seal(inspector.store.log)

    job = inspector.jobs.begin(_SEALING, work, by=request.state.caller)
    if job.task is not None:
        await job.task
    return redirect(request, "evidence")


async def proof(request: Request) -> Response:
    """Return the proof that one event is in the log as it was sealed, as a file."""
    given = parameters_of(request).text("event")
    if given is None:
        raise HTTPException(400, "event must be the id or the position of an event.")
    try:
        event = int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else UUID(given)  # noqa: PLR2004 - a bigint
    except ValueError:
        raise HTTPException(400, "event must be the id or the position of an event.") from None
    made = await prove(inspector_of(request).store.log, event)
    name = f"proof-{made['event']['position']}.json"
    return Response(
        f"{json.dumps(made, indent=1)}\n",
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


ROUTES = (
    Route("/evidence", page, name="evidence"),
    Route("/evidence/verify", begin_verification, name="verify"),
    Route("/evidence/verification", verification, name="verification"),
    Route("/evidence/seal", begin_sealing, methods=["POST"], name="seal"),
    Route("/evidence/proof", proof, name="proof"),
)
"""The addresses of this page."""
