"""What positions and portfolios made, by period, symbol, strategy, portfolio and currency."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
        results: The change of each amount, by what it is of.
        portfolios: The portfolios that belong to the answer, by their ids.
    """

    results: dict[Key, dict[str, Decimal]] = field(default_factory=dict)
    portfolios: dict[UUID, PortfolioFacts] = field(default_factory=dict)

    @exact
    def add(self, key: Key, name: str, amount: Decimal) -> None:
        """Add an amount."""
        if amount:
            amounts = self.results.setdefault(key, dict.fromkeys(AMOUNTS, ZERO))
            amounts[name] = plain(amounts[name] + amount)


_OF_PORTFOLIOS: tuple[type[Event], ...] = (PortfolioCreated, PortfolioAmended, PortfolioCashMoved)
_TRADES: tuple[type[Event], ...] = (PortfolioTradeRecorded, PortfolioTradeBusted)
StartOf = Callable[[datetime], datetime]


class Results:
    """Reads what happened in each period of a question's range: takes the events of positions and portfolios.

    Args:
        question: The question.
        start_of: Returns the start of the period of a time.
    """

    types = (*Position.event_classes(), *_OF_PORTFOLIOS)

    def __init__(self, question: Question, start_of: StartOf) -> None:
        self.streams: Collection[UUID] | None = None
        self._question = question
        self._start_of = start_of
        self._positions: dict[UUID, Stream[Position]] = {}
        self._names: dict[UUID, Names] = {}
        self._of_portfolios: list[RecordedEvent] = []
        self._steps: dict[UUID, list[_Step]] | None = None
        self._trades: list[RecordedEvent] = []

    async def begin(self, moment: Moment) -> None:
        """Find the streams of the portfolio that is asked for, if one is."""
        asked = self._question.portfolio
        if asked is not None and self.streams is None:
            self.streams = [asked, *await moment.positions_of(asked)]

    def take(self, part: RecordedEvent) -> None:
        """Take the next event in."""
        occurred_at, id = part.occurred_at, part.stream_id
        if self._question.until is not None and occurred_at >= self._question.until:
            return
        if part.category == "portfolio":
            self._of_portfolios.append(part)
            return
        stream = self._positions.get(id)
        if stream is None:
            stream = self._positions[id] = Stream(Position)
            self._names[id] = Names()
        stream.add(self._start(occurred_at), part)
        self._names[id].add(part)

    def _start(self, when: datetime) -> datetime:
        since = self._question.since
        return BEFORE if since is not None and when < since else self._start_of(when)

    async def gathered(self, moment: Moment, joined: StartOf | None = None) -> Gathered:
        """Return what happened in each period.

        Args:
            moment: The moment.
            joined: Returns the start of a longer period, made of whole ones of these, by the start of one of these; None for
                these themselves. What happened before the range stays apart.
        """
        question = self._question
        facts = await _facts(self._of_portfolios)
        steps = await self._folded(moment, facts)

        def start(when: datetime) -> datetime:
            return when if joined is None or when == BEFORE else joined(when)

        found = Gathered()
        traded: dict[UUID, Names] = {}
        slices = Slices()
        for id, its in steps.items():
            await slices.rest()
            for portfolio in await _add_steps(found, _joined(its, start), question, facts):
                traded.setdefault(portfolio, Names()).update(self._names[id])
        if question.account is None:
            wanted = _wanted(facts, question)
            for part in self._of_portfolios:
                await slices.rest()
                if part.stream_id in wanted:
                    first = start(self._start(part.occurred_at))
                    _add_movement(found, facts[part.stream_id], part, first, question)
            nothing = Names()
            for part in self._trades:
                await slices.rest()
                if not traded.get(part.stream_id, nothing).has(part.event):
                    first = start(self._start(part.occurred_at))
                    _add_trade(found, facts[part.stream_id], part, first, question)
        having = set(await listed(key.portfolio_id for key in found.results))
        found.portfolios = {
            id: one for id, one in facts.items() if question.portfolio in (None, id) and id in having
        }
        found.results = dict(
            await listed(found.results.items(), lambda result: question.has_currency(result[0].currency))
        )
        return found

    async def _folded(self, moment: Moment, facts: Mapping[UUID, PortfolioFacts]) -> dict[UUID, list[_Step]]:
        """Fold the positions, and read the trades of portfolios that the positions they end with do not have."""
        if self._steps is not None:
            return self._steps
        steps: dict[UUID, list[_Step]] = {}
        traded: dict[UUID, Names] = {}
        slices = Slices()
        for id, stream in self._positions.items():
            await slices.rest()
            its = steps[id] = [step async for step in _steps(stream)]
            last = its[-1].position.portfolio_id if its else None
            if last is not None:
                traded.setdefault(last, Names()).update(self._names[id])
        self._positions.clear()
        wanted = _wanted(facts, self._question)
        if wanted and self._question.account is None:
            trades = _Trades(wanted, traded, self._question.until)
            await moment.read(trades)
            self._trades = trades.left
        self._steps = steps
        return steps


