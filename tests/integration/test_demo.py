"""The demo: a real tape through the whole store, the proof at its end, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from eventstore.cli.proof import prove
from eventstore.core.entity import Entity
from eventstore.database import DatabaseConfig
from eventstore.examples.order_engine import OrderEngine
from eventstore.examples.ticks import INSTALL_TAPE, packaged_tape, read_ticks
from eventstore.store import EventStore
from tests import command_line
from tests.command_line import assert_refused, run
from tests.conftest import admin_connection, url_of
from tests.waiting import until

PRINTS = 3_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of our own; pytest's may not be entered by the server's user."""
    made = Path(tempfile.mkdtemp(prefix="evtest-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def fetch(config: DatabaseConfig, query: str) -> Any:
    """Run a statement on a connection of its own."""
    connection = await admin_connection(config)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def check_output(output: str) -> tuple[int, int]:
    """Check what a demo printed, and return its orders and its rows."""
    lines = output.splitlines()
    played = re.search(r"^played \d+ prints, .* UTC: (\d+) orders, (\d+) events in ", output, re.MULTILINE)
    assert played
    for title in ("Portfolios", "Open positions", "Orders by status", "Events by type", "Equity in dollars"):
        assert any(line.startswith(title) for line in lines), title
    assert f" {played[2]}" in output.split("Events by type")[1]
    proofs = [re.fullmatch(r"(rebuild|fold): (\d+) rows equal, 0 different", line) for line in lines]
    (rebuilt, folded) = (proof for proof in proofs if proof)
    assert (rebuilt[1], folded[1]) == ("rebuild", "fold")
    assert rebuilt[2] == folded[2]
    return int(played[1]), int(rebuilt[2])


def test_the_demo(folder: Path):
    """On an embedded server alone it plays, proves and ends well; what it keeps can be looked at again."""
    kept = folder / "kept"
    done = run("demo", "--prints", PRINTS, "--keep", kept)
    assert (done.returncode, done.stderr) == (0, "")
    orders, rows = check_output(done.stdout)
    assert rows > orders > 100

    assert not (kept / "postmaster.pid").exists()
    again = run("url", "--data", kept)
    assert again.returncode == 0, again.stderr
    try:
        psql = next(line for line in done.stdout.splitlines() if "/psql" in line)
        command = [*shlex.split(psql), "-Atc", "SELECT count(*) FROM orders"]
        looked = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(looked.stdout) == orders
        status = run("status", "--url", again.stdout.strip())
        assert re.search(r"orders +\d+ +0 +\d+ s ago", status.stdout), status.stdout + status.stderr
        rebuilt = run("rebuild", "--all", "--compare", "--data", kept)
        assert rebuilt.stdout.splitlines()[-1] == f"rebuild: {rows} rows equal, 0 different"
        assert_refused(run("demo", "--prints", 1, "--keep", kept), "has events already")
    finally:
        assert run("stop", "--data", kept).returncode == 0
    assert not (kept / "postmaster.pid").exists()


async def test_the_demo_on_another_database(migrated_config: DatabaseConfig, tmp_path: Path):
    """`--url` names a database to play on, and only one without events: they could not be removed again.

    The tear sheet is where it was asked for, and the last line says so.
    """
    url = url_of(migrated_config)
    sheet = tmp_path / "new" / "sheet.html"
    done = await asyncio.to_thread(run, "demo", "--prints", PRINTS, "--url", url, "--report", sheet)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"the tear sheet is in {sheet}"
    assert "revert-100" in sheet.read_text(encoding="utf-8")
    orders, _ = check_output(done.stdout)
    assert await fetch(migrated_config, "SELECT count(*) FROM orders") == orders
    head = await fetch(migrated_config, "SELECT max(position) FROM events")
    again = await asyncio.to_thread(run, "demo", "--prints", PRINTS, "--url", url)
    assert_refused(again, f"has events already (up to position {head})")
    assert await fetch(migrated_config, "SELECT max(position) FROM events") == head


async def test_the_demo_finds_a_difference(migrated_config: DatabaseConfig):
    """A read table that is not what the log says makes the demo fail, and name the table and the row."""
    await fetch(
        migrated_config,
        """
        CREATE FUNCTION embezzle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.realized_pnl := NEW.realized_pnl + 1; RETURN NEW; END $$
        """,
    )
    await fetch(
        migrated_config,
        "CREATE TRIGGER embezzle BEFORE UPDATE ON positions FOR EACH ROW EXECUTE FUNCTION embezzle()",
    )
    done = await asyncio.to_thread(run, "demo", "--prints", PRINTS, "--url", url_of(migrated_config))
    assert done.returncode == 1, done.stderr
    rebuilt, folded = (line for line in done.stdout.splitlines() if "rows equal" in line)
    assert re.fullmatch(r"rebuild: \d+ rows equal, [1-9]\d* different", rebuilt)
    assert rebuilt.partition(":")[2] == folded.partition(":")[2]
    assert re.search(r"^positions: \d+ different, such as .*[0-9a-f]{8}-", done.stdout, re.MULTILINE)


# ---- the engine ----------------------------------------------------------------------------------------------


async def play(config: DatabaseConfig, prints: int) -> tuple[list[Any], list[Entity]]:
    """Run the engine, and return what the log has and what the strategies have."""
    async with EventStore.open(config) as store:
        engine = OrderEngine(store, read_ticks(packaged_tape(), limit=prints))
        await engine.run()
        events = [event async for event in store.log.read_all()]
        assert len(events) == engine.events_saved
        assert engine.last_position == events[-1].position
        entities: list[Entity] = []
        async with store.unit_of_work() as uow:
            for strategy in engine.strategies:
                mine = (strategy.portfolio, strategy.position, strategy.entry, strategy.target, strategy.stop)
                entities += [entity for entity in mine if entity is not None]
                assert await uow.portfolios.get_portfolio_by_id(strategy.portfolio.id) == strategy.portfolio
                if strategy.position is not None:
                    assert await uow.positions.get_position_by_id(strategy.position.id) == strategy.position
                for order in (strategy.entry, strategy.target, strategy.stop):
                    if order is not None:
                        assert await uow.orders.get_order_by_id(order.id) == order
        return events, entities


async def test_the_store_has_what_the_engine_has(migrated_config: DatabaseConfig):
    """What the strategies hold in memory is what the store gives back, and each decision is one append."""
    events, entities = await play(migrated_config, PRINTS)
    assert len(entities) > 7
    assert {event.category for event in events} == {"order", "position", "portfolio"}
    actors = Counter(event.metadata["actor"] for event in events)
    assert len(actors) == 7
    # The events of a fill, of its order, its position and its portfolio, were recorded by one statement.
    fills: dict[str, set[Any]] = {}
    for event in events:
        execution = getattr(event.event, "execution_id", None) or getattr(event.event, "trade_id", None)
        if execution is not None:
            fills.setdefault(execution, set()).add(event.recorded_at)
    assert fills
    assert all(len(times) == 1 for times in fills.values())


async def test_two_runs_are_equal(make_database, migrated_template: str):
    """The same tape gives each strategy the same events in the same order, ids aside."""
    runs = []
    for _ in range(2):
        async with make_database(migrated_template) as config:
            events, _ = await play(config, PRINTS)
        by_actor: dict[str, list[Any]] = {}
        for event in events:
            content = event.event.model_dump(exclude={"portfolio_id"})
            by_actor.setdefault(event.metadata["actor"], []).append((event.type, event.version, content))
        runs.append(by_actor)
    assert runs[0] == runs[1]


async def test_a_tampered_row_is_found(migrated_config: DatabaseConfig):
    """One digit in one row of a read table, and both proofs differ by that row."""
    async with EventStore.open(migrated_config) as store:
        await OrderEngine(store, read_ticks(packaged_tape(), limit=PRINTS)).run()
        rebuilt, folded = await prove(store)
        assert rebuilt.is_equal
        assert folded.is_equal
        assert rebuilt.line.partition(":")[2] == folded.line.partition(":")[2]
        tampered = await fetch(
            migrated_config,
            "UPDATE orders SET commission = commission + 0.01 WHERE id = (SELECT min(id::text)::uuid FROM orders) "
            "RETURNING id::text",
        )
        for proof in await prove(store):
            assert not proof.is_equal
            assert proof.line.endswith(" rows equal, 1 different")
            (line,) = proof.differences
            assert line.startswith("orders: 1 different")
            assert tampered in line
        await fetch(migrated_config, "DELETE FROM portfolios WHERE name = 'revert-100' RETURNING id::text")
        for proof in await prove(store):
            assert proof.line.endswith(" rows equal, 2 different")


# ---- what it refuses -----------------------------------------------------------------------------------------


def test_a_bad_tape_starts_no_server(folder: Path):
    """A missing file, wrong columns and a malformed row are each one line; no folder is made."""
    kept = folder / "kept"
    assert_refused(run("demo", "--ticks", folder / "none.csv", "--keep", kept), "none.csv", "No such file")
    tape = folder / "tape.csv"
    tape.write_text("a,b\n1,2\n")
    assert_refused(run("demo", "--ticks", tape, "--keep", kept), "columns a,b", "DateTime,Price,Volume")
    tape.write_text("DateTime,Price,Volume\n2013-09-01 17:00:00,1640.25,8\n2013-09-01 17:00:00,oops,8\n")
    assert_refused(run("demo", "--ticks", tape, "--keep", kept), "row 2 (line 3)", "oops")
    assert not kept.exists()


def test_another_tape(folder: Path):
    """A tape of one's own is played; one too short for any order proves itself empty but for the portfolios."""
    tape = folder / "tape.csv"
    tape.write_text("DateTime,Price,Volume\n2013-09-01 17:00:00,1640.25,8\n")
    done = run("demo", "--ticks", tape)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rebuild: 7 rows equal, 0 different" in done.stdout.splitlines()
    assert "fold: 7 rows equal, 0 different" in done.stdout.splitlines()


def test_without_the_tape():
    """Where the package is not installed, the one command that installs it is printed."""
    program = (
        "import sys, eventstore.cli.application, eventstore.cli as cli;"
        "sys.path[:] = []; sys.argv = ['eventstore', 'demo']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=command_line.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(done, INSTALL_TAPE)


def test_folders_that_cannot_be_used(folder: Path):
    """A folder of something else, two folders, or a folder beside a URL: refused, and nothing is written."""
    (folder / "thesis.txt").write_text("x")
    assert_refused(run("demo", "--prints", 10, "--keep", folder), "not empty and holds no PostgreSQL data")
    assert_refused(run("demo", "--keep", folder / "a", "--data", folder / "b"), "--keep and --data")
    assert_refused(run("demo", "--keep", folder / "a", "--url", "postgresql://x/y"), "--url")
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


async def test_a_database_that_is_not_migrated(database_config: DatabaseConfig):
    """The line says how to migrate it; no table is made."""
    done = await asyncio.to_thread(run, "demo", "--prints", 10, "--url", url_of(database_config))
    assert_refused(done, "run `eventstore migrate`")
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert await fetch(database_config, tables) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("point", ["starting", "playing"])
async def test_interrupted(folder: Path, number: signal.Signals, status: int, point: str):
    """Ctrl-C and SIGTERM stop the server and end without a traceback, and a temporary folder goes."""
    process = command_line.start("demo", env={"TMPDIR": str(folder)})
    try:
        await until(lambda: bool(list(folder.glob("eventstore-*/postmaster.pid"))), limit_s=60)
        if point == "playing":
            (data,) = folder.glob("eventstore-*")  # noqa: ASYNC240 - a temporary folder
            config = DatabaseConfig(host=str(data))
            await until(lambda: has_events(config), limit_s=60)
        # A terminal sends Ctrl-C to every process of the session's foreground, the server's helpers too.
        (os.killpg if number is signal.SIGINT else os.kill)(process.pid, number)
        out, error = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    assert (process.returncode, error) == (status, "")
    assert "rows equal" not in out
    assert not list(folder.glob("eventstore-*"))  # noqa: ASYNC240


async def has_events(config: DatabaseConfig) -> bool:
    """Whether a server runs that has a log with an event in it."""
    try:
        return bool(await fetch(config, "SELECT EXISTS (SELECT FROM events)"))
    except (OSError, asyncpg.PostgresError):
        return False


@pytest.mark.full
@pytest.mark.parametrize(
    ("options", "prints", "orders_min"), [((), 200_000, 13_000), (("--prints", 500_000), 500_000, 20_000)]
)
def test_the_tape(options: tuple[Any, ...], prints: int, orders_min: int):
    """By default it plays a part of the tape and says how all of it is played; every row of either run is proved."""
    done = run("demo", *options, timeout_s=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"played {prints} prints, " in done.stdout
    assert ("--prints 500000 plays them all" in done.stdout) is (not options)
    orders, rows = check_output(done.stdout)
    assert orders >= orders_min
    assert rows > orders


async def test_the_inspector_at_its_end(folder: Path):
    """With --ui the demo ends with an address, which serves its books until Ctrl-C; the folder is kept as without."""
    process = command_line.start("demo", "--prints", 300, "--keep", folder / "data", "--ui")
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith("the inspector is at "):
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, "the demo ended without an address"
        async with httpx.AsyncClient(follow_redirects=True) as client:
            page = await client.get(line.split()[-1])
        assert page.status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        out, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, errors
    assert out.startswith("stopped\nthe database is kept in ")
