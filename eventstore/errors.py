"""Every exception that this library raises.

    EventStoreError
    ├── ConfigurationError (also ValueError)          a setting, an argument or an input file is wrong
    │   ├── AppendTooLargeError                       an event or an append is larger than PostgreSQL can take
    │   ├── EventEncodingError                        an event could not be read back, so it is not appended
    │   ├── EventNotFoundError                        the log has no event of an id or a position
    │   ├── KeyNotQuarantinedError                    a key is not in quarantine
    │   ├── TypeCodecError                            a pool of yours has the driver change values of the library's
    │   ├── LimitError (also RepositoryError)         a limit, a time-out or a position is none
    │   └── PreconditionError                         the database is not as a guarantee needs it
    ├── DomainError (also ValueError)                 a rule of an entity forbids the change
    ├── ConnectionError (also builtins)               no connection, or it was lost            retryable
    │   ├── ConnectionClosedError                     this program closed it
    │   ├── ConnectionLostError                       lost while a statement was under way
    │   ├── ConnectionRejectedError                   the server refuses this user or database
    │   └── ServerChangedError                        another server is behind the address       retryable
    ├── TimeoutError (also builtins)                  a limit in time was passed
    ├── RepositoryError                               an operation on the log or a table failed
    │   ├── EntityNotFoundError
    │   │   ├── OrderNotFoundError
    │   │   ├── PositionNotFoundError
    │   │   └── PortfolioNotFoundError
    │   ├── EntityDeletedError                        the id ended with a tombstone
    │   ├── ReadOnlyError                             the past cannot be changed
    │   ├── ConcurrencyError                          another writer was first                retryable
    │   ├── IntegrityError                            a constraint of the database refused
    │   ├── UnknownEventTypeError                     the log holds a type that the code lacks
    │   └── EventDecodingError                        stored JSON does not fit its event class
    ├── TransactionError
    │   ├── TransactionAlreadyActiveError
    │   ├── TransactionNotActiveError
    │   ├── TransactionCommitError                    outcome: "not_applied" or "unknown"
    │   ├── TransactionRollbackError
    │   ├── UnsavedChangesError                       a commit would lose changes of an entity
    │   └── TransactionConflictError                  serialisation failure, deadlock, lock    retryable
    ├── RestoredLogError                              the log lost events that were read from it
    ├── FactoryError                                  a Unit of Work could not be made
    ├── MigrationError                                the schema is not what the code needs
    │   └── NotMigratedError
    └── ProjectionError
        ├── ProjectionLagError                        a list cannot be corrected in bounded time
        ├── QuarantinedKeysError                      a row's later events cannot be folded
        ├── ProjectionVersionError                    the table was built by another version of the code
        ├── RebuildError                              a table was not rebuilt; the live one is as it was
        └── CheckpointMovedError                      another worker holds this projection     retryable

`retryable` says: the change is known not to have been applied, and the same operation, run again from its
first read, may succeed.

Each error can be pickled and copied with its message and attributes, and so can errors that are derived from these: see
`PortableError`.
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


# Classes of SQLSTATE: no memory, disk or connection left; the operating system fails; the server takes no writes just now.
_TRANSIENT = ("53", "58", "25006")


class EventStoreError(PortableError):
    """The root of the tree: catch it to catch all that this library raises."""

    retryable: ClassVar[bool] = False
    sqlstate: str | None = None
    """The SQLSTATE of PostgreSQL's error, where one was the cause."""

    @property
    def is_transient(self) -> bool:
        """Whether the server or the network is in trouble, and not what was asked: a worker waits and tries again."""
        return (
            self.retryable
            or isinstance(self, ConnectionError | TimeoutError)
            or (self.sqlstate or "").startswith(_TRANSIENT)
        )


class ConfigurationError(EventStoreError, ValueError):
    """A setting, an argument or an input file is wrong; the message names it and what is allowed."""


class TypeCodecError(ConfigurationError):
    """A type codec of a connection changes values that this operation passes to the driver; nothing was written.

    Attributes:
        types: The types whose values come back changed.
    """

    types: tuple[str, ...] = ()

    @classmethod
    def of(cls, types: Sequence[str]) -> Self:
        """Return the error for these types."""
        named = ", ".join(types) or "a type"
        error = cls(
            f"the connection has a type codec for {named}, and this operation cannot go past it: use a "
            "DatabaseConnection (ConnectionFactory.create_connection) for it, or a pool without that codec"
        )
        error.types = tuple(types)
        return error


