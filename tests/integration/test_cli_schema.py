"""`eventstore schema`, as a user's CI runs it, and `eventstore trace`."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from eventstore.cli import schema as cli
from eventstore.core.causation import caused_by
from eventstore.database import DatabaseConfig
from eventstore.domain import Order, OrderSide
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore
from tests.command_line import assert_not_found, assert_refused, run
from tests.conftest import url_of

BEFORE = """
from decimal import Decimal
from eventstore import Event

class RobotMoved(Event, category="robot"):
    feet: Decimal
"""
BROKEN = BEFORE.replace("feet", "metres")
REPAIRED = (
    BROKEN.replace('category="robot"', 'category="robot", schema_version=2')
    + """
from eventstore import upcaster

@upcaster("robot", "RobotMoved", 1)
def to_metres(data, context):
    return {"metres": str(Decimal(data["feet"]) * Decimal("0.3048"))}
"""
)
HARMLESS = BEFORE + "    name: str | None = None\n"


@pytest.fixture
def schema(tmp_path: Path):
    """Run `eventstore schema ...` on a module with this text."""

    def command(verb: str, module: str, *more: str):
        (tmp_path / "robots.py").write_text(module)
        return run(
            "schema",
            verb,
            "--snapshot",
            tmp_path / "s.json",
            "--module",
            "robots",
            *more,
            env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    return command


def test_a_change_that_breaks_old_events_fails_the_check(schema, tmp_path: Path):
    """It names the field, the version and the upcaster; the snapshot cannot be written over it."""
    assert schema("snapshot", BEFORE).returncode == 0
    written = (tmp_path / "s.json").read_bytes()
    assert schema("check", BEFORE).stdout == "38 event types: 0 change(s) would break old events\n"
    for verb, more in (("check", ()), ("snapshot", ("--update",))):
        done = schema(verb, BROKEN, *more)
        assert done.returncode == 1
        first = done.stdout.splitlines()[0]
        assert first == (
            "BREAKS OLD EVENTS: robot/RobotMoved: the field feet was removed (renamed to metres?); raise schema_version to 2 "
            'and register @upcaster("robot", "RobotMoved", 1)'
        )
    assert (tmp_path / "s.json").read_bytes() == written


def test_with_its_upcaster_the_change_passes(schema):
    """And is taken up; without the upcaster the version alone does not do."""
    schema("snapshot", BEFORE)
    without = REPAIRED.partition("from eventstore import upcaster")[0]
    done = schema("check", without)
    assert done.returncode == 1
    assert '@upcaster("robot", "RobotMoved", 1) is missing' in done.stdout
    assert "upcasters: robot/RobotMoved version 1 has no upcaster" in done.stdout
    assert schema("check", REPAIRED).returncode == 0
    assert schema("snapshot", REPAIRED, "--update").returncode == 0
    assert "harmless" not in schema("check", REPAIRED).stdout


def test_a_harmless_change_passes_and_is_named(schema):
    """It is for the next commit to take up."""
    schema("snapshot", BEFORE)
    done = schema("check", HARMLESS)
    assert done.returncode == 0
    assert "harmless: robot/RobotMoved: a new optional field name" in done.stdout
    assert "0 change(s) would break old events, 1 harmless: add them with" in done.stdout


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No snapshot, one that is none, one that is there already, a module that is not there or cannot be imported."""
    assert_refused(run("schema", "check", "--module", "no_such_module"), "no module no_such_module")
    file = tmp_path / "s.json"
    with pytest.raises(
        ConfigurationError, match=r"s\.json cannot be read .*create it with `eventstore schema snapshot`"
    ):
        cli.check(file)
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match="is not a snapshot of event schemas"):
        cli.check(file)
    with pytest.raises(ConfigurationError, match=r"s\.json exists already: give --update"):
        cli.snapshot(file)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        cli.snapshot(tmp_path / "no" / "s.json")
    (tmp_path / "half_a_robot.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"module half_a_robot \(--module\) cannot be imported: .*no_such_module"
    ):
        cli.check(file, ["half_a_robot"])


async def test_trace_prints_what_came_from_one_command(migrated_config: DatabaseConfig):
    """As a tree, or as JSON; by the correlation's id, or by any event's."""
    correlation = f"command {uuid4()}"
    orders = [Order.create_market_order("AAPL", Decimal(10), OrderSide.BUY) for _ in range(2)]
    async with EventStore.open(migrated_config, workers=False) as store:
        async with store.unit_of_work(correlation_id=correlation, causation_id="click 7", actor="ada") as uow:
            await uow.orders.save_order(orders[0])
        (first,) = await store.history(orders[0].id)
        with caused_by(first):
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(orders[1])
        (second,) = await store.history(orders[1].id)
    url = url_of(migrated_config)
    done = run("trace", correlation, "--url", url)
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 3), done.stderr
    assert lines[0].startswith(
        f"OrderCreated {first.event_id} at {first.position}, order {orders[0].id} version 1"
    )
    assert lines[0].endswith(", by ada, caused by click 7")
    assert lines[1].startswith(f"  OrderCreated {second.event_id} at {second.position}")
    assert lines[2] == f"correlation {correlation}: 2 events"
    told = [
        json.loads(line)
        for line in run("trace", str(second.event_id), "--url", url, "--json").stdout.splitlines()
    ]
    assert [(each["depth"], each["event_id"], each["caused_by"]) for each in told] == [
        (0, str(first.event_id), "click 7"),
        (1, str(second.event_id), str(first.event_id)),
    ]
    nothing = run("trace", "no such command", "--url", url)
    assert_not_found(nothing, "no event has the id or the correlation id no such command")
