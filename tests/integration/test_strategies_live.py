"""What strategies give is what a live log gives: each part of an event, and whatever it may be there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings, strategies as st

from eventstore.core.event import RecordedEvent
from eventstore.log import EventLog
from eventstore.log.records import COLUMNS
from eventstore.testing.memory import InMemoryDatabase
from eventstore.testing.scratch import ScratchDatabase, scratch_database
from eventstore.testing.strategies import (
    EPOCH,
    RECORDED_FROM,
    LoggedEvent,
    enveloped,
    event_logs,
    histories_of,
    order_histories,
    portfolio_histories,
    position_histories,
    recorded_log,
    recorded_logs,
    staged_log,
    trading_days,
)
from projections.laws.checker import default_logs
from tests.entities import Strategy
from tests.hit_projections import Hit, HitsByTime
from tests.scale import examples

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

LOGS: dict[str, st.SearchStrategy[tuple[LoggedEvent, ...]]] = {
    "event_logs": event_logs(order_histories(), position_histories(), portfolio_histories()),
    "histories_of": histories_of(Strategy),
    "trading_days": trading_days().map(lambda day: tuple(day.log)),
    "default_logs of any events": default_logs(HitsByTime()),
}


def parts_of(event: RecordedEvent) -> dict[str, Any]:
    """Everything that an event of the log has, by its name: fields and what follows from them."""
    names = [*RecordedEvent._fields]
    names += [name for name, value in vars(RecordedEvent).items() if isinstance(value, property)]
    assert {*COLUMNS} - {*names} == {"schema_version", "data"}, "see `event`, which they become"
    return {name: getattr(event, name) for name in names}


def shape(value: Any) -> Any:
    """The type of a value, and whether it is set; of a time its zone too, and of metadata the type of each."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, datetime):
        return (type(value), value.tzinfo is UTC)
    if isinstance(value, UUID):  # the driver has one of its own
        return (UUID, True)
    return (type(value), value is not None)


EXACT = {"stream_id", "version", "event_id", "event", "category", "type", "occurred_at", "metadata"}
"""What the server does not choose."""


async def live_log(scratch: ScratchDatabase, log: Sequence[LoggedEvent]) -> list[RecordedEvent]:
    """The events as an empty log gives them back."""
    await scratch.empty()
    events = EventLog(scratch.connection, group_commit=False)
    await events.append_staged(staged_log(log))
    return await events.read_range(after=0, through=len(log), limit=1_000)


