"""A hot standby: what it has may be old, so nothing reads it by accident; once promoted it is the primary."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory, MigrationManager, PostgreSQLAdapter
from eventstore.database.preconditions import Level, require_preconditions
from eventstore.errors import ConfigurationError, ConnectionError, EventStoreError, PreconditionError
from eventstore.log import EventLog
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from tests.entities import started, tuned
from tests.relay import Relay
from tests.running_workers import has_folded, place, running
from tests.servers import Server, Standby
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def primary() -> Iterator[Server]:
    """The server that is written to."""
    with Server() as server:
        server.set_hba("local all all trust", "local replication all trust")
        server.reload()
        yield server


async def test_a_standby_is_refused_unless_it_is_asked_for_and_used_once_promoted(primary: Server):
    """Refused by default; with `any` only the log in order is refused; after the promotion no position comes twice."""
    async with await ConnectionFactory.create_connection(primary.config()) as connection:
        await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_latest()
        log = EventLog(connection)
        stream = started("before", tunings=2)
        positions = (await log.append(stream)).positions
        with await asyncio.to_thread(Standby, primary) as standby:
            with pytest.raises(
                ConnectionError, match=r"the server is a standby.*DATABASE_TARGET_SESSION_ATTRS"
            ):
                await ConnectionFactory.create_connection(standby.config())
            config = standby.config(target_session_attrs="any")
            async with await ConnectionFactory.create_connection(config) as reader:
                adapter = PostgreSQLAdapter(reader)
                assert (await adapter.connection_info()).in_recovery
                old = EventLog(reader)
                await until(lambda: _has(old, positions[-1]), limit_s=60)
                assert len(await old.read_stream(stream.stream_id)) == len(positions)
                with pytest.raises(ConfigurationError, match="standby"):
                    await old.high_water_mark.advance(0)
                with pytest.raises(ConfigurationError, match="standby"):
                    [event async for event in old.read_all()]
                # As where a pooler sends a statement that only reads to a replica.
                async with reader.acquire() as one:
                    with pytest.raises(PreconditionError, match=r"a standby answers.*connect to the primary"):
                        await require_preconditions(one, levels=[Level.PRIMARY])
            with pytest.raises(PreconditionError, match="a standby answers"):
                async with EventStore.open(config):
                    pass
            async with EventStore.open(config, workers=False) as store:
                assert await store.log.head() == positions[-1]
            await asyncio.to_thread(primary.stop, "immediate")
            await asyncio.to_thread(standby.promote)
            async with await ConnectionFactory.create_connection(standby.config()) as promoted:
                new = EventLog(promoted)
                result = await new.append(tuned(stream.stream_id, len(positions), 7))
                assert result.positions[0] > max(positions)
                read = [event.position async for event in new.read_all()]
                assert read == [*positions, *result.positions]


async def test_a_worker_that_is_led_to_a_standby_waits_until_it_is_promoted(
    primary: Server, caplog: pytest.LogCaptureFixture
):
    """The address leads to the standby for a while, as before a fail-over: the worker does not end, and folds on afterwards."""
    async with await ConnectionFactory.create_connection(primary.config()) as connection:
        await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_latest()
    with await asyncio.to_thread(Standby, primary) as standby:
        async with (
            Relay(primary.config()) as relay,
            EventStore.open(relay.config(target_session_attrs="any"), workers=False) as store,
        ):
            worker = ProjectionWorker(store.log, OrdersProjection(), lease_s=60, fold_delay_s=30)
            async with running(worker) as (task,):
                await place(store, 1)
                await until(lambda: has_folded(store.log, 1))
                await relay.switch_to(standby.config())
                await until(lambda: store.connection.statistics().size == 0)
                # The worker looks at once, with a new connection.
                waiting = asyncio.ensure_future(store.wait_for(2, projections=["orders"], timeout_s=60))
                await until(lambda: task.done() or "this server is a standby" in caplog.text)
                assert not task.done()
                await asyncio.to_thread(primary.stop, "immediate")
                await asyncio.to_thread(standby.promote)
                await until(lambda: _places(store))
                await waiting


async def _places(store: EventStore) -> bool:
    try:
        await place(store, 2)
    except EventStoreError:
        return False
    return True


async def _has(log: EventLog, position: int) -> bool:
    return await log.head() >= position
