"""How commands find an entity: by its id, the beginning of its id, an id of a client or a broker, or a name."""

from __future__ import annotations

from uuid import UUID

from eventstore import entity_names
from eventstore.cli.running import NotFoundError
from eventstore.store import EventStore

ID_HELP = "An id, the beginning of one, or of an order its client order id or broker order id; of a portfolio its name."
"""The help of an argument that `find` understands."""


async def find(store: EventStore, text: str, category: str | None = None) -> UUID:
    """Return the id of the one entity that a text names: `entity_names.find`.

    Raises:
        NotFoundError: Nothing has it.
        ConfigurationError: Several have it; the message lists them.
    """
    try:
        return await entity_names.find(store, text, category)
    except entity_names.UnknownNameError as error:
        raise NotFoundError(str(error)) from None
