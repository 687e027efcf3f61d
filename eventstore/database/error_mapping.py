"""Maps errors of asyncpg and PostgreSQL to the library's, by SQLSTATE and class, never by message text."""

from __future__ import annotations

import builtins
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import asyncpg

from eventstore import errors
from eventstore.database.cancellation import cancelled_within, cancelling
from eventstore.database.protocols import Connection
from eventstore.loop_stalls import Stall, now_s, watch

# The errors of asyncpg, and those of the operating system that pass through it.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_MIGRATE = "is the database migrated? Run `eventstore migrate`"
_POOLER = "a pooler stands between: set DATABASE_STATEMENT_CACHE_SIZE to 0"
_LIMIT = "raise the limit, or make the statement do less"

# The longest prefix of the SQLSTATE decides. Lost connections are not here: their meaning depends on what was sent.
_BY_SQLSTATE: dict[str, tuple[type[errors.EventStoreError], str]] = {
    "0A": (errors.RepositoryError, "the server does not support this"),
    "0A000/cached": (errors.TransactionConflictError, "a table changed under the transaction: run it again"),
    "22": (errors.RepositoryError, "a value does not fit its type: correct it"),
    "23": (errors.IntegrityError, "correct the data"),
    "25": (errors.TransactionError, "roll back and begin again"),
    "25001": (errors.TransactionAlreadyActiveError, "commit or roll back first"),
    "25006": (errors.TransactionError, "connect to the primary, or begin a transaction that may write"),
    "25P01": (errors.TransactionNotActiveError, "begin a transaction first"),
    "25P02": (errors.TransactionError, "an earlier statement failed: roll back and begin again"),
    "25P03": (errors.TimeoutError, "the transaction was idle too long (idle_in_transaction_session_timeout)"),
    "25P04": (errors.TimeoutError, "the transaction took too long (transaction_timeout)"),
    "26000": (errors.RepositoryError, _POOLER),
    "28": (errors.ConnectionRejectedError, "correct the user, the password or pg_hba.conf"),
    "2D": (errors.TransactionError, "roll back and begin again"),
    "3B": (errors.TransactionError, "roll back and begin again"),
    "3D000": (errors.ConnectionRejectedError, "create the database, or correct its name"),
    "3F000": (errors.RepositoryError, _MIGRATE),
    "40": (errors.TransactionConflictError, "run the transaction again"),
    "40002": (errors.IntegrityError, "correct the data"),
    "42501": (errors.RepositoryError, "log in as a role that may, or give the right with `eventstore grant`"),
    "42703": (errors.RepositoryError, _MIGRATE),
    "42704": (errors.RepositoryError, _MIGRATE),
    "42883": (errors.RepositoryError, _MIGRATE),
    "42P05": (errors.RepositoryError, _POOLER),
    "42P01": (errors.RepositoryError, _MIGRATE),
    "44": (errors.IntegrityError, "correct the data"),
    "53": (errors.RepositoryError, "the server lacks memory, disk or another resource"),
    "53300": (errors.ConnectionError, "raise max_connections of the server, or lower max_pool_size"),
    "55P03": (errors.TransactionConflictError, "run the transaction again"),
    "57014": (errors.TimeoutError, f"the statement was cancelled on the server: {_LIMIT}"),
    "57P03": (errors.ConnectionError, "the server is starting up or shutting down: try again"),
    "57P04": (errors.ConnectionRejectedError, "the database was dropped"),
    "ES002": (
        errors.ProjectionVersionError,
        "run `eventstore rebuild` with the newer code, and then the newer code alone",
    ),
    "ES001": (errors.RepositoryError, "append an event that corrects what an earlier one says"),
}
_POSITION_KEY = (
    "events_position_key"  # a distributed table reports its constraints with the suffix of a shard
)
_NO_TIME = "date value out of range"  # the message of the driver's decoder
_LOST = ("08", "57P01", "57P02", "57P05")
_ENDED = ("25P03", "25P04")  # the server has ended the transaction and the session, before a COMMIT
_STALLED_WITHIN_S = 1.0
_NOT_MIGRATED = ("3F000", "42703", "42704", "42883", "42P01")


def map_error(
    error: BaseException,
    *,
    in_transaction: bool = False,
    own_statement: bool = False,
    reads_only: bool = False,
    connection: Connection | None = None,
) -> errors.EventStoreError:
    """Return the library's error for one of asyncpg, PostgreSQL or the operating system.

    Args:
        error: The error; one of this library is returned as it is.
        in_transaction: Whether the statement ran inside a transaction whose COMMIT was not sent. A lost
            connection has then applied nothing, and the error is retryable.
        own_statement: Whether the statement is the library's. A missing table is then `NotMigratedError`.
        reads_only: Whether the statement writes nothing. A lost connection is then retryable too.
        connection: The asyncpg connection in use, to distinguish a closed connection from a wrong call.

    Returns:
        The error to raise `from` the given one; its `sqlstate` is set if PostgreSQL sent one.
    """
    if isinstance(error, errors.EventStoreError):
        return error
    sqlstate = getattr(error, "sqlstate", None)
    mapped = _map(error, sqlstate, in_transaction=in_transaction, own=own_statement, connection=connection)
    if reads_only and isinstance(mapped, errors.ConnectionLostError):
        mapped = errors.ConnectionError(f"the connection was lost while reading: {_first_line(error)}")
    mapped.sqlstate = sqlstate
    return mapped


