"""`eventstore migrate`, `status` and `grant`: what they do, and what they say."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.database import DatabaseConfig
from eventstore.domain.order import Order, OrderSide
from eventstore.store import EventStore
from tests import command_line
from tests.command_line import assert_refused, run
from tests.conftest import admin_connection, url_of


async def command(*arguments: str, url: str | None = None):
    """Run a command beside this test's own event loop."""
    return await asyncio.to_thread(run, *arguments, *([] if url is None else ["--url", url]))


async def save_order(config: DatabaseConfig) -> None:
    """Save an order, and fold it."""
    async with EventStore.open(config) as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
        await store.wait_for(await store.log.head())


async def test_migrate(database_url: str):
    """A dry run changes nothing and says what would run; then it runs; then there is nothing left to do."""
    planned = await command("migrate", "--dry-run", url=database_url)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert planned.stdout.splitlines()[0] == "would apply 0001_event_log"
    assert planned.stdout.splitlines()[-1] == "the schema is at version 0000"
    done = await command("migrate", url=database_url)
    assert done.returncode == 0, done.stderr
    steps = [line.removeprefix("would apply ") for line in planned.stdout.splitlines()[:-1]]
    assert done.stdout.splitlines()[:-1] == [f"applied {step}" for step in steps]
    assert done.stdout.splitlines()[-1] == f"the schema is at version {len(steps):04d}"
    again = await command("migrate", url=database_url)
    assert again.stdout.splitlines() == [f"the schema is at version {len(steps):04d}"]


async def test_migrate_to_a_version(database_url: str):
    """Up to a version and down again, in each of its spellings; a version that does not exist is refused."""
    up = await command("migrate", "--to", "2", url=database_url)
    assert up.stdout.splitlines()[-1] == "the schema is at version 0002"
    down = await command("migrate", "--to", "0001", url=database_url)
    assert down.stdout.splitlines() == ["undone 0002_read_tables", "the schema is at version 0001"]
    assert_refused(await command("migrate", "--to", "999", url=database_url), "no migration '999'")
    assert_refused(await command("migrate", "--to", "-1", url=database_url), "-1")


async def test_migrate_never_drops_events(migrated_config: DatabaseConfig):
    """The way down stops before a table that has rows."""
    await save_order(migrated_config)
    done = await command("migrate", "--to", "0", url=url_of(migrated_config))
    assert_refused(done, "would drop the rows of events")


async def test_the_environment_names_the_database(database_url: str):
    """`DATABASE_URL` is used where no option is given, and an option wins over it."""
    done = await asyncio.to_thread(run, "migrate", env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    wrong = {"DATABASE_URL": "postgresql://nobody@/nothing?host=/nowhere"}
    done = await asyncio.to_thread(run, "status", "--url", database_url, env=wrong)
    assert done.returncode == 0, done.stderr


async def test_status(migrated_config: DatabaseConfig):
    """It shows the migrations, the head, the events by category and each projection's lag."""
    url = url_of(migrated_config)
    empty = await command("status", url=url)
    assert empty.returncode == 0, empty.stderr
    assert "the head of the log is at position 0" in empty.stdout
    await save_order(migrated_config)
    shown = await command("status", url=url)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"0001_event_log +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown.stdout)
    assert "the head of the log is at position 1" in shown.stdout
    assert re.search(r"^ *order +1 *$", shown.stdout, re.MULTILINE)
    for name in ("orders", "positions", "portfolios"):
        assert re.search(rf"{name} +1 +0 +\d+ s ago", shown.stdout), shown.stdout


async def test_status_shows_a_lag(migrated_config: DatabaseConfig):
    """Events that no worker has folded are counted."""
    await save_order(migrated_config)
    async with EventStore.open(migrated_config, workers=False) as store:
        for _ in range(3):
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY))
    shown = await command("status", url=url_of(migrated_config))
    assert re.search(r"orders +1 +3 +\d+ s ago", shown.stdout), shown.stdout


