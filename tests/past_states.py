"""Logs with any clocks, and what the past was by the words of its documentation."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.event import RecordedEvent
from eventstore.domain.position_events import PositionFilled, PositionOpened
from eventstore.log.records import StagedEvent, to_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from eventstore.store import EventStore

_INSERT = """
    INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata,
        occurred_at, recorded_at)
    SELECT nextval('events_position_seq'), stream_id, version, event_id, category, type, schema_version, data::jsonb,
        metadata::jsonb, occurred_at, recorded_at
    FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[],
        $9::timestamptz[], $10::timestamptz[]) WITH ORDINALITY AS given (stream_id, version, event_id, category,
        type, schema_version, data, metadata, occurred_at, recorded_at, place)
    ORDER BY place
"""


async def record(store: EventStore, staged: Sequence[StagedEvent], times: Sequence[datetime]) -> None:
    """Put events into the log with any `recorded_at`, as a database's clock that steps back would."""
    arguments: list[list[Any]] = [[] for _ in range(9)]
    for event in staged:
        for column, values in zip(arguments, to_columns([event]).per_event, strict=True):
            column.extend(values)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(_INSERT, *arguments, list(times))


def interleaved(entities: Sequence[Entity], turns: Iterable[int]) -> list[StagedEvent]:
    """The pending events of entities, each stream in its order, the streams in turn as a list of numbers says."""
    for entity in entities:
        entity.record_assignments()
    waiting = [
        [
            StagedEvent(entity.id, version, pending, {})
            for version, pending in enumerate(entity.pending_events, 1)
        ]
        for entity in entities
    ]
    staged: list[StagedEvent] = []
    numbers = iter(turns)
    while waiting := [stream for stream in waiting if stream]:
        staged.append(waiting[next(numbers, 0) % len(waiting)].pop(0))
    return staged


def past_states(
    events: Iterable[RecordedEvent],
    kind: type[Any],
    *,
    position: int | None = None,
    recorded_at: datetime | None = None,
    occurred_at: datetime | None = None,
) -> list[Any]:
    """The entities of a class as of a point in time, from all events of a log, by the definition and nothing else."""
    streams: dict[Any, list[RecordedEvent]] = {}
    for event in sorted(events, key=lambda event: event.version):
        if event.category == kind.category:
            streams.setdefault(event.stream_id, []).append(event)
    states = []
    for stream in streams.values():
        if position is not None:
            state = kind.fold([event for event in stream if event.position <= position])
        elif recorded_at is not None:
            state = kind.fold(takewhile(lambda event: event.recorded_at <= recorded_at, stream))
        else:
            assert occurred_at is not None
            state = _of_selected(
                kind, stream[0], [event for event in stream if event.occurred_at <= occurred_at]
            )
        if state is not None:
            states.append(state)
    return states


def _of_selected(kind: type[Any], first: RecordedEvent, stream: list[RecordedEvent]) -> Any:
    """The state after some events of a stream, in the order of versions; one that names what is not there has no effect.

    A position whose opening is not there is that of its other fills.
    """
    if not stream or first.version > 1:
        return None
    state = None
    if stream[0].version > 1:
        fills = [one.event for one in stream if isinstance(one.event, PositionFilled)]
        opened = first.event
        if not fills or not isinstance(opened, PositionOpened) or len(opened.executions) != 1:
            return None
        (opening,) = opened.executions
        if opening.side is None or opening.side.sign * opening.quantity != opened.quantity:
            return None
        without: dict[str, Any] = dict.fromkeys(("quantity", "cost", "commission_paid"), Decimal(0))
        without |= {"other_commissions": (), "executions": ()}
        begun_at = min(one.occurred_at for one in fills)
        when = {"opened_at": begun_at, "closed_at": begun_at, "last_updated": None}
        state = evolve(kind, None, first._replace(event=opened.model_copy(update=without | when)))
    for event in stream:
        with suppress(LookupError, StopIteration):
            state = evolve(kind, state, event)
        if state is None:
            return None
    state.__dict__["version"] = len(stream)
    return state
