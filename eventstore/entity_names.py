"""Entities that a text may name: an id of a client or a broker, a name, or the beginning of an id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from eventstore.database.access import read_rows
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError
from eventstore.repositories.portfolio_repository import named
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.repositories.session import Session
from eventstore.repositories.storage import PostgreSQLStorage

if TYPE_CHECKING:
    from eventstore.store import EventStore

BEGINNING_DIGITS_MIN = 4
"""The beginning of an id has at least so many digits."""

_LISTED_MAX = 10
_ALSO_BY = {"order": "a client or broker order id", "portfolio": "a name"}
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
    if category in {None, "order"}:
        async with store.unit_of_work() as uow:
            orders = [
                *await uow.orders.get_orders_by_client_order_id(text, limit=limit, quarantined="last_good"),
                *await uow.orders.get_orders_by_broker_id(text, limit=limit, quarantined="last_good"),
            ]
    if category in {None, "portfolio"}:
        portfolios = await _portfolios_named(store, text, limit)
    return {one.id: Named("order", f"{one.side} {one.symbol} of {_second(one)}") for one in orders} | {
        one.id: Named("portfolio", f"{one.name} of {_second(one)}") for one in portfolios
    }


async def _portfolios_named(store: EventStore, name: str, limit: int) -> Iterable[Portfolio]:
    session = Session(PostgreSQLStorage(store.log, READ_TABLES))
    return await session.find(Portfolio, named(name), limit=limit, quarantined="last_good")


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


async def find(store: EventStore, text: str, category: str | None = None) -> UUID:
    """Return the id of the one entity that a text names.

    A whole id is returned as it is, whether or not it exists. Otherwise an order is found by its client order id or its
    broker order id, a portfolio by its name, and any entity by the beginning of its id, in this order.

    Args:
        store: The store.
        text: What the user wrote.
        category: The category of the entity; None for any.

    Raises:
        UnknownNameError: Nothing has it.
        ConfigurationError: Several have it; the message lists them.
    """
    with suppress(ValueError):
        return UUID(text)
    limit = _LISTED_MAX + 1
    found = await by_other_ids(store, text, category, limit=limit)
    if not found:
        found = await by_beginning(store, text, category, limit=limit)
    if len(found) > 1:
        listed = ", ".join(f"{id} ({one.what})" for id, one in list(found.items())[:_LISTED_MAX])
        more = ", and more" if len(found) > _LISTED_MAX else ""
        raise ConfigurationError(f"{text!r} is ambiguous: {listed}{more}")
    if not found:
        raise UnknownNameError(_unknown(text, category))
    return next(iter(found))


class UnknownNameError(ConfigurationError):
    """No entity has the name or the id that was asked for."""


def _unknown(text: str, category: str | None) -> str:
    known = ["an id", f"the beginning of an id ({BEGINNING_DIGITS_MIN} digits or more)"]
    known += [_ALSO_BY[one] for one in _ALSO_BY if category in {None, one}]
    return f"there is no {category or 'stream'} {text!r}: give {', '.join(known[:-1])} or {known[-1]}"


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
