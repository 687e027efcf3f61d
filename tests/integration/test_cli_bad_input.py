"""What a user may get wrong: each is one clear line and status 2, with no traceback and no password."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest

from eventstore.database import DatabaseConfig
from tests import command_line
from tests.command_line import assert_refused, run
from tests.conftest import admin_connection, url_of

COMMANDS = ("migrate", "status", "work", "rebuild --all", "grant --reader r", "demo --prints 10")
SECRET = "hunter2"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreachable_server(command: str):
    """The line names the address and what to do, never the password."""
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/trades"
    done = run(*command.split(), "--url", url, env={"DATABASE_CONNECT_TIMEOUT": "1"})
    assert_refused(done, "127.0.0.1:1", "start the server")
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{SECRET}@localhost/trades",
        f"postgresql://me:{SECRET}@localhost:x/trades",
        f"postgresql://me:{SECRET}@localhost/trades?sslmode=maybe",
        f"postgresql://me:{SECRET}@localhost/trades?frobnicate=1",
        f"postgresql://me:{SECRET}/@localhost/trades",
    ],
)
def test_a_url_that_cannot_be_read(url: str):
    """The line says what is wrong with it, without repeating it; as an option and as a variable."""
    for done in (run("status", "--url", url), run("status", env={"DATABASE_URL": url})):
        assert_refused(done)
        assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_no_database_named(command: str):
    """Without an option and a variable, the line says which there are."""
    assert_refused(run(*command.split()), "--url URL", "--data DIR", "DATABASE_URL")


def test_two_databases_named():
    """`--url` and `--data` together are refused."""
    assert_refused(run("status", "--url", "postgresql:///x", "--data", "x"), "give only one of them")


@pytest.mark.parametrize(
    "command", ["status", "work", "rebuild --all", "grant --reader postgres", "demo --prints 10"]
)
async def test_a_database_that_is_not_migrated(database_config: DatabaseConfig, command: str):
    """The line says how to migrate it, and nothing is written."""
    done = await asyncio.to_thread(run, *command.split(), "--url", url_of(database_config))
    assert_refused(done, "run `eventstore migrate`")
    connection = await admin_connection(database_config)
    try:
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert await connection.fetchval(tables) == 0
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def aged(server: DatabaseConfig) -> AsyncIterator[int]:
    """Give the port of a relay to a server, which then says that it is PostgreSQL 14."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, age: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(re.sub(rb"(server_version\0)\d\d", rb"\g<1>14", data) if age else data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(f"{server.host}/.s.PGSQL.{server.port}")
        await asyncio.gather(pump(reader, up_writer, age=False), pump(up_reader, writer, age=True))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize("command", ["migrate", "status", "work", "demo --prints 10"])
async def test_a_server_that_is_too_old(database_config: DatabaseConfig, command: str):
    """The line has its version and the one that is needed, and nothing is written."""
    if not database_config.host.startswith("/"):
        pytest.skip("the server of the tests has no Unix socket to relay to")
    async with aged(database_config) as port:
        url = (
            f"postgresql://{database_config.user}@127.0.0.1:{port}/{database_config.database}?sslmode=disable"
        )
        done = await asyncio.to_thread(run, *command.split(), "--url", url)
    assert_refused(done, "14", "15")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["No such command 'frobnicate'", "eventstore --help"]),
        (["status", "--frobnicate"], ["No such option", "eventstore status --help"]),
        (["demo", "--prints", "0"], ["--prints"]),
        (["demo", "--prints", "many"], ["--prints"]),
        (["url"], ["--data"]),
        (["status", "extra"], ["extra"]),
    ],
)
def test_usage(arguments: list[str], words: list[str]):
    """A mistyped command or option is one line that says where its help is."""
    assert_refused(run(*arguments), *words)


def test_help():
    """Without arguments it shows its commands, and the guide has each."""
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout
    commands = re.findall(r"^  ([a-z][a-z-]*)  ", done.stdout, re.MULTILINE)
    told = re.findall(r"`(?:eventstore )?([a-z-]+)`", Path("docs/cli.md").read_text(encoding="utf-8"))
    assert len(commands) > 20
    assert set(commands) <= set(told)


def test_version():
    """It prints the version of the distribution."""
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"trading-eventstore {version('trading-eventstore')}\n"


def test_the_help_has_groups():
    """Each command is in one group, and the groups are in the order of a user's days."""
    lines = run("--help").stdout.splitlines()
    groups = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert groups == ["Options", "Start", "Look", "Operate", "Prove", "Develop"]
    commands = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")][1:]
    assert len(commands) == len(set(commands))
    assert "None" not in "".join(lines)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str):
    """The script is of the shell, and what it asks the command is answered: commands, options and their values."""
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_EVENTSTORE_COMPLETE=complete_{shell}" in done.stdout
    for words, wanted in ((["eventstore", "reb"], "rebuild"), (["eventstore", "orders", "--as"], "--as-of")):
        given = {"_EVENTSTORE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": " ".join(words)}
        given |= {
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        answer = run(env=given)
        assert wanted in answer.stdout, answer.stderr


def test_completion_in_bash(tmp_path: Path):
    """A real shell that has read the script completes with it."""
    script = tmp_path / "completion"
    script.write_text(run("completion", "bash").stdout)
    (tmp_path / "eventstore").write_text(f'#!/bin/sh\nexec {sys.executable} -m eventstore.cli "$@"\n')
    (tmp_path / "eventstore").chmod(0o755)
    program = f'source {script}; COMP_WORDS=(eventstore por); COMP_CWORD=1; _eventstore_completion eventstore; echo "${{COMPREPLY[@]}}"'
    environment = command_line.environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("portfolios\n", "")


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_extra(module: str):
    """Where the command line's packages are missing, the command that installs them is named."""
    program = f"import sys; sys.modules[{module!r}] = None; from eventstore.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=command_line.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(done, "pip install 'trading-eventstore[cli]'")


def test_a_reader_that_goes_away():
    """`eventstore ... | head` ends quietly."""
    script = '"$@" --help | head -n 1'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command_line.COMMAND],
        env=command_line.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
