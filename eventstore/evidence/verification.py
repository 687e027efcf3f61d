"""Verification: hashes the log again, and names the first thing that is not as it was sealed."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eventstore.database.access import reading
from eventstore.database.config import DatabaseConfig
from eventstore.database.connection import ConnectionFactory, DatabaseConnection
from eventstore.database.protocols import the_row
from eventstore.database.server import ServerIdentity
from eventstore.errors import ConfigurationError
from eventstore.evidence.canonical import (
    ENTRY_BYTES,
    NO_SEAL,
    Head,
    Seal,
    entry,
    event_hash,
    merkle_root,
    position_of,
)
from eventstore.evidence.encoding import require_unicode
from eventstore.log.page_size import BYTES_UNBOUNDED
from eventstore.progress import unreported
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

_BLOCKS_A_TASK_MAX = 200  # so that processes share the work evenly
_EVENTS_TOO_MANY = 1_000
_EVENTS_OF_A_BLOCK_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is not as it was sealed.

    Attributes:
        kind: `event`; `block`, the entries that a block keeps of its events; `seal`; or `head`, the
            head that was kept outside.
        what: What happened to it.
        block: The number of the block or seal that it belongs to; 0 for an event before all blocks.
        position: The position of an event; None for other kinds.
        detail: The same in words.
    """

    kind: Literal["event", "block", "seal", "head"]
    what: Literal["altered", "removed", "inserted", "reordered"]
    block: int
    position: int | None
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`.

    Attributes:
        events: The number of sealed events that were checked.
        blocks: The number of blocks.
        unsealed_events: The number of events after the last seal, which were not checked.
        head: The newest seal; None if the log has no seal.
        finding: The first thing that is not as it was sealed; None if everything is.
    """

    events: int
    blocks: int
    unsealed_events: int
    head: Head | None
    finding: Finding | None

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it was sealed."""
        return self.finding is None


async def verify(
    log: EventLog,
    *,
    against: Head | str | None = None,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Hash every sealed event again and compare the log with its seals.

    Without `against`, a superuser of the database could have altered events and computed all later
    seals again. A head that was kept elsewhere excludes that, for all events up to it.

    Args:
        log: The log; it may be on a standby.
        against: A head that was kept outside.
        jobs: The number of processes that hash.
        on_progress: Called with the number of blocks that were compared with their seals, and of all blocks.

    Raises:
        ConfigurationError: `against` is not a head, `jobs` is below 1, several jobs are asked for and
            the log has no `DatabaseConnection`, or the database is not encoded in UTF-8.
        ConnectionError, TimeoutError: Safe to retry.
        NotMigratedError: The table of seals is missing.
    """
    if jobs < 1:
        raise ConfigurationError(f"jobs must be 1 or more, not {jobs}")
    kept = Head.parse(against) if isinstance(against, str) else against
    with log.server.steady():
        return await _verify(log, kept, jobs, on_progress or unreported)


async def _verify(
    log: EventLog, kept: Head | None, jobs: int, on_progress: Callable[[int, int], None]
) -> Verification:
    async with reading(log.connection) as connection:
        require_unicode(connection)
        seals = [
            Seal.of(row)
            for row in await connection.fetch(load("evidence/read_seals", connection), None, None)
        ]
        through = max((one.through_position for one in seals), default=0)
        outside = the_row(await connection.fetchrow(load("evidence/count_outside", connection), through))
    finding = _check_chain(seals, kept)
    if outside["below"] is not None:
        detail = f"an event is at position {outside['below']}, before the first possible position"
        finding = Finding("event", "inserted", 0, outside["below"], detail)
    if outside["unplaced"] is not None:
        detail = f"the event {outside['unplaced']} has no position: readers in order miss it, but loads of its stream read it"
        finding = Finding("event", "inserted", 0, None, detail)
    # An event before a broken seal may be the first difference, so the blocks before it are checked too. A broken
    # seal says nothing about its own events. If the chain is sound but does not lead to the kept head, it still
    # shows which events do not fit it.
    sound = len(seals) if finding is None else max(0, finding.block - (finding.kind != "head"))
    events, of_blocks = await _check_blocks(log, seals[:sound], jobs, on_progress)
    finding = of_blocks or finding
    head = Head(seals[-1].block, seals[-1].seal) if seals else None
    return Verification(events, len(seals), outside["unsealed"], head, finding)


# ---- seals -----------------------------------------------------------------------------------------------------


def _check_chain(seals: Sequence[Seal], kept: Head | None) -> Finding | None:
    previous, after = NO_SEAL, 0
    for block, one in enumerate(seals, start=1):
        finding = _check_seal(seals, one, block, previous, after)
        if finding is not None:
            return finding
        if kept is not None and kept.block == block and kept.seal != one.seal:
            return Finding(
                "head", "altered", block, None, f"seal {block} differs from the head that was kept outside"
            )
        previous, after = one.seal, one.through_position
    if kept is not None and kept.block > len(seals):
        block = len(seals) + 1
        detail = f"seals {block} to {kept.block} are missing: the head that was kept outside is {kept}"
        return Finding("seal", "removed", block, None, detail)
    return None


def _check_seal(seals: Sequence[Seal], one: Seal, block: int, previous: bytes, after: int) -> Finding | None:
    if one.block != block:
        return _check_number(one, block, previous)
    if one.expected(previous=previous) == one.seal and (one.previous, one.after_position) == (
        previous,
        after,
    ):
        return None
    if any(
        other.expected(block=block, previous=previous) == other.seal for other in seals if other is not one
    ):
        return Finding("seal", "reordered", block, None, f"another seal is in the place of seal {block}")
    if one.expected() == one.seal:
        detail = f"seal {block} does not follow the seal before it: one of the two was computed again"
    else:
        detail = f"seal {block} is not the hash of its columns"
    return Finding("seal", "altered", block, None, detail)


def _check_number(one: Seal, block: int, previous: bytes) -> Finding:
    """Return the finding for a seal whose number does not fit its place in the chain."""
    if one.block > block:
        return Finding(
            "seal", "removed", block, None, f"seal {block} is missing; seal {one.block} comes next"
        )
    if one.block > 0:
        return Finding("seal", "inserted", one.block, None, f"seal {one.block} occurs twice")
    if one.expected(block=block, previous=previous) == one.seal:
        return Finding("seal", "altered", block, None, f"seal {block} has lost its number")
    detail = f"a seal with an impossible number is in the place of seal {block}"
    return Finding("seal", "inserted", block, None, detail)


# ---- blocks ----------------------------------------------------------------------------------------------------


async def _check_blocks(
    log: EventLog, seals: Sequence[Seal], jobs: int, on_progress: Callable[[int, int], None]
) -> tuple[int, Finding | None]:
    done = 0

    def note(blocks: int) -> None:
        nonlocal done
        done += blocks
        on_progress(done, len(seals))

    if jobs == 1 or len(seals) < 2 * jobs:
        return await _check_on(log.connection, seals, lambda: note(1))
    if not isinstance(log.connection, DatabaseConnection):
        raise ConfigurationError(
            "several jobs need a log of a DatabaseConnection, because each job opens its own connection: use jobs=1"
        )
    config = log.connection.config.replace(min_pool_size=1, max_pool_size=1)
    size = max(1, min(_BLOCKS_A_TASK_MAX, len(seals) // (2 * jobs)))
    parts = [seals[start : start + size] for start in range(0, len(seals), size)]
    loop = asyncio.get_running_loop()

    async def in_process(part: Sequence[Seal]) -> tuple[int, Finding | None]:
        result = await loop.run_in_executor(pool, _check_in_process, config, log.server.identity, part)
        note(len(part))
        return result

    # Spawned processes: a fork would inherit the event loop and its connections.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        found = await asyncio.gather(*map(in_process, parts))
    return sum(events for events, _ in found), next((one for _, one in found if one is not None), None)


def _check_in_process(
    config: DatabaseConfig, identity: ServerIdentity | None, seals: Sequence[Seal]
) -> tuple[int, Finding | None]:
    async def check() -> tuple[int, Finding | None]:
        async with await ConnectionFactory.create_connection(config) as connection:
            connection.server.require(identity)
            return await _check_on(connection, seals, lambda: None)

    return asyncio.run(check())


async def _check_on(
    source: Any, seals: Sequence[Seal], note: Callable[[], None]
) -> tuple[int, Finding | None]:
    """Compare the events of blocks with their seals, and note each block; stop at the first difference."""
    events = 0
    async with reading(source) as connection:
        for one in seals:
            # A forged seal may end at any number: reading a few events too many already shows that it is wrong.
            most = min(2 * max(one.events, 0) + _EVENTS_TOO_MANY, _EVENTS_OF_A_BLOCK_MAX)
            rows = await connection.fetch(
                load("evidence/read_events", connection),
                one.after_position,
                one.through_position,
                most,
                BYTES_UNBOUNDED,
            )
            entries = await connection.fetchval(load("evidence/read_entries", connection), one.block)
            finding = _check_block(one, entries, rows)
            events += len(rows)
            note()
            if finding is not None:
                return events, finding
    return events, None


def _check_block(one: Seal, entries: bytes | None, rows: Sequence[Any]) -> Finding | None:
    actual = [entry(row) for row in rows]
    sealed_rows, its = rows[: max(one.events, 0)], actual[: max(one.events, 0)]
    leaves = [each[ENTRY_BYTES - len(NO_SEAL) :] for each in its]
    if len(its) == one.events and b"".join(its) == entries and merkle_root(leaves) == one.root:
        if not sealed_rows or sealed_rows[-1]["position"] != one.through_position:
            detail = f"seal {one.block} ends at position {one.through_position}, where the block has no event"
            return Finding("seal", "altered", one.block, None, detail)
        if len(actual) == one.events:
            return None
    entries = entries or b""
    sealed = [entries[start : start + ENTRY_BYTES] for start in range(0, len(entries), ENTRY_BYTES)]
    if not _is_whole(one, sealed):
        detail = f"the entries that block {one.block} keeps of its events differ from what was sealed"
        return Finding("block", "altered", one.block, None, detail)
    return _first_difference(one.block, sealed, actual, rows)


def _is_whole(one: Seal, sealed: Sequence[bytes]) -> bool:
    """Whether the entries match the root of the seal."""
    positions = [position_of(each) for each in sealed if len(each) == ENTRY_BYTES]
    return (
        len(positions) == len(sealed) == one.events > 0
        and merkle_root([each[ENTRY_BYTES - len(NO_SEAL) :] for each in sealed]) == one.root
        and positions == sorted(set(positions))
        and one.after_position < positions[0]
        and positions[-1] == one.through_position
    )


def _first_difference(
    block: int, sealed: Sequence[bytes], actual: Sequence[bytes], rows: Sequence[Any]
) -> Finding:
    """Return the finding for the first event that is missing, altered or was not sealed."""
    place = next(
        (place for place, (was, is_) in enumerate(zip(sealed, actual, strict=False)) if was != is_),
        min(len(sealed), len(actual)),
    )
    if place < min(len(sealed), len(actual)) and sealed[place][8:] == actual[place][8:]:
        # The event is unchanged, so its position is too: the entry of the block is wrong.
        return Finding(
            "block",
            "altered",
            block,
            None,
            f"block {block} has a wrong position for an unchanged event",
        )
    was = position_of(sealed[place]) if place < len(sealed) else None
    now = position_of(actual[place]) if place < len(actual) else None
    if was is None or (now is not None and now < was):
        return _event(block, "inserted", now or 0, rows[place], "was not there when the block was sealed")
    moved = _moved_to(sealed[place], was, rows)
    if moved is not None:
        return _event(block, "reordered", was, moved, f"is now at position {moved['position']}")
    if now is None or now > was:
        return Finding(
            "event", "removed", block, was, f"the event at position {was}, of block {block}, is missing"
        )
    if place and now == position_of(actual[place - 1]):
        return _event(block, "inserted", now, rows[place], "is at a position that another event has")
    return _event(block, "altered", was, rows[place], "differs from what was sealed")


def _moved_to(sealed: bytes, position: int, rows: Sequence[Any]) -> Any | None:
    """Return the row that equals the sealed event except for its position."""
    for row in rows:
        if row["position"] != position and event_hash({**row, "position": position}) == sealed[8:]:
            return row
    return None


def _event(
    block: int,
    what: Literal["altered", "removed", "inserted", "reordered"],
    position: int,
    row: Any,
    detail: str,
) -> Finding:
    text = (
        f"the event at position {position}, of block {block} (stream {row['stream_id']}, version {row['version']}, "
        f"id {row['event_id']}), {detail}"
    )
    return Finding("event", what, block, position, text)
