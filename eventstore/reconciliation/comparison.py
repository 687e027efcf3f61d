"""Compares a statement with what the store has: what agrees, what is missing where, what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar

from eventstore.core.context import exact, plain
from eventstore.reconciliation.stated import StatedCash, StatedExecution, StatedPosition
from eventstore.reconciliation.statement import Statement

T = TypeVar("T", StatedPosition, StatedCash, StatedExecution)

_ZERO = Decimal(0)
_DECIMALS_MIN = 2


@dataclass(frozen=True, slots=True)
class Difference(Generic[T]):
    """A position, a balance or an execution that both sides have, and of which they say different things.

    Attributes:
        here: What the store says.
        there: What the statement says.
        fields: The names of what differs; `status` if the execution was busted or corrected in the store.
    """

    here: T
    there: T
    fields: tuple[str, ...]

    def __str__(self) -> str:
        told = [
            "taken back here, not there"
            if name == "status"
            else f"{name} {_text(getattr(self.here, name))} here, {_text(getattr(self.there, name))} there"
            for name in self.fields
        ]
        return f"{name_of(self.there)}: {'; '.join(told)}"


@dataclass(frozen=True, slots=True)
class ComparedPart(Generic[T]):
    """One part of a statement, compared. Here is the store, there is the statement.

    Attributes:
        agreeing: What both say; as the statement says it.
        missing_here: What only the statement has.
        missing_there: What only the store has.
        differing: What both have and say differently.
    """

    agreeing: tuple[T, ...] = ()
    missing_here: tuple[T, ...] = ()
    missing_there: tuple[T, ...] = ()
    differing: tuple[Difference[T], ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing and nothing differs."""
        return not (self.missing_here or self.missing_there or self.differing)

    def lines(self) -> list[str]:
        """Return what does not agree, one line each."""
        return [
            *(f"missing here: {told(one)}" for one in self.missing_here),
            *(f"missing there: {told(one)}" for one in self.missing_there),
            *(f"differs: {one}" for one in self.differing),
        ]


@dataclass(frozen=True, slots=True)
class Held:
    """What the store has, in the shapes of a statement.

    Attributes:
        positions: The open positions, one for each symbol and currency.
        cash: The cash by currency.
        executions: The executions that count.
        taken_back: The executions that were busted or corrected.
        currency: The portfolio's currency.
    """

    positions: Sequence[StatedPosition] = ()
    cash: Sequence[StatedCash] = ()
    executions: Sequence[StatedExecution] = ()
    taken_back: Sequence[StatedExecution] = ()
    currency: str | None = None


@dataclass(slots=True)
class _Findings(Generic[T]):
    agreeing: list[T] = field(default_factory=list)
    missing_here: list[T] = field(default_factory=list)
    missing_there: list[T] = field(default_factory=list)
    differing: list[Difference[T]] = field(default_factory=list)

    def add(self, here: T | None, there: T | None, fields: Callable[[T, T], Iterable[str]]) -> None:
        if there is None:
            self.missing_there += [] if here is None else [here]
        elif here is None:
            self.missing_here.append(there)
        elif differing := tuple(fields(here, there)):
            self.differing.append(Difference(here, there, differing))
        else:
            self.agreeing.append(there)

    def comparison(self) -> ComparedPart[T]:
        return ComparedPart(
            tuple(self.agreeing), tuple(self.missing_here), tuple(self.missing_there), tuple(self.differing)
        )


@exact
def compared_positions(statement: Statement, held: Held, tolerance: Decimal) -> ComparedPart[StatedPosition]:
    """Compare the open positions; nothing open is the same as no position."""
    findings: _Findings[StatedPosition] = _Findings()
    left = list(held.positions)

    def differing(here: StatedPosition, there: StatedPosition) -> Iterable[str]:
        if here.quantity != there.quantity:
            yield "quantity"
        if not is_close(here.price, there.price, _ZERO):
            yield "price"
        if not is_close(here.cost, there.cost, tolerance):
            yield "cost"

    for there in statement.positions or ():
        here = next((one for one in left if is_same_position(one, there)), None)
        if here is not None:
            left.remove(here)
        elif not there.quantity:
            findings.agreeing.append(there)
            continue
        findings.add(here, there, differing)
    findings.missing_there += left
    return findings.comparison()


def is_same_position(here: StatedPosition, there: StatedPosition) -> bool:
    """Whether both are of the same instrument, in the same currency as far as both say it."""
    return here.symbol == there.symbol and (
        here.currency is None or there.currency is None or here.currency == there.currency
    )


@exact
def compared_cash(statement: Statement, held: Held, tolerance: Decimal) -> ComparedPart[StatedCash]:
    """Compare the cash; no cash of a currency is the same as 0."""
    findings: _Findings[StatedCash] = _Findings()
    stated = list(statement.cash or ())
    left = {one.currency: one for one in held.cash}
    own = held.currency
    if own is None and not any(one.currency is None for one in stated):
        # A portfolio whose currency has no name has the one currency that is of nothing else.
        unknown = [one.currency for one in stated if one.currency not in left]
        own = unknown[0] if len(unknown) == 1 else None
        if None in left and own is not None:
            left[own] = left.pop(None)

    def differing(here: StatedCash, there: StatedCash) -> Iterable[str]:
        if not is_close(here.amount, there.amount, tolerance):
            yield "amount"

    for there in stated:
        currency = own if there.currency is None else there.currency
        here = left.pop(currency, None)
        if here is None and not there.amount:
            findings.agreeing.append(there)
        else:
            findings.add(here, there, differing)
    findings.missing_there += [one for one in left.values() if one.amount]
    return findings.comparison()


