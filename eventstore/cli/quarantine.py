"""`quarantine`: lists the keys whose events cannot be folded, retries keys, discards events."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import orjson
import typer

from eventstore.cli.modules import is_path, known_names, projection_named
from eventstore.cli.output import TextTable, say, say_json, show_table
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, configuration
from eventstore.database.access import read_rows
from eventstore.errors import KeyNotQuarantinedError
from eventstore.log.names import no_such_name
from eventstore.store import EventStore
from projections.quarantine import QuarantinedKey, operations as quarantine

T = TypeVar("T")

application = typer.Typer(
    name="quarantine",
    help="Keys whose events cannot be folded: list, show, retry, discard.",
    add_completion=False,
)
"""The command `quarantine` with its four subcommands."""

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The projection, by its name or as MODULE:CLASS.")]
_Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="The key as `list` prints it; for a key of one text you may leave out the brackets.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@application.command("list")
def list_keys(
    url: Url = None,
    data: Data = None,
    projection: Annotated[
        str | None, typer.Option("--projection", metavar="NAME", help="Only this projection.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """List the keys in quarantine, oldest first."""

    async def work(store: EventStore) -> list[QuarantinedKey]:
        name = None if projection is None else _name(projection)
        found = await quarantine.list_quarantined(store.log, name)
        if name is not None and not found:
            await _require_known(store, name)
        return found

    held = _run(url, data, work)
    if as_json:
        say_json(_json([asdict(one) for one in held]))
        return
    table = TextTable("Quarantine", ["projection", "key", "error"], ["position", "attempts"])
    for one in held:
        table.add_row(
            one.projection,
            one.key,
            next(iter(one.error.splitlines()), ""),
            str(one.position),
            str(one.attempts),
        )
    show_table(table)
    say(f"{len(held)} keys in quarantine")


@application.command("show")
def show(name: _Name, key: _Key, url: Url = None, data: Data = None, as_json: _Json = False) -> None:
    """Show one key: the event that cannot be folded, the error with its traceback, and the time."""
    held = _run(url, data, lambda store: _find(store, _name(name), key))
    if as_json:
        say_json(_json(asdict(held)))
        return
    for field, value in asdict(held).items():
        if field != "traceback":
            say(f"{field}: {value}")
    say("traceback:")
    # Indented, so that no line of the traceback can look like one of the fields above.
    for line in held.traceback.rstrip().split("\n"):
        say(f"  {line}")


@application.command("retry")
def retry(
    name: _Name,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="The key. Default: all keys of the projection.")
    ] = None,
    url: Url = None,
    data: Data = None,
) -> int:
    """Fold the waiting events in order, after the code was repaired. The status is 1 if one fails again."""
    projection = projection_named(name)

    async def work(store: EventStore) -> int:
        if key is None:
            held = await quarantine.list_quarantined(store.log, projection.name)
        else:
            held = [await _find(store, projection.name, key)]
        status = 0
        for one in held:
            if await quarantine.retry(store.log, projection, one.key):
                say(f"{one.projection} {one.key}: up to date")
            else:
                again = await _find(store, one.projection, one.key)
                say(f"{one.projection} {one.key}: still at position {again.position}: {again.error}")
                status = DIFFERENT
        return status

    return _run(url, data, work)


@application.command("discard")
def discard(  # noqa: PLR0917 - called by the command line, by name
    name: _Name,
    key: _Key,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, which is recorded.")],
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="WHO", help="The person who decides. Default: the user of this process."
        ),
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(
            "--position",
            metavar="N",
            help="The position of the event, as `list` shows it: no other one is left out, and the command may be repeated.",
        ),
    ] = None,
    url: Url = None,
    data: Data = None,
) -> int:
    """Discard the failed event for good, record the decision, and fold the events behind it."""
    projection = projection_named(name)
    who = getpass.getuser() if by is None else by

    async def work(store: EventStore) -> int:
        if position is None:
            found = await _find(store, projection.name, key)
            at, text = found.position, found.key
        else:
            at, text = position, await _text_of(store, projection.name, key)
        done = await quarantine.discard(
            store.log, projection, text, discarded_by=who, reason=reason, position=at
        )
        say(f"{projection.name} {text}: the event at position {at} is left out, by {who}")
        if not done:
            again = await _find(store, projection.name, text)
            say(f"{projection.name} {text}: now at position {again.position}: {again.error}")
        return 0 if done else DIFFERENT

    return _run(url, data, work)


def _name(given: str) -> str:
    """Return the name of a projection given by name or as MODULE:CLASS; a plain name needs no code."""
    return projection_named(given).name if is_path(given) else given


async def _find(store: EventStore, name: str, key: str) -> QuarantinedKey:
    keys = (key, orjson.dumps([key]).decode())
    for one in await quarantine.list_quarantined(store.log, name):
        if one.key in keys:
            return one
    await _require_known(store, name)
    raise KeyNotQuarantinedError.of(name, key)


async def _text_of(store: EventStore, name: str, key: str) -> str:
    """Return the text of a key, which need not be in quarantine any more."""
    try:
        return (await _find(store, name, key)).key
    except KeyNotQuarantinedError:
        return key if key.startswith("[") else orjson.dumps([key]).decode()


async def _require_known(store: EventStore, name: str) -> None:
    """Refuse the name of a projection that neither the database nor the code knows."""
    rows = await read_rows(store.log.connection, "projections/list_checkpoints")
    registered = {row["projection"] for row in rows}
    if name not in registered and name not in known_names():
        raise no_such_name("projection", name, {*registered, *known_names()})


def _run(url: Url, data: Data, work: Callable[[EventStore], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with EventStore.open(config, workers=False) as store:
            return await work(store)

    with configuration(url, data) as config:
        return asyncio.run(run())


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()
