"""Executions: what a venue reports of a trade, and how an entity knows that it was reported before.

An execution is known by its account, venue, order and execution id: venues count their ids up for each venue and
symbol, and one trade may fill two orders of ours. The state of an entity holds the last `EXECUTIONS_KEPT_MAX`, so that
its row stays small; the log holds them all, and finds each by its id. `Memory` is what an instance knows beside its state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, Self, TypeGuard, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field

from eventstore.core.context import exact, plain
from eventstore.core.types import Computed, Name, Nanoseconds, Price, Quantity, UtcDatetime
from eventstore.core.validation import Validated, number
from eventstore.errors import DomainError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EXECUTIONS_KEPT_MAX = 32
"""How many executions the state of an order or a position holds, the last ones, and how many trades a portfolio's.

The log holds all of them. An entity that has more asks it before it takes one that it does not know."""

NO_ID = "0"
"""The id that venues give to a trade that has none. It is never a repeat."""


class OrderSide(StrEnum):
    """The side of an order or a fill (FIX Side, 54)."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """The sign of the side for a signed quantity: 1 for BUY, -1 for SELL."""
        return 1 if self is OrderSide.BUY else -1

    @property
    def opposite(self) -> OrderSide:
        """The other side."""
        return OrderSide.SELL if self is OrderSide.BUY else OrderSide.BUY


class PositionSide(StrEnum):
    """The side of a position where an account holds both at once (hedging)."""

    LONG = "LONG"
    SHORT = "SHORT"


class ExecutionStatus(StrEnum):
    """Whether an execution counts: once, until it is busted or corrected."""

    COUNTED = "COUNTED"
    BUSTED = "BUSTED"
    CORRECTED = "CORRECTED"


class Liquidity(StrEnum):
    """Whether a fill added liquidity to the market or took it (FIX LastLiquidityInd, 851)."""

    MAKER = "MAKER"
    TAKER = "TAKER"


SPLIT_DECIMALS = 24
"""Decimals of a quantity or a price that a split divides with a remainder."""

_Whole = Annotated[int, Field(ge=1, le=10**18)]


class SplitRatio(Validated):
    """How many new shares or contracts take the place of how many old ones, in lowest terms.

    Attributes:
        new: New shares.
        old: Old shares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    new: _Whole
    old: _Whole

    @classmethod
    def of(cls, rule: str, new: Decimal | int, old: Decimal | int = 1) -> SplitRatio:
        """Return a ratio in lowest terms: 2 for 1, 1 for 10, 1.05 for 1 (21 for 20).

        Args:
            rule: The rule that an error names.
            new: New shares.
            old: Old shares.

        Raises:
            DomainError: The rule: a number is not above 0, or has too many digits.
        """
        numbers = number(rule, new), number(rule, old)
        if min(numbers) <= 0:
            raise DomainError(rule, f"a split is of positive numbers, not {new} for {old}")
        return cls._lowest(rule, Fraction(numbers[0]) / Fraction(numbers[1]))

    @classmethod
    def _lowest(cls, rule: str, ratio: Fraction) -> SplitRatio:
        if max(ratio.numerator, ratio.denominator) > 10**18:
            raise DomainError(
                rule, f"a split of {ratio.numerator} for {ratio.denominator} is out of range: up to 10**18"
            )
        return cls(new=ratio.numerator, old=ratio.denominator)

    def then(self, rule: str, later: SplitRatio) -> SplitRatio:
        """Return the ratio of this split and a later one together; errors as for `of`."""
        return self._lowest(rule, Fraction(self.new, self.old) * Fraction(later.new, later.old))

    @exact
    def quantity(self, quantity: Decimal) -> Decimal:
        """Return a quantity in new shares, rounded to `SPLIT_DECIMALS` where the division has a remainder."""
        return _divided(quantity * self.new, self.old)

    @exact
    def price(self, price: Decimal) -> Decimal:
        """Return the price of a new share, rounded to `SPLIT_DECIMALS` where the division has a remainder."""
        return _divided(price * self.old, self.new)


def _divided(amount: Decimal, parts: int) -> Decimal:
    share = amount / parts
    exponent = share.as_tuple().exponent
    if (
        isinstance(exponent, int)
        and exponent < -SPLIT_DECIMALS
        and Fraction(share) * parts != Fraction(amount)
    ):
        share = share.quantize(Decimal(1).scaleb(-SPLIT_DECIMALS))
    return plain(share)


@dataclass(frozen=True, slots=True)
class ExecutionKey:
    """What an execution is known by, inside one stream.

    Attributes:
        execution_id: The venue's id (FIX ExecID, 17, or TrdMatchID, 880).
        order_id: The order of ours that it filled; None in the stream of an order.
        account: The account (FIX Account, 1); None if it is not known.
        venue: The venue (FIX LastMkt, 30); None if it is not known.
    """

    execution_id: str
    order_id: UUID | None = None
    account: str | None = None
    venue: str | None = None

    def __str__(self) -> str:
        told = [("order", self.order_id), ("account", self.account), ("venue", self.venue)]
        return ", ".join([self.execution_id, *(f"{name} {value}" for name, value in told if value)])


