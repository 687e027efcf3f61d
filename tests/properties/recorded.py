"""What the log does to events, without a log: to JSON and back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

from eventstore.core.entity import Entity
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry import registry

RECORDED_AT = datetime(2024, 1, 3, tzinfo=UTC)


def stored(event: Event) -> Event:
    """The event as it comes back from the log."""
    found = registry.find(event.category, event.type)
    return found.from_stored(orjson.loads(event.to_json()), event.occurred_at)


def recorded(entity: Entity) -> list[RecordedEvent]:
    """All events of a new entity, as they come back from the log."""
    entity.record_assignments()
    return [
        RecordedEvent(version, entity.id, version, pending.event_id, stored(pending.event), {}, RECORDED_AT)
        for version, pending in enumerate(entity.pending_events, 1)
    ]


def digits(entity: BaseModel | None) -> str:
    """The state as JSON, without the version: equal to the last digit, or not equal."""
    assert entity is not None
    return entity.model_dump_json(exclude={"version"})


def decimals(value: Any) -> list[Decimal]:
    """All decimals in a state, also those in its executions."""
    if isinstance(value, Decimal):
        return [value]
    if isinstance(value, BaseModel):
        return [found for each in value.__dict__.values() for found in decimals(each)]
    if isinstance(value, tuple):
        return [found for each in value for found in decimals(each)]
    return []


def from_row(entity: Entity) -> Any:
    """The entity as its row gives it back: each field through JSON, nothing else kept."""
    from eventstore.core import codec

    data = orjson.loads(entity.model_dump_json())
    identity = UUID(data.pop("id"))
    return codec.construct(type(entity), data, id=identity)
