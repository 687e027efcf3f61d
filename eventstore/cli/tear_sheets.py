"""`report`: writes a tear sheet, one HTML file that needs no network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.cli import ids
from eventstore.cli.asked import Asked, Base, Rates, SessionEnd, rates_of, with_report_options
from eventstore.cli.output import say, waiting
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
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
