"""Entities that a text may name: an id of a client or a broker, a name, or the beginning of an id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from eventstore.database.access import read_rows

if TYPE_CHECKING:
    from eventstore.store import EventStore

BEGINNING_DIGITS_MIN = 4
"""The beginning of an id has at least so many digits."""

_UUID_DIGITS = 32
_DASHES_AFTER = (8, 12, 16, 20)


class Named(NamedTuple):
    """An entity that a text names.

    Attributes:
        category: Its category.
        what: What tells it apart from others of the name, such as its symbol and its time.
    """

    category: str
    what: str


async def by_other_ids(
    store: EventStore, text: str, category: str | None = None, *, limit: int
) -> dict[UUID, Named]:
    """Return the orders that have or had a client or broker order id, and the portfolios of a name."""
    if "\0" in text:  # PostgreSQL has no such text
        return {}
    orders: Iterable[Any] = ()
    portfolios: Iterable[Any] = ()
    async with store.unit_of_work() as uow:
        if category in {None, "order"}:
            orders = [
                *await uow.orders.get_orders_by_client_order_id(text, limit=limit, quarantined="last_good"),
                *await uow.orders.get_orders_by_broker_id(text, limit=limit, quarantined="last_good"),
            ]
        if category in {None, "portfolio"}:
            listed = await uow.portfolios.get_all_portfolios(quarantined="last_good")
            portfolios = [one for one in listed if one.name == text]
    return {one.id: Named("order", f"{one.side} {one.symbol} of {_second(one)}") for one in orders} | {
        one.id: Named("portfolio", f"{one.name} of {_second(one)}") for one in portfolios
    }


def _second(one: Any) -> str:
    return f"{one.created_at:%Y-%m-%d %H:%M:%S}"


async def by_beginning(
    store: EventStore, text: str, category: str | None = None, *, limit: int
) -> dict[UUID, Named]:
    """Return the streams whose ids begin with a text."""
    digits = _digits(text)
    if digits is None:
        return {}
    first, last = (UUID(digits.ljust(_UUID_DIGITS, fill)) for fill in "0f")
    rows = await read_rows(store.log.connection, "log/find_streams", first, last, category, limit)
    return {row["stream_id"]: Named(row["category"], row["category"]) for row in rows}


def _digits(text: str) -> str | None:
    """Return the hexadecimal digits of the beginning of an id; None if it is not one, or too short to be told apart."""
    digits = text.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]+", digits) or not BEGINNING_DIGITS_MIN <= len(digits) <= _UUID_DIGITS:
        return None
    parts = [
        digits[start:end] for start, end in zip((0, *_DASHES_AFTER), (*_DASHES_AFTER, None), strict=True)
    ]
    whole = "-".join(part for part in parts if part)
    return digits if text.lower().removesuffix("-") in {whole, digits} else None
