"""Leases: the right of one process to work on a row of a table, until it expires by the database's clock."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar
from uuid import uuid4

from eventstore.database.access import writing
from eventstore.database.cancellation import end, finish
from eventstore.database.error_mapping import mapped_errors
from eventstore.database.protocols import Connection
from eventstore.errors import EventStoreError, RepositoryError
from eventstore.limits import check_seconds
from eventstore.log.event_log import EventLog
from eventstore.sql import Template, fill, load, template, text_of

_logger = logging.getLogger(__name__)

_NO_RIGHT = "42501"

LEASE_S = 10.0
"""How long a lease lasts unless it is renewed: the longest that work is interrupted when its process is killed."""

_RENEWALS = 10  # per lease duration, so that other processes soon see that this one is alive


class Lease:
    """One process's right to work on a row with the columns `epoch`, `lease_owner` and `lease_expires_at`.

    It keeps processes from doing the same work. It is the epoch that prevents writes by a process that was wrongly
    presumed dead: it goes up when a lease changes hands.

    Args:
        log: The log, for its connection.
        projection: The projection's name.
        partition: The partition, if the table has a row for each.
        lease_s: Seconds until the lease expires unless it is renewed.
        version: The version of the projection's code, to add the row with.

    Attributes:
        epoch: The epoch of the row while this process holds the lease; 0 otherwise.

    Raises:
        LimitError: `lease_s` is not above 0.
    """

    table: ClassVar[str]
    """The table of the row."""

    register: ClassVar[str]
    """The statement that adds the row, unless it exists."""

    def __init__(
        self,
        log: EventLog,
        projection: str,
        partition: int | None = None,
        *,
        lease_s: float = LEASE_S,
        version: int = 1,
    ) -> None:
        self.lease_s = check_seconds("lease_s", lease_s, is_finite=True)
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self.epoch = 0
        self._was_asked_for = False
        """Whether the row may name this owner: the statement that takes the lease may be interrupted after its effect."""
        self._log = log
        self._projection = projection
        self._row = () if partition is None else (partition,)
        self._version = version

    @property
    def is_held(self) -> bool:
        """Whether it was taken and not released; it may have been lost since."""
        return self.epoch != 0

    async def take_in(self, connection: Connection) -> Any:
        """Take the lease if it is free, without waiting; return `is_free`, `position` and `epoch`, NULL if not taken.

        Raises:
            Exception: Unmapped errors of asyncpg.
        """
        arguments = (self._projection, self.owner, self.lease_s, *self._row)
        self._was_asked_for = True
        row = await connection.fetchrow(self._statement("take", connection), *arguments)
        if row is None:
            # Not before: the statement would wait for any transaction that has changed the row.
            await connection.execute(load(self.register, connection), self._projection, self._version)
            row = await connection.fetchrow(self._statement("take", connection), *arguments)
        self.epoch = 0 if row is None else row["epoch"] or 0
        self._was_asked_for = self.is_held
        return row

    async def renew_in(self, connection: Connection) -> bool:
        """Extend the lease; return whether it was still held.

        In an open transaction, no other process can take it before the transaction ends.

        Raises:
            Exception: Unmapped errors of asyncpg.
        """
        kept = await connection.fetchval(
            self._statement("renew", connection), self._projection, self.epoch, self.lease_s, *self._row
        )
        if kept is None:
            self.epoch = 0
        return kept is not None

    async def renew(self) -> bool:
        """Extend the lease; return whether it was still held.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with writing(self._log.connection) as connection:
            return await self.renew_in(connection)

    async def release(self) -> None:
        """Release the lease. If the database cannot be reached, the lease expires by itself."""
        self.epoch = 0
        if not self._was_asked_for:
            return
        with suppress(EventStoreError):
            async with writing(self._log.connection) as connection:
                await connection.execute(
                    self._statement("release", connection), self._projection, self.owner, *self._row
                )
                self._was_asked_for = False

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the lease alive for a block, and release it at the end."""
        task = asyncio.create_task(self._keep(), name=f"eventstore lease {self._projection}")
        try:
            yield
        finally:
            await finish(self._end(task))

    async def _keep(self) -> None:
        while self.is_held:
            await asyncio.sleep(self.lease_s / _RENEWALS)
            # A failed renewal is retried. If the lease is lost, the epoch refuses the next write.
            with suppress(EventStoreError):
                await self.renew()

    async def _end(self, keeping: asyncio.Task[None]) -> None:
        await end(keeping)
        await self.release()
        if not keeping.cancelled():
            keeping.result()

    def _statement(self, name: str, connection: Connection) -> str:
        return text_of(lease_statement(name, self.table), connection)


_PARTITIONED = frozenset({"projection_checkpoints"})


def lease_statement(name: str, table: str, text: str | None = None) -> Template:
    """Return the statement of a template of `eventstore/sql/leases` for the rows of a table.

    Args:
        name: `take`, `renew` or `release`.
        table: The table.
        text: The template with its header, which names the parameters; None to load the template without it.
    """
    last = {"take": 4, "renew": 4, "release": 3}[name]
    row, parameter = "projection = $1::pg_catalog.text", ""
    if table in _PARTITIONED:
        row += f" AND partition = ${last}::smallint"
        parameter = f"\n--   ${last} partition smallint"
    if text is None:
        return fill(template(f"leases/{name}"), table=table, is_row=row)
    return fill(text, table=table, is_row=row, partition=parameter)


class PartitionLease(Lease):
    """A worker's lease of a partition."""

    table = "projection_checkpoints"
    register = "projections/register"

    def __init__(
        self, log: EventLog, projection: str, partition: int, *, lease_s: float = LEASE_S, version: int = 1
    ) -> None:
        super().__init__(log, projection, partition, lease_s=lease_s, version=version)
        self._partition = partition

    async def take(self) -> tuple[int, int] | None:
        """Take the lease; return the partition's position and the epoch, or None if another worker has it.

        It never waits for another worker. If the lease has expired and its worker still has an open batch, because
        it was stopped, the session of that worker is terminated, so that the next call succeeds.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        was_held = self.is_held
        async with writing(self._log.connection) as connection:
            row = await self.take_in(connection)
            if not self.is_held:
                if row is not None and row["is_free"]:
                    await self._end_stopped(connection)
                return None
        if not was_held and self._log.metrics is not None:
            self._log.metrics.lease_taken(self._projection)
        return row["position"], self.epoch

    async def _end_stopped(self, connection: Connection) -> None:
        try:
            with mapped_errors(own_statement=True, connection=connection):
                ended = await connection.fetch(
                    load("projections/end_stopped_worker", connection), self._projection, self._partition
                )
        except RepositoryError as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            # Without the right to terminate it, the time-outs of the server and of its TCP connections end it.
            _logger.warning(
                "a stopped worker of another role still has a transaction on partition %d of projection %s: make the "
                "roles of workers members of each other, or terminate its session",
                self._partition,
                self._projection,
            )
            return
        for row in ended:
            _logger.warning(
                "terminated session %d of a stopped worker: its transaction on partition %d of projection %s outlived "
                "its lease",
                row["pid"],
                self._partition,
                self._projection,
            )
