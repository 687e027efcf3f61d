"""`rebuild`: rebuilds read tables from the log, proves them and swaps them in; or only compares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from eventstore.cli.modules import kept_projections, known_names, projections_named
from eventstore.cli.output import Bars, bars, say, say_error
from eventstore.cli.proof import compare_all
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore
from projections import Projection
from projections.rebuild import RebuildProgress, Rebuilt, abandon, rebuild as rebuild_one

_LINE_EVERY_S = 5.0


def rebuild(  # noqa: PLR0917 - each is an option of the command line
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...", help="The projections to rebuild, by their names or as MODULE:CLASS."
        ),
    ] = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Rebuild every projection in the database.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare every row with the live table, and change nothing.")
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Start from the beginning instead of continuing a killed rebuild."),
    ] = False,
    abandon_it: Annotated[
        bool, typer.Option("--abandon", help="Drop what a killed rebuild has left.")
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Change the rows that differ instead of replacing the table, so that its views, foreign keys, triggers and "
            "policies stay. A table that is published to subscribers is always rebuilt in place.",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            help="Build and prove each projection in N processes. Default: the number of processors, four at most; one "
            "if the log is short.",
        ),
    ] = None,
    url: Url = None,
    data: Data = None,
) -> int:
    """Rebuild read tables from the log, prove them, and swap them in.

    Readers, writers and workers go on. If a rebuild is killed, the next run continues it. With
    --compare the command changes nothing, and the status is 1 if a row differs.
    """
    if bool(names) == all_of_them:
        known = ", ".join(sorted(known_names()))
        raise ConfigurationError(f"no projection is named: name one or more of {known}, or give --all")
    if compare + restart + abandon_it > 1:
        raise ConfigurationError("--compare, --restart and --abandon exclude each other: give one of them")
    if in_place and (compare or abandon_it):
        raise ConfigurationError("--compare and --abandon do not rebuild: leave out --in-place")
    chosen = projections_named(names) if names else None
    with configuration(url, data) as config:
        if compare:
            return asyncio.run(_compare(config, chosen))
        if abandon_it:
            asyncio.run(_abandon(config, chosen))
        else:
            asyncio.run(_rebuild(config, chosen, restart=restart, in_place=in_place, processes=processes))
    return 0


async def _compare(config: DatabaseConfig, chosen: list[Projection[Any]] | None) -> int:
    async with EventStore.open(config, workers=False) as store:
        some = await _all_unless(chosen, store)
        with bars(transient=True) as shown:
            proof = await compare_all(store.log, some, shown)
    for one in proof.comparisons:
        say(
            f"{one.projection}: {one.rows_equal} equal, {one.rows_different} different, at position {one.position}"
        )
    for line in proof.differences:
        say(line)
    say(proof.line)
    return 0 if proof.is_equal else DIFFERENT


async def _abandon(config: DatabaseConfig, chosen: list[Projection[Any]] | None) -> None:
    async with EventStore.open(config, workers=False) as store:
        for projection in await _all_unless(chosen, store):
            had = await abandon(store.log, projection)
            say(f"{projection.name}: {'dropped' if had else 'there was nothing to drop'}")


async def _rebuild(
    config: DatabaseConfig,
    chosen: list[Projection[Any]] | None,
    *,
    restart: bool,
    in_place: bool,
    processes: int | None,
) -> None:
    async with EventStore.open(config, workers=False) as store:
        for projection in await _all_unless(chosen, store):
            started_s = time.monotonic()
            with show_progress() as on_progress:
                rebuilt = await rebuild_one(
                    store.log,
                    projection,
                    restart=restart,
                    in_place=in_place,
                    processes=processes,
                    on_progress=on_progress,
                )
            say(_told(rebuilt, time.monotonic() - started_s))


async def _all_unless(chosen: list[Projection[Any]] | None, store: EventStore) -> list[Projection[Any]]:
    """Return the named projections, or all in the database if none were named."""
    if chosen is not None:
        return chosen
    kept, others = await kept_projections(store.connection)
    for name in others:
        say_error(f"{name} is left out, because its code is not known: give --module MODULE")
    return kept


def _told(rebuilt: Rebuilt, elapsed_s: float) -> str:
    more = ""
    if rebuilt.quarantined:
        more += f", {rebuilt.quarantined} keys in quarantine"
    if rebuilt.rows_changed is not None:
        more += f", {rebuilt.rows_changed} rows changed in place"
    if rebuilt.folded_again:
        more += f", {len(rebuilt.folded_again)} discarded events folded again"
    return (
        f"{rebuilt.projection}: {rebuilt.rows} rows of {rebuilt.events} events, version {rebuilt.version}, live at "
        f"position {rebuilt.position} after {elapsed_s:.1f} s, proved by digest {rebuilt.digest}{more}"
    )


@contextmanager
def show_progress() -> Iterator[_Shown]:
    """Show the progress of a rebuild: a bar on a terminal, otherwise a line every few seconds."""
    with bars() as shown:
        yield _Shown(shown)


class _Shown:
    """Shows the progress that a rebuild reports."""

    def __init__(self, shown: Bars) -> None:
        self._bars = shown
        self._bar: int | None = None
        self._stage = ""
        self._began = (0.0, 0)
        self._told_s = time.monotonic()

    def __call__(self, progress: RebuildProgress) -> None:
        """Show the progress."""
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._began = progress.stage, (now, progress.events)
            if self._bar is not None:
                self._bars.remove(self._bar)
            self._bar = self._bars.add("", total=max(progress.target, 1))
        since_s, events = self._began
        per_s = (progress.events - events) / max(now - since_s, 1e-3)
        pace = f"{progress.events:,} events, {per_s:,.0f} events/s"
        description = f"{progress.projection}: {progress.stage}"
        if self._bar is not None:
            self._bars.update(
                self._bar,
                description=description,
                total=max(progress.target, 1),
                completed=progress.position,
                note=pace,
            )
        if not self._bars.are_shown and now - self._told_s >= _LINE_EVERY_S:
            self._told_s = now
            say(f"{description}: position {progress.position:,} of {progress.target:,}, {pace}")