@pytest.mark.parametrize("logs", LOGS.values(), ids=LOGS.keys())
async def test_an_event_is_recorded_as_a_live_log_records_it(
    server_config: DatabaseConfig, logs: st.SearchStrategy[tuple[LoggedEvent, ...]]
):
    """Part by part, with every field that an event of the log has now or will have: equal, or of the same type and set."""
    loop = asyncio.get_running_loop()

    async def tried(log: tuple[LoggedEvent, ...]) -> None:
        drawn = recorded_log(log)
        memory = InMemoryDatabase()
        await memory.append(staged_log(log))
        for others in (await live_log(scratch, log), memory.events):
            assert len(drawn) == len(others)
            for ours, live in zip(map(parts_of, drawn), map(parts_of, others), strict=True):
                for name, value in live.items():
                    if name == "upcast_events":
                        continue
                    assert shape(ours[name]) == shape(value), name
                    assert name not in EXACT or ours[name] == value, name

    @settings(
        max_examples=examples(10),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(logs.filter(bool))
    def search(log: tuple[LoggedEvent, ...]) -> None:
        asyncio.run_coroutine_threadsafe(tried(log), loop).result()

    async with scratch_database(server_config) as scratch:
        await asyncio.to_thread(search)


def _pairs(log: Sequence[RecordedEvent], differ: Callable[[RecordedEvent, RecordedEvent], bool]) -> bool:
    return any(differ(one, following) for one, following in pairwise(log))


# For each field of a recorded event, what may be of it in a live log.
VARIATIONS: dict[str, dict[str, Callable[[Sequence[RecordedEvent]], bool]]] = {
    "position": {
        "a gap": lambda log: _pairs(log, lambda one, two: two.position > one.position + 1),
        "no gap": lambda log: _pairs(log, lambda one, two: two.position == one.position + 1),
    },
    "stream_id": {"several": lambda log: len({one.stream_id for one in log}) > 1},
    "version": {"of a stream that goes on": lambda log: any(one.version > 1 for one in log)},
    "event_id": {"each its own": lambda log: 1 < len(log) == len({one.event_id for one in log})},
    "event": {
        "several types": lambda log: len({one.type for one in log}) > 1,
        "at a whole second": lambda log: any(one.occurred_at.microsecond == 0 for one in log),
        "at a microsecond": lambda log: any(one.occurred_at.microsecond % 1000 for one in log),
        "at one time": lambda log: _pairs(log, lambda one, two: one.occurred_at == two.occurred_at),
        "late": lambda log: _pairs(log, lambda one, two: one.occurred_at > two.occurred_at),
    },
    "metadata": {
        "none": lambda log: any(not one.metadata for one in log),
        "of the effect of an event before it": lambda log: any(
            UUID(two.metadata["causation_id"]) == one.event_id
            and two.metadata["correlation_id"] == one.metadata.get("correlation_id", str(one.event_id))
            for place, two in enumerate(log)
            if "causation_id" in two.metadata
            for one in log[:place]
        ),
        "an actor": lambda log: any("actor" in one.metadata for one in log),
        "of the writer's own": lambda log: any(
            isinstance(value, int | list) for one in log for value in one.metadata.values()
        ),
    },
    "recorded_at": {
        "by one append": lambda log: _pairs(log, lambda one, two: one.recorded_at == two.recorded_at),
        "later": lambda log: _pairs(log, lambda one, two: one.recorded_at < two.recorded_at),
        "not when it occurred": lambda log: any(one.recorded_at != one.occurred_at for one in log),
    },
}


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("event_logs", set()),
        ("histories_of", set()),
        ("default_logs of any events", {("event", "several types")}),  # its projection takes but one
    ],
)
def test_logs_have_all_that_live_logs_have(name: str, lacks: set[tuple[str, str]]):
    """A field that comes to `RecordedEvent` has to say here what may be of it, and strategies have to give it."""
    assert VARIATIONS.keys() == {*RecordedEvent._fields}
    seen: set[tuple[str, str]] = set()

    @settings(
        max_examples=250,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(recorded_logs(LOGS[name]))
    def look(log: tuple[RecordedEvent, ...]) -> None:
        versions: dict[UUID, int] = {}
        for one in log:
            versions[one.stream_id] = versions.get(one.stream_id, 0) + 1
            assert one.version == versions[one.stream_id]
        assert not _pairs(
            log, lambda one, two: two.position <= one.position or two.recorded_at < one.recorded_at
        )
        seen.update(
            (part, said)
            for part, variations in VARIATIONS.items()
            for said, has in variations.items()
            if has(log)
        )

    look()
    assert {(part, said) for part, variations in VARIATIONS.items() for said in variations} - seen == lacks


def test_a_day_names_its_commands():
    """The events of an action are those of one command, caused by its first event, and appended after a gap where it raced."""
    seen: set[str] = set()

    @settings(max_examples=100, deadline=None, database=None, derandomize=True, phases=(Phase.generate,))
    @given(trading_days())
    def look(day: Any) -> None:
        for one, two in pairwise(recorded_log(day.log)):
            is_same = one.metadata["correlation_id"] == two.metadata["correlation_id"]
            assert is_same == ("causation_id" in two.metadata) == (one.recorded_at == two.recorded_at)
            seen.update({"caused"} if is_same else {"new"})
            seen.update({"gap"} if two.position > one.position + 1 else set())

    look()
    assert seen == {"caused", "new", "gap"}


def test_the_simplest_log_has_nothing_more_than_an_event():
    """No metadata, no gap, all in one append: so shrinks a log in which they do not matter."""
    two = tuple(LoggedEvent(UUID(int=number), Hit(number=number, occurred_at=EPOCH)) for number in (1, 2))
    log = find(enveloped(st.just(two)), lambda _: True, settings=settings(database=None, deadline=None))
    assert all((dict(one.metadata), one.gap, one.recorded_after) == ({}, 0, timedelta(0)) for one in log)
    assert [one.recorded_at for one in recorded_log(log)] == [RECORDED_FROM] * len(log)
    assert [one.position for one in recorded_log(log)] == [1, 2]
