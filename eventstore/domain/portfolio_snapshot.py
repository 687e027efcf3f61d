"""A portfolio summed up over its positions, now or at the point in time of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from eventstore.core.context import at, exact, now, plain
from eventstore.core.entity import Entity
from eventstore.core.event import Event
from eventstore.core.types import Computed, Name, NonNegative, UtcDatetime
from eventstore.core.validation import Validated
from eventstore.domain.money import CurrencyAmount, RateTable, converted_total, no_rate
from eventstore.domain.order_events import ONE, ZERO
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position

_COUNT_MAX = 2**63 - 1


class PortfolioTotals(BaseModel):
    """A portfolio and its open positions in numbers. Amounts are in its currency; `rates` turned others into it.

    Attributes:
        portfolio_id: The portfolio.
        taken_at: When it was summed up.
        currency: The currency of the amounts; None if it has no name.
        rates: What one unit of each other currency was taken for.
        initial_capital: What the portfolio began with.
        net_deposits: Deposits and transfers in, less withdrawals and transfers out, since.
        cash_balance: Its cash, of all currencies.
        realized_pnl: The sum of its trades' realised results, before commissions.
        commission_paid: The sum of its commissions.
        income: The sum of dividends, coupons, funding, interest, fees, rebates, taxes and adjustments.
        conversion_pnl: What its conversions of cash gained, at these rates.
        gross_profit: The sum of the winning trades' results, of trades in its own currency.
        gross_loss: The sum of the losing trades' results, as a positive amount, of trades in its own currency.
        trades_count: How many trades were closed, in part or in full.
        winning_trades: How many of them realised more than 0.
        losing_trades: How many of them realised less than 0.
        open_positions: How many positions are open.
        unmarked_positions: How many of them were never marked; these are valued at their entry prices.
        exposure: The sum of the open positions' market values, each without its sign: gross exposure.
        net_exposure: The sum of the open positions' market values; a short one counts negative.
        unrealized_pnl: What closing all of them at their current prices would realise, before commissions.
    """

    portfolio_id: UUID
    taken_at: UtcDatetime = Field(default_factory=now)
    currency: Name | None = None
    rates: tuple[CurrencyAmount, ...] = ()
    initial_capital: NonNegative
    net_deposits: Computed = ZERO
    cash_balance: Computed
    realized_pnl: Computed = ZERO
    commission_paid: Computed = ZERO
    income: Computed = ZERO
    conversion_pnl: Computed = ZERO
    gross_profit: Computed = Field(default=ZERO, ge=0)
    gross_loss: Computed = Field(default=ZERO, ge=0)
    trades_count: int = Field(default=0, ge=0, le=_COUNT_MAX)
    winning_trades: int = Field(default=0, ge=0, le=_COUNT_MAX)
    losing_trades: int = Field(default=0, ge=0, le=_COUNT_MAX)
    open_positions: int = Field(default=0, ge=0, le=_COUNT_MAX)
    unmarked_positions: int = Field(default=0, ge=0, le=_COUNT_MAX)
    exposure: Computed = Field(default=ZERO, ge=0)
    net_exposure: Computed = ZERO
    unrealized_pnl: Computed = ZERO

    @property
    @exact
    def net_realized_pnl(self) -> Decimal:
        """The realised result after commissions, with income and what conversions gained."""
        return plain(self.realized_pnl + self.income + self.conversion_pnl - self.commission_paid)

    @property
    @exact
    def total_pnl(self) -> Decimal:
        """Realised + unrealised + income + what conversions gained - commissions."""
        return plain(self.net_realized_pnl + self.unrealized_pnl)

    @property
    @exact
    def equity(self) -> Decimal:
        """What would be left if all were closed at the current prices: initial capital + net deposits + total P&L.

        It does not depend on how an instrument settles. Where every fill was recorded, it equals cash + market
        value for shares and all else that is paid in full, and cash + unrealised result for futures and all else
        that is margined: the multiplier is in both.
        """
        return plain(self.initial_capital + self.net_deposits + self.total_pnl)

    @property
    @exact
    def leverage(self) -> Decimal | None:
        """Exposure / equity; None if the equity is not above 0."""
        return plain(self.exposure / self.equity) if self.equity > 0 else None

    @property
    @exact
    def win_rate(self) -> Decimal | None:
        """Winning trades / trades, 0 to 1; None before the first trade."""
        return plain(Decimal(self.winning_trades) / self.trades_count) if self.trades_count else None

    @property
    @exact
    def profit_factor(self) -> Decimal | None:
        """Gross profit / gross loss, before commissions; None while there is no loss."""
        return plain(self.gross_profit / self.gross_loss) if self.gross_loss else None

    @property
    @exact
    def realized_return(self) -> Decimal | None:
        """Net realised result / initial capital: 0.05 is 5 %; None without initial capital."""
        return plain(self.net_realized_pnl / self.initial_capital) if self.initial_capital else None

    @property
    @exact
    def total_return(self) -> Decimal | None:
        """Total P&L / initial capital, with what the open positions would realise; None without initial capital."""
        return plain(self.total_pnl / self.initial_capital) if self.initial_capital else None


class PortfolioSummary(PortfolioTotals, Validated):
    """A portfolio summed up: computed on request, and not stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PortfolioSnapshotTaken(PortfolioTotals, Event, category="portfolio_snapshot", validate_default=False):
    """A portfolio was summed up, and the sums were stored."""


