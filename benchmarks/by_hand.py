"""The floor of a projection: a batch program as one writes it by hand for this one table, without the library.

It reads pages of events with asyncpg, decodes their JSON with orjson, folds plain dicts, and writes a page's rows and its
checkpoint in one transaction, into a table with the columns and the indexes of `orders`. It knows the five events of the
history and nothing else: no upcasting, no other event, no check of what it reads, no lease, no quarantine, no gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

__all__ = ["fold_by_hand", "forget_by_hand", "rows_that_differ"]

_PAGE_EVENTS = 2_000
_TABLES = """
CREATE TABLE IF NOT EXISTS by_hand (LIKE orders INCLUDING ALL);
CREATE TABLE IF NOT EXISTS by_hand_checkpoint (position bigint NOT NULL);
TRUNCATE by_hand, by_hand_checkpoint;
INSERT INTO by_hand_checkpoint VALUES (0)
"""
_READ = """
SELECT position, stream_id, version, type, data, occurred_at FROM events
WHERE position > $1 AND category = 'order' ORDER BY position LIMIT $2
"""
_DIFFERENT = """
SELECT count(*) FROM (SELECT id, orders::text AS row FROM orders WHERE last_position <= $1) AS ours
FULL JOIN (SELECT id, by_hand::text AS row FROM by_hand WHERE last_position <= $1) AS other USING (id)
WHERE ours.row IS DISTINCT FROM other.row
"""

_NOTHING, _ONE = Decimal(0), Decimal(1)
_NEW: Mapping[str, Any] = {
    "id": None,
    "version": 0,
    "symbol": None,
    "side": None,
    "order_type": None,
    "quantity": None,
    "cash_quantity": None,
    "limit_price": None,
    "stop_price": None,
    "trailing_offset": None,
    "time_in_force": "DAY",
    "expire_at": None,
    "status": "PENDING",
    "client_order_id": None,
    "replaced_client_order_ids": "[]",
    "broker_order_id": None,
    "broker_order_ids": "[]",
    "parent_id": None,
    "list_id": None,
    "account": None,
    "venue": None,
    "currency": None,
    "position_side": None,
    "reduce_only": False,
    "post_only": False,
    "short_sale": False,
    "display_quantity": None,
    "requests": "[]",
    "filled_quantity": _NOTHING,
    "filled_cost": _NOTHING,
    "commission": _NOTHING,
    "other_commissions": "[]",
    "was_filled_after_end": False,
    "multiplier": _ONE,
    "executions": (),
    "split_ratio": None,
    "reason": None,
    "tags": "[]",
    "details": "[]",
    "portfolio_id": None,
    "strategy": None,
    "created_at": None,
    "submitted_at": None,
    "filled_at": None,
    "completed_at": None,
    "cancelled_at": None,
    "expired_at": None,
    "rejected_at": None,
    "last_position": 0,
}
_COLUMNS = tuple(_NEW)
_TEXTS = ("symbol", "side", "order_type", "time_in_force", "strategy")
_UPSERT = (
    f"INSERT INTO by_hand ({', '.join(_COLUMNS)}) SELECT (one).* FROM unnest($1::by_hand[]) AS one "
    f"ON CONFLICT (id) DO UPDATE SET ({', '.join(_COLUMNS)}) = ({', '.join(f'EXCLUDED.{name}' for name in _COLUMNS)})"
)


async def forget_by_hand(connection: Any) -> None:
    """Make the table, empty."""
    await connection.execute(_TABLES)


async def fold_by_hand(connection: Any, events: int) -> int:
    """Fold from the checkpoint on, page by page; return the position after at least so many events."""
    position: int = await connection.fetchval("SELECT position FROM by_hand_checkpoint")
    while position < events:
        records = await connection.fetch(_READ, position, _PAGE_EVENTS)
        if not records:
            break
        position = records[-1]["position"]
        async with connection.transaction():
            await _write(connection, await _folded(connection, records))
            await connection.execute("UPDATE by_hand_checkpoint SET position = $1", position)
    return position


async def rows_that_differ(connection: Any, through: int) -> int:
    """How many rows of the two tables differ, of those that nothing after a position has changed."""
    found: int = await connection.fetchval(_DIFFERENT, through)
    return found


async def _folded(connection: Any, records: Sequence[Any]) -> list[tuple[dict[str, Any], bool]]:
    """Return each order of a page after its events, and whether it is new."""
    begun = {record["stream_id"] for record in records if record["version"] == 1}
    older = {record["stream_id"] for record in records} - begun
    orders: dict[UUID, dict[str, Any]] = {}
    if older:
        rows = await connection.fetch("SELECT * FROM by_hand WHERE id = ANY($1)", list(older))
        orders = {row["id"]: {**row, "executions": tuple(orjson.loads(row["executions"]))} for row in rows}
    for position, stream_id, version, kind, data, occurred_at in records:
        fields = orjson.loads(data)
        if kind == "OrderCreated":
            order = orders[stream_id] = _created(stream_id, fields)
        elif kind == "OrderSubmitted":
            order = orders[stream_id]
            order["submitted_at"], order["status"] = occurred_at, "SUBMITTED"
            order["broker_order_id"] = fields["broker_order_id"]
            order["broker_order_ids"] = orjson.dumps([fields["broker_order_id"]]).decode()
        else:
            order = orders[stream_id]
            _fill(order, fields, occurred_at)
        order["version"], order["last_position"] = version, position
    return [(order, stream_id in begun) for stream_id, order in orders.items()]


def _created(stream_id: UUID, fields: Mapping[str, Any]) -> dict[str, Any]:
    order = {**_NEW, "id": stream_id}
    for name in _TEXTS:
        order[name] = fields[name]
    order["quantity"] = Decimal(fields["quantity"])
    order["limit_price"] = Decimal(fields["limit_price"])
    order["created_at"] = datetime.fromisoformat(fields["created_at"])
    return order


def _fill(order: dict[str, Any], fields: Mapping[str, Any], occurred_at: datetime) -> None:
    quantity, price, commission = fields["quantity"], fields["price"], fields["commission"]
    shares = Decimal(quantity)
    order["filled_quantity"] += shares
    order["filled_cost"] += shares * Decimal(price)
    order["commission"] += Decimal(commission)
    execution = {
        "execution_id": fields["execution_id"],
        "side": fields["side"],
        "quantity": quantity,
        "price": price,
        "commission": commission,
        "occurred_at": occurred_at,
        "status": "COUNTED",
        "position_ids": (),
    }
    order["executions"] = (*order["executions"], execution)
    if order["filled_quantity"] < order["quantity"]:
        order["status"] = "PARTIALLY_FILLED"
    else:
        order["status"], order["filled_at"] = "FILLED", occurred_at


async def _write(connection: Any, orders: Sequence[tuple[dict[str, Any], bool]]) -> None:
    new: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    for order, is_new in orders:
        order["executions"] = orjson.dumps(order["executions"], option=orjson.OPT_UTC_Z).decode()
        (new if is_new else changed).append(tuple(order.values()))
    if changed:
        await connection.execute(_UPSERT, changed)
    if new:
        await connection.copy_records_to_table("by_hand", records=new, columns=_COLUMNS)
