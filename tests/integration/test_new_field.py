"""A new field of `Order` is one edit of the model, one migration and the golden statements: a copy of the code gets one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.database import DatabaseConfig
from tests.conftest import url_of

ROOT = Path(__file__).resolve().parents[2]
FIELD = "    desk: Name | None = None\n"
MIGRATION = """\
-- The desk that an order is for.
-- migrate:creates: none

-- migrate:up

ALTER TABLE orders ADD COLUMN desk text;

-- migrate:down

ALTER TABLE orders DROP COLUMN desk;
"""
MIGRATE = """
import asyncio, sys
from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter

async def main():
    async with await ConnectionFactory.create_connection(DatabaseConfig.from_url(sys.argv[1])) as connection:
        await MigrationManager(PostgreSQLAdapter(connection)).migrate_to_latest()

asyncio.run(main())
"""
# Every way to an order: staged, from its events, from its row, from a list, as of the past, from a state snapshot, in
# memory, from an export that is restored.
TRADE = """
import asyncio, sys
from decimal import Decimal
from eventstore import EventStore, Order, OrderSide
from eventstore.database import DatabaseConfig
from eventstore.testing import InMemoryUnitOfWorkFactory

def an_order():
    order = Order.create_limit_order("AAPL", Decimal(1), OrderSide.BUY, limit_price=Decimal(2), desk="rates")
    order.submit("B-1")
    return order

async def shown(label, orders, order):
    found = {
        "by id": await orders.get_order_by_id(order.id),
        "by symbol": (await orders.get_orders_by_symbol("AAPL"))[-1],
        "active": (await orders.get_active_orders())[-1],
        "by broker id": (await orders.get_orders_by_broker_id("B-1"))[-1],
    }
    for name, one in found.items():
        assert one == order and one.desk == "rates", (label, name, one)

async def main():
    memory = InMemoryUnitOfWorkFactory()
    async with memory.create_unit_of_work() as uow:
        order = await uow.orders.save_order(an_order())
    async with memory.create_unit_of_work() as uow:
        await shown("in memory", uow.orders, order)
    async with EventStore.open(DatabaseConfig.from_url(sys.argv[1]), workers=False) as store:
        async with store.unit_of_work() as uow:
            order = await uow.orders.save_order(an_order())
        async with store.unit_of_work() as uow:
            await shown("of its events", uow.orders, order)
        position = await store.log.head()
        async with store.as_of(position=position) as past:
            await shown("of the past, by its events", past.orders, order)
        await store.start_workers()
        await store.wait_for(position)
        async with store.log.connection.acquire() as connection:
            assert await connection.fetchval("SELECT desk FROM orders") == "rates"
        async with store.unit_of_work() as uow:
            await shown("of the table", uow.orders, order)
        await store.state_snapshots.make(snapshot_versions=1)
        async with store.unit_of_work() as uow:
            changed = await uow.orders.get_order_by_id(order.id)
            changed.desk = "equities"
            await uow.orders.update_order(changed)
        async with store.as_of(position=position) as past:
            await shown("of a state snapshot", past.orders, order)
        async with store.unit_of_work() as uow:
            assert (await uow.orders.get_order_by_id(order.id)).desk == "equities"

asyncio.run(main())
"""


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose packages come before the installed ones."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def succeeds(copy: Path, *arguments: str) -> str:
    """As `run`, for what must end well; return what it printed."""
    done = run(copy, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code, with a new field of `Order` in the model and nowhere else."""
    for folder in ("eventstore", "projections", "migrations", "tools", "tests/golden"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    events, order = (tmp_path / "eventstore" / "domain" / name for name in ("order_events.py", "order.py"))
    events.write_text(
        _in_class(events.read_text(), "OrderFields", "    strategy: Name | None = None\n", FIELD)
    )
    order.write_text(
        _in_class(order.read_text(), "OrderDetails", "    strategy: str | None\n", "    desk: str | None\n")
    )
    return tmp_path


def _in_class(text: str, name: str, line: str, new: str) -> str:
    """The text of a module with a new line after another one of a class."""
    before, found, after = text.partition(f"class {name}(")
    assert found, f"the model has changed: where is {name}?"
    body, found, after = after.partition(line)
    assert found, f"{name} has changed: where is {line!r}?"
    assert "\nclass " not in body, f"{name} has no {line!r}"
    return f"{before}class {name}({body}{line}{new}{after}"


def test_a_new_field_is_found_everywhere(copy: Path, database_config: DatabaseConfig):
    """Without its column the store is refused by name; with it, every way to an order gives the field."""
    url = url_of(database_config)
    stale = run(
        copy, "-c", "from tools.lint.sql_rules import *; print(*what_a_template_makes_is_kept(), sep='\\n')"
    )
    changed = [line for line in stale.stdout.splitlines() if "run `make goldens`" in line]
    assert any("orders.load.sql" in line for line in changed)
    assert any("tables.upsert.orders.sql" in line for line in changed)
    assert not any("positions" in line for line in changed)
    succeeds(copy, "-m", "tools.statements")
    assert "desk" in (copy / "tests" / "golden" / "sql" / "orders.load.sql").read_text()

    succeeds(copy, "-c", MIGRATE, url)
    refused = run(copy, "-c", TRADE, url)
    assert refused.returncode != 0
    assert "desk does not exist: run `eventstore migrate`" in refused.stderr.splitlines()[-1]

    last = max(int(path.name[:4]) for path in (copy / "migrations").glob("0*.sql"))
    (copy / "migrations" / f"{last + 1:04}_order_desk.sql").write_text(MIGRATION)
    succeeds(copy, "-c", MIGRATE, url)
    succeeds(copy, "-c", TRADE, url)
