"""`demo`: plays a real tape through the whole store, and proves that the read tables equal the log."""

from __future__ import annotations

import asyncio
import gc
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from eventstore.cli import tear_sheets, ui
from eventstore.cli.demo_books import counts_table, equity_lines, summed_equity
from eventstore.cli.output import Bars, bars, say, show_table
from eventstore.cli.proof import CATCH_UP_TIMEOUT_S, prove
from eventstore.cli.reports import table_of
from eventstore.cli.running import DIFFERENT, run_long
from eventstore.cli.target import configuration, embedded_server
from eventstore.database import DatabaseConfig, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer
from eventstore.errors import ConfigurationError
from eventstore.examples.order_engine import OrderEngine
from eventstore.examples.ticks import TAPE_PRINTS, Tick, packaged_tape, read_ticks
from eventstore.garbage_collection import collecting_rarely
from eventstore.sql import Named
from eventstore.store import EventStore
from eventstore.tear_sheet.sheet import require_extra

PRINTS = 200_000
"""How many prints of the packaged tape are played by default: as many as a slow machine plays in well under a minute."""

_REFRESH_S = 0.25
_RATE_OVER_S = 2.0


def demo(  # noqa: PLR0917 - the command's options
    ticks: Annotated[
        Path | None,
        typer.Option(
            "--ticks",
            metavar="FILE",
            help="A tape: a CSV file with DateTime,Price,Volume. Default: the tape of mlfinpy.",
        ),
    ] = None,
    prints: Annotated[
        int | None,
        typer.Option(
            "--prints",
            metavar="N",
            min=1,
            help=f"Play only the first N prints. Default: {PRINTS} of the {TAPE_PRINTS} of mlfinpy's tape, all of another.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Keep the database in this folder."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Play on this database, which must be migrated and have no events."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The same as --keep.")] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a tear sheet to this file (extra: report)."),
    ] = None,
    inspect: Annotated[
        bool,
        typer.Option(
            "--ui", help="At the end serve the inspector until Ctrl-C, and say its address (extra: ui)."
        ),
    ] = False,
) -> int:
    """Play a real tape of trades through the whole store, by default on an embedded PostgreSQL.

    Seven strategies trade the tape. Every change of an order, a position or a portfolio goes through a
    Unit of Work. Then the demo proves the read tables against the log. The status is 1 if a row differs.
    """
    if keep is not None and data is not None:
        raise ConfigurationError("--keep and --data both name a folder: give only one of them")
    folder = keep or data
    if folder is not None and url is not None:
        raise ConfigurationError(
            "--url names a running database, so no folder can be kept: give --url, or --keep or --data, but not both"
        )
    if report is not None:
        # Whatever keeps it from being written is said before the demo begins.
        require_extra()
        tear_sheets.make_folder_of(report)
    if inspect:
        ui.require_extra()
    path = packaged_tape() if ticks is None else ticks
    if ticks is None and prints is None:
        prints = PRINTS
        rest = f": the first {PRINTS:,} of its {TAPE_PRINTS:,} prints; --prints {TAPE_PRINTS} plays them all"
    else:
        rest = ""
    say(f"reading {path.name}{rest}")
    tape = read_ticks(path, limit=prints)
    # The tape stays to the end: scanning its million objects again and again would take a tenth of the time.
    gc.collect()
    gc.freeze()
    with _server(folder, url) as config:
        status = run_long(_play(config, tape, migrate=url is None, report=report))
        if inspect:
            ui.serve_here(config)
        if folder is not None:
            _explain_second_look(folder, config)
    return status


@contextmanager
def _server(folder: Path | None, url: str | None) -> Iterator[DatabaseConfig]:
    if url is not None:
        with configuration(url, None) as config:
            yield config
    else:
        with embedded_server(folder) as server:
            yield server.config().replace(postpone_gc=True)


async def _play(config: DatabaseConfig, tape: Sequence[Tick], *, migrate: bool, report: Path | None) -> int:
    async with EventStore.open(config, workers=False, migrate=migrate) as store:
        head = await store.log.head()
        if head:
            raise ConfigurationError(
                f"the database has events already (up to position {head}), and the events of the demo could never be "
                "removed: name another database or folder"
            )
        await store.start_workers()
        engine = OrderEngine(store, tape)
        with collecting_rarely():
            await _run(engine, store, tape)
        await _report(engine, store)
        with bars(transient=True) as shown:
            async with asyncio.TaskGroup() as group:
                proving = group.create_task(prove(store, shown), name="proof")
                if report is not None:
                    title = f"The demo: {tape[0].at:%Y-%m-%d} to {tape[-1].at:%Y-%m-%d}"
                    group.create_task(_write_report(config, report, title, shown), name="tear sheet")
        rebuilt, folded = proving.result()
    for proof in (rebuilt, folded):
        for line in proof.differences:
            say(line)
        say(proof.line)
    if report is not None:
        say(f"the tear sheet is in {report}")
    return 0 if rebuilt.is_equal and folded.is_equal else DIFFERENT


