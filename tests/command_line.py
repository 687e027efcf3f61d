"""Run the `eventstore` command as its users do: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = (sys.executable, "-W", "error", "-m", "eventstore.cli")


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: nothing in it names a database unless `changes` does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "PG"))}
    return kept | {"COLUMNS": "100", "TERM": "dumb"} | dict(changes or {})


def run(
    *arguments: str | Path | int, env: Mapping[str, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(*arguments: str | Path | int, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command, in a session of its own as a terminal would."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command ended with status 2 and one line that has these words; no traceback, no noise."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("eventstore: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
