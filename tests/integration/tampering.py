"""What a superuser with the triggers off may do to a sealed log, and what `verify` has to name."""

from __future__ import annotations

__all__ = ["ALTERED", "COPY_SEAL", "INSERT", "OF_EVENTS", "OF_SEALS", "SEAL_CONSTRAINTS", "UNKEYED"]

ALTERED = {
    "stream_id": "gen_random_uuid()",
    "version": "version + 70",
    "event_id": "gen_random_uuid()",
    "category": "category || ' '",
    "type": "upper(type)",
    "schema_version": "schema_version + 1",
    "data": "data || '{\"x\": 1}'",
    "metadata": "metadata - 'actor'",
    "metadata, the scale of a number": "jsonb_set(metadata, '{n}', '1.5000')",
    "metadata, a number as text": "jsonb_set(metadata, '{n}', '\"1.5\"')",
    "occurred_at": "occurred_at + interval '1 microsecond'",
    "recorded_at": "recorded_at - interval '1 microsecond'",
    "recorded_at, infinite": "'infinity'",
    "occurred_at, before all time": "'-infinity'",
    "occurred_at, in the far future": "'250000-01-01T00:00:00Z'",
    "occurred_at, as late as can be": "'294276-12-31T23:59:59.999999Z'",
}


INSERT = (
    "INSERT INTO events SELECT {position}, occurred_at, recorded_at, version + 50, schema_version, stream_id, event_id, "
    "category, type, data, metadata FROM events WHERE position = 4"
)
SWAP = (
    "UPDATE events SET position = CASE position WHEN {a} THEN {b} ELSE {a} END WHERE position IN ({a}, {b})"
)
UNKEYED = "ALTER TABLE events DROP CONSTRAINT events_position_key"

OF_EVENTS: dict[str, tuple[list[str], tuple[str, str, int, int | None]]] = {
    "position, to a gap": (
        ["UPDATE events SET position = 5 WHERE position = 4"],
        ("event", "reordered", 1, 4),
    ),
    "position, out of its block": (
        ["UPDATE events SET position = 50 WHERE position = 4"],
        ("event", "removed", 1, 4),
    ),
    "removed, the first": (["DELETE FROM events WHERE position = 1"], ("event", "removed", 1, 1)),
    "removed, in the middle": (["DELETE FROM events WHERE position = 4"], ("event", "removed", 1, 4)),
    "removed, the last of a block": (["DELETE FROM events WHERE position = 7"], ("event", "removed", 1, 7)),
    "removed, the end of the log": (["DELETE FROM events WHERE position > 10"], ("event", "removed", 2, 11)),
    "removed, all": (["DELETE FROM events"], ("event", "removed", 1, 1)),
    "inserted, in a gap": ([INSERT.format(position=5)], ("event", "inserted", 1, 5)),
    "inserted, below the first": (
        [INSERT.format(position=2)],
        ("event", "inserted", 1, 2),
    ),
    "inserted, at a position taken": ([INSERT.format(position=8)], ("event", "inserted", 2, 8)),
    "reordered": ([SWAP.format(a=4, b=6)], ("event", "reordered", 1, 4)),
    "two altered, the first is named": (
        ["UPDATE events SET type = 'x' WHERE position IN (12, 3, 9)"],
        ("event", "altered", 1, 3),
    ),
}


FLIPPED = "set_byte({0}, 3, get_byte({0}, 3) # 1)"
SEAL_CONSTRAINTS = (
    "event_seals_pkey",
    "event_seals_block_positive",
    "event_seals_range_check",
    "event_seals_events_check",
    "event_seals_hashes_check",
)
COPY_SEAL = (
    "INSERT INTO event_seals SELECT {block}, after_position, through_position, events, sealed_at, root, previous, seal, "
    "entries FROM event_seals WHERE block = 2"
)
OF_SEALS: dict[str, tuple[list[str], tuple[str, str, int, int | None]]] = {
    **{
        column: ([f"UPDATE event_seals SET {column} = {FLIPPED.format(column)} WHERE block = 2"], finding)
        for column, finding in {
            "root": ("seal", "altered", 2, None),
            "previous": ("seal", "altered", 2, None),
            "seal": ("seal", "altered", 2, None),
            "entries": ("block", "altered", 2, None),
        }.items()
    },
    "after_position": (
        ["UPDATE event_seals SET after_position = after_position + 1 WHERE block = 2"],
        ("seal", "altered", 2, None),
    ),
    "through_position": (
        ["UPDATE event_seals SET through_position = through_position + 1 WHERE block = 1"],
        ("seal", "altered", 1, None),
    ),
    "sealed_at": (
        ["UPDATE event_seals SET sealed_at = sealed_at + interval '1 microsecond' WHERE block = 2"],
        ("seal", "altered", 2, None),
    ),
    "events": (
        [
            "UPDATE event_seals SET events = events + 1 WHERE block = 3",
        ],
        ("seal", "altered", 3, None),
    ),
    "block": (["UPDATE event_seals SET block = 9 WHERE block = 2"], ("seal", "removed", 2, None)),
    "entries, a position": (
        ["UPDATE event_seals SET entries = set_byte(entries, 47, 2) WHERE block = 1"],
        ("block", "altered", 1, None),
    ),
    "entries, cut short": (
        [
            "UPDATE event_seals SET entries = substr(entries, 1, 45) WHERE block = 1",
        ],
        ("block", "altered", 1, None),
    ),
    "removed, the first": (["DELETE FROM event_seals WHERE block = 1"], ("seal", "removed", 1, None)),
    "removed, in the middle": (["DELETE FROM event_seals WHERE block = 2"], ("seal", "removed", 2, None)),
    "removed, and the rest renumbered": (
        ["DELETE FROM event_seals WHERE block = 2", "UPDATE event_seals SET block = 2 WHERE block = 3"],
        ("seal", "altered", 2, None),
    ),
    "inserted": (
        [
            "INSERT INTO event_seals SELECT 4, 40, 90, events, sealed_at, root, seal, seal, entries FROM event_seals WHERE block = 3"
        ],
        ("seal", "altered", 4, None),
    ),
    "inserted, one twice": (
        [
            "INSERT INTO event_seals SELECT * FROM event_seals WHERE block = 2",
        ],
        ("seal", "inserted", 2, None),
    ),
    "reordered": (
        [
            "UPDATE event_seals SET block = 9 WHERE block = 1",
            "UPDATE event_seals SET block = 1 WHERE block = 2",
            "UPDATE event_seals SET block = 2 WHERE block = 9",
        ],
        ("seal", "reordered", 1, None),
    ),
}
