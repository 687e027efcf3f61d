"""The server behind an address, and the data that the process remembers about it: `KnownServer`.

A fail-over, a restore or a base backup can put another server behind the same address within a second.
No call fails, because the pool reconnects by itself. But the new server may lack a position that the old
server assigned, or may assign it again.

So each connection finds out at its start which server it leads to. If it is a different server, the
`generation` of the `KnownServer` rises. Code that remembers a position keeps it as `Remembered`, which is
empty in a new generation. Code that needs several statements runs in a `steady` block, in which all loans
have the same generation or fail. A restart of the same server counts as a different server, because
nothing distinguishes the two cases for certain; this only costs a new look-up.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from eventstore.database.protocols import Connection, Row, the_row
from eventstore.errors import ServerChangedError
from eventstore.sql import load

T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The identity of a server.

    Attributes:
        started_at: The time of its start, to the microsecond.
        system_identifier: The number of its data folder, set at initdb; None if the server does not
            reveal it.
        timeline: The timeline of its write-ahead log, which a promotion changes, in hexadecimal; None if
            the server does not reveal it.
        in_recovery: Whether it is a standby.
    """

    started_at: datetime
    system_identifier: int | None = None
    timeline: str | None = None
    in_recovery: bool = False

    def is_same(self, other: ServerIdentity) -> bool:
        """Whether it is the same server without a restart, as far as both identities show."""
        return self.started_at == other.started_at and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in (
                (self.system_identifier, other.system_identifier),
                (self.timeline, other.timeline),
            )
        )

    def __str__(self) -> str:
        known = [f"started at {self.started_at.isoformat()}"]
        if self.system_identifier is not None:
            known.append(f"system identifier {self.system_identifier}")
        if self.timeline is not None:
            known.append(f"timeline {int(self.timeline, 16)}")
        return ", ".join(known)


_steady: ContextVar[tuple[tuple[KnownServer, int], ...]] = ContextVar("eventstore_steady", default=())


