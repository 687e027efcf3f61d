"""The lease of a rebuild: one process has it at a time, and another takes over if that process dies."""

from __future__ import annotations

import asyncio
from typing import Any

from eventstore.database.access import writing
from eventstore.database.cancellation import finish
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import RebuildError
from eventstore.log.event_log import EventLog
from eventstore.sql import load
from projections.engine.lease import LEASE_S, Lease
from projections.projection import Projection

_POLL_S = 0.1


class RebuildLease(Lease):
    """The lease of a projection's rebuild, or of its comparison with one; `take` takes it.

    Attributes:
        version: The version of the code that built the existing table.
        position: The position up to which that table was built.
        is_comparison: Whether it was built only for a comparison, so that no rebuild continues with it.
    """

    table = "projection_rebuilds"
    register = "rebuild/register"

    def __init__(self, log: EventLog, projection: Projection[Any], *, lease_s: float) -> None:
        super().__init__(log, projection.name, lease_s=lease_s, version=projection.version)
        self.version = projection.version
        self.position = 0
        self.is_comparison = False

    @classmethod
    async def take(
        cls, log: EventLog, projection: Projection[Any], *, lease_s: float = LEASE_S
    ) -> RebuildLease:
        """Take the lease, for the first time or after a process that has ended.

        It waits only for a lease that is no longer renewed to expire.

        Raises:
            LimitError: `lease_s` is not above 0.
            RebuildError: Another process has the lease and renews it.
            ConnectionError, TimeoutError: Safe to retry.
        """
        lease = cls(log, projection, lease_s=lease_s)
        try:
            await lease._take()
        except BaseException:
            await finish(lease.release())  # it may be held, if this was interrupted
            raise
        return lease

    async def _take(self) -> None:
        log, name = self._log, self._projection
        first: Any = None
        while True:
            async with writing(log.connection) as connection:
                # Read first: if the lease has expired and cannot be taken, an open transaction has locked its row.
                other = await connection.fetchrow(load("rebuild/read", connection), name)
                await self.take_in(connection)
                if self.is_held:
                    row = the_row(await connection.fetchrow(load("rebuild/read", connection), name))
                    self.version, self.position = row["version"], row["position"]
                    self.is_comparison = row["is_comparison"]
                    return
            if other is not None:
                first = first or other
                renewed = any(other[one] != first[one] for one in ("epoch", "lease_expires_at"))
                if renewed or not other["is_alive"]:
                    doing = "compared with a rebuild" if other["is_comparison"] else "rebuilt"
                    raise RebuildError(
                        f"projection {name} is being {doing} by {other['lease_owner'] or 'another process'}, "
                        f"at position {other['position']}: let it finish, or end it"
                    )
            await asyncio.sleep(_POLL_S)

    async def hold_in(self, connection: Connection) -> None:
        """Renew the lease and lock its row, in the open transaction of `connection`.

        No other process can take over before that transaction ends.

        Raises:
            RebuildError: Another process has taken over.
            Exception: Unmapped errors of asyncpg.
        """
        if not await self.renew_in(connection):
            raise taken_over(self._projection)


def taken_over(projection: str) -> RebuildError:
    """Return the error for a rebuild that another process has taken over."""
    return RebuildError(f"the rebuild of projection {projection} was taken over by another process")
