"""A strategy that trades a tape by the average of its prices: the decisions of the order engine, without any I/O.

It changes its own orders, position and portfolio, which are plain objects in memory, and reports which of
them have changed. So its rules can be tested without a database.

The market is simpler and kinder than a real one. An order rests from the next print on. A limit order
trades at its limit if a print has this price or a better one, as if it were first in the queue. A stop
becomes a market order when a print touches it. No order trades more than the volume of the print. Strategies
do not compete for a print and do not move the market. So the results say nothing about what such a strategy
would earn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from eventstore.core import exact
from eventstore.domain.order import Order, OrderDetails, OrderSide, OrderType, TimeInForce
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.examples.ticks import Tick

Changed = Order | Position | Portfolio
"""An entity that a strategy changes."""

SESSION_BREAK = timedelta(minutes=15)
"""The shortest break between two sessions at CME."""

MARK_EVERY = timedelta(minutes=30)
"""The interval at which an open position is valued at the market price."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """The traded instrument.

    Attributes:
        symbol: The name of the instrument.
        tick_size: The smallest step of its price, in points.
        multiplier: Dollars per point and contract.
        commission: Dollars per contract, for each side of a trade.
    """

    symbol: str
    tick_size: Decimal
    multiplier: Decimal
    commission: Decimal


E_MINI = Instrument("ESU3", tick_size=Decimal("0.25"), multiplier=Decimal(50), commission=Decimal("2.05"))
"""The E-mini S&P 500 future of September 2013."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a strategy.

    Attributes:
        name: The name of the strategy and of its portfolio.
        lookback_prints: The number of prints in the average price.
        entry_ticks: It sells this far above the average, and buys this far below.
        target_ticks: It takes its profit this far from its entry.
        stop_ticks: It takes its loss this far from its entry.
        quantity: Contracts of an entry.
        patience_prints: The number of prints after which an entry is cancelled.
    """

    name: str
    lookback_prints: int
    entry_ticks: Decimal
    target_ticks: int
    stop_ticks: int
    quantity: int
    patience_prints: int


PLANS = (
    Plan("revert-100", 100, Decimal("1.15"), 1, 2, 2, 60),
    Plan("revert-150", 150, Decimal("1.1"), 2, 3, 3, 60),
    Plan("revert-200", 200, Decimal("1.2"), 2, 2, 2, 60),
    Plan("revert-300", 300, Decimal("1.2"), 2, 3, 4, 80),
    Plan("revert-400", 400, Decimal("1.3"), 2, 2, 3, 80),
    Plan("revert-700", 700, Decimal("1.5"), 2, 2, 4, 100),
    Plan("revert-900", 900, Decimal("1.6"), 2, 3, 3, 100),
)
"""Seven strategies, from fast to slow, with about the same number of orders each."""


class MeanReversion:
    """Sells above the average price of the last prints and buys below it. It does no I/O.

    It enters by a limit order, and then places a bracket: a limit order to take the profit and a stop order
    to take the loss, where a fill of one cancels the other. A signal against its position reverses the
    position by one market order through zero.

    Args:
        plan: The parameters of the strategy.
        instrument: The traded instrument.
        capital: The initial capital of its portfolio, in dollars.
        begins_at: The creation time of its portfolio.

    Attributes:
        portfolio: The portfolio of the strategy.
        position: The open position; None while flat.
        entry: The order that enters or reverses; None without one.
        target: The order that takes the profit; None without one.
        stop: The order that takes the loss; None without one.
        orders_count: The number of orders created so far.
        equity: Cash and unrealised result in dollars, at the beginning and at each mark.
    """

    def __init__(self, plan: Plan, instrument: Instrument, capital: Decimal, *, begins_at: datetime) -> None:
        self.plan = plan
        self.instrument = instrument
        self.portfolio = Portfolio(
            name=plan.name, initial_capital=capital, strategy=plan.name, created_at=begins_at
        )
        self.position: Position | None = None
        self.entry: Order | None = None
        self.target: Order | None = None
        self.stop: Order | None = None
        self.orders_count = 0
        self.equity: list[tuple[datetime, Decimal]] = [(begins_at, capital)]
        self._entered_row = 0
        self._window: deque[Decimal] = deque(maxlen=plan.lookback_prints)
        self._sum = Decimal(0)
        self._threshold = plan.entry_ticks * instrument.tick_size * plan.lookback_prints
        self._last_at = self._marked_at = begins_at
        self._changes: dict[int, Changed] = {id(self.portfolio): self.portfolio}

    def take_changes(self) -> list[Changed]:
        """Return the entities changed since the last call, each once, in the order of their first changes."""
        changes, self._changes = list(self._changes.values()), {}
        return changes

    def take_up(
        self,
        seen: Sequence[Tick],
        *,
        portfolio: Portfolio,
        position: Position | None,
        orders: Iterable[Order],
        entered_row: int,
    ) -> None:
        """Continue a run of this plan that was stopped; `equity` begins again.

        Args:
            seen: The tape up to the last print that the other run has processed.
            portfolio: The portfolio of the run.
            position: Its open position.
            orders: All its orders.
            entered_row: The row of the print at which its resting entry was created.
        """
        orders = list(orders)
        by_role = {order.tags[0]: order for order in orders if order.is_active}
        self.portfolio, self.position = portfolio, position
        self.entry = by_role.get("entry", by_role.get("turn"))
        self.target, self.stop = by_role.get("target"), by_role.get("stop")
        self.orders_count, self._entered_row = len(orders), entered_row
        self._window.extend(tick.price for tick in seen[-self.plan.lookback_prints :])
        self._sum = sum(self._window, Decimal(0))
        for tick in seen:
            if tick.at - self._marked_at >= MARK_EVERY:
                self._marked_at = tick.at
        self._last_at = seen[-1].at
        self._changes.clear()

    def on_tick(self, tick: Tick) -> bool:
        """Process one print, and return whether anything changed that must be saved."""
        if tick.at - self._last_at >= SESSION_BREAK:
            self._end_session(self._last_at)
        self._last_at = tick.at
        if self.entry is not None or self.position is not None:
            self._trade(tick)
        if tick.at - self._marked_at >= MARK_EVERY:
            self.mark(tick)
        if self._is_warm(tick.price) and self.entry is None:
            self._decide(tick)
        return bool(self._changes)

    @exact
    def mark(self, tick: Tick) -> None:
        """Value the open position at the price of a print."""
        self._marked_at = tick.at
        open_result = Decimal(0)
        if self.position is not None:
            self.position.mark(tick.price, occurred_at=tick.at)
            self._changed(self.position)
            open_result = self.position.unrealized_pnl or open_result
        self.equity.append((tick.at, self.portfolio.cash_balance + open_result))

    # ---- fills ---------------------------------------------------------------------------------------------

    def _trade(self, tick: Tick) -> None:
        """Let the print fill resting orders, then adjust the other orders to the position."""
        for order in (self.entry, self.target, self.stop):
            if order is not None and (price := _execution_price(order, tick)) is not None:
                self._fill(order, price, tick)
                self._adjust_bracket(tick.at)
        if self.entry is not None:
            self._watch_entry(self.entry, tick)

    def _fill(self, order: Order, price: Decimal, tick: Tick) -> None:
        quantity = min(order.leaves_quantity, Decimal(tick.volume))
        # A print fills an order at most once, so its row makes the id unique; time, price and volume would not.
        execution_id = f"{order.broker_order_id}@{tick.row}"
        commission = quantity * self.instrument.commission
        order.fill(quantity, price, execution_id, commission=commission, occurred_at=tick.at)
        self._changed(order)
        realized = self._move_position(
            order.side, quantity, price, execution_id, commission=commission, at=tick.at
        )
        self.portfolio.record_trade(
            execution_id, realized_pnl=realized, commission=commission, occurred_at=tick.at
        )
        self._changed(self.portfolio)

    def _move_position(
        self,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal,
        at: datetime,
    ) -> Decimal | None:
        """Book a fill in the position, and return its realised result; None if it closed nothing."""
        position = self.position
        if position is None:
            self.position = Position.open_position(
                self.instrument.symbol,
                side.sign * quantity,
                price,
                commission,
                multiplier=self.instrument.multiplier,
                strategy=self.plan.name,
                portfolio_id=self.portfolio.id,
                execution_id=execution_id,
                occurred_at=at,
            )
            self._changed(self.position)
            return None
        opposite = position.apply_fill(
            side, quantity, price, execution_id, commission=commission, occurred_at=at
        )
        self._changed(position)
        if not position.is_open:
            self.position = opposite
        if opposite is not None:
            self._changed(opposite)
        return position.realized_by(execution_id)

    def _watch_entry(self, entry: Order, tick: Tick) -> None:
        """Cancel an entry that takes too long, and protect the opened position when the entry is done."""
        waits = (
            entry.order_type is OrderType.LIMIT and tick.row - self._entered_row >= self.plan.patience_prints
        )
        if entry.is_active and waits:
            entry.cancel("patience", occurred_at=tick.at)
            self._changed(entry)
        if not entry.is_active:
            self.entry = None
            if self.position is not None:
                self._place_bracket(self.position, tick.at)

    def _adjust_bracket(self, at: datetime) -> None:
        """Adjust the bracket so that its remaining orders never trade more than the open position."""
        if self.position is None:
            self._cancel_bracket("position closed", at)
            return
        for order in (self.target, self.stop):
            if order is not None and order.leaves_quantity != abs(self.position.quantity):
                order.amend(quantity=order.filled_quantity + abs(self.position.quantity), occurred_at=at)
                self._changed(order)

    def _end_session(self, at: datetime) -> None:
        """Expire the day order at the last print of its session."""
        entry = self.entry
        if entry is not None and entry.time_in_force is TimeInForce.DAY:
            entry.expire("end of session", occurred_at=at)
            self._changed(entry)

    # ---- orders --------------------------------------------------------------------------------------------

    def _is_warm(self, price: Decimal) -> bool:
        """Add a price to the average, and return whether the average has enough prints."""
        window = self._window
        self._sum += price
        if len(window) == self.plan.lookback_prints:
            self._sum -= window[0]
        window.append(price)
        return len(window) == self.plan.lookback_prints

    def _decide(self, tick: Tick) -> None:
        # Compared as sums, so that no division rounds: lookback x (price - average).
        distance = tick.price * self.plan.lookback_prints - self._sum
        if abs(distance) < self._threshold:
            return
        side = OrderSide.SELL if distance > 0 else OrderSide.BUY
        if self.position is None:
            self._entered_row = tick.row
            self.entry = self._submit(
                Order.create_limit_order(
                    self.instrument.symbol,
                    Decimal(self.plan.quantity),
                    side,
                    limit_price=tick.price,
                    **self._details("entry", TimeInForce.DAY, tick.at),
                )
            )
        elif self.position.is_long == (side is OrderSide.SELL):
            self._cancel_bracket("turned round", tick.at)
            self.entry = self._submit(
                Order.create_market_order(
                    self.instrument.symbol,
                    abs(self.position.quantity) + self.plan.quantity,
                    side,
                    **self._details("turn", TimeInForce.GTC, tick.at),
                )
            )

    def _place_bracket(self, position: Position, at: datetime) -> None:
        side = OrderSide.SELL if position.is_long else OrderSide.BUY
        symbol, quantity, step = self.instrument.symbol, abs(position.quantity), self.instrument.tick_size
        entered = round(position.cost / position.quantity / step)  # the average entry price, in whole ticks
        self.target = self._submit(
            Order.create_limit_order(
                symbol,
                quantity,
                side,
                limit_price=(entered - side.sign * self.plan.target_ticks) * step,
                **self._details("target", TimeInForce.GTC, at),
            )
        )
        self.stop = self._submit(
            Order.create_stop_order(
                symbol,
                quantity,
                side,
                stop_price=(entered + side.sign * self.plan.stop_ticks) * step,
                **self._details("stop", TimeInForce.GTC, at),
            )
        )

    def _cancel_bracket(self, reason: str, at: datetime) -> None:
        for order in (self.target, self.stop):
            if order is not None and order.is_active:
                order.cancel(reason, occurred_at=at)
                self._changed(order)
        self.target = self.stop = None

    def _details(self, role: str, time_in_force: TimeInForce, at: datetime) -> OrderDetails:
        return {
            "time_in_force": time_in_force,
            "multiplier": self.instrument.multiplier,
            "portfolio_id": self.portfolio.id,
            "strategy": self.plan.name,
            "tags": (role,),
            "occurred_at": at,
        }

    def _submit(self, order: Order) -> Order:
        """Send an order to the simulated market, which acknowledges it at once."""
        self.orders_count += 1
        order.submit(f"{self.plan.name}-{self.orders_count}", occurred_at=order.created_at)
        self._changed(order)
        return order

    def _changed(self, entity: Changed) -> None:
        self._changes.setdefault(id(entity), entity)


def _execution_price(order: Order, tick: Tick) -> Decimal | None:
    """Return the price at which a print fills an order; None if it does not fill it."""
    price, buys = tick.price, order.side is OrderSide.BUY
    if order.order_type is OrderType.LIMIT:
        limit = order.limit_price
        if limit is None or (price > limit if buys else price < limit):
            return None
        price = limit
    elif order.order_type is OrderType.STOP and not order.filled_quantity:
        stop = order.stop_price
        if stop is None or (price < stop if buys else price > stop):
            return None
    return price if order.is_active else None
