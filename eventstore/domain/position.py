"""Positions: average cost, realised and open profit, and the flip through zero.

The accounting is the average cost method: a fill on the position's own side adds quantity x price to its cost, a
fill on the other side takes the same share of the cost as of the quantity, and realises the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypedDict, Unpack
from uuid import UUID

from eventstore.core.context import at, exact, plain
from eventstore.core.entity import Entity, applies
from eventstore.core.entity_state import private
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.validation import number, refuse_keywords
from eventstore.domain.average_cost import NOTHING, SPLIT_REST, Open, open_after, traded
from eventstore.domain.division import (
    COMMISSION_SPLIT_DIGITS,
    COST_SHARE_DECIMALS,
    commission_share,
    cost_share,
)
from eventstore.domain.executions import (
    EXECUTIONS_KEPT_MAX,
    Execution,
    ExecutionKey,
    ExecutionStatus,
    Liquidity,
    OrderSide,
    PositionSide,
    SplitRatio,
    has_correction,
    has_id,
    is_complete,
    kept,
    known_as,
    not_before,
    noted,
)
from eventstore.domain.money import CurrencyAmount, add_amount
from eventstore.domain.order_events import ONE, ZERO, cost_of
from eventstore.domain.position_events import (
    FillKind,
    PositionFields,
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionMarked,
    PositionOpened,
    PositionReport,
    PositionSplit,
)
from eventstore.domain.position_memory import (
    Outcome,
    PositionMemory,
    adopted,
    changed,
    corrected_execution,
    execution_of,
    reported,
    with_status,
)
from eventstore.errors import DomainError

__all__ = [
    "COMMISSION_SPLIT_DIGITS",
    "COST_SHARE_DECIMALS",
    "FillFacts",
    "FillKind",
    "Position",
    "PositionAmended",
    "PositionDeleted",
    "PositionDetails",
    "PositionFillBusted",
    "PositionFillCorrected",
    "PositionFilled",
    "PositionMarked",
    "PositionOpened",
    "PositionReport",
    "PositionSplit",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FillFacts(TypedDict, total=False):
    """What a fill may say of itself, as keywords, beside side, quantity, price and commission.

    Attributes:
        order_id: The order that it filled. It is part of what the execution is known by.
        account: The account; the position's own unless given.
        venue: Where it traded; the position's own unless given.
        commission_currency: The currency or coin of the commission; the position's own unless given. A commission in
            another one is added to `other_commissions`, and not to `commission_paid`.
        liquidity: Whether it was maker or taker.
    """

    order_id: UUID | None
    account: str | None
    venue: str | None
    commission_currency: str | None
    liquidity: Liquidity | None


class PositionDetails(TypedDict, total=False):
    """What `Position.open_position` takes as keywords, beside what every position has.

    Attributes:
        multiplier: Currency per point of price and contract; 1 unless given.
        stop_loss_price: The user's own limit.
        take_profit_price: The user's own target.
        strategy: The strategy it belongs to.
        portfolio_id: The portfolio it belongs to.
        account: The account.
        venue: The venue, and where the execution traded that opened it.
        currency: The currency of the instrument.
        position_side: Which of the two positions it is in a portfolio that hedges.
        tags: The user's own labels.
        details: The user's own texts by name, as a mapping.
        execution_id: The execution that opened it.
        order_id: The order that the execution filled.
        commission_currency: As in `FillFacts`.
        liquidity: Whether the execution was maker or taker.
        id: The position's id; a new one unless given.
    """

    multiplier: Decimal
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    strategy: str | None
    portfolio_id: UUID | None
    account: str | None
    venue: str | None
    currency: str | None
    position_side: PositionSide | None
    tags: Sequence[str]
    details: Mapping[str, str]
    execution_id: str | None
    order_id: UUID | None
    commission_currency: str | None
    liquidity: Liquidity | None
    id: UUID | None


# What the event that opens a position says of its fill, and what is not in the creating event of every subclass.
_OF_THE_FILL = frozenset(
    {
        "execution_id",
        "order_id",
        "commission_currency",
        "whole_quantity",
        "whole_commission",
        "liquidity",
        "transact_time_ns",
    }
)


class Position(PositionFields, Entity, category="position", created=PositionOpened):
    """A position in one instrument, long or short, from its opening to its close.

    `PositionFields` describes the fields. Every method takes keyword `occurred_at`: when it happened (None for the
    context's clock, or the venue's time if `transact_time_ns` is given; a naive datetime means local time).
    Every method raises `DomainError` and changes nothing if a rule forbids the change.

    An execution is known by its account, venue, order and execution id. A method that receives it again with the same
    content changes nothing; other content is an error. The state holds the last `EXECUTIONS_KEPT_MAX`, and a Unit of Work
    asks the log for the others before it appends.

    The fold adds facts up. Any part of a stream that begins with the opening folds: a fill through zero opens what is left
    of it on the other side at its own price. A bust or a correction of an execution that is not there changes nothing. If
    other events are missing, so that what is open differs from what the bust says, what is open has the average price that
    the bust says.
    """

    creation_time_field: ClassVar[str | None] = "opened_at"
    shown_fields: ClassVar[tuple[str, ...]] = ("symbol", "quantity")

    @classmethod
    @exact
    def open_position(
        cls,
        symbol: str,
        quantity: Decimal,
        entry_price: Decimal,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        **details: Unpack[PositionDetails],
    ) -> Position:
        """Open a position.

        Args:
            symbol: The instrument.
            quantity: Shares or contracts: positive for long, negative for short.
            entry_price: The price of one.
            commission: In currency; a rebate is negative.
            occurred_at: When it was opened.
            **details: See `PositionDetails`.

        Raises:
            DomainError: An unknown keyword; `position.quantity`; `position.entry_price`; `position.zero_quantity`; another
                value is not of its type or out of its range (`position.symbol` ...).
        """
        own = cls._own_details("open_position", Position, details, PositionDetails.__annotations__)
        opening = number("position.quantity", quantity)
        price = number("position.entry_price", entry_price)
        if not opening:
            raise DomainError("position.zero_quantity", "a position opens with a quantity that is not 0")
        side = OrderSide.BUY if opening > 0 else OrderSide.SELL
        fill = _opening_fill(symbol, side, abs(opening), price, commission, at(occurred_at), None, details)
        return cls._open(fill, details, own)

    @classmethod
    def open_by_fill(
        cls,
        symbol: str,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **details: Unpack[PositionDetails],
    ) -> Position:
        """Open a position by a fill, as a venue reports it.

        Args:
            symbol: The instrument.
            side: The fill's side: BUY opens a long position, SELL a short one.
            quantity: Shares or contracts; positive.
            price: The price of one.
            commission: A rebate is negative.
            occurred_at: When the fill happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.
            **details: See `PositionDetails`.

        Raises:
            DomainError: An unknown keyword; a bad value (`position.quantity` ...).
        """
        own = cls._own_details("open_by_fill", Position, details, PositionDetails.__annotations__)
        when = at(occurred_at, transact_time_ns)
        fill = _opening_fill(symbol, side, quantity, price, commission, when, transact_time_ns, details)
        return cls._open(fill, details, own)

    @classmethod
    def _open(cls, fill: PositionFilled, details: PositionDetails, own: Mapping[str, Any]) -> Position:
        given = (
            "stop_loss_price",
            "take_profit_price",
            "position_side",
            "tags",
            "details",
            "account",
            "venue",
            "multiplier",
        )
        of_position = {name: details[name] for name in given if name in details}  # type: ignore[literal-required]
        event = cls._opening(fill, {**of_position, **own})
        return cls.create(event, id=details.get("id"))

    @classmethod
    @exact
    def _opening(cls, fill: PositionFilled, values: Mapping[str, Any]) -> Event:
        """Return the event of a position that a fill opens, with some more values of fields."""
        signed = fill.side.sign * fill.quantity
        paid, others = _commissions(ZERO, (), fill.currency, fill.commission, fill.commission_currency)
        created: Any = cls.created_event
        of_fill = {name: getattr(fill, name) for name in _OF_THE_FILL if name in created.model_fields}
        return created(  # type: ignore[no-any-return]
            occurred_at=fill.occurred_at,
            opened_at=fill.occurred_at,
            last_updated=fill.occurred_at,
            symbol=fill.symbol,
            quantity=signed,
            cost=cost_of(signed, fill.price),
            commission_paid=paid,
            other_commissions=others,
            executions=(execution_of(fill),),
            currency=fill.currency,
            strategy=fill.strategy,
            portfolio_id=fill.portfolio_id,
            **of_fill,
            **values,
        )

    # ---- derived values ------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether anything is open."""
        return bool(self.quantity)

    @property
    def is_long(self) -> bool:
        """Whether it is open and long."""
        return self.quantity > 0

    @property
    def is_short(self) -> bool:
        """Whether it is open and short."""
        return self.quantity < 0

    @property
    @exact
    def average_entry_price(self) -> Decimal | None:
        """The average price of what is open: cost / quantity; None once closed."""
        return plain(self.cost / self.quantity) if self.quantity else None

    @property
    @exact
    def cost_basis(self) -> Decimal:
        """What is open at its entry prices, in currency: cost x multiplier; negative for a short position."""
        return plain(self.cost * self.multiplier)

    @property
    @exact
    def market_value(self) -> Decimal | None:
        """What is open at the current price, in currency: quantity x price x multiplier; negative for a short.

        0 once closed; None if it was never marked.
        """
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        return plain(self.quantity * self.current_price * self.multiplier)

    @property
    @exact
    def unrealized_pnl(self) -> Decimal | None:
        """What closing at the current price would realise, before commission: (quantity x price - cost) x multiplier.

        0 once closed; None if it was never marked.
        """
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        return plain((self.quantity * self.current_price - self.cost) * self.multiplier)

    @property
    @exact
    def total_pnl(self) -> Decimal | None:
        """The net result so far: realised + unrealised - commissions; None if it is open and was never marked."""
        unrealized = self.unrealized_pnl
        return None if unrealized is None else plain(self.realized_pnl + unrealized - self.commission_paid)

    @property
    def execution_ids(self) -> tuple[str, ...]:
        """The ids of the executions that the state holds, in the order of report."""
        ids = (one.execution_id for one in self.executions)
        return tuple(dict.fromkeys(one for one in ids if has_id(one)))

    # ---- what is read from its events ----------------------------------------------------------------------

    def realized_by(self, execution_id: str, order_id: UUID | None = None) -> Decimal | None:
        """Return what an execution that is not yet saved realised here, as a portfolio's `record_trade` takes it.

        The difference of `realized_pnl` before and after is not the same number: outside of the library's decimal context,
        Python rounds it to 28 digits.

        Args:
            execution_id: The execution, as it was given to `apply_fill`, `add`, `reduce`, `close` or `open_position`.
            order_id: The order that it filled; needed if unsaved executions of two orders have this id.

        Returns:
            The result in currency, before commission; None if the execution opened or enlarged the position, so
            that it closed nothing.

        Raises:
            DomainError: `position.execution_ambiguous`; `position.execution_id`: no unsaved event is of this execution. It
                was never applied, changed nothing since it was known, or is saved.
        """
        found = [
            pending
            for pending in self.pending_events
            if isinstance(pending.event, PositionFilled | PositionOpened)
            and pending.event.execution_id == execution_id
            and (order_id is None or pending.event.order_id == order_id)
        ]
        if len({getattr(pending.event, "order_id", None) for pending in found}) > 1:
            raise self._ambiguous(execution_id)
        if not found:
            raise DomainError(
                "position.execution_id",
                f"position {self.id} has no unsaved event of the execution {execution_id!r}: ask between the fill and the "
                "commit, and only if the order's fill() counted",
            )
        return self.realized_in(found[-1].event_id)

    def find_execution(
        self,
        execution_id: str,
        *,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
    ) -> Execution | None:
        """Return what is known of an execution, in the shares of now; None if this instance does not know it.

        Args:
            execution_id: The venue's id.
            order_id: The order that it filled; None for any.
            account: Its account; None for any.
            venue: Its venue; None for any.

        Raises:
            DomainError: `position.execution_ambiguous`: several fit.
        """
        found = self._fitting(execution_id, order_id, account, venue)
        return next((one for one in reversed(found) if one.counts), found[-1]) if found else None

    def realized_in(self, event_id: UUID) -> Decimal | None:
        """Return by how much an event that is not yet saved changed `realized_pnl`.

        Args:
            event_id: The id of a pending event: `position.pending_events[-1].event_id` after a command.

        Returns:
            The change in currency, before commission; None if the event is of a fill that closed nothing, or of no fill.
        """
        memory: PositionMemory | None = private(self)["_memory"]
        outcome = None if memory is None else memory.outcomes.get(event_id)
        return None if outcome is None else outcome.realized

    # ---- commands ------------------------------------------------------------------------------------------

    def add(
        self,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> bool:
        """Make the position larger, on its own side.

        Args:
            quantity: How much more; positive also for a short position.
            price: The price of one.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.
            **facts: See `FillFacts`.

        Returns:
            Whether it counted; False if the execution was counted before.

        Raises:
            DomainError: A bad value; `position.execution_conflict`; `position.closed`.
        """
        side = OrderSide.SELL if self.is_short else OrderSide.BUY
        when = at(occurred_at, transact_time_ns)
        fill = self._fill(
            "add", side, quantity, price, commission, execution_id, when, transact_time_ns, facts
        )
        if self._is_repeat(changed(execution_of(fill), side=None)):
            return False
        self._check_open()
        self._count(fill)
        return True

    @exact
    def reduce(
        self,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> Decimal:
        """Make the position smaller; reducing it by all that is open closes it.

        Args:
            quantity: How much less; positive also for a short position.
            price: The exit price of one.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.
            **facts: See `FillFacts`.

        Returns:
            What this realised, in currency, before commission; 0 if the execution was counted before.

        Raises:
            DomainError: A bad value; `position.execution_conflict`; `position.closed`; `position.over_reduce`.
        """
        side = OrderSide.BUY if self.is_short else OrderSide.SELL
        when = at(occurred_at, transact_time_ns)
        fill = self._fill(
            "reduce", side, quantity, price, commission, execution_id, when, transact_time_ns, facts
        )
        if self._is_repeat(changed(execution_of(fill), side=None)):
            return ZERO
        self._check_open()
        if fill.quantity > abs(self.quantity):
            raise DomainError(
                "position.over_reduce",
                f"position {self.id}: {abs(self.quantity)} {self.symbol} are open, cannot reduce by "
                f"{fill.quantity}: use apply_fill() for a fill through zero",
            )
        return self._count(fill) or ZERO

    @exact
    def close(
        self,
        price: Decimal | None = None,
        commission: Decimal = ZERO,
        *,
        execution_id: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> Decimal:
        """Close all that is open.

        Args:
            price: The exit price of one; None for the current price.
            commission: In currency; a rebate is negative.
            execution_id: The execution that did it; one that is known changes nothing.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.
            **facts: See `FillFacts`.

        Returns:
            What this realised, in currency, before commission; 0 if the execution was counted before.

        Raises:
            DomainError: `position.execution_conflict`; `position.closed`; `position.no_price` (none given, and it was never
                marked); a bad value.
        """
        quantity, exit_price = abs(self.quantity), self.current_price if price is None else price
        known = self._known(execution_id, facts)
        if known:  # then `reduce` says that it is a repeat, or what differs
            quantity = known[-1].whole_quantity or known[-1].quantity
            exit_price = known[-1].price if price is None else price
        else:
            self._check_open()
        if exit_price is None:
            raise DomainError(
                "position.no_price",
                f"position {self.id} was never marked: give the exit price to close it at",
            )
        return self.reduce(
            quantity,
            exit_price,
            commission,
            execution_id=execution_id,
            occurred_at=occurred_at,
            transact_time_ns=transact_time_ns,
            **facts,
        )

    @exact
    def apply_fill(
        self,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        execution_id: str,
        *,
        commission: Decimal = ZERO,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        opposite_id: UUID | None = None,
        **facts: Unpack[FillFacts],
    ) -> Position | None:
        """Count an order's fill: it increases, reduces, closes or flips the position.

        A fill through zero closes this position and opens the opposite one, a new stream, with the rest of the
        quantity at the same price. Its commission is split by quantity, and the two parts sum to the whole, to the
        last digit. The new position has the symbol, multiplier, strategy, portfolio, account, venue, currency, side, tags and details of
        this one, and the fill's execution; it has no stop loss and no target.

        Args:
            side: The fill's side.
            quantity: Shares or contracts; positive.
            price: The price of one.
            execution_id: The venue's id; one that is known changes nothing. "0" means none, and is never known.
            commission: In currency; a rebate is negative.
            occurred_at: When the fill happened.
            transact_time_ns: The venue's time in ns since the epoch; kept as it is.
            opposite_id: The id of the opposite position, if the fill goes through zero; None for a new id.
            **facts: See `FillFacts`.

        Returns:
            The opposite position after a fill through zero, to be saved as well; else None.

        Raises:
            DomainError: A bad value; `position.execution_conflict` (the execution is known with other content);
                `position.closed`.
        """
        when = at(occurred_at, transact_time_ns)
        fill = self._fill(
            "apply_fill", side, quantity, price, commission, execution_id, when, transact_time_ns, facts
        )
        if fill.execution_id is None:
            raise DomainError(
                "position.execution_id", "a fill needs its execution id, or it could count twice"
            )
        if self._is_repeat(execution_of(fill)):
            return None
        self._check_open()
        closing = abs(self.quantity)
        if (fill.side is OrderSide.BUY) is self.is_long or fill.quantity <= closing:
            self._count(fill)
            return None
        whole = {"whole_quantity": fill.quantity, "whole_commission": fill.commission}
        share = commission_share(fill.commission, closing, fill.quantity)
        rest = {"quantity": plain(fill.quantity - closing), "commission": plain(fill.commission - share)}
        kind = type(self)
        added = {
            name: self.__dict__[name]
            for name in kind.created_event.model_fields
            if name in kind.model_fields and name not in Position.model_fields
        }
        of_position = {
            "multiplier": self.multiplier,
            "account": self.account,
            "venue": self.venue,
            "position_side": self.position_side,
            "tags": self.tags,
            "details": self.details,
        }
        opening = self._opening(fill.model_copy(update=whole | rest), {**of_position, **added})
        self._count(fill.model_copy(update=whole | {"quantity": closing, "commission": share}))
        opposite = kind.create(opening, id=opposite_id)
        private(self)["_offspring"] += (opposite,)
        return opposite

    @exact
    def bust_fill(
        self,
        execution_id: str,
        *,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Take a fill back (FIX ExecType H); its id is remembered and does not count again.

        What is open costs what the other executions alone give by average cost, and what they alone realise is realised. So
        a busted close opens the position again, and a busted opening may close it or leave the other side open.

        The instance has to know all executions since the opening. If the state no longer holds all of them and it did not
        count them itself, `uow.book` or `recall_all` lets it know them.

        Args:
            execution_id: The execution that is busted (FIX ExecRefID, 19).
            order_id: The order that it filled; needed if executions of two orders have this id. The same holds for `account`
                and `venue`.
            account: Its account.
            venue: Its venue.
            reason: Why, for the event.
            occurred_at: When it was busted; a time before the fill counts as the fill's.
            transact_time_ns: The venue's time in ns since the epoch.

        Returns:
            Whether anything changed; False if it was busted before.

        Raises:
            DomainError: `position.unknown_execution`; `position.execution_ambiguous`; `position.execution_corrected` (bust
                the one that replaced it); `position.execution_not_loaded` (see above; or the position was adopted, or what is
                open was assigned); a bad value.
        """
        old = self._reported(execution_id, order_id, account, venue)
        if old.status is ExecutionStatus.BUSTED:
            return False
        if not old.counts:
            raise self._corrected_before(execution_id)
        held = self._open_with(old, None)
        event = PositionFillBusted(
            occurred_at=not_before(at(occurred_at, transact_time_ns), old.occurred_at),
            execution_id=old.execution_id,
            busted=old,
            open_quantity=held.quantity,
            cost=held.cost,
            reason=reason,
            transact_time_ns=transact_time_ns,
            **self._of_report(old),
        )
        self._count_change(event, old, None, held)
        return True

    @exact
    def correct_fill(
        self,
        execution_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        commission: Decimal | None = None,
        new_execution_id: str | None = None,
        whole_quantity: Decimal | None = None,
        whole_commission: Decimal | None = None,
        order_id: UUID | None = None,
        account: str | None = None,
        venue: str | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
    ) -> bool:
        """Replace a fill by a corrected one (FIX ExecType G); the old one is remembered and does not count.

        The corrected fill happened when the old one did, also for the average cost. What has to be known is as for
        `bust_fill`.

        Args:
            execution_id: The execution that is corrected (FIX ExecRefID, 19).
            quantity: The right quantity, in this position, in the shares of the time of the fill; None if it is unchanged.
            price: The right price; None if it is unchanged.
            commission: The right commission, in this position; None if it is unchanged.
            new_execution_id: The correction's own id (FIX ExecID, 17); None if the venue kept the old one.
            whole_quantity: The right quantity of the whole execution, if a fill through zero split it; its other part is
                unchanged unless this is given.
            whole_commission: The right commission of the whole execution, in the same way.
            order_id: As for `bust_fill`.
            account: As for `bust_fill`.
            venue: As for `bust_fill`.
            reason: Why, for the event.
            occurred_at: When it was corrected; a time before the fill counts as the fill's.
            transact_time_ns: The venue's time of the correction in ns since the epoch.

        Returns:
            Whether anything changed; False if this correction was counted before, also if the execution was corrected again or
            busted since. A venue that corrects to the same values once more has to give the correction an id.

        Raises:
            DomainError: `position.unknown_execution`; `position.execution_ambiguous`; a bad value;
                `position.execution_conflict` (the new id is known with other content); `position.execution_busted`;
                `position.execution_corrected` (correct the one that replaced it); `position.execution_not_loaded`.
        """
        old = self._reported(execution_id, order_id, account, venue)
        reported_quantity = old.reported_quantity or old.quantity
        reported_price = old.price if old.reported_price is None else old.reported_price
        new = PositionFilled(
            occurred_at=old.occurred_at,
            execution_id=execution_id if new_execution_id is None else new_execution_id,
            side=old.side,
            quantity=reported_quantity if quantity is None else quantity,
            price=reported_price if price is None else price,
            commission=old.commission if commission is None else commission,
        )
        event = PositionFillCorrected(
            occurred_at=not_before(at(occurred_at, transact_time_ns), old.occurred_at),
            execution_id=old.execution_id,
            new_execution_id=new.execution_id,
            quantity=new.quantity,
            price=new.price,
            commission=new.commission,
            commission_currency=old.commission_currency,
            whole_quantity=_whole(old.whole_quantity, whole_quantity, new.quantity, reported_quantity),
            whole_commission=_whole(old.whole_commission, whole_commission, new.commission, old.commission),
            corrected=old,
            open_quantity=self.quantity,
            cost=self.cost,
            reason=reason,
            transact_time_ns=transact_time_ns,
            **self._of_report(old),
        )
        corrected = corrected_execution(event, old)
        if event.new_execution_id != execution_id:
            if self._is_repeat(corrected, corrects=execution_id):
                return False
        elif (old.counts and corrected.says_the_same_as(old)) or has_correction(
            self._fitting(execution_id, order_id, account, venue), execution_id, corrected
        ):
            return False
        if old.status is ExecutionStatus.BUSTED:
            raise DomainError(
                "position.execution_busted", f"execution {execution_id} was busted and cannot be corrected"
            )
        if not old.counts:
            raise self._corrected_before(execution_id)
        held = self._open_with(old, corrected)
        event = event.model_copy(update={"open_quantity": held.quantity, "cost": held.cost})
        self._count_change(event, old, corrected, held)
        return True

    def mark(
        self, price: Decimal, *, occurred_at: datetime | None = None, transact_time_ns: int | None = None
    ) -> None:
        """Record the market price. A mark that happened before the latest one leaves `current_price` as it is.

        The time of a mark is the venue's, if it is given, else `occurred_at`. Of two marks of one time, the one reported
        last counts.

        Raises:
            DomainError: `position.price`; `position.closed`.
        """
        event = PositionMarked(
            occurred_at=at(occurred_at, transact_time_ns), price=price, transact_time_ns=transact_time_ns
        )
        self._check_open()
        self.emit(event)

    def split(
        self, new: Decimal | int, old: Decimal | int = 1, *, occurred_at: datetime | None = None
    ) -> None:
        """Record a split of the instrument: each `old` shares became `new` ones. The cost stays what it is.

        The quantity, the current price, the stop loss and the target follow; a result that is not even has 24 decimals. If
        the venue pays cash for a fraction of a share, book that as a separate fill. The executions so far stay as they were
        reported, and count in today's shares, so a bust or a correction of one is right. Give a fill that happened before the
        split and is reported after it in today's shares and at today's price. A mark from before the split changes nothing.

        Args:
            new: 7 of a split 7 for 1, 1 of a reverse split 1 for 10.
            old: The other of the two numbers.
            occurred_at: When it happened.

        Raises:
            DomainError: `position.split`: a number is not above 0, or the result is out of range.
        """
        ratio = SplitRatio.of("position.split", new, old)
        event = PositionSplit(occurred_at=at(occurred_at), new=ratio.new, old=ratio.old)
        number("position.split", ratio.quantity(self.quantity))
        for price in (self.current_price, self.stop_loss_price, self.take_profit_price):
            number("position.split", ZERO if price is None else ratio.price(price))
        self.emit(event)
        memory: PositionMemory | None = private(self)["_memory"]
        if memory is not None:
            memory.split(ratio)

    def change_symbol(self, symbol: str, *, occurred_at: datetime | None = None) -> bool:
        """Record that the instrument has another symbol from now on.

        Returns:
            Whether anything changed; False if it has this symbol.

        Raises:
            DomainError: `position.symbol`.
        """
        changes: dict[str, Any] = {"symbol": symbol}
        event = PositionAmended(occurred_at=at(occurred_at), **changes)
        if event.changes["symbol"] == self.symbol:
            return False
        self.emit(event)
        return True

    def expire(
        self,
        price: Decimal = ZERO,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> Decimal:
        """Close an option or a future that has expired, at its final value.

        Args:
            price: What one is worth at the end: 0 for an option that expires worthless.
            commission: In currency.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch.
            **facts: See `FillFacts`.

        Returns:
            What this realised, in currency, before commission.

        Raises:
            DomainError: A bad value; `position.closed`.
        """
        when = at(occurred_at, transact_time_ns)
        return self._end(FillKind.EXPIRY, price, commission, when, transact_time_ns, facts)

    def exercise(
        self,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> Decimal:
        """Close a long option that is exercised, at its final value; arguments and errors as for `expire`.

        Args:
            price: What one is worth: its intrinsic value if it settles in cash. If the underlying is delivered, it is 0 where
                the trade of the underlying is booked at the strike price.
            commission: In currency.
            occurred_at: When it happened.
            transact_time_ns: The venue's time in ns since the epoch.
            **facts: See `FillFacts`.
        """
        when = at(occurred_at, transact_time_ns)
        return self._end(FillKind.EXERCISE, price, commission, when, transact_time_ns, facts)

    def assign(
        self,
        price: Decimal,
        commission: Decimal = ZERO,
        *,
        occurred_at: datetime | None = None,
        transact_time_ns: int | None = None,
        **facts: Unpack[FillFacts],
    ) -> Decimal:
        """Close a short option that is assigned, at its final value; arguments and errors as for `exercise`."""
        when = at(occurred_at, transact_time_ns)
        return self._end(FillKind.ASSIGNMENT, price, commission, when, transact_time_ns, facts)

    @exact
    def move_into(
        self, other: Position, *, occurred_at: datetime | None = None, transact_time_ns: int | None = None
    ) -> Decimal:
        """Move all that is open into another open position of the instrument, at its average price; this one is closed.

        A portfolio that nets has one position of an instrument. After a bust it may have two: the one that the bust opened
        again, and the one opened since.

        Args:
            other: The position that takes it; it may be closed or go through zero by it. Save it as well.
            occurred_at: When it was moved.
            transact_time_ns: The venue's time in ns since the epoch.

        Returns:
            What this realised in both, in currency: 0 if both are of one side, up to the rounding of the average price.

        Raises:
            DomainError: `position.closed` (this one or the other); `position.instrument` (the other is this one, or has another
                symbol, multiplier or currency).
        """
        self._check_open()
        other._check_open()
        of_this, of_other = ((one.symbol, one.multiplier, one.currency) for one in (self, other))
        if other.id == self.id or of_this != of_other:
            raise DomainError(
                "position.instrument",
                f"position {self.id} in {self.symbol} cannot be moved into position {other.id} in {other.symbol}: name another "
                "position with the same symbol, multiplier and currency",
            )
        when, quantity = at(occurred_at, transact_time_ns), self.quantity
        price = plain(self.cost / quantity)
        realized = self._end(FillKind.TRANSFER, price, ZERO, when, transact_time_ns, {})
        side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
        fill = other._fill("move_into", side, abs(quantity), price, ZERO, None, when, transact_time_ns, {})
        taken = other._count(fill.model_copy(update={"kind": FillKind.TRANSFER}))
        return plain(realized + (taken or ZERO))

    def recall_all(self, events: Iterable[RecordedEvent]) -> None:
        """Take in all events of its stream, so that any execution of it can be busted or corrected.

        Args:
            events: All events that the log has of it, in the order of their versions, through its own version.
        """
        unsaved = {pending.event_id for pending in self.pending_events}
        saved = [
            part.event
            for recorded in events
            if recorded.event_id not in unsaved  # a flush may have sent them already
            for part in recorded.upcast_events
        ]
        found = reported([*saved, *(pending.event for pending in self.pending_events)])
        memory = self._own_memory()
        memory.past = found[: len(found) - len(self.executions)]
        memory.older = {}
        for one in memory.past:
            if one.key is not None:
                memory.older.setdefault(one.key, []).append(one)
        memory.before = adopted(saved)
        memory.knows_all = True

    # ---- rules ---------------------------------------------------------------------------------------------

    def _fill(  # noqa: PLR0917 - the commands above name their arguments
        self,
        command: str,
        side: OrderSide,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal,
        execution_id: str | None,
        when: datetime,
        transact_time_ns: int | None,
        facts: FillFacts,
    ) -> PositionFilled:
        """Return the event of a fill, which is not emitted yet."""
        if facts:
            kind = type(self)
            refuse_keywords(kind, f"{kind.__name__}.{command}()", facts, FillFacts.__annotations__)
        account, venue = facts.get("account"), facts.get("venue")
        return PositionFilled(
            occurred_at=when,
            symbol=self.symbol,
            execution_id=execution_id,
            order_id=facts.get("order_id"),
            account=self.account if account is None else account,
            venue=self.venue if venue is None else venue,
            currency=self.currency,
            multiplier=None if self.multiplier == ONE else self.multiplier,
            portfolio_id=self.portfolio_id,
            strategy=self.strategy,
            transact_time_ns=transact_time_ns,
            side=side,
            quantity=quantity,
            price=price,
            commission=number("position.commission", commission),
            commission_currency=facts.get("commission_currency"),
            liquidity=facts.get("liquidity"),
        )

    @exact
    def _end(  # noqa: PLR0917 - as `_fill`
        self,
        kind: FillKind,
        price: Decimal,
        commission: Decimal,
        when: datetime,
        transact_time_ns: int | None,
        facts: FillFacts,
    ) -> Decimal:
        side = OrderSide.BUY if self.is_short else OrderSide.SELL
        fill = self._fill(
            kind.lower(),
            side,
            abs(self.quantity) or ONE,
            price,
            commission,
            None,
            when,
            transact_time_ns,
            facts,
        )
        self._check_open()
        return self._count(fill.model_copy(update={"kind": kind})) or ZERO

    def _of_report(self, execution: Execution) -> dict[str, Any]:
        """Return what a bust or a correction says of the position and of what the execution is known by."""
        return {
            "symbol": self.symbol,
            "order_id": execution.order_id,
            "account": execution.account,
            "venue": execution.venue,
            "currency": self.currency,
            "multiplier": None if self.multiplier == ONE else self.multiplier,
            "portfolio_id": self.portfolio_id,
            "strategy": self.strategy,
        }

    def _check_open(self) -> None:
        if not self.quantity:
            when = self.closed_at and self.closed_at.isoformat()
            raise DomainError(
                "position.closed",
                f"position {self.id} in {self.symbol} was closed at {when}: open a new one",
            )

    # ---- which executions are known ------------------------------------------------------------------------

    def _own_memory(self) -> PositionMemory:
        attributes = private(self)
        if attributes["_memory"] is None:
            attributes["_memory"] = PositionMemory()
        return attributes["_memory"]  # type: ignore[no-any-return]

    def _known(self, execution_id: str | None, facts: FillFacts) -> list[Execution]:
        """Return what is known of an execution, in the order of report."""
        if not has_id(execution_id):
            return []
        account, venue = facts.get("account"), facts.get("venue")
        key = ExecutionKey(
            execution_id,
            facts.get("order_id"),
            self.account if account is None else account,
            self.venue if venue is None else venue,
        )
        return known_as(key, self.executions, private(self)["_memory"])

    def _is_repeat(self, execution: Execution, *, corrects: str | None = None) -> bool:
        """Whether an execution is known with the same content.

        Raises:
            DomainError: `position.execution_conflict`: it is known with other content.
        """
        if execution.key is None:
            return False
        known = known_as(execution.key, self.executions, private(self)["_memory"])
        if not known:
            return False
        if any(one.says_the_same_as(execution) and corrects in (None, one.corrects) for one in known):
            return True
        raise DomainError(
            "position.execution_conflict",
            f"position {self.id} has counted the execution {execution.key} as {known[-1].told()}, and it is now reported as "
            f"{execution.told()}: correct_fill() corrects it; another fill needs another id, order, account or venue",
        )

    def _is_complete(self, execution_id: str) -> bool:
        """Whether the instance knows all that its stream has of an execution id."""
        memory: PositionMemory | None = private(self)["_memory"]
        return is_complete(self.executions, memory, execution_id) or (memory is not None and memory.knows_all)

    def _reported(
        self, execution_id: str, order_id: UUID | None, account: str | None, venue: str | None
    ) -> Execution:
        """Return the execution that a bust or a correction is about: the one that counts, or the last one."""
        found = self._fitting(execution_id, order_id, account, venue)
        if not found and not self._is_complete(execution_id):
            raise self._not_loaded(execution_id)
        if not found:
            raise DomainError(
                "position.unknown_execution",
                f"position {self.id} has no execution {execution_id!r}: "
                f"it has {', '.join(self.execution_ids) or 'none'}",
            )
        return next((one for one in reversed(found) if one.counts), found[-1])

    def _fitting(
        self, execution_id: str, order_id: UUID | None, account: str | None, venue: str | None
    ) -> list[Execution]:
        """Return what is known of an execution, in the order of report.

        Raises:
            DomainError: `position.execution_ambiguous`.
        """
        memory: PositionMemory | None = private(self)["_memory"]
        older: Iterable[Execution] = () if memory is None else memory.executions()
        found: list[Execution] = [
            one
            for one in (*older, *self.executions)
            if one.execution_id == execution_id
            and one.key is not None
            and order_id in (None, one.order_id)
            and account in (None, one.account)
            and venue in (None, one.venue)
        ]
        if len({one.key for one in found}) > 1:
            raise self._ambiguous(execution_id)
        return found

    def _ambiguous(self, execution_id: str) -> DomainError:
        return DomainError(
            "position.execution_ambiguous",
            f"position {self.id} has several executions with the id {execution_id!r}: "
            "give order_id=, account= or venue= as well",
        )

    def _corrected_before(self, execution_id: str) -> DomainError:
        newer = next((one for one in self.executions if one.corrects == execution_id), None)
        told = "" if newer is None else f": use {newer.execution_id}"
        return DomainError(
            "position.execution_corrected", f"execution {execution_id} was replaced by a correction{told}"
        )

    def _not_loaded(self, execution_id: str) -> DomainError:
        return DomainError(
            "position.execution_not_loaded",
            f"position {self.id} does not know all executions that {self.quantity} at a cost of {self.cost} consist of, so it "
            f"cannot say what is open without {execution_id!r}: use uow.book, or give recall_all() the events of its stream. If "
            "it was adopted, or its quantity or cost was assigned, book a trade of the opposite side instead",
        )

    # ---- counting ------------------------------------------------------------------------------------------

    @exact
    def _count(self, fill: PositionFilled) -> Decimal | None:
        """Emit a fill, and return what it realised."""
        execution_id = fill.execution_id
        is_open_question = has_id(execution_id) and not self._is_complete(execution_id)
        _, result = traded(Open(self.quantity, self.cost), fill.side.sign * fill.quantity, fill.price)
        realized = None if result is None else plain(result * self.multiplier)
        held = self.executions
        self.emit(fill)
        unasked = (execution_id,) if is_open_question and execution_id is not None else ()
        self._note(held, Outcome(realized, unasked))
        return realized

    @exact
    def _count_change(
        self,
        event: PositionFillBusted | PositionFillCorrected,
        old: Execution,
        new: Execution | None,
        held: Open,
    ) -> None:
        """Emit a bust or a correction, and note what it takes back and what it puts in its place."""
        status = ExecutionStatus.BUSTED if new is None else ExecutionStatus.CORRECTED
        before = with_status(self.executions, old.key, status)[0]
        realized = self._change_of_result(old, new, held)
        unasked: tuple[str, ...] = ()
        if isinstance(event, PositionFillCorrected) and not self._is_complete(event.new_execution_id):
            unasked = (event.new_execution_id,)
        self.emit(event)
        memory = self._own_memory()
        memory.change(old, changed(old, status=status))
        self._note(before if new is not None else (), Outcome(realized, unasked))

    def _note(self, held: tuple[Execution, ...], outcome: Outcome) -> None:
        """Note what the last event did; `held` is what the state held before one more execution."""
        memory = self._own_memory()
        if len(held) == EXECUTIONS_KEPT_MAX:
            memory.past.append(held[0])
            noted(memory, held)
        pending = self.pending_events
        memory.outcomes[pending[-1].event_id] = outcome
        if len(memory.outcomes) > len(pending):
            unsaved = {one.event_id for one in pending}
            memory.outcomes = {key: one for key, one in memory.outcomes.items() if key in unsaved}

    @exact
    def _open_with(self, old: Execution, new: Execution | None) -> Open:
        """Return what is open if `new` replaces `old`.

        Raises:
            DomainError: `position.execution_not_loaded`: the executions that are known do not give what is open now.
        """
        memory = self._own_memory()
        known = memory.all_of(self.executions)
        if not any(one is old for one in known) or not self._is_open(open_after(known, memory.before), known):
            raise self._not_loaded(str(old.execution_id))
        status = ExecutionStatus.BUSTED if new is None else ExecutionStatus.CORRECTED
        past = changed(old, status=status)
        known = [past if one is old else one for one in known]
        return open_after(known if new is None else [*known, new], memory.before)

    def _is_open(self, held: Open, known: list[Execution]) -> bool:
        """Whether this is open, up to what the divisions of a split have left."""
        if held == Open(self.quantity, self.cost):
            return True
        was_split = any(one.reported_quantity is not None for one in known)
        return (
            was_split
            and abs(held.quantity - self.quantity) <= SPLIT_REST
            and abs(held.cost - self.cost) <= SPLIT_REST * max(ONE, abs(self.cost))
        )

    def _change_of_result(self, old: Execution, new: Execution | None, held: Open) -> Decimal:
        """Return by how much the result changes if `new` replaces `old`, so that `held` is open."""
        value = _value(old) - (ZERO if new is None else _value(new))
        return plain((held.cost - self.cost + value) * self.multiplier)

    # ---- what a Unit of Work asks the log ------------------------------------------------------------------

    def _ids_to_ask(self) -> tuple[str, ...]:
        memory: PositionMemory | None = private(self)["_memory"]
        if memory is None or memory.knows_all:
            return ()
        asking = [
            execution_id
            for pending in self.pending_events
            if (outcome := memory.outcomes.get(pending.event_id)) is not None
            for execution_id in outcome.unasked
            if execution_id not in memory.asked
        ]
        return tuple(dict.fromkeys(asking))

    def _recall(self, execution_ids: Collection[str], events: Iterable[RecordedEvent]) -> None:
        memory = self._own_memory()
        unsaved = {pending.event_id for pending in self.pending_events}
        saved = [
            part.event
            for recorded in events
            if recorded.event_id not in unsaved  # a flush may have sent them already
            for part in recorded.upcast_events
        ]
        found: dict[ExecutionKey, list[Execution]] = {}
        for one in reported(saved):
            if one.key is not None and one.execution_id in execution_ids:
                found.setdefault(one.key, []).append(one)
        self._refuse_repeats(found, memory)
        held = set(map(id, self.executions))
        for key, of_log in found.items():
            noticed = [*memory.older.get(key, ()), *(one for one in self.executions if one.key == key)]
            unknown = [one for one in of_log if not any(one.says_the_same_as(other) for other in noticed)]
            memory.older[key] = [*unknown, *(one for one in noticed if id(one) not in held)]
        memory.asked.update(execution_ids)

    def _refuse_repeats(self, found: Mapping[ExecutionKey, list[Execution]], memory: PositionMemory) -> None:
        for pending in self.pending_events:
            outcome = memory.outcomes.get(pending.event_id)
            if outcome is None or not outcome.unasked:
                continue
            event = pending.event
            if isinstance(event, PositionFilled):
                reports = execution_of(event)
            elif isinstance(event, PositionFillCorrected):
                reports = corrected_execution(event, event.corrected)
            else:
                continue
            known = [] if reports.key is None else found.get(reports.key, [])
            if known:
                raise DomainError(
                    "position.execution_repeated",
                    f"position {self.id} has counted the execution {reports.key} before, as {known[-1].told()}, and counted it "
                    f"again as {reports.told()}: load the position again and leave the repeat out, or use uow.book, which asks "
                    "the log first",
                )

    @classmethod
    def _without_its_fact(cls, created: Event, later: Sequence[Event]) -> Event | None:
        """Return the opening without the fill that opened it, for other fills that were reported after it and happened before."""
        filled = [event.occurred_at for event in later if isinstance(event, PositionFilled)]
        if not filled or not isinstance(created, PositionOpened) or len(created.executions) != 1:
            return None
        if adopted([created]) != NOTHING:
            return None
        nothing = dict.fromkeys(("quantity", "cost", "commission_paid"), ZERO)
        times = {"opened_at": min(filled), "closed_at": min(filled), "last_updated": None}
        return created.model_copy(update={**nothing, **times, "other_commissions": (), "executions": ()})

    # ---- the fold ------------------------------------------------------------------------------------------

    @applies(PositionFilled)
    def _filled(self, event: PositionFilled) -> None:
        held, result = traded(Open(self.quantity, self.cost), event.side.sign * event.quantity, event.price)
        paid, others = _commissions(
            self.commission_paid,
            self.other_commissions,
            self.currency,
            event.commission,
            event.commission_currency,
        )
        if result is not None:
            self.set(realized_pnl=plain(self.realized_pnl + plain(result * self.multiplier)))
        self.set(
            quantity=held.quantity,
            cost=held.cost,
            commission_paid=paid,
            other_commissions=others,
            executions=kept(self.executions, execution_of(event)),
            closed_at=None if held.quantity else event.occurred_at,
            last_updated=_latest(self.last_updated, event.occurred_at),
        )

    @applies(PositionFillBusted)
    def _fill_busted(self, event: PositionFillBusted) -> None:
        executions, old = with_status(self.executions, event.busted.key, ExecutionStatus.BUSTED)
        if old is None and len(executions) < EXECUTIONS_KEPT_MAX:
            return  # the state holds all executions, and this one is not among them
        self._replaced(event, old or event.busted, None, executions)

    @applies(PositionFillCorrected)
    def _fill_corrected(self, event: PositionFillCorrected) -> None:
        executions, old = with_status(self.executions, event.corrected.key, ExecutionStatus.CORRECTED)
        if old is None and len(executions) < EXECUTIONS_KEPT_MAX:
            return
        old = old or event.corrected
        new = corrected_execution(event, old)
        self._replaced(event, old, new, kept(executions, new))

    def _replaced(
        self,
        event: PositionFillBusted | PositionFillCorrected,
        old: Execution,
        new: Execution | None,
        executions: tuple[Execution, ...],
    ) -> None:
        """Replace `old` by `new`, or take it back if there is none."""
        quantity = self.quantity - _signed(old)
        paid, others = _commissions(
            self.commission_paid,
            self.other_commissions,
            self.currency,
            -old.commission,
            old.commission_currency,
        )
        if new is not None:
            quantity += _signed(new)
            paid, others = _commissions(paid, others, self.currency, new.commission, new.commission_currency)
        held = self._open_by(event, plain(quantity), old)
        was_closed = self.closed_at if not self.quantity else None
        self.set(
            realized_pnl=plain(self.realized_pnl + self._change_of_result(old, new, held)),
            quantity=held.quantity,
            cost=held.cost,
            commission_paid=paid,
            other_commissions=others,
            executions=executions,
            closed_at=None if held.quantity else was_closed or event.occurred_at,
            last_updated=_latest(self.last_updated, event.occurred_at),
        )

    def _open_by(
        self, event: PositionFillBusted | PositionFillCorrected, quantity: Decimal, old: Execution
    ) -> Open:
        """Return what is open after a bust or a correction, and its cost.

        The event says the cost of what was open when it was made. If something else is open here, since other events are
        missing, it has the same average price; if nothing was open then, the average price of before, or the execution's.
        """
        stated = event.busted if isinstance(event, PositionFillBusted) else event.corrected
        was_split = any(one.reported_quantity is not None for one in (old, stated, *self.executions))
        # The event may be in the shares after a split that has not happened here.
        here, there = old.quantity * stated.as_reported[0], stated.quantity * old.as_reported[0]
        is_here = here == there
        open_quantity = event.open_quantity if is_here else cost_share(event.open_quantity, here, there)
        if abs(quantity - open_quantity) <= (SPLIT_REST if was_split else ZERO):
            return Open(event.open_quantity if is_here else quantity, event.cost)
        if not quantity:
            return Open(ZERO, ZERO)
        if open_quantity:
            return Open(quantity, cost_share(event.cost, quantity, open_quantity))
        if self.quantity:
            return Open(quantity, cost_share(self.cost, quantity, self.quantity))
        return Open(quantity, plain(quantity * old.price))

    @applies(PositionMarked)
    def _marked(self, event: PositionMarked) -> None:
        if self.marked_at is not None and _moment(event.occurred_at, event.transact_time_ns) < _moment(
            self.marked_at, self.marked_at_ns
        ):
            return
        self.set(
            current_price=event.price,
            marked_at=event.occurred_at,
            marked_at_ns=event.transact_time_ns,
            last_updated=_latest(self.last_updated, event.occurred_at),
        )

    @applies(PositionSplit)
    def _split(self, event: PositionSplit) -> None:
        ratio = event.ratio

        def new_price(price: Decimal | None) -> Decimal | None:
            return None if price is None else ratio.price(price)

        is_marked_later = self.marked_at is not None and _moment(self.marked_at, self.marked_at_ns) > _moment(
            event.occurred_at, None
        )
        if not is_marked_later:
            self.set(
                current_price=new_price(self.current_price), marked_at=event.occurred_at, marked_at_ns=None
            )
        self.set(
            quantity=ratio.quantity(self.quantity),
            stop_loss_price=new_price(self.stop_loss_price),
            take_profit_price=new_price(self.take_profit_price),
            executions=tuple(one.after_split(ratio) for one in self.executions),
            last_updated=_latest(self.last_updated, event.occurred_at),
        )


def _opening_fill(  # noqa: PLR0917 - the factories name their arguments
    symbol: str,
    side: OrderSide,
    quantity: Decimal,
    price: Decimal,
    commission: Decimal,
    when: datetime,
    transact_time_ns: int | None,
    details: PositionDetails,
) -> PositionFilled:
    return PositionFilled(
        occurred_at=when,
        symbol=symbol,
        side=side,
        quantity=quantity,
        price=price,
        commission=number("position.commission_paid", commission),
        execution_id=details.get("execution_id"),
        order_id=details.get("order_id"),
        account=details.get("account"),
        venue=details.get("venue"),
        currency=details.get("currency"),
        portfolio_id=details.get("portfolio_id"),
        strategy=details.get("strategy"),
        commission_currency=details.get("commission_currency"),
        liquidity=details.get("liquidity"),
        transact_time_ns=transact_time_ns,
    )


def _commissions(
    paid: Decimal,
    others: tuple[CurrencyAmount, ...],
    currency: str | None,
    amount: Decimal,
    amount_currency: str | None,
) -> tuple[Decimal, tuple[CurrencyAmount, ...]]:
    """Return the commissions with one more: it is of the position's own currency, or apart."""
    if amount_currency is None or amount_currency == currency:
        return plain(paid + amount), others
    return paid, add_amount(others, amount_currency, amount)


def _whole(
    whole: Decimal | None, given: Decimal | None, part: Decimal, part_before: Decimal
) -> Decimal | None:
    """Return the whole of a corrected execution that a flip split: its other part is unchanged unless it is given."""
    if given is not None or whole is None:
        return given
    return plain(whole + part - part_before)


def _signed(execution: Execution) -> Decimal:
    return execution.quantity if execution.side is None else execution.side.sign * execution.quantity


def _value(execution: Execution) -> Decimal:
    return execution.cost if execution.side is None else execution.side.sign * execution.cost


def _latest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _moment(occurred_at: datetime, transact_time_ns: int | None) -> int:
    """Return a time in ns since the epoch: the venue's, if there is one."""
    if transact_time_ns is not None:
        return transact_time_ns
    return (occurred_at - _EPOCH) // timedelta(microseconds=1) * 1000


PositionAmended = Position.amended_event
"""Fields of a position were assigned."""

PositionDeleted = Position.deleted_event
"""A position was deleted."""
