"""`history`, `show` and `tail`: what the log says of one entity, of one stream, and of late."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from pydantic_core import to_jsonable_python

from eventstore.cli.report import plain_table
from eventstore.cli.running import console, say
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.domain.event import registry
from eventstore.errors import ConfigurationError, EntityNotFoundError
from eventstore.replay.following import follow, last_rows
from eventstore.replay.history import Changes, FieldChange, HistoryEntry, entity_class_of
from eventstore.replay.pages import Selection, fetch
from eventstore.store import EventStore

__all__ = ["history", "show", "tail"]

_ENVELOPE = (
    "position",
    "stream_id",
    "version",
    "event_id",
    "category",
    "type",
    "schema_version",
    "occurred_at",
    "recorded_at",
)
_CATEGORY_WIDTH = 9
_TYPE_WIDTH = 24

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line; decimals are strings.")]
"""The option `--json`."""


# ---- history -----------------------------------------------------------------------------------------------


def history(
    category: Annotated[str, typer.Argument(help="What it is: order, position, portfolio ...")],
    entity_id: Annotated[UUID, typer.Argument(metavar="ID", help="Its id.")],
    as_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show each event of an entity with its times, who did it, and what became of each field."""
    entity_class = entity_class_of(category, registry)
    if entity_class is None:
        known = sorted({one.category for one in registry if entity_class_of(one.category, registry)})
        raise ConfigurationError(f"there is no entity of category {category}: there are {', '.join(known)}")
    with configuration(url, data) as config:
        told = asyncio.run(_history(config, entity_class, entity_id))
    if not told:
        raise EntityNotFoundError(entity_id, category=category)
    if as_json:
        for entry in told:
            say(orjson.dumps(_entry_as_json(entry)).decode())
        return
    table = plain_table(f"{category} {entity_id}", ["version", "occurred at", "event", "actor"], [])
    table.add_column("changes", overflow="fold")
    for entry in told:
        when = _time(entry.occurred_at)
        table.add_row(str(entry.version), when, entry.type, entry.actor or "", _shown(entry.changes))
    console.print(table)


async def _history(
    config: DatabaseConfig, entity_class: type[Any], entity_id: UUID
) -> list[HistoryEntry[Any]]:
    async with EventStore.open(config, workers=False) as store:
        return await store.history(entity_class, entity_id)


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


def _shown(changes: Changes) -> str:
    return "\n".join(_change(name, change) for name, change in changes.items() if change.old or change.new)


def _change(name: str, change: FieldChange) -> str:
    old, new = (_value(value) for value in (change.old, change.new))
    return f"{name}: {old} → {new}" if old else f"{name}: {new}"


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        return f"{len(value)} items"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


# ---- show --------------------------------------------------------------------------------------------------


def show(
    stream: Annotated[UUID, typer.Argument(help="The id of the stream, which is its entity's.")],
    as_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show each event of a stream as it is stored, whatever its type."""
    with configuration(url, data) as config:
        rows = asyncio.run(_show(config, stream))
    if not rows:
        raise EntityNotFoundError(stream, category="stream")
    if as_json:
        for row in rows:
            say(_as_json(row))
        return
    table = plain_table(
        f"{rows[0]['category']} {stream}", ["version", "position", "occurred at", "event"], []
    )
    table.add_column("data", overflow="fold")
    for row in rows:
        where = (str(row["version"]), str(row["position"]))
        table.add_row(*where, _time(row["occurred_at"]), row["type"], "\n".join(_pairs(row)))
    console.print(table)


async def _show(config: DatabaseConfig, stream: UUID) -> list[Any]:
    async with EventStore.open(config, workers=False) as store:
        return await fetch(store.log.connection, "log/read_stream", stream, 0, None)


# ---- tail --------------------------------------------------------------------------------------------------


def tail(  # noqa: PLR0917 - the command's options
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="The last N events.")] = 10,
    following: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what is appended, until SIGINT (Ctrl-C) or SIGTERM."),
    ] = False,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Only of this category; may be repeated."),
    ] = None,
    type: Annotated[
        list[str] | None, typer.Option("--type", metavar="NAME", help="Only of this type; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Show the last events of the log, as they are stored."""
    selection = Selection(category or None, type or None)
    with configuration(url, data) as config:
        asyncio.run(_tail(config, selection, lines, following=following, as_json=as_json))


async def _tail(
    config: DatabaseConfig, selection: Selection, lines: int, *, following: bool, as_json: bool
) -> None:
    async with EventStore.open(config, workers=False) as store:
        rows, end = await last_rows(store.log, selection, count=lines)
        _say_rows(rows, as_json=as_json)
        if not following:
            return
        stop = asyncio.Event()
        readers_left = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
            # A pipe that nobody reads any more is noticed at once, and not with the next event.
            loop.add_reader(sys.stdout.fileno(), readers_left.set)
        task = asyncio.create_task(_follow(store, selection, end, as_json=as_json), name="eventstore tail")
        ends = [asyncio.create_task(one.wait()) for one in (stop, readers_left)]
        await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for one in (task, *ends):
            one.cancel()
        await asyncio.wait({task, *ends})
        if readers_left.is_set():
            raise BrokenPipeError
        if not task.cancelled():
            task.result()


async def _follow(store: EventStore, selection: Selection, after: int, *, as_json: bool) -> None:
    async with aclosing(follow(store.log, selection, after=after)) as rows:
        async for row in rows:
            _say_rows([row], as_json=as_json)


def _say_rows(rows: Iterable[Any], *, as_json: bool) -> None:
    for row in rows:
        say(_as_json(row) if as_json else _line(row))


def _line(row: Any) -> str:
    return (
        f"{row['position']:>9} {_time(row['recorded_at'])} {row['category']:<{_CATEGORY_WIDTH}} "
        f"{row['type']:<{_TYPE_WIDTH}} {row['stream_id']} v{row['version']:<4} {' '.join(_pairs(row))}".rstrip()
    )


def _pairs(row: Any) -> Iterable[str]:
    return (
        f"{name}={value if isinstance(value, str) else orjson.dumps(value).decode()}"
        for name, value in orjson.loads(row["data"]).items()
    )


def _as_json(row: Any) -> str:
    """Return a row as JSON; what is stored stays as it is, digit for digit."""
    envelope = {name: row[name] for name in _ENVELOPE}
    stored = {name: orjson.Fragment(row[name]) for name in ("metadata", "data")}
    return orjson.dumps(envelope | stored, default=str).decode()  # asyncpg has UUIDs of its own


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
