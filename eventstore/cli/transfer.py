"""`export` and `import`: the log out of a database and into another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli.output import say
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.export import ExportResult, export_lines, import_lines
from eventstore.export.arrow import EVENTS, write_parquet
from eventstore.export.files import replacing
from eventstore.export.restore import LINE_BYTES_MAX
from eventstore.store import EventStore

__all__ = ["export", "import_"]


def export(  # noqa: PLR0917 - typer calls it by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is standard output.")],
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Only this one; may be given again. Without seals."),
    ] = None,
    after: Annotated[
        int,
        typer.Option("--after", metavar="POSITION", min=0, help="Only events after it. Cannot be imported."),
    ] = 0,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write a Parquet file instead (extra: arrow).")
    ] = False,
    table: Annotated[
        str,
        typer.Option("--table", metavar="NAME", help="With --parquet: a read table instead of the events."),
    ] = EVENTS,
    url: Url = None,
    data: Data = None,
) -> None:
    """Write the log as JSON Lines: a line for each event and each seal, in order."""
    if not parquet and table != EVENTS:
        raise ConfigurationError("a read table is exported with --parquet; JSON Lines hold events")
    if parquet and (after or file == Path("-")):
        raise ConfigurationError("a Parquet file holds the whole table: give a FILE, and no --after")
    if parquet:
        with configuration(url, data) as config:
            rows = asyncio.run(_export_parquet(config, table, file, category))
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
        return await export_lines(store.log, file, categories=categories, after=after)


async def _export_parquet(
    config: DatabaseConfig, table: str, file: Path, categories: list[str] | None
) -> int:
    async with EventStore.open(config, workers=False) as store:
        with _usable(file):
            return await write_parquet(store.log, table, file, categories=categories)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote; - is standard input.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="HEAD", help="A head that was kept outside, which the file must lead to."
        ),
    ] = None,
    line_bytes_max: Annotated[
        int, typer.Option("--line-bytes-max", metavar="N", min=1, help="The most bytes of one line.")
    ] = LINE_BYTES_MAX,
    url: Url = None,
    data: Data = None,
) -> None:
    """Put an exported log into an empty database: positions, ids, times and seals are kept. All of it, or nothing."""
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
            yield sys.stdout.buffer
        else:
            # An export that fails leaves the one before it.
            with replacing(file) as new, new.open() as opened:
                yield opened


@contextmanager
def _read(file: Path) -> Iterator[Any]:
    with _usable(file):
        if file == Path("-"):
            yield sys.stdin.buffer
        else:
            with file.open("rb") as opened:
                yield opened


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    """Say of an error of the file that it is one; those of the database are `OSError`s too, and stay what they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, EventStoreError | BrokenPipeError):
            raise
        raise ConfigurationError(f"the file {file} cannot be used: {error.strerror or error}") from error
