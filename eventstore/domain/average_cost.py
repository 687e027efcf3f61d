"""The average cost method: what is open after each trade, what it cost, and what a trade realises.

Call these functions in the library's decimal context.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from eventstore.core.context import plain, product, total
from eventstore.domain.division import cost_share
from eventstore.domain.executions import Execution, ExecutionKey
from eventstore.domain.order_events import ZERO


class Open(NamedTuple):
    """What is open.

    Attributes:
        quantity: Positive for long, negative for short.
        cost: The sum of signed quantity x price of what is open, without the multiplier.
    """

    quantity: Decimal
    cost: Decimal


NOTHING = Open(ZERO, ZERO)
"""Nothing is open."""

SPLIT_REST = Decimal("1E-20")
"""What the divisions of a split may leave of a quantity: parts and whole have 24 decimals. No venue counts as finely."""


_open = tuple.__new__  # takes half the time of the constructor


def traded(
    held: Open, signed: Decimal, price: Decimal, *, value: Decimal | None = None, rest: Decimal = ZERO
) -> tuple[Open, Decimal | None]:
    """Return what is open after one more trade, and what it realised for a multiplier of 1.

    A trade on the side of what is open adds quantity x price to its cost. A trade on the other side takes the same share of
    the cost as of the quantity, and realises the difference. What is left of it beyond zero opens at its price.

    Args:
        held: What was open before.
        signed: The quantity; positive if it was bought.
        price: The price of one.
        value: `signed` x `price`, if a split has rounded one of the two.
        rest: What a split's divisions may leave of a quantity; less is nothing.

    Returns:
        What is open, and the result; None for the result if it closed nothing.
    """
    quantity, cost = held
    paid = product(signed, price) if value is None else value
    if not quantity:
        return Open(signed, paid), None
    after = total(quantity, signed)
    if (signed > 0) is (quantity > 0):
        return _open(Open, (after, total(cost, paid))), None
    if abs(after) <= rest:
        return NOTHING, plain(-paid - cost)
    closed, whole = abs(signed), abs(quantity)
    if closed < whole:
        share = cost_share(cost, closed, whole)
        return _open(Open, (after, total(cost, -share))), total(-paid, -share)
    opened = product(after, price) if value is None else cost_share(paid, after, signed)
    return Open(after, opened), plain(opened - paid - cost)


def open_after(executions: Iterable[Execution], before: Open = NOTHING) -> Open:
    """Return what executions leave open, without those that do not count, in the shares of now.

    Args:
        executions: All of them since `before`, in the order of report. A correction is where the first report was.
        before: What was open before them, without an execution.
    """
    held = before
    in_order = in_place(executions)
    rest = SPLIT_REST if any(one.reported_quantity is not None for one in in_order) else ZERO
    for one in in_order:
        if one.counts and one.side is not None:
            sign = one.side.sign
            value = None if one.reported_quantity is None else sign * one.cost
            held, _ = traded(held, sign * one.quantity, one.price, value=value, rest=rest)
    return held


def in_place(executions: Iterable[Execution]) -> list[Execution]:
    """Return executions in the order of report, each correction in the place of what it replaced."""
    places: dict[ExecutionKey, int] = {}
    found: list[Execution] = []
    for execution in executions:
        place = len(found)
        if execution.corrects is not None:
            corrected = ExecutionKey(
                execution.corrects, execution.order_id, execution.account, execution.venue
            )
            place = places.get(corrected, place)
        found[place : place + 1] = [execution]
        if execution.key is not None:
            places[execution.key] = place
    return found
