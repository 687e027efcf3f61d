"""Executions: what a venue reports of a trade, and how an entity knows that it was reported before.

An execution is known by its account, venue, order and execution id: venues count their ids up for each venue and
symbol, and one trade may fill two orders of ours. The state of an entity holds the last `EXECUTIONS_KEPT_MAX`, so that
its row stays small; the log holds them all, and finds each by its id. `Memory` is what an instance knows beside its state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import ConfigDict

from eventstore.core.types import Computed, Name, Nanoseconds, Price, Quantity, UtcDatetime
from eventstore.core.validation import Validated

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


class ExecutionStatus(StrEnum):
    """Whether an execution counts: once, until it is busted or corrected."""

    COUNTED = "COUNTED"
    BUSTED = "BUSTED"
    CORRECTED = "CORRECTED"


class Liquidity(StrEnum):
    """Whether a fill added liquidity to the market or took it (FIX LastLiquidityInd, 851)."""

    MAKER = "MAKER"
    TAKER = "TAKER"


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
    """

    # An instance of a subclass becomes one of this class, or is refused: the log keeps these fields and no others.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="subclass-instances")

    execution_id: Name | None
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

    @property
    def counts(self) -> bool:
        """Whether the execution is part of the quantity that is filled or open."""
        return self.status is ExecutionStatus.COUNTED

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by; None if the venue gave it no id."""
        if self.execution_id is None or self.execution_id == NO_ID:
            return None
        return ExecutionKey(self.execution_id, self.order_id, self.account, self.venue)

    def says_the_same_as(self, other: Execution) -> bool:
        """Whether both report the same: side, quantity, price and commission of the whole execution."""
        return (
            (self.side is None or other.side is None or self.side is other.side)
            and (self.whole_quantity or self.quantity) == (other.whole_quantity or other.quantity)
            and self.price == other.price
            and _whole_commission(self) == _whole_commission(other)
            and self.commission_currency == other.commission_currency
        )

    def told(self) -> str:
        """Return its content in words, for errors."""
        side = "" if self.side is None else f"{self.side} "
        fee = "" if self.commission_currency is None else f" {self.commission_currency}"
        return (
            f"{side}{self.whole_quantity or self.quantity} at {self.price}, "
            f"commission {_whole_commission(self)}{fee}"
        )


def _whole_commission(execution: Execution) -> Decimal:
    whole = execution.whole_commission
    return execution.commission if whole is None else whole


class Keyed(Protocol):
    """What is known by a key: an execution, or a portfolio's trade."""

    @property
    def key(self) -> ExecutionKey | None:
        """What it is known by; None if it has no id."""


R = TypeVar("R", bound=Keyed)


@dataclass(slots=True)
class Memory(Generic[R]):
    """What an instance knows of executions that its state no longer holds.

    Attributes:
        older: Executions by their keys: counted by this instance since it was made or loaded, or read from the log.
        asked: The execution ids that were looked up in the log: all that it has of them is in `older`.
    """

    older: dict[ExecutionKey, list[R]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)


def known_as(key: ExecutionKey, held: Iterable[R], memory: Memory[R] | None) -> list[R]:
    """Return all that is known under a key, in the order of report.

    Args:
        key: The key.
        held: What the state holds.
        memory: What the instance knows beside it.
    """
    older = [] if memory is None else memory.older.get(key, [])
    return [*older, *(one for one in held if one.key == key)]


def kept(held: tuple[R, ...], newest: R) -> tuple[R, ...]:
    """Return what the state holds after one more execution: the last `EXECUTIONS_KEPT_MAX`."""
    return (*held, newest)[-EXECUTIONS_KEPT_MAX:]


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


def is_complete(held: tuple[R, ...], memory: Memory[R] | None, execution_id: str) -> bool:
    """Whether an instance knows all that its stream has of an execution id, without asking the log."""
    return len(held) < EXECUTIONS_KEPT_MAX or (memory is not None and execution_id in memory.asked)
