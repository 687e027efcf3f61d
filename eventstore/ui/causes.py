"""What came from one command: its events as a tree, each under the event that caused it."""

from __future__ import annotations

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.ui.pages import inspector_of, parameters_of, render

_SHOWN_MAX = 1_000


async def page(request: Request) -> Response:
    """Show the tree of an event id or a correlation id."""
    given = parameters_of(request).text("id")
    if given is None:
        return render(request, "causes.html", given="", tree=None, nodes=[], total=0)
    tree = await inspector_of(request).store.causation_tree(given)
    return render(
        request,
        "causes.html",
        status_code=200 if tree.roots else 404,
        given=given,
        tree=tree,
        nodes=list(islice(tree, _SHOWN_MAX)),
        total=len(tree),
    )


ROUTES = (Route("/causes", page, name="causes"),)
"""The addresses of this page."""
