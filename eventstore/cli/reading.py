"""`history`, `show` and `tail`: the history of an entity, the events of a stream, the last events of the log."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from pydantic_core import to_jsonable_python

from eventstore.cli.ids import ID_HELP, find
from eventstore.cli.modules import entity_class_named
from eventstore.cli.output import TextTable, say, say_json, show_table
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.database.access import read_rows
from eventstore.errors import EntityNotFoundError
from eventstore.log.names import require_known_names
from eventstore.log.stream_pages import stream_pages
from eventstore.replay.following import follow, last_rows
from eventstore.replay.history import Changes, FieldChange, HistoryEntry
from eventstore.replay.pages import Selection
from eventstore.store import EventStore
from eventstore.stored_json import as_json, as_line, pairs, time_text

_LINES_MAX = 2**31 - 1

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line; decimals are strings.")]
"""The option `--json`."""


# ---- history -----------------------------------------------------------------------------------------------


def history(
    category: Annotated[
        str,
        typer.Argument(help="The category: order, position, portfolio, or your own category (--module)."),
    ],
    entity: Annotated[str, typer.Argument(metavar="ID", help=ID_HELP)],
    in_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show each event of an entity with its times, its actor, and the change of each field."""
    entity_class = entity_class_named(category)
    with configuration(url, data) as config:
        entity_id, told = asyncio.run(_history(config, entity_class, entity))
    if not told:
        raise EntityNotFoundError(entity_id, category=category)
    if in_json:
        for entry in told:
            say_json(orjson.dumps(_entry_as_json(entry)).decode())
        return
    table = TextTable(f"{category} {entity_id}", ["version", "occurred at", "event", "actor", "changes"])
    for entry in told:
        when = time_text(entry.occurred_at)
        table.add_row(str(entry.version), when, entry.type, entry.actor or "", _shown(entry.changes))
    show_table(table)


async def _history(
    config: DatabaseConfig, entity_class: type[Any], entity: str
) -> tuple[UUID, list[HistoryEntry[Any]]]:
    async with EventStore.open(config, workers=False) as store:
        entity_id = await find(store, entity, entity_class.category)
        return entity_id, await store.history(entity_class, entity_id)


def _entry_as_json(entry: HistoryEntry[Any]) -> dict[str, Any]:
    return {
        "version": entry.version,
        "position": entry.position,
        "type": entry.type,
        "occurred_at": entry.occurred_at.isoformat(),
        "recorded_at": entry.recorded_at.isoformat(),
        "actor": entry.actor,
        "changes": {
            name: {"old": to_jsonable_python(change.old), "new": to_jsonable_python(change.new)}
            for name, change in entry.changes.items()
        },
    }


def _shown(changes: Changes) -> list[str]:
    return [_change(name, change) for name, change in changes.items() if change.old or change.new]


def _change(name: str, change: FieldChange) -> str:
    old, new = (_value(value) for value in (change.old, change.new))
    return f"{name}: {old} → {new}" if old else f"{name}: {new}"


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        return f"{len(value)} items"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


# ---- show --------------------------------------------------------------------------------------------------


def show(
    stream: Annotated[str, typer.Argument(metavar="ID", help=ID_HELP)],
    in_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show each event of a stream as it is stored, whatever its type."""
    with configuration(url, data) as config:
        stream_id, rows = asyncio.run(_show(config, stream))
    if not rows:
        raise EntityNotFoundError(stream_id, category="stream")
    if in_json:
        for row in rows:
            say_json(as_json(row))
        return
    columns = ["version", "position", "occurred at", "event", "data"]
    table = TextTable(f"{rows[0]['category']} {stream_id}", columns)
    for row in rows:
        where = (str(row["version"]), str(row["position"]))
        members = [f"{name}={value}" for name, value in pairs(row["data"])]
        table.add_row(*where, time_text(row["occurred_at"]), row["type"], members)
    show_table(table)


async def _show(config: DatabaseConfig, stream: str) -> tuple[UUID, list[Any]]:
    async with EventStore.open(config, workers=False) as store:
        stream_id = await find(store, stream)
        pages = stream_pages(partial(read_rows, store.log.connection, "log/read_stream"), stream_id)
        async with aclosing(pages):
            return stream_id, [row async for rows in pages for row in rows]


# ---- tail --------------------------------------------------------------------------------------------------


def tail(  # noqa: PLR0917 - the command's options
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, max=_LINES_MAX, help="The last N events.")
    ] = 10,
    following: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with new events until SIGINT (Ctrl-C) or SIGTERM."),
    ] = False,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Only this category; may be repeated."),
    ] = None,
    type: Annotated[
        list[str] | None, typer.Option("--type", metavar="NAME", help="Only this type; may be repeated.")
    ] = None,
    in_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show the last events of the log, as they are stored."""
    selection = Selection(category or None, type or None)
    with configuration(url, data) as config:
        asyncio.run(_tail(config, selection, lines, following=following, in_json=in_json))


async def _tail(
    config: DatabaseConfig, selection: Selection, lines: int, *, following: bool, in_json: bool
) -> None:
    async with EventStore.open(config, workers=False) as store:
        await require_known_names(store.log, categories=selection.categories, types=selection.types)
        rows, end = await last_rows(store.log, selection, count=lines)
        _say_rows(rows, in_json=in_json)
        if not following:
            return
        stop = asyncio.Event()
        readers_left = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            # Notice a closed pipe at once, not only with the next event.
            loop.add_reader(sys.stdout.fileno(), readers_left.set)
        task = asyncio.create_task(_follow(store, selection, end, in_json=in_json), name="eventstore tail")
        ends = [asyncio.create_task(one.wait()) for one in (stop, readers_left)]
        await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for one in (task, *ends):
            one.cancel()
        await asyncio.wait({task, *ends})
        if readers_left.is_set():
            raise BrokenPipeError
        if not task.cancelled():
            task.result()


async def _follow(store: EventStore, selection: Selection, after: int, *, in_json: bool) -> None:
    async with aclosing(follow(store.log, selection, after=after)) as rows:
        async for row in rows:
            _say_rows([row], in_json=in_json)


def _say_rows(rows: Iterable[Any], *, in_json: bool) -> None:
    for row in rows:
        if in_json:
            say_json(as_json(row))
        else:
            say(as_line(row))