class _Trades:
    """Reads the trades of portfolios, and keeps those that no position has: the others are many.

    Args:
        portfolios: The portfolios.
        traded: The executions of the positions of each.
        until: Only trades before this time.
    """

    types = _TRADES

    def __init__(
        self, portfolios: Collection[UUID], traded: Mapping[UUID, Names], until: datetime | None
    ) -> None:
        self.streams = portfolios
        self.left: list[RecordedEvent] = []
        self._traded = traded
        self._until = until

    def take(self, part: RecordedEvent) -> None:
        """Take the next trade in."""
        if self._until is not None and part.occurred_at >= self._until:
            return
        names = self._traded.get(part.stream_id)
        if names is None or not names.has(part.event):
            self.left.append(part)


def _wanted(facts: Mapping[UUID, PortfolioFacts], question: Question) -> set[UUID]:
    return {
        id
        for id, one in facts.items()
        if question.portfolio in (None, id) and question.strategy in (None, one.strategy)
    }


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


class _Step(NamedTuple):
    """A position at the end of a period.

    Attributes:
        start: The start of the period.
        position: The position at its end; if it was deleted, as it was before.
        value: What it had made until then.
    """

    start: datetime
    position: Position
    value: _Value


async def _steps(stream: Stream[Position]) -> AsyncIterator[_Step]:
    """Yield each period with events."""
    async for start, state, last in stream.states():
        if last is None:
            continue
        value = _value(last)
        if state is None:  # it was deleted: what it realised stays
            value = value._replace(unrealized=ZERO)
        yield _Step(start, last, value)


def _joined(steps: Sequence[_Step], start: StartOf) -> Iterator[_Step]:
    """Yield the steps of longer periods, each of which ends where the last one in it does."""
    last: _Step | None = None
    for step in steps:
        begin = start(step.start)
        if last is not None and last.start != begin:
            yield last
        last = _Step(begin, step.position, step.value)
    if last is not None:
        yield last


async def _add_steps(
    found: Gathered, steps: Iterable[_Step], question: Question, facts: Mapping[UUID, PortfolioFacts]
) -> set[UUID]:
    """Add what a position made in each period, and return the portfolios that it belonged to."""
    portfolios = set()
    before = _Value()
    slices = Slices()
    for first, position, after in steps:
        await slices.rest()
        if position.portfolio_id is not None:
            portfolios.add(position.portfolio_id)
        if has(question, position):
            own = _currency(position, facts)
            key = Key(first, position.symbol, position.strategy, position.portfolio_id, own)
            _add_position(found, key, before, after)
        before = after
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


def _add_movement(
    found: Gathered, facts: PortfolioFacts, part: RecordedEvent, start: datetime, question: Question
) -> None:
    event: Any = part.event
    key = Key(start, None, facts.strategy, part.stream_id, facts.currency)
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
    found: Gathered, facts: PortfolioFacts, part: RecordedEvent, start: datetime, question: Question
) -> None:
    event: Any = part.event
    if question.symbol not in (None, event.symbol):
        return
    currency = event.currency or facts.currency
    key = Key(start, event.symbol, facts.strategy, part.stream_id, currency)
    paid = key._replace(currency=event.commission_currency or currency)
    result = event.realized_pnl or ZERO
    if isinstance(event, PortfolioTradeRecorded):
        found.add(key, "realized_pnl", result)
        found.add(paid, "commission", event.commission)
    else:
        found.add(key, "realized_pnl", event.realized_pnl_change - result)
        found.add(paid, "commission", -event.commission)
