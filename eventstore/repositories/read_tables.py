"""The read tables of the trading entities, and the lists that are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.core.entity import Entity
from eventstore.domain.instrument import Instrument
from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from eventstore.domain.position import Position
from eventstore.domain.position_events import PositionMarked, PositionOpened, PositionSplit
from eventstore.repositories.lists import Belonging, ListStatement, event_may_give, has_value
from eventstore.repositories.storage import ReadTable
from eventstore.sql import literal

_ID_AS_JSON = "pg_catalog.to_jsonb($5::pg_catalog.text)"
_HAS_STATUS = "OPERATOR(pg_catalog.=) $5::pg_catalog.text::{schema}.order_status"


def _by_value(
    kind: type[Entity],
    table: str,
    column: str,
    purpose: str,
    *,
    sort: str,
    sql_type: str = "text",
    is_descending: bool = False,
) -> ListStatement:
    """Return the list of the rows that have a value in a column, through the index of that column."""
    return ListStatement(
        kind,
        table,
        purpose,
        where=f"row.{column} = $5::pg_catalog.{sql_type}",
        sort=sort,
        index=f"{table}_{column}_idx",
        parameters=(f"{column} {sql_type}",),
        is_descending=is_descending,
        belonging=has_value(kind, column, sql_type),
    )


LISTS: Mapping[str, ListStatement] = {
    "orders/by_symbol": _by_value(
        Order, "orders", "symbol", "Read the orders of a symbol", sort="created_at"
    ),
    "orders/by_status": ListStatement(
        Order,
        "orders",
        "Read the orders of a status",
        where=f"row.status {_HAS_STATUS}",
        sort="created_at",
        index="orders_status_idx",
        parameters=("status text",),
        belonging=Belonging(
            # Any later event may change the status, whatever its JSON says.
            event=(
                f"(type = {literal(Order.created_event.type)} AND schema_version = {Order.created_event.schema_version}"
                " AND data ->> 'status'::pg_catalog.text <> $5::pg_catalog.text) IS NOT TRUE"
            ),
            row=f"status {_HAS_STATUS}",
        ),
    ),
    "orders/active": ListStatement(
        Order,
        "orders",
        "Read the orders that may still trade",
        where=(
            "row.status OPERATOR(pg_catalog.=) ANY ("
            f"ARRAY[{', '.join(sorted(literal(status.value) for status in ACTIVE_ORDER_STATUSES))}]::{{schema}}.order_status[])"
        ),
        sort="created_at",
        index="orders_active_idx",
    ),
    "orders/by_broker_order_id": ListStatement(
        Order,
        "orders",
        "Read the orders that have or had a broker id",
        where=f"row.broker_order_ids @> {_ID_AS_JSON}",
        sort="created_at",
        index="orders_broker_order_ids_idx",
        parameters=("broker_order_id text",),
        belonging=Belonging(
            event=event_may_give(
                Order,
                "(data ->> 'broker_order_id'::pg_catalog.text = $5::pg_catalog.text"
                f" OR data -> 'broker_order_ids'::pg_catalog.text @> {_ID_AS_JSON})",
            ),
            row=f"broker_order_ids @> {_ID_AS_JSON}",
        ),
    ),
    "orders/by_client_order_id": ListStatement(
        Order,
        "orders",
        "Read the orders that have or had a client order id",
        where=(
            "(row.client_order_id = $5::pg_catalog.text\n"
            f"            OR row.replaced_client_order_ids @> {_ID_AS_JSON})"
        ),
        sort="created_at",
        index="orders_client_order_id_idx, orders_replaced_client_order_ids_idx",
        parameters=("client_order_id text",),
        belonging=Belonging(
            event=event_may_give(
                Order,
                "(data ->> 'client_order_id'::pg_catalog.text = $5::pg_catalog.text"
                f" OR data -> 'replaced_client_order_ids'::pg_catalog.text @> {_ID_AS_JSON})",
            ),
            row=(f"(client_order_id = $5::pg_catalog.text OR replaced_client_order_ids @> {_ID_AS_JSON})"),
        ),
    ),
    "orders/by_parent_id": _by_value(
        Order,
        "orders",
        "parent_id",
        "Read the orders that belong to a parent order",
        sort="created_at",
        sql_type="uuid",
    ),
    "orders/by_list_id": _by_value(
        Order, "orders", "list_id", "Read the orders of a group", sort="created_at"
    ),
    "orders/by_account": _by_value(
        Order, "orders", "account", "Read the orders of an account", sort="created_at"
    ),
    "orders/by_creation": ListStatement(
        Order,
        "orders",
        "Read the orders created in a range of time",
        where="row.created_at BETWEEN $5::pg_catalog.timestamptz AND $6::pg_catalog.timestamptz",
        sort="created_at",
        index="orders_created_at_idx",
        parameters=("start timestamp with time zone inclusive", "end timestamp with time zone inclusive"),
    ),
    "positions/open_by_symbol": ListStatement(
        Position,
        "positions",
        "Read the open positions of a symbol, the one opened last first",
        where=(
            "row.symbol = $5::pg_catalog.text\n            AND row.closed_at IS NULL\n"
            "            AND ($6::pg_catalog.uuid IS NULL OR row.portfolio_id = $6::pg_catalog.uuid)\n"
            "            AND ($7::pg_catalog.text IS NULL OR row.strategy = $7::pg_catalog.text)\n"
            "            AND ($8::pg_catalog.text IS NULL OR row.account = $8::pg_catalog.text)\n"
            "            AND ($9::pg_catalog.text IS NULL\n"
            "                OR (row.quantity > 0::pg_catalog.numeric) = ($9::pg_catalog.text = 'LONG'::pg_catalog.text))"
        ),
        sort="opened_at",
        index="positions_open_symbol_idx",
        parameters=(
            "symbol text",
            "portfolio_id uuid NULL for any",
            "strategy text NULL for any",
            "account text NULL for any",
            "side text LONG or SHORT; NULL for either",
        ),
        is_descending=True,
        belonging=has_value(Position, "symbol"),
    ),
    "positions/open_of_order": ListStatement(
        Position,
        "positions",
        "Read the open position that an order trades, the one opened last first",
        where=(
            "row.symbol = $5::pg_catalog.text\n            AND row.closed_at IS NULL\n"
            "            AND row.portfolio_id IS NOT DISTINCT FROM $6::pg_catalog.uuid\n"
            "            AND row.account IS NOT DISTINCT FROM $7::pg_catalog.text\n"
            "            AND row.strategy IS NOT DISTINCT FROM $8::pg_catalog.text\n"
            "            AND ($9::pg_catalog.text IS NULL OR row.position_side = $9::pg_catalog.text"
            " OR (row.position_side IS NULL\n"
            "                AND (row.quantity > 0::pg_catalog.numeric) = ($9::pg_catalog.text = 'LONG'::pg_catalog.text)))"
        ),
        sort="opened_at",
        index="positions_open_symbol_idx",
        parameters=(
            "symbol text",
            "portfolio_id uuid NULL for none",
            "account text NULL for none",
            "strategy text NULL for none",
            "side text LONG or SHORT; NULL for either",
        ),
        is_descending=True,
        belonging=has_value(Position, "symbol"),
    ),
    "positions/by_symbol": _by_value(
        Position, "positions", "symbol", "Read the positions of a symbol, open and closed", sort="opened_at"
    ),
    "positions/active": ListStatement(
        Position,
        "positions",
        "Read the open positions",
        where="row.closed_at IS NULL",
        sort="opened_at",
        index="positions_open_idx",
    ),
    "positions/closed": ListStatement(
        Position,
        "positions",
        "Read the closed positions",
        where="row.closed_at IS NOT NULL",
        sort="opened_at",
        index="positions_closed_idx",
        belonging=Belonging(
            event=event_may_give(
                Position,
                "data ->> 'closed_at'::pg_catalog.text IS NOT NULL",
                classes=(PositionOpened, PositionMarked, PositionSplit),
            ),
            row="closed_at IS NOT NULL",
        ),
    ),
    "positions/by_strategy": _by_value(
        Position,
        "positions",
        "strategy",
        "Read the positions of a strategy, open and closed",
        sort="opened_at",
    ),
    "positions/by_account": _by_value(
        Position,
        "positions",
        "account",
        "Read the positions of an account, open and closed",
        sort="opened_at",
    ),
    "positions/by_portfolio": _by_value(
        Position,
        "positions",
        "portfolio_id",
        "Read the positions of a portfolio, open and closed",
        sort="opened_at",
        sql_type="uuid",
    ),
    "positions/open_by_portfolio": ListStatement(
        Position,
        "positions",
        "Read the open positions of a portfolio",
        where="row.portfolio_id = $5::pg_catalog.uuid\n            AND row.closed_at IS NULL",
        sort="opened_at",
        index="positions_open_portfolio_id_idx",
        parameters=("portfolio_id uuid",),
        belonging=has_value(Position, "portfolio_id", "uuid"),
    ),
    "positions/by_opening": ListStatement(
        Position,
        "positions",
        "Read the positions opened in a range of time",
        where="row.opened_at BETWEEN $5::pg_catalog.timestamptz AND $6::pg_catalog.timestamptz",
        sort="opened_at",
        index="positions_opened_at_idx",
        parameters=("start timestamp with time zone inclusive", "end timestamp with time zone inclusive"),
    ),
    "portfolios/all": ListStatement(
        Portfolio,
        "portfolios",
        "Read the portfolios in the order of their creation",
        where="true",
        sort="created_at",
        index="portfolios_created_at_idx",
    ),
    "portfolios/latest": ListStatement(
        Portfolio,
        "portfolios",
        "Read the portfolios, the one created last first",
        where="true",
        sort="created_at",
        index="portfolios_created_at_idx",
        is_descending=True,
    ),
    "portfolios/by_name": _by_value(
        Portfolio,
        "portfolios",
        "name",
        "Read the portfolios of a name, the one created last first",
        sort="created_at",
        is_descending=True,
    ),
    "portfolios/by_strategy": _by_value(
        Portfolio, "portfolios", "strategy", "Read the portfolios of a strategy", sort="created_at"
    ),
    "instruments/all": ListStatement(
        Instrument,
        "instruments",
        "Read the instruments in the order of their creation",
        where="true",
        sort="created_at",
        index="instruments_created_at_idx",
    ),
    "instruments/by_symbol": _by_value(
        Instrument, "instruments", "symbol", "Read the instruments of a symbol", sort="created_at"
    ),
    "instruments/latest_by_symbol": ListStatement(
        Instrument,
        "instruments",
        "Read the instruments of a symbol, the one created last first",
        where=(
            "row.symbol = $5::pg_catalog.text\n"
            "            AND ($6::pg_catalog.text IS NULL OR row.venue = $6::pg_catalog.text)"
        ),
        sort="created_at",
        index="instruments_symbol_idx",
        parameters=("symbol text", "venue text NULL for any"),
        is_descending=True,
        belonging=has_value(Instrument, "symbol"),
    ),
    "portfolio_snapshots/by_portfolio": ListStatement(
        PortfolioSnapshot,
        "portfolio_snapshots",
        "Read the snapshots of a portfolio in a range of time",
        where=(
            "row.portfolio_id = $5::pg_catalog.uuid\n"
            "            AND row.taken_at BETWEEN $6::pg_catalog.timestamptz AND $7::pg_catalog.timestamptz"
        ),
        sort="taken_at",
        index="portfolio_snapshots_portfolio_id_idx",
        parameters=(
            "portfolio_id uuid",
            "start timestamp with time zone inclusive",
            "end timestamp with time zone inclusive",
        ),
        belonging=has_value(PortfolioSnapshot, "portfolio_id", "uuid"),
    ),
}
"""All lists, by the name that a `Query` uses."""

READ_TABLES: Mapping[type[Entity], ReadTable[Any]] = {
    Order: ReadTable(Order, projection="orders", lists=LISTS),
    Position: ReadTable(Position, projection="positions", lists=LISTS),
    Portfolio: ReadTable(Portfolio, projection="portfolios", lists=LISTS),
    Instrument: ReadTable(Instrument, projection="instruments", lists=LISTS),
    PortfolioSnapshot: ReadTable(PortfolioSnapshot, projection="portfolio_snapshots", lists=LISTS),
}
"""The read table of each class of entities."""
