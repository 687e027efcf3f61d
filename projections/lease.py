"""The lease of a lane: one worker at a time, by the database's clock."""

from __future__ import annotations

import os
import socket
from uuid import uuid4

from eventstore.database.error_mapping import mapped_errors
from eventstore.errors import EventStoreError
from eventstore.log.event_log import EventLog
from eventstore.sql import load

__all__ = ["LEASE_S", "Lease"]

LEASE_S = 10.0
"""For how long a lease lasts unless it is renewed: the longest that a lane stands still when its worker is killed."""


class Lease:
    """One worker's claim to a lane.

    It keeps workers out of each other's way; what keeps them from writing twice is the checkpoint's epoch, which
    goes up when a lease changes hands.

    Args:
        log: The log, for its connection.
        projection: The projection's name.
        lane: The lane.
        lease_s: Seconds until it expires unless it is renewed.
    """

    def __init__(self, log: EventLog, projection: str, lane: int, *, lease_s: float = LEASE_S) -> None:
        self.lease_s = lease_s
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self.epoch: int | None = None
        self._log = log
        self._projection = projection
        self._lane = lane

    @property
    def is_held(self) -> bool:
        """Whether it was taken and not given back; it may have been lost since."""
        return self.epoch is not None

    async def take(self) -> tuple[int, int] | None:
        """Take the lease; return the lane's position and the epoch, or None where another worker has it.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with self._log.connection.acquire() as connection:
            with mapped_errors(own_statement=True, connection=connection):
                await connection.execute(load("projections/register"), self._projection)
                row = await connection.fetchrow(
                    load("projections/take_lease"), self._projection, self._lane, self.owner, self.lease_s
                )
        if row is None:
            self.epoch = None
            return None
        self.epoch = row["epoch"]
        return row["position"], row["epoch"]

    async def renew(self) -> bool:
        """Hold the lease for longer; return whether it was still held.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with self._log.connection.acquire() as connection:
            with mapped_errors(own_statement=True, connection=connection):
                kept = await connection.fetchval(
                    load("projections/renew_lease"), self._projection, self._lane, self.epoch, self.lease_s
                )
        if kept is None:
            self.epoch = None
        return kept is not None

    async def release(self) -> None:
        """Give the lease back; where the database cannot be reached, it expires by itself."""
        epoch, self.epoch = self.epoch, None
        if epoch is None:
            return
        try:
            async with self._log.connection.acquire() as connection:
                with mapped_errors(own_statement=True, connection=connection):
                    await connection.execute(
                        load("projections/release_lease"), self._projection, self._lane, epoch
                    )
        except EventStoreError:
            return
