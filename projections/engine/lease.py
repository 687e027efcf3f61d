"""The lease of a partition: one worker at a time, by the database's clock."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any
from uuid import uuid4

from eventstore.database.access import writing
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError, RepositoryError
from eventstore.limits import check_seconds
from eventstore.log.event_log import EventLog
from eventstore.sql import load

_logger = logging.getLogger(__name__)

_NO_RIGHT = "42501"

LEASE_S = 10.0
"""For how long a lease lasts unless it is renewed: the longest that a partition stands still when its worker is killed."""


class Lease:
    """One worker's claim to a partition.

    It keeps workers out of each other's way; what keeps them from writing twice is the checkpoint's epoch, which
    goes up when a lease changes hands.

    Args:
        log: The log, for its connection.
        projection: The projection's name.
        partition: The partition.
        lease_s: Seconds until it expires unless it is renewed.
        version: The version of the projection's code, to register it with.
    """

    def __init__(
        self, log: EventLog, projection: str, partition: int, *, lease_s: float = LEASE_S, version: int = 1
    ) -> None:
        self.lease_s = check_seconds("lease_s", lease_s, is_finite=True)
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self.epoch: int | None = None
        self._log = log
        self._projection = projection
        self._partition = partition
        self._version = version

    @property
    def is_held(self) -> bool:
        """Whether it was taken and not given back; it may have been lost since."""
        return self.epoch is not None

    async def take(self) -> tuple[int, int] | None:
        """Take the lease; return the partition's position and the epoch, or None where another worker has it.

        It never waits for another worker. Where the lease has expired and its worker still holds a batch open, as one does
        that was stopped, its session is ended, so that the next call succeeds.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with writing(self._log.connection) as connection:
            row = await self._try(connection)
            if row is None:
                # Only now: it would wait for the transaction of whoever has changed the row.
                await connection.execute(
                    load("projections/register", connection), self._projection, self._version
                )
                row = await self._try(connection)
            if row is None or row["epoch"] is None:
                self.epoch = None
                if row is not None and row["is_free"]:
                    await self._end_stopped(connection)
                return None
        if self.epoch is None and self._log.metrics is not None:
            self._log.metrics.lease_taken(self._projection)
        self.epoch = row["epoch"]
        return row["position"], row["epoch"]

    async def _try(self, connection: Connection) -> Any:
        return await connection.fetchrow(
            load("projections/take_lease", connection),
            self._projection,
            self._partition,
            self.owner,
            self.lease_s,
        )

    async def _end_stopped(self, connection: Connection) -> None:
        try:
            with mapped_errors(own_statement=True, connection=connection):
                ended = await connection.fetch(
                    load("projections/end_stopped_worker", connection), self._projection, self._partition
                )
        except RepositoryError as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            # Without the right to end it, the time-outs of the server and of its TCP connections do.
            _logger.warning(
                "a stopped worker of another role holds partition %d of projection %s open: give the roles of workers "
                "membership in each other, or end its session",
                self._partition,
                self._projection,
            )
            return
        for row in ended:
            _logger.warning(
                "the session %d of a stopped worker was ended: it held partition %d of projection %s open past its lease",
                row["pid"],
                self._partition,
                self._projection,
            )

    async def renew(self) -> bool:
        """Hold the lease for longer; return whether it was still held.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with writing(self._log.connection) as connection:
            kept = await connection.fetchval(
                load("projections/renew_lease", connection),
                self._projection,
                self._partition,
                self.epoch,
                self.lease_s,
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
            async with writing(self._log.connection) as connection:
                await connection.execute(
                    load("projections/release_lease", connection),
                    self._projection,
                    self._partition,
                    epoch,
                )
        except EventStoreError:
            return
