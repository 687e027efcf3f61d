"""Configuration, connections, statements, transactions, migrations and roles."""

from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import ConnectionFactory, DatabaseConnection
from eventstore.database.grants import Granted, RoleRights, grant
from eventstore.database.health import ConnectionInfo, HealthStatus, PoolStatistics
from eventstore.database.migrations import (
    AppliedMigration,
    MigrationManager,
    MigrationStatus,
    MigrationStep,
)
from eventstore.database.owned import store_names

__all__ = [
    "AppliedMigration",
    "ConnectionFactory",
    "ConnectionInfo",
    "DatabaseConfig",
    "DatabaseConnection",
    "Granted",
    "HealthStatus",
    "MigrationManager",
    "MigrationStatus",
    "MigrationStep",
    "PoolStatistics",
    "PostgreSQLAdapter",
    "RoleRights",
    "grant",
    "store_names",
]
