"""Private names of asyncpg."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import asyncpg

CAN_IGNORE_CODECS = (
    "ignore_custom_codec" in inspect.signature(asyncpg.Connection._execute).parameters  # noqa: SLF001
)
"""Whether asyncpg can run a statement past the type codecs that a user has set."""


async def execute_with(
    connection: Any,
    query: str,
    args: Sequence[Any],
    limit: int,
    timeout: float | None,  # noqa: ASYNC109 - as asyncpg's
    **options: Any,
) -> Any:
    """Run a statement past a user's type codecs and class of records, if asyncpg can do so.

    Gain: statements of the library work on a connection whose owner has set codecs for jsonb, numeric or any other type.
    Without the name, such a connection is refused (`TypeCodecError`).
    """
    if CAN_IGNORE_CODECS:
        options["ignore_custom_codec"] = True
    return await connection._execute(query, args, limit, timeout, **options)  # noqa: SLF001


def physical(connection: Any) -> Any:
    """Return the connection behind the proxy that any pool of asyncpg lends; another connection as it is.

    Gain: what is learned of a connection's codecs is kept from loan to loan, which saves a round trip at each.
    """
    return getattr(connection, "_con", connection)


def register_types(connection: Any, types: Sequence[dict[str, Any]]) -> None:
    """Tell the driver of types that it would look up.

    Gain: the first statement of a connection with an array is one statement and not four. The others would be a look-up of
    types, whose operators an object of somebody else's in the search path could replace. There is no other way.
    """
    connection._protocol.get_settings().register_data_types(types)  # noqa: SLF001


def codecs_of(connection: Any, oids: Sequence[int]) -> tuple[Any, ...]:
    """Return what the driver reads and writes types with, as objects that are others once a codec has changed.

    Gain: values in arrays are tried against a user's codecs once, and not before every statement. There is no other way.
    """
    settings = connection._protocol.get_settings()  # noqa: SLF001
    return tuple(settings.get_data_codec(oid, ignore_custom_codec=True) for oid in oids)


def is_quiet(connection: asyncpg.Connection) -> bool:
    """Whether no transaction is open and nothing is under way, as far as the server has answered.

    asyncpg's own pool looks at the same three before it lends a connection again.

    Gain: a connection that is quiet goes back to the pool without a round trip, which came to 0.71 of the rate of a bare
    INSERT. Without the names, a cancelled BEGIN could be the next user's.
    """
    return not (
        connection.is_in_transaction()
        or getattr(connection, "_top_xact", None) is not None
        or connection._protocol._is_cancelling()  # noqa: SLF001
    )


def forget_transaction(connection: asyncpg.Connection) -> None:
    """Note that what was begun is over; else asyncpg complains of a transaction that somebody left open.

    Gain: none in time. It lets a connection be used again after its transaction was rolled back by a statement.
    """
    connection._top_xact = None  # noqa: SLF001
