"""`eventstore url` and `stop`, and `--data`: an embedded server that commands share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import command_line
from tests.command_line import assert_refused, run


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder of our own, which does not exist yet; its server is stopped at the end."""
    made = Path(tempfile.mkdtemp(prefix="evtest-"))
    yield made / "data"
    if (made / "data" / "PG_VERSION").exists():
        run("stop", "--data", made / "data")
    shutil.rmtree(made, ignore_errors=True)


def test_a_server_that_stays_up(data: Path):
    """`url` prints the URL alone and returns; other commands use the server and leave it up; `stop` ends it."""
    url = run("url", "--data", data)
    assert (url.returncode, url.stderr) == (0, "")
    (line,) = url.stdout.splitlines()
    assert run("migrate", "--url", line).returncode == 0
    assert run("status", "--data", data).returncode == 0
    assert run("url", "--data", data).stdout == url.stdout
    assert run("status", "--url", line).returncode == 0
    assert run("stop", "--data", data).stdout == f"the server of {data} was stopped\n"
    assert_refused(run("status", "--url", line), "cannot connect to PostgreSQL")
    again = run("stop", "--data", data)
    assert (again.returncode, again.stdout) == (0, f"no server is running on {data}\n")


def test_a_shell_can_take_the_url(data: Path):
    """`$(eventstore url ...)` does not hang on a server that keeps the pipe open."""
    script = f'DATABASE_URL="$("$@" url --data {data})" && export DATABASE_URL && "$@" migrate'
    done = subprocess.run(
        ["bash", "-ec", script, "bash", *command_line.COMMAND],
        env=command_line.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "applied 0001_event_log" in done.stdout


def test_a_server_for_one_command(data: Path):
    """`--data` starts the server for the command and stops it after; what was done stays."""
    assert run("migrate", "--data", data).returncode == 0
    assert not (data / "postmaster.pid").exists()
    assert run("status", "--data", data).returncode == 0
    assert not (data / "postmaster.pid").exists()


def test_users_that_were_killed_are_forgotten(data: Path):
    """A process that was killed does not keep the server up after the last one that ends well."""
    process = command_line.start("work", "--data", data)
    process.communicate(timeout=60)  # nothing there yet
    assert run("migrate", "--data", data).returncode == 0
    process = command_line.start("work", "--data", data)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("working on")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert (data / "postmaster.pid").exists()
    assert run("status", "--data", data).returncode == 0
    assert not (data / "postmaster.pid").exists()


@pytest.mark.parametrize("command", ["status", "work", "stop", "grant", "rebuild --all"])
def test_a_folder_without_a_database(data: Path, command: str):
    """A command that needs a database does not make an empty one where the name was mistyped."""
    assert_refused(run(*command.split(), "--data", data), str(data), "holds no")
    assert not data.exists()
