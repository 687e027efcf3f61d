"""Whole trading days: several strategies trade several symbols, and orders, positions and portfolios agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from eventstore.core.causation import metadata_of
from eventstore.core.context import use_clock, use_ids
from eventstore.core.entity import Entity
from eventstore.domain.executions import Execution
from eventstore.domain.order import Order, OrderRequestKind, OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import DomainError
from eventstore.testing.strategies.entities import EPOCH
from eventstore.testing.strategies.streams import LoggedEvent

ACTIONS_MAX = 20
"""The default for the most actions of a day."""

_CAPITAL = Decimal(100_000)
_MULTIPLIERS = {"AAPL": Decimal(1), "ES": Decimal(50), "BTC-USD": Decimal("0.1")}
_STRATEGIES = ("trend", "revert")
_ACTION_AFTER = timedelta(seconds=1)
_RACING = ("late_fill", "cancel")
_OF_VENUE = ("fill", "correct")
_VENUE_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True)
class Action:
    """One action of a day.

    Attributes:
        name: `place`, `submit`, `fill`, `late_fill`, `bust`, `correct`, `request`, `cancel`,
            `expire`, `reject` or `mark`.
        arguments: The object of the action and its amounts. Orders and executions are numbered from 0,
            modulo their count.
    """

    name: str
    arguments: tuple[Any, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        return " ".join([self.name, *map(str, self.arguments)])


@dataclass
class TradingDay:
    """A played day: its actions, its log, and the entities at its end.

    The clock advances by a minute each time it is read; reports of a venue have a time between two minutes,
    to the microsecond. The events of an action name the action as their command, and its first event as
    their cause. An action that a rule forbids is left out. A fill is processed as in an engine: the order
    counts it, the position of its strategy and symbol takes it, and the strategy's portfolio records it. A
    bust or correction is booked in the position and the portfolio as a trade of the opposite side.

    Attributes:
        actions: The actions.
        log: Every event in order.
        orders: The orders, in the order of their creation.
        positions: The positions, first opened first; closed ones too.
        portfolios: The portfolio of each strategy.
    """

    actions: list[Action] = field(default_factory=list)
    log: list[LoggedEvent] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    portfolios: dict[str, Portfolio] = field(default_factory=dict)
    _logged: dict[UUID, int] = field(default_factory=dict)
    _command: UUID | None = None
    _gap: int = 0
    _is_of_venue: bool = False

    @classmethod
    def of(cls, actions: Sequence[Action]) -> TradingDay:
        """Play a day; the same actions give the same day, id for id."""
        day = cls()
        numbers = count(1)
        minutes = count()
        with use_ids(lambda: UUID(int=next(numbers))), use_clock(lambda: day._now(next(minutes))):
            for action in actions:
                day._command = None
                # Its first append lost a race, and was rolled back.
                day._gap = int(action.name in _RACING)
                day._is_of_venue = action.name in _OF_VENUE
                try:
                    done = getattr(day, f"_{action.name}")(*action.arguments)
                except DomainError:
                    continue
                if done:
                    day.actions.append(action)
        return day

    @staticmethod
    def at(minute: int) -> datetime:
        """Return a minute of the day."""
        return EPOCH + timedelta(minutes=minute)

    def _now(self, minute: int) -> datetime:
        return self.at(minute) + (_VENUE_AFTER if self._is_of_venue else timedelta(0))

    def open_position(self, strategy: str, symbol: str) -> Position | None:
        """Return a strategy's open position in a symbol; None if it is flat."""
        return next(
            (p for p in self.positions if p.is_open and (p.strategy, p.symbol) == (strategy, symbol)), None
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        return "\n    ".join(["TradingDay:", *map(repr, self.actions)])

    # ---- actions ---------------------------------------------------------------------------------------------

    def _place(self, strategy: str, symbol: str, side: OrderSide, quantity: Decimal, limit: Decimal) -> bool:
        portfolio = self.portfolios.get(strategy)
        if portfolio is None:
            portfolio = Portfolio(name=strategy, initial_capital=_CAPITAL, strategy=strategy)
            self.portfolios[strategy] = portfolio
            self._note(portfolio)
        order = Order.create_limit_order(
            symbol,
            quantity,
            side,
            limit_price=limit,
            strategy=strategy,
            portfolio_id=portfolio.id,
            multiplier=_MULTIPLIERS[symbol],
        )
        self.orders.append(order)
        self._note(order)
        return True

    def _submit(self, order: int) -> bool:
        return self._order(order, lambda one: one.submit(f"B-{self.orders.index(one)}"))

    def _fill(self, order: int, quantity: Decimal, price: Decimal) -> bool:
        return self._traded(order, quantity, price, None)

    def _late_fill(self, order: int, quantity: Decimal, price: Decimal) -> bool:
        """Report a fill of the day's first minute, regardless of the order's later events."""
        return self._traded(order, quantity, price, EPOCH)

    def _bust(self, order: int, execution: int) -> bool:
        found = self._counted(order, execution)
        if found is None:
            return False
        one, old = found
        one.bust_fill(str(old.execution_id))
        self._note(one)
        self._book(one, old, f"bust of {old.execution_id}", sign=-1)
        return True

    def _correct(self, order: int, execution: int, price: Decimal) -> bool:
        found = self._counted(order, execution)
        if found is None or found[1].price == price:
            return False
        one, old = found
        new = f"E-{self.orders.index(one)}-{len(one.executions)}"
        one.correct_fill(str(old.execution_id), price=price, new_execution_id=new)
        self._note(one)
        self._book(one, old, f"correction of {old.execution_id}", sign=-1)
        self._book(one, one.executions[-1], new, sign=1)
        return True

    def _request(self, order: int, kind: OrderRequestKind) -> bool:
        return self._order(
            order,
            lambda one: one.request_cancel() if kind is OrderRequestKind.CANCEL else one.request_replace(),
        )

    def _cancel(self, order: int) -> bool:
        return self._order(order, lambda one: one.cancel())

    def _expire(self, order: int) -> bool:
        return self._order(order, lambda one: one.expire())

    def _reject(self, order: int) -> bool:
        return self._order(order, lambda one: one.reject("no such venue"))

    def _mark(self, symbol: str, price: Decimal) -> bool:
        marked = [one for one in self.positions if one.is_open and one.symbol == symbol]
        for position in marked:
            position.mark(price)
            self._note(position)
        return bool(marked)

    # ---- bookings --------------------------------------------------------------------------------------------

    def _order(self, number: int, change: Callable[[Order], object]) -> bool:
        if not self.orders:
            return False
        order = self.orders[number % len(self.orders)]
        change(order)
        self._note(order)
        return True

    def _counted(self, number: int, execution: int) -> tuple[Order, Execution] | None:
        if not self.orders:
            return None
        order = self.orders[number % len(self.orders)]
        counted = [one for one in order.executions if one.counts]
        return (order, counted[execution % len(counted)]) if counted else None

    def _traded(self, number: int, quantity: Decimal, price: Decimal, occurred_at: datetime | None) -> bool:
        if not self.orders:
            return False
        order = self.orders[number % len(self.orders)]
        execution_id = f"E-{self.orders.index(order)}-{len(order.executions)}"
        order.fill(quantity, price, execution_id, commission=quantity / 10, occurred_at=occurred_at)
        self._note(order)
        self._book(order, order.executions[-1], execution_id, sign=1)
        return True

    def _book(self, order: Order, execution: Execution, trade_id: str, *, sign: int) -> None:
        """Book a trade, or its reversal, in the position and the portfolio of the order's strategy."""
        strategy = order.strategy or ""
        side = order.side if sign > 0 else order.side.opposite
        commission = sign * execution.commission
        position = self.open_position(strategy, order.symbol)
        if position is None:
            position = Position.open_position(
                order.symbol,
                side.sign * execution.quantity,
                execution.price,
                commission,
                strategy=strategy,
                portfolio_id=order.portfolio_id,
                multiplier=order.multiplier,
                execution_id=trade_id,
            )
            self.positions.append(position)
        else:
            opposite = position.apply_fill(
                side, execution.quantity, execution.price, trade_id, commission=commission
            )
            if opposite is not None:
                self.positions.append(opposite)
        self._note(position)
        self._note(self.positions[-1])
        portfolio = self.portfolios[strategy]
        portfolio.record_trade(trade_id, realized_pnl=position.realized_by(trade_id), commission=commission)
        self._note(portfolio)

    def _note(self, entity: Entity) -> None:
        entity.record_assignments()
        known = self._logged.get(entity.id, 0)
        for pending in entity.pending_events[known:]:
            is_first = self._command is None
            cause = self._command
            self._command = self._command or pending.event_id
            metadata = metadata_of({}, correlation_id=self._command, causation_id=cause)
            later = _ACTION_AFTER if is_first and self.log else timedelta(0)
            self.log.append(
                LoggedEvent(entity.id, pending.event, pending.event_id, metadata, self._gap, later)
            )
            self._gap = 0
        self._logged[entity.id] = len(entity.pending_events)


def trading_days(actions_max: int = ACTIONS_MAX) -> st.SearchStrategy[TradingDay]:
    """Days with orders in every state, partial, late, busted and corrected fills, portfolio trades and marks.

    Args:
        actions_max: The most actions.
    """
    numbers = st.integers(0, 3)
    lots = st.integers(1, 9).map(Decimal)
    levels = st.integers(95, 105).map(Decimal)
    symbols = st.sampled_from(sorted(_MULTIPLIERS))
    weighted: dict[st.SearchStrategy[Action], int] = {
        _action("place", st.sampled_from(_STRATEGIES), symbols, st.sampled_from(OrderSide), lots, levels): 5,
        _action("fill", numbers, lots, levels): 6,
        _action("submit", numbers): 2,
        _action("late_fill", numbers, lots, levels): 2,
        _action("bust", numbers, numbers): 2,
        _action("correct", numbers, numbers, levels): 2,
        _action("mark", symbols, levels): 2,
        _action("cancel", numbers): 1,
        _action("expire", numbers): 1,
        _action("reject", numbers): 1,
        _action("request", numbers, st.sampled_from(OrderRequestKind)): 1,
    }
    drawn = [action for action, weight in weighted.items() for _ in range(weight)]
    actions = st.lists(st.sampled_from(drawn).flatmap(lambda action: action), max_size=actions_max)
    return actions.map(TradingDay.of)


def _action(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Action]:
    return st.tuples(*arguments).map(lambda drawn: Action(name, drawn))
