"""Portfolios: saved as events, read from the table `portfolios` and the events that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from eventstore.domain.portfolio import Portfolio
from eventstore.errors import PortfolioNotFoundError
from eventstore.repositories.query import Query, SortKey
from eventstore.repositories.repository import Repository
from eventstore.repositories.session import Consistency

__all__ = ["PostgreSQLPortfolioRepository"]


def _by_creation(portfolio: Portfolio) -> SortKey:
    return portfolio.created_at, portfolio.id


class PostgreSQLPortfolioRepository(Repository[Portfolio]):
    """The portfolios of one database.

    Lists come in the order of creation (`created_at`, then `id`), all of them unless `limit` says otherwise; the
    next page begins `after` the last portfolio of the one before. `consistency` is as for orders.

    Raises, besides what a method names:
        ConcurrencyError: A portfolio that this Unit of Work has changed was changed by another writer.
        ProjectionLagError: A list; the table lags too far behind to be corrected.
        ConnectionError, TimeoutError: The database could not be read. Safe to retry where nothing was written.
        NotMigratedError: The tables are missing.
    """

    _kind = Portfolio
    _not_found = PortfolioNotFoundError

    async def save_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Insert a portfolio, or update it, and return it.

        Raises:
            EntityDeletedError: Its id was deleted.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._save(portfolio)

    async def save_many(self, portfolios: Iterable[Portfolio]) -> list[Portfolio]:
        """Insert or update many portfolios in one append, and return them; errors as `save_portfolio`."""
        return await self._save_many(portfolios)

    async def update_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Append the changes of a portfolio, plain assignments among them, and return it.

        Raises:
            PortfolioNotFoundError: No portfolio has its id.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._update(portfolio)

    async def delete_portfolio(self, portfolio_id: UUID) -> bool:
        """Append a tombstone: the row goes, the history stays. Return whether there was such a portfolio."""
        return await self._delete(portfolio_id)

    async def get_portfolio_by_id(self, portfolio_id: UUID) -> Portfolio | None:
        """Return a portfolio; None where there is none."""
        return await self._get(portfolio_id)

    async def get_portfolio_by_name(self, name: str) -> Portfolio | None:
        """Return the portfolio of a name, the one created last where there are several; None where there is none."""
        return await self._first(
            Query(
                "portfolios/by_name",
                (name,),
                lambda portfolio: portfolio.name == name,
                _by_creation,
                descending=True,
            )
        )

    async def get_current_portfolio(self) -> Portfolio | None:
        """Return the portfolio created last; None where there is none."""
        return await self._first(
            Query("portfolios/latest", (), lambda _: True, _by_creation, descending=True)
        )

    async def get_all_portfolios(
        self, *, after: Portfolio | None = None, limit: int | None = None, consistency: Consistency = "fresh"
    ) -> list[Portfolio]:
        """Return all portfolios."""
        query: Query[Portfolio] = Query("portfolios/all", (), lambda _: True, _by_creation)
        return await self._find(query, after=after, limit=limit, consistency=consistency)

    async def get_portfolios_by_strategy(
        self,
        strategy: str,
        *,
        after: Portfolio | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
    ) -> list[Portfolio]:
        """Return the portfolios of a strategy."""
        query: Query[Portfolio] = Query(
            "portfolios/by_strategy",
            (strategy,),
            lambda portfolio: portfolio.strategy == strategy,
            _by_creation,
        )
        return await self._find(query, after=after, limit=limit, consistency=consistency)
