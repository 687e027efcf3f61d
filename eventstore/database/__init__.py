"""Configuration, connections, statements, transactions and migrations."""

from eventstore.database.adapter import ConnectionInfo, PostgreSQLAdapter
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import (
    ConnectionFactory,
    DatabaseConnection,
    HealthStatus,
    PoolStatistics,
)
from eventstore.database.error_mapping import map_error, mapped_errors

__all__ = [
    "ConnectionFactory",
    "ConnectionInfo",
    "DatabaseConfig",
    "DatabaseConnection",
    "HealthStatus",
    "PoolStatistics",
    "PostgreSQLAdapter",
    "map_error",
    "mapped_errors",
]
