"""`trace`: the events of one command, as a tree."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
import typer

from eventstore.cli.output import say, say_json
from eventstore.cli.running import NotFoundError
from eventstore.cli.target import Data, Url, configuration
from eventstore.core.causation import CausationNode, CausationTree
from eventstore.database import DatabaseConfig
from eventstore.store import EventStore


def trace(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="A correlation id, or the id of an event that belongs to it.")
    ],
    url: Url = None,
    data: Data = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, causes first.")
    ] = False,
) -> None:
    """Print every event of one command, each under the event that caused it."""
    with configuration(url, data) as config:
        tree = asyncio.run(_read(config, id))
    if not tree.roots:
        raise NotFoundError(f"no event has the id or the correlation id {id}")
    for depth, node in tree:
        if as_json:
            say_json(_as_json(depth, node))
        else:
            say(_as_line(depth, node))
    if not as_json:
        left_out = "" if tree.is_complete else "; more events are left out"
        say(f"correlation {tree.correlation_id}: {len(tree)} events{left_out}")


async def _read(config: DatabaseConfig, id: str) -> CausationTree:
    async with EventStore.open(config, workers=False) as store:
        return await store.causation_tree(id)


def _as_line(depth: int, node: CausationNode) -> str:
    event = node.event
    who = event.metadata.get("actor")
    cause = f", caused by {node.cause_id}" if node.is_root and node.cause_id is not None else ""
    return (
        f"{'  ' * depth}{event.type} {event.event_id} at {event.position}, {event.category} {event.stream_id} version "
        f"{event.version}, {event.recorded_at.isoformat()}{f', by {who}' if who is not None else ''}{cause}"
    )


def _as_json(depth: int, node: CausationNode) -> str:
    event = node.event
    fields: dict[str, Any] = {
        "depth": depth,
        "position": event.position,
        "event_id": str(event.event_id),
        "caused_by": node.cause_id,
        "category": event.category,
        "type": event.type,
        "stream_id": str(event.stream_id),
        "version": event.version,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "metadata": event.metadata,
    }
    return orjson.dumps(fields).decode()
