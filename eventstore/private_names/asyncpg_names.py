"""Private names of asyncpg."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import asyncpg

CAN_IGNORE_CODECS = (
    "ignore_custom_codec" in inspect.signature(asyncpg.Connection._execute).parameters  # noqa: SLF001
)
"""Whether asyncpg can run a statement that ignores the type codecs of the user."""


async def execute_with(
    connection: Any,
    query: str,
    args: Sequence[Any],
    limit: int,
    timeout: float | None,  # noqa: ASYNC109 - as asyncpg's
    **options: Any,
) -> Any:
    """Run a statement that ignores a user's type codecs and record class, if asyncpg can do so.

    Gain: the library's statements work on a connection whose owner has set codecs for jsonb, numeric or any
    other type. Without the name, such a connection is refused (`TypeCodecError`).
    """
    if CAN_IGNORE_CODECS:
        options["ignore_custom_codec"] = True
    return await connection._execute(query, args, limit, timeout, **options)  # noqa: SLF001


def physical(connection: Any) -> Any:
    """Return the connection behind the proxy that a pool of asyncpg lends; any other connection unchanged.

    Gain: the findings about a connection's codecs are kept between loans, which saves a round trip at each.
    """
    return getattr(connection, "_con", connection)


def register_types(connection: Any, types: Sequence[dict[str, Any]]) -> None:
    """Register types with the driver that it would otherwise look up.

    Gain: the first statement with an array on a connection is one statement and not four. The other three would
    look up types, and another user's object in the search path could replace their operators. There is no
    other way.
    """
    connection._protocol.get_settings().register_data_types(types)  # noqa: SLF001


def codecs_of(connection: Any, oids: Sequence[int]) -> tuple[Any, ...]:
    """Return the driver's codecs for types; they are new objects after a codec has changed.

    Gain: values in arrays are tested against a user's codecs once, and not before every statement. There is no
    other way.
    """
    settings = connection._protocol.get_settings()  # noqa: SLF001
    return tuple(settings.get_data_codec(oid, ignore_custom_codec=True) for oid in oids)


def is_quiet(connection: asyncpg.Connection) -> bool:
    """Whether no transaction is open and no statement is running, as far as the server has answered.

    asyncpg's own pool checks the same three names before it lends a connection again.

    Gain: a quiet connection returns to the pool without a round trip; with the round trip,
    the rate fell to 0.71 of a bare INSERT. Without the names, a cancelled BEGIN could open a transaction for the next borrower.
    """
    return not (
        connection.is_in_transaction()
        or getattr(connection, "_top_xact", None) is not None
        or connection._protocol._is_cancelling()  # noqa: SLF001
    )


def forget_transaction(connection: asyncpg.Connection) -> None:
    """Record that the transaction is over; asyncpg would otherwise complain about an open transaction.

    Gain: no time. A connection can be used again after a statement has rolled back its transaction.
    """
    connection._top_xact = None  # noqa: SLF001
