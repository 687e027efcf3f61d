"""`seal`, `verify`, `prove` and `check-proof`: evidence that the log was not altered."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from eventstore.cli.output import progress, say, say_json
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError, EventStoreError
from eventstore.evidence import (
    check_proof as check,
    prove as prove_event,
    seal as seal_log,
    verify as verify_log,
)
from eventstore.export.files import replacing
from eventstore.loop_stalls import explained, now_s
from eventstore.store import EventStore

_logger = logging.getLogger(__name__)

_RETRY_S = 1.0

Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="HEAD",
        help="A head that you kept outside the database, as `seal --print` printed it.",
    ),
]


def seal(
    url: Url = None,
    data: Data = None,
    print_head: Annotated[
        bool, typer.Option("--print", help="Print only the head, which you keep outside the database.")
    ] = False,
    every_s: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="SECONDS",
            min=0.01,
            help="Seal again every SECONDS until interrupted, also after a lost connection.",
        ),
    ] = None,
) -> None:
    """Seal every event that is final and not sealed yet. It does not block writers; two may run at once."""
    with configuration(url, data) as config:
        asyncio.run(_seal(config, only_head=print_head, every_s=every_s))


async def _seal(config: DatabaseConfig, *, only_head: bool, every_s: float | None) -> None:
    async with EventStore.open(config, workers=False) as store:
        while True:
            began_s = now_s()
            try:
                result = await seal_log(store.log)
            except EventStoreError as error:
                if every_s is None or not error.is_transient:
                    raise
                if not explained(began_s):
                    _logger.warning("sealing failed; retrying", exc_info=error)
                await asyncio.sleep(max(every_s, _RETRY_S))
                continue
            if only_head and result.head is None:
                raise ConfigurationError(
                    "the log has no sealed event, so it has no head: seal again when there are events"
                )
            say(
                str(result.head)
                if only_head
                else f"sealed {result.events} events in {result.blocks} blocks; the head is {result.head or 'none yet'}"
            )
            if every_s is None:
                return
            await asyncio.sleep(every_s)


def verify(
    url: Url = None,
    data: Data = None,
    against: Against = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="The number of processes that hash.")] = 1,
) -> int:
    """Hash every sealed event again, and name the first event, block or seal that is not as it was sealed.

    The status is 1 if there is one.
    """
    with configuration(url, data) as config:
        return asyncio.run(_verify(config, against, jobs))


async def _verify(config: DatabaseConfig, against: str | None, jobs: int) -> int:
    async with EventStore.open(config, workers=False) as store:
        with progress("verifying the seals") as show:
            found = await verify_log(store.log, against=against, jobs=jobs, on_progress=show)
    if found.finding is not None:
        say(str(found.finding))
        return DIFFERENT
    say(
        f"{found.events} events in {found.blocks} blocks are as they were sealed; {found.unsealed_events} are not sealed "
        f"yet; the head is {found.head or 'none yet'}"
    )
    return 0


def prove(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id, or its position.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file for the proof. Default: standard output."),
    ] = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Write the proof that one event is in the log as it was sealed.

    `check-proof` checks it without the database.
    """
    with configuration(url, data) as config:
        proof = asyncio.run(_prove(config, _event(event)))
    text = json.dumps(proof, indent=1, ensure_ascii=False)
    if out is None:
        say_json(text)
        return
    try:
        with replacing(out) as new, new.open() as file:
            file.write(f"{text}\n".encode())
        head = check(proof).head
        say(f"the proof of the event at position {proof['event']['position']} leads to the head {head}")
    except OSError as error:
        raise ConfigurationError(f"the proof {out} cannot be written: {error.strerror or error}") from error


async def _prove(config: DatabaseConfig, event: UUID | int) -> dict[str, Any]:
    async with EventStore.open(config, workers=False) as store:
        return await prove_event(store.log, event)


def _event(text: str) -> UUID | int:
    try:
        return int(text) if text.isdecimal() and len(text) < 19 else UUID(text)  # noqa: PLR2004 - digits of a bigint
    except ValueError:
        raise ConfigurationError(f"{text!r} is neither an event's id nor a position") from None


def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The proof that `prove` wrote.")],
    against: Against = None,
) -> int:
    """Check a proof against a head that you kept. It needs no database; the status is 1 if the proof fails."""
    try:
        proof = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once_each)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the proof {file} cannot be read: {error}") from error
    if against is None:
        raise ConfigurationError(
            "a proof without a head proves nothing: give the head that you kept with --against HEAD"
        )
    try:
        checked = check(proof, against=against)
    except ConfigurationError as error:
        say(str(error))
        return DIFFERENT
    event = checked.event
    say(
        f"the event at position {event['position']}, {event['category']}/{event['type']} (stream {event['stream_id']}, "
        f"version {event['version']}, id {event['event_id']}), is in block {checked.block} as it was sealed; the head "
        f"{checked.head} proves it"
    )
    return 0


def _once_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object. If a name occurred twice, a reader could use the unchecked value."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("an object in it has the same member twice")
    return found
