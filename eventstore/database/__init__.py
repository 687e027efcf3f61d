"""Configuration, connections, statements, transactions and migrations."""

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import ConnectionFactory, DatabaseConnection
from eventstore.database.error_mapping import map_error, mapped_errors
from eventstore.database.health import ConnectionInfo, HealthStatus, PoolStatistics
from eventstore.database.migrations import (
    AppliedMigration,
    MigrationManager,
    MigrationStatus,
    MigrationStep,
)

__all__ = [
    "AppliedMigration",
    "ConnectionFactory",
    "ConnectionInfo",
    "DatabaseConfig",
    "DatabaseConnection",
    "HealthStatus",
    "MigrationManager",
    "MigrationStatus",
    "MigrationStep",
    "PoolStatistics",
    "PostgreSQLAdapter",
    "map_error",
    "mapped_errors",
]
