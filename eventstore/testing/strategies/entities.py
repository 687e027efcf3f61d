"""Orders, positions and portfolios in any reachable state, and the histories that lead there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from hypothesis import strategies as st

from eventstore.core.context import use_clock
from eventstore.core.entity import Entity
from eventstore.domain.executions import NO_ID
from eventstore.domain.order import Order, OrderSide, OrderType, TimeInForce
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.domain.position import Position
from eventstore.errors import DomainError

E = TypeVar("E", bound=Entity)

EPOCH = datetime(2024, 1, 2, 15, 0, tzinfo=UTC)
"""The time at which every history begins; its commands happen within the hour after it."""

COMMANDS_MAX = 12
"""The default for the most commands of a history."""

_SYMBOLS = ("ES", "AAPL", "BTC-USD", "€STR")
_EXECUTIONS = ("E-1", "E-2", "E-3", "E-4", "E-5", "E-6")


@dataclass(frozen=True)
class Command:
    """A call of one method of an entity.

    Attributes:
        method: The method's name; `=` assigns the arguments to fields.
        arguments: The keyword arguments.
    """

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def run(self, entity: Any) -> Any:
        """Make the call, and return its result.

        Raises:
            DomainError: A rule forbids it; the entity is unchanged.
        """
        if self.method == "=":
            for name, value in self.arguments.items():
                setattr(entity, name, value)
            return None
        return getattr(entity, self.method)(**self.arguments)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        given = [f"{name}={_shown(value)}" for name, value in self.arguments.items()]
        return (
            "; ".join(f".{each}" for each in given)
            if self.method == "="
            else f".{self.method}({', '.join(given)})"
        )


@dataclass(frozen=True)
class History(Generic[E]):
    """The creation of an entity, and the legal commands after it.

    Attributes:
        make: The factory, which is called with `arguments`.
        arguments: The keyword arguments of the factory.
        commands: The commands after that; each was legal at its time.
    """

    make: Callable[..., E]
    arguments: Mapping[str, Any]
    commands: Sequence[Command]

    def play(self) -> list[E]:
        """Create the entity and run the commands on it; the same history gives the same events each time.

        Returns:
            The entity, with its events pending. If a command returns another entity, as a fill through zero
            does, that entity is added to the list, and later commands go to the last one.
        """
        with use_clock(lambda: EPOCH):
            entities = [self.make(**self.arguments)]
            for command in self.commands:
                _take(command, entities)
        return entities

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        name = getattr(self.make, "__qualname__", repr(self.make))
        return "\n    ".join([f"{name}({given})", *map(repr, self.commands)])


def _shown(value: Any) -> str:
    if isinstance(value, StrEnum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, datetime):
        minutes, rest = divmod(value - EPOCH, timedelta(minutes=1))
        parts = {"minutes": minutes, "microseconds": rest // timedelta(microseconds=1)}
        said = ", ".join(f"{name}={number}" for name, number in parts.items() if number)
        shown = f"EPOCH + timedelta({said})" if said else "EPOCH"
        offset = value.utcoffset()
        if not offset:
            return shown
        zone = f"timezone(timedelta(minutes={offset // timedelta(minutes=1)}))"
        return f"({shown}).astimezone({zone})"
    return repr(value)


def _take(command: Command, entities: list[E]) -> None:
    result = command.run(entities[-1])
    if isinstance(result, Entity):
        entities.append(result)  # type: ignore[arg-type]


def _legal(make: Callable[..., E], arguments: Mapping[str, Any], commands: Sequence[Command]) -> History[E]:
    """Return the history of the commands that no rule forbids."""
    taken: list[Command] = []
    with use_clock(lambda: EPOCH):
        entities = [make(**arguments)]
        for command in commands:
            try:
                _take(command, entities)
            except DomainError:
                continue
            taken.append(command)
    return History(make, arguments, tuple(taken))


# ---- values ------------------------------------------------------------------------------------------------


def quantities() -> st.SearchStrategy[Decimal]:
    """Generate positive quantities: mostly small whole numbers, also fractions and other exponents."""
    return st.one_of(
        st.integers(1, 20).map(Decimal),
        st.integers(1, 10_000).map(lambda hundredths: Decimal(hundredths).scaleb(-2)),
        st.sampled_from([Decimal("1E+2"), Decimal("0.00000001"), Decimal("10.0"), Decimal("33.333")]),
    )


def prices() -> st.SearchStrategy[Decimal]:
    """Prices in quarters, in cents and in odd digits; some are zero or below."""
    return st.one_of(
        st.integers(1, 400).map(lambda quarters: Decimal(quarters) / 4),
        st.integers(-500, 50_000).map(lambda cents: Decimal(cents).scaleb(-2)),
        st.sampled_from([Decimal("4.5E+3"), Decimal("0.1234567890123456789"), Decimal("-37.63"), Decimal(0)]),
    )


def commissions() -> st.SearchStrategy[Decimal]:
    """Commissions, mostly none or a few cents; a rebate is negative."""
    return st.one_of(st.just(Decimal(0)), st.integers(-50, 500).map(lambda cents: Decimal(cents).scaleb(-2)))


def amounts() -> st.SearchStrategy[Decimal]:
    """Amounts of money, of either sign, in cents."""
    return st.integers(-1_000_000, 1_000_000).map(lambda cents: Decimal(cents).scaleb(-2))


_MINUTES = 61
# The simplest value comes first. One drawn number decides all, which is faster than one draw for each.
_IN_THE_MINUTE: Sequence[tuple[int, tzinfo]] = (
    (0, UTC),
    (0, timezone(-timedelta(hours=5))),
    (1, UTC),
    (123_456, timezone(timedelta(hours=5, minutes=30))),
    (999_999, UTC),
)


def times() -> st.SearchStrategy[datetime]:
    """Times within the hour after `EPOCH`: whole minutes and microseconds, by the clocks of several time zones."""

    def when(number: int) -> datetime:
        kind, minutes = divmod(number, _MINUTES)
        microseconds, zone = _IN_THE_MINUTE[kind]
        at = EPOCH + timedelta(minutes=minutes, microseconds=microseconds)
        return at if zone is UTC else at.astimezone(zone)

    return st.integers(0, _MINUTES * len(_IN_THE_MINUTE) - 1).map(when)


@st.composite
def _command(draw: st.DrawFn, /, method: str, **arguments: st.SearchStrategy[Any]) -> Command:
    return Command(method, {name: draw(strategy) for name, strategy in arguments.items()})


def _some(
    weighted: Mapping[st.SearchStrategy[Command], int], commands_max: int
) -> st.SearchStrategy[list[Command]]:
    """Generate lists of commands with weights, which `one_of` lacks: orders cancelled at once test little."""
    drawn = [command for command, weight in weighted.items() for _ in range(weight)]
    return st.lists(st.sampled_from(drawn).flatmap(lambda command: command), max_size=commands_max)


def _execution_ids() -> st.SearchStrategy[str]:
    return st.sampled_from(_EXECUTIONS)


# Hypothesis checks a strategy on its first draw, so strategies are not created inside a draw.
_quantities, _prices, _commissions = cache(quantities), cache(prices), cache(commissions)


# ---- orders ------------------------------------------------------------------------------------------------

_WITH_STOP_PRICE = (
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TRAILING_STOP,
    OrderType.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED,
)
_WITH_LIMIT_PRICE = (
    OrderType.LIMIT,
    OrderType.STOP_LIMIT,
    OrderType.LIMIT_ON_CLOSE,
    OrderType.LIMIT_IF_TOUCHED,
)


def order_commands(commands_max: int = COMMANDS_MAX) -> st.SearchStrategy[list[Command]]:
    """Commands of an order, legal or not, in any sequence."""
    fill = {
        "quantity": quantities(),
        "price": prices(),
        "execution_id": _execution_ids(),
        "commission": commissions(),
        "occurred_at": times(),
    }
    special = {
        "execution_id": st.one_of(_execution_ids(), st.sampled_from([None, NO_ID])),
        "commission_currency": st.sampled_from([None, "BNB", "USD"]),
        "venue": st.sampled_from([None, "XNAS"]),
        "from_venue": st.sampled_from([None, True, False]),
        "allow_overfill": st.booleans(),
    }
    correction = _command(
        "correct_fill",
        execution_id=_execution_ids(),
        quantity=quantities(),
        price=prices(),
        new_execution_id=st.one_of(st.none(), _execution_ids()),
        occurred_at=times(),
    )
    client_ids = {"client_order_id": st.sampled_from([None, "C-1", "C-2", "C-3"]), "occurred_at": times()}
    ratios = st.sampled_from([(2, 1), (1, 2), (5, 4), (1, 10)])
    weighted = {
        _command("fill", **fill): 10,
        _command("fill", **{**fill, **special}): 4,
        _command("submit", broker_order_id=st.just("B-1"), occurred_at=times()): 3,
        _command("bust_fill", execution_id=_execution_ids(), occurred_at=times()): 3,
        correction: 3,
        _command("amend", quantity=quantities(), occurred_at=times()): 1,
        _command("amend", cash_quantity=quantities(), occurred_at=times()): 1,
        _command("amend", limit_price=prices(), occurred_at=times()): 1,
        _command("amend", broker_order_id=st.sampled_from(["B-1", "B-2"]), **client_ids): 1,
        _command("request_cancel", **client_ids): 1,
        _command("request_replace", **client_ids): 1,
        _command("reject_request", reason=st.just("too late"), **client_ids): 1,
        ratios.map(
            lambda ratio: Command("split", {"new": ratio[0], "old": ratio[1], "occurred_at": EPOCH})
        ): 1,
        _command("change_symbol", symbol=st.sampled_from(_SYMBOLS), occurred_at=times()): 1,
        _command("complete", occurred_at=times()): 1,
        _command("=", tags=st.lists(st.sampled_from(["a", "ü"]), max_size=2).map(tuple)): 1,
        _command("cancel", reason=st.sampled_from([None, "by the user"]), occurred_at=times()): 1,
        _command("expire", occurred_at=times()): 1,
        _command("reject", reason=st.just("no such symbol"), occurred_at=times()): 1,
    }
    return _some(weighted, commands_max)


_order_commands = cache(order_commands)


@st.composite
def _order_beginnings(draw: st.DrawFn) -> tuple[Callable[..., Order], dict[str, Any]]:
    order_type = draw(st.sampled_from(OrderType))
    arguments: dict[str, Any] = {
        "symbol": draw(st.sampled_from(_SYMBOLS)),
        "quantity": draw(st.one_of(st.sampled_from([Decimal(30), Decimal("100.5")]), quantities())),
        "side": draw(st.sampled_from(OrderSide)),
    }
    if order_type in _WITH_STOP_PRICE:
        arguments["stop_price"] = draw(_prices())
    if order_type in _WITH_LIMIT_PRICE:
        arguments["limit_price"] = draw(_prices())
    if draw(st.integers(0, 9)) == 0:
        arguments |= {"quantity": None, "cash_quantity": draw(_quantities())}
    arguments |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "time_in_force": st.sampled_from(TimeInForce),
                "multiplier": st.sampled_from([Decimal(50), Decimal("0.1")]),
                "strategy": st.just("mean-reversion"),
                "portfolio_id": st.just(UUID(int=1)),
                "tags": st.just(("a", "b")),
                "client_order_id": st.sampled_from(["C-1", "C-2"]),
                "account": st.sampled_from(["A-1", "A-2"]),
                "venue": st.just("XNYS"),
                "parent_id": st.just(UUID(int=2)),
                "list_id": st.just("L-1"),
            },
        )
    )
    make: Callable[..., Order] = getattr(Order, f"create_{order_type.lower()}_order")
    return make, arguments | {"occurred_at": EPOCH}


@st.composite
def order_histories(draw: st.DrawFn, commands_max: int = COMMANDS_MAX) -> History[Order]:
    """Legal lives of an order: `history.play()[0]` is the order, its events pending."""
    make, arguments = draw(_order_beginnings())
    return _legal(make, arguments, draw(_order_commands(commands_max)))


def orders() -> st.SearchStrategy[Order]:
    """Orders in any reachable state, their events pending."""
    return order_histories().map(lambda history: history.play()[-1])


# ---- positions ---------------------------------------------------------------------------------------------


def position_commands(commands_max: int = COMMANDS_MAX) -> st.SearchStrategy[list[Command]]:
    """Commands of a position, legal or not, in any sequence."""
    fill = _command(
        "apply_fill",
        side=st.sampled_from(OrderSide),
        quantity=quantities(),
        price=prices(),
        execution_id=_execution_ids(),
        commission=commissions(),
        occurred_at=times(),
    )
    change = {
        "quantity": quantities(),
        "price": prices(),
        "commission": commissions(),
        "occurred_at": times(),
    }
    correction = _command(
        "correct_fill",
        execution_id=_execution_ids(),
        quantity=quantities(),
        price=prices(),
        new_execution_id=st.one_of(st.none(), _execution_ids()),
        occurred_at=times(),
    )
    split = _command(
        "split", new=st.sampled_from([Decimal(2), Decimal(3)]), old=st.sampled_from([Decimal(1), Decimal(2)]),
        occurred_at=times(),
    )  # fmt: skip
    weighted = {
        fill: 12,
        _command("bust_fill", execution_id=_execution_ids(), occurred_at=times()): 2,
        correction: 2,
        split: 1,
        _command("add", **change): 2,
        _command("reduce", **change): 2,
        _command("mark", price=prices(), occurred_at=times()): 1,
        _command("=", stop_loss_price=st.one_of(st.none(), prices())): 1,
        _command("close", price=st.one_of(st.none(), prices()), occurred_at=times()): 1,
    }
    return _some(weighted, commands_max)


_position_commands = cache(position_commands)


@st.composite
def position_histories(draw: st.DrawFn, commands_max: int = COMMANDS_MAX) -> History[Position]:
    """Legal lives of a position, and of those that it flipped to: `history.play()` gives all, the last one last."""
    arguments: dict[str, Any] = {
        "symbol": draw(st.sampled_from(_SYMBOLS)),
        "quantity": draw(_quantities()) * draw(st.sampled_from([1, -1])),
        "entry_price": draw(_prices()),
        "commission": draw(_commissions()),
        "multiplier": draw(st.sampled_from([Decimal(1), Decimal(50), Decimal("0.1")])),
        "occurred_at": EPOCH,
    }
    return _legal(Position.open_position, arguments, draw(_position_commands(commands_max)))


def positions() -> st.SearchStrategy[Position]:
    """Positions in any reachable state, their events pending."""
    return position_histories().map(lambda history: history.play()[-1])


# ---- portfolios --------------------------------------------------------------------------------------------


def portfolio_commands(commands_max: int = COMMANDS_MAX) -> st.SearchStrategy[list[Command]]:
    """Commands of a portfolio, legal or not, in any sequence."""
    ids = st.sampled_from(["T-1", "T-2", "T-3", "T-4", None, "0"])
    currencies = st.sampled_from([None, None, "USD", "EUR", "BNB"])
    of = {"order_id": st.sampled_from([None, UUID(int=1)]), "venue": st.sampled_from([None, "X"])}
    trade = {
        "trade_id": ids,
        "realized_pnl": st.one_of(st.none(), amounts()),
        "commission": commissions(),
        "currency": currencies,
        "commission_currency": currencies,
        **of,
        "occurred_at": times(),
    }
    back = {"trade_id": ids, **of, "realized_pnl_change": st.one_of(st.just(Decimal(0)), amounts())}
    moved = {"currency": currencies, "external_id": ids, "occurred_at": times()}
    weighted = {
        _command("record_trade", **trade): 4,
        _command("record_trade", **trade, cash_flow=amounts()): 4,
        _command("bust_trade", **back, occurred_at=times()): 2,
        _command("correct_trade", **back, new_trade_id=ids, realized_pnl=amounts(), occurred_at=times()): 2,
        _command("record_cash", kind=st.sampled_from(CashKind), amount=amounts(), **moved): 3,
        _command("deposit", amount=amounts(), **moved): 2,
        _command("withdraw", amount=amounts(), **moved): 2,
        _command(
            "convert",
            from_currency=currencies,
            from_amount=amounts(),
            to_currency=currencies,
            to_amount=amounts(),
            external_id=ids,
            occurred_at=times(),
        ): 1,
        _command("=", max_positions=st.one_of(st.none(), st.integers(-1, 5))): 1,
        _command("=", may_go_below_zero=st.booleans()): 1,
    }
    return _some(weighted, commands_max)


_portfolio_commands = cache(portfolio_commands)


@st.composite
def portfolio_histories(draw: st.DrawFn, commands_max: int = COMMANDS_MAX) -> History[Portfolio]:
    """Legal lives of a portfolio: `history.play()[0]` is the portfolio, its events pending."""
    arguments: dict[str, Any] = {
        "name": draw(st.sampled_from(["Main", "Zweites"])),
        "currency": draw(st.sampled_from([None, "USD"])),
        "initial_capital": draw(st.sampled_from([Decimal(100_000), Decimal(0), Decimal("0.01")])),
        "created_at": EPOCH,
    }
    return _legal(Portfolio, arguments, draw(_portfolio_commands(commands_max)))


def portfolios() -> st.SearchStrategy[Portfolio]:
    """Portfolios in any reachable state, their events pending."""
    return portfolio_histories().map(lambda history: history.play()[-1])