@exact
def compared_executions(statement: Statement, held: Held) -> ComparedPart[StatedExecution]:
    """Compare the executions from `Statement.executions_since` on."""
    findings: _Findings[StatedExecution] = _Findings()
    left, taken_back = list(held.executions), list(held.taken_back)
    unmatched = []
    for there in sorted(statement.executions or (), key=lambda one: not one.has_id):
        here = _counterpart(there, left, _SAME_ORDER)
        if here is None:
            unmatched.append(there)
        else:
            left.remove(here)
            findings.add(here, there, _differing)
    for there in unmatched:
        # Each side may have its own name of a venue, or the client order id of before or after a replace.
        here = _counterpart(there, left, _OURS) if there.has_id else None
        if here is not None:
            left.remove(here)
            findings.differing.append(Difference(here, there, _differing_in_all(here, there)))
            continue
        here = _counterpart(there, taken_back, _OURS) if there.has_id else None
        if here is None:
            findings.missing_here.append(there)
        else:
            taken_back.remove(here)
            findings.differing.append(Difference(here, there, ("status", *_differing(here, there))))
    since = statement.executions_since
    findings.missing_there += [one for one in left if since is not None and one.time >= since]
    return findings.comparison()


_OURS = ("order_id",)
_SAME_ORDER = ("order_id", "client_order_id", "broker_order_id", "account", "venue")


def _counterpart(
    there: StatedExecution, left: Sequence[StatedExecution], same: Sequence[str]
) -> StatedExecution | None:
    """Return what the store has of a stated execution: the one of its id, and of its content if there are several.

    Args:
        there: The stated execution; one without an id is found by its content.
        left: What the store has.
        same: The fields that must be the same as far as both say them.
    """
    found = [
        one
        for one in left
        if one.symbol == there.symbol and _has_id_of(one, there) and _agree(one, there, same)
    ]
    if not there.has_id:
        found = [one for one in found if not _differing(one, there)]
        return min(found, key=lambda one: abs(one.time - there.time), default=None)
    return min(found, key=lambda one: (one.side is not there.side, len(_differing(one, there))), default=None)


def _has_id_of(here: StatedExecution, there: StatedExecution) -> bool:
    return not there.has_id or (here.has_id and here.execution_id == there.execution_id)


def _agree(here: StatedExecution, there: StatedExecution, names: Sequence[str]) -> bool:
    return all(
        None in {getattr(here, name), getattr(there, name)} or getattr(here, name) == getattr(there, name)
        for name in names
    )


def _differing_in_all(here: StatedExecution, there: StatedExecution) -> tuple[str, ...]:
    return (
        *_differing(here, there),
        *(name for name in _SAME_ORDER if not _agree(here, there, [name])),
    )


def _differing(here: StatedExecution, there: StatedExecution) -> list[str]:
    fields = [name for name in ("side", "quantity", "price") if getattr(here, name) != getattr(there, name)]
    if not is_close(here.commission or _ZERO, there.commission, _ZERO):
        fields.append("commission")
    if (
        here.commission
        and here.commission_currency is not None
        and there.commission_currency not in (None, here.commission_currency)
    ):
        fields.append("commission_currency")
    return fields


def is_close(here: Decimal | None, there: Decimal | None, tolerance: Decimal) -> bool:
    """Whether an amount is the stated one, as far as the statement shows its digits, and never beyond half a cent.

    Args:
        here: What the store has.
        there: What the statement says; None: it does not say.
        tolerance: How much more they may differ.
    """
    if here is None or there is None:
        return True
    exponent = there.as_tuple().exponent
    decimals = max(-exponent if isinstance(exponent, int) else 0, _DECIMALS_MIN)
    return abs(here - there) <= Decimal(5).scaleb(-decimals - 1) + tolerance


def name_of(one: StatedPosition | StatedCash | StatedExecution) -> str:
    """Return what something is called in a report."""
    if isinstance(one, StatedPosition):
        return one.symbol
    if isinstance(one, StatedCash):
        return one.currency or "the portfolio's currency"
    return f"{one.execution_id or 'an execution without an id'} in {one.symbol}"


def told(one: StatedPosition | StatedCash | StatedExecution) -> str:
    """Return what a statement says of something, in words."""
    if isinstance(one, StatedPosition):
        price = "" if one.price is None else f" at {_text(one.price)}"
        return f"{_text(one.quantity)} {one.symbol}{price}"
    if isinstance(one, StatedCash):
        return f"{_text(one.amount)} {name_of(one)}"
    return f"{name_of(one)}: {one.side} {_text(one.quantity)} at {_text(one.price)}, {one.time.isoformat()}"


def _text(value: Any) -> str:
    return f"{plain(value):f}" if isinstance(value, Decimal) else str(value)
