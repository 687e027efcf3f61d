"""State of many entities at once, rebuilt from the log alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar
from uuid import UUID

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity import Entity
from eventstore.core.entity_state import advance
from eventstore.errors import ConfigurationError
from eventstore.garbage_collection import collecting_rarely
from eventstore.log.event_log import EventLog
from eventstore.replay.bounds import Bound
from eventstore.replay.replay import OnProgress, Replay

E = TypeVar("E", bound=Entity)

Where = Callable[[E], bool] | Mapping[str, Any]
"""Which entities: a predicate, or the values that some of their fields and properties must have."""


async def rebuild_state(
    log: EventLog,
    entity_class: type[E],
    *,
    ids: Collection[UUID] | None = None,
    where: Where[E] | None = None,
    through: Bound | None = None,
    on_progress: OnProgress | None = None,
) -> dict[UUID, E]:
    """Fold the streams of a category in one pass over the log. See `EventStore.rebuild_state`."""
    if not entity_class.category:
        raise ConfigurationError(f"{entity_class.__name__} has no category: pass an entity class")
    matches = _predicate(entity_class, where)
    replay = Replay(
        log, categories=[entity_class.category], streams=ids, through=through, on_progress=on_progress
    )
    states: dict[UUID, E] = {}
    before = states.get
    with collecting_rarely():
        async for events in replay.pages():
            with decimal_arithmetic():
                for recorded in events:
                    stream_id = recorded.stream_id
                    state = advance(entity_class, before(stream_id), recorded)
                    if state is not None:
                        states[stream_id] = state
                    else:
                        states.pop(stream_id, None)
    return states if matches is None else {id: state for id, state in states.items() if matches(state)}


def _predicate(entity_class: type[E], where: Where[E] | None) -> Callable[[E], bool] | None:
    if where is None or not isinstance(where, Mapping):
        return where
    values = dict(where)
    for name in values:
        if name not in entity_class.model_fields and not isinstance(
            getattr(entity_class, name, None), property
        ):
            known = ", ".join(entity_class.model_fields)
            raise ConfigurationError(
                f"{entity_class.__name__} has no field or property {name}: choose from {known}"
            )
    return lambda entity: all(getattr(entity, name) == value for name, value in values.items())
