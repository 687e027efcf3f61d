"""Which errors pass by themselves, so that a worker waits and tries again."""

from __future__ import annotations

from eventstore.errors import ConnectionError, EventStoreError, TimeoutError

__all__ = ["passes"]

# Classes of SQLSTATE: no memory, disk or connection left, trouble of the operating system, a server that only reads just now.
_PASSING = ("53", "58", "25006")


def passes(error: EventStoreError) -> bool:
    """Whether it is the server's or the network's trouble, and not that of what was asked."""
    return (
        error.retryable
        or isinstance(error, ConnectionError | TimeoutError)
        or (error.sqlstate or "").startswith(_PASSING)
    )
