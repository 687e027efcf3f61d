"""The fields and the events of a portfolio."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eventstore.core.codec import keeps_type
from eventstore.core.context import now
from eventstore.core.event import Event
from eventstore.core.types import Computed, Details, Name, Nanoseconds, NonNegative, Text, UtcDatetime
from eventstore.core.validation import Validated
from eventstore.domain.executions import (
    EXECUTIONS_KEPT_MAX,
    ExecutionKey,
    ExecutionStatus,
    has_id,
    key_of,
)
from eventstore.domain.money import CurrencyAmount, Settlement
from eventstore.errors import DomainError

_ZERO = Decimal(0)
_COUNT_MAX = 2**63 - 1


class PositionMode(StrEnum):
    """How many positions a portfolio has in one instrument.

    Attributes:
        NETTING: One: a fill of the other side reduces it.
        HEDGING: One for each side, long and short.
    """

    NETTING = "NETTING"
    HEDGING = "HEDGING"


class CashKind(StrEnum):
    """Why cash moved, other than by a trade.

    DEPOSIT, WITHDRAWAL, TRANSFER_IN and TRANSFER_OUT bring capital in or out. A CONVERSION changes one currency into
    another. All others are income: profit or loss that no trade made.
    """

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_OUT = "TRANSFER_OUT"
    CONVERSION = "CONVERSION"
    DIVIDEND = "DIVIDEND"
    COUPON = "COUPON"
    FUNDING = "FUNDING"
    INTEREST = "INTEREST"
    BORROW_FEE = "BORROW_FEE"
    ACCOUNT_FEE = "ACCOUNT_FEE"
    REBATE = "REBATE"
    TAX = "TAX"
    ADJUSTMENT = "ADJUSTMENT"

    @property
    def is_capital(self) -> bool:
        """Whether it brings capital in or out, so that it is no result."""
        return self in _CAPITAL

    @property
    def is_income(self) -> bool:
        """Whether it is profit or loss."""
        return self not in _CAPITAL and self is not CashKind.CONVERSION

    @property
    def sign(self) -> int:
        """The sign of its amounts, unless they are taken back; 0 if they have either."""
        return -1 if self in _OUT else 1 if self in _IN else 0


_CAPITAL = {CashKind.DEPOSIT, CashKind.WITHDRAWAL, CashKind.TRANSFER_IN, CashKind.TRANSFER_OUT}
_IN = {CashKind.DEPOSIT, CashKind.TRANSFER_IN, CashKind.REBATE}
_OUT = {
    CashKind.WITHDRAWAL,
    CashKind.TRANSFER_OUT,
    CashKind.CONVERSION,
    CashKind.BORROW_FEE,
    CashKind.ACCOUNT_FEE,
    CashKind.TAX,
}


class Trade(Validated):
    """What one execution did to a portfolio.

    Attributes:
        execution_id: The venue's id, or that of the event that closed; None or "0" if it has none.
        order_id: The order of ours that it filled.
        account: The account (FIX Account, 1).
        venue: The venue (FIX LastMkt, 30).
        symbol: The instrument.
        realized_pnl: What it realised, before commission; None if it closed nothing.
        commission: Its commission; a rebate is negative.
        cash_flow: What it did to the cash of `currency`, after a commission in that currency.
        currency: The currency of result and cash flow; None for the portfolio's.
        commission_currency: The currency or coin of the commission; None: `currency`.
        occurred_at: When it happened.
        transact_time_ns: The venue's own time (FIX TransactTime, 60), in ns since the epoch.
        status: Whether it counts.
        corrects: The id of the trade that it replaced.
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    category: ClassVar[str] = "portfolio"

    execution_id: Name | None = None
    order_id: UUID | None = None
    account: Name | None = None
    venue: Name | None = None
    symbol: Name | None = None
    realized_pnl: Computed | None = None
    commission: Computed = _ZERO
    cash_flow: Computed
    currency: Name | None = None
    commission_currency: Name | None = None
    occurred_at: UtcDatetime
    transact_time_ns: Nanoseconds | None = None
    status: ExecutionStatus = ExecutionStatus.COUNTED
    corrects: Name | None = None

    @property
    def counts(self) -> bool:
        """Whether the trade is part of the portfolio's results and cash."""
        return self.status is ExecutionStatus.COUNTED

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by; None if it has no id."""
        return key_of(self)

    def says_the_same_as(self, other: Trade) -> bool:
        """Whether both report the same result, commission and cash flow, in the same currencies."""
        return (
            (self.realized_pnl, self.commission, self.cash_flow)
            == (other.realized_pnl, other.commission, other.cash_flow)
            and _agree(self.currency, other.currency)
            and _agree(self.symbol, other.symbol)
            and self.commission_currency == other.commission_currency
        )

    def told(self) -> str:
        """Return its content in words, for errors."""
        of = "" if self.symbol is None else f"{self.symbol}: "
        unit = "" if self.currency is None else f" {self.currency}"
        fee = unit if self.commission_currency is None else f" {self.commission_currency}"
        result = "no result" if self.realized_pnl is None else f"result {self.realized_pnl}{unit}"
        return f"{of}{result}, commission {self.commission}{fee}, cash flow {self.cash_flow}{unit}"


def _agree(one: str | None, other: str | None) -> bool:
    """Whether two names are the same, if both are given."""
    return one is None or other is None or one == other


class CashMovement(Validated):
    """Cash that moved, other than by a trade.

    Attributes:
        kind: Why.
        amount: What it did to the cash of `currency`, with its sign.
        currency: The currency; None for the portfolio's.
        execution_id: The id that it has elsewhere; None or "0" if it has none.
        symbol: The instrument that it is of.
        counter_amount: Of a conversion: how much of `counter_currency` came in.
        counter_currency: Of a conversion: the currency that came in; None for the portfolio's.
        occurred_at: When it happened.
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    category: ClassVar[str] = "portfolio"

    kind: CashKind
    amount: Computed
    currency: Name | None = None
    execution_id: Name | None = None
    symbol: Name | None = None
    counter_amount: Computed | None = None
    counter_currency: Name | None = None
    occurred_at: UtcDatetime

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by, its kind and its id; None if it has no id."""
        if not has_id(self.execution_id):
            return None
        return ExecutionKey(f"{self.kind} {self.execution_id}")

    def says_the_same_as(self, other: CashMovement) -> bool:
        """Whether both report the same amounts of the same currencies and instrument."""
        return (
            (self.kind, self.amount, self.counter_amount) == (other.kind, other.amount, other.counter_amount)
            and _agree(self.currency, other.currency)
            and _agree(self.counter_currency, other.counter_currency)
            and _agree(self.symbol, other.symbol)
        )

    def told(self) -> str:
        """Return its content in words, for errors."""
        unit = "" if self.currency is None else f" {self.currency}"
        of = "" if self.symbol is None else f" of {self.symbol}"
        into = "" if self.counter_amount is None else f" into {self.counter_amount} {self.counter_currency}"
        return f"{self.kind} {self.amount}{unit}{of}{into}"


class PortfolioFields(BaseModel):
    """The state of a portfolio: each field is a column of the read table.

    Amounts are in the portfolio's currency, unless they name one. Amounts of different currencies are never added up.

    Attributes:
        name: Its name.
        currency: Its currency (FIX Currency, 15), the base currency; None if it has no name.
        initial_capital: What it began with.
        cash_balance: The cash of its currency now; the initial capital unless another amount is given. Trades may make
            it negative.
        other_balances: The cash of other currencies, and coins that are held as cash.
        position_mode: Whether fills of both sides net into one position of an instrument.
        settlement: What a fill does to the cash where its instrument does not say; `record_trade` does not ask it.
        may_go_below_zero: Whether withdrawals and fees may overdraw the cash, as on a margin account.
        max_position_size: The user's own limit in currency; None: no limit. Nothing acts on it here.
        max_portfolio_risk: The user's own limit, as a fraction of equity: 0.02 is 2 %.
        max_positions: The user's own limit.
        max_leverage: The user's own limit, as a multiple of equity.
        net_deposits: Deposits and transfers in, less withdrawals and transfers out, beside the initial capital.
        other_deposits: The same in other currencies, with what it began with.
        conversions: What conversions brought into each currency and took out of it, the portfolio's own too.
        total_realized_pnl: The sum of the trades' realised results, before commissions.
        other_realized_pnl: The same of trades in other currencies.
        total_commission_paid: The sum of commissions.
        other_commissions: The commissions in other currencies and coins.
        total_income: The sum of dividends, coupons, funding, interest, fees, rebates, taxes and adjustments.
        other_income: The same in other currencies.
        gross_profit: The sum of the winning trades' results in the portfolio's currency.
        gross_loss: The sum of the losing trades' results in the portfolio's currency, as a positive amount.
        trades_count: How many trades were closed, in part or in full, in any currency.
        winning_trades: How many of them realised more than 0, before commission.
        losing_trades: How many of them realised less than 0, before commission.
        trades: The last trades taken, the newest last; at most `EXECUTIONS_KEPT_MAX`.
        movements: The last movements of cash that were no trade, the newest last; at most `EXECUTIONS_KEPT_MAX`.
        strategy: The strategy that it follows.
        details: The user's own texts by name; given as a mapping, kept as pairs.
        created_at: When it was made.
        last_updated: The latest time of a trade or a movement of cash.
    """

    name: Name
    currency: Name | None = None
    initial_capital: NonNegative
    # Replaced by the initial capital if it is not given; the default only makes it optional.
    cash_balance: Computed = _ZERO
    other_balances: tuple[CurrencyAmount, ...] = ()
    position_mode: PositionMode = PositionMode.NETTING
    settlement: Settlement = Settlement.IN_FULL
    may_go_below_zero: bool = False
    max_position_size: NonNegative | None = None
    max_portfolio_risk: NonNegative | None = None
    max_positions: int | None = Field(default=None, ge=0, le=_COUNT_MAX)
    max_leverage: NonNegative | None = None
    net_deposits: Computed = _ZERO
    other_deposits: tuple[CurrencyAmount, ...] = ()
    conversions: tuple[CurrencyAmount, ...] = ()
    total_realized_pnl: Computed = _ZERO
    other_realized_pnl: tuple[CurrencyAmount, ...] = ()
    total_commission_paid: Computed = _ZERO
    other_commissions: tuple[CurrencyAmount, ...] = ()
    total_income: Computed = _ZERO
    other_income: tuple[CurrencyAmount, ...] = ()
    gross_profit: Computed = Field(default=_ZERO, ge=0)
    gross_loss: Computed = Field(default=_ZERO, ge=0)
    trades_count: int = Field(default=0, ge=0, le=_COUNT_MAX)
    winning_trades: int = Field(default=0, ge=0, le=_COUNT_MAX)
    losing_trades: int = Field(default=0, ge=0, le=_COUNT_MAX)
    trades: tuple[Trade, ...] = Field(default=(), max_length=EXECUTIONS_KEPT_MAX)
    movements: tuple[CashMovement, ...] = Field(default=(), max_length=EXECUTIONS_KEPT_MAX)
    strategy: Name | None = None
    details: Details = ()
    created_at: UtcDatetime = Field(default_factory=now)
    last_updated: UtcDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _begin_with_capital(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if "initial_capital" in values and values.get("cash_balance") is None:
            values = {**values, "cash_balance": values["initial_capital"]}
        if "other_balances" in values and "other_deposits" not in values and "name" in values:
            values = {**values, "other_deposits": values["other_balances"]}
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
        for name in _BY_CURRENCY:
            if self.currency is not None and any(
                one.currency == self.currency for one in self.__dict__[name]
            ):
                raise DomainError(
                    f"portfolio.{name}",
                    f"{name} is of other currencies, and {self.currency} is the portfolio's own: "
                    "its cash is cash_balance; change both at once with amend_to({...})",
                )
        return self


_BY_CURRENCY = (
    "other_balances",
    "other_deposits",
    "other_realized_pnl",
    "other_commissions",
    "other_income",
)


class PortfolioCreated(PortfolioFields, Event, category="portfolio", validate_default=False):
    """A portfolio was made, or adopted from elsewhere with all its state."""


class _TradeFacts(BaseModel):
    """What the events of a trade say of it; `Trade` describes the fields."""

    execution_id: Name | None = None
    order_id: UUID | None = None
    account: Name | None = None
    venue: Name | None = None
    symbol: Name | None = None
    realized_pnl: Computed | None = None
    commission: Computed = _ZERO
    cash_flow: Computed
    currency: Name | None = None
    commission_currency: Name | None = None
    transact_time_ns: Nanoseconds | None = None


class PortfolioTradeRecorded(_TradeFacts, Event, category="portfolio", validate_default=False):
    """A trade's effect on the portfolio; `Trade` describes the other fields.

    Attributes:
        corrects: The id of the trade that it replaces.
    """

    corrects: Name | None = None


class PortfolioTradeBusted(_TradeFacts, Event, category="portfolio", validate_default=False):
    """A trade was taken back, with what it had done; `Trade` describes the other fields.

    Attributes:
        corrected_by: The id of the trade that replaces it; None if it is busted.
        realized_pnl_change: By how much the results of other trades changed.
        cash_flow_change: By how much that changed the cash.
        reason: Why.
    """

    corrected_by: Name | None = None
    realized_pnl_change: Computed = _ZERO
    cash_flow_change: Computed = _ZERO
    reason: Text | None = None


class PortfolioCashMoved(Event, category="portfolio", validate_default=False):
    """Cash moved, other than by a trade.

    Attributes:
        kind: Why.
        amount: What it did to the cash of `currency`, with its sign.
        currency: The currency; None for the portfolio's.
        execution_id: The id that it has elsewhere.
        symbol: The instrument that it is of.
        venue: The venue of the instrument.
        counterpart_id: Of a transfer: the other portfolio.
        counter_amount: Of a conversion: how much of `counter_currency` came in.
        counter_currency: Of a conversion: the currency that came in; None for the portfolio's.
        reason: A remark.
    """

    kind: CashKind
    amount: Computed
    currency: Name | None = None
    execution_id: Name | None = None
    symbol: Name | None = None
    venue: Name | None = None
    counterpart_id: UUID | None = None
    counter_amount: Computed | None = None
    counter_currency: Name | None = None
    reason: Text | None = None
