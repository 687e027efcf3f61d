"""The hashed bytes and the hashes, as `docs/evidence.md` defines them. Pure: no database, no clock."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from eventstore.database.protocols import Row
from eventstore.errors import ConfigurationError

NO_SEAL = bytes(32)
"""The first seal has this value in place of a previous seal."""

ENTRY_BYTES = 40
"""The binary form of an entry: the position and the hash of one event of a block."""

_FIXED = struct.Struct(">Hq16sq16sqqq")
_LENGTH = struct.Struct(">I")
_SEALED = struct.Struct(">qqqqq")
_POSITION = struct.Struct(">q")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_2000_US = 946_684_800_000_000  # PostgreSQL counts from 2000
_INFINITE = (2**63 - 1, -(2**63))
_NULL_TIME, _NULL_NUMBER = -(2**63), -1  # stand for NULL in a seal; the sealer never writes them
_COLUMNS = (
    "position",
    "stream_id",
    "version",
    "event_id",
    "schema_version",
    "occurred_at",
    "recorded_at",
    "category",
    "type",
    "data",
    "metadata",
)


def microseconds(time: bytes | datetime | int | None) -> int:
    """Return a time as microseconds since 1970 in UTC; infinities are the ends of the 64-bit range.

    PostgreSQL counts from 2000, so the numbers of its latest times exceed 64 bits here. They wrap
    around to numbers that no other time has.

    Args:
        time: A datetime, PostgreSQL's binary form of a timestamptz, or microseconds already.
    """
    if time is None:
        return 0
    if isinstance(time, int):
        return time
    if isinstance(time, datetime):
        return (time - _EPOCH) // timedelta(microseconds=1)
    value = int.from_bytes(time, "big", signed=True)
    if value in _INFINITE:
        return value
    value += _FROM_2000_US
    return value if value < _INFINITE[0] else value - (2**64 - 2)


def event_bytes(row: Row) -> bytes:
    """Return the canonical form of an event.

    Args:
        row: The columns by name; times as for `microseconds`, `data` and `metadata` as the text of
            their jsonb.
    """
    position, stream_id, version, event_id = (
        row["position"],
        row["stream_id"],
        row["version"],
        row["event_id"],
    )
    schema_version, occurred_at, recorded_at = row["schema_version"], row["occurred_at"], row["recorded_at"]
    texts = (row["category"], row["type"], row["data"], row["metadata"])
    nulls = 0  # no column is NULL unless somebody has altered the table
    if None in (position, stream_id, version, event_id, schema_version, occurred_at, recorded_at, *texts):
        nulls = sum(1 << place for place, name in enumerate(_COLUMNS) if row[name] is None)
    parts = [
        _FIXED.pack(
            nulls,
            position or 0,
            b"" if stream_id is None else stream_id.bytes,
            version or 0,
            b"" if event_id is None else event_id.bytes,
            schema_version or 0,
            microseconds(occurred_at),
            microseconds(recorded_at),
        )
    ]
    for text in texts:
        encoded = b"" if text is None else text.encode()
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)


def event_hash(row: Row) -> bytes:
    """Return the hash of an event, a leaf of its block's tree; the argument is that of `event_bytes`."""
    return sha256(b"\x00" + event_bytes(row)).digest()


def entry(row: Row) -> bytes:
    """Return the entry of an event in its block: position and hash."""
    return _POSITION.pack(row["position"]) + event_hash(row)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree over at least one leaf (RFC 6962, section 2.1)."""
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: list[bytes]) -> list[bytes]:
    above = [
        sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) % 2:
        above.append(level[-1])  # a node without a sibling moves up unchanged
    return above


def merkle_path(leaves: Sequence[bytes], place: int) -> list[tuple[str, bytes]]:
    """Return the path from a leaf to the root: for each step, the side and the hash of the sibling."""
    level, path = list(leaves), []
    while len(level) > 1:
        other = place ^ 1
        if other < len(level):
            path.append(("left" if other < place else "right", level[other]))
        level, place = _parents(level), place // 2
    return path


def root_of_path(leaf: bytes, path: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the root that a leaf and its path lead to."""
    for side, other in path:
        leaf = sha256(b"\x01" + (other + leaf if side == "left" else leaf + other)).digest()
    return leaf


@dataclass(frozen=True, slots=True)
class Seal:
    """The seal of one block of the log.

    Attributes:
        block: The number of the block: 1, 2, 3 ... without gaps.
        after_position: The block's events come after this position.
        through_position: The position of the block's last event.
        events: The number of events in the block.
        sealed_at: The time of sealing, in microseconds since 1970, by the database's clock.
        root: The root of the tree over the block's events.
        previous: The previous seal; 32 zero bytes for the first.
        seal: The hash of all other attributes.
    """

    block: int
    after_position: int
    through_position: int
    events: int
    sealed_at: int
    root: bytes
    previous: bytes
    seal: bytes

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the seal of a row of `event_seals`; NULL becomes a value that no valid seal has."""
        block, after, through, events = (
            _NULL_NUMBER if row[name] is None else row[name]
            for name in ("block", "after_position", "through_position", "events")
        )
        return cls(
            block,
            after,
            through,
            events,
            _NULL_TIME if row["sealed_at"] is None else microseconds(row["sealed_at"]),
            row["root"] or b"",
            row["previous"] or b"",
            row["seal"] or b"",
        )

    def expected(self, *, block: int | None = None, previous: bytes | None = None) -> bytes:
        """Return the hash that this seal should have, by default for its own `block` and `previous`."""
        fixed = _SEALED.pack(
            self.block if block is None else block,
            self.after_position,
            self.through_position,
            self.events,
            self.sealed_at,
        )
        return sha256(
            b"\x02" + fixed + self.root + (self.previous if previous is None else previous)
        ).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The value to keep outside: a block's number and seal. As text: `12:` and 64 hexadecimal digits."""

    block: int
    seal: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a head.

        Raises:
            ConfigurationError: The text is not a head.
        """
        block, _, seal = text.strip().partition(":")
        try:
            head = cls(int(block), bytes.fromhex(seal))
        except ValueError:
            head = cls(0, b"")
        if head.block < 1 or len(head.seal) != len(NO_SEAL):
            raise ConfigurationError(
                f"{text!r} is not a head: give BLOCK:SEAL, as `eventstore seal --print` prints it"
            )
        return head

    def __str__(self) -> str:
        return f"{self.block}:{self.seal.hex()}"


def position_of(one: bytes) -> int:
    """Return the position of an entry."""
    position: int = _POSITION.unpack_from(one)[0]
    return position


def columns_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the columns of an event from their JSON form to the form that `event_bytes` takes."""
    return {**event, "stream_id": UUID(event["stream_id"]), "event_id": UUID(event["event_id"])}
