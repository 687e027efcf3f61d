"""The data folder of an embedded server: the processes that use it, and the library's files in it.

This process may run as root, and the folder may belong to another account. So nothing here follows a
link that the owner of the folder may have planted, and nothing locks a file that others can open.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from eventstore.database.embedded_account import Account
from eventstore.errors import ConfigurationError, ConnectionError

_LOCK_POLL_S = 0.02
_OPEN_FILES = Path("/proc/self/fd")  # on Linux: a process's open files and folders, by number
_ONLY_FILES = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Postmaster:
    """The contents of the server's file `postmaster.pid` in its data folder.

    Attributes:
        pid: The id of the server's process.
        started: The time of its start, in seconds since the epoch, as text.
        port: The number in the name of its socket.
        socket_folder: The folder of its socket.
        is_ready: Whether it accepts connections.
    """

    pid: int
    started: str
    port: int
    socket_folder: Path
    is_ready: bool

    @property
    def socket(self) -> Path:
        """The path of the socket."""
        return self.socket_folder / f".s.PGSQL.{self.port}"


class DataFolder:
    """The data folder of a server, which the account owns."""

    def __init__(self, path: Path, account: Account) -> None:
        self.path = path
        self.account = account

    @property
    def has_data(self) -> bool:
        """Whether the folder contains a server's data."""
        return (self.path / "PG_VERSION").exists()

    def postmaster(self) -> Postmaster | None:
        """Return the contents of `postmaster.pid`; None if the file is missing or incomplete."""
        lines = [line.strip() for line in self.read("postmaster.pid").splitlines()]
        try:
            pid, _, started, port, socket_folder, _, _, status = lines[:8]
            sockets = Path(socket_folder)
            if sockets.parent == _OPEN_FILES:
                sockets = self.path
            return Postmaster(int(pid), started, int(port), sockets, status == "ready")
        except ValueError:
            return None

    @contextmanager
    def opened(self) -> Iterator[tuple[Path, int]]:
        """Yield the path by which the account reaches the folder, and the number of an open file that it needs.

        A parent folder may be private, for example to root, and stays private. On Linux, a process that
        inherits the open folder needs no access to its parents.

        Raises:
            ConfigurationError: The account cannot reach the folder.
        """
        file = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _ONLY_FILES)
        try:
            for seen in (self.path, _OPEN_FILES / str(file)):
                if self.account.may_enter(seen, open_files=[file]):
                    yield seen, file
                    return
            raise ConfigurationError(
                f"the account {self.account.name}, under which root's server runs, cannot reach {self.path}, because a "
                "parent folder is private: name a folder elsewhere, or start the server as another user than root"
            )
        finally:
            os.close(file)

    def read(self, name: str) -> str:
        """Return the text of a file; empty if the file does not exist or is a link."""
        try:
            file = os.open(self.path / name, os.O_RDONLY | os.O_NONBLOCK | _ONLY_FILES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return ""
            raise
        with open(file, encoding="utf-8", errors="replace") as opened:  # noqa: PTH123 - by its number
            return opened.read() if stat.S_ISREG(os.fstat(file).st_mode) else ""

    def write(self, name: str, text: str) -> None:
        """Replace the file with this name by a new one that only the account can read."""
        beside = self.path / f".{name}.new"
        with suppress(FileNotFoundError):
            beside.unlink()
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ONLY_FILES, 0o600)
        with open(file, "w", encoding="utf-8") as opened:  # noqa: PTH123 - by its number
            if self.account.is_other:
                os.fchown(file, self.account.uid, self.account.gid)
            opened.write(text)
        beside.replace(self.path / name)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Prevent other processes from starting or stopping the server during a block.

        Raises:
            ConnectionError: Another process has held the lock for the whole time.
        """
        file = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _ONLY_FILES)
        try:
            self._lock(file, fcntl.LOCK_EX, timeout_s)
            yield
        finally:
            os.close(file)

    def use(self, timeout_s: float) -> int:
        """Count this process as a user of the server; return the number of the open file that marks the use.

        The use ends with `os.close`, or with the process, however the process ends.
        """
        file = os.open(self.path / "PG_VERSION", os.O_RDONLY | _ONLY_FILES)
        try:
            self._lock(file, fcntl.LOCK_SH, timeout_s)
        except BaseException:
            os.close(file)
            raise
        return file

    @staticmethod
    def is_used_by_others(use: int) -> bool:
        """Whether processes other than this one use the server; call it while the folder is locked."""
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def _lock(self, file: int, kind: int, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    raise ConnectionError(
                        f"another process has been starting or stopping the embedded server of {self.path} for more than "
                        f"{timeout_s:g} s: try again"
                    ) from None
                time.sleep(_LOCK_POLL_S)
            else:
                return
