"""Booking an execution: into its order, its positions and its portfolio, in one Unit of Work.

The order decides whether an execution is new: it knows its executions, and the log knows those that its state no longer
holds. Positions and portfolio follow in the same append, so all three count it or none does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from eventstore.core.context import at, exact, new_id, plain, total
from eventstore.core.entity_state import private
from eventstore.core.validation import number
from eventstore.domain.division import commission_share
from eventstore.domain.execution_report import ExecutionReport, ReportKind
from eventstore.domain.executions import (
    EXECUTIONS_KEPT_MAX,
    NO_ID,
    Execution,
    Liquidity,
    OrderSide,
    PositionSide,
    is_complete,
    not_before,
)
from eventstore.domain.instrument import Instrument, instrument_id
from eventstore.domain.money import Settlement, settled_cash_flow
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_events import PositionMode
from eventstore.domain.position import Position
from eventstore.errors import DomainError, PortfolioNotFoundError, PositionNotFoundError
from eventstore.repositories.order_repository import PostgreSQLOrderRepository
from eventstore.repositories.query import Query

if TYPE_CHECKING:
    from eventstore.repositories.session import Session, SessionSource

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Booking:
    """What a call of `Book` changed.

    Attributes:
        counted: Whether the report counted; False if it was known, and then nothing changed.
        order: The order.
        positions: The positions that changed; after a flip the closed one, then the opened one.
        portfolio: The portfolio; None if the order has none.
        realized_pnl: What the report realised in its positions, in their currency, before commission; None if it closed
            nothing.
    """

    counted: bool
    order: Order
    positions: tuple[Position, ...] = ()
    portfolio: Portfolio | None = None
    realized_pnl: Decimal | None = None


class Book:
    """Books the executions of one order. `uow.book(order)` returns one.

    The position is the open one of the order's portfolio, account, symbol and strategy. A portfolio that nets has
    one; a fill through zero closes it and opens the opposite one. A portfolio that hedges has one for each side, and the
    order says which one it means (`position_side`).

    The cash follows from how the instrument settles: `settlement` if it is given here, else the instrument's, else the
    portfolio's.

    A call that raises leaves the Unit of Work as it was; a retry after a commit that failed begins with a new Unit of Work.

    Args:
        source: The Unit of Work.
        order: The order; it need not be saved yet.
        instrument: The instrument, if it is kept. Prices and quantities must then be multiples of its increments.
        settlement: How a trade is paid; None for what the instrument or the portfolio says.
    """

    def __init__(
        self,
        source: SessionSource,
        order: Order,
        *,
        instrument: Instrument | None = None,
        settlement: Settlement | None = None,
    ) -> None:
        self._source = source
        self._order = order
        self._instrument = instrument
        self._settlement = settlement

    async def fill(
        self,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal = _ZERO,
        commission_currency: str | None = None,
        venue: str | None = None,
        liquidity: Liquidity | None = None,
        from_venue: bool | None = None,
        allow_overfill: bool = False,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Booking:
        """Book a fill (FIX ExecType F); a repeat of a known fill changes nothing.

        Args:
            quantity: Shares or contracts (FIX LastQty, 32).
            price: Price of one (FIX LastPx, 31).
            execution_id: The venue's id (FIX ExecID, 17).
            commission: A rebate is negative.
            commission_currency: Its currency or coin; None for the order's.
            venue: Where it traded (FIX LastMkt, 30); None for the order's venue.
            liquidity: Whether it added liquidity or took it.
            from_venue: Who says that the order traded after its end; see `Order.fill`.
            allow_overfill: Whether to count what exceeds the order's quantity, since the venue traded it.
            occurred_at: When the fill happened, not when it was reported.
            transact_time_ns: The venue's time in ns since the epoch; kept unchanged.

        Raises:
            DomainError: As for `Order.fill`, `Position.apply_fill` and `Portfolio.record_trade`; `order.position_side`
                (the portfolio hedges, and the order does not say which side it means); a price or quantity that the
                instrument does not have; `instrument.is_inverse`; `order.instrument` (the order has another symbol, multiplier or
                currency than the instrument); `order.execution_repeated` (the order was loaded before another Unit of Work
                booked this fill); `position.over_reduce` (the portfolio hedges, and
                less is open on that side).
            PortfolioNotFoundError: The order's portfolio does not exist.
            EventStoreError: The database could not be read.
        """
        self._check_increments(quantity, price)
        session, order = self._source.reading(), self._order
        await _know(session, order, execution_id)
        portfolio = await self._portfolio(session)
        is_hedging = _hedges(portfolio)
        position = await self._open_position(session, is_hedging=is_hedging)
        ids = [new_id() if position is None else position.id]
        whole = number("order.quantity", quantity)
        if position is not None and _goes_through_zero(position, order.side, whole):
            ids.append(new_id())
        # The order knows whether the execution is new, so the log is not asked for the two others.
        if position is not None:
            position._recall([execution_id], ())  # noqa: SLF001
        if portfolio is not None:
            portfolio._remembered().take_as_new(execution_id)  # noqa: SLF001
        with _all_or_none(order, position, portfolio):
            counted = order.fill(
                quantity,
                price,
                execution_id,
                commission=commission,
                commission_currency=commission_currency,
                venue=venue,
                liquidity=liquidity,
                from_venue=from_venue,
                allow_overfill=allow_overfill,
                position_ids=ids,
                occurred_at=occurred_at,
                transact_time_ns=transact_time_ns,
            )
            if not counted:
                return Booking(False, order, portfolio=portfolio)
            if self._instrument is not None:
                _check_same(self._instrument, order, portfolio)
            execution = order.executions[-1]
            positions = _taken(order, execution, position, ids, liquidity=liquidity, is_hedging=is_hedging)
            realized = positions[0].realized_in(positions[0].pending_events[-1].event_id)
            if portfolio is not None:
                self._record(portfolio, execution, realized)
            await self._save(session, positions, portfolio)
        return Booking(True, order, positions, portfolio, realized)

    async def bust(
        self,
        execution_id: str,
        *,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Booking:
        """Take a booked fill back (FIX ExecType H): order, positions and portfolio are as if it had not traded.

        Args:
            execution_id: The execution that is busted (FIX ExecRefID, 19).
            reason: Why, for the events.
            occurred_at: When it was busted.
            transact_time_ns: The venue's time in ns since the epoch.

        Raises:
            DomainError: As for `Order.bust_fill`, `Position.bust_fill` and `Portfolio.bust_trade`; `order.not_booked` (no
                `Book` has booked the fill).
            PortfolioNotFoundError: The order's portfolio does not exist.
            EventStoreError: The database could not be read.
        """
        session, order = self._source.reading(), self._order
        booked = await self._booked(session, execution_id)
        when = booked.time(occurred_at, transact_time_ns)
        with _all_or_none(order, booked.portfolio, *booked.positions) as before:
            if not order.bust_fill(execution_id, reason=reason, **when):
                return Booking(False, order, portfolio=booked.portfolio)
            old = booked.execution
            for position in booked.positions:
                position.bust_fill(execution_id, **_key(order, old), reason=reason, **when)
            positions, change = await self._net(session, booked, when, before)
            if booked.portfolio is not None:
                others = _sum(change, booked.realized or _ZERO)
                booked.portfolio.bust_trade(
                    execution_id,
                    **_key(order, old),
                    realized_pnl_change=others,
                    cash_flow_change=None if self._on_margin(booked.portfolio) else _ZERO,
                    reason=reason,
                    occurred_at=when["occurred_at"],
                )
            await self._save(session, positions, booked.portfolio)
        return Booking(True, order, positions, booked.portfolio, change)

    async def correct(
        self,
        execution_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        commission: Decimal | None = None,
        new_execution_id: str | None = None,
        reason: str | None = None,
        allow_overfill: bool = False,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> Booking:
        """Replace a booked fill by a corrected one (FIX ExecType G), in the order, its positions and the portfolio.

        If the old fill had closed something, the portfolio's new trade has the whole change of the result. Otherwise the
        change belongs to the trades that closed it later.

        Args:
            execution_id: The execution that is corrected (FIX ExecRefID, 19).
            quantity: The right quantity, in the shares of the time of the fill; None if it is unchanged.
            price: The right price, in the same shares; None if it is unchanged.
            commission: The right commission; None if it is unchanged.
            new_execution_id: The correction's own id (FIX ExecID, 17); None if the venue kept the old one.
            reason: Why, for the events.
            allow_overfill: Whether a correction beyond the order's quantity counts.
            occurred_at: When it was corrected.
            transact_time_ns: The venue's time of the correction in ns since the epoch.

        Raises:
            DomainError: As for `Order.correct_fill`, `Position.correct_fill` and `Portfolio.correct_trade`;
                `order.not_booked` (no `Book` has booked the fill).
            PortfolioNotFoundError: The order's portfolio does not exist.
            EventStoreError: The database could not be read.
        """
        self._check_increments(quantity, price)
        session, order = self._source.reading(), self._order
        if new_execution_id is not None:
            await _know(session, order, new_execution_id)
        booked = await self._booked(session, execution_id)
        when = booked.time(occurred_at, transact_time_ns)
        with _all_or_none(order, booked.portfolio, *booked.positions) as before:
            counted = order.correct_fill(
                execution_id,
                quantity=quantity,
                price=price,
                commission=commission,
                new_execution_id=new_execution_id,
                reason=reason,
                allow_overfill=allow_overfill,
                **when,
            )
            if not counted:
                return Booking(False, order, portfolio=booked.portfolio)
            old, new = booked.execution, order.executions[-1]
            _correct_positions(booked.positions, order, old, new, reason=reason, **when)
            positions, change = await self._net(session, booked, when, before)
            portfolio = booked.portfolio
            if portfolio is not None:
                has_closed = booked.realized is not None
                portfolio.correct_trade(
                    execution_id,
                    new_trade_id=new.execution_id,
                    realized_pnl=_sum(booked.realized or _ZERO, change) if has_closed else None,
                    commission=new.commission,
                    cash_flow=self._cash_flow(portfolio, new),
                    **_key(order, old),
                    realized_pnl_change=_ZERO if has_closed else change,
                    cash_flow_change=None if self._on_margin(portfolio) else _ZERO,
                    reason=reason,
                    occurred_at=when["occurred_at"],
                )
            await self._save(session, positions, booked.portfolio)
        return Booking(True, order, positions, booked.portfolio, change)

    # ---- what is read ----------------------------------------------------------------------------------------

    async def _booked(self, session: Session, execution_id: str) -> _Booked:
        """Return a fill that was booked, and what it was booked to.

        Raises:
            DomainError: `order.unknown_execution`; `order.not_booked`.
        """
        order = self._order
        await _know(session, order, execution_id)
        execution = order.find_execution(execution_id)
        if execution is None:
            raise DomainError(
                "order.unknown_execution", f"order {order.id} has no execution {execution_id!r}"
            )
        if not execution.position_ids:
            raise DomainError(
                "order.not_booked",
                f"order {order.id}: execution {execution_id} was not booked by uow.book(): take it back in the order, the "
                "position and the portfolio by their own methods",
            )
        portfolio = await self._portfolio(session)
        positions = []
        for position_id in execution.position_ids:
            position = await session.get(Position, position_id)
            if position is None:
                raise PositionNotFoundError(position_id, category="position")
            if len(position.executions) == EXECUTIONS_KEPT_MAX:  # older ones are in the log alone
                position.recall_all(await session.read_stream(position))
            counted = position.find_execution(execution_id, **_key(order, execution))
            # A correction may have left nothing of a flip's other side.
            if counted is not None and counted.counts:
                positions.append(position)
        realized, since = None, execution.occurred_at
        if portfolio is not None:
            # Another order may have the same id, so the log is asked unless this trade is known.
            if portfolio.version and portfolio.find_trade(execution_id, **_key(order, execution)) is None:
                await session.recall(portfolio, [execution_id])
            trade = portfolio.find_trade(execution_id, **_key(order, execution))
            if trade is not None:  # a correction is a trade of the time of the correction
                realized, since = trade.realized_pnl, max(since, trade.occurred_at)
        return _Booked(execution, tuple(positions), portfolio, realized, since)

    async def _net(
        self, session: Session, booked: _Booked, when: _Time, before: _Before
    ) -> tuple[tuple[Position, ...], Decimal]:
        """Bring what a bust or a correction opened again into the position that was opened since.

        Returns:
            The positions that changed, and by how much their realised result did.
        """
        change = booked.change_of_result()
        query = self._open_positions(is_hedging=_hedges(booked.portfolio))
        found = list(await session.find(Position, query))
        changed = {position.id for position in booked.positions}
        into = next((one for one in found if one.id not in changed), found[0] if found else None)
        moving = [one for one in found if one.id in changed and one is not into]
        if into is None or not moving:
            return booked.positions, change
        before.keep(into)
        for position in moving:
            change = _sum(change, position.move_into(into, **when))
        others = () if into.id in changed else (into,)
        return (*booked.positions, *others), change

    async def _portfolio(self, session: Session) -> Portfolio | None:
        portfolio_id = self._order.portfolio_id
        if portfolio_id is None:
            return None
        # What this Unit of Work knows is not read again: the commit finds out whether another writer has changed it.
        portfolio = session.known_one(Portfolio, portfolio_id) or await session.get(Portfolio, portfolio_id)
        if portfolio is None:
            raise PortfolioNotFoundError(portfolio_id, category="portfolio")
        return portfolio

    def _open_positions(self, *, is_hedging: bool) -> Query[Position]:
        return open_position_of(self._order, self._order.position_side if is_hedging else None)

    async def _open_position(self, session: Session, *, is_hedging: bool) -> Position | None:
        order = self._order
        if is_hedging and order.position_side is None:
            raise DomainError(
                "order.position_side",
                f"the portfolio of order {order.id} hedges, so the order must say its position_side, LONG or SHORT",
            )
        query = self._open_positions(is_hedging=is_hedging)
        found = query.answer(session.known(Position), limit=1) or await session.find(Position, query, limit=1)
        return found[0] if found else None

    def _check_increments(self, quantity: Decimal | None, price: Decimal | None) -> None:
        """Refuse what the instrument does not trade; None is not checked."""
        if self._instrument is None:
            return
        _refuse_inverse(self._instrument)
        if quantity is not None:
            self._instrument.check_quantity(quantity)
        if price is not None:
            self._instrument.check_price(price)

    # ---- what is written -------------------------------------------------------------------------------------

    def _record(self, portfolio: Portfolio, execution: Execution, realized: Decimal | None) -> None:
        order = self._order
        portfolio.record_trade(
            _id(execution),
            realized_pnl=realized,
            commission=execution.commission,
            commission_currency=execution.commission_currency,
            cash_flow=self._cash_flow(portfolio, execution),
            currency=order.currency,
            order_id=order.id,
            account=execution.account,
            venue=execution.venue,
            symbol=order.symbol,
            occurred_at=execution.occurred_at,
            transact_time_ns=execution.transact_time_ns,
        )

    def _on_margin(self, portfolio: Portfolio) -> bool:
        settlement = self._settlement
        if settlement is None:
            settlement = portfolio.settlement if self._instrument is None else self._instrument.settlement
        return settlement is Settlement.ON_MARGIN

    def _cash_flow(self, portfolio: Portfolio, execution: Execution) -> Decimal | None:
        """Return what an execution does to the cash; None if it is the realised result less the commission."""
        if self._on_margin(portfolio):
            return None
        order = self._order
        # An order without a currency trades in the portfolio's.
        is_own = execution.commission_currency in {None, order.currency or portfolio.currency}
        quantity, price = execution.as_reported
        return settled_cash_flow(
            order.side,
            quantity,
            price,
            multiplier=order.multiplier,
            commission=execution.commission if is_own else _ZERO,
        )

    async def _save(
        self, session: Session, positions: Sequence[Position], portfolio: Portfolio | None
    ) -> None:
        with session.all_or_none():
            await session.save(self._order)
            for position in positions:
                await session.save(position)
            if portfolio is not None:
                await session.save(portfolio)


def _hedges(portfolio: Portfolio | None) -> bool:
    return portfolio is not None and portfolio.position_mode is PositionMode.HEDGING


def _side_of(position: Position) -> PositionSide:
    """Return which of the two positions of a portfolio that hedges it is: a bust may have turned its quantity."""
    if position.position_side is not None:
        return position.position_side
    return PositionSide.LONG if position.is_long else PositionSide.SHORT


def open_position_of(order: Order, side: PositionSide | None) -> Query[Position]:
    """Return the query of the open position that an order trades, the one opened last first.

    Args:
        order: The order.
        side: The side of the position, in a portfolio that hedges; None in one that nets.
    """

    def matches(position: Position) -> bool:
        return (
            position.closed_at is None
            and position.symbol == order.symbol
            and position.portfolio_id == order.portfolio_id
            and position.account == order.account
            and position.strategy == order.strategy
            and (side is None or _side_of(position) is side)
        )

    return Query(
        "positions/open_of_order",
        (order.symbol, order.portfolio_id, order.account, order.strategy, side),
        matches,
        lambda position: (position.opened_at, position.id),
        descending=True,
    )


@dataclass(frozen=True, slots=True)
class _Booked:
    """A fill, and what it was booked to.

    Attributes:
        execution: The execution, as the order has it.
        positions: The positions; after a flip the closed one, then the opened one.
        portfolio: The portfolio, if the order has one.
        realized: What the fill realised in the portfolio, before commission; None if it closed nothing.
        since: Since when it counts as it does now: the time of the fill, or of its last correction.
        before: What each position had realised.
    """

    execution: Execution
    positions: tuple[Position, ...]
    portfolio: Portfolio | None
    realized: Decimal | None
    since: datetime
    before: tuple[Decimal, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", tuple(position.realized_pnl for position in self.positions))

    def time(self, occurred_at: datetime | None, transact_time_ns: int | None) -> _Time:
        """Return the time of a bust or a correction: not before what it takes back, in any of the three."""
        when = not_before(at(occurred_at, transact_time_ns), self.since)
        return {"occurred_at": when, "transact_time_ns": transact_time_ns}

    @exact
    def change_of_result(self) -> Decimal:
        """Return by how much the realised result of the positions has changed since."""
        after = sum((position.realized_pnl for position in self.positions), _ZERO)
        return plain(after - sum(self.before, _ZERO))


class _Time(TypedDict):
    occurred_at: datetime | None
    transact_time_ns: int | None


class _Key(TypedDict):
    order_id: UUID
    account: str | None
    venue: str | None


def _key(order: Order, execution: Execution) -> _Key:
    """Return what positions and portfolio know an execution by, besides its id."""
    return {"order_id": order.id, "account": execution.account, "venue": execution.venue}


_sum = exact(total)


def _goes_through_zero(position: Position, side: OrderSide, quantity: Decimal) -> bool:
    return position.is_long is (side is OrderSide.SELL) and quantity > abs(position.quantity)


def _reduces_too_much(position: Position, side: OrderSide, quantity: Decimal) -> bool:
    """Whether a fill takes more from one of the two positions of a portfolio that hedges than is open there."""
    own = OrderSide.BUY if _side_of(position) is PositionSide.LONG else OrderSide.SELL
    return side is not own and quantity > own.sign * position.quantity


def _taken(
    order: Order,
    execution: Execution,
    position: Position | None,
    ids: Sequence[UUID],
    *,
    liquidity: Liquidity | None,
    is_hedging: bool,
) -> tuple[Position, ...]:
    """Bring an execution of an order into its position; return the positions that changed, the closed one first."""
    facts: Any = {
        "order_id": order.id,
        "account": execution.account,
        "venue": execution.venue,
        "commission_currency": execution.commission_currency,
        "liquidity": liquidity,
        "occurred_at": execution.occurred_at,
        "transact_time_ns": execution.transact_time_ns,
    }
    if position is None:
        if is_hedging and (order.side is OrderSide.BUY) is (order.position_side is PositionSide.SHORT):
            raise DomainError(
                "position.over_reduce",
                f"no {order.position_side} position in {order.symbol} is open that order {order.id} could reduce by "
                f"{execution.quantity}: in a portfolio that hedges, book the fill that opens it first",
            )
        opened = Position.open_by_fill(
            order.symbol,
            order.side,
            execution.quantity,
            execution.price,
            execution.commission,
            id=ids[0],
            execution_id=execution.execution_id,
            multiplier=order.multiplier,
            portfolio_id=order.portfolio_id,
            strategy=order.strategy,
            currency=order.currency,
            position_side=order.position_side if is_hedging else None,
            **facts,
        )
        return (opened,)
    if position.multiplier != order.multiplier or position.currency != order.currency:
        raise DomainError(
            "position.instrument",
            f"position {position.id} in {position.symbol} has multiplier {position.multiplier} and currency "
            f"{position.currency}, order {order.id} has {order.multiplier} and {order.currency}: give both the same",
        )
    if is_hedging and _reduces_too_much(position, order.side, execution.quantity):
        raise DomainError(
            "position.over_reduce",
            f"position {position.id}: {abs(position.quantity)} {position.symbol} are open, cannot reduce by "
            f"{execution.quantity}: in a portfolio that hedges, a fill does not go through zero",
        )
    events = len(position.pending_events)
    opposite = position.apply_fill(
        order.side,
        execution.quantity,
        execution.price,
        _id(execution),
        commission=execution.commission,
        opposite_id=ids[-1] if len(ids) > 1 else None,
        **facts,
    )
    if len(position.pending_events) == events:  # the order is older than its position
        raise DomainError(
            "order.execution_repeated",
            f"order {order.id} does not know execution {execution.execution_id}, and position {position.id} has counted it: "
            "load the order again, in a new Unit of Work",
        )
    return (position,) if opposite is None else (position, opposite)


@exact
def _correct_positions(
    positions: tuple[Position, ...], order: Order, old: Execution, new: Execution, **when: Any
) -> None:
    """Correct an execution in the positions that count it: what it closed stays, as far as the new quantity goes."""
    key = _key(order, old)
    whole, price = new.as_reported
    left, commission = whole, new.commission
    for position in positions:
        counted = position.find_execution(_id(old), **key)
        part = _ZERO if counted is None else counted.as_reported[0]
        is_last = position is positions[-1]
        quantity = left if is_last else min(part, left)
        if not quantity:
            position.bust_fill(_id(old), **key, **when)
            continue
        share = (
            commission if is_last or quantity == left else commission_share(new.commission, quantity, whole)
        )
        position.correct_fill(
            _id(old),
            quantity=quantity,
            price=price,
            commission=share,
            new_execution_id=_id(new),
            whole_quantity=whole if len(positions) > 1 else None,
            whole_commission=new.commission if len(positions) > 1 else None,
            **key,
            **when,
        )
        left, commission = left - quantity, commission - share


def _id(execution: Execution) -> str:
    return NO_ID if execution.execution_id is None else execution.execution_id


def _refuse_inverse(instrument: Instrument) -> None:
    if instrument.is_inverse:
        raise DomainError(
            "instrument.is_inverse",
            f"{instrument.symbol} is worth multiplier / price, and a position counts quantity x price: call order.fill(), and "
            "give what inverse_pnl() returns to portfolio.record_trade()",
        )


def _check_same(instrument: Instrument, order: Order, portfolio: Portfolio | None) -> None:
    """Refuse an order that says another symbol, multiplier or currency than the instrument."""
    currency = order.currency or (None if portfolio is None else portfolio.currency) or instrument.currency
    said = (order.symbol, order.multiplier, currency)
    if said != (instrument.symbol, instrument.multiplier, instrument.currency):
        raise DomainError(
            "order.instrument",
            f"order {order.id} is in {said[0]} with multiplier {said[1]}, paid in {said[2]}; the instrument is {instrument.symbol} "
            f"with multiplier {instrument.multiplier}, paid in {instrument.currency}: give the order what the instrument says",
        )


async def _know(session: Session, order: Order, execution_id: str) -> None:
    """Let an order know all that the log has of an execution id, if its state does not hold it all."""
    if order.version and not is_complete(order.executions, private(order)["_memory"], execution_id):
        await session.recall(order, [execution_id])


class _Before:
    """What entities were before a block.

    Attributes:
        states: The entities, with copies of their state and of their private attributes.
    """

    def __init__(self) -> None:
        self.states: list[tuple[Order | Position | Portfolio, dict[str, Any], dict[str, Any]]] = []

    def keep(self, entity: Order | Position | Portfolio) -> None:
        """Keep what an entity is now, unless it was kept before."""
        if all(entity is not one for one, _, _ in self.states):
            attributes = {**private(entity), "_memory": copy(private(entity)["_memory"])}
            self.states.append((entity, entity.__dict__.copy(), attributes))


@contextmanager
def _all_or_none(*entities: Order | Position | Portfolio | None) -> Iterator[_Before]:
    """Leave the entities, and those that the block keeps, as they were if the block raises."""
    before = _Before()
    for entity in entities:
        if entity is not None:
            before.keep(entity)
    try:
        yield before
    except BaseException:
        for one, state, attributes in before.states:
            one.__dict__.clear()
            one.__dict__.update(state)
            private(one).update(attributes)
        raise


_LATER = {"order.unknown_execution", "order.overfill", "position.over_reduce"}
"""Rules that a report of the same batch may still satisfy."""


async def book_reports(source: SessionSource, reports: Iterable[ExecutionReport]) -> list[Booking]:
    """Book execution reports in any order. See `PostgreSQLUnitOfWork.book_reports`."""
    given = list(reports)
    books, session = await _books_of(source, given), source.reading()
    try:
        return await _book_in_order(books, given)
    except BaseException:
        session.fail("book_reports")  # some of the reports may be staged
        raise


async def _books_of(source: SessionSource, reports: Sequence[ExecutionReport]) -> list[Book]:
    """Return the book of each report's order; its instrument is the one of its symbol and venue, if it is kept."""
    orders = [await _order_of(source, report) for report in reports]
    instruments = {
        key: await source.reading().get(Instrument, instrument_id(*key))
        for key in {(order.symbol, order.venue) for order in orders}
    }
    return [Book(source, order, instrument=instruments[order.symbol, order.venue]) for order in orders]


