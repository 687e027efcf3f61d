"""Replays on a live log: writers in flight, slow readers, cancellation, lost connections, and flat memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConfigurationError, ConnectionError, UnknownEventTypeError
from eventstore.log.records import to_columns
from eventstore.replay import ReplayProgress
from eventstore.replay.pages import Pages, Selection
from eventstore.store import EventStore
from tests.cancelling import cancelled_at
from tests.entities import CATEGORY, Strategy, StrategyTuned, started
from tests.pools import assert_whole
from tests.relay import Relay
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

CANCELLED_AT_MAX = 500


async def positions_of(store: EventStore, **asked: Any) -> list[int]:
    """The positions that a replay gives."""
    return [event.position async for event in store.replay(**asked)]


async def test_an_event_in_flight_below_the_end_is_waited_for(store: EventStore):
    """A replay whose end lies above a gap waits until the gap's owner has ended, and then has its event."""
    await store.log.append(started())
    async with store.connection.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        held = await store.log.append_in(connection, to_columns(started().staged({})))
        later = await store.log.append(started())
        assert later.last_position > held.last_position
        bounds: list[Any] = [{}, {"through": later.last_position}, {"through": later.recorded_at}]
        replays = [asyncio.create_task(positions_of(store, **bound)) for bound in bounds]
        done, waiting = await asyncio.wait(replays, timeout=0.3)
        assert (len(done), len(waiting)) == (0, 3)
        await transaction.commit()
    for replay in replays:
        assert await replay == [1, held.last_position, later.last_position]


async def test_an_event_in_flight_at_the_very_end_is_waited_for_where_the_bound_says_so(store: EventStore):
    """With an end given, by position or time, an event that nobody sees yet and lies before that end is not missed."""
    first = await store.log.append(started())
    async with store.connection.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        held = await store.log.append_in(connection, to_columns(started().staged({})))
        assert held.recorded_at is not None
        bounds: list[Any] = [{"through": held.last_position}, {"through": held.recorded_at}]
        replays = [asyncio.create_task(positions_of(store, **bound)) for bound in bounds]
        done, _ = await asyncio.wait(replays, timeout=0.3)
        assert not done
        await transaction.commit()
    for replay in replays:
        assert await replay == [first.last_position, held.last_position]


async def test_what_is_appended_meanwhile_is_not_given(store: EventStore):
    """The end is the one that the log has when the iteration begins; iterating again goes on to the same end."""
    for _ in range(3):
        await store.log.append(started())
    replay = store.replay(page_events_max=1)
    seen = []
    async for event in replay:
        seen.append(event.position)
        await store.log.append(started())
    assert seen == [1, 2, 3]
    assert [event async for event in replay] == []
    assert await positions_of(store, after=replay.position) == [4, 5, 6]


