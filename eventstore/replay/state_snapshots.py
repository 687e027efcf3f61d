"""State snapshots: stored states, from which an as-of read starts if they are nearer than the read table.

A state snapshot holds the states of all entities at one position. It can be dropped at any time, and made
again from the log; only the cost of `as_of` depends on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from eventstore.database.access import in_transaction, limit_statements, reading
from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.limits import POSITION_MAX, check_count
from eventstore.loop_stalls import explained, now_s
from eventstore.progress import unreported
from eventstore.replay.past_storage import NO_VERSIONS, PastStorage
from eventstore.replay.point_in_time import PointInTime, pin
from eventstore.replay.state_snapshot_tables import of_table
from eventstore.repositories.last_good import Stream
from eventstore.sql import load, text_of

if TYPE_CHECKING:
    from eventstore.core.entity import Entity
    from eventstore.log.event_log import EventLog
    from eventstore.repositories.storage import ReadTable

_logger = logging.getLogger(__name__)

_STATES_AT_A_TIME = 1_000
_STATEMENT_TIMEOUT_S = 600.0
_POLL_S = 1.0
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """The stored states of one category.

    Attributes:
        category: The category, such as `order`.
        position: The states are as of this position.
        recorded_through: The highest `recorded_at` of its events; None if it has no events.
        occurred_through: The highest `occurred_at` of its events; None if it has no events.
        made_at: When it was made, by the database's clock.
    """

    category: str
    position: int
    recorded_through: datetime | None
    occurred_through: datetime | None
    made_at: datetime


class StateSnapshots:
    """Makes, lists and drops state snapshots. `store.state_snapshots` is one.

    Args:
        log: The log, on the primary.
        tables: The read table of each class of entities that gets state snapshots.
        versions: The version of the code's projection of each table, by name; 1 by default.
    """

    def __init__(
        self,
        log: EventLog,
        tables: Mapping[type[Entity], ReadTable[Any]],
        *,
        versions: Mapping[str, int] = NO_VERSIONS,
    ) -> None:
        self._log = log
        self._tables = tables
        self._versions = versions

    async def make(
        self, *, position: int | None = None, on_progress: Callable[[str, int, int], None] | None = None
    ) -> int:
        """Store the states of all entities as of a position, in one transaction. Readers and writers continue.

        Only what changed since the previous state snapshot is stored. A position that has a state snapshot keeps it.

        Args:
            position: The position; None for the last one.
            on_progress: Called with a category, the number of its entities whose states were stored, and of those to
                store.

        Returns:
            The position.

        Raises:
            ConfigurationError: The position is beyond the end of the log, or below 1, or the log is empty.
            QuarantinedKeysError, UnknownEventTypeError, EventDecodingError: A stream cannot be folded.
            ConnectionError, TimeoutError: Nothing was stored. Safe to retry.
        """
        with self._log.server.steady():
            return await self._make_at(
                await self._log.head() if position is None else position, on_progress or unreported
            )

    async def _make_at(self, position: int, on_progress: Callable[[str, int, int], None]) -> int:
        point = await pin(self._log, position=position)
        if point.through == 0:
            raise ConfigurationError("a state snapshot needs at least one event: append one first")
        async with self._log.connection.acquire() as connection:
            with in_transaction(connection):
                async with connection.transaction():
                    await limit_statements(connection, _STATEMENT_TIMEOUT_S)
                    await connection.execute(
                        load("replay/lock_state_snapshots", connection), timeout=_STATEMENT_TIMEOUT_S
                    )
                    for kind in self._tables:
                        await self._make(connection, kind, point, on_progress)
        return point.through

    async def list(self) -> list[StateSnapshot]:
        """Return all state snapshots, in the order of position and category.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with reading(self._log.connection) as connection:
            rows = await connection.fetch(load("replay/list_state_snapshots", connection))
        return [StateSnapshot(**row) for row in rows]

    async def drop(self, *, position: int | None = None) -> int:
        """Drop the state snapshots at a position, and the states that no other one needs; return how many were dropped.

        Args:
            position: The position; None for all state snapshots.

        Raises:
            ConnectionError, TimeoutError: Safe to retry.
        """
        async with self._log.connection.acquire() as connection:
            with in_transaction(connection):
                async with connection.transaction():
                    await connection.execute(load("replay/lock_state_snapshots", connection))
                    dropped = await connection.fetch(
                        load("replay/drop_state_snapshots", connection), position
                    )
                    for kind, table in self._tables.items():
                        statement = text_of(of_table("replay/drop_states", table.projection), connection)
                        await connection.execute(statement, kind.category, timeout=_STATEMENT_TIMEOUT_S)
        return len(dropped)

    async def run(self, *, every_positions: int) -> None:
        """Make a state snapshot whenever the log has grown enough, until cancelled; log errors, wait and try again.

        Args:
            every_positions: The minimum number of positions between two state snapshots.

        Raises:
            ConfigurationError: It is not positive.
        """
        check_count("every_positions", every_positions, most=POSITION_MAX)
        while True:
            began_s = now_s()
            try:
                last = max((one.position for one in await self.list()), default=0)
                if await self._log.head() - last >= every_positions:
                    await self.make()
                await asyncio.sleep(_POLL_S)
            except EventStoreError as error:
                if not explained(began_s):
                    _logger.warning("could not make a state snapshot, trying again", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def _make(
        self,
        connection: Connection,
        kind: type[Entity],
        point: PointInTime,
        on_progress: Callable[[str, int, int], None],
    ) -> None:
        table = self._tables[kind]
        past = PastStorage(
            self._log, self._tables, point, versions=self._versions, run=lambda work: work(connection)
        )
        schema_hash = await past.schema_hash(kind)
        await connection.execute(load("replay/drop_other_schemas", connection), kind.category, schema_hash)
        await connection.execute(
            text_of(of_table("replay/drop_states_of_other_schemas", table.projection), connection),
            schema_hash,
        )
        before = await connection.fetch(
            load("replay/nearest_state_snapshot", connection),
            kind.category,
            schema_hash,
            point.through,
            None,
            None,
        )
        after = before[0]["position"] if before else 0
        if after == point.through:
            return
        changed = await connection.fetch(
            load("replay/streams_after", connection),
            kind.category,
            after,
            point.through,
            timeout=_STATEMENT_TIMEOUT_S,
        )
        ids = sorted(row["stream_id"] for row in changed)
        for begin in range(0, len(ids), _STATES_AT_A_TIME):
            some = ids[begin : begin + _STATES_AT_A_TIME]
            await self._keep(connection, table, schema_hash, await past.states(kind, some))
            await connection.execute(
                text_of(of_table("replay/close_states", table.projection), connection), some
            )
            on_progress(kind.category, begin + len(some), len(ids))
        await connection.execute(
            load("replay/keep_state_snapshot", connection),
            kind.category,
            point.through,
            schema_hash,
            after,
            timeout=_STATEMENT_TIMEOUT_S,
        )

    @staticmethod
    async def _keep(
        connection: Connection, table: ReadTable[Any], schema_hash: int, states: Mapping[UUID, Stream[Any]]
    ) -> None:
        there = {each: (stream.entity, stream.version) for each, stream in states.items() if stream.entity}
        versions = [version for _, version in there.values()]
        bounds: Sequence[Any] = await connection.fetch(
            load("replay/state_bounds", connection), list(there), versions
        )
        kept = []
        for bound in bounds:
            entity, version = there[bound["stream_id"]]
            kept.append(
                {
                    **orjson.loads(entity.model_dump_json()),
                    "last_position": bound["since"],
                    "stream_version": version,
                    "schema_hash": schema_hash,
                    "recorded_through": bound["recorded_through"],
                    "occurred_through": bound["occurred_through"],
                    "during": f"[{bound['since']},{bound['until'] or ''})",
                }
            )
        await connection.execute(
            text_of(of_table("replay/keep_states", table.projection), connection), orjson.dumps(kept).decode()
        )
