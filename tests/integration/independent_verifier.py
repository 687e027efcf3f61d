"""A second verifier, written from `docs/evidence.md` alone: it imports nothing of the library.

It takes the rows of `events` and `event_seals` as asyncpg gives them, with every column as it stands in the table but
`data` and `metadata` as text, and returns what it thinks is wrong; None where all is as it was sealed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any


def h(*parts: bytes) -> bytes:
    """SHA-256 of bytes put together."""
    return hashlib.sha256(b"".join(parts)).digest()


def number(value: int, size: int = 8) -> bytes:
    """An integer, big-endian, two's complement."""
    return value.to_bytes(size, "big", signed=True)


def point(value: datetime) -> bytes:
    """A time as microseconds since 1970."""
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return number((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)


def text(value: str) -> bytes:
    """A text, after its length."""
    encoded = value.encode("utf-8")
    return len(encoded).to_bytes(4, "big") + encoded


def leaf(event: dict[str, Any]) -> bytes:
    """The hash of an event without NULL in it."""
    return h(
        b"\x00",
        b"\x00\x00",
        number(event["position"]),
        event["stream_id"].bytes,
        number(event["version"]),
        event["event_id"].bytes,
        number(event["schema_version"]),
        point(event["occurred_at"]),
        point(event["recorded_at"]),
        text(event["category"]),
        text(event["type"]),
        text(event["data"]),
        text(event["metadata"]),
    )


def root(leaves: list[bytes]) -> bytes:
    """The root by the recursive definition of RFC 6962."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return h(b"\x01", root(leaves[:split]), root(leaves[split:]))


def seal_of(row: dict[str, Any]) -> bytes:
    """What the seal of a row should be."""
    return h(
        b"\x02",
        number(row["block"]),
        number(row["after_position"]),
        number(row["through_position"]),
        number(row["events"]),
        point(row["sealed_at"]),
        row["root"],
        row["previous"],
    )


def fault(events: list[dict[str, Any]], seals: list[dict[str, Any]]) -> str | None:
    """What is wrong first, in a word or two; None where nothing is."""
    previous, after = bytes(32), 0
    for place, row in enumerate(sorted(seals, key=lambda one: one["block"]), start=1):
        if row["block"] != place or row["previous"] != previous or row["after_position"] != after:
            return f"chain at {place}"
        if seal_of(row) != row["seal"]:
            return f"seal {place}"
        inside = [one for one in events if after < one["position"] <= row["through_position"]]
        inside.sort(key=lambda one: one["position"])
        entries = b"".join(number(one["position"]) + leaf(one) for one in inside)
        if not inside or len(inside) != row["events"] or root([leaf(one) for one in inside]) != row["root"]:
            return f"events of {place}"
        if entries != row["entries"]:
            return f"entries of {place}"
        previous, after = row["seal"], row["through_position"]
    return None


__all__ = ["fault", "h", "leaf", "root", "seal_of"]