async def test_a_slow_reader_is_not_overrun(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """While a page is dealt with one more is fetched, and no third, however long it takes."""
    await store.log.append(started(tunings=20))
    fetched = 0
    read = Pages._read

    async def counted(self: Pages, after: int) -> Any:
        nonlocal fetched
        page = await read(self, after)
        fetched += 1
        return page

    monkeypatch.setattr(Pages, "_read", counted)
    dealt_with = 0
    async for _ in store.replay(page_events_max=2).pages():
        dealt_with += 1
        expected = min(dealt_with + 1, 11)
        await until(lambda expected=expected: fetched == expected)  # type: ignore[misc]
        for _turn in range(50):
            await asyncio.sleep(0)
        assert fetched == expected
    assert dealt_with == 11


async def test_it_can_be_left_anywhere(migrated_config: DatabaseConfig):
    """After a break, in any form of iteration, no connection is in use and no transaction is open."""
    async with EventStore.open(migrated_config.replace(max_pool_size=2), workers=False) as store:
        await store.log.append(started(tunings=20))
        async for _ in store.replay(page_events_max=3):
            break
        async for _ in store.replay(page_events_max=3).pages():
            break
        iterator = aiter(store.replay(page_events_max=3))
        await anext(iterator)
        await iterator.aclose()

        async def fail() -> None:
            async for event in store.replay(page_events_max=3):
                assert event.position // 0

        with pytest.raises(ZeroDivisionError):
            await fail()
        await until(lambda: store.connection.statistics().in_use == 0)
        await assert_whole(store.connection)


@pytest.mark.parametrize("form", ["events", "pages", "rebuild", "time"])
async def test_it_can_be_cancelled_at_any_await(migrated_config: DatabaseConfig, form: str):
    """Cancelled at each of its awaits in turn, it leaves no transaction and loses no connection."""
    async with EventStore.open(migrated_config.replace(max_pool_size=1), workers=False) as store:
        appended = await store.log.append(started(tunings=5))

        async def work() -> None:
            if form == "rebuild":
                assert len(await store.rebuild_state(Strategy)) == 1
                return
            asked: dict[str, Any] = {"page_events_max": 2}
            if form == "time":
                asked["through"] = appended.recorded_at
            replay = store.replay(**asked)
            if form == "pages":
                assert sum([len(page) async for page in replay.pages()]) == 6
            else:
                assert len([event async for event in replay]) == 6

        for at in range(1, CANCELLED_AT_MAX):
            store.log.high_water_mark.reset()
            cancelled, suspended = await cancelled_at(at, work)
            await assert_whole(store.connection)
            if not cancelled:
                assert suspended < at
                break
        else:
            pytest.fail("it never came to its end")


async def test_a_lost_connection_is_safe_to_retry(migrated_config: DatabaseConfig):
    """When a connection is lost in mid-replay it fails with a retryable error; iterating again gives the rest."""
    async with (
        Relay(migrated_config) as relay,
        EventStore.open(relay.config(statement_cache_size=0), workers=False) as store,
    ):
        await store.log.append(started(tunings=9))
        replay = store.replay(page_events_max=2)
        seen: list[int] = []

        async def lose() -> None:
            async for event in replay:
                seen.append(event.position)
                relay.lose_after = b'FROM "public".events'

        with pytest.raises(ConnectionError) as raised:
            await lose()
        assert raised.value.retryable
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < 10
        relay.lose_after = None
        seen += [event.position async for event in replay]
        assert seen == list(range(1, 11))


async def test_progress_tells_position_target_and_rate(store: EventStore):
    """It is told once for each page; at the end the position is the target, whatever the filter left out."""
    await store.log.append(started(tunings=6))
    told: list[ReplayProgress] = []
    replay = store.replay(types=[StrategyTuned], page_events_max=4, on_progress=told.append)
    assert (replay.position, replay.progress.target, replay.progress.is_done) == (0, None, False)
    assert len([event async for event in replay]) == 6
    assert [(one.position, one.target, one.events, one.is_done) for one in told] == [
        (5, 7, 4, False),
        (7, 7, 6, True),
    ]
    assert told[-1].events_per_s > 0
    async for _ in store.replay(streams=[], on_progress=told.append):
        pytest.fail("no stream, no event")
    assert told[-1].is_done


async def test_streams_are_read_by_their_own_index(store: EventStore):
    """Few streams of a long log are not looked for in all of it; most of the log's streams are."""
    appended = [started(tunings=3) for _ in range(30)]
    for stream in appended:
        await store.log.append(stream)
    by_streams = {}
    for name, streams in (("few", appended[:2]), ("all", appended)):
        pages = Pages(
            store.log.connection,
            Selection(streams=[stream.stream_id for stream in streams]),
            after=0,
            through=120,
        )
        assert sum([len(page.rows) async for page in pages.read()]) == 4 * len(streams)
        by_streams[name] = pages._is_of_streams
    assert by_streams == {"few": True, "all": False}


async def test_bounds_that_make_no_sense_are_refused(store: EventStore):
    """A negative position, a number that is none, an empty page: the message names the argument."""
    for wrong in ({"after": -1}, {"through": True}, {"after": "1"}, {"through": 1.5}, {"page_events_max": 0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            store.replay(**wrong)
    for ever in ((datetime.min, datetime.max), (datetime.min.replace(tzinfo=UTC), None)):
        assert [one async for one in store.replay(after=ever[0], through=ever[1])] == []
    with pytest.raises(ConfigurationError, match="no field or property colour"):
        await store.rebuild_state(Order, where={"colour": "red"})


async def test_an_unknown_type_is_named(store: EventStore):
    """An event that the code does not know ends the replay with its type, stream and position; a filter passes it by."""
    await store.log.append(started())
    async with store.connection.acquire() as one:
        await one.execute(
            "INSERT INTO events SELECT 2, occurred_at, recorded_at, 2, 1, stream_id, $1, category, 'Gone', data, metadata "
            "FROM events",
            uuid4(),
        )
    replay = store.replay()
    with pytest.raises(UnknownEventTypeError) as raised:
        await positions_of(store)
    assert (raised.value.type, raised.value.position) == ("Gone", 2)
    assert replay.position == 0
    assert await positions_of(store, types=["StrategyStarted"]) == [1]


async def test_rebuilt_entities_can_be_changed_and_saved(store: EventStore):
    """A rebuilt entity has its stream's version, so its next change is appended after it; deleted ones are left out."""
    kept, gone = (Order.create_market_order("A", Decimal(2), OrderSide.BUY) for _ in range(2))
    async with store.unit_of_work() as uow:
        for order in (kept, gone):
            order.submit("B-1")
            await uow.orders.save_order(order)
    async with store.unit_of_work() as uow:
        await uow.orders.delete_order(gone.id)
    rebuilt = await store.rebuild_state(Order)
    assert list(rebuilt) == [kept.id]
    assert rebuilt[kept.id] == kept
    rebuilt[kept.id].fill(Decimal(2), Decimal(1), "E-1")
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(rebuilt[kept.id])
    assert [event.version for event in await store.log.read_stream(kept.id)] == [1, 2, 3]
    assert await store.rebuild_state(Order, ids=[gone.id, uuid4()]) == {}


async def test_it_takes_few_statements(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Many entities are rebuilt without a query for each."""
    for _ in range(10):
        await store.log.append(started(tunings=1), *[started(tunings=1) for _ in range(9)])
    statements = 0
    acquire = store.connection.acquire

    def counted(**arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return acquire(**arguments)

    monkeypatch.setattr(store.connection, "acquire", counted)
    assert len(await store.rebuild_state(Strategy)) == 100
    assert statements <= 4


@pytest.mark.full
async def test_memory_is_flat(store: EventStore):
    """A replay of ten times as many events takes no more memory at its peak."""

    async def append(streams: int) -> None:
        for _ in range(streams):
            await store.log.append(started(tunings=400))

    async def peak_bytes() -> int:
        tracemalloc.start()
        try:
            async for _ in store.replay():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await append(20)
    await peak_bytes()  # what is made once is made now
    short = await peak_bytes()
    await append(180)
    assert await peak_bytes() < 1.5 * short
    assert len([1 async for _ in store.replay(categories=[CATEGORY])]) == 200 * 401
