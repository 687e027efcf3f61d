"""`eventstore quarantine`: list, show, retry and discard, for a projection of a user's own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from projections import ProjectionWorker
from tests.command_line import assert_not_found, assert_refused, run, start
from tests.conftest import url_of
from tests.failing_projection import Spoilt, spoilt_table
from tests.running_workers import place

if TYPE_CHECKING:
    import pytest

    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

NAME = "tests.failing_projection:Spoilt"


async def test_from_failure_to_repair(
    migrated_config: DatabaseConfig, store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A key is listed and shown; a retry fails again while the code does, with status 1, and repairs it afterwards."""
    url = url_of(migrated_config)
    await spoilt_table(store)
    await place(store, 1, 13, 2, symbol="BAD")
    await place(store, 5, symbol="GOOD")
    monkeypatch.setenv("SPOILT_AT", "13")
    await ProjectionWorker(store.log, Spoilt()).catch_up(4)

    listed = await asyncio.to_thread(run, "quarantine", "list", "--json", "--url", url)
    assert listed.stderr == ""
    (held,) = json.loads(listed.stdout)
    assert (held["projection"], held["key"], held["position"]) == ("spoilt", '["BAD"]', 2)
    table = await asyncio.to_thread(run, "quarantine", "list", "--url", url)
    assert "1 keys in quarantine" in table.stdout
    shown = await asyncio.to_thread(run, "quarantine", "show", "spoilt", "BAD", "--url", url)
    assert "ValueError: cannot take 13" in shown.stdout
    assert "Traceback" in shown.stdout

    again = await asyncio.to_thread(run, "quarantine", "retry", NAME, "BAD", "--url", url)
    assert (again.returncode, again.stderr) == (1, "")
    assert "still at position 2: ValueError: cannot take 13" in again.stdout
    monkeypatch.delenv("SPOILT_AT")
    repaired = await asyncio.to_thread(run, "quarantine", "retry", NAME, "--url", url)
    assert (repaired.returncode, repaired.stdout) == (0, 'spoilt ["BAD"]: up to date\n')
    assert await Spoilt.sums(store) == {"BAD": 16, "GOOD": 5}


async def test_the_line_of_a_worker(migrated_config: DatabaseConfig, store: EventStore):
    """A worker that puts a key into quarantine names the projection, the position, the key and the error in one line."""
    await spoilt_table(store)
    await place(store, 13, symbol="BAD")
    variables = {"SPOILT_AT": "13", "DATABASE_URL": url_of(migrated_config)}
    with start("work", "--projection", NAME, env=variables) as worker:
        assert worker.stderr is not None
        line = await asyncio.to_thread(worker.stderr.readline)
        worker.terminate()
    assert line == (
        'eventstore: error: projection spoilt cannot fold the event at position 1: put key ["BAD"] in quarantine: '
        "ValueError: cannot take 13\n"
    )


async def test_discard(migrated_config: DatabaseConfig, store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """It needs a reason, says who did it, and what waits behind the event is folded."""
    url = url_of(migrated_config)
    await spoilt_table(store)
    await place(store, 1, 13, 2, symbol="BAD")
    monkeypatch.setenv("SPOILT_AT", "13")
    await ProjectionWorker(store.log, Spoilt()).catch_up(3)
    assert_refused(
        await asyncio.to_thread(run, "quarantine", "discard", NAME, "BAD", "--url", url), "--reason"
    )
    command = (
        "quarantine",
        "discard",
        NAME,
        "BAD",
        "--reason",
        "a test order",
        "--by",
        "risk desk",
        "--url",
        url,
    )
    done = await asyncio.to_thread(run, *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'spoilt ["BAD"]: the event at position 2 is left out, by risk desk\n'
    assert await Spoilt.sums(store) == {"BAD": 3}
    async with store.connection.acquire() as connection:
        row = await connection.fetchrow("SELECT discarded_by, reason, position FROM projection_discards")
    assert tuple(row) == ("risk desk", "a test order", 2)
    assert_not_found(await asyncio.to_thread(run, *command), "not in quarantine", "quarantine list")
    repeated = await asyncio.to_thread(run, *command, "--position", "2")
    assert (repeated.returncode, repeated.stdout) == (0, done.stdout)
    assert_not_found(await asyncio.to_thread(run, *command, "--position", "3"), "not in quarantine")
