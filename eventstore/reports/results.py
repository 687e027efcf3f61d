"""What positions and portfolios made, by period, symbol, strategy, portfolio and currency."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.portfolio import (
    CashKind,
    PortfolioAmended,
    PortfolioCashMoved,
    PortfolioCreated,
    PortfolioTradeBusted,
    PortfolioTradeRecorded,
)
from eventstore.domain.position import Position
from eventstore.reports.filters import Question
from eventstore.reports.folding import BEFORE, Stream
from eventstore.reports.money import ZERO
from eventstore.reports.names import Names
from eventstore.reports.reading import Moment, has
from eventstore.time_slices import Slices, listed

AMOUNTS = ("realized_pnl", "unrealized_pnl", "income", "conversions", "commission", "capital")
"""The amounts of a result."""


class Key(NamedTuple):
    """What a result is of.

    Attributes:
        start: The start of the period; `BEFORE` for what happened before the range.
        symbol: The instrument; None for amounts of the whole portfolio.
        strategy: The strategy.
        portfolio_id: The portfolio.
        currency: The currency of the amounts.
    """

    start: datetime
    symbol: str | None
    strategy: str | None
    portfolio_id: UUID | None
    currency: str | None


Results = dict[Key, dict[str, Decimal]]
"""Amounts by what they are of."""


@dataclass(slots=True)
class PortfolioFacts:
    """What a portfolio says of itself.

    Attributes:
        currency: Its currency.
        strategy: Its strategy.
    """

    currency: str | None = None
    strategy: str | None = None


@dataclass(slots=True)
class Gathered:
    """The results of a question.

    Attributes:
        results: The change of each amount.
        portfolios: The portfolios that belong to the answer, by their ids.
    """

    results: Results = field(default_factory=dict)
    portfolios: dict[UUID, PortfolioFacts] = field(default_factory=dict)

    @exact
    def add(self, key: Key, name: str, amount: Decimal) -> None:
        """Add an amount."""
        if amount:
            amounts = self.results.setdefault(key, dict.fromkeys(AMOUNTS, ZERO))
            amounts[name] = plain(amounts[name] + amount)


_OF_PORTFOLIOS = (PortfolioCreated, PortfolioAmended, PortfolioCashMoved)
_TRADES = (PortfolioTradeRecorded, PortfolioTradeBusted)
StartOf = Callable[[datetime], datetime]


async def gather(moment: Moment, start_of: StartOf) -> Gathered:
    """Return what happened in each period of a question's range.

    Args:
        moment: The moment.
        start_of: Returns the start of the period of a time.
    """
    question = moment.question

    def start(when: datetime) -> datetime:
        return BEFORE if question.since is not None and when < question.since else start_of(when)

    found = Gathered()
    of_portfolios: list[RecordedEvent] = []
    positions: dict[UUID, Stream[Position]] = {}
    of_positions: dict[UUID, Names] = {}
    async for part in _events(moment):
        if question.until is not None and part.occurred_at >= question.until:
            continue
        if part.category == "portfolio":
            of_portfolios.append(part)
        else:
            positions.setdefault(part.stream_id, Stream(Position)).add(start(part.occurred_at), part)
            of_positions.setdefault(part.stream_id, Names()).add(part)
    facts = await _facts(of_portfolios)
    traded: dict[UUID, Names] = {}
    slices = Slices()
    for id, stream in positions.items():
        await slices.rest()
        for portfolio in await _add_steps(found, stream, question, facts):
            traded.setdefault(portfolio, Names()).update(of_positions[id])
    if question.account is None:
        await _add_portfolios(moment, found, facts, of_portfolios, traded=traded, start=start)
    having = set(await listed(key.portfolio_id for key in found.results))
    found.portfolios = {
        id: one for id, one in facts.items() if question.portfolio in (None, id) and id in having
    }
    found.results = dict(
        await listed(found.results.items(), lambda result: question.has_currency(result[0].currency))
    )
    return found


async def _events(moment: Moment) -> AsyncIterator[RecordedEvent]:
    types: list[type[Event]] = [*Position.event_classes(), *_OF_PORTFOLIOS]
    streams = None
    if moment.question.portfolio is not None:
        streams = [moment.question.portfolio, *await moment.positions_of(moment.question.portfolio)]
    async for part in moment.events(types, streams=streams):
        yield part


async def _facts(events: Iterable[RecordedEvent]) -> dict[UUID, PortfolioFacts]:
    slices, found = Slices(), dict[UUID, PortfolioFacts]()
    for part in events:
        await slices.rest()
        event: Any = part.event
        one = found.setdefault(part.stream_id, PortfolioFacts())
        if isinstance(event, PortfolioCreated):
            one.currency, one.strategy = event.currency, event.strategy
        elif isinstance(event, PortfolioAmended):
            one.currency = event.changes.get("currency", one.currency)
            one.strategy = event.changes.get("strategy", one.strategy)
    return found


# ---- positions -------------------------------------------------------------------------------------------------


class _Value(NamedTuple):
    """What a position has made so far.

    Attributes:
        realized: Before commissions.
        unrealized: 0 if it is closed or was never marked.
        commissions: By currency; None is the position's own.
    """

    realized: Decimal = ZERO
    unrealized: Decimal = ZERO
    commissions: Mapping[str | None, Decimal] = {}


async def _steps(stream: Stream[Position]) -> AsyncIterator[tuple[datetime, Position, _Value, _Value]]:
    """Yield the start of each period with events, the last position in it, and what it had made before and at the end."""
    before = _Value()
    async for start, state, last in stream.states():
        if last is None:
            continue
        after = _value(last)
        if state is None:  # it was deleted: what it realised stays
            after = after._replace(unrealized=ZERO)
        yield start, last, before, after
        before = after


async def _add_steps(
    found: Gathered, stream: Stream[Position], question: Question, facts: Mapping[UUID, PortfolioFacts]
) -> set[UUID]:
    """Add what a position made in each period, and return the portfolios that it belonged to."""
    portfolios = set()
    async for first, position, before, after in _steps(stream):
        if position.portfolio_id is not None:
            portfolios.add(position.portfolio_id)
        if has(question, position):
            own = _currency(position, facts)
            key = Key(first, position.symbol, position.strategy, position.portfolio_id, own)
            _add_position(found, key, before, after)
    return portfolios


def _value(position: Position) -> _Value:
    commissions: dict[str | None, Decimal] = {None: position.commission_paid}
    commissions |= {one.currency: one.amount for one in position.other_commissions}
    return _Value(position.realized_pnl, position.unrealized_pnl or ZERO, commissions)


def _currency(position: Position, facts: Mapping[UUID, PortfolioFacts]) -> str | None:
    """Return the currency of a position: its portfolio's, unless it names one."""
    of_portfolio = None if position.portfolio_id is None else facts.get(position.portfolio_id)
    return position.currency if position.currency or of_portfolio is None else of_portfolio.currency


