"""`status`: the state of the database, its log and its projections, once or repeatedly."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer

from eventstore.cli.output import TextTable, is_terminal, live, say, say_json, show_table
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.migrations import MigrationStatus
from eventstore.errors import NotMigratedError
from eventstore.sql import Named
from eventstore.status import Status, read_status

# Up to this number, events are counted, which takes a second or two; beyond it, the number is estimated from a sample.
_COUNTED_EVENTS_MAX = 5_000_000

_SAMPLE_PERCENT = 1.0
_INTERVAL_S = 2.0


def status(
    url: Url = None,
    data: Data = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the projections repeatedly, until Ctrl-C.")
    ] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="The interval of --watch.")
    ] = _INTERVAL_S,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, or with --watch one per line.")
    ] = False,
) -> None:
    """Show the migrations, the head of the log, its events by category, and the state of each projection."""
    with configuration(url, data) as config:
        asyncio.run(
            _watch(config, interval_s, as_json=as_json) if watch else _status(config, as_json=as_json)
        )


async def _status(config: DatabaseConfig, *, as_json: bool) -> None:
    async with adapter_for(config) as adapter:
        if as_json:
            await _require_migrated(adapter)
            say_json(_json(await _read(adapter)))
            return
        info = await adapter.connection_info()
        say(f"PostgreSQL {info.server_version}, database {info.database} as {info.user}")
        show_table(_migrations_table(await MigrationManager(adapter).get_status()))
        await _require_migrated(adapter)
        now = await _read(adapter)
        sample = 100.0 if now.head <= _COUNTED_EVENTS_MAX else _SAMPLE_PERCENT
        rows = await adapter.fetch_all(Named("log/count_types"), sample)
        for line in _log_lines(now):
            say(line)
        show_table(_categories_table(rows, sample))
        show_table(_projections_table(now))


async def _watch(config: DatabaseConfig, interval_s: float, *, as_json: bool) -> None:
    async with adapter_for(config) as adapter:
        await _require_migrated(adapter)
        if is_terminal() and not as_json:
            with live() as show_now:
                while True:
                    now = await _read(adapter)
                    show_now([*_log_lines(now), _projections_table(now)])
                    await asyncio.sleep(interval_s)
        while True:
            now = await _read(adapter)
            if as_json:
                say_json(_json(now))
            else:
                for line in _plain_lines(now):
                    say(line)
            await asyncio.sleep(interval_s)


async def _read(adapter: PostgreSQLAdapter) -> Status:
    return await read_status(adapter.connection)


async def _require_migrated(adapter: PostgreSQLAdapter) -> None:
    pending = (await MigrationManager(adapter).get_status()).pending
    if pending:
        raise NotMigratedError(
            f"the database lacks {len(pending)} migration(s), from {pending[0].label} on: run `eventstore migrate`"
        )


def _json(now: Status) -> str:
    return orjson.dumps(asdict(now)).decode()


def _log_lines(now: Status) -> list[str]:
    lines = [f"the head of the log is at position {now.head}"]
    if now.gap_age_s:
        lines.append(f"readers have waited at a gap for {now.gap_age_s:.1f} s")
    if now.writers:
        lines.append(
            f"{now.writers} open writers, the oldest for {now.writer_age_s:.1f} s (backend {now.writer_pid})"
        )
    return lines


def _plain_lines(now: Status) -> list[str]:
    """Return one line for each projection, for files and for programs that read lines."""
    return [
        f"head {now.head} {one.projection} position {one.position} lag {one.lag_events} events {one.lag_s:.1f} s "
        f"workers {one.partitions_active}/{one.partitions} quarantined {one.quarantined}"
        for one in now.projections
    ] or [f"head {now.head}"]


def _migrations_table(migrations: MigrationStatus) -> TextTable:
    table = TextTable("Migrations", ["migration", "applied"], [])
    for one in migrations.applied:
        label = f"{one.version:04d}_{one.name}"
        changed = " (its file has changed since)" if label in migrations.changed else ""
        table.add_row(label, f"{one.applied_at:%Y-%m-%d %H:%M:%S} UTC{changed}")
    for pending in migrations.pending:
        table.add_row(pending.label, "pending")
    return table


def _categories_table(rows: list[Any], sample: float) -> TextTable:
    about = "" if sample == 100.0 else f", about: from {sample:g} % of the table"  # noqa: PLR2004 - per cent
    table = TextTable(f"Events{about}", ["category"], ["events"])
    events: dict[str, int] = {}
    for row in rows:
        events[row["category"]] = events.get(row["category"], 0) + row["events"]
    for category, count in events.items():
        table.add_row(category, str(count))
    return table


def _projections_table(now: Status) -> TextTable:
    columns = ["position", "lag in events", "moved", "lag in s", "workers", "quarantined"]
    table = TextTable("Projections", ["projection"], columns)
    for one in now.projections:
        table.add_row(
            one.projection,
            str(one.position),
            # A gap in the positions counts as an event here; there are few gaps.
            str(one.lag_events),
            f"{one.moved_s_ago:.0f} s ago",
            f"{one.lag_s:.1f}",
            f"{one.partitions_active} of {one.partitions}",
            str(one.quarantined),
        )
    return table
