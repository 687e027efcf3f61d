"""Every exception that this library raises.

    EventStoreError
    ├── ConfigurationError (also ValueError)          a setting, an argument or an input file is wrong
    │   ├── AppendTooLargeError                       an event or an append is too large for PostgreSQL
    │   ├── EventEncodingError                        an event could not be read back, so it is not appended
    │   ├── EventNotFoundError                        the log has no event with this id or position
    │   ├── KeyNotQuarantinedError                    a key is not in quarantine
    │   ├── TypeCodecError                            a type codec of your pool changes the library's values
    │   ├── LimitError (also RepositoryError)         a limit, a time-out or a position is not valid
    │   └── PreconditionError                         a precondition of the database does not hold
    ├── DomainError (also ValueError)                 a rule of an entity forbids the change
    ├── ConnectionError (also builtins)               no connection, or it was lost            retryable
    │   ├── ConnectionClosedError                     this program closed it
    │   ├── ConnectionLostError                       lost while a statement was under way
    │   ├── ConnectionRejectedError                   the server refuses this user or database
    │   └── ServerChangedError                        another server is behind the address       retryable
    ├── TimeoutError (also builtins)                  a time limit was exceeded
    ├── RepositoryError                               an operation on the log or a table failed
    │   ├── EntityNotFoundError
    │   │   ├── OrderNotFoundError
    │   │   ├── PositionNotFoundError
    │   │   ├── PortfolioNotFoundError
    │   │   └── InstrumentNotFoundError
    │   ├── EntityDeletedError                        the entity was deleted; its id cannot be used again
    │   ├── ReadOnlyError                             repositories of the past cannot write
    │   ├── ConcurrencyError                          another writer was first                retryable
    │   ├── IntegrityError                            a constraint of the database refused the statement
    │   ├── UnknownEventTypeError                     the log holds a type that the code does not define
    │   └── EventDecodingError                        stored JSON does not fit its event class
    ├── TransactionError
    │   ├── TransactionAlreadyActiveError
    │   ├── TransactionNotActiveError
    │   ├── TransactionCommitError                    outcome: "not_applied" or "unknown"
    │   ├── TransactionRollbackError
    │   ├── UnsavedChangesError                       a commit would lose changes of an entity
    │   └── TransactionConflictError                  serialisation failure, deadlock, lock    retryable
    ├── RestoredLogError                              the log lost events that were read from it
    ├── FactoryError                                  a Unit of Work or a store could not be created
    ├── MigrationError                                the schema is not what the code needs
    │   └── NotMigratedError
    └── ProjectionError
        ├── ProjectionLagError                        a table lags too far behind for a fresh list
        ├── QuarantinedKeysError                      a row's later events cannot be folded
        ├── ProjectionVersionError                    the table was built by another version of the code
        ├── RebuildError                              a table was not rebuilt; the live one is unchanged
        └── CheckpointMovedError                      another worker holds this projection     retryable

`retryable` means that the change was certainly not applied, and that the same operation, run again
from its first read, may succeed.

Each error can be pickled and copied with its message and attributes, and so can errors derived from
these: see `PortableError`.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from eventstore.portable import PortableError
from eventstore.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

__all__ = [
    "AppendTooLargeError",
    "CheckpointMovedError",
    "ConcurrencyError",
    "ConfigurationError",
    "ConnectionClosedError",
    "ConnectionError",
    "ConnectionLostError",
    "ConnectionRejectedError",
    "DomainError",
    "EntityDeletedError",
    "EntityNotFoundError",
    "EventDecodingError",
    "EventEncodingError",
    "EventNotFoundError",
    "EventStoreError",
    "FactoryError",
    "InstrumentNotFoundError",
    "IntegrityError",
    "KeyNotQuarantinedError",
    "LimitError",
    "MigrationError",
    "NotMigratedError",
    "OrderNotFoundError",
    "PortfolioNotFoundError",
    "PositionNotFoundError",
    "PreconditionError",
    "ProjectionError",
    "ProjectionLagError",
    "ProjectionVersionError",
    "QuarantinedKeysError",
    "ReadOnlyError",
    "RebuildError",
    "RepositoryError",
    "RestoredLogError",
    "ServerChangedError",
    "TimeoutError",
    "TransactionAlreadyActiveError",
    "TransactionCommitError",
    "TransactionConflictError",
    "TransactionError",
    "TransactionNotActiveError",
    "TransactionRollbackError",
    "TypeCodecError",
    "UnknownEventTypeError",
    "UnsavedChangesError",
]


# SQLSTATE classes: out of memory, disk or connections (53); operating system errors (58);
# the server accepts no writes at present (25006).
_TRANSIENT = ("53", "58", "25006")


class EventStoreError(PortableError):
    """The base of every exception that this library raises."""

    retryable: ClassVar[bool] = False
    sqlstate: str | None = None
    """The SQLSTATE of the PostgreSQL error that caused this one; None if there was none."""

    @property
    def is_transient(self) -> bool:
        """Whether the server or the network caused the error and not the request, so a worker retries."""
        return (
            self.retryable
            or isinstance(self, ConnectionError | TimeoutError)
            or (self.sqlstate or "").startswith(_TRANSIENT)
        )


class ConfigurationError(EventStoreError, ValueError):
    """A setting, an argument or an input file is wrong; the message names it and what is allowed."""


class TypeCodecError(ConfigurationError):
    """A type codec of the connection changes values of this operation; nothing was written.

    Attributes:
        types: The PostgreSQL types whose values the codec changes.
    """

    types: tuple[str, ...] = ()

    @classmethod
    def of(cls, types: Sequence[str]) -> Self:
        """Return the error for these types."""
        named = ", ".join(types) or "a type"
        error = cls(
            f"the connection has a type codec for {named}, and this operation cannot bypass it: use a "
            "DatabaseConnection (ConnectionFactory.create_connection), or a pool without that codec"
        )
        error.types = tuple(types)
        return error


class AppendTooLargeError(ConfigurationError):
    """An event, or an append, has more bytes than the log accepts; nothing was sent.

    If the events of an append are too large only together, `category` and `type` are empty, and
    `stream_id` and `version` are None.

    Attributes:
        size_bytes: The size of the event or the append.
        limit_bytes: The largest size allowed.
        category: The event's category.
        type: The event's type.
        stream_id: The event's stream.
        version: The version that the event would have had.
    """

    size_bytes: int = 0
    limit_bytes: int = 0
    category: str = ""
    type: str = ""
    stream_id: UUID | None = None
    version: int | None = None

    @classmethod
    def of_event(
        cls, category: str, type: str, stream_id: UUID, version: int, *, size_bytes: int, limit_bytes: int
    ) -> Self:
        """Return the error for one event."""
        error = cls(
            f"{category}/{type} at version {version} of stream {stream_id} has {size_bytes:,} bytes of JSON, data and metadata "
            f"together, and an event may have {limit_bytes:,} at most: store the large part elsewhere, such as in a file, "
            "and its name in the event; or split it into several events"
        )
        error.size_bytes, error.limit_bytes = size_bytes, limit_bytes
        error.category, error.type, error.stream_id, error.version = category, type, stream_id, version
        return error

    @classmethod
    def of_append(cls, events: int, *, size_bytes: int, limit_bytes: int) -> Self:
        """Return the error for the events of one append."""
        error = cls(
            f"an append of {events:,} events has {size_bytes:,} bytes, and an append may have {limit_bytes:,} at most: "
            "split it into several appends, or load a history with import_events"
        )
        error.size_bytes, error.limit_bytes = size_bytes, limit_bytes
        return error


class EventEncodingError(ConfigurationError):
    """An event would not be read back equal, type and all, so it was not appended; nothing was written.

    Attributes:
        category: The event's category.
        type: The event's type.
        reason: What is wrong with it, and what to do.
        field: The field that is wrong, such as `legs[0].price`; None if no single field is wrong.
        stream_id: The stream of the append; None if the event was only encoded.
    """

    category: str = ""
    type: str = ""
    reason: str = ""
    field: str | None = None
    stream_id: UUID | None = None

    @classmethod
    def of(
        cls,
        category: str,
        type: str,
        reason: str,
        *,
        field: str | None = None,
        stream_id: UUID | None = None,
    ) -> Self:
        """Return the error for an event."""
        stream = "" if stream_id is None else f" of stream {stream_id}"
        error = cls(f"{category}/{type}{stream} {reason}")
        error.category = category
        error.type = type
        error.reason = reason
        error.field = field
        error.stream_id = stream_id
        return error

    def of_stream(self, stream_id: UUID) -> Self:
        """Return the same error with the stream of the append."""
        return self.of(self.category, self.type, self.reason, field=self.field, stream_id=stream_id)


class PreconditionError(ConfigurationError):
    """A precondition of the database does not hold; the message says what is wrong and how to repair it.

    Attributes:
        preconditions: The names of the preconditions that do not hold, as in
            `eventstore.database.preconditions`.
        statements: The SQL statements that repair them, for an administrator to run.
    """

    preconditions: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: str, *, preconditions: Sequence[str], statements: Sequence[str] = ()) -> Self:
        """Return the error for preconditions that do not hold."""
        error = cls(message)
        error.preconditions = tuple(preconditions)
        error.statements = tuple(statements)
        return error


class EventNotFoundError(ConfigurationError):
    """The log has no event with this id or position.

    Attributes:
        event: The id or the position.
    """

    event: UUID | int | None = None

    @classmethod
    def of(cls, event: UUID | int) -> Self:
        """Return the error for an event's id or a position."""
        error = cls(f"the log has no event {event}: give the id or the position of an event")
        error.event = event
        return error


