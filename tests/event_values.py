"""Events with one field of each kind, and values that their fields take, change or refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from eventstore import OrderSide
from eventstore.core import Event
from eventstore.core.registry import EventRegistry, registry as shared
from eventstore.core.types import NonNegative, Price, Quantity, Text
from eventstore.domain.executions import Execution, ExecutionStatus, SplitRatio
from eventstore.domain.order import OrderType
from eventstore.domain.order_events import OrderCreated, OrderFilled

ID = UUID("0197b7f5-0000-7000-8000-000000000000")
WHEN = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


class Colour(Enum):
    """An enum of texts."""

    RED = "RED"


class Level(IntEnum):
    """An enum whose members are integers."""

    LOW = 1


class Word(str):
    """Text of another type."""

    __slots__ = ()


class Moment(datetime):
    """A time of another type."""


class Noted(Event, category="usual", registry=EventRegistry()):
    """One field of each kind."""

    text: str = "?"
    short: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    storable: Text | None = None
    matched: Annotated[str, Field(pattern="^a")] = "a"
    whole: int = 0
    small: Annotated[int, Field(ge=1, le=9)] = 1
    odd: Annotated[int, Field(multiple_of=3)] = 3
    real: float | None = None
    positive: Annotated[float, Field(gt=0)] = 1.0
    flag: bool = False
    colour: Colour | None = None
    level: Level = Level.LOW
    price: Price | None = None
    quantity: Quantity = Decimal(1)
    least: NonNegative = Decimal(0)
    doubled: Annotated[int, AfterValidator(lambda value: value * 2)] = 1
    ids: tuple[UUID, ...] = ()
    pair: tuple[str, int] | None = None
    names: tuple[Annotated[str, Field(max_length=2)], ...] = ()
    split: SplitRatio | None = None
    either: int | str = 0


EXECUTION = Execution(
    execution_id="E", side=OrderSide.BUY, quantity=Decimal(1), price=Decimal(2), occurred_at=WHEN
)
VALUES: list[Any] = [
    None, True, False, 0, 1, 7, -1, 2**63, 10**40, 1.5, float("nan"), float("inf"),
    "", "a", "ESU3", "é", "a\x00", "\ud800", "x" * 201, Word("a"), "RED", "BUY",
    *map(Decimal, ("0", "-0", "1", "-2.50", "1E+3", "NaN", "Infinity", "1" * 35, "0." + "1" * 33)),
    WHEN, WHEN.replace(fold=1), WHEN.replace(tzinfo=None), WHEN.astimezone(timezone(timedelta(hours=2))),
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), Moment(2026, 1, 2, tzinfo=UTC), WHEN.date(),
    ID, str(ID), (), (ID,), (str(ID),), ("a", "bc"), ("abc",), ["a"], ("a", 1), [], {}, {"a": "b"}, {"new": 2, "old": 1},
    SplitRatio(new=2, old=1), EXECUTION, (EXECUTION,),
    Colour.RED, Level.LOW, OrderSide.BUY, OrderType.LIMIT, OrderType.MARKET, ExecutionStatus.COUNTED,
]  # fmt: skip
USUAL_ORDER = {
    "symbol": "ESU3",
    "side": OrderSide.BUY,
    "order_type": OrderType.MARKET,
    "quantity": Decimal(1),
}
USUAL_FILL = {"quantity": Decimal(1), "price": Decimal(2)}


@st.composite
def given_values(draw: st.DrawFn) -> tuple[type[Event], dict[str, Any]]:
    """A class of events, and values for some of its fields, many of them not of their types."""
    kinds: list[type[Event]] = [Noted, *sorted(shared, key=lambda one: one.__name__)]
    kind = draw(st.sampled_from(kinds))
    names = [name for name in kind.model_fields if name not in ("occurred_at", "created_at")]
    values: dict[str, Any] = {
        "occurred_at": WHEN,
        **({"created_at": WHEN} if "created_at" in kind.model_fields else {}),
    }
    if kind is OrderCreated:
        values.update(USUAL_ORDER)
    elif kind is OrderFilled:
        values.update(USUAL_FILL)
    drawn = st.dictionaries(st.sampled_from([*names, "unknown"]), st.sampled_from(VALUES), max_size=4)
    return kind, {**values, **draw(drawn)}
