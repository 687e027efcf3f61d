"""Robots: events whose schema has changed, for tests that read old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from eventstore.core.entity import Entity, applies
from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry
from eventstore.core.registry_check import require_sound_registry
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = UUID(int=7)


def stored(
    type: str,
    data: dict[str, Any],
    *,
    schema_version: int = 1,
    position: int = 1,
    version: int = 1,
    **more: Any,
) -> dict[str, Any]:
    """A row of `events`."""
    return {
        "position": position,
        "stream_id": STREAM,
        "version": version,
        "event_id": UUID(int=position),
        "category": "old robot",
        "type": type,
        "schema_version": schema_version,
        "data": orjson.dumps(data).decode(),
        "metadata": "{}",
        "occurred_at": NOW,
        "recorded_at": NOW + timedelta(seconds=1),
    } | more


def moved_class(registry: EventRegistry, version: int, type: str = "RobotMoved") -> type[Any]:
    """A class of the type at a schema version."""

    class Moved(Event, category="old robot", type=type, schema_version=version, registry=registry):
        """A robot moved."""

        metres: Decimal
        by: str | None = None

    return Moved


class RobotMade(Event, category="old robot"):
    """A robot was made."""

    name: str


class RobotWalked(Event, category="old robot"):
    """It walked."""

    metres: Decimal


class Robot(Entity, category="old robot", created=RobotMade):
    """A robot that counts what it walked."""

    name: str
    walked: Decimal = Decimal(0)
    walks: int = 0

    @applies(RobotWalked)
    def _walked(self, event: RobotWalked) -> None:
        self.set(walked=self.walked + event.metres, walks=self.walks + 1)


def split_registry() -> EventRegistry:
    """A registry in which a tour is a list of walks, a delivery is a robot with its first walk, and pings are no more."""
    mine = EventRegistry()
    for each in (RobotMade, RobotWalked, Robot.amended_event, Robot.deleted_event):
        mine.register(each)

    @upcaster("old robot", "RobotToured", 1, to={"RobotWalked": 1}, registry=mine)
    def _tour(data: dict[str, Any], context: EventContext) -> list[UpcastEvent]:
        return [
            UpcastEvent("RobotWalked", {"metres": metres}, context.occurred_at + timedelta(minutes=number))
            for number, metres in enumerate(data["walks"])
        ]

    @upcaster("old robot", "RobotDelivered", 1, to={"RobotMade": 1, "RobotWalked": 1}, registry=mine)
    def _delivery(data: dict[str, Any], _: EventContext) -> list[UpcastEvent]:
        return [
            UpcastEvent("RobotMade", {"name": data["name"]}),
            UpcastEvent("RobotWalked", {"metres": data["metres"]}),
        ]

    @upcaster("old robot", "RobotPinged", 1, to={}, registry=mine)
    def _ping(_data: dict[str, Any], _context: EventContext) -> list[UpcastEvent]:
        return []

    require_sound_registry(mine)
    return mine