class Named(Protocol):
    """What has the parts of a key: an execution, a trade, or an event of one."""

    @property
    def execution_id(self) -> str | None:
        """The id that the venue gave it; None or "0" if it has none."""

    @property
    def order_id(self) -> UUID | None:
        """The order of ours."""

    @property
    def account(self) -> str | None:
        """The account."""

    @property
    def venue(self) -> str | None:
        """The venue."""


def has_id(execution_id: str | None) -> TypeGuard[str]:
    """Whether an id is one: None and "0" are none."""
    return execution_id is not None and execution_id != NO_ID


def key_of(one: Named) -> ExecutionKey | None:
    """Return what an execution or a trade is known by; None if it has no id."""
    if not has_id(one.execution_id):
        return None
    return ExecutionKey(one.execution_id, one.order_id, one.account, one.venue)


class Execution(Validated):
    """One execution, or the part of it that one position counts.

    Attributes:
        execution_id: The venue's id (FIX ExecID, 17); None or "0" if it has none.
        side: BUY or SELL.
        quantity: Shares or contracts that count here (FIX LastQty, 32).
        price: Price of one (FIX LastPx, 31).
        commission: What counts here (FIX Commission, 12); a rebate is negative.
        commission_currency: The currency or coin of the commission; None for the instrument's currency.
        whole_quantity: The quantity of the whole execution, where a flip through zero split it; None: `quantity`.
        whole_commission: The commission of the whole execution, where a flip split it; None: `commission`.
        order_id: The order of ours that it filled; None in the state of an order.
        account: The account (FIX Account, 1).
        venue: The venue (FIX LastMkt, 30).
        occurred_at: When it happened.
        transact_time_ns: The venue's own time (FIX TransactTime, 60), in ns since the epoch.
        status: Whether it counts.
        corrects: The id of the execution that this one replaced (FIX ExecRefID, 19).
        position_ids: The positions that `book` brought it into.
        reported_quantity: The quantity before the splits since the report; None: there was none.
        reported_price: The price before the splits since the report; None: there was none.
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    execution_id: Name | None = None
    side: OrderSide | None = None
    quantity: Quantity
    price: Price
    commission: Computed = Decimal(0)
    commission_currency: Name | None = None
    whole_quantity: Quantity | None = None
    whole_commission: Computed | None = None
    order_id: UUID | None = None
    account: Name | None = None
    venue: Name | None = None
    occurred_at: UtcDatetime
    transact_time_ns: Nanoseconds | None = None
    status: ExecutionStatus = ExecutionStatus.COUNTED
    corrects: Name | None = None
    position_ids: tuple[UUID, ...] = ()
    reported_quantity: Quantity | None = None
    reported_price: Price | None = None

    @property
    def counts(self) -> bool:
        """Whether the execution is part of the quantity that is filled or open."""
        return self.status is ExecutionStatus.COUNTED

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by; None if the venue gave it no id."""
        return key_of(self)

    @property
    @exact
    def cost(self) -> Decimal:
        """Quantity x price as reported: a split leaves it as it is, to the last digit."""
        return plain((self.reported_quantity or self.quantity) * _reported_price(self))

    @property
    def as_reported(self) -> tuple[Decimal, Decimal]:
        """Quantity and price in the shares of the time of the report."""
        return self.reported_quantity or self.quantity, _reported_price(self)

    def after_split(self, ratio: SplitRatio) -> Execution:
        """Return it in new shares; it keeps what was reported."""
        return self.model_copy(
            update={
                "quantity": ratio.quantity(self.quantity),
                "price": ratio.price(self.price),
                "reported_quantity": self.reported_quantity or self.quantity,
                "reported_price": _reported_price(self),
            }
        )

    def says_the_same_as(self, other: Execution) -> bool:
        """Whether both report the same: side, quantity, price and commission of the whole execution.

        A report may be repeated in the shares of then or of now, if there was a split since.
        """
        return (
            (self.side is None or other.side is None or self.side is other.side)
            and (
                (_whole_quantity(self), _reported_price(self))
                == (_whole_quantity(other), _reported_price(other))
                or self._is_repeated_in_new_shares(other)
            )
            and _whole_commission(self) == _whole_commission(other)
            and self.commission_currency == other.commission_currency
        )

    def _is_repeated_in_new_shares(self, other: Execution) -> bool:
        return (
            self.reported_quantity is not None
            and self.whole_quantity is None
            and (self.quantity, self.price) == (other.quantity, other.price)
        )

    def replaced_by(self, correction: Any, **more: Any) -> Execution:
        """Return what a correction puts in the place of it, in the shares in which the correction tells it.

        Args:
            correction: The event: its new id, quantity, price and commission.
            more: Other values that differ, which are valid.
        """
        return self.model_copy(
            update={
                "execution_id": correction.new_execution_id,
                "quantity": correction.quantity,
                "price": correction.price,
                "commission": correction.commission,
                "commission_currency": correction.commission_currency,
                "corrects": self.execution_id,
                "status": ExecutionStatus.COUNTED,
                "reported_quantity": None,
                "reported_price": None,
                **more,
            }
        )

    def told(self) -> str:
        """Return its content in words, for errors."""
        side = "" if self.side is None else f"{self.side} "
        fee = "" if self.commission_currency is None else f" {self.commission_currency}"
        return (
            f"{side}{_whole_quantity(self)} at {_reported_price(self)}, "
            f"commission {_whole_commission(self)}{fee}"
        )