class KnownServer:
    """The server behind one pool, as far as this process knows; code that remembers positions uses it.

    Attributes:
        generation: The number of times that another server has replaced the previous one.
        identity: The present server; None before the first connection to a primary.
        checks: The checks that a new server must pass before the library reads from it or writes to it;
            each takes a connection.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.identity: ServerIdentity | None = None
        self.wal = 0
        """The largest known amount of write-ahead log of the present server, in bytes."""
        self.checks: list[Callable[[Connection], Awaitable[None]]] = []
        self._checked = 0
        self._at_change: list[Callable[[], None]] = []

    def at_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time another server has replaced the previous one."""
        self._at_change.append(callback)

    # ---- what is learned -------------------------------------------------------------------------------------

    def connected(self, identity: ServerIdentity, *, wal: int | None, wal_before: int) -> None:
        """Record the server of a new connection.

        Args:
            identity: The server.
            wal: The bytes of write-ahead log that it has written; None if it does not reveal it.
            wal_before: The value of `wal` before the server was asked. A server that has written less is
                at an earlier point in time, like a machine that was restored from a snapshot.
        """
        if identity.in_recovery:
            return  # no position of a standby is remembered
        if not self.is_known(identity) or (wal is not None and wal < wal_before):
            self._change(identity)
            self.wal = 0
        self.wal = max(self.wal, wal or 0)

    def is_known(self, identity: ServerIdentity) -> bool:
        """Whether a server is the present one."""
        return self.identity is not None and self.identity.is_same(identity)

    def seen(self, connection: Connection, row: Row) -> None:
        """Record the server of a statement, from its columns `started_at` and `in_recovery`.

        Behind a pooler, or on a user's own pool, only the statements reveal the server. A standby may
        also be promoted while a connection to it stays open.

        Raises:
            ServerChangedError: The connection leads to the previous server.
        """
        pooled: Any = connection  # only connections of a `DatabaseConnection` have `server`
        learned: ServerIdentity | None = getattr(pooled, "server", None)
        if learned is None:
            before = self.identity
            if before is None or before.started_at != row["started_at"]:
                self._change(ServerIdentity(row["started_at"]))
        elif learned.in_recovery and not row["in_recovery"]:
            pooled.unwrapped().server = promoted = replace(learned, in_recovery=False)
            self._change(promoted, pooled.unwrapped())
        elif pooled.generation != self.generation:
            raise self.changed()

    def _change(self, identity: ServerIdentity, connection: Any = None) -> None:
        before, self.identity = self.identity, identity
        if before is not None:
            self.generation += 1
            _logger.warning(
                "another server is behind the address, or the same one was restarted; forgetting what was remembered about "
                "the previous one (before: %s; now: %s)",
                before,
                identity,
            )
        else:
            self._checked = self.generation
        if connection is not None:
            connection.generation = self.generation
        if before is not None:
            for callback in self._at_change:
                callback()

    def require(self, identity: ServerIdentity | None) -> None:
        """Check that the present server is the one that another process uses; None if that is unknown.

        Raises:
            ServerChangedError: It is a different server.
        """
        if identity is not None and not self.is_known(identity):
            raise self.changed()

    def is_left(self, connection: Connection) -> bool:
        """Whether a connection leads to a server that another one has replaced since it was lent."""
        learned = getattr(connection, "server", None)
        return learned is not None and getattr(connection, "generation", None) != self.generation

    def changed(self) -> ServerChangedError:
        """Return the error for an operation that needs the previous server."""
        return ServerChangedError(f"another server is behind the address now ({self.identity}): begin again")

    # ---- checks ----------------------------------------------------------------------------------------------

    async def check(self, connection: Connection) -> None:
        """Run the checks once on a server that has replaced another one; the first server is not checked.

        Raises:
            EventStoreError: A check failed; it runs again the next time.
        """
        generation = self.generation
        if self._checked == generation:
            return
        for one in self.checks:
            await one(connection)
        self._checked = generation

    @property
    def is_checked(self) -> bool:
        """Whether all checks have passed on the present server."""
        return self._checked == self.generation

    @contextmanager
    def being_repaired(self) -> Iterator[None]:
        """Skip the checks during a block that repairs or reports what they check."""
        generation, before = self.generation, self._checked
        self._checked = generation
        try:
            yield
        finally:
            if self._checked == generation:
                self._checked = before

    # ---- one server for several statements -------------------------------------------------------------------

    @contextmanager
    def steady(self, generation: int | None = None) -> Iterator[int]:
        """Require one generation for every loan of the block and of the tasks that it starts.

        Args:
            generation: The generation at the time when the block's input was read; None for the present
                generation.

        Raises:
            ServerChangedError: Another server has replaced that one; a loan in the block may raise it too.
        """
        if generation is None:
            generation = self.generation
        token = _steady.set((*_steady.get(), (self, generation)))
        try:
            yield generation
        finally:
            _steady.reset(token)

    @property
    def is_steady(self) -> bool:
        """Whether a loan must have a certain generation now."""
        steady = _steady.get()
        return bool(steady) and any(server is self for server, _ in steady)

    def require_steady(self) -> None:
        """Check that the present generation is that of each enclosing `steady` block.

        Raises:
            ServerChangedError: The generation differs.
        """
        for server, generation in _steady.get():
            if server is self and generation != self.generation:
                raise self.changed()

    async def require_steady_on(self, connection: Connection) -> None:
        """As `require_steady`, for a connection that was just lent; behind a pooler it asks the server.

        Raises:
            ServerChangedError: The generation differs.
            Exception: Errors of asyncpg, not mapped.
        """
        if getattr(connection, "server", None) is None:
            self.seen(
                connection, the_row(await connection.fetchrow(load("database/server_start", connection)))
            )
        self.require_steady()


class Remembered(Generic[T]):
    """A value that was learned from a server; it is empty again when another server replaces that one.

    Args:
        server: The server.
        make: Creates an empty value.
    """

    __slots__ = ("_generation", "_make", "_server", "_value")

    def __init__(self, server: KnownServer, make: Callable[[], T]) -> None:
        self._server = server
        self._make = make
        self._generation = server.generation
        self._value = make()

    @property
    def value(self) -> T:
        """The present value. After an `await` a kept reference may belong to the previous server."""
        if self._generation != self._server.generation:
            self.forget()
        return self._value

    def forget(self) -> None:
        """Reset the value to empty."""
        self._generation = self._server.generation
        self._value = self._make()


def is_same_start(row: Row, other: Any) -> bool:
    """Whether two rows with the column `started_at` come from one server without a restart between them."""
    return bool(row["started_at"] == other["started_at"])
