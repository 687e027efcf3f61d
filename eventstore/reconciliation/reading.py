"""Reads what the store has, in the shapes of a statement, and compares the two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.core.event import RecordedEvent, with_derived
from eventstore.core.validation import number
from eventstore.domain.executions import Execution
from eventstore.domain.order_events import OrderFillBusted, OrderFillCorrected, OrderFilled
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.domain.position_events import (
    FillKind,
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionOpened,
    PositionSplit,
)
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
from eventstore.replay.replay import Replay

_ZERO = Decimal(0)
_OF_ORDERS = (OrderFilled, OrderFillBusted, OrderFillCorrected)
_OF_POSITIONS = (PositionOpened, PositionFilled, PositionFillBusted, PositionFillCorrected)


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
            executions=[one.stated for one in executions if one.counts],
            taken_back=[one.stated for one in executions if not one.counts],
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


@dataclass(slots=True)
class _Reported:
    """An execution that the store has.

    Attributes:
        stated: It, in the shape of a statement: the whole of it, if a flip split it.
        counts: Whether it was neither busted nor corrected.
        is_in: Whether it is of the statement's portfolio and account.
        is_rest: Whether it is the rest of a flip, which the position before it counted as well.
    """

    stated: StatedExecution
    counts: bool
    is_in: bool
    is_rest: bool = False


async def _executions(
    log: EventLog, past: Past, statement: Statement, splits: dict[str, datetime]
) -> list[_Reported]:
    """Return what orders and positions counted, each execution once, and note the last split of each symbol."""
    symbols: dict[UUID, str] = {}
    of_orders: dict[UUID, list[_Reported]] = {}
    of_positions: dict[UUID, list[_Reported]] = {}
    replay = Replay(
        log, types=with_derived(*_OF_ORDERS, *_OF_POSITIONS, PositionSplit), through=past.point.through
    )
    async for recorded in replay:
        for part in recorded.upcast_events:
            if isinstance(part.event, PositionOpened):
                symbols[part.stream_id] = part.event.symbol
            if isinstance(part.event, PositionSplit):
                symbol = symbols.get(part.stream_id, "")
                splits[symbol] = max(splits.get(symbol, part.occurred_at), part.occurred_at)
                continue
            if part.occurred_at > statement.as_of:
                continue
            if isinstance(part.event, _OF_ORDERS):
                _take_order(of_orders.setdefault(part.stream_id, []), part, statement)
            else:
                _take_position(of_positions.setdefault(part.stream_id, []), part, statement)
    found = [one for its in of_orders.values() for one in its if one.is_in]
    return [*found, *_of_positions_alone([one for its in of_positions.values() for one in its], found)]


def _of_positions_alone(
    of_positions: Iterable[_Reported], of_orders: Iterable[_Reported]
) -> Iterator[_Reported]:
    """Yield what positions counted and no order did."""
    known: dict[tuple[str | None, str], list[StatedExecution]] = {}
    for one in of_orders:
        known.setdefault((one.stated.execution_id, one.stated.symbol), []).append(one.stated)
    flips: dict[tuple[Any, ...], _Reported] = {}
    for one in of_positions:
        stated = one.stated
        its = known.get((stated.execution_id, stated.symbol), [])
        same = next((other for other in its if _is_same(stated, other)), None)
        if same is None:
            if one.is_in and not _joined(flips, one):
                yield one
        elif not stated.has_id:
            its.remove(same)


def _is_same(of_position: StatedExecution, of_order: StatedExecution) -> bool:
    """Whether a position counted what an order counted."""
    if of_position.order_id is not None:
        return of_position.order_id == of_order.order_id
    return (of_position.side, of_position.quantity, of_position.price) == (
        of_order.side,
        of_order.quantity,
        of_order.price,
    )


def _joined(flips: dict[tuple[Any, ...], _Reported], one: _Reported) -> bool:
    """Whether another position has the other part of the same execution; if this part was taken back, so was all."""
    if not one.is_rest:
        return False
    stated = one.stated
    key = (
        stated.execution_id,
        stated.symbol,
        stated.order_id,
        stated.account,
        stated.venue,
        stated.quantity,
        stated.price,
    )
    other = flips.setdefault(key, one)
    if other is one:
        return False
    if stated.has_id:
        other.counts = other.counts and one.counts
    else:
        del flips[key]
    return True


def _take_order(its: list[_Reported], part: RecordedEvent, statement: Statement) -> None:
    event: Any = part.event
    if not isinstance(event, OrderFilled):
        old = _take_back(its, event.execution_id, event.account, event.venue)
        if isinstance(event, OrderFillBusted) or (old is None and event.corrected is None):
            return
        time = event.corrected.occurred_at if old is None else old.stated.time
        execution_id = event.new_execution_id
    else:
        time, execution_id = part.occurred_at, event.execution_id
    if event.symbol is None or event.side is None:
        return
    stated = StatedExecution(
        execution_id=execution_id,
        symbol=event.symbol,
        side=event.side,
        quantity=event.quantity,
        price=event.price,
        commission=event.commission,
        commission_currency=event.commission_currency,
        time=time,
        order_id=part.stream_id,
        client_order_id=event.client_order_id,
        broker_order_id=event.broker_order_id,
        account=event.account,
        venue=event.venue,
    )
    its.append(_Reported(stated, counts=True, is_in=_is_in(statement, event)))


def _take_position(its: list[_Reported], part: RecordedEvent, statement: Statement) -> None:
    event: Any = part.event
    if isinstance(event, PositionOpened):
        is_in = _is_in(statement, event)
        its += [_reported(one, event.symbol, is_in=is_in) for one in event.executions if one.side is not None]
        return
    if isinstance(event, PositionFillBusted | PositionFillCorrected):
        old = _take_back(its, event.execution_id, event.account, event.venue)
        if isinstance(event, PositionFillCorrected):
            replaced = event.corrected
            new = replaced.model_copy(
                update={
                    "execution_id": event.new_execution_id,
                    "quantity": event.quantity,
                    "price": event.price,
                    "commission": event.commission,
                    "commission_currency": event.commission_currency,
                    "whole_quantity": event.whole_quantity,
                    "whole_commission": event.whole_commission,
                }
            )
            symbol = event.symbol if old is None else old.stated.symbol
            if symbol is not None and new.side is not None:
                its.append(_reported(new, symbol, is_in=_is_in(statement, event)))
        return
    if event.kind is not FillKind.TRADE or event.symbol is None:
        return
    execution = Execution(
        **{name: event.__dict__[name] for name in Execution.model_fields if name in event.__dict__}
    )
    its.append(_reported(execution, event.symbol, is_in=_is_in(statement, event)))


def _reported(execution: Execution, symbol: str, *, is_in: bool) -> _Reported:
    whole = execution.whole_commission
    return _Reported(
        StatedExecution(
            execution_id=execution.execution_id,
            symbol=symbol,
            side=execution.side,
            quantity=execution.whole_quantity or execution.quantity,
            price=execution.price,
            commission=execution.commission if whole is None else whole,
            commission_currency=execution.commission_currency,
            time=execution.occurred_at,
            order_id=execution.order_id,
            account=execution.account,
            venue=execution.venue,
        ),
        counts=execution.counts,
        is_in=is_in,
        is_rest=execution.whole_quantity is not None,
    )


def _take_back(
    its: list[_Reported], execution_id: str | None, account: str | None, venue: str | None
) -> _Reported | None:
    """Mark the execution of an id as taken back, and return it; None if the stream has none that counts."""
    found = [
        one for one in its if one.counts and one.stated.execution_id == execution_id and one.stated.has_id
    ]
    exactly = [one for one in found if (one.stated.account, one.stated.venue) == (account, venue)]
    for one in (exactly or found)[:1]:
        one.counts = False
        return one
    return None
