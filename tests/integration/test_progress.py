"""Progress of what takes long: the library calls back, and a command shows a bar on a terminal alone."""

from __future__ import annotations

import asyncio
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.domain.position import Position
from eventstore.evidence import seal, verify
from eventstore.export import export_lines
from eventstore.export.arrow import write_parquet
from eventstore.replay.state_snapshots import SNAPSHOT_VERSIONS
from tests.command_line import run, run_on_terminal
from tests.conftest import url_of

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

POSITIONS = 20
ORDERS = 1_200


async def fill(store: EventStore) -> None:
    """More events than one page has."""
    orders = [Order.create_market_order("ES", Decimal(1), OrderSide.BUY) for _ in range(ORDERS)]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders)


def assert_rises_to(calls: list[tuple[int, int]], end: int) -> None:
    """Each call is further than the one before it, and the last one is at the end."""
    done = [one for one, _ in calls]
    assert done == sorted(set(done))
    assert {whole for _, whole in calls} == {end}
    assert done[-1] == end


async def test_an_export_says_how_far_it_is(store: EventStore, tmp_path: Path):
    """After each page: the position, and the one at the end; of Parquet the rows so far."""
    await fill(store)
    calls: list[tuple[int, int]] = []
    await export_lines(store.log, io.BytesIO(), on_progress=lambda *one: calls.append(one))
    assert len(calls) >= 2
    assert_rises_to(calls, await store.log.head())
    rows: list[int] = []
    written = await write_parquet(store.log, "events", tmp_path / "x.parquet", on_progress=rows.append)
    assert rows == sorted(rows)
    assert rows[-1] == written == ORDERS


@pytest.mark.parametrize("jobs", [1, 2])
async def test_a_verification_says_how_far_it_is(store: EventStore, jobs: int):
    """After each block, or after each part of a process."""
    await fill(store)
    await seal(store.log, block_events_max=200)
    calls: list[tuple[int, int]] = []
    found = await verify(store.log, jobs=jobs, on_progress=lambda *one: calls.append(one))
    assert found.is_sound
    assert len(calls) >= 2
    assert_rises_to(calls, ORDERS // 200)


async def fill_with_long_streams(store: EventStore) -> None:
    """Positions with enough events for a state snapshot each, folded, without any state snapshot."""
    async with store.unit_of_work() as uow:
        for _ in range(POSITIONS):
            position = Position.open_position("ES", Decimal(1), Decimal(100))
            for price in range(SNAPSHOT_VERSIONS):
                position.mark(Decimal(price + 1))
            await uow.positions.save_position(position)
    await store.start_workers()
    await store.wait_for(await store.log.head())
    await store.state_snapshots.drop()


async def test_a_state_snapshot_says_how_far_it_is(store: EventStore):
    """For each category with something to store: its entities so far, and all of them."""
    await fill_with_long_streams(store)
    calls: list[tuple[str, int, int]] = []
    await store.state_snapshots.make(on_progress=lambda *one: calls.append(one))
    assert {category for category, _, _ in calls} == {"position"}
    assert_rises_to([(done, whole) for _, done, whole in calls], POSITIONS)


async def test_commands_show_bars_on_a_terminal_alone(
    store: EventStore, migrated_config: DatabaseConfig, tmp_path: Path
):
    """Each of those that may take long; in a pipe their output has no trace of a bar."""
    await fill(store)
    await seal(store.log, block_events_max=200)
    await store.start_workers()
    await store.wait_for(await store.log.head())
    to = ("--url", url_of(migrated_config))
    file = tmp_path / "log.jsonl"
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("exporting the log", ("export", file)),
        ("exporting", ("export", tmp_path / "x.parquet", "--parquet")),
        ("verifying the seals", ("verify",)),
        ("checking ", ("check",)),  # several things, each perhaps for less than a refresh of the screen
        ("rebuilding orders", ("rebuild", "orders", "--compare")),
        ("orders: ", ("rebuild", "orders")),
    ]
    for words, arguments in cases:
        await assert_shows_a_bar(words, *arguments, *to)
        done = await asyncio.to_thread(run, *arguments, *to)
        assert "%" not in done.stdout, arguments
    await fill_with_long_streams(store)
    await assert_shows_a_bar("storing each position", "snapshot", *to)


async def assert_shows_a_bar(words: str, *arguments: Any) -> None:
    """On a terminal the command says what it does, and how much of it is done."""
    status, screen = await asyncio.to_thread(run_on_terminal, *arguments, columns=160, env={"TERM": "xterm"})
    assert status == 0, screen
    assert words in screen, arguments
    assert "%" in screen or "rows" in screen, arguments