def _whole_quantity(execution: Execution) -> Decimal:
    return execution.whole_quantity or execution.reported_quantity or execution.quantity


def _reported_price(execution: Execution) -> Decimal:
    return execution.price if execution.reported_price is None else execution.reported_price


def _whole_commission(execution: Execution) -> Decimal:
    whole = execution.whole_commission
    return execution.commission if whole is None else whole


def has_correction(known: Iterable[Execution], execution_id: str, correction: Execution) -> bool:
    """Whether one of the executions is a correction of an id, and says the same as another."""
    return any(one.corrects == execution_id and one.says_the_same_as(correction) for one in known)


class Keyed(Protocol):
    """What is known by a key: an execution, or a portfolio's trade or movement of cash."""

    @property
    def execution_id(self) -> str | None:
        """The id that others gave it; None if it has none."""

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by; None if it has no id."""


R = TypeVar("R", bound=Keyed)
M = TypeVar("M", bound="DataclassInstance")


@dataclass(slots=True, eq=False)
class Memory(Generic[R]):
    """What an instance knows of executions that its state no longer holds.

    It is no part of the state, so two instances are equal whatever they remember.

    Attributes:
        older: Executions by their keys: counted by this instance since it was made or loaded, or read from the log.
        asked: The execution ids that were looked up in the log: all that it has of them is in `older`.
        undecided: The execution ids that were counted though the log may have them: an append asks for them first.
    """

    older: dict[ExecutionKey, list[R]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Memory)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Self:
        return own_copy(self)


def own_copy(memory: M) -> M:
    """Return a copy of a memory whose dicts, lists and sets are its own, for a copy of an instance."""
    own = {one.name: _own(getattr(memory, one.name)) for one in fields(memory)}
    return replace(memory, **own)


def _own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _own(one) for key, one in value.items()}
    if isinstance(value, list | set):
        return value.copy()
    return own_copy(value) if isinstance(value, Memory) else value


def known_as(key: ExecutionKey, held: Iterable[R], memory: Memory[R] | None) -> list[R]:
    """Return all that is known under a key, in the order of report.

    Args:
        key: The key.
        held: What the state holds.
        memory: What the instance knows beside it.
    """
    older = [] if memory is None else memory.older.get(key, [])
    wanted = (
        key.execution_id
    )  # looked at first, since a key costs more to make; it ends with the id, after a kind of cash
    return [
        *older,
        *(one for one in held if wanted.endswith(one.execution_id or "") and one.key == key),
    ]


def kept(held: tuple[R, ...], newest: R) -> tuple[R, ...]:
    """Return what the state holds after one more execution: the last `EXECUTIONS_KEPT_MAX`."""
    some = held if len(held) < EXECUTIONS_KEPT_MAX else held[1 - EXECUTIONS_KEPT_MAX :]
    return (*some, newest)


def noted(memory: Memory[R] | None, held: tuple[R, ...]) -> Memory[R] | None:
    """Return the memory of an instance before it counts one more execution: it keeps the one that leaves the state.

    Args:
        memory: The memory so far.
        held: What the state holds now.
    """
    if len(held) < EXECUTIONS_KEPT_MAX or held[0].key is None:
        return memory
    memory = Memory() if memory is None else memory
    memory.older.setdefault(held[0].key, []).append(held[0])
    return memory


def not_before(when: datetime, earliest: datetime) -> datetime:
    """Return the later of two times; `when` as it is if it is no time in UTC: the event's validation names the field."""
    try:
        return max(when, earliest)
    except TypeError:
        return when


def is_complete(held: tuple[R, ...], memory: Memory[R] | None, execution_id: str) -> bool:
    """Whether an instance knows all that its stream has of an execution id, without asking the log."""
    return len(held) < EXECUTIONS_KEPT_MAX or (memory is not None and execution_id in memory.asked)
