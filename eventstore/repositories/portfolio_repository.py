"""Portfolios: saved as events, read from the table `portfolios` and from the events that are not in it yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot, PortfolioSummary, summarize
from eventstore.domain.position import Position
from eventstore.errors import ConcurrencyError, PortfolioNotFoundError
from eventstore.repositories.last_good import Quarantined
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query, SortKey, as_id
from eventstore.repositories.repository import Repository, time_range
from eventstore.repositories.session import Consistency, Session


def _by_creation(portfolio: Portfolio) -> SortKey:
    return portfolio.created_at, portfolio.id


def named(name: str) -> Query[Portfolio]:
    """Return the query for the portfolios with a name, the one created last first."""
    return Query(
        "portfolios/by_name", (name,), lambda portfolio: portfolio.name == name, _by_creation, descending=True
    )


SUMMARY_ATTEMPTS_MAX = 10
"""How often a portfolio and its positions are read again if a commit changes the portfolio in between."""


class PostgreSQLPortfolioRepository(Repository[Portfolio]):
    """The portfolios of one database.

    Lists are in the order of creation (`created_at`, then `id`). They are complete unless `limit` is given; the
    next page begins `after` the last portfolio of the previous page. `consistency` works as for orders.

    Raises, besides what a method names:
        ConcurrencyError: A portfolio that this Unit of Work has changed was changed by another writer.
        QuarantinedKeysError: In a list: events of entities of the table cannot be folded. With
            `quarantined="last_good"` the list has their last good states, and `Page.last_good_ids` names them.
        ProjectionLagError: In a list: the table lags too far behind to be corrected.
        ConnectionError, TimeoutError: The database could not be read. Safe to retry if nothing was written.
        NotMigratedError: The tables are missing.
    """

    _kind = Portfolio
    _not_found = PortfolioNotFoundError

    async def save_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Insert or update a portfolio, and return it.

        Raises:
            EntityDeletedError: Its id was deleted.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._save(portfolio)

    async def save_many(self, portfolios: Iterable[Portfolio]) -> list[Portfolio]:
        """Insert or update many portfolios in one append, and return them; errors as for `save_portfolio`."""
        return await self._save_many(portfolios)

    async def update_portfolio(self, portfolio: Portfolio) -> Portfolio:
        """Append the changes of a portfolio, including plain assignments, and return it.

        Raises:
            PortfolioNotFoundError: No portfolio has its id.
            RepositoryError: Another instance of it has changes in this Unit of Work.
        """
        return await self._update(portfolio)

    async def delete_portfolio(self, portfolio_id: UUID | Portfolio) -> bool:
        """Append a tombstone: the row is deleted, the history stays. Return whether the portfolio existed."""
        return await self._delete(portfolio_id)

    async def get_portfolio_by_id(self, portfolio_id: UUID | Portfolio) -> Portfolio | None:
        """Return a portfolio; None if it does not exist."""
        return await self._get(portfolio_id)

    async def get_portfolio_by_name(self, name: str) -> Portfolio | None:
        """Return the portfolio with a name, the one created last if there are several; None if there is none."""
        return await self._first(named(name))

    async def get_current_portfolio(self) -> Portfolio | None:
        """Return the portfolio created last; None if there is none."""
        return await self._first(
            Query("portfolios/latest", (), lambda _: True, _by_creation, descending=True)
        )

    async def get_all_portfolios(
        self,
        *,
        after: Portfolio | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Portfolio]:
        """Return all portfolios."""
        query: Query[Portfolio] = Query("portfolios/all", (), lambda _: True, _by_creation)
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    async def get_portfolios_by_strategy(
        self,
        strategy: str,
        *,
        after: Portfolio | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[Portfolio]:
        """Return the portfolios of a strategy."""
        query: Query[Portfolio] = Query(
            "portfolios/by_strategy",
            (strategy,),
            lambda portfolio: portfolio.strategy is not None and portfolio.strategy == strategy,
            _by_creation,
        )
        return await self._find(
            query, after=after, limit=limit, consistency=consistency, quarantined=quarantined
        )

    # ---- over the positions of a portfolio -------------------------------------------------------------------

    async def get_portfolio_summary(
        self, portfolio_id: UUID | Portfolio, *, rates: Mapping[str, Decimal] | None = None
    ) -> PortfolioSummary | None:
        """Return a portfolio summed up over its open positions, as of now; None if it does not exist.

        The sums are computed from one state of the portfolio and its positions: if a commit changes the
        portfolio while they are read, both are read again.

        Args:
            portfolio_id: The portfolio or its id.
            rates: How much of the portfolio's currency one unit of each other currency is worth; None if all
                is in its own currency.

        Raises:
            DomainError: `money.rate`: a rate is no decimal or below 0, or the portfolio or a position has an amount of
                another currency that has no rate.
            ConcurrencyError: The portfolio changed during each of `SUMMARY_ATTEMPTS_MAX` attempts. Safe to retry.
        """
        return await _sum_up(self._source.reading(), portfolio_id, None, rates)

    async def create_portfolio_snapshot(
        self,
        portfolio_id: UUID | Portfolio,
        *,
        occurred_at: datetime | None = None,
        rates: Mapping[str, Decimal] | None = None,
    ) -> PortfolioSnapshot:
        """Sum up a portfolio as `get_portfolio_summary` does, store the sums, and return them.

        A snapshot has its own stream, so taking one does not conflict with changes of the portfolio.

        Args:
            portfolio_id: The portfolio or its id.
            occurred_at: The time under which the snapshot is stored; its sums are always current. None for the
                context's clock; a naive datetime means local time.
            rates: As for `get_portfolio_summary`; the snapshot keeps them.

        Raises:
            PortfolioNotFoundError: No portfolio has this id.
            DomainError: `money.rate`, as for `get_portfolio_summary`.
            ConcurrencyError: As for `get_portfolio_summary`.
        """
        async with self._source.writing() as session:
            summary = await _sum_up(session, portfolio_id, occurred_at, rates)
            if summary is None:
                raise PortfolioNotFoundError(as_id(Portfolio, portfolio_id), category="portfolio")
            return await session.save(PortfolioSnapshot.of(summary))

    async def get_portfolio_history(
        self,
        portfolio_id: UUID | Portfolio,
        start_date: datetime,
        end_date: datetime,
        *,
        after: PortfolioSnapshot | None = None,
        limit: int | None = None,
        consistency: Consistency = "fresh",
        quarantined: Quarantined = "error",
    ) -> Page[PortfolioSnapshot]:
        """Return the snapshots of a portfolio from `start_date` to `end_date`, both inclusive.

        A naive datetime means local time. The snapshots are in the order in which they were taken (`taken_at`,
        then `id`). They stay when the portfolio is deleted.

        Raises:
            ConfigurationError: The range ends before it starts.
        """
        start, end = time_range(start_date, end_date)
        portfolio_id = as_id(Portfolio, portfolio_id)
        query: Query[PortfolioSnapshot] = Query(
            "portfolio_snapshots/by_portfolio",
            (portfolio_id, start, end),
            lambda snapshot: snapshot.portfolio_id == portfolio_id and start <= snapshot.taken_at <= end,
            lambda snapshot: (snapshot.taken_at, snapshot.id),
        )
        return await self._source.reading().find(
            PortfolioSnapshot,
            query,
            after=after,
            limit=limit,
            consistency=consistency,
            quarantined=quarantined,
        )


async def _sum_up(
    session: Session,
    given: UUID | Portfolio,
    taken_at: datetime | None,
    rates: Mapping[str, Decimal] | None,
) -> PortfolioSummary | None:
    """Read a portfolio, its open positions and the portfolio again, until both readings have one version."""
    portfolio_id: UUID = as_id(Portfolio, given)
    query: Query[Position] = Query(
        "positions/open_by_portfolio",
        (portfolio_id,),
        lambda position: position.portfolio_id == portfolio_id and position.closed_at is None,
        lambda position: (position.opened_at, position.id),
    )
    portfolio = await session.get(Portfolio, given)
    for _ in range(SUMMARY_ATTEMPTS_MAX):
        if portfolio is None:
            return None
        version = portfolio.version
        positions = await session.find(Position, query)
        portfolio = await session.get(Portfolio, portfolio_id)
        if portfolio is not None and portfolio.version == version:
            return summarize(portfolio, positions, taken_at=taken_at, rates=rates)
    raise ConcurrencyError(
        portfolio_id, expected=version, actual=None if portfolio is None else portfolio.version
    )
