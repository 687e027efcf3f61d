"""A PgBouncer in transaction mode before a server: `with PgBouncer(config) as bouncer: bouncer.config()`."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from eventstore.database import DatabaseConfig
from tests.servers import Service, free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
"""The program; None where it is not installed."""

NOT_INSTALLED = "PgBouncer is not installed (Debian package: pgbouncer)"
"""The reason to give when a test is skipped."""


class PgBouncer(Service):
    """A pooler that lends a server connection for each transaction alone.

    Args:
        server: Where PostgreSQL is; all its databases can be reached.
        server_connections: How many connections it keeps to it for each database.
    """

    def __init__(self, server: DatabaseConfig, *, server_connections: int = 2) -> None:
        super().__init__()
        self.server = server
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        password = server.password.get_secret_value() if server.password else ""
        users = self.folder / "users.txt"
        users.write_text(f'"{server.user}" "{password}"\n')
        self._ini = self.folder / "pgbouncer.ini"
        self._ini.write_text(
            "\n".join(
                [
                    "[databases]",
                    f"* = host={server.host} port={server.port}",
                    "[pgbouncer]",
                    "listen_addr = 127.0.0.1",
                    f"listen_port = {self.port}",
                    "unix_socket_dir =",
                    "pool_mode = transaction",
                    f"default_pool_size = {server_connections}",
                    "max_client_conn = 200",
                    "auth_type = trust",
                    f"auth_file = {users}",
                    "server_login_retry = 1",
                    f"logfile = {self.folder / 'log'}",
                    "",
                ]
            )
        )
        self.own(users, self._ini)

    def config(self, **overrides: Any) -> DatabaseConfig:
        """The configuration to reach the server through the pooler."""
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "statement_cache_size": 0}
        return self.server.replace(**(fields | {"ssl_mode": "disable"} | overrides))

    def __enter__(self) -> Self:
        if PROGRAM is None:
            raise RuntimeError(NOT_INSTALLED)
        self._process = subprocess.Popen(
            [PROGRAM, "-q", str(self._ini)], user=self.user, cwd=self.folder, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    raise RuntimeError(f"PgBouncer did not start: {self.log}") from None
                time.sleep(0.05)
            else:
                return self

    @property
    def log(self) -> str:
        """What it has written to its log."""
        path = Path(self.folder / "log")
        return path.read_text() if path.exists() else ""

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        self.remove()
