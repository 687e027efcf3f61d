"""What can be asked of a pool: its statistics and its health."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HealthStatus", "PoolStatistics"]


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The pool at one moment.

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
