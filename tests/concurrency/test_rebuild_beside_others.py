"""Rebuilds beside readers, writers, workers, other rebuilds and sudden death."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory, DatabaseConfig, DatabaseConnection
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import RebuildError
from eventstore.log import EventLog
from eventstore.repositories import Page
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from projections.check.comparison import compare_with_fold, compare_with_rebuild, read_live
from projections.rebuild import RebuildProgress, abandon, rebuild
from projections.rebuild.lease import RebuildLease
from tests.concurrency.dying import dying_process
from tests.conftest import url_of
from tests.counting_projection import SeenProjection
from tests.entities import started
from tests.ordered_by_symbol import place
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import DatabaseMaker

EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "full" else 9
ROUNDS = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "full" else 4


async def act(store: EventStore, model: dict[Any, Order], number: int) -> None:
    """One Unit of Work that places, submits, fills, cancels or deletes orders; the model is changed with it."""
    choice = random.Random(number)
    async with store.unit_of_work() as uow:
        known = choice.choice(list(model)) if model and choice.random() < 0.7 else None
        order = None if known is None else await uow.orders.get_order_by_id(known)
        if known is not None:
            assert order == model[known], "a stale or missing row"
        if order is None:
            order = Order.create_market_order(choice.choice("AB"), Decimal(10), OrderSide.BUY)
            await uow.orders.save_order(order)
        elif order.status.value == "PENDING":
            order.submit(f"B-{number}")
            await uow.orders.update_order(order)
        elif order.is_active and choice.random() < 0.5:
            order.fill(Decimal(1), Decimal(10), f"E-{number}")
            await uow.orders.update_order(order)
        else:
            await uow.orders.delete_order(order.id)
            order = None
    if order is None:
        assert known is not None
        del model[known]
    else:
        model[order.id] = order


async def keep_writing(
    store: EventStore, model: dict[Any, Order], seen: list[int], stop: asyncio.Event
) -> None:
    """Write, and read everything back by lists, until told to stop.

    It stops between two Units of Work. One that is cancelled while its commit is under way may count, and the model would
    not know of it.
    """
    number = 0
    while not stop.is_set():
        number += 1
        await act(store, model, number)
        async with store.unit_of_work() as uow:
            listed = [order for symbol in "AB" for order in await uow.orders.get_orders_by_symbol(symbol)]
            active = await uow.orders.get_active_orders()
        assert {order.id: order for order in listed} == model, "a list is stale or misses a row"
        assert {order.id for order in active} == {order.id for order in model.values() if order.is_active}
        seen[0] += 1
        await asyncio.sleep(0)


async def test_everything_goes_on_during_rebuilds(make_database: DatabaseMaker, migrated_template: str):
    """One process writes and reads without a pause while another's workers fold and the table is swapped again and again.

    No call fails, no list and no load is stale or misses a row, and at the end every row is right.
    """
    async with (
        make_database(migrated_template) as config,
        EventStore.open(config, workers=False) as store,
        EventStore.open(config) as folding,
    ):
        model: dict[Any, Order] = {}
        seen = [0]
        stop = asyncio.Event()
        writing = asyncio.create_task(keep_writing(store, model, seen, stop))
        try:
            for _ in range(ROUNDS):
                before = seen[0]
                await rebuild(folding.log, OrdersProjection())
                await until(lambda before=before: writing.done() or seen[0] > before + 5)  # type: ignore[misc]
                if writing.done():
                    break
        finally:
            stop.set()
            await writing
        await folding.wait_for(await store.log.head())
        compared = await compare_with_fold(store.log, OrdersProjection())
        assert compared.is_equal
        assert compared.rows_equal == len(model) > 0


HELD = 4242


@asynccontextmanager
async def swap_held(store: EventStore) -> AsyncIterator[None]:
    """Let the next swap stop right before its commit, with the live table closed, until the block ends."""
    async with store.connection.acquire() as connection:
        await connection.execute(f"""
            CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_advisory_xact_lock({HELD}); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON projection_checkpoints DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (OLD.epoch < NEW.epoch) EXECUTE FUNCTION hold();
        """)
        await connection.execute("SELECT pg_advisory_lock($1)", HELD)
        try:
            yield
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", HELD)


async def waits(store: EventStore, wanted: int, query: str) -> bool:
    """Whether so many backends wait for a lock in a statement like this."""
    async with store.connection.acquire() as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ $1 "
            "AND datname = current_database()",
            query,
        )
    return bool(count >= wanted)


async def test_reads_that_wait_for_a_swap_are_right(migrated_config: DatabaseConfig):
    """A list, a load and a snapshot that begin before the swap's commit and wait for it see the new table, and all of it.

    The live table lacks a row and has a wrong one; the reads are prepared ones, as after some use.
    """
    async with EventStore.open(migrated_config, workers=False) as store:
        orders = await place(store, 1, 2, 3)
        await rebuild(store.log, OrdersProjection())
        await place(store, 4, symbol="NQ")
        async with store.connection.acquire() as connection:
            await connection.execute("DELETE FROM orders WHERE quantity = 1; UPDATE orders SET symbol = 'XX'")
        for _ in range(8):  # so that the plans are cached, and generic
            async with store.unit_of_work() as uow:
                assert len(await uow.orders.get_orders_by_symbol("ES")) == 0
                await uow.orders.get_order_by_id(orders[1].id)

        async def listed() -> Page[Order]:
            async with store.unit_of_work() as uow:
                return await uow.orders.get_orders_by_symbol("ES")

        async def loaded() -> Order | None:
            async with store.unit_of_work() as uow:
                return await uow.orders.get_order_by_id(orders[1].id)

        async with swap_held(store):
            swapping = asyncio.create_task(rebuild(store.log, OrdersProjection()))
            await until(lambda: waits(store, 1, "COMMIT"))
            reading = [asyncio.create_task(listed()), asyncio.create_task(listed())]
            loading = asyncio.create_task(loaded())
            comparing = asyncio.create_task(read_live(store.log, OrdersProjection()))
            # The server shows the first thousand characters of a statement, which may be its columns alone.
            await until(lambda: waits(store, 4, "orders|AS row_version"))
            assert not swapping.done()
        await swapping
        for task in reading:
            assert await task == orders
        assert await loading == orders[1]
        live = await comparing
        assert (live.partitions, len(live.lines)) == ([4], 4)


async def test_a_second_rebuild_is_refused(store: EventStore):
    """While one is under way another ends with one line that names it; when it is over, the next one may run."""
    await place(store, 1, 2)
    async with swap_held(store):
        first = asyncio.create_task(rebuild(store.log, OrdersProjection(), lease_s=1))
        await until(lambda: waits(store, 1, "COMMIT"))
        with pytest.raises(RebuildError, match=f"is being rebuilt by .*/{os.getpid()}/.*: let it finish"):
            await rebuild(store.log, OrdersProjection(), lease_s=1)
    assert (await first).rows == 2
    assert (await rebuild(store.log, OrdersProjection())).rows == 2


async def test_a_rebuild_between_two_steps_is_not_taken_over(store: EventStore):
    """It holds no lock then, and its lease alone keeps others out, for as long as it is renewed."""
    projection = OrdersProjection()
    lease = await RebuildLease.take(store.log, projection, lease_s=1)
    async with lease.kept():
        with pytest.raises(RebuildError, match=f"is being rebuilt by .*/{os.getpid()}/.*: let it finish"):
            await RebuildLease.take(store.log, projection)
    assert (await RebuildLease.take(store.log, projection)).is_held


async def test_a_rebuild_that_is_cancelled_goes_on(store: EventStore):
    """Cancelled while it builds, it gives its lease back at once; the next one begins where it was, or at nothing."""
    await place(store, 1, 2, 3)

    def cancel(progress: RebuildProgress) -> None:
        if progress.stage == "prove":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=cancel)
    reached: list[RebuildProgress] = []
    assert (await rebuild(store.log, OrdersProjection(), on_progress=reached.append)).rows == 3
    assert reached[0].position == 3
    assert await abandon(store.log, OrdersProjection()) is False
    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=cancel)
    assert await abandon(store.log, OrdersProjection()) is True
    assert (await rebuild(store.log, OrdersProjection(), restart=True)).rows == 3


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_rebuild_killed_at_any_statement_goes_on(migrated_config: DatabaseConfig, when: str):
    """A process is killed by SIGKILL before, or after, its n-th statement: building, indexing, proving, swapping.

    The live table then is the old one or the new one, whole; and the next process goes on and ends with the right one.
    """
    pool = await ConnectionFactory.create_connection(migrated_config)
    try:
        log = EventLog(pool)
        projection = SeenProjection()
        async with pool.acquire() as connection:
            await connection.execute(projection.table.create())
            await connection.execute("CREATE INDEX seen_version_idx ON seen (version) WHERE events > 1")
        for _ in range(40):
            await log.append(started(tunings=3))
        async with dying_process("dying_rebuild", url_of(migrated_config), "rebuild") as run:
            statements = int((await run("never", 0)).split()[0])
            killed = gone_on = 0
            for at in range(1, statements + 1, EVERY):
                async with pool.acquire() as connection:
                    await connection.execute("UPDATE seen SET events = events + 1000")
                killed += await run(when, at) == "killed"
                async with pool.acquire() as connection:
                    left = await connection.fetch("SELECT DISTINCT events FROM seen")
                    begun = await connection.fetchval("SELECT max(position) FROM projection_rebuilds")
                assert [row["events"] for row in left] in ([4], [1004]), at
                first = int((await run("never", 0)).split()[1])
                gone_on += begun not in (None, 0) and first >= begun
                assert (await compare_with_fold(log, projection)).rows_equal == 40, at
            assert killed >= 0.8 * len(range(1, statements + 1, EVERY))
            assert gone_on > 0
        async with pool.acquire() as connection:
            names = await connection.fetch(
                "SELECT indexname FROM pg_indexes WHERE tablename = 'seen' ORDER BY 1"
            )
        assert [row["indexname"] for row in names] == ["seen_pkey", "seen_version_idx"]
    finally:
        await pool.close(timeout_s=5)


async def is_over(pool: DatabaseConnection) -> bool:
    """Whether the server has ended the transaction of a process that was killed: until then it holds its locks."""
    async with pool.acquire() as connection:
        open_ones = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
    return bool(open_ones == 0)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_comparison_killed_at_any_statement_is_in_nobodys_way(
    migrated_config: DatabaseConfig, when: str
):
    """A process is killed by SIGKILL before, or after, its n-th statement: the live table is as it was.

    The next comparison, and the next rebuild, do not go on with what it left: they drop it.
    """
    pool = await ConnectionFactory.create_connection(migrated_config)
    try:
        log, projection = EventLog(pool), SeenProjection()
        async with pool.acquire() as connection:
            await connection.execute(projection.table.create())
        for _ in range(40):
            await log.append(started(tunings=3))
        await ProjectionWorker(log, projection).catch_up(await log.head())
        killed = left = 0
        async with dying_process("dying_rebuild", url_of(migrated_config), "compare") as run:
            statements, equal = map(int, (await run("never", 0)).split())
            assert equal == 40
            for at in range(1, statements + 1, EVERY):
                killed += await run(when, at) == "killed"
                await until(lambda: is_over(pool))
                async with pool.acquire() as connection:
                    left += await connection.fetchval("SELECT to_regclass('seen__rebuild') IS NOT NULL")
                if at % 2:
                    reached: list[RebuildProgress] = []
                    # In place, the table would be UNLOGGED too.
                    await rebuild(log, projection, in_place=True, on_progress=reached.append)
                    assert reached[0].stage == "build", "it went on with the table of the comparison"
                else:
                    assert (await compare_with_rebuild(log, projection)).rows_equal == 40, at
                async with pool.acquire() as connection:
                    assert await connection.fetchval("SELECT to_regclass('seen__rebuild') IS NULL"), at
                    assert await connection.fetchval("SELECT count(*) FROM projection_rebuilds") == 0, at
        # How often the lease is renewed depends on the time, so the last statement may not come.
        assert killed >= 0.8 * len(range(1, statements + 1, EVERY))
        assert left > 2, "some were killed with the table half built"
    finally:
        await pool.close(timeout_s=5)
