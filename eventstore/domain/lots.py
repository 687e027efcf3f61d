"""Lots: what each trade opened, which later trade closed it, and what that realised.

Lots are a fold over the executions of one position, beside the average cost that the position itself keeps. Both realise the
same by the time that the position is closed; before, each method has its own result.
"""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.domain.average_cost import SPLIT_REST
from eventstore.domain.division import cost_share
from eventstore.domain.executions import Execution, SplitRatio
from eventstore.domain.money import CurrencyAmount, add_amount
from eventstore.errors import DomainError

__all__ = [
    "Chosen",
    "Holding",
    "Lot",
    "LotMatch",
    "LotMethod",
    "LotStep",
    "Lots",
    "fold_lots",
    "lot_method",
]

_ZERO = Decimal(0)
_ONE = Decimal(1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LotMethod(StrEnum):
    """Which open lot a trade closes first.

    Attributes:
        FIFO: The one that was opened first.
        LIFO: The one that was opened last.
        HIGHEST_COST: The one whose close realises least: of a long position that of the highest price, of a short one that
            of the lowest. Of equal ones the first.
        BY_ID: The ones that the caller chose by the ids of their executions; the rest as FIFO.
    """

    FIFO = "FIFO"
    LIFO = "LIFO"
    HIGHEST_COST = "HIGHEST_COST"
    BY_ID = "BY_ID"


@dataclass(frozen=True, slots=True)
class Lot:
    """What one execution opened, and is open of it; or, in a match, the part of it that was closed.

    Attributes:
        execution_id: The execution that opened it; None if it has no id, or if the quantity was adopted or assigned.
        opened_at: When it was opened.
        quantity: Shares or contracts; positive for long, negative for short.
        cost: Signed quantity x price, without the multiplier. A split leaves it as it is.
        commission: Its share of the execution's commission.
        commission_currency: The currency or coin of the commission; None for the position's.
        order_id: The order that the execution filled.
        number: Its place among the lots of the position, in the order of the fold: 1, 2, 3.
    """

    execution_id: str | None
    opened_at: datetime
    quantity: Decimal
    cost: Decimal
    commission: Decimal = _ZERO
    commission_currency: str | None = None
    order_id: UUID | None = None
    number: int = 0

    @property
    @exact
    def price(self) -> Decimal:
        """The price of one share or contract of now: cost / quantity."""
        return plain(self.cost / self.quantity)

    @property
    def is_long(self) -> bool:
        """Whether it was bought to open."""
        return self.quantity > 0


@dataclass(frozen=True, slots=True)
class LotMatch:
    """What one trade closed of one lot.

    Amounts are in the position's currency and include the multiplier.

    Attributes:
        position_id: The position.
        symbol: The instrument.
        currency: The currency of the amounts; None if the position has none.
        lot: The part of the lot that was closed: its quantity, its cost and its share of the commission.
        execution_id: The execution that closed it; None if it has no id.
        order_id: The order that this execution filled.
        closed_at: When it was closed.
        quantity: Shares or contracts that were closed, as there were then; positive.
        proceeds: What was received: by the sale that closed a long lot, or that opened a short one.
        cost: What was paid: by the purchase that opened a long lot, or that closed a short one.
        realized_pnl: Proceeds - cost, before commissions.
        closing_commission: The share of the closing execution's commission.
        closing_commission_currency: Its currency or coin; None for the position's.
        is_chosen: Whether the caller chose this lot for this execution, with `LotMethod.BY_ID`.
    """

    position_id: UUID | None
    symbol: str | None
    currency: str | None
    lot: Lot
    execution_id: str | None
    order_id: UUID | None
    closed_at: datetime
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    realized_pnl: Decimal
    closing_commission: Decimal = _ZERO
    closing_commission_currency: str | None = None
    is_chosen: bool = False

    @property
    def opened_at(self) -> datetime:
        """When the lot was opened."""
        return self.lot.opened_at

    @property
    def holding_period(self) -> timedelta:
        """From the opening to the close; 0 if the close was reported with an earlier time."""
        return max(self.closed_at - self.lot.opened_at, timedelta(0))

    @property
    @exact
    def commission(self) -> Decimal:
        """The commissions of both sides, as far as they are in the position's currency."""
        return plain(sum((amount for amount, is_own in self._commissions() if is_own is None), _ZERO))

    @property
    def other_commissions(self) -> tuple[CurrencyAmount, ...]:
        """The commissions of both sides in other currencies and coins."""
        amounts: tuple[CurrencyAmount, ...] = ()
        for amount, currency in self._commissions():
            if currency is not None:
                amounts = add_amount(amounts, currency, amount)
        return amounts

    @property
    @exact
    def net_pnl(self) -> Decimal:
        """The result after the commissions in the position's currency."""
        return plain(self.realized_pnl - self.commission)

    def _commissions(self) -> Iterable[tuple[Decimal, str | None]]:
        """Yield both commissions, each with its currency; None for the position's."""
        for amount, currency in (
            (self.lot.commission, self.lot.commission_currency),
            (self.closing_commission, self.closing_commission_currency),
        ):
            yield amount, None if currency == self.currency else currency


@dataclass(frozen=True, slots=True)
class Lots:
    """The lots of a position, by one method.

    Attributes:
        method: Which lot a trade closes first.
        open: The open lots, in the order in which they were opened.
        matches: What was closed, in the order of the closes.
    """

    method: LotMethod
    open: tuple[Lot, ...] = ()
    matches: tuple[LotMatch, ...] = ()

    @property
    @exact
    def quantity(self) -> Decimal:
        """What is open; positive for long, negative for short."""
        return plain(sum((lot.quantity for lot in self.open), _ZERO))

    @property
    @exact
    def cost(self) -> Decimal:
        """What is open at its prices: signed, without the multiplier."""
        return plain(sum((lot.cost for lot in self.open), _ZERO))

    @property
    @exact
    def realized_pnl(self) -> Decimal:
        """What the closes realised, in currency, before commissions."""
        return plain(sum((match.realized_pnl for match in self.matches), _ZERO))


@dataclass(frozen=True, slots=True)
class Holding:
    """What is open without an execution: a position that was adopted, or whose quantity or cost was assigned.

    It takes the place of every lot that was open before.

    Attributes:
        quantity: Positive for long, negative for short.
        cost: Signed quantity x price, without the multiplier.
        opened_at: When it was opened.
        commission: What was paid for it.
        execution_ids: The executions that are known to be in it.
    """

    quantity: Decimal
    cost: Decimal
    opened_at: datetime
    commission: Decimal = _ZERO
    execution_ids: tuple[str, ...] = ()


LotStep = Execution | SplitRatio | Holding
"""What lots are folded from: an execution, a split of what is open, or a holding."""

Chosen = Mapping[str, Sequence[str]]
"""The lots that executions close: for the id of each, the ids of the executions that opened the lots, in order."""


@exact
def fold_lots(
    steps: Iterable[LotStep],
    *,
    method: LotMethod = LotMethod.FIFO,
    chosen: Chosen | None = None,
    multiplier: Decimal = _ONE,
    position_id: UUID | None = None,
    symbol: str | None = None,
    currency: str | None = None,
) -> Lots:
    """Return the lots of one position.

    Executions count in the order in which they occurred, so a late report takes its own place. A split divides the order:
    what was reported after it is in its shares, and counts after it. An execution that is busted, or that a correction
    replaced, does not count. A trade through zero closes every lot and opens one on the other side.

    Args:
        steps: The executions, splits and holdings of the position, in the order of report.
        method: Which lot a trade closes first.
        chosen: With `LotMethod.BY_ID`, the lots that executions close. What they leave is closed as FIFO, and an id that
            is no open lot by then chooses nothing.
        multiplier: Currency per point of price and contract.
        position_id: The position, for the matches.
        symbol: The instrument, for the matches.
        currency: The currency of the position, for the matches.

    Returns:
        The lots. Costs and commissions are divided so that the parts sum to the whole, to the last digit.

    Raises:
        DomainError: `lots.method`: there is no such method, or lots are chosen for another one than `BY_ID`.
    """
    kind = lot_method(method, chosen)
    fold = _Fold(kind, chosen or {}, multiplier, of=(position_id, symbol, currency))
    for run in _runs(steps):
        for step in run:
            fold.take(step)
    opened = sorted(fold.open, key=attrgetter("opened_at", "number"))
    return Lots(kind, tuple(opened), tuple(fold.matches))


def lot_method(method: LotMethod, chosen: Chosen | None) -> LotMethod:
    """Return a method, validated.

    Raises:
        DomainError: `lots.method`: there is no such method, or lots are chosen for another one than `BY_ID`.
    """
    try:
        kind = LotMethod(method)
    except ValueError as error:
        names = ", ".join(LotMethod)
        raise DomainError("lots.method", f"a method is one of {names}, not {method!r}") from error
    if chosen and kind is not LotMethod.BY_ID:
        raise DomainError("lots.method", f"lots are chosen with LotMethod.BY_ID, not with {kind}")
    return kind


def _runs(steps: Iterable[LotStep]) -> Iterable[list[LotStep]]:
    """Yield the executions between splits and holdings, each time in the order in which they occurred."""
    run: list[LotStep] = []
    for step in steps:
        if isinstance(step, Execution):
            if step.counts and step.side is not None:
                run.append(step)
            continue
        yield sorted(run, key=_moment)
        yield [step]
        run = []
    yield sorted(run, key=_moment)


def _moment(step: LotStep) -> tuple[datetime, int]:
    """Return when an execution occurred, to the nanosecond if the venue says it."""
    assert isinstance(step, Execution)  # noqa: S101 - a run has only executions
    when, ns = step.occurred_at, step.transact_time_ns
    return when, (when - _EPOCH) // _MICROSECOND * 1000 if ns is None else ns


class _Fold:
    def __init__(
        self,
        method: LotMethod,
        chosen: Chosen,
        multiplier: Decimal,
        *,
        of: tuple[UUID | None, str | None, str | None],
    ) -> None:
        self.open: list[Lot] = []
        self.matches: list[LotMatch] = []
        self._method = method
        self._chosen = chosen
        self._multiplier = multiplier
        self._of = of
        self._number = 0
        self._dust = _ZERO

    def take(self, step: LotStep) -> None:
        """Take one step in."""
        if isinstance(step, SplitRatio):
            self._split(step)
        elif isinstance(step, Holding):
            self.open = []
            if step.quantity:
                number = self._next_number()
                self._add(Lot(None, step.opened_at, step.quantity, step.cost, step.commission, number=number))
        else:
            self._trade(step)

    def _add(self, lot: Lot) -> None:
        insort_right(self.open, lot, key=self._key)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _key(self, lot: Lot) -> Any:
        """Return what the lots are sorted by: the first one is closed first, with LIFO the last one."""
        if self._method is LotMethod.HIGHEST_COST:
            return (-lot.cost / abs(lot.quantity), lot.opened_at, lot.number)
        return (lot.opened_at, lot.number)

    def _split(self, ratio: SplitRatio) -> None:
        """Divide the open lots so that they sum to the whole quantity after the split."""
        self._dust = SPLIT_REST
        before = sum((lot.quantity for lot in self.open), _ZERO)
        left = ratio.quantity(before) - before
        after = []
        for lot in self.open:
            quantity = ratio.quantity(lot.quantity)
            left -= quantity - lot.quantity
            after.append(replace(lot, quantity=quantity))
        if after and left:
            after[-1] = replace(after[-1], quantity=plain(after[-1].quantity + left))
        self.open = [lot for lot in after if lot.quantity]

    def _trade(self, execution: Execution) -> None:
        assert execution.side is not None  # noqa: S101 - one without a side is no step
        sign = execution.side.sign
        rest, commission = execution.quantity, execution.commission
        wanted = list(self._chosen.get(execution.execution_id or "", ()))
        while rest and self.open and self.open[0].is_long is not (sign > 0):
            place, is_chosen = self._next(wanted)
            lot = self.open[place]
            whole = abs(lot.quantity)
            is_even = abs(whole - rest) <= self._dust
            part = whole if is_even else min(rest, whole)
            fee = commission if is_even or part == rest else cost_share(commission, part, rest)
            closed = rest if is_even else part
            taken, left = _divided(lot, part)
            self.matches.append(self._match(taken, execution, closed, fee, is_chosen=is_chosen))
            if left is None:
                del self.open[place]
            else:
                self.open[place] = left
            rest, commission = _ZERO if is_even else plain(rest - part), plain(commission - fee)
        if rest:
            self._add(
                Lot(
                    execution.execution_id,
                    execution.occurred_at,
                    sign * rest,
                    plain(sign * rest * execution.price),
                    commission,
                    execution.commission_currency,
                    execution.order_id,
                    self._next_number(),
                )
            )

    def _next(self, wanted: list[str]) -> tuple[int, bool]:
        """Return the place of the lot to close next, and whether the caller chose it."""
        while wanted:
            for place, lot in enumerate(self.open):
                if lot.execution_id == wanted[0]:
                    return place, True
            del wanted[0]
        return (len(self.open) - 1 if self._method is LotMethod.LIFO else 0), False

    def _match(
        self, lot: Lot, execution: Execution, quantity: Decimal, fee: Decimal, *, is_chosen: bool
    ) -> LotMatch:
        opened = plain(_value(lot) * self._multiplier)
        closed = plain(quantity * execution.price * self._multiplier)
        proceeds, cost = (closed, opened) if lot.is_long else (opened, closed)
        position_id, symbol, currency = self._of
        return LotMatch(
            position_id=position_id,
            symbol=symbol,
            currency=currency,
            lot=lot,
            execution_id=execution.execution_id,
            order_id=execution.order_id,
            closed_at=execution.occurred_at,
            quantity=quantity,
            proceeds=proceeds,
            cost=cost,
            realized_pnl=plain(proceeds - cost),
            closing_commission=fee,
            closing_commission_currency=execution.commission_currency,
            is_chosen=is_chosen,
        )


def _value(lot: Lot) -> Decimal:
    """Return |quantity| x price of a lot: negative if the price is."""
    return lot.cost if lot.is_long else -lot.cost


def _divided(lot: Lot, quantity: Decimal) -> tuple[Lot, Lot | None]:
    """Return a part of a lot, of a quantity above 0 and no more than the lot's, and the rest; None if nothing is left."""
    whole = abs(lot.quantity)
    if quantity == whole:
        return lot, None
    cost = cost_share(lot.cost, quantity, whole)
    commission = cost_share(lot.commission, quantity, whole) if lot.commission else _ZERO
    signed = quantity if lot.quantity > 0 else -quantity
    return (
        _of_values(lot, signed, cost, commission),
        _of_values(
            lot, plain(lot.quantity - signed), plain(lot.cost - cost), plain(lot.commission - commission)
        ),
    )


def _of_values(lot: Lot, quantity: Decimal, cost: Decimal, commission: Decimal) -> Lot:
    return Lot(
        lot.execution_id,
        lot.opened_at,
        quantity,
        cost,
        commission,
        lot.commission_currency,
        lot.order_id,
        lot.number,
    )
