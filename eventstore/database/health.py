"""What can be asked of a pool: its statistics, its health, and what its server is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The pool at one point in time.

    Attributes:
        size: Connections open.
        idle: Of these, free.
        in_use: Of these, handed out.
        waiting: Callers that wait for a connection.
        min_size: The configured least number.
        max_size: The configured greatest number.
    """

    size: int
    idle: int
    in_use: int
    waiting: int
    min_size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """The answer of a health check; true where the database answered.

    Attributes:
        healthy: Whether it answered.
        latency_s: Seconds from asking for a connection to the answer; None where there was none.
        error: What went wrong, in one line; None where nothing did.
    """

    healthy: bool
    latency_s: float | None = None
    error: str | None = None

    def __bool__(self) -> bool:
        return self.healthy


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What the server says of a connection.

    Attributes:
        server_version: Such as `18.0`.
        database: The database's name.
        user: The role logged in as.
        schema: The schema in which names are looked up first; None where there is none.
        backend_pid: The server's process.
        encrypted: Whether the connection to the server uses TLS; behind a pooler, the pooler's.
        in_recovery: Whether the server is a standby, which can only read.
    """

    server_version: str
    database: str
    user: str
    schema: str | None
    backend_pid: int
    encrypted: bool
    in_recovery: bool