class AppendTooLargeError(ConfigurationError):
    """An event, or an append, has more bytes than the log takes; nothing was sent.

    Attributes:
        size_bytes: How many it has.
        limit_bytes: How many it may have.
        category: The event's category; empty where all events of the append are too large together.
        type: The event's type; empty as well then.
        stream_id: The event's stream; None then.
        version: The version that the event was to have; None then.
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
            f"together, and an event has {limit_bytes:,} at most: keep the large part elsewhere, such as in a file, and "
            "its name in the event; or make several events of it"
        )
        error.size_bytes, error.limit_bytes = size_bytes, limit_bytes
        error.category, error.type, error.stream_id, error.version = category, type, stream_id, version
        return error

    @classmethod
    def of_append(cls, events: int, *, size_bytes: int, limit_bytes: int) -> Self:
        """Return the error for the events of one append."""
        error = cls(
            f"an append of {events:,} events has {size_bytes:,} bytes, and an append has {limit_bytes:,} at most: make several "
            "appends of it, or load a history with import_events"
        )
        error.size_bytes, error.limit_bytes = size_bytes, limit_bytes
        return error


class EventEncodingError(ConfigurationError):
    """An event is not appended, since it would not be read back equal, type and all; nothing was written.

    Attributes:
        category: The event's category.
        type: The event's type.
        reason: What is wrong with it, and what to do.
        field: The field that is wrong, such as `legs[0].price`; None where it is not one field.
        stream_id: The stream that it was to be appended to; None where it was not appended, but only encoded.
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
        """Return the same error with the stream that the event was to be appended to."""
        return self.of(self.category, self.type, self.reason, field=self.field, stream_id=stream_id)


class PreconditionError(ConfigurationError):
    """The database is not as a guarantee of the store needs it; the message says what is wrong, and what repairs it.

    Attributes:
        preconditions: The names of the preconditions that do not hold, as in `eventstore.database.preconditions`.
        statements: The statements of SQL that repair them, for an administrator to run.
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
    """The log has no event of this id or position.

    Attributes:
        event: What was asked for.
    """

    event: UUID | int | None = None

    @classmethod
    def of(cls, event: UUID | int) -> Self:
        """Return the error for an event's id, or a position."""
        error = cls(f"the log has no event {event}: give an event's id or its position")
        error.event = event
        return error


class KeyNotQuarantinedError(ConfigurationError):
    """A key is not in quarantine.

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
            f"the key {key} of projection {projection} is not in quarantine: `eventstore quarantine list` shows what is"
        )
        error.projection = projection
        error.key = key
        return error


class DomainError(EventStoreError, ValueError):
    """A rule of an entity forbids the change; nothing was emitted and the entity is as it was.

    Attributes:
        rule: A stable name of the rule, such as `order.overfill`, for programs to tell rules apart.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{message} [{rule}]")
        self.rule = rule


class ConnectionError(EventStoreError, builtins.ConnectionError):
    """No connection could be had, or it was lost before anything was sent that could have been applied."""

    retryable = True


class ConnectionClosedError(ConnectionError):
    """The `DatabaseConnection` was closed by this program, or is being closed: nothing was sent."""

    retryable = False


class ConnectionLostError(ConnectionError):
    """The connection was lost while a statement outside a transaction was under way.

    A statement that writes may have been applied: look before anything is repeated. One that only reads
    may be repeated.
    """

    retryable = False


class ConnectionRejectedError(ConnectionError):
    """The server was reached and refuses: the password, the role, the database or the encryption is wrong."""

    retryable = False


class ServerChangedError(ConnectionError):
    """Another server is behind the address than the one that this operation has begun on; nothing of it was written.

    The same operation succeeds when it is run again from its first read. What was read before may not be in the log any more.
    """


class TimeoutError(EventStoreError, builtins.TimeoutError):
    """A limit in time was passed; the message names the limit. The statement was cancelled on the server."""


class RepositoryError(EventStoreError):
    """An operation on the log or on a read table failed."""


class LimitError(ConfigurationError, RepositoryError):
    """A limit, a time-out or a position is not one: it is below the lowest that makes sense, or no number.

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
        entity_id: The id that was asked for.
        category: Its category, such as `order`.
    """

    def __init__(self, entity_id: UUID, *, category: str = "entity") -> None:
        super().__init__(f"no {category} has the id {entity_id}: save it first, or look for a wrong id")
        self.entity_id = entity_id
        self.category = category


class OrderNotFoundError(EntityNotFoundError):
    """No order has this id."""


class PositionNotFoundError(EntityNotFoundError):
    """No position has this id."""


class PortfolioNotFoundError(EntityNotFoundError):
    """No portfolio has this id."""


class EntityDeletedError(RepositoryError):
    """The id was deleted, and a deleted id is not used again: make a new entity.

    Attributes:
        entity_id: The id that was deleted.
        category: Its category.
    """

    def __init__(self, entity_id: UUID, *, category: str) -> None:
        super().__init__(f"{category} {entity_id} was deleted and its id is not used again: make a new one")
        self.entity_id = entity_id
        self.category = category


class ReadOnlyError(RepositoryError):
    """The repositories of a point in time of the past do not save, update or delete."""


