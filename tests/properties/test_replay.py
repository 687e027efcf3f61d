"""A replay equals what its definition picks out of the whole log: any filter, any bounds, any size of a page."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order
from eventstore.domain.order_events import OrderFilled, OrderSubmitted
from eventstore.domain.portfolio import PortfolioCreated
from eventstore.log import StreamAppend
from eventstore.replay import Replay
from eventstore.store import EventStore
from eventstore.testing.databases import run_in_thread
from eventstore.testing.strategies import EPOCH, order_histories
from tests.conftest import admin_connection
from tests.entities import CATEGORY, StrategyTuned
from tests.properties.recorded import digits
from tests.scale import examples

if TYPE_CHECKING:
    from eventstore.core.entity import Entity
    from eventstore.core.event import RecordedEvent
    from eventstore.database import DatabaseConfig

some = settings(max_examples=examples(60), deadline=None)
few = settings(
    max_examples=examples(6),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

EVENTS = 150
STREAMS = [UUID(int=number) for number in range(1, 13)]
TYPES: list[Any] = [
    OrderFilled,
    OrderSubmitted,
    PortfolioCreated,
    StrategyTuned,
    "StrategyStarted",
    "OrderFilled",
    "None",
]


@dataclass
class Fixed:
    """A store with a log that does not change, in an event loop of its own."""

    runner: asyncio.Runner
    store: EventStore
    events: list[RecordedEvent]


def rows_with_a_clock_that_steps_back() -> list[tuple[Any, ...]]:
    """Interleaved streams with gaps between positions, whose times of recording go back now and then."""
    chance = random.Random(5)
    rows: list[tuple[Any, ...]] = []
    versions, position, clock = dict.fromkeys(STREAMS, 0), 0, 0
    while len(rows) < EVENTS:
        position += chance.choice([1, 1, 1, 2, 5])
        clock += chance.choice([0, 1, 1, 2, 2, -7])
        stream_id = chance.choice(STREAMS)
        version = versions[stream_id] = versions[stream_id] + 1
        kind = stream_id.int % 3
        if kind == 0:
            category, name, data = CATEGORY, "StrategyTuned", '{"parameter": "x", "value": "1"}'
            if version == 1:
                name, data = "StrategyStarted", '{"name": "a"}'
        elif kind == 1:
            category, name, data = "order", "OrderSubmitted", '{"broker_order_id": "B"}'
        else:
            category, name, data = "portfolio", "PortfolioCashMoved", '{"kind": "DEPOSIT", "amount": "1"}'
        recorded_at = EPOCH + timedelta(seconds=clock)
        rows.append(
            (position, EPOCH, recorded_at, version, stream_id, UUID(int=position), category, name, data)
        )
    return rows


@pytest.fixture(scope="module")
def fixed(server_config: DatabaseConfig, migrated_template: str) -> Iterator[Fixed]:
    """The log that most tests here read."""
    with asyncio.Runner() as runner:
        config = server_config.replace(database=f"test_replay_{random.randrange(10**9)}", min_pool_size=1)
        run_in_thread(_copy(server_config, migrated_template, config.database))
        connection = runner.run(ConnectionFactory.create_connection(config))
        store = EventStore.of(connection)

        async def write() -> list[RecordedEvent]:
            async with connection.acquire() as one:
                await one.executemany(
                    "INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, "
                    "event_id, category, type, data, metadata) VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, '{}')",
                    rows_with_a_clock_that_steps_back(),
                )
            return await store.log.read_range(after=0, through=10**6, limit=10**6)

        yield Fixed(runner, store, runner.run(write()))
        runner.run(connection.close())
        run_in_thread(_drop(server_config, config.database))


async def _copy(server: DatabaseConfig, template: str, name: str) -> None:
    admin = await admin_connection(server)
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    await admin.close()


async def _drop(server: DatabaseConfig, name: str) -> None:
    admin = await admin_connection(server)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def all_of(replay: Replay) -> list[RecordedEvent]:
    """Every event of a replay."""
    return [event async for event in replay]


def beyond(events: Sequence[RecordedEvent], point: datetime) -> set[int]:
    """The positions beyond a point in time: of each stream what follows its longest prefix recorded up to then."""
    found, streams = set(), set()
    for event in events:
        if event.recorded_at > point:
            streams.add(event.stream_id)
        if event.stream_id in streams:
            found.add(event.position)
    return found


def is_of(event: RecordedEvent, wanted: Any) -> bool:
    """Whether an event is of a type, which is a name or a class."""
    return event.type == wanted if isinstance(wanted, str) else type(event.event) is wanted


positions = st.integers(0, 400)
points = st.integers(-10, 120).map(lambda second: EPOCH + timedelta(seconds=second))
selections = st.fixed_dictionaries(
    {},
    optional={
        "categories": st.lists(st.sampled_from(["order", "portfolio", CATEGORY, "none"]), max_size=3),
        "types": st.lists(st.sampled_from(TYPES), max_size=4),
        "streams": st.lists(st.sampled_from([*STREAMS, UUID(int=99)]), max_size=6, unique=True),
        "after": st.one_of(
            positions.filter(lambda one: one <= 2 * EVENTS), points
        ),  # no reader begins beyond the end
        "through": st.one_of(positions, points),
        "page_events_max": st.sampled_from([1, 2, 3, 7, 50, 149, 150, 151, 1000]),
    },
)


def picked(events: Sequence[RecordedEvent], selection: dict[str, Any]) -> list[int]:
    """The positions of what a selection means, by brute force."""
    after, through = selection.get("after", 0), selection.get("through", 10**9)
    begun = beyond(events, after) if isinstance(after, datetime) else None
    ended = beyond(events, through) if isinstance(through, datetime) else None
    return [
        event.position
        for event in events
        if (event.position > after if begun is None else event.position in begun)
        and (event.position <= through if ended is None else event.position not in ended)
        and event.category in selection.get("categories", [event.category])
        and event.stream_id in selection.get("streams", [event.stream_id])
        and any(is_of(event, wanted) for wanted in selection.get("types", [event.type]))
    ]


@some
@given(selection=selections)
def test_any_selection_equals_brute_force(fixed: Fixed, selection: dict[str, Any]):
    """Filters, bounds and page sizes pick what the definition picks, in order; progress ends at the target."""
    told: list[int] = []
    replay = fixed.store.replay(**selection, on_progress=lambda progress: told.append(progress.position))
    given_out = fixed.runner.run(all_of(replay))
    assert [event.position for event in given_out] == picked(fixed.events, selection)
    by_position = {event.position: event for event in fixed.events}
    assert given_out == [by_position[event.position] for event in given_out]
    assert told == sorted(told)
    assert replay.progress.is_done
    assert replay.progress.events == len(given_out)


@some
@given(selection=selections, stop=st.integers(0, EVENTS), by_page=st.booleans(), anew=st.booleans())
def test_it_goes_on_from_any_position(
    fixed: Fixed, selection: dict[str, Any], stop: int, by_page: bool, anew: bool
):
    """Left at any event or page, the same replay, or a new one after `position`, gives exactly the rest."""
    replay = fixed.store.replay(**selection)

    async def run() -> list[int]:
        seen: list[int] = []
        if by_page:
            async for page in replay.pages():
                seen += [event.position for event in page]
                if len(seen) > stop:
                    break
        else:
            async for event in replay:
                seen.append(event.position)
                if len(seen) > stop:
                    break
        rest = fixed.store.replay(**selection | {"after": replay.position}) if anew else replay
        return seen + [event.position async for event in rest]

    if anew and isinstance(selection.get("after"), datetime):
        return  # the point in time is a part of what is asked for: only the same replay knows it
    assert fixed.runner.run(run()) == picked(fixed.events, selection)


@few
@given(histories=st.lists(order_histories(), min_size=1, max_size=4), seed=st.integers(0, 99), data=st.data())
def test_rebuilt_state_equals_a_fold_of_each_stream(
    make_database: Any, migrated_template: str, histories: list[Any], seed: int, data: st.DataObject
):
    """Entities rebuilt together equal those folded alone, of all or some ids, with any predicate, and at any position."""
    chance = random.Random(seed)

    async def run() -> None:
        async with (
            make_database(migrated_template) as config,
            EventStore.open(config, workers=False) as store,
        ):
            queue = await interleave(store, [history.play() for history in histories], chance)
            ids = [entity.id for entity in queue]
            chosen = data.draw(st.sets(st.sampled_from(ids)))
            head = await store.log.head()
            through = data.draw(st.integers(0, head))
            for given_ids, at in ((None, None), (chosen, None), (None, through)):
                rebuilt = await store.rebuild_state(Order, ids=given_ids, through=at)
                folded = {
                    id: Order.fold(event for event in await store.log.read_stream(id) if at is None or event.position <= at)
                    for id in (ids if given_ids is None else given_ids)
                }  # fmt: skip
                wanted = {id: state for id, state in folded.items() if state is not None}
                assert {id: digits(state) for id, state in rebuilt.items()} == {
                    id: digits(state) for id, state in wanted.items()
                }
                assert {id: s.version for id, s in rebuilt.items()} == {
                    id: s.version for id, s in wanted.items()
                }
            active = await store.rebuild_state(Order, where=lambda order: order.is_active)
            same = await store.rebuild_state(Order, where={"is_active": True})
            everything = await store.rebuild_state(Order)
            assert active == same == {id: state for id, state in everything.items() if state.is_active}

    asyncio.run(run())


async def interleave(
    store: EventStore, played: Sequence[Sequence[Entity]], chance: random.Random
) -> list[Entity]:
    """Save entities one event at a time, their streams mixed; some are deleted at the end."""
    entities = [entity for group in played for entity in group]
    for entity in entities:
        if chance.random() < 0.2:
            entity.delete()
        entity.record_assignments()
    waiting: list[Any] = [[entity.id, 0, list(entity.pending_events)] for entity in entities]
    while waiting:
        item = chance.choice(waiting)
        stream_id, version, events = item
        await store.log.append(StreamAppend(stream_id, version, (events.pop(0),)))
        item[1] += 1
        if not events:
            waiting.remove(item)
    return entities


def test_the_log_of_these_tests_is_what_it_should_be(fixed: Fixed):
    """It has gaps, several kinds of events, and times that go back inside a stream."""
    gaps = {b.position - a.position for a, b in zip(fixed.events, fixed.events[1:], strict=False)}
    assert max(gaps) > 1
    assert {event.category for event in fixed.events} == {"order", "portfolio", CATEGORY}
    last: dict[UUID, datetime] = {}
    back = 0
    for event in fixed.events:
        back += event.recorded_at < last.get(event.stream_id, event.recorded_at)
        last[event.stream_id] = event.recorded_at
    assert back > 3
    assert len(fixed.events) == EVENTS
