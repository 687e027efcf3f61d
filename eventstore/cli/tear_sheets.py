"""`report`: writes a tear sheet, one HTML file that needs no network."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Mapping
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli import ids
from eventstore.cli.asked import Asked, Base, Rates, SessionEnd, rates_of, with_report_options
from eventstore.cli.output import say, waiting
from eventstore.cli.running import run_long
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.database.cancellation import finish
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.export.files import replacing
from eventstore.store import EventStore
from eventstore.tear_sheet import tear_sheet

_PRINTED = ("symbol", "account", "columns", "as_json", "as_csv", "watch", "interval_s")


@with_report_options(without=_PRINTED)
def report(
    asked: Asked,
    *,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The file to write.")],
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="The title of the page.")
    ] = "Tear sheet",
    session_end: SessionEnd = None,
    rate: Rates = None,
    base: Base = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Write a tear sheet: equity, drawdown, returns by month, P&L, exposure, worst trades and fees in one HTML file."""
    options: dict[str, Any] = {
        "title": title,
        "timezone": asked.zone,
        "session_end": session_end,
        "rates": rates_of(rate),
        "base": base,
    }
    _require_writable(html)
    with configuration(url, data) as config:
        asyncio.run(_report(config, asked, html, options))
    say(f"the tear sheet is in {html}")


async def _report(config: DatabaseConfig, asked: Asked, file: Path, options: Mapping[str, Any]) -> None:
    async with EventStore.open(config, workers=False) as store:
        filters = {name: value for name, value in asked.filters.items() if name not in _PRINTED}
        if asked.portfolio is not None:
            filters["portfolio"] = await ids.find(store, asked.portfolio, "portfolio")
        with waiting("reading the log"):
            await write(store, file, **options, **filters)


def _require_writable(file: Path) -> None:
    """Refuse what cannot be written before the log is read, which may take long."""
    if file.is_dir():
        raise ConfigurationError(f"the file {file} cannot be written: it is a folder")
    if not file.parent.is_dir():
        raise ConfigurationError(f"the file {file} cannot be written: there is no folder {file.parent}")


def make_folder_of(file: Path) -> None:
    """Make the folder of a file, unless it is there.

    Raises:
        ConfigurationError: It cannot be made.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the folder {file.parent} cannot be made: {error.strerror or error}"
        ) from error


async def write(
    store: EventStore, file: Path, *, rates: Mapping[str, Decimal] | None = None, **options: Any
) -> None:
    """Write a tear sheet to a file, which stays as it is unless all of the new one is there.

    Raises:
        ConfigurationError: The file cannot be written, or the extra `report` is not installed.
        EventStoreError: As `tear_sheet`.
    """
    text = await tear_sheet(store, rates=rates, **options)
    try:
        with replacing(file) as new, new.open() as opened:
            opened.write(text.encode())
    except OSError as error:
        if isinstance(error, EventStoreError):
            raise
        raise ConfigurationError(f"the file {file} cannot be written: {error.strerror or error}") from error


async def write_in_another_process(config: DatabaseConfig, file: Path, **options: Any) -> None:
    """Write a tear sheet as `write` does, in a separate process, while this one does something else.

    If the call is cancelled, the process ends and the file stays as it is.

    Args:
        config: The database.
        file: The file.
        **options: As for `tear_sheet`; they can be sent to another process.

    Raises:
        ConfigurationError: As `write`; or the process ended.
        EventStoreError: As `write`.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share sockets and threads with this process
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_write_here, args=(theirs, config, file, options), name="eventstore tear sheet", daemon=True
    )
    process.start()
    theirs.close()
    try:
        error = await asyncio.to_thread(_answer_of, ours)
    finally:
        process.terminate()  # it has nothing to do any more; its end lets the thread go on that waits for its answer
        await finish(asyncio.to_thread(process.join))
        ours.close()
    if error is not None:
        raise ConfigurationError(error)


def _answer_of(pipe: Connection) -> str | None:
    """Return the message of the other process's error; None if it has written the file."""
    try:
        answer: str | None = pipe.recv()
    except EOFError:
        return "the tear sheet was not written: its process has ended"
    return answer


def _write_here(pipe: Connection, config: DatabaseConfig, file: Path, options: dict[str, Any]) -> None:
    # The terminal interrupts all processes, but the other one ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run_long(_write_from(config, file, options))
    except EventStoreError as error:
        pipe.send(str(error))
    else:
        pipe.send(None)


async def _write_from(config: DatabaseConfig, file: Path, options: dict[str, Any]) -> None:
    async with EventStore.open(config, workers=False) as store:
        await write(store, file, **options)
