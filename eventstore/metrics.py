"""Metrics through the OpenTelemetry API (extra: `metrics`); without it nothing is imported or counted.

The gauges are read from the database only while a metric reader collects, and at most every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakSet

from eventstore.database.cancellation import end
from eventstore.errors import ConcurrencyError, ConnectionClosedError, EventStoreError
from eventstore.status import Status, read_status

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

    from eventstore.database.connection import DatabaseConnection

T = TypeVar("T")

_logger = logging.getLogger(__name__)

SAMPLE_INTERVAL_S = 5.0
"""The interval at which the gauges are read from the database while somebody collects them."""

# A metric reader that has not collected for this long counts as gone.
_ASKED_WITHIN_S = 300.0
_PROJECTION = "eventstore.projection.name"


@cache
def metrics() -> Metrics | None:
    """Return the metrics of this process, on the global meter provider; None without OpenTelemetry."""
    try:
        return Metrics()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        return None


class Metrics:
    """The instruments, and the methods that record values.

    Args:
        provider: The meter provider; None for the global one, which may also be set later.

    Raises:
        ModuleNotFoundError: OpenTelemetry is not installed.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        from opentelemetry.metrics import Observation, get_meter  # noqa: PLC0415 - an extra

        self._observation = Observation
        self._pools: WeakSet[DatabaseConnection] = WeakSet()
        self._samplers: dict[int, Sampler] = {}
        meter = get_meter("eventstore", meter_provider=provider)
        self._append_duration = meter.create_histogram(
            "eventstore.append.duration", "s", "Time of an append, from its call to its outcome"
        )
        self._append_events = meter.create_counter("eventstore.append.events", "{event}", "Appended events")
        self._conflicts = meter.create_counter(
            "eventstore.append.conflicts", "{conflict}", "Appends refused because another writer was first"
        )
        self._retries = meter.create_counter("eventstore.retries", "{retry}", "Operations that were retried")
        self._unreadable = meter.create_counter(
            "eventstore.log.unreadable", "{event}", "Unreadable events that a reader left out"
        )
        self._batch_duration = meter.create_histogram(
            "eventstore.projection.batch.duration", "s", "Time to fold and write a batch"
        )
        self._batch_size = meter.create_histogram(
            "eventstore.projection.batch.size", "{event}", "Events of a batch that the projection takes"
        )
        self._folded = meter.create_counter(
            "eventstore.projection.events", "{event}", "Events folded into the table"
        )
        self._leases = meter.create_counter(
            "eventstore.projection.lease.changes", "{change}", "Leases taken by this process"
        )
        self._observe(meter)

    def _observe(self, meter: Any) -> None:
        gauge, pool = meter.create_observable_gauge, meter.create_observable_up_down_counter
        of_each, of_log = self._of_each, self._of_log
        gauge("eventstore.projection.lag", [of_each("lag_events")], "{event}", "Positions not folded yet")
        gauge(
            "eventstore.projection.delay", [of_each("lag_s")], "s", "Age of the oldest event not folded yet"
        )
        gauge("eventstore.projection.quarantined", [of_each("quarantined")], "{key}", "Keys in quarantine")
        gauge("eventstore.log.gap.age", [of_log("gap_age_s")], "s", "Age of the gap that readers wait at")
        gauge("eventstore.log.writer.age", [of_log("writer_age_s")], "s", "Age of the oldest open writer")
        # The names are those of OpenTelemetry's semantic conventions for database clients.
        pool("db.client.connection.count", [self._counts], "{connection}", "Connections of the pool")
        pool("db.client.connection.max", [self._sizes], "{connection}", "Connections allowed")
        pool("db.client.connection.pending_requests", [self._waiting], "{request}", "Callers that wait")

    # ---- counters --------------------------------------------------------------------------------------------

    def appended(self, events: int, duration_s: float) -> None:
        """Count an append of so many events."""
        self._append_events.add(events)
        self._append_duration.record(duration_s)

    def append_failed(self, error: BaseException, duration_s: float) -> None:
        """Count an append that has raised an error, and perhaps a conflict."""
        self._append_duration.record(duration_s, {"error.type": type(error).__name__})
        if isinstance(error, ConcurrencyError):
            self.conflicted()

    def conflicted(self) -> None:
        """Count an append that was refused because another writer was first."""
        self._conflicts.add(1)

    def retried(self, what: Literal["append", "batch", "operation"]) -> None:
        """Count a retry: of an append whose answer was lost, a worker's batch, or a user's operation."""
        self._retries.add(1, {"eventstore.retry.of": what})

    def unreadable(self, error_type: str) -> None:
        """Count an unreadable event that a reader has left out."""
        self._unreadable.add(1, {"error.type": error_type})

    def folded(self, projection: str, events: int, duration_s: float) -> None:
        """Count a batch that a projection has written."""
        attributes = {_PROJECTION: projection}
        self._batch_duration.record(duration_s, attributes)
        self._batch_size.record(events, attributes)
        self._folded.add(events, attributes)

    def lease_taken(self, projection: str) -> None:
        """Count a lease that a worker of this process has taken."""
        self._leases.add(1, {_PROJECTION: projection})

    # ---- gauges ------------------------------------------------------------------------------------------------

    def watch_pool(self, connection: DatabaseConnection) -> None:
        """Report a pool for as long as it is open."""
        self._pools.add(connection)

    def watch_log(self, connection: Any) -> None:
        """Report the state of the log and the projections, for a pool whose workers run in this process."""
        if id(connection) not in self._samplers and hasattr(connection, "at_close"):
            sampler = self._samplers[id(connection)] = Sampler(connection)

            async def stop() -> None:
                self._samplers.pop(id(connection), None)
                await sampler.stop()

            connection.at_close(stop)

    def _statuses(self) -> Iterator[Status]:
        for sampler in list(self._samplers.values()):
            status = sampler.ask()
            if status is not None:
                yield status

    def _of_each(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses():
                for one in status.projections:
                    yield self._observation(getattr(one, field), {_PROJECTION: one.projection})

        return observe

    def _of_log(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses():
                yield self._observation(getattr(status, field))

        return observe

    def _counts(self, _: CallbackOptions) -> Iterable[Observation]:
        for name, now in self._pool_statistics():
            for state, count in (("idle", now.idle), ("used", now.in_use)):
                yield self._observation(count, {**name, "db.client.connection.state": state})

    def _sizes(self, _: CallbackOptions) -> Iterable[Observation]:
        for name, now in self._pool_statistics():
            yield self._observation(now.max_size, name)

    def _waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        for name, now in self._pool_statistics():
            yield self._observation(now.waiting, name)

    def _pool_statistics(self) -> Iterator[tuple[dict[str, str], Any]]:
        for pool in list(self._pools):
            if not pool.is_closed:
                name = f"{pool.config.host}:{pool.config.port}/{pool.config.database}"
                yield {"db.client.connection.pool.name": name}, pool.statistics()


class Sampler:
    """Reads the status of a database every few seconds while somebody collects it.

    Args:
        connection: The pool, of the running event loop.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._status: Status | None = None
        self._asked_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> Status | None:
        """Return the last known status and request a new one, from any thread; None before the first one."""
        self._asked_s = time.monotonic()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._start)
        return self._status

    async def stop(self) -> None:
        """Stop reading the status."""
        if self._task is not None:
            await end(self._task)

    def _start(self) -> None:
        if self._task is None and not self._connection.is_closed:
            self._task = asyncio.create_task(self._run(), name="eventstore metrics")

    async def _run(self) -> None:
        try:
            while time.monotonic() - self._asked_s < _ASKED_WITHIN_S:
                try:
                    self._status = await read_status(self._connection)
                except ConnectionClosedError:
                    return
                except EventStoreError as error:
                    # An unknown gauge is not reported; an old value would be wrong.
                    self._status = None
                    _logger.info("could not read the status of the log", exc_info=error)
                await asyncio.sleep(SAMPLE_INTERVAL_S)
        finally:
            self._task = None