async def _book_in_order(books: Sequence[Book], reports: Sequence[ExecutionReport]) -> list[Booking]:
    bookings: dict[int, Booking] = {}
    # The result of a position depends on the order of its fills, so it must not depend on the order of arrival.
    waiting = sorted(range(len(reports)), key=lambda place: (reports[place].time, place))
    while waiting:
        refused: dict[int, DomainError] = {}
        for place in waiting:
            try:
                bookings[place] = await _book_report(books[place], reports[place])
            except DomainError as error:
                if error.rule not in _LATER:
                    raise
                refused[place] = error
        if len(refused) == len(waiting):
            raise refused[waiting[0]]
        waiting = list(refused)
    return [bookings[place] for place in range(len(reports))]


async def _book_report(book: Book, report: ExecutionReport) -> Booking:
    if report.kind is ReportKind.BUST:
        return await book.bust(
            report.execution_id,
            reason=report.reason,
            occurred_at=report.occurred_at,
            transact_time_ns=report.transact_time_ns,
        )
    if report.kind is ReportKind.CORRECT:
        return await book.correct(
            report.replaces or report.execution_id,
            new_execution_id=report.execution_id if report.replaces else None,
            quantity=report.quantity,
            price=report.price,
            commission=report.commission,
            reason=report.reason,
            allow_overfill=report.allow_overfill,
            occurred_at=report.occurred_at,
            transact_time_ns=report.transact_time_ns,
        )
    assert report.quantity is not None and report.price is not None  # noqa: S101, PT018 - the report has checked it
    return await book.fill(
        report.quantity,
        report.price,
        report.execution_id,
        commission=report.fill_commission,
        commission_currency=report.commission_currency,
        venue=report.venue,
        liquidity=report.liquidity,
        from_venue=True,
        allow_overfill=report.allow_overfill,
        occurred_at=report.occurred_at,
        transact_time_ns=report.transact_time_ns,
    )


async def _order_of(source: SessionSource, report: ExecutionReport) -> Order:
    """Return the order that a report names.

    Raises:
        DomainError: `report.order_id`: no order has the id, or several have it.
    """
    if report.order_id is not None:
        order = await source.reading().get(Order, report.order_id)
        found = [] if order is None else [order]
    else:
        orders = PostgreSQLOrderRepository(source)
        found = list(
            await orders.get_orders_by_client_order_id(report.client_order_id, limit=2)
            if report.client_order_id is not None
            else await orders.get_orders_by_broker_order_id(str(report.broker_order_id), limit=2)
        )
    if len(found) == 1:
        return found[0]
    named = report.order_id or report.client_order_id or report.broker_order_id
    raise DomainError(
        "report.order_id",
        f"execution report {report.execution_id}: {'no order has' if not found else 'several orders have'} the id {named}",
    )
