"""Bring a database to the newest schema."""

from __future__ import annotations

from eventstore.database import ConnectionFactory, DatabaseConfig, MigrationManager, PostgreSQLAdapter


async def migrate(url: str) -> None:
    """Migrate the database of this URL to the latest version."""
    connection = await ConnectionFactory.create_connection(DatabaseConfig.from_url(url))
    try:
        manager = MigrationManager(PostgreSQLAdapter(connection))
        await manager.initialize()
        await manager.migrate_to_latest()
    finally:
        await connection.close()
