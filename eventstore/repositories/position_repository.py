"""Positions: saved as events, read from the table `positions` and from the events that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from eventstore.domain.executions import PositionSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import DomainError, PositionNotFoundError
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query, SortKey, as_id
from eventstore.repositories.repository import Repository, time_range
from eventstore.repositories.session import Consistency


def _by_opening(position: Position) -> SortKey:
    return position.opened_at, position.id


class PostgreSQLPositionRepository(Repository[Position]):
    """The positions of one database.

    Lists are in the order of opening (`opened_at`, then `id`). They are complete unless `limit` is given; the
    next page begins `after` the last position of the previous page. `consistency` works as for orders.

    Raises, besides what a method names:
        ConcurrencyError: A position that this Unit of Work has changed was changed by another writer.
        QuarantinedKeysError: In a list: events of entities of the table cannot be folded. With
            `quarantined="last_good"` the list has their last good states, and `Page.last_good_ids` names them.
        ProjectionLagError: In a list: the table lags too far behind to be corrected.
        ConnectionError, TimeoutError: The database could not be read. Safe to retry if nothing was written.
        NotMigratedError: The tables are missing.
    """

    _kind = Position
    _not_found = PositionNotFoundError

    async def save_position(self, position: Position) -> Position:
        """Insert or update a position, and return it.

        Raises:
            EntityDeletedError: Its id was deleted.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._save(position)

    async def save_many(self, positions: Iterable[Position]) -> list[Position]:
        """Insert or update many positions in one append, and return them; errors as for `save_position`."""
        return await self._save_many(positions)

    async def update_position(self, position: Position) -> Position:
        """Append the changes of a position, including plain assignments, and return it.

        Raises:
            PositionNotFoundError: No position has its id.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._update(position)

    async def close_position(self, position_id: UUID | Position, exit_price: Decimal | None = None) -> bool:
        """Close an open position, and return whether it was open; closing it twice changes nothing.

        Args:
            position_id: The position or its id.
            exit_price: The price at which it was closed; None for the price at which it was last marked.

        Raises:
            DomainError: No exit price is given, and the position was never marked.
        """
        async with self._source.writing() as session:
            position = await session.get(Position, position_id)
            if position is None or position.closed_at is not None:
                return False
            price = position.current_price if exit_price is None else exit_price
            if price is None:
                raise DomainError(
                    "position.exit_price",
                    f"position {position.id} was never marked at a price: give close_position an exit_price",
                )
            position.close(price)
            await session.save(position)
            return True

    async def delete_position(self, position_id: UUID | Position) -> bool:
        """Append a tombstone: the row is deleted, the history stays. Return whether the position existed."""
        return await self._delete(position_id)

    async def get_position_by_id(self, position_id: UUID | Position) -> Position | None:
        """Return a position; None if it does not exist."""
        return await self._get(position_id)

    async def get_position_by_symbol(
        self,
        symbol: str,
        *,
        portfolio_id: UUID | Portfolio | None = None,
        strategy: str | None = None,
        account: str | None = None,
        side: PositionSide | None = None,
    ) -> Position | None:
        """Return the open position of a symbol, the one opened last if there are several; None if none is open.

        Args:
            symbol: The symbol.
            portfolio_id: Only of this portfolio; None for positions of any portfolio or of none.
            strategy: Only of this strategy; None for positions of any strategy or of none.
            account: Only of this account; None for positions of any account or of none.
            side: Only a long or only a short one, for accounts that hold both at once; None for either.
        """
        portfolio_id = as_id(Portfolio, portfolio_id)
        side = None if side is None else PositionSide(side)

        def matches(position: Position) -> bool:
            return (
                position.symbol == symbol
                and position.closed_at is None
                and (portfolio_id is None or position.portfolio_id == portfolio_id)
                and (strategy is None or position.strategy == strategy)
                and (account is None or position.account == account)
                and (side is None or position.is_long is (side is PositionSide.LONG))
            )

        return await self._first(
            Query(
                "positions/open_by_symbol",
                (symbol, portfolio_id, strategy, account, side),
                matches,
                _by_opening,
                descending=True,
            )
        )

    async def get_positions_by_symbol(
        self,
        symbol: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a symbol, open and closed."""
        query: Query[Position] = Query(
            "positions/by_symbol", (symbol,), lambda position: position.symbol == symbol, _by_opening
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_active_positions(
        self,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the open positions."""
        query: Query[Position] = Query(
            "positions/active", (), lambda position: position.closed_at is None, _by_opening
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_closed_positions(
        self,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the closed positions."""
        query: Query[Position] = Query(
            "positions/closed", (), lambda position: position.closed_at is not None, _by_opening
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_positions_by_strategy(
        self,
        strategy: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a strategy, open and closed."""
        query: Query[Position] = Query(
            "positions/by_strategy",
            (strategy,),
            lambda position: position.strategy is not None and position.strategy == strategy,
            _by_opening,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_positions_by_account(
        self,
        account: str,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of an account, open and closed."""
        query: Query[Position] = Query(
            "positions/by_account",
            (account,),
            lambda position: position.account is not None and position.account == account,
            _by_opening,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_positions_by_portfolio(
        self,
        portfolio_id: UUID | Portfolio,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions of a portfolio, open and closed."""
        portfolio_id = as_id(Portfolio, portfolio_id)
        query: Query[Position] = Query(
            "positions/by_portfolio",
            (portfolio_id,),
            lambda position: position.portfolio_id is not None and position.portfolio_id == portfolio_id,
            _by_opening,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_positions_by_date_range(
        self,
        start_date: datetime,
        end_date: datetime,
        *,
        after: Position | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Position]:
        """Return the positions opened from `start_date` to `end_date`, both inclusive.

        A naive datetime means local time.

        Raises:
            ConfigurationError: The range ends before it starts.
        """
        start, end = time_range(start_date, end_date)
        query: Query[Position] = Query(
            "positions/by_opening",
            (start, end),
            lambda position: start <= position.opened_at <= end,
            _by_opening,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )
