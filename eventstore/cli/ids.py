"""How commands find an entity: by its id, the beginning of its id, an id of a client or a broker, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from eventstore.cli.running import NotFoundError
from eventstore.database.access import read_rows
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore

ID_HELP = "An id, the beginning of one, or of an order its client order id or broker order id; of a portfolio its name."
"""The help of an argument that `find` understands."""

_BEGINNING_DIGITS_MIN = 4
_LISTED_MAX = 10
_UUID_DIGITS = 32
_DASHES_AFTER = (8, 12, 16, 20)

_ALSO_BY = {"order": "a client order id or a broker order id", "portfolio": "a name"}


async def find(store: EventStore, text: str, category: str | None = None) -> UUID:
    """Return the id of the one entity that a text names.

    A whole id is returned as it is, whether or not it exists. Otherwise an order is found by its client order id or its
    broker order id, a portfolio by its name, and any entity by the beginning of its id, in this order.

    Args:
        store: The store.
        text: What the user wrote.
        category: The category of the entity; None for any.

    Raises:
        NotFoundError: Nothing has it.
        ConfigurationError: Several have it; the message lists them.
    """
    with suppress(ValueError):
        return UUID(text)
    found = await _by_other_ids(store, text, category)
    if not found:
        found = await _by_beginning(store, text, category)
    if len(found) > 1:
        listed = ", ".join(list(found.values())[:_LISTED_MAX])
        more = ", and more" if len(found) > _LISTED_MAX else ""
        raise ConfigurationError(f"{text!r} is ambiguous: {listed}{more}")
    if not found:
        raise NotFoundError(_not_found(text, category))
    return next(iter(found))


async def _by_other_ids(store: EventStore, text: str, category: str | None) -> dict[UUID, str]:
    """Return the ids of the orders and portfolios that have an id or a name, each with its description."""
    if "\0" in text:  # PostgreSQL has no such text
        return {}
    orders: Iterable[Any] = ()
    portfolios: Iterable[Any] = ()
    async with store.unit_of_work() as uow:
        if category in {None, "order"}:
            limit = _LISTED_MAX + 1
            orders = [
                *await uow.orders.get_orders_by_client_order_id(text, limit=limit, quarantined="last_good"),
                *await uow.orders.get_orders_by_broker_id(text, limit=limit, quarantined="last_good"),
            ]
        if category in {None, "portfolio"}:
            listed = await uow.portfolios.get_all_portfolios(quarantined="last_good")
            portfolios = [one for one in listed if one.name == text]
    return {
        one.id: f"{one.id} ({one.side} {one.symbol} of {one.created_at:%Y-%m-%d %H:%M:%S})" for one in orders
    } | {one.id: f"{one.id} ({one.name} of {one.created_at:%Y-%m-%d %H:%M:%S})" for one in portfolios}


async def _by_beginning(store: EventStore, text: str, category: str | None) -> dict[UUID, str]:
    """Return the ids of the streams whose ids begin with a text, each with its description."""
    digits = _digits(text)
    if digits is None:
        return {}
    first, last = (UUID(digits.ljust(_UUID_DIGITS, fill)) for fill in "0f")
    rows = await read_rows(store.log.connection, "log/find_streams", first, last, category, _LISTED_MAX + 1)
    return {row["stream_id"]: f"{row['stream_id']} ({row['category']})" for row in rows}


def _digits(text: str) -> str | None:
    """Return the hexadecimal digits of the beginning of an id; None if it is not one, or too short to be told apart."""
    digits = text.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]+", digits) or not _BEGINNING_DIGITS_MIN <= len(digits) <= _UUID_DIGITS:
        return None
    parts = [
        digits[start:end] for start, end in zip((0, *_DASHES_AFTER), (*_DASHES_AFTER, None), strict=True)
    ]
    whole = "-".join(part for part in parts if part)
    return digits if text.lower().removesuffix("-") in {whole, digits} else None


def _not_found(text: str, category: str | None) -> str:
    known = ["an id", f"the beginning of an id ({_BEGINNING_DIGITS_MIN} digits or more)"]
    known += [_ALSO_BY[one] for one in _ALSO_BY if category in {None, one}]
    return f"there is no {category or 'stream'} {text!r}: give {', '.join(known[:-1])} or {known[-1]}"
