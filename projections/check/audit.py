"""The audit: whether the log, its sequence and every read table are correct, and how to repair what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eventstore.database.access import limit_statements, reading
from eventstore.database.preconditions import (
    Level,
    Violation,
    find_violations,
    precondition_error,
    require_preconditions,
)
from eventstore.errors import EventDecodingError, NotMigratedError, UnknownEventTypeError
from eventstore.log.event_log import EventLog
from eventstore.log.restored import Ends, advance_sequence, read_ends
from eventstore.replay.state_snapshots import StateSnapshots
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.sql import load
from projections.check.comparison import Live, fold_and_compare, read_live
from projections.engine.delivery_counts import RANGE_POSITIONS, DeliveryCounts
from projections.projection import Projection
from projections.rebuild.coordinator import RebuildProgress, rebuild
from projections.rebuild.new_table import BUILD_TIMEOUT_S
from projections.table_shape import find_differences

_NAMED_MAX = 5
_LAG_EVENTS_MAX = 10_000  # above this, lists fail: see ProjectionLagError
_WAITED_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: The kind: `sequence`, `versions`, `checkpoint ahead`, `checkpoint behind`, `table version`, `table shape`,
            `delivery counts`, `rows`, `quarantine`, `discard`, `rebuild left`, `undecodable`, `state snapshots ahead`, `segment`,
            `impossible position`; or the name of a precondition of `eventstore.database.preconditions`.
        projection: The projection; None for the log itself.
        what: What is wrong, in one line.
        repair: What to do.
    """

    kind: str
    projection: str | None
    what: str
    repair: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A projection that was checked.

    Attributes:
        projection: Its name.
        position: The checkpoint of the partition that is furthest ahead.
        events: The number of delivered events, as counted.
        rows_equal: The number of rows that match the log.
    """

    projection: str
    position: int
    events: int
    rows_equal: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    Attributes:
        ends: The ends of the log and of its sequence.
        checked: The projections whose tables were compared.
        findings: What is wrong; empty if all is sound.
        warnings: Risks that may be intended, such as a setting that trades safety for speed.
    """

    ends: Ends
    checked: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


