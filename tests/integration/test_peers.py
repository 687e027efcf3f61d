"""The comparison with other event stores runs, and says in one line what it lacks; who wins is nobody's business here."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest

pytest.importorskip("rich", reason="the extra `bench` is not installed")

_WITHOUT = """
import sys
sys.modules["eventsourcing"] = None
from benchmarks.peers import main
sys.exit(main(["--tiny"]))
"""


async def _python(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_without_the_peers_it_says_so_in_one_line():
    """Nothing is started, and the line names the extra."""
    status, output = await _python("-c", _WITHOUT)
    assert status == 2
    assert output.count("\n") == 1
    assert ".[peers]" in output


@pytest.mark.skipif(find_spec("eventsourcing") is None, reason="the extra `peers` is not installed")
async def test_ours_and_each_peer_are_measured(tmp_path: Path):
    """At a tiny size: a line for each way that a peer has, and for each table a result whose floor is the best of them."""
    results = tmp_path / "peers.json"
    status, output = await _python("-m", "benchmarks.peers", "--tiny", "--results", str(results))
    assert status == 0, output
    for name in (
        "ours",
        "workers in the process",
        "eventsourcing, its recorder",
        "eventsourcing, its aggregates",
    ):
        assert name in output
    found = orjson.loads(results.read_bytes())
    goals = {
        "peers_32_writers": 5,
        "peers_1_writer": 1,
        "peers_10_events_1_writer": 1,
        "peers_10_events_32_writers": 1,
        "peers_one_stream": 1,
        "peers_load_stream": 1.5,
        "peers_read_all": 1.5,
    }
    assert {result["workload"]: result["goal"] for result in found} == goals
    for result in found:
        assert result["ratio"] == pytest.approx(result["value"] / result["floor"])
        assert result["met"] is (result["ratio"] >= result["goal"])
