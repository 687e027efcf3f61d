"""Portfolios: cash by currency, realised result, income and the counts of trades, each trade counted once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from eventstore.core.context import at, exact, plain, total
from eventstore.core.entity import Entity, applies
from eventstore.core.entity_state import private
from eventstore.core.event import RecordedEvent
from eventstore.core.types import Name
from eventstore.core.validation import number, shown
from eventstore.domain.executions import (
    ExecutionKey,
    ExecutionStatus,
    has_id,
    is_complete,
    kept,
    key_of,
    known_as,
    not_before,
    noted,
)
from eventstore.domain.money import add_amount, amount_in, settled_cash_flow
from eventstore.domain.portfolio_events import (
    CashKind,
    CashMovement,
    PortfolioCashMoved,
    PortfolioCreated,
    PortfolioFields,
    PortfolioTradeBusted,
    PortfolioTradeRecorded,
    PositionMode,
    Trade,
)
from eventstore.domain.portfolio_memory import (
    TRADE_FACTS,
    PortfolioMemory,
    counted_by,
    marked,
    movement_of,
    trade_of,
)
from eventstore.errors import DomainError

__all__ = [
    "CashKind",
    "CashMovement",
    "Portfolio",
    "PortfolioAmended",
    "PortfolioCashMoved",
    "PortfolioCreated",
    "PortfolioDeleted",
    "PortfolioFields",
    "PortfolioTradeBusted",
    "PortfolioTradeRecorded",
    "PositionMode",
    "Trade",
    "settled_cash_flow",
]

_ZERO = Decimal(0)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_MAY_NOT_OVERDRAW = {
    CashKind.WITHDRAWAL,
    CashKind.TRANSFER_OUT,
    CashKind.CONVERSION,
    CashKind.ACCOUNT_FEE,
    CashKind.BORROW_FEE,
}


class Portfolio(PortfolioFields, Entity, category="portfolio", created=PortfolioCreated):
    """Capital that trades: its cash, its result and its trades.

    It is made by its constructor: `Portfolio(name="Main", initial_capital=Decimal("100000"), currency="USD")`.
    `PortfolioFields` describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the
    context's clock; a naive datetime means local time). Every method raises `DomainError` and changes nothing if a
    rule forbids it. Where a method takes a currency, None is the portfolio's own.

    Unless fields are assigned, at any time and to the last digit (34 digits), in each currency: the cash is what it
    began with + deposits + conversions + income + the sum of the trades' cash flows - commissions in a currency other
    than their trade's.
    """

    creation_time_field: ClassVar[str | None] = "created_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("name",)

    # ---- derived values ------------------------------------------------------------------------------------

    @property
    def trade_ids(self) -> tuple[str, ...]:
        """The ids of the last trades, the newest last, without those that have none."""
        return tuple(one.key.execution_id for one in self.trades if one.key is not None)

    def balance(self, currency: str | None = None) -> Decimal:
        """Return the cash of a currency; None: of the portfolio's own."""
        own = self._is_own(currency)
        return self.cash_balance if own else amount_in(self.other_balances, str(currency))

    @property
    @exact
    def win_rate(self) -> Decimal | None:
        """Winning trades / trades of all currencies, 0 to 1; None before the first trade."""
        return plain(Decimal(self.winning_trades) / self.trades_count) if self.trades_count else None

    @property
    @exact
    def profit_factor(self) -> Decimal | None:
        """Gross profit / gross loss, before commissions, in its own currency; None while there is no loss."""
        return plain(self.gross_profit / self.gross_loss) if self.gross_loss else None

    @property
    @exact
    def net_realized_pnl(self) -> Decimal:
        """The realised result after commissions, with income, in its own currency."""
        return plain(self.total_realized_pnl + self.total_income - self.total_commission_paid)

    @property
    @exact
    def total_return(self) -> Decimal | None:
        """Net realised result / initial capital: 0.05 is 5 %; None without initial capital.

        Both are in its own currency: `get_portfolio_summary(..., rates=...)` adds the others. Deposits and
        withdrawals do not enter, nor does what open positions would realise.
        """
        return plain(self.net_realized_pnl / self.initial_capital) if self.initial_capital else None

    def find_trade(
        self,
        trade_id: str,
        *,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
    ) -> Trade | None:
        """Return what is known of a trade, as it is now; None if this instance does not know it.

        Args:
            trade_id: The id that it was recorded under.
            order_id: The order that it was recorded with.
            account: The account that it was recorded with.
            venue: The venue that it was recorded with.
        """
        known = self._known_trades(ExecutionKey(trade_id, order_id, account, venue))
        return next((one for one in known if one.counts), known[-1]) if known else None

    # ---- trades --------------------------------------------------------------------------------------------

    @exact
    def record_trade(
        self,
        trade_id: str | UUID | None,
        *,
        realized_pnl: Decimal | None = None,
        commission: Decimal = _ZERO,
        cash_flow: Decimal | None = None,
        currency: str | None = None,
        commission_currency: str | None = None,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
        symbol: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        kind: CashKind | str | None = None,
    ) -> bool:
        """Record a trade's effect on cash, result and counts, once.

        Record every execution, opening ones too, or the cash lacks their commission. What the cash does depends on
        how the instrument settles:

        - Futures and other margined instruments: leave `cash_flow` out. It is realised result - commission.
        - Shares and other instruments paid in full: `settled_cash_flow(...)`, minus the value bought or plus the
          value sold, less commission.

        A commission in another currency than the trade's is taken from the cash of that currency, so it is no part of
        the cash flow. Dividends, funding and other income are no trades: `record_cash` takes them.

        Args:
            trade_id: The id of the execution, or of the event that closed. A trade is known by account, venue, order
                and this id. A repeat changes nothing. None or "0": it has no id, and is never a repeat.
            realized_pnl: What the trade realised, before commission, as `Position.reduce` and
                `Position.realized_by` return it. None if it closed nothing: then it is not counted as a trade. A result
                of 0 is counted as a trade that is neither won nor lost.
            commission: The commission of this execution alone; a rebate is negative.
            cash_flow: What it did to the cash of `currency`, after a commission in it; None: realised result -
                commission.
            currency: The currency of result and cash flow.
            commission_currency: The currency or coin of the commission; None: `currency`.
            order_id: The order of ours that it filled.
            account: The account (FIX Account, 1).
            venue: The venue (FIX LastMkt, 30).
            symbol: The instrument.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch (FIX TransactTime, 60).
            kind: Refused: what has a kind is no trade.

        Returns:
            Whether it counted; False if it was counted before.

        Raises:
            DomainError: `portfolio.kind` (use `record_cash`); a bad value (`portfolio.trade_id`,
                `portfolio.realized_pnl` ...); `portfolio.trade_conflict` (the trade is known with other content).
        """
        if kind is not None:
            raise _no_trade(kind)
        event = self._traded(
            _id("trade_id", trade_id),
            occurred_at=at(occurred_at, transact_time_ns),
            realized_pnl=realized_pnl,
            commission=commission,
            cash_flow=cash_flow,
            currency=currency,
            commission_currency=commission_currency,
            order_id=order_id,
            account=account,
            venue=venue,
            symbol=symbol,
            transact_time_ns=transact_time_ns,
        )
        if self._is_repeated_trade(event):
            return False
        self._emit_counted(event)
        return True

    @exact
    def bust_trade(
        self,
        trade_id: str | UUID,
        *,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
        realized_pnl_change: Decimal = _ZERO,
        cash_flow_change: Decimal | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Take a trade back: its result, commission, cash flow and count (FIX ExecType H). Its id stays known.

        Args:
            trade_id: The id that the trade was recorded under, with its `order_id`, `account` and `venue`.
            order_id: Its order.
            account: Its account.
            venue: Its venue.
            realized_pnl_change: By how much the results of other trades change, because the position's average price
                was another without the trade. It enters the result, and gross profit or gross loss, but no count.
            cash_flow_change: By how much that changes the cash; None: by `realized_pnl_change`, as on margin. What is
                paid in full changes by 0.
            reason: Why.
            occurred_at: When it was busted; not before the trade.

        Returns:
            Whether anything changed; False if it was busted before.

        Raises:
            DomainError: A bad value; `portfolio.unknown_execution`; `portfolio.execution_not_loaded` (it is older than
                what the state holds); `portfolio.execution_corrected` (bust the trade that replaced it).
        """
        old = self._counted_trade(_id("trade_id", trade_id), order_id, account, venue)
        if old.status is ExecutionStatus.BUSTED:
            return False
        self._take_back(
            self._taken_back(
                old,
                corrected_by=None,
                realized_pnl_change=realized_pnl_change,
                cash_flow_change=cash_flow_change,
                reason=reason,
                occurred_at=occurred_at,
            )
        )
        return True

    @exact
    def correct_trade(
        self,
        trade_id: str | UUID,
        *,
        new_trade_id: str | UUID | None = None,
        realized_pnl: Decimal | None = None,
        commission: Decimal | None = None,
        cash_flow: Decimal | None = None,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
        realized_pnl_change: Decimal = _ZERO,
        cash_flow_change: Decimal | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Replace a trade by another (FIX ExecType G): `PortfolioTradeBusted` and `PortfolioTradeRecorded` follow.

        Args:
            trade_id: The id that the trade was recorded under, with its `order_id`, `account` and `venue`.
            new_trade_id: The id of the trade that replaces it; None for the same.
            realized_pnl: What the new trade realised; None if it closed nothing.
            commission: Its commission; None for that of the old one.
            cash_flow: What it did to the cash; None: realised result - commission.
            order_id: The order of both.
            account: The account of both.
            venue: The venue of both.
            realized_pnl_change: By how much the results of other trades change.
            cash_flow_change: By how much that changes the cash; None: by `realized_pnl_change`, as on margin.
            reason: Why.
            occurred_at: When it was corrected; not before the trade.

        Returns:
            Whether anything changed; False if this correction was made before. Under the same id, a correction that changes
            the results of other trades always counts: ask the order's `correct_fill` first, as `uow.book` does.

        Raises:
            DomainError: A bad value; `portfolio.unknown_execution`; `portfolio.execution_not_loaded`;
                `portfolio.execution_busted`; `portfolio.trade_conflict` (the new id is known with other content);
                `portfolio.execution_corrected` (correct the trade that replaced it).
        """
        old_id = _id("trade_id", trade_id)
        new_id = old_id if new_trade_id is None else _id("new_trade_id", new_trade_id)
        old = self._counted_trade(old_id, order_id, account, venue, corrected=True)
        when = not_before(at(occurred_at), old.occurred_at)
        new = self._traded(
            new_id,
            occurred_at=when,
            realized_pnl=realized_pnl,
            commission=old.commission if commission is None else commission,
            cash_flow=cash_flow,
            currency=old.currency,
            commission_currency=old.commission_currency,
            order_id=old.order_id,
            account=old.account,
            venue=old.venue,
            symbol=old.symbol,
            transact_time_ns=old.transact_time_ns,
            corrects=old_id,
        )
        trade = trade_of(new)
        if trade.key != old.key:
            if self._is_repeated_trade(new):
                return False
        elif trade.says_the_same_as(old) and not (realized_pnl_change or cash_flow_change):
            return False
        if old.status is not ExecutionStatus.COUNTED:
            raise DomainError(
                f"portfolio.execution_{old.status.lower()}",
                f"portfolio {self.name}: trade {old.key} was {old.status.lower()} and no longer counts"
                + (": name the one that replaced it" if old.status is ExecutionStatus.CORRECTED else ""),
            )
        self._take_back(
            self._taken_back(
                old,
                corrected_by=new_id,
                realized_pnl_change=realized_pnl_change,
                cash_flow_change=cash_flow_change,
                reason=reason,
                occurred_at=when,
            )
        )
        self._emit_counted(new, is_known=new_id == old_id)
        return True

    # ---- cash ----------------------------------------------------------------------------------------------

    def deposit(
        self,
        amount: Decimal,
        *,
        currency: str | None = None,
        external_id: str | UUID | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Add cash.

        Args:
            amount: How much; above 0.
            currency: Its currency.
            external_id: The id that it has elsewhere; it counts once. None or "0": it has none.
            reason: A remark.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before.

        Raises:
            DomainError: `portfolio.amount` (not above 0); a bad value; `portfolio.cash_conflict` (the id is known with
                other content).
        """
        return self.record_cash(
            CashKind.DEPOSIT,
            _positive("amount", amount),
            currency=currency,
            external_id=external_id,
            reason=reason,
            occurred_at=occurred_at,
        )

    @exact
    def withdraw(
        self,
        amount: Decimal,
        *,
        currency: str | None = None,
        external_id: str | UUID | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Withdraw cash, at most the cash balance of its currency unless the portfolio `may_go_below_zero`.

        Args:
            amount: How much; above 0.
            currency: Its currency.
            external_id: The id that it has elsewhere; it counts once. None or "0": it has none.
            reason: A remark.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before.

        Raises:
            DomainError: `portfolio.amount` (not above 0); a bad value; `portfolio.cash_conflict`;
                `portfolio.overdraft`.
        """
        return self.record_cash(
            CashKind.WITHDRAWAL,
            -_positive("amount", amount),
            currency=currency,
            external_id=external_id,
            reason=reason,
            occurred_at=occurred_at,
        )

    @exact
    def record_cash(
        self,
        kind: CashKind,
        amount: Decimal,
        *,
        currency: str | None = None,
        external_id: str | UUID | None = None,
        symbol: str | None = None,
        venue: str | None = None,
        is_reversal: bool = False,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Record cash that moved, other than by a trade: a dividend, funding, a fee ...

        Income enters `total_income`, the net result and the equity, and counts as no trade. Deposits, withdrawals and
        transfers enter `net_deposits`.

        Args:
            kind: Why it moved.
            amount: What it did to the cash, with its sign: fees, taxes, withdrawals and transfers out are negative;
                dividends, coupons, funding and interest are negative where they were paid.
            currency: Its currency.
            external_id: The id that it has elsewhere; each counts once for its kind. None or "0": it has none.
            symbol: The instrument that it is of.
            venue: The venue of the instrument.
            is_reversal: Whether it takes back an earlier movement of its kind, so that its sign is the other.
            reason: A remark.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before.

        Raises:
            DomainError: A bad value; `portfolio.kind` (unknown, or a conversion: use `convert`); `portfolio.amount` (0, or
                of the wrong sign); `portfolio.cash_conflict` (the id is known with other content);
                `portfolio.overdraft` (a withdrawal, a transfer or a fee; see `may_go_below_zero`).
        """
        event = PortfolioCashMoved(
            occurred_at=at(occurred_at),
            kind=kind,
            amount=amount,
            currency=self._named(currency),
            execution_id=_id("external_id", external_id),
            symbol=symbol,
            venue=venue,
            reason=reason,
        )
        if event.kind is CashKind.CONVERSION:
            raise DomainError("portfolio.kind", "a conversion has two amounts: use convert()")
        self._check_sign(event, is_reversal)
        if self._is_repeated_movement(event):
            return False
        self._check_overdraft(event)
        self._emit_counted(event)
        return True

    @exact
    def transfer_to(
        self,
        other: Portfolio,
        amount: Decimal,
        *,
        currency: str | None = None,
        external_id: str | UUID | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Move cash to another portfolio. Both change: save both in one Unit of Work.

        Args:
            other: The portfolio that receives it.
            amount: How much; above 0.
            currency: Its currency; None for that of both portfolios.
            external_id: The id that it has elsewhere; it counts once. None or "0": it has none.
            reason: A remark.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before in both.

        Raises:
            DomainError: `portfolio.transfer` (to itself); `portfolio.deleted`; `portfolio.currency`
                (the portfolios have different ones and none is named); `portfolio.amount`; a bad value;
                `portfolio.cash_conflict`; `portfolio.overdraft`.
        """
        if other.id == self.id:
            raise DomainError(
                "portfolio.transfer", f"a transfer goes to another portfolio, not to {other!r} itself"
            )
        for one in (self, other):
            if one.is_deleted:
                raise DomainError("portfolio.deleted", f"portfolio {one.id} was deleted")
        if currency is None and self.currency != other.currency:
            raise DomainError(
                "portfolio.currency",
                f"portfolio {self.name} is in {self.currency}, {other.name} in {other.currency}: name the currency",
            )
        when, moved = at(occurred_at), _positive("amount", amount)
        named = self.currency if currency is None else currency
        legs: list[tuple[Portfolio, PortfolioCashMoved]] = []
        for one, counterpart, kind, signed in (
            (other, self, CashKind.TRANSFER_IN, moved),
            (self, other, CashKind.TRANSFER_OUT, plain(-moved)),
        ):
            event = PortfolioCashMoved(
                occurred_at=when,
                kind=kind,
                amount=signed,
                currency=named,
                execution_id=_id("external_id", external_id),
                counterpart_id=counterpart.id,
                reason=reason,
            )
            if not one._is_repeated_movement(event):  # noqa: SLF001 - of this class
                one._check_overdraft(event)  # noqa: SLF001 - of this class
                legs.append((one, event))
        for one, event in legs:
            one._emit_counted(event)  # noqa: SLF001 - of this class
        return bool(legs)

    @exact
    def convert(
        self,
        from_currency: str | None,
        from_amount: Decimal,
        to_currency: str | None,
        to_amount: Decimal,
        *,
        external_id: str | UUID | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
    ) -> bool:
        """Change cash of one currency into another, as one event. It is no result and no deposit.

        Args:
            from_currency: The currency that goes out.
            from_amount: How much of it; above 0.
            to_currency: The currency that comes in.
            to_amount: How much of it; above 0.
            external_id: The id that it has elsewhere; it counts once. None or "0": it has none.
            reason: A remark.
            occurred_at: When it happened.

        Returns:
            Whether it counted; False if its id was counted before.

        Raises:
            DomainError: `portfolio.amount`, `portfolio.counter_amount` (not above 0); `portfolio.currency` (both are
                the same, or one has no name); a bad value; `portfolio.cash_conflict`; `portfolio.overdraft`.
        """
        out, into = _positive("amount", from_amount), _positive("counter_amount", to_amount)
        source, target = self._named(from_currency), self._named(to_currency)
        if source is None or target is None or source == target:
            raise DomainError(
                "portfolio.currency",
                f"a conversion has two currencies, not {source} and {target}"
                + (": portfolio.currency names the portfolio's own" if self.currency is None else ""),
            )
        event = PortfolioCashMoved(
            occurred_at=at(occurred_at),
            kind=CashKind.CONVERSION,
            amount=plain(-out),
            currency=source,
            execution_id=_id("external_id", external_id),
            counter_amount=into,
            counter_currency=target,
            reason=reason,
        )
        if self._is_repeated_movement(event):
            return False
        self._check_overdraft(event)
        self._emit_counted(event)
        return True

    # ---- rules ---------------------------------------------------------------------------------------------

    def _is_own(self, currency: str | None) -> bool:
        return currency is None or currency == self.currency

    def _named(self, currency: str | None) -> str | None:
        return self.currency if currency is None else currency

    def _traded(
        self,
        trade_id: str | None,
        *,
        realized_pnl: Decimal | None,
        commission: Decimal,
        cash_flow: Decimal | None,
        currency: str | None,
        commission_currency: str | None,
        **facts: object,
    ) -> PortfolioTradeRecorded:
        """Return the event of a trade: its currencies are named where the portfolio has one."""
        currency = self._named(currency)
        event = PortfolioTradeRecorded(
            execution_id=trade_id,
            realized_pnl=realized_pnl,
            commission=commission,
            cash_flow=_ZERO if cash_flow is None else cash_flow,
            currency=currency,
            commission_currency=None if commission_currency == currency else commission_currency,
            **facts,
        )
        if cash_flow is not None:
            return event
        flow = event.realized_pnl or _ZERO
        if event.commission_currency is None:
            flow -= event.commission
        # A difference of two valid amounts needs no validation, and nobody has seen the event yet.
        event.__dict__["cash_flow"] = plain(flow)
        return event

    def _known_trades(self, key: ExecutionKey) -> list[Trade]:
        memory = private(self)["_memory"]
        held = [one for one in self.trades if one.execution_id == key.execution_id]
        return known_as(key, held, None if memory is None else memory.trades)

    def _is_repeated_trade(self, event: PortfolioTradeRecorded) -> bool:
        """Whether the trade of an event was counted before.

        Raises:
            DomainError: `portfolio.trade_conflict`.
        """
        key = key_of(event)
        known = [] if key is None else self._known_trades(key)
        if not known:
            return False
        trade = trade_of(event)
        if any(one.says_the_same_as(trade) for one in known):
            return True
        raise DomainError(
            "portfolio.trade_conflict",
            f"portfolio {self.name}: trade {key} is known as {known[-1].told()}, not as {trade.told()}: "
            "name its order, account or venue if it is another trade, or use correct_trade() if it was corrected",
        )

    def _is_repeated_movement(self, event: PortfolioCashMoved) -> bool:
        """Whether a movement of cash was counted before.

        Raises:
            DomainError: `portfolio.cash_conflict`.
        """
        moved = movement_of(event)
        if moved.key is None:
            return False
        memory = private(self)["_memory"]
        known = known_as(moved.key, self.movements, None if memory is None else memory.movements)
        if not known or any(one.says_the_same_as(moved) for one in known):
            return bool(known)
        raise DomainError(
            "portfolio.cash_conflict",
            f"portfolio {self.name}: {moved.execution_id} is known as {known[-1].told()}, not as {moved.told()}: "
            "take it back with is_reversal=True and another id if it was wrong",
        )

    def _counted_trade(
        self,
        trade_id: str | None,
        order_id: UUID | None,
        account: str | None,
        venue: str | None,
        *,
        corrected: bool = False,
    ) -> Trade:
        """Return the trade that counts under a key, or else the last one; `corrected`: one that was replaced, too."""
        if not has_id(trade_id):
            raise DomainError("portfolio.trade_id", "a trade without an id cannot be named")
        key = ExecutionKey(trade_id, order_id, account, venue)
        known = self._known_trades(key)
        if not known and self._knows_all(self.trades, "trades", trade_id):
            raise DomainError("portfolio.unknown_execution", f"portfolio {self.name} has no trade {key}")
        if not known:
            raise DomainError(
                "portfolio.execution_not_loaded",
                f"portfolio {self.name} holds its last trades, and {key} is none of them: "
                "use uow.book, which asks the log first",
            )
        found = next((one for one in known if one.counts), known[-1])
        if found.status is ExecutionStatus.CORRECTED and not corrected:
            raise DomainError(
                "portfolio.execution_corrected",
                f"portfolio {self.name}: trade {key} was corrected and no longer counts: name the one that replaced it",
            )
        return found

    def _taken_back(
        self,
        old: Trade,
        *,
        corrected_by: str | None,
        realized_pnl_change: Decimal,
        cash_flow_change: Decimal | None,
        reason: str | None,
        occurred_at: datetime | None,
    ) -> PortfolioTradeBusted:
        facts = {name: old.__dict__[name] for name in TRADE_FACTS}
        return PortfolioTradeBusted(
            **{
                **facts,
                "occurred_at": not_before(at(occurred_at), old.occurred_at),
                "corrected_by": corrected_by,
                "realized_pnl_change": realized_pnl_change,
                "cash_flow_change": realized_pnl_change if cash_flow_change is None else cash_flow_change,
                "reason": reason,
            }
        )

    def _take_back(self, event: PortfolioTradeBusted) -> None:
        self.emit(event)
        memory, key = private(self)["_memory"], key_of(event)
        if memory is not None and memory.trades is not None and key in memory.trades.older:
            memory.trades.older[key] = list(marked(tuple(memory.trades.older[key]), event))

    def _check_sign(self, event: PortfolioCashMoved, is_reversal: bool) -> None:
        sign = event.kind.sign * (-1 if is_reversal else 1)
        if event.amount == 0 or event.amount * sign < 0:
            wanted = "not 0" if not sign else "above 0" if sign > 0 else "below 0"
            raise DomainError(
                "portfolio.amount",
                f"{event.kind}: the amount is what it does to the cash, {wanted}, not {event.amount}"
                + ("" if is_reversal or not event.amount else "; is_reversal=True takes an earlier one back"),
            )

    def _check_overdraft(self, event: PortfolioCashMoved) -> None:
        if self.may_go_below_zero or event.amount >= 0 or event.kind not in _MAY_NOT_OVERDRAW:
            return
        balance = self.balance(event.currency)
        if -event.amount > balance:
            unit = "" if event.currency is None else f"{event.currency} "
            raise DomainError(
                "portfolio.overdraft",
                f"portfolio {self.name} has {balance} {unit}in cash, cannot withdraw {plain(-event.amount)}: "
                "withdraw less, deposit first, or assign may_go_below_zero = True if it is a margin account",
            )

    # ---- what the state no longer holds ------------------------------------------------------------------------

    def _remembered(self) -> PortfolioMemory:
        attributes = private(self)
        if attributes["_memory"] is None:
            has_all = self.version == 0 or (
                is_complete(self.trades, None, "") and is_complete(self.movements, None, "")
            )
            attributes["_memory"] = PortfolioMemory(has_all)
        memory: PortfolioMemory = attributes["_memory"]
        return memory

    def _knows_all(
        self, held: tuple[Trade, ...] | tuple[CashMovement, ...], of: str, execution_id: str
    ) -> bool:
        """Whether an id that neither state nor memory has is not in the log either."""
        memory = self._remembered()
        return memory.has_all or is_complete(held, getattr(memory, of), execution_id)

    def _emit_counted(
        self, event: PortfolioTradeRecorded | PortfolioCashMoved, *, is_known: bool = False
    ) -> None:
        """Emit an event of an execution, and keep in mind what leaves the state by it.

        Args:
            event: The event.
            is_known: Whether it is a correction under its trade's own id, so that the log has the id.
        """
        memory, execution_id = self._remembered(), event.execution_id
        held, of = (
            (self.trades, "trades")
            if isinstance(event, PortfolioTradeRecorded)
            else (self.movements, "movements")
        )
        is_named = not is_known and has_id(execution_id)
        is_undecided = is_named and not self._knows_all(held, of, str(execution_id))
        self.emit(event)
        setattr(memory, of, noted(getattr(memory, of), held))
        if is_undecided:
            memory.undecided.add(str(execution_id))

    def _ids_to_ask(self) -> tuple[str, ...]:
        memory = private(self)["_memory"]
        if memory is None or not memory.undecided:
            return ()
        pending = {getattr(one.event, "execution_id", None) for one in self.pending_events}
        return tuple(sorted(memory.undecided & pending))

    def _recall(self, execution_ids: Collection[str], events: Iterable[RecordedEvent]) -> None:
        memory = self._remembered()
        logged = memory.recall(execution_ids, events, self.trades, self.movements)
        for pending in self.pending_events:
            one = counted_by(pending.event)
            if one is not None and one.execution_id in memory.undecided and one.key in logged:
                raise DomainError(
                    "portfolio.execution_repeated",
                    f"portfolio {self.name}: {one.key} was counted already, and is counted again as {one.told()}: "
                    "load the portfolio again and leave it out"
                    + (", or use uow.book, which asks the log first" if isinstance(one, Trade) else ""),
                )
        memory.undecided.difference_update(execution_ids)

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(PortfolioTradeRecorded)
    def _trade_recorded(self, event: PortfolioTradeRecorded) -> None:
        self._add_trade(event, 1)
        self.set(trades=kept(self.trades, trade_of(event)))

    @applies(PortfolioTradeBusted)
    def _trade_busted(self, event: PortfolioTradeBusted) -> None:
        self._add_trade(event, -1)
        self._add("total_realized_pnl", "other_realized_pnl", event.currency, event.realized_pnl_change)
        self._add("cash_balance", "other_balances", event.currency, event.cash_flow_change)
        self._add_gross(event.currency, event.realized_pnl_change)
        self.set(trades=marked(self.trades, event))

    @applies(PortfolioCashMoved)
    def _cash_moved(self, event: PortfolioCashMoved) -> None:
        self._add("cash_balance", "other_balances", event.currency, event.amount)
        if event.kind is CashKind.CONVERSION:
            into = _ZERO if event.counter_amount is None else event.counter_amount
            self._add("cash_balance", "other_balances", event.counter_currency, into)
            conversions = self.conversions
            for currency, amount in ((event.currency, event.amount), (event.counter_currency, into)):
                if currency is not None:
                    conversions = add_amount(conversions, currency, amount)
            self.set(conversions=conversions)
        elif event.kind.is_capital:
            self._add("net_deposits", "other_deposits", event.currency, event.amount)
        else:
            self._add("total_income", "other_income", event.currency, event.amount)
        self.set(
            movements=kept(self.movements, movement_of(event)), last_updated=self._latest(event.occurred_at)
        )

    def _add_trade(self, event: PortfolioTradeRecorded | PortfolioTradeBusted, sign: int) -> None:
        """Add what a trade did, or with sign -1 take it back; the sums do not depend on the order."""
        commission, result = sign * event.commission, event.realized_pnl
        fee_currency = event.currency if event.commission_currency is None else event.commission_currency
        self._add("cash_balance", "other_balances", event.currency, sign * event.cash_flow)
        self._add("total_commission_paid", "other_commissions", fee_currency, commission)
        if event.commission_currency is not None:
            self._add("cash_balance", "other_balances", fee_currency, -commission)
        self.set(last_updated=self._latest(event.occurred_at))
        if result is None:
            return
        self._add("total_realized_pnl", "other_realized_pnl", event.currency, sign * result)
        # Nothing goes below 0, so that a state without the trade that is taken back is one, too.
        won = max(self.winning_trades + sign * (result > 0), 0)
        lost = max(self.losing_trades + sign * (result < 0), 0)
        count = max(self.trades_count + sign, won + lost)
        self.set(winning_trades=won, losing_trades=lost, trades_count=count)
        if sign > 0:
            self._add_gross(event.currency, result)
        elif self._is_own(event.currency):
            name, part = ("gross_profit", result) if result > 0 else ("gross_loss", -result)
            self.set(**{name: max(plain(getattr(self, name) - part), _ZERO)})

    def _add_gross(self, currency: str | None, result: Decimal) -> None:
        if result and self._is_own(currency):
            name = "gross_profit" if result > 0 else "gross_loss"
            self.set(**{name: plain(getattr(self, name) + abs(result))})

    def _add(self, own: str, others: str, currency: str | None, amount: Decimal) -> None:
        """Add an amount to the field of the portfolio's currency, or to the one of the other currencies."""
        if not amount:
            return
        if currency is None or currency == self.currency:
            self.__dict__[own] = total(self.__dict__[own], amount)
        else:
            self.set(**{others: add_amount(self.__dict__[others], currency, plain(amount))})

    def _latest(self, when: datetime) -> datetime:
        return when if self.last_updated is None else max(self.last_updated, when)


def _id(name: str, given: str | UUID | None) -> str | None:
    """Return an id as text.

    Raises:
        DomainError: `portfolio.<name>`: it is no text of 1 to 200 characters.
    """
    if given is None:
        return None
    try:
        return _NAME.validate_python(str(given) if isinstance(given, UUID) else given)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DomainError(f"portfolio.{name}", f"{name}: {message}, not {shown(given)}") from error


def _no_trade(kind: CashKind | str) -> DomainError:
    name = str(kind).upper()
    called = "convert()" if name == "CONVERSION" else f"record_cash(CashKind.{name}, amount)"
    if name not in set(CashKind):
        called = "record_cash(kind, amount)"
    return DomainError(
        "portfolio.kind", f"{kind} is no trade, so it is neither won nor lost: record it with {called}"
    )


def _positive(name: str, amount: Decimal) -> Decimal:
    value = number(f"portfolio.{name}", amount)
    if value <= 0:
        raise DomainError(f"portfolio.{name}", f"{name}: must be above 0, not {amount}")
    return value


PortfolioAmended = Portfolio.amended_event
"""Fields of a portfolio were assigned."""

PortfolioDeleted = Portfolio.deleted_event
"""A portfolio was deleted."""
