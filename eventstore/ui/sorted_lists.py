"""Lists of the read tables for people: ordered by any column, by any of their filters at once.

The most selective filter that is given has an index in the order of time, in which a page is found at once among any number of rows.
In another order the server sorts all rows of that filter for each page. The other filters are tried on the rows that it returns, up to
a number of rows; then the page says how far it has looked, and goes on from there.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ProjectionLagError
from eventstore.log.event_log import EventLog
from eventstore.loop_stalls import TimeLimit
from eventstore.portable import PortableError
from eventstore.repositories.lists import ListStatement
from eventstore.repositories.page import Page
from eventstore.repositories.query import Query
from eventstore.repositories.read_tables import LISTS, READ_TABLES
from eventstore.repositories.session import Consistency, Session
from eventstore.repositories.storage import PostgreSQLStorage, ReadTable
from eventstore.sql import literal

E = TypeVar("E", bound=Entity)

SECONDS_MAX = 5.0
"""How long a page may take, before the server stops and the page says what to do."""

Span = tuple[datetime, datetime]
"""The first and the last time of a range."""

_LOOKED_AT_MAX = 2_000
_BATCH = 200
_WIDE = decimal.Context(prec=400)  # what the server computes without rounding is not rounded here either
_AVERAGE_DECIMALS = 12
_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
_LOWEST = {
    "text": "",
    "numeric": Decimal("-Infinity"),
    "timestamptz": datetime(1, 1, 2, tzinfo=UTC),  # the driver sends the first day as an infinity
}
"""What stands for a value that is not there: it comes first."""


class SlowListError(PortableError):
    """A page took longer than `SECONDS_MAX`."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What a list can be ordered by: the same in SQL and in Python.

    Attributes:
        sql: An expression on `row`; not NULL.
        sql_type: Its type: text, numeric or timestamptz.
        value_of: Returns the value of an entity; None if there is none.
        column: The column of an index that has it; None if there is none.
    """

    sql: str
    sql_type: str
    value_of: Callable[[Any], Any]
    column: str | None = None

    def key(self, entity: Any) -> Any:
        """Return what the entity is ordered by."""
        value = self.value_of(entity)
        return _LOWEST[self.sql_type] if value is None else value

    def parse(self, text: str) -> Any:
        """Return the value that the text of a place says.

        Raises:
            ValueError: It says none.
        """
        if self.sql_type == "text":
            return text
        if self.sql_type == "numeric":
            try:
                return Decimal(text)
            except decimal.InvalidOperation:
                raise ValueError(text) from None
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError(text)
        return found


def _time(name: str, *, is_indexed: bool = False) -> Sort:
    if is_indexed:
        return Sort(f"row.{name}", "timestamptz", attrgetter(name), name)
    lowest = "'0001-01-02T00:00:00Z'::pg_catalog.timestamptz"
    return Sort(f"coalesce(row.{name}, {lowest})", "timestamptz", attrgetter(name))


def _text(name: str) -> Sort:
    sql = f"coalesce(row.{name}::pg_catalog.text, ''::pg_catalog.text) COLLATE pg_catalog.\"C\""

    def value_of(entity: Any) -> str | None:
        value = getattr(entity, name)
        return value.value if isinstance(value, Enum) else None if value is None else str(value)

    return Sort(sql, "text", value_of)


def _number(name: str, sql: str | None = None, value_of: Callable[[Any], Any] | None = None) -> Sort:
    value = f"({sql or f'row.{name}'})::pg_catalog.numeric"
    lowest = "'-Infinity'::pg_catalog.numeric"
    return Sort(f"coalesce({value}, {lowest})", "numeric", value_of or attrgetter(name))


def _average(name: str, cost: str, quantity: str) -> Sort:
    """Return the order of a quotient: by what it is in units of its last decimal, without the rest, which both sides know exactly."""
    unit = 10**_AVERAGE_DECIMALS
    zero = "0::pg_catalog.numeric"
    quotient = f"pg_catalog.div(row.{cost} * {unit}::pg_catalog.numeric, row.{quantity})"

    def value_of(entity: Any) -> Decimal | None:
        divisor = Fraction(getattr(entity, quantity))
        return Decimal(int(Fraction(getattr(entity, cost)) * unit / divisor)) if divisor else None

    return _number(name, f"CASE WHEN row.{quantity} <> {zero} THEN {quotient} END", value_of)


def _unrealized(position: Position) -> Decimal | None:
    if not position.quantity or position.current_price is None:
        return position.unrealized_pnl
    with decimal.localcontext(_WIDE):
        return (position.quantity * position.current_price - position.cost) * position.multiplier


_ZERO = "0::pg_catalog.numeric"
_ACTIVE = ", ".join(sorted(literal(one.value) for one in ACTIVE_ORDER_STATUSES))
SORTS: Mapping[type[Entity], Mapping[str, Sort]] = {
    Order: {
        "created_at": _time("created_at", is_indexed=True),
        **{name: _text(name) for name in ("id", "client_order_id", "symbol", "side", "order_type", "status")},
        "quantity": _number("quantity"),
        "filled_quantity": _number("filled_quantity"),
        "leaves_quantity": _number(
            "leaves_quantity",
            f"CASE WHEN row.status::pg_catalog.text = ANY (ARRAY[{_ACTIVE}]::pg_catalog.text[]) AND row.quantity IS NOT NULL"
            f" THEN greatest(row.quantity - row.filled_quantity, {_ZERO}) ELSE {_ZERO} END",
        ),
        "limit_price": _number("limit_price"),
        "average_fill_price": _average("average_fill_price", "filled_cost", "filled_quantity"),
        "commission": _number("commission"),
        "strategy": _text("strategy"),
        "account": _text("account"),
    },
    Position: {
        "opened_at": _time("opened_at", is_indexed=True),
        "id": _text("id"),
        "symbol": _text("symbol"),
        "quantity": _number("quantity"),
        "average_entry_price": _average("average_entry_price", "cost", "quantity"),
        "current_price": _number("current_price"),
        "unrealized_pnl": _number(
            "unrealized_pnl",
            f"CASE WHEN row.quantity = {_ZERO} THEN {_ZERO}"
            " ELSE (row.quantity * row.current_price - row.cost) * row.multiplier END",
            _unrealized,
        ),
        "realized_pnl": _number("realized_pnl"),
        "commission_paid": _number("commission_paid"),
        **{name: _text(name) for name in ("currency", "strategy", "account", "portfolio_id")},
        "closed_at": _time("closed_at"),
    },
    Portfolio: {
        "created_at": _time("created_at", is_indexed=True),
        **{name: _text(name) for name in ("id", "name", "currency", "strategy")},
        "cash_balance": _number("cash_balance"),
        "total_realized_pnl": _number("total_realized_pnl"),
        "total_commission_paid": _number("total_commission_paid"),
        "trades_count": _number("trades_count"),
    },
}
"""What the lists of each class can be ordered by; the first one is their time."""


def _ordered(one: ListStatement, sort: Sort, *, is_descending: bool) -> ListStatement:
    if sort.column is not None:
        return replace(one, is_descending=is_descending)
    return replace(one, is_descending=is_descending, order=sort.sql, order_type=sort.sql_type)


def _name(statement: str | None, sort: str, *, is_descending: bool) -> str:
    return f"{'-' if is_descending else ''}{sort}/{statement}"


_TABLES: Mapping[type[Entity], ReadTable[Any]] = {
    kind: ReadTable(
        kind,
        projection=READ_TABLES[kind].projection,
        lists={
            _name(statement, name, is_descending=is_descending): _ordered(
                one, sort, is_descending=is_descending
            )
            for statement, one in LISTS.items()
            if one.kind is kind
            for name, sort in sorts.items()
            for is_descending in (False, True)
        },
    )
    for kind, sorts in SORTS.items()
}


@dataclass(frozen=True, slots=True)
class Filter(Generic[E]):
    """A condition on the entities of a list.

    Attributes:
        statement: The list that has it, ascending, with an index; None if no list has it.
        arguments: The arguments of the list.
        matches: Whether an entity fulfils it.
    """

    statement: str | None
    arguments: tuple[Any, ...]
    matches: Callable[[E], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after the entity with this value and id."""

    value: Any
    id: UUID

    @classmethod
    def parse(cls, text: str, sort: Sort) -> Place:
        """Return the place that an address names.

        Raises:
            ValueError: The text names none.
        """
        value, _, id = text.rpartition("_")
        return cls(sort.parse(value), UUID(id))

    def __str__(self) -> str:
        value = self.value
        shown = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        return f"{shown}_{self.id}"


