"""The proof of a single event: the event, its path to the root of its block, and the seals from there on."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.database.access import reading
from eventstore.database.protocols import Row
from eventstore.errors import ConfigurationError, EventNotFoundError
from eventstore.evidence.canonical import (
    ENTRY_BYTES,
    NO_SEAL,
    Head,
    Seal,
    columns_of,
    event_hash,
    merkle_path,
    microseconds,
    root_of_path,
)
from eventstore.evidence.encoding import require_unicode
from eventstore.log.page_size import BYTES_UNBOUNDED
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

FORMAT = "trading-eventstore proof 1"
"""The first field of a proof."""

_NUMBERS = ("position", "version", "schema_version", "occurred_at", "recorded_at")
_IDS = ("stream_id", "event_id")
_TEXTS = ("category", "type", "data", "metadata")
_SEAL_NUMBERS = ("block", "after_position", "through_position", "events", "sealed_at")
_SEAL_HASHES = ("root", "previous", "seal")
_NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CheckedProof:
    """The contents of a valid proof.

    Attributes:
        event: The columns of the event; times in microseconds since 1970, `data` and `metadata` as
            JSON text.
        block: The number of the block that contains the event.
        head: The head that proves the event: the one that was passed as `against`, so keep that one.
            Nothing proves later seals of the proof. Without `against`, the newest seal of the proof.
    """

    event: Mapping[str, Any]
    block: int
    head: Head


async def prove(log: EventLog, event: UUID | int) -> dict[str, Any]:
    """Return the proof that an event is in the log as it was sealed, as a JSON-compatible dict.

    Args:
        log: The log.
        event: The event's id, or its position.

    Raises:
        EventNotFoundError: The log has no such event.
        ConfigurationError: The event is not sealed yet or differs from what was sealed, or the
            database is not encoded in UTF-8.
        ConnectionError, TimeoutError: Safe to retry.
    """
    async with reading(log.connection) as connection:
        require_unicode(connection)
        position: int | None
        if isinstance(event, UUID):
            position = await connection.fetchval(load("evidence/find_position", connection), event)
        else:
            position = event if 0 < event <= _NUMBER_MAX else None
        rows = []
        if position is not None:
            rows = await connection.fetch(
                load("evidence/read_events", connection), position - 1, position, None, BYTES_UNBOUNDED
            )
        if not rows:
            raise EventNotFoundError.of(event)
        block = await connection.fetchval(load("evidence/find_block", connection), position)
        if block is None:
            raise ConfigurationError(f"event {event} is not sealed yet: run `eventstore seal`")
        entries = await connection.fetchval(load("evidence/read_entries", connection), block) or b""
        seals = [
            Seal.of(row)
            for row in await connection.fetch(load("evidence/read_seals", connection), block - 1, None)
        ]
    leaves = [
        entries[start + ENTRY_BYTES - len(NO_SEAL) : start + ENTRY_BYTES]
        for start in range(0, len(entries), ENTRY_BYTES)
    ]
    leaf = event_hash(rows[0])
    if leaf not in leaves:
        raise ConfigurationError(f"event {event} differs from what was sealed: run `eventstore verify`")
    proof = {
        "format": FORMAT,
        "event": _event_json(rows[0]),
        "path": [[side, other.hex()] for side, other in merkle_path(leaves, leaves.index(leaf))],
        "seals": [_seal_json(one) for one in seals],
    }
    check_proof(proof)
    return proof


def check_proof(proof: Mapping[str, Any], *, against: Head | str | None = None) -> CheckedProof:
    """Check a proof, without a database, and return its contents.

    Args:
        proof: The result of `prove`, read from its file.
        against: A head that was kept outside. Without it the check only shows that the proof agrees
            with itself, and anybody can make such a proof.

    Raises:
        ConfigurationError: The value is not a proof, does not agree with itself, or does not lead to
            the head.
    """
    kept = Head.parse(against) if isinstance(against, str) else against
    try:
        if proof["format"] != FORMAT:
            raise ConfigurationError(
                f"this is not a proof of the format {FORMAT!r}: write one with `eventstore prove`"
            )
        _check_members(proof, "format", "event", "path", "seals")
        event = dict(proof["event"])
        _check_event(event)
        root = root_of_path(
            event_hash(columns_of(event)),
            [(_side(side), bytes.fromhex(other)) for side, other in proof["path"]],
        )
        seals = [_seal_of(one) for one in proof["seals"]]
        first, last = seals[0], seals[-1]
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        struct.error,
    ) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"this is not a proof of the format {FORMAT!r}: {error!r}") from error
    if root != first.root or not first.after_position < event["position"] <= first.through_position:
        raise ConfigurationError(f"the proof is not valid: its event does not belong to block {first.block}")
    for before, after in zip([None, *seals], seals, strict=False):
        follows = before is None or (after.block, after.previous) == (before.block + 1, before.seal)
        if after.expected() != after.seal or not follows:
            raise ConfigurationError(
                f"the proof is not valid: seal {after.block} is not the hash of its columns"
            )
    if kept is not None and all((one.block, one.seal) != (kept.block, kept.seal) for one in seals):
        raise ConfigurationError(
            f"the proof is not valid: it has the seals of blocks {first.block} to {last.block}, and none is the head {kept}"
        )
    return CheckedProof(event, first.block, kept or Head(last.block, last.seal))


def _side(side: str) -> str:
    if side not in {"left", "right"}:
        raise ValueError(side)
    return side


def _check_members(of: Mapping[str, Any], *names: str) -> None:
    """Refuse members that no hash covers: a reader would believe that they are proved."""
    unknown = of.keys() - set(names)
    if unknown:
        raise ValueError(f"it has the unknown members {', '.join(sorted(unknown))}, which no hash covers")


def _check_event(event: Mapping[str, Any]) -> None:
    _check_members(event, *_NUMBERS, *_IDS, *_TEXTS)
    for names, kind in ((_TEXTS, str), (_IDS, str), (_NUMBERS, int)):
        for name in names:
            if type(event[name]) is not kind:
                raise TypeError(name)
    for name in _IDS:
        if str(UUID(event[name])) != event[name]:
            raise ValueError(event[name])


def _event_json(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _NUMBERS},
        **{name: str(row[name]) for name in _IDS},
        "occurred_at": microseconds(row["occurred_at"]),
        "recorded_at": microseconds(row["recorded_at"]),
        **{name: row[name] for name in _TEXTS},
    }


def _seal_json(one: Seal) -> dict[str, Any]:
    return {
        "block": one.block,
        "after_position": one.after_position,
        "through_position": one.through_position,
        "events": one.events,
        "sealed_at": one.sealed_at,
        "root": one.root.hex(),
        "previous": one.previous.hex(),
        "seal": one.seal.hex(),
    }


def _seal_of(one: Mapping[str, Any]) -> Seal:
    _check_members(one, *_SEAL_NUMBERS, *_SEAL_HASHES)
    numbers = [one[name] for name in _SEAL_NUMBERS]
    hashes = [bytes.fromhex(one[name]) for name in _SEAL_HASHES]
    if not all(type(number) is int and abs(number) <= _NUMBER_MAX for number in numbers) or any(
        len(each) != len(NO_SEAL) for each in hashes
    ):
        raise TypeError("seals")
    return Seal(*numbers, *hashes)
