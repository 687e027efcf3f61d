"""The schema's versions: `MigrationManager`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eventstore import errors
from eventstore.database.error_mapping import DRIVER_ERRORS, map_error, mapped_errors
from eventstore.database.migration_files import Migration, load_migrations, packaged_directory
from eventstore.database.plain import plain
from eventstore.database.preconditions import Level, require_preconditions
from eventstore.database.protocols import Connection
from eventstore.limits import check_seconds
from eventstore.sql import Named, Template, filled, load, quoted, render, schema_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from eventstore.database.adapter import PostgreSQLAdapter

# SQLSTATEs of objects that a concurrent migration has created first: unique_violation, duplicate_table, duplicate_schema.
_MADE_MEANWHILE = ("23505", "42P07", "42P06")
_OUR_COLUMNS = ["version", "name", "checksum", "applied_at"]


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One row of `schema_migrations`.

    Attributes:
        version: The number of the migration.
        name: The name of the migration.
        checksum: SHA-256 of the applied file, hexadecimal.
        applied_at: The time, by the database's clock.
    """

    version: int
    name: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """The migrations of a database.

    Attributes:
        current: The highest applied version; None if no migration was applied.
        latest: The highest version that this library knows.
        applied: The applied migrations, by version.
        pending: The pending migrations, by version.
        changed: The labels of files that differ from the file that was applied.
        unknown: The versions that a newer library has applied.
    """

    current: int | None
    latest: int
    applied: tuple[AppliedMigration, ...]
    pending: tuple[Migration, ...]
    changed: tuple[str, ...]
    unknown: tuple[int, ...]

    @property
    def is_current(self) -> bool:
        """Whether all migrations of this library were applied and none has changed."""
        return not self.pending and not self.changed


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One step of a plan.

    Attributes:
        direction: `up` or `down`.
        migration: The migration to apply or to undo.
    """

    direction: Literal["up", "down"]
    migration: Migration

    @property
    def sql(self) -> str:
        """The statements of the step."""
        return self.migration.up if self.direction == "up" else self.migration.down or ""


class MigrationManager:
    """Migrates a database's schema to a version, each migration in a separate transaction.

    One process migrates at a time: others wait for a lock on `schema_migrations`, which only a role that
    may write that table can take, and then find the work done. The lock ends with the transaction, so it
    also works through PgBouncer in transaction mode. A failed migration leaves no trace.

    Args:
        adapter: The adapter to run on, without an open transaction; its role must own the tables.
        directory: The folder of the files; None for the library's own.
        timeout_s: Seconds that one migration may take.
        lock_timeout_s: Seconds to wait for another process that migrates, and for locks on tables.
    """

    def __init__(
        self,
        adapter: PostgreSQLAdapter,
        *,
        directory: Path | str | None = None,
        timeout_s: float = 3600.0,
        lock_timeout_s: float = 60.0,
    ) -> None:
        self._adapter = adapter
        self._directory = Path(directory) if directory is not None else packaged_directory()
        self._timeout_s = check_seconds("timeout_s", timeout_s)
        self._lock_timeout_s = check_seconds("lock_timeout_s", lock_timeout_s, is_finite=True)

    def migrations(self) -> tuple[Migration, ...]:
        """Return the migrations of the folder, by version.

        Raises:
            MigrationError: A file is not well formed.
        """
        return load_migrations(self._directory)

    async def initialize(self) -> None:
        """Create the table `schema_migrations` if it is missing. Safe to repeat.

        Raises:
            MigrationError: A table of that name exists and does not belong to this library.
            PreconditionError: The database cannot hold a store, such as one that is not UTF-8.
        """
        await self._initialize()

    async def migrate_to_latest(self, *, dry_run: bool = False) -> int:
        """Apply all pending migrations, and return their number.

        Args:
            dry_run: Check everything and change nothing; return the number of migrations that would run.

        Raises:
            MigrationError: A file is malformed or differs from the applied one; an object that does not
                belong to this library has a name that a migration creates (nothing is done then); or a
                statement failed, and its migration was rolled back.
            PreconditionError: The database cannot hold a store, for example because it is not UTF-8.
                Nothing was done.
            TransactionConflictError: Locks were not available in time. Safe to retry.
            ConnectionError: The connection was lost; completed migrations stay. Safe to repeat.
        """
        return await self._migrate(None, dry_run=dry_run)

    async def migrate_to_version(self, version: str | int, *, dry_run: bool = False) -> int:
        """Migrate the schema up or down to a version, and return how many migrations ran.

        Args:
            version: A version such as `"3"`, `"003"`, `"0003"` or `3`; `"0"` undoes everything.
            dry_run: As in `migrate_to_latest`.

        Raises:
            MigrationError: As `migrate_to_latest`; the version does not exist; or a migration cannot be
                undone, or would drop rows that must not be lost.
            TransactionConflictError, ConnectionError: As `migrate_to_latest`.
        """
        return await self._migrate(self._parse_version(version), dry_run=dry_run)

    async def plan(self, version: str | int | None = None) -> tuple[MigrationStep, ...]:
        """Return the steps that would run, in order, after all checks and without changing anything.

        Args:
            version: As in `migrate_to_version`; None for the latest.

        Raises:
            MigrationError: As `migrate_to_version`.
        """
        target = None if version is None else self._parse_version(version)
        return await self._planned(target)

    async def get_status(self) -> MigrationStatus:
        """Return which migrations were applied and which are pending. It changes nothing.

        Raises:
            MigrationError: A file is malformed, or `schema_migrations` does not belong to this library.
        """
        applied = await self._applied()
        known = {migration.version: migration for migration in self.migrations()}
        done = {one.version for one in applied}
        return MigrationStatus(
            current=max(done, default=None),
            latest=max(known, default=0),
            applied=applied,
            pending=tuple(migration for version, migration in known.items() if version not in done),
            changed=tuple(
                known[one.version].label
                for one in applied
                if one.version in known and known[one.version].checksum != one.checksum
            ),
            unknown=tuple(sorted(done - known.keys())),
        )

    async def pending(self) -> tuple[Migration, ...]:
        """Return the migrations that were not applied, by version; errors as in `get_status`."""
        return (await self.get_status()).pending

    async def ensure_current(self) -> None:
        """Check that every migration of this library was applied; one statement, for use at start-up.

        Newer migrations are not an error, because you migrate the database first and replace its
        programs afterwards.

        Raises:
            NotMigratedError: At least one migration was not applied.
            MigrationError: A file differs from the applied one.
            ConnectionError: Safe to retry.
        """
        try:
            rows = await self._adapter.run(
                lambda c: c.fetch(load("database/list_migrations", c)), reads_only=True
            )
        except errors.RepositoryError as error:
            if error.sqlstate not in {"42P01", "42703"}:
                raise
            raise errors.NotMigratedError(
                "the database has no tables yet: run `eventstore migrate`"
            ) from error
        checksums = {row["version"]: row["checksum"] for row in rows}
        known = self.migrations()
        missing = [migration.label for migration in known if migration.version not in checksums]
        if missing:
            raise errors.NotMigratedError(
                f"the database lacks {len(missing)} migration(s), from {missing[0]} on: run `eventstore migrate`"
            )
        _check_unchanged(known, checksums)

    async def _migrate(self, target: int | None, *, dry_run: bool) -> int:
        steps = await self._planned(target)
        if any(step.direction == "up" for step in steps):
            async with self._transaction() as connection:
                await _require_database(connection)
        if dry_run:
            return len(steps)
        count = 0
        for step in steps:
            await self._initialize()
            async with self._locked() as connection:
                applied = {one.version for one in await self._applied()}
                if (step.migration.version in applied) == (step.direction == "up"):
                    continue  # another process has applied it meanwhile
                await self._run(connection, step)
                count += 1
        return count

    async def _checked_plan(self, target: int | None) -> tuple[MigrationStep, ...]:
        applied = await self._applied()
        known = self.migrations()
        checksums = {one.version: one.checksum for one in applied}
        _check_unchanged(known, checksums)
        up = [m for m in known if m.version not in checksums and (target is None or m.version <= target)]
        down = [
            m for m in reversed(known) if target is not None and m.version in checksums and m.version > target
        ]
        beyond = sorted(checksums.keys() - {m.version for m in known})
        if beyond and (down or up):
            raise errors.MigrationError(
                f"a newer library migrated the database to {beyond[-1]:04d}: upgrade this library first"
            )
        for migration in down:
            if migration.down is None:
                raise errors.MigrationError(f"{migration.label} cannot be undone: {migration.irreversible}")
            await self._check_empty(migration)
        await self._check_names(up, [m for m in known if m.version in checksums])
        return tuple(
            [MigrationStep("down", migration) for migration in down] + [MigrationStep("up", m) for m in up]
        )

    async def _check_names(self, up: Sequence[Migration], applied: Sequence[Migration]) -> None:
        ours = {name for migration in applied for name in migration.creates}
        wanted = sorted({name for migration in up for name in migration.creates} - ours)
        taken = await self._adapter.fetch_all(Named("database/taken_names"), wanted) if wanted else []
        if taken:
            named = ", ".join(f'"{row["name"]}" ({row["kind"]})' for row in taken)
            raise errors.MigrationError(
                f"the schema has {named}, which this library did not create, so nothing was done: use another database or "
                "schema, or see docs/adopting.md"
            )

    async def _check_empty(self, migration: Migration, connection: Connection | None = None) -> None:
        """Refuse to undo if rows would be lost; with a connection, first lock the tables against new rows."""
        if not migration.requires_empty:
            return
        tables = list(migration.requires_empty)
        for row in await self._adapter.fetch_all(Named("database/emptiness_statements"), tables):
            if connection is not None:
                await connection.execute(row["lock_statement"])
            if await self._adapter.fetch_value(row["row_statement"]):
                raise errors.MigrationError(
                    f"undoing {migration.label} would drop the rows of {row['name']}: it can only be undone when the "
                    "table is empty"
                )

    async def _run(self, connection: Connection, step: MigrationStep) -> None:
        migration = step.migration
        if step.direction == "down":
            await self._check_empty(migration, connection)
        try:
            # The body of a function names the schema, because a function runs with its own search path.
            statements = render(step.sql, schema_of(connection), has_braces=True)
            await connection.execute(statements, timeout=self._timeout_s)
        except DRIVER_ERRORS as error:
            mapped = map_error(error, in_transaction=True, connection=connection)
            if mapped.retryable or isinstance(mapped, errors.TimeoutError):
                raise mapped from error
            raise errors.MigrationError(
                f"{migration.label} ({step.direction}) failed and was rolled back: {mapped}"
            ) from error
        if not connection.is_in_transaction():
            raise errors.MigrationError(
                f"{migration.label} ends its own transaction: remove its COMMIT or ROLLBACK"
            )
        if step.direction == "up":
            await self._adapter.execute(
                Named("database/insert_migration"), migration.version, migration.name, migration.checksum
            )
        else:
            await self._adapter.execute(Named("database/delete_migration"), migration.version)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction with a limit on the wait for locks, and yield its connection."""
        async with self._adapter.transaction(isolation="read committed"):
            milliseconds = f"{max(1, round(self._lock_timeout_s * 1000))}ms"
            await self._adapter.execute(Named("database/limit_locks"), milliseconds)
            yield self._adapter.transaction_connection

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Connection]:
        """Open a transaction that excludes other migrations, and yield its connection.

        If nothing was ever migrated, there is no table to lock, and none is created: see `_planned`.
        """
        async with self._transaction() as connection:
            if await self._columns() is not None:
                await self._adapter.execute(
                    Named("database/lock_migrations"), timeout_s=self._lock_timeout_s + 5
                )
            # Migrations name their objects without a schema; with this path they never find temporary objects.
            path = f"{quoted(schema_of(connection))}, pg_temp"
            await connection.execute(filled("commands/set_search_path", schemas=path))
            yield connection

    async def _initialize(self) -> None:
        """Create the table whose lock lets one process migrate at a time, in a separate transaction."""
        try:
            async with self._transaction() as connection:
                if await self._columns() is None:
                    await _require_database(connection)
                    if not await self._adapter.fetch_value(Named("database/schema_exists")):
                        await self._adapter.execute(Template("CREATE SCHEMA {schema}"))
                    await self._adapter.execute(Named("database/create_schema_migrations"))
        except errors.RepositoryError as error:
            if error.sqlstate not in _MADE_MEANWHILE:
                raise

    async def _planned(self, target: int | None) -> tuple[MigrationStep, ...]:
        """Return the checked steps; objects of a concurrent migration do not count as foreign objects."""
        while True:
            async with self._locked():
                has_lock = await self._columns() is not None
                try:
                    return await self._checked_plan(target)
                except errors.MigrationError:
                    if has_lock or await self._columns() is None:
                        raise

    async def _applied(self) -> tuple[AppliedMigration, ...]:
        if await self._columns() is None:
            return ()
        rows = await self._adapter.fetch_all(Named("database/list_migrations"))
        return tuple(AppliedMigration(**dict(row)) for row in rows)

    async def _columns(self) -> list[str] | None:
        columns: list[str] | None = await self._adapter.fetch_value(
            Named("database/schema_migrations_columns")
        )
        if columns is not None and columns != _OUR_COLUMNS:
            raise errors.MigrationError(
                'the schema has a table "schema_migrations" of another tool, so nothing was done: use another '
                "database or schema"
            )
        return columns

    def _parse_version(self, version: str | int) -> int:
        text = str(version).strip()
        known = [migration.version for migration in self.migrations()]
        if not (text.isascii() and text.isdigit()) or int(text) not in {0, *known}:
            raise errors.MigrationError(
                f"there is no migration {text!r}: give a version from 0 (nothing) to {max(known, default=0):04d}"
            )
        return int(text)


async def _require_database(connection: Connection) -> None:
    with mapped_errors(in_transaction=True, reads_only=True, connection=connection):
        await require_preconditions(plain(connection), levels=[Level.MIGRATE])


def _check_unchanged(known: Sequence[Migration], checksums: dict[int, str]) -> None:
    for migration in known:
        if checksums.get(migration.version, migration.checksum) != migration.checksum:
            raise errors.MigrationError(
                f"{migration.label}.sql differs from the file that was applied: restore the released file, and put "
                "the change into a new migration"
            )