def _add_position(found: Gathered, key: Key, before: _Value, after: _Value) -> None:
    found.add(key, "realized_pnl", _less(after.realized, before.realized))
    found.add(key, "unrealized_pnl", _less(after.unrealized, before.unrealized))
    for currency in {**after.commissions, **before.commissions}:
        change = _less(after.commissions.get(currency, ZERO), before.commissions.get(currency, ZERO))
        found.add(key if currency is None else key._replace(currency=currency), "commission", change)


@exact
def _less(one: Decimal, other: Decimal) -> Decimal:
    return plain(one - other)


# ---- portfolios ------------------------------------------------------------------------------------------------


async def _add_portfolios(
    moment: Moment,
    found: Gathered,
    facts: Mapping[UUID, PortfolioFacts],
    events: Iterable[RecordedEvent],
    *,
    traded: Mapping[UUID, Names],
    start: StartOf,
) -> None:
    """Add movements of cash, and the trades of portfolios that no position of theirs counted."""
    question = moment.question
    wanted = {
        id
        for id, one in facts.items()
        if question.portfolio in (None, id) and question.strategy in (None, one.strategy)
    }
    slices = Slices()
    for part in events:
        await slices.rest()
        if part.stream_id in wanted:
            _add_movement(found, facts[part.stream_id], part, start, question)
    if not wanted:
        return
    nothing = Names()
    async for part in moment.events(_TRADES, streams=wanted):
        is_in = question.until is None or part.occurred_at < question.until
        if is_in and not traded.get(part.stream_id, nothing).has(part.event):
            _add_trade(found, facts[part.stream_id], part, start, question)


def _add_movement(
    found: Gathered, facts: PortfolioFacts, part: RecordedEvent, start: StartOf, question: Question
) -> None:
    event: Any = part.event
    key = Key(start(part.occurred_at), None, facts.strategy, part.stream_id, facts.currency)
    if isinstance(event, PortfolioCreated) and question.symbol is None:
        found.add(key, "capital", event.initial_capital)
        found.add(key, "capital", event.net_deposits)
        for one in event.other_deposits:
            found.add(key._replace(currency=one.currency), "capital", one.amount)
        for name, others in (("income", event.other_income), ("conversions", event.conversions)):
            for one in others:
                found.add(key._replace(currency=one.currency), name, one.amount)
        found.add(key, "income", event.total_income)
    if not isinstance(event, PortfolioCashMoved) or question.symbol not in (None, event.symbol):
        return
    key = key._replace(symbol=event.symbol, currency=event.currency or facts.currency)
    if event.kind is CashKind.CONVERSION:
        found.add(key, "conversions", event.amount)
        into = key._replace(currency=event.counter_currency or facts.currency)
        found.add(into, "conversions", event.counter_amount or ZERO)
    else:
        found.add(key, "capital" if event.kind.is_capital else "income", event.amount)


def _add_trade(
    found: Gathered, facts: PortfolioFacts, part: RecordedEvent, start: StartOf, question: Question
) -> None:
    event: Any = part.event
    if question.symbol not in (None, event.symbol):
        return
    currency = event.currency or facts.currency
    key = Key(start(part.occurred_at), event.symbol, facts.strategy, part.stream_id, currency)
    paid = key._replace(currency=event.commission_currency or currency)
    result = event.realized_pnl or ZERO
    if isinstance(event, PortfolioTradeRecorded):
        found.add(key, "realized_pnl", result)
        found.add(paid, "commission", event.commission)
    else:
        found.add(key, "realized_pnl", event.realized_pnl_change - result)
        found.add(paid, "commission", -event.commission)
