"""State of many entities at once, rebuilt from the log alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity import Entity
from eventstore.core.entity_state import advance
from eventstore.errors import ConfigurationError
from eventstore.garbage_collection import collecting_rarely
from eventstore.log.event_log import EventLog
from eventstore.log.records import decode_page
from eventstore.log.row_fold import RowFold
from eventstore.replay.bounds import Bound, Range, bound, find_range
from eventstore.replay.pages import Page, Pages, Selection
from eventstore.replay.replay import OnProgress, ReplayProgress
from eventstore.time_slices import EVENTS_AT_A_TIME

E = TypeVar("E", bound=Entity)

Where = Callable[[E], bool] | Mapping[str, Any]
"""Which entities: a predicate, or the values that some of their fields and properties must have."""


async def replay_states(
    log: EventLog,
    entity_class: type[E],
    *,
    states: dict[UUID, E] | None = None,
    ids: Collection[UUID] | None = None,
    through: Bound | None = None,
    on_progress: OnProgress | None = None,
) -> AsyncGenerator[dict[UUID, E | None]]:
    """Fold the streams of a category page by page. See `EventStore.replay_states`."""
    if not entity_class.category:
        raise ConfigurationError(f"{entity_class.__name__} has no category: pass an entity class")
    held: dict[UUID, E] = {} if states is None else states
    began_s, events, position = time.monotonic(), 0, 0
    within = await find_range(log, 0, None if through is None else bound("through", through))
    pages = Pages(
        log.connection,
        Selection([entity_class.category], streams=None if ids is None else list(ids)),
        after=within.after,
        through=within.through,
        generation=within.generation,
        for_fold=not within.has_times,  # the time of the recording chooses the rows
    )
    fold = _Fold(log, entity_class, held, within)

    def report() -> None:
        if on_progress is not None:
            on_progress(ReplayProgress(position, within.through, events, time.monotonic() - began_s))

    async with aclosing(pages.read()) as read:
        async for page in read:
            changed, folded = await fold.take(pages, page)
            events, position = events + folded, page.through
            report()
            if changed:
                yield changed
    if position < within.through:  # no event was selected
        position = within.through
        report()


class _Fold(Generic[E]):
    """Folds pages to states: by their folded columns, or by whole rows where those are needed."""

    def __init__(self, log: EventLog, kind: type[E], states: dict[UUID, E], within: Range) -> None:
        self._kind = kind
        self._states = states
        self._within = within
        self._classes = log.classes
        self._fold = RowFold(kind, log.classes)

    async def take(self, pages: Pages, page: Page) -> tuple[dict[UUID, E | None], int]:
        """Fold a page, and return the states that it changed, and how many events that were."""
        changed: dict[UUID, E | None] = {}
        rows = page.rows
        if self._within.has_times:
            rows = list(filter(self._within.has, rows))
        events = len(rows)
        if not self._within.has_times:
            stopped = await self._take_folded(rows, changed)
            rows = [] if stopped is None else await pages.read_whole(page, after=stopped - 1)
        for begin in range(0, len(rows), EVENTS_AT_A_TIME):
            self._take_whole(rows[begin : begin + EVENTS_AT_A_TIME], changed)
            await asyncio.sleep(0)
        return changed, events

    async def _take_folded(self, rows: Sequence[Any], changed: dict[UUID, E | None]) -> int | None:
        for begin in range(0, len(rows), EVENTS_AT_A_TIME):
            stopped = self._fold.fold(rows[begin : begin + EVENTS_AT_A_TIME], self._states, changed)
            if stopped is not None:
                return stopped
            await asyncio.sleep(0)
        return None

    def _take_whole(self, rows: Sequence[Any], changed: dict[UUID, E | None]) -> None:
        states = self._states
        with decimal_arithmetic():
            for recorded in decode_page(rows, classes=self._classes):
                stream_id = recorded.stream_id
                state = changed[stream_id] = advance(self._kind, states.get(stream_id), recorded)
                if state is not None:
                    states[stream_id] = state
                else:
                    states.pop(stream_id, None)


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
    matches = _predicate(entity_class, where)
    states: dict[UUID, E] = {}
    with collecting_rarely():
        replayed = replay_states(
            log, entity_class, states=states, ids=ids, through=through, on_progress=on_progress
        )
        async with aclosing(replayed):
            async for _ in replayed:
                pass
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
