"""Doubles, given-when-then, strategies and fixtures for the tests of code that uses this library.

`eventstore.testing.strategies` needs the extra `testing`; all other names need only the library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventstore.testing.given_when_then import Given, Like, Outcome, given, like
    from eventstore.testing.memory import InMemoryDatabase
    from eventstore.testing.memory_factory import InMemoryUnitOfWorkFactory
    from eventstore.testing.mock_adapter import MockPostgreSQLAdapter

__all__ = [
    "Given",
    "InMemoryDatabase",
    "InMemoryUnitOfWorkFactory",
    "Like",
    "MockPostgreSQLAdapter",
    "Outcome",
    "given",
    "like",
]

_MODULES = {
    "Given": "eventstore.testing.given_when_then",
    "InMemoryDatabase": "eventstore.testing.memory",
    "InMemoryUnitOfWorkFactory": "eventstore.testing.memory_factory",
    "Like": "eventstore.testing.given_when_then",
    "MockPostgreSQLAdapter": "eventstore.testing.mock_adapter",
    "Outcome": "eventstore.testing.given_when_then",
    "given": "eventstore.testing.given_when_then",
    "like": "eventstore.testing.given_when_then",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package at each start, for its plugin, so names are imported only when they are used.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