class PortfolioSnapshot(
    PortfolioTotals, Entity, category="portfolio_snapshot", created=PortfolioSnapshotTaken
):
    """A portfolio summed up, and kept: `create_portfolio_snapshot` makes it. Its fields cannot be assigned.

    Each snapshot is a separate stream, so taking one never conflicts with a trade of the portfolio.
    """

    model_config = ConfigDict(frozen=True)

    creation_time_field: ClassVar[str | None] = "taken_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("portfolio_id",)

    @classmethod
    def of(cls, summary: PortfolioSummary) -> PortfolioSnapshot:
        """Return the new snapshot of a summary."""
        return cls.create(PortfolioSnapshotTaken(occurred_at=summary.taken_at, **summary.__dict__))


@exact
def summarize(
    portfolio: Portfolio,
    positions: Iterable[Position],
    *,
    taken_at: datetime | None = None,
    rates: Mapping[str, Decimal] | None = None,
) -> PortfolioSummary:
    """Sum up a portfolio over its open positions.

    Args:
        portfolio: The portfolio; results, commissions and counts of trades are its own.
        positions: Its positions; closed ones add nothing.
        taken_at: The point in time to record; None for the context's clock; naive means local time.
        rates: How much of the portfolio's currency one unit of each other currency is worth (`EUR`), or what one currency is
            worth in another (`EUR/USD`); such pairs are crossed.

    Raises:
        DomainError: `money.rate`: a rate is no decimal or below 0, or the portfolio or a position has an amount of
            another currency that no rates lead from.
    """
    money = _Money(portfolio.currency, RateTable(rates), portfolio.currency)
    values: dict[str, Any] = dict.fromkeys(("exposure", "net_exposure", "unrealized_pnl"), ZERO)
    opened = [position for position in positions if position.is_open]
    for position in opened:
        rate = money.rate(position.currency, f"position {position.symbol}")
        unrealized = position.unrealized_pnl or ZERO
        market_value = position.market_value
        if market_value is None:
            market_value = position.cost_basis
        values["exposure"] += abs(market_value) * rate
        values["net_exposure"] += market_value * rate
        values["unrealized_pnl"] += unrealized * rate
    return PortfolioSummary(
        portfolio_id=portfolio.id,
        taken_at=at(taken_at),
        currency=portfolio.currency,
        rates=tuple(
            CurrencyAmount(currency=currency, amount=rate)
            for currency, rate in sorted(money.table.into(portfolio.currency).items())
        ),
        initial_capital=portfolio.initial_capital,
        net_deposits=money.total(portfolio.net_deposits, portfolio.other_deposits),
        cash_balance=money.total(portfolio.cash_balance, portfolio.other_balances),
        realized_pnl=money.total(portfolio.total_realized_pnl, portfolio.other_realized_pnl),
        commission_paid=money.total(portfolio.total_commission_paid, portfolio.other_commissions),
        income=money.total(portfolio.total_income, portfolio.other_income),
        conversion_pnl=money.total(ZERO, portfolio.conversions),
        gross_profit=portfolio.gross_profit,
        gross_loss=portfolio.gross_loss,
        trades_count=portfolio.trades_count,
        winning_trades=portfolio.winning_trades,
        losing_trades=portfolio.losing_trades,
        open_positions=len(opened),
        unmarked_positions=sum(position.current_price is None for position in opened),
        **values,
    )


