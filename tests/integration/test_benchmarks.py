"""The benchmarks run, and their results have the form that is promised; what they measure is nobody's business here."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import orjson
import pytest

from tests.waiting import until

pytest.importorskip("matplotlib", reason="the extra `bench` is not installed")

_ROOT = Path(__file__).parents[2]

FIELDS = ["workload", "value", "unit", "floor", "ratio", "goal", "goal_is", "met", "runs"]
GOALS = {
    "append_1_writer",
    "append_1_writer_p50",
    "append_10_events_1_writer",
    "append_10_events_32_writers",
    "append_128_writers",
    "append_32_writers",
    "as_of_book",
    "as_of_entity",
    "bulk_load",
    "catch_up",
    "equity_curve",
    "list_by_symbol",
    "load_long_position",
    "load_order",
    "load_portfolio",
    "many_fills",
    "one_stream_8_writers",
    "one_stream_8_writers_p50",
    "projection_lag",
    "rebuild",
    "replay",
    "replay_rate",
    "storage",
    "writer_with_workers",
    "writers_with_workers",
    "paced_writer_with_workers",
}


async def _run(*options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--tiny", *options),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def _plots(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.svg"))


async def test_every_workload_runs_and_every_goal_is_reported(tmp_path: Path):
    """At a tiny size: one object for each goal, its ratio and verdict those of its figures; and a plot for each curve."""
    output = await _run("--results", str(tmp_path / "results.json"), "--plots", str(tmp_path))
    results = orjson.loads((tmp_path / "results.json").read_bytes())
    assert {result["workload"] for result in results} == GOALS
    assert len(results) == len(GOALS)
    for result in results:
        assert list(result) == FIELDS
        assert result["value"] > 0
        assert result["floor"] > 0
        assert result["runs"] == 1
        ratio = result["value"] / result["floor"]
        assert result["ratio"] == pytest.approx(ratio)
        at_least = result["goal_is"] == "at_least"
        assert at_least or result["goal_is"] == "at_most"
        assert result["met"] is (ratio >= result["goal"] if at_least else ratio <= result["goal"])
    plots = _plots(tmp_path)
    assert plots == ["appends_a_second_by_writers.svg", "microseconds_of_a_load_by_events_of_its_stream.svg"]
    assert all(name in "".join(output.split()) for name in plots)


@pytest.mark.full
async def test_the_hottest_paths_are_profiled():
    """At a tiny size: the document has the tables that are printed, and each names functions of the library."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.profiles", "--tiny"), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    document = (_ROOT / "docs" / "performance.md").read_text()
    tables = output.decode().split("### ")[1:]
    assert len(tables) == 4
    for table in tables:
        title, _, head, *rows = table.strip().splitlines()
        assert f"### {title}\n\n{head}\n" in document
        assert any("eventstore/" in row for row in rows)


@pytest.mark.full
async def test_the_growth_of_the_log_is_measured(tmp_path: Path):
    """Two tiny logs: a column and a result for each, and a plot for each figure; ids of both kinds share theirs."""
    results = tmp_path / "growth.json"
    options = ("--events", "1000", "--events", "5000", "--plots", str(tmp_path), "--results", str(results))
    output = await _run("--large", *options)
    assert "1,000 events" in output
    assert "5,000 events" in output
    found = orjson.loads(results.read_bytes())
    assert all(list(one) == ["figure", "events", "value", "unit", "runs"] for one in found)
    figures = {one["figure"] for one in found}
    assert {(one["figure"], one["events"]) for one in found} == {
        (figure, events) for figure in figures for events in (1_000, 5_000)
    }
    assert all(one["value"] > 0 for one in found)
    assert len(_plots(tmp_path)) == len(figures) - 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--only", "nothing"], "'nothing'"),
        (["--rounds", "-1"], "'-1'"),
        (["--large", "--events", "0"], "'0'"),
        (["--large", "--only", "replay"], "--large"),
        (["--events", "10"], "--large"),
    ],
)
async def test_what_cannot_be_measured_is_refused_in_one_line(options: list[str], says: str):
    """The line names what was wrong; no server is started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", *options), cwd=_ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert error.decode().count("\n") == 1
    assert says in error.decode()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interruption_leaves_no_server_behind(number: signal.Signals, status: int):
    """Ctrl-C and SIGTERM while a workload runs: no traceback, and the server and its folder are gone."""
    folder = Path(tempfile.mkdtemp(prefix="evtest-"))  # the server's user may not enter pytest's
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--only", "append_1_writer", "--rounds", "1000"),
        cwd=_ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert b"round 1" in await asyncio.wait_for(process.stdout.readline(), timeout=120)
        # A terminal sends Ctrl-C to every process of the session's foreground, the server's helpers too.
        (os.killpg if number is signal.SIGINT else os.kill)(process.pid, number)
        _, error = await asyncio.wait_for(process.communicate(), timeout=60)
        assert (process.returncode, error) == (status, b"")
        await until(lambda: not list(folder.glob("eventstore-*")))
    finally:
        if process.returncode is None:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
