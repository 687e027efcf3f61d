"""Which server is behind an address, and what becomes of that which was remembered of the one before: `KnownServer`.

A fail-over, a restore or a base backup can put another server behind the same address within a second. No call fails:
the pool connects again by itself. But a position that the old server had given may not be there, or may be given again.

So each connection learns at its start which server it leads to. When that is another one than before, the `generation`
of the `KnownServer` rises. Whatever remembers a position keeps it as `Remembered`, which is empty in a new generation;
whatever takes several statements runs in a `steady` block, whose loans are of one generation or fail. A restart of the
same server is taken for another server, since nothing tells the two apart for certain; it costs a look.
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
    """What tells one server from another.

    Attributes:
        started_at: When it was started, to the microsecond.
        system_identifier: The number that its data folder was made with; None where it does not say.
        timeline: The timeline of its write-ahead log, which a promotion changes, in hexadecimal; None where it does not say.
        in_recovery: Whether it is a standby.
    """

    started_at: datetime
    system_identifier: int | None = None
    timeline: str | None = None
    in_recovery: bool = False

    def is_same(self, other: ServerIdentity) -> bool:
        """Whether it is the same server, without a restart between, as far as both say."""
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
    """The server behind one pool, as far as this process knows; everything that remembers positions asks it.

    Attributes:
        generation: How often another server has taken the place of the one before.
        identity: The server of now; None before the first connection to a primary.
        checks: What has to hold on a new server before anything is read from it or written to it; each is given a connection.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.identity: ServerIdentity | None = None
        self.wal = 0
        """The most bytes of write-ahead log that the server of now is known to have written."""
        self.checks: list[Callable[[Connection], Awaitable[None]]] = []
        self._checked = 0
        self._at_change: list[Callable[[], None]] = []

    def at_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time another server has taken the place of the one before."""
        self._at_change.append(callback)

    # ---- what is learned -------------------------------------------------------------------------------------

    def connected(self, identity: ServerIdentity, *, wal: int | None, wal_before: int) -> None:
        """Take note of what a new connection has learned.

        Args:
            identity: The server.
            wal: How much write-ahead log it has written; None where it does not say.
            wal_before: What `wal` was when it was asked: a server that has written less now is at an earlier point in time, as a
                machine is that was put back to a snapshot.
        """
        if identity.in_recovery:
            return  # no position is remembered of a standby
        if not self.is_known(identity) or (wal is not None and wal < wal_before):
            self._change(identity)
            self.wal = 0
        self.wal = max(self.wal, wal or 0)

    def is_known(self, identity: ServerIdentity) -> bool:
        """Whether a server is the one of now."""
        return self.identity is not None and self.identity.is_same(identity)

    def seen(self, connection: Connection, row: Row) -> None:
        """Take note of what a statement has said of its server, in the columns `started_at` and `in_recovery`.

        Behind a pooler, or on a pool of a user's own, it is the statements that tell; and a standby may be made the primary
        under a connection that lives on.

        Raises:
            ServerChangedError: The connection leads to the server that was there before.
        """
        pooled: Any = connection  # one of a `DatabaseConnection` remembers more, and no other has `server`
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
                "another server is behind the address, or the same was restarted: what was remembered of the one before is "
                "forgotten (before: %s; now: %s)",
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
        """Check that it is the server that another process works with; None: that one does not know.

        Raises:
            ServerChangedError: It is another one.
        """
        if identity is not None and not self.is_known(identity):
            raise self.changed()

    def is_left(self, connection: Connection) -> bool:
        """Whether a connection leads to a server that another one has replaced since it was lent."""
        learned = getattr(connection, "server", None)
        return learned is not None and getattr(connection, "generation", None) != self.generation

    def changed(self) -> ServerChangedError:
        """Return the error for who needs the server that was there before."""
        return ServerChangedError(f"another server is behind the address now ({self.identity}): begin again")

    # ---- what holds on it ------------------------------------------------------------------------------------

    async def check(self, connection: Connection) -> None:
        """Let the checks look at a server that has taken another's place, once; on the first server nothing is done.

        Raises:
            EventStoreError: One does not hold; it is looked at again the next time.
        """
        generation = self.generation
        if self._checked == generation:
            return
        for one in self.checks:
            await one(connection)
        self._checked = generation

    @property
    def is_checked(self) -> bool:
        """Whether `check` has nothing to do."""
        return self._checked == self.generation

    @contextmanager
    def being_repaired(self) -> Iterator[None]:
        """Leave the checks out for a block that makes what they look at right, or says what is wrong with it."""
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
        """Have every loan of the block, and of the tasks that it starts, be of one generation.

        Args:
            generation: The generation that was current when what the block works with was read; None: that of now.

        Raises:
            ServerChangedError: Another server has taken the place of that one; also at a loan in the block.
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
        """Whether a loan of now has to be of a certain generation."""
        steady = _steady.get()
        return bool(steady) and any(server is self for server, _ in steady)

    def require_steady(self) -> None:
        """Check that the generation of now is that of each `steady` block around.

        Raises:
            ServerChangedError: It is not.
        """
        for server, generation in _steady.get():
            if server is self and generation != self.generation:
                raise self.changed()

    async def require_steady_on(self, connection: Connection) -> None:
        """As `require_steady`, of a connection that has just been lent; behind a pooler its server is asked.

        Raises:
            ServerChangedError: It is not.
            Exception: Errors of asyncpg, not mapped.
        """
        if getattr(connection, "server", None) is None:
            self.seen(
                connection, the_row(await connection.fetchrow(load("database/server_start", connection)))
            )
        self.require_steady()


class Remembered(Generic[T]):
    """What was learned from a server; empty again when another one has taken its place.

    Args:
        server: The server.
        make: Makes an empty value.
    """

    __slots__ = ("_generation", "_make", "_server", "_value")

    def __init__(self, server: KnownServer, make: Callable[[], T]) -> None:
        self._server = server
        self._make = make
        self._generation = server.generation
        self._value = make()

    @property
    def value(self) -> T:
        """The value of now. Who keeps it across an `await` may hold that of the server before, which nobody else sees."""
        if self._generation != self._server.generation:
            self.forget()
        return self._value

    def forget(self) -> None:
        """Make it empty."""
        self._generation = self._server.generation
        self._value = self._make()


def is_same_start(row: Row, other: Any) -> bool:
    """Whether two rows with the column `started_at` are of one server, without a restart between them."""
    return bool(row["started_at"] == other["started_at"])