@exact
def equity_of(
    portfolio: Portfolio,
    unrealized: Iterable[CurrencyAmount | Decimal],
    rates: RateTable,
    *,
    base: str | None = None,
) -> Decimal:
    """Return what `PortfolioTotals.equity` is, from the open result of each position.

    Args:
        portfolio: The portfolio.
        unrealized: What closing each position would realise; a decimal is in the portfolio's currency.
        rates: The rates.
        base: The currency of the answer; None for the portfolio's.

    Raises:
        DomainError: `money.rate`, as for `summarize`.
    """
    money = _Money(portfolio.currency, rates, portfolio.currency if base is None else base)
    open_result = ZERO
    for one in unrealized:
        amount, currency = (one.amount, one.currency) if isinstance(one, CurrencyAmount) else (one, None)
        open_result += amount * money.rate(currency, "a position")
    before, after = _booked(portfolio, money)
    return plain(sum((*before, open_result, *after), ZERO))


@exact
def booked(portfolio: Portfolio, rates: RateTable, *, base: str | None = None) -> tuple[Decimal, ...]:
    """Return what sums up to `PortfolioTotals.equity`, without open results; arguments and errors are those of `equity_of`."""
    money = _Money(portfolio.currency, rates, portfolio.currency if base is None else base)
    before, after = _booked(portfolio, money)
    return (*before, *after)


def _booked(portfolio: Portfolio, money: _Money) -> tuple[tuple[Decimal, ...], tuple[Decimal, ...]]:
    """Return what is summed up before the open results, and what after them."""
    return (
        money.total(portfolio.initial_capital, ()),
        money.total(portfolio.net_deposits, portfolio.other_deposits),
        money.total(portfolio.total_realized_pnl, portfolio.other_realized_pnl),
    ), (
        money.total(portfolio.total_income, portfolio.other_income),
        money.total(ZERO, portfolio.conversions),
        -money.total(portfolio.total_commission_paid, portfolio.other_commissions),
    )


@dataclass(frozen=True, slots=True)
class _Money:
    """Turns amounts of a portfolio into one currency.

    Attributes:
        own: The portfolio's currency.
        table: The rates.
        base: The currency that amounts are turned into.
    """

    own: str | None
    table: RateTable
    base: str | None

    def total(self, own: Decimal, others: tuple[CurrencyAmount, ...]) -> Decimal:
        if self.own != self.base:
            own *= self.rate(None, "the portfolio")
        return plain(own + converted_total(others, self.base, self.table)) if others else own

    def rate(self, currency: str | None, of: str) -> Decimal:
        currency = self.own if currency is None else currency
        if currency == self.base:
            return ONE
        rate = None if currency is None else self.table.into(self.base).get(currency)
        if rate is None:
            named = "without a currency" if currency is None else f"in {currency}"
            raise no_rate(f"{of} is {named}, which", currency, self.base)
        return rate
