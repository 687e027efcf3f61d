"""`export` and `import`: write the log to a file, and load it into another database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli.modules import is_path, known_names, projection_named
from eventstore.cli.output import bars, is_terminal, progress, say
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.export import ExportResult, export_lines, import_lines
from eventstore.export.arrow import EVENTS, write_parquet
from eventstore.export.files import replacing
from eventstore.export.restore import LINE_BYTES_MAX
from eventstore.extras import imported
from eventstore.store import EventStore


class What(StrEnum):
    """How decimals are exported."""

    EXACT = "exact"
    TEXT = "text"
    FLOAT = "float"


class How(StrEnum):
    """How a read table is read."""

    FRESH = "fresh"
    EVENTUAL = "eventual"


_OF_EVENTS = {
    "decimals": "exact",
    "decimal_scale": None,
    "decimal_precision": None,
    "consistency": "fresh",
}


def export(  # noqa: PLR0917 - typer calls it by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; - is standard output.")],
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category", metavar="NAME", help="Only this category, without seals; may be repeated."
        ),
    ] = None,
    after: Annotated[
        int,
        typer.Option(
            "--after",
            metavar="POSITION",
            min=0,
            help="Only events after this position; the file cannot be imported.",
        ),
    ] = 0,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write a Parquet file instead (extra: frames).")
    ] = False,
    table: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="NAME",
            help="With --parquet: a read table instead of the events, given by its name, the name of its projection, or "
            "MODULE:CLASS.",
        ),
    ] = EVENTS,
    decimals: Annotated[
        What,
        typer.Option(
            "--decimals", help="With --table: decimals as decimals, as text, or as float, which is inexact."
        ),
    ] = What.EXACT,
    decimal_scale: Annotated[
        int | None,
        typer.Option(
            "--decimal-scale",
            metavar="N",
            min=0,
            help="Digits after the point. Default: as many as the values need.",
        ),
    ] = None,
    decimal_precision: Annotated[
        int | None,
        typer.Option(
            "--decimal-precision",
            metavar="N",
            min=1,
            help="Digits in all. Default: 38, or as many as the values need.",
        ),
    ] = None,
    consistency: Annotated[
        How,
        typer.Option("--consistency", help="With --table: with every event, or as the table is."),
    ] = How.FRESH,
    url: Url = None,
    data: Data = None,
) -> None:
    """Write the log as JSON Lines: one line for each event and each seal, in order."""
    if not parquet and table != EVENTS:
        raise ConfigurationError("JSON Lines hold only events: add --parquet to export a read table")
    if parquet and (after or file == Path("-")):
        raise ConfigurationError("a Parquet file holds the whole table: give a FILE, and leave out --after")
    options: dict[str, Any] = {
        "categories": category,
        "decimals": decimals.value,
        "decimal_scale": decimal_scale,
        "decimal_precision": decimal_precision,
        "consistency": consistency.value,
    }
    if table == EVENTS and options != {"categories": category, **_OF_EVENTS}:
        raise ConfigurationError(
            "events have no decimals and no checkpoint: give these options only with --table"
        )
    if parquet:
        with configuration(url, data) as config:
            rows = asyncio.run(_export_parquet(config, _table(table), file, options))
        say(f"exported {rows} rows of {table}")
        return
    with configuration(url, data) as config, _written(file) as opened:
        done = asyncio.run(_export(config, opened, category, after))
    if file != Path("-"):
        say(f"exported {done.events} events and {done.seals} seals, up to position {done.last_position}")


async def _export(
    config: DatabaseConfig, file: Any, categories: list[str] | None, after: int
) -> ExportResult:
    async with EventStore.open(config, workers=False) as store:
        with progress("exporting the log") as show:
            return await export_lines(store.log, file, categories=categories, after=after, on_progress=show)


def _table(name: str) -> Any:
    """Return the projection with this name or this table; if there is none, the name of the table."""
    if name != EVENTS and (is_path(name) or name in known_names()):
        return projection_named(name)
    return name


async def _export_parquet(config: DatabaseConfig, table: Any, file: Path, options: dict[str, Any]) -> int:
    imported("pyarrow.parquet", "frames")  # it takes seconds, and no connection waits for it
    async with EventStore.open(config, workers=False) as store:
        with _usable(file), bars(transient=True) as shown:
            bar = shown.add("exporting", total=None)
            return await write_parquet(
                store.log,
                table,
                file,
                on_progress=lambda rows: shown.update(bar, completed=rows, note=f"{rows:,} rows"),
                **options,
            )


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file that `export` wrote; - is standard input.")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="HEAD",
            help="A head that you kept outside; the seals of the file must lead to it.",
        ),
    ] = None,
    line_bytes_max: Annotated[
        int, typer.Option("--line-bytes-max", metavar="N", min=1, help="The largest line, in bytes.")
    ] = LINE_BYTES_MAX,
    url: Url = None,
    data: Data = None,
) -> None:
    """Load an exported log into an empty database, all or nothing; positions, ids, times and seals are kept."""
    with configuration(url, data, make=True) as config, _read(file) as opened:
        done = asyncio.run(_import(config, opened, against, line_bytes_max))
    say(f"imported {done.events} events and {done.seals} seals, up to position {done.last_position}")


async def _import(
    config: DatabaseConfig, file: Any, against: str | None, line_bytes_max: int
) -> ExportResult:
    async with EventStore.open(config, workers=False, migrate=True) as store:
        return await import_lines(store.log, file, against=against, line_bytes_max=line_bytes_max)


@contextmanager
def _written(file: Path) -> Iterator[Any]:
    with _usable(file):
        if file == Path("-"):
            if is_terminal():
                raise ConfigurationError(
                    "the log is not written to a terminal, which would obey control characters in it: name a FILE, or use a "
                    "pipe; `eventstore tail` shows events"
                )
            yield sys.stdout.buffer
        else:
            # An export that fails leaves the old file in place.
            with replacing(file) as new, new.open() as opened:
                yield opened


@contextmanager
def _read(file: Path) -> Iterator[Any]:
    with _usable(file):
        if file == Path("-"):
            yield sys.stdin.buffer
        else:
            with file.open("rb") as opened, bars(transient=True) as shown:
                yield shown.reading(opened, "importing the log", total=file.stat().st_size)


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    """Raise an error of the file as `ConfigurationError`; errors of the database are `OSError`s too and pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error, EventStoreError | BrokenPipeError):
            raise
        raise ConfigurationError(f"the file {file} cannot be used: {error.strerror or error}") from error