def _map(  # noqa: PLR0911 - one return for each kind
    error: BaseException,
    sqlstate: str | None,
    *,
    in_transaction: bool,
    own: bool,
    connection: Connection | None,
) -> errors.EventStoreError:
    lost = _lost_before(error)
    text, stall = _first_line(lost or error), _stall_of(connection)
    stalled = "" if stall is None else f"{stall}, and meanwhile "
    if stalled and any(getattr(one, "sqlstate", None) in _ENDED for one in (error, error.__cause__)):
        return errors.ConnectionError(f"{stalled}the server ended the open transaction: begin again: {text}")
    if isinstance(error, asyncpg.InterfaceError) and _is_closed(connection):
        return errors.ConnectionError(
            f"{stalled}the connection was lost before the statement was sent: {text}"
        )
    if isinstance(error, asyncpg.ClientConfigurationError):
        return errors.ConfigurationError(text)
    if isinstance(error, builtins.TimeoutError):
        return errors.TimeoutError(
            f"a statement took longer than its time limit (command_timeout, or timeout_s of the call): {_LIMIT}"
        )
    if lost is not None or _is_lost(error):
        if in_transaction:
            return errors.ConnectionError(
                f"{stalled}the connection was lost, and with it the open transaction: {text}"
            )
        return errors.ConnectionLostError(
            f"{stalled}the connection was lost during a statement, which may have been applied: {text}"
        )
    if sqlstate == "40003":
        return errors.TransactionCommitError(
            f"the server does not know the outcome: {text}", outcome="unknown"
        )
    if own and sqlstate in _NOT_MIGRATED:
        return errors.NotMigratedError(f"{text}: run `eventstore migrate`")
    if sqlstate is None:
        return errors.RepositoryError(text)
    return _by_sqlstate(error, sqlstate, text)


def _by_sqlstate(error: BaseException, sqlstate: str, text: str) -> errors.EventStoreError:
    cached = "0A000/cached" if isinstance(error, asyncpg.InvalidCachedStatementError) else None
    for key in (cached, sqlstate, sqlstate[:2]):
        if key is not None and key in _BY_SQLSTATE:
            kind, advice = _BY_SQLSTATE[key]
            if issubclass(kind, errors.IntegrityError):
                constraint: str | None = getattr(error, "constraint_name", None)
                if str(constraint).startswith(_POSITION_KEY):
                    advice = "the sequence of positions was reset to a position inside the log: run `eventstore repair`"
                return kind(f"{text}: {advice}", constraint=constraint)
            return kind(f"{text}: {advice}")
    return errors.RepositoryError(f"{text} (SQLSTATE {sqlstate})")


def _stall_of(connection: Connection | None) -> Stall | None:
    """Return the stall of the event loop during which the server may have ended the connection."""
    since_s: float = getattr(connection, "lent_s", now_s() - _STALLED_WITHIN_S)
    try:
        return watch().stall_since(since_s)
    except RuntimeError:  # no event loop is running
        return None


def _is_lost(error: BaseException) -> bool:
    # If the server's last message arrives between two statements, asyncpg's state is inconsistent: this is a lost
    # connection too.
    if isinstance(error, OSError | asyncpg.InternalClientError):
        return True
    return (getattr(error, "sqlstate", None) or "").startswith(_LOST)


def _lost_before(error: BaseException) -> BaseException | None:
    """Return the error that shows a lost connection, if this is one of a use of that connection afterwards.

    Such a use is the rollback of a transaction: as long as the end of the connection has not arrived, asyncpg takes the
    lost statement for one that still runs.
    """
    while isinstance(error, asyncpg.InterfaceError) and error.__context__ is not None:
        error = error.__context__
        if _is_lost(error):
            return error
    return None


def _is_closed(connection: Connection | None) -> bool:
    if connection is None:
        return False
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken back a lost connection
        return True


def _first_line(error: BaseException) -> str:
    # PostgreSQL's DETAIL may contain data of the row, so it stays only in the cause.
    text = str(error.args[0]) if error.args and not isinstance(error, OSError) else str(error)
    return text.splitlines()[0] if text else type(error).__name__


def mapped_errors(
    *,
    in_transaction: bool = False,
    own_statement: bool = False,
    reads_only: bool = False,
    connection: Connection | None = None,
) -> AbstractContextManager[None]:
    """Map the errors of asyncpg that leave the block to the library's; arguments as in `map_error`.

    If the task was cancelled inside the block and the driver failed to clean up, the cancellation is
    raised.
    """
    return _MappedErrors(in_transaction, own_statement, reads_only, connection)


class _MappedErrors:
    """A class and no generator: a block is entered for each statement, and a generator takes twice as long."""

    __slots__ = ("_arguments", "_cancelled_before")

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __enter__(self) -> None:
        self._cancelled_before = cancelling()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, errors.EventStoreError):
            return
        if isinstance(error, OverflowError) and _NO_TIME in str(error):
            raise errors.RepositoryError(
                "the statement read a time before the year 1 or after 9999, which Python cannot represent: correct the row, "
                "or leave it out"
            ) from error
        if not isinstance(error, DRIVER_ERRORS):
            return
        if cancelling() > self._cancelled_before and (cancelled := cancelled_within(error)) is not None:
            raise cancelled  # the error becomes its context
        in_transaction, own_statement, reads_only, connection = self._arguments
        raise map_error(
            error,
            in_transaction=in_transaction,
            own_statement=own_statement,
            reads_only=reads_only,
            connection=connection,
        ) from error
