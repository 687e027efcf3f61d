"""Reads what the store has, in the shapes of a statement, and compares the two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.core.event import with_derived
from eventstore.core.validation import number
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.domain.position_events import PositionOpened, PositionSplit
from eventstore.errors import ConfigurationError, PortfolioNotFoundError
from eventstore.log.event_log import EventLog
from eventstore.reconciliation.comparison import (
    Held,
    compared_cash,
    compared_executions,
    compared_positions,
)
from eventstore.reconciliation.reconciliation import Reconciliation
from eventstore.reconciliation.stated import StatedCash, StatedExecution, StatedPosition
from eventstore.reconciliation.statement import Statement
from eventstore.replay.as_of import Past
from eventstore.replay.executions import Executions, Reported
from eventstore.replay.replay import Replay

_ZERO = Decimal(0)


def checked_tolerance(tolerance: Decimal) -> Decimal:
    """Return a tolerance as a decimal.

    Raises:
        DomainError: `statement.tolerance`: it is no decimal.
        ConfigurationError: It is below 0.
    """
    checked = number("statement.tolerance", tolerance)
    if checked < 0:
        raise ConfigurationError(f"tolerance must be 0 or more, not {tolerance}")
    return checked


async def reconcile(
    log: EventLog, past: Past, statement: Statement, *, tolerance: Decimal = _ZERO
) -> Reconciliation:
    """Compare a statement with the store. See `EventStore.reconcile`.

    Args:
        log: The log.
        past: The repositories as of the statement's time, by `occurred_at`.
        statement: The statement.
        tolerance: How much cash and cost may differ.
    """
    portfolio: Portfolio | None = None
    if statement.portfolio_id is not None:
        portfolio = await past.portfolios.get_portfolio_by_id(statement.portfolio_id)
        if portfolio is None:
            raise PortfolioNotFoundError(statement.portfolio_id, category="portfolio")
    held = Held(
        positions=() if statement.positions is None else await _positions(past, statement),
        cash=() if portfolio is None else _cash(portfolio),
        currency=None if portfolio is None else portfolio.currency,
    )
    splits: dict[str, datetime] = {}
    if statement.executions is not None:
        executions = await _executions(log, past, statement, splits)
        held = replace(
            held,
            executions=[_stated(one) for one in executions if one.counts],
            taken_back=[_stated(one) for one in executions if not one.counts],
        )
    return Reconciliation(
        statement,
        positions=None if statement.positions is None else compared_positions(statement, held, tolerance),
        cash=None if statement.cash is None else compared_cash(statement, held, tolerance),
        executions=None if statement.executions is None else compared_executions(statement, held),
        splits=splits,
    )


# ---- positions and cash ----------------------------------------------------------------------------------------


async def _positions(past: Past, statement: Statement) -> list[StatedPosition]:
    if statement.portfolio_id is None:
        found = await past.positions.get_active_positions()
    else:
        found = await past.positions.get_positions_by_portfolio(statement.portfolio_id)
    return _summed(one for one in found if one.is_open and _is_in(statement, one))


@exact
def _summed(positions: Iterable[Position]) -> list[StatedPosition]:
    """Return one position for each symbol and currency: long and short ones, and those of strategies, are netted."""
    sums: dict[tuple[str, str | None], tuple[Decimal, Decimal, Decimal]] = {}
    for one in positions:
        key = one.symbol, one.currency
        quantity, entry, cost = sums.get(key, (_ZERO, _ZERO, _ZERO))
        sums[key] = quantity + one.quantity, entry + one.cost, cost + one.cost * one.multiplier
    return [
        StatedPosition(
            symbol=symbol,
            currency=currency,
            quantity=plain(quantity),
            price=plain(entry / quantity) if quantity else None,
            cost=plain(cost),
        )
        for (symbol, currency), (quantity, entry, cost) in sorted(sums.items(), key=lambda one: str(one[0]))
        if quantity
    ]


def _cash(portfolio: Portfolio) -> list[StatedCash]:
    return [
        StatedCash(currency=portfolio.currency, amount=portfolio.cash_balance),
        *(StatedCash(currency=one.currency, amount=one.amount) for one in portfolio.other_balances),
    ]


def _is_in(statement: Statement, one: Any) -> bool:
    """Whether a position or a report is of the statement's portfolio and account."""
    if statement.portfolio_id is None:
        return bool(one.account == statement.account)
    return one.portfolio_id == statement.portfolio_id and (
        statement.account is None or one.account in (None, statement.account)
    )


# ---- executions ------------------------------------------------------------------------------------------------


async def _executions(
    log: EventLog, past: Past, statement: Statement, splits: dict[str, datetime]
) -> list[Reported]:
    """Return what orders and positions counted, each execution once, and note the last split of each symbol."""
    symbols: dict[UUID, str] = {}
    executions = Executions()
    replay = Replay(log, types=with_derived(*Executions.types, PositionSplit), through=past.point.through)
    async for recorded in replay:
        for part in recorded.upcast_events:
            if isinstance(part.event, PositionOpened):
                symbols[part.stream_id] = part.event.symbol
            if isinstance(part.event, PositionSplit):
                symbol = symbols.get(part.stream_id, "")
                splits[symbol] = max(splits.get(symbol, part.occurred_at), part.occurred_at)
            elif part.occurred_at <= statement.as_of:
                executions.take(part)
    found = await executions.found(lambda one: _is_in(statement, one))
    return [one for one in found if one.execution.side is not None]


def _stated(one: Reported) -> StatedExecution:
    """Return an execution in the shape of a statement."""
    execution = one.execution
    return StatedExecution(
        execution_id=execution.execution_id,
        symbol=one.symbol,
        side=execution.side,
        quantity=execution.quantity,
        price=execution.price,
        commission=execution.commission,
        commission_currency=execution.commission_currency,
        time=execution.occurred_at,
        order_id=one.order_id,
        client_order_id=one.client_order_id,
        broker_order_id=one.broker_order_id,
        account=one.account,
        venue=execution.venue,
    )
