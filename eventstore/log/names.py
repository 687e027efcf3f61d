"""The check that categories and types in a query exist.

Without it, a misspelt name would look like an empty log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from eventstore.database.access import reading
from eventstore.errors import ConfigurationError
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

_CLOSE_MAX = 3
_LISTED_MAX = 20
_COUNTED_EVENTS_MAX = 1_000_000
_SAMPLE_PERCENT = 1.0


async def require_known_names(
    log: EventLog, *, categories: Sequence[str] | None = None, types: Sequence[str] | None = None
) -> None:
    """Refuse a category or type that neither a class nor an event of the log has.

    The log is queried only for names that no class has.

    Raises:
        ConfigurationError: A name is unknown. The message lists similar names.
        ConnectionError, TimeoutError: Safe to retry.
    """
    known = {
        "category": {one.category for one in log.classes} | {key[0] for key in log.classes.upcasters},
        "type": {one.type for one in log.classes} | {key[1] for key in log.classes.upcasters},
    }
    asked = {"category": categories or (), "type": types or ()}
    if all(known[kind].issuperset(names) for kind, names in asked.items()):
        return
    async with reading(log.connection) as connection:
        unused = await connection.fetch(
            load("log/find_unused_names", connection),
            [name for name in asked["category"] if name not in known["category"]],
            [name for name in asked["type"] if name not in known["type"]],
        )
        if not unused:
            return
        head = await connection.fetchval(load("rebuild/read_head", connection))
        sample = 100.0 if (head or 0) <= _COUNTED_EVENTS_MAX else _SAMPLE_PERCENT
        rows = await connection.fetch(load("log/count_types", connection), sample)
    kind, name = unused[0]["kind"], unused[0]["name"]
    raise no_such_name(f"event of {kind}", name, known[kind] | {row[kind] for row in rows})


def no_such_name(what: str, name: str, known: Iterable[str], advice: str = "") -> ConfigurationError:
    """Return the error for an unknown name. It lists similar names, or else the known names."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, _CLOSE_MAX)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    else:
        more = "" if len(known) <= _LISTED_MAX else " ..."
        hint = f"there are {', '.join(known[:_LISTED_MAX])}{more}" if known else "there are none"
    return ConfigurationError(f"there is no {what} {name}: {hint}{f' {advice}' if advice else ''}")