class KeyNotQuarantinedError(ConfigurationError):
    """A key is not in quarantine, or waits there at another event.

    Attributes:
        projection: The name of the projection.
        key: The key, as text.
    """

    projection: str = ""
    key: str = ""

    @classmethod
    def of(cls, projection: str, key: str) -> Self:
        """Return the error for a key of a projection."""
        error = cls(
            f"the key {key} of projection {projection} is not in quarantine: `eventstore quarantine list` shows the keys "
            "that are"
        )
        error.projection = projection
        error.key = key
        return error

    @classmethod
    def at(cls, projection: str, key: str, *, position: int, waits_at: int) -> Self:
        """Return the error for a key that waits at another event than the given one."""
        error = cls(
            f"the key {key} of projection {projection} waits at position {waits_at}, not at position {position}: look at "
            "that event before you decide on it"
        )
        error.projection = projection
        error.key = key
        return error


class DomainError(EventStoreError, ValueError):
    """A rule of an entity forbids the change; no event was emitted and the entity is unchanged.

    Attributes:
        rule: A stable name of the rule, such as `order.overfill`, so that programs can distinguish rules.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{message} [{rule}]")
        self.rule = rule


class ConnectionError(EventStoreError, builtins.ConnectionError):
    """No connection could be opened, or it was lost before a statement that could be applied was sent."""

    retryable = True


class ConnectionClosedError(ConnectionError):
    """This program has closed the `DatabaseConnection` or is closing it; nothing was sent."""

    retryable = False

    @property
    def is_transient(self) -> bool:
        """False: it stays closed."""
        return False


class ConnectionLostError(ConnectionError):
    """The connection was lost while a statement outside a transaction was running.

    A statement that writes may have been applied: check before you repeat it. A statement that only
    reads may be repeated.
    """

    retryable = False


class ConnectionRejectedError(ConnectionError):
    """The server refuses the connection: the password, role, database or encryption is wrong."""

    retryable = False


class ServerChangedError(ConnectionError):
    """The address now leads to another server than when this operation began; nothing of it was written.

    Run the same operation again from its first read. The log may no longer contain the events that
    were read before.
    """


class TimeoutError(EventStoreError, builtins.TimeoutError):
    """A time limit, which the message names, was exceeded; the statement was cancelled on the server."""


class RepositoryError(EventStoreError):
    """An operation on the log or on a read table failed."""


class LimitError(ConfigurationError, RepositoryError):
    """A limit, a time-out or a position is not a number, or is below the lowest valid value.

    Attributes:
        name: The name of the argument.
    """

    name: str = ""

    @classmethod
    def of(cls, message: str, *, name: str) -> Self:
        """Return the error for an argument."""
        error = cls(message)
        error.name = name
        return error


class EntityNotFoundError(RepositoryError):
    """No entity has this id.

    Attributes:
        entity_id: The id.
        category: The category of the entity, such as `order`.
    """

    def __init__(self, entity_id: UUID, *, category: str = "entity") -> None:
        super().__init__(f"there is no {category} with the id {entity_id}: save it first, or check the id")
        self.entity_id = entity_id
        self.category = category


class OrderNotFoundError(EntityNotFoundError):
    """No order has this id."""


class PositionNotFoundError(EntityNotFoundError):
    """No position has this id."""


class PortfolioNotFoundError(EntityNotFoundError):
    """No portfolio has this id."""


class InstrumentNotFoundError(EntityNotFoundError):
    """No instrument has this id."""


class EntityDeletedError(RepositoryError):
    """The entity was deleted, and its id cannot be used again: create a new entity.

    Attributes:
        entity_id: The id of the deleted entity.
        category: The category of the entity.
    """

    def __init__(self, entity_id: UUID, *, category: str) -> None:
        super().__init__(
            f"{category} {entity_id} was deleted and its id cannot be used again: create a new {category}"
        )
        self.entity_id = entity_id
        self.category = category


class ReadOnlyError(RepositoryError):
    """Repositories of an as-of read cannot save, update or delete."""


class ConcurrencyError(RepositoryError):
    """Another writer appended to the stream first; nothing of this append was written.

    Load the entity again and repeat the change, as `PostgreSQLTransactionManager.execute_with_retry`
    does.

    Attributes:
        stream_id: The stream of the conflict; the first one if there are several.
        expected: The version that this writer has seen.
        actual: The version of the stream; None if it is not known.
    """

    retryable = True

    def __init__(self, stream_id: UUID, *, expected: int, actual: int | None) -> None:
        has = "another version" if actual is None else f"version {actual}"
        super().__init__(
            f"stream {stream_id} has {has}, but this change was made at version {expected}: "
            "load the entity again and repeat the change"
        )
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual


class IntegrityError(RepositoryError):
    """A constraint of the database refused the statement.

    Attributes:
        constraint: The constraint's name; None if PostgreSQL did not name it.
    """

    def __init__(self, message: str, *, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint


class UnknownEventTypeError(RepositoryError):
    """The log holds an event of a type that no imported module defines.

    Attributes:
        category: The event's category.
        type: The event's type.
        stream_id: The event's stream; None if it is not known.
        position: The event's position; None if it is not known.
    """

    def __init__(
        self, category: str, type: str, *, stream_id: UUID | None = None, position: int | None = None
    ) -> None:
        super().__init__(
            f"no class is registered for the event type {printable(f'{category}/{type}')} "
            f"(stream {stream_id}, position {position}): import the module that defines it"
        )
        self.category = category
        self.type = type
        self.stream_id = stream_id
        self.position = position


class EventDecodingError(RepositoryError):
    """The stored JSON of an event does not fit its class at its schema version.

    Attributes:
        stream_id: The event's stream.
        position: The event's position.
    """

    def __init__(self, message: str, *, stream_id: UUID | None = None, position: int | None = None) -> None:
        super().__init__(f"{printable(message)} (stream {stream_id}, position {position})")
        self.stream_id = stream_id
        self.position = position


class TransactionError(EventStoreError):
    """An operation on a transaction failed."""


class TransactionAlreadyActiveError(TransactionError):
    """A transaction is open already: commit it or roll it back first."""


class TransactionNotActiveError(TransactionError):
    """No transaction is open: begin one first."""


class TransactionCommitError(TransactionError):
    """The commit failed.

    Attributes:
        outcome: `not_applied`: nothing was written. `unknown`: the answer was lost, and the outcome
            could not be found out in time; check before you repeat the change.
    """

    def __init__(self, message: str, *, outcome: Literal["not_applied", "unknown"]) -> None:
        super().__init__(message)
        self.outcome = outcome


class TransactionRollbackError(TransactionError):
    """The rollback failed; the server ends the transaction when its connection closes."""


class UnsavedChangesError(TransactionError):
    """An entity of this Unit of Work has unsaved changes, which the commit would lose.

    Nothing was sent, and the Unit of Work stays open: save the entity and commit again, drop its
    changes with `refresh`, or roll back. With `unsaved="save"` the commit saves such changes itself.

    Attributes:
        entity_id: The id of the entity; of the first one if there are several.
        category: The category of the entity.
        events: The types of the unsaved events of the entity, in order.
        changes: The category, id and event types of each entity with unsaved changes.
    """

    category: str = ""
    entity_id: UUID | None = None
    events: tuple[str, ...] = ()
    changes: tuple[tuple[str, UUID, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, changes: Sequence[tuple[str, UUID, tuple[str, ...]]]) -> Self:
        """Return the error for one or more entities, each with its category, id and event types."""
        told = [
            f"{category} {entity_id} ({', '.join(events[:5])}{', ...' if len(events) > 5 else ''})"  # noqa: PLR2004 - enough to find the line of code
            for category, entity_id, events in changes[:3]
        ]
        more = f" and {len(changes) - len(told)} more" if len(changes) > len(told) else ""
        error = cls(
            f"the commit would lose unsaved changes: {'; '.join(told)}{more}. Nothing was committed: save each entity after "
            "its last change, then commit again"
        )
        error.category, error.entity_id, error.events = changes[0]
        error.changes = tuple(changes)
        return error


class TransactionConflictError(TransactionError):
    """The server ended the transaction: serialisation failure, deadlock or lock time-out."""

    retryable = True


class RestoredLogError(EventStoreError):
    """The log lost events: some were read before, or the sequence would assign a position again.

    A restore, or a fail-over to a server that lagged behind, has lost them. Nothing was written. If
    the read tables of the database contain the lost events, run `eventstore repair`. A reader outside
    the database must begin again.

    Attributes:
        position: The highest position that was read; None if it is not known.
        end: The highest position in the log.
        readers: The readers that have read beyond the end, such as the names of projections.
    """

    position: int | None = None
    end: int | None = None
    readers: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        message: str,
        *,
        position: int | None = None,
        end: int | None = None,
        readers: Sequence[str] = (),
    ) -> Self:
        """Return the error for events that were read and are no longer in the log."""
        error = cls(message)
        error.position, error.end, error.readers = position, end, tuple(readers)
        return error


class FactoryError(EventStoreError):
    """A Unit of Work or a store could not be created."""


class MigrationError(EventStoreError):
    """A migration cannot be applied, or its file has changed since it was applied."""


class NotMigratedError(MigrationError):
    """The database lacks the tables, or has an older version of them: run `eventstore migrate`."""


class ProjectionError(EventStoreError):
    """A projection cannot continue, or cannot answer a query."""


class ProjectionLagError(ProjectionError):
    """The table lags too many events behind for a list to be corrected while it is read.

    Attributes:
        projection: The projection that lags.
        lag_events: The lag, at least, in events.
        lag_events_max: The largest lag allowed.
    """

    def __init__(self, projection: str, *, lag_events: int, lag_events_max: int, cause: str) -> None:
        super().__init__(
            f"the table of projection {projection} lags by {lag_events} events or more "
            f"(the limit is {lag_events_max}): {cause}"
        )
        self.projection = projection
        self.lag_events = lag_events
        self.lag_events_max = lag_events_max


class QuarantinedKeysError(ProjectionError):
    """Events of these keys cannot be folded, so their rows are not up to date.

    Attributes:
        projection: The projection.
        keys: The keys, as text.
    """

    def __init__(self, projection: str, keys: Sequence[str]) -> None:
        named = ", ".join(keys[:5]) + (" ..." if len(keys) > 5 else "")  # noqa: PLR2004 - enough to look up
        super().__init__(f"projection {projection} cannot fold the events of {len(keys)} key(s): {named}")
        self.projection = projection
        self.keys = tuple(keys)


class ProjectionVersionError(ProjectionError):
    """The table was built by another version of the projection: rebuild it, or run that version's code."""


class RebuildError(ProjectionError):
    """A table was not rebuilt: another rebuild is running, the proof failed, or the swap was blocked.

    The live table is unchanged.
    """


class CheckpointMovedError(ProjectionError):
    """The checkpoint is not where this worker left it: another worker now holds the projection."""

    retryable = True
