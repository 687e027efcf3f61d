"""`eventstore work` and `rebuild`: a process that keeps the read tables, and the proof of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from decimal import Decimal

import pytest

from eventstore.database import DatabaseConfig
from eventstore.domain.order import Order, OrderSide
from eventstore.store import EventStore
from tests import command_line
from tests.command_line import assert_refused, run
from tests.conftest import admin_connection, url_of
from tests.failing_projection import spoilt_table
from tests.waiting import until


async def save_orders(config: DatabaseConfig, count: int) -> int:
    """Append orders with no worker in this process, and return the last position."""
    async with EventStore.open(config, workers=False) as store:
        async with store.unit_of_work() as uow:
            for _ in range(count):
                await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
        return uow.last_position or 0


async def fetch(config: DatabaseConfig, query: str):
    """Run a statement on a connection of its own."""
    connection = await admin_connection(config)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_work(migrated_config: DatabaseConfig, number: signal.Signals):
    """It folds what another process appends, until it is told to stop; then it ends with status 0."""
    process = command_line.start("work", "--url", url_of(migrated_config))
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith("working on orders, ")
        position = await save_orders(migrated_config, 5)
        async with EventStore.open(migrated_config, workers=False) as store:
            await store.wait_for(position)
        assert await fetch(migrated_config, "SELECT count(*) FROM orders") == 5
        os.kill(process.pid, number)
        out, error = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, error) == (0, "stopped\n", "")


async def test_work_on_one_projection(migrated_config: DatabaseConfig):
    """Only the one that is named is folded."""
    position = await save_orders(migrated_config, 1)
    url = url_of(migrated_config)
    process = command_line.start("work", "--projection", "orders", "--url", url)
    try:
        async with EventStore.open(migrated_config, workers=False) as store:
            await store.wait_for(position, projections=["orders"])
        folded = "SELECT string_agg(projection, ',') FROM projection_checkpoints WHERE position > 0"
        assert await fetch(migrated_config, folded) == "orders"
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0


async def test_work_on_events_that_cannot_be_decoded(migrated_config: DatabaseConfig):
    """A projection whose key is not the stream ends the process with one line; one whose key is it goes on."""
    await save_orders(migrated_config, 1)
    await fetch(
        migrated_config,
        """
        INSERT INTO events
        SELECT nextval('events_position_seq'), occurred_at, recorded_at, version + 1, schema_version, stream_id,
            gen_random_uuid(), category, 'OrderFromTheFuture', data, metadata
        FROM events
        """,
    )
    async with EventStore.open(migrated_config, workers=False) as store:
        await spoilt_table(store)
    position = await save_orders(migrated_config, 1)
    options = ("--projection", "orders", "--url", url_of(migrated_config))
    going_on = command_line.start("work", *options)
    process = command_line.start("work", "--projection", "tests.failing_projection:Spoilt", *options)
    try:
        _, error = await asyncio.to_thread(process.communicate, timeout=30)
        async with EventStore.open(migrated_config, workers=False) as store:
            await store.wait_for(position, projections=["orders"])
    finally:
        process.kill()
        going_on.kill()
        await asyncio.to_thread(going_on.communicate)
    assert process.returncode == 2
    assert "OrderFromTheFuture" in error.splitlines()[-1]
    assert "Traceback" not in error


async def test_work_sets_the_partitions(migrated_config: DatabaseConfig):
    """`--partitions` says what it changes; the next process's number counts for all, and events are folded on."""
    url = url_of(migrated_config)
    command = ("work", "--projection", "orders", "--url", url, "--partitions")
    first = command_line.start(*command, 3)
    second = None
    try:
        assert first.stdout is not None
        line = await asyncio.to_thread(first.stdout.readline)
        assert line == "orders: from 1 partitions to 3, for all processes\n"
        await save_orders(migrated_config, 5)
        second = command_line.start(*command, 2)
        assert second.stdout is not None
        line = await asyncio.to_thread(second.stdout.readline)
        assert line == "orders: from 3 partitions to 2, for all processes\n"
        position = await save_orders(migrated_config, 5)
        async with EventStore.open(migrated_config, workers=False) as store:
            await store.wait_for(position, projections=["orders"])
    finally:
        for process in filter(None, (first, second)):
            process.terminate()
            await asyncio.to_thread(process.communicate, timeout=30)
    assert await fetch(migrated_config, "SELECT count(*) FROM orders") == 10
    assert await fetch(migrated_config, "SELECT count(*) FROM projection_checkpoints") == 2
    assert_refused(
        await asyncio.to_thread(command_line.run, *command, 0), "partitions must be 1 to 256, not 0"
    )


async def test_rebuild(migrated_config: DatabaseConfig):
    """Named or all, it counts the rows; a row that was tampered with is named, and the status is 1."""
    url = url_of(migrated_config)
    position = await save_orders(migrated_config, 3)
    async with EventStore.open(migrated_config) as store:
        await store.wait_for(position)
    done = await asyncio.to_thread(run, "rebuild", "--all", "--compare", "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"orders: 3 equal, 0 different, at position {position}"
    assert done.stdout.splitlines()[-1] == "rebuild: 3 rows equal, 0 different"

    tampered = await fetch(
        migrated_config,
        "UPDATE orders SET symbol = 'MSFT' WHERE id = (SELECT min(id::text)::uuid FROM orders) RETURNING id::text",
    )
    done = await asyncio.to_thread(run, "rebuild", "orders", "--compare", "--url", url)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1] == "rebuild: 2 rows equal, 1 different"
    assert tampered in done.stdout
    others = await asyncio.to_thread(run, "rebuild", "positions", "portfolios", "--compare", "--url", url)
    assert others.returncode == 0
    assert (
        await fetch(migrated_config, "SELECT count(*) FROM pg_class WHERE relname ~ '__(rebuild|compare)'")
        == 0
    )


async def test_rebuild_of_what_was_never_folded(migrated_config: DatabaseConfig):
    """Nothing can be compared before the first fold: the line says to run a worker."""
    done = await asyncio.to_thread(run, "rebuild", "orders", "--compare", "--url", url_of(migrated_config))
    assert_refused(done, "never folded")


def test_unknown_projections():
    """A wrong name, or none, is refused with those that are close, or all that there are, before anything is connected."""
    nowhere = ("--url", "postgresql://nobody@/nothing?host=/nowhere")
    assert_refused(run("rebuild", "ordres", *nowhere), "no projection ordres: did you mean orders?")
    assert_refused(
        run("rebuild", "x", *nowhere), "no projection x: there are instruments, orders, portfolio_snapshots"
    )
    assert_refused(run("work", "--projection", "ordres", *nowhere), "no projection ordres")
    assert_refused(run("rebuild", *nowhere), "no projection is named", "--all")
    assert_refused(run("rebuild", "orders", "--all", *nowhere), "no projection is named")


async def test_rebuild_while_a_worker_runs(migrated_config: DatabaseConfig):
    """A worker at work does not disturb it, nor is it disturbed."""
    async with EventStore.open(migrated_config) as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
        await store.wait_for(uow.last_position or 0)
        done = await asyncio.to_thread(run, "rebuild", "--all", "--compare", "--url", url_of(migrated_config))
        assert re.search(r"^rebuild: 1 rows equal, 0 different$", done.stdout, re.MULTILINE), done.stderr
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
        await until(lambda: folded(migrated_config, 2))


async def folded(config: DatabaseConfig, count: int) -> bool:
    """Whether the table of orders has so many rows."""
    return bool(await fetch(config, "SELECT count(*) FROM orders") == count)