async def _write_report(config: DatabaseConfig, report: Path, title: str, shown: Bars) -> None:
    """Write the tear sheet beside the proof: each keeps a processor busy."""
    bar = shown.add("writing the tear sheet", total=None)
    await tear_sheets.write_in_another_process(config, report, title=title)
    shown.remove(bar)


# ---- while it runs -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pace:
    """Events per second over the last seconds, and the largest lag."""

    events: int = 0
    at_s: float = 0.0
    per_s: float = 0.0
    lag_max: int = 0

    def note(self, events: int, lag: int) -> None:
        now = time.monotonic()
        if now - self.at_s >= _RATE_OVER_S or not self.per_s:
            self.per_s = (events - self.events) / max(now - self.at_s, 1e-9) if self.at_s else 0.0
            self.events, self.at_s = events, now
        self.lag_max = max(self.lag_max, lag)


async def _run(engine: OrderEngine, store: EventStore, tape: Sequence[Tick]) -> None:
    """Run the engine and show its progress."""
    prints_all = len(tape) * len(engine.strategies)
    pace = _Pace()
    started_s = time.monotonic()
    with bars(elapsed=True) as shown:
        bar = shown.add("playing the tape", total=prints_all)
        running = asyncio.create_task(engine.run(), name="order engine")
        try:
            while not running.done():
                await asyncio.wait([running], timeout=_REFRESH_S)
                lag = max(0, engine.last_position - await _least_checkpoint(store))
                pace.note(engine.events_saved, lag)
                shown.update(
                    bar,
                    completed=engine.prints_done,
                    note=f"{pace.per_s:>6,.0f} events/s  lag {lag:>5,} events",
                )
        finally:
            running.cancel()
        await running
    elapsed_s = time.monotonic() - started_s
    before_s = time.monotonic()
    await store.wait_for(engine.last_position, timeout_s=CATCH_UP_TIMEOUT_S)
    orders = sum(strategy.orders_count for strategy in engine.strategies)
    say(
        f"played {len(tape)} prints, {tape[0].at:%Y-%m-%d %H:%M} to {tape[-1].at:%Y-%m-%d %H:%M} UTC: "
        f"{orders} orders, {engine.events_saved} events in {elapsed_s:.1f} s, "
        f"{engine.events_saved / elapsed_s:.0f} events/s"
    )
    say(
        f"the read tables were at most {pace.lag_max} events behind, "
        f"and had every event {time.monotonic() - before_s:.2f} s after the last"
    )


async def _least_checkpoint(store: EventStore) -> int:
    rows = await PostgreSQLAdapter(store.connection).fetch_all(Named("projections/list_checkpoints"))
    return min((row["position"] for row in rows), default=0)


# ---- at the end ----------------------------------------------------------------------------------------------


async def _report(engine: OrderEngine, store: EventStore) -> None:
    """Show the books from the read tables."""
    portfolios = await store.reports.portfolios()
    positions = await store.reports.positions()
    adapter = PostgreSQLAdapter(store.connection)
    orders = await adapter.fetch_all(Named("orders/count_by_status"))
    events = await adapter.fetch_all(Named("log/count_types"), 100.0)
    show_table(table_of(portfolios, title="Portfolios, in dollars, of simulated fills"))
    show_table(table_of(positions, title="Open positions"))
    show_table(counts_table("Orders by status", orders, "status", "orders"))
    show_table(counts_table("Events by type", events, "type", "events"))
    for line in equity_lines(summed_equity(strategy.equity for strategy in engine.strategies)):
        say(line)


def _explain_second_look(folder: Path, config: DatabaseConfig) -> None:
    quoted = shlex.quote(str(folder))
    with EmbeddedServer.start(folder) as server:
        psql = server.psql
    say(f"the database is kept in {folder}; its server stops now. To open it again:")
    say(
        f"  eventstore url --data {quoted}      # starts the server; eventstore stop --data {quoted} stops it"
    )
    say(f"  {shlex.quote(str(psql))} 'host={config.host} user={config.user} dbname={config.database}'")
