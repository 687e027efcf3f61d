"""The reports of a pool: its statistics, its health, and its server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The statistics of a pool at one point in time.

    Attributes:
        size: The number of open connections.
        idle: The number of free ones.
        in_use: The number of lent ones.
        waiting: The number of callers that wait for a connection.
        min_size: The configured minimum.
        max_size: The configured maximum.
    """

    size: int
    idle: int
    in_use: int
    waiting: int
    min_size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """The result of a health check; it is true if the database answered.

    Attributes:
        healthy: Whether the database answered.
        latency_s: Seconds from asking for a connection to the answer; None without an answer.
        error: The error in one line; None if there was none.
    """

    healthy: bool
    latency_s: float | None = None
    error: str | None = None

    def __bool__(self) -> bool:
        return self.healthy


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The server's description of a connection.

    Attributes:
        server_version: The version, such as `18.0`.
        database: The name of the database.
        user: The role that is logged in.
        schema: The first existing schema of the search path; None if none exists.
        backend_pid: The id of the server's process.
        encrypted: Whether the connection to the server uses TLS; behind a pooler, the pooler's.
        in_recovery: Whether the server is a standby, which is read-only.
    """

    server_version: str
    database: str
    user: str
    schema: str | None
    backend_pid: int
    encrypted: bool
    in_recovery: bool
