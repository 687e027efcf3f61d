"""How commands find an entity: by its id, the beginning of its id, an id of a client or a broker, or a name."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from eventstore.cli.running import NotFoundError
from eventstore.entity_names import BEGINNING_DIGITS_MIN, by_beginning, by_other_ids
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore

ID_HELP = "An id, the beginning of one, or of an order its client order id or broker order id; of a portfolio its name."
"""The help of an argument that `find` understands."""

_LISTED_MAX = 10

_ALSO_BY = {"order": "a client or broker order id", "portfolio": "a name"}


async def find(store: EventStore, text: str, category: str | None = None) -> UUID:
    """Return the id of the one entity that a text names.

    A whole id is returned as it is, whether or not it exists. Otherwise an order is found by its client order id or its
    broker order id, a portfolio by its name, and any entity by the beginning of its id, in this order.

    Args:
        store: The store.
        text: What the user wrote.
        category: The category of the entity; None for any.

    Raises:
        NotFoundError: Nothing has it.
        ConfigurationError: Several have it; the message lists them.
    """
    with suppress(ValueError):
        return UUID(text)
    limit = _LISTED_MAX + 1
    found = await by_other_ids(store, text, category, limit=limit)
    if not found:
        found = await by_beginning(store, text, category, limit=limit)
    if len(found) > 1:
        listed = ", ".join(f"{id} ({one.what})" for id, one in list(found.items())[:_LISTED_MAX])
        more = ", and more" if len(found) > _LISTED_MAX else ""
        raise ConfigurationError(f"{text!r} is ambiguous: {listed}{more}")
    if not found:
        raise NotFoundError(_not_found(text, category))
    return next(iter(found))


def _not_found(text: str, category: str | None) -> str:
    known = ["an id", f"the beginning of an id ({BEGINNING_DIGITS_MIN} digits or more)"]
    known += [_ALSO_BY[one] for one in _ALSO_BY if category in {None, one}]
    return f"there is no {category or 'stream'} {text!r}: give {', '.join(known[:-1])} or {known[-1]}"
