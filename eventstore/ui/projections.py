"""The projections: rebuild them, see the proof, and deal with the keys whose events cannot be folded."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.database.access import read_rows
from eventstore.errors import KeyNotQuarantinedError
from eventstore.status import cause_of_lag, read_status
from eventstore.ui.jobs import Job
from eventstore.ui.pages import inspector_of, parameters_of, redirect, render
from projections import Projection
from projections.quarantine import discard, list_quarantined, retry
from projections.rebuild import rebuild

_LAGS_S = 5.0


async def page(request: Request) -> Response:
    """List the projections."""
    inspector = inspector_of(request)
    now = await read_status(inspector.store.connection)
    return render(
        request,
        "projections.html",
        now=now,
        known=inspector.projections,
        jobs={one.projection: inspector.jobs.get(_job(one.projection)) for one in now.projections},
    )


async def projection(request: Request) -> Response:
    """Show one projection: its partitions, its quarantine, its skip list, its rebuild."""
    inspector, name = inspector_of(request), _named(request)
    source = inspector.store.connection
    now = await read_status(source)
    found = next((one for one in now.projections if one.projection == name), None)
    if found is None and name not in inspector.projections:
        raise HTTPException(404, f"There is no projection {name!r}.")
    reason = None
    if found is not None and found.lag_s > _LAGS_S:
        explained = await read_rows(source, "projections/explain_lag", name)
        reason = cause_of_lag(explained[0]) if explained else None
    rebuilds = await read_rows(source, "rebuild/read", name)
    return render(
        request,
        "projection.html",
        name=name,
        found=found,
        reason=reason,
        workers=[
            row for row in await read_rows(source, "projections/list_workers") if row["projection"] == name
        ],
        held=await list_quarantined(inspector.store.log, name),
        discards=await read_rows(source, "projections/list_discards", name),
        rebuild=rebuilds[0] if rebuilds else None,
        job=inspector.jobs.get(_job(name)),
        key_digest=key_digest,
        is_known=name in inspector.projections,
    )


async def progress(request: Request) -> Response:
    """Return the part of the page that shows how far a rebuild is."""
    name = _named(request)
    return render(request, "rebuild_progress.html", name=name, job=inspector_of(request).jobs.get(_job(name)))


async def begin_rebuild(request: Request) -> Response:
    """Begin a rebuild in the background."""
    inspector = inspector_of(request)
    await inspector.access.form_of_change(request)
    one = _known(request)

    async def work(job: Job) -> Any:
        return await rebuild(inspector.store.log, one, on_progress=job.report)

    inspector.jobs.begin(_job(one.name), work, by=request.state.caller)
    return redirect(request, "projection", q={"name": one.name})


async def retry_key(request: Request) -> Response:
    """Fold the waiting events of a key again."""
    inspector = inspector_of(request)
    form = await inspector.access.form_of_change(request)
    one = _known(request)
    await retry(inspector.store.log, one, await _key(request, form))
    return redirect(request, "projection", q={"name": one.name})


async def discard_event(request: Request) -> Response:
    """Leave the failed event of a key out, on record."""
    inspector = inspector_of(request)
    form = await inspector.access.form_of_change(request)
    one = _known(request)
    position = _required(form, "position")
    if not (position.isascii() and position.isdigit()):
        raise HTTPException(400, "position must be the position of an event.")
    await discard(
        inspector.store.log,
        one,
        await _key(request, form),
        discarded_by=request.state.caller or _required(form, "by"),
        reason=_required(form, "reason"),
        position=int(position),
    )
    return redirect(request, "projection", q={"name": one.name})


def _named(request: Request) -> str:
    name = parameters_of(request).text("name")
    if name is None:
        raise HTTPException(400, "name must be the name of a projection.")
    return name


def _known(request: Request) -> Projection[Any]:
    name = _named(request)
    found = inspector_of(request).projections.get(name)
    if found is None:
        raise HTTPException(
            404, f"This program does not know the code of the projection {name!r}: give its --module."
        )
    return found


def key_digest(key: str) -> str:
    """Return what a form names a key by: a key has any characters, and forms change some of them."""
    return sha256(key.encode()).hexdigest()


async def _key(request: Request, form: Mapping[str, str]) -> str:
    """Return the key in quarantine that a form names.

    Raises:
        KeyNotQuarantinedError: It is not in quarantine any more.
    """
    digest, name = _required(form, "key"), _named(request)
    for one in await list_quarantined(inspector_of(request).store.log, name):
        if key_digest(one.key) == digest:
            return one.key
    raise KeyNotQuarantinedError.of(name, "of this form")


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "").strip()
    if not value or "\x00" in value:
        raise HTTPException(400, f"{name} is missing.")
    return value


def _job(name: str) -> str:
    return f"rebuild of {name}"


ROUTES = (
    Route("/projections", page, name="projections"),
    # Names of projections have any characters, so they are no part of a path.
    Route("/projection", projection, name="projection"),
    Route("/projection/progress", progress, name="rebuild_progress"),
    Route("/projection/rebuild", begin_rebuild, methods=["POST"], name="rebuild"),
    Route("/projection/retry", retry_key, methods=["POST"], name="retry"),
    Route("/projection/discard", discard_event, methods=["POST"], name="discard"),
)
"""The addresses of this page."""
