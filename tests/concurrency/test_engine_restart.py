"""The order engine, killed at any statement, comes back with exactly its books and ends as if nothing had been."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import DatabaseConfig
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.examples.engine_restart import differences, resume, trade
from eventstore.examples.ticks import packaged_tape, read_ticks
from eventstore.repositories import Page
from eventstore.store import EventStore
from tests.concurrency import dying_engine
from tests.concurrency.dying_engine import PLANS_PLAYED
from tests.conftest import url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.examples.ticks import Tick

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def engine_process(url: str, prints: int) -> Iterator[Callable[[str, int], str]]:
    """Give what runs the engine until it dies, and returns how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", dying_engine.__name__, url, str(prints)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    reading, writing = process.stdout, process.stdin

    def run(when: str, at: int) -> str:
        writing.write(f"{when} {at}\n")
        writing.flush()
        return reading.readline().strip()

    with process:
        yield run
        writing.close()


async def assert_books(config: DatabaseConfig, tape: Sequence[Tick]) -> int:
    """What comes back is what the repositories say: open orders, positions and cash; return the events there are."""
    async with EventStore.open(config, workers=False) as store:
        engine = await resume(store, tape, plans=PLANS_PLAYED)
        async with store.unit_of_work() as uow:
            orders: Page[Any] = await uow.orders.get_active_orders()
            positions: Page[Any] = await uow.positions.get_active_positions()
            portfolios: Page[Any] = await uow.portfolios.get_all_portfolios()
        begun = [one for one in engine.strategies if engine.rows_done[one.plan.name]]
        books = [order for one in begun for order in (one.entry, one.target, one.stop) if order is not None]
        assert {order.id: order for order in books} == {order.id: order for order in orders}
        assert {one.position.id: one.position for one in begun if one.position} == {
            position.id: position for position in positions
        }
        assert {one.portfolio.id: one.portfolio for one in begun} == {one.id: one for one in portfolios}
        return await store.log.head()


@pytest.mark.parametrize(
    ("prints", "stages"), [(600, 1), pytest.param(2_500, 12, marks=pytest.mark.full)], ids=["short", "long"]
)
async def test_killed_at_any_statement_it_ends_as_if_it_had_not_been(
    make_database: Any, migrated_template: str, prints: int, stages: int
):
    """Before a statement is sent, when it was sent and not answered, after the answer: each time the log alone suffices.

    Each run is killed at a random statement, so the kills walk through the tape; the last one is let go on to its end.
    """
    chance = random.Random(prints)
    tape = read_ticks(packaged_tape(), limit=prints)
    async with (
        make_database(migrated_template) as whole,
        make_database(migrated_template) as killed,
    ):
        assert await trade(whole, tape, plans=PLANS_PLAYED) > prints / 3
        heads = [0]
        kills = ["before", "sent", "after"] * 2 * stages
        with engine_process(url_of(killed), prints) as run:
            for when in kills:
                assert run(when, chance.randrange(5, 40)) == "killed"
                heads.append(await assert_books(killed, tape))
            assert run("never", 0).isdigit()
        assert heads == sorted(heads)
        assert len(set(heads)) > stages  # the kills did not all hit the same decision
        async with (
            EventStore.open(whole, workers=False) as one,
            EventStore.open(killed, workers=False) as other,
        ):
            assert await differences(one, other) == []
            for kind in (Order, Position, Portfolio):
                mine, theirs = await one.rebuild_state(kind), await other.rebuild_state(kind)
                assert mine == theirs
                assert mine
            assert len(await other.log.read_range(after=0, through=10**6, limit=10**6)) == len(
                await one.log.read_range(after=0, through=10**6, limit=10**6)
            )


async def test_the_comparison_sees_a_difference(make_database: Any, migrated_template: str):
    """An order more, an event more and a field that differs are each a line."""
    tape = read_ticks(packaged_tape(), limit=120)
    async with (
        make_database(migrated_template) as first,
        make_database(migrated_template) as second,
    ):
        for config in (first, second):
            await trade(config, tape, plans=PLANS_PLAYED)
        async with (
            EventStore.open(first, workers=False) as one,
            EventStore.open(second, workers=False) as other,
        ):
            assert await differences(one, other) == []
            (portfolio, *_) = (await other.rebuild_state(Portfolio)).values()
            portfolio.deposit(tape[0].price)
            async with other.unit_of_work() as uow:
                await uow.portfolios.save_portfolio(portfolio)
            found = await differences(one, other)
        assert any("event" in line for line in found)
        assert f"portfolio {portfolio.id}: cash_balance differs" in found


@pytest.mark.full
def test_the_command_shows_it():
    """`python -m eventstore.examples.engine_restart` kills real processes and finds no difference."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "eventstore.examples.engine_restart", "--prints", "6000"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("kill ") == 4
    assert done.stdout.splitlines()[-1].endswith(": 0 differences")
