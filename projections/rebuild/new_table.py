"""The table that a rebuild builds beside the live one: created, divided into shards, joined, indexed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventstore.database.access import limit_statements, reading, writing
from eventstore.database.owned import REBUILD_END
from eventstore.database.protocols import Connection, the_row
from eventstore.errors import ConfigurationError, EventStoreError, RebuildError
from eventstore.log.event_log import EventLog
from eventstore.log.page_size import PageSize
from eventstore.sql import filled, load, qualified, schema_of, with_end
from projections.engine.reading import FoldedColumns
from projections.projection import Projection
from projections.quarantine.skip_list import Discards, Skipped, read_discards
from projections.rebuild.lease import RebuildLease, taken_over
from projections.rebuild.limits import USUAL_LIMITS, RebuildLimits
from projections.rebuild.shards import WHOLE, Shard

R = TypeVar("R")
Key = tuple[Any, ...]

BUILD_TIMEOUT_S = 3_600.0
"""How long one statement of a rebuild may run: an index over many millions of rows takes a while."""


def beside_name(projection: Projection[Any]) -> str:
    """Return the name of the table beside the live one."""
    return with_end(projection.table.name, REBUILD_END)


_MARK = "made by a rebuild of trading-eventstore, which drops it or puts it in the place of the live table"
"""The comment of the table beside. A table with its name and without this comment is foreign, and not touched."""


async def describe_beside(connection: Connection, projection: Projection[Any]) -> Any:
    """Return whether the table beside `is_unlogged`; None if there is no such table.

    Raises:
        RebuildError: The relation with its name was not made by a rebuild.
        Exception: Unmapped errors of asyncpg.
    """
    name = qualified(schema_of(connection), beside_name(projection))
    found = await connection.fetchrow(load("rebuild/describe_beside", connection), name, _MARK)
    if found is not None and not found["is_made"]:
        raise RebuildError(
            f"{name} already exists and was not made by a rebuild, but a rebuild of {projection.name} needs its name: "
            "rename or drop it"
        )
    return found


async def drop_beside(connection: Connection, projection: Projection[Any], lease: RebuildLease) -> None:
    """Drop the table beside and forget its position, in one transaction.

    Raises:
        RebuildError: Another process has taken the lease over.
        Exception: Unmapped errors of asyncpg.
    """
    async with connection.transaction():
        await lease.hold_in(connection)
        await connection.execute(load("rebuild/finish", connection), projection.name, lease.epoch)
        await connection.execute(
            filled("commands/drop", table=qualified(schema_of(connection), beside_name(projection)))
        )


async def require_owner(connection: Connection, projection: Projection[Any]) -> None:
    """Check that this role may create a table like the live one.

    Raises:
        ConfigurationError: The role does not own the live table.
    """
    table = projection.table.name
    row = await connection.fetchrow(
        load("rebuild/table_owner", connection), qualified(schema_of(connection), table)
    )
    if row is not None and not row["may_rebuild"]:
        raise ConfigurationError(
            f"only the owner of its table, {row['owner']}, may rebuild {projection.name}, since a new table replaces "
            f"{table}: this role is {row['name']}"
        )


class PublishedError(EventStoreError):
    """A publication was created during a build: it would send the rows of a table that subscribers do not have."""


async def list_publications(connection: Connection, table: str) -> list[str]:
    """Return the publications that send the rows of a logged table to subscribers.

    Raises:
        Exception: Unmapped errors of asyncpg.
    """
    rows = await connection.fetch(
        load("rebuild/list_publications", connection), qualified(schema_of(connection), table)
    )
    return [row["name"] for row in rows]


@dataclass(slots=True)
class Kept(Generic[R]):
    """A row in memory.

    Attributes:
        row: The row; None if there is none.
        position: The position of its last event.
        is_stored: Whether the table has a row with its key.
    """

    row: R | None
    position: int = 0
    is_stored: bool = False


class TableBeside(Generic[R]):
    """The table beside, or the rows of one of its shards: where its build begins, and how far it has come.

    Args:
        log: The log.
        projection: The projection.
        epoch: The epoch of the rebuild's lease; with an outdated one nothing is written.
        on_step: Receives the position reached and the number of events folded.
        shard: Which keys to fold.
        skipped: The events to leave out, for a table that is only compared with the live one; None folds every event
            that can be folded.

    Attributes:
        position: Every event up to this position is in it.
        events: The number of events it took.
        discarded: The discarded events, which are tried again.
        refused: Those of them whose rows the database has refused, as position and key.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[R],
        epoch: int,
        on_step: Callable[[int, int], None],
        *,
        shard: Shard = WHOLE,
        skipped: Skipped | None = None,
        limits: RebuildLimits = USUAL_LIMITS,
    ) -> None:
        self.skipped = skipped
        self.limits = limits
        self.position = 0
        self.events = 0
        self.table = beside_name(projection)
        self._log = log
        self._projection = projection
        self._epoch = epoch
        self._on_step = on_step
        self._shard = shard
        self._rows: dict[Key, Kept[R]] = {}
        self._has_all_rows = True
        self._size: PageSize | None = None
        self._columns = FoldedColumns(log, projection)
        self._stuck: set[str] = set()
        self.discarded = Discards()
        self.refused: set[tuple[int, str]] = set()

    async def failures(self, connection: Connection | None = None) -> dict[str, int]:
        """Return the keys that cannot be folded, as text, each with the position of its first such event."""
        if connection is None:
            async with reading(self._log.connection) as one:
                return await self.failures(one)
        rows = await connection.fetch(load("rebuild/list_failures", connection), self._projection.name)
        return {row["key"]: row["position"] for row in rows}

    # ---- where it begins -------------------------------------------------------------------------------------

    async def open(self, *, restart: bool, reached: int, is_unlogged: bool = False) -> None:
        """Continue with what another process has left, or start from the beginning if that is not possible.

        Args:
            restart: Start from the beginning in any case.
            reached: The position that the other process reached.
            is_unlogged: Whether the table is UNLOGGED, so that no publication sends its rows to subscribers.

        Raises:
            RebuildError: Another process has taken over.
            EventStoreError: The database failed.
        """
        async with writing(self._log.connection) as connection:
            table = qualified(schema_of(connection), self.table)
            beside = await describe_beside(connection, self._projection)
            is_kept = beside is not None and beside["is_unlogged"] == is_unlogged
            self.discarded = await read_discards(connection, self._projection)
            # It was not recorded which of them the database refused, or whether they were known then.
            shards = await connection.fetch(load("rebuild/list_shards", connection), self._projection.name)
            reached = max((reached, *(one["position"] for one in shards)))
            if is_kept and is_unlogged and reached:
                # A crash of the server empties an UNLOGGED table; if it is empty for another reason, little is lost.
                is_kept = await connection.fetchval(filled("commands/has_rows", table=table))
            if restart or not is_kept or self.discarded.is_any_through(reached):
                await self._begin(connection, is_unlogged=is_unlogged)
            await self.look_again(connection)

    async def _begin(self, connection: Connection, *, is_unlogged: bool) -> None:
        async with connection.transaction():
            begun = await connection.fetchval(
                load("rebuild/begin", connection),
                self._projection.name,
                self._projection.version,
                self._epoch,
                self.skipped is not None,
            )
            if begun is None:
                raise taken_over(self._projection.name)
            await connection.execute(
                filled("commands/drop", table=qualified(schema_of(connection), self.table))
            )
            await self._run_all(connection, "rebuild/table_statements", is_unlogged, _MARK)
            await self._run_all(connection, "rebuild/index_statements", True)

    async def look_again(self, connection: Connection) -> None:
        """Forget what is in memory, and read the position of the table."""
        row = await connection.fetchrow(load("rebuild/read", connection), self._projection.name)
        if row is None or row["epoch"] != self._epoch:
            raise taken_over(self._projection.name)
        if self._shard.of > 1:
            shards = await connection.fetch(load("rebuild/list_shards", connection), self._projection.name)
            row = next((one for one in shards if one["shard"] == self._shard.number), None)
            if row is None:
                raise taken_over(self._projection.name)
        self.position, self.events = row["position"], row["events"]
        self._rows.clear()
        self._has_all_rows = self.position == 0
        self._stuck = set(await self.failures(connection))

    async def take_up(self, discarded: Discards) -> None:
        """Continue where the shard is."""
        self.discarded = discarded
        async with reading(self._log.connection) as connection:
            await self.look_again(connection)

    async def divide(self, shards: int) -> int:
        """Start in shards if nothing is built yet; return the number of shards to build, 1 if it is not divided."""
        async with writing(self._log.connection) as connection:
            if shards > 1 and self.position == 0:
                have = await connection.fetch(load("rebuild/list_shards", connection), self._projection.name)
                if not have:
                    await connection.execute(
                        load("rebuild/begin_shards", connection),
                        self._projection.name,
                        self._epoch,
                        shards,
                    )
            rows = await connection.fetch(load("rebuild/list_shards", connection), self._projection.name)
        return len(rows) or 1

    async def join(self, position: int) -> None:
        """Merge the shards, which are all built up to a position, into the whole.

        Raises:
            RebuildError: Another process has taken over.
        """
        async with writing(self._log.connection) as connection:
            joined = await connection.fetchval(
                load("rebuild/join_shards", connection), self._projection.name, self._epoch, position
            )
            if joined is None:
                raise taken_over(self._projection.name)
            await self.look_again(connection)

    async def estimate(self) -> tuple[int, bool]:
        """Return the approximate number of rows, and whether rules between rows exist besides the key."""
        async with reading(self._log.connection) as connection:
            row = the_row(
                await connection.fetchrow(
                    load("rebuild/estimate_rows", connection), qualified(schema_of(connection), self.table)
                )
            )
        return row["rows"], row["has_rules"]

    async def count_events(self) -> dict[str, int]:
        """Return the number of events that the log has up to the position of this table, by category."""
        async with reading(self._log.connection) as connection, connection.transaction():
            await limit_statements(connection, BUILD_TIMEOUT_S)
            rows = await connection.fetch(
                load("rebuild/count_events", connection), self.position, timeout=BUILD_TIMEOUT_S
            )
        return {row["category"]: row["events"] for row in rows}

    async def make_indexes(self, *, all_of_them: bool = True) -> None:
        """Create the indexes and constraints that the live table has and this one lacks, each in its own transaction.

        Args:
            all_of_them: False if the table is only read once more, and by its key.
        """
        async with writing(self._log.connection) as connection:
            if all_of_them:
                await self._run_all(connection, "rebuild/index_statements", False)
            async with without_limit(connection):
                await connection.execute(
                    filled("commands/analyze", table=qualified(schema_of(connection), self.table)),
                    timeout=BUILD_TIMEOUT_S,
                )

    async def require_unpublished(self, connection: Connection) -> None:
        """Check, at the end of a transaction that has written rows of this table, that no publication sends them.

        Raises:
            PublishedError: A publication was created meanwhile. Roll the transaction back.
        """
        if publications := await list_publications(connection, self.table):
            raise PublishedError(f"publication {publications[0]} sends the rows of {self.table}")

    async def _run_all(self, connection: Connection, statements: str, *arguments: Any) -> None:
        rows = await connection.fetch(
            load(statements, connection),
            qualified(schema_of(connection), self._projection.table.name),
            qualified(schema_of(connection), self.table),
            *arguments,
        )
        for row in rows:
            async with without_limit(connection):
                await connection.execute(row["statement"], timeout=BUILD_TIMEOUT_S)


@asynccontextmanager
async def without_limit(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction whose statements may run for as long as a rebuild's."""
    async with connection.transaction():
        await limit_statements(connection, BUILD_TIMEOUT_S)
        yield
