"""As of any point in time, every query of the repositories answers what the definition says, from whatever is nearest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.store import EventStore
from eventstore.testing.strategies import EPOCH, order_histories, portfolio_histories, position_histories
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, ProjectionWorker
from tests.list_questions import firsts, point, questions
from tests.past_states import interleaved, past_states, record
from tests.scale import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.core.event import RecordedEvent
    from eventstore.replay.as_of import Past

few = settings(
    max_examples=examples(10),
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # to shrink one takes minutes: each try has a database
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

histories = st.lists(
    st.one_of(order_histories(), position_histories(), portfolio_histories()), min_size=2, max_size=8
)
seconds = st.integers(0, 20)
minutes = st.integers(-1, 62)

AFTER_ALL = EPOCH + timedelta(days=10_000)


def clock(readings: Sequence[int], count: int) -> list[datetime]:
    """What a clock shows that ticks on, with a few readings that lie elsewhere."""
    steps = iter(readings)
    return [
        EPOCH + timedelta(seconds=number if number % 3 else next(steps, number)) for number in range(count)
    ]


async def assert_past(past: Past, events: Sequence[RecordedEvent], page_size: int, **when: Any) -> None:
    """Every query gives what the definition says, whole and page by page, and nothing of it can be spoilt."""
    states = {kind: past_states(events, kind, **when) for kind in (Order, Position, Portfolio)}
    known = [state for each in states.values() for state in each]
    texts = {getattr(state, "symbol", getattr(state, "name", "")) for state in known} | {"none"}
    for kind, wanted in states.items():
        ids = {event.stream_id for event in events}
        found = {each: await past.entities(kind).get(each) for each in ids}
        assert {each: repr(state) for each, state in found.items() if state is not None} == {
            state.id: repr(state) for state in wanted
        }, (kind, when)
        for text in texts:
            for name, call, belongs in questions(past, kind, text):
                expected = sorted(filter(belongs, wanted), key=point)
                answer = await call()
                assert list(map(repr, answer)) == list(map(repr, expected)), (name, text, when)
                for entity in answer:
                    entity.__dict__["version"] = -1
                paged: list[Any] = []
                while page := await call(limit=page_size, after=paged[-1] if paged else None):
                    paged += page
                assert paged == expected, (name, text, when)
    for text in texts:
        await firsts(past, known, text)


@few
@given(
    histories=histories,
    turns=st.lists(st.integers(0, 7), max_size=60),
    readings=st.lists(seconds, max_size=30),
    folded=st.integers(0, 30),
    batches=st.integers(1, 6),
    snapshot_versions=st.integers(1, 5),
    segment_events=st.integers(1, 20),
    segments_joined=st.integers(2, 8),
    is_dropped=st.sampled_from((False, False, False, True)),
    later=st.integers(0, 10),
    points=st.lists(
        st.one_of(
            st.tuples(st.just("position"), st.integers(0, 60)),
            st.tuples(st.just("recorded_at"), seconds.map(lambda second: EPOCH + timedelta(seconds=second))),
            st.tuples(st.just("occurred_at"), minutes.map(lambda minute: EPOCH + timedelta(minutes=minute))),
        ),
        min_size=2,
        max_size=5,
    ),
    page_size=st.integers(1, 3),
)
async def test_every_query_of_any_point_in_time(  # noqa: PLR0917 - one law over many things
    make_database, migrated_template, histories, turns, readings, folded, batches, snapshot_versions, segment_events,
    segments_joined, is_dropped, later, points, page_size,
):  # fmt: skip
    """With clocks that step back, late events, workers that lag, state snapshots and segments anywhere: what the definition says.

    As of a time after all events the answers are those of now, whatever was reported late. While a block is open, events come and are folded: it goes on to show the point in time it was opened for.
    """
    entities = [entity for history in histories for entity in history.play()]
    staged = interleaved(entities, turns)
    times = clock(readings, len(staged))
    now, afterwards = staged[: len(staged) - later], staged[len(staged) - later :]
    async with make_database(migrated_template) as config:
        connection = await ConnectionFactory.create_connection(config)
        patch = pytest.MonkeyPatch()
        patch.setattr("eventstore.replay.log_segments.SEGMENTS_JOINED", segments_joined)
        try:
            store = EventStore.of(connection)
            await record(store, now, times[: len(now)])
            events = [event async for event in store.log.read_all()]
            workers = [
                ProjectionWorker(
                    store.log,
                    projection,
                    batch_events_max=max(folded, 1),
                    snapshot_versions=snapshot_versions,
                    segment_events=segment_events,
                )
                for projection in (OrdersProjection(), PositionsProjection(), PortfoliosProjection())
            ]
            for worker in workers:
                for _ in range(batches if folded else 0):
                    await worker.run_once()
            if is_dropped:
                await store.state_snapshots.drop()
            for name, bound in points:
                when = {name: min(bound, len(events)) if name == "position" else bound}
                async with store.as_of(**when) as past:
                    await assert_past(past, events, page_size, **when)
            async with store.as_of(occurred_at=AFTER_ALL) as past:
                await assert_past(past, events, page_size, position=len(events))
            name, bound = points[0]
            when = {name: min(bound, len(events)) if name == "position" else bound}
            async with store.as_of(**when) as past:
                await past.orders.get_active_orders()
                await record(store, afterwards, times[len(now) :])
                for worker in workers:
                    while await worker.run_once():
                        pass
                await assert_past(past, events, page_size, **when)
        finally:
            patch.undo()
            await connection.close(timeout_s=5)