@dataclass(frozen=True, slots=True)
class Listed(Generic[E]):
    """A page.

    Attributes:
        entities: The entities.
        next: Where the next page begins; None at the end.
        is_fresh: Whether it has every event that was committed before; False if the read table lags too far behind.
        last_good_ids: The entities with an event that cannot be folded.
        is_full: Whether the page has as many entities as it may have; otherwise the search has only come so far.
    """

    entities: Sequence[E]
    next: Place | None
    is_fresh: bool
    last_good_ids: frozenset[UUID]
    is_full: bool


@dataclass(frozen=True, slots=True)
class _PageQuery(Query[E]):
    """A query that begins at a place; the entity that was there may not exist any more."""

    place: Place | None = None

    def answer(self, entities: Iterable[E], *, after: E | None = None, limit: int | None = None) -> list[E]:
        """Return the matching ones beyond the place, in order, at most `limit` of them."""
        if self.place is not None:
            key = (self.place.value, self.place.id)
            entities = [
                one
                for one in entities
                if (self.sort_key(one) < key if self.descending else self.sort_key(one) > key)
            ]
        return Query.answer(self, entities, after=after, limit=limit)

    def page_arguments(self, after: E | None) -> Sequence[Any]:  # noqa: ARG002 - the place is the start
        """Return the two arguments for the start of the page."""
        return (None, None) if self.place is None else (self.place.value, self.place.id)


