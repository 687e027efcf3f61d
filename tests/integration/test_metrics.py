"""Each metric is provoked, and has the value that it must have."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConcurrencyError
from eventstore.log.records import to_columns
from eventstore.log.shared import log_of
from eventstore.metrics import Metrics
from eventstore.repositories import (
    PostgreSQLTransactionManager,
    PostgreSQLUnitOfWorkFactory,
    transaction_manager,
)
from eventstore.store import EventStore
from projections import ProjectionWorker, run
from projections.engine.progress import list_partitions
from tests.entities import started, tuned
from tests.failing_projection import Spoilt, spoilt_table
from tests.long_unit_of_work import patient_unit_of_work
from tests.relay import Relay
from tests.running_workers import place
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig

import pytest_asyncio


class Measured:
    """A store whose metrics a test reads."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        self.metrics = Metrics(self.provider)
        self.metrics.watch_pool(store.connection)
        store.log.metrics = self.metrics

    def points(self, name: str) -> list[Any]:
        """The data points of a metric now."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def unit(self, name: str) -> str:
        """The unit of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return next(one.unit or "" for one in metrics if one.name == name)

    def value(self, name: str, **attributes: str) -> Any:
        """The value of a metric at these attributes, dots written as double underscores; None if it has none."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        found = [point for point in self.points(name) if wanted.items() <= dict(point.attributes).items()]
        assert len(found) <= 1
        return found[0].value if found else None


@pytest_asyncio.fixture
async def measured(store: EventStore) -> AsyncIterator[Measured]:
    """A store on a fresh database, with metrics of its own."""
    one = Measured(store)
    yield one
    one.provider.shutdown()


async def test_appends(measured: Measured):
    """Appends, their events and times are counted, a conflict once and by its error, also within a transaction."""
    stream = started(tunings=2)
    await measured.store.log.append(stream)
    await measured.store.log.append(started())
    with pytest.raises(ConcurrencyError):
        await measured.store.log.append(tuned(stream.stream_id, 1, 5))
    assert measured.value("eventstore.append.events") == 4
    assert measured.value("eventstore.append.conflicts") == 1
    async with measured.store.connection.acquire() as connection:
        with pytest.raises(ConcurrencyError):
            async with connection.transaction():
                await measured.store.log.append_in(
                    connection, to_columns(tuned(stream.stream_id, 1, 5).staged({}))
                )
    assert measured.value("eventstore.append.conflicts") == 2
    good, bad = sorted(measured.points("eventstore.append.duration"), key=lambda point: -point.count)
    assert (good.count, dict(good.attributes)) == (2, {})
    assert (bad.count, dict(bad.attributes)) == (1, {"error.type": "ConcurrencyError"})
    assert 0 < good.sum < 60
    assert measured.unit("eventstore.append.duration") == "s"


async def test_retries(migrated_config: DatabaseConfig, measured: Measured, monkeypatch: pytest.MonkeyPatch):
    """A lost answer, a batch that another worker was first with and an operation run again are told apart."""
    store = measured.store
    if migrated_config.host.startswith("/"):
        async with Relay(migrated_config) as relay, EventStore.open(relay.config(), workers=False) as lossy:
            log_of(lossy.connection).metrics = measured.metrics
            relay.lose_after = b"MARKED"
            await lossy.log.append(started("MARKED"))
        assert measured.value("eventstore.retries", eventstore__retry__of="append") == 1

    monkeypatch.setattr(transaction_manager, "metrics", lambda: measured.metrics)
    manager = PostgreSQLTransactionManager(PostgreSQLUnitOfWorkFactory(store.connection, workers=False))
    calls = 0

    async def operation(_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConcurrencyError(started().stream_id, expected=1, actual=2)

    await manager.execute_with_retry(operation, backoff_factor=0)
    assert measured.value("eventstore.retries", eventstore__retry__of="operation") == 2

    await spoilt_table(store)
    async with run(store.connection, [Spoilt()]) as here:
        await place(store, 1)
        await here.wait_for(await store.log.head())
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projection_checkpoints SET epoch = epoch + 1")
        await place(store, 1)
        await here.wait_for(await store.log.head())
    assert measured.value("eventstore.retries", eventstore__retry__of="batch") == 1


async def test_batches_and_leases(measured: Measured):
    """Each batch is counted once with its events and its time; each lease once when it is taken."""
    store = measured.store
    await spoilt_table(store)
    await place(store, *range(1, 6))
    async with run(store.connection, [Spoilt()], partitions=2) as here:
        await here.wait_for(5)
        await until(lambda: all_leased(store))
    assert measured.value("eventstore.projection.events", **named("spoilt")) == 5
    (sizes,) = measured.points("eventstore.projection.batch.size")
    (times,) = measured.points("eventstore.projection.batch.duration")
    assert (sizes.sum, sizes.max) == (5, 5)
    assert times.count == sizes.count == 2
    assert 0 < times.sum < 60
    assert measured.value("eventstore.projection.lease.changes", **named("spoilt")) == 2


async def test_lag_and_quarantine(measured: Measured, monkeypatch: pytest.MonkeyPatch):
    """The lag is that of the database, in events and seconds; keys in quarantine are counted."""
    store = measured.store
    monkeypatch.setenv("SPOILT_AT", "13")
    await spoilt_table(store)
    await place(store, 1, 13)
    await ProjectionWorker(store.log, Spoilt()).catch_up(2)
    await place(store, 1, 1, 1)
    measured.metrics.watch_log(store.connection)
    await until(lambda: measured.value("eventstore.projection.lag", **named("spoilt")) == 3)
    assert 0 < measured.value("eventstore.projection.delay", **named("spoilt")) < 60
    assert measured.value("eventstore.projection.quarantined", **named("spoilt")) == 1
    assert measured.value("eventstore.log.gap.age") == 0
    assert measured.value("eventstore.log.writer.age") == 0
    assert measured.unit("eventstore.projection.lag") == "{event}"


async def test_open_writers_and_gaps(measured: Measured):
    """A transaction with an event that others wait for shows as an open writer and, once passed, as a gap."""
    store = measured.store
    await spoilt_table(store)
    await place(store, 1)
    await ProjectionWorker(store.log, Spoilt()).catch_up(1)
    async with patient_unit_of_work(store) as uow:
        await uow.orders.save_order(Order.create_market_order("A", Decimal(1), OrderSide.BUY))
        await uow.flush()
        await place(store, 2)
        measured.metrics.watch_log(store.connection)
        await until(lambda: (measured.value("eventstore.log.writer.age") or 0) > 0)
        assert 0 < measured.value("eventstore.log.gap.age") < 60


async def test_pool(measured: Measured):
    """Connections in use and idle, the limit and who waits, by the names of the semantic conventions."""
    connection = measured.store.connection
    async with connection.acquire(), connection.acquire():
        used = measured.value("db.client.connection.count", db__client__connection__state="used")
        assert used == 2
    assert measured.value("db.client.connection.count", db__client__connection__state="used") == 0
    assert measured.value("db.client.connection.max") == connection.config.max_pool_size
    assert measured.value("db.client.connection.pending_requests") == 0


def test_without_opentelemetry():
    """Where it is not installed nothing is imported, and there are no metrics."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import eventstore, eventstore.metrics\n"
        "assert eventstore.metrics.metrics() is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def named(projection: str) -> dict[str, str]:
    """The attribute of a projection."""
    return {"eventstore__projection__name": projection}


async def all_leased(store: EventStore) -> bool:
    """Whether each partition has a worker."""
    return all(partition["lease_owner"] for partition in await list_partitions(store.log, "spoilt"))