async def check(
    log: EventLog,
    projections: Iterable[Projection[Any]],
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Audit:
    """Check the log against its rules, and each read table against the log. Nothing is changed, and nothing is blocked.

    It reads the whole log once for the versions and once for each projection, and holds all rows of one projection in
    memory.

    Args:
        log: The log.
        projections: The projections.
        on_progress: Receives the projection, the position reached and the one to reach.

    Raises:
        NotMigratedError: The tables are missing.
        PreconditionError: A table or the sequence of the log is missing, so nothing can be checked.
        ConnectionError, TimeoutError: Safe to run again.
    """
    with log.server.being_repaired(), log.server.steady():
        return await _check(log, projections, on_progress)


async def _check(
    log: EventLog,
    projections: Iterable[Projection[Any]],
    on_progress: Callable[[str, int, int], None] | None,
) -> Audit:
    projections = list(projections)
    violations = await _find_violations(log, projections)
    findings = [_of_violation(one) for one in violations if one.precondition.level is not Level.CHECK]
    warnings = [_of_violation(one) for one in violations if one.precondition.level is Level.CHECK]
    checked: list[Checked] = []
    try:
        ends = await read_ends(log)
    except NotMigratedError as error:
        if not findings:
            raise
        raise precondition_error(violations) from error  # such as a table that was dropped
    findings += _of_ends(ends)
    findings += await _of_versions(log)
    findings += await _of_segments(log)
    for projection in projections:
        found = await _state_of(log, projection)
        if all(one.kind != "table version" for one in found):
            found += await _of_shape(log, projection)
        findings += found
        if any(one.kind in ("table version", "table shape") for one in found):
            continue
        result = await _compared(log, projection, on_progress)
        if isinstance(result, Finding):
            findings.append(result)
        elif result is not None:
            checked.append(result[0])
            findings += result[1]
    return Audit(ends, tuple(checked), tuple(findings), tuple(warnings))


async def plan_repair(log: EventLog, projections: Iterable[Projection[Any]]) -> tuple[str, ...]:
    """Return what `repair` would do, one line each; empty if there is nothing to repair. Nothing is changed.

    Args:
        log: The log.
        projections: As for `repair`.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
    """
    ends = await read_ends(log)
    known = {projection.name for projection in projections}
    lines: list[str] = []
    if ends.is_sequence_behind:
        lines.append(
            f"move the sequence of positions from {ends.sequence} to {ends.last_assigned}: the next position will be "
            f"{ends.last_assigned + 1}"
        )
    if lines or ends.ahead or ends.state_snapshots_ahead:
        lines.append("drop all state snapshots")
    for name in ends.ahead:
        if name in known:
            lines.append(
                f"rebuild projection {name}, which has read beyond position {ends.head}, the end of the log"
            )
        else:
            lines.append(f"leave projection {name} unchanged: its code is not known here")
    left = [one for one in map(_of_impossible, ends.impossible) if "eventstore repair" not in one.repair]
    lines += [f"leave this to you: {one.what}: {one.repair}" for one in left]
    return tuple(lines)


async def repair(
    log: EventLog,
    projections: Iterable[Projection[Any]],
    *,
    on_progress: Callable[[RebuildProgress], None] | None = None,
) -> tuple[str, ...]:
    """Repair the effects of a restore that lost events.

    Afterwards no position is assigned again, and no table has an event that the log lost.

    The sequence is moved past all that was ever read, each projection that has read beyond the log's end is rebuilt,
    and state snapshots are dropped if either was necessary. A row at a position that was never assigned, far beyond the
    sequence, is not evidence of a restore: the sequence is not moved past it. `plan_repair` returns what would be done.
    Lost events stay lost. If nothing is wrong, nothing is done.

    Args:
        log: The log.
        projections: All projections of the database, including the user's own.
        on_progress: Receives the progress of each rebuild.

    Returns:
        What was done, one line each; also the projections that were left because they were not given.

    Raises:
        PreconditionError: A precondition of the store does not hold, so the repair would not last: run the
            statement in the message, then repair again.
        TransactionConflictError: A transaction that has appended is still open. Safe to run again.
        EventStoreError: As for `rebuild`. Safe to run again.
    """
    with log.server.being_repaired(), log.server.steady():
        return await _repair(log, projections, on_progress)


async def _repair(
    log: EventLog,
    projections: Iterable[Projection[Any]],
    on_progress: Callable[[RebuildProgress], None] | None,
) -> tuple[str, ...]:
    done: list[str] = []
    projections = list(projections)
    async with reading(log.connection) as connection:
        await require_preconditions(connection, _read_tables(projections))
    last = await advance_sequence(log)
    if last is not None:
        done.append(f"the next position is {last + 1}")
    by_name = {projection.name: projection for projection in projections}
    ends = await read_ends(log)
    if last is not None or ends.ahead or ends.state_snapshots_ahead:
        # Also those before the log's end: one of their states may include a lost event.
        dropped = await StateSnapshots(log, READ_TABLES).drop()
        if dropped:
            done.append(f"dropped {dropped} state snapshots: their states may have included lost events")
    for name in ends.ahead:
        if name not in by_name:
            done.append(f"projection {name} still has lost events: call `repair` with its code")
            continue
        rebuilt = await rebuild(log, by_name[name], restart=True, on_progress=on_progress)
        done.append(f"rebuilt projection {name}: {rebuilt.rows} rows at position {rebuilt.position}")
    return tuple(done)


def _read_tables(projections: Iterable[Projection[Any]]) -> list[str]:
    return [projection.table.name for projection in projections]


async def _find_violations(log: EventLog, projections: Iterable[Projection[Any]]) -> tuple[Violation, ...]:
    async with reading(log.connection) as connection:
        return await find_violations(connection, _read_tables(projections))


def _of_violation(one: Violation) -> Finding:
    return Finding(one.precondition.name, None, one.what, one.repair)


def _of_ends(ends: Ends) -> list[Finding]:
    findings = []
    if ends.is_sequence_behind:
        what = f"the sequence of positions is at {ends.sequence}, and position {ends.last_assigned} was assigned already"
        findings.append(Finding("sequence", None, what, "run `eventstore repair`"))
    if ends.state_snapshots_ahead:
        what = f"state snapshots are beyond position {ends.head}, where the log ends"
        findings.append(Finding("state snapshots ahead", None, what, "run `eventstore repair`"))
    findings += [_of_impossible(one) for one in ends.impossible]
    return findings


def _of_impossible(row: str) -> Finding:
    table, position = row.split(" ")
    column = "through_position" if table == "event_seals" else "position"
    what = f"{table} has a row at position {position}, which was never assigned"
    if table in (
        "projection_checkpoints",
        "projection_rebuilds",
        "projection_rebuild_shards",
        "state_snapshots",
        "log_segments",
    ):
        return Finding("impossible position", None, what, "run `eventstore repair`")
    statement = f"DELETE FROM {table} WHERE {column} = {position}"
    guarded = ", with the trigger of the table disabled" if table in ("events", "event_seals") else ""
    return Finding("impossible position", None, what, f"as the owner run `{statement}`{guarded}")


async def _of_versions(log: EventLog) -> list[Finding]:
    rows = await _fetch(log, "check/version_gaps", _NAMED_MAX + 1)
    return [
        Finding(
            "versions",
            None,
            f"{row['category']} {row['stream_id']} has {row['events']} events with versions {row['first']} to "
            f"{row['last']}: some are missing",
            "restore the events table from a backup that has them",
        )
        for row in rows
    ]


async def _of_segments(log: EventLog) -> list[Finding]:
    return [
        Finding(
            "segment",
            None,
            f"the segment of {row['category']} events after position {row['after_position']} up to {row['position']}, of level "
            f"{row['level']}, does not hold what the log has there: lists of the past may be wrong",
            "run `eventstore snapshots drop`; workers make all segments anew",
        )
        for row in await _fetch(log, "check/segments", _NAMED_MAX + 1)
    ]


async def _state_of(log: EventLog, projection: Projection[Any]) -> list[Finding]:
    name, findings = projection.name, []
    again = f"run `eventstore rebuild {name}`"

    def found(kind: str, what: str, repairing: str) -> None:
        findings.append(Finding(kind, name, what, repairing))

    versions = await _fetch(log, "projections/read_version", name)
    if versions and versions[0]["version"] != projection.version:
        built = versions[0]["version"]
        found(
            "table version",
            f"the table was built by version {built}, this code has version {projection.version}",
            again if built < projection.version else "use the newer code",
        )
    partitions = await _fetch(log, "projections/list_partitions", name)
    # After the partitions: what is appended and folded meanwhile must not make a partition appear ahead of the log.
    head = (await read_ends(log)).head
    for partition in partitions:
        if partition["position"] > head:
            found(
                "checkpoint ahead",
                f"partition {partition['partition']} has read up to position {partition['position']}, but the log ends at {head}",
                "run `eventstore repair`",
            )
    lowest = min((partition["position"] for partition in partitions), default=0)
    waiting = await _fetch(log, "check/oldest_waiting", lowest)
    if waiting and (head - lowest > _LAG_EVENTS_MAX or waiting[0]["age_s"] > _WAITED_MAX_S):
        found(
            "checkpoint behind",
            f"events have waited for {waiting[0]['age_s']:.0f} s: it is at position {lowest}, the log ends at {head}",
            "let a worker run: open the store with workers=True, or run `eventstore work`",
        )
    for row in (await _fetch(log, "projections/list_quarantine", name))[:_NAMED_MAX]:
        found(
            "quarantine",
            f"key {row['key']} waits at position {row['position']} ({row['type']}): {row['error']}",
            f"repair the code, then `eventstore quarantine retry` or {again}",
        )
    for row in await _fetch(log, "projections/list_discards", name):
        found(
            "discard",
            f"the event at position {row['position']} is left out of key {row['key']}, decided by "
            f"{row['discarded_by']}: {row['reason']}",
            f"{again} with code that can fold it",
        )
    for row in await _fetch(log, "rebuild/read", name):
        if not row["is_alive"]:
            by = f" by {row['lease_owner']}" if row["lease_owner"] else ""
            what, go_on = (
                ("comparison", "to begin anew") if row["is_comparison"] else ("rebuild", "to go on with it")
            )
            found(
                "rebuild left",
                f"a {what}{by} has ended at position {row['position']}",
                f"{again} {go_on}, or with --abandon to drop it",
            )
    return findings


async def _of_shape(log: EventLog, projection: Projection[Any]) -> list[Finding]:
    return [
        Finding("table shape", projection.name, difference, "change the table or the model of its rows")
        for difference in await find_differences(log, projection)
    ]


async def _compared(
    log: EventLog, projection: Projection[Any], on_progress: Callable[[str, int, int], None] | None
) -> Finding | tuple[Checked, list[Finding]] | None:
    name = projection.name
    if not await _fetch(log, "projections/list_partitions", name):
        return None
    live = await read_live(log, projection)
    delivered = DeliveryCounts(live.counted_after)
    try:
        comparison = await fold_and_compare(
            log,
            projection,
            live,
            delivered=delivered,
            on_progress=None
            if on_progress is None
            else lambda position, target: on_progress(name, position, target),
        )
    except (EventDecodingError, UnknownEventTypeError) as error:
        return Finding("undecodable", name, str(error), "use the code that knows this event")
    findings = _of_delivery_counts(name, live, delivered)
    if not comparison.is_equal:
        findings.append(
            Finding(
                "rows",
                name,
                f"{comparison.rows_different} row(s) do not match the log, such as "
                f"{', '.join(comparison.different_keys[:_NAMED_MAX])}",
                f"run `eventstore rebuild {name}`",
            )
        )
    events = sum(count for count, _ in live.delivery_counts.values())
    return Checked(name, max(live.partitions), events, comparison.rows_equal), findings


def _of_delivery_counts(name: str, live: Live, logged: DeliveryCounts) -> list[Finding]:
    findings = []
    ranges = logged.ranges
    for number in sorted(live.delivery_counts.keys() | ranges.keys()):
        was, is_now = live.delivery_counts.get(number, (0, 0)), ranges.get(number, (0, 0))
        if was == is_now:
            continue
        first = number * RANGE_POSITIONS
        counts = f"{was[0]} events were delivered, the log has {is_now[0]}"
        findings.append(
            Finding(
                "delivery counts",
                name,
                f"of positions {first} to {first + RANGE_POSITIONS - 1} "
                + (
                    counts
                    if was[0] != is_now[0]
                    else f"{was[0]} events were delivered, but not the same as in the log"
                ),
                f"run `eventstore rebuild {name}`",
            )
        )
    return findings


async def _fetch(log: EventLog, statement: str, *arguments: Any) -> list[Any]:
    async with reading(log.connection) as connection, connection.transaction(readonly=True):
        await limit_statements(connection, BUILD_TIMEOUT_S)
        rows: list[Any] = await connection.fetch(
            load(statement, connection), *arguments, timeout=BUILD_TIMEOUT_S
        )
        return rows
