"""Rows of the log as the library never writes them."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.store import EventStore

FORGED = {
    "an infinite time": {"occurred_at": "'infinity'"},
    "metadata that is no object": {"metadata": "'[1]'"},
    "an unknown type": {"type": "'OrderLost'"},
    "an unknown version": {"schema_version": "9"},
    "an unknown field": {"data": """data || '{"lost": 1}'"""},
    "a missing field": {"data": "'{}'"},
    "no text": {"data": "'{\"broker_order_id\": 1}'", "type": "'OrderFilled'"},
    "data that is no object": {"data": "'[]'"},
}
"""What a row of the log may have that the library never writes: expressions for its columns."""


async def forge(store: EventStore, columns: Mapping[str, str]) -> None:
    """Insert one more event of the last order as the library never would."""
    names = "category", "type", "schema_version", "data", "metadata", "occurred_at", "recorded_at"
    values = ", ".join(columns.get(name, name) for name in names)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(
            f"INSERT INTO events (position, stream_id, version, event_id, {', '.join(names)}) "
            f"SELECT nextval('events_position_seq'), stream_id, 4, gen_random_uuid(), {values} FROM events "
            "WHERE position = 8"
        )
