"""A dump and its restore, by the real tools: whole, or without the last seconds, no position is ever assigned twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import RestoredLogError
from eventstore.store import EventStore, built_in_projections
from projections import OrdersProjection, ProjectionWorker
from projections.check import check
from projections.rebuild import rebuild
from tests.checked_tables import catch_up
from tests.command_line import run
from tests.conftest import url_of
from tests.filled_log import fill_the_log
from tests.ordered_by_symbol import OrderedBySymbol, create_table, place
from tests.servers import SYSTEM_BINARIES, embedded_binaries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig
    from tests.conftest import DatabaseMaker

READ_SIDE = (
    "orders",
    "positions",
    "portfolios",
    "portfolio_snapshots",
    "instruments",
    "projections",
    "projection_checkpoints",
    "projection_delivery_counts",
    "state_snapshots",
    "log_segments",
)


class Tools:
    """`pg_dump` and `pg_restore` of a server's own version."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries

    def dump(self, config: DatabaseConfig, file: Path, *options: str) -> None:
        """Write a database to a file, in the custom format."""
        self._run("pg_dump", config, "--format=custom", f"--file={file}", *options)

    def restore(self, config: DatabaseConfig, file: Path, *options: str) -> None:
        """Read a file into a database."""
        self._run("pg_restore", config, f"--dbname={config.database}", "--exit-on-error", *options, str(file))

    def _run(self, program: str, config: DatabaseConfig, *options: str) -> None:
        environment = {
            **os.environ,
            "PGHOST": config.host,
            "PGPORT": str(config.port),
            "PGUSER": config.user,
            "PGDATABASE": config.database,
        }
        if config.password is not None:
            environment["PGPASSWORD"] = config.password.get_secret_value()
        done = subprocess.run(
            [self._binaries / program, *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


@pytest_asyncio.fixture
async def tools(server_config: DatabaseConfig) -> Tools:
    """The tools that belong to the server of the tests."""
    connection = await asyncpg.connect(url_of(server_config))
    major = connection.get_server_version().major
    await connection.close()
    for binaries in (embedded_binaries(), *SYSTEM_BINARIES):
        tools = [binaries / name for name in ("pg_dump", "pg_restore")]
        if all(tool.exists() for tool in tools) and _major_of(binaries) == major:
            return Tools(binaries)
    pytest.skip(f"there is no pg_dump and pg_restore of PostgreSQL {major} on this machine")


def _major_of(binaries: Path) -> int:
    said = subprocess.run([binaries / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[2].split(".")[0])


@pytest_asyncio.fixture
async def empty(make_database: DatabaseMaker) -> AsyncIterator[DatabaseConfig]:
    """A database without anything, to restore into."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(make_database())


async def append(store: EventStore) -> int:
    """Append an event, and return its position."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("NEW", Decimal(1), OrderSide.BUY))
    assert uow.last_position is not None
    return uow.last_position


async def test_a_dump_and_its_restore(
    migrated_config: DatabaseConfig, store: EventStore, empty: DatabaseConfig, tools: Tools, tmp_path: Path
):
    """The restored store opens, is sound, has the same entities, refuses changes of events, and goes on after the last."""
    await fill_the_log(store)
    await catch_up(store.log)
    await rebuild(store.log, OrdersProjection())
    await place(store, 5)
    head = await store.log.head()
    async with store.unit_of_work() as uow:
        orders = await uow.orders.get_active_orders()
    tools.dump(migrated_config, tmp_path / "dump")
    tools.restore(empty, tmp_path / "dump")
    async with EventStore.open(empty) as restored:
        async with restored.unit_of_work() as uow:
            assert await uow.orders.get_active_orders() == orders
        assert await append(restored) == head + 1
        await restored.wait_for(head + 1)
        assert (await check(restored.log, built_in_projections())).findings == ()
        async with restored.connection.acquire() as connection:
            with pytest.raises(asyncpg.PostgresError, match="append-only"):
                await connection.execute("DELETE FROM events")


async def test_a_restore_that_lost_the_last_events(
    migrated_config: DatabaseConfig, store: EventStore, empty: DatabaseConfig, tools: Tools, tmp_path: Path
):
    """The log is of an older backup than the read tables: no store opens on it until it is repaired, which says what it did.

    Afterwards no read has what was lost, and the next position is past all that were ever read.
    """
    await fill_the_log(store)
    await catch_up(store.log)
    tools.dump(migrated_config, tmp_path / "older")
    kept = await store.log.head()
    async with store.unit_of_work() as uow:
        orders = await uow.orders.get_active_orders()
    async with store.unit_of_work() as uow:
        (order, *_) = await uow.orders.get_active_orders()
        order.cancel()
        await uow.orders.update_order(order)
    await place(store, 1, 2, 3)
    await catch_up(store.log)
    lost = await store.log.head()
    assert await store.state_snapshots.make(snapshot_versions=1, segment_events=1) > 0
    tables = [f"--table={name}" for name in READ_SIDE]
    tools.dump(migrated_config, tmp_path / "newer", "--data-only", *tables)
    tools.restore(empty, tmp_path / "older")
    connection = await asyncpg.connect(url_of(empty))
    await connection.execute(f"TRUNCATE {', '.join(READ_SIDE)}")
    await connection.close()
    tools.restore(empty, tmp_path / "newer")

    for workers in (True, False):
        with pytest.raises(
            RestoredLogError, match=rf"ends at position {kept}.*up to {lost}.*eventstore repair"
        ):
            async with EventStore.open(empty, workers=workers):
                pass
    named = await asyncio.to_thread(run, "check", "--url", url_of(empty))
    assert named.returncode == 1
    for kind in ("log: sequence", "log: state snapshots ahead", "orders: checkpoint ahead", "orders: rows"):
        assert kind in named.stdout
    repaired = await asyncio.to_thread(run, "repair", "--url", url_of(empty))
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.splitlines()[0] == f"the next position is {lost + 1}"
    async with EventStore.open(empty) as restored:
        async with restored.unit_of_work() as uow:
            assert await uow.orders.get_active_orders() == orders
        assert await append(restored) == lost + 1
        await restored.wait_for(lost + 1)
        assert (await check(restored.log, built_in_projections())).findings == ()
    nothing = await asyncio.to_thread(run, "repair", "--url", url_of(empty))
    assert nothing.stdout == "there is nothing to repair\n"


async def test_a_sequence_that_was_not_restored(
    migrated_config: DatabaseConfig, store: EventStore, empty: DatabaseConfig, tools: Tools, tmp_path: Path
):
    """Tables restored without the sequence's value: the store says so, and after repairing goes on after the last event."""
    await fill_the_log(store)
    head = await store.log.head()
    tools.dump(migrated_config, tmp_path / "dump")
    tools.restore(empty, tmp_path / "dump", "--section=pre-data")
    tables = ("events", "schema_migrations", *READ_SIDE)
    tools.restore(empty, tmp_path / "dump", "--data-only", *(f"--table={name}" for name in tables))
    tools.restore(empty, tmp_path / "dump", "--section=post-data")
    with pytest.raises(RestoredLogError, match=rf"sequence of positions is at 0, but position {head}"):
        async with EventStore.open(empty):
            pass
    assert (await asyncio.to_thread(run, "repair", "--url", url_of(empty))).returncode == 0
    async with EventStore.open(empty, workers=False) as restored:
        assert await append(restored) == head + 1


async def test_a_projection_of_ones_own_is_repaired_with_its_code(
    migrated_config: DatabaseConfig, store: EventStore
):
    """The command names what it cannot rebuild, and takes the class of it."""
    await create_table(store)
    await place(store, 1)
    await rebuild(store.log, OrderedBySymbol())
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_checkpoints SET position = 9")
    with pytest.raises(RestoredLogError, match="ordered had read up to 9"):
        await ProjectionWorker(store.log, OrderedBySymbol()).run()
    url = url_of(migrated_config)
    without = await asyncio.to_thread(run, "repair", "--url", url)
    assert without.stdout.splitlines() == [
        "the next position is 10",
        "projection ordered still has lost events: call `repair` with its code",
    ]
    named = "tests.integration.test_rebuild_swap:OrderedBySymbol"
    done = await asyncio.to_thread(run, "repair", "--projection", named, "--url", url)
    assert done.stdout == "rebuilt projection ordered: 1 rows at position 1\n", done.stderr
