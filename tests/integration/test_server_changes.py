"""What is under way when another server takes the place of the one before; a restart counts as one, so that is what is seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory, PostgreSQLAdapter
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import IntegrityError, RestoredLogError, ServerChangedError, TransactionCommitError
from eventstore.evidence.sealer import seal
from eventstore.reconciliation import Statement
from eventstore.replay import Replay
from eventstore.repositories.stream_queues import StreamQueues
from eventstore.store import EventStore
from projections import OrdersProjection
from projections.rebuild import rebuild
from tests.inspector_client import browsing
from tests.relay import Relay
from tests.running_workers import place
from tests.servers import Server
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.database import DatabaseConfig


def change(store: EventStore) -> None:
    """Have the store believe that its server is gone, as if a new connection had met another one."""
    identity = store.connection.server.identity
    assert identity is not None
    other = replace(identity, timeline="0000FFFF")
    store.connection.server.connected(other, wal=None, wal_before=0)


def have_changed(store: EventStore) -> None:
    """As `change`, and the server that is met from here on is known already."""
    identity = store.connection.server.identity
    assert identity is not None
    change(store)
    store.connection.server.connected(identity, wal=None, wal_before=0)


async def test_connections_to_the_server_before_are_not_lent_any_more(store: EventStore):
    """Those at hand, and those in use when they come back."""
    pids: set[int] = set()
    async with store.connection.acquire() as one, store.connection.acquire() as other:
        pids |= {one.get_server_pid(), other.get_server_pid()}
        change(store)
    async with store.connection.acquire() as one, store.connection.acquire() as other:
        assert pids.isdisjoint({one.get_server_pid(), other.get_server_pid()})


async def test_a_rebuild_does_not_mix_two_servers(store: EventStore):
    """It ends with a retryable error, the live table is as it was, and run again it comes to its end."""
    await place(store, 1, 2, 3)
    await rebuild(store.log, OrdersProjection())
    stages: list[str] = []

    def note(progress: Any) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)
            if progress.stage == "index":
                change(store)

    with pytest.raises(ServerChangedError) as caught:
        await rebuild(store.log, OrdersProjection(), on_progress=note)
    assert caught.value.retryable
    assert "swap" not in stages
    assert (await rebuild(store.log, OrdersProjection())).rows == 3


async def test_states_are_not_handed_on_from_one_server_to_another(store: EventStore):
    """Who has waited for a turn loads, where the state that was saved for it is one of the server before."""
    (order,) = await place(store, 1)
    storage = store._backend.storage
    first, second = StreamQueues(), StreamQueues()
    async with first.attempt():
        assert await first.take(order.id)
        stream = await first.load(storage, type(order), order.id)
        assert stream.entity is not None
        stream.entity.submit("B-1")
        waiting = asyncio.create_task(_load_in_turn(second, storage, type(order), order.id))
        await until(lambda: any(first.asked()[order.id] > 1 for _ in (1,)))
        first.hand_on(order.id, stream.entity.pending_events, after_version=1, asked=first.asked())
        change(store)
    loaded = await waiting
    assert loaded.version == 1  # what was handed on has version 2, and was never committed here


async def _load_in_turn(queues: StreamQueues, storage: Any, kind: Any, stream_id: Any) -> Any:
    async with queues.attempt():
        return await queues.load(storage, kind, stream_id)


async def read_all(store: EventStore, position: int) -> None:
    """Read the log after a position."""
    [event async for event in store.log.read_all(after=position)]


async def subscribe(store: EventStore, position: int) -> None:
    """Follow the log after a position."""
    await anext(store.log.subscribe(after=position).__aiter__())


async def replay(store: EventStore, position: int) -> None:
    """Replay the log after a position."""
    [event async for event in store.replay(after=position)]


@pytest.mark.parametrize("read", [read_all, subscribe, replay])
async def test_a_position_beyond_the_end_is_refused(
    store: EventStore, read: Callable[[EventStore, int], Awaitable[None]]
):
    """It comes from another log. The end itself, and a gap behind it, are positions to go on from."""
    await place(store, 1, 2, 3)
    with pytest.raises(
        RestoredLogError, match="position 4 is beyond the end of the log, which is at 3"
    ) as caught:
        await read(store, 4)
    assert (caught.value.position, caught.value.end) == (4, 3)
    if read is not subscribe:
        await read(store, 3)
        async with store.connection.acquire() as connection:
            await connection.fetchval("SELECT nextval('events_position_seq')")
        await read(store, 4)


async def test_what_was_sealed_and_lost_is_told_to_who_seals(store: EventStore):
    """No block is closed over events that stand where others were sealed."""
    await place(store, 1, 2, 3)
    await seal(store.log)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM events WHERE position > 1")
        await connection.execute("SELECT setval('events_position_seq', 1)")
        await connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change")
    with pytest.raises(
        IntegrityError, match="ends at position 3, beyond the end of the log at 1, so no seal can follow it"
    ):
        await seal(store.log)


async def test_a_commit_whose_server_is_gone_is_unknown():
    """Another transaction may have its id on the server that is there now; the same as after a restart."""
    with Server(settings={"fsync": "off"}) as server:
        async with Relay(server.config()) as relay:
            config: DatabaseConfig = relay.config(max_pool_size=2, connect_timeout=60.0)
            async with await ConnectionFactory.create_connection(config) as connection:
                adapter = PostgreSQLAdapter(connection)
                await adapter.execute("CREATE TABLE t (i int)")
                await adapter.begin_transaction()
                await adapter.execute("INSERT INTO t VALUES (1)")
                relay.lose_after = b"COMMIT"
                relay.refuse = True
                commit = asyncio.create_task(adapter.commit_transaction())
                await relay.arrived.wait()
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
                relay.refuse = False
                with pytest.raises(TransactionCommitError) as caught:
                    await commit
                assert caught.value.outcome == "unknown"


async def fills(store: EventStore) -> object:
    """A report that reads the events."""
    return await store.reports.fills()


async def equity(store: EventStore) -> object:
    """A report that reads the portfolios, and a curve for each of them."""
    return await store.reports.equity()


async def reconciled(store: EventStore) -> object:
    """A statement, which is compared with positions and with executions."""
    return await store.reconcile(Statement(as_of=datetime.now(UTC), account="A", positions=(), executions=()))


@pytest.mark.parametrize("ask", [fills, equity, reconciled])
async def test_an_answer_of_several_reads_does_not_mix_two_servers(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, ask: Callable[[EventStore], Awaitable[object]]
):
    """The point in time was of the server before, and the events would be of the one after: that is a retryable error."""
    await place(store, 1, 2)
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(Portfolio(name="main", initial_capital=Decimal(1_000)))
    read_runs, asked = Replay._read_runs, 0

    def read_another_server(replay: Replay) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            have_changed(store)
        return read_runs(replay)

    monkeypatch.setattr(Replay, "_read_runs", read_another_server)
    with pytest.raises(ServerChangedError) as caught:
        await ask(store)
    assert caught.value.retryable
    await ask(store)


async def test_the_inspector_forgets_the_curves_of_the_server_before(store: EventStore):
    """The new server's log is as long as the one before, but has other events."""
    portfolio = Portfolio(name="main", initial_capital=Decimal(1_000))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    async with browsing(store) as client:
        asked = f"/time/equity?portfolio={portfolio.id}"
        assert (await client.get(asked)).json()["equity"] == [1000]
        async with store.connection.acquire() as connection:
            await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
            await connection.execute("UPDATE events SET data = replace(data::text, '1000', '2000')::jsonb")
        assert (await client.get(asked)).json()["equity"] == [1000]  # read once of the server before
        have_changed(store)
        assert (await client.get(asked)).json()["equity"] == [2000]
