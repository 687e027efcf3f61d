"""`store.reports`: what a trader looks at, as rows of exact values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, tzinfo
from typing import TYPE_CHECKING, Unpack

from eventstore.domain.order import OrderStatus
from eventstore.reports import cash, orders, positions
from eventstore.reports.equity import Drawdown, Equity
from eventstore.reports.exposure import Exposure
from eventstore.reports.fills import Fills
from eventstore.reports.filters import Filters
from eventstore.reports.grouping import Grouping
from eventstore.reports.money import Rates
from eventstore.reports.periods import By, Unit
from eventstore.reports.pnl import Pnl
from eventstore.reports.portfolios import Portfolios
from eventstore.reports.positions import Which
from eventstore.reports.reading import answer
from eventstore.reports.report import Report
from eventstore.reports.trades import Trades
from eventstore.reports.turnover import Turnover

if TYPE_CHECKING:
    from eventstore.store import EventStore


class Reports:
    """The reports of a store. Each is one call, and takes the keywords of `Filters` that make sense for it.

    A report is of one point in time: now, or the one of `position`, `recorded_at` or `occurred_at`. It sees every event
    committed before the call. It changes nothing, and is safe to retry. However many events it has to read, other tasks of
    the event loop run meanwhile.

    Amounts of different currencies are never added up: there is a row for each currency, unless `rates` says what they are
    worth: `EUR` is one euro in the currency of the rows, `EUR/USD` is one euro in dollars. Pairs are crossed: with `EUR/USD`
    and `USD/JPY` any of the three currencies turns into any other. The rates are used for all of the time of the report.

    Raises, besides what a method names:
        ConfigurationError: A filter is unknown, is not one of this report, or has a value of another type; the range ends
            before it begins; more than one point in time is given, or the position is beyond the end of the log.
        RepositoryError: `portfolio` is an entity of another class, or not an id.
        LimitError: `limit` is not a whole number from 1.
        QuarantinedKeysError: Events of entities of the report cannot be folded.
        UnknownEventTypeError, EventDecodingError: The code does not know an event.
        ConnectionError, TimeoutError: Safe to retry.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def orders(
        self,
        *,
        status: OrderStatus | str | None = None,
        active: bool = False,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return the orders, by the time of their creation.

        Args:
            status: Only orders of this status.
            active: Only orders that may still trade.
            limit: Only so many rows, the last ones; None for all.
            **filters: See `Filters`; the time of a row is `created_at`.

        Raises:
            ConfigurationError: There is no such status.
        """
        return await orders.orders(self._store, status=status, active=active, limit=limit, filters=filters)

    async def fills(
        self, *, taken_back: bool = False, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Report:
        """Return the executions, one row for each, by the time at which they happened.

        An execution that a flip through zero split between two positions is one row. A corrected execution is as the
        correction says. Quantities and prices are in the shares of their time: a split does not change them.

        Args:
            taken_back: Also the executions that were busted or replaced by a correction; `status` says so.
            limit: As for `orders`.
            **filters: See `Filters`; the time of a row is `occurred_at`.
        """
        return await answer(self._store, Fills(filters, taken_back=taken_back, limit=limit))

    async def positions(
        self, *, which: Which = "open", limit: int | None = None, **filters: Unpack[Filters]
    ) -> Report:
        """Return the positions, by the time of their opening.

        A position that was never marked has no `mark` and no `unrealized_pnl`, and is valued at its entry prices.

        Args:
            which: `open`, `closed` or `all`.
            limit: As for `orders`.
            **filters: See `Filters`; the time of a row is `opened_at`.

        Raises:
            ConfigurationError: `which` is none of these.
        """
        return await positions.positions(self._store, which=which, limit=limit, filters=filters)

    async def portfolios(
        self, *, rates: Rates | None = None, base: str | None = None, **filters: Unpack[Filters]
    ) -> Report:
        """Return the portfolios, by the time of their creation: one row for each currency of each, or one with rates.

        Args:
            rates: What one unit of each other currency is worth in `base`, or of one currency in another.
            base: The currency of all amounts; None for each portfolio's own.
            **filters: See `Filters`; without `symbol`, `account`, `from_` and `to`. With rates, `currency` is that of the
                portfolio.

        Raises:
            ConfigurationError: There is a base without rates. Or there is none, the portfolios have several currencies, and a
                rate is of no pair.
            DomainError: `money.rate`: no rates lead from a currency to the one of the row, or a rate is no decimal or below 0.
        """
        return await answer(self._store, Portfolios(filters, rates=rates, base=base))

    async def pnl(
        self,
        *,
        by: Sequence[By] | By = ("day",),
        timezone: str | tzinfo = "UTC",
        session_end: time | str | None = None,
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return the profit and loss of each period, symbol, strategy, portfolio and currency.

        `realized_pnl` is what fills realised before commissions, `unrealized_change` is by how much the open result changed,
        `income` is dividends, funding, fees and the like. `total` is their sum less `commission`. A fill that was reported
        late counts when it happened. What a conversion of cash gains is part of it only with rates, as `conversion_pnl`.
        The trades of a portfolio count by its positions. One that none of its positions has counts as it was recorded: they
        are compared by execution id, and by order, account, venue and symbol where both name them.

        Args:
            by: What rows are grouped by: at most one of `hour`, `day`, `week` and `month`, and any of `symbol`, `strategy`,
                `portfolio` and `currency`.
            timezone: The time zone of the periods.
            session_end: When a trading day ends, such as 17:00, by the clock of the zone; None for midnight. What happens
                from then on belongs to the next day.
            rates: What one unit of each other currency is worth in `base`, or of one currency in another.
            base: The currency of all amounts; None for that of the portfolios.
            **filters: See `Filters`. With `account`, movements of cash are left out: they have none.

        Raises:
            ConfigurationError: `by`, `timezone` or `session_end` is wrong; there is a base without rates; or there are rates, the
                portfolios have several currencies, and no `base` is given.
            DomainError: `money.rate`, as for `portfolios`.
        """
        return await answer(
            self._store,
            Pnl(filters, Grouping.of(by, timezone=timezone, session_end=session_end, rates=rates, base=base)),
        )

    async def equity(
        self,
        *,
        every: Unit | None = None,
        timezone: str | tzinfo = "UTC",
        session_end: time | str | None = None,
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return the equity of each portfolio over time: `EventStore.equity_curve`, with the capital of each point.

        `capital` is the initial capital with deposits and transfers in, less those out; `pnl` is equity - capital. A
        portfolio that ever had amounts of several currencies has, without rates, one curve for each currency; what a
        conversion brought into a currency or took out of it is then capital of that currency.

        Args:
            every: Only the last point of each period; None for each change.
            timezone: As for `pnl`.
            session_end: As for `pnl`.
            rates: As for `portfolios`.
            base: As for `portfolios`.
            **filters: See `Filters`; without `symbol` and `account`. The time of a row is `at`.

        Raises:
            ConfigurationError: `every`, `timezone` or `session_end` is wrong; or as for `portfolios`.
            DomainError: `money.rate`, as for `portfolios`.
        """
        return await answer(
            self._store,
            Equity(filters, every=every, timezone=timezone, session_end=session_end, rates=rates, base=base),
        )

    async def drawdown(
        self,
        *,
        every: Unit | None = None,
        timezone: str | tzinfo = "UTC",
        session_end: time | str | None = None,
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return how far the equity of each portfolio is below its peak, over time.

        A deposit is no gain and a withdrawal no loss: `drawdown` is the highest `pnl` of the range so far less that of the
        point, whatever `every` says, and `peak` is the equity + the drawdown. `drawdown_fraction` is drawdown / peak: 0.05 is 5 %.

        Arguments and errors are those of `equity`.
        """
        return await answer(
            self._store,
            Drawdown(
                filters,
                every=every,
                timezone=timezone,
                session_end=session_end,
                rates=rates,
                base=base,
            ),
        )

    async def trades(
        self,
        *,
        limit: int | None = None,
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return the round trips, one row for each position that was closed, by the time of its close.

        `entry_price` and `exit_price` are the averages of the executions of each side, in shares of the end. `mae` and
        `mfe` are the lowest and the highest result, realised and unrealised, before commissions, at its marks and at its
        close; None if it was never marked. `net_pnl` is after the commissions in the position's currency. With rates,
        results are in the base, all commissions are in `commission`, and prices stay in the currency of the instrument.

        Args:
            limit: As for `orders`.
            rates: As for `pnl`.
            base: As for `pnl`.
            **filters: See `Filters`; the time of a row is `closed_at`.

        Raises:
            ConfigurationError, DomainError: As for `pnl`.
        """
        return await answer(self._store, Trades(filters, limit=limit, rates=rates, base=base))

    async def exposure(
        self,
        *,
        by: Sequence[By] | By = ("symbol",),
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return what is open, at the current prices: long, short (negative), gross and net.

        Args:
            by: Any of `symbol`, `strategy`, `portfolio` and `currency`.
            rates: As for `pnl`.
            base: As for `pnl`.
            **filters: See `Filters`; without `from_`. With `to` it is what was open before that time.

        Raises:
            ConfigurationError, DomainError: As for `pnl`.
        """
        return await answer(self._store, Exposure(filters, by=by, rates=rates, base=base))

    async def cash(self, **filters: Unpack[Filters]) -> Report:
        """Return the cash of each portfolio in each currency: capital + income + conversions + trades = balance.

        Args:
            **filters: See `Filters`; without `symbol`, `account`, `from_` and `to`.
        """
        return await cash.cash(self._store, filters=filters)

    async def movements(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> Report:
        """Return what changed the cash of portfolios, by time: trades, their commissions, and all other movements.

        The cash that a portfolio began with is a DEPOSIT. A bust takes back what its trade did.

        Args:
            limit: As for `orders`.
            **filters: See `Filters`; without `account`. The time of a row is `at`.
        """
        return await cash.movements(self._store, limit=limit, filters=filters)

    async def turnover(
        self,
        *,
        by: Sequence[By] | By = ("day",),
        timezone: str | tzinfo = "UTC",
        session_end: time | str | None = None,
        rates: Rates | None = None,
        base: str | None = None,
        **filters: Unpack[Filters],
    ) -> Report:
        """Return what was bought and sold: the values of the fills, their sum and their difference.

        Arguments and errors are those of `pnl`; the filters are those of `fills`.
        """
        return await answer(
            self._store,
            Turnover(
                filters, Grouping.of(by, timezone=timezone, session_end=session_end, rates=rates, base=base)
            ),
        )