async def list_page(
    log: EventLog,
    kind: type[E],
    filters: Sequence[Filter[E]],
    *,
    sort: str,
    is_descending: bool,
    after: Place | None,
    limit: int,
    span: Span | None = None,
) -> Listed[E]:
    """Return a page of the entities that fulfil all filters; the first one needs a list, and should be the most selective.

    Args:
        log: The log.
        kind: The class of the entities.
        filters: The filters.
        sort: What the list is ordered by.
        is_descending: In which direction.
        after: Where the page begins; None for the first one.
        limit: How many entities a page has.
        span: The first and the last time that a filter lets pass; in the order of time nothing else is looked at.

    Raises:
        SlowListError: The server took longer than `SECONDS_MAX`.
    """
    first, ordered = filters[0], SORTS[kind][sort]
    limits = None if ordered.column is None else span
    if limits is not None and after is None:
        after = Place(limits[1], _LAST_ID) if is_descending else Place(limits[0], _FIRST_ID)
    # Each batch of a list that has no index for its order sorts all rows.
    many = _BATCH if ordered.column is not None else _LOOKED_AT_MAX
    batch_length = limit + 1 if len(filters) == 1 else many
    found: list[E] = []
    last_good: set[UUID] = set()
    looked_at, is_fresh = 0, True

    def page(following: Place | None, *, is_full: bool = True) -> Listed[E]:
        return Listed(found, following, is_fresh, frozenset(last_good), is_full)

    while True:
        query = _PageQuery(
            _name(first.statement, sort, is_descending=is_descending),
            first.arguments,
            first.matches,
            lambda one: (ordered.key(one), one.id),
            descending=is_descending,
            place=after,
        )
        batch, is_fresh = await _batch(log, kind, query, batch_length, is_fresh=is_fresh)
        last_good |= batch.last_good_ids
        for one in batch:
            if len(found) == limit:
                return page(after)
            after = Place(ordered.key(one), one.id)
            if limits is not None and _is_beyond(limits, after.value, is_descending=is_descending):
                return page(None)
            if all(each.matches(one) for each in filters):
                found.append(one)
        looked_at += len(batch)
        if len(batch) < batch_length:
            return page(None)
        if looked_at >= _LOOKED_AT_MAX:
            return page(after, is_full=False)


def _is_beyond(limits: Span, value: datetime, *, is_descending: bool) -> bool:
    return value < limits[0] if is_descending else value > limits[1]


async def _batch(
    log: EventLog, kind: type[E], query: Query[E], limit: int, *, is_fresh: bool
) -> tuple[Page[E], bool]:
    """Return the next entities of a list, and whether they are fresh: not if the read table lags too far behind.

    Raises:
        SlowListError: The server took longer than `SECONDS_MAX`.
    """
    session = Session(PostgreSQLStorage(log, _TABLES))
    try:
        async with TimeLimit(SECONDS_MAX):
            consistency: Consistency = "fresh" if is_fresh else "eventual"
            found = await session.find(
                kind, query, limit=limit, consistency=consistency, quarantined="last_good"
            )
            return found, is_fresh
    except TimeoutError as error:
        raise SlowListError from error
    except ProjectionLagError:
        if not is_fresh:
            raise
    return await _batch(log, kind, query, limit, is_fresh=False)