class ConcurrencyError(RepositoryError):
    """Another writer appended to the stream first; nothing of this append was written.

    Load the entity again and repeat the change, as `PostgreSQLTransactionManager.execute_with_retry` does.

    Attributes:
        stream_id: The stream of the conflict (the first one, where there are several).
        expected: The version that this writer had seen.
        actual: The version that the stream has; None where it could not be told.
    """

    retryable = True

    def __init__(self, stream_id: UUID, *, expected: int, actual: int | None) -> None:
        has = "another version" if actual is None else f"version {actual}"
        super().__init__(
            f"stream {stream_id} has {has}, this change was made at version {expected}: "
            "load it again and repeat the change"
        )
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual


class IntegrityError(RepositoryError):
    """A constraint of the database refused the statement.

    Attributes:
        constraint: The constraint's name; None where PostgreSQL named none.
    """

    def __init__(self, message: str, *, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint


class UnknownEventTypeError(RepositoryError):
    """The log holds an event of a type that no imported module defines.

    Attributes:
        category: The event's category.
        type: The event's type.
        stream_id: Its stream; None where it is not known.
        position: Its position; None where it is not known.
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
        position: Its position.
    """

    def __init__(self, message: str, *, stream_id: UUID | None = None, position: int | None = None) -> None:
        super().__init__(f"{printable(message)} (stream {stream_id}, position {position})")
        self.stream_id = stream_id
        self.position = position


class TransactionError(EventStoreError):
    """A transaction could not do what was asked of it."""


class TransactionAlreadyActiveError(TransactionError):
    """A transaction is open already: commit it or roll it back first."""


class TransactionNotActiveError(TransactionError):
    """No transaction is open: begin one first."""


class TransactionCommitError(TransactionError):
    """The commit failed.

    Attributes:
        outcome: `not_applied`: nothing was written. `unknown`: the answer was lost and could not be
            had again in time; look before anything is repeated.
    """

    def __init__(self, message: str, *, outcome: Literal["not_applied", "unknown"]) -> None:
        super().__init__(message)
        self.outcome = outcome


class TransactionRollbackError(TransactionError):
    """The roll-back failed; the server ends the transaction when its connection closes."""


class UnsavedChangesError(TransactionError):
    """An entity that the Unit of Work has loaded or saved was changed and not saved: the commit would lose the change.

    Nothing was sent, and the Unit of Work goes on: save the entity and commit again, or drop its changes with
    `refresh`, or roll back. With `unsaved="save"` the commit saves such changes itself.

    Attributes:
        entity_id: The entity; the first one, where there are several.
        category: Its category.
        events: The types of its events that were not saved, in order.
        changes: The category, id and event types of each entity with such changes.
    """

    category: str = ""
    entity_id: UUID | None = None
    events: tuple[str, ...] = ()
    changes: tuple[tuple[str, UUID, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, changes: Sequence[tuple[str, UUID, tuple[str, ...]]]) -> Self:
        """Return the error for one or more entities, each with its category, id and the types of its events."""
        told = [
            f"{category} {entity_id} ({', '.join(events[:5])}{', ...' if len(events) > 5 else ''})"  # noqa: PLR2004 - enough to find the line of code
            for category, entity_id, events in changes[:3]
        ]
        more = f" and {len(changes) - len(told)} more" if len(changes) > len(told) else ""
        error = cls(
            f"the commit would lose changes that were not saved: {'; '.join(told)}{more}. Save each entity after its "
            "last change, then commit again; nothing was committed"
        )
        error.category, error.entity_id, error.events = changes[0]
        error.changes = tuple(changes)
        return error


class TransactionConflictError(TransactionError):
    """The server ended the transaction for another's sake: serialisation failure, deadlock or lock time-out."""

    retryable = True


class RestoredLogError(EventStoreError):
    """The log lacks what was read from it, or its sequence would assign a position again: events were lost.

    A restore has lost them, or a fail-over to a server that lagged behind. Nothing was written. Where the database itself
    has read them, as its read tables have, `eventstore repair` puts that right; a reader outside begins again.

    Attributes:
        position: The highest position that was read; None where none is known.
        end: The highest position that the log has.
        readers: What has read it, such as the names of projections.
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
        """Return the error for what was read and is not in the log."""
        error = cls(message)
        error.position, error.end, error.readers = position, end, tuple(readers)
        return error


class FactoryError(EventStoreError):
    """A Unit of Work or a store could not be made."""


class MigrationError(EventStoreError):
    """A migration cannot be applied, or its file is not the one that was."""


class NotMigratedError(MigrationError):
    """The database lacks the tables, or their newest version: run `eventstore migrate`."""


class ProjectionError(EventStoreError):
    """A projection cannot go on, or cannot answer."""


class ProjectionLagError(ProjectionError):
    """Too many events are not folded into the table for a list to be corrected while it is read.

    Attributes:
        projection: The projection that lags.
        lag_events: How many events it lags, at least.
        lag_events_max: The limit.
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
    """The table was built by another version of the projection than the code's: rebuild it, or use the other code."""


class RebuildError(ProjectionError):
    """A table was not rebuilt: another rebuild is under way, the proof failed, or the swap is held up.

    The live table is as it was.
    """


class CheckpointMovedError(ProjectionError):
    """The checkpoint is not where this worker left it: another worker has the projection."""

    retryable = True
