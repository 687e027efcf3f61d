"""The data folder of an embedded server: who uses it, and files of ours in it.

The folder may belong to another account than this process's, which may be root's. So nothing here follows a link that the
owner of the folder may have planted, and nothing is locked that others can open.
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
_OPEN_FILES = Path("/proc/self/fd")  # of Linux: a process's open files and folders, by their numbers
_ONLY_FILES = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Postmaster:
    """What a server says of itself in its folder, in the file `postmaster.pid`.

    Attributes:
        pid: The id of its process.
        started: When it was started, in seconds since the epoch, as text.
        port: The number in the name of its socket.
        socket_folder: Where its socket is.
        is_ready: Whether it takes connections.
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
    """The folder of a server's data, of which the account is the owner."""

    def __init__(self, path: Path, account: Account) -> None:
        self.path = path
        self.account = account

    @property
    def has_data(self) -> bool:
        """Whether a server's data is in it."""
        return (self.path / "PG_VERSION").exists()

    def postmaster(self) -> Postmaster | None:
        """Return what the server says of itself; None where the file is missing or not complete yet."""
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
        """Give the path by which the account reaches the folder for a block, and the number of an open file that it needs.

        A folder above it may be private, to root for example, and stays so. On Linux whoever is given the open
        folder itself needs no way through those above it.

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
                f"the account {self.account.name}, under which root's server runs, cannot reach {self.path}, since a "
                "folder above it is private: name a folder outside of it, or start the server as another user than root"
            )
        finally:
            os.close(file)

    def read(self, name: str) -> str:
        """Return the text of a file; nothing where there is no such file, or a link in its place."""
        try:
            file = os.open(self.path / name, os.O_RDONLY | os.O_NONBLOCK | _ONLY_FILES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return ""
            raise
        with open(file, encoding="utf-8", errors="replace") as opened:  # noqa: PTH123 - by its number
            return opened.read() if stat.S_ISREG(os.fstat(file).st_mode) else ""

    def write(self, name: str, text: str) -> None:
        """Put a file in the place of the one of that name, readable by the account alone."""
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
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Let no other process start or stop the server during a block.

        Raises:
            ConnectionError: Another one is at it for longer.
        """
        file = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _ONLY_FILES)
        try:
            self._lock(file, fcntl.LOCK_EX, timeout_s)
            yield
        finally:
            os.close(file)

    def use(self, timeout_s: float) -> int:
        """Count this process among those that use the server; return the number of the open file that says so.

        It ends with `os.close`, or with the process, however that ends.
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
        """Whether other processes use the server, for one that does, while the folder is locked."""
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
                        f"another process starts or stops the embedded server of {self.path} for more than "
                        f"{timeout_s:g} s: try again"
                    ) from None
                time.sleep(_LOCK_POLL_S)
            else:
                return
