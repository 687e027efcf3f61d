"""The end of a transaction: commit, rollback, lost answers, and the return of the connection."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from eventstore import errors
from eventstore.database.cancellation import finish
from eventstore.database.error_mapping import DRIVER_ERRORS, map_error, mapped_errors
from eventstore.database.plain import plain
from eventstore.database.pooled import recover
from eventstore.database.protocols import Connection, the_row
from eventstore.database.server import is_same_start
from eventstore.database.session import find_schema
from eventstore.database.session_effects import Effect, effect_of
from eventstore.loop_stalls import Stopwatch, TimeLimit
from eventstore.sql import bind, load, unbind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

_OUTCOME_POLL_S = 0.1

_logger = logging.getLogger(__name__)

_effects: dict[int, Effect] = {}
"""The possible effects of statements on each connection lent from a user's own pool, by its object's id."""


async def commit(
    lease: AbstractAsyncContextManager[Connection],
    connection: Connection,
    acquire: Callable[[], AbstractAsyncContextManager[Connection]],
    *,
    timeout_s: float,
) -> None:
    """Commit, return the connection, and if the answer was lost ask the server for the outcome.

    Args:
        lease: The loan of `connection`, which ends here.
        connection: The connection with the open transaction.
        acquire: Lends another connection to the same server.
        timeout_s: Seconds that asking for the outcome may take.

    Raises:
        As `PostgreSQLAdapter.commit_transaction`.
    """
    transaction: Any = None
    sent = False
    try:
        async with ending(lease):
            # This fails in a failed transaction, where PostgreSQL would answer a COMMIT with ROLLBACK.
            own_connection = plain(connection)
            transaction = await own_connection.fetchrow(load("database/transaction_id", connection))
            sent = True
            await connection.execute("COMMIT")
    except DRIVER_ERRORS as error:
        mapped = map_error(error, connection=connection, in_transaction=not sent)
        if not sent and not mapped.retryable:
            raise errors.TransactionCommitError(
                f"nothing was committed: {mapped}", outcome="not_applied"
            ) from error
        if not sent or not isinstance(mapped, (errors.ConnectionError, errors.TimeoutError)):
            raise mapped from error
        await _resolve(transaction, error, acquire, timeout_s=timeout_s)


async def _resolve(
    transaction: Any,
    cause: BaseException,
    acquire: Callable[[], AbstractAsyncContextManager[Connection]],
    *,
    timeout_s: float,
) -> None:
    """Find out the outcome of a transaction whose COMMIT was not answered."""
    transaction_id: str | None = transaction["transaction_id"]
    if transaction_id is None:
        return  # the transaction has written nothing
    taken = Stopwatch()
    while (left_s := timeout_s - taken.elapsed_s) > 0:
        try:
            async with TimeLimit(left_s), acquire() as connection:
                found = the_row(
                    await plain(connection).fetchrow(
                        load("database/transaction_status", connection), transaction_id
                    )
                )
        except (errors.ConnectionError, *DRIVER_ERRORS):
            status: str | None = "in progress"
        else:
            # A promoted or restarted server may know another transaction by this id.
            status = found["status"] if is_same_start(found, transaction) else None
        if status == "committed":
            return
        if status == "aborted":
            raise errors.ConnectionError(
                "the connection was lost before the commit, so nothing was committed: begin again"
            ) from cause
        if status is None:
            break  # the transaction is too old for the server to know, or it is another server
        await asyncio.sleep(_OUTCOME_POLL_S)
    raise errors.TransactionCommitError(
        f"the answer to the commit of transaction {transaction_id} was lost, and the server could not be "
        "asked in time: check whether it was applied before you repeat it",
        outcome="unknown",
    ) from cause


@asynccontextmanager
async def of_pool(pool: Any) -> AsyncIterator[Connection]:
    """Lend a connection of an asyncpg pool, as safe from cancellation as one of ours.

    The pool resets the session as its owner has configured it. If `note_effect` has noted an effect that
    a reset does not undo, the connection is closed instead, and the pool opens another one with its
    `init`.
    """
    with mapped_errors(in_transaction=True):  # nothing has been sent yet
        connection = await pool.acquire()
    _effects[id(connection)] = Effect.NONE
    try:
        bind(connection, await _schema_of_session(connection))
        yield connection
    except (asyncio.CancelledError, TimeoutError):
        await finish(_release(pool, connection, interrupted=True))
        raise
    except BaseException:
        await finish(_release(pool, connection, interrupted=False))
        raise
    else:
        await finish(_release(pool, connection, interrupted=False))


def note_effect(connection: Connection, statement: str) -> None:
    """Note the possible effect of a user's statement on a connection of the user's own pool."""
    if id(connection) in _effects and effect_of(statement) is Effect.LASTING:
        _effects[id(connection)] = Effect.LASTING


async def _schema_of_session(connection: Connection) -> str | None:
    with mapped_errors(in_transaction=True, connection=connection):
        return await find_schema(plain(connection))


async def _release(pool: Any, connection: Connection, *, interrupted: bool) -> None:
    unbind(connection)
    effect = _effects.pop(id(connection), Effect.NONE)
    try:
        if interrupted or connection.is_in_transaction():
            await recover(connection)
        if effect is Effect.LASTING:
            connection.terminate()
        await pool.release(connection)
    except DRIVER_ERRORS as error:
        # asyncpg has closed the connection after its last statement, so the caller is not affected.
        _logger.info("lost a connection while returning it to the pool", exc_info=error)


@asynccontextmanager
async def ending(lease: AbstractAsyncContextManager[Connection]) -> AsyncIterator[None]:
    """Return a connection at the end of a block, with the block's error if it raised one."""
    try:
        yield
    except BaseException as error:
        await lease.__aexit__(type(error), error, error.__traceback__)
        raise
    await lease.__aexit__(None, None, None)


async def roll_back(lease: AbstractAsyncContextManager[Connection], connection: Connection) -> None:
    """Roll back, and return the connection.

    Raises:
        TransactionRollbackError: The server did not answer.
    """
    try:
        async with ending(lease):
            await connection.execute("ROLLBACK")
    except DRIVER_ERRORS as error:
        raise errors.TransactionRollbackError(
            f"the server did not answer the rollback, and will roll back by itself: {map_error(error)}"
        ) from error
