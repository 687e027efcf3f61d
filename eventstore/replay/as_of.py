"""The repositories, read-only, as of an earlier point in time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.core.entity import Entity
from eventstore.errors import ReadOnlyError, RepositoryError
from eventstore.opening import Opening
from eventstore.replay.past_storage import NO_VERSIONS, PastStorage
from eventstore.replay.point_in_time import PointInTime, pin
from eventstore.repositories.instrument_repository import PostgreSQLInstrumentRepository
from eventstore.repositories.order_repository import PostgreSQLOrderRepository
from eventstore.repositories.portfolio_repository import PostgreSQLPortfolioRepository
from eventstore.repositories.position_repository import PostgreSQLPositionRepository
from eventstore.repositories.repository import EntityRepository
from eventstore.repositories.session import Session

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.log.event_log import EventLog
    from eventstore.repositories.storage import ReadTable, Storage

E = TypeVar("E", bound=Entity)


class Past:
    """The repositories as of one point in time. `store.as_of(...)` opens one for a block.

    Reads have the semantics of a Unit of Work's repositories. `consistency` makes no difference, because
    the past does not lag. Each answer holds new instances, and all answers are of the same point in
    time. Every write raises `ReadOnlyError`.

    Args:
        storage: Where the states of that point in time are read from.
        point: The point in time.

    Attributes:
        point: The point in time; its `through` is the last position that an answer can include.
        orders: The orders.
        positions: The positions.
        portfolios: The portfolios, and their snapshots.
        instruments: The instruments.
    """

    def __init__(self, storage: Storage, point: PointInTime) -> None:
        self.point = point
        self._storage = storage
        self._is_over = False
        self.orders = PostgreSQLOrderRepository(self)
        self.positions = PostgreSQLPositionRepository(self)
        self.portfolios = PostgreSQLPortfolioRepository(self)
        self.instruments = PostgreSQLInstrumentRepository(self)

    def entities(self, kind: type[E]) -> EntityRepository[E]:
        """Return the repository of a user's own class of entities."""
        return EntityRepository(kind, self)

    def reading(self) -> Session:
        """Return a new session, for repositories.

        Raises:
            RepositoryError: The block has ended.
        """
        if self._is_over:
            raise RepositoryError(f"the as_of block for {self.point} has ended: open a new one")
        return Session(self._storage)

    def writing(self) -> AbstractAsyncContextManager[Session]:
        """Refuse to write.

        Raises:
            ReadOnlyError: Always.
        """
        raise ReadOnlyError(
            f"the past cannot be changed (here: {self.point}): read the entity in a Unit of Work and change it there"
        )

    def end(self) -> None:
        """Refuse reads from now on."""
        self._is_over = True


def as_of(
    log: EventLog,
    tables: Mapping[type[Entity], ReadTable[Any]],
    *,
    position: int | None = None,
    recorded_at: datetime | None = None,
    occurred_at: datetime | None = None,
    versions: Mapping[str, int] = NO_VERSIONS,
) -> Opening[Past]:
    """Open the repositories as of a point in time, for a block or until `end()`. See `EventStore.as_of`.

    Raises, when it is entered or awaited:
        ConfigurationError, ConnectionError, TimeoutError: As for `pin`.
    """

    async def open_past() -> Past:
        point = await pin(log, position=position, recorded_at=recorded_at, occurred_at=occurred_at)
        return Past(PastStorage(log, tables, point, versions=versions), point)

    return Opening("as_of(...)", open_past, end_past)


async def end_past(past: Past) -> None:
    """Refuse reads of a past from now on, as at the end of its block."""
    past.end()
