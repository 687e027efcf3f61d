"""Portfolios: cash, realised result and the counts of trades, each trade counted once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import at, exact, now, plain
from eventstore.core.entity import Entity, applies
from eventstore.core.event import Event
from eventstore.core.types import Computed, Name, NonNegative, Quantity, Text, UtcDatetime
from eventstore.domain.executions import OrderSide
from eventstore.domain.order_events import ONE, ZERO
from eventstore.errors import DomainError

__all__ = [
    "TRADE_IDS_REMEMBERED_MAX",
    "Portfolio",
    "PortfolioAmended",
    "PortfolioCreated",
    "PortfolioDeleted",
    "PortfolioFields",
    "PortfolioFundsDeposited",
    "PortfolioFundsWithdrawn",
    "PortfolioTradeRecorded",
    "settled_cash_flow",
]

TRADE_IDS_REMEMBERED_MAX = 256
"""How many trades back a portfolio knows a repeat: the ids are part of its row, some 10 kB at UUIDs' length.

Orders and positions know every execution they counted; this one only bridges the repeat of a message or a retry."""


class PortfolioFields(BaseModel):
    """The state of a portfolio: each field is a column of the read table. Amounts are in its currency.

    Attributes:
        name: Its name.
        initial_capital: What it began with; 0 or more.
        cash_balance: The cash it has; the initial capital unless the constructor is given another amount. It may be
            negative: trades on margin overdraw it, withdrawals do not.
        max_position_size: The user's own limit in currency; None: no limit. Nothing acts on it here.
        max_portfolio_risk: The user's own limit, as a fraction of equity: 0.02 is 2 %.
        max_positions: The user's own limit.
        max_leverage: The user's own limit, as a multiple of equity.
        net_deposits: Deposits less withdrawals since it began, beside the initial capital.
        total_realized_pnl: The sum of the trades' realised results, before commissions.
        total_commission_paid: The sum of commissions.
        gross_profit: The sum of the winning trades' results.
        gross_loss: The sum of the losing trades' results, as a positive amount.
        trades_count: How many trades were closed, in part or in full.
        winning_trades: How many of them realised more than 0, before commission.
        losing_trades: How many of them realised less than 0, before commission.
        trade_ids: The ids of the last trades taken, the newest last; at most `TRADE_IDS_REMEMBERED_MAX`.
        strategy: The strategy that it follows.
        created_at: When it was made.
        last_updated: When it last changed.
    """

    name: Name
    initial_capital: NonNegative
    # Replaced by the initial capital if it is not given; the default only makes it optional.
    cash_balance: Computed = ZERO
    max_position_size: NonNegative | None = None
    max_portfolio_risk: NonNegative | None = None
    max_positions: int | None = Field(default=None, ge=0, le=2**63 - 1)
    max_leverage: NonNegative | None = None
    net_deposits: Computed = ZERO
    total_realized_pnl: Computed = ZERO
    total_commission_paid: Computed = ZERO
    gross_profit: Computed = Field(default=ZERO, ge=0)
    gross_loss: Computed = Field(default=ZERO, ge=0)
    trades_count: int = Field(default=0, ge=0, le=2**63 - 1)
    winning_trades: int = Field(default=0, ge=0, le=2**63 - 1)
    losing_trades: int = Field(default=0, ge=0, le=2**63 - 1)
    trade_ids: tuple[Name, ...] = Field(default=(), max_length=TRADE_IDS_REMEMBERED_MAX)
    strategy: Name | None = None
    created_at: UtcDatetime = Field(default_factory=now)
    last_updated: UtcDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _begin_with_capital(cls, values: Any) -> Any:
        if isinstance(values, dict) and "initial_capital" in values and values.get("cash_balance") is None:
            return {**values, "cash_balance": values["initial_capital"]}
        return values

    @model_validator(mode="after")
    @keeps_type
    def _check_rules(self) -> Self:
        if self.winning_trades + self.losing_trades > self.trades_count:
            raise DomainError(
                "portfolio.trades_count",
                f"{self.winning_trades} winning and {self.losing_trades} losing trades are more than "
                f"{self.trades_count} trades: assign trades_count first, or all at once with amend_to({{...}})",
            )
        return self


class PortfolioCreated(PortfolioFields, Event, category="portfolio", validate_default=False):
    """A portfolio was made, or adopted from elsewhere with all its state."""


class PortfolioTradeRecorded(Event, category="portfolio", validate_default=False):
    """A trade's effect on the portfolio.

    Attributes:
        trade_id: The id of its execution, or of the event that closed.
        realized_pnl: What it realised, before commission; None if it closed nothing: then it is not counted.
        commission: Its commission.
        cash_flow: What it did to the cash, after commission.
    """

    trade_id: Name
    realized_pnl: Computed | None = None
    commission: Computed = ZERO
    cash_flow: Computed


class PortfolioFundsDeposited(Event, category="portfolio", validate_default=False):
    """Cash came in."""

    amount: Quantity
    reason: Text | None = None


class PortfolioFundsWithdrawn(Event, category="portfolio", validate_default=False):
    """Cash went out."""

    amount: Quantity
    reason: Text | None = None


class Portfolio(PortfolioFields, Entity, category="portfolio", created=PortfolioCreated):
    """Capital that trades: its cash, its result and its trades.

    It is made by its constructor: `Portfolio(name="Main", initial_capital=Decimal("100000"))`. `PortfolioFields`
    describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the context's
    clock; a naive datetime means local time). Every method raises `DomainError` and changes nothing if a rule
    forbids it.

    Unless fields are assigned, at any time and to the last digit (34 digits):
    `cash_balance = initial cash_balance + net_deposits + the sum of the trades' cash flows`.
    """

    creation_time_field: ClassVar[str | None] = "created_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("name",)

    # ---- derived values ------------------------------------------------------------------------------------

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
    def net_realized_pnl(self) -> Decimal:
        """The realised result after commissions."""
        return plain(self.total_realized_pnl - self.total_commission_paid)

    @property
    @exact
    def total_return(self) -> Decimal | None:
        """The realised result after commissions / initial capital: 0.05 is 5 %; None without initial capital.

        Deposits and withdrawals do not enter, nor does what open positions would realise.
        """
        return plain(self.net_realized_pnl / self.initial_capital) if self.initial_capital else None

    # ---- commands ------------------------------------------------------------------------------------------

    @exact
    def record_trade(
        self,
        trade_id: str | UUID,
        *,
        realized_pnl: Decimal | None = None,
        commission: Decimal = ZERO,
        cash_flow: Decimal | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Record a trade's effect on cash, result and counts, once.

        Record every execution, opening ones too, or the cash lacks their commission. What the cash does depends on
        how the instrument settles:

        - Futures and other margined instruments: leave `cash_flow` out. It is realised result - commission.
        - Shares and other instruments paid in full: `settled_cash_flow(...)`, minus the value bought or plus the
          value sold, less commission.

        Args:
            trade_id: The id of the execution, or of the event that closed. One of the last
                `TRADE_IDS_REMEMBERED_MAX` changes nothing; what is older is not known again.
            realized_pnl: What the trade realised, before commission, as `Position.reduce` and
                `Position.realized_by` return it. None if it closed nothing: then it is not counted as a trade. A result
                of 0 is counted as a trade that is neither won nor lost.
            commission: The commission of this execution alone; a rebate is negative.
            cash_flow: What it did to the cash, after commission; None: realised result - commission.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before.

        Raises:
            DomainError: A bad value (`portfolio.trade_id`, `portfolio.realized_pnl` ...).
        """
        draft = PortfolioTradeRecorded(
            occurred_at=at(occurred_at),
            trade_id=str(trade_id) if isinstance(trade_id, UUID) else trade_id,
            realized_pnl=realized_pnl,
            commission=commission,
            cash_flow=ZERO if cash_flow is None else cash_flow,
        )
        if draft.trade_id in self.trade_ids:
            return False
        if cash_flow is None:
            flow = plain((draft.realized_pnl or ZERO) - draft.commission)
            draft = PortfolioTradeRecorded(**{**draft.__dict__, "cash_flow": flow})
        self.emit(draft)
        return True

    def deposit(
        self, amount: Decimal, *, reason: str | None = None, occurred_at: datetime | None = None
    ) -> None:
        """Add cash.

        Raises:
            DomainError: `portfolio.amount` (not above 0); `portfolio.reason`.
        """
        self.emit(PortfolioFundsDeposited(occurred_at=at(occurred_at), amount=amount, reason=reason))

    def withdraw(
        self, amount: Decimal, *, reason: str | None = None, occurred_at: datetime | None = None
    ) -> None:
        """Withdraw cash, at most the cash balance.

        Raises:
            DomainError: `portfolio.amount` (not above 0); `portfolio.reason`; `portfolio.overdraft`.
        """
        event = PortfolioFundsWithdrawn(occurred_at=at(occurred_at), amount=amount, reason=reason)
        if event.amount > self.cash_balance:
            raise DomainError(
                "portfolio.overdraft",
                f"portfolio {self.name} has {self.cash_balance} in cash, cannot withdraw {event.amount}: "
                "withdraw less, or deposit first",
            )
        self.emit(event)

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(PortfolioTradeRecorded)
    def _trade_recorded(self, event: PortfolioTradeRecorded) -> None:
        self.set(
            cash_balance=plain(self.cash_balance + event.cash_flow),
            total_commission_paid=plain(self.total_commission_paid + event.commission),
            trade_ids=(*self.trade_ids, event.trade_id)[-TRADE_IDS_REMEMBERED_MAX:],
            last_updated=event.occurred_at,
        )
        result = event.realized_pnl
        if result is None:
            return
        self.set(
            total_realized_pnl=plain(self.total_realized_pnl + result), trades_count=self.trades_count + 1
        )
        if result > 0:
            self.set(winning_trades=self.winning_trades + 1, gross_profit=plain(self.gross_profit + result))
        elif result < 0:
            self.set(losing_trades=self.losing_trades + 1, gross_loss=plain(self.gross_loss - result))

    @applies(PortfolioFundsDeposited)
    def _funds_deposited(self, event: PortfolioFundsDeposited) -> None:
        self._move(event.amount, event.occurred_at)

    @applies(PortfolioFundsWithdrawn)
    def _funds_withdrawn(self, event: PortfolioFundsWithdrawn) -> None:
        self._move(-event.amount, event.occurred_at)

    def _move(self, amount: Decimal, when: datetime) -> None:
        self.set(
            cash_balance=plain(self.cash_balance + amount),
            net_deposits=plain(self.net_deposits + amount),
            last_updated=when,
        )


@exact
def settled_cash_flow(
    side: OrderSide,
    quantity: Decimal,
    price: Decimal,
    *,
    multiplier: Decimal = ONE,
    commission: Decimal = ZERO,
) -> Decimal:
    """Return what a fill paid in full does to the cash: minus what was bought or plus what was sold, less commission.

    For shares, bonds and coins; margined instruments settle by their realised result instead.

    Args:
        side: The fill's side.
        quantity: Shares or contracts; positive.
        price: The price of one.
        multiplier: Currency per point of price and contract.
        commission: In currency; a rebate is negative.
    """
    return plain(-side.sign * quantity * price * multiplier - commission)


PortfolioAmended = Portfolio.amended_event
"""Fields of a portfolio were assigned."""

PortfolioDeleted = Portfolio.deleted_event
"""A portfolio was deleted."""
