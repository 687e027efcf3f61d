"""Run the `eventstore` command as its users do: in a process of its own."""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
    wanted = environment(env)
    if _read_at_start(wanted) == _read_at_start(environment()):
        return _CommandServer.of_this_process().run([str(one) for one in arguments], wanted, timeout_s)
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=wanted,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that Python and the C library read when a process starts, which a fork cannot change."""
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(("PYTHON", "LC_", "LD_", "LANG", "TZ")) and name != "PYTHONPATH"
    }


class _CommandServer:
    """A process that forks for each command; see `tests.command_server`."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="commands-")
        self._address = str(Path(self._folder, "s"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.command_server", str(listener.fileno())],
                env=environment(),
                cwd=Path(__file__).resolve().parents[1],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        atexit.register(self._end)

    @classmethod
    @functools.cache
    def of_this_process(cls) -> _CommandServer:
        """Return the one of this test process, started at its first command."""
        return cls()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self, arguments: list[str], variables: dict[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        request = {"arguments": arguments, "environment": variables, "folder": str(Path.cwd())}
        with (
            socket.socket(socket.AF_UNIX) as connection,
            Path(os.devnull).open() as nothing,
            ThreadPoolExecutor(2) as readers,
        ):
            connection.settimeout(timeout_s)
            connection.connect(self._address)
            ends = [os.pipe(), os.pipe()]
            try:
                descriptors = [nothing.fileno(), *(end for _, end in ends)]
                socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
            finally:
                for _, end in ends:
                    os.close(end)
            texts = [readers.submit(_read, end) for end, _ in ends]
            answer = connection.makefile()
            pid = int(answer.readline())
            try:
                status = int(answer.read())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([*COMMAND, *arguments], timeout_s) from None
            return subprocess.CompletedProcess(
                [*COMMAND, *arguments], status, *(text.result() for text in texts)
            )


def _read(descriptor: int) -> str:
    with open(descriptor) as file:
        return file.read()


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
