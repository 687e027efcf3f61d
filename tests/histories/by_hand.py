"""Books executions by the three entities themselves, as one does without `uow.book`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventstore.domain.executions import Liquidity
from eventstore.domain.money import Settlement, settled_cash_flow
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork


@dataclass(frozen=True)
class Counted:
    """Whether a report counted."""

    counted: bool


class HandBook:
    """Has the methods of what `uow.book(order)` returns.

    Args:
        uow: The Unit of Work.
        order: The order.
    """

    def __init__(self, uow: PostgreSQLUnitOfWork, order: Order) -> None:
        self._uow = uow
        self._order = order

    async def fill(
        self,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal,
        commission_currency: str | None,
        allow_overfill: bool,
        liquidity: Liquidity,
        occurred_at: datetime,
        transact_time_ns: int,
    ) -> Counted:
        """Book a fill."""
        order, uow = self._order, self._uow
        facts: dict[str, Any] = {
            "commission_currency": commission_currency,
            "liquidity": liquidity,
            "occurred_at": occurred_at,
            "transact_time_ns": transact_time_ns,
        }
        if not order.fill(
            quantity, price, execution_id, commission=commission, allow_overfill=allow_overfill, **facts
        ):
            return Counted(False)
        of_order: dict[str, Any] = {"order_id": order.id, "account": order.account, "venue": order.venue}
        position = await uow.positions.get_position_by_symbol(order.symbol, portfolio_id=order.portfolio_id)
        if position is None:
            position = Position.open_by_fill(
                order.symbol,
                order.side,
                quantity,
                price,
                commission,
                execution_id=execution_id,
                currency=order.currency,
                multiplier=order.multiplier,
                portfolio_id=order.portfolio_id,
                **of_order,
                **facts,
            )
            opposite = None
        else:
            opposite = position.apply_fill(
                order.side, quantity, price, execution_id, commission=commission, **of_order, **facts
            )
        portfolio = await self._portfolio()
        is_own = commission_currency in (None, order.currency)
        portfolio.record_trade(
            execution_id,
            realized_pnl=position.realized_by(execution_id, order.id),
            commission=commission,
            commission_currency=commission_currency,
            cash_flow=self._cash_flow(portfolio, quantity, price, commission if is_own else Decimal(0)),
            currency=order.currency,
            symbol=order.symbol,
            occurred_at=occurred_at,
            transact_time_ns=transact_time_ns,
            **of_order,
        )
        await uow.positions.save_many([position] if opposite is None else [position, opposite])
        await self._save(portfolio)
        return Counted(True)

    async def bust(self, execution_id: str, *, occurred_at: datetime) -> Counted:
        """Take a fill back."""
        if not self._order.bust_fill(execution_id, occurred_at=occurred_at):
            return Counted(False)
        portfolio = await self._portfolio()
        trade = next(one for one in portfolio.trades if self._is_of(one, execution_id))
        change = Decimal(0)
        for position in await self._positions_with(execution_id):
            before = position.realized_pnl
            position.bust_fill(execution_id, order_id=self._order.id, occurred_at=occurred_at)
            change += position.realized_pnl - before
            await self._uow.positions.update_position(position)
        others = change + (trade.realized_pnl or Decimal(0))
        portfolio.bust_trade(
            execution_id,
            order_id=self._order.id,
            account=trade.account,
            venue=trade.venue,
            realized_pnl_change=others,
            cash_flow_change=None if portfolio.settlement is Settlement.ON_MARGIN else Decimal(0),
            occurred_at=occurred_at,
        )
        await self._save(portfolio)
        return Counted(True)

    async def correct(
        self,
        execution_id: str,
        *,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal,
        new_execution_id: str,
        occurred_at: datetime,
    ) -> Counted:
        """Replace a fill of a position that was opened or enlarged by it."""
        corrected: dict[str, Any] = {
            "quantity": quantity,
            "price": price,
            "commission": commission,
            "new_execution_id": new_execution_id,
            "occurred_at": occurred_at,
        }
        if not self._order.correct_fill(execution_id, **corrected):
            return Counted(False)
        portfolio = await self._portfolio()
        trade = next(one for one in portfolio.trades if self._is_of(one, execution_id))
        change = Decimal(0)
        for position in await self._positions_with(execution_id):
            before = position.realized_pnl
            position.correct_fill(execution_id, order_id=self._order.id, **corrected)
            change += position.realized_pnl - before
            await self._uow.positions.update_position(position)
        portfolio.correct_trade(
            execution_id,
            new_trade_id=new_execution_id,
            realized_pnl=None if trade.realized_pnl is None else trade.realized_pnl + change,
            commission=commission,
            cash_flow=self._cash_flow(portfolio, quantity, price, commission),
            order_id=self._order.id,
            account=trade.account,
            venue=trade.venue,
            realized_pnl_change=change if trade.realized_pnl is None else Decimal(0),
            cash_flow_change=None if portfolio.settlement is Settlement.ON_MARGIN else Decimal(0),
            occurred_at=occurred_at,
        )
        await self._save(portfolio)
        return Counted(True)

    async def _portfolio(self) -> Portfolio:
        assert self._order.portfolio_id is not None
        portfolio = await self._uow.portfolios.get_portfolio_by_id(self._order.portfolio_id)
        assert portfolio is not None
        return portfolio

    async def _positions_with(self, execution_id: str) -> list[Position]:
        assert self._order.portfolio_id is not None
        positions = await self._uow.positions.get_positions_by_portfolio(self._order.portfolio_id)
        return [
            position
            for position in positions
            if any(self._is_of(one, execution_id) for one in position.executions)
        ]

    def _is_of(self, one: Any, execution_id: str) -> bool:
        return bool(one.execution_id == execution_id and one.order_id == self._order.id and one.counts)

    def _cash_flow(
        self, portfolio: Portfolio, quantity: Decimal, price: Decimal, commission: Decimal
    ) -> Decimal | None:
        if portfolio.settlement is Settlement.ON_MARGIN:
            return None
        return settled_cash_flow(self._order.side, quantity, price, commission=commission)

    async def _save(self, portfolio: Portfolio) -> None:
        await self._uow.orders.update_order(self._order)
        await self._uow.portfolios.update_portfolio(portfolio)
