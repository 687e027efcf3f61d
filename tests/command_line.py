"""Run the `eventstore` command as its users do: in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
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


def assert_not_found(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command ended with status 1, printed nothing, and said in one line what is not there."""
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("eventstore: not found: ")
    for word in words:
        assert word in line


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command ended with status 2 and one line that has these words; no traceback, no noise."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("eventstore: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stdout + done.stderr


def run_on_terminal(
    *arguments: str | Path | int, columns: int, env: Mapping[str, str] | None = None, timeout_s: float = 120
) -> tuple[int, str]:
    """Run a command to its end on a terminal of so many columns; return its status and what the terminal got."""
    master, slave = pty.openpty()
    size = struct.pack("HHHH", 50, columns, 0, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    set_environment = environment(env)
    del set_environment["COLUMNS"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=set_environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    output = b""
    try:
        while select.select([master], [], [], timeout_s)[0]:
            try:
                output += os.read(master, 65_536)
            except OSError:  # as Linux says that nobody has the other end any more
                break
        return process.wait(timeout_s), output.decode().replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(master)
