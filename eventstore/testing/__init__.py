"""Doubles, strategies and fixtures for the tests of code that uses this library.

`eventstore.testing.strategies` needs the extra `testing`; all else here needs nothing but the library.
"""

from eventstore.testing.memory import InMemoryDatabase, InMemoryUnitOfWorkFactory
from eventstore.testing.mock_adapter import MockPostgreSQLAdapter

__all__ = ["InMemoryDatabase", "InMemoryUnitOfWorkFactory", "MockPostgreSQLAdapter"]