async def test_status_of_a_database_that_is_not_migrated(database_url: str):
    """It shows what is pending, says what to do, and changes nothing."""
    await command("migrate", "--to", "1", url=database_url)
    shown = await command("status", url=database_url)
    assert_refused(shown, "run `eventstore migrate`")
    assert "pending" in shown.stdout


@pytest.fixture
async def roles(server_config: DatabaseConfig):
    """Three roles of the cluster, dropped again."""
    names = [f"{part}_{uuid4().hex[:8]}" for part in ("writer", "reader", "projector")]
    connection = await admin_connection(server_config)
    for name in names:
        await connection.execute(f"CREATE ROLE {name}")
    yield names
    for name in names:
        await connection.execute(f"DROP ROLE {name}")
    await connection.close()


async def test_grant(roles: list[str], migrated_config: DatabaseConfig):
    """Each role is given its rights, the statements that did so are printed, and then what each may do."""
    writer, reader, projector = roles
    url = url_of(migrated_config)
    done = await command("grant", "--writer", writer, "--reader", reader, "--projector", projector, url=url)
    assert (done.returncode, done.stderr) == (0, "")
    ran, _, rights = done.stdout.partition("Rights\n")
    assert ran
    assert all(line.startswith(("GRANT", "ALTER", "REVOKE")) for line in ran.splitlines())
    assert re.search(rf"{writer} +writer +EXECUTE +append_event", rights)
    assert re.search(rf"{projector} +projector +DELETE, INSERT, SELECT, UPDATE .*orders", rights)
    again = await command("grant", "--writer", writer, "--reader", reader, "--projector", projector, url=url)
    assert (again.returncode, again.stdout) == (0, f"Rights\n{rights}")
    connection = await admin_connection(migrated_config)
    try:
        may = "SELECT has_table_privilege($1, $2, $3)"
        assert not await connection.fetchval(may, writer, "events", "INSERT")
        assert await connection.fetchval(may, writer, "events", "SELECT")
        assert await connection.fetchval(may, reader, "orders", "SELECT")
        assert not await connection.fetchval(may, reader, "orders", "UPDATE")
        assert await connection.fetchval(may, projector, "orders", "UPDATE")
        await connection.execute(f"GRANT DELETE ON events TO PUBLIC; GRANT {writer} TO {reader}")
        more = await command("grant", "--reader", reader, url=url)
        assert more.returncode == 1, more
        assert "REVOKE DELETE ON TABLE public.events FROM PUBLIC" in more.stdout
        assert f"{reader} may EXECUTE on function append_event" in more.stdout
    finally:
        for role in roles:
            await connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
            await connection.execute(f"DROP OWNED BY {role}")
        await connection.close()


async def test_grant_without_roles(migrated_config: DatabaseConfig):
    """Without a role, or with one that does not exist, nothing is granted."""
    url = url_of(migrated_config)
    assert_refused(await command("grant", url=url), "name at least one role")
    assert_refused(await command("grant", "--reader", "no_such_role", url=url), "no role no_such_role")


async def test_status_for_programs_and_again_and_again(migrated_config: DatabaseConfig):
    """`--json` is one document; `--watch` without a terminal writes a line for each projection, each time."""
    await save_order(migrated_config)
    url = url_of(migrated_config)
    shown = await command("status", "--json", url=url)
    (orders,) = [one for one in json.loads(shown.stdout)["projections"] if one["projection"] == "orders"]
    wanted = {
        "position": 1,
        "lag_events": 0,
        "lag_s": 0,
        "quarantined": 0,
        "partitions": 1,
        "partitions_active": 0,
    }
    assert orders | wanted == orders
    process = command_line.start("status", "--watch", "--interval", "0.1", "--url", url)
    try:
        assert process.stdout is not None
        lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(8)]
        process.send_signal(signal.SIGINT)
        _, error = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert (process.returncode, error) == (130, "")
    assert sum(line.startswith("head 1 orders position 1 lag 0 events 0.0 s") for line in lines) >= 2, lines
