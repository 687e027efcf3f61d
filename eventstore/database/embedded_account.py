"""The operating system account of an embedded server, and the programs that it may run."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from eventstore.errors import ConfigurationError

_NAME = "pgserver"  # PostgreSQL refuses to run as root, and needs an account that has a name
_KEPT = {"LANG", "LANGUAGE", "PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
_CACHES = (Path("/var/cache"), Path("/var/lib"))
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Account:
    """The account of a server: the account of this process, or another one if this process is root.

    Attributes:
        name: The name of the account.
        uid: The user id.
        gid: The group id.
        is_other: Whether it differs from the account of this process.
    """

    name: str
    uid: int
    gid: int
    is_other: bool

    @classmethod
    def of(cls, folder: Path) -> Account:
        """Return the account for the server of a folder.

        It is the account of this process. Root's servers run under the account that owns the folder, or
        if root owns it, under an account that is created for them.

        Raises:
            ConfigurationError: The folder belongs to another user, or no account is available.
        """
        own = os.geteuid()
        owner = folder.stat().st_uid
        if owner not in (own, 0) and own != 0:
            raise ConfigurationError(
                f"{folder} belongs to {_name_of(owner)}: name a folder of your own, or start the server as that user"
            )
        is_roots = own == 0 and owner == 0
        entry = _made_for_servers() if is_roots else _entry(own or owner)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_uid != own)

    def run(
        self, *command: str | Path, timeout_s: float | None = None, open_files: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program under the account, with only its groups and without secrets from the environment.

        Args:
            command: The program and its arguments.
            timeout_s: The time limit in seconds; None for no limit.
            open_files: Numbers of open files that the program inherits.

        Returns:
            The result; `stdout` has everything that the program printed.

        Raises:
            OSError: The program could not be started.
            subprocess.TimeoutExpired: The program did not end in time, and was killed.
        """
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
        other: dict[str, Any] = (
            {"user": self.uid, "group": self.gid, "extra_groups": [self.gid]} if self.is_other else {}
        )
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            # A server inherits the open files of its starter, so a pipe would never reach its end.
            done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - programs of ours
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                cwd="/",
                env={**kept, "HOME": "/"},
                umask=0o077,
                timeout=timeout_s,
                pass_fds=open_files,
                **other,
            )
            done.stdout = _all_of(output)
        return done

    def may_enter(self, folder: Path, *, open_files: Sequence[int] = ()) -> bool:
        """Whether the account can enter a folder, with the help of inherited open files."""
        return not self.is_other or self._can('cd -- "$1"', folder, open_files)

    def may_run(self, *files: Path) -> bool:
        """Whether the account can read and run files."""
        return not self.is_other or all(self._can('test -r "$1" && test -x "$1"', file) for file in files)

    def give(self, folder: Path) -> None:
        """Make the account the owner of a folder that this process has just created."""
        if self.is_other:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def _can(self, test: str, path: Path, open_files: Sequence[int] = ()) -> bool:
        return self.run("/bin/sh", "-c", test, "sh", path, open_files=open_files).returncode == 0


def programs(package: Any, account: Account) -> Path:
    """Return a folder of PostgreSQL's programs from which the account can run them.

    Root's virtual environments are often in a private folder. It stays private: the programs are copied
    to a folder from which others may run them.

    Raises:
        ConfigurationError: There is no suitable folder for the copy.
    """
    version: int = package.TARGET_POSTGRES_VERSION
    own: Path = package.utils.POSTGRES_VERSIONS[version]
    if account.may_run(own / "postgres", own / "initdb", own / "pg_ctl", own.parent / "share"):
        return own
    for base in _CACHES:
        if base.is_dir() and base.stat().st_uid == 0 and not base.stat().st_mode & _OPEN_TO_OTHERS:
            return _copied(own, base / "trading-eventstore", version)
    raise ConfigurationError(
        f"the account {account.name}, under which root's servers run, cannot run the programs in {own}: install the "
        "package outside of private folders, or start the server as another user than root"
    )


def _copied(own: Path, base: Path, version: int) -> Path:
    # The programs find their libraries relative to their own path, so the copy has the layout of the package.
    package = own.parent.parent
    made = (own / "postgres").stat()
    digest = hashlib.sha256(f"{own} {made.st_mtime_ns} {made.st_size}".encode()).hexdigest()[:16]
    base.mkdir(mode=0o755, exist_ok=True)
    target = base / f"postgresql-{version}-{digest}"
    copy = target / own.relative_to(package.parent)
    if not target.exists():
        beside = Path(tempfile.mkdtemp(prefix=".copy-", dir=base))
        try:
            for part in (own.parent, package / ".dylibs", package.with_name(f"{package.name}.libs")):
                if part.is_dir():
                    shutil.copytree(part, beside / part.relative_to(package.parent), symlinks=True)
            for path in (beside, *beside.rglob("*")):
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)
            with suppress(OSError):  # another process has created it meanwhile
                beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    found = target.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & _OPEN_TO_OTHERS:
        raise ConfigurationError(f"{target} is not root's own folder: remove it, and start the server again")
    return copy


def _made_for_servers() -> pwd.struct_passwd:
    """Return the account of root's servers; create it if it is missing."""
    with suppress(KeyError):
        return pwd.getpwnam(_NAME)
    try:
        done = subprocess.run(  # noqa: S603
            ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _NAME],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        found = done.stderr.strip()
    except OSError as error:
        found = f"useradd: {error.strerror}"
    with suppress(KeyError):  # this process, or another one, has created it
        return pwd.getpwnam(_NAME)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and the account {_NAME} could not be created for it ({found}): create it, or "
        "start the server as another user than root"
    )


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise ConfigurationError(
            f"the user id {uid} has no name on this system, and PostgreSQL does not run without one: add it to the "
            "system's accounts, or name a PostgreSQL with DATABASE_URL"
        ) from None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user id {uid}"


def _all_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
