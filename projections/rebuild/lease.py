"""The lease to a rebuild: one process at a time, and another takes over when it has died."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from eventstore.database.access import writing
from eventstore.database.cancellation import end, finish
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError, RebuildError
from eventstore.log.event_log import EventLog
from eventstore.sql import load
from projections.projection import Projection

REBUILD_LEASE_S = 10.0
"""How long a lease lasts unless it is renewed: after so long a rebuild that was killed can be gone on with."""

_RENEWALS = 10  # in the time of a lease: so soon does a second rebuild see that the first is alive
_POLL_S = 0.1


class RebuildLease:
    """One process's lease to the rebuild of a projection.

    It keeps processes out of each other's way. What keeps one that was taken for dead from writing is the epoch.

    Attributes:
        epoch: Goes up with each process that takes over.
        version: The version of the code that built what there is.
        position: Up to where the table was built.
        events: How many events were folded for that.
        is_comparison: Whether it was built for a comparison alone, so that no rebuild goes on with it.
    """

    def __init__(self, log: EventLog, projection: Projection[Any], row: Any, *, lease_s: float) -> None:
        self.epoch: int = row["epoch"]
        self.version: int = row["version"]
        self.position: int = row["position"]
        self.events: int = row["events"]
        self.is_comparison: bool = row["is_comparison"]
        self._log = log
        self._projection = projection
        self._name = projection.name
        self._lease_s = lease_s

    @classmethod
    async def take(
        cls, log: EventLog, projection: Projection[Any], *, lease_s: float = REBUILD_LEASE_S
    ) -> RebuildLease:
        """RebuildLease a rebuild, anew or where a process that has gone has left it.

        A lease that nobody renews is waited out; one that is alive is not.

        Raises:
            RebuildError: Another process is at it.
            ConnectionError, TimeoutError: Safe to retry.
        """
        owner = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        first: Any = None
        while True:
            async with writing(log.connection) as connection:
                # Read first: one that has expired and still cannot be had is held by an open transaction.
                other = await connection.fetchrow(load("rebuild/read", connection), projection.name)
                row = await connection.fetchrow(
                    load("rebuild/take_lease", connection),
                    projection.name,
                    projection.version,
                    owner,
                    lease_s,
                )
            if row is not None:
                return cls(log, projection, row, lease_s=lease_s)
            if other is not None:
                first = first or other
                renewed = (other["epoch"], other["expires_at"]) != (first["epoch"], first["expires_at"])
                if renewed or not other["is_alive"]:
                    doing = "compared with a rebuild" if other["is_comparison"] else "rebuilt"
                    raise RebuildError(
                        f"projection {projection.name} is being {doing} by {other['owner']}, "
                        f"at position {other['position']}: let it finish, or end it"
                    )
            await asyncio.sleep(_POLL_S)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the lease alive for a block, and give it back at its end."""
        task = asyncio.create_task(self._keep(), name=f"eventstore rebuild {self._name}")
        try:
            yield
        finally:
            await finish(self._end(task))

    async def renew_in(self, connection: Connection) -> None:
        """Renew the lease and lock its row, in the open transaction of `connection`: nobody takes over until that ends.

        Raises:
            RebuildError: Another process has taken over.
            Exception: Errors of asyncpg, not mapped.
        """
        renewed = await connection.fetchval(
            load("rebuild/renew_lease", connection), self._name, self.epoch, self._lease_s
        )
        if renewed is None:
            raise taken_over(self._projection)

    async def _end(self, keeping: asyncio.Task[None]) -> None:
        await end(keeping)
        await self._release()
        if not keeping.cancelled():
            keeping.result()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS)
            # A renewal that fails is tried again; where the lease is lost, the next step is refused by its epoch.
            with suppress(EventStoreError):
                await self._run("rebuild/renew_lease", self._lease_s)

    async def _release(self) -> None:
        with suppress(EventStoreError):  # then it expires
            await self._run("rebuild/release_lease")

    async def _run(self, statement: str, *arguments: Any) -> None:
        async with writing(self._log.connection) as connection:
            await connection.execute(load(statement, connection), self._name, self.epoch, *arguments)


def taken_over(projection: Projection[Any]) -> RebuildError:
    """Return the error for a rebuild that another process has taken over."""
    return RebuildError(f"the rebuild of projection {projection.name} was taken over by another process")
